//! Journals inside sled: their keys, the encoding of a record, and the check of everything at each open.

use std::collections::HashMap;
use std::ops::Range;

use chrono::{DateTime, Utc};

use super::super::journal::{Event, Record, SCHEMA};
use super::super::store::{Head, StoreError, project_of};

/// Longer records are cut into parts of so many bytes. sled writes whole leaves of up to 16 entries, and one over 128 KiB goes to a blob
/// file that is never synced: a leaf full of parts must stay well below that.
pub const PART: usize = 4 * 1024;

/// What is wrong with a stored record.
pub enum Flaw {
    /// It isn't what was written.
    Damaged(String),
    /// A later version wrote it.
    Newer(u32),
}

impl Flaw {
    fn damaged(problem: impl Into<String>) -> Self {
        Self::Damaged(problem.into())
    }

    fn at(self, saga: &str, seq: u64) -> Self {
        match self {
            Self::Damaged(why) => Self::Damaged(format!("event {seq} of {saga}: {why}")),
            newer => newer,
        }
    }
}

/// The prefix of all records of a journal.
pub fn prefix(saga: &str) -> Vec<u8> {
    let mut key = b"j/".to_vec();
    key.extend(saga.as_bytes());
    key.push(0);
    key
}

fn part_key(saga: &str, seq: u64, part: u16) -> Vec<u8> {
    let mut key = prefix(saga);
    key.extend(seq.to_be_bytes());
    key.extend(part.to_be_bytes());
    key
}

/// A record as entries of the database, of its JSON: `crc32 in hex, schema version, JSON`. Readable with any tool, checked on every read.
pub fn entries(saga: &str, seq: u64, json: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut bytes = format!("{:08x} {SCHEMA} ", crc32fast::hash(json)).into_bytes();
    bytes.extend(json);
    let parts = bytes.chunks(PART).enumerate();
    parts
        .map(|(part, chunk)| (part_key(saga, seq, part as u16), chunk.to_vec()))
        .collect()
}

/// The JSON of an encoded record, if its checksum holds.
fn checked(bytes: &[u8]) -> Result<&[u8], Flaw> {
    let text = |range: Range<usize>| std::str::from_utf8(bytes.get(range)?).ok();
    let crc = text(0..8).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let body = bytes.get(9..).unwrap_or_default();
    let space = body.iter().position(|&byte| byte == b' ');
    let schema = space
        .and_then(|space| text(9..9 + space))
        .and_then(|version| version.parse::<u32>().ok());
    let (Some(space), Some(schema)) = (space, schema) else {
        return Err(Flaw::damaged("it has no schema version"));
    };
    let json = &body[space + 1..];
    if crc != Some(crc32fast::hash(json)) {
        return Err(Flaw::damaged("its checksum doesn't hold"));
    }
    if schema > SCHEMA {
        return Err(Flaw::Newer(schema));
    }
    Ok(json)
}

/// Joins the parts of each record and hands their JSON on in order: saga, sequence number, JSON.
fn each_record(
    db: &sled::Db,
    prefix: &[u8],
    mut take: impl FnMut(&str, u64, &[u8]) -> Result<(), Flaw>,
) -> Result<(), Flaw> {
    let mut current: Option<(String, u64, Vec<u8>)> = None;
    let mut hand_on = |(saga, seq, bytes): (String, u64, Vec<u8>)| {
        let json = checked(&bytes);
        json.and_then(|json| take(&saga, seq, json))
            .map_err(|flaw| flaw.at(&saga, seq))
    };
    for entry in db.scan_prefix(prefix) {
        let (key, value) = entry.map_err(|error| Flaw::damaged(error.to_string()))?;
        let (saga, seq, part) = read_key(&key).ok_or_else(|| Flaw::damaged("a key is malformed"))?;
        match &mut current {
            Some((known, number, bytes)) if part > 0 && *number == seq && known == saga => {
                bytes.extend(&value[..]);
            }
            _ => {
                if let Some(record) = current.take() {
                    hand_on(record)?;
                }
                current = Some((saga.to_owned(), seq, value.to_vec()));
            }
        }
    }
    current.map_or(Ok(()), hand_on)
}

fn read_key(key: &[u8]) -> Option<(&str, u64, u16)> {
    let (rest, part) = key.split_last_chunk()?;
    let (rest, seq) = rest.split_last_chunk()?;
    let saga = rest.strip_prefix(b"j/")?.strip_suffix(&[0])?;
    Some((
        std::str::from_utf8(saga).ok()?,
        u64::from_be_bytes(*seq),
        u16::from_be_bytes(*part),
    ))
}

fn parse(json: &[u8]) -> Result<Record, Flaw> {
    serde_json::from_slice(json).map_err(|error| Flaw::damaged(format!("it can't be read: {error}")))
}

/// A whole journal.
pub fn load(db: &sled::Db, saga: &str) -> Result<Vec<Record>, Flaw> {
    let mut records = Vec::new();
    each_record(db, &prefix(saga), |_, seq, json| {
        if seq != records.len() as u64 {
            return Err(Flaw::damaged("the one before it is missing"));
        }
        records.push(parse(json)?);
        Ok(())
    })?;
    Ok(records)
}

/// What an open learns of a journal.
pub struct Found {
    /// How many events.
    pub length: u64,
    /// When it began.
    pub started: DateTime<Utc>,
    /// What it is for, if it begins with its start.
    pub project: Option<String>,
    /// It has ended.
    pub finished: bool,
}

impl Found {
    /// As the store tells it.
    pub fn head(&self, saga: &str) -> Head {
        Head {
            saga: saga.to_owned(),
            length: self.length,
            started_us: self.started.timestamp_micros(),
        }
    }
}

/// Reads everything: each journal must be contiguous and intact. Only first and last events are understood; that is what start-up needs.
pub fn survey(db: &sled::Db) -> Result<HashMap<String, Found>, Flaw> {
    let mut journals: HashMap<String, Found> = HashMap::new();
    let mut last: Option<(String, Vec<u8>)> = None;
    let mut ends = Vec::new();
    each_record(db, b"j/", |saga, seq, json| {
        let expected = journals.get(saga).map_or(0, |found| found.length);
        if seq != expected {
            return Err(Flaw::damaged("the one before it is missing"));
        }
        match &mut last {
            Some((journal, bytes)) if journal == saga => {
                bytes.clear();
                bytes.extend(json);
            }
            _ => ends.extend(last.replace((saga.to_owned(), json.to_vec()))),
        }
        match journals.get_mut(saga) {
            Some(found) => found.length += 1,
            None => {
                let first = parse(json)?;
                let found = Found {
                    length: 1,
                    started: first.at,
                    project: project_of(std::slice::from_ref(&first)).map(str::to_owned),
                    finished: false,
                };
                journals.insert(saga.to_owned(), found);
            }
        }
        Ok(())
    })?;
    ends.extend(last);
    for (saga, json) in ends {
        if let Some(found) = journals.get_mut(&saga) {
            let end = parse(&json).map_err(|flaw| flaw.at(&saga, found.length - 1))?;
            found.finished = matches!(end.event, Event::SagaFinished { .. });
        }
    }
    Ok(journals)
}

/// The damage as a store error.
pub fn explain(flaw: Flaw, damaged: impl Fn(&str) -> StoreError, dir: &str) -> StoreError {
    match flaw {
        Flaw::Damaged(problem) => damaged(&problem),
        Flaw::Newer(schema) => StoreError::Failed(format!(
            "the database in {dir} was written by a newer Shipmate (schema {schema}; this one reads up to {SCHEMA}). Nothing is damaged: run the newer one"
        )),
    }
}
