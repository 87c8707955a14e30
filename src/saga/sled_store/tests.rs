//! The store on a real disk: what it keeps, what it refuses, and every kind of damage answered with a sentence.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::journal::{Actor, Event, Outcome, Record, SCHEMA};
use super::super::store::{Memory, Op, Probed, Store, StoreError, probe};
use super::{SledStore, flight, import, journals};

fn record(seq: u64, event: Event) -> Record {
    Record {
        seq,
        at: DateTime::UNIX_EPOCH + TimeDelta::seconds(seq as i64),
        event,
    }
}

fn started(project: &str) -> Event {
    Event::SagaStarted {
        workflow_version: 1,
        project: project.to_owned(),
        by: Actor::Shipmate,
        input: json!({ "pull_requests": [7, 8] }),
    }
}

fn note(size: usize) -> Event {
    Event::StepProgressed {
        key: "watch".to_owned(),
        progress: json!("é".repeat(size / 2)),
    }
}

fn append(saga: &str, from: u64, events: Vec<Event>) -> Op {
    let records = (from..).zip(events).map(|(seq, event)| record(seq, event)).collect();
    Op::Append {
        saga: saga.to_owned(),
        records,
    }
}

fn claim(key: &str, value: Value) -> Op {
    Op::Claim {
        key: key.to_owned(),
        value,
    }
}

/// A running saga of `web` and an ended one of `api`, with locks and counters as the engine keeps them.
async fn fill(store: &dyn Store, events: u64) {
    let start = vec![
        claim("lock/web", json!("web-3")),
        Op::Put {
            key: "count/web".to_owned(),
            value: json!(3),
        },
        append("web-3", 0, vec![started("web")]),
    ];
    store.commit(start).await.unwrap();
    let ended = vec![
        Op::Put {
            key: "count/api".to_owned(),
            value: json!(1),
        },
        append(
            "api-1",
            0,
            vec![
                started("api"),
                Event::SagaFinished {
                    outcome: Outcome::Completed,
                },
            ],
        ),
    ];
    store.commit(ended).await.unwrap();
    for seq in 1..events {
        store.commit(vec![append("web-3", seq, vec![note(300)])]).await.unwrap();
    }
}

async fn filled(events: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fill(&SledStore::open(dir.path()).unwrap(), events).await;
    dir
}

fn sentence(opened: Result<SledStore, StoreError>) -> String {
    match opened {
        Ok(_) => panic!("it opened"),
        Err(error) => error.to_string(),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Both stores keep the same promises; tests of the engine rely on it.
#[tokio::test]
async fn memory_and_disk_agree() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SledStore::open(dir.path()).unwrap();
    let memory = Memory::default();
    for store in [&disk as &dyn Store, &memory] {
        fill(store, 3).await;
        let taken = store
            .commit(vec![
                claim("lock/web", json!("web-4")),
                append("web-4", 0, vec![started("web")]),
            ])
            .await;
        assert_eq!(
            taken,
            Err(StoreError::Taken {
                key: "lock/web".to_owned(),
                value: json!("web-3")
            })
        );
        assert_eq!(store.load("web-4").unwrap(), [], "all or nothing");
        let twice = store
            .commit(vec![claim("seen/1", json!(1)), claim("seen/1", json!(2))])
            .await;
        assert_eq!(
            twice,
            Err(StoreError::Taken {
                key: "seen/1".to_owned(),
                value: json!(1)
            })
        );
        assert_eq!(store.get("seen/1").unwrap(), None);
        let unexpected = store.commit(vec![append("web-3", 2, vec![note(1)])]).await;
        let expected = StoreError::Unexpected {
            saga: "web-3".to_owned(),
            expected: 2,
            found: 3,
        };
        assert_eq!(unexpected, Err(expected));
        let gap = Op::Append {
            saga: "web-3".to_owned(),
            records: vec![record(3, note(1)), record(5, note(1))],
        };
        assert!(store.commit(vec![gap]).await.is_err());
        store
            .commit(vec![
                append("web-3", 3, vec![note(1)]),
                append("web-3", 4, vec![note(1)]),
            ])
            .await
            .unwrap();
        store
            .commit(vec![
                Op::Delete {
                    key: "lock/web".to_owned(),
                },
                claim("lock/web", json!("web-9")),
            ])
            .await
            .unwrap();
        let expect = |value: Option<Value>| Op::Expect {
            key: "lock/web".to_owned(),
            value,
        };
        let changed = Err(StoreError::Changed {
            key: "lock/web".to_owned(),
        });
        let outdated = store.commit(vec![expect(None), claim("seen/2", json!(1))]).await;
        assert_eq!(outdated, changed);
        assert_eq!(store.get("seen/2").unwrap(), None, "all or nothing");
        let within = store
            .commit(vec![claim("seen/3", json!(1)), expect(Some(json!("web-8")))])
            .await;
        assert_eq!(within, changed);
        store
            .commit(vec![expect(Some(json!("web-9"))), claim("seen/2", json!(1))])
            .await
            .unwrap();
        store
            .commit(vec![Op::Delete {
                key: "never there".to_owned(),
            }])
            .await
            .unwrap();
    }
    assert_eq!(disk.load("web-3").unwrap(), memory.load("web-3").unwrap());
    assert_eq!(disk.heads(), memory.heads());
    for prefix in ["", "lock/", "count/", "x"] {
        assert_eq!(disk.scan(prefix).unwrap(), memory.scan(prefix).unwrap(), "{prefix}");
    }
    for store in [&disk as &dyn Store, &memory] {
        store.retire("api-1").await.unwrap();
        assert_eq!(store.load("api-1").unwrap(), []);
        assert_eq!(store.heads().len(), 1);
    }
    assert!(dir.path().join("flight/archive/api-1.jsonl").exists());
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let dir = filled(10).await;
    let store = SledStore::open(dir.path()).unwrap();
    let web = store.load("web-3").unwrap();
    assert_eq!(web.len(), 10);
    assert_eq!(web[0], record(0, started("web")));
    assert_eq!(store.get("lock/web").unwrap(), Some(json!("web-3")));
    assert_eq!(store.scan("count/").unwrap().len(), 2);
    let lengths: Vec<_> = store.heads().into_iter().map(|head| (head.saga, head.length)).collect();
    assert_eq!(lengths, [("api-1".to_owned(), 2), ("web-3".to_owned(), 10)]);
    store.commit(vec![append("web-3", 10, vec![note(1)])]).await.unwrap();
}

#[tokio::test]
async fn records_of_many_parts_come_back_whole() {
    let dir = filled(1).await;
    let big = note(80 * journals::PART);
    {
        let store = SledStore::open(dir.path()).unwrap();
        store
            .commit(vec![append("web-3", 1, vec![big.clone(), note(10), big.clone()])])
            .await
            .unwrap();
        assert_eq!(store.load("web-3").unwrap()[3].event, big);
    }
    let store = SledStore::open(dir.path()).unwrap();
    let events: Vec<Event> = store
        .load("web-3")
        .unwrap()
        .into_iter()
        .map(|record| record.event)
        .collect();
    assert_eq!(events, [started("web"), big.clone(), note(10), big]);
    assert_eq!(
        fs::read_dir(dir.path().join("sled/blobs")).unwrap().count(),
        0,
        "blobs are never synced"
    );
}

#[tokio::test]
async fn journals_whose_names_begin_alike_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    for (saga, events) in [("web-1", 3), ("web-10", 2), ("web", 1)] {
        let events = std::iter::once(started(saga))
            .chain((1..events).map(|_| note(1)))
            .collect();
        store.commit(vec![append(saga, 0, events)]).await.unwrap();
    }
    drop(store);
    let store = SledStore::open(dir.path()).unwrap();
    assert_eq!(
        ["web-1", "web-10", "web"].map(|saga| store.load(saga).unwrap().len()),
        [3, 2, 1]
    );
}

#[tokio::test]
async fn commits_that_wait_together_share_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    let commits = (0..200).map(|number| {
        let saga = format!("p-{number}");
        store.commit(vec![append(&saga, 0, vec![started(&saga)])])
    });
    let results = futures_util::future::join_all(commits).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(store.flushes() < 100, "{} flushes of 200 commits", store.flushes());
    assert_eq!(store.heads().len(), 200);
}

#[tokio::test]
async fn of_rivals_in_one_group_the_first_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    let rivals = (0..20).map(|number| store.commit(vec![claim("lock/web", json!(number))]));
    let results = futures_util::future::join_all(rivals).await;
    let winners: Vec<usize> = (0..20).filter(|&number| results[number].is_ok()).collect();
    assert_eq!(winners, [0]);
    assert_eq!(store.get("lock/web").unwrap(), Some(json!(0)));
}

#[tokio::test]
async fn a_refused_commit_costs_no_flush() {
    let dir = filled(1).await;
    let store = SledStore::open(dir.path()).unwrap();
    store.commit(vec![claim("lock/web", json!("web-4"))]).await.unwrap_err();
    assert_eq!(store.flushes(), 0);
}

#[tokio::test]
async fn a_second_open_says_who_is_there() {
    let dir = filled(1).await;
    let first = SledStore::open(dir.path()).unwrap();
    let leftover = dir.path().join("sled/snap.0000000000000001.generating");
    fs::write(&leftover, "at work").unwrap();
    let expected = format!(
        "another Shipmate runs on the data directory {}; stop it first",
        dir.path().display()
    );
    assert_eq!(sentence(SledStore::open(dir.path())), expected);
    assert!(leftover.exists(), "what the first one writes is not left over");
    drop(first);
    SledStore::open(dir.path()).unwrap();
}

/// sled's own lock, should ours not be there: a Shipmate from before it, or another tool.
#[tokio::test]
async fn a_database_that_somebody_else_has_open_is_in_use() {
    let dir = filled(1).await;
    let _other = sled::open(dir.path().join("sled")).unwrap();
    assert!(sentence(SledStore::open(dir.path())).starts_with("another Shipmate runs on"));
}

#[tokio::test]
async fn a_data_directory_that_can_not_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data");
    fs::write(&file, "not a directory").unwrap();
    let said = sentence(SledStore::open(&file));
    assert!(
        said.contains(&file.display().to_string()) && said.ends_with("`data_dir` must be a writable directory"),
        "{said}"
    );
}

#[tokio::test]
async fn a_snapshot_that_a_kill_left_half_made_is_removed() {
    let dir = filled(5).await;
    fs::write(dir.path().join("sled/snap.0000000000000099.generating"), "half").unwrap();
    assert_eq!(SledStore::open(dir.path()).unwrap().load("web-3").unwrap().len(), 5);
}

#[tokio::test]
async fn a_first_open_that_was_killed_can_be_repeated() {
    let dir = filled(1).await;
    let again = tempfile::tempdir().unwrap();
    fs::create_dir(again.path().join("sled")).unwrap();
    let conf = fs::read(dir.path().join("sled/conf")).unwrap();
    for (conf, db) in [
        (&conf[..58.min(conf.len())], None),
        (&conf[..10], None),
        (&conf[..20], Some("")),
    ] {
        let sled = again.path().join("sled");
        fs::remove_dir_all(&sled).unwrap();
        fs::create_dir(&sled).unwrap();
        fs::write(sled.join("conf"), conf).unwrap();
        if let Some(db) = db {
            fs::write(sled.join("db"), db).unwrap();
        }
        SledStore::open(again.path()).unwrap();
    }
}

#[tokio::test]
async fn a_recorder_that_fell_behind_is_brought_up_to_date() {
    let dir = filled(6).await;
    let flight = dir.path().join("flight/web-3.jsonl");
    let whole = fs::read_to_string(&flight).unwrap();
    assert_eq!(whole.lines().count(), 6);
    let first_two: String = whole.split_inclusive('\n').take(2).collect();
    let half = format!("{first_two}{}", &whole[first_two.len()..first_two.len() + 40]);
    let blank = format!("{first_two}{}", "\0".repeat(500));
    for torn in [
        first_two,
        half,
        blank,
        String::new(),
        whole[..whole.len() - 1].to_owned(),
    ] {
        fs::write(&flight, &torn).unwrap();
        drop(SledStore::open(dir.path()).unwrap());
        assert_eq!(fs::read_to_string(&flight).unwrap(), whole);
    }
    fs::remove_file(&flight).unwrap();
    drop(SledStore::open(dir.path()).unwrap());
    assert_eq!(fs::read_to_string(&flight).unwrap(), whole);
}

#[tokio::test]
async fn a_journal_shorter_than_its_recorder_is_damage() {
    let dir = filled(3).await;
    let flight = dir.path().join("flight/web-3.jsonl");
    let mut lines = fs::read_to_string(&flight).unwrap();
    lines.push_str(&(serde_json::to_string(&record(3, note(1))).unwrap() + "\n"));
    fs::write(&flight, lines).unwrap();
    let said = sentence(SledStore::open(dir.path()));
    let at = dir.path().display();
    assert_eq!(
        said,
        format!(
            "the database in {at} is damaged: web-3 has 3 events where its flight recorder has 4. Stop Shipmate, move {at}/sled away and run `shipmate import {at}/flight` to restore it from the flight recorders"
        )
    );
}

#[tokio::test]
async fn a_retired_journal_is_no_damage_however_far_the_retiring_got() {
    let dir = filled(3).await;
    {
        let store = SledStore::open(dir.path()).unwrap();
        store.retire("api-1").await.unwrap();
    }
    assert_eq!(SledStore::open(dir.path()).unwrap().heads().len(), 1);
    // Killed between the archive and the database.
    super::flight::archive(dir.path(), "web-3").unwrap();
    assert_eq!(SledStore::open(dir.path()).unwrap().load("web-3").unwrap().len(), 3);
}

#[tokio::test]
async fn a_retired_journal_is_read_from_its_archive_and_no_name_leads_elsewhere() {
    let dir = filled(3).await;
    let store = SledStore::open(dir.path()).unwrap();
    let before = store.load("api-1").unwrap();
    assert!(store.archived("api-1").unwrap().is_empty());
    store.retire("api-1").await.unwrap();
    assert!(store.load("api-1").unwrap().is_empty());
    assert_eq!(store.archived("api-1").unwrap(), before);
    for elsewhere in ["../web-3", "..", "", "/etc/passwd", "api-1\0"] {
        assert!(store.archived(elsewhere).unwrap().is_empty(), "{elsewhere}");
    }
    let file = dir.path().join("flight/archive/api-1.jsonl");
    let torn = fs::read_to_string(&file).unwrap().replacen('{', "!", 1);
    fs::write(&file, torn).unwrap();
    let problem = store.archived("api-1").unwrap_err().to_string();
    assert_eq!(
        problem,
        "the archived flight recorder of api-1 can't be read: line 1 is broken"
    );
}

#[tokio::test]
async fn a_probe_writes_durably_and_leaves_nothing_but_its_key() {
    let dir = filled(3).await;
    let store = SledStore::open(dir.path()).unwrap();
    let flushes = store.flushes();
    probe(&store, DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(store.flushes(), flushes + 1);
    assert!(!dir.path().join("probe").exists());
    // Something that is no file has its place.
    fs::create_dir(dir.path().join("probe")).unwrap();
    let refused = probe(&store, DateTime::UNIX_EPOCH).await.unwrap_err();
    assert!(matches!(&refused, Probed::NoRoom(_)), "{refused}");
    assert_eq!(store.flushes(), flushes + 1, "the store itself was not touched");
}

#[tokio::test]
async fn probes_do_not_make_the_store_grow() {
    let dir = filled(3).await;
    let store = SledStore::open(dir.path()).unwrap();
    let size = || fs::metadata(dir.path().join("sled/db")).unwrap().len();
    let before = size();
    for second in 0..300 {
        let at = DateTime::UNIX_EPOCH + TimeDelta::seconds(second);
        probe(&store, at).await.unwrap();
    }
    assert!(size() < before + 1024 * 1024, "{before} bytes became {}", size());
}

#[tokio::test]
async fn a_journal_stays_where_its_recorder_can_not_be_archived() {
    let dir = filled(3).await;
    // Something else has its place.
    fs::create_dir_all(dir.path().join("flight/archive/api-1.jsonl/kept")).unwrap();
    let store = SledStore::open(dir.path()).unwrap();
    assert!(store.retire("api-1").await.is_err());
    assert!(!store.load("api-1").unwrap().is_empty());
    assert!(dir.path().join("flight/api-1.jsonl").exists());
}

#[test]
fn only_what_does_not_match_its_journal_is_behind() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("web-3.jsonl");
    let is_behind = |length| {
        let witness = flight::witness(&file).unwrap_or_default();
        flight::is_behind(&file, &witness, length)
    };
    assert!(is_behind(2), "it is missing");
    fs::write(&file, "{}\n{}\n").unwrap();
    assert!(!is_behind(2));
    assert!(is_behind(3));
    fs::write(&file, "{}\n{}\n{").unwrap();
    assert!(is_behind(2), "it ends with half a line");
}

#[test]
fn an_error_of_the_disk_is_told_in_the_systems_words() {
    use std::io::{Error, ErrorKind};
    let told = |error| super::writer::in_words(&sled::Error::Io(error));
    assert_eq!(
        told(Error::from_raw_os_error(28)),
        "No space left on device (os error 28)"
    );
    let debug_print = "Io(Os { code: 28, kind: StorageFull })";
    assert_eq!(
        told(Error::new(ErrorKind::StorageFull, debug_print)),
        "no storage space"
    );
}

#[test]
fn recorders_stay_open_up_to_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(flight::folder(dir.path())).unwrap();
    let mut flights = flight::Flights::new(dir.path());
    for (number, open) in [(1, 1), (2, 2), (128, 128), (129, 1)] {
        for saga in flights.open()..number {
            flights.write(&format!("web-{saga}"), b"{}\n").unwrap();
        }
        assert_eq!(flights.open(), open);
    }
    flights.write("web-128", b"{}\n").unwrap();
    assert_eq!(flights.open(), 1, "it was open");
    assert_eq!(fs::read(flight::file(dir.path(), "web-128")).unwrap(), b"{}\n{}\n");
}

#[test]
fn a_lock_may_take_a_moment_to_be_let_go_of() {
    let mut tries = 0;
    let got = super::patiently(|| {
        tries += 1;
        (tries == 3).then_some(tries)
    });
    assert_eq!(got, Some(3));
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_not_called_damage() {
    let dir = filled(1).await;
    {
        let db = sled::open(dir.path().join("sled")).unwrap();
        let (key, _) = journals::entries("web-3", 1, b"{}").remove(0);
        let json = br#"{"of":"tomorrow"}"#;
        let mut bytes = format!("{:08x} {} ", crc32fast::hash(json), SCHEMA + 1).into_bytes();
        bytes.extend(json);
        db.insert(key, bytes).unwrap();
        db.flush().unwrap();
    }
    let said = sentence(SledStore::open(dir.path()));
    assert!(
        said.contains(&format!(
            "written by a newer Shipmate (schema {}; this one reads up to {SCHEMA})",
            SCHEMA + 1
        )),
        "{said}"
    );
    assert!(!said.contains("import"), "{said}");
}

/// Values have no witness: what matters of them follows from the journals.
#[tokio::test]
async fn lost_locks_and_counters_are_put_right() {
    let dir = filled(2).await;
    let damage = |change: &dyn Fn(&sled::Db)| {
        let db = sled::open(dir.path().join("sled")).unwrap();
        change(&db);
        db.flush().unwrap();
    };
    let expected = [
        ("lock/web", json!("web-3")),
        ("count/web", json!(3)),
        ("count/api", json!(1)),
    ];
    damage(&|db| {
        for (key, _) in &expected {
            db.remove(super::value_key(key)).unwrap();
        }
    });
    for _ in 0..2 {
        let store = SledStore::open(dir.path()).unwrap();
        for (key, value) in &expected {
            assert_eq!(store.get(key).unwrap().as_ref(), Some(value), "{key}");
        }
        assert_eq!(store.get("lock/api").unwrap(), None);
    }
    damage(&|db| drop(db.insert(super::value_key("lock/api"), "\"api-1\"").unwrap()));
    assert_eq!(
        SledStore::open(dir.path()).unwrap().get("lock/api").unwrap(),
        None,
        "it has ended"
    );
    damage(&|db| drop(db.insert(super::value_key("lock/web"), "web-").unwrap()));
    let said = sentence(SledStore::open(dir.path()));
    assert!(
        said.contains("the value of `lock/web` can't be read") && said.contains("shipmate import"),
        "{said}"
    );
}

#[tokio::test]
async fn an_import_restores_journals_locks_and_counters() {
    let dir = filled(5).await;
    let (before, values) = {
        let store = SledStore::open(dir.path()).unwrap();
        (store.load("web-3").unwrap(), store.scan("").unwrap())
    };
    let flights = dir.path().join("flight");
    let refused = import(&flights, dir.path()).await.unwrap_err().to_string();
    assert!(refused.contains("has a database already"), "{refused}");

    fs::rename(dir.path().join("sled"), dir.path().join("sled.damaged")).unwrap();
    fs::create_dir_all(dir.path().join("importing/sled")).unwrap();
    assert_eq!(import(&flights, dir.path()).await.unwrap(), ["api-1", "web-3"]);
    assert!(!dir.path().join("importing").exists());
    let store = SledStore::open(dir.path()).unwrap();
    assert_eq!(store.load("web-3").unwrap(), before);
    assert_eq!(store.scan("").unwrap(), values);

    let elsewhere = tempfile::tempdir().unwrap();
    import(&flights, elsewhere.path()).await.unwrap();
    assert_eq!(
        SledStore::open(elsewhere.path()).unwrap().load("web-3").unwrap(),
        before
    );
}

#[tokio::test]
async fn an_import_shortens_nothing_unnoticed() {
    let dir = filled(5).await;
    let flights = dir.path().join("flight");
    let file = flights.join("web-3.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let into = tempfile::tempdir().unwrap();
    let broken = [lines[0], &lines[1][..20], lines[2], ""].join("\n");
    let gap = [lines[0], lines[2], ""].join("\n");
    for (text, why) in [(broken, "line 2 is broken"), (gap, "line 2 is event 2")] {
        fs::write(&file, text).unwrap();
        let said = import(&flights, into.path()).await.unwrap_err().to_string();
        assert!(said.contains("web-3.jsonl") && said.ends_with(why), "{said}");
        assert!(!into.path().join("sled").exists());
    }
    fs::write(&file, &whole.as_bytes()[..whole.len() - 30]).unwrap();
    import(&flights, into.path()).await.unwrap();
    assert_eq!(
        SledStore::open(into.path()).unwrap().load("web-3").unwrap().len(),
        4,
        "only the torn end is left out"
    );
}

/// What one damaged copy may do: open with everything, or say what is wrong and the mend.
fn is_whole_or_says_so(dir: &Path, expected: &[Record], what: &str) -> bool {
    match SledStore::open(dir) {
        Ok(store) => {
            assert_eq!(store.load("web-3").unwrap(), expected, "{what}: silently different");
            assert_eq!(
                store.get("lock/web").unwrap(),
                Some(json!("web-3")),
                "{what}: the lock is lost"
            );
            false
        }
        Err(StoreError::Damaged(said)) => {
            assert!(said.contains("shipmate import"), "{what}: {said}");
            true
        }
        Err(other) => panic!("{what}: {other}"),
    }
}

struct Damaged {
    _dir: TempDir,
    original: PathBuf,
    expected: Vec<Record>,
}

impl Damaged {
    async fn new() -> Self {
        let dir = filled(60).await;
        let original = dir.path().to_owned();
        let expected = SledStore::open(&original).unwrap().load("web-3").unwrap();
        Self {
            _dir: dir,
            original,
            expected,
        }
    }

    fn length(&self) -> usize {
        fs::metadata(self.original.join("sled/db")).unwrap().len() as usize
    }

    /// Damages a copy and opens it; whether that was noticed.
    fn noticed(&self, what: &str, damage: impl Fn(&mut Vec<u8>)) -> bool {
        let copied = tempfile::tempdir().unwrap();
        copy(&self.original, copied.path());
        let db = copied.path().join("sled/db");
        let mut bytes = fs::read(&db).unwrap();
        damage(&mut bytes);
        fs::write(&db, bytes).unwrap();
        is_whole_or_says_so(copied.path(), &self.expected, what)
    }
}

#[tokio::test]
async fn a_truncated_database_is_noticed_or_whole() {
    let damaged = Damaged::new().await;
    let length = damaged.length();
    let cuts = [1, 100, 512, 4096, 8192, 20_000, length / 2, length - 100, length];
    let noticed = cuts.iter().filter(|&&cut| {
        damaged.noticed(&format!("cut by {cut}"), |bytes| {
            bytes.truncate(length - cut.min(length))
        })
    });
    assert!(noticed.count() > 0, "nothing was damaged at all");
}

#[tokio::test]
async fn a_flipped_bit_is_noticed_or_harmless() {
    let damaged = Damaged::new().await;
    let length = damaged.length();
    let places = (0..length).step_by(length / 40);
    let noticed = places.filter(|&place| damaged.noticed(&format!("bit at {place}"), |bytes| bytes[place] ^= 4));
    assert!(noticed.count() > 0, "nothing was damaged at all");
}

#[tokio::test]
async fn a_blank_page_is_noticed_or_harmless() {
    let damaged = Damaged::new().await;
    let pages = (0..damaged.length()).step_by(4096);
    let noticed = pages.step_by(4).filter(|&page| {
        damaged.noticed(&format!("page at {page}"), |bytes| {
            let end = (page + 4096).min(bytes.len());
            bytes[page..end].fill(0);
        })
    });
    assert!(noticed.count() > 0, "nothing was damaged at all");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn whatever_a_recorder_holds_is_read_or_refused_and_a_torn_one_is_a_beginning(
        noise in prop_oneof![any::<Vec<u8>>(), "([{}\n\"a:,0-9]{0,30}\n){0,4}".prop_map(String::into_bytes)],
        cut in 0usize..2000,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("web-1.jsonl");
        let whole: Vec<Record> = vec![record(0, started("web")), record(1, note(40)), record(2, note(4))];
        let lines: Vec<u8> = whole
            .iter()
            .flat_map(|record| serde_json::to_string(record).unwrap().into_bytes().into_iter().chain([b'\n']))
            .collect();
        let torn = &lines[..cut.min(lines.len())];
        fs::write(&file, torn).unwrap();
        let read = flight::read(&file).unwrap();
        prop_assert!(whole.starts_with(&read));
        prop_assert_eq!(flight::witness(&file).unwrap().lines, read.len() as u64);
        fs::write(&file, [torn, &noise].concat()).unwrap();
        if let Ok(read) = flight::read(&file) {
            prop_assert!(read.iter().enumerate().all(|(seq, record)| record.seq == seq as u64));
        }
        let _ = flight::witness(&file).unwrap();
    }
}
