//! All sagas of a process: starts them, recovers them after a restart, takes decisions, and lets one project run one at a time.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::metrics;

use super::clock::Clock;
use super::history::History;
use super::journal::{Actor, AppendError, Event, Journal, Outcome};
use super::retry::RetryPolicy;
use super::run::{self, Checkpoint, Core, Saga, Stop, Undecidable, choice};
use super::step::Registry;
use super::store::{Op, Store, StoreError};

/// What sagas do: the code behind the journal.
pub trait Workflow: Send + Sync + 'static {
    /// Everything a step may touch.
    type World: Send + Sync + 'static;
    /// Counted up when a journal of the previous code would be misread.
    const VERSION: u32;

    /// The world of one saga, from its journaled input; an error is shown to people, who can try again.
    fn world(&self, saga: &str, input: &Value) -> Result<Arc<Self::World>, String>;
    /// How to take steps back.
    fn registry(&self) -> &Registry<Self::World>;
    /// When people are reminded of what the engine asks by itself: what becomes of a step that has failed, or of the saga.
    fn remind_after(&self, _input: &Value) -> Option<Duration> {
        None
    }
    /// Forward.
    fn run(&self, saga: &Saga<Self::World>, input: &Value) -> impl Future<Output = Result<(), Stop>> + Send;
    /// What remains to be done once a person has stopped it after the pivot.
    fn wind_down(&self, saga: &Saga<Self::World>, input: &Value) -> impl Future<Output = Result<(), Stop>> + Send;
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The project has one running: its id.
    #[error("{0} is running")]
    Running(String),
    /// This request was taken before.
    #[error("taken before")]
    Seen,
    /// An expectation in `also` did not hold: look again.
    #[error("something changed meanwhile")]
    Changed,
    /// The process is ending.
    #[error("Shipmate is shutting down")]
    Draining,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// Why an abort was refused.
#[derive(Debug, PartialEq)]
pub enum TooLate {
    /// The pivot was journaled first.
    PastPivot,
    /// It is being undone already.
    Unwinding,
    /// It has ended.
    Finished,
}

impl TooLate {
    /// Why nothing of a saga can be undone by now; `None` while it can.
    pub fn of(history: &History) -> Option<Self> {
        if history.outcome().is_some() {
            Some(Self::Finished)
        } else if history.unwinding().is_some() || history.abort().is_some() {
            Some(Self::Unwinding)
        } else if history.pivot_started() {
            Some(Self::PastPivot)
        } else {
            None
        }
    }
}

struct Handle {
    journal: Journal,
    wake: Arc<Notify>,
    project: String,
    /// A task runs it.
    driven: bool,
}

/// All sagas of a process. Clones share it.
pub struct Engine<F> {
    inner: Arc<Inner<F>>,
}

impl<F> Clone for Engine<F> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

struct Inner<F> {
    workflow: F,
    store: Arc<dyn Store>,
    clock: Clock,
    retry: RetryPolicy,
    drain: CancellationToken,
    tasks: TaskTracker,
    sagas: Mutex<HashMap<String, Handle>>,
    /// One start at a time, so that ids count up without holes.
    starting: tokio::sync::Mutex<()>,
    changes: broadcast::Sender<String>,
    fatal: watch::Sender<Option<StoreError>>,
}

/// How many changes a slow listener may be behind before it has to look at everything again.
const CHANGES_KEPT: usize = 1024;

impl<F: Workflow> Engine<F> {
    /// An engine that runs nothing yet.
    pub fn new(workflow: F, store: Arc<dyn Store>, clock: Clock, retry: RetryPolicy) -> Self {
        Self {
            inner: Arc::new(Inner {
                workflow,
                store,
                clock,
                retry,
                drain: CancellationToken::new(),
                tasks: TaskTracker::new(),
                sagas: Mutex::default(),
                starting: tokio::sync::Mutex::default(),
                changes: broadcast::Sender::new(CHANGES_KEPT),
                fatal: watch::Sender::new(None),
            }),
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// The code.
    pub fn workflow(&self) -> &F {
        &self.inner.workflow
    }

    /// Ids of sagas whose journal has grown.
    pub fn changes(&self) -> broadcast::Receiver<String> {
        self.inner.changes.subscribe()
    }

    /// Set once the store has failed: the process must end, and the next start goes on.
    pub fn fatal(&self) -> watch::Receiver<Option<StoreError>> {
        self.inner.fatal.subscribe()
    }

    fn sagas(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        self.inner.sagas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with everything that was running when the last process ended; answers with the ids.
    ///
    /// # Errors
    /// If a journal can't be read.
    pub fn recover(&self) -> Result<Vec<String>, StoreError> {
        let mut recovered = Vec::new();
        for id in self.all_running()? {
            let records = self.inner.store.load(&id)?;
            if records.is_empty() {
                return Err(StoreError::Damaged(format!(
                    "deployment {id} holds its project's lock but has no journal; restore it with `shipmate import`"
                )));
            }
            self.spawn(Journal::new(
                &id,
                self.inner.store.clone(),
                self.inner.clock.clone(),
                records,
            ));
            recovered.push(id);
        }
        Ok(recovered)
    }

    /// Starts a saga for a project: durably, and only if none runs. `also` goes into the same commit.
    ///
    /// # Errors
    /// [`StartError::Running`] if one runs, [`StartError::Seen`] if a claim in `also` was taken, [`StartError::Changed`] if an
    /// expectation in it did not hold.
    pub async fn start(&self, project: &str, by: Actor, input: Value, also: Vec<Op>) -> Result<String, StartError> {
        let (engine, project) = (self.clone(), project.to_owned());
        // In a task of its own: a caller that hangs up must not leave behind a journaled saga that nobody runs.
        let starting = tokio::spawn(async move { engine.start_now(&project, by, input, also).await });
        let cut_off = |error| StoreError::Failed(format!("the start was cut off: {error}"));
        starting
            .await
            .unwrap_or_else(|error| Err(StartError::Store(cut_off(error))))
    }

    async fn start_now(&self, project: &str, by: Actor, input: Value, also: Vec<Op>) -> Result<String, StartError> {
        if self.inner.drain.is_cancelled() {
            return Err(StartError::Draining);
        }
        let _one_at_a_time = self.inner.starting.lock().await;
        let counter = format!("count/{project}");
        let number = self.inner.store.get(&counter).map_err(StartError::Store)?;
        let number = number.and_then(|value| value.as_u64()).unwrap_or(0) + 1;
        let id = numbered(project, number);
        let journal = Journal::new(&id, self.inner.store.clone(), self.inner.clock.clone(), Vec::new());
        let mut ops = also;
        ops.push(Op::Claim {
            key: lock(project),
            value: json!(id),
        });
        ops.push(Op::Put {
            key: counter,
            value: json!(number),
        });
        let started = Event::SagaStarted {
            workflow_version: F::VERSION,
            project: project.to_owned(),
            by,
            input,
        };
        match journal.append_if(ops, |_| Ok::<_, ()>(started)).await {
            Ok(()) => {}
            Err(AppendError::Store(StoreError::Taken { key, value })) if key == lock(project) => {
                return Err(StartError::Running(value.as_str().unwrap_or_default().to_owned()));
            }
            Err(AppendError::Store(StoreError::Taken { .. }) | AppendError::Refused(())) => {
                return Err(StartError::Seen);
            }
            Err(AppendError::Store(StoreError::Changed { .. })) => return Err(StartError::Changed),
            Err(AppendError::Store(error)) => {
                self.fail(&error);
                return Err(StartError::Store(error));
            }
        }
        self.spawn(journal);
        Ok(id)
    }

    fn spawn(&self, journal: Journal) {
        let handle = self.with_handle(journal, |handle| {
            let driven = std::mem::replace(&mut handle.driven, true);
            (!driven).then(|| (handle.journal.clone(), handle.wake.clone()))
        });
        let Some((journal, wake)) = handle else {
            return;
        };
        let _ = self.inner.changes.send(journal.id().to_owned());
        self.inner.tasks.spawn(self.clone().announce(journal.clone()));
        let input = started(&journal.history()).ok().map(|(_, input)| input);
        let core = Core {
            journal,
            wake,
            drain: self.inner.drain.clone(),
            retry: self.inner.retry,
            remind_after: input.and_then(|input| self.inner.workflow.remind_after(&input)),
        };
        let engine = self.clone();
        let span = tracing::error_span!("deployment", deployment = core.journal.id());
        let driving = async move {
            if let Err(error) = engine.take_over(core).await {
                engine.fail(&error);
            }
        };
        self.inner.tasks.spawn(driving.instrument(span));
    }

    /// The one handle of a saga; made from `journal` if there is none. Two journals of one saga would be two writers.
    fn with_handle<T>(&self, journal: Journal, then: impl FnOnce(&mut Handle) -> T) -> T {
        let mut sagas = self.sagas();
        let handle = sagas.entry(journal.id().to_owned()).or_insert_with(|| Handle {
            wake: Arc::default(),
            project: project(&journal.history()),
            driven: false,
            journal,
        });
        then(handle)
    }

    /// Passes a journal's growth on until the saga has ended.
    async fn announce(self, journal: Journal) {
        let mut length = journal.watch();
        loop {
            tokio::select! {
                biased;
                changed = length.changed() => if changed.is_err() { return },
                () = self.inner.drain.cancelled() => return,
            }
            let _ = self.inner.changes.send(journal.id().to_owned());
            if journal.history().outcome().is_some() {
                return;
            }
        }
    }

    /// Ends the process as a failed commit of a saga does: for whoever else writes to the store.
    pub fn store_failed(&self, error: &StoreError) {
        self.fail(error);
    }

    fn fail(&self, error: &StoreError) {
        tracing::error!(%error, "the store has failed; stopping");
        self.inner.fatal.send_if_modified(|fatal| {
            let first = fatal.is_none();
            fatal.get_or_insert_with(|| error.clone());
            first
        });
        self.inner.drain.cancel();
    }

    /// One saga that another process may have begun: that is journaled together with whatever happens next, so that starting costs no commit
    /// and a process that starts again and again writes nothing.
    async fn take_over(&self, core: Core) -> Result<(), StoreError> {
        let is_known = |event: &Event| matches!(event, Event::SagaStarted { .. } | Event::SagaRecovered { .. });
        let last = core.journal.history().records().last().cloned();
        if last.is_some_and(|last| !is_known(&last.event)) {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            core.journal.append_with_next(Event::SagaRecovered { version }).await;
        }
        self.drive(core).await
    }

    /// One saga, to its end or the process's.
    async fn drive(&self, core: Core) -> Result<(), StoreError> {
        loop {
            let aborted = core.journal.history().aborted();
            let problem = match self.answered_and_advanced(&core).await {
                Ok(outcome) => match self.finish(&core.journal, outcome).await? {
                    Finish::Done => return Ok(()),
                    Finish::AbortedFirst => continue,
                },
                Err(Stop::Store(error)) => return Err(error),
                Err(stop) => stop,
            };
            core.journal.flush().await?;
            if let Some(error) = core.journal.failed() {
                return Err(error.clone());
            }
            if matches!(problem, Stop::Suspended) && self.inner.drain.is_cancelled() {
                return Ok(());
            }
            tracing::error!(error = %problem, "can't go on by itself");
            match self.ask(&core, &problem, aborted).await {
                Ok(()) => {}
                Err(Stop::Store(error)) => return Err(error),
                Err(_) => return Ok(()),
            }
        }
    }

    async fn answered_and_advanced(&self, core: &Core) -> Result<Outcome, Stop> {
        if let Some(question) = open_problem(&core.journal.history()) {
            let saga = Saga::new(Arc::new(()), core.clone());
            match saga.decided(&question).await {
                Ok(_) | Err(Stop::Aborted) => {}
                Err(stop) => return Err(stop),
            }
        }
        let advanced = AssertUnwindSafe(self.advance(core)).catch_unwind().await;
        advanced.unwrap_or_else(|_| {
            Err(Stop::Drift(
                "Shipmate met a bug in itself; its log has the details".to_owned(),
            ))
        })
    }

    /// Runs, unwinds or winds down, as the journal says.
    async fn advance(&self, core: &Core) -> Result<Outcome, Stop> {
        let history = core.journal.history();
        let (version, input) = started(&history)?;
        if let Some(outcome) = history.outcome() {
            return Ok(outcome);
        }
        let workflow = &self.inner.workflow;
        let world = workflow.world(core.journal.id(), &input).map_err(Stop::Drift)?;
        let saga = Saga::new(world, core.clone());
        if let Some(reason) = history.unwinding() {
            return self.unwind(&saga, reason).await;
        }
        // An abort needs the journal alone: it works where the workflow can't go on.
        if history.aborted() {
            return self.unwind(&saga, &reason(&history, &Stop::Aborted)).await;
        }
        if answered(&history, choice::UNDO) {
            return self.unwind(&saga, "a person chose to undo it").await;
        }
        if answered(&history, choice::STOP) {
            workflow.wind_down(&saga, &input).await?;
            return Ok(Outcome::Stopped);
        }
        if version != F::VERSION && !accepted(&history, F::VERSION) {
            return Err(Stop::Drift(format!(
                "it was started by workflow version {version} and this Shipmate runs version {}; go on only if its release notes say that this is safe",
                F::VERSION
            )));
        }
        // Nobody else may hold a history for long: the journal would copy it at each append.
        drop(history);
        let Err(stop) = workflow.run(&saga, &input).await else {
            return Ok(Outcome::Completed);
        };
        // What has been done so far decides which way it goes from here.
        core.journal.flush().await?;
        let history = saga.history();
        match stop {
            Stop::Stopped { .. } => {
                workflow.wind_down(&saga, &input).await?;
                Ok(Outcome::Stopped)
            }
            Stop::Failed { .. } | Stop::Ended(_) | Stop::Aborted if !history.past_pivot() => {
                self.unwind(&saga, &reason(&history, &stop)).await
            }
            other => Err(other),
        }
    }

    async fn unwind(&self, saga: &Saga<F::World>, reason: &str) -> Result<Outcome, Stop> {
        saga.unwind(self.inner.workflow.registry(), reason).await?;
        Ok(Outcome::Undone)
    }

    /// Puts a problem that the machine can't judge to a person; unless somebody asked to undo everything since it was met (`aborted`: before),
    /// which answers it.
    async fn ask(&self, core: &Core, problem: &Stop, aborted: bool) -> Result<(), Stop> {
        let history = core.journal.history();
        if open_problem(&history).is_some() {
            return Ok(());
        }
        let way_out = match history.pivot_started() {
            true => choice::STOP,
            false => choice::UNDO,
        };
        let question = Checkpoint {
            data: json!({ "error": problem.to_string(), "workflow_version": F::VERSION }),
            choices: vec![choice::RETRY, way_out],
            remind_after: core.remind_after,
            ..Checkpoint::default()
        };
        let event = question.opened(&history.next_problem(), core.journal.clock().now());
        drop(history);
        let asked = core
            .journal
            .append_if(Vec::new(), |history| match history.aborted() && !aborted {
                true => Err(()),
                false => Ok(event),
            });
        match asked.await {
            Ok(()) | Err(AppendError::Refused(())) => Ok(()),
            Err(AppendError::Store(error)) => Err(error.into()),
        }
    }

    /// The last event, and the project is free, in one commit; unless an abort was journaled first.
    async fn finish(&self, journal: &Journal, outcome: Outcome) -> Result<Finish, StoreError> {
        let history = journal.history();
        if history.outcome().is_none() {
            let key = lock(&project(&history));
            drop(history);
            let unlock = vec![Op::Delete { key }];
            let finished = journal.append_if(unlock, |history| {
                match outcome == Outcome::Completed && history.aborted() {
                    true => Err(Finish::AbortedFirst),
                    false => Ok(Event::SagaFinished { outcome }),
                }
            });
            match finished.await {
                Ok(()) => count(&journal.history(), outcome),
                Err(AppendError::Store(error)) => return Err(error),
                Err(AppendError::Refused(aborted)) => return Ok(aborted),
            }
        }
        tracing::info!(?outcome, "finished");
        Ok(Finish::Done)
    }

    /// Everything that happened in a saga, also if it has left the store: to look at, for nothing can be added to an archived journal.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn recall(&self, id: &str) -> Result<Option<Arc<History>>, StoreError> {
        if let Some(journal) = self.journal(id)? {
            return Ok(Some(journal.history()));
        }
        let records = self.inner.store.archived(id)?;
        let history: History = records.into_iter().collect();
        Ok((!history.is_empty()).then(|| Arc::new(history)))
    }

    /// The journal of a saga, running or ended; `None` if there is none in the store.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn journal(&self, id: &str) -> Result<Option<Journal>, StoreError> {
        if let Some(handle) = self.sagas().get(id) {
            return Ok(Some(handle.journal.clone()));
        }
        let records = self.inner.store.load(id)?;
        if records.is_empty() {
            return Ok(None);
        }
        let (store, clock) = (self.inner.store.clone(), self.inner.clock.clone());
        let journal = Journal::new(id, store, clock, records);
        Ok(Some(match journal.history().outcome() {
            Some(_) => journal,
            None => self.with_handle(journal, |handle| handle.journal.clone()),
        }))
    }

    /// The saga that holds a project's lock.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn running(&self, project: &str) -> Result<Option<Journal>, StoreError> {
        match self.inner.store.get(&lock(project))? {
            Some(Value::String(id)) => self.journal(&id),
            _ => Ok(None),
        }
    }

    /// The ids of all sagas that hold their project's lock.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn all_running(&self) -> Result<Vec<String>, StoreError> {
        let locks = self.inner.store.scan(LOCK)?.into_iter();
        Ok(locks.filter_map(|(_, id)| id.as_str().map(str::to_owned)).collect())
    }

    /// Decides a checkpoint; the first decision wins.
    ///
    /// # Errors
    /// Why it wasn't taken.
    pub async fn decide(
        &self,
        journal: &Journal,
        key: &str,
        choice: &str,
        by: Actor,
        payload: Value,
        also: Vec<Op>,
    ) -> Result<(), AppendError<Undecidable>> {
        self.noticed(run::decide(journal, key, choice, by, payload, also).await)
    }

    /// A store that fails under a person's click ends the process as one that fails under a step.
    fn noticed<R>(&self, appended: Result<(), AppendError<R>>) -> Result<(), AppendError<R>> {
        if let Err(AppendError::Store(error)) = &appended
            && !error.is_refusal()
        {
            self.fail(error);
        }
        appended
    }

    /// Notes something that a person did about an open checkpoint: a tick, a vote.
    ///
    /// # Errors
    /// If it isn't open.
    pub async fn signal(
        &self,
        journal: &Journal,
        key: &str,
        by: Actor,
        value: Value,
        also: Vec<Op>,
    ) -> Result<(), AppendError<Undecidable>> {
        let event = Event::Signalled {
            key: key.to_owned(),
            by,
            value,
        };
        let appended = journal
            .append_if(also, |history| {
                let state = history.checkpoint(key).ok_or(Undecidable::NotOpen)?;
                match &state.decided {
                    Some(decided) => Err(Undecidable::Decided(decided.clone())),
                    None if !history.takes_decisions(state) => Err(Undecidable::NotOpen),
                    None => Ok(event),
                }
            })
            .await;
        self.noticed(appended)
    }

    /// Asks to undo everything; refused once the pivot is journaled.
    ///
    /// # Errors
    /// Why it is too late.
    pub async fn abort(
        &self,
        journal: &Journal,
        by: Actor,
        reason: Option<String>,
        also: Vec<Op>,
    ) -> Result<(), AppendError<TooLate>> {
        let appended = journal
            .append_if(also, |history| match TooLate::of(history) {
                Some(why) => Err(why),
                None => Ok(Event::AbortRequested { by, reason }),
            })
            .await;
        self.noticed(appended)
    }

    /// Tells the waits of a project's running sagas to look again.
    pub fn wake(&self, project: &str) {
        for handle in self.sagas().values().filter(|handle| handle.project == project) {
            handle.wake.notify_waiters();
            // Whoever is looking at this moment may look too early: it looks once more.
            handle.wake.notify_one();
        }
    }

    /// Forgets ended sagas' handles and takes ended journals out of the store, but for the newest `keep` of each project.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn retire(&self, keep: usize) -> Result<(), StoreError> {
        self.sagas()
            .retain(|_, handle| handle.journal.history().outcome().is_none());
        let mut ended: HashMap<Option<String>, usize> = HashMap::new();
        // Newest first: one that has only just started may not have its handle yet.
        for head in self.inner.store.heads().into_iter().rev() {
            if self.sagas().contains_key(&head.saga) {
                continue;
            }
            let ended = ended.entry(project_of(&head.saga).map(str::to_owned)).or_default();
            *ended += 1;
            if *ended > keep {
                self.inner.store.retire(&head.saga).await?;
            }
        }
        Ok(())
    }

    /// Stops taking starts and suspends every saga at its next journal boundary. Resolves when all have, or when `limit` passes: what is
    /// cut off then is in doubt, and looked for at the next start.
    pub async fn drain(&self, limit: Duration) {
        self.inner.drain.cancel();
        self.inner.tasks.close();
        if tokio::time::timeout(limit, self.inner.tasks.wait()).await.is_err() {
            tracing::warn!("some steps did not end in time; the next start looks for what they did");
        }
    }
}

const LOCK: &str = "lock/";
enum Finish {
    Done,
    AbortedFirst,
}

fn lock(project: &str) -> String {
    format!("{LOCK}{project}")
}

/// The id of a project's n-th saga.
fn numbered(project: &str, number: u64) -> String {
    format!("{project}-{number}")
}

/// The project of a saga by its id, where a whole journal would have to be read for it.
pub fn project_of(id: &str) -> Option<&str> {
    id.rsplit_once('-').map(|(project, _)| project)
}

/// The question about the saga itself that waits for a person now.
fn open_problem(history: &History) -> Option<String> {
    let open = history.problems().find(|state| state.decided.is_none())?;
    Some(open.key.clone())
}

/// Whether a person has ever answered a question about the saga itself so; there is no way back from undoing and stopping.
fn answered(history: &History, choice: &str) -> bool {
    history.problems().any(|state| state.choice() == Some(choice))
}

/// Whether a person has told this version of the workflow to go on.
fn accepted(history: &History, version: u32) -> bool {
    history
        .problems()
        .any(|state| state.choice() == Some(choice::RETRY) && state.data["workflow_version"] == version)
}

/// The version of the workflow and the input it was started with.
fn started(history: &History) -> Result<(u32, Value), Stop> {
    match history.start().map(|record| &record.event) {
        Some(Event::SagaStarted {
            workflow_version,
            input,
            ..
        }) => Ok((*workflow_version, input.clone())),
        _ => Err(Stop::Drift("the journal doesn't begin with its start".to_owned())),
    }
}

fn project(history: &History) -> String {
    match history.start().map(|record| &record.event) {
        Some(Event::SagaStarted { project, .. }) => project.clone(),
        _ => String::new(),
    }
}

/// Counts a saga that has ended, by its own clock.
fn count(history: &History, outcome: Outcome) {
    let end = match outcome {
        Outcome::Completed => "completed",
        Outcome::Undone => "undone",
        Outcome::Stopped => "stopped",
    };
    let began = history.start().map(|record| record.at);
    let ended = history.records().last().map(|record| record.at);
    let took = began
        .zip(ended)
        .and_then(|(began, ended)| (ended - began).to_std().ok());
    metrics::deployment_ended(&project(history), end, took.unwrap_or_default());
}

/// Why it is undone, in one sentence for people.
fn reason(history: &History, stop: &Stop) -> String {
    match (stop, history.abort()) {
        (Stop::Aborted, Some((_, Some(reason)))) => format!("aborted: {reason}"),
        (stop, _) => stop.to_string(),
    }
}
