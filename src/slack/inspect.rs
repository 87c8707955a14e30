//! Calls that only `shipmate check` makes: what the tokens are good for. The scopes stand in a header that slack-morphism doesn't pass on.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::client::with_mend;
use super::{Error, ErrorKind, Identity, Result};

const AUTH_TEST: &str = "auth.test";
const OPEN: &str = "apps.connections.open";
/// For one call, connection included.
const CALL: Duration = Duration::from_secs(10);

/// What the bot token is good for.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    /// Who we are.
    pub identity: Identity,
    /// Granted scopes; `None` if Slack didn't say.
    pub scopes: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Reply {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(flatten)]
    rest: serde_json::Value,
}

/// Asks Slack who the bot is and what it may.
///
/// # Errors
/// If Slack doesn't take the token.
pub async fn granted(api_url: &str, bot_token: &SecretString) -> Result<Granted> {
    let (reply, scopes) = call(api_url, AUTH_TEST, bot_token).await?;
    let identity = serde_json::from_value(reply);
    let identity = identity.map_err(|error| failed(AUTH_TEST, error.to_string(), ErrorKind::Transient))?;
    Ok(Granted { identity, scopes })
}

/// Asks for an address of Socket Mode, and doesn't go there.
///
/// # Errors
/// If Slack doesn't take the token.
pub async fn opens_socket(api_url: &str, app_token: &SecretString) -> Result<()> {
    call(api_url, OPEN, app_token).await.map(drop)
}

async fn call(api_url: &str, method: &str, token: &SecretString) -> Result<(serde_json::Value, Option<Vec<String>>)> {
    let unreachable = |error: reqwest::Error| failed(method, cause(error), ErrorKind::Transient);
    let http = reqwest::Client::builder().timeout(CALL).build().map_err(unreachable)?;
    let url = format!("{}/{method}", api_url.trim_end_matches('/'));
    let sent = http.post(url).bearer_auth(token.expose_secret()).send().await;
    let response = sent
        .and_then(reqwest::Response::error_for_status)
        .map_err(unreachable)?;
    let scopes = response.headers().get("x-oauth-scopes");
    let scopes = scopes.and_then(|scopes| scopes.to_str().ok()).map(|scopes| {
        let listed = scopes.split(',').map(str::trim).filter(|scope| !scope.is_empty());
        listed.map(str::to_owned).collect()
    });
    let reply: Reply = response.json().await.map_err(unreachable)?;
    match reply.ok {
        true => Ok((reply.rest, scopes)),
        false => {
            let message = format!("{}{}", reply.error, with_mend(&reply.error));
            Err(failed(method, message, ErrorKind::Api(reply.error)))
        }
    }
}

/// What happened: reqwest's own text says only that it did, and holds the address, which is configured and may hold a password.
fn cause(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", CALL.as_secs());
    }
    let error = error.without_url();
    let mut innermost: &dyn std::error::Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn failed(method: &str, message: String, kind: ErrorKind) -> Error {
    Error {
        method: method.to_owned(),
        message,
        kind,
    }
}
