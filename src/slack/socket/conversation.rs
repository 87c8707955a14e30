//! One line's conversation: frames are heard, envelopes handled side by side, acknowledgements sent.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::SplitSink;
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use slack_morphism::prelude::{SlackApiToken, SlackClient, SlackSocketModeClientListener, SlackSocketModeWssClientId};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::inbound;
use super::super::recent::Recent;
use super::Timing;
use super::lines::Socket;
use super::transport::Transport;

/// Messages being handled at once; more are refused, so that Slack tells their senders.
pub(super) const HANDLED_AT_ONCE: usize = 64;

/// Messages remembered, to recognise one that comes again. Slack tries again within minutes.
const REMEMBERED: usize = 1_000;

/// What the lines of one token share.
pub(super) struct Exchange {
    pub(super) client: Arc<SlackClient<Transport>>,
    pub(super) token: SlackApiToken,
    /// slack-morphism's own: answers what doesn't concern us.
    others: Arc<dyn SlackSocketModeClientListener + Send + Sync>,
    /// Envelope id → the acknowledgement, or `None` while it is being handled.
    seen: Recent<Option<String>>,
    room: Arc<Semaphore>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Exchange {
    pub(super) fn new(
        client: Arc<SlackClient<Transport>>,
        token: SlackApiToken,
        others: Arc<dyn SlackSocketModeClientListener + Send + Sync>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            client,
            token,
            others,
            seen: Recent::new(REMEMBERED),
            room: Arc::new(Semaphore::new(HANDLED_AT_ONCE)),
            tasks,
            stop,
        }
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.transport().timing
    }

    fn transport(&self) -> &Transport {
        &self.client.http_api.connector
    }
}

/// One line from its first frame to its last. Sends on `replace` when a new line should open while this one is still read; drops it at
/// the end.
pub(super) async fn converse(
    exchange: Arc<Exchange>,
    line: SlackSocketModeWssClientId,
    socket: Socket,
    replace: oneshot::Sender<()>,
) {
    let timing = exchange.timing();
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
                    Some(Ok(Message::Text(text))) => match exchange.hear(&line, text, &replies) {
                        Heard::Hello => greeted = Some(exchange.transport().lines.greet()),
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

/// A message, with what it takes to acknowledge it.
struct Envelope {
    id: String,
    frame: Frame,
    /// The frame as it came.
    text: Utf8Bytes,
    line: SlackSocketModeWssClientId,
}

impl Exchange {
    fn hear(
        self: &Arc<Self>,
        line: &SlackSocketModeWssClientId,
        text: Utf8Bytes,
        replies: &mpsc::Sender<String>,
    ) -> Heard {
        let Ok(mut frame) = serde_json::from_str::<Frame>(&text) else {
            tracing::warn!("Socket Mode: a frame was no JSON object with a type");
            return Heard::Other;
        };
        match (frame.kind.as_str(), frame.envelope_id.take()) {
            ("hello", _) => return Heard::Hello,
            ("disconnect", _) => {
                let reason = frame.reason.unwrap_or_default();
                tracing::info!(reason, "Socket Mode: Slack asks for a new line");
                return Heard::Disconnect;
            }
            (_, Some(id)) => {
                let line = line.clone();
                self.take(Envelope { id, frame, text, line }, replies.clone());
            }
            (kind, None) => tracing::warn!(kind, "Socket Mode: a frame has no envelope id"),
        }
        Heard::Other
    }

    /// Handles an envelope in a task of its own, unless it was seen before.
    fn take(self: &Arc<Self>, envelope: Envelope, replies: mpsc::Sender<String>) {
        match self.seen.seen(&envelope.id, None) {
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
            self.seen.forget(&envelope.id);
            return;
        };
        let exchange = self.clone();
        self.tasks.spawn(async move {
            let id = envelope.id.clone();
            let acknowledgement = exchange.acknowledge(envelope).await;
            drop(room);
            match acknowledgement {
                Ok(reply) => {
                    exchange.seen.update(&id, Some(reply.clone()));
                    // The line may be gone: then Slack delivers again, and the answer is remembered.
                    let _ = replies.send(reply).await;
                }
                Err(sentence) => {
                    tracing::error!("a message from Slack was not taken: {sentence}");
                    exchange.seen.forget(&id);
                }
            }
        });
    }

    async fn acknowledge(&self, envelope: Envelope) -> Result<String, String> {
        let Envelope { id, frame, text, line } = envelope;
        let inbound = match frame.kind.as_str() {
            "slash_commands" => inbound::command(frame.payload)?,
            "interactive" => inbound::interaction(frame.payload)?,
            "events_api" => inbound::event(frame.payload)?,
            _ => None,
        };
        let Some(inbound) = inbound else {
            return self.leave_to_others(&line, &text).await;
        };
        let answer = inbound::answer(inbound::handle(&*self.transport().handler, inbound).await?);
        let mut reply = json!({"envelope_id": id});
        if let Some(answer) = answer {
            if frame.accepts_response_payload {
                reply["payload"] = answer;
            } else {
                tracing::warn!("an answer was dropped, because Slack takes none to this kind of message");
            }
        }
        Ok(reply.to_string())
    }

    async fn leave_to_others(&self, line: &SlackSocketModeWssClientId, text: &str) -> Result<String, String> {
        let reply = self.others.on_message(line, text.to_owned());
        let reply = AssertUnwindSafe(reply).catch_unwind().await.ok().flatten();
        reply.ok_or_else(|| "slack-morphism, to which it was left, has no answer".to_owned())
    }
}
