//! What each attempt asked of the world stands in the journal with what became of it: once, whatever came in between.

use serde_json::json;

use crate::saga::{Event, History, Outcome, StepError};

use super::toy::{End, Fault, Stage, sees_end, settles};

/// Every request in the journal, with the event it stands in.
fn requests(history: &History) -> Vec<String> {
    let told = |event: &Event| {
        let of = serde_json::to_value(event).unwrap();
        let line = |what: &str| format!("{} {}: {what}", of["event"], of["key"]).replace('"', "");
        let asked = event.requests().iter();
        asked.map(|request| line(&request.what)).collect::<Vec<_>>()
    };
    history
        .records()
        .iter()
        .flat_map(|record| told(&record.event))
        .collect()
}

#[tokio::test]
async fn each_stands_with_the_outcome_of_its_attempt() {
    let stage = Stage::new();
    for (key, fault) in [
        ("push_branch", Fault::Before(StepError::transient("502"))),
        ("push_branch", Fault::After(StepError::transient("no answer in time"))),
        ("undo/push_branch", Fault::After(StepError::transient("502"))),
        ("merge/1", Fault::After(StepError::permanent("no"))),
    ] {
        stage.outside.fault(key, fault);
    }
    // The pivot failed for good and had taken effect all the same: it is found by looking.
    let end = stage
        .process()
        .runs(|open| if open.key == "approve" { "go" } else { "retry" })
        .await;
    assert_eq!(end, End::Finished(Outcome::Completed));
    assert_eq!(
        requests(&stage.history("web-1")),
        [
            "step_completed create_branch: +web-1/branch",
            "step_failed push_branch: +web-1/pushed",
            "step_failed merge/1: +web-1/merged 1",
            "step_completed merge/2: +web-1/merged 2",
            "step_completed announce: +web-1/announced",
        ]
    );
}

#[tokio::test]
async fn taking_back_is_told_with_all_its_tries() {
    let stage = Stage::new();
    for (key, fault) in [
        ("undo/push_branch", Fault::After(StepError::transient("502"))),
        ("undo/create_branch", Fault::After(StepError::permanent("no"))),
    ] {
        stage.outside.fault(key, fault);
    }
    let end = stage.process().runs(|_| "no").await;
    assert_eq!(end, End::Finished(Outcome::Undone));
    assert_eq!(
        requests(&stage.history("web-1"))[2..],
        [
            "compensation_completed push_branch: -web-1/pushed",
            "compensation_failed create_branch: -web-1/branch",
        ]
    );
}

#[tokio::test]
async fn a_step_that_is_suspended_after_its_effect_leaves_its_request_and_the_restart_is_told() {
    let stage = Stage::new();
    stage.outside.fault("announce", Fault::Slow);
    let process = stage.process();
    process.start(json!({ "unattended": true })).await;
    settles().await;
    process.drains().await;
    let journal = stage.process().recover();
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    let told: Vec<_> = journal
        .history()
        .records()
        .iter()
        .map(|record| record.event.clone())
        .skip_while(|event| !matches!(event, Event::StepSuspended { .. }))
        .collect();
    let Event::StepSuspended { key, requests } = &told[0] else {
        panic!("it was not suspended: {:#?}", journal.history().records())
    };
    assert_eq!(
        (key.as_str(), requests[0].what.as_str()),
        ("announce", "+web-1/announced")
    );
    assert!(matches!(told[1], Event::SagaRecovered { .. }), "{told:#?}");
    assert!(
        matches!(told[2], Event::StepCompleted { observed: true, .. }),
        "{told:#?}"
    );
}

/// A supervisor that restarts it again and again while it waits fills no disk.
#[tokio::test]
async fn restarts_in_which_nothing_happens_are_told_once() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({})).await;
    super::toy::sees_open(&journal, "approve").await;
    process.drains().await;
    let before = stage.history("web-1").len();
    for _ in 0..5 {
        let process = stage.process();
        process.recover();
        settles().await;
        process.drains().await;
    }
    assert_eq!(stage.history("web-1").len(), before + 1);
}
