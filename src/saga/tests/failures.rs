//! Steps fail before their effect or lose the reply after it; before the pivot everything is undone, after it a person is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::json;

use crate::saga::history::{Compensation, StepPhase};
use crate::saga::retry::RetryPolicy;
use crate::saga::{Event, History, Outcome, StepError};

use super::toy::{End, Fault, Stage, ana, events, noon, sees, sees_end, sees_open, settles};

const BEFORE_PIVOT: [&str; 2] = ["create_branch", "push_branch"];
const PIVOTS: [&str; 2] = ["merge/1", "merge/2"];

fn permanent() -> StepError {
    StepError::permanent("no")
}

async fn outcome(stage: &Stage, answer: &'static str) -> End {
    let process = stage.process();
    process
        .runs(|open| if open.key == "approve" { "go" } else { answer })
        .await
}

async fn all_done() -> BTreeMap<String, u32> {
    let stage = Stage::new();
    assert_eq!(outcome(&stage, "retry").await, End::Finished(Outcome::Completed));
    stage.outside.standing()
}

#[tokio::test]
async fn a_transient_failure_changes_nothing_wherever_it_comes() {
    let expected = all_done().await;
    for key in BEFORE_PIVOT.iter().chain(&PIVOTS).chain(&["announce"]) {
        for fault in [Fault::Before, Fault::After] {
            let stage = Stage::new();
            stage.outside.fault(key, fault(StepError::transient("502")));
            assert_eq!(
                outcome(&stage, "stop").await,
                End::Finished(Outcome::Completed),
                "{key}"
            );
            assert_eq!(stage.outside.standing(), expected, "{key}");
        }
    }
}

#[tokio::test]
async fn a_failure_for_good_before_the_pivot_leaves_a_clean_slate() {
    for key in BEFORE_PIVOT.iter().chain(&["merge/1"]) {
        let stage = Stage::new();
        stage.outside.fault(key, Fault::Before(permanent()));
        assert_eq!(outcome(&stage, "retry").await, End::Finished(Outcome::Undone), "{key}");
        assert_eq!(stage.outside.standing(), BTreeMap::new(), "{key}");
        let history = stage.history("web-1");
        assert_eq!(history.unwinding(), Some(format!("{key} failed: no").as_str()));
    }
    for key in BEFORE_PIVOT {
        let stage = Stage::new();
        stage.outside.fault(key, Fault::After(permanent()));
        assert_eq!(outcome(&stage, "retry").await, End::Finished(Outcome::Undone), "{key}");
        assert_eq!(
            stage.outside.standing(),
            BTreeMap::new(),
            "the effect nobody heard of, too: {key}"
        );
    }
}

#[tokio::test]
async fn a_pivot_that_failed_yet_took_effect_is_done() {
    let expected = all_done().await;
    for key in PIVOTS {
        let stage = Stage::new();
        stage.outside.fault(key, Fault::After(permanent()));
        assert_eq!(
            outcome(&stage, "stop").await,
            End::Finished(Outcome::Completed),
            "{key}"
        );
        assert_eq!(stage.outside.standing(), expected, "{key}");
    }
}

#[tokio::test]
async fn a_pivot_nobody_can_see_is_put_to_a_person() {
    let stage = Stage::new();
    stage.outside.fault("merge/1", Fault::After(permanent()));
    stage
        .outside
        .fault("merge/1", Fault::Looking(StepError::permanent("401")));
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    let open = sees_open(&journal, "attention/saga/1").await;
    assert_eq!(
        open.data["error"],
        "merge/1 failed: no. Whether it took effect all the same can't be seen: 401"
    );
    assert_eq!(open.choices, ["retry", "stop"]);
    process.decide(&journal, &open.key, "retry").await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    assert_eq!(stage.outside.standing(), all_done().await);
}

#[tokio::test]
async fn looking_for_a_pivot_is_tried_again_but_not_for_ever() {
    let stage = Stage::new();
    stage.outside.fault("merge/1", Fault::After(permanent()));
    for _ in 0..stage.retry.attempts {
        let lost = StepError::transient("502");
        stage.outside.fault("merge/1", Fault::Looking(lost));
    }
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    let open = sees_open(&journal, "attention/saga/1").await;
    assert_eq!(
        open.data["error"],
        "merge/1 failed: no. Whether it took effect all the same can't be seen: 502"
    );
}

#[tokio::test]
async fn after_the_pivot_a_person_retries() {
    let stage = Stage::new();
    for _ in 0..3 {
        stage.outside.fault("announce", Fault::Before(permanent()));
    }
    assert_eq!(outcome(&stage, "retry").await, End::Finished(Outcome::Completed));
    assert_eq!(stage.outside.standing(), all_done().await);
    let history = stage.history("web-1");
    assert!(history.checkpoint("attention/announce/3").is_some());
    assert_eq!(
        history.checkpoint("attention/announce/1").unwrap().choices,
        ["retry", "stop"]
    );
}

#[tokio::test]
async fn a_persons_retry_begins_the_step_anew_and_neither_a_restart_nor_a_retry_by_itself_does() {
    let mut stage = Stage::new();
    stage.retry.base = Duration::from_secs(60);
    stage.retry.max = stage.retry.base;
    let transient = || Fault::Before(StepError::transient("503"));
    for fault in [transient(), Fault::Before(permanent()), transient(), transient()] {
        stage.outside.fault("announce", fault);
    }
    let minutes = |minutes| noon() + TimeDelta::minutes(minutes);
    let began = |history: &History| history.step("announce").unwrap().round_began;
    let failed = |times| move |history: &History| (history.step("announce")?.failures == times).then_some(());
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    sees(&journal, "the first failure", failed(1)).await;
    assert_eq!(began(&journal.history()), Some(noon()));
    stage.clock.advance(TimeDelta::minutes(1));
    let question = sees_open(&journal, "attention/announce/1").await;
    assert_eq!(began(&journal.history()), None, "nobody waits for it");
    stage.clock.advance(TimeDelta::minutes(59));
    process.decide(&journal, &question.key, "retry").await.unwrap();
    sees(&journal, "the failure of the second round", failed(1)).await;
    assert_eq!(began(&journal.history()), Some(minutes(60)));
    process.drains().await;

    let journal = stage.process().recover();
    stage.clock.advance(TimeDelta::minutes(1));
    sees(&journal, "one more failure", failed(2)).await;
    stage.clock.advance(TimeDelta::minutes(1));
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    assert_eq!(began(&journal.history()), Some(minutes(60)));
    assert_eq!(journal.history().step("announce").unwrap().first_started, noon());
}

#[tokio::test]
async fn people_are_reminded_of_what_the_engine_asks() {
    for (fault, asked) in [
        (Fault::Before(permanent()), "attention/announce/1"),
        (Fault::Panic, "attention/saga/1"),
    ] {
        let stage = Stage::new();
        stage.outside.fault("announce", fault);
        let process = stage.process();
        let input = json!({ "unattended": true, "remind_after_s": 60 });
        let journal = process.start(input).await;
        assert_eq!(sees_open(&journal, asked).await.remind_after_s, Some(60));
    }
}

#[tokio::test]
async fn after_the_pivot_a_person_skips() {
    let stage = Stage::new();
    stage.outside.fault("merge/2", Fault::Before(permanent()));
    assert_eq!(outcome(&stage, "skip").await, End::Finished(Outcome::Completed));
    let standing = stage.outside.standing();
    assert!(standing.contains_key("web-1/put back") && !standing.contains_key("web-1/merged 2"));
    assert_eq!(
        stage.history("web-1").step("merge/2").unwrap().phase,
        StepPhase::Skipped
    );
}

#[tokio::test]
async fn after_the_pivot_a_person_stops() {
    let stage = Stage::new();
    stage.outside.fault("merge/2", Fault::Before(permanent()));
    assert_eq!(outcome(&stage, "stop").await, End::Finished(Outcome::Stopped));
    let standing = stage.outside.standing();
    assert!(standing.contains_key("web-1/branch") && standing.contains_key("web-1/wound down"));
    assert!(stage.history("web-1").unwinding().is_none());
}

#[tokio::test]
async fn whoever_stopped_is_not_sent_forward_by_a_retry_of_the_winding_down() {
    let stage = Stage::new();
    stage.outside.fault("announce", Fault::Panic);
    stage.outside.fault("wind_down", Fault::Panic);
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    sees_open(&journal, "attention/saga/1").await;
    process.decide(&journal, "attention/saga/1", "stop").await.unwrap();
    sees_open(&journal, "attention/saga/2").await;
    process.decide(&journal, "attention/saga/2", "retry").await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Stopped);
    assert!(!stage.outside.standing().contains_key("web-1/announced"));
}

#[tokio::test]
async fn a_bug_in_a_step_is_put_to_a_person() {
    for (answer, expected) in [("retry", Outcome::Completed), ("undo", Outcome::Undone)] {
        let stage = Stage::new();
        stage.outside.fault("push_branch", Fault::Panic);
        assert_eq!(outcome(&stage, answer).await, End::Finished(expected));
        assert_eq!(stage.outside.standing().is_empty(), answer == "undo");
    }
}

#[tokio::test]
async fn a_compensation_that_fails_or_has_a_bug_keeps_no_other() {
    for fault in [Fault::Before(permanent()), Fault::Panic] {
        let stage = Stage::new();
        stage.outside.fault("merge/1", Fault::Before(permanent()));
        stage.outside.fault("undo/push_branch", fault);
        assert_eq!(outcome(&stage, "retry").await, End::Finished(Outcome::Undone));
        assert_eq!(
            stage.outside.standing().into_keys().collect::<Vec<_>>(),
            ["web-1/pushed"]
        );
        let history = stage.history("web-1");
        assert!(matches!(
            history.step("push_branch").unwrap().compensation,
            Compensation::Failed(_)
        ));
        assert!(matches!(
            history.step("create_branch").unwrap().compensation,
            Compensation::Completed(_)
        ));
    }
}

#[tokio::test]
async fn a_compensation_is_retried() {
    for fault in [Fault::Before, Fault::After] {
        let stage = Stage::new();
        stage.outside.fault("merge/1", Fault::Before(permanent()));
        stage
            .outside
            .fault("undo/push_branch", fault(StepError::transient("502")));
        assert_eq!(outcome(&stage, "retry").await, End::Finished(Outcome::Undone));
        assert_eq!(stage.outside.standing(), BTreeMap::new());
    }
}

#[tokio::test]
async fn the_budget_of_attempts_ends_and_a_restart_does_not_refill_it() {
    let mut stage = Stage::new();
    stage.retry = RetryPolicy {
        base: Duration::from_secs(1),
        max: Duration::from_secs(1),
        attempts: 3,
    };
    for _ in 0..9 {
        stage
            .outside
            .fault("create_branch", Fault::Before(StepError::transient("503")));
    }
    let failures = |events: &[Event]| {
        events
            .iter()
            .filter(|event| matches!(event, Event::StepFailed { .. }))
            .count()
    };
    let mut process = stage.process();
    let mut journal = process.start(json!({})).await;
    for expected in 1..=2 {
        sees(&journal, "a failure", |history| {
            (failures(&events(history)) == expected).then_some(())
        })
        .await;
        process.drains().await;
        process = stage.process();
        journal = process.recover();
        stage.clock.advance(TimeDelta::seconds(2));
    }
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    assert_eq!(failures(&events(&journal.history())), 3);
}

#[tokio::test]
async fn what_the_other_side_asks_for_is_waited_for_over_a_restart() {
    let mut stage = Stage::new();
    stage.retry = RetryPolicy {
        base: Duration::from_secs(1),
        max: Duration::from_secs(5),
        attempts: 3,
    };
    let limited = StepError::Transient {
        message: "rate limited".to_owned(),
        retry_after: Some(Duration::from_secs(600)),
    };
    stage.outside.fault("create_branch", Fault::Before(limited));
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    let retry_at = |history: &crate::saga::History| match history.step("create_branch")?.phase {
        StepPhase::Failed { retry_at, .. } => retry_at,
        _ => None,
    };
    let at = sees(&journal, "the failure", retry_at).await;
    assert!(at - stage.clock.now() >= TimeDelta::seconds(600));
    process.drains().await;

    let process = stage.process();
    let journal = process.recover();
    stage.clock.advance(TimeDelta::seconds(599));
    settles().await;
    assert_eq!(
        journal.history().step("create_branch").unwrap().attempts,
        1,
        "it came back too early"
    );
    stage.clock.advance(TimeDelta::seconds(2));
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    assert_eq!(journal.history().step("create_branch").unwrap().attempts, 2);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_stretch_the_wait_for_a_retry() {
    let mut stage = Stage::new();
    stage.retry.base = Duration::from_secs(60);
    stage.retry.max = stage.retry.base;
    stage
        .outside
        .fault("create_branch", Fault::Before(StepError::transient("503")));
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    sees(&journal, "the failure", |history| {
        (history.step("create_branch")?.failures == 1).then_some(())
    })
    .await;
    process.drains().await;
    stage.clock.advance(TimeDelta::days(-300));
    let journal = stage.process().recover();
    settles().await;
    assert_eq!(journal.history().step("create_branch").unwrap().attempts, 1);
    stage.clock.advance(TimeDelta::seconds(61));
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
}

#[tokio::test]
async fn an_abort_ends_the_wait_for_a_retry() {
    let mut stage = Stage::new();
    stage.retry.base = Duration::from_secs(3600);
    stage.retry.max = Duration::from_secs(3600);
    stage
        .outside
        .fault("push_branch", Fault::Before(StepError::transient("503")));
    let process = stage.process();
    let journal = process.start(json!({})).await;
    sees(&journal, "the failure", |history| {
        matches!(history.step("push_branch")?.phase, StepPhase::Failed { .. }).then_some(())
    })
    .await;
    process
        .engine
        .abort(&journal, ana(), Some("wrong branch".to_owned()), Vec::new())
        .await
        .unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    assert_eq!(journal.history().unwinding(), Some("aborted: wrong branch"));
    assert_eq!(stage.outside.standing(), BTreeMap::new());
}
