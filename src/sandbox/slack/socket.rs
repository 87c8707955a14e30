//! Socket Mode's other end: tickets, lines, envelopes, acknowledgements.
//!
//! 1. Each envelope goes down one line, in turn; a line that was asked to disconnect is used only when there is no other.
//! 2. An acknowledgement counts from whichever line it comes.
//! 3. Nothing is delivered again by itself but events: a command or click whose acknowledgement is lost is lost, as with the real Slack.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, Weak};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::model::APP;
use super::{Inner, locked};

/// The lines that are open, and what is owed on them.
#[derive(Default)]
pub(super) struct Lines(Mutex<Board>);

#[derive(Default)]
struct Board {
    open: Vec<Line>,
    tickets: HashSet<String>,
    /// Envelope id → who waits for its acknowledgement.
    owed: HashMap<String, oneshot::Sender<Value>>,
    ids: u64,
    /// The next envelope goes out twice.
    repeat: bool,
}

struct Line {
    id: u64,
    out: mpsc::UnboundedSender<Message>,
    retiring: bool,
}

impl Lines {
    /// A ticket for one WebSocket.
    pub(super) fn ticket(&self) -> String {
        let ticket = format!("{:016x}", fastrand::u64(..));
        locked(&self.0).tickets.insert(ticket.clone());
        ticket
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        locked(&self.0).open.len()
    }

    /// Sends the envelope down the next line; the receiver gets its acknowledgement. `None` without a line.
    pub(super) fn send(&self, mut envelope: Value) -> Option<oneshot::Receiver<Value>> {
        let mut state = locked(&self.0);
        let at = state
            .open
            .iter()
            .position(|line| !line.retiring)
            .or((!state.open.is_empty()).then_some(0))?;
        // In turn: whoever was used goes to the end.
        let line = state.open.remove(at);
        state.ids += 1;
        let id = format!("E{:06}", state.ids);
        envelope["envelope_id"] = json!(id);
        let copies = 1 + usize::from(std::mem::take(&mut state.repeat));
        for _ in 0..copies {
            let _ = line.out.send(Message::text(envelope.to_string()));
        }
        state.open.push(line);
        let (acknowledge, acknowledged) = oneshot::channel();
        state.owed.retain(|_, waiting| !waiting.is_closed());
        state.owed.insert(id, acknowledge);
        Some(acknowledged)
    }

    /// Asks every line to disconnect.
    pub(super) fn disconnect(&self, reason: &str) {
        let frame = json!({ "type": "disconnect", "reason": reason, "debug_info": debug_info() }).to_string();
        for line in &mut locked(&self.0).open {
            line.retiring = true;
            let _ = line.out.send(Message::text(frame.clone()));
        }
    }

    /// Cuts every line.
    pub(super) fn cut(&self) {
        locked(&self.0).open.clear();
    }

    /// Sends the next envelope twice.
    pub(super) fn repeat_next(&self) {
        locked(&self.0).repeat = true;
    }

    fn enter(&self, ticket: &str) -> Option<(u64, mpsc::UnboundedReceiver<Message>)> {
        let mut state = locked(&self.0);
        if !state.tickets.remove(ticket) {
            return None;
        }
        let (out, frames) = mpsc::unbounded_channel();
        state.ids += 1;
        let id = state.ids;
        let hello = json!({
            "type": "hello",
            "num_connections": state.open.len() + 1,
            "debug_info": debug_info(),
            "connection_info": { "app_id": APP },
        });
        let _ = out.send(Message::text(hello.to_string()));
        state.open.push(Line {
            id,
            out,
            retiring: false,
        });
        Some((id, frames))
    }

    fn acknowledged(&self, frame: &str) {
        let Ok(frame) = serde_json::from_str::<Value>(frame) else {
            return;
        };
        let waiting = frame["envelope_id"]
            .as_str()
            .and_then(|id| locked(&self.0).owed.remove(id));
        if let Some(waiting) = waiting {
            let _ = waiting.send(frame["payload"].clone());
        }
    }

    fn leave(&self, id: u64) {
        locked(&self.0).open.retain(|line| line.id != id);
    }
}

fn debug_info() -> Value {
    json!({ "host": "applink-sandbox", "build_number": 1, "approximate_connection_time": 18060 })
}

/// `/socket`.
pub(super) fn router(door: Weak<Inner>) -> Router {
    Router::new().route("/socket", get(upgrade)).with_state(door)
}

async fn upgrade(
    State(door): State<Weak<Inner>>,
    Query(query): Query<HashMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let ticket = query.get("ticket").map(String::as_str).unwrap_or_default();
    let entered = door.upgrade().and_then(|inner| {
        let entered = inner.socket.enter(ticket);
        inner.changes.send_modify(|count| *count += 1);
        entered
    });
    match entered {
        Some((id, frames)) => upgrade.on_upgrade(move |socket| converse(door, id, frames, socket)),
        None => StatusCode::FORBIDDEN.into_response(),
    }
}

async fn converse(door: Weak<Inner>, id: u64, mut frames: mpsc::UnboundedReceiver<Message>, socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    loop {
        tokio::select! {
            frame = frames.recv() => {
                let Some(frame) = frame else { break };
                if sink.send(frame).await.is_err() {
                    break;
                }
            }
            // Pings are answered by the WebSocket itself.
            heard = stream.next() => match (heard, door.upgrade()) {
                (Some(Ok(Message::Text(text))), Some(inner)) => inner.socket.acknowledged(&text),
                (Some(Ok(Message::Close(_)) | Err(_)) | None, _) | (_, None) => break,
                _ => {}
            },
        }
    }
    if let Some(inner) = door.upgrade() {
        inner.socket.leave(id);
        inner.changes.send_modify(|count| *count += 1);
    }
}
