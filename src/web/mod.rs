//! HTTP for machines and people: health, readiness, webhooks, and the dashboard.
//!
//! `ready` says whether the store takes writes. Reading order of the dashboard: `dashboard` (routes, what buttons do), `access` (who may), `throttle` (how often they may be
//! wrong), `board` (what there is to show), then what draws it: `draw` (pages), `parts` (a deployment), `chart` (pictures), `page` (the
//! frame).

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use secrecy::SecretString;
use tokio::sync::watch;

use crate::config::Config;
use crate::deploy::{Deployments, text};
use crate::metrics;
use crate::saga::Engine;
use dashboard::Dashboard;
use problem::Problem;
use ready::Readiness;

mod access;
mod board;
mod chart;
pub mod dashboard;
mod draw;
mod names;
mod page;
mod parts;
mod problem;
pub mod ready;
mod stream;
mod throttle;
mod webhooks;

/// What the routes see.
#[derive(Clone)]
pub struct State {
    /// All deployments.
    pub engine: Engine<Deployments>,
    /// The configuration.
    pub config: Arc<Config>,
    /// Whether Slack's socket is up; `None` in HTTP mode.
    pub slack_connected: Option<watch::Receiver<bool>>,
    /// Without it webhooks are refused.
    pub webhook_secret: Option<SecretString>,
    /// The pages for people.
    pub dashboard: Dashboard,
    /// What was last found out about the store.
    pub readiness: Readiness,
}

/// All routes.
pub fn router(state: State) -> Router {
    let dashboard = dashboard::router(state.dashboard.clone());
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .route("/github/webhooks", post(webhooks::receive))
        .with_state(state)
        .merge(dashboard)
        .layer(tower_http::limit::RequestBodyLimitLayer::new(webhooks::LIMIT))
}

/// What is counted and timed, as Prometheus reads it.
async fn measured(
    Shared(state): Shared<State>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    state.dashboard.admit_machine(&extensions, &headers)?;
    for project in &state.config.projects {
        let active = matches!(state.engine.running(&project.name), Ok(Some(_)));
        metrics::deployment_active(&project.name, active);
    }
    let kind = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    Ok(([kind], metrics::rendered()))
}

/// Ready: the store takes writes, and Slack is connected. Whatever isn't is named, a line each.
async fn ready(Shared(state): Shared<State>) -> (StatusCode, String) {
    let store = state.readiness.store(&state.engine).await;
    let connected = state.slack_connected.as_ref();
    let slack = connected.is_none_or(|connected| *connected.borrow());
    let mut lines: Vec<String> = store.err().iter().map(|error| text::store_not_ready(error)).collect();
    if !slack {
        lines.push(text::SLACK_NOT_READY.to_owned());
    }
    match lines.as_slice() {
        [] => (StatusCode::OK, "ready\n".to_owned()),
        lines => (StatusCode::SERVICE_UNAVAILABLE, lines.join("\n") + "\n"),
    }
}
