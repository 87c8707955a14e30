//! Deadlines, reminders and dates are the journal's and the project's: a restart, a clock that jumps and a change to summer time don't bend
//! them.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::from_value;
use shipmate::saga::{Clock, History, Outcome};
use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::REPO;

use crate::stage::{LIMIT, Stage};

/// A stage at this time, which passes from then on; the question is open.
async fn at(time: &str, label: &str) -> Stage {
    on(Stage::empty(Scenario::Happy, |_| {}).await, time, label).await
}

async fn on(mut stage: Stage, time: &str, label: &str) -> Stage {
    stage.clock = Clock::manual(time.parse().unwrap());
    stage.lets_time_pass();
    stage.boot().await;
    stage.plays_to(label).await;
    stage
}

const MORNING: &str = "2026-06-10T08:00:00Z";

fn hours(hours: i64) -> TimeDelta {
    TimeDelta::hours(hours)
}

/// How many reminders stand in the channel.
fn reminders(stage: &Stage) -> usize {
    let ledger = stage.slack().ledger();
    ledger
        .iter()
        .filter(|line| line.starts_with("chat.postMessage") && line.contains("slot=reminder/"))
        .count()
}

async fn reminded(stage: &Stage, times: usize) {
    let ledger = |workspace: &shipmate::sandbox::slack::Workspace| {
        let posts = workspace
            .ledger
            .iter()
            .filter(|line| line.starts_with("chat.postMessage"));
        (posts.filter(|line| line.contains("slot=reminder/")).count() >= times).then_some(())
    };
    stage.until(&format!("{times} reminders"), ledger).await;
    assert_eq!(reminders(stage), times);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_counts_from_the_journal_over_restarts() {
    let mut stage = at(MORNING, "Confirm").await;
    for _ in 0..2 {
        stage.stop().await;
        stage.clock.advance(hours(11));
        stage.boot().await;
        assert_eq!(stage.journal("web-1").history().outcome(), None, "a day isn't over yet");
    }
    stage.clock.advance(hours(3));
    stage
        .reads("Everything is undone: nobody confirmed the list of pull requests within")
        .await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passed_while_nobody_ran_decides_at_the_start() {
    let mut stage = at(MORNING, "Confirm").await;
    stage.stop().await;
    stage.clock.advance(hours(24 * 30));
    stage.boot().await;
    stage
        .reads("Everything is undone: nobody confirmed the list of pull requests within")
        .await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_set_back_or_forward_within_the_deadline_changes_nothing() {
    let mut stage = at(MORNING, "Confirm").await;
    stage.clock.advance(hours(-48));
    stage.restart().await;
    stage.ana().clicks("Confirm").await;
    stage.sees("Approve").await;
    stage.clock.advance(hours(1));
    stage.clock.advance(hours(-2));
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    let history = stage.journal("web-1").history();
    assert_eq!(history.outcome(), Some(Outcome::Completed));
    stage.closes().await;
}

/// Until the checks are waited for with a deadline that is still to come.
async fn waits_for_checks(stage: &Stage) {
    let journal = stage.journal("web-1");
    let in_time = |history: &History| {
        let progress = history.step("wait_for_ci")?.progress.as_ref()?;
        let deadline: DateTime<Utc> = from_value(progress["deadline"].clone()).ok()?;
        (deadline > stage.clock.now()).then_some(())
    };
    let waits = tokio::time::timeout(LIMIT, journal.wait_for(in_time)).await;
    waits.expect("a deadline that is to come");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_of_a_wait_that_took_too_long_waits_as_long_again() {
    // The third check is required, and doesn't come.
    let stage = Stage::empty(Scenario::Protected, |_| {}).await;
    stage.github().knobs(|knobs| knobs.second_wave = u32::MAX);
    let mut stage = on(stage, MORNING, "").await;
    waits_for_checks(&stage).await;
    stage.clock.advance(hours(2));
    stage.reads("are not done after 1h").await;
    stage.sees("Retry").await;
    stage.clock.advance(hours(1));
    stage.ben().clicks("Retry").await;
    waits_for_checks(&stage).await;
    stage.restart().await;
    stage.clock.advance(TimeDelta::minutes(50));
    stage.github().knobs(|knobs| knobs.second_wave = 0);
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    let history = stage.journal("web-1").history();
    assert!(history.checkpoint("attention/wait_for_ci/2").is_none(), "asked once");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_release_no_jump_ends_anything() {
    let mut stage = at(MORNING, "").await;
    stage.reads("After the release: 0 of 3 done").await;
    stage.clock.advance(hours(24 * 365));
    stage.restart().await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reminder_comes_once_whoever_restarts() {
    let mut stage = at(MORNING, "Confirm").await;
    stage.clock.advance(TimeDelta::minutes(31));
    reminded(&stage, 1).await;
    for _ in 0..3 {
        stage.restart().await;
    }
    stage.clock.advance(hours(-1));
    stage.restart().await;
    assert_eq!(reminders(&stage), 1);
    stage.clock.advance(hours(3));
    reminded(&stage, 2).await;
    stage.ana().aborts_by_word("").await;
    stage.reads("Everything is undone").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_reminded_of_what_failed_and_of_what_a_stop_left() {
    let stage = Stage::empty(Scenario::FailingChecks, |_| {}).await;
    let mut stage = on(stage, MORNING, "").await;
    stage.sees("Stop here").await;
    stage.clock.advance(TimeDelta::minutes(31));
    reminded(&stage, 1).await;
    stage.restart().await;
    stage.ben().clicks("Stop here").await;
    stage.sees("Close the deploy PR").await;
    assert_eq!(reminders(&stage), 1);
    stage.clock.advance(TimeDelta::minutes(31));
    reminded(&stage, 2).await;
    stage.ben().clicks("Leave as it is").await;
    stage.reads("Stopped by @Ben").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_has_the_date_of_its_project_on_both_sides_of_summer_time() {
    // In Paris: half past midnight in winter time, minutes before and after the clocks change, and half past midnight in summer time.
    for (time, date) in [
        ("2026-03-28T22:59:59Z", "20260328"),
        ("2026-03-28T23:30:00Z", "20260329"),
        ("2026-03-29T00:59:59Z", "20260329"),
        ("2026-03-29T01:00:00Z", "20260329"),
        ("2026-03-29T21:59:59Z", "20260329"),
        ("2026-03-29T22:30:00Z", "20260330"),
        ("2026-10-24T22:30:00Z", "20261025"),
        ("2026-10-25T00:30:00Z", "20261025"),
        ("2026-10-25T22:59:59Z", "20261025"),
        ("2026-10-25T23:00:00Z", "20261026"),
    ] {
        let stage = at(time, "Confirm").await;
        let pushed = stage.github().ledger(REPO).await;
        assert!(
            pushed[0].starts_with(&format!("git push deploy-{date} ")),
            "{time}: {pushed:?}"
        );
    }
}
