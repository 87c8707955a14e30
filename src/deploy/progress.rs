//! What a running step tells people: journaled, and drawn by the card, the dashboard and the command line alike.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::github::Sha;

/// How far a step is, or what it waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum Progress {
    /// GitHub is working out whether a pull request can be merged.
    Mergeability {
        /// The pull request.
        number: u64,
        /// Then the merge is tried all the same; older journals don't have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<DateTime<Utc>>,
    },
    /// The deploy branch is where somebody else put it; said before a person is asked.
    Foreign {
        /// Where.
        tip: Sha,
        /// How often people had been asked about this step before.
        asked: u32,
    },
    /// The checks of the deploy pull request.
    Checks {
        /// Name and state of each.
        checks: Vec<Check>,
        /// Then it has failed.
        deadline: DateTime<Utc>,
    },
    /// An approval of the deploy pull request.
    Approval {
        /// Who was asked.
        reviewers: Vec<String>,
        /// Who doesn't want it.
        changes_requested: Vec<String>,
        /// Then it has failed.
        deadline: DateTime<Utc>,
    },
    /// No run of the workflow has appeared yet.
    NoRun {
        /// The workflow file.
        workflow: String,
        /// Then it is said that none came.
        deadline: DateTime<Utc>,
    },
    /// The Actions run.
    Run {
        /// Its page.
        url: String,
        /// GitHub's word.
        status: String,
        /// Counts from 1.
        attempt: u64,
        /// Name and state of each job.
        jobs: Vec<Check>,
        /// Then it has failed.
        deadline: DateTime<Utc>,
    },
    /// The release.
    Release {
        /// Its tag.
        tag: String,
        /// Then it has failed.
        deadline: DateTime<Utc>,
    },
}

/// A check or job as people see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: CheckState,
    /// Its page.
    pub url: Option<String>,
    /// It is shown, and nothing depends on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// Where a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// It failed, in one of GitHub's many words for it.
    Failed,
    /// Not begun, or expected and not heard of.
    Waiting,
    /// At it.
    Running,
    /// Success, neutral or skipped.
    Passed,
}

impl CheckState {
    /// From GitHub's status and conclusion.
    pub fn of(status: &str, conclusion: Option<&str>) -> Self {
        match (status, conclusion) {
            ("completed", Some("success" | "neutral" | "skipped")) => Self::Passed,
            ("completed", _) => Self::Failed,
            ("in_progress", _) => Self::Running,
            _ => Self::Waiting,
        }
    }
}
