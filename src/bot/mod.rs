//! The bot: what people type and click in the deploy channel, and what they see there.
//!
//! An inbound message is checked, made durable and acknowledged here, in that order and at once; whatever needs GitHub or Slack comes after
//! the acknowledgement. Who may do what is checked against the person who clicks or types, every time.
//!
//! Reading order: [`command`] (the words), [`start`] and [`queue`] (who may begin, and when), [`cards`] (what stands in Slack), [`projector`]
//! (makes it so), [`decide`] (what a click does), [`home`] (each person's own page).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::Notify;

use crate::config::{Config, Project};
use crate::deploy::Deployments;
use crate::deploy::decide::{Desk, Refusal};
use crate::deploy::permits::Permit;
use crate::deploy::stats::{Run, Stats};
use crate::deploy::text;
use crate::deploy::train::Plan;
use crate::deploy::view::View;
use crate::saga::engine::project_of;
use crate::saga::store::Op;
use crate::saga::{Actor, Engine};
use crate::slack::{Ack, Content, Handler, Inbound, Respond, Slack};

pub mod answers;
pub mod audience;
pub mod cards;
pub mod command;
pub mod decide;
pub mod home;
pub mod housekeeping;
pub mod modals;
pub mod nudge;
pub mod plan;
pub mod projector;
pub mod queue;
pub mod slots;
pub mod start;

use crate::deploy::begin::Wish;
use audience::Audiences;
use command::{Command, Named};
use plan::Planner;

/// How many deployments `history` lists.
const LATEST: usize = 10;
/// A dry run's list is offered in the start dialogue for so long.
const PLAN_KEPT: TimeDelta = TimeDelta::minutes(15);

/// The inbound side of the bot.
#[derive(Clone)]
pub struct Bot(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    engine: Engine<Deployments>,
    slack: Arc<dyn Slack>,
    audience: Audiences,
    desk: Desk,
    planner: Planner,
    /// By project: when the last dry run was made, and what it found.
    plans: Mutex<HashMap<String, Planned>>,
    /// Somebody joined a queue.
    queued: Notify,
}

type Planned = (DateTime<Utc>, Arc<Plan>);

/// Who asks, and the id that a redelivery of the same message has in common with it.
#[derive(Clone, Copy)]
struct Asked<'a> {
    user: &'a str,
    id: &'a str,
}

/// What a person is told, and by what way.
enum Told {
    /// Nothing: the card says it.
    Nothing,
    /// To them alone.
    Privately(Content),
    /// To them alone, instead of what they clicked on.
    Instead(Content),
}

impl Bot {
    /// Over the engine and Slack; decisions are taken at `desk`.
    pub fn new(
        config: Arc<Config>,
        engine: Engine<Deployments>,
        slack: Arc<dyn Slack>,
        desk: Desk,
        planner: Planner,
    ) -> Self {
        Self(Arc::new(Inner {
            audience: Audiences::new(config.clone(), engine.store().clone()),
            plans: Mutex::default(),
            queued: Notify::new(),
            config,
            engine,
            slack,
            desk,
            planner,
        }))
    }

    fn engine(&self) -> &Engine<Deployments> {
        &self.0.engine
    }

    /// A change that makes a redelivery of the same message harmless: it goes into the same commit as what the message does.
    fn once(&self, id: &str) -> Vec<Op> {
        vec![Op::Claim {
            key: format!("seen/{id}"),
            value: json!(self.engine().clock().now().timestamp()),
        }]
    }

    async fn command(&self, typed: crate::slack::Command) -> Result<Ack, String> {
        let Some(project) = self.0.config.project_of_channel(&typed.channel) else {
            return Ok(private(text::wrong_channel(&self.0.config.projects)));
        };
        let asked = Asked {
            user: &typed.user,
            id: &typed.id,
        };
        let told = match command::parse(&typed.text) {
            Err(complaint) if command::begins_with_a_word(&typed.text) => Told::Privately(text::complaint(&complaint)),
            Err(complaint) => Told::Privately(text::unknown_word(&complaint, help())),
            Ok(Command::Help) => Told::Privately(help()),
            Ok(Command::Overview | Command::Status) => self.status(project, &typed.user).await?,
            Ok(Command::Start(named) | Command::Plan(named)) if !self.is_meant(project, &named) => {
                Told::Privately(self.another_project(project, &named))
            }
            Ok(Command::Start(named)) => self.start(project, named.wish, asked).await?,
            Ok(Command::Plan(named)) => self.plan(project, named.wish, &typed)?,
            Ok(Command::Abort { reason }) => self.abort_running(project, &typed.user, reason).await?,
            Ok(Command::Retry) => self.retry(project, &typed).await?,
            Ok(Command::Nudge) => self.nudge(project, asked).await?,
            Ok(Command::Notes) => self.notes(project)?,
            Ok(Command::Lock { reason, lasting }) => self.lock(project, reason, lasting, &typed).await?,
            Ok(Command::Unlock) => self.unlock(project, &typed).await?,
            Ok(Command::Queue) => self.queue(project)?,
            Ok(Command::QueueCancel) => self.leave_queue(project, &typed.user).await?,
            Ok(Command::Stats) => self.stats(project)?,
            Ok(Command::History) => self.history(project)?,
            Ok(Command::Show { id }) => self.show(project, &id)?,
            Ok(Command::Whoami) => self.whoami(project, &typed.user).await,
        };
        Ok(match told {
            Told::Nothing => Ack::Empty,
            Told::Privately(content) | Told::Instead(content) => Ack::Ephemeral(content),
        })
    }

    /// One channel deploys one project: another name is a slip of the channel, and must not start what is deployed here.
    fn is_meant(&self, project: &Project, named: &Named) -> bool {
        named.project.as_ref().is_none_or(|name| *name == project.name)
    }

    fn another_project(&self, project: &Project, named: &Named) -> Content {
        let typed = named.project.as_deref().unwrap_or_default();
        let elsewhere = self.0.config.project(typed).map(|other| other.channel.as_str());
        text::typed::another_project(typed, &project.name, elsewhere)
    }

    /// The whole dry run; its answer comes after the acknowledgement.
    fn plan(&self, project: &Project, wish: Wish, typed: &crate::slack::Command) -> Result<Told, String> {
        let obstacles = self.obstacles(project)?.all;
        let request = wish.clone().of(project, Vec::new());
        let (bot, user, url) = (self.clone(), typed.user.clone(), typed.response_url.clone());
        tokio::spawn(async move {
            let project = &request.project;
            let content = match bot.0.planner.plan(&request).await {
                Ok(plan) => {
                    let may = bot.may_override(project, &user).await;
                    let content = answers::dry_run(project, &plan, &obstacles, &wish, may);
                    bot.remember_plan(&project.name, plan);
                    content
                }
                Err(problem) => text::plan_failed(&problem),
            };
            bot.tell(&url, content).await;
        });
        Ok(Told::Privately(text::planning()))
    }

    fn remember_plan(&self, project: &str, plan: Plan) {
        let entry = (self.engine().clock().now(), Arc::new(plan));
        let mut plans = self.0.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.insert(project.to_owned(), entry);
    }

    /// What a dry run found lately.
    fn known_plan(&self, project: &str) -> Option<Arc<Plan>> {
        let plans = self.0.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, plan) = plans.get(project)?;
        (self.engine().clock().now() - at < PLAN_KEPT).then(|| plan.clone())
    }

    async fn status(&self, project: &Project, user: &str) -> Result<Told, String> {
        let obstacles = self.obstacles(project)?.all;
        let line = self.waiting(project)?.len();
        let running = self.running_view(project)?;
        Ok(Told::Privately(match running {
            Some(view) => answers::runs(&view, &obstacles, line, self.engine().clock().now()),
            None => {
                let may = self.may_override(project, user).await;
                answers::nothing_runs(project, self.latest(project, 1)?.first(), &obstacles, line, may)
            }
        }))
    }

    fn running_view(&self, project: &Project) -> Result<Option<View>, String> {
        let running = self
            .engine()
            .running(&project.name)
            .map_err(|error| error.to_string())?;
        Ok(running.map(|journal| View::of(journal.id(), &journal.history())))
    }

    fn history(&self, project: &Project) -> Result<Told, String> {
        Ok(Told::Privately(text::history(&self.latest(project, LATEST)?)))
    }

    fn stats(&self, project: &Project) -> Result<Told, String> {
        let mut runs = Vec::new();
        for head in self.engine().store().heads() {
            if project_of(&head.saga) == Some(&project.name)
                && let Some(journal) = self.engine().journal(&head.saga).map_err(|error| error.to_string())?
            {
                let history = journal.history();
                runs.push(Run::of(&View::of(&head.saga, &history), &history));
            }
        }
        let stats = Stats::of(&runs, self.engine().clock().now());
        Ok(Told::Privately(text::stats(project, &stats)))
    }

    /// A project's latest deployments, newest first.
    fn latest(&self, project: &Project, count: usize) -> Result<Vec<View>, String> {
        let mut views = Vec::new();
        for head in self.engine().store().heads().iter().rev() {
            if views.len() == count {
                break;
            }
            if project_of(&head.saga) != Some(&project.name) {
                continue;
            }
            let journal = self.engine().journal(&head.saga).map_err(|error| error.to_string())?;
            views.extend(journal.map(|journal| View::of(&head.saga, &journal.history())));
        }
        Ok(views)
    }

    /// The notes of what runs, or of the last one that has a list.
    fn notes(&self, project: &Project) -> Result<Told, String> {
        let views = self.latest(project, LATEST)?;
        let notes = views.iter().find_map(|view| cards::notes(project, view));
        Ok(Told::Privately(notes.unwrap_or_else(text::no_notes)))
    }

    fn show(&self, project: &Project, id: &str) -> Result<Told, String> {
        let journal = self.engine().journal(id).map_err(|error| error.to_string())?;
        let view = journal.map(|journal| View::of(id, &journal.history()));
        Ok(Told::Privately(
            match view.filter(|view| view.project == project.name) {
                Some(view) => cards::status(&view, self.engine().clock().now()),
                None => text::unknown_deployment(id),
            },
        ))
    }

    async fn whoami(&self, project: &Project, user: &str) -> Told {
        let permissions = &project.permissions;
        let rights = [
            (&text::RIGHTS[..2], &permissions.start),
            (&text::RIGHTS[2..3], &permissions.approve),
            (&text::RIGHTS[3..4], &permissions.abort),
            (&text::RIGHTS[4..], &permissions.r#override),
        ];
        // At once: one after the other, a Slack that doesn't tell would cost the acknowledgement.
        let people = self.0.desk.people();
        let held = join_all(rights.map(|(_, holders)| people.among(user, holders))).await;
        let held = rights.iter().zip(held).filter(|(_, holds)| *holds);
        let may: Vec<String> = held
            .flat_map(|((what, _), _)| what.iter().map(|&what| what.to_owned()))
            .collect();
        let login = self.0.config.people.get(user).map(String::as_str);
        Told::Privately(text::whoami(user, login, &may))
    }

    /// What would be undone, with the button that does it: nothing is undone that wasn't shown before.
    async fn abort_running(&self, project: &Project, user: &str, reason: Option<String>) -> Result<Told, String> {
        let running = self
            .engine()
            .running(&project.name)
            .map_err(|error| error.to_string())?;
        let Some(journal) = running else {
            return Ok(Told::Privately(text::nothing_runs(project)));
        };
        match self
            .0
            .desk
            .may_abort(journal.id(), &Actor::Slack(user.to_owned()))
            .await
        {
            Ok(view) => Ok(Told::Privately(answers::would_undo(&view, reason))),
            Err(why) => told(Err(why)),
        }
    }

    async fn abort(&self, deployment: &str, user: &str, reason: Option<String>, id: &str) -> Result<Told, String> {
        let by = Actor::Slack(user.to_owned());
        told(self.0.desk.abort(deployment, &by, reason, self.once(id)).await)
    }

    async fn retry(&self, project: &Project, typed: &crate::slack::Command) -> Result<Told, String> {
        let running = self
            .engine()
            .running(&project.name)
            .map_err(|error| error.to_string())?;
        let Some(journal) = running else {
            return Ok(Told::Privately(text::nothing_runs(project)));
        };
        let choice = crate::saga::run::choice::RETRY;
        let question = journal
            .history()
            .open_checkpoints()
            .find(|open| open.choices.iter().any(|known| known == choice))
            .map(|open| open.key.clone());
        match question {
            Some(key) => {
                let click = decide::Click {
                    deployment: journal.id().to_owned(),
                    key,
                    digest: None,
                    reason: None,
                };
                self.decide(&click, choice, &typed.user, &typed.id).await
            }
            None => Ok(Told::Privately(text::nothing_to_retry())),
        }
    }

    /// The refusal, if this person isn't among those who may; it stands in the journal of what runs.
    async fn refusal(&self, project: &Project, user: &str, permit: Permit<'_>) -> Option<Told> {
        let by = Actor::Slack(user.to_owned());
        let refusal = self.0.desk.permitted(project, &by, permit).await.err()?;
        Some(Told::Privately(text::refused(&refusal)))
    }

    async fn tell(&self, response_url: &str, content: Content) {
        self.respond(response_url, Respond::Ephemeral, content).await;
    }

    async fn respond(&self, response_url: &str, how: Respond, content: Content) {
        // A click in the Home has none, and the Home itself shows what came of it.
        if response_url.is_empty() {
            return;
        }
        if let Err(error) = self.0.slack.respond(response_url, how, content).await {
            tracing::warn!(%error, "an answer did not reach its person");
        }
    }
}

fn help() -> Content {
    let words: Vec<_> = command::WORDS
        .iter()
        .map(|word| (word.word, word.arguments, word.help))
        .collect();
    text::help(&words)
}

fn private(content: Content) -> Ack {
    Ack::Ephemeral(content)
}

/// A decision as an answer: taken, refused with a sentence, or the store's failure (which is not acknowledged).
fn told(decided: Result<(), Refusal>) -> Result<Told, String> {
    match decided {
        Ok(()) => Ok(Told::Nothing),
        Err(Refusal::Failed(error)) => Err(error.to_string()),
        Err(why) => Ok(Told::Privately(text::refused(&why))),
    }
}

#[async_trait]
impl Handler for Bot {
    async fn handle(&self, inbound: Inbound) -> Result<Ack, String> {
        match inbound {
            Inbound::Command(command) => self.command(command).await,
            Inbound::Action(action) => {
                let url = action.response_url.clone();
                let (how, content) = match self.action(action).await? {
                    Told::Nothing => return Ok(Ack::Empty),
                    Told::Privately(content) => (Respond::Ephemeral, content),
                    Told::Instead(content) => (Respond::Replace, content),
                };
                let bot = self.clone();
                tokio::spawn(async move { bot.respond(&url, how, content).await });
                Ok(Ack::Empty)
            }
            Inbound::Submission(submission) => self.submission(submission).await,
            Inbound::HomeOpened { user, .. } => {
                self.show_home(&user);
                Ok(Ack::Empty)
            }
        }
    }
}

impl Bot {
    fn running_views(&self) -> Vec<View> {
        let running = |project: &Project| self.engine().running(&project.name).ok().flatten();
        let journals = self.0.config.projects.iter().filter_map(running);
        journals
            .map(|journal| View::of(journal.id(), &journal.history()))
            .collect()
    }
}
