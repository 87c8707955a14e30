//! Every scenario of the sandbox, to its end.

use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::REPO;

use crate::stage::Stage;

async fn completes(scenario: Scenario) -> Stage {
    let stage = Stage::on(scenario).await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quirks_of_github_that_need_nobody() {
    for scenario in [
        Scenario::MergeableNull,
        Scenario::BaseModified,
        Scenario::LateRun,
        Scenario::NoChecks,
        Scenario::DraftRelease,
        Scenario::AnnotatedTag,
        Scenario::LostReplies,
    ] {
        completes(scenario).await.closes().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_is_found_before_anything_is_touched() {
    let stage = Stage::on(Scenario::Conflict).await;
    stage.plays_to("Confirm").await;
    stage.reads("conflicts with #44 in src/cart.js").await;
    stage
        .reads("all 3 merge cleanly in this order. 1 pull request left out because of conflicts.")
        .await;
    let touched = stage.github().ledger(REPO).await;
    assert_eq!(touched.len(), 1, "only the branch was pushed: {touched:?}");
    stage.ana().says("/deploy abort").await;
    stage.reads("Everything is undone").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dismissed_approvals_are_put_to_the_approver() {
    let stage = Stage::on(Scenario::Dismissals).await;
    stage.plays_to("Approve").await;
    stage
        .reads("GitHub dismissed these approvals because of the retarget.")
        .await;
    stage.reads("#42: ana, dan").await;
    stage.ana().clicks("Ask reviewers again").await;
    stage
        .until("reviewers asked again", |workspace| {
            let messages = workspace.messages.iter();
            let questions = messages.filter(|message| message.text.contains("Point of no return"));
            questions.count().ge(&2).then_some(())
        })
        .await;
    assert_eq!(stage.github().pull(REPO, 42).await.unwrap().requested, ["ana", "dan"]);
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_abort_the_dismissed_reviews_are_asked_for_again() {
    let stage = Stage::on(Scenario::Dismissals).await;
    stage.plays_to("Approve").await;
    stage.ana().aborts("no").await;
    stage
        .reads("ana, dan lost their approval; a new review was asked for.")
        .await;
    assert_eq!(stage.github().pull(REPO, 42).await.unwrap().requested, ["ana", "dan"]);
    assert_eq!(stage.github().pull(REPO, 42).await.unwrap().base, "staging");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_job_is_named_and_a_retry_after_its_rerun_goes_on() {
    let stage = Stage::on(Scenario::FailingRun).await;
    stage.plays_to("").await;
    stage.sees("Retry").await;
    stage
        .reads("the Actions run ended as failure: job migrate failed, see")
        .await;
    stage.github().rerun(REPO).await.unwrap();
    stage.ben().clicks("Retry").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn red_checks_ask_and_stopping_leaves_a_receipt() {
    let stage = Stage::on(Scenario::FailingChecks).await;
    stage.plays_to("").await;
    stage.sees("Stop here").await;
    stage.reads("checks failed: test").await;
    stage.ben().clicks("Stop here").await;
    stage.sees("Put back and close the deploy PR").await;
    stage.ben().clicks("Put back and close the deploy PR").await;
    stage
        .reads("stopped · Stopped by a person after the point of no return")
        .await;
    let deploy_pr = stage.github().pull(REPO, 49).await.unwrap();
    assert!(!deploy_pr.open && deploy_pr.merged.is_none());
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_that_can_not_be_merged_after_the_first_is_skipped_and_put_back() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    // Closed in the moment between the approval's look and its merge.
    let github = stage.github().clone();
    let hook_github = github.clone();
    github
        .faults()
        .watch(Some(std::sync::Arc::new(move |request: &str, when| {
            if request.contains("pulls/41/merge") && when == shipmate::sandbox::faults::When::After {
                let github = hook_github.clone();
                tokio::spawn(async move { github.push(REPO, "fix/cart-total", "eve", "src/late.js", "1\n").await });
            }
        })));
    stage.ben().clicks("Approve").await;
    stage.sees("Skip this PR").await;
    stage.reads("#44 was pushed to:").await;
    stage.ben().clicks("Skip this PR").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 3 pull requests").await;
    assert_eq!(stage.github().pull(REPO, 44).await.unwrap().base, "staging");
    stage.closes().await;
}
