//! The toy: an outside world, four kinds of steps, a workflow, and the processes that run it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::requests;
use crate::saga::history::CheckpointState;
use crate::saga::retry::RetryPolicy;
use crate::saga::run::Skippable;
use crate::saga::store::{Head, Memory, Op, Store, StoreError};
use crate::saga::{
    Actor, Checkpoint, Clock, Compensate, Context, Engine, Event, History, Journal, Outcome, Record, Registry, Saga,
    Step, StepError, Stop, Workflow,
};

/// Only a test that has failed already waits so long.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What a step meets at its next attempt.
#[derive(Clone)]
pub enum Fault {
    /// It fails before its effect.
    Before(StepError),
    /// It takes effect, and the reply is lost.
    After(StepError),
    /// It takes effect, which takes an hour to show.
    Slow,
    /// Looking for the effect fails.
    Looking(StepError),
    /// The code has a bug.
    Panic,
}

/// Everything outside: what stands, and each effect in its order.
#[derive(Default)]
pub struct Outside {
    standing: Mutex<BTreeMap<String, u32>>,
    pub effects: Mutex<Vec<String>>,
    pub green: AtomicBool,
    faults: Mutex<HashMap<String, VecDeque<Fault>>>,
}

impl Outside {
    pub fn fault(&self, key: &str, fault: Fault) {
        self.faults
            .lock()
            .unwrap()
            .entry(key.to_owned())
            .or_default()
            .push_back(fault);
    }

    fn meet(&self, key: &str, matching: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let due = faults.get_mut(key)?;
        matching(due.front()?).then(|| due.pop_front())?
    }

    /// What somebody else does out there.
    pub fn change(&self, thing: &str, times: Option<u32>) {
        let mut standing = self.standing.lock().unwrap();
        match times {
            Some(times) => standing.insert(thing.to_owned(), times),
            None => standing.remove(thing),
        };
    }

    pub fn standing(&self) -> BTreeMap<String, u32> {
        self.standing.lock().unwrap().clone()
    }
}

/// Where a process dies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Death {
    /// Its n-th commit is not written.
    BeforeCommit(u64),
    /// Its n-th commit is written, and nobody hears of it.
    AfterCommit(u64),
    /// Before its n-th effect.
    BeforeEffect(u64),
    /// Its n-th effect takes place, and nobody hears of it.
    AfterEffect(u64),
}

/// The life of a process, shared by its store and its hands on the world.
#[derive(Default)]
pub struct Life {
    death: Option<Death>,
    dead: AtomicBool,
    died: Notify,
    commits: AtomicU64,
    effects: AtomicU64,
}

impl Life {
    fn end(&self) {
        self.dead.store(true, SeqCst);
        self.died.notify_one();
    }

    fn is_over(&self) -> bool {
        self.dead.load(SeqCst)
    }

    /// A dead process does nothing any more.
    async fn until_end(&self) {
        if self.is_over() {
            std::future::pending().await
        }
    }

    fn count(&self, counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, SeqCst)
    }
}

/// The store of one process, over data that outlive it.
pub struct Mortal {
    pub data: Memory,
    pub life: Arc<Life>,
}

#[async_trait]
impl Store for Mortal {
    async fn commit(&self, ops: Vec<Op>) -> Result<(), StoreError> {
        // Real commits let others run.
        tokio::task::yield_now().await;
        let dead = || Err(StoreError::Failed("the process died here".to_owned()));
        if self.life.is_over() {
            return dead();
        }
        let number = self.life.count(&self.life.commits);
        if self.life.death == Some(Death::BeforeCommit(number)) {
            self.life.end();
            return dead();
        }
        self.data.commit(ops).await?;
        tokio::task::yield_now().await;
        if self.life.death == Some(Death::AfterCommit(number)) {
            self.life.end();
            return dead();
        }
        Ok(())
    }

    fn load(&self, saga: &str) -> Result<Vec<Record>, StoreError> {
        self.data.load(saga)
    }

    fn heads(&self) -> Vec<Head> {
        self.data.heads()
    }

    fn get(&self, key: &str) -> Result<Option<Value>, StoreError> {
        self.data.get(key)
    }

    fn scan(&self, prefix: &str) -> Result<Vec<(String, Value)>, StoreError> {
        self.data.scan(prefix)
    }

    async fn retire(&self, saga: &str) -> Result<(), StoreError> {
        self.data.retire(saga).await
    }

    fn archived(&self, saga: &str) -> Result<Vec<Record>, StoreError> {
        self.data.archived(saga)
    }
}

/// All that a toy step may touch.
pub struct World {
    pub outside: Arc<Outside>,
    pub life: Arc<Life>,
}

impl World {
    /// Makes `thing` stand, once more each time: a second time shows.
    async fn make(&self, key: &str, thing: &str) -> Result<(), StepError> {
        let fault = self.outside.meet(key, |fault| !matches!(fault, Fault::Looking(_)));
        match fault {
            Some(Fault::Before(error)) => return Err(error),
            Some(Fault::Panic) => panic!("a bug in {key}"),
            _ => {}
        }
        self.effect(&format!("+{thing}"), || {
            *self
                .outside
                .standing
                .lock()
                .unwrap()
                .entry(thing.to_owned())
                .or_default() += 1;
        })
        .await;
        match fault {
            Some(Fault::After(error)) => Err(error),
            _ => Ok(()),
        }
    }

    async fn effect(&self, name: &str, change: impl FnOnce()) {
        self.life.until_end().await;
        let number = self.life.count(&self.life.effects);
        if self.life.death == Some(Death::BeforeEffect(number)) {
            self.life.end();
        }
        self.life.until_end().await;
        change();
        self.outside.effects.lock().unwrap().push(name.to_owned());
        requests::note(name.to_owned(), &format!("R{number}"));
        if self.life.death == Some(Death::AfterEffect(number)) {
            self.life.end();
        }
        self.life.until_end().await;
    }

    fn look(&self, key: &str, thing: &str) -> Result<Option<()>, StepError> {
        if let Some(Fault::Looking(error)) = self.outside.meet(key, |fault| matches!(fault, Fault::Looking(_))) {
            return Err(error);
        }
        Ok(self.outside.standing().contains_key(thing).then_some(()))
    }
}

macro_rules! makes {
    ($name:ident, $kind:literal) => {
        #[derive(Serialize, Deserialize)]
        pub struct $name {
            pub thing: String,
        }

        impl Step<World> for $name {
            const KIND: &'static str = $kind;
            type Output = ();

            async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
                let slow = cx
                    .world
                    .outside
                    .meet(cx.key(), |fault| matches!(fault, Fault::Slow));
                cx.world.make(cx.key(), &self.thing).await?;
                match slow {
                    Some(_) => cx.pause(Duration::from_secs(3600)).await,
                    None => Ok(()),
                }
            }

            async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
                cx.world.look(cx.key(), &self.thing)
            }
        }
    };
}

makes!(Create, "create");
makes!(Merge, "merge");
makes!(Announce, "announce");

impl Compensate<World> for Create {
    async fn compensate(&self, cx: &Context<'_, World>, _: Option<()>) -> Result<Vec<String>, StepError> {
        let key = format!("undo/{}", cx.key());
        let fault = cx.world.outside.meet(&key, |_| true);
        match fault {
            Some(Fault::Before(error)) => return Err(error),
            Some(Fault::Panic) => panic!("a bug in {key}"),
            _ => {}
        }
        if cx.world.outside.standing().contains_key(&self.thing) {
            cx.world
                .effect(&format!("-{}", self.thing), || {
                    cx.world.outside.standing.lock().unwrap().remove(&self.thing);
                })
                .await;
        }
        match fault {
            Some(Fault::After(error)) => Err(error),
            _ => Ok(vec![format!("{} is gone", self.thing)]),
        }
    }
}

/// Waits until the world is green.
#[derive(Serialize, Deserialize)]
pub struct Watch;

impl Step<World> for Watch {
    const KIND: &'static str = "watch";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        while !cx.world.outside.green.load(SeqCst) {
            cx.report(&json!({ "seen": "red" })).await?;
            cx.pause(Duration::from_secs(60)).await?;
        }
        cx.report(&json!({ "seen": "green" })).await
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<()>, StepError> {
        Ok(None)
    }
}

/// A small release train: two things that can be taken back, a wait, a decision, two merges, a word afterwards.
pub struct Toy<const VERSION: u32> {
    pub outside: Arc<Outside>,
    pub life: Arc<Life>,
    registry: Registry<World>,
}

impl<const VERSION: u32> Workflow for Toy<VERSION> {
    type World = World;
    const VERSION: u32 = VERSION;

    fn world(&self, _: &str, input: &Value) -> Result<Arc<World>, String> {
        if input["project_gone"] == true && self.outside.standing().contains_key("config_broken") {
            return Err("the project isn't configured any more".to_owned());
        }
        Ok(Arc::new(World {
            outside: self.outside.clone(),
            life: self.life.clone(),
        }))
    }

    fn registry(&self) -> &Registry<World> {
        &self.registry
    }

    fn remind_after(&self, input: &Value) -> Option<Duration> {
        input["remind_after_s"].as_u64().map(Duration::from_secs)
    }

    async fn run(&self, saga: &Saga<World>, input: &Value) -> Result<(), Stop> {
        let named = |thing: &str| format!("{}/{thing}", saga.id());
        let branch = match self.outside.standing().contains_key("drifted") {
            true => "another".to_owned(),
            false => named("branch"),
        };
        saga.step("create_branch", Create { thing: branch }).await?;
        saga.step("push_branch", Create { thing: named("pushed") }).await?;
        saga.read("wait_for_checks", Watch).await?;
        let question = Checkpoint {
            choices: vec!["go", "no"],
            expires: Some((Duration::from_secs(3600), "no")),
            ..Checkpoint::default()
        };
        if input["unattended"] != true && saga.checkpoint("approve", question).await?.choice == "no" {
            return Err(Stop::Ended("approve said no".to_owned()));
        }
        for number in [1, 2] {
            let merge = Merge {
                thing: named(&format!("merged {number}")),
            };
            if let Skippable::Skipped = saga.pivot(format!("merge/{number}"), merge).await? {
                saga.forward(
                    format!("put_back/{number}"),
                    Announce {
                        thing: named("put back"),
                    },
                )
                .await?;
            }
        }
        saga.forward(
            "announce",
            Announce {
                thing: named("announced"),
            },
        )
        .await
    }

    async fn wind_down(&self, saga: &Saga<World>, _: &Value) -> Result<(), Stop> {
        let thing = format!("{}/wound down", saga.id());
        saga.forward("wind_down", Announce { thing }).await
    }
}

/// A disk, a world and a clock that outlive processes.
#[derive(Clone)]
pub struct Stage {
    pub data: Memory,
    pub outside: Arc<Outside>,
    pub clock: Clock,
    pub retry: RetryPolicy,
}

impl Stage {
    /// A world that is green, and retries that don't wait.
    pub fn new() -> Self {
        let outside = Arc::new(Outside::default());
        outside.green.store(true, SeqCst);
        Self {
            data: Memory::default(),
            outside,
            clock: Clock::manual(noon()),
            retry: RetryPolicy {
                base: Duration::ZERO,
                max: Duration::ZERO,
                attempts: 3,
            },
        }
    }

    pub fn process(&self) -> Process<1> {
        self.dying(None)
    }

    pub fn dying(&self, death: Option<Death>) -> Process<1> {
        self.version(death)
    }

    pub fn version<const VERSION: u32>(&self, death: Option<Death>) -> Process<VERSION> {
        let life = Arc::new(Life {
            death,
            ..Life::default()
        });
        let store = Mortal {
            data: self.data.clone(),
            life: life.clone(),
        };
        self.over(Arc::new(store), life)
    }

    /// A process over any store.
    pub fn over<const VERSION: u32>(&self, store: Arc<dyn Store>, life: Arc<Life>) -> Process<VERSION> {
        let toy = Toy {
            outside: self.outside.clone(),
            life: life.clone(),
            registry: Registry::default().with::<Create>(),
        };
        Process {
            engine: Engine::new(toy, store, self.clock.clone(), self.retry),
            life,
        }
    }

    /// A saga that waits for its approval, while nobody runs it.
    pub async fn left_at_the_approval(&self, input: Value) {
        let process = self.process();
        let journal = process.start(input).await;
        sees_open(&journal, "approve").await;
        process.drains().await;
    }

    /// What people read when they ask how it stands, whoever runs it.
    pub fn history(&self, id: &str) -> History {
        let records = self.data.load(id).unwrap();
        records.into_iter().collect()
    }
}

pub fn noon() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

pub fn ana() -> Actor {
    Actor::Slack("UANA".to_owned())
}

pub fn ben() -> Actor {
    Actor::Slack("UBEN".to_owned())
}

/// How a process ended.
#[derive(Debug, PartialEq)]
pub enum End {
    Died,
    Finished(Outcome),
}

/// One process. It can be restarted by making another one from its stage.
pub struct Process<const VERSION: u32> {
    pub engine: Engine<Toy<VERSION>>,
    pub life: Arc<Life>,
}

impl<const VERSION: u32> Process<VERSION> {
    pub async fn start(&self, input: Value) -> Journal {
        let id = self.engine.start("web", ana(), input, Vec::new()).await.unwrap();
        self.engine.journal(&id).unwrap().unwrap()
    }

    pub fn recover(&self) -> Journal {
        let ids = self.engine.recover().unwrap();
        assert_eq!(ids.len(), 1, "one saga goes on");
        self.engine.journal(&ids[0]).unwrap().unwrap()
    }

    /// Starts, or goes on with what was started; then answers each question by `people` until the end.
    pub async fn runs(&self, people: impl Fn(&CheckpointState) -> &'static str) -> End {
        let running = async {
            let started = self.engine.running("web").unwrap().is_some() || !self.engine.store().heads().is_empty();
            let id = match started {
                true => self.engine.store().heads()[0].saga.clone(),
                false => self.engine.start("web", ana(), json!({}), Vec::new()).await.ok()?,
            };
            if started {
                self.engine.recover().unwrap();
            }
            let journal = self.engine.journal(&id).unwrap()?;
            loop {
                let next = |history: &History| match history.open_checkpoints().next() {
                    Some(open) => Some(Err((open.key.clone(), people(open)))),
                    None => history.outcome().map(Ok),
                };
                match journal.wait_for(next).await {
                    Ok(outcome) => return Some(outcome),
                    Err((key, choice)) => {
                        self.decide(&journal, &key, choice).await.ok()?;
                    }
                }
            }
        };
        let end = tokio::time::timeout(LIMIT, async {
            tokio::select! {
                biased;
                () = self.life.died.notified() => None,
                end = running => end,
            }
        });
        let end = end.await.expect("it neither ended nor died");
        // Nothing of a process may be at work when the next one begins.
        self.life.end();
        self.engine.drain(Duration::ZERO).await;
        end.map_or(End::Died, End::Finished)
    }

    pub async fn decide(&self, journal: &Journal, key: &str, choice: &str) -> Result<(), String> {
        let decided = self.engine.decide(journal, key, choice, ana(), Value::Null, Vec::new());
        decided.await.map_err(|error| format!("{error:?}"))
    }

    pub async fn drains(&self) {
        let drained = tokio::time::timeout(LIMIT, self.engine.drain(LIMIT * 2));
        drained.await.expect("it doesn't suspend");
    }
}

/// Waits for something in a journal; fails with the whole journal when it doesn't come.
pub async fn sees<T>(journal: &Journal, what: &str, look: impl Fn(&History) -> Option<T>) -> T {
    match tokio::time::timeout(LIMIT, journal.wait_for(look)).await {
        Ok(found) => found,
        Err(_) => panic!("waited for {what} in {:#?}", events(&journal.history())),
    }
}

pub async fn sees_open(journal: &Journal, key: &str) -> CheckpointState {
    sees(journal, key, |history| {
        history.open_checkpoints().find(|open| open.key == key).cloned()
    })
    .await
}

pub async fn sees_end(journal: &Journal) -> Outcome {
    sees(journal, "the end", History::outcome).await
}

/// Lets everything run that can run: the toy never waits for anything but people and its clock.
pub async fn settles() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

pub fn events(history: &History) -> Vec<Event> {
    history.records().iter().map(|record| record.event.clone()).collect()
}
