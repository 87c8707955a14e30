//! The Web API, response URLs, and the door to the socket.

use std::sync::Weak;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, Request, State, WebSocketUpgrade};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::model::{BOT, GROUP, Message, PEOPLE, TEAM, View, Workspace, name_of};
use super::{APP_TOKEN, BOT_TOKEN, Inner, SlackDouble, rules, socket};
use crate::sandbox::faults::When;
use crate::sandbox::locked;

/// Slack's bodies are small.
const BODY: usize = 4 * 1024 * 1024;
/// A response URL takes so many answers.
pub const RESPONSES: u32 = 5;

type Double = State<Weak<Inner>>;

pub fn router(double: Weak<Inner>) -> Router {
    Router::new()
        .route("/api/{method}", any(method))
        .route("/response/{id}", axum::routing::post(respond))
        .route("/socket", get(open_socket))
        .with_state(double)
}

fn alive(double: &Weak<Inner>) -> Option<SlackDouble> {
    double.upgrade().map(SlackDouble)
}

async fn open_socket(State(double): Double, upgrade: WebSocketUpgrade) -> Response {
    match alive(&double) {
        Some(double) => upgrade.on_upgrade(move |ws| socket::serve(double, ws)),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn method(State(double): Double, Path(name): Path<String>, request: Request) -> Response {
    let Some(double) = alive(&double) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let line = format!("POST {name}");
    *locked(&double.0.calls).entry(name.clone()).or_default() += 1;
    if let Some(fault) = double.0.faults.strike(&line, When::Before).await {
        return fault;
    }
    let changes = matches!(
        name.as_str(),
        "chat.postMessage" | "chat.update" | "chat.postEphemeral" | "views.open" | "views.publish"
    );
    if changes {
        double.0.faults.tell(&line, When::Before);
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY).await else {
        return not_ok("request_too_large").into_response();
    };
    let arguments = arguments(&parts.method, &parts.headers, parts.uri.query(), &body);
    let answer = answer(&double, &name, &parts.headers, &arguments);
    if changes {
        double.0.faults.tell(&line, When::After);
    }
    match double.0.faults.strike(&line, When::After).await {
        Some(fault) => fault,
        None => answer,
    }
}

/// JSON, form or query: values of forms that are JSON are read as such.
fn arguments(method: &Method, headers: &HeaderMap, query: Option<&str>, body: &Bytes) -> Value {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    if kind.starts_with("application/json") {
        return serde_json::from_slice(body).unwrap_or(Value::Null);
    }
    let form = match *method {
        Method::GET => query.unwrap_or_default().to_owned(),
        _ => String::from_utf8_lossy(body).into_owned(),
    };
    let mut map = Map::new();
    for pair in form.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = percent_encoding::percent_decode_str(&value.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned();
        let structured = decoded
            .starts_with(['{', '['])
            .then(|| serde_json::from_str(&decoded).ok())
            .flatten();
        map.insert(key.to_owned(), structured.unwrap_or(Value::String(decoded)));
    }
    Value::Object(map)
}

fn not_ok(code: &str) -> Json<Value> {
    Json(json!({ "ok": false, "error": code }))
}

fn answer(double: &SlackDouble, name: &str, headers: &HeaderMap, arguments: &Value) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let wanted = if name == "apps.connections.open" {
        APP_TOKEN
    } else {
        BOT_TOKEN
    };
    if bearer.and_then(|value| value.strip_prefix("Bearer ")) != Some(wanted) {
        return not_ok("invalid_auth").into_response();
    }
    if let Some(wait) = limited(double, name, arguments["channel"].as_str().unwrap_or_default()) {
        let headers = [(header::RETRY_AFTER, wait.to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, headers, not_ok("ratelimited")).into_response();
    }
    match call(double, name, arguments) {
        Ok(mut value) => {
            value["ok"] = json!(true);
            Json(value).into_response()
        }
        Err(code) => {
            if code == "invalid_blocks" || code == "invalid_arguments" || code == "no_text" {
                tracing::warn!(method = name, code, "Slack's double refuses a call");
            }
            not_ok(&code).into_response()
        }
    }
}

/// Seconds to wait, where the rate limits are on and exceeded.
fn limited(double: &SlackDouble, name: &str, channel: &str) -> Option<u64> {
    let (per, burst) = match name {
        "chat.postMessage" => (Duration::from_secs(1), 4),
        "chat.update" => (Duration::from_millis(1200), 8),
        _ => return None,
    };
    if !double.0.options.rate_limits {
        return None;
    }
    let now = tokio::time::Instant::now();
    let mut pace = locked(&double.0.pace);
    let recent = pace.entry(format!("{name} {channel}")).or_default();
    recent.retain(|at| now.duration_since(*at) < per * burst);
    if recent.len() >= burst as usize {
        return Some(1);
    }
    recent.push(now);
    None
}

fn text(arguments: &Value, name: &str) -> String {
    arguments[name].as_str().unwrap_or_default().to_owned()
}

fn blocks(arguments: &Value) -> Vec<Value> {
    arguments["blocks"].as_array().cloned().unwrap_or_default()
}

fn call(double: &SlackDouble, name: &str, arguments: &Value) -> Result<Value, String> {
    match name {
        "auth.test" => Ok(
            json!({ "url": "https://acme.slack.test/", "team": "Acme", "user": "shipmate", "team_id": TEAM, "user_id": BOT, "bot_id": "B0SHIPMATE" }),
        ),
        "apps.connections.open" => {
            let ticket = double.change(Workspace::tick);
            Ok(json!({ "url": format!("ws://{}/socket?ticket={ticket}", double.0.address) }))
        }
        "chat.postMessage" => double.change(|workspace| post(workspace, arguments, None)),
        "chat.postEphemeral" => {
            let user = text(arguments, "user");
            double.change(|workspace| post(workspace, arguments, Some(user)))
        }
        "chat.update" => double.change(|workspace| update(workspace, arguments)),
        "chat.getPermalink" => {
            let (channel, ts) = (text(arguments, "channel"), text(arguments, "message_ts"));
            Ok(
                json!({ "channel": channel, "permalink": format!("https://acme.slack.test/archives/{channel}/p{}", ts.replace('.', "")) }),
            )
        }
        "conversations.history" => history(&locked(&double.0.workspace), arguments, None),
        "conversations.replies" => {
            let root = text(arguments, "ts");
            history(&locked(&double.0.workspace), arguments, Some(&root))
        }
        "conversations.info" => {
            let channel = text(arguments, "channel");
            match locked(&double.0.workspace).channels.contains_key(&channel) {
                true => Ok(json!({ "channel": { "id": channel, "name": "deploys", "is_member": true } })),
                false => Err("channel_not_found".to_owned()),
            }
        }
        "users.info" => {
            let user = text(arguments, "user");
            match PEOPLE.iter().find(|(id, _, _)| *id == user) {
                Some((id, login, name)) => Ok(json!({
                    "user": { "id": id, "name": login, "real_name": name, "tz": "Europe/Paris", "profile": { "display_name": name, "fields": [] } },
                })),
                None => Err("user_not_found".to_owned()),
            }
        }
        "usergroups.users.list" => match text(arguments, "usergroup") == GROUP {
            true => Ok(json!({ "users": ["U0ANA", "U0BEN", "U0CHLOE"] })),
            false => Err("no_such_subteam".to_owned()),
        },
        "views.open" => double.change(|workspace| open_view(workspace, arguments)),
        "views.publish" => {
            rules::view(&arguments["view"])?;
            let user = text(arguments, "user_id");
            double.change(|workspace| workspace.homes.insert(user, arguments["view"].clone()));
            Ok(json!({ "view": { "id": "V0HOME" } }))
        }
        _ => Err("unknown_method".to_owned()),
    }
}

fn checked(workspace: &mut Workspace, arguments: &Value) -> Result<(), String> {
    if !workspace.channels.contains_key(&text(arguments, "channel")) {
        return Err("channel_not_found".to_owned());
    }
    if let Err(broken) = rules::message(&blocks(arguments)) {
        workspace.violations.push(broken);
        return Err("invalid_blocks".to_owned());
    }
    if text(arguments, "text").is_empty() {
        workspace.violations.push("a message without top-level text".to_owned());
    }
    let metadata = &arguments["metadata"];
    let whole = metadata["event_type"].is_string() && metadata["event_payload"].is_object();
    if !metadata.is_null() && !whole {
        return Err("invalid_metadata_format".to_owned());
    }
    Ok(())
}

fn post(workspace: &mut Workspace, arguments: &Value, only_for: Option<String>) -> Result<Value, String> {
    checked(workspace, arguments)?;
    let channel = text(arguments, "channel");
    let ts = workspace.ts();
    let metadata = Some(arguments["metadata"].clone()).filter(|metadata| !metadata.is_null());
    let thread = Some(text(arguments, "thread_ts")).filter(|thread| !thread.is_empty());
    let slot = metadata
        .as_ref()
        .and_then(|metadata| metadata["event_payload"]["step_key"].as_str())
        .unwrap_or("-")
        .to_owned();
    let verb = if only_for.is_some() {
        "chat.postEphemeral"
    } else {
        "chat.postMessage"
    };
    workspace.ledger.push(format!("{verb} {channel} {slot}"));
    let message = Message {
        ts: ts.clone(),
        thread,
        user: BOT.to_owned(),
        text: text(arguments, "text"),
        blocks: blocks(arguments),
        metadata,
        edited: false,
        only_for,
    };
    let shown = message.json(true);
    workspace.channels.entry(channel.clone()).or_default().push(message);
    Ok(json!({ "channel": channel, "ts": ts, "message_ts": ts, "message": shown }))
}

fn update(workspace: &mut Workspace, arguments: &Value) -> Result<Value, String> {
    checked(workspace, arguments)?;
    let (channel, ts) = (text(arguments, "channel"), text(arguments, "ts"));
    let message = workspace
        .message_mut(&channel, &ts)
        .filter(|message| message.only_for.is_none());
    let Some(message) = message else {
        return Err("message_not_found".to_owned());
    };
    if message.user != BOT {
        return Err("cant_update_message".to_owned());
    }
    message.text = text(arguments, "text");
    message.blocks = blocks(arguments);
    message.edited = true;
    if !arguments["metadata"].is_null() {
        message.metadata = Some(arguments["metadata"].clone());
    }
    Ok(json!({ "channel": channel, "ts": ts, "text": message.text, "message": message.json(true) }))
}

fn history(workspace: &Workspace, arguments: &Value, root: Option<&str>) -> Result<Value, String> {
    let channel = text(arguments, "channel");
    let messages = workspace.channels.get(&channel).ok_or("channel_not_found")?;
    let with_metadata =
        matches!(&arguments["include_all_metadata"], Value::Bool(true)) || arguments["include_all_metadata"] == "true";
    let number = |name: &str, default: usize| {
        let value = &arguments[name];
        let parsed = value
            .as_u64()
            .map(|number| number as usize)
            .or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        parsed.unwrap_or(default)
    };
    let (limit, from) = (number("limit", 100).max(1), number("cursor", 0));
    let wanted = |message: &&Message| {
        message.only_for.is_none()
            && match root {
                None => message.thread.is_none(),
                Some(root) => message.ts == root || message.thread.as_deref() == Some(root),
            }
    };
    let mut rows: Vec<Value> = messages
        .iter()
        .filter(wanted)
        .map(|message| message.json(with_metadata))
        .collect();
    // History comes newest first, a thread oldest first.
    if root.is_none() {
        rows.reverse();
    }
    let more = from + limit < rows.len();
    let page: Vec<Value> = rows.into_iter().skip(from).take(limit).collect();
    let cursor = if more {
        (from + limit).to_string()
    } else {
        String::new()
    };
    Ok(json!({ "messages": page, "has_more": more, "response_metadata": { "next_cursor": cursor } }))
}

fn open_view(workspace: &mut Workspace, arguments: &Value) -> Result<Value, String> {
    if let Err(broken) = rules::view(&arguments["view"]) {
        workspace.violations.push(broken);
        return Err("invalid_arguments".to_owned());
    }
    let trigger = text(arguments, "trigger_id");
    // A trigger is used once.
    let Some((user, until)) = workspace.triggers.remove(&trigger) else {
        return Err("exchanged_trigger_id".to_owned());
    };
    if tokio::time::Instant::now() > until {
        return Err("expired_trigger_id".to_owned());
    }
    let id = format!("V{}", workspace.tick());
    workspace.ledger.push(format!(
        "views.open {} for {}",
        arguments["view"]["callback_id"],
        name_of(&user)
    ));
    let view = View {
        id: id.clone(),
        view: arguments["view"].clone(),
        errors: std::collections::BTreeMap::new(),
    };
    workspace.views.insert(user, view);
    Ok(json!({ "view": { "id": id } }))
}

/// Answers to commands and clicks: to the person alone, unless they say otherwise.
async fn respond(State(double): Double, Path(id): Path<String>, _: Query<Map<String, Value>>, body: Bytes) -> Response {
    let Some(double) = alive(&double) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let arguments: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let answered = double.change(|workspace| {
        let Some(url) = workspace.responses.get_mut(&id).filter(|url| url.left > 0) else {
            workspace
                .violations
                .push("a response URL was used too often, or never existed".to_owned());
            return false;
        };
        url.left -= 1;
        let url = url.clone();
        if let Err(broken) = rules::message(&blocks(&arguments)) {
            workspace.violations.push(broken);
            return false;
        }
        let thread = url
            .message
            .as_ref()
            .and_then(|ts| workspace.message(&url.channel, ts))
            .and_then(|message| message.thread.clone());
        let in_channel = arguments["response_type"] == "in_channel";
        let ts = workspace.ts();
        workspace.ledger.push(format!("response to {}", name_of(&url.user)));
        let message = Message {
            ts,
            thread,
            user: BOT.to_owned(),
            text: text(&arguments, "text"),
            blocks: blocks(&arguments),
            metadata: None,
            edited: false,
            only_for: (!in_channel).then(|| url.user.clone()),
        };
        workspace.channels.entry(url.channel).or_default().push(message);
        true
    });
    match answered {
        true => "ok".into_response(),
        false => (StatusCode::NOT_FOUND, "used_url").into_response(),
    }
}
