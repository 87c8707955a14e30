//! `POST /github/webhooks`: any signed event about a project's repository tells its waits to look again. GitHub doesn't redeliver, so a lost
//! one changes nothing: polling is the truth.

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use hmac::{Hmac, Mac};
use secrecy::ExposeSecret;
use serde_json::Value;
use sha2::Sha256;

use super::State;

/// GitHub sends at most 25 MB; what is beyond this is not about what we wait for.
pub const LIMIT: usize = 5 * 1024 * 1024;

/// Checks the signature over the body, then wakes.
pub async fn receive(Shared(state): Shared<State>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Some(secret) = &state.webhook_secret else {
        return StatusCode::NOT_FOUND;
    };
    let signature = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
    if !signature.is_some_and(|signature| signed(secret.expose_secret(), signature, &body)) {
        tracing::info!("a webhook with a wrong signature was refused");
        return StatusCode::UNAUTHORIZED;
    }
    let repo = serde_json::from_slice::<Value>(&body).ok();
    let repo = repo.as_ref().and_then(|body| body["repository"]["full_name"].as_str());
    for project in &state.config.projects {
        if repo.is_some_and(|repo| repo.eq_ignore_ascii_case(&project.repo.to_string())) {
            state.engine.wake(&project.name);
        }
    }
    StatusCode::NO_CONTENT
}

/// `sha256=<hex>`, compared in constant time.
fn signed(secret: &str, signature: &str, body: &[u8]) -> bool {
    let claimed = signature.strip_prefix("sha256=").and_then(|hex| hex::decode(hex).ok());
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes());
    match (mac, claimed) {
        (Ok(mac), Some(claimed)) => mac.chain_update(body).verify_slice(&claimed).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation, "Validating webhook deliveries".
    #[test]
    fn the_documented_signature_holds_and_a_forged_one_does_not() {
        let secret = "It's a Secret to Everybody";
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(signed(secret, signature, b"Hello, World!"));
        assert!(!signed(secret, signature, b"Hello, World?"));
        assert!(!signed(secret, "sha256=00", b"Hello, World!"));
        assert!(!signed(secret, "nonsense", b"Hello, World!"));
    }
}
