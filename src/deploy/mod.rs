//! The deployment: the runbook as a durable saga. [`deploy`] reads like the sixteen steps that people once did by hand.
//!
//! Reading order: [`runbook`] (names and phases), [`deploy`] below, then one file a phase ([`setup`], [`merge_prs`], [`deploy_pr`],
//! [`wait_and_merge`], [`post_deploy`]), where each step's action, observation and compensation stand side by side. [`view`] is what
//! people see, [`text`] every sentence they read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::try_join;
use serde::{Deserialize, Serialize};
use serde_json::{Value, from_value, json, to_value};

use crate::config::{CloseIssues, DeployApproval, Project};
use crate::git;
use crate::github::{Issue, Sha};
use crate::saga::history::CheckpointState;
use crate::saga::run::Skippable;
use crate::saga::{Actor, Checkpoint, Registry, Saga, Stop, Workflow};

pub mod begin;
pub mod ci;
pub mod decide;
pub mod deploy_pr;
pub mod eligible;
pub mod guard;
pub mod issues;
pub mod lock;
pub mod merge_prs;
pub mod notes;
pub mod people;
pub mod permits;
pub mod post_deploy;
pub mod progress;
pub mod resolved;
pub mod reviews;
pub mod runbook;
pub mod setup;
pub mod stacked;
pub mod stats;
pub mod text;
pub mod timeline;
pub mod train;
pub mod version;
pub mod view;
pub mod wait_and_merge;
pub mod world;

use deploy_pr::{
    BumpVersion, CommitVersionBump, CreatePullRequest, DeployPr, PushVersionBump, RequestReview, UpdatePrDescription,
};
use lock::Obstacle;
use merge_prs::{
    AskReviewersAgain, ChangePrBase, CollectMergedPrInfo, FetchApprovedPrs, Look, LookAgain, MergePr, RehearseMerges,
    RestorePrBase,
};
use post_deploy::{
    CloseDeployPr, DeleteWorkspace, PostDeployLink, PostReleaseNotes, UpdateReleaseDescription, WaitForRelease,
    WatchDeployRun,
};
use resolved::{CommentShipped, FindOpenIssues, ResolveIssue};
use setup::{CloneRepo, CreateDeployBranch, CreateWorkspace, FetchStaging, PushDeployBranch};
use stacked::MoveStackedPrs;
use train::{Car, Excluded, Merged, Plan, Reason, Selection, Shipped};
use version::Bump;
use wait_and_merge::{Approval, Head, MergeDeployPr, Merging, WaitForApproval, WaitForCi};
use world::World;

/// What was asked for, with the settings as they were then: all that a deployment may branch on besides its journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The project's settings, frozen.
    pub project: Project,
    /// Which part of the version counts up.
    pub bump: Bump,
    /// Which pull requests.
    #[serde(default)]
    pub selection: Selection,
    /// Why it may run although a lock or a freeze window says no.
    #[serde(default)]
    pub override_reason: Option<String>,
    /// The locks and freezes that it passed for that reason.
    #[serde(default)]
    pub passed: Vec<Obstacle>,
    /// Since when it stood in the queue, if it did.
    #[serde(default)]
    pub queued: Option<DateTime<Utc>>,
}

/// The value of the signal by which a person asks again for what is waited for.
pub const NUDGE: &str = "nudge";

/// What people can choose at the deployment's own checkpoints.
pub mod choice {
    /// The list is right.
    pub const CONFIRM: &str = "confirm";
    /// Another list: comes with a [`super::Selection`].
    pub const EDIT: &str = "edit";
    /// Nobody answered in time.
    pub const EXPIRE: &str = "expire";
    /// Merge exactly this plan: comes with its digest.
    pub const APPROVE: &str = "approve";
    /// Ask the reviewers whose approval was dismissed.
    pub const ASK_AGAIN: &str = "ask_again";
    /// Go on without the pull requests whose approval was dismissed.
    pub const DROP: &str = "drop";
    /// Everything on the checklist is ticked.
    pub const DONE: &str = "done";
    /// After the release: the resolved issues are commented on and closed.
    pub const CLOSE_ISSUES: &str = "close_issues";
    /// After the release: the resolved issues are commented on.
    pub const COMMENT_ISSUES: &str = "comment_issues";
    /// After stopping: unmerged pull requests go back.
    pub const PUT_BACK: &str = "put_back";
    /// After stopping: and the deploy pull request is closed.
    pub const PUT_BACK_AND_CLOSE: &str = "put_back_and_close";
    /// After stopping, when every pull request is merged: the deploy pull request is closed.
    pub const CLOSE: &str = "close";
    /// After stopping: everything stays as it is.
    pub const LEAVE: &str = "leave";
}

/// What the setup phase leaves to the others.
struct Ready {
    workspace: String,
    date: NaiveDate,
    base_tip: String,
    branch: String,
}

/// The runbook, from `/deploy start` to the last ticked item.
///
/// # Errors
/// Why it ended early; the engine then undoes, asks, or goes on later.
pub async fn deploy(saga: &Saga<World>, request: &Request) -> Result<(), Stop> {
    let ready = set_up(saga, request).await?;
    let plan = agree_on_the_train(saga, request, &ready).await?;
    retarget(saga, &plan).await?;
    let plan = pass_the_point_of_no_return(saga, request, &ready, plan).await?;
    let shipped = merge_the_train(saga, &ready, &plan).await?;
    let (deploy_pr, head) = open_the_deploy_pr(saga, request, &ready, &plan, &shipped).await?;
    let commit = get_it_merged(saga, request, &plan, &deploy_pr, &head).await?;
    release(saga, request, &ready, &plan, &shipped, &deploy_pr, commit).await
}

async fn set_up(saga: &Saga<World>, request: &Request) -> Result<Ready, Stop> {
    let started = saga.started_at();
    let date = started.with_timezone(&request.project.time_zone).date_naive();
    let name = format!("deploy-{}-{}", started.format("%Y%m%dT%H%M%S"), saga.id());
    let workspace = saga.step("create_workspace", CreateWorkspace { name }).await?;
    let clone = CloneRepo {
        workspace: workspace.clone(),
    };
    saga.read("clone_repo", clone).await?;
    let fetch = FetchStaging {
        workspace: workspace.clone(),
        branch: request.project.base_branch.clone(),
    };
    let base_tip = saga.read("fetch_staging", fetch).await?;
    let create = CreateDeployBranch {
        workspace: workspace.clone(),
        prefix: request.project.branch_prefix.clone(),
        date,
        at: base_tip.clone(),
    };
    let branch = saga.step("create_deploy_branch", create).await?;
    let push = PushDeployBranch {
        workspace: workspace.clone(),
        branch: branch.clone(),
        at: base_tip.clone(),
    };
    saga.step("push_deploy_branch", push).await?;
    Ok(Ready {
        workspace,
        date,
        base_tip,
        branch,
    })
}

/// `name` in the first round, `name/2` in the second.
fn in_round(name: &str, round: u32) -> String {
    match round {
        1 => name.to_owned(),
        round => format!("{name}/{round}"),
    }
}

/// Collects and rehearses until people confirm a list.
async fn agree_on_the_train(saga: &Saga<World>, request: &Request, ready: &Ready) -> Result<Plan, Stop> {
    let mut selection = request.selection.clone();
    for round in 1.. {
        let plan = plan_the_train(saga, request, ready, &selection, round).await?;
        let timeouts = &request.project.timeouts;
        let question = Checkpoint {
            data: json!({ "plan": plan }),
            choices: vec![choice::CONFIRM, choice::EDIT, choice::EXPIRE],
            expires: Some((timeouts.confirm, choice::EXPIRE)),
            remind_after: Some(timeouts.reminder),
            settles: None,
        };
        let decision = saga.checkpoint(&in_round("confirm_pr_list", round), question).await?;
        match decision.choice.as_str() {
            choice::CONFIRM => return Ok(plan),
            choice::EDIT => selection = Saga::<World>::payload(&decision)?,
            _ => {
                return Err(Stop::Ended(text::expired(
                    "confirmed the list of pull requests",
                    timeouts.confirm,
                )));
            }
        }
    }
    unreachable!("the rounds don't end")
}

/// What would ship, rehearsal included: the runbook up to the first question, without the branch.
///
/// # Errors
/// What keeps the plan from being made.
pub async fn dry_run(saga: &Saga<World>, request: &Request, workspace: &str) -> Result<Plan, Stop> {
    let workspace = workspace.to_owned();
    let clone = CloneRepo {
        workspace: workspace.clone(),
    };
    saga.read("clone_repo", clone).await?;
    let branch = request.project.base_branch.clone();
    let fetch = FetchStaging {
        workspace: workspace.clone(),
        branch: branch.clone(),
    };
    let base_tip = saga.read("fetch_staging", fetch).await?;
    let ready = Ready {
        workspace,
        date: saga.started_at().with_timezone(&request.project.time_zone).date_naive(),
        base_tip,
        branch,
    };
    plan_the_train(saga, request, &ready, &request.selection, 1).await
}

/// Collects and rehearses once.
async fn plan_the_train(
    saga: &Saga<World>,
    request: &Request,
    ready: &Ready,
    selection: &Selection,
    round: u32,
) -> Result<Plan, Stop> {
    let collect = FetchApprovedPrs {
        selection: selection.clone(),
    };
    let found = saga.read(in_round("fetch_approved_prs", round), collect).await?;
    if found.cars.is_empty() {
        return Err(Stop::Ended(text::nothing_to_ship(&request.project, &found.excluded)));
    }
    let facts = Facts {
        cars: found.cars,
        excluded: found.excluded,
        branch_tip: ready.base_tip.clone(),
        base_tip: ready.base_tip.clone(),
    };
    let mut plan = rehearse(saga, request, ready, &in_round("rehearse_merges", round), facts).await?;
    let noticed = [plan.note.take(), text::skips_ci(&plan)];
    plan.note = joined(noticed.into_iter().flatten().chain(found.remarks));
    match plan.cars.is_empty() {
        true => Err(Stop::Ended(text::nothing_to_ship(&request.project, &plan.excluded))),
        false => Ok(plan),
    }
}

/// Sentences as one text.
fn joined(sentences: impl Iterator<Item = String>) -> Option<String> {
    sentences.reduce(|a, b| format!("{a} {b}"))
}

/// What a plan is made of.
struct Facts {
    cars: Vec<Car>,
    excluded: Vec<Excluded>,
    branch_tip: String,
    base_tip: String,
}

async fn rehearse(saga: &Saga<World>, request: &Request, ready: &Ready, key: &str, facts: Facts) -> Result<Plan, Stop> {
    let pinned = |car: &Car| git::Car {
        number: car.number,
        head: car.head.to_string(),
    };
    let step = RehearseMerges {
        workspace: ready.workspace.clone(),
        branch: ready.branch.clone(),
        onto: facts.branch_tip.clone(),
        cars: facts.cars.iter().map(pinned).collect(),
        method: request.project.merge_method,
        bump: request.bump.clone(),
        date: ready.date,
        base_tip: facts.base_tip.clone(),
    };
    let rehearsed = saga.read(key, step).await?;
    if let Some(clash) = &rehearsed.clash {
        return Err(Stop::Ended(text::clash(&request.project.base_branch, clash)));
    }
    let (cars, out) = merge_prs::sort_out(facts.cars, &rehearsed.rehearsal.cars);
    let mut excluded = facts.excluded;
    excluded.extend(out);
    excluded.sort_by_key(|excluded| excluded.number);
    Ok(Plan {
        branch: ready.branch.clone(),
        branch_tip: facts.branch_tip,
        base: request.project.base_branch.clone(),
        base_tip: facts.base_tip,
        cars,
        excluded,
        version: rehearsed.version,
        method: request.project.merge_method,
        tree: rehearsed.rehearsal.tree,
        note: joined(
            rehearsed
                .rehearsal
                .note
                .into_iter()
                .chain(rehearsed.rehearsal.proposal.as_ref().map(text::proposal)),
        ),
    })
}

async fn retarget(saga: &Saga<World>, plan: &Plan) -> Result<(), Stop> {
    for car in &plan.cars {
        let step = ChangePrBase {
            car: car.clone(),
            branch: plan.branch.clone(),
        };
        saga.step(format!("change_pr_bases/{}", car.number), step).await?;
    }
    Ok(())
}

/// Shows the plan as it stands until somebody approves exactly that.
async fn pass_the_point_of_no_return(
    saga: &Saga<World>,
    request: &Request,
    ready: &Ready,
    confirmed: Plan,
) -> Result<Plan, Stop> {
    const NAME: &str = "approve_point_of_no_return";
    let mut shown = confirmed.clone();
    let mut plan = confirmed;
    let mut look = saga
        .read(format!("{NAME}/1/look"), LookAgain { plan: plan.clone() })
        .await?;
    for round in 1.. {
        plan = replan(
            saga,
            request,
            ready,
            plan,
            &look,
            &format!("rehearse_merges/approve-{round}"),
        )
        .await?;
        let changes = plan.changes_since(&shown);
        let question = approval_question(request, &plan, &look, &changes);
        let decision = saga.checkpoint(&format!("{NAME}/{round}"), question).await?;
        shown = plan.clone();
        match decision.choice.as_str() {
            choice::APPROVE => {
                let now = saga
                    .read(format!("{NAME}/{}/look", round + 1), LookAgain { plan: plan.clone() })
                    .await?;
                if unchanged(&plan, &now) && now.dismissed == look.dismissed {
                    return Ok(plan);
                }
                look = now;
                continue;
            }
            choice::ASK_AGAIN => {
                for (number, reviewers) in look.dismissed.clone() {
                    let key = format!("{NAME}/{round}/ask_again/{number}");
                    saga.step(key, AskReviewersAgain { number, reviewers }).await?;
                }
            }
            choice::DROP => plan = drop_dismissed(saga, plan, &look, &format!("{NAME}/{round}/put_back")).await?,
            _ => {
                let limit = request.project.timeouts.approve_ponr;
                return Err(Stop::Ended(text::expired("approved the point of no return", limit)));
            }
        }
        look = saga
            .read(format!("{NAME}/{}/look", round + 1), LookAgain { plan: plan.clone() })
            .await?;
    }
    unreachable!("the rounds don't end")
}

/// Nothing that an approval is about differs.
fn unchanged(plan: &Plan, look: &Look) -> bool {
    let rehearsed = !plan.tree.is_empty();
    rehearsed
        && look.cars == plan.cars
        && look.out.is_empty()
        && look.branch_tip == plan.branch_tip
        && look.base_tip == plan.base_tip
}

/// The plan on today's facts; rehearsed again only if they differ.
async fn replan(
    saga: &Saga<World>,
    request: &Request,
    ready: &Ready,
    plan: Plan,
    look: &Look,
    key: &str,
) -> Result<Plan, Stop> {
    let before = plan.clone();
    let plan = if unchanged(&plan, look) {
        plan
    } else {
        let mut excluded = plan.excluded;
        excluded.extend(look.out.clone());
        let facts = Facts {
            cars: look.cars.clone(),
            excluded,
            branch_tip: look.branch_tip.clone(),
            base_tip: look.base_tip.clone(),
        };
        rehearse(saga, request, ready, key, facts).await?
    };
    for car in &before.cars {
        if plan.cars.iter().all(|rides| rides.number != car.number) {
            let step = RestorePrBase {
                car: car.clone(),
                branch: plan.branch.clone(),
            };
            saga.step(format!("{key}/put_back/{}", car.number), step).await?;
        }
    }
    match plan.cars.is_empty() {
        true => Err(Stop::Ended(text::nothing_to_ship(&request.project, &plan.excluded))),
        false => Ok(plan),
    }
}

fn approval_question(request: &Request, plan: &Plan, look: &Look, changes: &[String]) -> Checkpoint {
    let permissions = &request.project.permissions;
    let timeouts = &request.project.timeouts;
    let mut choices = vec![choice::APPROVE, choice::EXPIRE];
    if !look.dismissed.is_empty() {
        choices.extend([choice::ASK_AGAIN, choice::DROP]);
    }
    Checkpoint {
        data: json!({
            "plan": plan,
            "digest": plan.digest(),
            "changes": changes,
            "dismissed": look.dismissed,
            "foreign": look.foreign,
            "approvals": permissions.approvals,
        }),
        choices,
        expires: Some((timeouts.approve_ponr, choice::EXPIRE)),
        remind_after: Some(timeouts.reminder),
        settles: Some(enough_approvals),
    }
}

/// As many different people as the project wants have approved.
fn enough_approvals(state: &CheckpointState) -> Option<(&'static str, Actor)> {
    let wanted = state.data["approvals"].as_u64().unwrap_or(1).max(1) as usize;
    let mut voters: Vec<&Actor> = Vec::new();
    for (by, value, _) in &state.signals {
        if value == choice::APPROVE && !voters.contains(&by) {
            voters.push(by);
        }
    }
    (voters.len() >= wanted).then(|| (choice::APPROVE, voters[wanted - 1].clone()))
}

async fn drop_dismissed(saga: &Saga<World>, plan: Plan, look: &Look, key: &str) -> Result<Plan, Stop> {
    let dropped = |car: &Car| look.dismissed.iter().any(|(number, _)| *number == car.number);
    let (out, cars): (Vec<Car>, Vec<Car>) = plan.cars.into_iter().partition(dropped);
    let mut excluded = plan.excluded;
    for car in out {
        let step = RestorePrBase {
            car: car.clone(),
            branch: plan.branch.clone(),
        };
        saga.step(format!("{key}/{}", car.number), step).await?;
        excluded.push(Excluded {
            number: car.number,
            title: car.title,
            author: car.author,
            url: car.url,
            reason: Reason::LeftOut,
        });
    }
    // The rehearsed tree is no longer this train's: without one, the next round rehearses again.
    Ok(Plan {
        cars,
        excluded,
        tree: String::new(),
        ..plan
    })
}

async fn merge_the_train(saga: &Saga<World>, ready: &Ready, plan: &Plan) -> Result<Shipped, Stop> {
    let mut merged = Vec::new();
    let mut skipped = Vec::new();
    let mut known = vec![plan.branch_tip.clone()];
    for car in &plan.cars {
        let step = MergePr {
            number: car.number,
            head: car.head.clone(),
            method: plan.method,
            into: plan.branch.clone(),
            known: known.clone(),
        };
        match saga.pivot(format!("merge_pr/{}", car.number), step).await? {
            Skippable::Done(done) => {
                known.extend(done.foreign.map(String::from));
                known.push(done.commit.to_string());
                merged.push(Merged {
                    car: car.clone(),
                    commit: done.commit,
                });
            }
            Skippable::Skipped => {
                let step = RestorePrBase {
                    car: car.clone(),
                    branch: plan.branch.clone(),
                };
                saga.forward(format!("merge_pr/{}/put_back", car.number), step).await?;
                skipped.push(car.clone());
            }
        }
    }
    let collect = CollectMergedPrInfo {
        workspace: ready.workspace.clone(),
        branch: plan.branch.clone(),
        merged,
        skipped,
        tree: plan.tree.clone(),
        known,
    };
    saga.read("collect_merged_pr_info", collect).await
}

async fn open_the_deploy_pr(
    saga: &Saga<World>,
    request: &Request,
    ready: &Ready,
    plan: &Plan,
    shipped: &Shipped,
) -> Result<(DeployPr, Sha), Stop> {
    let bump = BumpVersion {
        workspace: ready.workspace.clone(),
        branch: plan.branch.clone(),
        tip: shipped.tip.clone(),
        version: plan.version.clone(),
    };
    saga.forward("bump_version", bump).await?;
    let commit = || CommitVersionBump {
        workspace: ready.workspace.clone(),
        branch: plan.branch.clone(),
        tip: shipped.tip.clone(),
        version: plan.version.clone(),
        date: saga.started_at(),
    };
    let head = saga.forward("commit_version_bump", commit()).await?;
    let push = PushVersionBump {
        bump: commit(),
        commit: head.clone(),
    };
    saga.forward("push_version_bump", push).await?;
    let create = CreatePullRequest {
        branch: plan.branch.clone(),
        base: plan.base.clone(),
        version: plan.version.to.clone(),
        head: head.clone(),
    };
    let deploy_pr = saga.forward("create_pull_request", create).await?;
    let describe = UpdatePrDescription {
        number: deploy_pr.number,
        shipped: shipped.clone(),
        version: plan.version.clone(),
    };
    saga.forward("update_pr_description", describe).await?;
    let ask = RequestReview {
        pull_request: deploy_pr.clone(),
        reviewers: request.project.reviewers.clone(),
    };
    saga.forward("request_review", ask).await?;
    Ok((deploy_pr, Sha::try_from(head).map_err(Stop::Drift)?))
}

/// Green, approved, merged. Somebody may push to the deploy branch meanwhile, because it conflicts with the base branch or lags behind it:
/// what a person takes in has to become green and approved itself, in a round of its own.
async fn get_it_merged(
    saga: &Saga<World>,
    request: &Request,
    plan: &Plan,
    deploy_pr: &DeployPr,
    bump: &Sha,
) -> Result<Sha, Stop> {
    let mut head = Head::new(bump.clone());
    loop {
        match get_this_head_merged(saga, &request.project, plan, deploy_pr, &head).await? {
            Merging::Merged(merge) => return Ok(merge.commit),
            Merging::Moved { moved } => head = head.moved(moved),
        }
    }
}

async fn get_this_head_merged(
    saga: &Saga<World>,
    project: &Project,
    plan: &Plan,
    deploy_pr: &DeployPr,
    head: &Head,
) -> Result<Merging, Stop> {
    let in_round = |name| in_round(name, head.round());
    let ci = WaitForCi {
        number: deploy_pr.number,
        head: head.clone(),
    };
    if let Some(moved) = saga.read(in_round("wait_for_ci"), ci).await?.moved {
        return Ok(Merging::Moved { moved });
    }
    if project.deploy_approval == DeployApproval::Required {
        let author = deploy_pr.author.as_ref();
        let asked = project.reviewers.iter().filter(|login| Some(*login) != author);
        let reviewers: Vec<String> = asked.cloned().collect();
        let key = in_round("wait_for_approval");
        if head.round() > 1 && !reviewers.is_empty() {
            // Whoever approved of an earlier head doesn't learn from GitHub that it no longer counts.
            let again = AskReviewersAgain {
                number: deploy_pr.number,
                reviewers: reviewers.clone(),
            };
            saga.forward(format!("{key}/ask_again"), again).await?;
        }
        let approval = WaitForApproval {
            pull_request: deploy_pr.clone(),
            reviewers,
            head: Some(head.clone()),
        };
        if let Approval::Moved { moved } = saga.read(key, approval).await? {
            return Ok(Merging::Moved { moved });
        }
    }
    let stacked = MoveStackedPrs {
        children: plan.stacked(),
        branch: plan.branch.clone(),
        base: plan.base.clone(),
    };
    // Once, in whichever round comes this far first.
    saga.forward("merge_deploy_pr/stacked", stacked).await?;
    let merge = MergeDeployPr {
        number: deploy_pr.number,
        head: head.clone(),
        method: project.deploy_merge_method,
        into: project.base_branch.clone(),
    };
    saga.forward(in_round("merge_deploy_pr"), merge).await
}

async fn release(
    saga: &Saga<World>,
    request: &Request,
    ready: &Ready,
    plan: &Plan,
    shipped: &Shipped,
    deploy_pr: &DeployPr,
    commit: Sha,
) -> Result<(), Stop> {
    let project = &request.project;
    let link = PostDeployLink {
        commit: commit.clone(),
        workflow: project.deploy_workflow.clone(),
        version: plan.version.to.clone(),
    };
    let found = saga.forward("post_deploy_link", link).await?;
    let watch = WatchDeployRun {
        run: found.run.map(|(id, _)| id),
        commit: commit.clone(),
        workflow: project.deploy_workflow.clone(),
    };
    saga.forward_skippable("watch_deploy_run", watch).await?;
    let wait = WaitForRelease {
        tag: notes::tag(project, &plan.version.to),
        commit,
    };
    let released = match saga.forward_skippable("wait_for_release", wait).await? {
        Skippable::Done(released) => Some(released),
        Skippable::Skipped => None,
    };
    if let Some(release) = &released {
        let describe = UpdateReleaseDescription {
            release: release.id,
            shipped: shipped.clone(),
            version: plan.version.clone(),
            deploy_pr: deploy_pr.number,
        };
        saga.forward("update_release_description", describe).await?;
    }
    let tag = notes::tag(project, &plan.version.to);
    let said = notes::shipped_in(&tag, released.as_ref().map(|released| released.url.as_str()));
    let notes = PostReleaseNotes {
        release: released,
        shipped: shipped.clone(),
        version: plan.version.clone(),
        deploy_pr: deploy_pr.number,
    };
    saga.forward("post_release_notes", notes).await?;
    let name = ready.workspace.clone();
    saga.forward("post_release_checklist/workspace", DeleteWorkspace { name })
        .await?;
    comment_on_the_shipped(saga, project, shipped, &said).await?;
    let issues = offer_to_resolve(saga, project, shipped, &said).await?;
    if issues.is_empty() {
        return checklist(saga, project).await;
    }
    // The checklist doesn't wait for the issues: once it is done, an offer that nobody has taken lapses. Both go on all the time: one that
    // stood still might hold the journal that the other waits for.
    let ticking = async {
        checklist(saga, project).await?;
        match project.checklist.is_empty() {
            true => Ok(()),
            false => saga.lapse(ISSUES, choice::LEAVE).await,
        }
    };
    try_join(ticking, resolve(saga, &issues, &said)).await.map(drop)
}

async fn comment_on_the_shipped(
    saga: &Saga<World>,
    project: &Project,
    shipped: &Shipped,
    said: &str,
) -> Result<(), Stop> {
    if project.comment_shipped {
        for merged in &shipped.merged {
            let step = CommentShipped {
                number: merged.car.number,
                text: said.to_owned(),
            };
            let key = format!("post_release_checklist/comment/{}", step.number);
            saga.forward_skippable(key, step).await?;
        }
    }
    Ok(())
}

/// What is asked about the resolved issues.
const ISSUES: &str = "post_release_checklist/issues";

/// Asks what becomes of the resolved issues that GitHub left open; answers with them.
async fn offer_to_resolve(
    saga: &Saga<World>,
    project: &Project,
    shipped: &Shipped,
    said: &str,
) -> Result<Vec<Issue>, Stop> {
    if project.close_issues == CloseIssues::Never || shipped.issues().is_empty() {
        return Ok(Vec::new());
    }
    let look = FindOpenIssues {
        shipped: shipped.clone(),
    };
    let open = saga.read("post_release_checklist/open_issues", look).await?;
    if !open.is_empty() {
        let question = Checkpoint {
            data: json!({ "issues": open, "comment": said }),
            choices: vec![choice::CLOSE_ISSUES, choice::COMMENT_ISSUES, choice::LEAVE],
            expires: Some((project.timeouts.approval, choice::LEAVE)),
            ..Checkpoint::default()
        };
        saga.ask(ISSUES, question).await?;
    }
    Ok(open)
}

async fn resolve(saga: &Saga<World>, issues: &[Issue], said: &str) -> Result<(), Stop> {
    let close = match saga.answer(ISSUES).await?.choice.as_str() {
        choice::CLOSE_ISSUES => true,
        choice::COMMENT_ISSUES => false,
        _ => return Ok(()),
    };
    for issue in issues {
        let step = ResolveIssue {
            number: issue.number,
            text: said.to_owned(),
            close,
        };
        let key = format!("post_release_checklist/issue/{}", issue.number);
        saga.forward_skippable(key, step).await?;
    }
    Ok(())
}

async fn checklist(saga: &Saga<World>, project: &Project) -> Result<(), Stop> {
    if project.checklist.is_empty() {
        return Ok(());
    }
    let question = Checkpoint {
        data: json!({ "items": project.checklist }),
        choices: vec![choice::DONE],
        expires: None,
        remind_after: Some(project.timeouts.reminder),
        settles: Some(all_ticked),
    };
    saga.checkpoint("post_release_checklist", question).await.map(drop)
}

/// A tick or un-tick of a checklist item, as it stands in a signal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Which, counted from 0.
    pub item: usize,
    /// Ticked, or not any more.
    pub done: bool,
}

/// An item of a checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// As configured.
    pub text: String,
    /// Who ticked it, and when.
    pub ticked: Option<Ticked>,
}

/// Who ticked an item, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ticked {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: chrono::DateTime<chrono::Utc>,
}

/// The items of a checklist, by its signals: each tick is one event, so that two people ticking at once both count.
pub fn ticks(state: &CheckpointState) -> Vec<Item> {
    let items: Vec<String> = from_value(state.data["items"].clone()).unwrap_or_default();
    let mut items: Vec<Item> = items.into_iter().map(|text| Item { text, ticked: None }).collect();
    for (by, value, at) in &state.signals {
        if let Ok(tick) = from_value::<Tick>(value.clone())
            && let Some(item) = items.get_mut(tick.item)
        {
            item.ticked = tick.done.then(|| Ticked {
                by: by.clone(),
                at: *at,
            });
        }
    }
    items
}

fn all_ticked(state: &CheckpointState) -> Option<(&'static str, Actor)> {
    let rows = ticks(state);
    let last = state.signals.last().map(|(by, _, _)| by.clone())?;
    rows.iter()
        .all(|row| row.ticked.is_some())
        .then_some((choice::DONE, last))
}

/// What remains after a person stopped it: unmerged pull requests go back if people want that, and the workspace goes.
async fn wind_down(saga: &Saga<World>, remind_after: Option<Duration>) -> Result<(), Stop> {
    let history = saga.history();
    let view = view::View::of(saga.id(), &history);
    let unmerged = view.unmerged();
    let deploy_pr = view.unmerged_deploy_pr();
    if !unmerged.is_empty() || deploy_pr.is_some() {
        // Nothing to put back isn't offered: it would read as if the merges could be taken back.
        let choices = match (unmerged.is_empty(), deploy_pr) {
            (true, _) => vec![choice::LEAVE, choice::CLOSE],
            (false, None) => vec![choice::PUT_BACK, choice::LEAVE],
            (false, Some(_)) => vec![choice::PUT_BACK, choice::LEAVE, choice::PUT_BACK_AND_CLOSE],
        };
        let question = Checkpoint {
            data: json!({
                "unmerged": unmerged.iter().map(|car| car.number).collect::<Vec<_>>(),
                "deploy_pr": deploy_pr,
            }),
            choices,
            remind_after,
            ..Checkpoint::default()
        };
        let decision = saga.checkpoint("stopped/unmerged", question).await?;
        if matches!(decision.choice.as_str(), choice::PUT_BACK | choice::PUT_BACK_AND_CLOSE) {
            for car in unmerged {
                let step = RestorePrBase {
                    branch: view.branch.clone().unwrap_or_default(),
                    car,
                };
                saga.forward(format!("stopped/put_back/{}", step.car.number), step)
                    .await?;
            }
        }
        if let (choice::PUT_BACK_AND_CLOSE | choice::CLOSE, Some(number)) = (decision.choice.as_str(), deploy_pr) {
            saga.forward("stopped/close", CloseDeployPr { number }).await?;
        }
    }
    if let Some(name) = view.workspace.clone() {
        saga.forward("stopped/workspace", DeleteWorkspace { name }).await?;
    }
    Ok(())
}

/// Makes the world of a project: handed in by the wiring, so that a deployment recovered after a restart gets fresh clients.
pub type Connect = dyn Fn(&Project) -> Result<World, String> + Send + Sync;

/// The workflow that the engine drives.
pub struct Deployments {
    connect: Arc<Connect>,
    registry: Registry<World>,
}

impl Deployments {
    /// Over a way to reach the outside.
    pub fn new(connect: Arc<Connect>) -> Self {
        Self {
            connect,
            registry: registry(),
        }
    }
}

/// Every step that can be taken back.
pub fn registry() -> Registry<World> {
    Registry::default()
        .with::<CreateWorkspace>()
        .with::<CreateDeployBranch>()
        .with::<PushDeployBranch>()
        .with::<ChangePrBase>()
        .with::<RestorePrBase>()
        .with::<AskReviewersAgain>()
}

impl Workflow for Deployments {
    type World = World;
    const VERSION: u32 = 1;

    fn world(&self, _: &str, input: &Value) -> Result<Arc<World>, String> {
        Ok(Arc::new((self.connect)(&read_request(input)?.project)?))
    }

    fn registry(&self) -> &Registry<World> {
        &self.registry
    }

    fn remind_after(&self, input: &Value) -> Option<Duration> {
        Some(read_request(input).ok()?.project.timeouts.reminder)
    }

    async fn run(&self, saga: &Saga<World>, input: &Value) -> Result<(), Stop> {
        deploy(saga, &read_request(input).map_err(Stop::Drift)?).await
    }

    async fn wind_down(&self, saga: &Saga<World>, input: &Value) -> Result<(), Stop> {
        wind_down(saga, self.remind_after(input)).await
    }
}

/// The request as a journal has it.
///
/// # Errors
/// One sentence, if it isn't one.
pub fn read_request(input: &Value) -> Result<Request, String> {
    from_value(input.clone()).map_err(|error| format!("the journaled request can't be read: {error}"))
}

/// The request as a journal takes it.
///
/// # Errors
/// One sentence, if it can't be written.
pub fn write_request(request: &Request) -> Result<Value, String> {
    to_value(request).map_err(|error| format!("the request can't be written: {error}"))
}

/// Where workspaces are made: as configured, or the system's temp folder.
pub fn workspace_root(configured: Option<&PathBuf>) -> PathBuf {
    configured.cloned().unwrap_or_else(std::env::temp_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal names a step's kind; one that the registry doesn't know would not be taken back.
    #[test]
    fn every_step_that_can_be_taken_back_is_registered() {
        let sources = [
            include_str!("setup.rs"),
            include_str!("merge_prs.rs"),
            include_str!("deploy_pr.rs"),
            include_str!("wait_and_merge.rs"),
            include_str!("post_deploy.rs"),
            include_str!("resolved.rs"),
            include_str!("stacked.rs"),
        ];
        let registry = registry();
        let mut known = 0;
        for source in sources {
            for (_, rest) in source
                .match_indices("impl Compensate<World> for ")
                .map(|(at, found)| source[at..].split_at(found.len()))
            {
                let step = rest.split_whitespace().next().unwrap();
                let body = source.split(&format!("impl Step<World> for {step} {{")).nth(1).unwrap();
                let kind = body
                    .split("KIND: &'static str = \"")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next());
                assert!(registry.knows(kind.unwrap()), "{step} is missing in `registry`");
                known += 1;
            }
        }
        assert!(known >= 6, "{known}");
    }
}
