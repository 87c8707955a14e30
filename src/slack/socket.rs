//! Socket Mode: Slack's messages over WebSockets that we open, so that nothing need be reachable from outside.
//!
//! What is promised:
//! 1. Something is always trying to connect. Opening has a deadline, a silent connection is given up, and attempts back off with jitter.
//! 2. Two lines are kept, and a line that Slack asks to `disconnect` is read on while its replacement opens: no message falls between.
//! 3. Each message has its own task, so a slow one holds up no other, and a panic costs one message. Their number is bounded.
//! 4. What the handler took is acknowledged after it took it, once; a message that comes again gets the same acknowledgement without
//!    being handled again. What the handler didn't take is not acknowledged: Slack tells the person, or delivers it again.
//! 5. Shutting down reads nothing new, and still sends the acknowledgements of what is being handled.
//!
//! The dangerous race: a message is handled, and its socket dies before the acknowledgement is out. Slack delivers it again on another
//! line, so what was seen is remembered across lines, together with the answer.
//!
//! slack-morphism drives this through its public extension point (`transport`), because its own Socket Mode client has no deadlines, no
//! back-off and no overlap, and calls the handler inside its read loop. What concerns us is read by our tolerant parser, as over HTTP,
//! and only the rest goes to the crate's listener: it acknowledges what its models reject, so that a click which nobody took would be
//! lost in silence.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use slack_morphism::listener::SlackClientEventsListenerEnvironment;
use slack_morphism::prelude::{
    HttpStatusCode, SlackApiToken, SlackApiTokenType, SlackClient, SlackClientSocketModeConfig,
    SlackClientSocketModeListener, SlackSocketModeListenerCallbacks,
};
use tokio::sync::watch;

use self::lines::Lines;
use self::transport::Transport;
use super::{Handler, client};

mod conversation;
mod lines;
mod transport;

/// How long things may take. The defaults suit Slack.
#[derive(Clone, Debug)]
pub struct Timing {
    /// For `apps.connections.open`, and again for the WebSocket's handshake.
    pub open: Duration,
    /// Between our pings.
    pub ping: Duration,
    /// Without any frame, pongs included, a connection counts as dead.
    pub idle: Duration,
    /// Before the second attempt; doubles with each.
    pub backoff_min: Duration,
    /// Between attempts at most.
    pub backoff_max: Duration,
    /// A line that lasted this long was a good one: the next opens at once.
    pub steady: Duration,
    /// How long a line is read on after Slack asked to disconnect, unless Slack closes it before.
    pub linger: Duration,
    /// For the last acknowledgements when a line ends.
    pub drain: Duration,
    /// Lines kept. Slack allows ten.
    pub lines: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(10),
            ping: Duration::from_secs(5),
            idle: Duration::from_secs(20),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            steady: Duration::from_secs(30),
            linger: Duration::from_secs(60),
            drain: Duration::from_secs(4),
            lines: 2,
        }
    }
}

/// A running Socket Mode client. Dropping it ends it without waiting.
pub struct SocketMode {
    connected: watch::Receiver<bool>,
    listener: SlackClientSocketModeListener<Transport>,
}

impl SocketMode {
    /// Begins connecting and goes on for ever. Fails only if the system's root certificates can't be read.
    pub async fn start(api_url: &str, app_token: SecretString, handler: Arc<dyn Handler>) -> io::Result<Self> {
        Self::start_with(api_url, app_token, handler, Timing::default()).await
    }

    /// As [`start`](Self::start), with other timing.
    pub async fn start_with(
        api_url: &str,
        app_token: SecretString,
        handler: Arc<dyn Handler>,
        timing: Timing,
    ) -> io::Result<Self> {
        let (lines, connected) = Lines::new();
        let config = SlackClientSocketModeConfig::new().with_max_connections_count(timing.lines);
        let client = Arc::new(SlackClient::new(Transport {
            web: client::connector(api_url)?,
            handler,
            lines,
            timing,
        }));
        // The crate's own handler would log whole bodies, which hold response URLs.
        let environment =
            SlackClientEventsListenerEnvironment::new(client).with_error_handler(|_, _, _| HttpStatusCode::OK);
        let callbacks = SlackSocketModeListenerCallbacks::new()
            .with_interaction_events(|_, _, _| async { Ok(()) })
            .with_push_events(|_, _, _| async { Ok(()) });
        let listener = SlackClientSocketModeListener::new(&config, Arc::new(environment), callbacks);
        let token = SlackApiToken::new(app_token.expose_secret().into()).with_token_type(SlackApiTokenType::App);
        listener.listen_for(&token).await.map_err(io::Error::other)?;
        listener.start().await;
        Ok(Self { connected, listener })
    }

    /// Whether Slack has greeted at least one line.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// Stops reading, sends what acknowledgements are still owed, and closes.
    pub async fn shutdown(self) {
        self.listener.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
