//! A workspace: channels, people, messages, modals.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

/// The app that is being played with.
pub const BOT: &str = "U0SHIPMATE";
/// The workspace.
pub const TEAM: &str = "T0ACME";
/// The deploy channel.
pub const CHANNEL: &str = "C0DEPLOYS";
/// The people who may deploy.
pub const GROUP: &str = "S0DEPLOYERS";

/// Everybody: id, login, name.
pub const PEOPLE: [(&str, &str, &str); 5] = [
    ("U0ANA", "ana", "Ana Ruiz"),
    ("U0BEN", "ben", "Ben Okafor"),
    ("U0CHLOE", "chloe", "Chloé Martin"),
    ("U0DAN", "dan", "Dan Kim"),
    ("U0EVE", "eve", "Eve Lund"),
];

/// What a user is called.
pub fn name_of(user: &str) -> &str {
    let person = PEOPLE.iter().find(|(id, _, _)| *id == user);
    person.map_or(if user == BOT { "Shipmate" } else { user }, |(_, _, name)| name)
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id in the channel.
    pub ts: String,
    /// The thread it stands in.
    pub thread: Option<String>,
    /// Who wrote it.
    pub user: String,
    /// For notifications.
    pub text: String,
    /// Block Kit.
    pub blocks: Vec<Value>,
    /// How the app finds it again.
    pub metadata: Option<Value>,
    /// It was changed.
    pub edited: bool,
    /// Only this person sees it.
    pub only_for: Option<String>,
}

impl Message {
    /// As the Web API and payloads show it.
    pub fn json(&self, with_metadata: bool) -> Value {
        let mut value = json!({
            "type": "message", "ts": self.ts, "user": self.user, "text": self.text, "blocks": self.blocks, "team": TEAM,
        });
        if self.user == BOT {
            value["bot_id"] = json!("B0SHIPMATE");
            value["app_id"] = json!("A0SHIPMATE");
        }
        if let Some(thread) = &self.thread {
            value["thread_ts"] = json!(thread);
        }
        if let Some(metadata) = self.metadata.as_ref().filter(|_| with_metadata) {
            value["metadata"] = metadata.clone();
        }
        value
    }
}

/// An open modal.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its id.
    pub id: String,
    /// As the app sent it.
    pub view: Value,
    /// Complaints from its last submission, by block.
    pub errors: BTreeMap<String, String>,
}

/// The whole workspace.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// By channel, oldest first; ephemeral ones among them.
    pub channels: BTreeMap<String, Vec<Message>>,
    /// The modal that a person has open.
    pub views: BTreeMap<String, View>,
    /// What a person's App Home shows.
    pub homes: BTreeMap<String, Value>,
    /// Triggers that can still open a modal: whose, and when they end.
    pub triggers: HashMap<String, (String, tokio::time::Instant)>,
    /// Response URLs: channel, thread, user, the message clicked on, uses left.
    pub responses: HashMap<String, ResponseUrl>,
    /// What took effect, line by line.
    pub ledger: Vec<String>,
    /// What Slack would have refused or shown as broken.
    pub violations: Vec<String>,
    /// Counts everything that needs an id.
    pub clock: u64,
}

/// Where a response URL leads.
#[derive(Clone, Debug)]
pub struct ResponseUrl {
    /// The channel.
    pub channel: String,
    /// The person.
    pub user: String,
    /// The message that was clicked on.
    pub message: Option<String>,
    /// Slack takes five answers.
    pub left: u32,
}

impl Workspace {
    /// The next id.
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// The next timestamp.
    pub fn ts(&mut self) -> String {
        let count = self.tick();
        format!("{}.{:06}", 1_790_000_000 + count, count)
    }

    /// A message by id.
    pub fn message(&self, channel: &str, ts: &str) -> Option<&Message> {
        self.channels.get(channel)?.iter().find(|message| message.ts == ts)
    }

    /// A message by id, to change.
    pub fn message_mut(&mut self, channel: &str, ts: &str) -> Option<&mut Message> {
        self.channels
            .get_mut(channel)?
            .iter_mut()
            .find(|message| message.ts == ts)
    }

    /// What a person sees of a channel, threads included, oldest first.
    pub fn visible<'a>(&'a self, channel: &str, user: &'a str) -> impl DoubleEndedIterator<Item = &'a Message> {
        let messages = self.channels.get(channel).map(Vec::as_slice).unwrap_or_default();
        messages
            .iter()
            .filter(move |message| message.only_for.as_deref().is_none_or(|only| only == user))
    }
}
