//! Everything that happened in a deployment, line by line: what the dashboard shows of a journal that people read after a bad day. Progress
//! is left out; the flight recorder has that, too.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::text::{self, Medium};
use super::{Tick, choice};
use crate::requests::Request;
use crate::saga::{Actor, Event, History, Outcome};

/// One line.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// When.
    pub at: DateTime<Utc>,
    /// What it is about: a step's or checkpoint's key.
    pub key: Option<String>,
    /// Emoji and words; plain text.
    pub mark: &'static str,
    /// What happened.
    pub what: String,
    /// Who did it, if a person or a deadline did.
    pub by: Option<Actor>,
    /// What ended here, and how long it took.
    pub took: Option<(Span, Duration)>,
    /// More lines: an error, a receipt. Written by the world.
    pub detail: Vec<String>,
    /// What was asked of GitHub for it.
    pub requests: Vec<Request>,
    /// How it is told.
    pub tone: Tone,
}

/// How a line is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// One of many.
    #[default]
    Plain,
    /// A beginning, which its end will say again.
    Beginning,
    /// It didn't get better by itself.
    Failure,
    /// Between two lives of Shipmate.
    Restart,
}

/// What time goes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// An attempt that worked.
    Work,
    /// An attempt that didn't.
    Failure,
    /// A wait for people.
    People,
    /// Taking something back.
    Undoing,
}

/// All lines of a journal, oldest first.
pub fn timeline(history: &History) -> Vec<Moment> {
    let mut begun: HashMap<&str, (DateTime<Utc>, u32)> = HashMap::new();
    let mut moments = Vec::new();
    for record in history.records() {
        let key = key(&record.event);
        let start = key.and_then(|key| begun.get(key).copied());
        if let (Some(attempt), Some(key)) = (begins(&record.event), key) {
            begun.insert(key, (record.at, attempt));
        }
        let Some(told) = told(history, &record.event) else {
            continue;
        };
        let (took, attempt) = match (told.ends, start) {
            (Some(span), Some((from, attempt))) => {
                let took = (record.at - from).to_std().unwrap_or_default();
                (Some((span, took)), attempt)
            }
            _ => (None, 1),
        };
        moments.push(Moment {
            at: record.at,
            key: key.map(str::to_owned),
            took,
            mark: told.mark,
            what: match attempt {
                1 => told.what,
                attempt => format!("attempt {attempt}: {}", told.what),
            },
            by: told.by,
            detail: told.detail,
            requests: record.event.requests().to_vec(),
            tone: told.tone,
        });
    }
    moments
}

/// What a key is about: a question about a failed step is the step's, however often it was asked before.
pub fn subject(key: &str) -> &str {
    match key.strip_prefix("attention/").and_then(|step| step.rsplit_once('/')) {
        Some((step, _)) => step,
        None => key,
    }
}

fn key(event: &Event) -> Option<&str> {
    match event {
        Event::StepStarted { key, .. }
        | Event::StepProgressed { key, .. }
        | Event::StepCompleted { key, .. }
        | Event::StepFailed { key, .. }
        | Event::StepSuspended { key, .. }
        | Event::StepSkipped { key }
        | Event::CheckpointOpened { key, .. }
        | Event::CheckpointDecided { key, .. }
        | Event::Signalled { key, .. }
        | Event::CompensationStarted { key }
        | Event::CompensationCompleted { key, .. }
        | Event::CompensationFailed { key, .. } => Some(key),
        Event::SagaStarted { .. }
        | Event::SagaRecovered { .. }
        | Event::Refused { .. }
        | Event::AbortRequested { .. }
        | Event::UnwindStarted { .. }
        | Event::SagaFinished { .. } => None,
    }
}

/// Which attempt of something begins, if one does.
fn begins(event: &Event) -> Option<u32> {
    match event {
        Event::StepStarted { attempt, .. } => Some(*attempt),
        Event::CheckpointOpened { .. } | Event::CompensationStarted { .. } => Some(1),
        _ => None,
    }
}

#[derive(Default)]
struct Told {
    mark: &'static str,
    what: String,
    by: Option<Actor>,
    detail: Vec<String>,
    ends: Option<Span>,
    tone: Tone,
}

impl Told {
    fn new(mark: &'static str, what: impl Into<String>) -> Self {
        Self {
            mark,
            what: what.into(),
            ..Self::default()
        }
    }

    fn by(self, by: &Actor) -> Self {
        Self {
            by: Some(by.clone()),
            ..self
        }
    }

    fn with(self, detail: impl IntoIterator<Item = String>) -> Self {
        Self {
            detail: detail.into_iter().collect(),
            ..self
        }
    }

    fn told(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    /// The end of what began before: how long it took is said.
    fn end(span: Span, mark: &'static str, what: impl Into<String>) -> Self {
        Self {
            ends: Some(span),
            ..Self::new(mark, what)
        }
    }
}

fn told(history: &History, event: &Event) -> Option<Told> {
    Some(match event {
        Event::StepProgressed { .. } => return None,
        Event::SagaStarted { by, .. } => Told::new("🚂", "deployment started").by(by),
        Event::SagaRecovered { version } => Told::new(
            "🔌",
            format!("Shipmate was restarted and went on from here (version {version})"),
        )
        .told(Tone::Restart),
        Event::StepStarted { attempt: 1, .. } => Told::new("▫️", "started").told(Tone::Beginning),
        Event::StepStarted { attempt, .. } => {
            Told::new("🔁", format!("attempt {attempt} started")).told(Tone::Beginning)
        }
        Event::StepCompleted { observed: false, .. } => Told::end(Span::Work, "✅", "done"),
        Event::StepCompleted { observed: true, .. } => Told::end(Span::Work, "✅", "had been done: found by looking"),
        Event::StepFailed { error, retry_at, .. } => match retry_at {
            Some(at) => Told::end(
                Span::Failure,
                "🔁",
                format!("did not work; tried again at {}", at.format("%H:%M:%S")),
            ),
            None => Told::end(Span::Failure, "⚠️", "failed").told(Tone::Failure),
        }
        .with([error.clone()]),
        Event::StepSuspended { .. } => Told::new("⏸️", "suspended, because Shipmate was stopping"),
        Event::StepSkipped { .. } => Told::new("⏭️", "skipped"),
        Event::CheckpointOpened { choices, data, .. } => {
            let labels: Vec<String> = choices
                .iter()
                .filter(|name| !matches!(name.as_str(), choice::EXPIRE | choice::DONE))
                .map(|name| text::offered(name, data["step"].as_str()).to_owned())
                .collect();
            let what = match labels.as_slice() {
                [] => "people were asked".to_owned(),
                labels => format!("people were asked: {}", text::listed(labels, "or")),
            };
            let error = data["error"].as_str().map(str::to_owned);
            Told::new("⏳", what).with(error).told(Tone::Beginning)
        }
        Event::CheckpointDecided { choice, by, .. } => {
            let what = match choice.as_str() {
                choice::EXPIRE => "nobody answered in time".to_owned(),
                choice::DONE => "everything ticked".to_owned(),
                other => format!("decided: {}", text::choice_label(other)),
            };
            Told::end(Span::People, "👉", what).by(by)
        }
        Event::Signalled { key, by, value } => Told::new("👉", signal(history, key, value)).by(by),
        Event::Refused { by, what, why } => Told::new("🚫", format!("refused: {what}")).by(by).with([why.clone()]),
        Event::AbortRequested { by, reason } => Told::new("👉", "asked to undo everything").by(by).with(reason.clone()),
        Event::UnwindStarted { reason } => Told::new("↩️", "undoing, newest step first").with([reason.clone()]),
        Event::CompensationStarted { .. } => Told::new("▫️", "undoing started").told(Tone::Beginning),
        Event::CompensationCompleted { receipt, .. } => Told::end(Span::Undoing, "↩️", "undone").with(receipt.clone()),
        Event::CompensationFailed { error, .. } => {
            let undone = Told::end(Span::Undoing, "⚠️", "could not be undone");
            undone.with([error.clone()]).told(Tone::Failure)
        }
        Event::SagaFinished { outcome } => match outcome {
            Outcome::Completed => Told::new("✅", "deployment completed"),
            Outcome::Undone => Told::new("↩️", "deployment undone"),
            Outcome::Stopped => Told::new("🛑", "deployment stopped"),
        },
    })
}

/// What somebody's word about a question was.
pub fn signal(history: &History, key: &str, value: &serde_json::Value) -> String {
    if value == choice::APPROVE {
        return "approved, as one of several".to_owned();
    }
    if value == super::NUDGE {
        return "nudged whoever must act".to_owned();
    }
    let Ok(tick) = serde_json::from_value::<Tick>(value.clone()) else {
        return "gave a sign".to_owned();
    };
    let items = history.checkpoint(key).map(super::ticks).unwrap_or_default();
    let item = items.get(tick.item).map_or("an item", |item| item.text.as_str());
    let verb = if tick.done { "ticked" } else { "un-ticked" };
    format!("{verb} “{}”", Medium::Plain.quote(item))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::deploy::view::View;
    use crate::saga::{Effect, Record};

    fn lines(events: Vec<Event>) -> String {
        let records = events.into_iter().enumerate().map(|(seq, event)| Record {
            seq: seq as u64,
            at: DateTime::UNIX_EPOCH + TimeDelta::seconds(7 * seq as i64),
            event,
        });
        let history: History = records.collect();
        let line = |moment: &Moment| {
            let who = moment
                .by
                .as_ref()
                .map(|by| Medium::Plain.person(by))
                .unwrap_or_default();
            let ids: Vec<_> = moment.requests.iter().map(|request| request.id.as_str()).collect();
            let took = moment.took.map(|(_, took)| text::lasting(took)).unwrap_or_default();
            format!(
                "{}|{}|{}|{who}|{took}|{}|{}",
                moment.mark,
                moment.key.as_deref().unwrap_or_default(),
                moment.what,
                moment.detail.join(" / "),
                ids.join(" ")
            )
        };
        timeline(&history).iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn started(key: &str, attempt: u32) -> Event {
        Event::StepStarted {
            key: key.to_owned(),
            kind: "toy".to_owned(),
            effect: Effect::Compensable,
            input: Value::Null,
            attempt,
        }
    }

    fn request(id: &str) -> Request {
        Request {
            what: "PUT /: 200".to_owned(),
            id: id.to_owned(),
        }
    }

    #[test]
    fn attempts_clicks_and_compensations_are_told_with_who_and_how_long() {
        let ana = Actor::Slack("U0ANA".to_owned());
        let key = |key: &str| key.to_owned();
        let told = lines(vec![
            Event::SagaStarted {
                workflow_version: 1,
                project: "web".to_owned(),
                by: ana.clone(),
                input: Value::Null,
            },
            started("push_deploy_branch", 1),
            Event::StepFailed {
                key: key("push_deploy_branch"),
                error: "GitHub said 502 [request AB:1]".to_owned(),
                retry_at: Some(DateTime::UNIX_EPOCH),
                requests: Vec::new(),
            },
            started("push_deploy_branch", 2),
            Event::StepSuspended {
                key: key("push_deploy_branch"),
                requests: vec![request("1")],
            },
            Event::SagaRecovered {
                version: "1.2.3".to_owned(),
            },
            Event::StepCompleted {
                key: key("push_deploy_branch"),
                output: Value::Null,
                observed: true,
                requests: vec![request("2"), request("3")],
            },
            Event::CheckpointOpened {
                key: key("post_release_checklist"),
                data: json!({ "items": ["Look"] }),
                choices: vec!["done".to_owned()],
                deadline: None,
                on_expiry: None,
                remind_after_s: None,
            },
            Event::Signalled {
                key: key("post_release_checklist"),
                by: ana.clone(),
                value: json!({ "item": 0, "done": true }),
            },
            Event::Refused {
                by: Actor::Slack("U0EVE".to_owned()),
                what: "abort a deployment".to_owned(),
                why: "You may not.".to_owned(),
            },
            Event::AbortRequested {
                by: ana,
                reason: Some("not today".to_owned()),
            },
            Event::CompensationStarted {
                key: key("push_deploy_branch"),
            },
            Event::CompensationCompleted {
                key: key("push_deploy_branch"),
                receipt: vec!["the branch is gone".to_owned()],
                requests: Vec::new(),
            },
            Event::SagaFinished {
                outcome: Outcome::Undone,
            },
        ]);
        insta::assert_snapshot!(told, @r"
        🚂||deployment started|@U0ANA|||
        ▫️|push_deploy_branch|started||||
        🔁|push_deploy_branch|did not work; tried again at 00:00:00||7 s|GitHub said 502 [request AB:1]|
        🔁|push_deploy_branch|attempt 2 started||||
        ⏸️|push_deploy_branch|suspended, because Shipmate was stopping||||1
        🔌||Shipmate was restarted and went on from here (version 1.2.3)||||
        ✅|push_deploy_branch|attempt 2: had been done: found by looking||21 s||2 3
        ⏳|post_release_checklist|people were asked||||
        👉|post_release_checklist|ticked “Look”|@U0ANA|||
        🚫||refused: abort a deployment|@U0EVE||You may not.|
        👉||asked to undo everything|@U0ANA||not today|
        ▫️|push_deploy_branch|undoing started||||
        ↩️|push_deploy_branch|undone||7 s|the branch is gone|
        ↩️||deployment undone||||
        ");
    }

    /// Events in an order that no engine writes, about steps that may never have begun, with anything in them.
    fn any_event() -> impl Strategy<Value = Event> {
        let key = proptest::sample::select(vec![
            "merge_pr/7",
            "merge_pr/7/put_back",
            "rehearse_merges/2",
            "confirm_pr_list",
            "approve_point_of_no_return/1",
            "post_release_checklist",
            "post_release_checklist/issues",
            "attention/merge_pr/7/1",
            "attention/saga/1",
            "stopped/unmerged",
            "wait_for_ci",
            "/",
            "",
        ]);
        let data = proptest::sample::select(vec![
            Value::Null,
            json!("approve"),
            json!({ "item": 7, "done": true }),
            json!({ "items": [1, "Look"], "plan": {}, "error": 1 }),
            json!({ "items": ["Look"], "step": "merge_pr/7", "error": "no" }),
            json!([[], {}]),
        ]);
        let by = proptest::sample::select(vec![Actor::Slack("U0ANA".to_owned()), Actor::Deadline, Actor::Shipmate]);
        (0..17u8, key, data, by, any::<String>()).prop_map(|(kind, key, data, by, text)| {
            let key = key.to_owned();
            match kind {
                0 => Event::SagaStarted {
                    workflow_version: 1,
                    project: text,
                    by,
                    input: data,
                },
                1 => Event::SagaRecovered { version: text },
                2 | 3 => started(&key, u32::from(kind)),
                4 => Event::StepProgressed { key, progress: data },
                5 => Event::StepCompleted {
                    key,
                    output: data,
                    observed: true,
                    requests: vec![request(&text)],
                },
                6 => Event::StepFailed {
                    key,
                    error: text,
                    retry_at: None,
                    requests: Vec::new(),
                },
                7 => Event::StepFailed {
                    key,
                    error: text,
                    retry_at: Some(DateTime::UNIX_EPOCH),
                    requests: Vec::new(),
                },
                8 => Event::StepSkipped { key },
                9 => {
                    let choices = vec!["confirm".to_owned(), text];
                    Event::CheckpointOpened {
                        key,
                        data,
                        choices,
                        deadline: None,
                        on_expiry: None,
                        remind_after_s: Some(0),
                    }
                }
                10 => Event::CheckpointDecided {
                    key,
                    choice: text,
                    by,
                    payload: data,
                },
                11 => Event::Signalled { key, by, value: data },
                12 => Event::AbortRequested { by, reason: Some(text) },
                13 => Event::UnwindStarted { reason: text },
                14 => Event::CompensationStarted { key },
                15 => Event::CompensationCompleted {
                    key,
                    receipt: vec![text],
                    requests: Vec::new(),
                },
                _ => Event::SagaFinished {
                    outcome: Outcome::Stopped,
                },
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

        #[test]
        fn any_journal_is_told_and_drawn_and_each_line_of_it_comes_back(events in proptest::collection::vec(any_event(), 0..16)) {
            let records: Vec<Record> = events.into_iter().enumerate().map(|(seq, event)| Record {
                seq: seq as u64,
                // Clocks can go backwards.
                at: DateTime::UNIX_EPOCH - TimeDelta::seconds(seq as i64 % 3),
                event,
            }).collect();
            for record in &records {
                let line = serde_json::to_string(record).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Record>(&line).unwrap(), record);
            }
            let history: History = records.into_iter().collect();
            let told = timeline(&history);
            prop_assert!(told.len() <= history.records().len());
            let view = View::of("web-1", &history);
            for medium in [Medium::Slack, Medium::Plain] {
                prop_assert!(!text::now(&view, DateTime::UNIX_EPOCH, medium).is_empty());
            }
        }
    }
}
