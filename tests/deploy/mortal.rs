//! A process that dies at a named point of its life, as a SIGKILL would end it: from that moment it writes nothing, hears nothing and none
//! of its requests takes effect any more. What it did so far stays.
//!
//! Points have names (`journal step_started merge_pr/41`, `PUT …/pulls/41/merge`), so that a point of one run can be found in another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use shipmate::saga::Record;
use shipmate::saga::store::{Head, Memory, Op, Store, StoreError};
use shipmate::sandbox::faults::{Kind, When};
use tokio::sync::watch;

/// What a process does that others can see: its journal's writes, and its requests that change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sort {
    Commit,
    Effect,
}

/// A moment in the life of a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// The `nth` time (from 0) that it does this.
    Named { what: String, nth: usize },
    /// Whatever it does `nth` of this sort.
    Any { sort: Sort, nth: usize },
}

/// Where a process dies, relative to the moment that what it does there is durable or has taken effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Death {
    pub when: When,
    pub at: Point,
}

/// The life of one process.
pub struct Life {
    death: Option<Death>,
    seen: Mutex<Seen>,
    dead: watch::Sender<bool>,
    /// Requests that a double has taken and not yet answered.
    flying: watch::Sender<usize>,
}

#[derive(Default)]
struct Seen {
    named: HashMap<String, usize>,
    commits: usize,
    effects: usize,
    in_order: Vec<Point>,
}

impl Life {
    pub fn new(death: Option<Death>) -> Arc<Self> {
        Arc::new(Self {
            death,
            seen: Mutex::default(),
            dead: watch::Sender::new(false),
            flying: watch::Sender::new(0),
        })
    }

    /// Everything it did, by name, in order.
    pub fn points(&self) -> Vec<Point> {
        self.seen.lock().unwrap().in_order.clone()
    }

    pub fn is_over(&self) -> bool {
        *self.dead.borrow()
    }

    /// Resolves when it has died.
    pub async fn ends(&self) {
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    pub fn end(&self) {
        self.dead.send_replace(true);
    }

    /// What was on its way when it died has taken effect, or never will.
    pub async fn has_landed(&self) {
        let _ = self.flying.subscribe().wait_for(|flying| *flying == 0).await;
    }

    /// Notes what is about to be done; `None` if it dies before it, else the two names of this point.
    fn begins(&self, sort: Sort, what: &str) -> Option<[Point; 2]> {
        let mut seen = self.seen.lock().unwrap();
        let counter = seen.named.entry(what.to_owned()).or_default();
        let named = Point::Named {
            what: what.to_owned(),
            nth: std::mem::replace(counter, *counter + 1),
        };
        let count = match sort {
            Sort::Commit => &mut seen.commits,
            Sort::Effect => &mut seen.effects,
        };
        let any = Point::Any {
            sort,
            nth: std::mem::replace(count, *count + 1),
        };
        seen.in_order.push(named.clone());
        drop(seen);
        let point = [named, any];
        (!self.dies(When::Before, &point)).then_some(point)
    }

    /// Whether it dies here.
    fn dies(&self, when: When, point: &[Point; 2]) -> bool {
        let dies = self
            .death
            .as_ref()
            .is_some_and(|death| death.when == when && point.contains(&death.at));
        if dies {
            self.end();
        }
        dies
    }

    /// What the doubles ask about each request.
    pub fn gate(self: &Arc<Self>) -> shipmate::sandbox::faults::Gate {
        let life = self.clone();
        let under_way: Mutex<HashMap<String, Vec<[Point; 2]>>> = Mutex::default();
        Arc::new(move |request: &str, when| {
            let mut under_way = under_way.lock().unwrap();
            match when {
                When::Before if life.is_over() => Some(Kind::Reset),
                When::Before => {
                    if changes_something(request) {
                        let Some(point) = life.begins(Sort::Effect, request) else {
                            return Some(Kind::Reset);
                        };
                        under_way.entry(request.to_owned()).or_default().push(point);
                    }
                    life.flying.send_modify(|flying| *flying += 1);
                    None
                }
                When::After => {
                    life.flying.send_modify(|flying| *flying = flying.saturating_sub(1));
                    let point = under_way.get_mut(request).and_then(Vec::pop);
                    let dies = point.is_some_and(|point| life.dies(When::After, &point));
                    (dies || life.is_over()).then_some(Kind::Reset)
                }
            }
        })
    }
}

/// Whether a request leaves something behind outside. Looking does not, and neither does opening a line to listen on.
pub fn changes_something(request: &str) -> bool {
    const LOOKS: [&str; 4] = ["graphql", "git-upload-pack", "apps.connections.open", "conversations."];
    const SLACK_READS: [&str; 3] = ["auth.test", "users.", "usergroups."];
    !request.starts_with("GET ") && !LOOKS.iter().chain(&SLACK_READS).any(|reads| request.contains(reads))
}

/// The store of one process, over data that outlive it.
pub struct MortalStore {
    pub data: Memory,
    pub life: Arc<Life>,
}

#[async_trait]
impl Store for MortalStore {
    async fn commit(&self, ops: Vec<Op>) -> Result<(), StoreError> {
        if self.life.is_over() {
            return std::future::pending().await;
        }
        let Some(point) = self.life.begins(Sort::Commit, &name(&ops)) else {
            return std::future::pending().await;
        };
        let done = self.data.commit(ops).await;
        if self.life.dies(When::After, &point) {
            return std::future::pending().await;
        }
        done
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

/// What a commit is called: the events in it, or the kind of the values it sets.
fn name(ops: &[Op]) -> String {
    let part = |op: &Op| match op {
        Op::Append { records, .. } => records.iter().map(event).collect::<Vec<_>>().join(" + "),
        Op::Claim { key, .. } | Op::Put { key, .. } | Op::Delete { key } | Op::Expect { key, .. } => {
            key.split('/').next().unwrap_or_default().to_owned()
        }
    };
    format!("journal {}", ops.iter().map(part).collect::<Vec<_>>().join(" + "))
}

fn event(record: &Record) -> String {
    let value = serde_json::to_value(&record.event).unwrap();
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    format!("{} {}", text("event"), text("key")).trim_end().to_owned()
}

/// A runtime that a process has for itself, so that all its tasks can be ended at once wherever they stand.
pub struct Body(Option<tokio::runtime::Runtime>);

impl Body {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Self(Some(runtime.unwrap()))
    }

    pub fn handle(&self) -> tokio::runtime::Handle {
        self.0.as_ref().unwrap().handle().clone()
    }

    /// Ends everything where it stands.
    pub async fn dies(mut self) {
        let runtime = self.0.take().unwrap();
        // Blocks until its threads have let go.
        let killed = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)));
        killed.await.unwrap();
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
