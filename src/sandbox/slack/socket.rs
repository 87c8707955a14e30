//! Socket Mode: `hello`, envelopes with a deadline for their acknowledgement, `disconnect`.

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::SlackDouble;
use crate::sandbox::locked;

/// One connection of the app.
pub async fn serve(double: SlackDouble, mut ws: WebSocket) {
    let (sender, mut frames) = mpsc::unbounded_channel();
    let id = double.change(super::Workspace::tick);
    locked(&double.0.sockets).push((id, sender));
    let connections = locked(&double.0.sockets).len();
    let hello = json!({
        "type": "hello",
        "num_connections": connections,
        "connection_info": { "app_id": "A0SHIPMATE" },
        "debug_info": { "host": "sandbox", "started": "now", "build_number": 1, "approximate_connection_time": 18_060 },
    });
    if ws.send(Message::Text(hello.to_string().into())).await.is_err() {
        return;
    }
    // Only a connection that has said hello carries envelopes; tests wait for that.
    double.0.changes.send_modify(|count| *count += 1);
    loop {
        tokio::select! {
            frame = frames.recv() => {
                let Some(frame) = frame else { break };
                if ws.send(Message::Text(frame.into())).await.is_err() {
                    break;
                }
            }
            received = ws.recv() => match received {
                Some(Ok(Message::Text(text))) => acknowledged(&double, &text),
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    locked(&double.0.sockets).retain(|(known, _)| *known != id);
}

fn acknowledged(double: &SlackDouble, text: &str) {
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        return;
    };
    let waiting = frame["envelope_id"]
        .as_str()
        .and_then(|id| locked(&double.0.waiting).remove(id));
    if let Some(waiting) = waiting {
        let _ = waiting.send(frame["payload"].clone());
    }
}

impl SlackDouble {
    /// Sends an envelope over one of the live connections and waits for its acknowledgement: what it carries, or `None` when the deadline
    /// passes.
    pub(super) async fn deliver(&self, kind: &str, payload: Value) -> Option<Value> {
        let number = self.change(super::Workspace::tick);
        let envelope_id = format!("E{number}");
        let (sender, acknowledgement) = oneshot::channel();
        locked(&self.0.waiting).insert(envelope_id.clone(), sender);
        let envelope = json!({
            "envelope_id": envelope_id,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
        });
        let sent = {
            let sockets = locked(&self.0.sockets);
            let one = sockets.get(usize::try_from(number).unwrap_or(0) % sockets.len().max(1));
            one.is_some_and(|(_, sender)| sender.send(envelope.to_string()).is_ok())
        };
        let answer = match sent {
            true => tokio::time::timeout(self.0.options.ack_deadline, acknowledgement)
                .await
                .ok()
                .and_then(Result::ok),
            false => None,
        };
        locked(&self.0.waiting).remove(&envelope_id);
        answer
    }

    /// Asks every connection to go, as Slack does every few hours.
    pub fn disconnect(&self, reason: &str) {
        let frame = json!({ "type": "disconnect", "reason": reason, "debug_info": { "host": "sandbox" } }).to_string();
        for (_, sender) in locked(&self.0.sockets).iter() {
            let _ = sender.send(frame.clone());
        }
    }

    /// How many connections the app has.
    pub fn connections(&self) -> usize {
        locked(&self.0.sockets).len()
    }
}
