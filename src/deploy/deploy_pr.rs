//! Phase 3, Deploy PR: the version bump in one commit that is the same however often it is made, and the pull request that ships it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::merge_prs::read_versions;
use super::notes;
use super::reviews::{self, Misfit};
use super::train::{Shipped, VersionPlan};
use super::version;
use super::world::World;
use crate::git::{Expect, Pushed, Signature};
use crate::github::{ErrorKind, NewPullRequest, PullRequest, PullRequestFilter, PullRequestState};
use crate::saga::{Context, Step, StepError};

/// **bump_version**: the files as they will be, derived anew from the files as they are.
#[derive(Serialize, Deserialize)]
pub struct BumpVersion {
    /// The workspace.
    pub workspace: String,
    /// The deploy branch.
    pub branch: String,
    /// Its tip after the merges.
    pub tip: String,
    /// As planned.
    pub version: VersionPlan,
}

impl Step<World> for BumpVersion {
    const KIND: &'static str = "bump_version";
    type Output = Vec<String>;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Vec<String>, StepError> {
        let clone = cx.world.clone_in(&self.workspace).await?;
        cx.world.git.fetch_branch(&clone, &self.branch).await?;
        cx.world.git.checkout(&clone, &self.branch, &self.tip).await?;
        let files = bumped(cx.world, &clone, &self.tip, &self.version).await?;
        for (path, bytes) in &files {
            let failed = |error| StepError::transient(format!("{path} can't be written: {error}"));
            std::fs::write(clone.join(path), bytes).map_err(failed)?;
        }
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }

    /// Local and derived: done again rather than looked for.
    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Vec<String>>, StepError> {
        Ok(None)
    }
}

/// Every version file with the new version in it. Files that carry it already stay as they are.
async fn bumped(
    world: &World,
    clone: &std::path::Path,
    tip: &str,
    version: &VersionPlan,
) -> Result<Vec<(String, Vec<u8>)>, StepError> {
    let files = read_versions(world, clone, tip).await?;
    let mut changed: Vec<(String, Vec<u8>)> = Vec::new();
    for (file, now) in world.project.version_files.iter().zip(files) {
        if now.version != version.from && now.version != version.to {
            return Err(StepError::permanent(format!(
                "{} says {} after the merges where {} was planned: somebody else bumped it",
                now.path, now.version, version.from
            )));
        }
        // One file may carry the version in several places.
        let known = changed.iter().position(|(path, _)| *path == now.path);
        let before = known.map_or(&now.bytes, |known| &changed[known].1);
        let after = version::write_version(file, before, &version.to).map_err(StepError::Permanent)?;
        match known {
            Some(known) => changed[known].1 = after,
            None => changed.push((now.path, after)),
        }
    }
    Ok(changed)
}

/// **commit_version_bump**: fixed author, date and message, so that a redo gives the same SHA.
#[derive(Serialize, Deserialize)]
pub struct CommitVersionBump {
    /// The workspace.
    pub workspace: String,
    /// The deploy branch.
    pub branch: String,
    /// Its tip after the merges.
    pub tip: String,
    /// As planned.
    pub version: VersionPlan,
    /// The commit's date: when the deployment started.
    pub date: DateTime<Utc>,
}

impl CommitVersionBump {
    async fn commit(&self, world: &World) -> Result<String, StepError> {
        let clone = world.clone_in(&self.workspace).await?;
        world.git.fetch_branch(&clone, &self.branch).await?;
        bump_commit(world, &clone, &self.tip, &self.version, self.date).await
    }
}

/// The version bump as a commit on top of `tip`, in the object store alone.
pub(super) async fn bump_commit(
    world: &World,
    clone: &std::path::Path,
    tip: &str,
    version: &VersionPlan,
    date: DateTime<Utc>,
) -> Result<String, StepError> {
    let files = bumped(world, clone, tip, version).await?;
    let signature = Signature {
        name: "Shipmate".to_owned(),
        email: "shipmate@users.noreply.github.com".to_owned(),
        date: date.fixed_offset(),
    };
    let message = format!("Release {}\n", notes::tag(&world.project, &version.to));
    Ok(world.git.commit(clone, tip, &files, &message, &signature).await?)
}

impl Step<World> for CommitVersionBump {
    const KIND: &'static str = "commit_version_bump";
    type Output = String;

    async fn run(&self, cx: &Context<'_, World>) -> Result<String, StepError> {
        self.commit(cx.world).await
    }

    /// The same commit again is the same commit.
    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<String>, StepError> {
        Ok(None)
    }
}

/// **push_version_bump**: fast-forward from the merged tip or not at all.
#[derive(Serialize, Deserialize)]
pub struct PushVersionBump {
    /// How to make the commit again, should the workspace be lost.
    pub bump: CommitVersionBump,
    /// The commit.
    pub commit: String,
}

impl Step<World> for PushVersionBump {
    const KIND: &'static str = "push_version_bump";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        let again = self.bump.commit(cx.world).await?;
        if again != self.commit {
            return Err(StepError::permanent(format!(
                "the version bump came out as {again} instead of {}; the workspace was changed by somebody",
                self.commit
            )));
        }
        let clone = cx.world.clone_in(&self.bump.workspace).await?;
        let expect = Expect::At(self.bump.tip.clone());
        match cx
            .world
            .git
            .push(&clone, &self.commit, &self.bump.branch, expect)
            .await?
        {
            Pushed::Done | Pushed::UpToDate => Ok(()),
            // libcurl may have sent the push twice over a connection that died: then the first one is what the second met.
            Pushed::Rejected(_) if self.observe(cx).await?.is_some() => Ok(()),
            Pushed::Rejected(reason) => Err(StepError::permanent(format!(
                "{} can't be pushed ({reason}): somebody pushed to it after the merges",
                self.bump.branch
            ))),
        }
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
        let tip = cx.world.github.branch_tip(&self.bump.branch).await?;
        Ok(tip.is_some_and(|tip| tip.as_str() == self.commit).then_some(()))
    }
}

/// **create_pull_request**: deploy branch to base.
#[derive(Serialize, Deserialize)]
pub struct CreatePullRequest {
    /// The deploy branch.
    pub branch: String,
    /// The base branch.
    pub base: String,
    /// The new version.
    pub version: String,
    /// The version bump, with which the branch ends.
    #[serde(default)]
    pub head: String,
}

/// The deploy pull request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeployPr {
    /// Its number.
    pub number: u64,
    /// The page.
    pub url: String,
    /// Who opened it: can't review it.
    pub author: Option<String>,
}

impl From<PullRequest> for DeployPr {
    fn from(pr: PullRequest) -> Self {
        Self {
            number: pr.number,
            url: pr.html_url,
            author: pr.author,
        }
    }
}

impl CreatePullRequest {
    /// The one that is there, open or merged already. A branch of this name may have been merged before, by the day's deployment before this
    /// one: what is merged must be ours, by the marker that we wrote or by the commit it ended with.
    async fn existing(&self, cx: &Context<'_, World>) -> Result<Option<DeployPr>, StepError> {
        let ours = PullRequestFilter {
            base: Some(self.base.clone()),
            head: Some(self.branch.clone()),
            closed_too: true,
        };
        let found = cx.world.github.pull_requests(ours).await?;
        let marker = notes::marker(cx.saga());
        let open = found.iter().find(|pr| pr.state == PullRequestState::Open);
        let is_ours = |pr: &&PullRequest| pr.body.contains(&marker) || pr.head.sha.as_str() == self.head;
        let merged = || found.iter().filter(|pr| pr.merged == Some(true)).find(is_ours);
        Ok(open.or_else(merged).cloned().map(DeployPr::from))
    }
}

impl Step<World> for CreatePullRequest {
    const KIND: &'static str = "create_pull_request";
    type Output = DeployPr;

    async fn run(&self, cx: &Context<'_, World>) -> Result<DeployPr, StepError> {
        let new = NewPullRequest {
            title: format!("Release {}", notes::tag(&cx.world.project, &self.version)),
            head: self.branch.clone(),
            base: self.base.clone(),
            body: notes::marker(cx.saga()),
        };
        match cx.world.github.create_pull_request(new).await {
            Ok(pr) => Ok(pr.into()),
            // "Already exists" among others: what is there decides.
            Err(error) if error.kind == ErrorKind::Invalid => match self.existing(cx).await? {
                Some(existing) => Ok(existing),
                None => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<DeployPr>, StepError> {
        self.existing(cx).await
    }
}

/// **update_pr_description**: links to everything that ships, in a region of our own; what people wrote outside it stays.
#[derive(Serialize, Deserialize)]
pub struct UpdatePrDescription {
    /// The deploy pull request.
    pub number: u64,
    /// What ships.
    pub shipped: Shipped,
    /// The bump.
    pub version: VersionPlan,
}

impl UpdatePrDescription {
    async fn wanted(&self, cx: &Context<'_, World>) -> Result<(String, String), StepError> {
        let pr = cx.world.github.pull_request(self.number).await?;
        let default_branch = cx.world.github.repository().await?.default_branch;
        let closes = cx.world.project.base_branch == default_branch;
        let text = notes::deploy_pr(&cx.world.project, &self.shipped, &self.version, closes);
        let body = notes::with_region(&pr.body, &text, notes::PULL_REQUEST_LIMIT);
        Ok((pr.body, body))
    }
}

impl Step<World> for UpdatePrDescription {
    const KIND: &'static str = "update_pr_description";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        let (now, wanted) = self.wanted(cx).await?;
        if now != wanted {
            cx.world.github.set_pull_request_body(self.number, &wanted).await?;
        }
        Ok(())
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
        let (now, wanted) = self.wanted(cx).await?;
        Ok((now == wanted).then_some(()))
    }
}

/// **request_review**: of the configured reviewers, never of the pull request's own author.
#[derive(Serialize, Deserialize)]
pub struct RequestReview {
    /// The deploy pull request.
    pub pull_request: DeployPr,
    /// The configured reviewers.
    pub reviewers: Vec<String>,
}

/// Who was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// These.
    pub reviewers: Vec<String>,
    /// Not these, and GitHub's reason.
    pub misfits: Vec<String>,
}

impl Asked {
    /// Those wanted, less those who couldn't be asked.
    pub(super) fn of(wanted: &[String], misfits: &[Misfit]) -> Self {
        let fits = |login: &&String| misfits.iter().all(|misfit| misfit.login != **login);
        Self {
            reviewers: wanted.iter().filter(fits).cloned().collect(),
            misfits: misfits.iter().map(Misfit::to_string).collect(),
        }
    }
}

impl RequestReview {
    /// Wanted, less the author, and less who is asked or has reviewed already.
    async fn missing(&self, world: &World) -> Result<(Vec<String>, Vec<String>), StepError> {
        let author = self.pull_request.author.as_deref();
        let wanted: Vec<String> = self
            .reviewers
            .iter()
            .filter(|login| Some(login.as_str()) != author)
            .cloned()
            .collect();
        let pr = world.github.pull_request(self.pull_request.number).await?;
        let reviews = world.github.reviews(self.pull_request.number).await?;
        let known = |login: &String| {
            pr.requested_reviewers.contains(login) || reviews.iter().any(|review| review.user.as_ref() == Some(login))
        };
        let missing = wanted.iter().filter(|login| !known(login)).cloned().collect();
        Ok((wanted, missing))
    }
}

impl Step<World> for RequestReview {
    const KIND: &'static str = "request_review";
    type Output = Asked;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Asked, StepError> {
        let (wanted, missing) = self.missing(cx.world).await?;
        let misfits = match missing.as_slice() {
            [] => Vec::new(),
            missing => reviews::ask(cx.world, self.pull_request.number, missing).await?,
        };
        Ok(Asked::of(&wanted, &misfits))
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<Asked>, StepError> {
        let (reviewers, missing) = self.missing(cx.world).await?;
        Ok(missing.is_empty().then(|| Asked {
            reviewers,
            misfits: Vec::new(),
        }))
    }
}
