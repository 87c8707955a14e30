//! GitHub as the release train needs it: one client bound to one repository, typed answers, and errors that say
//! what a caller can do about them.
//!
//! REST throughout; GraphQL only for linked issues, where REST has no answer. Writes are never retried here: a write
//! whose reply was lost is *observed* by the step that made it. Reads are retried by the engine, too, except that the
//! client itself follows pages, renews tokens once and sends ETags on polls.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

mod answers;
pub mod auth;
pub(crate) mod http;
pub mod rest;

/// A full object name: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits. An empty or abbreviated one can't be made, because GitHub
/// silently drops a filter that is empty and answers with somebody else's run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha(String);

impl Sha {
    /// The whole object name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Sha {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` is not a full commit SHA"))
        }
    }
}

impl std::str::FromStr for Sha {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

impl From<Sha> for String {
    fn from(sha: Sha) -> String {
        sha.0
    }
}

/// `owner/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoName {
    /// The user or organisation.
    pub owner: String,
    /// The repository.
    pub name: String,
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

impl TryFrom<String> for RepoName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        match text.split_once('/') {
            Some((owner, name)) if plain(owner) && plain(name) => Ok(Self {
                owner: owner.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(format!("`{text}` is not `owner/name`")),
        }
    }
}

impl From<RepoName> for String {
    fn from(repo: RepoName) -> String {
        repo.to_string()
    }
}

/// What the repository itself allows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    /// Its name as GitHub spells it now.
    pub full_name: String,
    /// The branch that closing keywords work on.
    pub default_branch: String,
    /// The page.
    pub html_url: String,
    /// Whether our token may push; `None` if GitHub didn't say.
    pub can_push: Option<bool>,
    /// Whether GitHub deletes head branches after merges; children of stacked pull requests are then retargeted.
    pub delete_branch_on_merge: Option<bool>,
    /// `allow_merge_commit`, visible only to writers.
    pub allow_merge_commit: Option<bool>,
    /// `allow_squash_merge`.
    pub allow_squash_merge: Option<bool>,
    /// `allow_rebase_merge`.
    pub allow_rebase_merge: Option<bool>,
}

impl Repository {
    /// Whether the repository's settings allow a method; `None` if GitHub didn't say.
    pub fn allows(&self, method: MergeMethod) -> Option<bool> {
        match method {
            MergeMethod::Merge => self.allow_merge_commit,
            MergeMethod::Squash => self.allow_squash_merge,
            MergeMethod::Rebase => self.allow_rebase_merge,
        }
    }
}

/// One end of a pull request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// Branch name, without `refs/heads/`.
    #[serde(rename = "ref")]
    pub branch: String,
    /// Its tip as this answer knew it.
    pub sha: Sha,
    /// `owner/name` of its repository; `None` when that fork was deleted.
    pub repo: Option<String>,
}

/// A pull request. `merged` and `mergeable` come only from the single GET, never from lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// For GraphQL.
    pub node_id: String,
    /// As written by a person: escape before showing.
    pub title: String,
    /// As written by a person.
    pub body: String,
    /// Login; `None` for a deleted account.
    pub author: Option<String>,
    /// The page.
    pub html_url: String,
    /// Not ready for review.
    pub draft: bool,
    /// Open, or not.
    pub state: PullRequestState,
    /// `None` in lists.
    pub merged: Option<bool>,
    /// Who merged it.
    pub merged_by: Option<String>,
    /// The merge's commit; meaningful only when `merged`.
    pub merge_commit_sha: Option<Sha>,
    /// `None`: GitHub is still computing it, or the answer is from a list.
    pub mergeable: Option<bool>,
    /// GitHub's word: clean, unstable, blocked, behind, dirty, draft, has_hooks, unknown.
    pub mergeable_state: Option<String>,
    /// What is merged.
    pub head: End,
    /// Where it goes.
    pub base: End,
    /// Names.
    pub labels: Vec<String>,
    /// GitHub would merge it by itself.
    pub auto_merge: bool,
    /// Part of a native stack: merging it the asynchronous way would merge all below it.
    pub stacked: bool,
    /// Logins asked for a review and not yet heard of.
    pub requested_reviewers: Vec<String>,
    /// When it was opened.
    pub created_at: Option<DateTime<Utc>>,
}

/// Open or closed (merged counts as closed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullRequestState {
    /// Can be merged, retargeted, closed.
    Open,
    /// Merged or closed.
    Closed,
}

/// Which pull requests to list. Filters are checked again on our side: GitHub ignores some silently.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PullRequestFilter {
    /// Only those into this branch.
    pub base: Option<String>,
    /// Only those from this branch of the repository itself.
    pub head: Option<String>,
    /// Closed ones, too.
    pub closed_too: bool,
}

/// One review, in the order they were submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Review {
    /// Its id.
    pub id: u64,
    /// Login; `None` for a deleted account.
    pub user: Option<String>,
    /// What it says now: a dismissed approval reads `Dismissed`.
    pub state: ReviewState,
    /// The commit it was about.
    pub commit_id: Option<Sha>,
    /// When.
    pub submitted_at: Option<DateTime<Utc>>,
}

/// A review's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReviewState {
    /// Go.
    Approved,
    /// Don't.
    ChangesRequested,
    /// Was an opinion and no longer is: never skip it, or an older opinion comes back to life.
    Dismissed,
    /// No opinion.
    Commented,
    /// Not submitted.
    Pending,
    /// A word we don't know: no opinion.
    #[serde(other)]
    Unknown,
}

/// A user's permission on the repository (`maintain` reads `write`, `triage` reads `read`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Nothing.
    None,
    /// May look.
    Read,
    /// May push, and so may approve.
    Write,
    /// May do anything.
    Admin,
}

/// How GitHub merges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergeMethod {
    /// A merge commit.
    #[default]
    Merge,
    /// One commit with all changes.
    Squash,
    /// Each commit again, on top.
    Rebase,
}

impl fmt::Display for MergeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Merge => "merge",
            Self::Squash => "squash",
            Self::Rebase => "rebase",
        })
    }
}

/// What GitHub said to a merge; each variant is what happens next (facts: 405 is at least five things).
#[derive(Clone, Debug, PartialEq)]
pub enum MergeOutcome {
    /// Merged, as this commit.
    Merged(Sha),
    /// "Base branch was modified": ask again soon. Normal in every train.
    BaseModified(String),
    /// "Merge already in progress": look at the pull request until it says.
    InProgress(String),
    /// "Pull Request is not mergeable": merged already, still computing, or a conflict; look to know.
    NotMergeable(String),
    /// The head is no longer the pinned SHA.
    HeadModified(String),
    /// A rule forbids it: draft, policy, method; GitHub's own words.
    Refused(String),
}

/// A new pull request.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPullRequest {
    /// Title.
    pub title: String,
    /// Branch of this repository.
    pub head: String,
    /// Target branch.
    pub base: String,
    /// At most 65,536 characters.
    pub body: String,
}

/// Whether a deletion found something to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It was there.
    Now,
    /// It was gone before.
    Before,
}

/// One check run of a commit. The same name may come from two apps, and from two suites of one app: those of two workflows, or of one that
/// runs for a push and for its pull request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckRun {
    /// Changes when it is run again, and then is a larger one.
    pub id: u64,
    /// The suite that it is part of: it stays when the run is run again.
    #[serde(default)]
    pub suite: Option<u64>,
    /// The app that reports it.
    pub app: Option<String>,
    /// Its name.
    pub name: String,
    /// queued, in_progress, completed, waiting, requested, pending.
    pub status: String,
    /// Once completed: success, neutral, skipped, failure, cancelled, timed_out, action_required, stale.
    pub conclusion: Option<String>,
    /// The page.
    pub html_url: Option<String>,
}

/// One commit status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommitStatus {
    /// Its name.
    pub context: String,
    /// error, failure, pending, success.
    pub state: String,
    /// The page.
    pub target_url: Option<String>,
}

/// An Actions run. A re-run keeps the id and counts `attempt` up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowRun {
    /// Its id.
    pub id: u64,
    /// Counts from 1.
    pub attempt: u64,
    /// The workflow's name.
    pub name: String,
    /// queued, in_progress, completed, waiting (for an environment's approval), requested, pending.
    pub status: String,
    /// Once completed.
    pub conclusion: Option<String>,
    /// What it runs on.
    pub head_sha: Sha,
    /// The page.
    pub html_url: String,
}

/// One job of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Changes when it is run again.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// As a run's.
    pub status: String,
    /// As a run's.
    pub conclusion: Option<String>,
    /// The page with its log.
    pub html_url: Option<String>,
}

/// A release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Its id: drafts can't be found by tag.
    pub id: u64,
    /// The tag it has or will make.
    pub tag_name: String,
    /// Not published yet.
    pub draft: bool,
    /// Title.
    pub name: Option<String>,
    /// Description; at most 125,000 characters.
    pub body: String,
    /// The page.
    pub html_url: String,
    /// A branch or SHA; unused if the tag exists.
    pub target_commitish: String,
}

/// An issue, or a pull request that was linked as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Issue {
    /// Where it is.
    pub repo: RepoName,
    /// Its number.
    pub number: u64,
    /// As written by a person.
    pub title: String,
    /// The page.
    pub html_url: String,
    /// Still open.
    pub open: bool,
    /// It is a pull request.
    pub is_pull_request: bool,
}

/// A commit of a pull request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Its name.
    pub sha: Sha,
    /// Its message.
    pub message: String,
    /// GitHub login of its author, or the git name.
    pub author: String,
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = self.message.lines().next().unwrap_or_default();
        write!(f, "{} by {}: {title}", self.sha.short(), self.author)
    }
}

/// How `head` stands to `base`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// ahead, behind, diverged, identical.
    pub status: String,
    /// Commits of `head` that `base` lacks, oldest first (at most 250).
    pub commits: Vec<Commit>,
}

/// A failed call. `Display` is one sentence for people: what was asked, GitHub's words, its documentation link, its request id.
#[derive(Clone, Debug, thiserror::Error)]
#[error("GitHub: {request} failed: {message}{}{}",
    .documentation_url.as_ref().map(|url| format!(" (see {url})")).unwrap_or_default(),
    .request_id.as_ref().map(|id| format!(" [request {id}]")).unwrap_or_default())]
pub struct Error {
    /// What to do about it.
    pub kind: ErrorKind,
    /// `PATCH /repos/acme/web/pulls/7`, never with a query that holds a secret.
    pub request: String,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// GitHub's own message, with its `errors[]` spelled out; or what happened to the connection.
    pub message: String,
    /// GitHub's own link.
    pub documentation_url: Option<String>,
    /// `x-github-request-id`.
    pub request_id: Option<String>,
}

/// What a caller can do about an [`Error`].
#[derive(Clone, Debug, PartialEq)]
pub enum ErrorKind {
    /// Connection, timeout, 5xx: try again; a write may have happened.
    Transient,
    /// Primary or secondary limit: try again after this long.
    RateLimited(Duration),
    /// 401 even with a fresh token.
    Unauthorized,
    /// 403 that isn't a rate limit; names the missing permission if GitHub did.
    Forbidden,
    /// 404 or 410: gone, or invisible to this token.
    NotFound,
    /// 409.
    Conflict,
    /// 422.
    Invalid,
    /// 301, 302, 307, 308 to a write: the repository moved.
    Moved(String),
    /// An answer that isn't what GitHub documents (HTML, a missing field): names the field.
    Malformed,
    /// Any other status.
    Other,
}

impl Error {
    /// Worth another try.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Transient | ErrorKind::RateLimited(_) | ErrorKind::Malformed
        )
    }
}

/// Short for this module's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// GitHub, for one repository.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait GitHub: Send + Sync {
    /// What the token has turned out not to see, in a sentence for people.
    fn blind_spot(&self) -> Option<String>;
    /// The repository itself.
    async fn repository(&self) -> Result<Repository>;
    /// Pull requests, oldest first, all pages.
    async fn pull_requests(&self, filter: PullRequestFilter) -> Result<Vec<PullRequest>>;
    /// One pull request; this GET also makes GitHub compute `mergeable`.
    async fn pull_request(&self, number: u64) -> Result<PullRequest>;
    /// Reviews, oldest first.
    async fn reviews(&self, number: u64) -> Result<Vec<Review>>;
    /// Commits of a pull request (GitHub gives at most 250).
    async fn pull_request_commits(&self, number: u64) -> Result<Vec<Commit>>;
    /// What a user may do here.
    async fn permission(&self, login: &str) -> Result<Permission>;
    /// Issues that merging this pull request would close, sidebar links included (GraphQL). Empty once its base isn't the default branch.
    async fn closing_issues(&self, number: u64) -> Result<Vec<Issue>>;
    /// An issue of any repository this token can see; `None` if it can't or it is gone.
    async fn issue(&self, repo: &RepoName, number: u64) -> Result<Option<Issue>>;
    /// Moves a pull request to another base: exactly that field is sent.
    async fn set_base(&self, number: u64, base: &str) -> Result<PullRequest>;
    /// Merges with the head pinned.
    async fn merge(&self, number: u64, method: MergeMethod, head: &Sha) -> Result<MergeOutcome>;
    /// The branch's tip, or `None` if there is no such branch.
    async fn branch_tip(&self, branch: &str) -> Result<Option<Sha>>;
    /// Deletes a branch.
    async fn delete_branch(&self, branch: &str) -> Result<Deleted>;
    /// Commits of `head` that `base` lacks.
    async fn compare(&self, base: &str, head: &str) -> Result<Comparison>;
    /// Opens a pull request. "Already exists" is [`ErrorKind::Invalid`].
    async fn create_pull_request(&self, new: NewPullRequest) -> Result<PullRequest>;
    /// Replaces the body only.
    async fn set_pull_request_body(&self, number: u64, body: &str) -> Result<PullRequest>;
    /// Closes without merging.
    async fn close_pull_request(&self, number: u64) -> Result<PullRequest>;
    /// Asks for reviews; GitHub takes all or none.
    async fn request_reviewers(&self, number: u64, logins: &[String]) -> Result<()>;
    /// Comments on an issue or pull request; answers with the comment's page.
    async fn comment(&self, number: u64, body: &str) -> Result<String>;
    /// Comments of an issue or pull request: their bodies.
    async fn comments(&self, number: u64) -> Result<Vec<String>>;
    /// Closes an issue as completed.
    async fn close_issue(&self, number: u64) -> Result<()>;
    /// Check runs of a commit, the latest of each name and suite.
    async fn check_runs(&self, sha: &Sha) -> Result<Vec<CheckRun>>;
    /// Commit statuses, the latest of each context.
    async fn statuses(&self, sha: &Sha) -> Result<Vec<CommitStatus>>;
    /// Names of the checks that rules and branch protection require on a branch (it need not exist yet).
    async fn required_checks(&self, branch: &str) -> Result<Vec<String>>;
    /// Whether a rule wants a merge queue before this branch.
    async fn has_merge_queue(&self, branch: &str) -> Result<bool>;
    /// The latest runs of a workflow file on a branch, newest first (at most 30).
    async fn branch_runs(&self, workflow: &str, branch: &str) -> Result<Vec<WorkflowRun>>;
    /// Runs of a workflow file for exactly this commit, newest first.
    async fn workflow_runs(&self, workflow: &str, sha: &Sha) -> Result<Vec<WorkflowRun>>;
    /// One run.
    async fn workflow_run(&self, id: u64) -> Result<WorkflowRun>;
    /// Jobs of a run's latest attempt.
    async fn jobs(&self, run: u64) -> Result<Vec<Job>>;
    /// Releases, drafts included if the token may push.
    async fn releases(&self) -> Result<Vec<Release>>;
    /// One release.
    async fn release(&self, id: u64) -> Result<Release>;
    /// The commit behind a tag, annotated tags resolved.
    async fn tag_commit(&self, tag: &str) -> Result<Option<Sha>>;
    /// Replaces the body only.
    async fn set_release_body(&self, id: u64, body: &str) -> Result<Release>;
}
