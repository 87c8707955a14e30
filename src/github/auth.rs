//! How Shipmate proves itself to GitHub: a personal access token, or a GitHub App whose installation tokens last an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::http::{API_VERSION, USER_AGENT, http_client, read_error};
use super::{Error, ErrorKind, RepoName, Result};

/// An installation token is renewed this long before it expires.
const EARLY: Duration = Duration::from_secs(600);

/// Where tokens come from.
pub struct TokenSource(Kind);

enum Kind {
    Personal(SecretString),
    App(Box<App>),
}

struct App {
    api_url: String,
    app_id: u64,
    key: jsonwebtoken::EncodingKey,
    installation: Option<u64>,
    repo: RepoName,
    http: reqwest::Client,
    current: Mutex<Option<InstallationToken>>,
}

#[derive(Serialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: String,
}

#[derive(Deserialize)]
struct InstallationToken {
    token: SecretString,
    expires_at: DateTime<Utc>,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

impl TokenSource {
    /// A classic or fine-grained personal access token.
    pub fn personal(token: SecretString) -> Self {
        Self(Kind::Personal(token))
    }

    /// A GitHub App, by its id and PEM key; its installation is looked up by repository if it isn't given.
    ///
    /// # Errors
    /// If the key is no RSA key in PEM, or the system has no root certificates.
    pub fn app(
        api_url: &str,
        app_id: u64,
        key: &SecretString,
        installation: Option<u64>,
        repo: RepoName,
    ) -> Result<Self> {
        let broken = |message: String| Error {
            kind: ErrorKind::Unauthorized,
            request: "GITHUB_APP_PRIVATE_KEY".to_owned(),
            status: None,
            message,
            documentation_url: None,
            request_id: None,
        };
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(key.expose_secret().as_bytes()).map_err(|_| {
            broken("it is not an RSA private key in PEM form; download a new one from the App's settings".to_owned())
        })?;
        Ok(Self(Kind::App(Box::new(App {
            api_url: api_url.trim_end_matches('/').to_owned(),
            app_id,
            key,
            installation,
            repo,
            http: http_client()?,
            current: Mutex::default(),
        }))))
    }

    /// A token that is good for at least some minutes.
    ///
    /// # Errors
    /// If GitHub doesn't give an installation token.
    pub async fn token(&self) -> Result<SecretString> {
        match &self.0 {
            Kind::Personal(token) => Ok(token.clone()),
            Kind::App(app) => app.token().await,
        }
    }

    /// What the newest installation token may, as GitHub told with it (`"issues": "write"`); nothing is told of other tokens.
    pub async fn permissions(&self) -> Option<BTreeMap<String, String>> {
        match &self.0 {
            Kind::Personal(_) => None,
            Kind::App(app) => app
                .current
                .lock()
                .await
                .as_ref()
                .map(|current| current.permissions.clone()),
        }
    }

    /// Forgets a token that GitHub no longer takes, unless another call has got a new one meanwhile; `false` if there is no way to get another.
    pub async fn renew(&self, stale: &SecretString) -> bool {
        match &self.0 {
            Kind::Personal(_) => false,
            Kind::App(app) => {
                let mut current = app.current.lock().await;
                current.take_if(|current| current.token.expose_secret() == stale.expose_secret());
                true
            }
        }
    }
}

impl App {
    async fn token(&self) -> Result<SecretString> {
        let mut current = self.current.lock().await;
        let fresh_until = Utc::now() + EARLY;
        if let Some(current) = &*current
            && current.expires_at > fresh_until
        {
            return Ok(current.token.clone());
        }
        let installation = match self.installation {
            Some(id) => id,
            None => {
                let path = format!("/repos/{}/installation", self.repo);
                self.call::<Installation>(reqwest::Method::GET, &path).await?.id
            }
        };
        let path = format!("/app/installations/{installation}/access_tokens");
        let made: InstallationToken = self.call(reqwest::Method::POST, &path).await?;
        Ok(current.insert(made).token.clone())
    }

    /// Nine minutes, back-dated by one: GitHub allows ten, and clocks differ.
    fn jwt(&self) -> std::result::Result<String, jsonwebtoken::errors::Error> {
        let now = Utc::now().timestamp();
        let claims = Claims {
            iat: now - 60,
            exp: now + 540,
            iss: self.app_id.to_string(),
        };
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
        jsonwebtoken::encode(&header, &claims, &self.key)
    }

    async fn call<T: serde::de::DeserializeOwned>(&self, method: reqwest::Method, path: &str) -> Result<T> {
        let request = format!("{method} {path}");
        let failed = |message: String, kind: ErrorKind| Error {
            kind,
            request: request.clone(),
            status: None,
            message,
            documentation_url: None,
            request_id: None,
        };
        let jwt = self
            .jwt()
            .map_err(|error| failed(error.to_string(), ErrorKind::Unauthorized))?;
        let sent = self
            .http
            .request(method, format!("{}{path}", self.api_url))
            .bearer_auth(jwt)
            .header("Accept", "application/vnd.github+json")
            .header("X-GitHub-Api-Version", API_VERSION)
            .header("User-Agent", USER_AGENT)
            .send()
            .await;
        let response = sent.map_err(|error| failed(error.without_url().to_string(), ErrorKind::Transient))?;
        if !response.status().is_success() {
            return Err(read_error(&request, response).await);
        }
        let body = response.json().await;
        body.map_err(|error| failed(error.without_url().to_string(), ErrorKind::Malformed))
    }
}
