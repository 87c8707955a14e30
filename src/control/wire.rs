//! What goes over the socket, as JSON. The server draws the text, so that an older client shows what a newer server knows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::deploy::begin::Wish;
use crate::deploy::train::Selection;

/// What a request is answered with, and each line of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// For people.
    pub text: String,
    /// For scripts.
    pub data: Value,
}

/// What a request is answered with that wasn't done: 403 who asks may not, 404 there is no such thing, 409 not now, 422 not so, 500 it
/// failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Complaint {
    /// One sentence.
    pub error: String,
}

/// `GET /status`, `GET /watch`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Which {
    /// Only this project.
    pub project: Option<String>,
}

/// `GET /history`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latest {
    /// Only this project's.
    pub project: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// `POST /start`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// Which project.
    pub project: String,
    /// What is to be shipped.
    pub wish: Wish,
    /// Only say what would ship.
    pub dry_run: bool,
}

/// `POST /projects/{name}/lock`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lock {
    /// In their words.
    pub reason: String,
    /// How long, in seconds; `None`: until somebody unlocks.
    pub seconds: Option<u64>,
}

/// `POST /deployments/{id}/decide`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decide {
    /// Its key, or the first part of it where that is enough.
    pub checkpoint: String,
    /// One of its choices.
    pub choice: String,
    /// The digest of the plan that the person saw; needed to approve.
    pub plan: Option<String>,
    /// In their words.
    pub reason: Option<String>,
    /// The new list, for the choice `edit`.
    pub selection: Selection,
}

/// `POST /deployments/{id}/abort`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Abort {
    /// In their words.
    pub reason: Option<String>,
}
