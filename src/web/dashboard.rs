//! The dashboard's pages and what its buttons do. Everything is drawn here, so that it works without JavaScript; a script of a few lines
//! fetches the live part again when `stream` says that something has changed.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use maud::html;
use secrecy::SecretString;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tower_http::set_header::SetResponseHeaderLayer;

use super::access::{Access, Barred, Guest, Viewer, same_origin};
use super::board::{Board, Filter};
use super::names::Names;
use super::page::{self, Page};
use super::parts::Buttons;
use super::problem::Problem;
use super::{draw, stream, throttle};
use crate::config::Config;
use crate::deploy::decide::{About, Desk, Refusal};
use crate::deploy::train::Selection;
use crate::deploy::view::{QuestionKind, View};
use crate::deploy::{Deployments, Tick};
use crate::saga::engine::TooLate;
use crate::saga::store::StoreError;
use crate::saga::{Actor, Engine, History};

const CSS: &str = include_str!("assets/dashboard.css");
const JS: &str = include_str!("assets/dashboard.js");

/// A script asks so for the live part of a page alone.
const LIVE_PART: HeaderName = HeaderName::from_static("x-live-part");

/// What every answer carries: no script but ours, nothing inline, in nobody's frame. The referrer stays within: without one, browsers
/// would not say which page a form comes from either.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// What the pages are made of. Clones share it.
#[derive(Clone)]
pub struct Dashboard(Arc<Inner>);

struct Inner {
    config: Arc<Config>,
    engine: Engine<Deployments>,
    desk: Desk,
    board: Arc<Board>,
    access: Access,
    names: Names,
}

impl Dashboard {
    /// Over the engine; decisions are taken at `desk`. Ends with `stop`.
    ///
    /// # Errors
    /// If the operating system has no randomness.
    pub fn new(
        config: Arc<Config>,
        engine: Engine<Deployments>,
        desk: Desk,
        token: Option<SecretString>,
        stop: CancellationToken,
    ) -> Result<Self, String> {
        Ok(Self(Arc::new(Inner {
            access: Access::new(token, config.dashboard.clone())?,
            board: Board::new(engine.clone(), stop),
            names: Names::new(&config.people),
            config,
            engine,
            desk,
        })))
    }

    fn now(&self) -> DateTime<Utc> {
        self.0.engine.clock().now()
    }

    fn names(&self) -> &Names {
        &self.0.names
    }

    /// Lets a machine that watches this one in, or not.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn admit_machine(&self, extensions: &Extensions, headers: &HeaderMap) -> Result<(), Problem> {
        let peer = throttle::peer(extensions, headers);
        let admitted = self.0.access.admit_machine(headers, peer, self.now());
        admitted.map_err(Problem::Barred)
    }

    fn refused(&self, refusal: Refusal) -> Problem {
        Problem::Refused(refusal, self.names().clone())
    }

    /// One that has left the store is shown as well.
    fn found(&self, id: &str) -> Result<(Arc<History>, View), Problem> {
        let history = self.0.engine.recall(id)?;
        let history = history.ok_or_else(|| Problem::Unknown(id.to_owned()))?;
        let view = View::of(id, &history);
        Ok((history, view))
    }
}

/// All routes.
pub fn router(dashboard: Dashboard) -> Router {
    let routes = Router::new()
        .route("/", get(home))
        .route("/stats", get(stats))
        .route("/deployments/{id}", get(deployment))
        .route("/deployments/{id}/flight.jsonl", get(flight))
        .route("/deployments/{id}/decide", post(decide))
        .route("/deployments/{id}/edit", get(ask_for_list).post(edit))
        .route("/deployments/{id}/tick", post(tick))
        .route("/deployments/{id}/abort", get(ask_to_abort).post(abort))
        .route("/sign-in", get(ask_for_token).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/events", get(events))
        .route(
            "/dashboard.css",
            get(|| async { asset("text/css; charset=utf-8", CSS) }),
        )
        .route(
            "/dashboard.js",
            get(|| async { asset("text/javascript; charset=utf-8", JS) }),
        )
        .with_state(dashboard);
    let with = |routes: Router, (name, value): (HeaderName, &'static str)| {
        routes.layer(SetResponseHeaderLayer::if_not_present(
            name,
            HeaderValue::from_static(value),
        ))
    };
    HEADERS.into_iter().fold(routes, with)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    (
        [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")],
        text,
    )
        .into_response()
}

impl FromRequestParts<Dashboard> for Guest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, Problem> {
        let access = &dashboard.0.access;
        let peer = throttle::peer(&parts.extensions, &parts.headers);
        access
            .admit(&parts.headers, peer, dashboard.now())
            .map_err(Problem::Barred)
    }
}

/// Who asks, for the guard.
struct Peer(IpAddr);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(throttle::peer(&parts.extensions, &parts.headers)))
    }
}

/// A page, or only its live part. Whoever is no longer signed in is told so once, on a whole page.
fn answer(headers: &HeaderMap, guest: &Guest, page: Page<'_>) -> Response {
    let signed_out = guest.signed_out.is_some();
    match (&page.live, headers.contains_key(LIVE_PART)) {
        (Some(_), true) if signed_out => StatusCode::UNAUTHORIZED.into_response(),
        (Some(live), true) => live.clone().into_response(),
        _ => {
            let forgets = Access::sign_out().filter(|_| signed_out);
            (forgets.map(|cookie| [(header::SET_COOKIE, cookie)]), page.draw()).into_response()
        }
    }
}

fn buttons(guest: &Guest) -> Buttons {
    match guest.viewer {
        Viewer::Person(_) => Buttons::Shown,
        Viewer::Looker => Buttons::Hidden,
    }
}

type Answer = Result<Response, Problem>;

async fn home(
    State(dashboard): State<Dashboard>,
    guest: Guest,
    headers: HeaderMap,
    Query(filter): Query<Filter>,
) -> Answer {
    let (names, now, buttons) = (dashboard.names(), dashboard.now(), buttons(&guest));
    let name = format!("home {buttons:?} {}", filter.query(filter.number()));
    let live = dashboard.0.board.drawn(&name, || {
        let entries = dashboard.0.board.entries(&filter.project)?;
        Ok::<_, StoreError>(draw::home(
            &entries,
            &dashboard.0.config.projects,
            &filter,
            names,
            now,
            buttons,
        ))
    })?;
    let page = Page {
        title: "Deployments",
        guest: Some(&guest),
        names,
        above: draw::search(&dashboard.0.config.projects, &filter),
        live: Some(live),
    };
    Ok(answer(&headers, &guest, page))
}

async fn deployment(
    State(dashboard): State<Dashboard>,
    guest: Guest,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Answer {
    let (names, now, buttons) = (dashboard.names(), dashboard.now(), buttons(&guest));
    let name = format!("deployment {buttons:?} {id}");
    let live = dashboard.0.board.drawn(&name, || {
        let (history, view) = dashboard.found(&id)?;
        Ok::<_, Problem>(draw::deployment(&view, &history, names, now, buttons))
    })?;
    let page = Page {
        title: &id,
        guest: Some(&guest),
        names,
        above: html! {},
        live: Some(live),
    };
    Ok(answer(&headers, &guest, page))
}

async fn stats(
    State(dashboard): State<Dashboard>,
    guest: Guest,
    headers: HeaderMap,
    Query(filter): Query<Filter>,
) -> Answer {
    let now = dashboard.now();
    let live = dashboard.0.board.drawn(&format!("stats {}", filter.project), || {
        let projects = dashboard.0.config.projects.iter();
        let wanted = projects.filter(|project| filter.project.is_empty() || filter.project == project.name);
        let mut sections = Vec::new();
        for project in wanted {
            let entries = dashboard.0.board.entries(&project.name)?;
            sections.push(draw::numbers(&project.name, &entries, now));
        }
        Ok::<_, StoreError>(html! { @for section in sections { (section) } })
    })?;
    let page = Page {
        title: "Numbers",
        guest: Some(&guest),
        names: dashboard.names(),
        above: html! { h1.hidden { "Numbers" } },
        live: Some(live),
    };
    Ok(answer(&headers, &guest, page))
}

/// The flight recorder, made from the journal: one event a line.
async fn flight(State(dashboard): State<Dashboard>, _guest: Guest, Path(id): Path<String>) -> Answer {
    let (history, view) = dashboard.found(&id)?;
    let mut lines = String::new();
    for record in history.records() {
        let line = serde_json::to_string(record.as_ref()).map_err(|error| StoreError::Failed(error.to_string()))?;
        lines += &line;
        lines.push('\n');
    }
    let kind = [
        (header::CONTENT_TYPE, "application/jsonl; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}.jsonl\"", view.id),
        ),
    ];
    Ok((kind, lines).into_response())
}

async fn events(State(dashboard): State<Dashboard>, _guest: Guest) -> Response {
    stream::changes(dashboard.0.board.changes()).into_response()
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

async fn ask_for_token(State(dashboard): State<Dashboard>, headers: HeaderMap) -> Answer {
    dashboard.0.access.meant(&headers).map_err(Problem::Barred)?;
    Ok(page::sign_in(None).into_response())
}

async fn sign_in(
    State(dashboard): State<Dashboard>,
    Peer(peer): Peer,
    headers: HeaderMap,
    Form(form): Form<Token>,
) -> Answer {
    let access = &dashboard.0.access;
    access.meant(&headers).map_err(Problem::Barred)?;
    if !same_origin(&headers) {
        return Err(Problem::Foreign);
    }
    let recognised = access.recognise(&form.token, peer, dashboard.now());
    let Some(viewer) = recognised.map_err(Problem::Barred)? else {
        tracing::info!(%peer, "a sign-in with an unknown token was refused");
        return Ok((StatusCode::UNAUTHORIZED, page::sign_in(Some("Nobody has that token."))).into_response());
    };
    let cookie = access.sign_in(&viewer, &headers, dashboard.now());
    tracing::info!(?viewer, "signed in to the dashboard");
    Ok((cookie.map(|cookie| [(header::SET_COOKIE, cookie)]), Redirect::to("/")).into_response())
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    form_token: String,
    #[serde(default)]
    reason: String,
}

impl Dashboard {
    /// Whoever sent this form from one of our pages.
    fn sender(&self, guest: Guest, headers: &HeaderMap, form_token: &str) -> Result<String, Problem> {
        if let Some(why) = guest.signed_out {
            return Err(Problem::Barred(Barred::SignIn(Some(why))));
        }
        if !self.0.access.is_ours(headers, form_token) {
            return Err(Problem::Foreign);
        }
        match guest.viewer {
            Viewer::Person(user) => Ok(user),
            Viewer::Looker => Err(Problem::NobodySignedIn),
        }
    }
}

async fn sign_out(
    State(dashboard): State<Dashboard>,
    guest: Guest,
    headers: HeaderMap,
    Form(sent): Form<Sent>,
) -> Answer {
    if guest.signed_out.is_none() && !dashboard.0.access.is_ours(&headers, &sent.form_token) {
        return Err(Problem::Foreign);
    }
    let cookie = Access::sign_out();
    Ok((cookie.map(|cookie| [(header::SET_COOKIE, cookie)]), Redirect::to("/")).into_response())
}

#[derive(Deserialize)]
struct Choice {
    key: String,
    choice: String,
    #[serde(default)]
    digest: String,
}

async fn decide(
    State(dashboard): State<Dashboard>,
    guest: Guest,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(choice): Query<Choice>,
    Form(sent): Form<Sent>,
) -> Answer {
    let user = dashboard.sender(guest, &headers, &sent.form_token)?;
    let about = About {
        deployment: &id,
        key: &choice.key,
        digest: (!choice.digest.is_empty()).then_some(choice.digest.as_str()),
        reason: None,
        by: &Actor::Slack(user),
    };
    settled(
        &dashboard,
        &id,
        dashboard.0.desk.decide(about, &choice.choice, Vec::new()).await,
    )
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

async fn ask_for_list(
    State(dashboard): State<Dashboard>,
    guest: Guest,
    Path(id): Path<String>,
    Query(Key { key }): Query<Key>,
) -> Answer {
    let (_, view) = dashboard.found(&id)?;
    let question = view.questions.iter().find(|question| question.key == key);
    let Some(QuestionKind::ConfirmPrList { plan }) = question.map(|question| &question.kind) else {
        return Err(dashboard.refused(Refusal::Stale));
    };
    let page = Page {
        title: "Edit the list",
        guest: Some(&guest),
        names: dashboard.names(),
        above: draw::edit(&view, &key, plan, &guest),
        live: None,
    };
    Ok(page.draw().into_response())
}

/// Pairs, because a box that isn't ticked isn't sent and those that are share a name.
async fn edit(
    State(dashboard): State<Dashboard>,
    guest: Guest,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(Key { key }): Query<Key>,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Answer {
    let form_token = pairs.iter().find(|(name, _)| name == "form_token");
    let user = dashboard.sender(guest, &headers, form_token.map_or("", |(_, value)| value))?;
    let cars = pairs.iter().filter(|(name, _)| name == "car");
    let only: Vec<u64> = cars.filter_map(|(_, number)| number.parse().ok()).collect();
    if only.is_empty() {
        return Err(Problem::EmptyList);
    }
    let selection = Selection {
        only,
        exclude: Vec::new(),
    };
    let about = About {
        deployment: &id,
        key: &key,
        digest: None,
        reason: None,
        by: &Actor::Slack(user),
    };
    settled(
        &dashboard,
        &id,
        dashboard.0.desk.edit(about, &selection, Vec::new()).await,
    )
}

async fn tick(
    State(dashboard): State<Dashboard>,
    guest: Guest,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(tick): Query<Tick>,
    Form(sent): Form<Sent>,
) -> Answer {
    let user = dashboard.sender(guest, &headers, &sent.form_token)?;
    settled(
        &dashboard,
        &id,
        dashboard.0.desk.tick(&id, tick, &Actor::Slack(user), Vec::new()).await,
    )
}

async fn ask_to_abort(State(dashboard): State<Dashboard>, guest: Guest, Path(id): Path<String>) -> Answer {
    let (history, view) = dashboard.found(&id)?;
    if let Some(why) = TooLate::of(&history) {
        return Err(dashboard.refused(Refusal::TooLate(why)));
    }
    let page = Page {
        title: "Abort",
        guest: Some(&guest),
        names: dashboard.names(),
        above: draw::abort(&view, &guest),
        live: None,
    };
    Ok(page.draw().into_response())
}

async fn abort(
    State(dashboard): State<Dashboard>,
    guest: Guest,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(sent): Form<Sent>,
) -> Answer {
    let user = dashboard.sender(guest, &headers, &sent.form_token)?;
    let reason = Some(sent.reason.trim().to_owned()).filter(|reason| !reason.is_empty());
    settled(
        &dashboard,
        &id,
        dashboard
            .0
            .desk
            .abort(&id, &Actor::Slack(user), reason, Vec::new())
            .await,
    )
}

/// Back to the deployment, which shows what it did.
fn settled(dashboard: &Dashboard, id: &str, decided: Result<(), Refusal>) -> Answer {
    decided.map_err(|refusal| dashboard.refused(refusal))?;
    Ok(Redirect::to(&format!(
        "/deployments/{}",
        percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC)
    ))
    .into_response())
}

#[cfg(test)]
mod tests;
