//! What a step is: a serialisable value with a stable name that acts on the world, can look for its effect, and may be able to take it back.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{from_value, to_value};

use super::history::{StepPhase, StepState};
use super::journal::Event;
use super::run::Core;

/// One line of the runbook. The value itself is the step's input, so a journal can rebuild it.
pub trait Step<W>: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Written in journals, so it outlives any rename of the type.
    const KIND: &'static str;
    /// What the workflow gets, now and on every replay.
    type Output: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Acts. Called only when `observe` has found nothing, or at the first attempt.
    fn run(&self, cx: &Context<'_, W>) -> impl Future<Output = Result<Self::Output, StepError>> + Send;

    /// Looks for the effect of an attempt whose outcome was lost. `None` must be conclusive: nothing happened and nothing will.
    fn observe(&self, cx: &Context<'_, W>) -> impl Future<Output = Result<Option<Self::Output>, StepError>> + Send;
}

/// A step that can be taken back.
pub trait Compensate<W>: Step<W> {
    /// Takes it back; must bear being called twice, and finding nothing. `output` is `None` when the step's outcome is unknown. Answers with
    /// what was read back from the world afterwards, one line for people each.
    fn compensate(
        &self,
        cx: &Context<'_, W>,
        output: Option<Self::Output>,
    ) -> impl Future<Output = Result<Vec<String>, StepError>> + Send;
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StepError {
    /// Worth another try.
    #[error("{message}")]
    Transient {
        /// One sentence.
        message: String,
        /// How long the other side asks us to wait.
        retry_after: Option<Duration>,
    },
    /// No retry will help; the sentence is shown to a person.
    #[error("{0}")]
    Permanent(String),
    /// The process is ending; the step goes on after the restart.
    #[error("suspended")]
    Suspended,
}

impl StepError {
    /// Worth another try.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::Transient {
            message: message.into(),
            retry_after: None,
        }
    }

    /// No retry will help.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent(message.into())
    }
}

/// What a running step may touch: the world, the time, and its own line in the journal.
pub struct Context<'a, W> {
    /// Everything outside.
    pub world: &'a W,
    pub(super) core: &'a Core,
    pub(super) key: &'a str,
    pub(super) began: DateTime<Utc>,
}

impl<W> Context<'_, W> {
    /// The saga's id.
    pub fn saga(&self) -> &str {
        self.core.journal.id()
    }

    /// This step's key.
    pub fn key(&self) -> &str {
        self.key
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.core.journal.clock().now()
    }

    /// When this step was begun: at its first attempt, or at the first one since a person told it to try again. Neither a restart nor a retry
    /// by itself moves it.
    pub fn began(&self) -> DateTime<Utc> {
        self.began
    }

    /// Shows how far the step is. Journaled only when it says something new.
    ///
    /// # Errors
    /// [`StepError::Suspended`] when the journal can't be written: the process is about to end.
    pub async fn report(&self, progress: &(impl Serialize + Sync)) -> Result<(), StepError> {
        let progress = to_value(progress).map_err(|error| StepError::permanent(error.to_string()))?;
        let history = self.core.journal.history();
        if history.step(self.key).and_then(|step| step.progress.as_ref()) == Some(&progress) {
            return Ok(());
        }
        let event = Event::StepProgressed {
            key: self.key.to_owned(),
            progress,
        };
        self.core.journal.append(event).await.map_err(|error| {
            tracing::error!(%error, "the journal can't be written");
            StepError::Suspended
        })
    }

    /// How often this step has failed for good: each time a person was asked what to do.
    pub fn times_given_up(&self) -> u32 {
        self.core
            .journal
            .history()
            .step(self.key)
            .map_or(0, |step| step.given_up)
    }

    /// The last progress this step reported, before a restart too.
    pub fn progress<P: DeserializeOwned>(&self) -> Option<P> {
        let history = self.core.journal.history();
        from_value(history.step(self.key)?.progress.clone()?).ok()
    }

    /// Waits between two looks; less if somebody says that the world has changed (a webhook). What must have passed is waited for by
    /// [`Context::settle`].
    ///
    /// # Errors
    /// [`StepError::Suspended`] when the process is ending.
    pub async fn pause(&self, duration: Duration) -> Result<(), StepError> {
        tokio::select! {
            biased;
            () = self.core.drain.cancelled() => Err(StepError::Suspended),
            () = self.core.wake.notified() => Ok(()),
            () = self.core.journal.clock().sleep(duration) => Ok(()),
        }
    }

    /// Waits all of that time, whoever says what: for something that may still be under way and tells nobody when it isn't any more.
    ///
    /// # Errors
    /// [`StepError::Suspended`] when the process is ending.
    pub async fn settle(&self, duration: Duration) -> Result<(), StepError> {
        tokio::select! {
            biased;
            () = self.core.drain.cancelled() => Err(StepError::Suspended),
            () = self.core.journal.clock().sleep(duration) => Ok(()),
        }
    }
}

/// Every compensable step's code by its kind, so that any journal can be unwound without running the workflow.
pub struct Registry<W>(HashMap<&'static str, Undo<W>>);

type Undo<W> = for<'a> fn(&'a Context<'a, W>, &'a StepState) -> BoxFuture<'a, Result<Vec<String>, StepError>>;

impl<W: Send + Sync + 'static> Default for Registry<W> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<W: Send + Sync + 'static> Registry<W> {
    /// With one more step.
    ///
    /// # Panics
    /// If two steps have one name: a mistake that any test finds.
    #[must_use]
    pub fn with<S: Compensate<W>>(mut self) -> Self {
        let known = self.0.insert(S::KIND, undo::<W, S>);
        assert!(known.is_none(), "two steps are called `{}`", S::KIND);
        self
    }

    /// Whether unwinding knows this kind.
    pub fn knows(&self, kind: &str) -> bool {
        self.0.contains_key(kind)
    }

    pub(super) fn undo(&self, kind: &str) -> Option<Undo<W>> {
        self.0.get(kind).copied()
    }
}

fn undo<'a, W: Send + Sync, S: Compensate<W>>(
    cx: &'a Context<'a, W>,
    state: &'a StepState,
) -> BoxFuture<'a, Result<Vec<String>, StepError>> {
    Box::pin(async move {
        let unreadable = |what: &str, error: &dyn std::fmt::Display| {
            StepError::permanent(format!(
                "the journaled {what} of `{}` can't be read: {error}",
                state.key
            ))
        };
        let step: S = from_value(state.input.clone()).map_err(|error| unreadable("input", &error))?;
        let output = match &state.phase {
            StepPhase::Completed(output) => {
                Some(from_value(output.clone()).map_err(|error| unreadable("output", &error))?)
            }
            _ => None,
        };
        step.compensate(cx, output).await
    })
}
