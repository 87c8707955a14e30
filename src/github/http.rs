//! HTTP as GitHub speaks it: one way to ask, and errors that say what a caller can do about them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Error, ErrorKind, Result};
use crate::metrics;
use crate::requests;

pub(super) const API_VERSION: &str = "2022-11-28";
pub(super) const USER_AGENT: &str = concat!("shipmate/", env!("CARGO_PKG_VERSION"));
/// What GitHub calls a request: its support finds it by that.
const REQUEST_ID: &str = "x-github-request-id";
/// GitHub gives up on a request after 10 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A secondary limit without `Retry-After` asks for at least a minute.
pub(super) const SECONDARY_LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn http_client() -> Result<reqwest::Client> {
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .connect_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none())
        .build();
    client.map_err(|error| Error {
        kind: ErrorKind::Other,
        request: "HTTP client".to_owned(),
        status: None,
        message: error.to_string(),
        documentation_url: None,
        request_id: None,
    })
}

pub(super) fn unreachable_error(request: &str, error: &reqwest::Error) -> Error {
    let mut message = String::new();
    // reqwest's own text holds the URL; its sources say what happened.
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = source {
        message = cause.to_string();
        source = cause.source();
    }
    if error.is_timeout() {
        message = "no answer in time".to_owned();
    } else if message.is_empty() {
        message = "the connection failed".to_owned();
    }
    Error {
        kind: ErrorKind::Transient,
        request: request.to_owned(),
        status: None,
        message,
        documentation_url: None,
        request_id: None,
    }
}

pub(super) fn malformed(request: &str, message: &str) -> Error {
    Error {
        kind: ErrorKind::Malformed,
        request: request.to_owned(),
        status: None,
        message: message.to_owned(),
        documentation_url: None,
        request_id: None,
    }
}

pub(super) async fn read_json<T: DeserializeOwned>(request: &str, response: reqwest::Response) -> Result<T> {
    let bytes = response
        .bytes()
        .await
        .map_err(|error| unreachable_error(request, &error))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let beginning: String = String::from_utf8_lossy(&bytes).chars().take(60).collect();
        malformed(
            request,
            &format!("the answer is no JSON ({error}); it begins with `{beginning}`"),
        )
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(super) fn note_request(method: &reqwest::Method, response: Option<&reqwest::Response>) {
    metrics::github_asked(method.as_str(), response.map(|response| response.status().as_u16()));
    let remaining = response.and_then(|response| header(response.headers(), "x-ratelimit-remaining"));
    if let Some(requests) = remaining.and_then(|requests| requests.parse().ok()) {
        metrics::github_remaining(requests);
    }
}

/// For the journal of whatever step asked.
pub(super) fn note_write(request: &str, response: &reqwest::Response) {
    if let Some(id) = header(response.headers(), REQUEST_ID) {
        requests::note(format!("{request}: {}", response.status().as_u16()), id);
    }
}

pub(super) fn note_sunset(request: &str, headers: &HeaderMap) {
    static SAID: std::sync::Once = std::sync::Once::new();
    let sunset = header(headers, "sunset").or_else(|| header(headers, "deprecation"));
    if let Some(date) = sunset {
        SAID.call_once(|| {
            tracing::warn!(
                request,
                date,
                "GitHub will end this API version; update Shipmate before"
            )
        });
    }
}

/// An error from an answer: GitHub's message with its `errors[]` spelled out, its link, its request id, and what to do.
pub(super) async fn read_error(request: &str, response: reqwest::Response) -> Error {
    let status = response.status();
    let headers = response.headers().clone();
    let location = header(&headers, "location").unwrap_or_default().to_owned();
    let body: Value = response.json().await.unwrap_or(Value::Null);
    let message = message(&body).unwrap_or_else(|| status.to_string());
    let limited = limited(status, &headers, &message);
    let kind = match (status.as_u16(), limited) {
        (_, Some(wait)) => ErrorKind::RateLimited(wait),
        (401, _) => ErrorKind::Unauthorized,
        (403, _) => ErrorKind::Forbidden,
        (404 | 410, _) => ErrorKind::NotFound,
        (408 | 500..=599, _) => ErrorKind::Transient,
        (409, _) => ErrorKind::Conflict,
        (422, _) => ErrorKind::Invalid,
        (301 | 302 | 307 | 308, _) => ErrorKind::Moved(location.clone()),
        _ => ErrorKind::Other,
    };
    let mut message = message;
    if let ErrorKind::Moved(_) = &kind {
        message = format!("the repository moved to {location}: change `repo` in the configuration");
    }
    if status == StatusCode::GONE && message.contains("API version") {
        message += "; update Shipmate, which speaks a newer one";
    }
    if kind == ErrorKind::Forbidden
        && let Some(needed) = header(&headers, "x-accepted-github-permissions").filter(|needed| !needed.is_empty())
    {
        message += &format!("; the token needs {needed}");
    }
    if kind == ErrorKind::Forbidden
        && let Some(sso) = header(&headers, "x-github-sso").filter(|sso| !sso.is_empty())
    {
        message += &format!("; authorise the token for single sign-on ({sso})");
    }
    Error {
        kind,
        request: request.to_owned(),
        status: Some(status.as_u16()),
        message,
        documentation_url: body["documentation_url"].as_str().map(str::to_owned),
        request_id: header(&headers, REQUEST_ID).map(str::to_owned),
    }
}

/// How long GitHub wants us to wait, if it does: `Retry-After`, else the primary limit's reset, else the secondary limit's minute.
fn limited(status: StatusCode, headers: &HeaderMap, message: &str) -> Option<Duration> {
    if !matches!(status.as_u16(), 403 | 429) {
        return None;
    }
    let number = |name: &str| header(headers, name).and_then(|value| value.trim().parse::<i64>().ok());
    if let Some(seconds) = number("retry-after") {
        return Some(Duration::from_secs(seconds.max(0).unsigned_abs()));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        let reset = number("x-ratelimit-reset").unwrap_or(0);
        let wait = (reset - github_time(headers)).clamp(1, 3600);
        // Both are whole seconds.
        return Some(Duration::from_secs(wait.unsigned_abs() + 1));
    }
    let secondary = message.to_lowercase().contains("rate limit");
    (secondary || status == StatusCode::TOO_MANY_REQUESTS).then_some(SECONDARY_LIMIT)
}

/// The time by GitHub's own clock, which the limit's reset is told by; by ours if GitHub doesn't say.
fn github_time(headers: &HeaderMap) -> i64 {
    let date = header(headers, "date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    date.map_or_else(|| Utc::now().timestamp(), |date| date.timestamp())
}

/// An error body's message, with its `errors[]` spelled out.
fn message(body: &Value) -> Option<String> {
    let mut message = body["message"].as_str()?.to_owned();
    let detail = |error: &Value| match error {
        Value::String(text) => Some(text.clone()),
        error => {
            let said = error["message"].as_str().filter(|said| !said.is_empty());
            let field = error["field"].as_str().zip(error["code"].as_str());
            said.map(str::to_owned)
                .or_else(|| field.map(|(field, code)| format!("{field} is {code}")))
        }
    };
    let details: Vec<String> = body["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(detail)
        .collect();
    if !details.is_empty() {
        message = format!("{message}: {}", details.join("; "));
    }
    Some(message)
}
