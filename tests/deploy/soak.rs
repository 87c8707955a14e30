//! Many deployments in one process, one after the other: what they need is given back. The measure, printed:
//! `SHIPMATE_SOAK=500 cargo test --test deploy soak -- --nocapture`.

use std::time::Instant;

use shipmate::bot::housekeeping;
use shipmate::saga::store::Store as _;
use shipmate::sandbox::slack::DEPLOYS;

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
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    Held {
        memory: kib / 1024.0,
        handles: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_deployments_leave_nothing_behind() {
    const KEPT: usize = 3;
    let wanted = std::env::var("SHIPMATE_SOAK").ok();
    let wanted: usize = wanted.and_then(|wanted| wanted.parse().ok()).unwrap_or(6);
    let began = Instant::now();
    let stage = Stage::new().await;
    let before = stage.snapshot().await;
    let mut warm = held();
    for number in 1..=wanted {
        let from = stage.slack().look(|workspace| workspace.messages.len());
        let scene = Scene {
            slack: stage.slack(),
            channel: DEPLOYS,
            from,
        };
        scene.plays(Story::AbortAtApprove).await;
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
