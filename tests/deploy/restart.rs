//! A restart at any checkpoint goes on where it was, with no human action.

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_at_each_checkpoint_goes_on() {
    let mut stage = Stage::new().await;
    stage.plays_to("Confirm").await;
    stage.restart().await;
    stage.ana().clicks("Confirm").await;
    stage.sees("Approve").await;
    stage.restart().await;
    stage.ben().clicks("Approve").await;
    stage.reads("After the release: 0 of 3 done").await;
    stage.restart().await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    let posts: Vec<String> = stage
        .slack()
        .ledger()
        .into_iter()
        .filter(|line| line.starts_with("chat.postMessage"))
        .collect();
    let mut once = posts.clone();
    once.sort();
    once.dedup();
    assert_eq!(posts.len(), once.len(), "no message was posted twice: {posts:#?}");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_after_a_restart_undoes_what_the_last_process_did() {
    let mut stage = Stage::new().await;
    let before = stage.snapshot().await;
    stage.plays_to("Approve").await;
    stage.restart().await;
    stage.ana().aborts("changed my mind").await;
    stage
        .reads("Everything is undone: aborted by @Ana Ruiz: changed my mind.")
        .await;
    assert_eq!(stage.snapshot().await, before);
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_the_workspace_does_not_lose_the_deployment() {
    let mut stage = Stage::new().await;
    stage.plays_to("Approve").await;
    stage.stop().await;
    std::fs::remove_dir_all(stage.sandbox.workspaces()).unwrap();
    stage.boot().await;
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}
