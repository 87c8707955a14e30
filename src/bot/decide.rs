//! What a click, a tick or a submitted modal does.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::modals::{self, Context};
use super::{Asked, Bot, Told, answers, home, told};
use crate::deploy::begin::Wish;
use crate::deploy::decide::About;
use crate::deploy::view::{QuestionKind, View};
use crate::deploy::{Tick, choice, text};
use crate::saga::Actor;
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
    /// Why, in their words: typed before the button was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
            (answers::ABORT_NOW, Some(click)) => self.abort_now(&click, &action).await,
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

    fn find(&self, deployment: &str) -> Result<Option<View>, String> {
        let found = self.0.desk.find(deployment).map_err(|error| error.to_string())?;
        Ok(found.map(|(_, view)| view))
    }

    /// Decides a checkpoint, if this person may and nobody was first.
    pub(super) async fn decide(&self, click: &Click, chosen: &str, user: &str, id: &str) -> Result<Told, String> {
        let about = About {
            deployment: &click.deployment,
            key: &click.key,
            digest: click.digest.as_deref(),
            reason: None,
            by: &Actor::Slack(user.to_owned()),
        };
        told(self.0.desk.decide(about, chosen, self.once(id)).await)
    }

    async fn edit(&self, click: &Click, action: &Action) -> Result<Told, String> {
        let Some(view) = self.find(&click.deployment)? else {
            return Ok(Told::Privately(text::stale_button()));
        };
        let question = view.questions.iter().find(|question| question.key == click.key);
        let Some(QuestionKind::ConfirmPrList { plan }) = question.map(|question| &question.kind) else {
            return Ok(Told::Privately(text::stale_button()));
        };
        let about = About {
            deployment: &click.deployment,
            key: &click.key,
            digest: None,
            reason: None,
            by: &Actor::Slack(action.user.clone()),
        };
        if let refused @ Told::Privately(_) = told(self.0.desk.may_decide(&about, choice::EDIT).await)? {
            return Ok(refused);
        }
        let context = Context {
            deployment: click.deployment.clone(),
            key: click.key.clone(),
        };
        self.open(&action.trigger_id, &action.response_url, modals::edit(&context, plan));
        Ok(Told::Nothing)
    }

    async fn ask_to_abort(&self, click: &Click, action: &Action) -> Result<Told, String> {
        let by = Actor::Slack(action.user.clone());
        match self.0.desk.may_abort(&click.deployment, &by).await {
            Ok(view) => self.open(&action.trigger_id, &action.response_url, modals::abort(&view)),
            Err(why) => return told(Err(why)),
        }
        Ok(Told::Nothing)
    }

    /// The button below what an abort would undo.
    async fn abort_now(&self, click: &Click, action: &Action) -> Result<Told, String> {
        let Some(view) = self.find(&click.deployment)? else {
            return Ok(Told::Privately(text::stale_button()));
        };
        let reason = click.reason.clone();
        let aborted = self.abort(&click.deployment, &action.user, reason, &action.id).await?;
        Ok(match aborted {
            Told::Nothing => Told::Instead(text::undoing(&view)),
            refused => refused,
        })
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
        let tick = Tick {
            item,
            done: !action.selected.is_empty(),
        };
        let also = self.once(&action.id);
        let by = Actor::Slack(action.user.clone());
        told(self.0.desk.tick(deployment, tick, &by, also).await)
    }

    pub(super) async fn submission(&self, submission: Submission) -> Result<Ack, String> {
        if submission.callback_id == modals::START {
            return self.started(&submission).await;
        }
        let context: Context = match serde_json::from_str(&submission.private_metadata) {
            Ok(context) => context,
            Err(_) => return Ok(Ack::Empty),
        };
        match submission.callback_id.as_str() {
            modals::EDIT => self.edited(&context, &submission).await,
            modals::ABORT => {
                let reason = submission
                    .values
                    .get("reason")
                    .and_then(|values| values.first())
                    .cloned();
                let reason = reason.filter(|reason| !reason.trim().is_empty());
                match self
                    .abort(&context.deployment, &submission.user, reason, &submission.id)
                    .await?
                {
                    Told::Nothing => Ok(Ack::Empty),
                    Told::Privately(content) | Told::Instead(content) => Ok(complaint("reason", &plain(&content.text))),
                }
            }
            _ => Ok(Ack::Empty),
        }
    }

    async fn started(&self, submission: &Submission) -> Result<Ack, String> {
        let Some(project) = self.0.config.project(&submission.private_metadata).cloned() else {
            return Ok(complaint(modals::BUMP, text::dialogue::PROJECT_GONE));
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
            Told::Privately(content) | Told::Instead(content) => Ok(complaint(modals::BUMP, &plain(&content.text))),
        }
    }

    async fn edited(&self, context: &Context, submission: &Submission) -> Result<Ack, String> {
        let selection = match modals::edited(&submission.values) {
            Ok(selection) => selection,
            Err((block, why)) => return Ok(complaint(&block, &why)),
        };
        let about = About {
            deployment: &context.deployment,
            key: &context.key,
            digest: None,
            reason: None,
            by: &Actor::Slack(submission.user.clone()),
        };
        let decided = self.0.desk.edit(about, &selection, self.once(&submission.id)).await;
        match told(decided)? {
            Told::Nothing => Ok(Ack::Empty),
            Told::Privately(content) | Told::Instead(content) => Ok(complaint("order", &plain(&content.text))),
        }
    }
}

fn complaint(block: &str, why: &str) -> Ack {
    Ack::Errors([(block.to_owned(), why.to_owned())].into())
}

/// A modal's complaints are plain text: markup would be shown as it is written.
fn plain(mrkdwn: &str) -> String {
    crate::slack::text::plain(mrkdwn)
}
