//! A journal as the spans of one trace: the deployment, below it each step, each question to people and each undoing. Pure.
//!
//! Ids are digests of what the journal says, so the same deployment makes the same trace however often it is told.

use std::collections::HashMap;
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use opentelemetry::trace::{Event as Note, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use sha2::{Digest, Sha256};

use crate::requests::Request;
use crate::saga::{Actor, Effect, Event, History, Outcome, Record};

/// All spans of a deployment, the root first.
pub fn spans(id: &str, history: &History) -> Vec<SpanData> {
    let Some(start) = history.start() else {
        return Vec::new();
    };
    let mut trace = Trace::new(id, start);
    for record in history.records() {
        trace.tell(record);
    }
    trace.drafts.into_iter().map(|draft| draft.span(&trace.seed)).collect()
}

/// A span that grows with the journal.
struct Draft {
    /// Few values, so that backends can group by it.
    name: String,
    /// What makes it one of its trace; the root's is empty.
    label: String,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    attributes: Vec<KeyValue>,
    notes: Vec<Note>,
    status: Status,
}

impl Draft {
    fn note(&mut self, at: DateTime<Utc>, name: &'static str, attributes: Vec<KeyValue>) {
        self.to = at;
        self.notes.push(Note::new(name, at.into(), attributes, 0));
    }

    fn say(&mut self, key: &'static str, value: impl Into<opentelemetry::Value>) {
        self.attributes.push(KeyValue::new(key, value));
    }

    fn span(self, seed: &str) -> SpanData {
        let parent = match self.label.is_empty() {
            true => SpanId::INVALID,
            false => span_id(seed, ""),
        };
        let mut events = SpanEvents::default();
        events.events = self.notes;
        SpanData {
            span_context: SpanContext::new(
                TraceId::from_bytes(digest(seed)),
                span_id(seed, &self.label),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: self.name.into(),
            start_time: SystemTime::from(self.from),
            end_time: SystemTime::from(self.to),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events,
            links: SpanLinks::default(),
            status: self.status,
            instrumentation_scope: InstrumentationScope::builder("shipmate")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

/// The first bytes of a digest. All zeros would be no id, and don't come.
fn digest<const N: usize>(of: &str) -> [u8; N] {
    let all = Sha256::digest(of);
    std::array::from_fn(|index| all[index])
}

fn span_id(seed: &str, label: &str) -> SpanId {
    SpanId::from_bytes(digest(&format!("{seed} {label}")))
}

struct Trace {
    /// Tells this deployment from those of the same name in other installations.
    seed: String,
    /// The root first.
    drafts: Vec<Draft>,
    index: HashMap<String, usize>,
}

impl Trace {
    fn new(id: &str, start: &Record) -> Self {
        let mut trace = Self {
            seed: format!("{id} {}", start.at.to_rfc3339()),
            drafts: Vec::new(),
            index: HashMap::new(),
        };
        trace.open("deployment".to_owned(), String::new(), start.at);
        trace.root().say("shipmate.deployment", id.to_owned());
        trace
    }

    fn root(&mut self) -> &mut Draft {
        &mut self.drafts[0]
    }

    /// The span of this label; a new one if there is none.
    fn open(&mut self, name: String, label: String, at: DateTime<Utc>) -> &mut Draft {
        let next = self.drafts.len();
        let index = *self.index.entry(label.clone()).or_insert(next);
        if index == next {
            self.drafts.push(Draft {
                name,
                label,
                from: at,
                to: at,
                attributes: Vec::new(),
                notes: Vec::new(),
                status: Status::Unset,
            });
        }
        &mut self.drafts[index]
    }

    fn step(&mut self, key: &str, at: DateTime<Utc>) -> &mut Draft {
        self.part("step", head(key).to_owned(), key, at)
    }

    fn question(&mut self, key: &str, at: DateTime<Utc>) -> &mut Draft {
        self.part("question", head(key).to_owned(), key, at)
    }

    fn undoing(&mut self, key: &str, at: DateTime<Utc>) -> &mut Draft {
        self.part("undoing", format!("undo {}", head(key)), key, at)
    }

    fn part(&mut self, sort: &str, name: String, key: &str, at: DateTime<Utc>) -> &mut Draft {
        let label = format!("{sort}/{key}");
        let begins = !self.index.contains_key(&label);
        let draft = self.open(name, label, at);
        if begins {
            draft.say("shipmate.key", key.to_owned());
        }
        draft.to = at;
        draft
    }
}

/// A key without the pull request or the round that it names.
fn head(key: &str) -> &str {
    key.split('/').next().unwrap_or(key)
}

impl Trace {
    fn tell(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::SagaStarted { project, by, .. } => {
                let root = self.root();
                root.say("shipmate.project", project.clone());
                root.say("shipmate.by", person(by));
            }
            Event::SagaRecovered { version } => {
                let version = KeyValue::new("shipmate.version", version.clone());
                self.root().note(at, "restarted", vec![version]);
            }
            Event::Refused { by, what, why } => {
                let refused = vec![
                    KeyValue::new("shipmate.by", person(by)),
                    KeyValue::new("shipmate.what", what.clone()),
                    KeyValue::new("shipmate.why", why.clone()),
                ];
                self.root().note(at, "refused", refused);
            }
            Event::AbortRequested { by, reason } => {
                let reason = reason.clone().map(|reason| KeyValue::new("shipmate.why", reason));
                let asked = [KeyValue::new("shipmate.by", person(by))];
                self.root()
                    .note(at, "abort requested", asked.into_iter().chain(reason).collect());
            }
            Event::UnwindStarted { reason } => {
                let why = KeyValue::new("shipmate.why", reason.clone());
                self.root().note(at, "undoing started", vec![why]);
            }
            Event::SagaFinished { outcome } => self.finish(*outcome, at),
            Event::CheckpointOpened { .. } | Event::CheckpointDecided { .. } | Event::Signalled { .. } => {
                self.tell_question(record);
            }
            Event::CompensationStarted { .. }
            | Event::CompensationCompleted { .. }
            | Event::CompensationFailed { .. } => self.tell_undoing(record),
            Event::StepStarted { .. }
            | Event::StepProgressed { .. }
            | Event::StepCompleted { .. }
            | Event::StepFailed { .. }
            | Event::StepSuspended { .. }
            | Event::StepSkipped { .. } => self.tell_step(record),
        }
    }

    fn tell_step(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::StepStarted {
                key, effect, attempt, ..
            } => {
                let step = self.step(key, at);
                if step.notes.is_empty() {
                    step.say("shipmate.effect", effect_name(*effect));
                }
                let attempt = KeyValue::new("shipmate.attempt", i64::from(*attempt));
                step.note(at, "attempt started", vec![attempt]);
            }
            Event::StepCompleted {
                key,
                observed,
                requests,
                ..
            } => {
                let step = self.step(key, at);
                asked(step, at, requests);
                step.say("shipmate.observed", *observed);
                step.status = Status::Ok;
            }
            Event::StepFailed {
                key,
                error,
                retry_at,
                requests,
            } => {
                let step = self.step(key, at);
                asked(step, at, requests);
                let again = retry_at.map(|at| KeyValue::new("shipmate.retry_at", at.to_rfc3339()));
                let failed = [KeyValue::new("shipmate.error", error.clone())];
                step.note(at, "attempt failed", failed.into_iter().chain(again).collect());
                step.status = Status::error(error.clone());
            }
            Event::StepSuspended { key, requests } => {
                let step = self.step(key, at);
                asked(step, at, requests);
                step.note(at, "suspended", Vec::new());
            }
            Event::StepSkipped { key } => self.step(key, at).note(at, "skipped", Vec::new()),
            // What a step shows of itself on its way is for people who look at that moment.
            _ => {}
        }
    }

    fn tell_question(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::CheckpointOpened { key, deadline, .. } => {
                let question = self.question(key, at);
                if let Some(deadline) = deadline {
                    question.say("shipmate.deadline", deadline.to_rfc3339());
                }
            }
            Event::Signalled { key, by, value } => {
                let signal = vec![
                    KeyValue::new("shipmate.by", person(by)),
                    KeyValue::new("shipmate.what", value.to_string()),
                ];
                self.question(key, at).note(at, "signalled", signal);
            }
            Event::CheckpointDecided { key, choice, by, .. } => {
                let question = self.question(key, at);
                question.say("shipmate.choice", choice.clone());
                question.say("shipmate.by", person(by));
            }
            _ => {}
        }
    }

    fn tell_undoing(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::CompensationStarted { key } => drop(self.undoing(key, at)),
            Event::CompensationCompleted { key, requests, .. } => {
                let undoing = self.undoing(key, at);
                asked(undoing, at, requests);
                undoing.status = Status::Ok;
            }
            Event::CompensationFailed { key, error, requests } => {
                let undoing = self.undoing(key, at);
                asked(undoing, at, requests);
                undoing.status = Status::error(error.clone());
            }
            _ => {}
        }
    }

    fn finish(&mut self, outcome: Outcome, at: DateTime<Utc>) {
        let (name, status) = match outcome {
            Outcome::Completed => ("completed", Status::Ok),
            Outcome::Undone => ("undone", Status::error("undone")),
            Outcome::Stopped => ("stopped", Status::error("stopped")),
        };
        let root = self.root();
        root.to = at;
        root.say("shipmate.outcome", name);
        root.status = status;
    }
}

fn asked(draft: &mut Draft, at: DateTime<Utc>, requests: &[Request]) {
    for request in requests {
        let request = vec![
            KeyValue::new("shipmate.what", request.what.clone()),
            KeyValue::new("github.request_id", request.id.clone()),
        ];
        draft.note(at, "request", request);
    }
}

fn person(actor: &Actor) -> String {
    match actor {
        Actor::Slack(id) => format!("slack:{id}"),
        Actor::Local(name) => name.clone(),
        Actor::Deadline => "deadline".to_owned(),
        Actor::Shipmate => "shipmate".to_owned(),
    }
}

fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "read",
        Effect::Compensable => "compensable",
        Effect::Pivot => "pivot",
        Effect::Forward => "forward",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frozen(name: &str) -> History {
        let path = format!("{}/tests/deploy/journals/v1/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let records = text.lines().map(|line| serde_json::from_str(line).unwrap());
        records.collect()
    }

    fn ids(spans: &[SpanData]) -> Vec<(TraceId, SpanId)> {
        let id = |span: &SpanData| (span.span_context.trace_id(), span.span_context.span_id());
        spans.iter().map(id).collect()
    }

    #[test]
    fn each_span_is_valid_lies_within_the_deployment_and_has_an_id_of_its_own() {
        for name in ["at_the_checklist", "on_the_way_back"] {
            let history = frozen(name);
            let spans = spans("web-1", &history);
            let root = &spans[0];
            let (from, to) = (history.start().unwrap().at, history.records().last().unwrap().at);
            assert!(spans.len() > 10, "{name}");
            for span in &spans {
                assert!(span.span_context.is_valid(), "{span:?}");
                assert!(span.start_time >= SystemTime::from(from), "{span:?}");
                assert!(span.end_time <= SystemTime::from(to), "{span:?}");
                assert!(span.start_time <= span.end_time, "{span:?}");
            }
            for span in &spans[1..] {
                assert_eq!(span.parent_span_id, root.span_context.span_id());
            }
            let unique: std::collections::HashSet<_> = ids(&spans).into_iter().collect();
            assert_eq!(unique.len(), spans.len(), "{name}");
        }
    }

    #[test]
    fn told_again_it_is_the_same_trace_and_another_installation_has_another() {
        let history = frozen("at_the_checklist");
        let told = ids(&spans("web-1", &history));
        assert_eq!(told, ids(&spans("web-1", &history)));
        let later = history.records().iter().map(|record| Record {
            at: record.at + chrono::TimeDelta::seconds(1),
            ..record.as_ref().clone()
        });
        let other = ids(&spans("web-1", &later.collect()));
        assert_ne!(told[0], other[0]);
        assert_ne!(told[0].0, ids(&spans("web-2", &history))[0].0);
    }
}
