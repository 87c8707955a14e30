//! What fails or is called off before the merges is undone completely: GitHub is as it was, branch and workspace are gone.

use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::REPO;

use crate::stage::Stage;

async fn aborted_at(label: &str) {
    let stage = Stage::new().await;
    let before = stage.snapshot().await;
    stage.plays_to(label).await;
    assert_ne!(stage.snapshot().await, before, "there is something to undo");
    stage.ana().aborts("a customer found a bug").await;
    stage
        .reads("Everything is undone: aborted by @Ana Ruiz: a customer found a bug.")
        .await;
    stage.reads("The workspace is deleted.").await;
    assert_eq!(stage.snapshot().await, before, "the clean slate");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_at_the_list_leaves_the_clean_slate() {
    aborted_at("Confirm").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_at_the_point_of_no_return_leaves_the_clean_slate() {
    aborted_at("Approve").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_typed_as_a_command_shows_what_it_undoes_before_it_does() {
    let stage = Stage::new().await;
    let before = stage.snapshot().await;
    stage.plays_to("Confirm").await;
    let answer = stage.ben().says("/deploy abort wrong day").await;
    assert!(
        answer.contains("This will be undone, newest first") && answer.contains("• the branch deploy-"),
        "{answer}"
    );
    assert_ne!(stage.snapshot().await, before, "nothing is undone yet");
    assert!(!stage.aborting("web-1"), "nobody has pressed anything");
    stage.ben().clicks("Abort").await;
    stage.ben().is_told("Undoing this, newest first").await;
    stage
        .reads("Everything is undone: aborted by @Ben Okafor: wrong day.")
        .await;
    stage.reads("No longer asked: everything is undone.").await;
    assert!(
        stage.slack().clicks_label("U0ANA", "Confirm").await.is_err(),
        "its buttons are gone"
    );
    assert_eq!(stage.snapshot().await, before);
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_approved_says_so_and_leaves_the_clean_slate() {
    let stage = Stage::on(Scenario::NoApproved).await;
    let before = stage.snapshot().await;
    stage.ana().says("/deploy start").await;
    stage
        .reads("Nothing to ship: no open pull request into staging is approved and ready (#41 not approved;")
        .await;
    stage.reads("Receipt, read back from GitHub").await;
    assert_eq!(stage.snapshot().await, before);
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_nobody_confirms_in_time_is_undone() {
    let stage = Stage::with(Scenario::Happy, |project| {
        project.timeouts.confirm = std::time::Duration::from_millis(50);
    })
    .await;
    let before = stage.snapshot().await;
    stage.ana().says("/deploy start").await;
    stage
        .reads("Everything is undone: nobody confirmed the list of pull requests within")
        .await;
    assert_eq!(stage.snapshot().await, before);
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_with_somebody_elses_work_is_kept_and_said() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    let branch = format!("deploy-{}", crate::happy_path::today());
    stage
        .github()
        .push(REPO, &branch, "eve", "src/hotfix.js", "1\n")
        .await
        .unwrap();
    stage.ana().aborts("no").await;
    stage
        .reads("Undone, but 1 thing could not be taken back and a person must look")
        .await;
    stage.reads("is kept, because somebody pushed").await;
    assert!(stage.github().tip(REPO, &branch).await.is_some());
    let base = stage.github().pull(REPO, 41).await.unwrap().base;
    assert_eq!(base, "staging", "the rest is undone all the same");
    stage.closes().await;
}
