//! What a round does when Slack is short of time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chrono::TimeDelta;
use serde_json::json;

use super::*;
use crate::config::Config;
use crate::deploy::begin::Wish;
use crate::deploy::write_request;
use crate::saga::retry::RetryPolicy;
use crate::saga::store::{Memory, Op, Store};
use crate::saga::{Actor, Clock, Event, Record};
use crate::slack::{ErrorKind, MockSlack};

const ID: &str = "web-1";

/// A deployment that asks something, and whoever shows it.
async fn shown_by(slack: MockSlack) -> (Projector, Journal) {
    let config = Config::parse(include_str!("../../../config/sandbox.toml"), "sandbox.toml").unwrap();
    let request = Wish::default().of(&config.projects[0], Vec::new());
    let events = [
        Event::SagaStarted {
            workflow_version: 1,
            project: "web".to_owned(),
            by: Actor::Slack("U0ANA".to_owned()),
            input: write_request(&request).unwrap(),
        },
        Event::CheckpointOpened {
            key: "post_release_checklist".to_owned(),
            data: json!({ "items": ["Log in and out"] }),
            choices: vec!["done".to_owned()],
            deadline: None,
            on_expiry: None,
            remind_after_s: None,
        },
    ];
    let clock = Clock::manual(DateTime::UNIX_EPOCH + TimeDelta::hours(1));
    let record = |(seq, event)| Record {
        seq: seq as u64,
        at: DateTime::UNIX_EPOCH,
        event,
    };
    let append = Op::Append {
        saga: ID.to_owned(),
        records: events.into_iter().enumerate().map(record).collect(),
    };
    let store: Arc<dyn Store> = Arc::new(Memory::default());
    store.commit(vec![append]).await.unwrap();
    let nowhere = Arc::new(|_: &crate::config::Project| Err("there is no world here".to_owned()));
    let engine = Engine::new(Deployments::new(nowhere), store.clone(), clock, RetryPolicy::default());
    let journal = engine.journal(ID).unwrap().unwrap();
    let projector = Projector::new(
        engine,
        Arc::new(slack),
        Slots::new(store.clone()),
        Audiences::new(Arc::new(config), store),
        Duration::from_secs(1),
        CancellationToken::new(),
    );
    (projector, journal)
}

/// A Slack that takes posts while it is `up`.
fn takes_posts(up: Arc<AtomicBool>) -> MockSlack {
    let mut slack = MockSlack::new();
    let posted = AtomicU64::new(0);
    slack.expect_post().returning(move |_| match up.load(Ordering::SeqCst) {
        true => Ok(format!("{}.0", posted.fetch_add(1, Ordering::SeqCst))),
        false => Err(failed("chat.postMessage", ErrorKind::Transient)),
    });
    slack
}

fn failed(method: &str, kind: ErrorKind) -> slack::Error {
    slack::Error {
        method: method.to_owned(),
        message: "later".to_owned(),
        kind,
    }
}

/// Notes that what stands in these slots is old; answers with the slots there are.
async fn outdate(projector: &Projector) -> Vec<String> {
    let mut posted = projector.slots.read(ID).unwrap();
    posted.slots.values_mut().for_each(|slot| slot.digest = 1);
    projector.slots.write(ID, &posted).await.unwrap();
    posted.slots.into_keys().collect()
}

#[tokio::test]
async fn what_slack_asks_to_wait_for_is_waited_for_whatever_else_fails() {
    let up = Arc::new(AtomicBool::new(true));
    let mut slack = takes_posts(up.clone());
    let half_a_minute = ErrorKind::RateLimited(Duration::from_secs(30));
    let (limited, edits) = (
        failed("chat.update", half_a_minute.clone()),
        Arc::new(AtomicU64::new(0)),
    );
    let counted = edits.clone();
    slack.expect_update().returning(move |_, _, _, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Err(limited.clone())
    });
    let (projector, journal) = shown_by(slack).await;
    assert!(matches!(projector.round(&journal).await, Ok(false)));
    let slots = outdate(&projector).await;
    assert_eq!(slots.len(), 2, "the card and the question would be edited: {slots:?}");
    let asked_for = async || match projector.round(&journal).await {
        Err(Halt::Slack(error)) => projector.pause_after(&error),
        _ => panic!("the round is not over"),
    };
    assert_eq!(asked_for().await, Duration::from_secs(30));
    assert_eq!(edits.load(Ordering::SeqCst), 1, "the other edit waits as well");

    // The question is gone, and to post it again fails in another way.
    let mut posted = projector.slots.read(ID).unwrap();
    posted.slots.retain(|slot, _| slot == CARD);
    projector.slots.write(ID, &posted).await.unwrap();
    up.store(false, Ordering::SeqCst);
    assert_eq!(asked_for().await, Duration::from_secs(30));
    let posted = projector.slots.read(ID).unwrap();
    let tried: Vec<_> = posted.slots.values().filter(|slot| slot.ts.is_none()).collect();
    assert_eq!(tried.len(), 1, "a question doesn't wait for an edit");
}

#[tokio::test]
async fn what_is_found_after_a_lost_reply_is_edited_at_once() {
    let mut slack = takes_posts(Arc::new(AtomicBool::new(true)));
    slack
        .expect_find()
        .times(1)
        .returning(|_, _, _| Ok(Some("7.0".to_owned())));
    slack
        .expect_update()
        .times(1)
        .withf(|_, ts, _, _| ts == "7.0")
        .returning(|_, _, _, _| Ok(()));
    let (projector, journal) = shown_by(slack).await;
    let mut posted = Posted::default();
    posted.slots.insert(CARD.to_owned(), Slot::default());
    projector.slots.write(ID, &posted).await.unwrap();
    assert!(matches!(projector.round(&journal).await, Ok(false)));
    assert_eq!(
        projector.slots.read(ID).unwrap().root().map(String::as_str),
        Some("7.0")
    );
}
