//! The real binary killed and ended at every kind of moment, and started again as a supervisor would: nothing lost, nothing twice.
//!
//! The moments come from a recorded run: each request that the doubles see, before and after its effect; and random instants, whose seed is
//! printed. By default a few of each; more of them: `SHIPMATE_KILLS=100 cargo test --test deploy kills -- --nocapture`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use shipmate::sandbox::faults::{Gate, Kind, When};
use shipmate::sandbox::play::{Options, Sandbox};
use tokio::sync::Notify;

use crate::child::{LIMIT, Process, configuration, data_dir};
use crate::stories::{Effects, Story, plays};

/// A process waits for the doubles most of the time.
const AT_ONCE: usize = 5;

/// What ends a process.
#[derive(Clone, Copy, Debug)]
enum End {
    /// SIGKILL at the `nth` request that the doubles see (from 1).
    Kill(When, usize),
    /// SIGKILL so long after it was started.
    KillAfter(Duration),
    /// SIGTERM once the `nth` request has been answered.
    Terminate(usize),
}

/// How many of each kind.
fn wanted(default: usize) -> usize {
    crate::asked_for("SHIPMATE_KILLS", default)
}

/// What a story left behind, how many requests it took and how long.
struct Lived {
    effects: Effects,
    requests: usize,
    took: Duration,
}

/// Plays the story over a process that ends so, and is started again.
async fn lives(end: Option<End>) -> Lived {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let began = Instant::now();
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let config = configuration(&sandbox);
    let process = Process::start(&sandbox, &config);
    let over = Arc::new(Notify::new());
    let requests = Arc::<AtomicUsize>::default();
    let gate = watching(end, &process, &over, &requests);
    sandbox.github.faults().guard(Some(gate.clone()));
    sandbox.slack.faults().guard(Some(gate));
    let instant = async {
        match end {
            Some(End::KillAfter(instant)) => tokio::time::sleep(instant).await,
            _ => std::future::pending().await,
        }
    };
    let cut_off = tokio::select! {
        biased;
        () = over.notified() => true,
        () = instant => true,
        () = plays(&sandbox, Story::Complete) => false,
    };
    let mut process = process;
    if cut_off {
        match end {
            Some(End::Terminate(_)) => {
                let status = process.ends(Duration::from_secs(10)).await;
                let status = status.unwrap_or_else(|| panic!("{end:?}: it did not end within 10 s"));
                assert_eq!(status.code(), Some(0), "{end:?}");
            }
            _ => {
                process.is_killed();
                process.ends(LIMIT).await.unwrap();
            }
        }
        sandbox.slack.cut();
        let before = requests.load(SeqCst);
        process = Process::start(&sandbox, &config);
        plays(&sandbox, Story::Complete).await;
        // The story may have been over: a process that has not begun yet can't end in order.
        while requests.load(SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    process.is_told_to_end();
    let status = process
        .ends(Duration::from_secs(10))
        .await
        .expect("it ends within 10 s");
    assert_eq!(status.code(), Some(0));
    tells_no_secret(&sandbox);
    Lived {
        effects: Effects::of(&sandbox).await,
        requests: requests.load(SeqCst),
        took: began.elapsed(),
    }
}

/// Counts the requests of the first process and ends it when its time has come.
fn watching(end: Option<End>, process: &Process, over: &Arc<Notify>, requests: &Arc<AtomicUsize>) -> Gate {
    let (process, over, requests) = (process.clone(), over.clone(), requests.clone());
    let ended = AtomicBool::new(false);
    let places: Mutex<std::collections::HashMap<String, Vec<usize>>> = Mutex::default();
    Arc::new(move |line: &str, when| {
        let mut places = places.lock().unwrap();
        let these = places.entry(line.to_owned()).or_default();
        let place = match when {
            When::Before => {
                these.push(requests.fetch_add(1, SeqCst) + 1);
                *these.last()?
            }
            When::After => these.pop()?,
        };
        let due = match end {
            Some(End::Kill(at, nth)) => at == when && place == nth,
            Some(End::Terminate(nth)) => when == When::After && place == nth,
            Some(End::KillAfter(_)) | None => false,
        };
        if !due || ended.swap(true, SeqCst) {
            return None;
        }
        over.notify_one();
        if let Some(End::Terminate(_)) = end {
            process.is_told_to_end();
            return None;
        }
        process.is_killed();
        Some(Kind::Reset)
    })
}

fn tells_no_secret(sandbox: &Sandbox) {
    let recorder = std::fs::read_to_string(data_dir(sandbox).join("flight/web-1.jsonl")).unwrap();
    let last = recorder.lines().last().unwrap();
    assert!(
        last.contains("saga_finished"),
        "the flight recorder has the end: {last}"
    );
    let (github, slack) = (&sandbox.github, &sandbox.slack);
    for secret in [github.token(), slack.bot_token(), slack.app_token()] {
        assert!(!recorder.contains(&secret), "no secret is written down");
    }
}

async fn all_end_the_same(ends: Vec<End>, calm: &Lived, what: &str) {
    let began = Instant::now();
    let count = ends.len();
    let one = |end: End| async move {
        let lived = tokio::spawn(lives(Some(end))).await;
        match lived {
            Ok(lived) if lived.effects == calm.effects => None,
            Ok(lived) => Some(format!("{end:?}:\n{}", lived.effects.against(&calm.effects))),
            Err(panic) => Some(format!("{end:?}: {panic}")),
        }
    };
    let wrong: Vec<Option<String>> = stream::iter(ends).map(one).buffer_unordered(AT_ONCE).collect().await;
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    println!(
        "{count} {what}: {} wrong, {:.1} s",
        wrong.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n\n"));
}

/// So many places of `all`, spread.
fn spread(all: usize, wanted: usize) -> impl Iterator<Item = usize> {
    (0..wanted).map(move |number| 1 + number * all / wanted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_or_ended_anywhere_it_goes_on_and_does_nothing_twice() {
    let calm = lives(None).await;
    let kills = wanted(6);
    let at_requests = spread(calm.requests, kills)
        .enumerate()
        .map(|(number, nth)| match number % 2 {
            0 => End::Kill(When::Before, nth),
            _ => End::Kill(When::After, nth),
        });
    let seed = fastrand::u64(..);
    println!("the seed of the instants: {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut instant = || End::KillAfter(calm.took.mul_f64(random.f64()));
    let instants = (0..kills.div_ceil(3)).map(|_| instant()).collect();
    let ends = spread(calm.requests, kills.div_ceil(3)).map(End::Terminate).collect();
    tokio::join!(
        all_end_the_same(at_requests.collect(), &calm, "kills at requests"),
        all_end_the_same(instants, &calm, "kills at random instants"),
        all_end_the_same(ends, &calm, "ends in order"),
    );
}
