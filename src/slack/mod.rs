//! Slack as a transport: what we can say ([`Slack`]) and what people say to us ([`Inbound`]). Knows nothing of deployments.
//!
//! Inbound messages come by Socket Mode ([`socket`]) or by HTTP ([`http`]) and reach one [`Handler`]. The handler's answer is the
//! acknowledgement: it must be quick (Slack waits three seconds), so it validates, journals and returns; work comes later.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub mod client;
pub mod http;
mod inbound;
pub mod inspect;
pub mod kit;
mod recent;
pub mod socket;
pub mod text;

/// A message's id within its channel, as Slack writes it (`"1732438800.000100"`). Never a number: digits would be lost.
pub type Ts = String;

/// Marks a message as ours, so that one whose reply was lost can be found again. Flat strings: slack-morphism drops clicks on messages
/// whose metadata holds anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The deployment's id.
    pub deployment: String,
    /// The step or slot that this message belongs to.
    pub step_key: String,
}

/// Blocks and the text for notifications and screen readers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Always set.
    pub text: String,
    /// Block Kit, at most 50.
    pub blocks: Vec<Value>,
}

/// A new message.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    /// Channel id.
    pub channel: String,
    /// In this message's thread.
    pub thread: Option<Ts>,
    /// What it says.
    pub content: Content,
    /// How to find it again.
    pub metadata: Option<Metadata>,
}

/// How an answer to a response URL is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Respond {
    /// To the person alone.
    Ephemeral,
    /// Instead of the ephemeral message that was clicked.
    Replace,
}

/// Who we are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// The bot's user id.
    pub user_id: String,
    /// The workspace.
    pub team_id: String,
    /// The workspace's name.
    pub team: String,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// Id.
    pub id: String,
    /// What people call them.
    pub name: String,
    /// IANA time zone.
    pub tz: Option<String>,
}

/// A failed call. `Display` is one sentence: the method, Slack's code, what to do about the known ones.
#[derive(Clone, Debug, thiserror::Error)]
#[error("Slack: {method} failed: {message}")]
pub struct Error {
    /// The Web API method, or `response_url`.
    pub method: String,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub kind: ErrorKind,
}

/// What a caller can do about an [`Error`].
#[derive(Clone, Debug, PartialEq)]
pub enum ErrorKind {
    /// Connection, timeout, 5xx, an answer that is no JSON: it may have happened.
    Transient,
    /// 429: again after this long.
    RateLimited(Duration),
    /// `ok: false` with this code.
    Api(String),
}

impl Error {
    /// Worth another try.
    pub fn is_transient(&self) -> bool {
        !matches!(self.kind, ErrorKind::Api(_))
    }
}

/// Short for this module's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The Web API, as used. A test compares these methods' scopes with the manifest.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Slack: Send + Sync {
    /// `auth.test`.
    async fn identity(&self) -> Result<Identity>;
    /// `chat.postMessage`.
    async fn post(&self, post: Post) -> Result<Ts>;
    /// `chat.update`.
    async fn update(&self, channel: &str, ts: &str, content: Content, metadata: Option<Metadata>) -> Result<()>;
    /// A response URL (five uses, thirty minutes).
    async fn respond(&self, response_url: &str, how: Respond, content: Content) -> Result<()>;
    /// `views.open`: a trigger lives three seconds.
    async fn open_view(&self, trigger_id: &str, view: Value) -> Result<()>;
    /// `views.publish`: the App Home.
    async fn publish_home(&self, user: &str, view: Value) -> Result<()>;
    /// `conversations.history` or `conversations.replies`, newest of our own with this metadata.
    async fn find(&self, channel: &str, thread: Option<Ts>, metadata: &Metadata) -> Result<Option<Ts>>;
    /// `chat.getPermalink`.
    async fn permalink(&self, channel: &str, ts: &str) -> Result<String>;
    /// `usergroups.users.list`.
    async fn group_members(&self, group: &str) -> Result<Vec<String>>;
    /// `users.info`.
    async fn user(&self, id: &str) -> Result<User>;
    /// `conversations.info`: whether we are a member.
    async fn is_member(&self, channel: &str) -> Result<bool>;
}

/// What people do. `id` is what a redelivery has in common with the first delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "inbound", rename_all = "snake_case")]
pub enum Inbound {
    /// A slash command.
    Command(Command),
    /// A click, tick or choice.
    Action(Action),
    /// A modal was submitted.
    Submission(Submission),
    /// Somebody opened the App Home.
    HomeOpened {
        /// The event's id.
        id: String,
        /// Who.
        user: String,
    },
}

/// `/deploy …`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The trigger id: unique to this invocation.
    pub id: String,
    /// Where it was typed.
    pub channel: String,
    /// Who.
    pub user: String,
    /// Everything after the command's name, as typed.
    pub text: String,
    /// Opens a modal, for three seconds.
    pub trigger_id: String,
    /// Where an answer can be sent. Secret: not stored, not logged.
    #[serde(skip)]
    pub response_url: String,
}

/// A click on an interactive element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Trigger id, or made from channel, message, action, time and user.
    pub id: String,
    /// Who.
    pub user: String,
    /// Where the message is; `None` in a view.
    pub channel: Option<String>,
    /// The message clicked on.
    pub message: Option<Ts>,
    /// Its thread's root.
    pub thread: Option<Ts>,
    /// Which element.
    pub action_id: String,
    /// A button's value, or a select's chosen value.
    pub value: Option<String>,
    /// Check boxes: what this person's client shows as ticked.
    pub selected: Vec<String>,
    /// Opens a modal, for three seconds.
    pub trigger_id: String,
    /// As a command's.
    #[serde(skip)]
    pub response_url: String,
}

/// A submitted modal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// Made from the view's id and hash.
    pub id: String,
    /// Who.
    pub user: String,
    /// Which modal.
    pub callback_id: String,
    /// What we put into it.
    pub private_metadata: String,
    /// `action_id` → values: a text input has one, check boxes as many as are ticked.
    pub values: BTreeMap<String, Vec<String>>,
}

/// What Slack is told within three seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Ack {
    /// Taken; a modal closes.
    Empty,
    /// An answer to a command, shown to its sender alone.
    Ephemeral(Content),
    /// The modal stays open with these complaints: `block_id` → text.
    Errors(BTreeMap<String, String>),
}

/// Takes inbound messages. Must not panic; a panic is contained by the transport and answered as a failure.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The answer is the acknowledgement: quick, and only after what matters is durable. `Err` means "not taken": the transport doesn't
    /// acknowledge, so that Slack tells the person or delivers again. The text goes to the log.
    async fn handle(&self, inbound: Inbound) -> Result<Ack, String>;
}
