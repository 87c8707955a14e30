//! Everything that a step may touch, and how failures of git, GitHub and Slack become failures of a step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;

use crate::config::Project;
use crate::git::{self, Git};
use crate::github::{self, GitHub};
use crate::saga::{Context, StepError};
use crate::slack::{self, Slack, Ts};

/// One project's outside world.
pub struct World {
    /// Its settings, as they were when the deployment started.
    pub project: Project,
    /// Its repository.
    pub github: Arc<dyn GitHub>,
    /// The same, through git.
    pub git: Arc<dyn Git>,
    /// The workspace.
    pub slack: Arc<dyn Slack>,
    /// Where the deployment's messages are.
    pub thread: Arc<dyn Thread>,
    /// Where workspaces are made.
    pub workspace_root: PathBuf,
    /// How long a write whose reply was lost may still land: GitHub gives up on a request after 10 s.
    pub settle: Duration,
}

/// The deployment's message in its channel, under which steps post.
#[async_trait]
pub trait Thread: Send + Sync {
    /// Its timestamp; posts it if it isn't there yet.
    async fn root(&self, deployment: &str) -> Result<Ts, slack::Error>;
}

impl From<github::Error> for StepError {
    fn from(error: github::Error) -> Self {
        let retry_after = match error.kind {
            github::ErrorKind::RateLimited(wait) => Some(wait),
            _ => None,
        };
        match error.is_transient() {
            true => Self::Transient {
                message: error.to_string(),
                retry_after,
            },
            false => Self::Permanent(error.to_string()),
        }
    }
}

impl From<git::Error> for StepError {
    fn from(error: git::Error) -> Self {
        match error.transient {
            true => Self::transient(error.to_string()),
            false => Self::permanent(error.to_string()),
        }
    }
}

impl From<slack::Error> for StepError {
    fn from(error: slack::Error) -> Self {
        match error.kind {
            slack::ErrorKind::RateLimited(wait) => Self::Transient {
                message: error.to_string(),
                retry_after: Some(wait),
            },
            slack::ErrorKind::Transient => Self::transient(error.to_string()),
            slack::ErrorKind::Api(_) => Self::permanent(error.to_string()),
        }
    }
}

impl World {
    /// The clone in a workspace, rebuilt if it is lost: a reboot may empty the temp folder.
    pub async fn clone_in(&self, workspace: &str) -> Result<PathBuf, StepError> {
        let clone = self.workspace(workspace)?.join("repo");
        // Steps run one at a time: a lock that is there was left behind by a git that was killed.
        remove_locks(&clone.join(".git"));
        if !self.git.is_clone(&clone).await {
            remove(&clone)?;
            make_private(clone.parent().unwrap_or(&self.workspace_root))?;
            // Aside, then in place: a git that outlived its killed Shipmate may still be writing where it was told to.
            let aside = clone.with_file_name(format!("repo-{:08x}", fastrand::u32(..)));
            let paths: Vec<String> = self
                .project
                .version_files
                .iter()
                .map(|file| file.path.clone())
                .collect();
            (*self.git).clone(&aside, &self.project.base_branch, &paths).await?;
            std::fs::rename(&aside, &clone)
                .map_err(|error| StepError::transient(format!("the clone can't be moved in place: {error}")))?;
        }
        Ok(clone)
    }

    /// The path of a workspace: always a direct child of the root, whatever the journal says.
    pub fn workspace(&self, name: &str) -> Result<PathBuf, StepError> {
        let plain = name.starts_with("deploy-") && !name.contains(['/', '\\']) && !name.contains("..");
        match plain {
            true => Ok(self.workspace_root.join(name)),
            false => Err(StepError::permanent(format!("`{name}` is not a workspace's name"))),
        }
    }
}

/// Removes the locks in a git directory, as far as there are any.
fn remove_locks(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            let _ = std::fs::remove_file(path);
        } else if path.is_dir() && !path.ends_with("objects") {
            remove_locks(&path);
        }
    }
}

/// Makes a directory that only we can read.
pub fn make_private(dir: &Path) -> Result<(), StepError> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(dir);
    made.map_err(|error| StepError::permanent(format!("can't make the workspace {}: {error}", dir.display())))
}

/// Deletes a directory, if it is there.
pub fn remove(dir: &Path) -> Result<(), StepError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StepError::transient(format!(
            "can't delete the workspace {}: {error}",
            dir.display()
        ))),
        _ => Ok(()),
    }
}

/// Waits between looks, twice as long each time within the project's limits; a webhook ends a wait early.
pub struct Poll {
    next: Duration,
    longest: Duration,
}

impl Poll {
    /// As the project wants it.
    pub fn new(project: &Project) -> Self {
        Self {
            next: project.timeouts.poll_min,
            longest: project.timeouts.poll_max,
        }
    }

    /// The next wait.
    pub async fn pause<W>(&mut self, cx: &Context<'_, W>) -> Result<(), StepError> {
        cx.pause(self.next).await?;
        self.next = (self.next * 2).min(self.longest);
        Ok(())
    }
}

/// Whether this step has been at it for longer than that, restarts included, since it began or a person told it to try again.
pub fn overdue<W>(cx: &Context<'_, W>, limit: Duration) -> bool {
    cx.now() - cx.began() > TimeDelta::from_std(limit).unwrap_or(TimeDelta::MAX)
}
