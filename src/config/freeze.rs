//! Freeze windows: when starting a deployment needs an override. Weekly ones and dated ones, read on the wall clock of a time zone, which
//! may skip an hour or have one twice.

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc, Weekday,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// A window in which starting needs an override.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// When.
    #[serde(flatten)]
    pub window: Window,
    /// The project's, if `None`.
    pub time_zone: Option<Tz>,
    /// Shown to who is refused.
    pub reason: String,
}

/// When a freeze holds, on the wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Window {
    /// Once.
    Dated {
        /// Its beginning.
        begins: NaiveDateTime,
        /// Its end, exclusive.
        ends: NaiveDateTime,
    },
    /// Every week.
    Weekly {
        /// The days on which it begins; empty: every day.
        days: Vec<Weekday>,
        /// Its beginning.
        from: NaiveTime,
        /// Its end, exclusive; not later than `from` means on the next day.
        to: NaiveTime,
    },
}

/// A freeze that holds now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// As configured.
    pub reason: String,
    /// When it ends, windows that follow at once included; `None`: they follow each other for more than a year.
    pub until: Option<DateTime<Utc>>,
}

/// Windows that follow each other without a gap are looked at so many times.
const FOLLOWED: usize = 400;

/// The freeze that holds now, if one does.
pub fn frozen(freezes: &[Freeze], now: DateTime<Utc>, project_zone: Tz) -> Option<Frozen> {
    let ends_after = |moment: DateTime<Utc>| {
        let ends = freezes
            .iter()
            .filter_map(|freeze| Some((freeze.end(moment, project_zone)?, freeze)));
        ends.max_by_key(|(end, _)| *end)
    };
    let (mut until, freeze) = ends_after(now)?;
    let mut followed = 0;
    while let Some((later, _)) = ends_after(until).filter(|_| followed < FOLLOWED) {
        until = later;
        followed += 1;
    }
    Some(Frozen {
        reason: freeze.reason.clone(),
        until: (followed < FOLLOWED).then_some(until),
    })
}

impl Freeze {
    /// When the window that covers this moment ends; `project_zone` is used if the freeze names none.
    fn end(&self, now: DateTime<Utc>, project_zone: Tz) -> Option<DateTime<Utc>> {
        let zone = self.time_zone.unwrap_or(project_zone);
        let covering = |begins: NaiveDateTime, ends: NaiveDateTime| {
            let end = moment(zone, ends, Twice::Last);
            (moment(zone, begins, Twice::First)..end).contains(&now).then_some(end)
        };
        match &self.window {
            Window::Dated { begins, ends } => covering(*begins, *ends),
            Window::Weekly { days, from, to } => {
                let today = now.with_timezone(&zone).date_naive();
                let begun = [today.pred_opt(), Some(today)].into_iter().flatten();
                let begun = begun.filter(|day| days.is_empty() || days.contains(&day.weekday()));
                begun
                    .filter_map(|day| covering(day.and_time(*from), last_day(day, *from, *to)?.and_time(*to)))
                    .max()
            }
        }
    }
}

fn last_day(day: NaiveDate, from: NaiveTime, to: NaiveTime) -> Option<NaiveDate> {
    match from < to {
        true => Some(day),
        false => day.checked_add_days(Days::new(1)),
    }
}

/// Which of two moments a wall clock that is put back means.
#[derive(Clone, Copy)]
enum Twice {
    First,
    Last,
}

/// The moment at which a wall clock reads so; where it skips that time, the first moment after the gap.
fn moment(zone: Tz, local: NaiveDateTime, twice: Twice) -> DateTime<Utc> {
    /// Zones move at full quarters of an hour, and by a whole day at most.
    const QUARTER: i64 = 15;
    const STEPS: i64 = 4 * 25;
    let into_the_quarter = TimeDelta::minutes(i64::from(local.minute()) % QUARTER);
    let quarters = (1..=STEPS).map(|step| TimeDelta::minutes(QUARTER * step) - into_the_quarter);
    let later = std::iter::once(TimeDelta::zero()).chain(quarters);
    let found = later
        .filter_map(|later| local.checked_add_signed(later))
        .map(|local| zone.from_local_datetime(&local))
        .find_map(|found| match twice {
            Twice::First => found.earliest(),
            Twice::Last => found.latest(),
        });
    found.map_or_else(|| local.and_utc(), |found| found.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARIS: Tz = Tz::Europe__Paris;

    fn weekly(days: &[Weekday], from: &str, to: &str) -> Freeze {
        let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").unwrap();
        Freeze {
            window: Window::Weekly {
                days: days.to_vec(),
                from: time(from),
                to: time(to),
            },
            time_zone: None,
            reason: "rest".to_owned(),
        }
    }

    fn dated(begins: &str, ends: &str) -> Freeze {
        Freeze {
            window: Window::Dated {
                begins: begins.parse().unwrap(),
                ends: ends.parse().unwrap(),
            },
            time_zone: None,
            reason: "holidays".to_owned(),
        }
    }

    #[track_caller]
    fn until(freezes: &[Freeze], now: &str) -> Option<String> {
        let frozen = frozen(freezes, now.parse().unwrap(), PARIS)?;
        Some(frozen.until.map_or("never".to_owned(), |until| until.to_rfc3339()))
    }

    #[test]
    fn days_that_follow_each_other_are_one_freeze() {
        let weekend = [
            weekly(&[Weekday::Fri], "15:00", "00:00"),
            weekly(&[Weekday::Sat, Weekday::Sun], "00:00", "00:00"),
        ];
        assert_eq!(until(&weekend, "2026-11-27T13:59:59Z"), None);
        let monday = Some("2026-11-29T23:00:00+00:00".to_owned());
        for now in ["2026-11-27T14:00:00Z", "2026-11-28T12:00:00Z", "2026-11-29T22:59:59Z"] {
            assert_eq!(until(&weekend, now), monday, "{now}");
        }
        assert_eq!(until(&weekend, "2026-11-29T23:00:00Z"), None);
    }

    #[test]
    fn a_clock_that_is_put_back_is_frozen_twice() {
        // In Paris, 02:30 is twice on 25 October 2026: at 00:30 and at 01:30 UTC.
        let night = [weekly(&[Weekday::Sun], "02:15", "02:45")];
        for now in ["2026-10-25T00:15:00Z", "2026-10-25T01:44:59Z"] {
            assert_eq!(
                until(&night, now).as_deref(),
                Some("2026-10-25T01:45:00+00:00"),
                "{now}"
            );
        }
        assert_eq!(until(&night, "2026-10-25T01:45:00Z"), None);
    }

    #[test]
    fn a_time_that_is_skipped_is_the_moment_after_the_gap() {
        // In Paris, 02:00 to 03:00 doesn't exist on 29 March 2026: 03:00 is 01:00 UTC.
        let into = [weekly(&[Weekday::Sun], "01:00", "02:30")];
        assert_eq!(
            until(&into, "2026-03-29T00:30:00Z").as_deref(),
            Some("2026-03-29T01:00:00+00:00")
        );
        let within = [weekly(&[Weekday::Sun], "02:10", "02:50")];
        assert_eq!(until(&within, "2026-03-29T01:00:00Z"), None, "an hour that isn't there");
    }

    #[test]
    fn a_freeze_that_begins_in_the_gap_begins_after_it_to_the_minute() {
        let from_within = [weekly(&[Weekday::Sun], "02:10", "04:00")];
        assert_eq!(until(&from_within, "2026-03-29T00:59:59Z"), None);
        assert_eq!(
            until(&from_within, "2026-03-29T01:00:00Z").as_deref(),
            Some("2026-03-29T02:00:00+00:00")
        );
        let within = [weekly(&[Weekday::Sun], "02:50", "02:55")];
        for minute in ["00:59", "01:00", "01:05", "01:09"] {
            assert_eq!(until(&within, &format!("2026-03-29T{minute}:00Z")), None, "{minute}");
        }
    }

    #[test]
    fn a_night_is_an_hour_shorter_or_longer_when_the_clock_moves() {
        let night = [weekly(&[Weekday::Sat], "22:00", "06:00")];
        for (begins, ends) in [
            ("2026-03-21T21:00:00Z", "2026-03-22T05:00:00Z"),
            ("2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"),
            ("2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z"),
        ] {
            let before = begins.parse::<DateTime<Utc>>().unwrap() - TimeDelta::seconds(1);
            assert_eq!(until(&night, &before.to_rfc3339()), None, "{begins}");
            assert_eq!(until(&night, begins), Some(ends.replace('Z', "+00:00")), "{begins}");
            assert_eq!(until(&night, ends), None, "{ends}");
        }
    }

    #[test]
    fn zones_that_move_by_half_an_hour_or_skip_a_day_are_read_too() {
        let in_zone = |zone: Tz, freeze: Freeze, now: &str| {
            let frozen = frozen(&[freeze], now.parse().unwrap(), zone);
            frozen.and_then(|frozen| frozen.until).map(|until| until.to_rfc3339())
        };
        // On Lord Howe Island 02:00 to 02:30 doesn't exist on 4 October 2026; 02:30 is 15:30 UTC the day before.
        let half = || weekly(&[Weekday::Sun], "02:05", "03:00");
        let howe = Tz::Australia__Lord_Howe;
        assert_eq!(in_zone(howe, half(), "2026-10-03T15:29:59Z"), None);
        assert_eq!(
            in_zone(howe, half(), "2026-10-03T15:30:00Z").as_deref(),
            Some("2026-10-03T16:00:00+00:00")
        );
        // Samoa has no 30 December 2011; the 31st begins at 10:00 UTC on the 30th.
        let skipped = || dated("2011-12-30T08:00:00", "2011-12-31T08:00:00");
        assert_eq!(in_zone(Tz::Pacific__Apia, skipped(), "2011-12-30T09:59:59Z"), None);
        assert_eq!(
            in_zone(Tz::Pacific__Apia, skipped(), "2011-12-30T10:00:00Z").as_deref(),
            Some("2011-12-30T18:00:00+00:00")
        );
    }

    #[test]
    fn a_dated_freeze_comes_once() {
        let holidays = [dated("2026-12-24T12:00:00", "2027-01-04T00:00:00")];
        assert_eq!(until(&holidays, "2026-12-24T10:59:59Z"), None);
        assert_eq!(
            until(&holidays, "2026-12-24T11:00:00Z").as_deref(),
            Some("2027-01-03T23:00:00+00:00")
        );
        assert_eq!(until(&holidays, "2027-12-25T12:00:00Z"), None);
    }

    #[test]
    fn a_freeze_without_end_says_so() {
        assert_eq!(
            until(&[weekly(&[], "00:00", "00:00")], "2026-01-01T00:00:00Z").as_deref(),
            Some("never")
        );
    }

    #[test]
    fn a_journal_from_before_dated_windows_is_read() {
        let old = r#"{"days":["Fri"],"from":"16:00:00","to":"08:00:00","time_zone":"Europe/Paris","reason":"x"}"#;
        let read: Freeze = serde_json::from_str(old).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), old);
        let dated = dated("2026-12-24T12:00:00", "2027-01-04T00:00:00");
        assert_eq!(
            serde_json::from_str::<Freeze>(&serde_json::to_string(&dated).unwrap()).unwrap(),
            dated
        );
    }
}
