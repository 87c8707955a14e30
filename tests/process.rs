//! The real binary as a supervisor runs it: `shipmate serve` with a configuration file, secrets in the environment and its journal on disk;
//! killed in the middle of the merges, started again, ended with SIGTERM.

#![allow(clippy::unwrap_used, reason = "a test's panic is its message")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shipmate::sandbox::faults::When;
use shipmate::sandbox::play::{Options, REPO, Sandbox};
use shipmate::sandbox::slack::{DEPLOYS, Tick, Workspace};

mod support;

use support::configuration;

/// Longer than anything takes on a busy machine: real pauses between writes and messages are kept here.
const LIMIT: Duration = Duration::from_secs(120);

/// A Shipmate process; killed with its handle.
struct Process(Child);

impl Process {
    fn start(sandbox: &Sandbox, config: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_shipmate"))
            .args(["serve", "--config"])
            .arg(config)
            .env("SLACK_BOT_TOKEN", sandbox.slack.bot_token())
            .env("SLACK_APP_TOKEN", sandbox.slack.app_token())
            .env("GITHUB_TOKEN", sandbox.github.token())
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM, by the program that every Unix has.
    fn terminate(mut self) -> i32 {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
        self.0.wait().unwrap().code().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn sees(sandbox: &Sandbox, text: &str) {
    let reads = |workspace: &Workspace| workspace.transcript().contains(text).then_some(());
    sandbox.slack.wait_for(LIMIT, text, reads).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_the_merges_it_goes_on_and_merges_nothing_twice() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let config = configuration(&sandbox);
    let process = Process::start(&sandbox, &config);
    // The socket is up once a command is acknowledged.
    let started = async {
        while sandbox.slack.says("U0ANA", DEPLOYS, "/deploy start").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, started).await.unwrap();
    sees(&sandbox, "[Confirm]").await;
    sandbox.slack.clicks_label("U0ANA", "Confirm").await.unwrap();
    sees(&sandbox, "[Approve]").await;

    // It dies with the second merge done and its reply on the way.
    let merged = Arc::new(tokio::sync::Notify::new());
    let (tell, once) = (merged.clone(), AtomicBool::new(false));
    sandbox.github.faults().watch(Some(Arc::new(move |request: &str, when| {
        if request.contains("/pulls/42/merge") && when == When::After && !once.swap(true, Ordering::SeqCst) {
            tell.notify_one();
        }
    })));
    sandbox.slack.clicks_label("U0BEN", "Approve").await.unwrap();
    tokio::time::timeout(LIMIT, merged.notified()).await.unwrap();
    process.kill();

    let process = Process::start(&sandbox, &config);
    for item in ["Log in and out", "Watch the error rate", "Tell support"] {
        sees(&sandbox, "[ ] Done").await;
        // The box may be redrawn by the tick before.
        let ticked = async {
            while sandbox.slack.ticks_beside("U0BEN", item, Tick::On).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, ticked).await.unwrap();
    }
    sees(&sandbox, "completed · 1.4.3 shipped with 4 pull requests").await;
    let merges: Vec<String> = sandbox
        .github
        .ledger(REPO)
        .await
        .into_iter()
        .filter(|line| line.starts_with("PUT"))
        .collect();
    assert_eq!(
        merges.len(),
        5,
        "four pull requests and the deploy pull request, each once: {merges:#?}"
    );
    assert_eq!(process.terminate(), 0);

    let recorder = std::fs::read_to_string(sandbox.dir().join("data/flight/web-1.jsonl")).unwrap();
    assert!(
        recorder.lines().last().unwrap().contains("saga_finished"),
        "the flight recorder has the end"
    );
    for secret in [
        sandbox.github.token(),
        sandbox.slack.bot_token(),
        sandbox.slack.app_token(),
    ] {
        assert!(!recorder.contains(&secret), "no secret is written down");
    }
}
