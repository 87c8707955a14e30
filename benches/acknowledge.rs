//! How soon Slack is answered while GitHub hangs: real sockets, a real journal on disk, senders side by side. `cargo bench --bench
//! acknowledge` takes some 20 seconds and prints each kind of command beside `help`, which touches no disk, in one run.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints a table")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use shipmate::app::{self, Pace, Setup};
use shipmate::saga::Clock;
use shipmate::sandbox::faults::{Fault, Kind, When};
use shipmate::sandbox::play::{Options, Sandbox};
use shipmate::sandbox::slack::DEPLOYS;

const SENDERS: usize = 16;
const EACH: usize = 25;

/// Slack's own limit.
const LIMIT: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let setup = Setup {
        config: sandbox.config.clone(),
        secrets: sandbox.secrets(),
        clock: Clock::system(),
        pace: Pace::sandbox(false),
        store: None,
    };
    let running = app::start(setup).await.unwrap();
    running.ready().await;
    sandbox.github.faults().inject(Fault {
        matches: String::new(),
        when: When::Before,
        kind: Kind::Hang,
        times: u32::MAX,
    });
    let sandbox = Arc::new(sandbox);
    // One deployment hangs in its first look at GitHub meanwhile.
    sandbox.slack.says("U0ANA", DEPLOYS, "/deploy start").await.unwrap();
    println!("{SENDERS} senders at once, {EACH} commands each, GitHub hangs");
    println!(
        "{:<28} {:>9} {:>9} {:>9} {:>12}",
        "command", "p50", "p99", "slowest", "p50 to help"
    );
    let mut help = None;
    for (name, words) in [
        ("help (no disk)", ["help", "help"]),
        ("status (reads)", ["status", "status"]),
        ("start (refused: one runs)", ["start", "start"]),
        ("lock, unlock (durable)", ["lock database migration", "unlock"]),
    ] {
        let mut took = measured(&sandbox, words).await;
        took.sort_unstable();
        let at = |share: usize| took[(took.len() - 1) * share / 100];
        let help = *help.get_or_insert(at(50));
        let ratio = at(50).as_secs_f64() / help.as_secs_f64();
        println!(
            "{name:<28} {:>9.1?} {:>9.1?} {:>9.1?} {ratio:>11.2}x",
            at(50),
            at(99),
            at(100)
        );
        assert!(at(100) < LIMIT, "Slack would have given up");
    }
    running.shutdown().await;
}

/// How long each command took until its acknowledgement, the double's own work included.
async fn measured(sandbox: &Arc<Sandbox>, words: [&'static str; 2]) -> Vec<Duration> {
    let senders = (0..SENDERS).map(|_| {
        let sandbox = sandbox.clone();
        tokio::spawn(async move {
            let mut took = Vec::with_capacity(EACH);
            for turn in 0..EACH {
                let text = format!("/deploy {}", words[turn % 2]);
                let began = Instant::now();
                sandbox.slack.says("U0ANA", DEPLOYS, &text).await.unwrap();
                took.push(began.elapsed());
            }
            took
        })
    });
    let took = futures_util::future::join_all(senders).await;
    took.into_iter().flat_map(Result::unwrap).collect()
}
