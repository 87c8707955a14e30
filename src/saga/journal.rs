//! The journal of one saga: an append-only list of events, durable one by one, and the handle through which all appends go.
//!
//! A handle is the only writer of its saga in this process (the store's lock keeps other processes out), so conditions such as
//! "nobody has decided yet" are checked and appended under one lock.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{OwnedMutexGuard, watch};

use super::clock::Clock;
use super::history::History;
use super::store::{Op, Store, StoreError};
use crate::requests::Request;

/// Version of the events' shape; a journal of a later one is refused, never misread. 2 added `saga_recovered`, `step_suspended` and the
/// requests of an attempt.
pub const SCHEMA: u32 = 2;

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 0.
    pub seq: u64,
    /// When it was appended.
    pub at: DateTime<Utc>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A Slack user id.
    Slack(String),
    /// A name given at the command line or on the dashboard.
    Local(String),
    /// A deadline passed.
    Deadline,
    /// Shipmate itself.
    Shipmate,
}

/// What happened, in the past tense. Names outlive renames of types: they are in journals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first event: everything that the workflow may branch on comes from here.
    SagaStarted {
        /// Version of the workflow's code.
        workflow_version: u32,
        /// What it is for; one saga a project runs at a time.
        project: String,
        /// Who asked for it.
        by: Actor,
        /// The request and a snapshot of the configuration.
        input: Value,
    },
    /// The process that ran it has ended, and another goes on.
    SagaRecovered {
        /// Which Shipmate that is.
        version: String,
    },
    /// The intent: durable before the step acts.
    StepStarted {
        /// Its place in this run.
        key: String,
        /// Its code's stable name.
        kind: String,
        /// What unwinding does with it.
        effect: Effect,
        /// The step itself, as a value.
        input: Value,
        /// Counts from 1.
        attempt: u32,
    },
    /// Something to show while a step runs; the last one counts.
    StepProgressed {
        /// The step.
        key: String,
        /// Its own words.
        progress: Value,
    },
    /// The outcome: durable before the next step acts.
    StepCompleted {
        /// The step.
        key: String,
        /// What it answers on replay.
        output: Value,
        /// It had happened before this attempt: found by looking.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        observed: bool,
        /// What this attempt asked of other systems.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        requests: Vec<Request>,
    },
    /// An attempt that failed.
    StepFailed {
        /// The step.
        key: String,
        /// One sentence for people.
        error: String,
        /// When it is tried again by itself; `None`: it isn't.
        retry_at: Option<DateTime<Utc>>,
        /// What this attempt asked of other systems.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        requests: Vec<Request>,
    },
    /// The process ended in the middle of an attempt (or of taking the step back) that had asked something of other systems. Only a note: the
    /// step is in doubt with it or without.
    StepSuspended {
        /// The step.
        key: String,
        /// What it had asked.
        requests: Vec<Request>,
    },
    /// A person chose to go on without it.
    StepSkipped {
        /// The step.
        key: String,
    },
    /// A durable wait for a person.
    CheckpointOpened {
        /// Its place in this run.
        key: String,
        /// What people are shown.
        data: Value,
        /// What they may choose.
        choices: Vec<String>,
        /// When it decides itself.
        deadline: Option<DateTime<Utc>>,
        /// And what for.
        on_expiry: Option<String>,
        /// When a reminder is due first; later ones grow apart.
        remind_after_s: Option<u64>,
    },
    /// The first decision; there is never a second.
    CheckpointDecided {
        /// The checkpoint.
        key: String,
        /// One of its choices.
        choice: String,
        /// Who.
        by: Actor,
        /// What came with it: the edited list, the plan's digest.
        #[serde(default)]
        payload: Value,
    },
    /// Something a person did that isn't a decision: a tick, a vote, a nudge.
    Signalled {
        /// What it is about.
        key: String,
        /// Who.
        by: Actor,
        /// What.
        value: Value,
    },
    /// A person tried what they may not.
    Refused {
        /// Who.
        by: Actor,
        /// What they tried.
        what: String,
        /// Why not.
        why: String,
    },
    /// A person asked to undo everything; only before the pivot.
    AbortRequested {
        /// Who.
        by: Actor,
        /// In their words.
        reason: Option<String>,
    },
    /// From here on only backwards.
    UnwindStarted {
        /// One sentence.
        reason: String,
    },
    /// The intent to take a step back.
    CompensationStarted {
        /// The step.
        key: String,
    },
    /// It is taken back.
    CompensationCompleted {
        /// The step.
        key: String,
        /// What was read back from the world, line by line.
        receipt: Vec<String>,
        /// What it asked of other systems, failed tries included.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        requests: Vec<Request>,
    },
    /// It could not be taken back; the others still are.
    CompensationFailed {
        /// The step.
        key: String,
        /// One sentence.
        error: String,
        /// What it asked of other systems.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        requests: Vec<Request>,
    },
    /// The last event.
    SagaFinished {
        /// How.
        outcome: Outcome,
    },
}

impl Event {
    /// What was asked of other systems until then.
    pub fn requests(&self) -> &[Request] {
        match self {
            Self::StepCompleted { requests, .. }
            | Self::StepFailed { requests, .. }
            | Self::StepSuspended { requests, .. }
            | Self::CompensationCompleted { requests, .. }
            | Self::CompensationFailed { requests, .. } => requests,
            _ => &[],
        }
    }
}

/// How the saga called a step; journaled, because unwinding depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Looks or waits.
    Read,
    /// Can be taken back.
    Compensable,
    /// Can't, and once done nothing before it can.
    Pivot,
    /// Comes after the pivot.
    Forward,
}

/// How a saga ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was done.
    Completed,
    /// Everything was taken back.
    Undone,
    /// A person chose to stop after the pivot.
    Stopped,
}

/// Why a conditional append was refused.
#[derive(Debug, thiserror::Error)]
pub enum AppendError<R> {
    /// The condition said no.
    #[error("refused")]
    Refused(R),
    /// The store failed: the process must stop.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The handle of one saga's journal. Clones share it.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    id: String,
    store: Arc<dyn Store>,
    clock: Clock,
    /// Appends go one at a time; holds events that wait for the next append to share its commit.
    writer: Arc<tokio::sync::Mutex<Vec<Record>>>,
    history: Mutex<Arc<History>>,
    length: watch::Sender<u64>,
    failed: OnceLock<StoreError>,
}

impl Journal {
    /// A journal as it stands in the store (empty for a new saga).
    pub fn new(id: &str, store: Arc<dyn Store>, clock: Clock, records: Vec<Record>) -> Self {
        let length = records.len() as u64;
        let history: History = records.into_iter().collect();
        Self {
            inner: Arc::new(Inner {
                id: id.to_owned(),
                store,
                clock,
                writer: Arc::default(),
                history: Mutex::new(Arc::new(history)),
                length: watch::Sender::new(length),
                failed: OnceLock::new(),
            }),
        }
    }

    /// The saga's id.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The clock that stamps events.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The fold of all durable events.
    pub fn history(&self) -> Arc<History> {
        self.current().clone()
    }

    fn current(&self) -> MutexGuard<'_, Arc<History>> {
        self.inner.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts durable events, for whoever waits for the next one.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.length.subscribe()
    }

    /// Appends, durably, unconditionally.
    pub async fn append(&self, event: Event) -> Result<(), StoreError> {
        let appended = self
            .append_if(Vec::new(), |_| Ok::<_, std::convert::Infallible>(event))
            .await;
        appended.map_err(|error| match error {
            AppendError::Store(error) => error,
            AppendError::Refused(never) => match never {},
        })
    }

    /// Appends what `decide` answers after looking at the history, with nothing in between; `also` becomes durable in the same commit or
    /// not at all.
    pub async fn append_if<R>(
        &self,
        also: Vec<Op>,
        decide: impl FnOnce(&History) -> Result<Event, R>,
    ) -> Result<(), AppendError<R>> {
        let waiting = self.inner.writer.clone().lock_owned().await;
        let event = decide(&self.current()).map_err(AppendError::Refused)?;
        let record = self.record(self.next(&waiting), event);
        Ok(self.write(waiting, also, Some(record)).await?)
    }

    /// Appends together with the next event: for outcomes, which the next intent's commit makes durable in time.
    pub async fn append_with_next(&self, event: Event) {
        let mut waiting = self.inner.writer.lock().await;
        let record = self.record(self.next(&waiting), event);
        waiting.push(record);
    }

    /// Makes durable what waits for a next event that may not come.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let waiting = self.inner.writer.clone().lock_owned().await;
        if waiting.is_empty() {
            return Ok(());
        }
        self.write(waiting, Vec::new(), None).await
    }

    /// How the store failed, if it did: nothing can be journaled any more.
    pub fn failed(&self) -> Option<&StoreError> {
        self.inner.failed.get()
    }

    /// Runs in a task of its own: a caller that is dropped midway (a closed connection, an abort) must not leave memory behind the store.
    async fn write(
        &self,
        mut waiting: OwnedMutexGuard<Vec<Record>>,
        mut ops: Vec<Op>,
        last: Option<Record>,
    ) -> Result<(), StoreError> {
        let journal = self.clone();
        let written = tokio::spawn(async move {
            let records: Vec<Record> = waiting.iter().cloned().chain(last).collect();
            ops.push(Op::Append {
                saga: journal.inner.id.clone(),
                records: records.clone(),
            });
            // A refused commit leaves what waits waiting: its own preconditions were not the reason.
            journal.inner.store.commit(ops).await?;
            waiting.clear();
            journal.fold(records);
            Ok(())
        });
        let written = written
            .await
            .unwrap_or_else(|error| Err(StoreError::Failed(format!("the journal's commit was cut off: {error}"))));
        if let Err(error) = &written
            && !error.is_refusal()
        {
            let _ = self.inner.failed.set(error.clone());
        }
        written
    }

    fn fold(&self, records: Vec<Record>) {
        let mut current = self.current();
        let history = Arc::unwrap_or_clone(std::mem::take(&mut *current));
        *current = Arc::new(records.into_iter().fold(history, History::with));
        let length = current.len();
        drop(current);
        self.inner.length.send_replace(length);
    }

    fn next(&self, waiting: &[Record]) -> u64 {
        self.current().len() + waiting.len() as u64
    }

    fn record(&self, seq: u64, event: Event) -> Record {
        Record {
            seq,
            at: self.inner.clock.now(),
            event,
        }
    }

    /// Waits until the history shows what `look` is after.
    pub async fn wait_for<T>(&self, look: impl Fn(&History) -> Option<T>) -> T {
        let mut length = self.watch();
        loop {
            length.mark_unchanged();
            if let Some(found) = look(&self.history()) {
                return found;
            }
            // The sender lives in `self`.
            let _ = length.changed().await;
        }
    }
}
