//! Who asks: personal tokens of several kinds, and a GitHub App whose tokens can expire.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::knobs::Credential;

/// A classic token with the scopes repo and workflow.
pub const CLASSIC: &str = "ghp_sandbox_token_of_no_value";
/// A fine-grained token with every permission that there is for them.
pub const FINE_GRAINED: &str = "github_pat_sandbox_token_of_no_value";
/// The token of somebody who may read.
pub const READER: &str = "ghp_sandbox_reads_only";
/// The token of somebody who doesn't know the repository.
pub const STRANGER: &str = "ghp_sandbox_knows_nothing";

/// The App's id.
pub const APP_ID: u64 = 77;
/// Its one installation.
pub const INSTALLATION: u64 = 7001;
/// Its key, of no value anywhere else.
pub const APP_KEY: &str = include_str!("app.pem");
const APP_PUBLIC_KEY: &[u8] = include_bytes!("app.pub.pem");
/// GitHub takes no JWT that is good for longer, in seconds.
const LONGEST: i64 = 600;

/// What a request may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The kind of its token.
    pub credential: Credential,
    /// See the repository.
    pub sees: bool,
    /// Push to it.
    pub pushes: bool,
}

/// Installation tokens that are out, with the calls that each is still good for.
#[derive(Debug, Default)]
pub struct Tokens {
    installation: BTreeMap<String, Option<u64>>,
    made: u64,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    exp: i64,
}

impl Tokens {
    /// Whose token that is; `None`: it is none, or no longer.
    pub fn access(&self, token: &str) -> Option<Access> {
        let may = |credential, sees, pushes| {
            Some(Access {
                credential,
                sees,
                pushes,
            })
        };
        match token {
            CLASSIC => may(Credential::Classic, true, true),
            FINE_GRAINED => may(Credential::FineGrained, true, true),
            READER => may(Credential::Classic, true, false),
            STRANGER => may(Credential::Classic, false, false),
            _ => {
                let left = self.installation.get(token)?;
                if *left == Some(0) {
                    return None;
                }
                may(Credential::App, true, true)
            }
        }
    }

    /// One call less of an installation token.
    pub fn spend(&mut self, token: &str) {
        if let Some(Some(left)) = self.installation.get_mut(token) {
            *left = left.saturating_sub(1);
        }
    }

    /// Every installation token has expired.
    pub fn expire(&mut self) {
        self.installation.clear();
    }

    /// A new installation token, as GitHub answers it: long, and of the newer form.
    pub fn install(&mut self, calls: Option<u64>) -> Value {
        self.made += 1;
        let token = format!("ghs_{APP_ID}_{}{:04}", "sandbox.".repeat(12), self.made);
        self.installation.insert(token.clone(), calls);
        json!({
            "token": token,
            "expires_at": (Utc::now() + TimeDelta::hours(1)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            "permissions": {
                "contents": "write", "pull_requests": "write", "workflows": "write", "issues": "write",
                "checks": "read", "statuses": "read", "actions": "read", "metadata": "read",
            },
            "repository_selection": "selected",
        })
    }
}

/// Checks the App's own token; the error is GitHub's.
pub fn check_jwt(jwt: &str) -> Result<(), &'static str> {
    const UNREADABLE: &str = "A JSON web token could not be decoded";
    let key = jsonwebtoken::DecodingKey::from_rsa_pem(APP_PUBLIC_KEY).map_err(|_| UNREADABLE)?;
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.leeway = 0;
    let claims = match jsonwebtoken::decode::<Claims>(jwt, &key, &validation) {
        Ok(token) => token.claims,
        Err(error) if *error.kind() == jsonwebtoken::errors::ErrorKind::ExpiredSignature => {
            return Err(
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
            );
        }
        Err(_) => return Err(UNREADABLE),
    };
    if claims.exp > Utc::now().timestamp() + LONGEST {
        return Err("'Expiration time' claim ('exp') is too far in the future");
    }
    if claims.iss != APP_ID.to_string() {
        return Err("Integration not found");
    }
    Ok(())
}
