//! The foreign-change guard: what somebody else does between two merges pauses the train and is said.

use shipmate::sandbox::faults::When;
use shipmate::sandbox::github::GitHubDouble;
use shipmate::sandbox::play::REPO;

use crate::stage::Stage;

/// Up to the approval, and on; the moment after the first merge somebody else acts.
async fn after_the_first_merge<F>(act: impl Fn(GitHubDouble) -> F + Send + Sync + 'static) -> Stage
where
    F: Future<Output = ()> + Send + 'static,
{
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    stage.somebody_acts(When::After, |request| request.contains("pulls/41/merge"), act);
    stage.ben().clicks("Approve").await;
    stage.sees("Retry").await;
    stage
}

fn branch() -> String {
    format!("deploy-{}", crate::happy_path::today())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_commit_pauses_the_train_and_a_person_takes_it_in() {
    let stage = after_the_first_merge(|github| async move {
        github
            .push(REPO, &branch(), "eve", "src/hotfix.js", "1\n")
            .await
            .unwrap();
    })
    .await;
    stage
        .reads(&format!("somebody else's commits are on {} since", branch()))
        .await;
    stage.reads("by eve: Change src/hotfix.js").await;
    assert!(
        stage.github().pull(REPO, 42).await.unwrap().merged.is_none(),
        "the train stands"
    );
    stage.ben().clicks("Retry").await;
    stage
        .reads("The deploy branch is not what the rehearsal promised")
        .await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_set_back_pauses_the_train_and_stopping_leaves_the_rest_unmerged() {
    let stage = after_the_first_merge(|github| async move {
        github.set_branch(REPO, &branch(), "staging").await.unwrap();
    })
    .await;
    stage.reads(&format!("{} was set back from", branch())).await;
    stage.ben().clicks("Stop here").await;
    stage.sees("Put them back").await;
    stage.ben().clicks("Put them back").await;
    stage.reads("stopped · Stopped by @Ben").await;
    for number in [42, 44, 47] {
        assert_eq!(stage.github().pull(REPO, number).await.unwrap().base, "staging");
    }
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_turns_red_before_its_merge_asks() {
    let stage = after_the_first_merge(|github| async move {
        let head = github.pull(REPO, 44).await.unwrap().head_sha;
        github
            .set_check(REPO, &head, "test", "completed", Some("failure"))
            .await
            .unwrap();
    })
    .await;
    stage.reads("checks of #44 have turned red: test").await;
    stage.github().rerun_checks(REPO).await.unwrap();
    stage.ben().clicks("Retry").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}
