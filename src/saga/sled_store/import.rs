//! Restores a data directory from flight recorders: journals, locks and counters. What Slack has delivered already is not in them.

use std::fs;
use std::path::Path;

use super::super::journal::Record;
use super::super::store::{Op, Store, StoreError};
use super::{SledStore, flight};

/// Restores journals, locks and counters from the recorders in `flights` into a data directory without a database; answers with the
/// sagas. Built aside and moved in place at the end, so that an import that is cut off can simply be run again.
///
/// # Errors
/// One sentence: the directory has a database already, or a recorder can't be read.
pub async fn import(flights: &Path, dir: &Path) -> Result<Vec<String>, StoreError> {
    let place = dir.join("sled");
    if place.join("db").exists() {
        return Err(StoreError::Failed(format!(
            "{} has a database already; move {} away first",
            dir.display(),
            place.display()
        )));
    }
    let journals = read_all(flights)?;
    let aside = dir.join("importing");
    let moving = |error: std::io::Error| StoreError::Failed(format!("can't import into {}: {error}", dir.display()));
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(moving)?;
    }
    let store = SledStore::open(&aside)?;
    for (saga, records) in &journals {
        let (saga, records) = (saga.clone(), records.clone());
        store.commit(vec![Op::Append { saga, records }]).await?;
    }
    drop(store);
    // Locks and counters follow from the journals: opening puts them right.
    drop(SledStore::open(&aside)?);
    fs::create_dir_all(flight::folder(dir)).map_err(moving)?;
    for (saga, file) in flight::all(&flight::folder(&aside)).map_err(moving)? {
        fs::rename(file, flight::file(dir, &saga)).map_err(moving)?;
    }
    if place.exists() {
        fs::remove_dir_all(&place).map_err(moving)?;
    }
    fs::rename(aside.join("sled"), &place).map_err(moving)?;
    fs::remove_dir_all(&aside).map_err(moving)?;
    Ok(journals.into_iter().map(|(saga, _)| saga).collect())
}

/// All recorders with at least one event, oldest first.
fn read_all(flights: &Path) -> Result<Vec<(String, Vec<Record>)>, StoreError> {
    let unreadable = |file: &Path, error: &dyn std::fmt::Display| {
        StoreError::Failed(format!(
            "{} can't be read as a flight recorder: {error}",
            file.display()
        ))
    };
    let mut journals = Vec::new();
    for (saga, file) in flight::all(flights).map_err(|error| unreadable(flights, &error))? {
        let records = flight::read(&file).map_err(|error| unreadable(&file, &error))?;
        if !records.is_empty() {
            journals.push((saga, records));
        }
    }
    journals.sort_by_key(|(_, records)| records.first().map(|record| record.at));
    Ok(journals)
}
