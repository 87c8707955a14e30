//! Phase 5, Release: the Actions run, the release and its notes, the checklist.

use serde::{Deserialize, Serialize};

use super::notes;
use super::progress::{Check, CheckState, Progress};
use super::text;
use super::train::{Shipped, VersionPlan};
use super::world::{Poll, World, overdue, remove};
use crate::github::{Release, Sha, WorkflowRun};
use crate::saga::clock::delta;
use crate::saga::{Context, Step, StepError};
use crate::slack::{Content, Metadata, Post, Ts};

/// **post_deploy_link**: finds the Actions run of the merge commit and posts its link; says so if none has started in time.
#[derive(Serialize, Deserialize)]
pub struct PostDeployLink {
    /// The merge commit.
    pub commit: Sha,
    /// The workflow file.
    pub workflow: String,
    /// What ships.
    pub version: String,
}

/// The run, if one was found in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its id and page.
    pub run: Option<(u64, String)>,
    /// The message.
    pub message: Ts,
}

impl PostDeployLink {
    async fn find_run(&self, cx: &Context<'_, World>) -> Result<Option<WorkflowRun>, StepError> {
        let watchdog = cx.world.project.timeouts.run_watchdog;
        let mut poll = Poll::new(&cx.world.project);
        loop {
            let runs = cx.world.github.workflow_runs(&self.workflow, &self.commit).await?;
            if let Some(run) = runs.into_iter().next() {
                return Ok(Some(run));
            }
            if overdue(cx, watchdog) {
                return Ok(None);
            }
            cx.report(&Progress::NoRun {
                workflow: self.workflow.clone(),
                deadline: cx.began() + delta(watchdog),
            })
            .await?;
            poll.pause(cx).await?;
        }
    }
}

fn ours<W>(cx: &Context<'_, W>) -> Metadata {
    Metadata {
        deployment: cx.saga().to_owned(),
        step_key: cx.key().to_owned(),
    }
}

impl Step<World> for PostDeployLink {
    const KIND: &'static str = "post_deploy_link";
    type Output = Found;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Found, StepError> {
        let run = self.find_run(cx).await?.map(|run| (run.id, run.html_url));
        let content = text::deploy_link(
            &cx.world.project,
            &self.version,
            &self.workflow,
            run.as_ref().map(|(_, url)| url.as_str()),
        );
        let post = Post {
            channel: cx.world.project.channel.clone(),
            thread: None,
            content,
            metadata: Some(ours(cx)),
        };
        Ok(Found {
            run,
            message: cx.world.slack.post(post).await?,
        })
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<Found>, StepError> {
        let message = cx.world.slack.find(&cx.world.project.channel, None, &ours(cx)).await?;
        let Some(message) = message else { return Ok(None) };
        let runs = cx.world.github.workflow_runs(&self.workflow, &self.commit).await?;
        Ok(Some(Found {
            run: runs.into_iter().next().map(|run| (run.id, run.html_url)),
            message,
        }))
    }
}

/// **watch_deploy_run**: to its end, job by job. A re-run counts on.
#[derive(Serialize, Deserialize)]
pub struct WatchDeployRun {
    /// The run, if it was found already.
    pub run: Option<u64>,
    /// The merge commit.
    pub commit: Sha,
    /// The workflow file.
    pub workflow: String,
}

/// A run that ended well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// Its id.
    pub run: u64,
    /// Its page.
    pub url: String,
    /// Which attempt it was.
    pub attempt: u64,
}

impl WatchDeployRun {
    async fn look(&self, cx: &Context<'_, World>, followed: Option<u64>) -> Result<Option<WorkflowRun>, StepError> {
        match followed.or(self.run) {
            Some(id) => Ok(Some(cx.world.github.workflow_run(id).await?)),
            None => {
                let runs = cx.world.github.workflow_runs(&self.workflow, &self.commit).await?;
                Ok(runs.into_iter().next())
            }
        }
    }

    /// The newest run after a cancelled one whose commit contains ours.
    async fn successor(
        &self,
        cx: &Context<'_, World>,
        cancelled: &WorkflowRun,
    ) -> Result<Option<WorkflowRun>, StepError> {
        let base = &cx.world.project.base_branch;
        for run in cx.world.github.branch_runs(&self.workflow, base).await? {
            if run.id == cancelled.id || run.conclusion.as_deref() == Some("cancelled") || run.id < cancelled.id {
                continue;
            }
            let stands = cx
                .world
                .github
                .compare(self.commit.as_str(), run.head_sha.as_str())
                .await?;
            if matches!(stands.status.as_str(), "ahead" | "identical") {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    /// The failing job by name, with its page.
    async fn failure(&self, cx: &Context<'_, World>, run: &WorkflowRun) -> Result<StepError, StepError> {
        let jobs = cx.world.github.jobs(run.id).await?;
        let failed = jobs
            .iter()
            .find(|job| CheckState::of(&job.status, job.conclusion.as_deref()) == CheckState::Failed);
        let conclusion = run.conclusion.as_deref().unwrap_or("failure");
        Ok(StepError::permanent(match failed {
            Some(job) => format!(
                "the Actions run ended as {conclusion}: job {} failed, see {}. Run it again there, then Retry",
                job.name,
                job.html_url.as_ref().unwrap_or(&run.html_url)
            ),
            None => format!(
                "the Actions run ended as {conclusion}, see {}. Run it again there, then Retry",
                run.html_url
            ),
        }))
    }
}

impl Step<World> for WatchDeployRun {
    const KIND: &'static str = "watch_deploy_run";
    type Output = Ran;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Ran, StepError> {
        let limit = cx.world.project.timeouts.deploy_run;
        let deadline = cx.began() + delta(limit);
        let mut poll = Poll::new(&cx.world.project);
        let mut followed = None;
        loop {
            match self.look(cx, followed).await? {
                None => {
                    let workflow = self.workflow.clone();
                    cx.report(&Progress::NoRun { workflow, deadline }).await?;
                }
                Some(run) if run.conclusion.as_deref() == Some("cancelled") && followed.is_none() => {
                    match self.successor(cx, &run).await? {
                        // Concurrency groups cancel a run when a newer push comes: what ships then ships with that one.
                        Some(newer) => followed = Some(newer.id),
                        None => return Err(self.failure(cx, &run).await?),
                    }
                    continue;
                }
                Some(run) if run.status == "completed" => {
                    return match run.conclusion.as_deref() {
                        Some("success" | "neutral" | "skipped") => Ok(Ran {
                            run: run.id,
                            url: run.html_url,
                            attempt: run.attempt,
                        }),
                        _ => Err(self.failure(cx, &run).await?),
                    };
                }
                Some(run) => {
                    let jobs = cx.world.github.jobs(run.id).await?;
                    let jobs = jobs
                        .into_iter()
                        .map(|job| Check {
                            state: CheckState::of(&job.status, job.conclusion.as_deref()),
                            optional: false,
                            name: job.name,
                            url: job.html_url,
                        })
                        .collect();
                    cx.report(&Progress::Run {
                        url: run.html_url,
                        status: run.status,
                        attempt: run.attempt,
                        jobs,
                        deadline,
                    })
                    .await?;
                }
            }
            if overdue(cx, limit) {
                return Err(StepError::permanent(format!(
                    "the Actions run of {} has not ended after {}: was it filtered out, or did the merge message skip it?",
                    self.workflow,
                    humantime::format_duration(limit)
                )));
            }
            poll.pause(cx).await?;
        }
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Ran>, StepError> {
        Ok(None)
    }
}

/// **wait_for_release**: by tag, drafts included; a tag that is there already must be on what was merged.
#[derive(Serialize, Deserialize)]
pub struct WaitForRelease {
    /// The tag.
    pub tag: String,
    /// What was merged.
    pub commit: Sha,
}

impl WaitForRelease {
    /// A draft may have no tag yet; one that exists, annotated or not, must contain the merge.
    async fn is_ours(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        let Some(tagged) = cx.world.github.tag_commit(&self.tag).await? else {
            return Ok(());
        };
        if tagged == self.commit {
            return Ok(());
        }
        let stands = cx.world.github.compare(self.commit.as_str(), tagged.as_str()).await?;
        match stands.status.as_str() {
            "ahead" | "identical" => Ok(()),
            _ => Err(StepError::permanent(format!(
                "the tag {} is on {}, which does not contain the merge {}: it belongs to another release; move it or release by hand, then press Retry",
                self.tag,
                tagged.short(),
                self.commit.short()
            ))),
        }
    }
}

/// The release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Released {
    /// Drafts can't be found by tag later: by id.
    pub id: u64,
    /// The page.
    pub url: String,
    /// Not published yet.
    pub draft: bool,
}

impl From<Release> for Released {
    fn from(release: Release) -> Self {
        Self {
            id: release.id,
            url: release.html_url,
            draft: release.draft,
        }
    }
}

impl Step<World> for WaitForRelease {
    const KIND: &'static str = "wait_for_release";
    type Output = Released;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Released, StepError> {
        let limit = cx.world.project.timeouts.release;
        let mut poll = Poll::new(&cx.world.project);
        loop {
            let releases = cx.world.github.releases().await?;
            if let Some(release) = releases.into_iter().find(|release| release.tag_name == self.tag) {
                self.is_ours(cx).await?;
                return Ok(release.into());
            }
            if overdue(cx, limit) {
                return Err(StepError::permanent(format!(
                    "there is no release for the tag {} after {}",
                    self.tag,
                    humantime::format_duration(limit)
                )));
            }
            cx.report(&Progress::Release {
                tag: self.tag.clone(),
                deadline: cx.began() + delta(limit),
            })
            .await?;
            poll.pause(cx).await?;
        }
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Released>, StepError> {
        Ok(None)
    }
}

/// **update_release_description**: our region; what the Action wrote stays.
#[derive(Serialize, Deserialize)]
pub struct UpdateReleaseDescription {
    /// The release.
    pub release: u64,
    /// What shipped.
    pub shipped: Shipped,
    /// The bump.
    pub version: VersionPlan,
    /// The deploy pull request.
    pub deploy_pr: u64,
}

impl UpdateReleaseDescription {
    async fn bodies(&self, cx: &Context<'_, World>) -> Result<(String, String), StepError> {
        let release = cx.world.github.release(self.release).await?;
        let text = notes::release(&cx.world.project, &self.shipped, self.deploy_pr);
        let wanted = notes::with_region(&release.body, &text, notes::RELEASE_LIMIT);
        Ok((release.body, wanted))
    }
}

impl Step<World> for UpdateReleaseDescription {
    const KIND: &'static str = "update_release_description";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        let (now, wanted) = self.bodies(cx).await?;
        if now == wanted {
            return Ok(());
        }
        cx.world.github.set_release_body(self.release, &wanted).await?;
        // The Action may be writing the body at this very time: last write wins, so look once more.
        cx.settle(cx.world.settle).await?;
        let (now, wanted) = self.bodies(cx).await?;
        match now == wanted {
            true => Ok(()),
            false => Err(StepError::transient(
                "the release was edited by somebody at the same time",
            )),
        }
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
        let (now, wanted) = self.bodies(cx).await?;
        Ok((now == wanted).then_some(()))
    }
}

/// **post_release_notes**: the release's description in the thread.
#[derive(Serialize, Deserialize)]
pub struct PostReleaseNotes {
    /// The release; `None` if people went on without one.
    pub release: Option<Released>,
    /// What shipped.
    pub shipped: Shipped,
    /// The bump.
    pub version: VersionPlan,
    /// The deploy pull request.
    pub deploy_pr: u64,
}

impl PostReleaseNotes {
    async fn content(&self, cx: &Context<'_, World>) -> Result<Content, StepError> {
        let (markdown, url) = match &self.release {
            Some(release) => (
                cx.world.github.release(release.id).await?.body,
                Some(release.url.as_str()),
            ),
            None => (notes::release(&cx.world.project, &self.shipped, self.deploy_pr), None),
        };
        Ok(text::release_notes(&cx.world.project, &self.version.to, &markdown, url))
    }
}

impl Step<World> for PostReleaseNotes {
    const KIND: &'static str = "post_release_notes";
    type Output = Ts;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Ts, StepError> {
        let post = Post {
            channel: cx.world.project.channel.clone(),
            thread: Some(cx.world.thread.root(cx.saga()).await?),
            content: self.content(cx).await?,
            metadata: Some(ours(cx)),
        };
        Ok(cx.world.slack.post(post).await?)
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<Ts>, StepError> {
        let root = cx.world.thread.root(cx.saga()).await?;
        Ok(cx
            .world
            .slack
            .find(&cx.world.project.channel, Some(root), &ours(cx))
            .await?)
    }
}

/// The workspace goes once nothing needs it.
#[derive(Serialize, Deserialize)]
pub struct DeleteWorkspace {
    /// Its name.
    pub name: String,
}

impl Step<World> for DeleteWorkspace {
    const KIND: &'static str = "delete_workspace";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        remove(&cx.world.workspace(&self.name)?)
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
        Ok((!cx.world.workspace(&self.name)?.exists()).then_some(()))
    }
}

/// Closes the deploy pull request of a deployment that people stopped.
#[derive(Serialize, Deserialize)]
pub struct CloseDeployPr {
    /// Its number.
    pub number: u64,
}

impl Step<World> for CloseDeployPr {
    const KIND: &'static str = "close_deploy_pr";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        cx.world.github.close_pull_request(self.number).await?;
        Ok(())
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
        let pr = cx.world.github.pull_request(self.number).await?;
        Ok((pr.state == crate::github::PullRequestState::Closed).then_some(()))
    }
}
