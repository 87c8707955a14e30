//! Starting: by word, by dialogue or from the queue; what keeps it from being made, and what may be done about that.

use super::answers::{self, MayOverride};
use super::queue::{self, Joined, PLACES, Waiting};
use super::{Asked, Bot, Told, told};
use crate::config::Project;
use crate::deploy::begin::{NotBegun, Wish};
use crate::deploy::lock::{self, Lock, Obstacles, Said, Turn};
use crate::deploy::view::View;
use crate::deploy::{permits, text};
use crate::saga::Actor;
use crate::slack::Content;

impl Bot {
    /// What keeps a deployment of this project from being started now.
    pub(super) fn obstacles(&self, project: &Project) -> Result<Obstacles, String> {
        let engine = self.engine();
        lock::obstacles(&**engine.store(), project, engine.clock().now()).map_err(|error| error.to_string())
    }

    pub(super) async fn start(&self, project: &Project, wish: Wish, asked: Asked<'_>) -> Result<Told, String> {
        let by = Actor::Slack(asked.user.to_owned());
        let begun = self.0.desk.start(project, &wish, &by, &self.once(asked.id)).await;
        Ok(match begun {
            Ok(_) | Err(NotBegun::Seen) => Told::Nothing,
            Err(NotBegun::Refused(refusal)) => Told::Privately(text::refused(&refusal)),
            Err(NotBegun::Blocked {
                obstacles,
                may_override,
            }) => {
                let may = match may_override {
                    true => MayOverride::Yes,
                    false => MayOverride::No,
                };
                Told::Privately(answers::blocked(project, &obstacles, &wish, may))
            }
            Err(NotBegun::Running(id)) => {
                let running = self.engine().journal(&id).map_err(|error| error.to_string())?;
                let view = running.map(|journal| View::of(&id, &journal.history()));
                Told::Privately(answers::occupied(
                    &id,
                    view.as_ref(),
                    &wish,
                    self.engine().clock().now(),
                ))
            }
            Err(NotBegun::Draining) => Told::Privately(text::draining()),
            Err(NotBegun::Failed(error)) => return Err(error),
        })
    }

    pub(super) async fn may_override(&self, project: &Project, user: &str) -> MayOverride {
        match self.0.desk.people().among(user, &project.permissions.r#override).await {
            true => MayOverride::Yes,
            false => MayOverride::No,
        }
    }

    /// Opens the start dialogue with what is known: a wish that was refused, a plan that was made lately.
    pub(super) async fn open_start(
        &self,
        project: &Project,
        wish: &Wish,
        user: &str,
        trigger_id: &str,
        response_url: &str,
    ) -> Result<Told, String> {
        let permit = permits::to_start(&project.permissions);
        if let Some(refusal) = self.refusal(project, user, permit).await {
            return Ok(refusal);
        }
        let obstacles = self.obstacles(project)?.all;
        let permit = permits::to_override(&project.permissions);
        if !obstacles.is_empty()
            && let Some(refusal) = self.refusal(project, user, permit).await
        {
            return Ok(refusal);
        }
        let plan = self.known_plan(&project.name);
        let modal = super::modals::start(project, wish, plan.as_deref(), &obstacles);
        self.open(trigger_id, response_url, modal);
        Ok(Told::Nothing)
    }

    pub(super) async fn lock(
        &self,
        project: &Project,
        reason: String,
        lasting: Option<std::time::Duration>,
        typed: &crate::slack::Command,
    ) -> Result<Told, String> {
        let by = Actor::Slack(typed.user.clone());
        let also = self.once(&typed.id);
        let turn = match self.0.desk.lock(project, &by, reason, lasting, also).await {
            Ok(turn) => turn,
            Err(refusal) => return told(Err(refusal)),
        };
        if let Turn::Done(lock) = &turn {
            let content = text::now_locked(project, lock);
            self.announce(project, lock, Said::Locked, content, &typed.response_url);
        }
        Ok(text::locked(&turn).map_or(Told::Nothing, Told::Privately))
    }

    pub(super) async fn unlock(&self, project: &Project, typed: &crate::slack::Command) -> Result<Told, String> {
        let by = Actor::Slack(typed.user.clone());
        let turn = match self.0.desk.unlock(project, &by, self.once(&typed.id)).await {
            Ok(turn) => turn,
            Err(refusal) => return told(Err(refusal)),
        };
        if let Turn::Done(lock) = &turn {
            let content = text::now_unlocked(project, lock, &by);
            self.announce(project, lock, Said::Unlocked, content, &typed.response_url);
        }
        Ok(text::locked(&turn).map_or(Told::Nothing, Told::Privately))
    }

    /// To everybody in the channel, after the acknowledgement; to its cause alone if that fails.
    fn announce(&self, project: &Project, lock: &Lock, said: Said, content: Content, response_url: &str) {
        let (bot, project, lock, url) = (self.clone(), project.clone(), lock.clone(), response_url.to_owned());
        tokio::spawn(async move {
            let hushed = bot.0.audience.now().hushed(content.clone());
            let told = lock::announce(&*bot.0.slack, &project, &lock, said, hushed).await;
            if told.is_err() {
                bot.tell(&url, content).await;
            }
        });
    }

    /// Joins the queue; who may start may wait.
    pub(super) async fn join_queue(&self, project: &Project, wish: Wish, asked: Asked<'_>) -> Result<Told, String> {
        let permit = permits::either(&project.permissions.start, "queue a deployment");
        if let Some(refusal) = self.refusal(project, asked.user, permit).await {
            return Ok(refusal);
        }
        let waiting = Waiting {
            user: asked.user.to_owned(),
            at: self.engine().clock().now(),
            wish,
        };
        let joined = queue::join(&**self.engine().store(), &project.name, waiting, &self.once(asked.id)).await;
        let joined = joined.map_err(|error| error.to_string())?;
        // It may have ended meanwhile.
        self.0.queued.notify_one();
        Ok(match joined {
            Joined::Place(place) => Told::Privately(text::queued(place)),
            Joined::Full => Told::Privately(text::queue_full(PLACES)),
            Joined::Seen => Told::Nothing,
        })
    }

    pub(super) fn queue(&self, project: &Project) -> Result<Told, String> {
        let line = self.waiting(project)?;
        let rows: Vec<_> = line
            .into_iter()
            .map(|waiting| (Actor::Slack(waiting.user), waiting.at))
            .collect();
        Ok(Told::Privately(text::queue(&rows)))
    }

    /// The project's queue.
    pub(super) fn waiting(&self, project: &Project) -> Result<Vec<Waiting>, String> {
        queue::line(&**self.engine().store(), &project.name).map_err(|error| error.to_string())
    }

    pub(super) async fn leave_queue(&self, project: &Project, user: &str) -> Result<Told, String> {
        let left = queue::leave(&**self.engine().store(), &project.name, user).await;
        Ok(Told::Privately(text::left_queue(
            left.map_err(|error| error.to_string())?,
        )))
    }
}
