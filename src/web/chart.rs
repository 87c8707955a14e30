//! Pictures, drawn here as SVG: where the time of a deployment went, releases a week, how long steps take. Each says in its description what
//! it shows, and a table beside it has the same numbers.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::parts::brief;
use crate::deploy::runbook::{Line, RUNBOOK, line_of};
use crate::deploy::stats::{Stats, StepStats};
use crate::deploy::timeline::{Moment, Span, Tone, subject};

/// Pixels: the width of all pictures, of the labels in them, and the height of a row.
const WIDTH: f64 = 840.0;
const LABELS: f64 = 220.0;
const NUMBERS: f64 = 90.0;
const ROW: f64 = 20.0;

/// A stretch of time that one thing took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// The line of the runbook.
    pub line: &'static Line,
    /// From then.
    pub from: DateTime<Utc>,
    /// To then.
    pub to: DateTime<Utc>,
    /// What it was; `None`: not over yet.
    pub span: Option<Span>,
}

/// What the time of a deployment went into; what is not over lasts until `now`, unless the deployment itself has ended.
pub fn stretches(moments: &[Moment], now: Option<DateTime<Utc>>) -> Vec<Stretch> {
    let mut open: HashMap<&str, DateTime<Utc>> = HashMap::new();
    let mut stretches = Vec::new();
    for moment in moments {
        let Some(key) = moment.key.as_deref() else { continue };
        if moment.tone == Tone::Beginning {
            open.insert(key, moment.at);
        }
        let (Some((span, _)), Some(line)) = (moment.took, line_of(subject(key))) else {
            continue;
        };
        if let Some(from) = open.remove(key) {
            stretches.push(Stretch {
                line,
                from,
                to: moment.at,
                span: Some(span),
            });
        }
    }
    let running = open.into_iter().filter_map(|(key, from)| {
        Some(Stretch {
            line: line_of(subject(key))?,
            from,
            to: now?,
            span: None,
        })
    });
    stretches.extend(running);
    stretches.sort_by_key(|stretch| stretch.from);
    stretches
}

fn class(span: Option<Span>) -> &'static str {
    match span {
        Some(Span::Work) => "work",
        Some(Span::Failure) => "failure",
        Some(Span::People) => "people",
        Some(Span::Undoing) => "undoing",
        None => "open",
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn span_of(from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
    (to - from).to_std().unwrap_or_default()
}

/// Where the time of a deployment went, line by line of the runbook.
pub fn gantt(stretches: &[Stretch]) -> Markup {
    let (Some(from), Some(to)) = (
        stretches.iter().map(|stretch| stretch.from).min(),
        stretches.iter().map(|stretch| stretch.to).max(),
    ) else {
        return html! {};
    };
    let whole = seconds(span_of(from, to)).max(1.0);
    let x = |at: DateTime<Utc>| LABELS + seconds(span_of(from, at)) / whole * (WIDTH - LABELS - NUMBERS);
    let lines: Vec<(&Line, Vec<&Stretch>)> = RUNBOOK
        .iter()
        .map(|line| {
            (
                line,
                stretches
                    .iter()
                    .filter(|stretch| stretch.line == line)
                    .collect::<Vec<_>>(),
            )
        })
        .filter(|(_, stretches)| !stretches.is_empty())
        .collect();
    let height = lines.len() as f64 * ROW + ROW;
    let took = |stretches: &[&Stretch]| brief(stretches.iter().map(|stretch| span_of(stretch.from, stretch.to)).sum());
    html! {
        div.picture tabindex="0" role="group" aria-label="Where the time went" {
            svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-labelledby="gantt-title gantt-desc" {
                title id="gantt-title" { "Where the time went" }
                desc id="gantt-desc" { "One row for each step, from left to right in the " (brief(span_of(from, to))) " of the deployment. The table below has the same numbers." }
                @for (row, (line, stretches)) in lines.iter().enumerate() {
                    @let y = row as f64 * ROW;
                    line.rule x1="0" x2=(WIDTH) y1=(y + ROW) y2=(y + ROW) {}
                    text.label x="0" y=(y + 14.0) { (line.name) }
                    @for stretch in stretches {
                        rect.(class(stretch.span)) x=(rounded(x(stretch.from))) y=(y + 5.0) width=(rounded((x(stretch.to) - x(stretch.from)).max(2.0))) height=(ROW - 9.0) rx="2" {}
                    }
                    text.value x=(WIDTH) y=(y + 14.0) { (took(stretches)) }
                }
                @for quarter in 0..=4 {
                    @let at = whole * f64::from(quarter) / 4.0;
                    text.axis x=(rounded(LABELS + (WIDTH - LABELS - NUMBERS) * f64::from(quarter) / 4.0)) y=(height - 4.0) { (brief(Duration::from_secs_f64(at))) }
                }
            }
        }
        p.legend aria-hidden="true" {
            span.work { "work" } " " span.people { "waiting for people" } " " span.failure { "attempt that failed" } " " span.undoing { "undoing" } " " span.open { "not over" }
        }
        details {
            summary { "The same as a table" }
            table {
                thead { tr { th scope="col" { "Step" } th scope="col" { "What" } th scope="col" { "From (UTC)" } th.number scope="col" { "Took" } } }
                tbody {
                    @for stretch in stretches {
                        tr { th scope="row" { code { (stretch.line.name) } } td { (said(stretch.span)) } td { (stretch.from.format("%H:%M:%S")) } td.number { (brief(span_of(stretch.from, stretch.to))) } }
                    }
                }
            }
        }
    }
}

fn said(span: Option<Span>) -> &'static str {
    match span {
        Some(Span::Work) => "work",
        Some(Span::Failure) => "failed attempt",
        Some(Span::People) => "people",
        Some(Span::Undoing) => "undoing",
        None => "not over",
    }
}

fn rounded(number: f64) -> String {
    format!("{number:.1}")
}

/// Releases of each week.
pub fn weeks(stats: &Stats, id: &str) -> Markup {
    let most = stats.weeks.iter().map(|week| week.releases).max().unwrap_or(0).max(1) as f64;
    let (height, step) = (120.0, WIDTH / stats.weeks.len().max(1) as f64);
    let bar = |releases: usize| releases as f64 / most * (height - 40.0);
    html! {
        div.picture tabindex="0" role="group" aria-label="Releases a week" {
            svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-labelledby=(format!("{id}-weeks-title {id}-weeks-desc")) {
                title id=(format!("{id}-weeks-title")) { "Releases a week" }
                desc id=(format!("{id}-weeks-desc")) {
                    "Oldest first: " @for week in &stats.weeks { (week.from.format("%m-%d")) " " (week.releases) "; " }
                }
                line.rule x1="0" x2=(WIDTH) y1=(height - 20.0) y2=(height - 20.0) {}
                @for (index, week) in stats.weeks.iter().enumerate() {
                    @let x = index as f64 * step;
                    rect.work x=(rounded(x + 4.0)) y=(rounded(height - 20.0 - bar(week.releases))) width=(rounded(step - 8.0)) height=(rounded(bar(week.releases))) rx="2" {}
                    @if week.releases > 0 { text.middle x=(rounded(x + step / 2.0)) y=(rounded(height - 26.0 - bar(week.releases))) { (week.releases) } }
                    text.axis x=(rounded(x + step / 2.0)) y=(height - 5.0) { (week.from.format("%m-%d")) }
                }
            }
        }
    }
}

/// How long each step takes: the median as a bar, and a line up to what 19 of 20 don't pass.
pub fn steps(stats: &Stats, id: &str) -> Markup {
    let most = stats
        .steps
        .iter()
        .map(|step| seconds(step.spread.p95))
        .fold(1.0, f64::max);
    let length = |duration: Duration| seconds(duration) / most * (WIDTH - LABELS - NUMBERS - 60.0);
    let height = stats.steps.len() as f64 * ROW;
    let row = |(row, step): (usize, &StepStats)| {
        let y = row as f64 * ROW;
        let (p50, p95) = (length(step.spread.p50), length(step.spread.p95));
        html! {
            line.rule x1="0" x2=(WIDTH) y1=(y + ROW) y2=(y + ROW) {}
            text.label x="0" y=(y + 14.0) { (step.name) }
            rect.(if step.people { "people" } else { "work" }) x=(LABELS) y=(y + 5.0) width=(rounded(p50.max(2.0))) height=(ROW - 9.0) rx="2" {}
            line.whisker x1=(rounded(LABELS + p50)) x2=(rounded(LABELS + p95)) y1=(y + 10.5) y2=(y + 10.5) {}
            text.value x=(WIDTH) y=(y + 14.0) { (brief(step.spread.p50)) " / " (brief(step.spread.p95)) }
        }
    };
    html! {
        @if !stats.steps.is_empty() {
            div.picture tabindex="0" role="group" aria-label="How long steps take" {
                svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-labelledby=(format!("{id}-steps-title {id}-steps-desc")) {
                    title id=(format!("{id}-steps-title")) { "How long steps take" }
                    desc id=(format!("{id}-steps-desc")) { "One row for each step: a bar for the median, a line up to the 95th percentile. The table below has the same numbers." }
                    @for pair in stats.steps.iter().enumerate() { (row(pair)) }
                }
            }
            details {
                summary { "The same as a table" }
                table {
                    thead { tr { th scope="col" { "Step" } th.number scope="col" { "p50" } th.number scope="col" { "p95" } th.number scope="col" { "Count" } } }
                    tbody {
                        @for step in &stats.steps {
                            tr { th scope="row" { (step.title) " " code { (step.name) } } td.number { (brief(step.spread.p50)) } td.number { (brief(step.spread.p95)) } td.number { (step.spread.count) } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(second: i64, key: &str, took: Option<Span>) -> Moment {
        Moment {
            at: DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(second),
            key: Some(key.to_owned()),
            mark: "",
            what: String::new(),
            by: None,
            took: took.map(|span| (span, Duration::ZERO)),
            detail: Vec::new(),
            requests: Vec::new(),
            tone: match took {
                Some(_) => Tone::Plain,
                None => Tone::Beginning,
            },
        }
    }

    #[test]
    fn each_attempt_is_a_stretch_and_what_is_not_over_lasts_until_now() {
        let moments = [
            moment(0, "clone_repo", None),
            moment(2, "clone_repo", Some(Span::Failure)),
            moment(5, "clone_repo", None),
            moment(6, "clone_repo", Some(Span::Work)),
            moment(6, "attention/merge_pr/42/1", None),
        ];
        let at = |second| DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(second);
        let seen = |now| -> Vec<_> {
            let all = stretches(&moments, now).into_iter();
            all.map(|one| (one.line.name, one.from, one.to, one.span)).collect()
        };
        let done = [
            ("clone_repo", at(0), at(2), Some(Span::Failure)),
            ("clone_repo", at(5), at(6), Some(Span::Work)),
        ];
        assert_eq!(seen(None), done);
        assert_eq!(seen(Some(at(9)))[2], ("merge_pr", at(6), at(9), None));
    }

    #[test]
    fn a_picture_of_nothing_is_nothing() {
        assert_eq!(gantt(&[]).into_string(), "");
        let stats = Stats::of(&[], DateTime::UNIX_EPOCH);
        assert!(weeks(&stats, "web").into_string().contains("Releases a week"));
        assert_eq!(steps(&stats, "web").into_string(), "");
    }
}
