//! What a train asks of GitHub, phase by phase, and how long it takes where each call takes a tenth of a second: `cargo bench --bench train`
//! plays trains of 3 and of 50 pull requests over the doubles, and sets the time against the critical path.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints a table")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shipmate::app::{self, Pace, Running, Setup};
use shipmate::deploy::runbook::{Phase, line_of};
use shipmate::saga::{Clock, Event, Journal};
use shipmate::sandbox::faults::When;
use shipmate::sandbox::github;
use shipmate::sandbox::play::{Options, Sandbox};
use shipmate::sandbox::slack::DEPLOYS;

#[path = "../tests/support/repository.rs"]
mod repository;

use repository::repository;

/// What each call to GitHub takes.
const CALL: Duration = Duration::from_millis(100);
/// Longer than any train here.
const LIMIT: Duration = Duration::from_secs(300);

/// Reads and writes.
type Calls = BTreeMap<Phase, (u64, u64)>;

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for train in [3, 50] {
        let (calls, took) = play(train).await;
        println!("a train of {train}: reads and writes of GitHub's API");
        let mut all = (0, 0);
        for (phase, (reads, writes)) in &calls {
            println!("  {:<14} {reads:>5} {writes:>5}", phase.title());
            all = (all.0 + reads, all.1 + writes);
        }
        let each = (all.0 + all.1) as f64 / f64::from(train);
        println!("  {:<14} {:>5} {:>5}, {each:.1} a pull request", "all", all.0, all.1);
        // One after another, each pull request is retargeted, then looked at, then the branch and its checks at once, then it is merged.
        let critical = CALL * train * (1 + 3);
        println!(
            "  from Confirm to the last merge {took:.1?}, {:.2} times the critical path of {critical:.1?}\n",
            took.as_secs_f64() / critical.as_secs_f64()
        );
    }
}

async fn play(train: u32) -> (Calls, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let branches = repository(dir.path(), train as usize);
    let sandbox = Sandbox::start(Options {
        pace: github::Pace::Instant,
        adopt: Some((dir.path().to_owned(), branches)),
        ..Options::default()
    })
    .await
    .unwrap();
    let running = app::start(Setup {
        config: sandbox.config.clone(),
        secrets: sandbox.secrets(),
        clock: Clock::system(),
        pace: Pace::sandbox(false),
        store: None,
    })
    .await
    .unwrap();
    running.ready().await;
    let calls = Arc::new(Mutex::new(Calls::new()));
    count(&sandbox, &running, calls.clone());
    sandbox.slack.says("U0ANA", DEPLOYS, "/deploy start").await.unwrap();
    press(&sandbox, "U0ANA", "Confirm").await;
    press(&sandbox, "U0BEN", "Approve").await;
    reads(&sandbox, "still open|After the release").await;
    let journal = running.engine.journal("web-1").unwrap().unwrap();
    for kind in ["change_pr_base", "merge_pr"] {
        println!("  {kind}: p50 {:.0?}", typical(&journal, kind));
    }
    let took = last_merge(&journal);
    running.shutdown().await;
    let calls = calls.lock().unwrap().clone();
    (calls, took)
}

/// How long a step of this kind takes, as a rule.
fn typical(journal: &Journal, kind: &str) -> Duration {
    let history = journal.history();
    let steps = history.steps().iter().filter(|step| step.kind == kind);
    let mut took: Vec<Duration> = steps
        .map(|step| (step.last_event - step.first_started).to_std().unwrap_or_default())
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}

/// From the click on Confirm to the last merge, by the journal.
fn last_merge(journal: &Journal) -> Duration {
    let history = journal.history();
    let at = |wanted: &dyn Fn(&Event) -> bool| {
        let found = history.records().iter().rev().find(|record| wanted(&record.event));
        found.map(|record| record.at).unwrap()
    };
    let confirmed =
        at(&|event| matches!(event, Event::CheckpointDecided { key, .. } if key.starts_with("confirm_pr_list")));
    let merged = at(&|event| matches!(event, Event::StepCompleted { key, .. } if key.starts_with("merge_pr/")));
    (merged - confirmed).to_std().unwrap()
}

/// Counts each call under the phase that makes it, and lets it take its time.
fn count(sandbox: &Sandbox, running: &Running, calls: Arc<Mutex<Calls>>) {
    let engine = running.engine.clone();
    let gate = move |request: &str, when: When| {
        if when == When::Before && !request.contains(".git/") {
            let phase = engine.running("web").ok().flatten().and_then(|journal| {
                let history = journal.history();
                let last = history.steps().iter().max_by_key(|step| step.last_event)?;
                line_of(&last.key).map(|line| line.phase)
            });
            if let Some(phase) = phase {
                let mut calls = calls.lock().unwrap();
                let (reads, writes) = calls.entry(phase).or_default();
                let read = request.starts_with("GET") || request.contains("graphql");
                *(if read { reads } else { writes }) += 1;
            }
            tokio::task::block_in_place(|| std::thread::sleep(CALL));
        }
        None
    };
    sandbox.github.faults().guard(Some(Arc::new(gate)));
}

async fn press(sandbox: &Sandbox, user: &str, label: &str) {
    sandbox
        .slack
        .wait_for(LIMIT, label, |workspace| {
            workspace.transcript().contains(&format!("[{label}]")).then_some(())
        })
        .await
        .unwrap();
    sandbox.slack.clicks_label(user, label).await.unwrap();
}

async fn reads(sandbox: &Sandbox, either: &str) {
    sandbox
        .slack
        .wait_for(LIMIT, either, |workspace| {
            let transcript = workspace.transcript();
            either.split('|').any(|text| transcript.contains(text)).then_some(())
        })
        .await
        .unwrap();
}
