//! People decide and abort, at the same time as each other, the deadline and the pivot. What is journaled first wins.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::saga::engine::TooLate;
use crate::saga::journal::AppendError;
use crate::saga::run::Undecidable;
use crate::saga::store::{Op, Store, StoreError};
use crate::saga::{Actor, Event, History, Outcome, StepError};

use super::toy::{Death, Fault, Stage, ana, ben, events, sees, sees_end, sees_open, settles};

#[tokio::test]
async fn the_first_decision_wins_and_the_second_is_told() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({})).await;
    sees_open(&journal, "approve").await;
    let click = |choice, by| {
        process
            .engine
            .decide(&journal, "approve", choice, by, json!({ "digest": 7 }), Vec::new())
    };
    let (anas, bens) = tokio::join!(click("go", ana()), click("no", ben()));
    anas.unwrap();
    let Err(AppendError::Refused(Undecidable::Decided(first))) = bens else {
        panic!("{bens:?}")
    };
    assert_eq!(
        (first.choice.as_str(), first.by, first.payload),
        ("go", ana(), json!({ "digest": 7 }))
    );
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
}

#[tokio::test]
async fn only_an_open_checkpoint_takes_one_of_its_choices() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({})).await;
    sees_open(&journal, "approve").await;
    let length = journal.history().len();
    assert_eq!(
        process.decide(&journal, "approve", "perhaps").await.unwrap_err(),
        "Refused(NoSuchChoice)"
    );
    assert_eq!(
        process.decide(&journal, "confirm", "go").await.unwrap_err(),
        "Refused(NotOpen)"
    );
    assert_eq!(journal.history().len(), length);
    process.engine.abort(&journal, ana(), None, Vec::new()).await.unwrap();
    assert_eq!(
        process.decide(&journal, "approve", "go").await.unwrap_err(),
        "Refused(NotOpen)"
    );
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
}

#[tokio::test]
async fn an_open_checkpoint_keeps_every_signal_and_a_decided_one_takes_none() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({})).await;
    sees_open(&journal, "approve").await;
    let signal = |key: &'static str, by, value| process.engine.signal(&journal, key, by, value, Vec::new());
    let (anas, bens) = tokio::join!(
        signal("approve", ana(), json!("vote")),
        signal("approve", ben(), json!("vote"))
    );
    anas.unwrap();
    bens.unwrap();
    let signals = || {
        let history = journal.history();
        let signals = &history.checkpoint("approve").unwrap().signals;
        signals.iter().map(|(by, _, _)| by.clone()).collect::<Vec<_>>()
    };
    assert_eq!(signals(), [ana(), ben()]);
    assert!(matches!(
        signal("nothing", ana(), json!("vote")).await,
        Err(AppendError::Refused(Undecidable::NotOpen))
    ));
    process.decide(&journal, "approve", "go").await.unwrap();
    assert!(matches!(
        signal("approve", ana(), json!("vote")).await,
        Err(AppendError::Refused(Undecidable::Decided(_)))
    ));
    assert_eq!(signals().len(), 2);
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
}

#[tokio::test]
async fn an_abort_undoes_from_any_wait_before_the_pivot() {
    for wait in ["wait_for_checks", "approve"] {
        let stage = Stage::new();
        stage.outside.green.store(wait == "approve", SeqCst);
        let process = stage.process();
        let journal = process.start(json!({})).await;
        sees(&journal, wait, |history: &History| {
            let step = history.step(wait).is_some_and(|step| step.progress.is_some());
            (step || history.checkpoint(wait).is_some()).then_some(())
        })
        .await;
        process.engine.abort(&journal, ana(), None, Vec::new()).await.unwrap();
        let again = process.engine.abort(&journal, ben(), None, Vec::new()).await;
        assert!(
            matches!(again, Err(AppendError::Refused(TooLate::Unwinding))),
            "{again:?}"
        );
        assert_eq!(sees_end(&journal).await, Outcome::Undone, "{wait}");
        assert_eq!(stage.outside.standing(), BTreeMap::new(), "{wait}");
        let late = process.engine.abort(&journal, ana(), None, Vec::new()).await;
        assert!(matches!(late, Err(AppendError::Refused(TooLate::Finished))), "{late:?}");
    }
}

/// Aborts after each event of a whole run: either nothing is left, or everything is done and the abort was refused.
#[tokio::test]
async fn an_abort_and_the_pivot_are_decided_by_the_order_in_the_journal() {
    let (mut undone, mut refused) = (0, 0);
    for moment in 1.. {
        let stage = Stage::new();
        let process = stage.process();
        let journal = process.start(json!({ "unattended": true })).await;
        sees(&journal, "the moment", |history| {
            (history.len() >= moment || history.outcome().is_some()).then_some(())
        })
        .await;
        if journal.history().len() > moment && journal.history().outcome().is_some() {
            break;
        }
        let aborted = process.engine.abort(&journal, ana(), None, Vec::new()).await;
        let outcome = sees_end(&journal).await;
        let journaled = events(&journal.history());
        let place = |wanted: fn(&Event) -> bool| journaled.iter().position(wanted);
        let pivot = place(|event| matches!(event, Event::StepStarted { kind, .. } if kind == "merge"));
        match aborted {
            Ok(()) => {
                undone += 1;
                assert_eq!((outcome, pivot), (Outcome::Undone, None), "moment {moment}");
                assert_eq!(stage.outside.standing(), BTreeMap::new(), "moment {moment}");
            }
            Err(AppendError::Refused(why)) => {
                refused += 1;
                assert_eq!(outcome, Outcome::Completed, "moment {moment}");
                assert!(matches!(why, TooLate::PastPivot | TooLate::Finished), "{why:?}");
            }
            Err(AppendError::Store(error)) => panic!("{error}"),
        }
    }
    assert!(undone > 3 && refused > 3, "{undone} undone, {refused} refused");
}

#[tokio::test]
async fn a_deadline_counts_from_the_journal_over_a_restart() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({})).await;
    let deadline = sees_open(&journal, "approve").await.deadline.unwrap();
    stage.clock.advance(TimeDelta::minutes(50));
    process.drains().await;

    let process = stage.process();
    let journal = process.recover();
    assert_eq!(sees_open(&journal, "approve").await.deadline, Some(deadline));
    stage.clock.advance(TimeDelta::minutes(9));
    settles().await;
    assert!(
        journal.history().checkpoint("approve").unwrap().decided.is_none(),
        "too early"
    );
    stage.clock.advance(TimeDelta::minutes(1));
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    let decided = journal
        .history()
        .checkpoint("approve")
        .unwrap()
        .decided
        .clone()
        .unwrap();
    assert_eq!((decided.choice.as_str(), decided.by), ("no", Actor::Deadline));
    assert_eq!(journal.history().unwinding(), Some("approve said no"));
}

#[tokio::test]
async fn a_deadline_that_passed_while_nothing_ran_decides_at_once() {
    let stage = Stage::new();
    stage.left_at_the_approval(json!({})).await;
    stage.clock.advance(TimeDelta::days(3));
    assert_eq!(sees_end(&stage.process().recover()).await, Outcome::Undone);
}

#[tokio::test]
async fn a_clock_that_jumps_back_neither_loses_nor_hastens_a_deadline() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({})).await;
    let deadline = sees_open(&journal, "approve").await.deadline.unwrap();
    stage.clock.advance(TimeDelta::days(-2));
    settles().await;
    assert!(journal.history().checkpoint("approve").unwrap().decided.is_none());
    stage.clock.advance(deadline - stage.clock.now());
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
}

#[tokio::test]
async fn a_click_that_slack_delivers_twice_counts_once() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({})).await;
    sees_open(&journal, "approve").await;
    let seen = || {
        vec![Op::Claim {
            key: "seen/1".to_owned(),
            value: Value::Null,
        }]
    };
    process
        .engine
        .decide(&journal, "approve", "go", ana(), Value::Null, seen())
        .await
        .unwrap();
    let again = process.engine.abort(&journal, ana(), None, seen()).await;
    assert!(!matches!(again, Ok(())), "{again:?}");
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    assert!(
        process.engine.fatal().borrow().is_none(),
        "a double click is no failure"
    );
}

/// An outcome waits for the next intent's commit; a refused click in between must not take it away.
#[tokio::test]
async fn a_refused_commit_loses_no_outcome_that_waits() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    sees_end(&journal).await;
    let completed = |key: &str| Event::StepCompleted {
        key: key.to_owned(),
        output: Value::Null,
        observed: false,
        requests: Vec::new(),
    };
    let taken = vec![Op::Claim {
        key: "count/web".to_owned(),
        value: Value::Null,
    }];
    journal.append_with_next(completed("late")).await;
    let refused = journal.append_if(taken, |_| Ok::<_, ()>(completed("click"))).await;
    assert!(
        matches!(refused, Err(AppendError::Store(StoreError::Taken { .. }))),
        "{refused:?}"
    );
    journal.append(completed("next")).await.unwrap();
    let last_two = events(&stage.history("web-1")).split_off(journal.history().len() as usize - 2);
    assert_eq!(last_two, [completed("late"), completed("next")]);
}

/// Slack's and the browser's connections close at any moment.
#[tokio::test]
async fn a_caller_that_hangs_up_leaves_journal_and_store_in_step() {
    let stage = Stage::new();
    let process = stage.process();
    let journal = process.start(json!({})).await;
    sees_open(&journal, "approve").await;
    {
        let click = process
            .engine
            .decide(&journal, "approve", "go", ana(), Value::Null, Vec::new());
        let mut click = std::pin::pin!(click);
        assert!(futures_util::poll!(&mut click).is_pending(), "it is at the store");
    }
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    assert_eq!(stage.data.load("web-1").unwrap().len() as u64, journal.history().len());
}

#[tokio::test]
async fn a_start_whose_caller_hangs_up_runs_all_the_same() {
    let stage = Stage::new();
    let process = stage.process();
    {
        let start = process
            .engine
            .start("web", ana(), json!({ "unattended": true }), Vec::new());
        let mut start = std::pin::pin!(start);
        assert!(futures_util::poll!(&mut start).is_pending(), "it is at the store");
    }
    settles().await;
    let journal = process.engine.journal("web-1").unwrap().unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
}

/// Whoever finds a saga in the store a moment before its start has returned must not become a second writer.
#[tokio::test]
async fn an_abort_right_behind_the_start_meets_the_same_journal() {
    let stage = Stage::new();
    let process = stage.process();
    let engine = process.engine.clone();
    let starting = tokio::spawn(async move { engine.start("web", ana(), json!({}), Vec::new()).await });
    let journal = loop {
        match process.engine.running("web").unwrap() {
            Some(journal) => break journal,
            None => tokio::task::yield_now().await,
        }
    };
    process.engine.abort(&journal, ana(), None, Vec::new()).await.unwrap();
    assert_eq!(starting.await.unwrap().unwrap(), "web-1");
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    assert!(process.engine.fatal().borrow().is_none());
}

#[tokio::test]
async fn a_store_that_fails_under_a_click_ends_the_process() {
    let stage = Stage::new();
    stage.left_at_the_approval(json!({})).await;
    let process = stage.dying(Some(Death::BeforeCommit(0)));
    let journal = process.recover();
    sees_open(&journal, "approve").await;
    process.decide(&journal, "approve", "go").await.unwrap_err();
    let mut fatal = process.engine.fatal();
    fatal.wait_for(Option::is_some).await.unwrap();
    process.drains().await;
}

#[tokio::test]
async fn a_store_that_fails_under_a_report_ends_the_process() {
    let stage = Stage::new();
    stage.outside.green.store(false, SeqCst);
    // Start, two steps, the wait's intent; then its report.
    let process = stage.dying(Some(Death::BeforeCommit(4)));
    process.start(json!({})).await;
    let mut fatal = process.engine.fatal();
    let failed = tokio::time::timeout(super::toy::LIMIT, fatal.wait_for(Option::is_some));
    failed.await.expect("nobody noticed").unwrap();
}

#[tokio::test]
async fn a_refused_commit_is_no_failure_of_the_store_and_a_failed_one_is() {
    let stage = Stage::new();
    stage.left_at_the_approval(json!({})).await;
    let process = stage.dying(Some(Death::BeforeCommit(1)));
    let journal = process.recover();
    let open = sees_open(&journal, "approve").await;

    let seen = Op::Claim {
        key: "seen/click".to_owned(),
        value: json!(1),
    };
    stage.data.commit(vec![seen.clone()]).await.unwrap();
    let decide = |also| process.engine.decide(&journal, &open.key, "go", ana(), json!({}), also);
    let again = decide(vec![seen]).await.unwrap_err();
    assert!(
        matches!(again, AppendError::Store(StoreError::Taken { .. })),
        "{again:?}"
    );
    assert_eq!(journal.failed(), None);
    let failed = decide(Vec::new()).await.unwrap_err();
    assert!(
        matches!(failed, AppendError::Store(StoreError::Failed(_))),
        "{failed:?}"
    );
    assert!(matches!(journal.failed(), Some(StoreError::Failed(_))));
}

#[tokio::test]
async fn an_abort_works_where_the_workflow_can_not_go_on() {
    let stage = Stage::new();
    stage.left_at_the_approval(json!({})).await;
    let process = stage.version::<2>(None);
    let journal = process.recover();
    sees_open(&journal, "attention/saga/1").await;
    process.engine.abort(&journal, ana(), None, Vec::new()).await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    assert_eq!(stage.outside.standing(), BTreeMap::new());
}

/// Whether the abort comes before the engine finds that it can't go on, while it does, or after it has asked.
#[tokio::test]
async fn an_abort_answers_a_problem_at_whatever_moment_it_comes() {
    for moment in 0..30 {
        let stage = Stage::new();
        stage.left_at_the_approval(json!({})).await;
        let process = stage.version::<2>(None);
        let journal = process.recover();
        for _ in 0..moment {
            tokio::task::yield_now().await;
        }
        process.engine.abort(&journal, ana(), None, Vec::new()).await.unwrap();
        assert_eq!(sees_end(&journal).await, Outcome::Undone, "moment {moment}");
    }
}

#[tokio::test]
async fn an_abort_that_can_not_reach_its_world_asks_instead_of_spinning() {
    let stage = Stage::new();
    stage.left_at_the_approval(json!({ "project_gone": true })).await;

    stage.outside.change("config_broken", Some(1));
    let process = stage.process();
    let journal = process.recover();
    let open = sees_open(&journal, "attention/saga/1").await;
    assert_eq!(open.data["error"], "the project isn't configured any more");
    process.engine.abort(&journal, ana(), None, Vec::new()).await.unwrap();
    settles().await;
    assert_eq!(journal.history().problems().count(), 1, "asked once");
    stage.outside.change("config_broken", None);
    process.decide(&journal, &open.key, "retry").await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    assert_eq!(stage.outside.standing(), BTreeMap::new());
}

#[tokio::test]
async fn a_webhook_ends_a_pause() {
    let stage = Stage::new();
    stage.outside.green.store(false, SeqCst);
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    sees(&journal, "red", |history| {
        history.step("wait_for_checks")?.progress.clone()
    })
    .await;
    stage.outside.green.store(true, SeqCst);
    process.engine.wake("web");
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
}

#[tokio::test]
async fn a_pivot_that_is_retried_is_too_late_to_abort() {
    let mut stage = Stage::new();
    stage.retry.base = std::time::Duration::from_secs(60);
    stage.retry.max = stage.retry.base;
    stage
        .outside
        .fault("merge/1", Fault::After(StepError::transient("timeout")));
    let process = stage.process();
    let journal = process.start(json!({ "unattended": true })).await;
    sees(&journal, "the timeout", |history| {
        (history.step("merge/1")?.failures == 1).then_some(())
    })
    .await;
    let late = process.engine.abort(&journal, ana(), None, Vec::new()).await;
    assert!(
        matches!(late, Err(AppendError::Refused(TooLate::PastPivot))),
        "{late:?}"
    );
    stage.clock.advance(TimeDelta::seconds(61));
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
}
