//! Every scenario of the sandbox, to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use shipmate::deploy::view::View;
use shipmate::sandbox::faults::{Kind, When};
use shipmate::sandbox::github::knobs::{Dismissal, Knobs};
use shipmate::sandbox::github::model::Whereabouts;
use shipmate::sandbox::github::{Scenario, Scenarios};
use shipmate::sandbox::play::REPO;
use shipmate::sandbox::slack::{DEPLOYS, Workspace};

use crate::stage::{Stage, has_button};

async fn completes(scenario: impl Into<Scenarios>) -> Stage {
    let stage = Stage::on(scenario).await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quirks_of_merging_that_need_nobody() {
    for day in [
        Scenarios::from([Scenario::MergeableNull, Scenario::BaseModified]),
        [Scenario::StaleMergeable, Scenario::MergeInProgress].into(),
        [Scenario::Protected, Scenario::KeptDeployBranches].into(),
        Scenario::LostReplies.into(),
    ] {
        completes(day).await.closes().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quirks_of_checks_and_runs_that_need_nobody() {
    for day in [
        Scenarios::from([Scenario::LateRun, Scenario::NoChecks]),
        [Scenario::CheckWaves, Scenario::WaitingRun].into(),
    ] {
        completes(day).await.closes().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_and_not_to_be_seen_yet_is_waited_for() {
    completes([Scenario::Lag, Scenario::NodeLag]).await.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quirks_of_releases_that_need_nobody() {
    completes(Scenario::DraftRelease).await.closes().await;
    let stage = completes([Scenario::AnnotatedTag, Scenario::OverwrittenRelease]).await;
    let shown = stage.snapshot().await;
    let notes = shown["releases"][0]["body"].as_str().unwrap();
    assert!(
        notes.contains("#41") && notes.contains("registry.acme.test"),
        "both have their say: {notes}"
    );
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_credential_ships() {
    // An App whose tokens end again and again, and a token that can't see check runs, not even those that the branch requires.
    for day in [
        Scenario::TokenExpiry.into(),
        Scenario::FineGrained.into(),
        Scenarios::from([Scenario::Protected, Scenario::FineGrained]),
    ] {
        completes(day).await.closes().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_kept_and_waited_out() {
    completes(Scenario::RateLimited).await.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn issues_that_are_gone_are_nobodys_problem() {
    let stage = Stage::on(Scenario::DefaultStaging).await;
    stage.github().move_issue(REPO, 31, Whereabouts::Deleted).await.unwrap();
    stage
        .github()
        .move_issue(REPO, 28, Whereabouts::Transferred)
        .await
        .unwrap();
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    let shown = stage.snapshot().await;
    let notes = shown["releases"][0]["body"].as_str().unwrap();
    assert!(
        notes.contains("issues/33") || notes.contains("#33"),
        "what is there is named: {notes}"
    );
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_that_github_would_merge_by_itself_stays_behind() {
    let stage = Stage::on(Scenario::AutoMerge).await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 3 pull requests").await;
    let left = stage.github().pull(REPO, 47).await.unwrap();
    assert!(left.open && left.base == "staging");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stacked_on_the_train_ends_up_on_the_base_branch() {
    let stage = completes(Scenario::Stacked).await;
    let child = stage.github().pull(REPO, 49).await.unwrap();
    assert!(child.open && child.base == "staging", "{child:?}");
    stage.closes().await;
}

/// Refused at the last merge, mended by a person, and on.
async fn is_refused_then_mended(scenario: Scenario, said: &str, mend: impl FnOnce(&mut Knobs)) {
    let stage = Stage::on(scenario).await;
    stage.plays_to("").await;
    stage.sees("Retry").await;
    stage.reads(said).await;
    stage.github().knobs(mend);
    stage.ben().clicks("Retry").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_and_rights_that_stand_in_the_way_are_quoted() {
    is_refused_then_mended(
        Scenario::MergeQueue,
        "Changes must be made through the merge queue",
        |knobs| knobs.rules.clear(),
    )
    .await;
    let right = |knobs: &mut Knobs| knobs.no_workflow_right = false;
    is_refused_then_mended(
        Scenario::WorkflowRights,
        "the token needs the workflow permission",
        right,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_a_newer_push_cancelled_is_followed_by_the_one_that_took_over() {
    let stage = Stage::on(Scenario::SupersededRun).await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_train_can_not_start_nothing_is_touched() {
    for (scenario, said) in [
        (Scenario::NoDeployBranches, "Repository rule violations found"),
        (Scenario::Moved, "acme/web is called acme/web-shop now: change"),
        (Scenario::NoMergeCommits, "acme/web doesn't allow the merge method"),
        (
            Scenario::VersionGone,
            "API version 2022-11-28 is no longer supported.; update Shipmate",
        ),
    ] {
        let stage = Stage::on(scenario).await;
        let before = stage.snapshot().await;
        stage.ana().says("/deploy start").await;
        stage.reads("Everything is undone").await;
        stage.reads(said).await;
        assert_eq!(stage.snapshot().await, before, "{scenario}");
        stage.closes().await;
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
    stage.ana().aborts_by_word("").await;
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
    is_asked_times(&stage, 2).await;
    assert_eq!(stage.github().pull(REPO, 42).await.unwrap().requested, ["ana", "dan"]);
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}

/// The approval is asked for so many times; answers with the last question.
async fn is_asked_times(stage: &Stage, times: usize) -> String {
    stage
        .until("the approval's next question", |workspace| {
            let messages = workspace.messages.iter();
            let mut questions = messages.filter(|message| message.text.contains("Point of no return"));
            let last = questions.nth(times - 1)?;
            has_button(last, "Approve").then(|| workspace.reads(last))
        })
        .await
}

/// Whose approval the retarget dismissed approves anew.
async fn approve_anew(stage: &Stage) {
    for number in [41, 42, 44, 47] {
        let pull = stage.github().pull(REPO, number).await.unwrap();
        for review in pull.reviews.iter().filter(|review| review.state == "DISMISSED") {
            let again = stage.github().review(REPO, number, &review.user, "APPROVED");
            again.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_approves_anew_is_dismissed_no_longer_and_who_can_not_be_asked_is_named() {
    let stage = Stage::on(Scenario::Dismissals).await;
    stage.github().knobs(|knobs| knobs.not_asked = vec!["dan".to_owned()]);
    stage.plays_to("Approve").await;
    stage.reads("#42: ana, dan").await;
    stage.ana().clicks("Ask reviewers again").await;
    stage
        .reads("GitHub could not ask again about #42: dan: Reviews may only be requested from collaborators.")
        .await;
    is_asked_times(&stage, 2).await;
    assert_eq!(stage.github().pull(REPO, 42).await.unwrap().requested, ["ana"]);
    stage.github().knobs(|knobs| knobs.not_asked.clear());
    approve_anew(&stage).await;
    // What was approved was the list with dismissals: it is shown once more without them.
    stage.ben().clicks("Approve").await;
    let last = is_asked_times(&stage, 3).await;
    assert!(!last.contains("dismissed these approvals"), "{last}");
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_abort_nobody_is_asked_who_has_approved_anew() {
    let stage = Stage::on(Scenario::Dismissals).await;
    stage.plays_to("Approve").await;
    approve_anew(&stage).await;
    // Else the way back would dismiss the new ones, too.
    stage.github().knobs(|knobs| knobs.dismissal = Dismissal::None);
    stage.ana().aborts("no").await;
    stage.reads("#42 targets staging again.").await;
    for number in [41, 42, 44, 47] {
        let pull = stage.github().pull(REPO, number).await.unwrap();
        assert_eq!(pull.requested, [""; 0], "#{number}");
    }
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
    stage.sees("Close the deploy PR").await;
    assert!(
        stage.ben().finds_no("Put them back"),
        "everything is merged: there is nothing to put back"
    );
    stage
        .reads("and not on staging: to ship it, merge the deploy pull request")
        .await;
    stage.ben().clicks("Close the deploy PR").await;
    stage
        .reads("to ship it, reopen and merge the deploy pull request")
        .await;
    stage.reads("stopped · Stopped by @Ben").await;
    let deploy_pr = stage.github().pull(REPO, 49).await.unwrap();
    assert!(!deploy_pr.open && deploy_pr.merged.is_none());
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_red_check_is_not_hidden_by_a_green_one_of_the_same_name() {
    for day in [
        Scenarios::from(Scenario::TwinChecks),
        [Scenario::TwinChecks, Scenario::FineGrained].into(),
    ] {
        let stage = Stage::on(day).await;
        stage.plays_to("").await;
        stage.sees("Retry").await;
        stage.reads("checks failed: test").await;
        stage.github().rerun_checks(REPO).await.unwrap();
        stage.ben().clicks("Retry").await;
        stage.ticks_everything().await;
        stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
        stage.closes().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_checks_are_named_the_others_are_shown_and_stop_nobody() {
    // `test` of the deploy pull request is red, and `codecov` of one that rides.
    let mut stage = Stage::empty(Scenario::FailingChecks, |project| {
        project.required_checks = vec!["build".to_owned()];
    })
    .await;
    let report = async |number, name| {
        let head = stage.github().pull(REPO, number).await.unwrap().head_sha;
        let red = stage
            .github()
            .set_check(REPO, &head, name, "completed", Some("failure"));
        red.await.unwrap();
    };
    report(44, "codecov").await;
    // One that is named keeps its pull request behind.
    report(42, "build").await;
    stage.boot().await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("red checks: build").await;
    let red = "Red, but not among the checks that must succeed:";
    stage.reads(&format!("{red} codecov of #44.")).await;
    stage.reads(&format!("{red} test of #49.")).await;
    stage.reads("completed · 1.4.3 shipped with 3 pull requests").await;
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

/// The card is posted, its reply is lost, and Slack is away until all is over: the card that is found then shows the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_whose_reply_was_lost_shows_the_end_once_slack_is_back() {
    let stage = Stage::new().await;
    let away = AtomicBool::new(false);
    stage
        .slack()
        .faults()
        .guard(Some(Arc::new(move |request: &str, when: When| {
            let writes = request.contains("chat.") || request.contains("conversations.");
            let lost = match when {
                When::Before => writes && away.load(Ordering::SeqCst),
                When::After => request.contains("chat.postMessage") && !away.swap(true, Ordering::SeqCst),
            };
            lost.then(|| Kind::Status(503, "down".to_owned()))
        })));
    let shown = stage.slack();
    let card = |workspace: &Workspace| {
        let card = workspace.messages.iter().find(|message| message.only_for.is_none())?;
        Some(format!("{} {:?}", card.text, card.blocks))
    };
    stage.ana().says("/deploy start").await;
    let posted = stage.until("the card", card).await;
    assert!(posted.contains("running"), "{posted}");
    stage.ana().aborts_by_word("enough").await;
    let journal = stage.journal("web-1");
    let mut length = journal.watch();
    while !View::of("web-1", &journal.history()).is_over() {
        length.changed().await.unwrap();
    }
    stage.slack().faults().guard(None);
    stage
        .until("the end on the card", |workspace| {
            card(workspace).filter(|card| card.contains("undone"))
        })
        .await;
    let cards = shown
        .messages(DEPLOYS)
        .into_iter()
        .filter(|message| message.thread.is_none());
    assert_eq!(cards.count(), 1, "{}", shown.transcript());
    stage.closes().await;
}
