//! Faults that the doubles can be told to have, before or after the effect of a request: the difference between "it failed" and "its
//! reply was lost".

use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::locked;

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// Nothing has happened.
    Before,
    /// It has happened, and the caller doesn't learn of it.
    After,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// An error status with a message.
    Status(u16, String),
    /// Too many requests, with or without saying how long to wait.
    RateLimited(Option<u64>),
    /// The connection breaks.
    Reset,
    /// No answer, ever.
    Hang,
    /// A proxy's page with status 200.
    Html,
    /// Half a JSON document with status 200.
    HalfJson,
    /// Slack's `ok: false` with this code.
    NotOk(String),
}

/// One fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What the request line must contain, as in `PUT /repos/acme/web/pulls/41/merge` or `POST chat.postMessage`.
    pub matches: String,
    /// When.
    pub when: When,
    /// What.
    pub kind: Kind,
    /// How often.
    pub times: u32,
}

/// Called with each request that changes something, before and after it does.
pub type Hook = Arc<dyn Fn(&str, When) + Send + Sync>;

/// Asked about each request, before and after its effect: what goes wrong with it, if anything. Before, only if no planned fault strikes.
pub type Gate = Arc<dyn Fn(&str, When) -> Option<Kind> + Send + Sync>;

/// The faults of one double.
#[derive(Default)]
pub struct Faults {
    planned: Mutex<Vec<Fault>>,
    hook: Mutex<Option<Hook>>,
    gate: Mutex<Option<Gate>>,
}

impl Faults {
    /// One more.
    pub fn inject(&self, fault: Fault) {
        locked(&self.planned).push(fault);
    }

    /// Watches every change, or stops to.
    pub fn watch(&self, hook: Option<Hook>) {
        *locked(&self.hook) = hook;
    }

    /// Asks the gate about every request from now on, or no longer.
    pub fn guard(&self, gate: Option<Gate>) {
        *locked(&self.gate) = gate;
    }

    /// Tells the watcher.
    pub fn tell(&self, request: &str, when: When) {
        let hook = locked(&self.hook).clone();
        if let Some(hook) = hook {
            hook(request, when);
        }
    }

    /// The answer that this request gets instead of its own, if a fault strikes.
    pub async fn strike(&self, request: &str, when: When) -> Option<Response> {
        let planned = self.planned(request, when);
        let gate = match (&planned, when) {
            (Some(_), When::Before) => None,
            _ => locked(&self.gate).clone(),
        };
        let gated = gate.and_then(|gate| gate(request, when));
        let kind = planned.or(gated)?;
        if kind == Kind::Hang {
            std::future::pending::<()>().await;
        }
        Some(kind.response())
    }

    fn planned(&self, request: &str, when: When) -> Option<Kind> {
        let mut planned = locked(&self.planned);
        let fault = planned
            .iter_mut()
            .find(|fault| fault.times > 0 && fault.when == when && request.contains(&fault.matches))?;
        fault.times -= 1;
        Some(fault.kind.clone())
    }
}

impl Kind {
    fn response(&self) -> Response {
        match self {
            Self::Status(status, message) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (
                    status,
                    axum::Json(json!({ "message": message, "documentation_url": "https://docs.github.com/rest" })),
                )
                    .into_response()
            }
            Self::RateLimited(wait) => {
                let body = json!({ "ok": false, "error": "ratelimited", "message": "You have exceeded a secondary rate limit." });
                let mut response = (StatusCode::TOO_MANY_REQUESTS, axum::Json(body)).into_response();
                if let Some(seconds) = wait {
                    response
                        .headers_mut()
                        .insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
                }
                response
            }
            Self::Html => (
                [(header::CONTENT_TYPE, "text/html")],
                "<html><body>Bad gateway</body></html>",
            )
                .into_response(),
            Self::HalfJson => ([(header::CONTENT_TYPE, "application/json")], "{\"number\": 4").into_response(),
            Self::NotOk(code) => axum::Json(json!({ "ok": false, "error": code })).into_response(),
            // A body that breaks off resets the connection.
            Self::Reset | Self::Hang => {
                let broken = futures_util::stream::once(async { Err::<&[u8], _>(std::io::Error::other("reset")) });
                Response::new(Body::from_stream(broken))
            }
        }
    }
}
