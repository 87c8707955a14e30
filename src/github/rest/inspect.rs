//! Reads that only `shipmate check` makes: what could go wrong later, looked at before.

use std::collections::BTreeMap;

use base64::Engine as _;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{ErrorKind, RestGitHub, Result, read_error, read_json, segment};
use crate::github::{Sha, http};

/// An active rule of a branch.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Rule {
    /// GitHub's word: `pull_request`, `deletion`, `merge_queue`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// What it says, by GitHub's names.
    #[serde(default)]
    pub parameters: Value,
}

/// A workflow file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Workflow {
    /// `active`, `disabled_manually`, `disabled_inactivity`, …
    pub state: String,
}

/// What the token is good for.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowance {
    /// Requests left in this hour.
    pub remaining: u64,
    /// Requests an hour.
    pub limit: u64,
    /// The scopes of a classic token; other kinds have permissions instead.
    pub scopes: Option<Vec<String>>,
    /// The permissions of a GitHub App's installation, by GitHub's names (`"issues": "write"`); of other kinds GitHub doesn't tell.
    pub permissions: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Contents {
    content: String,
    encoding: String,
}

impl RestGitHub {
    /// Rules of a branch, which need not exist.
    ///
    /// # Errors
    /// If GitHub doesn't tell.
    pub async fn rules(&self, branch: &str) -> Result<Vec<Rule>> {
        let path = self.path(&format!("/rules/branches/{}?per_page=100", segment(branch)));
        let rules = self.found(self.list(&path, None).await).await?;
        Ok(rules.unwrap_or_default())
    }

    /// A workflow by its file's name; `None` if there is none on the default branch.
    ///
    /// # Errors
    /// If GitHub doesn't tell.
    pub async fn workflow(&self, file: &str) -> Result<Option<Workflow>> {
        let path = self.path(&format!("/actions/workflows/{}", segment(file)));
        self.found(self.get(&path).await).await
    }

    /// A file on a branch; `None` if there is none.
    ///
    /// # Errors
    /// If GitHub doesn't give it, or only in another way: it is larger than a megabyte, or no file.
    pub async fn file(&self, branch: &str, path: &str) -> Result<Option<Vec<u8>>> {
        let encoded: Vec<String> = path.split('/').map(segment).collect();
        let url = self.path(&format!("/contents/{}?ref={}", encoded.join("/"), segment(branch)));
        let Some(contents) = self.found(self.get::<Contents>(&url).await).await? else {
            return Ok(None);
        };
        let text: String = contents.content.split_whitespace().collect();
        match base64::engine::general_purpose::STANDARD.decode(text) {
            Ok(bytes) if contents.encoding == "base64" => Ok(Some(bytes)),
            _ => Err(http::malformed(
                &format!("GET {path}"),
                "its content is not in the answer",
            )),
        }
    }

    /// Whether the repository has a label.
    ///
    /// # Errors
    /// If GitHub doesn't tell.
    pub async fn has_label(&self, name: &str) -> Result<bool> {
        let path = self.path(&format!("/labels/{}", segment(name)));
        Ok(self.found(self.get::<Value>(&path).await).await?.is_some())
    }

    /// Whether this token sees check runs: fine-grained ones never do.
    ///
    /// # Errors
    /// If GitHub doesn't tell.
    pub async fn sees_check_runs(&self, sha: &Sha) -> Result<bool> {
        let path = self.path(&format!("/commits/{sha}/check-runs?per_page=1"));
        match self.get::<Value>(&path).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == ErrorKind::Forbidden => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the token is good for; costs nothing against the limit.
    ///
    /// # Errors
    /// If GitHub doesn't take it.
    pub async fn allowance(&self) -> Result<Allowance> {
        const REQUEST: &str = "GET /rate_limit";
        let url = format!("{}/rate_limit", self.api_url);
        let response = self.send(&Method::GET, &url, REQUEST, None, None).await?;
        if !response.status().is_success() {
            return Err(read_error(REQUEST, response).await);
        }
        let scopes = response.headers().get("x-oauth-scopes");
        let scopes = scopes.and_then(|scopes| scopes.to_str().ok()).map(|scopes| {
            let listed = scopes.split(',').map(str::trim).filter(|scope| !scope.is_empty());
            listed.map(str::to_owned).collect()
        });
        let body: Value = read_json(REQUEST, response).await?;
        let number = |name: &str| body["resources"]["core"][name].as_u64();
        match number("remaining").zip(number("limit")) {
            Some((remaining, limit)) => Ok(Allowance {
                remaining,
                limit,
                scopes,
                permissions: self.tokens.permissions().await,
            }),
            None => Err(http::malformed(REQUEST, "`resources.core` is missing")),
        }
    }

    /// Whose token it is; `None` for an App's, which is nobody's.
    ///
    /// # Errors
    /// GitHub's failure.
    pub async fn login(&self) -> Result<Option<String>> {
        const REQUEST: &str = "GET /user";
        let url = format!("{}/user", self.api_url);
        let response = self.send(&Method::GET, &url, REQUEST, None, None).await?;
        match response.status().as_u16() {
            // "Resource not accessible by integration".
            403 | 404 => Ok(None),
            200 => {
                let body: Value = read_json(REQUEST, response).await?;
                Ok(body["login"].as_str().map(str::to_owned))
            }
            _ => Err(read_error(REQUEST, response).await),
        }
    }
}
