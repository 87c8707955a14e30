//! The double of Slack: a workspace ([`model`]) behind Slack's own protocols ([`api`], [`socket`]), with its rules ([`rules`]), and the
//! people in it, whose verbs tests, the autopilot and the page use alike ([`people`]).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::faults::Faults;
use super::locked;

mod api;
pub mod model;
pub mod people;
mod rules;
mod socket;
pub mod transcript;

use model::{CHANNEL, Workspace};

const BOT_TOKEN: &str = "xoxb-sandbox-token-of-no-value";
const APP_TOKEN: &str = "xapp-sandbox-token-of-no-value";
const SIGNING_SECRET: &str = "sandbox-signing-secret";

/// What to start with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Channels.
    pub channels: Vec<String>,
    /// Slack waits three seconds for an acknowledgement.
    pub ack_deadline: Duration,
    /// Deliver to this base URL by signed HTTP instead of over the socket.
    pub http: Option<String>,
    /// Enforce one message a second in a channel and fifty edits a minute.
    pub rate_limits: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            channels: vec![CHANNEL.to_owned()],
            ack_deadline: Duration::from_secs(3),
            http: None,
            rate_limits: false,
        }
    }
}

struct Inner {
    address: SocketAddr,
    options: Options,
    workspace: Mutex<Workspace>,
    changes: watch::Sender<u64>,
    faults: Faults,
    calls: Mutex<std::collections::BTreeMap<String, u64>>,
    /// Live sockets of the app, to send frames to.
    sockets: Mutex<Vec<(u64, mpsc::UnboundedSender<String>)>>,
    /// Envelopes that wait for their acknowledgement.
    waiting: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    /// When each channel's last posts and edits were, for the rate limits.
    pace: Mutex<HashMap<String, Vec<tokio::time::Instant>>>,
    server: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(server) = locked(&self.server).take() {
            server.abort();
        }
    }
}

/// The double. Clones share it.
#[derive(Clone)]
pub struct SlackDouble(Arc<Inner>);

impl SlackDouble {
    /// Starts it on a free port of this machine.
    ///
    /// # Errors
    /// One sentence.
    pub async fn start(options: Options) -> Result<Self, String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let mut workspace = Workspace::default();
        for channel in &options.channels {
            workspace.channels.insert(channel.clone(), Vec::new());
        }
        let double = Self(Arc::new(Inner {
            address: listener.local_addr().map_err(|error| error.to_string())?,
            options,
            workspace: Mutex::new(workspace),
            changes: watch::Sender::new(0),
            faults: Faults::default(),
            calls: Mutex::default(),
            sockets: Mutex::default(),
            waiting: Mutex::default(),
            pace: Mutex::default(),
            server: Mutex::default(),
        }));
        let routes = api::router(Arc::downgrade(&double.0));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        *locked(&double.0.server) = Some(server);
        Ok(double)
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

    /// What it signs with in HTTP mode.
    pub fn signing_secret(&self) -> String {
        SIGNING_SECRET.to_owned()
    }

    /// Its faults.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Counts visible changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The workspace as it is now.
    pub fn workspace(&self) -> Workspace {
        locked(&self.0.workspace).clone()
    }

    /// What took effect so far, in order.
    pub fn ledger(&self) -> Vec<String> {
        locked(&self.0.workspace).ledger.clone()
    }

    /// What a real Slack would have refused or shown as broken.
    pub fn violations(&self) -> Vec<String> {
        locked(&self.0.workspace).violations.clone()
    }

    /// Calls so far, by method.
    pub fn calls(&self) -> std::collections::BTreeMap<String, u64> {
        locked(&self.0.calls).clone()
    }

    /// The deploy channel as a person reads it.
    pub fn transcript(&self) -> String {
        transcript::channel(&locked(&self.0.workspace), CHANNEL)
    }

    /// Changes the workspace and tells whoever watches.
    fn change<T>(&self, act: impl FnOnce(&mut Workspace) -> T) -> T {
        let done = act(&mut locked(&self.0.workspace));
        self.0.changes.send_modify(|count| *count += 1);
        done
    }

    /// Waits until the workspace shows what `look` is after.
    ///
    /// # Errors
    /// When `limit` passes first: with the whole channel as it then is.
    pub async fn wait_for<T>(
        &self,
        limit: Duration,
        what: &str,
        look: impl Fn(&Workspace) -> Option<T>,
    ) -> Result<T, String> {
        let mut changes = self.changes();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = look(&locked(&self.0.workspace)) {
                    return found;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let found = tokio::time::timeout(limit, waiting).await;
        found.map_err(|_| format!("waited in vain for {what}; the channel:\n{}", self.transcript()))
    }
}

#[cfg(test)]
mod tests;
