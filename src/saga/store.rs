//! Where journals are kept, behind one narrow trait: atomic commits with preconditions, and reads. [`super::sled_store`] is the real
//! one; [`Memory`] outlives "processes" in tests and can die at any write.
//!
//! The trait is all that the saga knows of storage, so that a replicated store can stand behind it one day.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::journal::{Event, Record};

/// One change. All changes of a commit become durable together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Adds records whose first sequence number must be the journal's length.
    Append {
        /// The saga.
        saga: String,
        /// Contiguous.
        records: Vec<Record>,
    },
    /// Writes a value under a key that must be free: locks, ids already seen.
    Claim {
        /// The key.
        key: String,
        /// The value.
        value: Value,
    },
    /// Writes a value.
    Put {
        /// The key.
        key: String,
        /// The value.
        value: Value,
    },
    /// Removes a key, if it is there.
    Delete {
        /// The key.
        key: String,
    },
    /// Changes nothing; the commit fails unless this stands under the key: what was decided on is still so.
    Expect {
        /// The key.
        key: String,
        /// `None`: nothing.
        value: Option<Value>,
    },
}

/// A failed commit or read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// A claim found its key taken: somebody was first.
    #[error("`{key}` is taken")]
    Taken {
        /// The key.
        key: String,
        /// What is there.
        value: Value,
    },
    /// An expectation found something else: somebody changed it since it was read.
    #[error("`{key}` has changed")]
    Changed {
        /// The key.
        key: String,
    },
    /// An append found another length: two writers.
    #[error("the journal of {saga} has {found} events where {expected} were expected")]
    Unexpected {
        /// The saga.
        saga: String,
        /// What the writer believed.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// What is stored is damaged; says what and the mend.
    #[error("{0}")]
    Damaged(String),
    /// The disk failed or is full: stop and say so; a restart goes on.
    #[error("{0}")]
    Failed(String),
}

impl StoreError {
    /// A precondition did not hold: nothing was written, and the store is well.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Taken { .. } | Self::Changed { .. })
    }
}

/// A journal at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The saga.
    pub saga: String,
    /// How many events.
    pub length: u64,
    /// When it began, in microseconds since 1970, to sort by.
    pub started_us: i64,
}

impl Head {
    /// Oldest first.
    pub(super) fn by_age(&self, other: &Self) -> Ordering {
        (self.started_us, &self.saga).cmp(&(other.started_us, &other.saga))
    }
}

/// Atomic commits and reads.
#[async_trait]
pub trait Store: Send + Sync {
    /// Durable when it returns: a power cut loses nothing of it.
    async fn commit(&self, ops: Vec<Op>) -> Result<(), StoreError>;
    /// A whole journal, checked; empty if there is none.
    fn load(&self, saga: &str) -> Result<Vec<Record>, StoreError>;
    /// All journals, oldest first.
    fn heads(&self) -> Vec<Head>;
    /// The value under a key.
    fn get(&self, key: &str) -> Result<Option<Value>, StoreError>;
    /// All keys that begin so, in order, with their values.
    fn scan(&self, prefix: &str) -> Result<Vec<(String, Value)>, StoreError>;
    /// Takes a finished journal out of the store (its flight recorder stays).
    async fn retire(&self, saga: &str) -> Result<(), StoreError>;
    /// The journal of a retired saga, from its flight recorder; empty if there is none.
    fn archived(&self, saga: &str) -> Result<Vec<Record>, StoreError>;
    /// Whether there is room for what comes next; a `no` leaves the store as it was, which a failed commit may not.
    async fn room(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What [`probe`] writes under: no saga looks there.
const PROBED: &str = "probed";

/// Writes a little, durably. It looks for room first: on a full disk the store itself stays untouched, and well once there is space.
///
/// # Errors
/// Why nothing can be written. [`Probed::Lost`] means that the store has failed.
pub async fn probe(store: &dyn Store, at: DateTime<Utc>) -> Result<(), Probed> {
    store.room().await.map_err(Probed::NoRoom)?;
    let key = PROBED.to_owned();
    let value = at.timestamp().into();
    store.commit(vec![Op::Put { key, value }]).await.map_err(Probed::Lost)
}

/// Why a probe could not write.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Probed {
    /// Nothing was tried: it may come right by itself.
    #[error("{0}")]
    NoRoom(StoreError),
    /// The store refused a write: it takes no more.
    #[error("{0}")]
    Lost(StoreError),
}

/// A store in memory. Clones share the data, as processes share a disk.
#[derive(Clone, Default)]
pub struct Memory {
    data: Arc<Mutex<Data>>,
}

#[derive(Default)]
struct Data {
    journals: BTreeMap<String, Vec<Record>>,
    archive: BTreeMap<String, Vec<Record>>,
    values: BTreeMap<String, Value>,
    commits: u64,
}

impl Memory {
    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many commits were made so far.
    pub fn commits(&self) -> u64 {
        self.data().commits
    }
}

#[async_trait]
impl Store for Memory {
    async fn commit(&self, ops: Vec<Op>) -> Result<(), StoreError> {
        let mut data = self.data();
        Staged::default().accept(
            &ops,
            |saga| data.journals.get(saga).map_or(0, Vec::len) as u64,
            |key| Ok(data.values.get(key).cloned()),
        )?;
        for op in ops {
            match op {
                Op::Append { saga, records } => data.journals.entry(saga).or_default().extend(records),
                Op::Claim { key, value } | Op::Put { key, value } => drop(data.values.insert(key, value)),
                Op::Delete { key } => drop(data.values.remove(&key)),
                Op::Expect { .. } => {}
            }
        }
        data.commits += 1;
        Ok(())
    }

    fn load(&self, saga: &str) -> Result<Vec<Record>, StoreError> {
        Ok(self.data().journals.get(saga).cloned().unwrap_or_default())
    }

    fn heads(&self) -> Vec<Head> {
        let data = self.data();
        let mut heads: Vec<Head> = data
            .journals
            .iter()
            .filter_map(|(saga, records)| head(saga, records))
            .collect();
        heads.sort_by(Head::by_age);
        heads
    }

    fn get(&self, key: &str) -> Result<Option<Value>, StoreError> {
        Ok(self.data().values.get(key).cloned())
    }

    fn scan(&self, prefix: &str) -> Result<Vec<(String, Value)>, StoreError> {
        let data = self.data();
        let from = data.values.range(prefix.to_owned()..);
        let ours = from.take_while(|(key, _)| key.starts_with(prefix));
        Ok(ours.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    async fn retire(&self, saga: &str) -> Result<(), StoreError> {
        let mut data = self.data();
        if let Some(records) = data.journals.remove(saga) {
            data.archive.insert(saga.to_owned(), records);
        }
        Ok(())
    }

    fn archived(&self, saga: &str) -> Result<Vec<Record>, StoreError> {
        Ok(self.data().archive.get(saga).cloned().unwrap_or_default())
    }
}

fn head(saga: &str, records: &[Record]) -> Option<Head> {
    Some(Head {
        saga: saga.to_owned(),
        length: records.len() as u64,
        started_us: records.first()?.at.timestamp_micros(),
    })
}

/// What commits that are accepted but not written yet will have changed: later ones are checked on top of it.
#[derive(Default)]
pub(super) struct Staged {
    lengths: HashMap<String, u64>,
    values: HashMap<String, Option<Value>>,
}

impl Staged {
    /// Checks each change of a commit on top of those before it, given what is stored; takes all of them in, or none.
    pub(super) fn accept(
        &mut self,
        ops: &[Op],
        length: impl Fn(&str) -> u64,
        value: impl Fn(&str) -> Result<Option<Value>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut ours = Self::default();
        for op in ops {
            match op {
                Op::Append { saga, records } => {
                    let staged = ours.lengths.get(saga).or_else(|| self.lengths.get(saga));
                    let mut found = staged.copied().unwrap_or_else(|| length(saga));
                    for record in records {
                        if record.seq != found {
                            return Err(StoreError::Unexpected {
                                saga: saga.clone(),
                                expected: record.seq,
                                found,
                            });
                        }
                        found += 1;
                    }
                    ours.lengths.insert(saga.clone(), found);
                }
                Op::Claim { key, value: ours_now } => {
                    if let Some(value) = self.there(&ours, key, &value)? {
                        return Err(StoreError::Taken {
                            key: key.clone(),
                            value,
                        });
                    }
                    ours.values.insert(key.clone(), Some(ours_now.clone()));
                }
                Op::Put { key, value } => drop(ours.values.insert(key.clone(), Some(value.clone()))),
                Op::Delete { key } => drop(ours.values.insert(key.clone(), None)),
                Op::Expect { key, value: expected } => {
                    if self.there(&ours, key, &value)? != *expected {
                        return Err(StoreError::Changed { key: key.clone() });
                    }
                }
            }
        }
        self.lengths.extend(ours.lengths);
        self.values.extend(ours.values);
        Ok(())
    }

    /// What will be under a key once everything before has been written.
    fn there(
        &self,
        ours: &Self,
        key: &str,
        stored: impl Fn(&str) -> Result<Option<Value>, StoreError>,
    ) -> Result<Option<Value>, StoreError> {
        match ours.values.get(key).or_else(|| self.values.get(key)) {
            Some(staged) => Ok(staged.clone()),
            None => stored(key),
        }
    }
}

/// What the first event of a journal says it is for.
pub fn project_of(records: &[Record]) -> Option<&str> {
    match &records.first()?.event {
        Event::SagaStarted { project, .. } => Some(project),
        _ => None,
    }
}
