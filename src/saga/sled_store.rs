//! The store on disk: sled 0.34.7, made durable.
//!
//! sled's `flush` survives a killed process but not a power cut: it ends in `sync_file_range`. So one writer thread commits groups of
//! waiting changes and, after sled's flush, syncs the database file through a handle of its own; nothing is called durable before that.
//!
//! Beside sled, every saga has a flight recorder, `flight/<id>.jsonl`: its records as readable lines, written after they are durable. It
//! is the post-mortem file, the witness of how long a journal must be, and what [`import`] restores from. sled opens a truncated
//! file silently with its newest records gone; the witness is how that is noticed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::metrics;

use super::journal::Record;
use super::store::{Head, Op, Store, StoreError};

mod flight;
mod import;
mod journals;
mod values;
mod writer;

#[cfg(test)]
mod tests;

use flight::Witness;
pub use import::import;
use writer::{Reply, Work, Writer};

/// sled's page cache, in bytes.
const CACHE: u64 = 16 * 1024 * 1024;

/// Room for sled's next few segments, in bytes: with less on the disk its next write may be its last.
const ROOM: usize = 128 * 1024;

/// How long a lock may take to be let go of: sled's threads, or a child between fork and exec, can outlive their store by a moment.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(5);

/// The store on disk. Dropping it ends the writer thread after what it has taken.
pub struct SledStore {
    shared: Arc<Shared>,
    work: Option<mpsc::Sender<Work>>,
    writer: Option<std::thread::JoinHandle<()>>,
    /// Held while the store is open.
    _lock: File,
}

/// What readers and the writer share.
struct Shared {
    db: sled::Db,
    dir: PathBuf,
    heads: Mutex<HashMap<String, Head>>,
    flushes: AtomicU64,
}

impl Shared {
    fn heads(&self) -> MutexGuard<'_, HashMap<String, Head>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn value(&self, key: &str) -> Result<Option<Value>, StoreError> {
        values::read(&self.db, key).map_err(|problem| damaged(&self.dir, &problem))
    }
}

impl SledStore {
    /// Opens, mends what a kill can leave behind, and checks every journal: contiguous, intact, and as long as its witness says.
    ///
    /// # Errors
    /// One sentence with the mend: not writable, opened by another process, damaged, written by a later version.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let at = |what: &str, error: &dyn std::fmt::Display| {
            StoreError::Failed(format!(
                "can't {what} the data directory {}: {error}; `data_dir` must be a writable directory",
                dir.display()
            ))
        };
        fs::create_dir_all(flight::folder(dir)).map_err(|error| at("make", &error))?;
        // Before anything is mended: what looks left over may be at work in another process.
        let lock = take_lock(dir)?;
        let sled_dir = dir.join("sled");
        mend(&sled_dir).map_err(|error| at("mend", &error))?;
        let db = open_sled(dir, &sled_dir)?;
        let sync = OpenOptions::new()
            .write(true)
            .open(sled_dir.join("db"))
            .map_err(|error| at("open the database in", &error))?;
        // The directory entries themselves, once.
        for made in [dir, &sled_dir, &flight::folder(dir)] {
            File::open(made)
                .and_then(|dir| dir.sync_all())
                .map_err(|error| at("sync", &error))?;
        }
        let shared = Arc::new(Shared {
            heads: Mutex::new(verify(&db, dir)?),
            db,
            dir: dir.to_owned(),
            flushes: AtomicU64::new(0),
        });
        let (work, queue) = mpsc::channel();
        let writer = Writer {
            shared: shared.clone(),
            sync,
            flights: flight::Flights::new(dir),
            failed: None,
        };
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.serve(&queue))
            .map_err(|error| at("start the writer of", &error))?;
        Ok(Self {
            shared,
            work: Some(work),
            writer: Some(writer),
            _lock: lock,
        })
    }

    /// How often something was made durable since the open; commits that wait at the same time share one.
    pub fn flushes(&self) -> u64 {
        self.shared.flushes.load(Ordering::Relaxed)
    }

    async fn ask(&self, work: impl FnOnce(Reply) -> Work) -> Result<(), StoreError> {
        let gone = || StoreError::Failed("the journal's writer has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let queue = self.work.as_ref().ok_or_else(gone)?;
        queue.send(work(reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// sled panics while reading some damaged pages.
    fn reading<T>(&self, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        catch_unwind(AssertUnwindSafe(read))
            .unwrap_or_else(|_| Err(damaged(&self.shared.dir, "a page is not readable")))
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.work = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl Store for SledStore {
    async fn commit(&self, ops: Vec<Op>) -> Result<(), StoreError> {
        let asked = std::time::Instant::now();
        let committed = self.ask(|reply| Work::Commit(ops, reply)).await;
        metrics::committed(asked.elapsed());
        committed
    }

    fn load(&self, saga: &str) -> Result<Vec<Record>, StoreError> {
        let Shared { db, dir, .. } = &*self.shared;
        self.reading(|| journals::load(db, saga).map_err(|flaw| explained(dir, flaw)))
    }

    fn heads(&self) -> Vec<Head> {
        let mut heads: Vec<Head> = self.shared.heads().values().cloned().collect();
        heads.sort_by(Head::by_age);
        heads
    }

    fn get(&self, key: &str) -> Result<Option<Value>, StoreError> {
        self.reading(|| self.shared.value(key))
    }

    fn scan(&self, prefix: &str) -> Result<Vec<(String, Value)>, StoreError> {
        let Shared { db, dir, .. } = &*self.shared;
        self.reading(|| values::scan(db, prefix).map_err(|problem| damaged(dir, &problem)))
    }

    async fn retire(&self, saga: &str) -> Result<(), StoreError> {
        let saga = saga.to_owned();
        self.ask(|reply| Work::Retire(saga, reply)).await
    }

    fn archived(&self, saga: &str) -> Result<Vec<Record>, StoreError> {
        flight::archived(&self.shared.dir, saga).map_err(|problem| {
            StoreError::Damaged(format!(
                "the archived flight recorder of {saga} can't be read: {problem}"
            ))
        })
    }

    async fn room(&self) -> Result<(), StoreError> {
        let dir = self.shared.dir.clone();
        // Syncing a file can take long on a disk in trouble.
        let tried = tokio::task::spawn_blocking(move || has_room(&dir)).await;
        tried.unwrap_or_else(|error| Err(StoreError::Failed(error.to_string())))
    }
}

/// Writes a file of [`ROOM`] bytes and removes it.
fn has_room(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("probe");
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&[b' '; ROOM])?;
        file.sync_all()
    });
    // It holds space that the journal may need, written or not. Another that asks at the same time may have removed it.
    let removed = match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    written.and(removed).map_err(|error| {
        StoreError::Failed(format!(
            "{} takes no writes: {error}; free some space or mend the disk",
            dir.display()
        ))
    })
}

fn take_lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let locked = opened.map_err(TryLockError::Error).and_then(|file| {
        let unlocked = patiently(|| match file.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            tried => Some(tried),
        });
        unlocked.unwrap_or(Err(TryLockError::WouldBlock))?;
        Ok(file)
    });
    locked.map_err(|error| match error {
        TryLockError::WouldBlock => in_use(dir),
        TryLockError::Error(error) => StoreError::Failed(format!(
            "can't lock {}: {error}; `data_dir` must be a writable directory",
            path.display()
        )),
    })
}

/// Tries until there is an answer or patience ends.
fn patiently<T>(mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        match attempt() {
            None if began.elapsed() < PATIENCE => std::thread::sleep(TRY_AGAIN),
            answer => return answer,
        }
    }
}

fn in_use(dir: &Path) -> StoreError {
    StoreError::Failed(format!(
        "another Shipmate runs on the data directory {}; stop it first",
        dir.display()
    ))
}

/// Removes what a kill during an open leaves behind and sled then trips over.
fn mend(sled_dir: &Path) -> std::io::Result<()> {
    let Ok(entries) = fs::read_dir(sled_dir) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    let database = fs::metadata(sled_dir.join("db")).map_or(0, |file| file.len());
    if database == 0 && sled_dir.join("conf").exists() {
        fs::remove_file(sled_dir.join("conf"))?;
    }
    Ok(())
}

fn open_sled(dir: &Path, sled_dir: &Path) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(sled_dir)
        .cache_capacity(CACHE)
        .mode(sled::Mode::LowSpace);
    // sled panics on some damage; the hook that prints it stays, the process goes on to say what to do.
    let opened = patiently(|| match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => None,
        tried => Some(tried),
    });
    let problem = match opened.ok_or_else(|| in_use(dir))? {
        Ok(Ok(db)) => return Ok(db),
        Ok(Err(sled::Error::Io(error))) => {
            return Err(StoreError::Failed(format!(
                "can't open the database in {}: {error}; `data_dir` must be a writable directory with space left",
                dir.display()
            )));
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it is not readable".to_owned(),
    };
    Err(damaged(dir, &problem))
}

fn damaged(dir: &Path, problem: &str) -> StoreError {
    let dir = dir.display();
    StoreError::Damaged(format!(
        "the database in {dir} is damaged: {problem}. Stop Shipmate, move {dir}/sled away and run `shipmate import {dir}/flight` to restore it from the flight recorders"
    ))
}

fn explained(dir: &Path, flaw: journals::Flaw) -> StoreError {
    let name = dir.display().to_string();
    journals::explain(flaw, |problem| damaged(dir, problem), &name)
}

/// Checks everything and answers with the journals' heads; brings up to date what follows from them: flight recorders, locks, counters.
fn verify(db: &sled::Db, dir: &Path) -> Result<HashMap<String, Head>, StoreError> {
    let broken = |problem: &dyn std::fmt::Display| damaged(dir, &problem.to_string());
    let unreadable = |_| damaged(dir, "a page is not readable");
    let found = catch_unwind(AssertUnwindSafe(|| journals::survey(db)))
        .map_err(unreadable)?
        .map_err(|flaw| explained(dir, flaw))?;
    let mut witnesses: HashMap<String, Witness> = HashMap::new();
    for (saga, file) in flight::all(&flight::folder(dir)).map_err(|error| broken(&error))? {
        let witness = flight::witness(&file).map_err(|error| broken(&error))?;
        let length = found.get(&saga).map_or(0, |journal| journal.length);
        if witness.lines > length {
            return Err(broken(&format!(
                "{saga} has {length} events where its flight recorder has {}",
                witness.lines
            )));
        }
        witnesses.insert(saga, witness);
    }
    for (saga, journal) in &found {
        let file = flight::file(dir, saga);
        let witness = witnesses.remove(saga).unwrap_or_default();
        if flight::is_behind(&file, &witness, journal.length) {
            let records = journals::load(db, saga).map_err(|flaw| explained(dir, flaw))?;
            flight::catch_up(&file, &witness, &records).map_err(|error| broken(&error))?;
        }
    }
    catch_unwind(AssertUnwindSafe(|| values::put_right(db, &found)))
        .map_err(unreadable)?
        .map_err(|problem| damaged(dir, &problem))?;
    Ok(found
        .iter()
        .map(|(saga, journal)| (saga.clone(), journal.head(saga)))
        .collect())
}

fn value_key(key: &str) -> Vec<u8> {
    format!("k/{key}").into_bytes()
}
