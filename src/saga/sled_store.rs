//! The store on disk: sled 0.34.7, made durable.
//!
//! sled's `flush` survives a killed process but not a power cut: it ends in `sync_file_range`. So one writer thread commits groups of
//! waiting changes and, after sled's flush, syncs the database file through a handle of its own; nothing is called durable before that.
//!
//! Beside sled, every saga has a flight recorder, `flight/<id>.jsonl`: its records as readable lines, written after they are durable. It
//! is the post-mortem file, the witness of how long a journal must be, and what [`import`] restores from. sled opens a truncated
//! file silently with its newest records gone; the witness is how that is noticed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::oneshot;

use super::journal::{Event, Record, SCHEMA};
use super::store::{Head, Op, Store, StoreError, check, project_of};

/// sled keeps values over 128 KiB in files that are never synced: records are cut into parts well below that.
const PART: usize = 64 * 1024;
/// sled's page cache, in bytes.
const CACHE: u64 = 16 * 1024 * 1024;
/// At most so many commits wait for the writer; then callers wait.
const QUEUE: usize = 4096;

type Reply = oneshot::Sender<Result<(), StoreError>>;

enum Work {
    Commit(Vec<Op>, Reply),
    Retire(String, Reply),
}

/// The store on disk. Dropping it ends the writer thread after what it has taken.
pub struct SledStore {
    shared: Arc<Shared>,
    work: Option<mpsc::SyncSender<Work>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    db: sled::Db,
    dir: PathBuf,
    heads: Mutex<HashMap<String, Head>>,
}

impl Shared {
    fn heads(&self) -> MutexGuard<'_, HashMap<String, Head>> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flight(&self, saga: &str) -> PathBuf {
        flight_file(&self.dir, saga)
    }
}

fn flight_file(dir: &Path, saga: &str) -> PathBuf {
    dir.join("flight").join(format!("{saga}.jsonl"))
}

impl SledStore {
    /// Opens, mends what a kill can leave behind, and checks every journal: contiguous, intact, and as long as its witness says.
    ///
    /// # Errors
    /// One sentence with the mend: not writable, opened by another process, damaged.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let at = |what: &str, error: &dyn std::fmt::Display| {
            StoreError::Failed(format!(
                "can't {what} the data directory {}: {error}; `data_dir` must be a writable directory",
                dir.display()
            ))
        };
        fs::create_dir_all(dir.join("flight")).map_err(|error| at("make", &error))?;
        let sled_dir = dir.join("sled");
        mend(&sled_dir).map_err(|error| at("mend", &error))?;
        let db = open_sled(dir, &sled_dir)?;
        let sync = OpenOptions::new()
            .write(true)
            .open(sled_dir.join("db"))
            .map_err(|error| at("open the database in", &error))?;
        // The directory entries themselves, once.
        for made in [dir, &sled_dir, &dir.join("flight")] {
            File::open(made)
                .and_then(|dir| dir.sync_all())
                .map_err(|error| at("sync", &error))?;
        }
        let shared = Arc::new(Shared {
            heads: Mutex::new(verify(&db, dir)?),
            db,
            dir: dir.to_owned(),
        });
        let (work, queue) = mpsc::sync_channel(QUEUE);
        let writer = Writer {
            shared: shared.clone(),
            sync,
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
        })
    }

    async fn ask(&self, work: impl FnOnce(Reply) -> Work) -> Result<(), StoreError> {
        let gone = || StoreError::Failed("the journal's writer has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let queue = self.work.as_ref().ok_or_else(gone)?;
        queue.try_send(work(reply)).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => StoreError::Failed("the journal's writer can't keep up".to_owned()),
            mpsc::TrySendError::Disconnected(_) => gone(),
        })?;
        answer.await.map_err(|_| gone())?
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
    let opened = std::panic::catch_unwind(AssertUnwindSafe(|| config.open()));
    let problem = match opened {
        Ok(Ok(db)) => return Ok(db),
        Ok(Err(sled::Error::Io(error))) if error.to_string().contains("lock") => {
            return Err(StoreError::Failed(format!(
                "another Shipmate runs on the data directory {}; stop it first",
                dir.display()
            )));
        }
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
        "the database in {dir} is damaged: {problem}. Nothing was changed. Move {dir}/sled away and run `shipmate import {dir}/flight` to restore it from the flight recorders"
    ))
}

fn journal_prefix(saga: &str) -> Vec<u8> {
    let mut key = b"j/".to_vec();
    key.extend(saga.as_bytes());
    key.push(0);
    key
}

fn part_key(saga: &str, seq: u64, part: u16) -> Vec<u8> {
    let mut key = journal_prefix(saga);
    key.extend(seq.to_be_bytes());
    key.extend(part.to_be_bytes());
    key
}

fn value_key(key: &str) -> Vec<u8> {
    format!("k/{key}").into_bytes()
}

/// `crc32 in hex, schema version, JSON`: readable with any tool, checked on every read.
fn encode(record: &Record) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(record).map_err(|error| StoreError::Failed(error.to_string()))?;
    let mut bytes = format!("{:08x} {SCHEMA} ", crc32fast::hash(&json)).into_bytes();
    bytes.extend(json);
    Ok(bytes)
}

/// The JSON of an encoded record, if its checksum holds.
fn checked(bytes: &[u8]) -> Result<&[u8], String> {
    let text = |range: std::ops::Range<usize>| bytes.get(range).and_then(|part| std::str::from_utf8(part).ok());
    let crc = text(0..8).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let body = bytes.get(9..).unwrap_or_default();
    let space = body
        .iter()
        .position(|&byte| byte == b' ')
        .ok_or("it has no schema version")?;
    let schema: u32 = std::str::from_utf8(&body[..space])
        .ok()
        .and_then(|version| version.parse().ok())
        .ok_or("it has no schema version")?;
    if schema > SCHEMA {
        return Err(format!(
            "it was written by a newer Shipmate (schema {schema}); run that one"
        ));
    }
    let json = &body[space + 1..];
    if crc == Some(crc32fast::hash(json)) {
        Ok(json)
    } else {
        Err("its checksum doesn't hold".to_owned())
    }
}

/// Joins the parts of each record of a journal and hands them on in order with their sequence number.
fn each_record(
    db: &sled::Db,
    prefix: &[u8],
    mut take: impl FnMut(&[u8], u64, &[u8]) -> Result<(), StoreError>,
    broken: impl Fn(&str) -> StoreError,
) -> Result<(), StoreError> {
    let mut current: Option<(Vec<u8>, u64, Vec<u8>)> = None;
    for entry in db.scan_prefix(prefix) {
        let (key, value) = entry.map_err(|error| broken(&error.to_string()))?;
        let tail = key.len().checked_sub(10).filter(|&tail| tail > prefix.len().min(2));
        let Some(tail) = tail else {
            return Err(broken("a key is malformed"));
        };
        let mut number = [0; 8];
        number.copy_from_slice(&key[tail..tail + 8]);
        let seq = u64::from_be_bytes(number);
        let first = key[tail + 8..] == [0, 0];
        match &mut current {
            Some((journal, known, bytes)) if !first && *known == seq && journal.as_slice() == &key[..tail] => {
                bytes.extend(&value[..])
            }
            _ => {
                if let Some((journal, seq, bytes)) = current.take() {
                    take(&journal, seq, &bytes)?;
                }
                current = Some((key[..tail].to_vec(), seq, value.to_vec()));
            }
        }
    }
    match current {
        Some((journal, seq, bytes)) => take(&journal, seq, &bytes),
        None => Ok(()),
    }
}

/// Checks every journal and answers with their heads; brings flight recorders that a kill left short up to date.
fn verify(db: &sled::Db, dir: &Path) -> Result<HashMap<String, Head>, StoreError> {
    let mut heads: HashMap<String, Head> = HashMap::new();
    let broken = |problem: &str| damaged(dir, problem);
    // sled panics while reading some damaged pages, too.
    let walk = std::panic::catch_unwind(AssertUnwindSafe(|| {
        each_record(
            db,
            b"j/",
            |journal, seq, bytes| {
                let saga = String::from_utf8_lossy(&journal[2..journal.len() - 1]).into_owned();
                let json = checked(bytes).map_err(|why| broken(&format!("event {seq} of {saga}: {why}")))?;
                let head = match heads.get_mut(&saga) {
                    Some(head) => head,
                    None => {
                        let first: Record = serde_json::from_slice(json)
                            .map_err(|error| broken(&format!("event {seq} of {saga} can't be read: {error}")))?;
                        heads.entry(saga.clone()).or_insert(Head {
                            saga: saga.clone(),
                            length: 0,
                            started_us: first.at.timestamp_micros(),
                        })
                    }
                };
                if seq != head.length {
                    return Err(broken(&format!("event {} of {saga} is missing", head.length)));
                }
                head.length += 1;
                Ok(())
            },
            broken,
        )
    }));
    walk.map_err(|_| broken("a page is not readable"))??;
    let flights = fs::read_dir(dir.join("flight")).map_err(|error| broken(&error.to_string()))?;
    for entry in flights.flatten() {
        let name = entry.file_name();
        let Some(saga) = name.to_str().and_then(|name| name.strip_suffix(".jsonl")) else {
            continue;
        };
        let witnessed = witness(&entry.path()).map_err(|error| broken(&error.to_string()))?;
        let length = heads.get(saga).map_or(0, |head| head.length);
        if witnessed.complete > length {
            return Err(broken(&format!(
                "{saga} has {length} events where its flight recorder has {}",
                witnessed.complete
            )));
        }
    }
    for head in heads.values() {
        catch_up(db, dir, head).map_err(|error| broken(&error.to_string()))?;
    }
    Ok(heads)
}

struct Witness {
    /// Complete lines: durable events.
    complete: u64,
    /// Bytes of those lines; what follows is half a line.
    bytes: u64,
}

fn witness(file: &Path) -> std::io::Result<Witness> {
    let mut found = Witness { complete: 0, bytes: 0 };
    let Ok(file) = File::open(file) else {
        return Ok(found);
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        // After a power cut the file's end may be blank or half a line; only whole ones count.
        if line.first() != Some(&b'{') || !line.ends_with(b"}\n") {
            break;
        }
        found.complete += 1;
        found.bytes += line.len() as u64;
        line.clear();
    }
    Ok(found)
}

/// Brings a flight recorder that a kill left short up to date.
fn catch_up(db: &sled::Db, dir: &Path, head: &Head) -> std::io::Result<()> {
    let file = flight_file(dir, &head.saga);
    let witnessed = witness(&file)?;
    let whole = fs::metadata(&file).is_ok_and(|file| file.len() == witnessed.bytes);
    if witnessed.complete == head.length && whole {
        return Ok(());
    }
    let mut out = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)?;
    out.set_len(witnessed.bytes)?;
    std::io::Seek::seek(&mut out, std::io::SeekFrom::End(0))?;
    let missing = load(db, dir, &head.saga).map_err(std::io::Error::other)?;
    for record in missing.iter().skip(witnessed.complete as usize) {
        serde_json::to_writer(&mut out, record)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn load(db: &sled::Db, dir: &Path, saga: &str) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    let broken = |problem: &str| damaged(dir, &format!("{saga}: {problem}"));
    each_record(
        db,
        &journal_prefix(saga),
        |_, seq, bytes| {
            let json = checked(bytes).map_err(|why| broken(&format!("event {seq}: {why}")))?;
            let record: Record =
                serde_json::from_slice(json).map_err(|error| broken(&format!("event {seq} can't be read: {error}")))?;
            if record.seq != records.len() as u64 || record.seq != seq {
                return Err(broken(&format!("event {} is missing", records.len())));
            }
            records.push(record);
            Ok(())
        },
        broken,
    )?;
    Ok(records)
}

#[async_trait]
impl Store for SledStore {
    async fn commit(&self, ops: Vec<Op>) -> Result<(), StoreError> {
        self.ask(|reply| Work::Commit(ops, reply)).await
    }

    fn load(&self, saga: &str) -> Result<Vec<Record>, StoreError> {
        load(&self.shared.db, &self.shared.dir, saga)
    }

    fn heads(&self) -> Vec<Head> {
        let mut heads: Vec<Head> = self.shared.heads().values().cloned().collect();
        heads.sort_by(|a, b| (a.started_us, &a.saga).cmp(&(b.started_us, &b.saga)));
        heads
    }

    fn get(&self, key: &str) -> Result<Option<Value>, StoreError> {
        read_value(&self.shared.db, key)
    }

    fn scan(&self, prefix: &str) -> Result<Vec<(String, Value)>, StoreError> {
        let mut found = Vec::new();
        for entry in self.shared.db.scan_prefix(value_key(prefix)) {
            let (key, value) = entry.map_err(|error| StoreError::Failed(error.to_string()))?;
            let value = serde_json::from_slice(&value).map_err(|error| StoreError::Damaged(error.to_string()))?;
            found.push((String::from_utf8_lossy(&key[2..]).into_owned(), value));
        }
        Ok(found)
    }

    async fn retire(&self, saga: &str) -> Result<(), StoreError> {
        let saga = saga.to_owned();
        self.ask(|reply| Work::Retire(saga, reply)).await
    }
}

fn read_value(db: &sled::Db, key: &str) -> Result<Option<Value>, StoreError> {
    let bytes = db
        .get(value_key(key))
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    bytes
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .map_err(|error| StoreError::Damaged(format!("the value of `{key}` can't be read: {error}")))
}

/// The one thread that writes.
struct Writer {
    shared: Arc<Shared>,
    sync: File,
    /// After one failed flush sled fails all later ones: nothing is accepted any more.
    failed: Option<StoreError>,
}

/// A commit of a group that holds: its lines for the flight recorders and whom to tell.
struct Accepted {
    appended: Vec<(String, Vec<Record>)>,
    reply: Reply,
}

impl Writer {
    fn serve(mut self, queue: &mpsc::Receiver<Work>) {
        while let Ok(first) = queue.recv() {
            let group: Vec<Work> = std::iter::once(first).chain(queue.try_iter()).collect();
            self.commit(group);
        }
    }

    fn commit(&mut self, group: Vec<Work>) {
        let mut batch = sled::Batch::default();
        let mut staged = Staged::default();
        let mut accepted = Vec::new();
        let mut retired = Vec::new();
        for work in group {
            if let Some(error) = &self.failed {
                let (Work::Commit(_, reply) | Work::Retire(_, reply)) = work;
                let _ = reply.send(Err(error.clone()));
                continue;
            }
            match work {
                Work::Commit(ops, reply) => match self.stage(&ops, &mut staged, &mut batch) {
                    Ok(()) => accepted.push(Accepted {
                        appended: appended(ops),
                        reply,
                    }),
                    Err(error) => drop(reply.send(Err(error))),
                },
                Work::Retire(saga, reply) => {
                    for key in self.shared.db.scan_prefix(journal_prefix(&saga)).keys().flatten() {
                        batch.remove(key);
                    }
                    retired.push((saga, reply));
                }
            }
        }
        if let Err(error) = self.make_durable(batch) {
            self.failed = Some(error.clone());
            let replies = accepted.into_iter().map(|commit| commit.reply);
            for reply in replies.chain(retired.into_iter().map(|(_, reply)| reply)) {
                let _ = reply.send(Err(error.clone()));
            }
            return;
        }
        for commit in accepted {
            self.record(&commit.appended);
            let _ = commit.reply.send(Ok(()));
        }
        for (saga, reply) in retired {
            self.shared.heads().remove(&saga);
            let archive = self.shared.dir.join("flight").join("archive");
            let moved = fs::create_dir_all(&archive)
                .and_then(|()| fs::rename(self.shared.flight(&saga), archive.join(format!("{saga}.jsonl"))));
            if let Err(error) = moved {
                tracing::warn!(deployment = saga, %error, "the flight recorder can't be archived");
            }
            let _ = reply.send(Ok(()));
        }
    }

    /// Checks one commit against the store and what the group holds so far, and adds it to the batch.
    fn stage(&self, ops: &[Op], staged: &mut Staged, batch: &mut sled::Batch) -> Result<(), StoreError> {
        let mut ours = staged.clone();
        let mut writes: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for op in ops {
            let length = |saga: &str| {
                let stored = || self.shared.heads().get(saga).map_or(0, |head| head.length);
                ours.lengths.get(saga).copied().unwrap_or_else(stored)
            };
            let value = |key: &str| match ours.values.get(key) {
                Some(value) => value.clone(),
                None => read_value(&self.shared.db, key).ok().flatten(),
            };
            check(op, length, value)?;
            match op {
                Op::Append { saga, records } => {
                    for record in records {
                        let bytes = encode(record)?;
                        for (part, chunk) in bytes.chunks(PART).enumerate() {
                            writes.push((part_key(saga, record.seq, part as u16), Some(chunk.to_vec())));
                        }
                        ours.lengths.insert(saga.clone(), record.seq + 1);
                    }
                }
                Op::Claim { key, value } | Op::Put { key, value } => {
                    writes.push((value_key(key), Some(value.to_string().into_bytes())));
                    ours.values.insert(key.clone(), Some(value.clone()));
                }
                Op::Delete { key } => {
                    writes.push((value_key(key), None));
                    ours.values.insert(key.clone(), None);
                }
            }
        }
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        *staged = ours;
        Ok(())
    }

    fn make_durable(&self, batch: sled::Batch) -> Result<(), StoreError> {
        let failed = |error: &dyn std::fmt::Display| {
            StoreError::Failed(format!(
                "the journal in {} can't be written: {error}. Free some space or mend the disk and start Shipmate again: it goes on where it was",
                self.shared.dir.display()
            ))
        };
        self.shared.db.apply_batch(batch).map_err(|error| failed(&error))?;
        self.shared.db.flush().map_err(|error| failed(&error))?;
        self.sync.sync_data().map_err(|error| failed(&error))
    }

    /// Notes what is durable now: heads, and the flight recorder's lines.
    fn record(&self, appended: &[(String, Vec<Record>)]) {
        for (saga, records) in appended {
            let Some(first) = records.first() else {
                continue;
            };
            let mut heads = self.shared.heads();
            let head = heads.entry(saga.clone()).or_insert(Head {
                saga: saga.clone(),
                length: 0,
                started_us: first.at.timestamp_micros(),
            });
            head.length += records.len() as u64;
            drop(heads);
            // Not the truth: a failure here is mended at the next open.
            if let Err(error) = write_lines(&self.shared.flight(saga), records) {
                tracing::warn!(deployment = %saga, %error, "the flight recorder can't be written");
            }
        }
    }
}

fn write_lines(file: &Path, records: &[Record]) -> std::io::Result<()> {
    let mut lines = Vec::new();
    for record in records {
        serde_json::to_writer(&mut lines, record)?;
        lines.push(b'\n');
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)?
        .write_all(&lines)
}

fn appended(ops: Vec<Op>) -> Vec<(String, Vec<Record>)> {
    ops.into_iter()
        .filter_map(|op| match op {
            Op::Append { saga, records } => Some((saga, records)),
            _ => None,
        })
        .collect()
}

/// What a group's accepted commits will have changed.
#[derive(Clone, Default)]
struct Staged {
    lengths: HashMap<String, u64>,
    values: HashMap<String, Option<Value>>,
}

/// Restores journals, locks and counters from flight recorders into a data directory without a database.
///
/// # Errors
/// One sentence: the directory has a database already, or a recorder can't be read.
pub async fn import(flights: &Path, dir: &Path) -> Result<Vec<String>, StoreError> {
    let unreadable = |file: &Path, error: &dyn std::fmt::Display| {
        StoreError::Failed(format!(
            "{} can't be read as a flight recorder: {error}",
            file.display()
        ))
    };
    if dir.join("sled").join("db").exists() {
        return Err(StoreError::Failed(format!(
            "{} has a database already; move {}/sled away first",
            dir.display(),
            dir.display()
        )));
    }
    let mut journals: Vec<(String, Vec<Record>)> = Vec::new();
    for entry in fs::read_dir(flights)
        .map_err(|error| unreadable(flights, &error))?
        .flatten()
    {
        let file = entry.path();
        let Some(saga) = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".jsonl")) else {
            continue;
        };
        let whole = witness(&file).map_err(|error| unreadable(&file, &error))?.complete;
        let reader = BufReader::new(File::open(&file).map_err(|error| unreadable(&file, &error))?);
        let mut records = Vec::new();
        for line in reader.lines().take(whole as usize) {
            let line = line.map_err(|error| unreadable(&file, &error))?;
            records.push(serde_json::from_str::<Record>(&line).map_err(|error| unreadable(&file, &error))?);
        }
        journals.push((saga.to_owned(), records));
    }
    journals.sort_by_key(|(_, records)| records.first().map(|record| record.at));
    // The recorders are read whole by now, so that opening may bring them up to date.
    let waiting = dir.join("flight.importing");
    let store = {
        let own = dir.join("flight");
        if own.exists() {
            fs::rename(&own, &waiting).map_err(|error| unreadable(&own, &error))?;
        }
        SledStore::open(dir)?
    };
    let mut restored = Vec::new();
    for (saga, records) in journals {
        let mut ops = Vec::new();
        if let Some(project) = project_of(&records) {
            let ended = records
                .iter()
                .any(|record| matches!(record.event, Event::SagaFinished { .. }));
            if !ended {
                ops.push(Op::Put {
                    key: format!("lock/{project}"),
                    value: saga.clone().into(),
                });
            }
            let number = saga.rsplit('-').next().and_then(|number| number.parse::<u64>().ok());
            let known = store.get(&format!("count/{project}"))?.and_then(|value| value.as_u64());
            ops.push(Op::Put {
                key: format!("count/{project}"),
                value: number.max(known).unwrap_or(0).into(),
            });
        }
        for record in records {
            ops.push(Op::Append {
                saga: saga.clone(),
                records: vec![record],
            });
        }
        store.commit(ops).await?;
        restored.push(saga);
    }
    if waiting.exists() {
        fs::remove_dir_all(&waiting).map_err(|error| unreadable(&waiting, &error))?;
    }
    Ok(restored)
}

#[cfg(test)]
mod tests;
