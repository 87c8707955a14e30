//! What Slack tells the app, by Socket Mode or by signed HTTP, and how the app acknowledges.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::time::timeout;
use url::form_urlencoded;

use super::{SlackDouble, locked};

/// What kind of thing is delivered: the envelope's type, and where it goes over HTTP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Command,
    Interaction,
    Event,
}

impl Kind {
    fn envelope_type(self) -> &'static str {
        match self {
            Self::Command => "slash_commands",
            Self::Interaction => "interactive",
            Self::Event => "events_api",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Command => "/slack/commands",
            Self::Interaction => "/slack/interactions",
            Self::Event => "/slack/events",
        }
    }

    fn is_form(self) -> bool {
        self != Self::Event
    }

    fn body(self, payload: &Value) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        match self {
            Self::Event => payload.to_string(),
            Self::Interaction => form.append_pair("payload", &payload.to_string()).finish(),
            Self::Command => {
                for (name, value) in payload.as_object().into_iter().flatten() {
                    form.append_pair(name, value.as_str().unwrap_or_default());
                }
                form.finish()
            }
        }
    }
}

/// Why there was no acknowledgement, in Slack's words.
pub(super) type Unacknowledged = &'static str;

/// Nothing came in time.
const TIMEOUT: Unacknowledged = "operation_timeout";
/// It could not be delivered at all.
const DISPATCH: Unacknowledged = "dispatch_failed";
/// An answer other than 200.
const SERVICE: Unacknowledged = "http_service_error";

impl SlackDouble {
    /// Delivers once and waits for the acknowledgement: its payload, null if it has none.
    pub(super) async fn deliver(
        &self,
        kind: Kind,
        payload: Value,
        takes_answer: bool,
    ) -> Result<Value, Unacknowledged> {
        let envelope = json!({
            "type": kind.envelope_type(),
            "payload": payload,
            "accepts_response_payload": takes_answer,
        });
        self.attempt(kind, envelope).await
    }

    /// Delivers an event, and again if it isn't acknowledged, as the Events API does.
    pub(super) async fn deliver_event(&self, payload: Value) -> Result<Value, Unacknowledged> {
        let mut envelope = json!({
            "type": Kind::Event.envelope_type(),
            "payload": payload,
            "accepts_response_payload": false,
            "retry_attempt": 0,
            "retry_reason": "",
        });
        let first = self.attempt(Kind::Event, envelope.clone()).await;
        if first.is_ok() {
            return first;
        }
        envelope["retry_attempt"] = json!(1);
        envelope["retry_reason"] = json!("timeout");
        self.attempt(Kind::Event, envelope).await
    }

    async fn attempt(&self, kind: Kind, envelope: Value) -> Result<Value, Unacknowledged> {
        let http = locked(&self.0.http).clone();
        let acknowledged = match http {
            Some((base, secret)) => {
                let retry = envelope["retry_attempt"].as_u64().unwrap_or_default();
                timeout(
                    self.0.options.ack_deadline,
                    post(&base, &secret, kind, &envelope["payload"], retry),
                )
                .await
            }
            None => {
                let owed = self.0.socket.send(envelope).ok_or(DISPATCH)?;
                let owed = async { owed.await.map_err(|_| DISPATCH) };
                timeout(self.0.options.ack_deadline, owed).await
            }
        };
        acknowledged.unwrap_or(Err(TIMEOUT))
    }
}

async fn post(base: &str, secret: &str, kind: Kind, payload: &Value, retry: u64) -> Result<Value, Unacknowledged> {
    let body = kind.body(payload);
    let timestamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    let content = if kind.is_form() {
        "application/x-www-form-urlencoded"
    } else {
        "application/json"
    };
    let mut request = reqwest::Client::new()
        .post(format!("{base}{}", kind.path()))
        .header("Content-Type", content)
        .header("X-Slack-Request-Timestamp", timestamp)
        .header("X-Slack-Signature", signature(secret, timestamp, &body)?);
    if retry > 0 {
        request = request
            .header("X-Slack-Retry-Num", retry)
            .header("X-Slack-Retry-Reason", "http_timeout");
    }
    let response = request.body(body).send().await.map_err(|_| DISPATCH)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(SERVICE);
    }
    let answer = response.bytes().await.map_err(|_| DISPATCH)?;
    // An acknowledgement without an answer has an empty body.
    Ok(serde_json::from_slice(&answer).unwrap_or(Value::Null))
}

/// Slack's signature, version 0.
fn signature(secret: &str, timestamp: u64, body: &str) -> Result<String, Unacknowledged> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| DISPATCH)?;
    mac.update(format!("v0:{timestamp}:{body}").as_bytes());
    Ok(format!("v0={}", hex::encode(mac.finalize().into_bytes())))
}
