//! Values beside the journals. No witness speaks for them, so those that matter, locks and counters, are put right from the journals at
//! each open: a lost lock would let a second deployment start beside the first, a lost counter would give an id twice.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::journals::Found;
use super::value_key;

/// One value.
pub fn read(db: &sled::Db, key: &str) -> Result<Option<Value>, String> {
    let bytes = db.get(value_key(key)).map_err(|error| error.to_string())?;
    bytes.map(|bytes| parse(key, &bytes)).transpose()
}

/// All values whose keys begin so.
pub fn scan(db: &sled::Db, prefix: &str) -> Result<Vec<(String, Value)>, String> {
    let mut found = Vec::new();
    for entry in db.scan_prefix(value_key(prefix)) {
        let (key, value) = entry.map_err(|error| error.to_string())?;
        let key = String::from_utf8_lossy(&key[2..]).into_owned();
        let value = parse(&key, &value)?;
        found.push((key, value));
    }
    Ok(found)
}

fn parse(key: &str, bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("the value of `{key}` can't be read: {error}"))
}

/// What the journals say of one project.
#[derive(Default)]
struct Project<'a> {
    /// Unfinished sagas, newest last.
    running: Vec<(i64, &'a str)>,
    highest: u64,
}

/// Reads all values, and writes locks and counters that disagree with the journals anew. The next commit makes that durable; until then the
/// next open would do the same.
pub fn put_right(db: &sled::Db, journals: &HashMap<String, Found>) -> Result<(), String> {
    let known: HashMap<String, Value> = scan(db, "")?.into_iter().collect();
    let mut projects: BTreeMap<&str, Project> = BTreeMap::new();
    for (saga, journal) in journals {
        let Some(name) = journal.project.as_deref() else {
            continue;
        };
        let project = projects.entry(name).or_default();
        let number = saga.rsplit('-').next().and_then(|number| number.parse().ok());
        project.highest = project.highest.max(number.unwrap_or(0));
        if !journal.finished {
            project.running.push((journal.started.timestamp_micros(), saga));
        }
    }
    for (name, project) in &mut projects {
        let (lock, counter) = (format!("lock/{name}"), format!("count/{name}"));
        let holder = known.get(&lock).and_then(Value::as_str);
        project.running.sort_unstable();
        let newest = project.running.last().map(|&(_, saga)| saga);
        // A lock whose journal is gone altogether is damage that `recover` reports, not something to tidy away.
        let right = match holder {
            Some(saga) => match journals.get(saga) {
                Some(journal) => !journal.finished,
                None => true,
            },
            None => newest.is_none(),
        };
        if !right {
            put(db, &lock, newest.map(|saga| json!(saga)))?;
        }
        let counted = known.get(&counter).and_then(Value::as_u64).unwrap_or(0);
        if counted < project.highest {
            put(db, &counter, Some(json!(project.highest)))?;
        }
    }
    Ok(())
}

fn put(db: &sled::Db, key: &str, value: Option<Value>) -> Result<(), String> {
    tracing::warn!(key, value = ?value, "put right from the journals");
    let put = match value {
        Some(value) => db.insert(value_key(key), value.to_string().into_bytes()),
        None => db.remove(value_key(key)),
    };
    put.map(drop).map_err(|error| error.to_string())
}
