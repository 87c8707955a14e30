//! The workspace as plain state: people, channels, messages, modals, Homes, and what has been used up. No protocol here.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::elements::state_values;
use super::people::Reply;
use super::transcript;
use crate::slack::Ts;

/// The workspace's id.
pub const TEAM: &str = "T0ACME";
/// The workspace's name.
pub const TEAM_NAME: &str = "Acme";
/// The channel that is always there.
pub const DEPLOYS: &str = "C0DEPLOYS";
/// The user group that may deploy.
pub const DEPLOYERS: &str = "S0DEPLOYERS";
/// What people mention that group as.
pub const DEPLOYERS_HANDLE: &str = "deployers";
/// The bot's user id.
pub const BOT: &str = "U0SHIPMATE";
/// The bot's id as a bot.
pub const BOT_ID: &str = "B0SHIPMATE";
/// The bot's name.
pub const BOT_NAME: &str = "Shipmate";
/// The app's id.
pub const APP: &str = "A0SHIPMATE";

/// Uses of one response URL.
const RESPONSES: u32 = 5;
/// Life of a response URL.
const RESPONSE_LIFE: Duration = Duration::from_secs(30 * 60);

/// Somebody.
#[derive(Clone, Debug)]
pub struct Person {
    /// Id.
    pub id: String,
    /// Handle, as in the payloads' `user.name`.
    pub handle: String,
    /// As others see it.
    pub name: String,
    /// IANA time zone.
    pub tz: String,
}

/// A channel. Everybody is a member; the bot perhaps.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Id.
    pub id: String,
    /// Without `#`.
    pub name: String,
    /// Whether the bot was invited.
    pub bot_is_member: bool,
    /// Nobody can post any more.
    pub archived: bool,
}

/// One element as one person's client sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touched {
    /// Whose client.
    pub user: String,
    /// The block.
    pub block_id: String,
    /// The element within.
    pub action_id: String,
}

/// A message, ephemeral ones included.
#[derive(Clone, Debug)]
pub struct Message {
    /// Id within the channel.
    pub ts: Ts,
    /// Where.
    pub channel: String,
    /// A person's id or the bot's.
    pub author: String,
    /// Its thread's root; `None` for the root itself.
    pub thread: Option<Ts>,
    /// The text for notifications.
    pub text: String,
    /// Each with a `block_id`, Slack's own where the app gave none.
    pub blocks: Vec<Value>,
    /// The app's.
    pub metadata: Option<Value>,
    /// Seen by this person alone.
    pub only_for: Option<String>,
    /// How often it was updated.
    pub edits: u32,
    /// What people's clients show as chosen. A client keeps it through updates for as long as the block's id stays.
    pub chosen: BTreeMap<Touched, Vec<String>>,
}

impl Message {
    /// Shows something else from now on.
    pub(super) fn rewrite(&mut self, text: String, blocks: Vec<Value>) {
        self.text = text;
        self.blocks = blocks;
        self.edits += 1;
        let blocks = &self.blocks;
        self.chosen
            .retain(|touched, _| blocks.iter().any(|block| block["block_id"] == *touched.block_id));
    }

    /// Whether it is on this person's screen.
    pub fn is_seen_by(&self, user: &str) -> bool {
        self.only_for.as_ref().is_none_or(|only| only == user)
    }
}

/// What a message says, before it has a place.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// As in [`Message`].
    pub channel: String,
    /// As in [`Message`].
    pub author: String,
    /// As in [`Message`].
    pub thread: Option<Ts>,
    /// As in [`Message`].
    pub text: String,
    /// As in [`Message`].
    pub blocks: Vec<Value>,
    /// As in [`Message`].
    pub metadata: Option<Value>,
    /// As in [`Message`].
    pub only_for: Option<String>,
}

/// An open modal or a published Home.
#[derive(Clone, Debug)]
pub struct View {
    /// Id.
    pub id: String,
    /// Changes with each update.
    pub hash: String,
    /// Whose screen.
    pub user: String,
    /// What the app sent, each block with a `block_id`.
    pub view: Value,
    /// The app's complaints about the last submission: `block_id` → text.
    pub errors: BTreeMap<String, String>,
}

impl View {
    /// Its blocks.
    pub fn blocks(&self) -> &[Value] {
        self.view["blocks"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// As it is shown, untouched.
    pub fn shown(&self) -> Value {
        self.payload(state_values(self.blocks(), |_| None))
    }

    /// As payloads and replies carry it, with `values` as its state.
    pub(super) fn payload(&self, values: Value) -> Value {
        let mut payload = self.view.clone();
        payload["id"] = json!(self.id);
        payload["hash"] = json!(self.hash);
        payload["team_id"] = json!(TEAM);
        payload["app_id"] = json!(APP);
        payload["bot_id"] = json!(BOT_ID);
        payload["state"] = json!({ "values": values });
        for absent in ["callback_id", "private_metadata", "external_id"] {
            if payload[absent].is_null() {
                payload[absent] = json!("");
            }
        }
        payload
    }
}

/// Opens one modal, soon.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub user: String,
    pub expires: Instant,
    pub used: bool,
}

/// Where an app answers a command or a click.
#[derive(Clone, Debug)]
pub(super) struct ResponseUrl {
    pub user: String,
    pub channel: String,
    pub thread: Option<Ts>,
    /// The message clicked on.
    pub original: Option<Ts>,
    pub uses_left: u32,
    pub expires: Instant,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// Where it is, without a slash at the end.
    pub url: String,
    /// By id.
    pub people: BTreeMap<String, Person>,
    /// User groups: id → members.
    pub groups: BTreeMap<String, Vec<String>>,
    /// By id.
    pub channels: BTreeMap<String, Channel>,
    /// In the order of their `ts`.
    pub messages: Vec<Message>,
    /// Open modals, the topmost last.
    pub views: Vec<View>,
    /// Published Homes, by person.
    pub homes: BTreeMap<String, View>,
    /// What the app was installed with.
    pub scopes: Vec<String>,
    /// Effects, a line each, in order.
    pub ledger: Vec<String>,
    /// Calls by method.
    pub calls: BTreeMap<String, u64>,
    /// Rules of Slack that the app broke, a sentence each.
    pub violations: Vec<String>,
    pub(super) triggers: BTreeMap<String, Trigger>,
    pub(super) response_urls: BTreeMap<String, ResponseUrl>,
    /// Microseconds since 1970 of the last `ts`.
    last_ts: u64,
    /// Ids given out.
    ids: u64,
}

/// The app is installed from the manifest, as people do it.
fn scopes_of_the_manifest() -> Vec<String> {
    let lines = include_str!("../../../slack-manifest.yaml").lines().map(str::trim);
    lines
        .skip_while(|line| *line != "bot:")
        .skip(1)
        .filter(|line| !line.starts_with('#'))
        .map_while(|line| line.strip_prefix("- "))
        .map(str::to_owned)
        .collect()
}

impl Workspace {
    /// Acme, its five people, its group, and `#deploys`.
    pub(super) fn acme(url: String) -> Self {
        let people = [
            ("U0ANA", "ana", "Ana Ruiz", "Europe/Madrid"),
            ("U0BEN", "ben", "Ben Okafor", "Africa/Lagos"),
            ("U0CHLOE", "chloe", "Chloé Martin", "Europe/Paris"),
            ("U0DAN", "dan", "Dan Kim", "Asia/Seoul"),
            ("U0EVE", "eve", "Eve Lund", "America/New_York"),
            (BOT, "shipmate", BOT_NAME, "Etc/UTC"),
        ];
        let person = |(id, handle, name, tz): (&str, &str, &str, &str)| Person {
            id: id.to_owned(),
            handle: handle.to_owned(),
            name: name.to_owned(),
            tz: tz.to_owned(),
        };
        let deployers = ["U0ANA", "U0BEN", "U0CHLOE"].map(str::to_owned).to_vec();
        let mut workspace = Self {
            people: people.map(person).map(|person| (person.id.clone(), person)).into(),
            groups: BTreeMap::from([(DEPLOYERS.to_owned(), deployers)]),
            url,
            scopes: scopes_of_the_manifest(),
            ..Self::default()
        };
        workspace.add_channel(DEPLOYS, "deploys");
        workspace
    }

    pub(super) fn add_channel(&mut self, id: &str, name: &str) {
        let channel = Channel {
            id: id.to_owned(),
            name: name.to_owned(),
            bot_is_member: true,
            archived: false,
        };
        self.channels.insert(channel.id.clone(), channel);
    }

    /// A `ts` of now, later than every other.
    pub(super) fn next_ts(&mut self) -> Ts {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.last_ts = now.max(self.last_ts + 100);
        format!("{}.{:06}", self.last_ts / 1_000_000, self.last_ts % 1_000_000)
    }

    /// Unique in this workspace.
    pub(super) fn next_id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}{:04}", self.ids)
    }

    /// Puts a message into its channel.
    pub(super) fn post(&mut self, draft: Draft) -> Ts {
        let ts = self.next_ts();
        let blocks = self.with_ids(draft.blocks);
        self.messages.push(Message {
            ts: ts.clone(),
            channel: draft.channel,
            author: draft.author,
            thread: draft.thread,
            text: draft.text,
            blocks,
            metadata: draft.metadata,
            only_for: draft.only_for,
            edits: 0,
            chosen: BTreeMap::new(),
        });
        ts
    }

    /// Gives blocks the ids that the app didn't.
    pub(super) fn with_ids(&mut self, mut blocks: Vec<Value>) -> Vec<Value> {
        for block in &mut blocks {
            if block.is_object() && block["block_id"].as_str().is_none_or(str::is_empty) {
                block["block_id"] = json!(self.next_id("b"));
            }
        }
        blocks
    }

    /// A view with a new id and hash, on nobody's screen yet.
    pub(super) fn new_view(&mut self, user: &str, mut view: Value) -> View {
        if let Some(blocks) = view["blocks"].as_array().cloned() {
            view["blocks"] = Value::Array(self.with_ids(blocks));
        }
        View {
            id: self.next_id("V"),
            hash: self.next_id("1732438800.h"),
            user: user.to_owned(),
            view,
            errors: BTreeMap::new(),
        }
    }

    /// Counts a call.
    pub(super) fn count(&mut self, method: &str) {
        *self.calls.entry(method.to_owned()).or_default() += 1;
    }

    /// Writes a message's effect into the ledger.
    pub(super) fn enter(&mut self, method: &str, channel: &str, ts: &str) {
        let Some(message) = self.message(channel, ts) else {
            return;
        };
        let mut line = format!("{method} {channel}");
        if message.thread.is_some() {
            line += " thread";
        }
        if let Some(user) = &message.only_for {
            line += &format!(" for={user}");
        }
        let slot = message
            .metadata
            .as_ref()
            .and_then(|metadata| metadata["event_payload"]["step_key"].as_str());
        if let Some(slot) = slot {
            line += &format!(" slot={slot}");
        }
        self.ledger.push(line);
    }

    /// A new trigger of this person.
    pub(super) fn new_trigger(&mut self, user: &str, life: Duration) -> String {
        let id = format!("{}.{}.{:08x}", self.next_id("73"), TEAM, fastrand::u32(..));
        let trigger = Trigger {
            user: user.to_owned(),
            expires: Instant::now() + life,
            used: false,
        };
        self.triggers.insert(id.clone(), trigger);
        id
    }

    /// A new response URL's id.
    pub(super) fn new_response_url(
        &mut self,
        user: &str,
        channel: &str,
        thread: Option<Ts>,
        original: Option<Ts>,
    ) -> String {
        let id = format!("{}-{:016x}", self.next_id("R"), fastrand::u64(..));
        let url = ResponseUrl {
            user: user.to_owned(),
            channel: channel.to_owned(),
            thread,
            original,
            uses_left: RESPONSES,
            expires: Instant::now() + RESPONSE_LIFE,
        };
        self.response_urls.insert(id.clone(), url);
        id
    }

    /// The message, ephemeral ones included.
    pub fn message(&self, channel: &str, ts: &str) -> Option<&Message> {
        self.messages
            .iter()
            .find(|message| message.channel == channel && message.ts == ts)
    }

    /// What this person sees in a channel, oldest first, threads and what is for them alone included.
    pub fn visible<'a>(&'a self, channel: &'a str, user: &'a str) -> impl DoubleEndedIterator<Item = &'a Message> {
        let seen = self.messages.iter().filter(move |message| message.is_seen_by(user));
        seen.filter(move |message| message.channel == channel)
    }

    /// All channels as plain text, threads indented, buttons as `[Label]`.
    pub fn transcript(&self) -> String {
        transcript::transcript(self)
    }

    /// One message as plain text.
    pub fn reads(&self, message: &Message) -> String {
        transcript::lines(self, message).join("\n")
    }

    /// What the app answered a command at once, as plain text.
    pub fn reads_reply(&self, reply: &Reply) -> String {
        let text = reply.text.as_deref().unwrap_or_default();
        transcript::content(self, text, &reply.blocks).join("\n")
    }

    /// mrkdwn as people read it: mentions by name, links by label, dates as `<time>`, without its marks.
    pub fn readable(&self, mrkdwn: &str) -> String {
        transcript::readable(self, mrkdwn)
    }

    pub(super) fn message_mut(&mut self, channel: &str, ts: &str) -> Option<&mut Message> {
        self.messages
            .iter_mut()
            .find(|message| message.channel == channel && message.ts == ts)
    }

    /// A message as payloads and replies carry it.
    pub(super) fn payload(&self, message: &Message, with_metadata: bool) -> Value {
        let mut payload = json!({
            "type": "message", "user": message.author, "ts": message.ts, "text": message.text, "team": TEAM,
        });
        if message.author == BOT {
            payload["bot_id"] = json!(BOT_ID);
            payload["app_id"] = json!(APP);
            payload["blocks"] = json!(message.blocks);
        }
        if let Some(root) = self.root_of(message) {
            payload["thread_ts"] = json!(root);
        }
        if let Some(root) = &message.thread {
            payload["parent_user_id"] = json!(self.message(&message.channel, root).map(|root| &root.author));
        } else if payload["thread_ts"].is_string() {
            payload["reply_count"] = json!(self.replies(message).count());
        }
        if let (true, Some(metadata)) = (with_metadata, &message.metadata) {
            payload["metadata"] = metadata.clone();
        }
        if message.edits > 0 {
            payload["edited"] = json!({ "user": message.author, "ts": message.ts });
        }
        payload
    }

    /// The thread that a message is in. A root is in its own as soon as there is a reply.
    pub(super) fn root_of<'a>(&self, message: &'a Message) -> Option<&'a Ts> {
        let own = || self.replies(message).next().map(|_| &message.ts);
        message.thread.as_ref().or_else(own)
    }

    fn replies<'a>(&'a self, root: &'a Message) -> impl Iterator<Item = &'a Message> {
        let within = |message: &&Message| message.channel == root.channel && message.thread.as_ref() == Some(&root.ts);
        self.messages
            .iter()
            .filter(|message| message.only_for.is_none())
            .filter(within)
    }

    /// The modal on top of this person's screen.
    pub fn open_view(&self, user: &str) -> Option<&View> {
        self.views.iter().rfind(|view| view.user == user)
    }

    /// What people call them; the id if nobody does.
    pub fn name<'a>(&'a self, user: &'a str) -> &'a str {
        self.people.get(user).map_or(user, |person| &person.name)
    }
}
