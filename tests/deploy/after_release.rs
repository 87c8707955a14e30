//! What pull requests and issues hear once they have shipped.

use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::REPO;

use crate::stage::Stage;

fn mentions<'a>(ledger: &'a [String], what: &str) -> Vec<&'a str> {
    let hits = ledger.iter().filter(|line| line.contains(what));
    hits.map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resolved_issues_are_commented_on_and_closed_in_one_click() {
    let stage = Stage::new().await;
    stage.plays_to("").await;
    stage.sees("Close them").await;
    stage.reads("Each would be told: Shipped in").await;
    stage.eve().clicks("Close them").await;
    stage.eve().is_told("You may not decide this here").await;
    stage.ben().clicks("Close them").await;
    stage.reads("Closing chosen by").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    let ledger = stage.github().ledger(REPO).await;
    let told = mentions(&ledger, "/comments");
    let closed = mentions(&ledger, "PATCH issues/");
    assert!(!closed.is_empty());
    assert_eq!(told.len(), closed.len(), "{ledger:#?}");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checklist_does_not_wait_for_the_issues() {
    let stage = Stage::new().await;
    stage.plays_to("").await;
    stage.sees("Close them").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    assert_eq!(
        mentions(&stage.github().ledger(REPO).await, "issues/"),
        [] as [&str; 0],
        "what nobody decided is left"
    );
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shipped_pull_requests_are_told_if_the_project_wants_that() {
    let stage = Stage::with(Scenario::Happy, |project| {
        project.comment_shipped = true;
        project.close_issues = shipmate::config::CloseIssues::Never;
    })
    .await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    let ledger = stage.github().ledger(REPO).await;
    let told = [41, 42, 44, 47].map(|number| format!("POST issues/{number}/comments"));
    assert_eq!(mentions(&ledger, "/comments"), told);
    stage.closes().await;
}
