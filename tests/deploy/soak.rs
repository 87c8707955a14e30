//! Many deployments in one process, one after the other: what they need is given back. The measure, printed:
//! `SHIPMATE_SOAK=500 cargo test --test deploy soak -- --nocapture`.

use std::time::Instant;

use shipmate::bot::housekeeping;
use shipmate::saga::store::Store as _;
use shipmate::sandbox::play::{Options, Sandbox};
use shipmate::sandbox::slack::{DEPLOYS, SlackDouble};

use crate::child::{Process, configuration};
use crate::stage::Stage;
use crate::stories::{Scene, Story};

/// What a process holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Resident memory, in MiB; the doubles' own notes are in it.
    memory: f64,
    handles: usize,
    tasks: usize,
}

fn held() -> Held {
    Held {
        memory: memory("self"),
        handles: handles("self"),
        tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
    }
}

fn memory(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

fn handles(process: &str) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

fn wanted(default: usize) -> usize {
    crate::asked_for("SHIPMATE_SOAK", default)
}

/// One more deployment, called off at the point of no return.
async fn one_more(slack: &SlackDouble) {
    let scene = Scene {
        slack,
        channel: DEPLOYS,
        from: slack.look(|workspace| workspace.messages.len()),
    };
    scene.plays(Story::AbortAtApprove).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_deployments_leave_nothing_behind() {
    const KEPT: usize = 3;
    let wanted = wanted(6);
    let began = Instant::now();
    let stage = Stage::new().await;
    let before = stage.snapshot().await;
    let mut warm = held();
    for number in 1..=wanted {
        one_more(stage.slack()).await;
        if number == wanted / 4 {
            warm = held();
        }
        if number % 50 == 0 {
            println!("{number}: {:?}, {:.0} s", held(), began.elapsed().as_secs_f64());
        }
    }
    let end = held();
    let seconds = began.elapsed().as_secs_f64();
    println!("{wanted} deployments in {seconds:.0} s: from {warm:?} to {end:?}");
    assert_eq!(stage.snapshot().await, before, "the clean slate, each time");
    // Other tests run in this process, and connections are kept for a while.
    assert!(end.handles < warm.handles + 120, "{warm:?} {end:?}");
    assert!(end.tasks < warm.tasks + 12, "{warm:?} {end:?}");
    let room = 64.0 + 0.25 * wanted as f64;
    assert!(end.memory < warm.memory + room, "{warm:?} {end:?}");
    let engine = &stage.running().engine;
    housekeeping::round(engine, KEPT).await.unwrap();
    assert_eq!(stage.store.heads().len(), KEPT, "older journals are retired");
    assert_eq!(stage.store.scan("posted/").unwrap().len(), KEPT);
    stage.closes().await;
}

/// The real process has its memory for itself. It keeps its pauses, so it gets a tenth of the deployments.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_process_does_not_grow() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let process = Process::start(&sandbox, &configuration(&sandbox));
    let id = process.id().to_string();
    let wanted = (wanted(30) / 10).max(3);
    let mut warm = (0.0, 0);
    for number in 1..=wanted {
        one_more(&sandbox.slack).await;
        if number == (wanted / 4).max(2) {
            warm = (memory(&id), handles(&id));
        }
    }
    let end = (memory(&id), handles(&id));
    println!("the real process, {wanted} deployments: from {warm:?} MiB and handles to {end:?}");
    // sled's cache fills up, and ended deployments are forgotten every ten minutes.
    let room = 16.0 + 8.0 + 0.1 * wanted as f64;
    assert!(end.0 < warm.0 + room, "{warm:?} {end:?}");
    assert!(end.1 < warm.1 + 16, "{warm:?} {end:?}");
}
