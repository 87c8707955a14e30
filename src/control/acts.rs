//! What a login on the machine does: the same acts as in Slack, under the same rules.

use serde_json::json;

use super::wire::{Answer, Decide, Start};
use super::{State, text};
use crate::bot::command::Wish;
use crate::config::Project;
use crate::deploy::permits::{self, Permit};
use crate::deploy::view::{Question, QuestionKind, View};
use crate::deploy::{Request, choice, write_request};
use crate::saga::engine::{StartError, TooLate};
use crate::saga::journal::AppendError;
use crate::saga::run;
use crate::saga::{Actor, Event, Journal};

/// Why something wasn't done, in one sentence.
#[derive(Debug)]
pub enum Refusal {
    /// Who asks may not.
    NotAllowed(String),
    /// There is no such project or deployment.
    Unknown(String),
    /// It can't be done as things stand.
    NotNow(String),
    /// It makes no sense as asked.
    NotSo(String),
    /// It was tried.
    Failed(String),
}

impl Refusal {
    pub(super) fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }
}

impl State {
    /// Starts a deployment, or says what it would ship.
    pub(super) async fn start(&self, by: Actor, wish: Start) -> Result<Answer, Refusal> {
        let project = self.project(&wish.project)?.clone();
        let request = Wish {
            bump: wish.bump,
            selection: wish.selection,
        }
        .of(&project);
        if wish.dry_run {
            return self.plan(&request).await;
        }
        self.permitted(&project, &by, permits::to_start(&project.permissions))
            .await?;
        let input = write_request(&request).map_err(Refusal::Failed)?;
        match self.engine.start(&project.name, by, input, Vec::new()).await {
            Ok(id) => Ok(done(&id, text::started(&id))),
            Err(StartError::Running(id)) => Err(Refusal::NotNow(text::already_running(&project.name, &id))),
            Err(error @ (StartError::Draining | StartError::Seen)) => Err(Refusal::NotNow(format!("{error}."))),
            Err(StartError::Store(error)) => Err(Refusal::failed(error)),
        }
    }

    async fn plan(&self, request: &Request) -> Result<Answer, Refusal> {
        let plan = self.planner.plan(request).await.map_err(Refusal::Failed)?;
        Ok(Answer {
            text: text::plan(&plan),
            data: json!(plan),
        })
    }

    /// Decides a checkpoint; the first decision wins.
    pub(super) async fn decide(&self, by: Actor, id: &str, decision: Decide) -> Result<Answer, Refusal> {
        let (journal, view) = self.find(id)?;
        let project = self.project(&view.project)?.clone();
        let question = asked(&view, &decision.checkpoint)?;
        if !text::offered(question).any(|offered| offered == decision.choice) {
            return Err(Refusal::NotSo(text::no_such_choice(question, &decision.choice)));
        }
        let permit = permits::to_decide(&project.permissions, &decision.choice);
        self.permitted(&project, &by, permit).await?;
        if permits::wants_another(&project.permissions, &view, &decision.choice, &by) {
            return Err(self
                .refused(&project, &by, permit.what, text::two_people(&project))
                .await);
        }
        let key = question.key.clone();
        let reason = &decision.reason;
        let appended = match (decision.choice.as_str(), &question.kind) {
            (choice::APPROVE, QuestionKind::Approve { digest, approvals, .. }) => {
                if decision.plan.as_ref() != Some(digest) {
                    return Err(Refusal::NotSo(text::which_plan(
                        &view,
                        question,
                        digest,
                        decision.plan.as_deref(),
                    )));
                }
                // As in Slack: the engine decides once enough different people have voted.
                match *approvals > 1 {
                    true => {
                        self.engine
                            .signal(&journal, &key, by, json!(choice::APPROVE), Vec::new())
                            .await
                    }
                    false => {
                        let payload = json!({ "digest": digest, "reason": reason });
                        self.engine
                            .decide(&journal, &key, choice::APPROVE, by, payload, Vec::new())
                            .await
                    }
                }
            }
            (choice::EDIT, _) => {
                let payload = json!(decision.selection);
                self.engine
                    .decide(&journal, &key, choice::EDIT, by, payload, Vec::new())
                    .await
            }
            (chosen, _) => {
                let payload = json!({ "reason": reason });
                self.engine
                    .decide(&journal, &key, chosen, by, payload, Vec::new())
                    .await
            }
        };
        settled(appended, |why| text::undecidable(&key, &why))?;
        Ok(done(id, text::decided(&key, &decision.choice)))
    }

    /// Asks to undo everything.
    pub(super) async fn abort(&self, by: Actor, id: &str, reason: Option<String>) -> Result<Answer, Refusal> {
        let (journal, view) = self.find(id)?;
        let project = self.project(&view.project)?.clone();
        self.permitted(&project, &by, permits::to_abort(&project.permissions))
            .await?;
        let aborted = self.engine.abort(&journal, by, reason, Vec::new()).await;
        settled(aborted, |why: TooLate| text::too_late(&why))?;
        Ok(done(id, text::aborting(id)))
    }

    /// Tries again what failed.
    pub(super) async fn retry(&self, by: Actor, id: &str) -> Result<Answer, Refusal> {
        let (_, view) = self.find(id)?;
        let retryable = |question: &&Question| question.choices.iter().any(|choice| choice == run::choice::RETRY);
        let question = view.questions.iter().find(retryable);
        let question = question.ok_or_else(|| Refusal::NotNow(text::nothing_to_retry(id)))?;
        let decision = Decide {
            checkpoint: question.key.clone(),
            choice: run::choice::RETRY.to_owned(),
            plan: None,
            reason: None,
            selection: Default::default(),
        };
        self.decide(by, id, decision).await
    }

    async fn permitted(&self, project: &Project, by: &Actor, permit: Permit<'_>) -> Result<(), Refusal> {
        match permits::names(permit.holders, by) {
            true => Ok(()),
            false => Err(self
                .refused(project, by, permit.what, text::may_not(project, by, permit))
                .await),
        }
    }

    /// A refusal is noted in the journal of what runs, as in Slack.
    async fn refused(&self, project: &Project, by: &Actor, what: &str, why: String) -> Refusal {
        if let Ok(Some(journal)) = self.engine.running(&project.name) {
            note(&journal, by, what, &why).await;
        }
        tracing::info!(?by, what, project = project.name, "refused");
        Refusal::NotAllowed(why)
    }
}

async fn note(journal: &Journal, by: &Actor, what: &str, why: &str) {
    let refused = Event::Refused {
        by: by.clone(),
        what: what.to_owned(),
        why: why.to_owned(),
    };
    if let Err(error) = journal.append(refused).await {
        tracing::error!(%error, "a refusal can't be noted");
    }
}

/// The open question of this key, or the only one whose key begins so.
fn asked<'a>(view: &'a View, key: &str) -> Result<&'a Question, Refusal> {
    let exact = view.questions.iter().find(|question| question.key == key);
    let mut begun = view
        .questions
        .iter()
        .filter(|question| question.key.split('/').next() == Some(key));
    match (exact, begun.next(), begun.next()) {
        (Some(question), _, _) | (None, Some(question), None) => Ok(question),
        _ => Err(Refusal::NotNow(text::not_open(view, key))),
    }
}

fn done(id: &str, text: String) -> Answer {
    Answer {
        text,
        data: json!({ "deployment": id }),
    }
}

fn settled<R>(appended: Result<(), AppendError<R>>, refused: impl FnOnce(R) -> String) -> Result<(), Refusal> {
    appended.map_err(|error| match error {
        AppendError::Refused(why) => Refusal::NotNow(refused(why)),
        AppendError::Store(error) => Refusal::failed(error),
    })
}
