//! The double against a scripted app that speaks raw JSON, and against the bot's own client.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::*;
use crate::sandbox::faults::{Fault, Kind, When};
use crate::slack::client::SlackClientApi;
use crate::slack::socket::SocketMode;
use crate::slack::{Ack, Content, ErrorKind, Handler, Inbound, Metadata, Post, Respond, Slack};

mod bot;
mod lines;
mod people;
mod web_api;

const LIMIT: Duration = Duration::from_secs(10);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(LIMIT, future).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

async fn slack(options: Options) -> SlackDouble {
    let _ = rustls::crypto::ring::default_provider().install_default();
    SlackDouble::start(options).await.unwrap()
}

/// An app in raw JSON.
struct App {
    slack: SlackDouble,
    http: reqwest::Client,
}

impl App {
    async fn of(options: Options) -> Self {
        let slack = slack(options).await;
        Self {
            slack,
            http: reqwest::Client::new(),
        }
    }

    async fn posts(&self, method: &str, token: &str, body: &Value) -> reqwest::Response {
        let url = format!("{}/{method}", self.slack.api_url());
        soon(method, self.http.post(url).bearer_auth(token).json(body).send())
            .await
            .unwrap()
    }

    async fn calls(&self, method: &str, body: Value) -> Value {
        self.posts(method, &self.slack.bot_token(), &body)
            .await
            .json()
            .await
            .unwrap()
    }

    async fn reads(&self, method: &str, query: &str) -> Value {
        let url = format!("{}/{method}?{query}", self.slack.api_url());
        let sent = self.http.get(url).bearer_auth(self.slack.bot_token()).send();
        soon(method, sent).await.unwrap().json().await.unwrap()
    }

    async fn line(&self) -> Line {
        let opened = self
            .posts("apps.connections.open", &self.slack.app_token(), &json!({}))
            .await;
        let opened: Value = opened.json().await.unwrap();
        let (socket, _) = soon(
            "a line",
            tokio_tungstenite::connect_async(opened["url"].as_str().unwrap()),
        )
        .await
        .unwrap();
        Line(socket)
    }

    /// Posts a message with one button and two check boxes.
    async fn card(&self) -> String {
        let option = |value: &str| json!({ "text": { "type": "mrkdwn", "text": value }, "value": value });
        let blocks = json!([
            { "type": "section", "block_id": "intro", "text": { "type": "mrkdwn", "text": "Ship *it*, <@U0ANA>?" } },
            { "type": "actions", "block_id": "row", "elements": [
                { "type": "button", "text": { "type": "plain_text", "text": "Ship" }, "action_id": "ship", "value": "d1" },
                { "type": "checkboxes", "action_id": "tick", "options": [option("a"), option("b")], "initial_options": [option("a")] },
            ] },
        ]);
        let metadata = json!({ "event_type": "shipmate", "event_payload": { "deployment": "d1", "step_key": "card" } });
        let body = json!({ "channel": DEPLOYS, "text": "Ship it?", "blocks": blocks, "metadata": metadata });
        let posted = self.calls("chat.postMessage", body).await;
        assert_eq!(posted["ok"], true, "{posted}");
        posted["ts"].as_str().unwrap().to_owned()
    }
}

struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Line {
    async fn hears(&mut self) -> Value {
        let frame = soon("a frame", self.0.next()).await.unwrap().unwrap();
        serde_json::from_str(frame.to_text().unwrap()).unwrap()
    }

    async fn sends(&mut self, frame: Value) {
        self.0.send(Frame::text(frame.to_string())).await.unwrap();
    }

    /// Acknowledges the next envelope with `payload` and hands out the envelope.
    async fn takes(&mut self, payload: Value) -> Value {
        let envelope = self.hears().await;
        let mut acknowledgement = json!({ "envelope_id": envelope["envelope_id"] });
        if !payload.is_null() {
            acknowledgement["payload"] = payload;
        }
        self.sends(acknowledgement).await;
        envelope
    }
}

/// An app with one line that has been greeted.
async fn app_with_line(options: Options) -> (App, Line) {
    let app = App::of(options).await;
    let mut line = app.line().await;
    assert_eq!(line.hears().await["type"], "hello");
    (app, line)
}

/// A modal with a text and check boxes, the text required.
fn modal() -> Value {
    let option = |value: &str| json!({ "text": { "type": "plain_text", "text": value }, "value": value });
    let label = |text: &str| json!({ "type": "plain_text", "text": text });
    let reason = json!({ "type": "plain_text_input", "action_id": "reason" });
    let include = json!({
        "type": "checkboxes", "action_id": "include", "options": [option("4"), option("7")], "initial_options": [option("7")],
    });
    json!({
        "type": "modal", "callback_id": "edit", "private_metadata": "d1", "title": label("Edit"), "submit": label("Save"),
        "blocks": [
            { "type": "input", "block_id": "why", "label": label("Why"), "element": reason },
            { "type": "input", "block_id": "what", "label": label("What"), "element": include, "optional": true },
        ],
    })
}

fn filled(reason: &str) -> BTreeMap<String, Vec<String>> {
    BTreeMap::from([("reason".to_owned(), vec![reason.to_owned()])])
}

/// Lets Ana type a command and hands out its payload.
async fn command_of(app: &App, line: &mut Line) -> Value {
    let (said, envelope) = tokio::join!(app.slack.says("U0ANA", DEPLOYS, "/deploy"), line.takes(Value::Null));
    said.unwrap();
    envelope["payload"].clone()
}

fn keeps_to_the_rules(slack: &SlackDouble) {
    assert_eq!(slack.violations(), Vec::<String>::new());
}
