//! One saga going forward. Workflow code holds a [`Saga`] and reaches the world only through its steps.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::{Value, from_value, to_value};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::metrics;
use crate::requests;

use super::clock::delta;
use super::history::{CheckpointState, Decided, History, StepPhase};
use super::journal::{Actor, AppendError, Effect, Event, Journal};
use super::retry::RetryPolicy;
use super::step::{Compensate, Context, Step, StepError};
use super::store::StoreError;

/// Choices that the engine itself offers when a step fails after the pivot.
pub mod choice {
    /// Try again.
    pub const RETRY: &str = "retry";
    /// Go on without it.
    pub const SKIP: &str = "skip";
    /// End here.
    pub const STOP: &str = "stop";
    /// Take everything back; only before the pivot.
    pub const UNDO: &str = "undo";
}

/// Why the workflow function returned early.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stop {
    /// A step failed before the pivot, for good.
    #[error("{key} failed: {error}")]
    Failed {
        /// The step.
        key: String,
        /// One sentence.
        error: String,
    },
    /// The workflow itself ends it before the pivot: nothing to ship, a checkpoint said no.
    #[error("{0}")]
    Ended(String),
    /// A person asked to undo everything.
    #[error("aborted")]
    Aborted,
    /// A person chose to stop after the pivot.
    #[error("stopped after {key}")]
    Stopped {
        /// The step that had failed.
        key: String,
    },
    /// Journal and code disagree.
    #[error("{0}")]
    Drift(String),
    /// The process is ending; the saga goes on after the restart.
    #[error("suspended")]
    Suspended,
    /// The journal can't be written: the process must end.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a saga is made of besides its world.
#[derive(Clone)]
pub struct Core {
    /// Its journal.
    pub journal: Journal,
    /// Told when the world may have changed.
    pub wake: Arc<Notify>,
    /// Cancelled when the process ends.
    pub drain: CancellationToken,
    /// For every step.
    pub retry: RetryPolicy,
    /// When people are reminded of what is asked about a step that has failed.
    pub remind_after: Option<Duration>,
}

/// One saga. It can't reach the world but through a step.
pub struct Saga<W> {
    pub(super) world: Arc<W>,
    pub(super) core: Core,
}

/// A durable wait for a person.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    /// What people are shown.
    pub data: Value,
    /// What they may choose.
    pub choices: Vec<&'static str>,
    /// How long, and what is chosen then.
    pub expires: Option<(Duration, &'static str)>,
    /// When a reminder is due.
    pub remind_after: Option<Duration>,
    /// Decides as soon as what people signalled suffices: enough votes, all boxes ticked.
    pub settles: Option<Settles>,
}

impl Checkpoint {
    /// The event that opens it.
    pub(super) fn opened(self, key: &str, now: DateTime<Utc>) -> Event {
        Event::CheckpointOpened {
            key: key.to_owned(),
            data: self.data,
            choices: self.choices.iter().map(|&choice| choice.to_owned()).collect(),
            deadline: self.expires.map(|(after, _)| now + delta(after)),
            on_expiry: self.expires.map(|(_, choice)| choice.to_owned()),
            remind_after_s: self.remind_after.map(|after| after.as_secs()),
        }
    }
}

/// What signals add up to, once they suffice: a choice, and whose signal was the last that it took.
pub type Settles = fn(&CheckpointState) -> Option<(&'static str, Actor)>;

/// What was chosen.
pub type Decision = Decided;

/// What became of a step that people may skip.
#[derive(Debug)]
pub enum Skippable<T> {
    /// Done.
    Done(T),
    /// Left out.
    Skipped,
}

/// What the journal says about a step.
enum Known<T> {
    New,
    Done(T),
    Skipped,
    InDoubt,
    Waits(Duration),
    Failed(String),
}

impl<W: Send + Sync + 'static> Saga<W> {
    /// A saga over its world.
    pub fn new(world: Arc<W>, core: Core) -> Self {
        Self { world, core }
    }

    /// The saga's id.
    pub fn id(&self) -> &str {
        self.core.journal.id()
    }

    /// When it was started, by the journal.
    pub fn started_at(&self) -> DateTime<Utc> {
        self.history()
            .start()
            .map_or_else(|| self.core.journal.clock().now(), |record| record.at)
    }

    /// The journal so far.
    pub fn history(&self) -> Arc<History> {
        self.core.journal.history()
    }

    /// Looks or waits. The only kind of step that an abort drops midway.
    pub async fn read<S: Step<W>>(&self, key: impl Into<String>, step: S) -> Result<S::Output, Stop> {
        self.required(key.into(), Effect::Read, step).await
    }

    /// Changes the world in a way that can be taken back.
    pub async fn step<S: Compensate<W>>(&self, key: impl Into<String>, step: S) -> Result<S::Output, Stop> {
        self.required(key.into(), Effect::Compensable, step).await
    }

    /// The point of no return, and each further step of its kind. Once one is done, a failure is put to a person, who may skip it.
    pub async fn pivot<S: Step<W>>(&self, key: impl Into<String>, step: S) -> Result<Skippable<S::Output>, Stop> {
        self.attended(key.into(), Effect::Pivot, step, true).await
    }

    /// Goes on after the pivot: fails only into a question to a person.
    pub async fn forward<S: Step<W>>(&self, key: impl Into<String>, step: S) -> Result<S::Output, Stop> {
        self.required(key.into(), Effect::Forward, step).await
    }

    /// As [`Saga::forward`], but people may also go on without it.
    pub async fn forward_skippable<S: Step<W>>(
        &self,
        key: impl Into<String>,
        step: S,
    ) -> Result<Skippable<S::Output>, Stop> {
        self.attended(key.into(), Effect::Forward, step, true).await
    }

    async fn required<S: Step<W>>(&self, key: String, effect: Effect, step: S) -> Result<S::Output, Stop> {
        match self.attended(key.clone(), effect, step, false).await? {
            Skippable::Done(output) => Ok(output),
            Skippable::Skipped => Err(Stop::Drift(format!(
                "step `{key}` is journaled as skipped, but can't be"
            ))),
        }
    }

    /// Runs a step; after the pivot, a failure becomes a checkpoint.
    async fn attended<S: Step<W>>(
        &self,
        key: String,
        effect: Effect,
        step: S,
        skippable: bool,
    ) -> Result<Skippable<S::Output>, Stop> {
        for round in 1.. {
            let attention = format!("attention/{key}/{round}");
            // A question that has been asked is answered before anything is tried.
            if self.history().checkpoint(&attention).is_none() {
                let once = self.noting_requests(&key, self.once(&key, effect, &step, round));
                let error = match once.await {
                    Err(Stop::Failed { error, .. }) if self.history().past_pivot() => error,
                    other => return other,
                };
                let skip = skippable.then_some(choice::SKIP);
                let question = Checkpoint {
                    data: serde_json::json!({ "step": key, "error": error }),
                    choices: [choice::RETRY].into_iter().chain(skip).chain([choice::STOP]).collect(),
                    remind_after: self.core.remind_after,
                    ..Checkpoint::default()
                };
                self.open(&attention, question).await?;
            }
            match self.decided(&attention).await?.choice.as_str() {
                choice::RETRY => {}
                choice::SKIP => {
                    let skipped = |history: &History| {
                        history
                            .step(&key)
                            .is_some_and(|state| state.phase == StepPhase::Skipped)
                    };
                    if !skipped(&self.history()) {
                        self.append(Event::StepSkipped { key }).await?;
                    }
                    return Ok(Skippable::Skipped);
                }
                _ => return Err(Stop::Stopped { key }),
            }
        }
        unreachable!("the rounds don't end")
    }

    /// Runs `step` once, however often the process dies around it. `round` counts from 1: how often people have been asked about it, plus one.
    async fn once<S: Step<W>>(
        &self,
        key: &str,
        effect: Effect,
        step: &S,
        round: u32,
    ) -> Result<Skippable<S::Output>, Stop> {
        let input = to_value(step).map_err(|error| Stop::Drift(format!("step `{key}` can't be written: {error}")))?;
        match self.known::<S>(key, effect, &input, round)? {
            Known::Done(output) => return Ok(Skippable::Done(output)),
            Known::Skipped => return Ok(Skippable::Skipped),
            Known::Failed(error) => return self.give_up(key, effect, step, error).await,
            Known::Waits(left) => self.wait_to_retry(effect, left).await?,
            Known::New | Known::InDoubt => {}
        }
        loop {
            let attempts = self.history().step(key).map_or(0, |state| state.attempts);
            let span = attempt_span(self.id(), key, attempts + 1);
            let attempt = self.attempt(key, effect, step, &input).instrument(span.clone());
            let failed = match attempt.await? {
                Ok(output) => return Ok(Skippable::Done(output)),
                Err(failed) => failed,
            };
            let (error, wait) = match failed {
                StepError::Suspended => return Err(Stop::Suspended),
                StepError::Permanent(error) => (error, None),
                StepError::Transient { message, retry_after } => {
                    let failures = self.history().step(key).map_or(0, |state| state.failures);
                    (message, self.core.retry.wait(failures + 1, retry_after))
                }
            };
            let retry_at = wait.map(|wait| self.core.journal.clock().now() + delta(wait));
            span.in_scope(|| tracing::warn!(%error, retry = retry_at.is_some(), "step failed"));
            self.append(Event::StepFailed {
                key: key.to_owned(),
                error: error.clone(),
                retry_at,
                requests: requests::taken(),
            })
            .await?;
            match wait {
                Some(wait) => {
                    metrics::step_retried(key);
                    self.wait_to_retry(effect, wait).await?;
                }
                None => return self.give_up(key, effect, step, error).await,
            }
        }
    }

    /// What the journal says about a step, if it speaks of the same one.
    fn known<S: Step<W>>(
        &self,
        key: &str,
        effect: Effect,
        input: &Value,
        round: u32,
    ) -> Result<Known<S::Output>, Stop> {
        let history = self.history();
        let Some(state) = history.step(key) else {
            return Ok(Known::New);
        };
        // Compared as today's type reads it, so a field added with a default is no drift.
        let reread = from_value::<S>(state.input.clone()).and_then(to_value);
        let same = state.kind == S::KIND
            && state.effect == effect
            && reread.is_ok_and(|reread| says_the_same(&state.input, &reread, input));
        if !same {
            return Err(Stop::Drift(format!(
                "step `{key}` stands in the journal as another step or with another input"
            )));
        }
        Ok(match &state.phase {
            StepPhase::Completed(output) => Known::Done(
                from_value(output.clone())
                    .map_err(|error| Stop::Drift(format!("the journaled output of `{key}` can't be read: {error}")))?,
            ),
            StepPhase::Skipped => Known::Skipped,
            StepPhase::Failed { retry_at: Some(at), .. } => {
                // A clock that was set back in the meantime doesn't make the wait longer than it was meant to be.
                let left = (*at - self.core.journal.clock().now()).min(*at - state.last_event);
                Known::Waits(left.to_std().unwrap_or_default())
            }
            // It has failed for good in this round: only a person's answer makes it try again.
            StepPhase::Failed { error, .. } if state.given_up >= round => Known::Failed(error.clone()),
            StepPhase::Started | StepPhase::Failed { .. } => Known::InDoubt,
        })
    }

    /// One attempt: look if there was one before, then act. The outer error ends the workflow; the inner one is this attempt's.
    async fn attempt<S: Step<W>>(
        &self,
        key: &str,
        effect: Effect,
        step: &S,
        input: &Value,
    ) -> Result<Result<S::Output, StepError>, Stop> {
        if self.core.drain.is_cancelled() {
            return Err(Stop::Suspended);
        }
        let before = self.history().step(key).map_or(0, |state| state.attempts);
        let acting = async {
            if before > 0 {
                match step.observe(&self.context(key)).await {
                    Ok(Some(output)) => return Ok(Ok(self.completed(key, output, true).await?)),
                    Ok(None) => {}
                    Err(error) => return Ok(Err(error)),
                }
            }
            self.intend(key, S::KIND, effect, input, before + 1).await?;
            match step.run(&self.context(key)).await {
                Ok(output) => Ok(Ok(self.completed(key, output, false).await?)),
                Err(error) => Ok(Err(error)),
            }
        };
        tokio::select! {
            outcome = acting => outcome,
            stop = self.aborted(), if effect == Effect::Read => Err(stop),
        }
    }

    /// The end of a step that has failed for good. A pivot may have taken effect all the same, and what can't be undone must not be
    /// forgotten: it has failed only if the world says so.
    async fn give_up<S: Step<W>>(
        &self,
        key: &str,
        effect: Effect,
        step: &S,
        error: String,
    ) -> Result<Skippable<S::Output>, Stop> {
        if effect == Effect::Pivot
            && let Some(output) = self.look_for_pivot(key, step, &error).await?
        {
            return Ok(Skippable::Done(self.completed(key, output, true).await?));
        }
        Err(Stop::Failed {
            key: key.to_owned(),
            error,
        })
    }

    /// Looks until the world answers, within the budget of retries; then a person has to look.
    async fn look_for_pivot<S: Step<W>>(&self, key: &str, step: &S, error: &str) -> Result<Option<S::Output>, Stop> {
        let mut failed = 0;
        loop {
            let (why, wait) = match step.observe(&self.context(key)).await {
                Ok(found) => return Ok(found),
                Err(StepError::Suspended) => return Err(Stop::Suspended),
                Err(StepError::Permanent(why)) => (why, None),
                Err(StepError::Transient { message, retry_after }) => {
                    failed += 1;
                    (message, self.core.retry.wait(failed, retry_after))
                }
            };
            let Some(wait) = wait else {
                return Err(Stop::Drift(format!(
                    "{key} failed: {error}. Whether it took effect all the same can't be seen: {why}"
                )));
            };
            self.wait_to_retry(Effect::Pivot, wait).await?;
        }
    }

    pub(super) fn context<'a>(&'a self, key: &'a str) -> Context<'a, W> {
        let began = self.history().step(key).and_then(|state| state.round_began);
        Context {
            world: &self.world,
            core: &self.core,
            key,
            began: began.unwrap_or_else(|| self.core.journal.clock().now()),
        }
    }

    /// Journals the intent, unless somebody asked to undo everything first.
    async fn intend(&self, key: &str, kind: &str, effect: Effect, input: &Value, attempt: u32) -> Result<(), Stop> {
        let event = Event::StepStarted {
            key: key.to_owned(),
            kind: kind.to_owned(),
            effect,
            input: input.clone(),
            attempt,
        };
        let appended = self.core.journal.append_if(Vec::new(), |history| {
            if history.aborted() {
                Err(Stop::Aborted)
            } else {
                Ok(event)
            }
        });
        appended.await.map_err(|error| match error {
            AppendError::Refused(stop) => stop,
            AppendError::Store(error) => error.into(),
        })
    }

    async fn completed<T: serde::Serialize>(&self, key: &str, output: T, observed: bool) -> Result<T, Stop> {
        let event = Event::StepCompleted {
            key: key.to_owned(),
            output: to_value(&output)
                .map_err(|error| Stop::Drift(format!("the output of `{key}` can't be written: {error}")))?,
            observed,
            requests: requests::taken(),
        };
        self.core.journal.append_with_next(event).await;
        let now = self.core.journal.clock().now();
        let began = self.history().step(key).map_or(now, |state| state.first_started);
        metrics::step_done(key, (now - began).to_std().unwrap_or_default());
        Ok(output)
    }

    /// Work on a step that takes its requests along into its outcomes; what it had asked when it was suspended is kept, too. Whoever suspends
    /// the saga makes that durable.
    pub(super) async fn noting_requests<T>(
        &self,
        key: &str,
        work: impl Future<Output = Result<T, Stop>>,
    ) -> Result<T, Stop> {
        requests::collecting(async {
            let done = work.await;
            if matches!(done, Err(Stop::Suspended)) {
                let requests = requests::taken();
                if !requests.is_empty() {
                    let key = key.to_owned();
                    let event = Event::StepSuspended { key, requests };
                    self.core.journal.append_with_next(event).await;
                }
            }
            done
        })
        .await
    }

    async fn wait_to_retry(&self, effect: Effect, wait: Duration) -> Result<(), Stop> {
        tokio::select! {
            biased;
            () = self.core.drain.cancelled() => Err(Stop::Suspended),
            stop = self.aborted(), if effect != Effect::Pivot && effect != Effect::Forward => Err(stop),
            () = self.core.journal.clock().sleep(wait) => Ok(()),
        }
    }

    /// Resolves when somebody has asked to undo everything, never after the pivot.
    async fn aborted(&self) -> Stop {
        let aborted = |history: &History| history.aborted().then_some(());
        self.core.journal.wait_for(aborted).await;
        Stop::Aborted
    }

    async fn append(&self, event: Event) -> Result<(), Stop> {
        Ok(self.core.journal.append(event).await?)
    }

    /// Waits, for days if need be, until a person (or the deadline) has decided.
    pub async fn checkpoint(&self, key: &str, checkpoint: Checkpoint) -> Result<Decision, Stop> {
        let settles = checkpoint.settles;
        self.ask(key, checkpoint).await?;
        tokio::select! {
            biased;
            decided = self.decided(key) => decided,
            settled = self.settle(key, settles) => {
                settled?;
                self.decided(key).await
            }
        }
    }

    /// Lets signals decide, once they suffice.
    async fn settle(&self, key: &str, settles: Option<Settles>) -> Result<(), Stop> {
        let Some(settles) = settles else {
            return std::future::pending().await;
        };
        let look = |history: &History| history.checkpoint(key).and_then(settles);
        let (choice, by) = self.core.journal.wait_for(look).await;
        self.decide_unless_decided(key, choice, by).await
    }

    /// Asks without waiting: for a question beside others. [`Saga::answer`] waits.
    pub async fn ask(&self, key: &str, checkpoint: Checkpoint) -> Result<(), Stop> {
        match self.history().checkpoint(key) {
            Some(_) => Ok(()),
            None => self.open(key, checkpoint).await,
        }
    }

    /// Waits until a question that was asked is decided.
    pub async fn answer(&self, key: &str) -> Result<Decision, Stop> {
        self.decided(key).await
    }

    /// Decides a question that has lost its point, unless a person was first.
    pub async fn lapse(&self, key: &str, choice: &str) -> Result<(), Stop> {
        self.decide_unless_decided(key, choice, Actor::Shipmate).await
    }

    async fn open(&self, key: &str, checkpoint: Checkpoint) -> Result<(), Stop> {
        let now = self.core.journal.clock().now();
        self.append(checkpoint.opened(key, now)).await
    }

    pub(super) async fn decided(&self, key: &str) -> Result<Decision, Stop> {
        let decided = |history: &History| history.checkpoint(key).and_then(|state| state.decided.clone());
        let history = self.history();
        // What the journal says already counts, even while the process is ending.
        if let Some(decision) = decided(&history) {
            return Ok(decision);
        }
        // A question that an abort didn't settle isn't settled by the same abort again.
        let interruptible = history
            .checkpoint(key)
            .is_none_or(|state| !(history.aborted() && history.takes_decisions(state)));
        drop(history);
        tokio::select! {
            biased;
            () = self.core.drain.cancelled() => Err(Stop::Suspended),
            stop = self.aborted(), if interruptible => Err(stop),
            decision = self.core.journal.wait_for(decided) => Ok(decision),
            expired = self.expire(key) => {
                expired?;
                Ok(self.core.journal.wait_for(decided).await)
            }
        }
    }

    /// Lets the deadline decide, if there is one and nobody was first.
    async fn expire(&self, key: &str) -> Result<(), Stop> {
        let history = self.history();
        let deadline = history
            .checkpoint(key)
            .and_then(|state| state.deadline.zip(state.on_expiry.clone()));
        let Some((at, choice)) = deadline else {
            return std::future::pending().await;
        };
        self.core.journal.clock().sleep_until(at).await;
        self.decide_unless_decided(key, &choice, Actor::Deadline).await
    }

    async fn decide_unless_decided(&self, key: &str, choice: &str, by: Actor) -> Result<(), Stop> {
        match decide(&self.core.journal, key, choice, by, Value::Null, Vec::new()).await {
            Ok(()) | Err(AppendError::Refused(_)) => Ok(()),
            Err(AppendError::Store(error)) => Err(error.into()),
        }
    }

    /// A checkpoint's payload as a type.
    pub fn payload<T: DeserializeOwned>(decision: &Decision) -> Result<T, Stop> {
        from_value(decision.payload.clone())
            .map_err(|error| Stop::Drift(format!("what came with a decision can't be read: {error}")))
    }
}

/// Why a decision was not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Undecidable {
    /// Somebody was first.
    Decided(Decided),
    /// It isn't open: never was, or everything is being undone, or the saga has ended.
    NotOpen,
    /// Not one of its choices.
    NoSuchChoice,
}

/// What each log line of an attempt carries. An error's span is there however little is logged.
pub(super) fn attempt_span(deployment: &str, step: &str, attempt: u32) -> tracing::Span {
    tracing::error_span!("attempt", deployment, step, attempt)
}

/// Decides a checkpoint if nobody has: the first one wins. `also` becomes durable in the same commit.
pub async fn decide(
    journal: &Journal,
    key: &str,
    choice: &str,
    by: Actor,
    payload: Value,
    also: Vec<super::store::Op>,
) -> Result<(), AppendError<Undecidable>> {
    let event = Event::CheckpointDecided {
        key: key.to_owned(),
        choice: choice.to_owned(),
        by,
        payload,
    };
    journal
        .append_if(also, |history| {
            let state = history.checkpoint(key).ok_or(Undecidable::NotOpen)?;
            if let Some(decided) = &state.decided {
                return Err(Undecidable::Decided(decided.clone()));
            }
            if !history.takes_decisions(state) {
                return Err(Undecidable::NotOpen);
            }
            if !state.choices.iter().any(|known| known == choice) {
                return Err(Undecidable::NoSuchChoice);
            }
            Ok(event)
        })
        .await
}

/// Whether today's input is the journaled one. What only a later version says of a step, the journal can't contradict.
fn says_the_same(journaled: &Value, reread: &Value, today: &Value) -> bool {
    match journaled {
        Value::Object(journaled) => journaled.keys().all(|field| reread.get(field) == today.get(field)),
        _ => reread == today,
    }
}
