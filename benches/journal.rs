//! What durability costs: commits against a raw append with `fdatasync`, a saga of no-op steps, and 64 sagas at once. `cargo bench --bench
//! journal` takes some 15 seconds and prints ratios measured side by side in one run: disks differ, ratios hardly do.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints a table")]

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shipmate::saga::retry::RetryPolicy;
use shipmate::saga::sled_store::SledStore;
use shipmate::saga::store::{Op, Store};
use shipmate::saga::{
    Actor, Clock, Compensate, Context, Engine, Event, Record, Registry, Saga, Step, StepError, Stop, Workflow,
};

/// The payload of one commit, in bytes.
const SIZE: usize = 500;
const STEPS: usize = 25;
const SIDE_BY_SIDE: usize = 64;

/// Does nothing, durably.
#[derive(Serialize, Deserialize)]
struct Nothing;

impl Step<()> for Nothing {
    const KIND: &'static str = "nothing";
    type Output = ();

    async fn run(&self, _: &Context<'_, ()>) -> Result<(), StepError> {
        Ok(())
    }

    async fn observe(&self, _: &Context<'_, ()>) -> Result<Option<()>, StepError> {
        Ok(None)
    }
}

impl Compensate<()> for Nothing {
    async fn compensate(&self, _: &Context<'_, ()>, _: Option<()>) -> Result<Vec<String>, StepError> {
        Ok(Vec::new())
    }
}

/// As many steps as its input says.
struct Steps(Registry<()>);

impl Workflow for Steps {
    type World = ();
    const VERSION: u32 = 1;

    fn world(&self, _: &str, _: &Value) -> Result<Arc<()>, String> {
        Ok(Arc::new(()))
    }

    fn registry(&self) -> &Registry<()> {
        &self.0
    }

    async fn run(&self, saga: &Saga<()>, input: &Value) -> Result<(), Stop> {
        for number in 0..input.as_u64().unwrap_or(0) {
            saga.step(format!("nothing/{number}"), Nothing).await?;
        }
        Ok(())
    }

    async fn wind_down(&self, _: &Saga<()>, _: &Value) -> Result<(), Stop> {
        Ok(())
    }
}

fn engine(store: Arc<SledStore>) -> Engine<Steps> {
    let workflow = Steps(Registry::default().with::<Nothing>());
    Engine::new(workflow, store, Clock::system(), RetryPolicy::default())
}

async fn runs(engine: &Engine<Steps>, project: &str, steps: usize) {
    let id = engine
        .start(project, Actor::Shipmate, json!(steps), Vec::new())
        .await
        .unwrap();
    let journal = engine.journal(&id).unwrap().unwrap();
    journal.wait_for(|history| history.outcome()).await;
}

/// A directory on the disk of the build, since /tmp may be memory.
fn directory(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

struct Raw(File);

impl Raw {
    fn new() -> Self {
        let file = directory("raw").join("file");
        Self(OpenOptions::new().create(true).append(true).open(file).unwrap())
    }

    fn append(&mut self) -> Duration {
        let began = Instant::now();
        self.0.write_all(&[b'x'; SIZE]).unwrap();
        self.0.sync_data().unwrap();
        began.elapsed()
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

fn row(what: &str, measured: String, target: &str) {
    println!("{what:<52} {measured:>28}   {target}");
}

/// One commit after the other, in turns with the raw append.
async fn commits(store: &SledStore, raw: &mut Raw) {
    let event = Event::StepProgressed {
        key: "nothing".to_owned(),
        progress: json!("x".repeat(SIZE - 90)),
    };
    let (mut raws, mut commits) = (Vec::new(), Vec::new());
    for seq in 0..3000 {
        raws.push(raw.append());
        let records = vec![Record {
            seq,
            at: Utc::now(),
            event: event.clone(),
        }];
        let began = Instant::now();
        store
            .commit(vec![Op::Append {
                saga: "single".to_owned(),
                records,
            }])
            .await
            .unwrap();
        commits.push(began.elapsed());
    }
    let (limit, ours) = (percentile(&mut raws, 50), percentile(&mut commits, 50));
    row("raw append + fdatasync, p50", format!("{limit:.0?}"), "");
    row(
        "durable commit, p50",
        format!("{ours:.0?} = {:.2} raw", ratio(ours, limit)),
        "at most 1.75 raw",
    );
}

async fn no_op_steps(store: &Arc<SledStore>, raw: &mut Raw) {
    let engine = engine(store.clone());
    let (mut raws, mut sagas) = (Vec::new(), Vec::new());
    let before = store.flushes();
    const RUNS: usize = 80;
    for _ in 0..RUNS {
        raws.push((0..STEPS).map(|_| raw.append()).sum());
        let began = Instant::now();
        runs(&engine, "steps", STEPS).await;
        sagas.push(began.elapsed());
    }
    let flushes = (store.flushes() - before) as f64 / (RUNS * STEPS) as f64;
    let (limit, ours) = (percentile(&mut raws, 50), percentile(&mut sagas, 50));
    row(
        "25 no-op steps: commits a step, start and end too",
        format!("{flushes:.2}"),
        "at most 1.2",
    );
    row(
        "25 no-op steps, p50",
        format!("{ours:.1?} = {:.2} raw", ratio(ours, limit)),
        "steno 25-30 ms, Restate 49-56 ms, DBOS 100-137 ms",
    );
}

async fn side_by_side(store: &Arc<SledStore>) {
    let engine = engine(store.clone());
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let timer = tokio::spawn(async move {
        let mut late = Vec::new();
        while stopped.try_recv().is_err() {
            let due = Instant::now() + Duration::from_millis(1);
            tokio::time::sleep_until(due.into()).await;
            late.push(due.elapsed());
        }
        late
    });
    const EACH: usize = 600;
    let before = store.flushes();
    let began = Instant::now();
    let running = (0..SIDE_BY_SIDE).map(|number| {
        let engine = engine.clone();
        tokio::spawn(async move { runs(&engine, &format!("project{number}"), EACH).await })
    });
    for saga in running.collect::<Vec<_>>() {
        saga.await.unwrap();
    }
    let took = began.elapsed();
    stop.send(()).unwrap();
    let mut late = timer.await.unwrap();
    // Each step's intent is one commit; besides, each saga's start and end.
    let commits = SIDE_BY_SIDE * (EACH + 2);
    let flushes = store.flushes() - before;
    let rate = commits as f64 / took.as_secs_f64();
    row(
        "64 sagas at once: commits a second",
        format!("{rate:.0}"),
        "at least 15000",
    );
    row(
        "64 sagas at once: commits a flush",
        format!("{:.1}", commits as f64 / flushes as f64),
        "",
    );
    let late = percentile(&mut late, 99);
    row(
        "64 sagas at once: a 1 ms timer is late by, p99",
        format!("{late:.2?}"),
        "under 5 ms",
    );
}

#[tokio::main]
async fn main() {
    // `cargo test` runs it without this, to see that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let dir = directory("journal");
    let store = Arc::new(SledStore::open(&dir).unwrap());
    let mut raw = Raw::new();
    commits(&store, &mut raw).await;
    no_op_steps(&store, &mut raw).await;
    side_by_side(&store).await;
    let events: u64 = store.heads().iter().map(|head| head.length).sum();
    drop(store);
    let began = Instant::now();
    let reopened = SledStore::open(&dir).unwrap();
    row(
        "open again, everything checked",
        format!("{:.0?}, {events} events", began.elapsed()),
        "250 ms with 100000 events",
    );
    drop(reopened);
}
