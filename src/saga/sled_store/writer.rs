//! The one thread that writes: it takes all commits that wait, makes them durable with one flush and one sync, and tells everybody.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::super::journal::{Event, Record};
use super::super::store::{Head, Op, Staged, StoreError};
use super::{Shared, flight, journals, value_key};

/// Told once the work is durable, or why it isn't.
pub type Reply = oneshot::Sender<Result<(), StoreError>>;

/// What the writer is asked to do.
pub enum Work {
    /// A commit.
    Commit(Vec<Op>, Reply),
    /// A journal goes; its flight recorder is archived.
    Retire(String, Reply),
}

/// The writer's state.
pub struct Writer {
    /// With the readers.
    pub shared: Arc<Shared>,
    /// A second handle of the database file: syncing it is what makes a flush survive a power cut.
    pub sync: File,
    /// Open flight recorders.
    pub flights: flight::Flights,
    /// After one failed flush sled fails all later ones: nothing is accepted any more.
    pub failed: Option<StoreError>,
}

/// Commits that become durable together.
#[derive(Default)]
struct Group {
    writes: Vec<Write>,
    staged: Staged,
    grown: Vec<Growth>,
    retired: Vec<String>,
    replies: Vec<Reply>,
}

/// A key with its new value, or without one.
type Write = (Vec<u8>, Option<Vec<u8>>);

/// What a commit adds to one journal.
struct Growth {
    saga: String,
    events: u64,
    started_us: i64,
    /// For the flight recorder.
    lines: Vec<u8>,
    /// These are its last events.
    ended: bool,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Growth {
    fn new(saga: String, records: &[Record]) -> Result<Option<Self>, StoreError> {
        let Some(first) = records.first() else {
            return Ok(None);
        };
        let mut growth = Self {
            events: records.len() as u64,
            started_us: first.at.timestamp_micros(),
            lines: Vec::new(),
            ended: records
                .iter()
                .any(|record| matches!(record.event, Event::SagaFinished { .. })),
            entries: Vec::new(),
            saga,
        };
        for record in records {
            let json = serde_json::to_vec(record)
                .map_err(|error| StoreError::Failed(format!("an event can't be written: {error}")))?;
            growth
                .entries
                .extend(journals::entries(&growth.saga, record.seq, &json));
            growth.lines.extend(json);
            growth.lines.push(b'\n');
        }
        Ok(Some(growth))
    }
}

impl Writer {
    /// Works until everybody who could ask has gone.
    pub fn serve(mut self, queue: &Receiver<Work>) {
        while let Ok(first) = queue.recv() {
            let mut group = Group::default();
            for work in std::iter::once(first).chain(queue.try_iter()) {
                self.take(work, &mut group);
            }
            self.commit(group);
        }
    }

    fn take(&mut self, work: Work, group: &mut Group) {
        let (taken, reply) = match (&self.failed, work) {
            (Some(error), Work::Commit(_, reply) | Work::Retire(_, reply)) => (Err(error.clone()), reply),
            (None, Work::Commit(ops, reply)) => (self.accept(ops, group), reply),
            (None, Work::Retire(saga, reply)) => (self.retire(saga, group), reply),
        };
        match taken {
            Ok(()) => group.replies.push(reply),
            // Whoever asked may have gone.
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    fn accept(&self, ops: Vec<Op>, group: &mut Group) -> Result<(), StoreError> {
        let stored = |saga: &str| self.shared.heads().get(saga).map_or(0, |head| head.length);
        group.staged.accept(&ops, stored, |key| self.shared.value(key))?;
        for op in ops {
            match op {
                Op::Append { saga, records } => {
                    let Some(mut growth) = Growth::new(saga, &records)? else {
                        continue;
                    };
                    for (key, value) in std::mem::take(&mut growth.entries) {
                        group.writes.push((key, Some(value)));
                    }
                    group.grown.push(growth);
                }
                Op::Claim { key, value } | Op::Put { key, value } => {
                    let value = value.to_string().into_bytes();
                    group.writes.push((value_key(&key), Some(value)));
                }
                Op::Delete { key } => group.writes.push((value_key(&key), None)),
                Op::Expect { .. } => {}
            }
        }
        Ok(())
    }

    /// The recorder goes first: one without a journal would be taken for the witness of a lost one.
    fn retire(&mut self, saga: String, group: &mut Group) -> Result<(), StoreError> {
        self.flights.close(&saga);
        flight::archive(&self.shared.dir, &saga)
            .map_err(|error| StoreError::Failed(format!("the flight recorder of {saga} can't be archived: {error}")))?;
        for key in self.shared.db.scan_prefix(journals::prefix(&saga)).keys() {
            let key = key.map_err(|error| StoreError::Failed(error.to_string()))?;
            group.writes.push((key.to_vec(), None));
        }
        group.retired.push(saga);
        Ok(())
    }

    fn commit(&mut self, group: Group) {
        if group.replies.is_empty() {
            return;
        }
        let durable = self.make_durable(group.writes);
        if durable.is_ok() {
            self.note_heads(&group.grown, &group.retired);
        }
        for reply in group.replies {
            let _ = reply.send(durable.clone());
        }
        match durable {
            Ok(()) => self.note_flights(&group.grown),
            Err(error) => self.failed = Some(error),
        }
    }

    fn make_durable(&self, mut writes: Vec<Write>) -> Result<(), StoreError> {
        let failed = |error: &dyn std::fmt::Display| {
            StoreError::Failed(format!(
                "the journal in {} can't be written: {error}. Free some space or mend the disk and start Shipmate again: it goes on where it was",
                self.shared.dir.display()
            ))
        };
        let db = &self.shared.db;
        let written = match (writes.pop(), writes.is_empty()) {
            // One entry is whole or not there by itself; a batch would cost a second log entry.
            (Some((key, Some(value))), true) => db.insert(key, value).map(drop),
            (last, _) => db.apply_batch(batch(writes.into_iter().chain(last))),
        };
        written.map_err(|error| failed(&in_words(&error)))?;
        db.flush().map_err(|error| failed(&in_words(&error)))?;
        self.sync.sync_data().map_err(|error| failed(&error))?;
        self.shared.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn note_heads(&self, grown: &[Growth], retired: &[String]) {
        let mut heads = self.shared.heads();
        for growth in grown {
            let head = heads.entry(growth.saga.clone()).or_insert_with(|| Head {
                saga: growth.saga.clone(),
                length: 0,
                started_us: growth.started_us,
            });
            head.length += growth.events;
        }
        for saga in retired {
            heads.remove(saga);
        }
    }

    /// After everybody has been told: the recorder is not the truth, and a line that a kill keeps out is added at the next open.
    fn note_flights(&mut self, grown: &[Growth]) {
        for growth in grown {
            if let Err(error) = self.flights.write(&growth.saga, &growth.lines) {
                tracing::warn!(deployment = %growth.saga, %error, "the flight recorder can't be written");
            }
            if growth.ended {
                self.flights.close(&growth.saga);
            }
        }
    }
}

/// sled's own words for an I/O error are a debug print, its background flusher's even within the error.
pub(super) fn in_words(error: &sled::Error) -> String {
    match error {
        sled::Error::Io(error) if error.raw_os_error().is_none() => error.kind().to_string(),
        sled::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn batch(writes: impl Iterator<Item = Write>) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, value) in writes {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    batch
}
