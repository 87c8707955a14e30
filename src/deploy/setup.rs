//! Phase 1, Setup: a workspace, a clone without blobs, and the deploy branch.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::world::{World, make_private, remove};
use crate::git::{Expect, Pushed};
use crate::github::PullRequestFilter;
use crate::saga::{Compensate, Context, Step, StepError};

/// **create_workspace**: a fresh directory under `workspace_root`.
#[derive(Serialize, Deserialize)]
pub struct CreateWorkspace {
    /// `deploy-<timestamp>-<deployment>`.
    pub name: String,
}

impl Step<World> for CreateWorkspace {
    const KIND: &'static str = "create_workspace";
    type Output = String;

    async fn run(&self, cx: &Context<'_, World>) -> Result<String, StepError> {
        make_private(&cx.world.workspace(&self.name)?)?;
        Ok(self.name.clone())
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<String>, StepError> {
        Ok(cx.world.workspace(&self.name)?.is_dir().then(|| self.name.clone()))
    }
}

impl Compensate<World> for CreateWorkspace {
    async fn compensate(&self, cx: &Context<'_, World>, _: Option<String>) -> Result<Vec<String>, StepError> {
        remove(&cx.world.workspace(&self.name)?)?;
        Ok(vec!["The workspace is deleted.".to_owned()])
    }
}

/// **clone_repo**: blobs stay at GitHub, and only the version files are ever checked out.
#[derive(Serialize, Deserialize)]
pub struct CloneRepo {
    /// The workspace.
    pub workspace: String,
}

impl Step<World> for CloneRepo {
    const KIND: &'static str = "clone_repo";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        ready(cx.world).await?;
        cx.world.clone_in(&self.workspace).await.map(drop)
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
        let clone = cx.world.workspace(&self.workspace)?.join("repo");
        Ok(cx.world.git.is_clone(&clone).await.then_some(()))
    }
}

/// What would stop the train later stops it here, where nothing has been touched: a repository that moved, a token that may not push, a
/// method that isn't allowed.
async fn ready(world: &World) -> Result<(), StepError> {
    let project = &world.project;
    let repository = world.github.repository().await?;
    if !repository.full_name.eq_ignore_ascii_case(&project.repo.to_string()) {
        return Err(StepError::permanent(format!(
            "{} is called {} now: change `repo` in the configuration",
            project.repo, repository.full_name
        )));
    }
    if repository.can_push == Some(false) {
        return Err(StepError::permanent(format!(
            "the GitHub token may not push to {}: give it write access",
            project.repo
        )));
    }
    for (setting, method) in [
        ("merge_method", project.merge_method),
        ("deploy_merge_method", project.deploy_merge_method),
    ] {
        if repository.allows(method) == Some(false) {
            return Err(StepError::permanent(format!(
                "{} doesn't allow the {method} method that `{setting}` wants: allow it in the repository's settings, or change `{setting}`",
                project.repo
            )));
        }
    }
    Ok(())
}

/// **fetch_staging**: the base branch's tip, from which everything starts.
#[derive(Serialize, Deserialize)]
pub struct FetchStaging {
    /// The workspace.
    pub workspace: String,
    /// The base branch.
    pub branch: String,
}

impl Step<World> for FetchStaging {
    const KIND: &'static str = "fetch_staging";
    type Output = String;

    async fn run(&self, cx: &Context<'_, World>) -> Result<String, StepError> {
        let clone = cx.world.clone_in(&self.workspace).await?;
        Ok(cx.world.git.fetch_branch(&clone, &self.branch).await?)
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<String>, StepError> {
        Ok(None)
    }
}

/// **create_deploy_branch**: `deploy-YYYYMMDD` at that tip; `-2`, `-3`, … if the name is taken, or was: a deploy pull request that was
/// merged keeps its branch's name after GitHub has deleted the branch, and must not be taken for this deployment's.
#[derive(Serialize, Deserialize)]
pub struct CreateDeployBranch {
    /// The workspace.
    pub workspace: String,
    /// The project's prefix.
    pub prefix: String,
    /// Today, where the project is.
    pub date: NaiveDate,
    /// The base branch's tip.
    pub at: String,
}

impl CreateDeployBranch {
    /// The first name that nothing at the remote has, and that no pull request ever had.
    async fn free_name(&self, world: &World) -> Result<String, StepError> {
        let taken = world.git.remote_branches(&self.prefix).await?;
        let first = format!("{}{}", self.prefix, self.date.format("%Y%m%d"));
        for number in 1.. {
            let name = match number {
                1 => first.clone(),
                number => format!("{first}-{number}"),
            };
            if taken.iter().all(|(branch, _)| *branch != name) && !used_before(world, &name).await? {
                return Ok(name);
            }
        }
        unreachable!("the numbers don't end")
    }
}

/// Whether a pull request, open or not, has or had this branch as its head.
async fn used_before(world: &World, branch: &str) -> Result<bool, StepError> {
    let from_it = PullRequestFilter {
        head: Some(branch.to_owned()),
        closed_too: true,
        ..PullRequestFilter::default()
    };
    Ok(!world.github.pull_requests(from_it).await?.is_empty())
}

impl Step<World> for CreateDeployBranch {
    const KIND: &'static str = "create_deploy_branch";
    type Output = String;

    async fn run(&self, cx: &Context<'_, World>) -> Result<String, StepError> {
        let clone = cx.world.clone_in(&self.workspace).await?;
        let branch = self.free_name(cx.world).await?;
        cx.world.git.create_branch(&clone, &branch, &self.at).await?;
        Ok(branch)
    }

    /// Local and quick: done again rather than looked for.
    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<String>, StepError> {
        Ok(None)
    }
}

impl Compensate<World> for CreateDeployBranch {
    async fn compensate(&self, cx: &Context<'_, World>, branch: Option<String>) -> Result<Vec<String>, StepError> {
        let clone = cx.world.workspace(&self.workspace)?.join("repo");
        if let Some(branch) = branch
            && cx.world.git.is_clone(&clone).await
        {
            cx.world.git.delete_branch(&clone, &branch).await?;
        }
        Ok(Vec::new())
    }
}

/// **push_deploy_branch**: as a new branch or not at all.
#[derive(Serialize, Deserialize)]
pub struct PushDeployBranch {
    /// The workspace.
    pub workspace: String,
    /// The deploy branch.
    pub branch: String,
    /// The base branch's tip.
    pub at: String,
}

impl PushDeployBranch {
    async fn remote_tip(&self, world: &World) -> Result<Option<String>, StepError> {
        let found = world.git.remote_branches(&self.branch).await?;
        Ok(found
            .into_iter()
            .find(|(name, _)| *name == self.branch)
            .map(|(_, tip)| tip))
    }
}

impl Step<World> for PushDeployBranch {
    const KIND: &'static str = "push_deploy_branch";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        let clone = cx.world.clone_in(&self.workspace).await?;
        match cx
            .world
            .git
            .push(&clone, &self.at, &self.branch, Expect::Absent)
            .await?
        {
            Pushed::Done | Pushed::UpToDate => Ok(()),
            // libcurl may have sent the push twice over a connection that died: then the first one is what the second met.
            Pushed::Rejected(_) if self.remote_tip(cx.world).await?.as_ref() == Some(&self.at) => Ok(()),
            Pushed::Rejected(reason) => Err(StepError::permanent(format!(
                "the deploy branch {} can't be pushed: {reason}",
                self.branch
            ))),
        }
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
        let tip = self.remote_tip(cx.world).await?;
        Ok((tip.as_ref() == Some(&self.at)).then_some(()))
    }
}

impl Compensate<World> for PushDeployBranch {
    /// Deleting a base branch closes its pull requests for good: never while one is open, and never with somebody else's work on it.
    async fn compensate(&self, cx: &Context<'_, World>, _: Option<()>) -> Result<Vec<String>, StepError> {
        let branch = &self.branch;
        let targeting = PullRequestFilter {
            base: Some(branch.clone()),
            ..PullRequestFilter::default()
        };
        let open = cx.world.github.pull_requests(targeting).await?;
        if !open.is_empty() {
            let numbers: Vec<String> = open.iter().map(|pr| format!("#{}", pr.number)).collect();
            return Err(StepError::permanent(format!(
                "{branch} is kept, because deleting it would close {}: move them to another base, then delete it",
                numbers.join(", ")
            )));
        }
        match self.remote_tip(cx.world).await? {
            None => {}
            Some(tip) if tip == self.at => {
                let clone = cx.world.clone_in(&self.workspace).await?;
                if let Pushed::Rejected(reason) = cx.world.git.delete_remote(&clone, branch, &tip).await? {
                    return Err(StepError::permanent(format!("{branch} can't be deleted: {reason}")));
                }
            }
            Some(tip) => {
                return Err(StepError::permanent(format!(
                    "{branch} is kept, because somebody pushed {} to it: delete it once that is safe",
                    tip.chars().take(7).collect::<String>()
                )));
            }
        }
        match self.remote_tip(cx.world).await? {
            None => Ok(vec![format!("The branch {branch} is gone.")]),
            Some(_) => Err(StepError::transient(format!("{branch} is still there"))),
        }
    }
}
