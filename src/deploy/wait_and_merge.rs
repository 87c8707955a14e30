//! Phase 4, CI and merge: the deploy pull request green, approved, merged.

use serde::{Deserialize, Serialize};

use super::ci::{self, Rule, Verdict};
use super::deploy_pr::DeployPr;
use super::eligible;
use super::merge_prs::{MergeCommit, MergePr, Reviewers, opinion};
use super::progress::Progress;
use super::world::{Poll, World, overdue};
use crate::config::NoChecks;
use crate::github::{MergeMethod, Sha};
use crate::saga::clock::delta;
use crate::saga::{Context, Step, StepError};

/// **wait_for_ci**: check runs and commit statuses of the head, until they are green and stay the same.
#[derive(Serialize, Deserialize)]
pub struct WaitForCi {
    /// The deploy pull request.
    pub number: u64,
    /// Its head.
    pub head: Sha,
}

/// How the checks ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Green {
    /// Which passed; none is said to be none.
    pub checks: Vec<String>,
    /// Which are red and don't matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub red: Vec<String>,
}

impl Step<World> for WaitForCi {
    const KIND: &'static str = "wait_for_ci";
    type Output = Green;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Green, StepError> {
        let project = &cx.world.project;
        let by_branch = cx.world.github.required_checks(&project.base_branch).await?;
        let rule = Rule::of(project, by_branch);
        let mut poll = Poll::new(project);
        let mut stable: Option<(Vec<String>, chrono::DateTime<chrono::Utc>)> = None;
        loop {
            let runs = cx.world.github.check_runs(&self.head).await?;
            let statuses = cx.world.github.statuses(&self.head).await?;
            let checks = ci::checks(&runs, &statuses, &rule);
            let names = ci::decisive(&checks);
            let verdict = ci::verdict(&checks);
            let red = ci::red(&checks).optional;
            cx.report(&Progress::Checks {
                checks,
                deadline: cx.began() + delta(project.timeouts.ci),
            })
            .await?;
            let since = match &stable {
                Some((known, since)) if *known == names => *since,
                _ => {
                    stable = Some((names.clone(), cx.now()));
                    cx.now()
                }
            };
            match verdict {
                Verdict::Failed(failed) => {
                    return Err(StepError::permanent(format!("checks failed: {}", failed.join(", "))));
                }
                // Checks register for up to half a minute after the push, in waves.
                Verdict::Passed if cx.now() - since >= delta(project.timeouts.stable_for) => {
                    return Ok(Green { checks: names, red });
                }
                Verdict::Nothing if overdue(cx, project.timeouts.no_checks_grace) => return self.no_checks(cx).await,
                _ => {}
            }
            if overdue(cx, project.timeouts.ci) {
                return Err(StepError::permanent(format!(
                    "the checks of #{} are not done after {}",
                    self.number,
                    humantime::format_duration(project.timeouts.ci)
                )));
            }
            poll.pause(cx).await?;
        }
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Green>, StepError> {
        Ok(None)
    }
}

impl WaitForCi {
    /// The grace is over and nothing has reported.
    async fn no_checks(&self, cx: &Context<'_, World>) -> Result<Green, StepError> {
        let pr = cx.world.github.pull_request(self.number).await?;
        if pr.mergeable == Some(false) {
            return Err(StepError::permanent(format!(
                "#{} conflicts with its base, so GitHub starts no checks: resolve the conflict on its branch",
                self.number
            )));
        }
        match cx.world.project.no_checks {
            NoChecks::Pass => Ok(Green {
                checks: Vec::new(),
                red: Vec::new(),
            }),
            NoChecks::Fail => Err(StepError::permanent(format!(
                "#{} has no checks at all, and `no_checks` is \"fail\"",
                self.number
            ))),
        }
    }
}

/// **wait_for_approval**: by GitHub's rule; changes requested are said at once.
#[derive(Serialize, Deserialize)]
pub struct WaitForApproval {
    /// The deploy pull request.
    pub pull_request: DeployPr,
    /// Who was asked; nobody: nothing to wait for.
    pub reviewers: Vec<String>,
}

impl Step<World> for WaitForApproval {
    const KIND: &'static str = "wait_for_approval";
    type Output = Vec<String>;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Vec<String>, StepError> {
        if self.reviewers.is_empty() {
            return Ok(Vec::new());
        }
        let timeouts = &cx.world.project.timeouts;
        let mut poll = Poll::new(&cx.world.project);
        loop {
            let pr = cx.world.github.pull_request(self.pull_request.number).await?;
            let reviews = cx.world.github.reviews(pr.number).await?;
            let changes_requested = match opinion(cx.world, &pr, &reviews, &Reviewers::default()).await? {
                eligible::Verdict::Approved(approvals) => {
                    return Ok(approvals.into_iter().map(|approval| approval.user).collect());
                }
                eligible::Verdict::ChangesRequested(by) => by,
                eligible::Verdict::Waiting => Vec::new(),
            };
            cx.report(&Progress::Approval {
                reviewers: self.reviewers.clone(),
                changes_requested,
                deadline: cx.began() + delta(timeouts.approval),
            })
            .await?;
            if overdue(cx, timeouts.approval) {
                return Err(StepError::permanent(format!(
                    "#{} has no approval after {}",
                    self.pull_request.number,
                    humantime::format_duration(timeouts.approval)
                )));
            }
            poll.pause(cx).await?;
        }
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Vec<String>>, StepError> {
        Ok(None)
    }
}

/// **merge_deploy_pr**: as the train's merges, into the base branch.
#[derive(Serialize, Deserialize)]
pub struct MergeDeployPr {
    /// The deploy pull request.
    pub number: u64,
    /// Its head, as it was green and approved.
    pub head: Sha,
    /// The project's method for it.
    pub method: MergeMethod,
    /// The base branch.
    pub into: String,
}

impl MergeDeployPr {
    fn merge(&self) -> MergePr {
        MergePr {
            number: self.number,
            head: self.head.clone(),
            method: self.method,
            into: self.into.clone(),
            known: Vec::new(),
        }
    }
}

impl Step<World> for MergeDeployPr {
    const KIND: &'static str = "merge_deploy_pr";
    type Output = MergeCommit;

    async fn run(&self, cx: &Context<'_, World>) -> Result<MergeCommit, StepError> {
        self.merge().run(cx).await
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<MergeCommit>, StepError> {
        self.merge().observe(cx).await
    }
}
