//! What keeps a deployment from being started: a project's lock, set by a person, and the freeze windows of its configuration.
//!
//! 1. A lock is durable, and changes hands by compare-and-set: of two people who lock at once, one learns of the other.
//! 2. A start carries [`Obstacles::still`] into its commit, so that a lock that comes in between makes it look again.
//! 3. An expired lock is no lock; nothing has to run for it to end.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, from_value, json};

use crate::config::{Frozen, Project, frozen};
use crate::saga::Actor;
use crate::saga::store::{Op, Store, StoreError};
use crate::slack::{self, Content, Metadata, Post, Slack};

/// A project's lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Who set it.
    pub by: Actor,
    /// In their words: escape before showing.
    pub reason: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// Until when; `None`: until somebody unlocks.
    pub until: Option<DateTime<Utc>>,
}

/// One thing that keeps a deployment from being started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// A person's lock.
    Locked(Lock),
    /// A freeze window.
    Frozen(Frozen),
}

/// Everything that keeps a deployment from being started now.
#[derive(Clone, Debug, PartialEq)]
pub struct Obstacles {
    /// The lock first.
    pub all: Vec<Obstacle>,
    /// The commit of a start holds this: nobody has locked or unlocked since.
    pub still: Op,
}

/// What became of an attempt to lock or unlock.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Done; for unlocking, this lock was lifted.
    Done(Lock),
    /// Locking: this lock was there already.
    Held(Lock),
    /// Unlocking: there is none.
    Free,
    /// This very request was handled before.
    Seen,
}

/// Says to everybody in the project's channel that this lock was set or lifted.
///
/// # Errors
/// If Slack doesn't take it.
pub async fn announce(
    slack: &dyn Slack,
    project: &Project,
    lock: &Lock,
    said: Said,
    content: Content,
) -> slack::Result<()> {
    let what = match said {
        Said::Locked => "locked",
        Said::Unlocked => "unlocked",
    };
    let post = Post {
        channel: project.channel.clone(),
        thread: None,
        content,
        metadata: Some(Metadata {
            deployment: format!("lock/{}", project.name),
            step_key: format!("{what}/{}", lock.at.timestamp_micros()),
        }),
    };
    let told = slack.post(post).await.map(drop);
    told.inspect_err(|error| tracing::warn!(%error, "a message did not reach its channel"))
}

/// What [`announce`] says of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is set.
    Locked,
    /// It is lifted.
    Unlocked,
}

/// `lock/…` is the engine's own, for what runs.
fn key(project: &str) -> String {
    format!("locked/{project}")
}

/// What is stored, and the lock if it still holds.
fn read(store: &dyn Store, project: &str, now: DateTime<Utc>) -> Result<(Option<Value>, Option<Lock>), StoreError> {
    let stored = store.get(&key(project))?;
    let lock = match stored.clone().map(from_value::<Lock>) {
        None => None,
        Some(Ok(lock)) => Some(lock).filter(|lock| lock.until.is_none_or(|until| now < until)),
        Some(Err(error)) => {
            return Err(StoreError::Damaged(format!(
                "the lock of {project} can't be read ({error}); start the version of Shipmate that wrote it, and unlock"
            )));
        }
    };
    Ok((stored, lock))
}

/// The lock that holds now.
///
/// # Errors
/// If the store can't be read.
pub fn current(store: &dyn Store, project: &str, now: DateTime<Utc>) -> Result<Option<Lock>, StoreError> {
    read(store, project, now).map(|(_, lock)| lock)
}

/// What keeps a deployment of this project from being started now.
///
/// # Errors
/// If the store can't be read.
pub fn obstacles(store: &dyn Store, project: &Project, now: DateTime<Utc>) -> Result<Obstacles, StoreError> {
    let (stored, lock) = read(store, &project.name, now)?;
    let frozen = frozen(&project.freeze, now, project.time_zone);
    Ok(Obstacles {
        all: lock
            .map(Obstacle::Locked)
            .into_iter()
            .chain(frozen.map(Obstacle::Frozen))
            .collect(),
        still: Op::Expect {
            key: key(&project.name),
            value: stored,
        },
    })
}

/// Locks a project, unless it is locked. `also` goes into the same commit.
///
/// # Errors
/// If the store fails.
pub async fn lock(store: &dyn Store, project: &str, lock: Lock, also: Vec<Op>) -> Result<Turn, StoreError> {
    loop {
        let (stored, held) = read(store, project, lock.at)?;
        if let Some(held) = held {
            return Ok(Turn::Held(held));
        }
        let put = Op::Put {
            key: key(project),
            value: json!(lock),
        };
        if let Some(turn) = commit(store, project, stored, put, &also, &lock).await? {
            return Ok(turn);
        }
    }
}

/// Unlocks a project. `also` goes into the same commit.
///
/// # Errors
/// If the store fails.
pub async fn unlock(store: &dyn Store, project: &str, now: DateTime<Utc>, also: Vec<Op>) -> Result<Turn, StoreError> {
    loop {
        let (stored, held) = read(store, project, now)?;
        let Some(held) = held else {
            return Ok(Turn::Free);
        };
        let delete = Op::Delete { key: key(project) };
        if let Some(turn) = commit(store, project, stored, delete, &also, &held).await? {
            return Ok(turn);
        }
    }
}

/// `None`: somebody was quicker; look again.
async fn commit(
    store: &dyn Store,
    project: &str,
    stored: Option<Value>,
    change: Op,
    also: &[Op],
    lock: &Lock,
) -> Result<Option<Turn>, StoreError> {
    let expect = Op::Expect {
        key: key(project),
        value: stored,
    };
    let ops = also.iter().cloned().chain([expect, change]).collect();
    match store.commit(ops).await {
        Ok(()) => Ok(Some(Turn::Done(lock.clone()))),
        Err(StoreError::Changed { .. }) => Ok(None),
        Err(StoreError::Taken { .. }) => Ok(Some(Turn::Seen)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::saga::store::Memory;

    fn by(name: &str, until: Option<&str>) -> Lock {
        Lock {
            by: Actor::Slack(name.to_owned()),
            reason: "database migration".to_owned(),
            at: at("2026-11-24T12:00:00Z"),
            until: until.map(at),
        }
    }

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().unwrap()
    }

    #[tokio::test]
    async fn of_two_who_lock_at_once_one_learns_of_the_other() {
        let store = Memory::default();
        let (ana, ben) = tokio::join!(
            lock(&store, "web", by("U0ANA", None), Vec::new()),
            lock(&store, "web", by("U0BEN", None), Vec::new()),
        );
        assert_eq!(ana.unwrap(), Turn::Done(by("U0ANA", None)));
        assert_eq!(ben.unwrap(), Turn::Held(by("U0ANA", None)));
    }

    #[tokio::test]
    async fn an_expired_lock_is_no_lock_and_can_be_replaced() {
        let store = Memory::default();
        let short = by("U0ANA", Some("2026-11-24T14:00:00Z"));
        lock(&store, "web", short.clone(), Vec::new()).await.unwrap();
        assert_eq!(current(&store, "web", at("2026-11-24T13:59:59Z")).unwrap(), Some(short));
        assert_eq!(current(&store, "web", at("2026-11-24T14:00:00Z")).unwrap(), None);
        let later = Lock {
            at: at("2026-11-24T15:00:00Z"),
            ..by("U0BEN", None)
        };
        assert_eq!(
            lock(&store, "web", later.clone(), Vec::new()).await.unwrap(),
            Turn::Done(later.clone())
        );
        assert_eq!(
            unlock(&store, "web", later.at, Vec::new()).await.unwrap(),
            Turn::Done(later.clone())
        );
        assert_eq!(unlock(&store, "web", later.at, Vec::new()).await.unwrap(), Turn::Free);
    }

    #[tokio::test]
    async fn a_redelivered_request_changes_nothing() {
        let store = Memory::default();
        let once = || {
            vec![Op::Claim {
                key: "seen/1".to_owned(),
                value: json!(1),
            }]
        };
        lock(&store, "web", by("U0ANA", None), once()).await.unwrap();
        unlock(&store, "web", at("2026-11-24T12:00:00Z"), Vec::new())
            .await
            .unwrap();
        assert_eq!(
            lock(&store, "web", by("U0ANA", None), once()).await.unwrap(),
            Turn::Seen
        );
    }

    #[tokio::test]
    async fn a_lock_between_the_look_and_the_start_is_noticed() {
        let store = Memory::default();
        let config = Config::parse(include_str!("../../config/sandbox.toml"), "sandbox.toml").unwrap();
        let seen = obstacles(&store, &config.projects[0], at("2026-11-24T12:00:00Z")).unwrap();
        assert_eq!(seen.all, []);
        lock(&store, "web", by("U0BEN", None), Vec::new()).await.unwrap();
        assert!(matches!(
            store.commit(vec![seen.still]).await,
            Err(StoreError::Changed { .. })
        ));
    }
}
