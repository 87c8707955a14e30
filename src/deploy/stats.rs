//! How a project delivers: the four numbers of DORA (how often, how fast, how often it fails, how fast it is mended) and where the time
//! of its steps goes. A pure fold: a [`Run`] is what one journal says, [`Stats`] what all of them say together.
//!
//! What counts as what: a *release* is a deployment whose release was found; a *merged* train is one whose deploy pull request reached the
//! base branch, so that it can hurt people; it *failed* if its Actions run or its release failed for good or a person stopped it there. A
//! train that was undone before its merge failed nobody and counts as undone only.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::runbook::{RUNBOOK, line_of};
use super::text::{counted, lasting, listed};
use super::view::{Stand, View, deploy_pr_merged};
use crate::saga::history::{StepPhase, StepState};
use crate::saga::{Event, History, Outcome};

/// Deployments that started earlier than this before now don't count: numbers are about the way of working today.
pub const WINDOW: TimeDelta = TimeDelta::days(84);
/// How many steps the sentences name.
const SLOWEST: usize = 3;

/// What one deployment adds to the numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// How it ended, if it did.
    pub outcome: Option<Outcome>,
    /// When its deploy pull request was merged.
    pub merged_at: Option<DateTime<Utc>>,
    /// When its release was found.
    pub released_at: Option<DateTime<Utc>>,
    /// When it first failed after the merge.
    pub failed_at: Option<DateTime<Utc>>,
    /// What it shipped.
    pub changes: Vec<Change>,
    /// Steps that were done, by their line's name, and how long each took, waits and retries included.
    pub steps: Vec<(&'static str, Duration)>,
}

/// A pull request on its way to people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Its number.
    pub number: u64,
    /// When it was opened; journals of older versions don't say.
    pub opened_at: Option<DateTime<Utc>>,
    /// When the train merged it.
    pub merged_at: DateTime<Utc>,
}

impl Run {
    /// What a journal says; `view` is its view.
    pub fn of(view: &View, history: &History) -> Self {
        let done_at = |key: &str| history.step(key).and_then(completed_at);
        let merged_at = deploy_pr_merged(history).and_then(completed_at);
        let released_at = done_at("wait_for_release");
        Self {
            id: view.id.clone(),
            started_at: view.started_at,
            outcome: history.outcome(),
            merged_at,
            released_at,
            failed_at: merged_at.and_then(|_| failed_at(view, history, released_at)),
            changes: changes(view, history),
            steps: steps(view),
        }
    }
}

fn completed_at(step: &StepState) -> Option<DateTime<Utc>> {
    matches!(step.phase, StepPhase::Completed(_)).then_some(step.last_event)
}

/// The first failure for good of what comes after the merge, or the moment when a person stopped it there.
fn failed_at(view: &View, history: &History, released_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    let failure = history.records().iter().find(|record| match &record.event {
        Event::StepFailed {
            key, retry_at: None, ..
        } => line_of(key).is_some_and(|line| matches!(line.name, "watch_deploy_run" | "wait_for_release")),
        _ => false,
    });
    let stopped = history.outcome() == Some(Outcome::Stopped) && released_at.is_none();
    failure.map(|record| record.at).or(view.ended_at.filter(|_| stopped))
}

fn changes(view: &View, history: &History) -> Vec<Change> {
    let change = |car: &super::view::CarView| {
        let merge = history.step(&format!("merge_pr/{}", car.car.number))?;
        Some(Change {
            number: car.car.number,
            opened_at: car.car.opened_at,
            merged_at: completed_at(merge)?,
        })
    };
    view.cars.iter().filter_map(change).collect()
}

fn steps(view: &View) -> Vec<(&'static str, Duration)> {
    let steps = view.phases.iter().flat_map(|phase| &phase.steps);
    let done = steps.filter(|step| step.state == Stand::Done);
    // The last run: what was tried before it, and how long people thought about that, is not how long the step takes.
    done.filter_map(|step| Some((step.name, step.took?))).collect()
}

fn span(from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
    (to - from).to_std().unwrap_or_default()
}

/// The numbers of one project at one instant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// Deployments that count, however they ended; running ones included.
    pub deployments: usize,
    /// Undone before anything reached the base branch.
    pub undone: usize,
    /// Merged into the base branch.
    pub merged: usize,
    /// Of those, how many failed afterwards.
    pub failed: usize,
    /// Released.
    pub released: usize,
    /// Releases of each week, oldest first, the current one last; a week begins seven days before the next.
    pub weeks: Vec<Week>,
    /// From opening a pull request to its release.
    pub lead_time: Option<Spread>,
    /// From its merge by the train to its release.
    pub merge_to_release: Option<Spread>,
    /// From a failure after the merge to the next release of the project, this or a later one.
    pub time_to_restore: Option<Spread>,
    /// Lines of the runbook that were done at least once, in its order.
    pub steps: Vec<StepStats>,
}

/// One week.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Week {
    /// Its first instant.
    pub from: DateTime<Utc>,
    /// Releases in it.
    pub releases: usize,
}

/// How a set of durations is spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// How many there are.
    pub count: usize,
    /// Half took no longer.
    pub p50: Duration,
    /// 19 of 20 took no longer.
    pub p95: Duration,
}

/// A line of the runbook over all deployments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepStats {
    /// Its name.
    pub name: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// People do it, not the machine.
    pub people: bool,
    /// How long it takes.
    pub spread: Spread,
}

impl Spread {
    /// Of durations in any order; `None` of none.
    pub fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort();
        // The nearest rank: always a duration that really was.
        let rank = |percent: usize| (durations.len() * percent).div_ceil(100).saturating_sub(1);
        Some(Self {
            count: durations.len(),
            p50: *durations.get(rank(50))?,
            p95: *durations.get(rank(95))?,
        })
    }
}

impl Stats {
    /// The numbers of a project's runs, in any order.
    pub fn of(runs: &[Run], now: DateTime<Utc>) -> Self {
        let mut runs: Vec<&Run> = runs.iter().filter(|run| run.started_at > now - WINDOW).collect();
        runs.sort_by_key(|run| run.started_at);
        let count = |is: fn(&Run) -> bool| runs.iter().filter(|run| is(run)).count();
        Self {
            deployments: runs.len(),
            undone: count(|run| run.outcome == Some(Outcome::Undone)),
            merged: count(|run| run.merged_at.is_some()),
            failed: count(|run| run.failed_at.is_some()),
            released: count(|run| run.released_at.is_some()),
            weeks: weeks(&runs, now),
            lead_time: Spread::of(until_release(&runs, |change| change.opened_at)),
            merge_to_release: Spread::of(until_release(&runs, |change| Some(change.merged_at))),
            time_to_restore: Spread::of(restores(&runs)),
            steps: step_stats(&runs),
        }
    }

    /// Releases a week, over the time in which there were deployments.
    pub fn per_week(&self) -> f64 {
        let first = self.weeks.iter().position(|week| week.releases > 0);
        let weeks = first.map_or(1, |first| self.weeks.len() - first);
        self.released as f64 / weeks as f64
    }

    /// Of the merged trains, how many in a hundred failed; `None` if nothing was merged.
    pub fn failure_percent(&self) -> Option<usize> {
        (self.merged > 0).then(|| (self.failed * 100 + self.merged / 2) / self.merged)
    }

    /// The numbers in words, a sentence each. Nothing in them was written by people outside, so no medium need escape them.
    pub fn sentences(&self) -> Vec<String> {
        let weeks = WINDOW.num_weeks();
        if self.deployments == 0 {
            return vec![format!("No deployment was started in the last {weeks} weeks.")];
        }
        let mut sentences = vec![self.frequency()];
        sentences.extend(self.lead_time_sentence());
        sentences.extend(self.failure_percent().map(|percent| {
            format!(
                "Change failure rate: {percent} % ({} of {} failed after the merge).",
                self.failed,
                counted(self.merged, "merged train")
            )
        }));
        let restore = |spread: Spread| {
            format!(
                "Time to restore: p50 {}, p95 {}.",
                lasting(spread.p50),
                lasting(spread.p95)
            )
        };
        sentences.extend(self.time_to_restore.map(restore));
        sentences.extend(self.slowest());
        sentences
    }

    fn frequency(&self) -> String {
        let undone = match self.undone {
            0 => String::new(),
            undone => format!(", {undone} undone before the merge"),
        };
        format!(
            "Deployment frequency: {:.1} a week ({} in {} weeks, of {}{undone}).",
            self.per_week(),
            counted(self.released, "release"),
            WINDOW.num_weeks(),
            counted(self.deployments, "deployment"),
        )
    }

    fn lead_time_sentence(&self) -> Option<String> {
        let from_merge = self.merge_to_release?;
        Some(match self.lead_time {
            Some(lead) => format!(
                "Lead time for changes: p50 {}, p95 {} from opening a pull request to its release; p50 {} from its merge.",
                lasting(lead.p50),
                lasting(lead.p95),
                lasting(from_merge.p50)
            ),
            None => format!(
                "Lead time for changes: p50 {}, p95 {} from a pull request's merge to its release.",
                lasting(from_merge.p50),
                lasting(from_merge.p95)
            ),
        })
    }

    fn slowest(&self) -> Option<String> {
        let mut steps: Vec<&StepStats> = self.steps.iter().collect();
        steps.sort_by_key(|step| std::cmp::Reverse(step.spread.p50));
        let slow = steps
            .iter()
            .filter(|step| step.spread.p50 >= Duration::from_secs(1))
            .take(SLOWEST);
        let named: Vec<String> = slow
            .map(|step| {
                let StepStats {
                    title, people, spread, ..
                } = step;
                let what = match people {
                    true => format!("waiting for people to {title}"),
                    false => (*title).to_owned(),
                };
                format!("{what} (p50 {}, p95 {})", lasting(spread.p50), lasting(spread.p95))
            })
            .collect();
        (!named.is_empty()).then(|| format!("Most time goes into {}.", listed(&named, "and")))
    }
}

fn weeks(runs: &[&Run], now: DateTime<Utc>) -> Vec<Week> {
    let week = |ago: i64| {
        let from = now - TimeDelta::weeks(ago + 1);
        let to = now - TimeDelta::weeks(ago);
        let inside = |at: DateTime<Utc>| from < at && at <= to;
        Week {
            from,
            releases: runs.iter().filter(|run| run.released_at.is_some_and(inside)).count(),
        }
    };
    (0..WINDOW.num_weeks()).rev().map(week).collect()
}

fn until_release(runs: &[&Run], from: impl Fn(&Change) -> Option<DateTime<Utc>>) -> Vec<Duration> {
    let mut durations = Vec::new();
    for run in runs {
        let Some(released) = run.released_at else { continue };
        let begun = run.changes.iter().filter_map(&from);
        durations.extend(begun.map(|at| span(at, released)));
    }
    durations
}

/// From each failure to the first release after it.
fn restores(runs: &[&Run]) -> Vec<Duration> {
    let restored = |failed: DateTime<Utc>| {
        let releases = runs.iter().filter_map(|run| run.released_at);
        releases.filter(|&at| at >= failed).min()
    };
    let failures = runs.iter().filter_map(|run| run.failed_at);
    failures
        .filter_map(|failed| Some(span(failed, restored(failed)?)))
        .collect()
}

fn step_stats(runs: &[&Run]) -> Vec<StepStats> {
    let stats = |line: &super::runbook::Line| {
        let all = runs.iter().flat_map(|run| &run.steps);
        let of_line = all.filter(|(name, _)| *name == line.name).map(|(_, took)| *took);
        Some(StepStats {
            name: line.name,
            title: line.title,
            people: line.checkpoint,
            spread: Spread::of(of_line.collect())?,
        })
    };
    RUNBOOK.iter().filter_map(stats).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::saga::{Actor, Effect, Record};

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::hours(hours)
    }

    fn run(id: &str, start: i64) -> Run {
        Run {
            id: id.to_owned(),
            started_at: at(start),
            outcome: None,
            merged_at: None,
            released_at: None,
            failed_at: None,
            changes: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// One pull request, opened a day before the start, merged after one hour, released after two.
    fn shipped(id: &str, start: i64) -> Run {
        Run {
            outcome: Some(Outcome::Completed),
            merged_at: Some(at(start + 1)),
            released_at: Some(at(start + 2)),
            changes: vec![Change {
                number: 7,
                opened_at: Some(at(start - 24)),
                merged_at: at(start + 1),
            }],
            steps: vec![
                ("wait_for_ci", Duration::from_secs(600)),
                ("clone_repo", Duration::from_secs(3)),
            ],
            ..run(id, start)
        }
    }

    fn undone(id: &str, start: i64) -> Run {
        Run {
            outcome: Some(Outcome::Undone),
            ..run(id, start)
        }
    }

    #[test]
    fn nothing_is_said_about_nothing() {
        let stats = Stats::of(&[], at(0));
        assert_eq!(stats.sentences(), ["No deployment was started in the last 12 weeks."]);
        assert_eq!(stats.failure_percent(), None);
        assert_eq!(Stats::of(&[undone("web-1", -1)], at(0)).failure_percent(), None);
    }

    #[test]
    fn what_is_done_again_counts_from_its_last_run() {
        let started = |key: &str, attempt| Event::StepStarted {
            key: key.to_owned(),
            kind: "toy".to_owned(),
            effect: Effect::Read,
            input: Value::Null,
            attempt,
        };
        let completed = |key: &str| Event::StepCompleted {
            key: key.to_owned(),
            output: Value::Null,
            observed: false,
            requests: Vec::new(),
        };
        let opened = |key: &str| Event::CheckpointOpened {
            key: key.to_owned(),
            data: Value::Null,
            choices: vec!["confirm".to_owned()],
            deadline: None,
            on_expiry: None,
            remind_after_s: None,
        };
        let decided = |key: &str| Event::CheckpointDecided {
            key: key.to_owned(),
            choice: "confirm".to_owned(),
            by: Actor::Slack("U0ANA".to_owned()),
            payload: Value::Null,
        };
        let failed = Event::StepFailed {
            key: "clone_repo".to_owned(),
            error: "no network".to_owned(),
            retry_at: None,
            requests: Vec::new(),
        };
        // Seconds, and what happened then.
        let events = [
            (0, started("clone_repo", 1)),
            (10, failed),
            (3600, started("clone_repo", 2)),
            (3605, completed("clone_repo")),
            (3605, started("rehearse_merges", 1)),
            (3607, completed("rehearse_merges")),
            (3607, opened("confirm_pr_list")),
            (7200, decided("confirm_pr_list")),
            (7200, started("rehearse_merges/2", 1)),
            (7203, completed("rehearse_merges/2")),
            (7203, opened("confirm_pr_list/2")),
            (7263, decided("confirm_pr_list/2")),
            (7263, started("change_pr_bases/7", 1)),
            (7264, completed("change_pr_bases/7")),
            (7264, started("change_pr_bases/9", 1)),
            (7266, completed("change_pr_bases/9")),
            (7266, opened("post_release_checklist/issues")),
            (7267, opened("post_release_checklist")),
            (7276, decided("post_release_checklist/issues")),
            (7296, decided("post_release_checklist")),
        ];
        let record = |(seq, (second, event)): (usize, (i64, Event))| Record {
            seq: seq as u64,
            at: at(0) + TimeDelta::seconds(second),
            event,
        };
        let history: History = events.into_iter().enumerate().map(record).collect();
        let view = View::of("web-1", &history);
        let took: Vec<_> = Run::of(&view, &history)
            .steps
            .iter()
            .map(|(name, took)| (*name, took.as_secs()))
            .collect();
        let expected = [
            ("clone_repo", 5),
            ("rehearse_merges", 3),
            ("confirm_pr_list", 60),
            ("change_pr_bases", 3),
            ("post_release_checklist", 30),
        ];
        assert_eq!(took, expected);
        let clone = &view.phases[0].steps[1];
        assert_eq!(
            (clone.started_at, clone.run_at, clone.ended_at),
            (Some(at(0)), Some(at(1)), Some(at(1) + TimeDelta::seconds(5))),
            "the view knows both"
        );
    }

    #[test]
    fn ranks_are_durations_that_really_were() {
        let seconds = |range: std::ops::RangeInclusive<u64>| range.rev().map(Duration::from_secs).collect();
        let spread = Spread::of(seconds(1..=100)).unwrap();
        assert_eq!((spread.p50.as_secs(), spread.p95.as_secs()), (50, 95));
        let spread = Spread::of(seconds(1..=2)).unwrap();
        assert_eq!((spread.p50.as_secs(), spread.p95.as_secs()), (1, 2));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn a_failure_is_restored_by_the_next_release_of_the_project() {
        let broken = Run {
            outcome: Some(Outcome::Stopped),
            merged_at: Some(at(1)),
            failed_at: Some(at(2)),
            ..run("web-2", 0)
        };
        let stats = Stats::of(std::slice::from_ref(&broken), at(100));
        assert_eq!((stats.failed, stats.time_to_restore), (1, None), "not restored yet");
        let stats = Stats::of(&[shipped("web-3", 3), broken, shipped("web-1", -50)], at(100));
        assert_eq!(stats.time_to_restore.unwrap().p50, Duration::from_secs(3 * 3600));
        assert_eq!(stats.failure_percent(), Some(33));
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let now = at(0);
        let old = shipped("web-1", -WINDOW.num_hours() - 1);
        assert_eq!(Stats::of(&[old], now).deployments, 0);
        let stats = Stats::of(&[shipped("web-2", -WINDOW.num_hours() + 1)], now);
        assert_eq!((stats.released, stats.weeks[0].releases), (1, 1));
        assert_eq!(stats.weeks.len(), 12);
    }

    #[test]
    fn the_numbers_read_as_sentences() {
        let failed = Run {
            failed_at: Some(at(-20)),
            released_at: Some(at(-19)),
            ..shipped("web-3", -23)
        };
        let runs = [
            shipped("web-1", -400),
            undone("web-2", -300),
            failed,
            shipped("web-4", -5),
        ];
        insta::assert_snapshot!(Stats::of(&runs, at(0)).sentences().join("\n"), @r"
        Deployment frequency: 1.0 a week (3 releases in 12 weeks, of 4 deployments, 1 undone before the merge).
        Lead time for changes: p50 1 day 2 h, p95 1 day 4 h from opening a pull request to its release; p50 1 h 0 min from its merge.
        Change failure rate: 33 % (1 of 3 merged trains failed after the merge).
        Time to restore: p50 1 h 0 min, p95 1 h 0 min.
        Most time goes into waiting for the checks (p50 10 min, p95 10 min) and cloning the repository, without its blobs (p50 3 s, p95 3 s).
        ");
    }
}
