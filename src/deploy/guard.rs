//! The foreign-change guard: between two merges the deploy branch must be where the train left it, and what is merged next must still be
//! green. Anything else pauses the train and says who did what; only a person's *Retry*, given after it was said, takes a foreign commit in.

use super::ci::{self, Red, Rule};
use super::progress::Progress;
use super::wait_and_merge::Head;
use super::world::{Poll, World};
use crate::config::DeployApproval;
use crate::github::{Comparison, ErrorKind, PullRequest, PullRequestState, Sha};
use crate::saga::clock::delta;
use crate::saga::{Context, StepError};

/// Fails unless `branch` is where the train left it: at the last of `known`, the tips that the train itself gave it. Answers with a foreign tip
/// that a person took in.
///
/// # Errors
/// Who did what, for people; or GitHub's failure.
pub async fn foreign_tip(cx: &Context<'_, World>, branch: &str, known: &[String]) -> Result<Option<Sha>, StepError> {
    let Some(ours) = known.last() else { return Ok(None) };
    let Some((tip, comparison)) = settled_tip(cx, branch, ours, known, Whose::Train).await? else {
        return Ok(None);
    };
    let happened = what_happened(branch, ours, &tip, &comparison);
    taken_in(cx, tip, &format!("{happened}. Retry takes it in as it is"))
        .await
        .map(Some)
}

/// Fails unless the deploy pull request is at this head. Answers with another head that a person took in: its checks and its
/// approval are to be waited for as for the one before. What was merged meanwhile isn't judged here.
///
/// # Errors
/// Who did what, for people; or GitHub's failure.
pub async fn foreign_head(
    cx: &Context<'_, World>,
    pr: &PullRequest,
    expected: &Head,
) -> Result<Option<Sha>, StepError> {
    if pr.merged == Some(true) {
        return Ok(None);
    }
    if pr.state == PullRequestState::Closed {
        let (number, branch, head) = (pr.number, &pr.head.branch, &pr.head.sha);
        let tip = cx.world.github.branch_tip(branch).await?;
        return Err(StepError::permanent(match tip.as_ref() == Some(head) {
            true => format!("#{number} was closed by somebody: reopen it, then Retry"),
            // GitHub closes a pull request whose branch goes, and reopens it only where it was.
            false => format!(
                "{branch} was deleted or moved by somebody, and #{number} is closed: restore the branch at {}, reopen #{number}, then Retry",
                head.short()
            ),
        }));
    }
    if pr.head.sha == expected.head {
        return Ok(None);
    }
    let (branch, ours) = (&pr.head.branch, expected.head.as_str());
    let before: Vec<String> = expected.before.iter().map(ToString::to_string).collect();
    let Some((tip, comparison)) = settled_tip(cx, branch, ours, &before, Whose::People).await? else {
        return Ok(None);
    };
    let happened = what_happened(branch, ours, &tip, &comparison);
    let then = match cx.world.project.deploy_approval {
        DeployApproval::Required => "Retry takes it in, and waits for its checks and for an approval of it",
        DeployApproval::None => "Retry takes it in, and waits for its checks",
    };
    taken_in(cx, tip, &format!("{happened}. {then}")).await.map(Some)
}

/// What isn't ours comes in once a person, told of exactly this, has pressed *Retry*; until then, `told` is what they are told.
///
/// # Errors
/// `told`, or the journal's failure.
pub async fn taken_in(cx: &Context<'_, World>, tip: Sha, told: &str) -> Result<Sha, StepError> {
    let asked = cx.times_given_up();
    let knew = |progress: &Progress| matches!(progress, Progress::Foreign { tip: known, asked: before } if *known == tip && *before < asked);
    if cx.progress::<Progress>().as_ref().is_some_and(knew) {
        return Ok(tip);
    }
    cx.report(&Progress::Foreign { tip, asked }).await?;
    Err(StepError::permanent(told))
}

/// By whom a branch gets its tips.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// By the train's merges, which only add to it: an earlier tip that lies ahead came in with another pull request.
    Train,
    /// By people, who also set it back and forth: what was there before is as new as anything.
    People,
}

/// A tip that isn't ours, and how it stands to ours; `None` if all is well. GitHub's answers lag behind its merges, so an older tip of ours
/// counts only once it has stayed.
async fn settled_tip(
    cx: &Context<'_, World>,
    branch: &str,
    ours: &str,
    known: &[String],
    whose: Whose,
) -> Result<Option<(Sha, Comparison)>, StepError> {
    let lagging_until = cx.now() + delta(cx.world.settle);
    let mut poll = Poll::new(&cx.world.project);
    loop {
        let Some(tip) = cx.world.github.branch_tip(branch).await? else {
            return Err(StepError::permanent(format!(
                "{branch} was deleted by somebody: restore it at {}",
                short(ours)
            )));
        };
        if tip.as_str() == ours {
            return Ok(None);
        }
        let comparison = compare(cx.world, ours, &tip).await?;
        let seen_before = known.iter().any(|known| known == tip.as_str());
        // A pull request that came in with another one moves nothing: its commit is behind the tip.
        if whose == Whose::Train && seen_before && comparison.status == "ahead" {
            return Ok(None);
        }
        if !seen_before || cx.now() > lagging_until {
            return Ok(Some((tip, comparison)));
        }
        poll.pause(cx).await?;
    }
}

async fn compare(world: &World, ours: &str, tip: &Sha) -> Result<Comparison, StepError> {
    match world.github.compare(ours, tip.as_str()).await {
        // Commits that a force-push left behind may be gone altogether.
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Comparison {
            status: "diverged".to_owned(),
            commits: Vec::new(),
        }),
        answer => Ok(answer?),
    }
}

/// Who put `branch` there.
fn what_happened(branch: &str, ours: &str, tip: &Sha, comparison: &Comparison) -> String {
    let commits: Vec<String> = comparison.commits.iter().take(5).map(ToString::to_string).collect();
    let more = match comparison.commits.len().saturating_sub(commits.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    match (comparison.status.as_str(), commits.is_empty()) {
        ("ahead", _) => format!(
            "somebody else's commits are on {branch} since {}: {}{more}",
            short(ours),
            commits.join(", ")
        ),
        (_, true) => format!(
            "{branch} was set back from {} to {} by somebody",
            short(ours),
            tip.short()
        ),
        _ => format!(
            "{branch} was force-pushed from {} to {} by somebody; there now: {}{more}",
            short(ours),
            tip.short(),
            commits.join(", ")
        ),
    }
}

fn short(sha: &str) -> &str {
    sha.get(..7).unwrap_or(sha)
}

/// Which checks decide about pull requests of this project.
///
/// # Errors
/// GitHub's failure.
pub async fn rule(world: &World) -> Result<Rule, StepError> {
    let project = &world.project;
    // Where all that report decide, it makes no difference to the red ones which are required.
    let by_branch = match project.required_checks.is_empty() {
        true => Vec::new(),
        false => world.github.required_checks(&project.base_branch).await?,
    };
    Ok(Rule::of(project, by_branch))
}

/// The red checks of a head.
///
/// # Errors
/// GitHub's failure.
pub async fn red_checks(world: &World, head: &Sha, rule: &Rule) -> Result<Red, StepError> {
    let (runs, statuses) = futures_util::try_join!(world.github.check_runs(head), world.github.statuses(head))?;
    Ok(ci::red(&ci::checks(&runs, &statuses, rule)))
}

/// Fails if a check of this head that decides has turned red since it was found green.
///
/// # Errors
/// Which checks, for people; or GitHub's failure.
pub async fn still_green(world: &World, number: u64, head: &Sha) -> Result<(), StepError> {
    let red = red_checks(world, head, &rule(world).await?).await?.decisive;
    match red.is_empty() {
        true => Ok(()),
        false => Err(StepError::permanent(format!(
            "checks of #{number} have turned red: {}; run them again on GitHub, then press Retry",
            red.join(", ")
        ))),
    }
}
