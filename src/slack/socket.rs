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
//! slack-morphism opens the connection; its own Socket Mode client is not used, because it has no deadlines, no back-off and no overlap,
//! calls the handler inside its read loop, and drops what its models can't read.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use slack_morphism::prelude::{SlackApiToken, SlackApiTokenType, SlackClient};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::recent::Recent;
use super::{ErrorKind, Handler, client, inbound};

/// Messages being handled at once; more are refused, so that Slack tells their senders.
const HANDLED_AT_ONCE: usize = 64;

/// Messages remembered, to recognise one that comes again. Slack tries again within minutes.
const REMEMBERED: usize = 1_000;

/// Slack's own messages are far smaller.
const MESSAGE_LIMIT: usize = 1024 * 1024;

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
    pub lines: usize,
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
    tasks: TaskTracker,
    stop: DropGuard,
    drain: Duration,
}

impl SocketMode {
    /// Begins connecting and goes on for ever; must be called within a runtime.
    pub fn start(api_url: &str, app_token: SecretString, handler: Arc<dyn Handler>) -> Self {
        Self::start_with(api_url, app_token, handler, Timing::default())
    }

    /// As [`start`](Self::start), with other timing.
    pub fn start_with(api_url: &str, app_token: SecretString, handler: Arc<dyn Handler>, timing: Timing) -> Self {
        let (any, connected) = watch::channel(false);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let drain = timing.drain;
        let exchange = Arc::new(Exchange {
            api_url: api_url.to_owned(),
            app_token,
            handler,
            lines: Arc::new(Lines {
                count: Mutex::new(0),
                any,
            }),
            seen: Recent::new(REMEMBERED),
            room: Arc::new(Semaphore::new(HANDLED_AT_ONCE)),
            tasks: tasks.clone(),
            stop: stop.clone(),
            timing,
        });
        for _ in 0..exchange.timing.lines {
            tasks.spawn(keep_line(exchange.clone()));
        }
        Self {
            connected,
            tasks,
            stop: stop.drop_guard(),
            drain,
        }
    }

    /// Whether Slack has greeted at least one line.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// Stops reading, sends what acknowledgements are still owed, and closes.
    pub async fn shutdown(self) {
        drop(self.stop);
        self.tasks.close();
        // Each line bounds its own end; this bounds a handler that never returns.
        if timeout(self.drain * 2, self.tasks.wait()).await.is_err() {
            tracing::warn!("Socket Mode ended while a message was still being handled");
        }
    }
}

/// What all lines share.
struct Exchange {
    api_url: String,
    app_token: SecretString,
    handler: Arc<dyn Handler>,
    lines: Arc<Lines>,
    /// Envelope id → the acknowledgement, or `None` while it is being handled.
    seen: Recent<Option<String>>,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    timing: Timing,
}

/// Keeps one line open for ever, by opening the next whenever the last asks for it or is gone.
async fn keep_line(exchange: Arc<Exchange>) {
    let timing = &exchange.timing;
    let mut backoff = Backoff::new(timing.backoff_min, timing.backoff_max);
    loop {
        let begun = Instant::now();
        let opened = tokio::select! {
            () = exchange.stop.cancelled() => return,
            opened = exchange.open() => opened,
        };
        let wanted_pause = match opened {
            Ok(socket) => {
                let (replace, replacement_wanted) = oneshot::channel();
                exchange.tasks.spawn(converse(exchange.clone(), socket, replace));
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

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

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
        match timeout(self.timing.open, handshake).await {
            Ok(Ok((socket, _))) => Ok(socket),
            // The error's text may hold the address, which holds the ticket.
            Ok(Err(_)) => Err(NotOpened::because("the WebSocket was refused")),
            Err(_) => Err(NotOpened::because("the WebSocket's handshake took too long")),
        }
    }

    /// An address that opens one WebSocket. A new client each time: no connection that died in a pool is used again.
    async fn ticket(&self) -> Result<String, NotOpened> {
        const METHOD: &str = "apps.connections.open";
        let connector = client::connector(&self.api_url).map_err(|error| NotOpened::because(&error.to_string()))?;
        let client = SlackClient::new(connector);
        let token = SlackApiToken::new(self.app_token.expose_secret().into()).with_token_type(SlackApiTokenType::App);
        let session = client.open_session(&token);
        let nothing = json!({});
        let call = session.http_session_api.http_post(METHOD, &nothing, None);
        let opened: Opened = client::within(self.timing.open, METHOD, call)
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

/// One line from its first frame to its last. Sends on `replace` when a new line should open while this one is still read; drops it at
/// the end.
async fn converse(exchange: Arc<Exchange>, socket: Socket, replace: oneshot::Sender<()>) {
    let timing = &exchange.timing;
    let (mut sink, mut stream) = socket.split();
    let (replies, mut owed) = mpsc::channel(HANDLED_AT_ONCE);
    let mut replace = Some(replace);
    let mut greeted = None;
    let mut heard = Instant::now();
    let mut retire = None;
    let mut ping = tokio::time::interval(timing.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);

    loop {
        let sent = tokio::select! {
            () = exchange.stop.cancelled() => break,
            () = sleep_until(retire.unwrap_or(heard + timing.idle)) => {
                if retire.is_some() {
                    break;
                }
                tracing::warn!("Socket Mode: a line fell silent and is given up");
                return;
            }
            _ = ping.tick() => send(&mut sink, Message::Ping("shipmate".into()), timing.idle).await,
            Some(reply) = owed.recv() => send(&mut sink, Message::text::<String>(reply), timing.idle).await,
            frame = stream.next() => {
                heard = Instant::now();
                match frame {
                    Some(Ok(Message::Text(text))) => match exchange.hear(&text, &replies) {
                        Heard::Hello => greeted = Some(exchange.lines.greet()),
                        Heard::Disconnect => {
                            retire = Some(heard + timing.linger);
                            replace.take().map(|replace| replace.send(()));
                        }
                        Heard::Other => {}
                    },
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                }
                Sent::Yes
            }
        };
        if sent == Sent::No {
            return;
        }
    }

    drop((replace, greeted, replies));
    let drain = async {
        while let Some(reply) = owed.recv().await {
            sink.send(Message::text::<String>(reply)).await?;
        }
        sink.close().await
    };
    if !matches!(timeout(timing.drain, drain).await, Ok(Ok(()))) {
        tracing::warn!("Socket Mode: a line ended before all was acknowledged");
    }
}

#[derive(PartialEq)]
enum Sent {
    Yes,
    No,
}

/// A peer that reads nothing would otherwise hold the line's loop, and with it the watch for silence.
async fn send(sink: &mut SplitSink<Socket, Message>, message: Message, limit: Duration) -> Sent {
    match timeout(limit, sink.send(message)).await {
        Ok(Ok(())) => Sent::Yes,
        _ => Sent::No,
    }
}

/// What a frame means for its line.
enum Heard {
    Hello,
    Disconnect,
    Other,
}

#[derive(Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    envelope_id: Option<String>,
    #[serde(default)]
    payload: Value,
    #[serde(default)]
    accepts_response_payload: bool,
    reason: Option<String>,
}

impl Exchange {
    fn hear(self: &Arc<Self>, text: &str, replies: &mpsc::Sender<String>) -> Heard {
        let Ok(frame) = serde_json::from_str::<Frame>(text) else {
            tracing::warn!("Socket Mode: a frame was no JSON object with a type");
            return Heard::Other;
        };
        match (frame.kind.as_str(), &frame.envelope_id) {
            ("hello", _) => return Heard::Hello,
            ("disconnect", _) => {
                let reason = frame.reason.unwrap_or_default();
                tracing::info!(reason, "Socket Mode: Slack asks for a new line");
                return Heard::Disconnect;
            }
            (_, Some(envelope_id)) => self.take(envelope_id.clone(), frame, replies.clone()),
            (kind, None) => tracing::warn!(kind, "Socket Mode: a frame has no envelope id"),
        }
        Heard::Other
    }

    /// Handles an envelope in a task of its own, unless it was seen before.
    fn take(self: &Arc<Self>, envelope_id: String, frame: Frame, replies: mpsc::Sender<String>) {
        match self.seen.seen(&envelope_id, None) {
            None => {}
            // The task that handles it will answer, on its own line.
            Some(None) => return,
            Some(Some(reply)) => {
                // A full queue means a dying line: Slack will deliver again.
                let _ = replies.try_send(reply);
                return;
            }
        }
        let Ok(room) = self.room.clone().try_acquire_owned() else {
            tracing::warn!("Socket Mode: too many messages at once, one was refused");
            self.seen.forget(&envelope_id);
            return;
        };
        let exchange = self.clone();
        self.tasks.spawn(async move {
            let acknowledgement = exchange.acknowledge(&envelope_id, frame).await;
            drop(room);
            match acknowledgement {
                Ok(reply) => {
                    exchange.seen.update(&envelope_id, Some(reply.clone()));
                    // The line may be gone: then Slack delivers again, and the answer is remembered.
                    let _ = replies.send(reply).await;
                }
                Err(sentence) => {
                    tracing::error!("a message from Slack was not taken: {sentence}");
                    exchange.seen.forget(&envelope_id);
                }
            }
        });
    }

    async fn acknowledge(&self, envelope_id: &str, frame: Frame) -> Result<String, String> {
        let inbound = match frame.kind.as_str() {
            "slash_commands" => inbound::command(frame.payload)?,
            "interactive" => inbound::interaction(frame.payload)?,
            "events_api" => inbound::event(frame.payload)?,
            _ => None,
        };
        let answer = match inbound {
            Some(inbound) => inbound::answer(inbound::handle(&*self.handler, inbound).await?),
            None => None,
        };
        let mut reply = json!({"envelope_id": envelope_id});
        if let Some(answer) = answer {
            if frame.accepts_response_payload {
                reply["payload"] = answer;
            } else {
                tracing::warn!("an answer was dropped, because Slack takes none to this kind of message");
            }
        }
        Ok(reply.to_string())
    }
}

/// Counts the lines that Slack has greeted, and tells whether there is one.
struct Lines {
    count: Mutex<usize>,
    any: watch::Sender<bool>,
}

/// A line that Slack has greeted, until it is dropped.
struct Greeted(Arc<Lines>);

impl Lines {
    fn greet(self: &Arc<Self>) -> Greeted {
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
mod tests;
