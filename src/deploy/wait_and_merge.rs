//! Phase 4, CI and merge: the deploy pull request green, approved, merged.

use serde::{Deserialize, Serialize};

use super::ci::{self, Rule, Verdict};
use super::deploy_pr::DeployPr;
use super::eligible;
use super::guard;
use super::merge_prs::{MergeCommit, MergePr, Reviewers, merge_commit, opinion};
use super::progress::Progress;
use super::world::{Poll, World, overdue};
use crate::config::NoChecks;
use crate::github::{MergeMethod, PullRequest, Review, ReviewState, Sha};
use crate::saga::clock::delta;
use crate::saga::{Context, Step, StepError};

/// The head of the deploy pull request. Somebody may push to its branch, and a person take that in: then all begins anew, in a round of its
/// own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// What has to become green and approved, and is merged.
    pub head: Sha,
    /// What it was before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Sha>,
}

impl Head {
    /// As Shipmate itself pushed it.
    pub fn new(head: Sha) -> Self {
        let before = Vec::new();
        Self { head, before }
    }

    /// After somebody pushed.
    #[must_use]
    pub fn moved(mut self, to: Sha) -> Self {
        self.before.push(std::mem::replace(&mut self.head, to));
        self
    }

    /// One for the first.
    pub fn round(&self) -> u32 {
        u32::try_from(self.before.len()).map_or(u32::MAX, |before| before.saturating_add(1))
    }
}

/// **wait_for_ci**: check runs and commit statuses of the head, until they are green and stay the same.
#[derive(Serialize, Deserialize)]
pub struct WaitForCi {
    /// The deploy pull request.
    pub number: u64,
    /// Its head.
    #[serde(flatten)]
    pub head: Head,
}

/// How the checks ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Green {
    /// Which passed; none is said to be none.
    pub checks: Vec<String>,
    /// Which are red and don't matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub red: Vec<String>,
    /// They didn't: a person took in another head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Sha>,
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
            let pr = cx.world.github.pull_request(self.number).await?;
            if let Some(moved) = guard::foreign_head(cx, &pr, &self.head).await? {
                return Ok(Green {
                    moved: Some(moved),
                    ..Green::default()
                });
            }
            if pr.merged == Some(true) {
                return Ok(Green::default());
            }
            let runs = cx.world.github.check_runs(&self.head.head).await?;
            let statuses = cx.world.github.statuses(&self.head.head).await?;
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
            match &verdict {
                Verdict::Failed(failed) => {
                    return Err(StepError::permanent(format!("checks failed: {}", failed.join(", "))));
                }
                // Checks register for up to half a minute after the push, in waves.
                Verdict::Passed if cx.now() - since >= delta(project.timeouts.stable_for) => {
                    return Ok(Green {
                        checks: names,
                        red,
                        moved: None,
                    });
                }
                Verdict::Nothing if overdue(cx, project.timeouts.no_checks_grace) => return self.no_checks(cx, &pr),
                _ => {}
            }
            // Green and not yet for long enough is done in time.
            if verdict != Verdict::Passed && overdue(cx, project.timeouts.ci) {
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
    fn no_checks(&self, cx: &Context<'_, World>, pr: &PullRequest) -> Result<Green, StepError> {
        if pr.mergeable == Some(false) {
            return Err(StepError::permanent(format!(
                "#{} conflicts with its base, so GitHub starts no checks: merge {} into its branch and resolve the conflict there, then Retry",
                self.number, pr.base.branch
            )));
        }
        match cx.world.project.no_checks {
            NoChecks::Pass => Ok(Green::default()),
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
    /// Who was asked; an approval by somebody else counts as well.
    pub reviewers: Vec<String>,
    /// Its head, of which an approval must be; older journals don't have it.
    #[serde(flatten)]
    pub head: Option<Head>,
}

/// How waiting for an approval ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Approval {
    /// These people approved.
    By(Vec<String>),
    /// A person took in another head, which nobody has approved.
    Moved {
        /// That one.
        moved: Sha,
    },
}

impl Step<World> for WaitForApproval {
    const KIND: &'static str = "wait_for_approval";
    type Output = Approval;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Approval, StepError> {
        let timeouts = &cx.world.project.timeouts;
        let mut poll = Poll::new(&cx.world.project);
        loop {
            let pr = cx.world.github.pull_request(self.pull_request.number).await?;
            if let Some(head) = &self.head
                && let Some(moved) = guard::foreign_head(cx, &pr, head).await?
            {
                return Ok(Approval::Moved { moved });
            }
            if pr.merged == Some(true) {
                return Ok(Approval::By(Vec::new()));
            }
            let mut reviews = cx.world.github.reviews(pr.number).await?;
            // Not left out: that would bring back what the same person said before it.
            for review in reviews.iter_mut().filter(|review| self.is_outdated(review)) {
                review.state = ReviewState::Dismissed;
            }
            let changes_requested = match opinion(cx.world, &pr, &reviews, &Reviewers::default()).await? {
                eligible::Verdict::Approved(approvals) => {
                    return Ok(Approval::By(
                        approvals.into_iter().map(|approval| approval.user).collect(),
                    ));
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

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Approval>, StepError> {
        Ok(None)
    }
}

impl WaitForApproval {
    /// An approval of a head that somebody has pushed over. Of a rewritten one, GitHub may not say which it was.
    fn is_outdated(&self, review: &Review) -> bool {
        let of_another = self.head.as_ref().is_some_and(|now| match &review.commit_id {
            Some(commit) => *commit != now.head,
            None => !now.before.is_empty(),
        });
        review.state == ReviewState::Approved && of_another
    }
}

/// **merge_deploy_pr**: as the train's merges, into the base branch.
#[derive(Serialize, Deserialize)]
pub struct MergeDeployPr {
    /// The deploy pull request.
    pub number: u64,
    /// Its head, as it was green and approved.
    #[serde(flatten)]
    pub head: Head,
    /// The project's method for it.
    pub method: MergeMethod,
    /// The base branch.
    pub into: String,
}

/// How merging it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Merging {
    /// A person took in another head, which has to become green and approved.
    Moved {
        /// That one.
        moved: Sha,
    },
    /// It is merged.
    Merged(MergeCommit),
}

impl MergeDeployPr {
    fn merge(&self) -> MergePr {
        MergePr {
            number: self.number,
            head: self.head.head.clone(),
            method: self.method,
            into: self.into.clone(),
            known: Vec::new(),
        }
    }
}

impl Step<World> for MergeDeployPr {
    const KIND: &'static str = "merge_deploy_pr";
    type Output = Merging;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Merging, StepError> {
        let merged = self.merge().run(cx).await;
        if let Err(StepError::Permanent(_)) = merged {
            // Somebody may have pushed, be it at this very moment: then it is theirs that is told of.
            let pr = cx.world.github.pull_request(self.number).await?;
            if let Some(moved) = guard::foreign_head(cx, &pr, &self.head).await? {
                return Ok(Merging::Moved { moved });
            }
        }
        merged.map(Merging::Merged)
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<Merging>, StepError> {
        cx.settle(cx.world.settle).await?;
        let pr = cx.world.github.pull_request(self.number).await?;
        // At another head, what to make of it is for the next try to say.
        let ours = pr.merged == Some(true) && pr.base.branch == self.into && pr.head.sha == self.head.head;
        Ok(ours.then(|| Merging::Merged(merge_commit(&pr))))
    }
}
