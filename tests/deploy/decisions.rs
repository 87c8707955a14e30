//! Who may decide what, and what a second click is told.

use std::collections::BTreeMap;

use shipmate::saga::Clock;
use shipmate::saga::store::Store as _;
use shipmate::sandbox::faults::{Fault, Kind, When};
use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::REPO;
use shipmate::sandbox::slack::DEPLOYS;

use crate::stage::Stage;

async fn undone(stage: Stage) {
    stage.ana().aborts_by_word("end of the test").await;
    stage.reads("Everything is undone").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_is_refused_while_one_runs() {
    let stage = Stage::new().await;
    stage.plays_to("Confirm").await;
    let answer = stage.ben().says("/deploy start").await;
    assert!(answer.contains("web-1 is running, started by @Ana Ruiz"), "{answer}");
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_in_private_and_it_stands_in_the_journal() {
    let stage = Stage::new().await;
    assert!(
        stage
            .eve()
            .says("/deploy start")
            .await
            .contains("You may not start a deployment here. @deployers may.")
    );
    stage.plays_to("Confirm").await;
    stage.eve().clicks("Confirm").await;
    stage.eve().is_told("You may not confirm the list here.").await;
    assert!(stage.eve().says("/deploy abort").await.contains("You may not abort"));
    let refusals = stage
        .events("web-1")
        .into_iter()
        .filter(|event| matches!(event, shipmate::saga::Event::Refused { .. }));
    assert_eq!(refusals.count(), 2);
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_refused_before_a_dialogue_opens() {
    let stage = Stage::new().await;
    stage.plays_to("Confirm").await;
    stage.eve().clicks("Edit list").await;
    stage.eve().is_told("You may not confirm the list here.").await;
    stage.eve().clicks("Abort").await;
    stage.eve().is_told("You may not abort a deployment here.").await;
    let dialogue = stage.slack().look(|workspace| workspace.open_view("U0EVE").is_some());
    assert!(!dialogue, "nobody fills in a dialogue for nothing");
    let refused = stage.events("web-1").into_iter();
    let refused = refused.filter(|event| matches!(event, shipmate::saga::Event::Refused { .. }));
    assert_eq!(refused.count(), 2, "it stands in the journal");
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reason_of_any_length_is_cut_to_what_people_read() {
    let stage = Stage::new().await;
    stage.plays_to("Confirm").await;
    let long = "too many bugs ".repeat(200);
    stage.ana().aborts_by_word(&long).await;
    stage.reads("too many…").await;
    stage
        .reads("Everything is undone: aborted by @Ana Ruiz: too many bugs")
        .await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_slack_does_not_tell_who_is_in_a_group_nobody_is_told_that_they_may_not() {
    let mut stage = Stage::empty(Scenario::Happy, |_| {}).await;
    stage.clock = Clock::manual(chrono::Utc::now());
    stage.lets_time_pass();
    stage.slack().faults().inject(Fault {
        matches: "usergroups.users.list".to_owned(),
        when: When::Before,
        kind: Kind::NotOk("internal_error".to_owned()),
        times: 1,
    });
    stage.boot().await;
    let answer = stage.ana().says("/deploy start").await;
    let told = "Shipmate can't tell whether you may start a deployment: Slack doesn't say who is in @deployers. Try again in a minute.";
    assert!(answer.contains(told), "{answer}");
    stage.clock.advance(chrono::TimeDelta::minutes(1));
    stage.plays_to("Confirm").await;
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoami_is_answered_in_time_though_slack_tells_of_no_group() {
    let stage = Stage::with(Scenario::Happy, |project| {
        let permissions = &mut project.permissions;
        permissions.start = vec!["S0START".to_owned()];
        permissions.approve = vec!["S0APPROVE".to_owned()];
        permissions.abort = vec!["S0ABORT".to_owned()];
        permissions.r#override = vec!["S0OVERRIDE".to_owned()];
    })
    .await;
    stage.slack().faults().inject(Fault {
        matches: "usergroups.users.list".to_owned(),
        when: When::Before,
        kind: Kind::Hang,
        times: u32::MAX,
    });
    // The double fails a command that isn't acknowledged within three seconds, as Slack does; each group alone would take half of that.
    let answer = stage.ana().says("/deploy whoami").await;
    assert!(answer.contains("Here you may look, and nothing else."), "{answer}");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_started_can_not_approve() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    stage.ana().clicks("Approve").await;
    stage
        .ana()
        .is_told("You started this deployment, so somebody else must approve it")
        .await;
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_click_wins_and_the_second_is_told() {
    let stage = Stage::new().await;
    stage.plays_to("Confirm").await;
    let ts = stage
        .until("the question", |workspace| {
            let mut messages = workspace.messages.iter();
            let question = messages.find(|message| message.text.contains("Is this the train"))?;
            Some(question.ts.clone())
        })
        .await;
    let (ana, ben) = tokio::join!(
        stage.slack().clicks("U0ANA", DEPLOYS, &ts, "decide/confirm"),
        stage.slack().clicks("U0BEN", DEPLOYS, &ts, "decide/confirm"),
    );
    // The card may be edited between the two clicks: then the second finds no button any more.
    assert!(ana.is_ok() || ben.is_ok());
    stage.sees("Approve").await;
    let decided = stage
        .events("web-1")
        .into_iter()
        .filter(|event| matches!(event, shipmate::saga::Event::CheckpointDecided { .. }));
    assert_eq!(decided.count(), 1);
    if ana.is_ok() && ben.is_ok() {
        stage
            .until("the second click is told", |workspace| {
                let told = [stage.ana().private(workspace), stage.ben().private(workspace)].concat();
                told.iter()
                    .any(|message| message.contains("Already decided: Confirm"))
                    .then_some(())
            })
            .await;
    }
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_list_is_rehearsed_and_merged_in_the_typed_order() {
    let stage = Stage::new().await;
    stage.plays_to("Confirm").await;
    stage.ana().clicks("Edit list").await;
    stage
        .until("the editor", |workspace| workspace.open_view("U0ANA").map(drop))
        .await;
    let given = BTreeMap::from([
        (
            "include_0".to_owned(),
            vec!["41".to_owned(), "44".to_owned(), "47".to_owned()],
        ),
        ("order".to_owned(), vec!["#47, 41".to_owned()]),
    ]);
    assert_eq!(stage.slack().submits_view("U0ANA", given).await.unwrap(), None);
    stage.reads("Is this the train? 3 pull requests").await;
    stage
        .reads("#42 Remember me on the login page · left out on request")
        .await;
    stage.ana().clicks("Confirm").await;
    stage.sees("Approve").await;
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 3 pull requests").await;
    let merges: Vec<String> = stage
        .github()
        .ledger(REPO)
        .await
        .into_iter()
        .filter(|line| line.starts_with("PUT pulls/4") && !line.contains("staging"))
        .collect();
    let numbers: Vec<&str> = merges.iter().map(|line| &line[10..12]).collect();
    assert_eq!(numbers, ["47", "41", "44"]);
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_in_the_editor_is_said_in_the_editor() {
    let stage = Stage::new().await;
    stage.plays_to("Confirm").await;
    stage.ana().clicks("Edit list").await;
    stage
        .until("the editor", |workspace| workspace.open_view("U0ANA").map(drop))
        .await;
    let given = BTreeMap::from([("order".to_owned(), vec!["the small one first".to_owned()])]);
    let complaints = stage.slack().submits_view("U0ANA", given).await.unwrap();
    let expected = BTreeMap::from([("order".to_owned(), "the is no pull request number.".to_owned())]);
    assert_eq!(complaints, Some(expected));
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_changed_is_not_approved_but_shown_again() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    stage
        .github()
        .push(REPO, "fix/cart-total", "ana", "src/extra.js", "1\n")
        .await
        .unwrap();
    stage.ben().clicks("Approve").await;
    stage.reads("The plan changed since you saw it last:").await;
    stage.reads("#44 was pushed to:").await;
    assert_eq!(
        stage.github().pull(REPO, 41).await.unwrap().merged,
        None,
        "nothing is merged"
    );
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_request_that_somebody_moved_away_leaves_the_plan_and_stays_there() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    stage.github().set_branch(REPO, "hotfix", "staging").await.unwrap();
    let base = serde_json::json!({ "base": "hotfix" });
    stage.asks_github(reqwest::Method::PATCH, "pulls/42", base).await;
    stage.ben().clicks("Approve").await;
    stage.reads("#42 is out: targets hotfix").await;
    stage.ana().aborts_by_word("end of the test").await;
    stage.reads("Everything is undone").await;
    assert_eq!(stage.github().pull(REPO, 42).await.unwrap().base, "hotfix");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_pull_request_leaves_the_plan() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    stage.github().close(REPO, 42).await.unwrap();
    stage.ben().clicks("Approve").await;
    stage.reads("#42 is out: not open").await;
    stage.sees("Approve").await;
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 3 pull requests").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_approvals_are_asked_of_two_people() {
    let stage = Stage::with(Scenario::Happy, |project| {
        project.permissions.approvals = 2;
    })
    .await;
    stage.plays_to("Approve").await;
    stage.ben().clicks("Approve").await;
    stage.reads("(1 of 2 approvals so far)").await;
    stage.ben().clicks("Approve").await;
    assert_eq!(
        stage.github().pull(REPO, 41).await.unwrap().merged,
        None,
        "one person can't approve twice"
    );
    stage.slack().clicks_label("U0CHLOE", "Approve").await.unwrap();
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_after_the_point_of_no_return_is_refused() {
    let stage = Stage::new().await;
    stage.plays_to("").await;
    stage.reads("After the release: 0 of 3 done").await;
    assert!(
        stage
            .ana()
            .says("/deploy abort")
            .await
            .contains("The point of no return is passed")
    );
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_word_shows_the_help_and_does_nothing() {
    let stage = Stage::new().await;
    let answer = stage.ana().says("/deploy strat").await;
    let help = stage.ana().says("/deploy help").await;
    let said = "🚫 I don't know strat. Did you mean start? Nothing was done.";
    assert!(answer.contains(said) && answer.contains(help.trim()), "{answer}");
    let slip = stage.ana().says("/deploy status now").await;
    assert_eq!(
        slip.trim(),
        "🚫 status takes nothing after it, and now followed. /deploy help lists all."
    );
    for wrong in ["/deploy start api", "/deploy plan pathc"] {
        let answer = stage.ana().says(wrong).await;
        assert!(answer.contains("neither this channel's project, web, nor"), "{answer}");
    }
    insta::assert_snapshot!(help);
    assert!(stage.store.scan("lock/").unwrap().is_empty());
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_touches_nothing() {
    let stage = Stage::new().await;
    let before = stage.snapshot().await;
    assert!(
        stage
            .eve()
            .says("/deploy plan minor --exclude #47")
            .await
            .contains("Rehearsing")
    );
    stage.eve().is_told("Dry run of web: nothing was touched").await;
    stage.eve().is_told("Version 1.4.2 → 1.5.0").await;
    assert_eq!(stage.snapshot().await, before);
    assert_eq!(stage.github().ledger(REPO).await, [] as [&str; 0]);
    stage.closes().await;
}
