//! The Web API as Slack answers it: `POST`ed JSON or forms for writes, queries for reads, a bearer token, `ok: false` with a code.

use std::sync::Weak;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::arguments::{Arguments, TakesJson};
use super::model::APP;
use super::reads::READS;
use super::writes::WRITES;
use super::{APP_TOKEN, BOT_TOKEN, Inner, SlackDouble, locked};
use crate::sandbox::faults::When;

/// Opens a Socket Mode line; the only method for the app token.
const OPEN: &str = "apps.connections.open";

/// `/api/{method}`.
pub(super) fn router(door: Weak<Inner>) -> Router {
    Router::new().route("/api/{method}", any(call)).with_state(door)
}

async fn call(
    State(door): State<Weak<Inner>>,
    Path(method): Path<String>,
    verb: Method,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(double) = door.upgrade().map(SlackDouble) else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    double.look_mut(|workspace| workspace.count(&method));
    let line = format!("{verb} {method}");
    let takes_json = match named(READS, &method) {
        Some(_) => TakesJson::No,
        None => TakesJson::Yes,
    };
    let arguments = Arguments::of(query.as_deref().unwrap_or_default(), &headers, &body, takes_json);
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    double
        .faulty(&line, named(WRITES, &method).is_some(), || {
            double.answer(&method, token, &arguments)
        })
        .await
}

impl SlackDouble {
    /// Does what is asked, with the faults that were planned for it.
    pub(super) async fn faulty(&self, line: &str, writes: bool, act: impl FnOnce() -> Response) -> Response {
        if let Some(fault) = self.0.faults.strike(line, When::Before).await {
            return fault;
        }
        if writes {
            self.0.faults.tell(line, When::Before);
        }
        let answer = act();
        if writes {
            self.0.faults.tell(line, When::After);
        }
        match self.0.faults.strike(line, When::After).await {
            Some(fault) => fault,
            None => answer,
        }
    }

    fn answer(&self, method: &str, token: &str, arguments: &Arguments) -> Response {
        let expected = if method == OPEN { APP_TOKEN } else { BOT_TOKEN };
        if let Err(seconds) = self.take_allowance(method, arguments) {
            let mut response = (
                StatusCode::TOO_MANY_REQUESTS,
                Json(json!({ "ok": false, "error": "ratelimited" })),
            )
                .into_response();
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            return response;
        }
        let answer = match token.strip_prefix("Bearer ") {
            None => Err("not_authed".to_owned()),
            Some(token) if token != expected => Err("invalid_auth".to_owned()),
            Some(_) => self.dispatch(method, arguments),
        };
        match answer {
            Ok(mut reply) => {
                reply["ok"] = json!(true);
                let mut response = Json(reply).into_response();
                response.headers_mut().insert("x-oauth-scopes", self.scopes());
                response
            }
            Err(code) => Json(json!({ "ok": false, "error": code })).into_response(),
        }
    }

    /// What the app was installed with.
    fn scopes(&self) -> HeaderValue {
        let granted = self.look(|workspace| workspace.scopes.join(","));
        HeaderValue::try_from(granted).unwrap_or(HeaderValue::from_static(""))
    }

    fn take_allowance(&self, method: &str, arguments: &Arguments) -> Result<(), u64> {
        match self.0.options.rate_limits {
            true => locked(&self.0.limits).take(method, arguments.text("channel"), Instant::now()),
            false => Ok(()),
        }
    }

    fn dispatch(&self, method: &str, arguments: &Arguments) -> Result<Value, String> {
        if method == OPEN {
            let ticket = self.0.socket.ticket();
            return Ok(json!({ "url": format!("ws://{}/socket?ticket={ticket}&app_id={APP}", self.0.address) }));
        }
        if let Some(write) = named(WRITES, method) {
            return self.change(|workspace| write(workspace, arguments));
        }
        let read = named(READS, method).ok_or("unknown_method")?;
        self.look(|workspace| read(workspace, arguments))
    }
}

fn named<T: Copy>(table: &[(&str, T)], method: &str) -> Option<T> {
    table.iter().find(|(name, _)| *name == method).map(|(_, act)| *act)
}
