//! The double of Slack: a workspace (`model`) behind the Web API (`api`) and Socket Mode (`socket`), with Slack's own rules
//! (`rules`), and people in it (`people`) who type, click and read.
//!
//! What a person does waits for the app's acknowledgement, as Slack's client does, so a test needs no pauses: whoever waits for what comes
//! later uses [`SlackDouble::wait_for`], which looks again at each change and, when it gives up, shows the whole transcript.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::faults::Faults;
use super::locked;

mod api;
mod arguments;
mod delivery;
mod elements;
mod limits;
pub mod model;
mod people;
mod reads;
mod response_url;
mod rules;
mod socket;
mod transcript;
mod writes;

pub use model::{BOT, BOT_NAME, DEPLOYERS, DEPLOYS, Message, TEAM, Workspace};
pub use people::{Reply, Tick};

/// The one bot token it takes.
const BOT_TOKEN: &str = "xoxb-sandbox-token-of-no-value";
/// The one app token it takes.
const APP_TOKEN: &str = "xapp-sandbox-token-of-no-value";

/// What to start with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Further channels: id and name.
    pub more_channels: Vec<(String, String)>,
    /// How long the app has to acknowledge.
    pub ack_deadline: Duration,
    /// How long a trigger opens a modal.
    pub trigger_life: Duration,
    /// Whether Slack's rate limits hold: a message a second in each channel after three at once, fifty updates a minute.
    pub rate_limits: bool,
    /// Deliver to `{base}/slack/…` signed with this secret, instead of by Socket Mode.
    pub http: Option<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            more_channels: Vec::new(),
            ack_deadline: Duration::from_secs(3),
            trigger_life: Duration::from_secs(3),
            rate_limits: false,
            http: None,
        }
    }
}

struct Inner {
    address: SocketAddr,
    options: Options,
    workspace: Mutex<Workspace>,
    /// Where to deliver instead of by Socket Mode, and the secret to sign with.
    http: Mutex<Option<(String, String)>>,
    changes: watch::Sender<u64>,
    faults: Faults,
    limits: Mutex<limits::Limits>,
    socket: socket::Lines,
    server: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(server) = locked(&self.server).take() {
            server.abort();
        }
    }
}

/// The double. Clones share it; the last one's end closes its port.
#[derive(Clone)]
pub struct SlackDouble(Arc<Inner>);

impl SlackDouble {
    /// Starts it on a free port of this machine.
    ///
    /// # Errors
    /// One sentence: no port could be opened.
    pub async fn start(options: Options) -> Result<Self, String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let mut workspace = Workspace::acme(format!("http://{address}"));
        for (id, name) in &options.more_channels {
            workspace.add_channel(id, name);
        }
        let double = Self(Arc::new(Inner {
            address,
            http: Mutex::new(options.http.clone()),
            options,
            workspace: Mutex::new(workspace),
            changes: watch::Sender::new(0),
            faults: Faults::default(),
            limits: Mutex::default(),
            socket: socket::Lines::default(),
            server: Mutex::default(),
        }));
        let door = Arc::downgrade(&double.0);
        let routes = api::router(door.clone())
            .merge(response_url::router(door.clone()))
            .merge(socket::router(door));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        *locked(&double.0.server) = Some(server);
        Ok(double)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.address
    }

    /// For `api_url` in the configuration.
    pub fn api_url(&self) -> String {
        format!("http://{}/api", self.0.address)
    }

    /// The bot token it takes.
    pub fn bot_token(&self) -> String {
        BOT_TOKEN.to_owned()
    }

    /// The app token it takes.
    pub fn app_token(&self) -> String {
        APP_TOKEN.to_owned()
    }

    /// Its faults; a request line is `POST chat.postMessage`, or `POST response_url`.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Counts visible changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Looks at the workspace. Not for waiting, and nothing that blocks: the whole double stands still meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&Workspace) -> T) -> T {
        look(&locked(&self.0.workspace))
    }

    /// Changes the workspace behind the app's back: who is in a channel, who in a group.
    pub fn change<T>(&self, change: impl FnOnce(&mut Workspace) -> T) -> T {
        let done = change(&mut locked(&self.0.workspace));
        self.0.changes.send_modify(|count| *count += 1);
        done
    }

    /// A change that nobody sees.
    fn look_mut<T>(&self, look: impl FnOnce(&mut Workspace) -> T) -> T {
        look(&mut locked(&self.0.workspace))
    }

    /// The channel's own messages, oldest first, without threads and ephemeral ones.
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.all(|message| message.channel == channel && message.thread.is_none() && message.only_for.is_none())
    }

    /// A thread's root and its replies, oldest first.
    pub fn thread(&self, channel: &str, ts: &str) -> Vec<Message> {
        let within = |message: &Message| message.ts == ts || message.thread.as_deref() == Some(ts);
        self.all(|message| message.channel == channel && within(message) && message.only_for.is_none())
    }

    /// What this person alone sees, oldest first.
    pub fn ephemerals(&self, user: &str) -> Vec<Message> {
        self.all(|message| message.only_for.as_deref() == Some(user))
    }

    fn all(&self, wanted: impl Fn(&Message) -> bool) -> Vec<Message> {
        self.look(|workspace| {
            workspace
                .messages
                .iter()
                .filter(|message| wanted(message))
                .cloned()
                .collect()
        })
    }

    /// What took effect so far, in order.
    pub fn ledger(&self) -> Vec<String> {
        self.look(|workspace| workspace.ledger.clone())
    }

    /// Calls so far, by method.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.look(|workspace| workspace.calls.clone())
    }

    /// Rules of Slack that the app broke, a sentence each.
    pub fn violations(&self) -> Vec<String> {
        self.look(|workspace| workspace.violations.clone())
    }

    /// All channels as plain text, threads indented, buttons as `[Label]`.
    pub fn transcript(&self) -> String {
        self.look(Workspace::transcript)
    }

    /// Waits until `predicate` finds something in the workspace.
    ///
    /// # Errors
    /// `limit` passed: what was waited for, and the transcript.
    pub async fn wait_for<T>(
        &self,
        limit: Duration,
        what: &str,
        predicate: impl Fn(&Workspace) -> Option<T>,
    ) -> Result<T, String> {
        let mut changes = self.changes();
        let found = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = self.look(&predicate) {
                    return found;
                }
                // The sender lives as long as we do.
                let _ = changes.changed().await;
            }
        };
        let found = tokio::time::timeout(limit, found).await;
        found.map_err(|_| {
            format!(
                "waited {limit:?} in vain for {what}; the transcript:\n{}",
                self.transcript()
            )
        })
    }

    /// Delivers to `{base}/slack/…` from now on, signed with this secret, instead of by Socket Mode.
    pub fn deliver_over_http(&self, base: &str, signing_secret: &str) {
        *locked(&self.0.http) = Some((base.to_owned(), signing_secret.to_owned()));
    }

    /// Open Socket Mode lines.
    pub fn lines(&self) -> usize {
        self.0.socket.count()
    }

    /// Asks every line to disconnect, as Slack does every few hours (`refresh_requested`) or when it is switched off
    /// (`link_disabled`). The lines stay open until the app closes them.
    pub fn disconnect(&self, reason: &str) {
        self.0.socket.disconnect(reason);
    }

    /// Cuts every line without a word.
    pub fn cut(&self) {
        self.0.socket.cut();
    }

    /// Sends the next Socket Mode envelope twice, as Slack may when it lost sight of the first.
    pub fn repeat_next(&self) {
        self.0.socket.repeat_next();
    }
}

#[cfg(test)]
mod tests;
