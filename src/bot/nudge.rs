//! `/deploy nudge`: asks again, by name, for what a deployment waits for. Journaled as a signal, so that it is posted once whatever
//! happens, and not more often than people can stand.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{Asked, Bot, Told};
use crate::config::Project;
use crate::deploy::permits;
use crate::deploy::progress::Progress;
use crate::deploy::view::View;
use crate::deploy::{NUDGE, text};
use crate::saga::journal::AppendError;
use crate::saga::store::StoreError;
use crate::saga::{Actor, Event, History};

/// Between two nudges about one question: what is asked next may be asked for at once.
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
    let last = view.nudges.iter().rev().find(|nudge| nudge.about == key);
    match last.map(|nudge| nudge.at + GAP) {
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
        if let Some(refusal) = self
            .refusal(project, asked.user, permits::either(&holders, "nudge"))
            .await
        {
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

#[cfg(test)]
mod tests {
    use super::*;
    fn failed(attempt: u32) -> [Event; 1] {
        let key = format!("attention/wait_for_ci/{attempt}");
        [Event::CheckpointOpened {
            key,
            data: json!({ "step": "wait_for_ci", "error": "checks failed" }),
            choices: vec!["retry".to_owned()],
            deadline: None,
            on_expiry: None,
            remind_after_s: None,
        }]
    }

    #[test]
    fn each_question_may_be_nudged_about() {
        let ben = Actor::Slack("U0BEN".to_owned());
        let now = DateTime::UNIX_EPOCH;
        let mut events = failed(1).to_vec();
        let nudge = |events: &[Event]| decide("web-1", &History::at_once(events.to_vec()), ben.clone(), now);
        let first = nudge(&events).ok().expect("nobody has nudged");
        events.push(first);
        assert!(matches!(nudge(&events), Err(NotNow::Until(_))), "twice about the same");
        events.push(Event::CheckpointDecided {
            key: "attention/wait_for_ci/1".to_owned(),
            choice: "retry".to_owned(),
            by: ben.clone(),
            payload: serde_json::Value::Null,
        });
        events.extend(failed(2));
        let next = nudge(&events).ok();
        assert!(matches!(next, Some(Event::Signalled { key, .. }) if key == "attention/wait_for_ci/2"));
    }
}
