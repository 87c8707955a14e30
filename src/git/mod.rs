//! Git as the release train needs it, behind a trait bound to one remote. The program is run by [`cli::GitCli`]; the token
//! reaches it through the environment only.

use std::path::Path;

use async_trait::async_trait;
use chrono::{DateTime, FixedOffset};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub mod cli;
mod command;
mod name;
mod rehearsal;
#[cfg(test)]
mod tests;

/// A full object name as git prints it. The caller checks it where it enters.
pub type Oid = String;

/// A failed git command: one sentence with the command (never its environment) and the redacted end of its stderr.
#[derive(Clone, Debug, thiserror::Error)]
#[error("git {command} failed: {message}")]
pub struct Error {
    /// The subcommand and its harmless arguments.
    pub command: String,
    /// The end of stderr, redacted.
    pub message: String,
    /// Worth another try (network, 5xx, a lock held by another git).
    pub transient: bool,
}

/// Short for this module's results.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a push insists on finding at the remote: `--force-with-lease`, so that it is a compare-and-swap and never forces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The branch must not exist.
    Absent,
    /// The branch must be exactly here.
    At(Oid),
}

/// What became of a push; `Rejected` carries git's reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The remote moved.
    Done,
    /// The remote was there already.
    UpToDate,
    /// Somebody else was first, or a rule forbids it.
    Rejected(String),
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blob {
    /// A regular file and its bytes.
    File(Vec<u8>),
    /// A symlink, submodule or directory: refused as a version file.
    NotAFile(String),
    /// No such path.
    Missing,
}

/// How a head is put on top of the train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// A merge commit of both.
    Merge,
    /// One commit with all changes.
    Squash,
    /// Each commit again, on top.
    Rebase,
}

/// A car of the train: what will be merged, pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Car {
    /// The pull request's number; its head is fetched from `refs/pull/N/head`.
    pub number: u64,
    /// The pinned head.
    pub head: Oid,
}

/// What one car met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum CarVerdict {
    /// Merges cleanly; the tip afterwards.
    Clean {
        /// The pull request.
        number: u64,
        /// Tip of the rehearsed train after it.
        tip: Oid,
    },
    /// Nothing left to merge.
    AlreadyIn {
        /// The pull request.
        number: u64,
    },
    /// Conflicts; left out of the rest of the rehearsal.
    Conflict {
        /// The pull request.
        number: u64,
        /// The files, sorted.
        files: Vec<String>,
        /// The earlier car it collides with; `None`: with the base itself.
        with: Option<u64>,
    },
    /// Its head isn't what was pinned, or can't be fetched.
    Gone {
        /// The pull request.
        number: u64,
        /// Why.
        reason: String,
    },
}

/// A rehearsed train.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// One per car, in train order.
    pub cars: Vec<CarVerdict>,
    /// The commit after all clean cars.
    pub tip: Oid,
    /// Its tree: must equal the real deploy branch's tree after the merges.
    pub tree: Oid,
    /// Set where the rehearsal could not follow the project's method (rebase with git before 2.40) and merged instead.
    pub note: Option<String>,
    /// Another train, rehearsed too, that takes more of them.
    #[serde(default)]
    pub proposal: Option<Proposal>,
}

/// A change of a train that makes more of it ride.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "proposal")]
pub enum Proposal {
    /// Another order.
    Order {
        /// Numbers.
        cars: Vec<u64>,
    },
    /// Without this one.
    Without {
        /// Its number.
        number: u64,
    },
}

/// Author and committer, fixed so that a redo gives the same SHA.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// Name.
    pub name: String,
    /// E-mail.
    pub email: String,
    /// When, to the second.
    pub date: DateTime<FixedOffset>,
}

/// Where the token for the remote comes from. It is asked before each command that talks to the remote, because tokens end.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// A token that is valid for some minutes yet; the error is one sentence.
    async fn token(&self) -> Result<SecretString, String>;
}

/// Git, for one remote. `dir` is the workspace's clone.
#[cfg_attr(test, mockall::automock)]
#[async_trait]
pub trait Git: Send + Sync {
    /// `git --version`, as (major, minor).
    async fn version(&self) -> Result<(u32, u32)>;
    /// Blobless clone of one branch without a checkout, with a sparse checkout of exactly `paths` prepared. `dir` must not exist or be empty.
    async fn clone(&self, dir: &Path, branch: &str, paths: &[String]) -> Result<()>;
    /// The clone is there, whole, and its origin is our remote.
    async fn is_clone(&self, dir: &Path) -> bool;
    /// Fetches a branch; answers with its tip.
    async fn fetch_branch(&self, dir: &Path, branch: &str) -> Result<Oid>;
    /// Creates or finds the local branch at exactly this commit.
    async fn create_branch(&self, dir: &Path, branch: &str, at: &str) -> Result<()>;
    /// Deletes the local branch; no error if it is gone.
    async fn delete_branch(&self, dir: &Path, branch: &str) -> Result<()>;
    /// Tip of the local branch.
    async fn branch_tip(&self, dir: &Path, branch: &str) -> Result<Option<Oid>>;
    /// Branches of the remote whose name begins so (`ls-remote`, needs no clone).
    async fn remote_branches(&self, prefix: &str) -> Result<Vec<(String, Oid)>>;
    /// Pushes a commit to a remote branch.
    async fn push(&self, dir: &Path, commit: &str, branch: &str, expect: Expect) -> Result<Pushed>;
    /// Deletes a remote branch if it is exactly there (`None`: already gone).
    async fn delete_remote(&self, dir: &Path, branch: &str, expect: &str) -> Result<Pushed>;
    /// Checks the branch out at this commit (sparse), throwing local changes away.
    async fn checkout(&self, dir: &Path, branch: &str, at: &str) -> Result<()>;
    /// A file as a commit has it.
    async fn read(&self, dir: &Path, commit: &str, path: &str) -> Result<Blob>;
    /// Commits exactly these contents on top of `parent`; the same arguments give the same commit. Makes no commit (answers `parent`) if nothing differs.
    async fn commit(
        &self,
        dir: &Path,
        parent: &str,
        files: &[(String, Vec<u8>)],
        message: &str,
        signature: &Signature,
    ) -> Result<Oid>;
    /// The tree of a commit.
    async fn tree(&self, dir: &Path, commit: &str) -> Result<Oid>;
    /// The files in which two commits conflict; `None` if they merge cleanly. In the object store only.
    async fn conflict(&self, dir: &Path, one: &str, other: &str) -> Result<Option<Vec<String>>>;
    /// Merges every car in order on top of `onto`, in the object store only.
    async fn rehearse(&self, dir: &Path, onto: &str, cars: &[Car], method: Method) -> Result<Rehearsal>;
}
