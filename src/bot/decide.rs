//! What a click, a tick or a submitted modal does.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::Wish;
use super::modals::{self, Context};
use super::{Asked, Bot, Told, answers, home, settled};
use crate::config::{Permissions, Project};
use crate::deploy::view::{Question, QuestionKind, View};
use crate::deploy::{Tick, choice, text};
use crate::saga::run::Undecidable;
use crate::saga::{Actor, Journal};
use crate::slack::{Ack, Action, Submission};

/// What a button carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Click {
    /// The deployment.
    #[serde(rename = "d")]
    pub deployment: String,
    /// The checkpoint.
    #[serde(rename = "k", default)]
    pub key: String,
    /// The plan that the person saw.
    #[serde(default)]
    pub digest: Option<String>,
}

impl Bot {
    pub(super) async fn action(&self, action: Action) -> Result<Told, String> {
        if let Some(item) = action.action_id.strip_prefix("tick/") {
            return self.tick(item, &action).await;
        }
        match action.action_id.as_str() {
            home::MUTE => return self.mute(&action.user).await.map(|()| Told::Nothing),
            home::UNMUTE => return self.unmute(&action.user).await.map(|()| Told::Nothing),
            answers::START | answers::QUEUE => return self.wished(&action).await,
            _ => {}
        }
        let click: Option<Click> = action
            .value
            .as_deref()
            .and_then(|value| serde_json::from_str(value).ok());
        match (action.action_id.as_str(), click) {
            // Links: Slack tells us, too.
            (open, _) if open.starts_with("open_") => Ok(Told::Nothing),
            ("abort", Some(click)) => self.ask_to_abort(&click, &action).await,
            (id, Some(click)) => match id.strip_prefix("decide/") {
                Some(choice::EDIT) => self.edit(&click, &action).await,
                Some(chosen) => self.decide(&click, chosen, &action.user, &action.id).await,
                None => Ok(Told::Privately(text::stale_button())),
            },
            (_, None) => Ok(Told::Privately(text::stale_button())),
        }
    }

    /// A button that carries what was wished for: to the start dialogue, or into the queue.
    async fn wished(&self, action: &Action) -> Result<Told, String> {
        let channel = action.channel.as_deref().unwrap_or_default();
        let project = self.0.config.project_of_channel(channel).cloned();
        let wish: Option<Wish> = action
            .value
            .as_deref()
            .and_then(|value| serde_json::from_str(value).ok());
        let (Some(project), Some(wish)) = (project, wish) else {
            return Ok(Told::Privately(text::stale_button()));
        };
        if action.action_id == answers::START {
            let (trigger, url) = (&action.trigger_id, &action.response_url);
            return self.open_start(&project, &wish, &action.user, trigger, url).await;
        }
        let asked = Asked {
            user: &action.user,
            id: &action.id,
        };
        self.join_queue(&project, wish, asked).await
    }

    fn find(&self, deployment: &str) -> Result<Option<(Journal, View)>, String> {
        let journal = self.engine().journal(deployment).map_err(|error| error.to_string())?;
        Ok(journal.map(|journal| {
            let view = View::of(deployment, &journal.history());
            (journal, view)
        }))
    }

    /// Decides a checkpoint, if this person may and nobody was first.
    pub(super) async fn decide(&self, click: &Click, chosen: &str, user: &str, id: &str) -> Result<Told, String> {
        let Some((journal, view)) = self.find(&click.deployment)? else {
            return Ok(Told::Privately(text::stale_button()));
        };
        let Some(project) = self.project_of(&view).cloned() else {
            return Ok(Told::Privately(text::project_gone(&view.project)));
        };
        if let Some(refusal) = self.may_decide(&project, &view, chosen, user).await {
            return Ok(self
                .refuse(&project, user, &format!("{chosen} {}", click.key), refusal)
                .await);
        }
        let question = view.questions.iter().find(|question| question.key == click.key);
        let by = Actor::Slack(user.to_owned());
        if chosen == choice::APPROVE
            && let Some(refusal) = self.not_this_plan(question, click)
        {
            return Ok(Told::Privately(refusal));
        }
        let engine = self.engine();
        let also = self.once(id);
        let appended = match (chosen, question.map(|question| &question.kind)) {
            // The engine decides once enough different people have voted.
            (choice::APPROVE, Some(QuestionKind::Approve { approvals, .. })) if *approvals > 1 => {
                engine
                    .signal(&journal, &click.key, by, json!(choice::APPROVE), also)
                    .await
            }
            _ => {
                let payload = json!({ "digest": click.digest });
                engine.decide(&journal, &click.key, chosen, by, payload, also).await
            }
        };
        settled(appended, |why| Told::Privately(undecidable(why)))
    }

    fn not_this_plan(&self, question: Option<&Question>, click: &Click) -> Option<crate::slack::Content> {
        match question.map(|question| &question.kind) {
            Some(QuestionKind::Approve { digest, .. }) if click.digest.as_deref() != Some(digest) => {
                Some(text::another_plan())
            }
            _ => None,
        }
    }

    /// Why this person may not choose that, if they may not.
    async fn may_decide(&self, project: &Project, view: &View, chosen: &str, user: &str) -> Option<String> {
        let permissions = &project.permissions;
        let (what, holders) = match chosen {
            choice::CONFIRM | choice::EDIT => ("confirm the list", &permissions.start),
            _ => ("decide this", &permissions.approve),
        };
        if !self.0.people.among(user, holders).await {
            return Some(text::may_not(what, holders));
        }
        let same_person = view.started_by == Actor::Slack(user.to_owned());
        (chosen == choice::APPROVE && permissions.two_person && same_person).then(|| text::two_people(permissions))
    }

    async fn edit(&self, click: &Click, action: &Action) -> Result<Told, String> {
        let Some((_, view)) = self.find(&click.deployment)? else {
            return Ok(Told::Privately(text::stale_button()));
        };
        let question = view.questions.iter().find(|question| question.key == click.key);
        let Some(QuestionKind::ConfirmPrList { plan }) = question.map(|question| &question.kind) else {
            return Ok(Told::Privately(text::stale_button()));
        };
        let context = Context {
            deployment: click.deployment.clone(),
            key: click.key.clone(),
        };
        self.open(&action.trigger_id, &action.response_url, modals::edit(&context, plan));
        Ok(Told::Nothing)
    }

    async fn ask_to_abort(&self, click: &Click, action: &Action) -> Result<Told, String> {
        let Some((_, view)) = self.find(&click.deployment)? else {
            return Ok(Told::Privately(text::stale_button()));
        };
        if !view.can_abort() {
            let why = match (view.is_over(), view.state) {
                (true, _) => crate::saga::engine::TooLate::Finished,
                (_, crate::deploy::view::State::Undoing) => crate::saga::engine::TooLate::Unwinding,
                _ => crate::saga::engine::TooLate::PastPivot,
            };
            return Ok(Told::Privately(text::too_late(&why)));
        }
        self.open(&action.trigger_id, &action.response_url, modals::abort(&view));
        Ok(Told::Nothing)
    }

    /// Opens a modal after the acknowledgement; a trigger lives three seconds.
    pub(super) fn open(&self, trigger_id: &str, response_url: &str, view: Value) {
        let bot = self.clone();
        let (trigger_id, url) = (trigger_id.to_owned(), response_url.to_owned());
        tokio::spawn(async move {
            if let Err(error) = bot.0.slack.open_view(&trigger_id, view).await {
                tracing::warn!(%error, "a modal can't be opened");
                bot.tell(&url, text::modal_failed()).await;
            }
        });
    }

    async fn tick(&self, item: &str, action: &Action) -> Result<Told, String> {
        let Some(value) = item.split_once('/') else {
            return Ok(Told::Privately(text::stale_button()));
        };
        let (Ok(item), deployment) = (value.0.parse::<usize>(), value.1) else {
            return Ok(Told::Privately(text::stale_button()));
        };
        let Some((journal, view)) = self.find(deployment)? else {
            return Ok(Told::Privately(text::stale_button()));
        };
        let Some(project) = self.project_of(&view).cloned() else {
            return Ok(Told::Privately(text::project_gone(&view.project)));
        };
        let holders = tickers(&project.permissions);
        if !self.0.people.among(&action.user, &holders).await {
            let why = text::may_not("tick the checklist", &holders);
            return Ok(self.refuse(&project, &action.user, "tick the checklist", why).await);
        }
        let tick = Tick {
            item,
            done: !action.selected.is_empty(),
        };
        let by = Actor::Slack(action.user.clone());
        let also = self.once(&action.id);
        let appended = self
            .engine()
            .signal(&journal, "post_release_checklist", by, json!(tick), also)
            .await;
        settled(appended, |why| Told::Privately(undecidable(why)))
    }

    pub(super) async fn submission(&self, submission: Submission) -> Result<Ack, String> {
        if submission.callback_id == modals::START {
            return self.started(&submission).await;
        }
        let context: Context = match serde_json::from_str(&submission.private_metadata) {
            Ok(context) => context,
            Err(_) => return Ok(Ack::Empty),
        };
        let Some((journal, view)) = self.find(&context.deployment)? else {
            return Ok(Ack::Empty);
        };
        let Some(project) = self.project_of(&view).cloned() else {
            return Ok(complaint("reason", "This project is no longer configured."));
        };
        match submission.callback_id.as_str() {
            modals::EDIT => self.edited(&project, &journal, &view, &context, &submission).await,
            modals::ABORT => {
                let reason = submission
                    .values
                    .get("reason")
                    .and_then(|values| values.first())
                    .cloned();
                let reason = reason.filter(|reason| !reason.trim().is_empty());
                match self
                    .abort(&project, &journal, &submission.user, reason, &submission.id)
                    .await?
                {
                    Told::Nothing => Ok(Ack::Empty),
                    Told::Privately(content) => Ok(complaint("reason", &plain(&content.text))),
                }
            }
            _ => Ok(Ack::Empty),
        }
    }

    async fn started(&self, submission: &Submission) -> Result<Ack, String> {
        let Some(project) = self.0.config.project(&submission.private_metadata).cloned() else {
            return Ok(complaint(modals::BUMP, "This project is no longer configured."));
        };
        let wish = match modals::wished(&submission.values) {
            Ok(wish) => wish,
            Err((block, why)) => return Ok(complaint(&block, &why)),
        };
        let asked = Asked {
            user: &submission.user,
            id: &submission.id,
        };
        match self.start(&project, wish, asked).await? {
            Told::Nothing => Ok(Ack::Empty),
            Told::Privately(content) => Ok(complaint(modals::BUMP, &plain(&content.text))),
        }
    }

    async fn edited(
        &self,
        project: &Project,
        journal: &Journal,
        view: &View,
        context: &Context,
        submission: &Submission,
    ) -> Result<Ack, String> {
        if let Some(refusal) = self.may_decide(project, view, choice::EDIT, &submission.user).await {
            self.refuse(project, &submission.user, "edit the list", refusal.clone())
                .await;
            return Ok(complaint("order", &plain(&refusal)));
        }
        let selection = match modals::edited(&submission.values) {
            Ok(selection) => selection,
            Err((block, why)) => return Ok(complaint(&block, &why)),
        };
        let by = Actor::Slack(submission.user.clone());
        let also = self.once(&submission.id);
        let decided = self
            .engine()
            .decide(journal, &context.key, choice::EDIT, by, json!(selection), also)
            .await;
        match settled(decided, |why| Told::Privately(undecidable(why)))? {
            Told::Nothing => Ok(Ack::Empty),
            Told::Privately(content) => Ok(complaint("order", &plain(&content.text))),
        }
    }
}

/// Who may tick the checklist, and nudge.
pub fn tickers(permissions: &Permissions) -> Vec<String> {
    let mut holders = permissions.start.clone();
    holders.extend(
        permissions
            .approve
            .iter()
            .filter(|id| !permissions.start.contains(id))
            .cloned(),
    );
    holders
}

fn complaint(block: &str, why: &str) -> Ack {
    Ack::Errors([(block.to_owned(), why.to_owned())].into())
}

/// A modal's complaints are plain text: markup would be shown as it is written.
fn plain(mrkdwn: &str) -> String {
    crate::slack::text::plain(mrkdwn)
}

fn undecidable(why: Undecidable) -> crate::slack::Content {
    match why {
        Undecidable::Decided(decided) => text::already_decided(&decided),
        Undecidable::NotOpen | Undecidable::NoSuchChoice => text::stale_button(),
    }
}
