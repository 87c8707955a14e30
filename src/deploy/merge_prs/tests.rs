//! The odd answers of one step: a merge, asked for once and never twice.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Config;
use crate::deploy::deploy_pr::CreatePullRequest;
use crate::deploy::train::Approval;
use crate::deploy::world::Thread;
use crate::git::MockGit;
use crate::github::{End, Error, ErrorKind, MockGitHub};
use crate::saga::retry::RetryPolicy;
use crate::saga::run::{Core, Skippable};
use crate::saga::store::Memory;
use crate::saga::{Actor, Clock, Event, Journal, Saga, Stop};
use crate::slack::{MockSlack, Ts};

const CONFIG: &str = include_str!("../../../config/sandbox.toml");

struct NoThread;

#[async_trait::async_trait]
impl Thread for NoThread {
    async fn root(&self, _: &str) -> Result<Ts, crate::slack::Error> {
        Ok("1.0".to_owned())
    }
}

async fn saga(mut github: MockGitHub) -> Saga<World> {
    github.expect_check_runs().returning(|_| Ok(Vec::new()));
    github.expect_statuses().returning(|_| Ok(Vec::new()));
    let mut project = Config::parse(CONFIG, "sandbox.toml").unwrap().projects.remove(0);
    project.timeouts.poll_min = Duration::from_millis(1);
    project.timeouts.poll_max = Duration::from_millis(1);
    let world = World {
        project,
        github: Arc::new(github),
        git: Arc::new(MockGit::new()),
        slack: Arc::new(MockSlack::new()),
        thread: Arc::new(NoThread),
        workspace_root: PathBuf::from("/nonexistent"),
        settle: Duration::ZERO,
    };
    let journal = Journal::new("web-1", Arc::new(Memory::default()), Clock::system(), Vec::new());
    let started = Event::SagaStarted {
        workflow_version: 1,
        project: "web".to_owned(),
        by: Actor::Shipmate,
        input: Value::Null,
    };
    journal.append(started).await.unwrap();
    let core = Core {
        journal,
        wake: Arc::default(),
        drain: CancellationToken::new(),
        retry: RetryPolicy {
            base: Duration::from_millis(1),
            max: Duration::from_millis(2),
            attempts: 4,
        },
        remind_after: None,
    };
    Saga::new(Arc::new(world), core)
}

fn sha(digit: &str) -> Sha {
    digit.repeat(40).parse().unwrap()
}

fn open() -> PullRequest {
    serde_json::from_value(json!({
        "number": 7, "node_id": "", "title": "Change", "body": "", "author": "ben", "html_url": "", "draft": false, "state": "open",
        "merged": false, "merged_by": null, "merge_commit_sha": null, "mergeable": true, "mergeable_state": "clean",
        "head": { "ref": "change", "sha": sha("a"), "repo": "acme/web" }, "base": { "ref": "deploy-1", "sha": sha("b"), "repo": "acme/web" },
        "labels": [], "auto_merge": false, "stacked": false, "requested_reviewers": [], "created_at": null,
    }))
    .unwrap()
}

fn merged(into: &str) -> PullRequest {
    PullRequest {
        state: PullRequestState::Closed,
        merged: Some(true),
        merged_by: Some("eve".to_owned()),
        merge_commit_sha: Some(sha("c")),
        base: End {
            branch: into.to_owned(),
            ..open().base
        },
        ..open()
    }
}

fn transient() -> Error {
    Error {
        kind: ErrorKind::Transient,
        request: "PUT merge".to_owned(),
        status: None,
        message: "no answer in time".to_owned(),
        documentation_url: None,
        request_id: None,
    }
}

async fn merge(github: MockGitHub) -> Result<MergeCommit, String> {
    let step = MergePr {
        number: 7,
        head: sha("a"),
        method: MergeMethod::Squash,
        into: "deploy-1".to_owned(),
        known: Vec::new(),
    };
    match saga(github).await.pivot("merge_pr/7", step).await {
        Ok(Skippable::Done(done)) => Ok(done),
        Ok(Skippable::Skipped) => Err("skipped".to_owned()),
        Err(Stop::Failed { error, .. }) => Err(error),
        Err(other) => Err(other.to_string()),
    }
}

#[tokio::test]
async fn a_merge_whose_reply_was_lost_is_seen_and_not_asked_for_again() {
    let mut github = MockGitHub::new();
    github.expect_pull_request().times(1).returning(|_| Ok(open()));
    github.expect_merge().times(1).returning(|_, _, _| Err(transient()));
    github.expect_pull_request().returning(|_| Ok(merged("deploy-1")));
    assert_eq!(merge(github).await.unwrap().commit, sha("c"));
}

/// Before anything else is merged, nobody could be asked; and what is merged can't be undone.
#[tokio::test]
async fn a_first_merge_at_another_head_is_the_point_of_no_return() {
    let mut github = MockGitHub::new();
    github.expect_pull_request().returning(|_| {
        let mut pr = merged("deploy-1");
        pr.head.sha = sha("d");
        Ok(pr)
    });
    assert_eq!(merge(github).await.unwrap().by.as_deref(), Some("eve"));
}

/// What the same branch name shipped before is somebody else's, however its body reads; ours has our marker, or ends where our branch does.
#[tokio::test]
async fn only_our_own_merged_pull_request_is_found_after_a_lost_answer() {
    let theirs = || PullRequest {
        body: crate::deploy::notes::marker("web-0"),
        ..merged("staging")
    };
    let marked = PullRequest {
        number: 8,
        body: crate::deploy::notes::marker("web-1"),
        ..merged("staging")
    };
    let mut at_our_head = PullRequest {
        number: 9,
        ..merged("staging")
    };
    at_our_head.head.sha = sha("e");
    for (found, number) in [
        (vec![theirs()], 10),
        (vec![theirs(), marked], 8),
        (vec![theirs(), at_our_head], 9),
    ] {
        let mut github = MockGitHub::new();
        github
            .expect_create_pull_request()
            .times(1)
            .returning(|_| Err(transient()));
        github.expect_pull_requests().returning(move |_| Ok(found.clone()));
        github
            .expect_create_pull_request()
            .returning(|_| Ok(PullRequest { number: 10, ..open() }));
        let step = CreatePullRequest {
            branch: "deploy-1".to_owned(),
            base: "staging".to_owned(),
            version: "1.4.3".to_owned(),
            head: sha("e").to_string(),
        };
        let opened = saga(github).await.forward("create_pull_request", step).await.unwrap();
        assert_eq!(opened.number, number);
    }
}

#[tokio::test]
async fn a_merge_by_somebody_else_into_our_branch_counts() {
    let mut github = MockGitHub::new();
    github.expect_pull_request().returning(|_| Ok(merged("deploy-1")));
    assert_eq!(merge(github).await.unwrap().by.as_deref(), Some("eve"));
}

#[tokio::test]
async fn a_merge_into_another_branch_is_said() {
    let mut github = MockGitHub::new();
    github.expect_pull_request().returning(|_| Ok(merged("main")));
    assert_eq!(
        merge(github).await.unwrap_err(),
        "#7 was merged into main instead of deploy-1"
    );
}

#[tokio::test]
async fn a_base_that_was_just_modified_is_waited_out() {
    let mut github = MockGitHub::new();
    github.expect_pull_request().returning(|_| Ok(open()));
    let mut answers = vec![
        MergeOutcome::Merged(sha("c")),
        MergeOutcome::InProgress("Merge already in progress".to_owned()),
        MergeOutcome::BaseModified("Base branch was modified".to_owned()),
    ];
    github
        .expect_merge()
        .times(3)
        .returning(move |_, _, _| Ok(answers.pop().unwrap()));
    assert_eq!(merge(github).await.unwrap().commit, sha("c"));
}

#[tokio::test]
async fn a_head_that_moved_is_never_merged() {
    let mut github = MockGitHub::new();
    let moved = || {
        let mut pr = open();
        pr.head.sha = sha("d");
        pr
    };
    github.expect_pull_request().returning(move |_| Ok(moved()));
    github.expect_merge().times(0);
    let said = merge(github).await.unwrap_err();
    assert_eq!(
        said,
        "#7 was pushed to: aaaaaaa was approved and rehearsed, ddddddd is there now"
    );
}

#[tokio::test]
async fn githubs_refusal_is_quoted() {
    let mut github = MockGitHub::new();
    github.expect_pull_request().returning(|_| Ok(open()));
    let refusal = "At least 1 approving review is required by reviewers with write access.";
    github
        .expect_merge()
        .times(1)
        .returning(move |_, _, _| Ok(MergeOutcome::Refused(refusal.to_owned())));
    assert_eq!(
        merge(github).await.unwrap_err(),
        format!("GitHub refuses to merge #7: {refusal}")
    );
}

fn car(number: u64) -> Car {
    Car {
        number,
        title: String::new(),
        author: String::new(),
        url: String::new(),
        head: sha("a"),
        head_branch: String::new(),
        base: String::new(),
        approvals: Vec::new(),
        issues: Vec::new(),
        opened_at: None,
    }
}

#[test]
fn an_approval_is_lost_until_its_reviewer_says_something_new() {
    use ReviewState::{Approved, ChangesRequested, Commented, Dismissed};
    let review = |id: u64, state| Review {
        id,
        user: Some("dan".to_owned()),
        state,
        commit_id: None,
        submitted_at: None,
    };
    let car = Car {
        approvals: vec![Approval {
            review: 1,
            user: "dan".to_owned(),
        }],
        ..car(7)
    };
    // In place, or by one more review.
    for dismissed in [
        vec![review(1, Dismissed)],
        vec![review(1, Approved), review(2, Dismissed)],
    ] {
        let then = |later: &[ReviewState]| {
            let later = later.iter().map(|&state| review(3, state));
            lost_approvals(&car, &dismissed.iter().cloned().chain(later).collect::<Vec<_>>())
        };
        assert_eq!(then(&[]), ["dan"]);
        assert_eq!(then(&[Commented]), ["dan"]);
        assert_eq!(then(&[Approved]), [""; 0]);
        assert_eq!(then(&[ChangesRequested]), [""; 0], "nothing to ask for: it was said");
        assert_eq!(then(&[Approved, Dismissed]), ["dan"]);
    }
    assert_eq!(lost_approvals(&car, &[review(1, Approved)]), [""; 0]);
}

#[test]
fn cars_are_sorted_out_by_the_rehearsal() {
    let verdicts = [
        CarVerdict::Clean {
            number: 1,
            tip: String::new(),
        },
        CarVerdict::Conflict {
            number: 2,
            files: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
            with: Some(1),
        },
        CarVerdict::AlreadyIn { number: 3 },
        CarVerdict::Gone {
            number: 4,
            reason: String::new(),
        },
    ];
    let (clean, out) = sort_out((1..=4).map(car).collect(), &verdicts);
    assert_eq!(clean.iter().map(|car| car.number).collect::<Vec<_>>(), [1]);
    let reasons: Vec<String> = out.iter().map(|out| out.reason.to_string()).collect();
    assert_eq!(
        reasons,
        [
            "conflicts with #1 in a and 2 more files",
            "nothing in it that the base branch lacks",
            "its head moved while we looked"
        ]
    );
}
