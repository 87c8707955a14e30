//! Upgrades: journals that released versions wrote, checked in under `journals/v1`, replay with today's code and go on from where they
//! stood; what today's code can't go on with is put to a person, who can still call it off.
//!
//! A journal comes back the way an operator brings it back, by `shipmate import`; GitHub is brought to where the journal says it stood.
//! `SHIPMATE_FREEZE=1 cargo test --test deploy freeze` writes the journals of a new version: never over those that were released.

use chrono::TimeDelta;
use reqwest::Method;
use shipmate::saga::history::{Compensation, StepPhase};
use shipmate::saga::sled_store::{SledStore, import};
use shipmate::saga::store::Store as _;
use shipmate::saga::{Clock, Event, History, Outcome, Record};
use shipmate::sandbox::faults::When;
use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::REPO;
use shipmate::sandbox::slack::Tick;

use crate::mortal::{Death, Life, Point};
use crate::stage::{Stage, calls_off};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/journals/v1");

fn frozen(name: &str) -> Vec<Record> {
    let text = std::fs::read_to_string(format!("{FOLDER}/{name}.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A stage with this journal and the world that it left: time is the journal's, and goes on from there.
async fn after(records: &[Record]) -> Stage {
    let mut stage = Stage::empty(Scenario::Happy, |_| {}).await;
    let flights = stage.sandbox.dir().join("flights");
    std::fs::create_dir_all(&flights).unwrap();
    let lines: Vec<String> = records
        .iter()
        .map(|record| serde_json::to_string(record).unwrap())
        .collect();
    std::fs::write(flights.join("web-1.jsonl"), lines.join("\n") + "\n").unwrap();
    let data = stage.sandbox.dir().join("data");
    assert_eq!(import(&flights, &data).await.unwrap(), ["web-1"]);
    stands_where_it_stood(&stage, records).await;
    let last = records.last().unwrap().at;
    stage.clock = Clock::manual(last + TimeDelta::seconds(1));
    stage.lets_time_pass();
    stage.boot_over(SledStore::open(&data).unwrap()).await;
    stage
}

/// Does at GitHub what the journal's steps had done there, through GitHub's own protocol.
async fn stands_where_it_stood(stage: &Stage, records: &[Record]) {
    let history: History = records.iter().cloned().collect();
    // What comes after the release asks GitHub for nothing any more.
    if history.step("merge_deploy_pr").is_some() {
        return;
    }
    for step in history.steps() {
        let undone = matches!(step.compensation, Compensation::Completed(_));
        let merged = matches!(step.phase, StepPhase::Completed(_) | StepPhase::Started);
        let number = step.input["number"]
            .as_u64()
            .or(step.input["car"]["number"].as_u64())
            .unwrap_or_default();
        match step.kind.as_str() {
            "push_deploy_branch" if !undone => {
                let text = |field: &str| step.input[field].as_str().unwrap();
                stage
                    .github()
                    .set_branch(REPO, text("branch"), text("at"))
                    .await
                    .unwrap();
            }
            "change_pr_base" if !undone => {
                let base = serde_json::json!({ "base": step.input["branch"] });
                stage.asks_github(Method::PATCH, &format!("pulls/{number}"), base).await;
            }
            "merge_pr" if merged => {
                let method = serde_json::json!({ "merge_method": "squash" });
                stage
                    .asks_github(Method::PUT, &format!("pulls/{number}/merge"), method)
                    .await;
            }
            _ => {}
        }
    }
}

async fn completes(stage: Stage) {
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    let merges = stage.github().ledger(REPO).await;
    let merges = merges.iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(merges, 5, "each once, those before the upgrade too");
    ends(stage, Outcome::Completed).await;
}

async fn ends(mut stage: Stage, outcome: Outcome) {
    assert_eq!(stage.journal("web-1").history().outcome(), Some(outcome));
    stage.stop().await;
    assert_eq!(stage.slack().violations(), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_list_it_asks_again_and_goes_on() {
    let stage = after(&frozen("at_confirm")).await;
    stage.sees("Confirm").await;
    stage.ana().clicks("Confirm").await;
    stage.sees("Approve").await;
    stage.ben().clicks("Approve").await;
    completes(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_point_of_no_return_it_goes_on() {
    let stage = after(&frozen("at_approve")).await;
    stage.sees("Approve").await;
    stage.ben().clicks("Approve").await;
    completes(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_point_of_no_return_it_can_be_called_off() {
    let stage = after(&frozen("at_approve")).await;
    stage.sees("Approve").await;
    stage.ana().aborts_by_word("after the upgrade").await;
    is_undone(stage, "aborted by @Ana Ruiz: after the upgrade").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_merges_it_goes_on_and_merges_nothing_twice() {
    completes(after(&frozen("in_the_merges")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_way_back_it_goes_on_undoing() {
    is_undone(after(&frozen("on_the_way_back")).await, "aborted by @Ana Ruiz: enough").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_checklist_the_ticks_are_kept() {
    let stage = after(&frozen("at_the_checklist")).await;
    stage.reads("After the release: 1 of 3 done").await;
    for item in ["Log in and out", "Watch the error rate"] {
        stage.slack().ticks_beside("U0ANA", item, Tick::On).await.unwrap();
    }
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    ends(stage, Outcome::Completed).await;
}

async fn is_undone(stage: Stage, why: &str) {
    stage.reads(&format!("Everything is undone: {why}.")).await;
    for number in [41, 42, 44, 47] {
        assert_eq!(stage.github().pull(REPO, number).await.unwrap().base, "staging");
    }
    let branches = stage.snapshot().await["branches"].to_string();
    assert!(!branches.contains("deploy-"), "{branches}");
    ends(stage, Outcome::Undone).await;
}

/// What today's code can't go on with is put to a person, and can still be undone: by the answer, or by an abort.
async fn is_put_to_a_person(records: Vec<Record>, why: &str) {
    let stage = after(&records).await;
    stage.reads(why).await;
    let problem = stage
        .journal("web-1")
        .history()
        .open_checkpoints()
        .last()
        .unwrap()
        .key
        .clone();
    assert_eq!(problem, "attention/saga/1");
    stage.ana().aborts_by_word("it is too old").await;
    is_undone(stage, "aborted by @Ana Ruiz: it is too old").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_is_another_one_today_is_put_to_a_person() {
    let mut records = frozen("at_approve");
    for record in &mut records {
        if let Event::StepStarted { key, kind, .. } = &mut record.event
            && key == "fetch_approved_prs"
        {
            *kind = "gather_train".to_owned();
        }
    }
    is_put_to_a_person(
        records,
        "stands in the journal as another step or with another input. Waiting for @deployers to choose Retry or Undo everything.",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_of_another_workflow_version_is_put_to_a_person() {
    let mut records = frozen("at_approve");
    if let Event::SagaStarted { workflow_version, .. } = &mut records[0].event {
        *workflow_version += 1;
    }
    is_put_to_a_person(records, "it was started by workflow version").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_nobody_knows_any_more_is_said_and_does_not_keep_the_others() {
    let mut records = frozen("at_approve");
    for record in &mut records {
        if let Event::StepStarted { key, kind, .. } = &mut record.event
            && key == "change_pr_bases/42"
        {
            *kind = "retarget".to_owned();
        }
    }
    let stage = after(&records).await;
    stage.ana().aborts_by_word("it is too old").await;
    stage
        .reads("doesn't know \u{2cb}retarget\u{2cb} and can't take it back")
        .await;
    stage.reads("Undone, but 1 thing could not be taken back").await;
    assert_eq!(stage.github().pull(REPO, 41).await.unwrap().base, "staging");
    ends(stage, Outcome::Undone).await;
}

/// Runs the bot up to a shape and writes the journal down.
async fn freezes(name: &str, stage: Stage) {
    let file = format!("{FOLDER}/{name}.jsonl");
    assert!(
        !std::path::Path::new(&file).exists(),
        "{file} was released and stays as it is"
    );
    std::fs::create_dir_all(FOLDER).unwrap();
    let records = stage.store.load("web-1").unwrap();
    let lines: Vec<String> = records
        .iter()
        .map(|record| serde_json::to_string(record).unwrap())
        .collect();
    std::fs::write(file, lines.join("\n") + "\n").unwrap();
}

/// The bot as it is when it dies at this point, in the deployment or on its way back.
async fn died(when: When, what: &str, abort: bool) -> Stage {
    let mut stage = Stage::empty(Scenario::Happy, |_| {}).await;
    let at = Point::Named {
        what: what.to_owned(),
        nth: 0,
    };
    let life = Life::new(Some(Death { when, at }));
    stage.boot_mortal(&life).await;
    stage.plays_to("Approve").await;
    match abort {
        true => drop(calls_off(stage.slack(), "U0ANA", "C0DEPLOYS", "enough").await),
        false => stage.ben().clicks("Approve").await,
    }
    life.ends().await;
    stage.is_killed(&life).await;
    stage
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freeze() {
    if std::env::var("SHIPMATE_FREEZE").is_err() {
        return;
    }
    for label in ["Confirm", "Approve"] {
        let mut stage = Stage::new().await;
        stage.plays_to(label).await;
        stage.stop().await;
        freezes(&format!("at_{}", label.to_lowercase()), stage).await;
    }
    freezes(
        "in_the_merges",
        died(When::After, "PUT /api/v3/repos/acme/web/pulls/42/merge", false).await,
    )
    .await;
    freezes(
        "on_the_way_back",
        died(
            When::After,
            "journal compensation_completed change_pr_bases/44 + compensation_started change_pr_bases/42",
            true,
        )
        .await,
    )
    .await;
    let mut stage = Stage::new().await;
    stage.plays_to("").await;
    stage.reads("After the release: 0 of 3 done").await;
    stage
        .slack()
        .ticks_beside("U0BEN", "Tell support", Tick::On)
        .await
        .unwrap();
    stage.reads("After the release: 1 of 3 done").await;
    stage.stop().await;
    freezes("at_the_checklist", stage).await;
}
