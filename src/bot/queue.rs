//! Who starts next: a short line for each project, durable, and the task that starts the first when the running deployment ends.
//!
//! 1. A place in the line changes by compare-and-set, and taking the first out is one commit with its start: nobody starts twice, nobody
//!    is lost.
//! 2. Whoever is started is checked again: what they may do, the lock and the freeze windows, as they are then. Who is turned away is told.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, from_value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::Bot;
use crate::config::Project;
use crate::deploy::begin::Wish;
use crate::deploy::decide::Refusal;
use crate::deploy::people::Member;
use crate::deploy::{lock, text};
use crate::saga::Actor;
use crate::saga::engine::StartError;
use crate::saga::store::{Op, Store, StoreError};
use crate::slack::{Content, Metadata, Post};

/// Places in a line: beyond these nobody knows any more what will ship.
pub const PLACES: usize = 5;
/// After Slack or a look at its user groups failed, the line is looked at again after so long.
const AGAIN: Duration = Duration::from_secs(15);

/// Somebody who waits for their start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Slack user id.
    pub user: String,
    /// Since when.
    pub at: DateTime<Utc>,
    /// What they want shipped.
    pub wish: Wish,
}

/// What became of joining the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// At this place, counted from 1. Who stood in it already keeps the place, and what they want now stands.
    Place(usize),
    /// All places are taken.
    Full,
    /// This very request was handled before.
    Seen,
}

fn key(project: &str) -> String {
    format!("queue/{project}")
}

fn read(store: &dyn Store, project: &str) -> Result<(Option<Value>, Vec<Waiting>), StoreError> {
    let stored = store.get(&key(project))?;
    let line = match stored.clone().map(from_value) {
        None => Vec::new(),
        Some(Ok(line)) => line,
        Some(Err(error)) => {
            return Err(StoreError::Damaged(format!(
                "the queue of {project} can't be read: {error}"
            )));
        }
    };
    Ok((stored, line))
}

/// The line as it stands.
///
/// # Errors
/// If the store can't be read.
pub fn line(store: &dyn Store, project: &str) -> Result<Vec<Waiting>, StoreError> {
    read(store, project).map(|(_, line)| line)
}

/// The change from what was read to another line; the commit fails if somebody was quicker.
fn change(project: &str, stored: Option<Value>, line: &[Waiting]) -> [Op; 2] {
    let key = key(project);
    let expect = Op::Expect {
        key: key.clone(),
        value: stored,
    };
    let write = match line {
        [] => Op::Delete { key },
        line => Op::Put {
            key,
            value: json!(line),
        },
    };
    [expect, write]
}

/// Joins the line; one place for each person, who may change their wish in it. `also` goes into the same commit.
///
/// # Errors
/// If the store fails.
pub async fn join(store: &dyn Store, project: &str, who: Waiting, also: &[Op]) -> Result<Joined, StoreError> {
    loop {
        let (stored, mut line) = read(store, project)?;
        let place = match line.iter().position(|waiting| waiting.user == who.user) {
            Some(place) => {
                line[place].wish = who.wish.clone();
                place
            }
            None if line.len() >= PLACES => return Ok(Joined::Full),
            None => {
                line.push(who.clone());
                line.len() - 1
            }
        };
        match store.commit([also, &change(project, stored, &line)].concat()).await {
            Ok(()) => return Ok(Joined::Place(place + 1)),
            Err(StoreError::Changed { .. }) => {}
            Err(StoreError::Taken { .. }) => return Ok(Joined::Seen),
            Err(error) => return Err(error),
        }
    }
}

/// Leaves the line; `false` if they didn't stand in it.
///
/// # Errors
/// If the store fails.
pub async fn leave(store: &dyn Store, project: &str, user: &str) -> Result<bool, StoreError> {
    loop {
        let (stored, mut line) = read(store, project)?;
        let before = line.len();
        line.retain(|waiting| waiting.user != user);
        if line.len() == before {
            return Ok(false);
        }
        match store.commit(change(project, stored, &line).to_vec()).await {
            Ok(()) => return Ok(true),
            Err(StoreError::Changed { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What to do about the line now.
enum Next {
    /// Nothing, until something changes.
    Rest,
    /// Something outside failed: look again later.
    Again,
}

impl Bot {
    /// Starts whoever is first whenever a project becomes free, until told to stop.
    pub async fn serve_the_queues(self, stop: CancellationToken) {
        let mut changes = self.engine().changes();
        loop {
            let mut again = false;
            for project in &self.0.config.projects {
                match self.serve_the_queue(project).await {
                    Ok(Next::Rest) => {}
                    Ok(Next::Again) => again = true,
                    Err(error) => {
                        tracing::error!(project = project.name, %error, "the queue can't be served");
                        again = true;
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.queued.notified() => {}
                () = tokio::time::sleep(AGAIN), if again => {}
                () = self.somebody_ended(&mut changes) => {}
            }
        }
    }

    async fn somebody_ended(&self, changes: &mut tokio::sync::broadcast::Receiver<String>) {
        loop {
            match changes.recv().await {
                Ok(id) => {
                    let journal = self.engine().journal(&id).ok().flatten();
                    if journal.is_none_or(|journal| journal.history().outcome().is_some()) {
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => return std::future::pending().await,
            }
        }
    }

    async fn serve_the_queue(&self, project: &Project) -> Result<Next, StoreError> {
        loop {
            let (stored, mut line) = read(&**self.engine().store(), &project.name)?;
            if line.is_empty() || self.engine().running(&project.name)?.is_some() {
                return Ok(Next::Rest);
            }
            let first = line.remove(0);
            let out = change(&project.name, stored, &line);
            let now = self.engine().clock().now();
            let obstacles = lock::obstacles(&**self.engine().store(), project, now)?;
            let permissions = &project.permissions;
            let may_pass = match first.wish.override_reason {
                Some(_) => self.0.desk.people().member(&first.user, &permissions.r#override).await,
                None => Member::No,
            };
            let why = match (
                self.0.desk.people().member(&first.user, &permissions.start).await,
                may_pass,
            ) {
                (Member::Unknown, _) | (_, Member::Unknown) => return Ok(Next::Again),
                (Member::No, _) => {
                    let refusal = Refusal::MayNot {
                        what: "start a deployment",
                        setting: "start",
                        holders: permissions.start.clone(),
                    };
                    Some(text::refusal(&refusal, text::Medium::Slack))
                }
                (Member::Yes, Member::Yes) => None,
                (Member::Yes, Member::No) => text::obstacles(&obstacles.all, text::Medium::Slack),
            };
            if let Some(why) = why {
                if !self.turn_away(project, &first, &why).await {
                    return Ok(Next::Again);
                }
                match self.engine().store().commit(out.to_vec()).await {
                    Ok(()) | Err(StoreError::Changed { .. }) => continue,
                    Err(error) => return Err(error),
                }
            }
            let mut request = first.wish.of(project, obstacles.all);
            request.queued = Some(first.at);
            let input = crate::deploy::write_request(&request).map_err(StoreError::Failed)?;
            let also = out.into_iter().chain([obstacles.still]).collect();
            let by = Actor::Slack(first.user.clone());
            match self.engine().start(&project.name, by, input, also).await {
                Ok(id) => tracing::info!(deployment = id, user = first.user, "started from the queue"),
                Err(StartError::Changed) => {}
                Err(StartError::Running(_) | StartError::Seen | StartError::Draining) => return Ok(Next::Rest),
                Err(StartError::Store(error)) => return Err(error),
            }
        }
    }

    /// Says in the channel who is not started, and why; `false` if Slack doesn't take it.
    async fn turn_away(&self, project: &Project, who: &Waiting, why: &str) -> bool {
        let metadata = Metadata {
            deployment: format!("queue/{}", project.name),
            step_key: format!("{}/{}", who.user, who.at.timestamp_micros()),
        };
        let slack = &self.0.slack;
        let told = async {
            if slack.find(&project.channel, None, &metadata).await?.is_some() {
                return Ok(());
            }
            let content: Content = text::not_started_from_queue(&Actor::Slack(who.user.clone()), why);
            let post = Post {
                channel: project.channel.clone(),
                thread: None,
                content,
                metadata: Some(metadata),
            };
            slack.post(post).await.map(drop)
        };
        let told: crate::slack::Result<()> = told.await;
        if let Err(error) = &told {
            tracing::warn!(%error, "who is not started from the queue isn't told yet");
        }
        told.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::train::Selection;
    use crate::saga::store::Memory;

    fn waiting(user: &str) -> Waiting {
        Waiting {
            user: user.to_owned(),
            at: DateTime::UNIX_EPOCH,
            wish: Wish::default(),
        }
    }

    #[tokio::test]
    async fn everybody_has_one_place_and_the_line_is_short() {
        let store = Memory::default();
        for (index, user) in ["U1", "U2", "U3", "U4", "U5"].into_iter().enumerate() {
            let joined = join(&store, "web", waiting(user), &[]).await.unwrap();
            assert_eq!(joined, Joined::Place(index + 1));
        }
        assert_eq!(join(&store, "web", waiting("U2"), &[]).await.unwrap(), Joined::Place(2));
        assert_eq!(join(&store, "web", waiting("U6"), &[]).await.unwrap(), Joined::Full);
        assert!(leave(&store, "web", "U2").await.unwrap());
        assert!(!leave(&store, "web", "U2").await.unwrap());
        assert_eq!(join(&store, "web", waiting("U6"), &[]).await.unwrap(), Joined::Place(5));
        let users: Vec<String> = line(&store, "web")
            .unwrap()
            .into_iter()
            .map(|waiting| waiting.user)
            .collect();
        assert_eq!(users, ["U1", "U3", "U4", "U5", "U6"]);
    }

    #[tokio::test]
    async fn whoever_joins_again_keeps_the_place_and_changes_the_wish() {
        let store = Memory::default();
        let wants = |user: &str, only: u64| Waiting {
            wish: Wish {
                selection: Selection {
                    only: vec![only],
                    ..Selection::default()
                },
                ..Wish::default()
            },
            ..waiting(user)
        };
        for who in [wants("U0ANA", 12), wants("U0BEN", 13)] {
            join(&store, "web", who, &[]).await.unwrap();
        }
        let later = Waiting {
            at: DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(1),
            ..wants("U0ANA", 15)
        };
        assert_eq!(join(&store, "web", later, &[]).await.unwrap(), Joined::Place(1));
        assert_eq!(line(&store, "web").unwrap(), [wants("U0ANA", 15), wants("U0BEN", 13)]);
    }

    #[tokio::test]
    async fn two_who_join_at_once_both_stand_in_it() {
        let store = Memory::default();
        let (ana, ben) = tokio::join!(
            join(&store, "web", waiting("U0ANA"), &[]),
            join(&store, "web", waiting("U0BEN"), &[]),
        );
        assert_eq!((ana.unwrap(), ben.unwrap()), (Joined::Place(1), Joined::Place(2)));
    }
}
