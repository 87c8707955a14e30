//! A process dies at every commit and around every effect, on the way forward and back, once and twice in a row; the world must not tell.

use std::collections::BTreeMap;

use crate::saga::{History, Outcome, StepError};

use super::toy::{Death, End, Fault, Process, Stage};

type Standing = BTreeMap<String, u32>;

/// What goes wrong besides deaths.
type Trouble = fn(&Stage);

fn none(_: &Stage) {}

fn failing_pivot(stage: &Stage) {
    for _ in 0..9 {
        stage
            .outside
            .fault("merge/1", Fault::Before(StepError::permanent("a conflict")));
    }
}

fn failing_announcement(stage: &Stage) {
    stage
        .outside
        .fault("announce", Fault::Before(StepError::permanent("no channel")));
}

async fn lives(process: &Process<1>) -> End {
    process
        .runs(|open| if open.key == "approve" { "go" } else { "retry" })
        .await
}

/// A run with these deaths, one a process; then one process that lives.
async fn run(trouble: Trouble, deaths: &[Death]) -> (Stage, End) {
    let stage = Stage::new();
    trouble(&stage);
    for &death in deaths {
        let end = lives(&stage.dying(Some(death))).await;
        if end != End::Died {
            return (stage, end);
        }
    }
    let end = lives(&stage.process()).await;
    (stage, end)
}

/// Every death of a kind that a run can die, until it outlives it.
async fn each_death(trouble: Trouble, kind: fn(u64) -> Death, expected: Outcome) -> u64 {
    let (golden, end) = run(trouble, &[]).await;
    assert_eq!(end, End::Finished(expected));
    let expected_standing = golden.outside.standing();
    for number in 0.. {
        let stage = Stage::new();
        trouble(&stage);
        if lives(&stage.dying(Some(kind(number)))).await != End::Died {
            return number;
        }
        for second in [
            None,
            Some(Death::BeforeCommit(0)),
            Some(Death::AfterCommit(1)),
            Some(Death::AfterEffect(0)),
        ] {
            let deaths: Vec<Death> = [kind(number)].into_iter().chain(second).collect();
            let (stage, end) = run(trouble, &deaths).await;
            assert_eq!(end, End::Finished(expected), "{deaths:?}");
            assert_eq!(stage.outside.standing(), expected_standing, "{deaths:?}");
            accounts_for_everything(&stage, &deaths);
        }
    }
    unreachable!()
}

/// Each effect once, and nobody is left holding the project.
fn accounts_for_everything(stage: &Stage, deaths: &[Death]) {
    let mut made: Standing = BTreeMap::new();
    for effect in stage.outside.effects.lock().unwrap().iter() {
        *made.entry(effect.clone()).or_default() += 1;
    }
    assert!(made.values().all(|&times| times == 1), "{deaths:?}: {made:?}");
    use crate::saga::store::Store;
    assert_eq!(stage.data.scan("lock/").unwrap(), [], "{deaths:?}");
    let history: History = stage.history("web-1");
    assert_eq!(history.open_checkpoints().count(), 0, "{deaths:?}");
}

#[tokio::test]
async fn on_the_way_forward() {
    let commits = each_death(none, Death::BeforeCommit, Outcome::Completed).await;
    assert!(commits >= 10, "{commits}");
    assert_eq!(each_death(none, Death::AfterCommit, Outcome::Completed).await, commits);
    assert_eq!(each_death(none, Death::BeforeEffect, Outcome::Completed).await, 5);
    assert_eq!(each_death(none, Death::AfterEffect, Outcome::Completed).await, 5);
}

#[tokio::test]
async fn while_unwinding() {
    let commits = each_death(failing_pivot, Death::BeforeCommit, Outcome::Undone).await;
    assert!(commits >= 12, "{commits}");
    assert_eq!(
        each_death(failing_pivot, Death::AfterCommit, Outcome::Undone).await,
        commits
    );
    assert_eq!(each_death(failing_pivot, Death::BeforeEffect, Outcome::Undone).await, 4);
    assert_eq!(each_death(failing_pivot, Death::AfterEffect, Outcome::Undone).await, 4);
    let (stage, _) = run(failing_pivot, &[]).await;
    assert_eq!(stage.outside.standing(), Standing::new(), "a clean slate");
}

#[tokio::test]
async fn while_a_person_is_asked() {
    each_death(failing_announcement, Death::BeforeCommit, Outcome::Completed).await;
    each_death(failing_announcement, Death::AfterCommit, Outcome::Completed).await;
}
