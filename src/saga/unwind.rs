//! One saga going backwards, from its journal alone: newest step first, each on its own, a failure never keeping the others.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tracing::Instrument as _;

use super::history::{Compensation, StepPhase, StepState};
use super::journal::{Effect, Event};
use super::run::{Saga, Stop, attempt_span};
use super::step::{Registry, StepError};
use crate::requests;

impl<W: Send + Sync + 'static> Saga<W> {
    /// Takes back every compensable step that was started. Goes on where it was after a crash.
    ///
    /// # Errors
    /// [`Stop::Drift`] if a pivot may have taken effect; [`Stop::Suspended`] and [`Stop::Store`] when the process ends.
    pub async fn unwind(&self, registry: &Registry<W>, reason: &str) -> Result<(), Stop> {
        let history = self.history();
        let in_doubt = |step: &&StepState| {
            step.effect == Effect::Pivot && matches!(step.phase, StepPhase::Started | StepPhase::Completed(_))
        };
        if let Some(pivot) = history.steps().iter().find(in_doubt) {
            return Err(Stop::Drift(format!(
                "`{}` may have taken effect, so nothing is undone",
                pivot.key
            )));
        }
        if history.unwinding().is_none() {
            let reason = reason.to_owned();
            self.core.journal.append(Event::UnwindStarted { reason }).await?;
        }
        let unsettled = |step: &&StepState| {
            step.effect == Effect::Compensable
                && matches!(step.compensation, Compensation::None | Compensation::Started)
        };
        let steps: Vec<StepState> = history.steps().iter().filter(unsettled).cloned().collect();
        drop(history);
        for step in steps.iter().rev() {
            self.noting_requests(&step.key, self.take_back(registry, step)).await?;
        }
        Ok(())
    }

    async fn take_back(&self, registry: &Registry<W>, step: &StepState) -> Result<(), Stop> {
        let key = step.key.clone();
        let Some(undo) = registry.undo(&step.kind) else {
            let error = format!(
                "this version of Shipmate doesn't know `{}` and can't take it back",
                step.kind
            );
            self.core
                .journal
                .append(Event::CompensationFailed {
                    key,
                    error,
                    requests: Vec::new(),
                })
                .await?;
            return Ok(());
        };
        if step.compensation == Compensation::None {
            let started = Event::CompensationStarted { key: key.clone() };
            self.core.journal.append(started).await?;
        }
        let context = self.context(&step.key);
        let mut failed = 0;
        let error = loop {
            if self.core.drain.is_cancelled() {
                return Err(Stop::Suspended);
            }
            // A bug in taking one step back must not keep the others.
            let span = attempt_span(self.id(), &step.key, failed + 1);
            let undoing = AssertUnwindSafe(undo(&context, step)).catch_unwind();
            let undone = undoing.instrument(span.clone()).await;
            let undone = undone.unwrap_or_else(|_| {
                Err(StepError::permanent(
                    "Shipmate met a bug in itself; its log has the details",
                ))
            });
            let (message, retry_after) = match undone {
                Ok(receipt) => {
                    let requests = requests::taken();
                    let done = Event::CompensationCompleted { key, receipt, requests };
                    self.core.journal.append_with_next(done).await;
                    return Ok(());
                }
                Err(StepError::Suspended) => return Err(Stop::Suspended),
                Err(StepError::Permanent(message)) => break message,
                Err(StepError::Transient { message, retry_after }) => (message, retry_after),
            };
            failed += 1;
            let Some(wait) = self.core.retry.wait(failed, retry_after) else {
                break message;
            };
            span.in_scope(|| tracing::warn!(error = %message, "taking back failed; trying again"));
            tokio::select! {
                () = self.core.drain.cancelled() => return Err(Stop::Suspended),
                () = self.core.journal.clock().sleep(wait) => {}
            }
        };
        let span = attempt_span(self.id(), &step.key, failed.max(1));
        span.in_scope(|| tracing::error!(%error, "could not be taken back"));
        let requests = requests::taken();
        let failed = Event::CompensationFailed { key, error, requests };
        self.core.journal.append(failed).await?;
        Ok(())
    }
}
