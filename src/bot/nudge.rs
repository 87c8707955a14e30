//! `/deploy nudge`: asks again, by name, for what a deployment waits for. Journaled as a signal, so that it is posted once whatever
//! happens, and not more often than people can stand.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Asked, Bot, Told};
use crate::config::Project;
use crate::deploy::progress::Progress;
use crate::deploy::view::View;
use crate::deploy::{NUDGE, text};
use crate::saga::journal::AppendError;
use crate::saga::store::StoreError;
use crate::saga::{Actor, Event, History};

/// Between two nudges of one deployment.
const GAP: TimeDelta = TimeDelta::minutes(10);

/// Why nobody is nudged.
enum NotNow {
    /// Too soon after another.
    Until(DateTime<Utc>),
    /// Nothing waits for people.
    NothingWaits,
}

/// What waits for people: the first open question, or the step that waits for reviewers.
pub fn waits_for_people(view: &View) -> Option<String> {
    let question = view.questions.first().map(|question| question.key.clone());
    let reviewers = view
        .current
        .as_ref()
        .filter(|_| matches!(view.progress, Some(Progress::Approval { .. })));
    question.or_else(|| reviewers.map(|current| current.key.clone()))
}

fn decide(id: &str, history: &History, by: Actor, now: DateTime<Utc>) -> Result<Event, NotNow> {
    let view = View::of(id, history);
    let key = waits_for_people(&view).ok_or(NotNow::NothingWaits)?;
    match view.nudges.last().map(|nudge| nudge.at + GAP) {
        Some(next) if now < next => Err(NotNow::Until(next)),
        _ => Ok(Event::Signalled {
            key,
            by,
            value: json!(NUDGE),
        }),
    }
}

impl Bot {
    pub(super) async fn nudge(&self, project: &Project, asked: Asked<'_>) -> Result<Told, String> {
        let permissions = &project.permissions;
        let holders = crate::deploy::decide::tickers(permissions);
        if let Some(refusal) = self.refusal(project, asked.user, "nudge", &holders).await {
            return Ok(refusal);
        }
        let running = self
            .engine()
            .running(&project.name)
            .map_err(|error| error.to_string())?;
        let Some(journal) = running else {
            return Ok(Told::Privately(text::nothing_runs(project)));
        };
        let by = Actor::Slack(asked.user.to_owned());
        let now = self.engine().clock().now();
        let id = journal.id().to_owned();
        let nudged = journal
            .append_if(self.once(asked.id), |history| decide(&id, history, by, now))
            .await;
        match nudged {
            // A claim that was taken: this very message was handled before.
            Ok(()) | Err(AppendError::Store(StoreError::Taken { .. })) => Ok(Told::Nothing),
            Err(AppendError::Refused(NotNow::Until(next))) => Ok(Told::Privately(text::not_nudged(Some(next)))),
            Err(AppendError::Refused(NotNow::NothingWaits)) => Ok(Told::Privately(text::not_nudged(None))),
            Err(AppendError::Store(error)) => {
                if !error.is_refusal() {
                    self.engine().store_failed(&error);
                }
                Err(error.to_string())
            }
        }
    }
}
