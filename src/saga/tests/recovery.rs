//! Processes end and begin again: what is open stays open, what was answered stays answered, and what doesn't fit the journal is asked about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::saga::engine::StartError;
use crate::saga::history::StepPhase;
use crate::saga::sled_store::SledStore;
use crate::saga::store::{Op, Store};
use crate::saga::{Effect, Event, History, Outcome, Record, StepError};

use super::toy::{Death, Fault, Stage, ana, events, noon, sees, sees_end, sees_open, settles};

fn starts(history: &History, wanted: &str) -> usize {
    let of = |event: &Event| matches!(event, Event::StepStarted { key, .. } if key == wanted);
    events(history).iter().filter(|&event| of(event)).count()
}

/// A saga whose second merge has failed, with the question open.
async fn asking(stage: &Stage) {
    stage
        .outside
        .fault("merge/2", Fault::Before(StepError::permanent("a conflict")));
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    sees_open(&journal, "attention/merge/2/1").await;
    process.drains().await;
}

#[tokio::test]
async fn an_open_question_stays_open_and_nothing_is_tried() {
    let stage = Stage::new();
    asking(&stage).await;
    let before = stage.history("web-1").len();
    let process = stage.process();
    let journal = process.recover();
    settles().await;
    assert_eq!(journal.history().len(), before);
    let open = sees_open(&journal, "attention/merge/2/1").await;
    assert_eq!(open.data, json!({ "step": "merge/2", "error": "a conflict" }));
    process.decide(&journal, &open.key, "retry").await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    assert_eq!(starts(&journal.history(), "merge/2"), 2);
}

/// The process dies right after the answer is durable; the next one acts on it, exactly once.
#[tokio::test]
async fn an_answer_outlives_the_process_that_took_it() {
    for (answer, expected) in [
        ("retry", Outcome::Completed),
        ("skip", Outcome::Completed),
        ("stop", Outcome::Stopped),
    ] {
        let stage = Stage::new();
        asking(&stage).await;
        let process = stage.dying(Some(Death::AfterCommit(0)));
        let journal = process.recover();
        sees_open(&journal, "attention/merge/2/1").await;
        process
            .decide(&journal, "attention/merge/2/1", answer)
            .await
            .unwrap_err();
        process.drains().await;
        // Once more, right after what the answer led to first.
        let process = stage.dying(Some(Death::AfterCommit(0)));
        process.recover();
        process.engine.fatal().wait_for(Option::is_some).await.unwrap();
        process.drains().await;

        let journal = stage.process().recover();
        assert_eq!(sees_end(&journal).await, expected, "{answer}");
        let skipped = |event: &&Event| matches!(event, Event::StepSkipped { .. });
        let skips = events(&journal.history()).iter().filter(skipped).count();
        assert_eq!(skips, usize::from(answer == "skip"), "{answer}");
        assert!(
            journal.history().checkpoint("attention/merge/2/2").is_none(),
            "asked once: {answer}"
        );
    }
}

#[tokio::test]
async fn a_failure_that_was_journaled_is_not_tried_again_after_a_restart() {
    let stage = Stage::new();
    stage
        .outside
        .fault("push_branch", Fault::Before(StepError::permanent("protected")));
    // Start, two intents, the failure; it dies before it begins to unwind.
    let process = stage.dying(Some(Death::BeforeCommit(4)));
    process.start(json!({ "unattended": true })).await;
    process.engine.fatal().wait_for(Option::is_some).await.unwrap();
    process.drains().await;
    assert!(matches!(
        stage.history("web-1").step("push_branch").unwrap().phase,
        StepPhase::Failed { .. }
    ));
    let journal = stage.process().recover();
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    assert_eq!(starts(&journal.history(), "push_branch"), 1);
}

#[tokio::test]
async fn a_drain_suspends_a_pausing_step_and_recover_goes_on() {
    let stage = Stage::new();
    stage.outside.green.store(false, SeqCst);
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    sees(&journal, "red", |history| {
        history.step("wait_for_checks")?.progress.clone()
    })
    .await;
    process.drains().await;
    assert!(matches!(
        process.engine.start("api", ana(), Value::Null, Vec::new()).await,
        Err(StartError::Draining)
    ));
    stage.outside.green.store(true, SeqCst);
    let journal = stage.process().recover();
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    let history = journal.history();
    assert_eq!(history.step("wait_for_checks").unwrap().first_started, noon());
    assert_eq!(history.step("wait_for_checks").unwrap().attempts, 2);
}

#[tokio::test]
async fn a_suspended_saga_has_journaled_all_it_did() {
    let stage = Stage::new();
    stage.left_at_the_approval(json!({})).await;
    let in_doubt = |history: &History| {
        history
            .steps()
            .iter()
            .filter(|step| step.phase == StepPhase::Started)
            .count()
    };
    assert_eq!(in_doubt(&stage.history("web-1")), 0);
}

#[tokio::test]
async fn another_input_under_a_known_key_is_asked_about() {
    let stage = Stage::new();
    stage.left_at_the_approval(json!({})).await;

    stage.outside.change("drifted", Some(1));
    let process = stage.process();
    let journal = process.recover();
    let open = sees_open(&journal, "attention/saga/1").await;
    assert_eq!(
        open.data["error"],
        "step `create_branch` stands in the journal as another step or with another input"
    );
    process.drains().await;

    // The next one doesn't try again until it is told to; then everything can be undone, although the code no longer fits.
    let process = stage.process();
    let journal = process.recover();
    settles().await;
    assert_eq!(journal.history().problems().count(), 1);
    process.decide(&journal, "attention/saga/1", "undo").await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    stage.outside.change("drifted", None);
    assert_eq!(stage.outside.standing(), BTreeMap::new());
}

#[tokio::test]
async fn another_kind_or_effect_under_a_known_key_is_asked_about() {
    for (kind, effect) in [("rename", Effect::Compensable), ("create", Effect::Forward)] {
        let stage = Stage::new();
        let process = stage.dying(Some(Death::BeforeCommit(1)));
        process.start(json!({})).await;
        process.engine.fatal().wait_for(Option::is_some).await.unwrap();
        process.drains().await;
        let started = Event::StepStarted {
            key: "create_branch".to_owned(),
            kind: kind.to_owned(),
            effect,
            input: json!({ "thing": "web-1/branch" }),
            attempt: 1,
        };
        let records = vec![Record {
            seq: 1,
            at: noon(),
            event: started,
        }];
        stage
            .data
            .commit(vec![Op::Append {
                saga: "web-1".to_owned(),
                records,
            }])
            .await
            .unwrap();
        sees_open(&stage.process().recover(), "attention/saga/1").await;
    }
}

#[tokio::test]
async fn another_version_of_the_workflow_goes_on_only_when_told_to() {
    let stage = Stage::new();
    stage.outside.fault("push_branch", Fault::Panic);
    let process = stage.process();
    let journal = process.start(json!({})).await;
    sees_open(&journal, "attention/saga/1").await;
    process.decide(&journal, "attention/saga/1", "retry").await.unwrap();
    sees_open(&journal, "approve").await;
    process.drains().await;

    // What somebody answered to the older version says nothing about this one.
    let process = stage.version::<2>(None);
    let journal = process.recover();
    let open = sees_open(&journal, "attention/saga/2").await;
    assert_eq!(
        open.data["error"],
        "it was started by workflow version 1 and this Shipmate runs version 2; go on only if its release notes say that this is safe"
    );
    process.decide(&journal, &open.key, "retry").await.unwrap();
    sees_open(&journal, "approve").await;
    process.drains().await;

    let process = stage.version::<2>(None);
    let journal = process.recover();
    settles().await;
    assert_eq!(journal.history().problems().count(), 2, "asked once");
    process.decide(&journal, "approve", "go").await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
}

#[tokio::test]
async fn a_project_runs_one_at_a_time() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({})).await;
    sees_open(&journal, "approve").await;
    let start = || process.engine.start("web", ana(), json!({}), Vec::new());
    let (one, two) = tokio::join!(start(), start());
    for second in [one, two] {
        assert!(
            matches!(&second, Err(StartError::Running(id)) if id == "web-1"),
            "{second:?}"
        );
    }
    process.decide(&journal, "approve", "go").await.unwrap();
    sees_end(&journal).await;
    let seen = || {
        vec![Op::Claim {
            key: "seen/7".to_owned(),
            value: Value::Null,
        }]
    };
    assert_eq!(
        process.engine.start("web", ana(), json!({}), seen()).await.unwrap(),
        "web-2"
    );
    let again = process.engine.start("api", ana(), json!({}), seen()).await;
    assert!(matches!(again, Err(StartError::Seen)), "{again:?}");
}

#[tokio::test]
async fn sixty_four_sagas_side_by_side() {
    let stage = Stage::new();
    let process = stage.process();
    let started = (0..64).map(|number| {
        let engine = &process.engine;
        async move {
            engine
                .start(&format!("p{number}"), ana(), json!({ "unattended": true }), Vec::new())
                .await
                .unwrap()
        }
    });
    let ids = futures_util::future::join_all(started).await;
    for id in &ids {
        let journal = process.engine.journal(id).unwrap().unwrap();
        assert_eq!(sees_end(&journal).await, Outcome::Completed);
    }
    assert_eq!(stage.outside.standing().len(), 64 * 5);
    assert!(stage.outside.standing().values().all(|&times| times == 1));
    process.drains().await;
}

#[tokio::test]
async fn each_project_keeps_its_newest_ended_sagas() {
    let stage = Stage::new();
    let process = stage.process();
    let start = async |project: &str, input| {
        let id = process.engine.start(project, ana(), input, Vec::new()).await.unwrap();
        process.engine.journal(&id).unwrap().unwrap()
    };
    for project in ["quiet-one", "busy", "busy", "busy"] {
        let journal = start(project, json!({ "unattended": true })).await;
        assert_eq!(sees_end(&journal).await, Outcome::Completed);
        stage.clock.advance(TimeDelta::seconds(1));
    }
    sees_open(&start("busy", json!({})).await, "approve").await;
    process.engine.retire(2).await.unwrap();
    let kept: Vec<String> = stage.data.heads().into_iter().map(|head| head.saga).collect();
    assert_eq!(kept, ["quiet-one-1", "busy-2", "busy-3", "busy-4"]);
}

/// The real store can be opened again once a drained engine is gone: nothing leaks a task that holds it.
#[tokio::test]
async fn on_disk_a_drained_engine_lets_go_and_the_next_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let stage = Stage::new();
    let process = || stage.over::<1>(Arc::new(SledStore::open(dir.path()).unwrap()), Arc::default());
    {
        let process = process();
        let journal = process.start(json!({})).await;
        sees_open(&journal, "approve").await;
        process.drains().await;
    }
    let process = process();
    let journal = process.recover();
    process.decide(&journal, "approve", "go").await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    process.drains().await;
    let length = journal.history().len();
    // The last of them ends the writer, and it ends with all lines written.
    drop((process, journal));
    let recorder = std::fs::read_to_string(dir.path().join("flight/web-1.jsonl")).unwrap();
    assert_eq!(recorder.lines().count() as u64, length);
}

/// The outcome of one step shares a commit with the intent of the next.
#[tokio::test]
async fn a_step_costs_one_commit() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    sees_end(&journal).await;
    let steps = journal.history().steps().len() as u64;
    // Besides: the start, one report of the wait, the end.
    assert_eq!(stage.data.commits(), steps + 3);
}

#[tokio::test]
async fn an_end_is_counted_with_its_kind_and_how_long_it_took() {
    crate::metrics::install();
    let stage = Stage::new();
    let process = stage.process();
    let id = process
        .engine
        .start("counted", ana(), json!({}), Vec::new())
        .await
        .unwrap();
    let journal = process.engine.journal(&id).unwrap().unwrap();
    sees_open(&journal, "approve").await;
    stage.clock.advance(TimeDelta::minutes(7));
    process.decide(&journal, "approve", "go").await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    process.drains().await;
    let metrics = crate::metrics::rendered();
    let of_it: Vec<&str> = metrics
        .lines()
        .filter(|line| line.contains(r#"project="counted",end="completed""#) && !line.contains("_bucket"))
        .collect();
    assert_eq!(
        of_it,
        [
            r#"shipmate_deployments_total{project="counted",end="completed"} 1"#,
            r#"shipmate_deployment_duration_seconds_sum{project="counted",end="completed"} 420"#,
            r#"shipmate_deployment_duration_seconds_count{project="counted",end="completed"} 1"#,
        ]
    );
}
