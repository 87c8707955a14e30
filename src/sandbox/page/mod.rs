//! The sandbox's page: looks and feels like a Slack channel, several people to act as, with the state of GitHub beside it, live.
//!
//! The page only shows the doubles' state and passes people's verbs on; it knows nothing of deployments.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tower_http::set_header::SetResponseHeaderLayer;

use super::github::GitHubDouble;
use super::play::REPO;
use super::slack::{BOT, DEPLOYS, Message, SlackDouble, Workspace};

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
const JS: &str = include_str!("page.js");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Both doubles.
#[derive(Clone)]
pub struct Page {
    /// Slack.
    pub slack: SlackDouble,
    /// GitHub.
    pub github: GitHubDouble,
}

/// All routes of the page.
pub fn router(page: Page) -> Router {
    let policy = SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    let sniff = SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Router::new()
        .route("/", get(|| asset("text/html; charset=utf-8", HTML)))
        .route("/page.css", get(|| asset("text/css; charset=utf-8", CSS)))
        .route("/page.js", get(|| asset("text/javascript; charset=utf-8", JS)))
        .route("/state", get(state))
        .route("/stream", get(stream))
        .route("/act", post(act))
        .layer(policy)
        .layer(sniff)
        .with_state(page)
}

async fn asset(kind: &'static str, text: &'static str) -> Response {
    (
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")],
        text,
    )
        .into_response()
}

#[derive(Deserialize)]
struct As {
    #[serde(rename = "as")]
    user: String,
}

/// Everything that one person sees.
async fn state(State(page): State<Page>, Query(me): Query<As>) -> Json<Value> {
    let workspace = page.slack.look(Workspace::clone);
    let message = |message: &Message| {
        json!({
            "ts": message.ts, "thread": message.thread, "user": message.author, "name": workspace.name(&message.author), "text": message.text,
            "blocks": message.blocks, "edited": message.edits > 0, "private": message.only_for.is_some(), "bot": message.author == BOT,
        })
    };
    let messages: Vec<Value> = workspace.visible(DEPLOYS, &me.user).map(message).collect();
    let people: Vec<Value> = workspace
        .people
        .values()
        .filter(|person| person.id != BOT)
        .map(|person| json!({ "id": person.id, "login": person.handle, "name": person.name }))
        .collect();
    let view = workspace
        .open_view(&me.user)
        .map(|view| json!({ "id": view.id, "view": view.view, "errors": view.errors }));
    Json(json!({
        "people": people,
        "messages": messages,
        "view": view,
        "home": workspace.homes.get(&me.user).map(|home| &home.view),
        "github": page.github.snapshot(REPO).await,
        "ledger": page.github.ledger(REPO).await.into_iter().rev().take(12).collect::<Vec<_>>(),
    }))
}

/// One event at each visible change; the page then asks for the state.
async fn stream(State(page): State<Page>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let watched = (page.slack.changes(), page.github.changes());
    let events = futures_util::stream::unfold(watched, |(mut slack, mut github)| async move {
        tokio::select! {
            changed = slack.changed() => changed.ok()?,
            changed = github.changed() => changed.ok()?,
        }
        // A burst of changes is one event.
        tokio::time::sleep(Duration::from_millis(40)).await;
        slack.mark_unchanged();
        github.mark_unchanged();
        Some((Ok(Event::default().data("changed")), (slack, github)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// What a person does.
#[derive(Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
enum Act {
    Say {
        user: String,
        text: String,
    },
    Use {
        user: String,
        ts: String,
        action_id: String,
        ticked: Option<Vec<String>>,
    },
    Submit {
        user: String,
        values: BTreeMap<String, Vec<String>>,
    },
    Close {
        user: String,
    },
    Dismiss {
        user: String,
        ts: String,
    },
    Home {
        user: String,
    },
    Rerun,
    RerunChecks,
}

/// Only our own page sends this header: another site's page can't without asking first, and is never allowed to.
const OURS: HeaderName = HeaderName::from_static("x-sandbox");

async fn act(State(page): State<Page>, headers: HeaderMap, Json(act): Json<Act>) -> Response {
    if !headers.contains_key(OURS) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let done = match act {
        Act::Say { user, text } => page.slack.says(&user, DEPLOYS, &text).await.map(drop),
        Act::Use {
            user,
            ts,
            action_id,
            ticked,
        } => {
            let ticked = ticked.unwrap_or_default();
            let ticked: Vec<&str> = ticked.iter().map(String::as_str).collect();
            page.slack.ticks(&user, DEPLOYS, &ts, &action_id, &ticked).await
        }
        Act::Submit { user, values } => page.slack.submits_view(&user, values).await.map(drop),
        Act::Close { user } => {
            page.slack.closes_view(&user).await;
            Ok(())
        }
        Act::Dismiss { user, ts } => {
            page.slack.dismisses(&user, DEPLOYS, &ts);
            Ok(())
        }
        Act::Home { user } => page.slack.opens_home(&user).await,
        Act::Rerun => page.github.rerun(REPO).await,
        Act::RerunChecks => page.github.rerun_checks(REPO).await,
    };
    match done {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error).into_response(),
    }
}
