//! Why there is no page, or nothing was done: a status for machines, a sentence for people.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::access::Barred;
use super::names::Names;
use super::page;
use crate::deploy::decide::Refusal;
use crate::deploy::text::{self, Medium};
use crate::saga::store::StoreError;
use crate::slack::text::truncate;

/// Why there is no page.
pub enum Problem {
    /// Who asks may not, or asks the wrong machine.
    Barred(Barred),
    /// No such deployment.
    Unknown(String),
    /// A form that isn't of this session's pages.
    Foreign,
    /// Only people decide.
    NobodySignedIn,
    /// A train without pull requests.
    EmptyList,
    /// A decision that wasn't taken; with what those are called who may.
    Refused(Refusal, Names),
    /// The journals can't be read.
    Store(StoreError),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut names = Names::default();
        let (status, title, sentence) = match self {
            Self::Barred(Barred::SignIn(why)) => {
                return (StatusCode::UNAUTHORIZED, page::sign_in(why.map(page::signed_out))).into_response();
            }
            Self::Barred(Barred::TooMany(wait)) => {
                let seconds = [(header::RETRY_AFTER, wait.as_secs().max(1).to_string())];
                let sentence = format!("Too many wrong tokens came from your address; try again in {}.", text::lasting(wait));
                return (StatusCode::TOO_MANY_REQUESTS, seconds, page::sign_in(Some(&sentence))).into_response();
            }
            Self::Barred(Barred::ForeignHost) => (
                StatusCode::MISDIRECTED_REQUEST,
                "Not this machine",
                "Without `SHIPMATE_DASHBOARD_TOKEN` the dashboard answers to this machine's own names only: open it as 127.0.0.1 or localhost.".to_owned(),
            ),
            Self::Barred(Barred::Forwarded) => (
                StatusCode::MISDIRECTED_REQUEST,
                "Not through a proxy",
                "This request came through a proxy, which lets others in than this machine's people: set `SHIPMATE_DASHBOARD_TOKEN` and start Shipmate again.".to_owned(),
            ),
            Self::Unknown(id) => (
                StatusCode::NOT_FOUND,
                "Not found",
                format!("There is no deployment `{}` here.", truncate(&id, 60)),
            ),
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "Nothing was done",
                "That form was not sent from a page of this session; open the page again and press the button there.".to_owned(),
            ),
            Self::NobodySignedIn => (
                StatusCode::FORBIDDEN,
                "Nothing was done",
                "Only looking is allowed without a person; sign in with your own token to decide.".to_owned(),
            ),
            Self::EmptyList => (
                StatusCode::BAD_REQUEST,
                "Nothing was done",
                "A train needs at least one pull request; to ship none of them, abort.".to_owned(),
            ),
            Self::Refused(refusal, called) => {
                names = called;
                let status = match &refusal {
                    Refusal::MayNot { .. } | Refusal::TwoPeople(_) => StatusCode::FORBIDDEN,
                    Refusal::NotTold { .. } | Refusal::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
                    _ => StatusCode::CONFLICT,
                };
                (status, "Nothing was done", text::refusal(&refusal, Medium::Plain))
            }
            Self::Store(error) => {
                tracing::error!(%error, "the dashboard can't read the journals");
                (StatusCode::SERVICE_UNAVAILABLE, "Out of order", "The journals can't be read; the log says why.".to_owned())
            }
        };
        (status, page::notice(title, &names.sentence(&sentence))).into_response()
    }
}
