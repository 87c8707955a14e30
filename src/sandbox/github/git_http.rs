//! Git over smart HTTP: `git http-backend` as CGI in front of the bare repositories, with the token checked.

use std::process::Stdio;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::bare::environment;
use super::{BOT, GitHubDouble, root_of};
use crate::sandbox::locked;

/// Answers one request of a git client; `path` is the repository's on disk, and what it asks of it.
pub async fn serve(
    double: &GitHubDouble,
    method: &str,
    path: &str,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    if !authorised(double, path, headers) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"GitHub\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "Repository not found.").into_response();
    }
    match backend(double, method, path, uri, headers, body).await {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
    }
}

/// Whether the token is one, and may do that: reading or pushing.
fn authorised(double: &GitHubDouble, path: &str, headers: &HeaderMap) -> bool {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let basic = value.and_then(|value| value.strip_prefix("Basic "));
    let decoded = basic.and_then(|basic| base64::engine::general_purpose::STANDARD.decode(basic).ok());
    let pair = decoded.and_then(|pair| String::from_utf8(pair).ok());
    let token = pair.as_deref().and_then(|pair| pair.strip_prefix("x-access-token:"));
    let access = token.and_then(|token| locked(&double.0.tokens).access(token));
    access.is_some_and(|access| access.sees && (access.pushes || !path.ends_with("git-receive-pack")))
}

async fn backend(
    double: &GitHubDouble,
    method: &str,
    path: &str,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, String> {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let mut command = Command::new("git");
    environment(&mut command)
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root_of(&double.0))
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("SHIPMATE_GUARDED", guarded(double))
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", text("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"))
        .env("REMOTE_USER", BOT)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut stdin = child.stdin.take().ok_or("git http-backend has no stdin")?;
    // Both ways at once: the backend may answer before it has read everything.
    let feed = tokio::spawn(async move {
        let _ = stdin.write_all(&body).await;
    });
    let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
    feed.abort();
    parse(&output.stdout).ok_or_else(|| "git http-backend gave no headers".to_owned())
}

/// What the hook `update` refuses.
fn guarded(double: &GitHubDouble) -> String {
    double.knobs(|knobs| {
        let rules = knobs.rules.iter().flat_map(|(pattern, rule)| {
            let guards = [("creation", rule.creation), ("deletion", rule.deletion)];
            guards
                .into_iter()
                .filter(|(_, on)| *on)
                .map(move |(what, _)| format!("{what}:refs/heads/{pattern}"))
        });
        rules.collect::<Vec<_>>().join(" ")
    })
}

/// A CGI answer as an HTTP one.
fn parse(output: &[u8]) -> Option<Response> {
    let split = output.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let mut response = Response::new(Body::from(output[split + 4..].to_vec()));
    for line in String::from_utf8_lossy(&output[..split]).lines() {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("status") {
            let code = value.trim().split(' ').next()?.parse().ok()?;
            *response.status_mut() = StatusCode::from_u16(code).ok()?;
        } else {
            let name = HeaderName::try_from(name.to_ascii_lowercase()).ok()?;
            response
                .headers_mut()
                .insert(name, HeaderValue::try_from(value.trim()).ok()?);
        }
    }
    Some(response)
}
