//! Lines: how one is opened, and that there is always one or the attempt to open it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use slack_morphism::prelude::SlackSocketModeWssClientId;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::super::{ErrorKind, client};
use super::conversation::{Exchange, converse};

/// Slack's own messages are far smaller.
const MESSAGE_LIMIT: usize = 1024 * 1024;

/// Keeps one line open for ever, by opening the next whenever the last asks for it or is gone.
pub(super) async fn keep_line(exchange: Arc<Exchange>, first: SlackSocketModeWssClientId) {
    let timing = exchange.timing();
    let mut backoff = Backoff::new(timing.backoff_min, timing.backoff_max);
    let mut line = first;
    loop {
        let begun = Instant::now();
        let opened = tokio::select! {
            () = exchange.stop.cancelled() => return,
            opened = exchange.open() => opened,
        };
        let wanted_pause = match opened {
            Ok(socket) => {
                let (replace, replacement_wanted) = oneshot::channel();
                line = line.new_reconnected_id();
                let talk = converse(exchange.clone(), line.clone(), socket, replace);
                exchange.tasks.spawn(talk);
                // An error is as good an answer: the line is gone.
                let _ = replacement_wanted.await;
                Duration::ZERO
            }
            Err(failure) => {
                tracing::warn!("Socket Mode can't connect: {}", failure.sentence);
                failure.pause
            }
        };
        if begun.elapsed() >= timing.steady {
            backoff.reset();
            continue;
        }
        tokio::select! {
            () = exchange.stop.cancelled() => return,
            () = sleep(wanted_pause.max(backoff.pause())) => {}
        }
    }
}

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a line didn't open, and how long Slack wants to be left alone.
struct NotOpened {
    sentence: String,
    pause: Duration,
}

#[derive(Deserialize)]
struct Opened {
    url: String,
}

impl Exchange {
    async fn open(&self) -> Result<Socket, NotOpened> {
        let url = self.ticket().await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_LIMIT))
            .max_frame_size(Some(MESSAGE_LIMIT));
        let nodelay = true;
        let handshake = connect_async_with_config(url, Some(config), nodelay);
        match timeout(self.timing().open, handshake).await {
            Ok(Ok((socket, _))) => Ok(socket),
            // The error's text may hold the address, which holds the ticket.
            Ok(Err(_)) => Err(NotOpened::because("the WebSocket was refused")),
            Err(_) => Err(NotOpened::because("the WebSocket's handshake took too long")),
        }
    }

    /// An address that opens one WebSocket.
    async fn ticket(&self) -> Result<String, NotOpened> {
        const METHOD: &str = "apps.connections.open";
        let session = self.client.open_session(&self.token);
        let nothing = json!({});
        let call = session.http_session_api.http_post(METHOD, &nothing, None);
        let opened: Opened = client::within(self.timing().open, METHOD, call)
            .await
            .map_err(|error| NotOpened {
                sentence: error.to_string(),
                pause: match error.kind {
                    ErrorKind::RateLimited(pause) => pause,
                    _ => Duration::ZERO,
                },
            })?;
        Ok(opened.url)
    }
}

impl NotOpened {
    fn because(sentence: &str) -> Self {
        Self {
            sentence: sentence.to_owned(),
            pause: Duration::ZERO,
        }
    }
}

/// Counts the lines that Slack has greeted, and tells whether there is one.
pub(super) struct Lines {
    count: Mutex<usize>,
    any: watch::Sender<bool>,
}

/// A line that Slack has greeted, until it is dropped.
pub(super) struct Greeted(Arc<Lines>);

impl Lines {
    pub(super) fn new() -> (Arc<Self>, watch::Receiver<bool>) {
        let (any, connected) = watch::channel(false);
        let count = Mutex::new(0);
        (Arc::new(Self { count, any }), connected)
    }

    pub(super) fn greet(self: &Arc<Self>) -> Greeted {
        self.change(|count| count + 1);
        Greeted(self.clone())
    }

    fn change(&self, change: impl FnOnce(usize) -> usize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = change(*count);
        self.any.send_replace(*count > 0);
    }
}

impl Drop for Greeted {
    fn drop(&mut self) {
        self.0.change(|count| count.saturating_sub(1));
    }
}

/// Pauses that double up to a limit, each shortened by a random part of up to half, so that many clients don't come back together.
struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            next: first,
        }
    }

    fn reset(&mut self) {
        self.next = self.first;
    }

    fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.most);
        self.next = pause * 2;
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_with_jitter() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(400));
        for most in [100, 200, 400, 400] {
            let pause = backoff.pause();
            assert!(pause >= ms(most / 2) && pause <= ms(most), "{pause:?} of {most} ms");
        }
        backoff.reset();
        assert!(backoff.pause() <= ms(100));
    }
}
