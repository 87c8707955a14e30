//! The fold of a journal: what has been started, done, decided. The engine decides by it; views for people are made from it, too.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::journal::{Actor, Effect, Event, Outcome, Record};

/// Questions about the saga itself stand under keys that begin so: they stay open while everything else has to wait or is being undone.
const PROBLEM: &str = "attention/saga/";

/// A saga so far. Built event by event; cheap to clone records are shared.
#[derive(Clone, Debug, Default)]
pub struct History {
    records: Vec<Arc<Record>>,
    steps: Vec<StepState>,
    step_index: HashMap<String, usize>,
    checkpoints: Vec<CheckpointState>,
    checkpoint_index: HashMap<String, usize>,
    abort: Option<(Actor, Option<String>)>,
    unwinding: Option<String>,
    outcome: Option<Outcome>,
}

/// One step so far.
#[derive(Clone, Debug)]
pub struct StepState {
    /// Its place in this run.
    pub key: String,
    /// Its code's stable name.
    pub kind: String,
    /// How it was called.
    pub effect: Effect,
    /// The step as a value.
    pub input: Value,
    /// How many attempts were started.
    pub attempts: u32,
    /// How many attempts have failed since the first, or since it last failed for good: the budget already spent.
    pub failures: u32,
    /// How often it has failed for good: each time a person is asked, or everything is undone.
    pub given_up: u32,
    /// When the first attempt was started.
    pub first_started: DateTime<Utc>,
    /// When the present round began, with its first attempt; `None` between a failure for good and the next try. Deadlines count from here,
    /// so that whoever presses *Retry* after a wait that took too long gets the whole wait again.
    pub round_began: Option<DateTime<Utc>>,
    /// When the last event about it came.
    pub last_event: DateTime<Utc>,
    /// The last progress.
    pub progress: Option<Value>,
    /// Where it stands.
    pub phase: StepPhase,
    /// What taking it back found, if it was.
    pub compensation: Compensation,
}

/// Where a step stands.
#[derive(Clone, Debug, PartialEq)]
pub enum StepPhase {
    /// Started, no outcome: running now, or in doubt after a crash.
    Started,
    /// Failed; tried again at this time, if at all.
    Failed {
        /// One sentence.
        error: String,
        /// When it is tried again by itself.
        retry_at: Option<DateTime<Utc>>,
    },
    /// Done.
    Completed(Value),
    /// Left out by a person.
    Skipped,
}

/// Where taking a step back stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Compensation {
    /// Not begun.
    #[default]
    None,
    /// Begun.
    Started,
    /// Done, with what was read back.
    Completed(Vec<String>),
    /// Given up.
    Failed(String),
}

/// One checkpoint so far.
#[derive(Clone, Debug)]
pub struct CheckpointState {
    /// Its place in this run.
    pub key: String,
    /// What people are shown.
    pub data: Value,
    /// What they may choose.
    pub choices: Vec<String>,
    /// When it opened.
    pub opened: DateTime<Utc>,
    /// When it decides itself.
    pub deadline: Option<DateTime<Utc>>,
    /// And what for.
    pub on_expiry: Option<String>,
    /// Seconds to the first reminder.
    pub remind_after_s: Option<u64>,
    /// Votes, ticks, nudges: who, what, when.
    pub signals: Vec<(Actor, Value, DateTime<Utc>)>,
    /// The decision, once made.
    pub decided: Option<Decided>,
}

/// A decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// What.
    pub choice: String,
    /// Who.
    pub by: Actor,
    /// When.
    pub at: DateTime<Utc>,
    /// What came with it.
    pub payload: Value,
}

impl CheckpointState {
    /// It is about the saga itself, not a part of its workflow.
    pub fn is_problem(&self) -> bool {
        self.key.starts_with(PROBLEM)
    }

    /// What it was decided for.
    pub fn choice(&self) -> Option<&str> {
        self.decided.as_ref().map(|decided| decided.choice.as_str())
    }
}

impl FromIterator<Record> for History {
    fn from_iter<R: IntoIterator<Item = Record>>(records: R) -> Self {
        records.into_iter().fold(Self::default(), Self::with)
    }
}

#[cfg(test)]
impl History {
    /// Everything at one instant.
    pub fn at_once(events: impl IntoIterator<Item = Event>) -> Self {
        let record = |(seq, event): (usize, Event)| Record {
            seq: seq as u64,
            at: DateTime::UNIX_EPOCH,
            event,
        };
        events.into_iter().enumerate().map(record).collect()
    }
}

impl History {
    /// With one more event.
    #[must_use]
    pub fn with(mut self, record: Record) -> Self {
        self.apply(&record);
        self.records.push(Arc::new(record));
        self
    }

    fn apply(&mut self, record: &Record) {
        let at = record.at;
        match &record.event {
            Event::StepStarted {
                key,
                kind,
                effect,
                input,
                attempt,
            } => {
                if let Some(&index) = self.step_index.get(key) {
                    let step = &mut self.steps[index];
                    step.attempts = *attempt;
                    step.last_event = at;
                    step.round_began.get_or_insert(at);
                    step.phase = StepPhase::Started;
                } else {
                    self.step_index.insert(key.clone(), self.steps.len());
                    self.steps.push(StepState {
                        key: key.clone(),
                        kind: kind.clone(),
                        effect: *effect,
                        input: input.clone(),
                        attempts: *attempt,
                        failures: 0,
                        given_up: 0,
                        first_started: at,
                        round_began: Some(at),
                        last_event: at,
                        progress: None,
                        phase: StepPhase::Started,
                        compensation: Compensation::None,
                    });
                }
            }
            Event::StepProgressed { key, progress } => {
                self.update(key, at, |step| step.progress = Some(progress.clone()))
            }
            Event::StepCompleted { key, output, .. } => {
                self.update(key, at, |step| step.phase = StepPhase::Completed(output.clone()));
            }
            Event::StepFailed {
                key, error, retry_at, ..
            } => self.update(key, at, |step| {
                match retry_at {
                    Some(_) => step.failures += 1,
                    None => {
                        step.failures = 0;
                        step.given_up += 1;
                        step.round_began = None;
                    }
                }
                step.phase = StepPhase::Failed {
                    error: error.clone(),
                    retry_at: *retry_at,
                };
            }),
            Event::StepSkipped { key } => self.update(key, at, |step| step.phase = StepPhase::Skipped),
            Event::CheckpointOpened {
                key,
                data,
                choices,
                deadline,
                on_expiry,
                remind_after_s,
            } => {
                self.checkpoint_index.insert(key.clone(), self.checkpoints.len());
                self.checkpoints.push(CheckpointState {
                    key: key.clone(),
                    data: data.clone(),
                    choices: choices.clone(),
                    opened: at,
                    deadline: *deadline,
                    on_expiry: on_expiry.clone(),
                    remind_after_s: *remind_after_s,
                    signals: Vec::new(),
                    decided: None,
                });
            }
            Event::CheckpointDecided {
                key,
                choice,
                by,
                payload,
            } => {
                if let Some(checkpoint) = self.checkpoint_mut(key)
                    && checkpoint.decided.is_none()
                {
                    checkpoint.decided = Some(Decided {
                        choice: choice.clone(),
                        by: by.clone(),
                        at,
                        payload: payload.clone(),
                    });
                }
            }
            Event::Signalled { key, by, value } => {
                if let Some(checkpoint) = self.checkpoint_mut(key) {
                    checkpoint.signals.push((by.clone(), value.clone(), at));
                }
            }
            Event::AbortRequested { by, reason } => self.abort = Some((by.clone(), reason.clone())),
            Event::UnwindStarted { reason } => self.unwinding = Some(reason.clone()),
            Event::CompensationStarted { key } => {
                self.update(key, at, |step| step.compensation = Compensation::Started)
            }
            Event::CompensationCompleted { key, receipt, .. } => {
                self.update(key, at, |step| {
                    step.compensation = Compensation::Completed(receipt.clone())
                });
            }
            Event::CompensationFailed { key, error, .. } => {
                self.update(key, at, |step| step.compensation = Compensation::Failed(error.clone()));
            }
            Event::SagaFinished { outcome } => self.outcome = Some(*outcome),
            Event::SagaStarted { .. }
            | Event::SagaRecovered { .. }
            | Event::StepSuspended { .. }
            | Event::Refused { .. } => {}
        }
    }

    fn update(&mut self, key: &str, at: DateTime<Utc>, change: impl FnOnce(&mut StepState)) {
        if let Some(&index) = self.step_index.get(key) {
            self.steps[index].last_event = at;
            change(&mut self.steps[index]);
        }
    }

    fn checkpoint_mut(&mut self, key: &str) -> Option<&mut CheckpointState> {
        let index = *self.checkpoint_index.get(key)?;
        self.checkpoints.get_mut(index)
    }

    /// How many events there are; the next one's sequence number.
    pub fn len(&self) -> u64 {
        self.records.len() as u64
    }

    /// Whether nothing has happened at all.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// All events.
    pub fn records(&self) -> &[Arc<Record>] {
        &self.records
    }

    /// The first event.
    pub fn start(&self) -> Option<&Record> {
        self.records.first().map(Arc::as_ref)
    }

    /// Steps in the order in which they first started.
    pub fn steps(&self) -> &[StepState] {
        &self.steps
    }

    /// One step.
    pub fn step(&self, key: &str) -> Option<&StepState> {
        self.steps.get(*self.step_index.get(key)?)
    }

    /// Checkpoints in the order in which they opened.
    pub fn checkpoints(&self) -> &[CheckpointState] {
        &self.checkpoints
    }

    /// One checkpoint.
    pub fn checkpoint(&self, key: &str) -> Option<&CheckpointState> {
        self.checkpoints.get(*self.checkpoint_index.get(key)?)
    }

    /// Checkpoints that wait for a person now.
    pub fn open_checkpoints(&self) -> impl Iterator<Item = &CheckpointState> {
        self.checkpoints
            .iter()
            .filter(|checkpoint| checkpoint.decided.is_none() && self.takes_decisions(checkpoint))
    }

    /// Whether a decision of this checkpoint still counts.
    pub fn takes_decisions(&self, checkpoint: &CheckpointState) -> bool {
        let going_back = self.unwinding.is_some() || self.aborted();
        self.outcome.is_none() && (checkpoint.is_problem() || !going_back)
    }

    /// Questions about the saga itself, in the order in which they were asked.
    pub fn problems(&self) -> impl DoubleEndedIterator<Item = &CheckpointState> {
        self.checkpoints.iter().filter(|state| state.is_problem())
    }

    /// The key of the next question about the saga itself.
    pub fn next_problem(&self) -> String {
        format!("{PROBLEM}{}", self.problems().count() + 1)
    }

    /// Somebody asked to undo everything, in time.
    pub fn aborted(&self) -> bool {
        self.abort.is_some() && !self.past_pivot()
    }

    /// Who asked to undo everything, and why.
    pub fn abort(&self) -> Option<&(Actor, Option<String>)> {
        self.abort.as_ref()
    }

    /// Why it is going backwards, if it is.
    pub fn unwinding(&self) -> Option<&str> {
        self.unwinding.as_deref()
    }

    /// How it ended, if it did.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// A pivot is done. From here on only forward.
    pub fn past_pivot(&self) -> bool {
        self.steps
            .iter()
            .any(|step| step.effect == Effect::Pivot && matches!(step.phase, StepPhase::Completed(_)))
    }

    /// A pivot may have taken effect, or has: an abort comes too late.
    pub fn pivot_started(&self) -> bool {
        self.steps.iter().any(|step| step.effect == Effect::Pivot)
    }
}
