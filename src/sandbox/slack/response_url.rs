//! Response URLs: five answers within half an hour to a command or click, without a token.

use std::sync::Weak;
use std::time::Instant;

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::model::{BOT, Draft, ResponseUrl, Workspace};
use super::{Inner, SlackDouble, rules};

/// What it is called in the calls, the ledger and the faults.
const METHOD: &str = "response_url";

/// `/response/{id}`.
pub(super) fn router(door: Weak<Inner>) -> Router {
    Router::new().route("/response/{id}", post(respond)).with_state(door)
}

async fn respond(State(door): State<Weak<Inner>>, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let Some(double) = door.upgrade().map(SlackDouble) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    double.look_mut(|workspace| workspace.count(METHOD));
    let act = || match double.change(|workspace| answer(workspace, &id, &body)) {
        Ok(()) => "ok".into_response(),
        Err((status, code)) => (status, Json(json!({ "ok": false, "error": code }))).into_response(),
    };
    double.faulty("POST response_url", true, act).await
}

fn answer(workspace: &mut Workspace, id: &str, body: &Value) -> Result<(), (StatusCode, &'static str)> {
    let url = workspace
        .response_urls
        .get_mut(id)
        .ok_or((StatusCode::NOT_FOUND, "invalid_url"))?;
    if Instant::now() >= url.expires {
        return Err((StatusCode::NOT_FOUND, "expired_url"));
    }
    if url.uses_left == 0 {
        return Err((StatusCode::NOT_FOUND, "used_url"));
    }
    let url = {
        url.uses_left -= 1;
        url.clone()
    };
    if body["delete_original"] == true {
        workspace
            .messages
            .retain(|message| Some(&message.ts) != url.original.as_ref() || message.channel != url.channel);
        workspace.ledger.push(format!("{METHOD} {} delete", url.channel));
        return Ok(());
    }
    let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
    let broken = rules::blocks(&blocks);
    let refused = !broken.is_empty();
    workspace
        .violations
        .extend(broken.into_iter().map(|rule| format!("{METHOD}: {rule}")));
    if refused {
        return Err((StatusCode::BAD_REQUEST, "invalid_blocks"));
    }
    let text = body["text"].as_str().unwrap_or_default().to_owned();
    if text.is_empty() && blocks.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "no_text"));
    }
    let ts = match body["replace_original"] == true {
        true => replace(workspace, &url, &text, &blocks),
        false => None,
    };
    let ts = ts.unwrap_or_else(|| {
        workspace.post(Draft {
            channel: url.channel.clone(),
            author: BOT.to_owned(),
            thread: url.thread,
            text,
            blocks,
            metadata: None,
            only_for: (body["response_type"] != "in_channel").then_some(url.user),
        })
    });
    workspace.enter(METHOD, &url.channel, &ts);
    Ok(())
}

/// Instead of the message clicked on, if there was one and it is still there.
fn replace(workspace: &mut Workspace, url: &ResponseUrl, text: &str, blocks: &[Value]) -> Option<String> {
    let original = url.original.clone()?;
    let blocks = workspace.with_ids(blocks.to_vec());
    let message = workspace.message_mut(&url.channel, &original)?;
    message.rewrite(text.to_owned(), blocks);
    Some(original)
}
