//! Branches that move under a deployment: a base branch that no longer takes the train, a deploy branch that somebody pushes to, and a name
//! that the day's deployment before had.

use reqwest::Method;
use serde_json::json;
use shipmate::config::DeployApproval;
use shipmate::deploy::stats::Run;
use shipmate::deploy::view::View;
use shipmate::sandbox::faults::{Fault, Kind, When};
use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::github::knobs::DeleteHead;
use shipmate::sandbox::play::REPO;

use crate::happy_path::today;
use crate::stage::Stage;

fn branch() -> String {
    format!("deploy-{}", today())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_days_second_train_never_takes_the_firsts_pull_request_for_its_own() {
    let stage = Stage::new().await;
    stage
        .github()
        .knobs(|knobs| knobs.delete_head = DeleteHead::Retargeting);
    stage.ana().says("/deploy start --only 41").await;
    stage.sees("Confirm").await;
    stage.ana().clicks("Confirm").await;
    stage.sees("Approve").await;
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 1 pull request").await;
    assert_eq!(stage.github().tip(REPO, &branch()).await, None, "GitHub has deleted it");

    // Whoever looks for a pull request whose answer was lost finds the merged one of the same name.
    stage.github().faults().inject(Fault {
        matches: format!("POST /repos/{REPO}/pulls"),
        when: When::Before,
        kind: Kind::Status(502, "Bad Gateway".to_owned()),
        times: 1,
    });
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.4 shipped with 3 pull requests").await;
    let file = stage.github().file(REPO, "staging", "VERSION").await;
    assert_eq!(file.as_deref().map(str::trim), Some("1.4.4"));
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_that_conflicts_by_now_calls_the_train_off_before_anything_is_merged() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    stage
        .github()
        .push(
            REPO,
            "staging",
            "eve",
            "src/checkout.js",
            "export const checkout = () => 'hotfix';\n",
        )
        .await
        .unwrap();
    stage.ben().clicks("Approve").await;
    stage
        .reads("staging has moved on, and what would ship conflicts with it in src/checkout.js; start again")
        .await;
    stage.reads("undone").await;
    for number in [41, 42, 44, 47] {
        let pull = stage.github().pull(REPO, number).await.unwrap();
        assert!(pull.open && pull.base == "staging", "#{number}");
    }
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_with_another_version_by_now_calls_the_train_off() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    for path in ["package.json", "Cargo.toml", "VERSION"] {
        let before = stage.github().file(REPO, "staging", path).await.unwrap();
        let after = before.replace("1.4.2", "1.5.0");
        stage.github().push(REPO, "staging", "eve", path, &after).await.unwrap();
    }
    stage.ben().clicks("Approve").await;
    stage
        .reads("staging has moved on, and its version is 1.5.0 by now; start again")
        .await;
    stage.reads("undone").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_the_train_itself_changes_is_no_clash() {
    let mut stage = Stage::empty(Scenario::Happy, |_| {}).await;
    let branch = stage.github().pull(REPO, 41).await.unwrap().head;
    for path in ["package.json", "Cargo.toml", "VERSION"] {
        let before = stage.github().file(REPO, &branch, path).await.unwrap();
        let after = before.replace("1.4.2", "2.0.0");
        stage.github().push(REPO, &branch, "ben", path, &after).await.unwrap();
    }
    stage.boot().await;
    stage.plays_to("Approve").await;
    stage
        .github()
        .push(REPO, "staging", "eve", "docs.md", "New.\n")
        .await
        .unwrap();
    stage.ben().clicks("Approve").await;
    stage.reads("staging moved: ").await;
    stage.sees("Approve").await;
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 2.0.1 shipped with 4 pull requests").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_pull_request_that_somebody_merged_at_another_head_is_no_reason_to_undo() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    let merge = |request: &str| request.contains("pulls/41/merge");
    stage.somebody_acts(When::Before, merge, |github| async move {
        let head = github.pull(REPO, 41).await.unwrap().head;
        github.push(REPO, &head, "eve", "src/late.js", "1\n").await.unwrap();
        let url = format!("{}/repos/{REPO}/pulls/41/merge", github.api_url());
        let request = reqwest::Client::new().put(&url).header("user-agent", "eve");
        let request = request.bearer_auth(github.token()).json(&json!({}));
        assert!(request.send().await.unwrap().status().is_success());
    });
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage
        .reads("The deploy branch is not what the rehearsal promised")
        .await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_that_moved_and_still_fits_is_shown_and_approved_anew() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    stage
        .github()
        .push(REPO, "staging", "eve", "docs.md", "New.\n")
        .await
        .unwrap();
    stage.ben().clicks("Approve").await;
    stage.reads("staging moved: ").await;
    stage.sees("Approve").await;
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}

/// Up to the wait for checks, which don't come until they are let.
async fn waits_for_checks(stage: &Stage) -> u64 {
    stage.github().knobs(|knobs| knobs.second_wave = u32::MAX);
    stage.plays_to("").await;
    stage.reads("Waiting for the checks of the deploy pull request").await;
    deploy_pr(stage).await
}

async fn deploy_pr(stage: &Stage) -> u64 {
    for number in 1..100 {
        if let Some(pull) = stage.github().pull(REPO, number).await
            && pull.head == branch()
        {
            return number;
        }
    }
    panic!("no deploy pull request");
}

/// Eve pushes to the deploy branch, and people are asked.
async fn eve_pushes(stage: &Stage) {
    stage
        .github()
        .push(REPO, &branch(), "eve", "src/hotfix.js", "1\n")
        .await
        .unwrap();
    stage
        .reads(&format!("somebody else's commits are on {} since", branch()))
        .await;
    stage
        .reads("by eve: Change src/hotfix.js. Retry takes it in, and waits for its checks and for an approval of it")
        .await;
    stage.sees("Retry").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_pushes_to_the_deploy_branch_has_to_become_green_and_approved_itself() {
    let stage = Stage::on(Scenario::Protected).await;
    let number = waits_for_checks(&stage).await;
    eve_pushes(&stage).await;
    let pushed = stage.github().tip(REPO, &branch()).await.unwrap();
    stage.github().knobs(|knobs| knobs.second_wave = 0);
    stage.ben().clicks("Retry").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    let pull = stage.github().pull(REPO, number).await.unwrap();
    assert_eq!((&pull.head_sha, pull.merged.is_some()), (&pushed, true));
    // What was approved first was what was there before; asked again, dan approves of this.
    let approved: Vec<&String> = pull.reviews.iter().map(|review| &review.commit).collect();
    assert!(approved.ends_with(&[&pushed]), "{approved:?}");
    let history = stage.journal("web-1").history();
    let view = View::of("web-1", &history);
    assert!(view.deploy_pr_merged && Run::of(&view, &history).merged_at.is_some());
    assert!(stage.github().file(REPO, "staging", "src/hotfix.js").await.is_some());
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_at_the_moment_of_the_merge_is_told_of_and_taken_in() {
    let stage = Stage::new().await;
    let merge = |request: &str| {
        let the_trains = [41, 42, 44, 47].map(|number| format!("pulls/{number}/"));
        request.ends_with("/merge") && !the_trains.iter().any(|theirs| request.contains(theirs))
    };
    stage.somebody_acts(When::Before, merge, |github| async move {
        github
            .push(REPO, &branch(), "eve", "src/hotfix.js", "1\n")
            .await
            .unwrap();
    });
    stage.plays_to("").await;
    stage.reads("by eve: Change src/hotfix.js. Retry takes it in").await;
    stage.sees("Retry").await;
    stage.ben().clicks("Retry").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    let number = deploy_pr(&stage).await;
    let pull = stage.github().pull(REPO, number).await.unwrap();
    let approved: Vec<&String> = pull.reviews.iter().map(|review| &review.commit).collect();
    assert!(matches!(approved.as_slice(), [bump, pushed] if bump != pushed && **pushed == pull.head_sha));
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_merged_at_another_head_counts_once_a_person_has_said_so() {
    let stage = Stage::on(Scenario::Protected).await;
    let number = waits_for_checks(&stage).await;
    eve_pushes(&stage).await;
    stage.github().knobs(|knobs| knobs.rules.clear());
    stage
        .asks_github(Method::PUT, &format!("pulls/{number}/merge"), json!({}))
        .await;
    stage.ben().clicks("Retry").await;
    stage.reads(&format!("merged #{number} at ")).await;
    stage.sees("Retry").await;
    stage.ben().clicks("Retry").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_is_waited_for_though_nobody_is_asked() {
    let stage = Stage::with(Scenario::Happy, |project| project.reviewers.clear()).await;
    stage.plays_to("").await;
    stage
        .reads("Waiting on GitHub for an approval by somebody with write access")
        .await;
    let number = deploy_pr(&stage).await;
    assert!(stage.github().pull(REPO, number).await.unwrap().merged.is_none());
    stage.github().review(REPO, number, "dan", "APPROVED").await.unwrap();
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_can_do_without_an_approval_on_github() {
    let stage = Stage::with(Scenario::Happy, |project| {
        project.reviewers.clear();
        project.deploy_approval = DeployApproval::None;
    })
    .await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}
