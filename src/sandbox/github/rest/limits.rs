//! The primary rate limit: what is left of it, in every answer's headers and on its own route.

use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use chrono::Utc;
use serde_json::json;

use super::answer::{Answer, ok, refuse};
use crate::sandbox::github::{BOT, Credential, GitHubDouble};
use crate::sandbox::locked;

/// The primary rate limit: requests per hour.
const LIMIT: u64 = 5000;
/// Seconds until a used-up quota comes back.
const REFILL: i64 = 1;

pub fn rate_limit(double: &GitHubDouble) -> Answer {
    let (remaining, reset) = double.quota();
    let core = json!({ "limit": LIMIT, "remaining": remaining, "used": LIMIT.saturating_sub(remaining), "reset": reset, "resource": "core" });
    ok(json!({ "resources": { "core": core }, "rate": core }))
}

/// Whose token it is: an App's is nobody's.
pub fn user(double: &GitHubDouble) -> Answer {
    let (credential, owner) = double.knobs(|knobs| (knobs.credential, knobs.token_owner));
    match credential {
        Credential::App => refuse(403, "Resource not accessible by integration"),
        Credential::Classic | Credential::FineGrained => ok(json!({ "login": owner.unwrap_or(BOT) })),
    }
}

pub fn with_limits(double: &GitHubDouble, mut response: Response) -> Response {
    let (remaining, reset) = double.quota();
    for (name, value) in [
        ("x-github-request-id", format!("SBX:{:06X}", fastrand::u32(..0xff_ffff))),
        ("x-ratelimit-limit", LIMIT.to_string()),
        ("x-ratelimit-remaining", remaining.to_string()),
        ("x-ratelimit-used", LIMIT.saturating_sub(remaining).to_string()),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

impl GitHubDouble {
    /// Requests left before the primary limit, and when there are new ones, in epoch seconds: clients compare that with their own clock.
    pub(super) fn quota(&self) -> (u64, i64) {
        let now = Utc::now().timestamp();
        let mut back = locked(&self.0.quota_back);
        self.knobs(|knobs| match (knobs.quota, *back) {
            (Some(0), None) => {
                *back = Some(now + REFILL);
                (0, now + REFILL)
            }
            (Some(0), Some(reset)) if now < reset => (0, reset),
            (Some(0), Some(_)) => {
                (knobs.quota, *back) = (None, None);
                (LIMIT, now + 3600)
            }
            (left, _) => (left.unwrap_or(LIMIT), now + 3600),
        })
    }

    /// What is new costs one of the quota; what isn't, nothing.
    pub(super) fn count_down(&self, status: StatusCode) {
        if status != StatusCode::NOT_MODIFIED {
            self.knobs(|knobs| knobs.quota = knobs.quota.map(|left| left.saturating_sub(1)));
        }
    }
}
