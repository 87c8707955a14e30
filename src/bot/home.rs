//! The App Home: what waits for this person, their pull requests in flight, what runs now, and the switch that mutes their mentions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::slots::Slots;
use super::{Bot, cards};
use crate::deploy::text::{self, Fate, Medium, dialogue, home as words};
use crate::deploy::view::{Question, QuestionKind, View};
use crate::saga::Actor;
use crate::slack::kit::{self, Style};
use crate::slack::text::{escape, truncate};

/// Mutes whoever presses it.
pub const MUTE: &str = "home/mute";
/// And the other way.
pub const UNMUTE: &str = "home/unmute";

/// Lines of a list.
const LIST: usize = 30;

/// What one person's Home is made of.
pub struct Home<'a> {
    /// What runs.
    pub views: &'a [View],
    /// Deployments and keys of the questions that this person may answer.
    pub waits: Vec<(&'a View, &'a Question)>,
    /// Their GitHub login.
    pub login: Option<&'a str>,
    /// Whether they asked not to be mentioned.
    pub muted: bool,
    /// By deployment: the page of its message in the channel.
    pub links: BTreeMap<String, String>,
    /// The time.
    pub now: DateTime<Utc>,
}

impl Home<'_> {
    /// A deployment's title as a link to its message.
    fn title(&self, view: &View) -> String {
        let title = escape(&text::title(view));
        match self.links.get(&view.id) {
            Some(url) => format!("*{}*", kit::link(url, &title)),
            None => format!("*{title}*"),
        }
    }

    /// As Slack takes it.
    pub fn drawn(&self) -> Value {
        let mut blocks = vec![kit::header(words::WAITS)];
        let waits = self.waits.iter().map(|(view, question)| {
            format!(
                "{} · {}",
                self.title(view),
                text::wait(view, question, self.now, Medium::Slack)
            )
        });
        blocks.extend(listed(waits.collect(), words::NOTHING_WAITS));
        blocks.push(kit::header(words::IN_FLIGHT));
        let none = match self.login {
            Some(_) => words::NONE_IN_FLIGHT,
            None => words::NO_LOGIN,
        };
        blocks.extend(listed(self.in_flight(), none));
        blocks.push(kit::header(words::RUNS));
        let runs = self.views.iter().map(|view| {
            let (emoji, word) = text::state(view.state);
            format!(
                "{} in <#{}> · {emoji} {word}\n{}",
                self.title(view),
                escape(&view.channel),
                text::now(view, self.now, Medium::Slack)
            )
        });
        blocks.extend(listed(runs.collect(), words::NOTHING_RUNS));
        blocks = kit::capped(blocks, dialogue::AND_MORE);
        blocks.truncate(kit::BLOCKS - 2);
        let (sentence, label, action) = match self.muted {
            true => (words::MUTED, dialogue::MENTION_AGAIN, UNMUTE),
            false => (words::MENTIONED, dialogue::DO_NOT_MENTION, MUTE),
        };
        blocks.push(kit::divider());
        blocks.push(kit::section_with(
            sentence,
            kit::button(label, action, "home", Style::Plain),
        ));
        json!({ "type": "home", "blocks": blocks })
    }

    fn in_flight(&self) -> Vec<String> {
        let Some(login) = self.login else {
            return Vec::new();
        };
        let mine = |author: &str| author.eq_ignore_ascii_case(login);
        let mut lines = Vec::new();
        for view in self.views {
            let cars = view.cars.iter().filter(|car| mine(&car.car.author));
            lines.extend(cars.map(|car| format!("{} · {}", cards::car_line(car), self.title(view))));
            let out = view.excluded.iter().filter(|out| mine(&out.author));
            lines.extend(out.map(|out| {
                let head = text::fate(Fate::LeftOut, view);
                format!("{head} {} · {}", text::excluded(out, Medium::Slack), self.title(view))
            }));
        }
        lines
    }
}

fn listed(mut lines: Vec<String>, none: &str) -> Vec<Value> {
    if lines.is_empty() {
        return vec![kit::section(none)];
    }
    let more = lines.len().saturating_sub(LIST);
    lines.truncate(LIST);
    lines = lines.iter().map(|line| truncate(line, 1500)).collect();
    if more > 0 {
        lines.push(text::more(more, ""));
    }
    kit::lines(&lines)
}

/// Who may answer a question.
pub fn holders(view: &View, question: &Question) -> Vec<String> {
    let permissions = &view.permissions;
    match question.kind {
        QuestionKind::ConfirmPrList { .. } => permissions.start.clone(),
        QuestionKind::Checklist { .. } => crate::deploy::decide::tickers(permissions),
        QuestionKind::Approve { .. } => view.approvers(),
        QuestionKind::Attention { .. } | QuestionKind::Issues { .. } | QuestionKind::Unmerged { .. } => {
            permissions.approve.clone()
        }
    }
}

impl Bot {
    /// Draws somebody's Home, after the acknowledgement.
    pub(super) fn show_home(&self, user: &str) {
        let (bot, user) = (self.clone(), user.to_owned());
        tokio::spawn(async move {
            let views = bot.running_views();
            let mut waits = Vec::new();
            let mut links = BTreeMap::new();
            for view in &views {
                for question in &view.questions {
                    if bot.waits_for(view, question, &user).await {
                        waits.push((view, question));
                    }
                }
                links.extend(bot.permalink(view).await.map(|url| (view.id.clone(), url)));
            }
            let home = Home {
                views: &views,
                waits,
                login: bot.0.config.people.get(&user).map(String::as_str),
                muted: bot.0.audience.now().is_muted(&user),
                links,
                now: bot.engine().clock().now(),
            };
            if let Err(error) = bot.0.slack.publish_home(&user, home.drawn()).await {
                tracing::warn!(%error, "the App Home can't be shown");
            }
        });
    }

    async fn waits_for(&self, view: &View, question: &Question, user: &str) -> bool {
        let who = Actor::Slack(user.to_owned());
        let approving = matches!(question.kind, QuestionKind::Approve { .. });
        let two_people = view.permissions.two_person && view.started_by == who;
        let answered = question.votes.contains(&who) || approving && two_people;
        !answered && self.0.desk.people().among(user, &holders(view, question)).await
    }

    async fn permalink(&self, view: &View) -> Option<String> {
        let posted = Slots::new(self.engine().store().clone()).read(&view.id).ok()?;
        self.0.slack.permalink(&view.channel, posted.root()?).await.ok()
    }

    /// The switch of the Home; `name` is looked up, so that people can still read who is meant.
    pub(super) async fn mute(&self, user: &str) -> Result<(), String> {
        let login = self.0.config.people.get(user);
        let known = login.cloned().unwrap_or_else(|| "somebody".to_owned());
        let muted = self.0.audience.mute(user, &known).await;
        muted.map_err(|error| error.to_string())?;
        let (bot, user) = (self.clone(), user.to_owned());
        tokio::spawn(async move {
            let named = match bot.0.slack.user(&user).await {
                Ok(person) if bot.0.audience.now().is_muted(&user) => bot.0.audience.mute(&user, &person.name).await,
                _ => Ok(()),
            };
            if let Err(error) = named {
                tracing::warn!(%error, "a muted person's name can't be noted");
            }
            bot.show_home(&user);
        });
        Ok(())
    }

    pub(super) async fn unmute(&self, user: &str) -> Result<(), String> {
        let unmuted = self.0.audience.unmute(user).await;
        unmuted.map_err(|error| error.to_string())?;
        self.show_home(user);
        Ok(())
    }
}
