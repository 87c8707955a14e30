//! What a login on the machine does: the same acts as in Slack, under the same rules.

use std::time::Duration;

use serde_json::json;

use super::wire::{Answer, Decide, Lock, Start};
use super::{State, text};
use crate::config::Project;
use crate::deploy::begin::NotBegun;
use crate::deploy::decide::{self, About};
use crate::deploy::lock::{self, Said, Turn};
use crate::deploy::permits::Permit;
use crate::deploy::text::{self as sentences, Medium};
use crate::deploy::view::{Question, QuestionKind, View};
use crate::deploy::{Item, Request, Tick, choice};
use crate::saga::engine::TooLate;
use crate::saga::{Actor, run};
use crate::slack::Content;

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
    pub(super) async fn start(&self, by: Actor, start: Start) -> Result<Answer, Refusal> {
        let project = self.project(&start.project)?;
        if start.dry_run {
            return self.plan(&start.wish.of(project, Vec::new())).await;
        }
        let begun = self.desk.start(project, &start.wish, &by, &[]).await;
        let id = begun.map_err(|why| match why {
            NotBegun::Refused(why) => self.refusal(project, &by, why),
            NotBegun::Blocked { obstacles, .. } => Refusal::NotNow(text::blocked(&obstacles)),
            NotBegun::Running(id) => Refusal::NotNow(text::already_running(&project.name, &id)),
            why @ (NotBegun::Seen | NotBegun::Draining) => Refusal::NotNow(text::not_begun(&why)),
            NotBegun::Failed(error) => Refusal::Failed(error),
        })?;
        Ok(done(&id, text::started(&id)))
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
        let (_, view) = self.find(id)?;
        let project = self.project(&view.project)?;
        let question = asked(&view, &decision.checkpoint)?;
        if !text::offered(question).any(|offered| offered == decision.choice) {
            return Err(Refusal::NotSo(text::no_such_choice(question, &decision.choice)));
        }
        if let (choice::APPROVE, QuestionKind::Approve { digest, .. }) = (decision.choice.as_str(), &question.kind)
            && decision.plan.as_ref() != Some(digest)
        {
            let given = decision.plan.as_deref();
            return Err(Refusal::NotSo(text::which_plan(&view, question, digest, given)));
        }
        if let (choice::DONE, QuestionKind::Checklist { items }) = (decision.choice.as_str(), &question.kind) {
            self.tick_all(project, id, items, &by).await?;
            return Ok(done(id, text::decided(&question.key, choice::DONE)));
        }
        let about = About {
            deployment: id,
            key: &question.key,
            digest: decision.plan.as_deref(),
            reason: decision.reason.as_deref(),
            by: &by,
        };
        let decided = match decision.choice.as_str() {
            choice::EDIT => self.desk.edit(about, &decision.selection, Vec::new()).await,
            chosen => self.desk.decide(about, chosen, Vec::new()).await,
        };
        decided.map_err(|why| self.refusal(project, &by, why))?;
        Ok(done(id, text::decided(&question.key, &decision.choice)))
    }

    /// A login has one word for the whole checklist; each item still stands with who ticked it.
    async fn tick_all(&self, project: &Project, id: &str, items: &[Item], by: &Actor) -> Result<(), Refusal> {
        let open = items.iter().enumerate().filter(|(_, item)| item.ticked.is_none());
        for (item, _) in open {
            let tick = Tick { item, done: true };
            let ticked = self.desk.tick(id, tick, by, Vec::new()).await;
            ticked.map_err(|why| self.refusal(project, by, why))?;
        }
        Ok(())
    }

    /// What an abort would undo; refused if it comes too late.
    pub(super) fn ask_to_abort(&self, id: &str) -> Result<Answer, Refusal> {
        let (journal, view) = self.find(id)?;
        if let Some(why) = TooLate::of(&journal.history()) {
            let why = decide::Refusal::TooLate(why);
            return Err(Refusal::NotNow(sentences::refusal(&why, Medium::Plain)));
        }
        let undone = sentences::undoes(&view, Medium::Plain);
        Ok(Answer {
            text: sentences::undone_by(sentences::WOULD_UNDO, &view, Medium::Plain).join("\n"),
            data: json!({ "deployment": id, "undone": undone }),
        })
    }

    /// Asks to undo everything.
    pub(super) async fn abort(&self, by: Actor, id: &str, reason: Option<String>) -> Result<Answer, Refusal> {
        let (_, view) = self.find(id)?;
        let project = self.project(&view.project)?;
        let aborted = self.desk.abort(id, &by, reason, Vec::new()).await;
        aborted.map_err(|why| self.refusal(project, &by, why))?;
        Ok(done(id, text::aborting(id)))
    }

    /// Locks a project, and says so in its channel.
    pub(super) async fn lock(&self, by: Actor, name: &str, lock: Lock) -> Result<Answer, Refusal> {
        let project = self.project(name)?;
        let lasting = lock.seconds.map(Duration::from_secs);
        let turn = self.desk.lock(project, &by, lock.reason, lasting, Vec::new()).await;
        let turn = turn.map_err(|why| self.refusal(project, &by, why))?;
        match &turn {
            Turn::Done(lock) => self.announce(project, lock, Said::Locked, sentences::now_locked(project, lock)),
            _ => return Err(Refusal::NotNow(text::not_locked(&turn))),
        }
        Ok(Answer {
            text: text::locked(name),
            data: json!({ "project": name, "locked": true }),
        })
    }

    /// Lifts a project's lock, and says so in its channel.
    pub(super) async fn unlock(&self, by: Actor, name: &str) -> Result<Answer, Refusal> {
        let project = self.project(name)?;
        let turn = self.desk.unlock(project, &by, Vec::new()).await;
        let turn = turn.map_err(|why| self.refusal(project, &by, why))?;
        match &turn {
            Turn::Done(lock) => {
                let content = sentences::now_unlocked(project, lock, &by);
                self.announce(project, lock, Said::Unlocked, content);
            }
            _ => return Err(Refusal::NotNow(text::not_locked(&turn))),
        }
        Ok(Answer {
            text: text::unlocked(name),
            data: json!({ "project": name, "locked": false }),
        })
    }

    /// To the channel, should Slack be there.
    fn announce(&self, project: &Project, lock: &lock::Lock, said: Said, content: Content) {
        let (slack, project, lock) = (self.slack.clone(), project.clone(), lock.clone());
        // What fails is logged there.
        tokio::spawn(async move { lock::announce(&*slack, &project, &lock, said, content).await });
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

    /// The desk's refusal in this medium's words.
    fn refusal(&self, project: &Project, by: &Actor, why: decide::Refusal) -> Refusal {
        match why {
            decide::Refusal::MayNot { what, setting, holders } => {
                let permit = Permit {
                    what,
                    setting,
                    holders: &holders,
                };
                Refusal::NotAllowed(text::may_not(project, by, permit))
            }
            why @ decide::Refusal::TwoPeople(_) => Refusal::NotAllowed(sentences::refusal(&why, Medium::Plain)),
            decide::Refusal::Failed(error) => Refusal::failed(error),
            why => Refusal::NotNow(sentences::refusal(&why, Medium::Plain)),
        }
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
