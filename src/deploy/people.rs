//! Who may do what: default deny, checked against the person who clicks or types, user groups included. Groups are cached, so that a
//! check doesn't wait for Slack while an acknowledgement is due, and people can go on while Slack doesn't tell.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::saga::Clock;
use crate::slack::Slack;

/// A group's members are asked for again after this long.
const FRESH: TimeDelta = TimeDelta::minutes(5);
/// After a failure, for this long nobody asks again: each check would wait for it.
const REST: TimeDelta = TimeDelta::seconds(30);
/// What was known counts for so long while Slack doesn't tell.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// A check waits for Slack at most this long, however many groups it needs: the acknowledgement is due after three seconds.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Whether somebody is among those who hold a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// They are.
    Yes,
    /// They aren't.
    No,
    /// Slack doesn't tell, and never did: counts as no for whoever is there to try again.
    Unknown,
}

/// Members of user groups, as Slack said lately.
pub struct People {
    slack: Arc<dyn Slack>,
    clock: Clock,
    groups: Mutex<HashMap<String, Group>>,
}

#[derive(Clone, Default)]
struct Group {
    /// When Slack told, and what.
    told: Option<(DateTime<Utc>, Arc<Vec<String>>)>,
    failed: Option<DateTime<Utc>>,
}

impl Group {
    fn known(&self, now: DateTime<Utc>, life: TimeDelta) -> Option<Arc<Vec<String>>> {
        let (at, members) = self.told.as_ref()?;
        (now - at < life).then(|| members.clone())
    }
}

impl People {
    /// Nobody known yet.
    pub fn new(slack: Arc<dyn Slack>, clock: Clock) -> Self {
        Self {
            slack,
            clock,
            groups: Mutex::default(),
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<String, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one of `holders` is this person, as far as is known.
    pub async fn among(&self, user: &str, holders: &[String]) -> bool {
        self.member(user, holders).await == Member::Yes
    }

    /// Whether one of `holders` (users, user groups, `*`) is this person.
    pub async fn member(&self, user: &str, holders: &[String]) -> Member {
        if holders.iter().any(|holder| holder == "*" || holder == user) {
            return Member::Yes;
        }
        let deadline = Instant::now() + PATIENCE;
        let members = join_all(groups(holders).map(|group| self.members(group, deadline))).await;
        let is_in = |members: &Option<Arc<Vec<String>>>| {
            members
                .as_ref()
                .is_some_and(|members| members.iter().any(|member| member == user))
        };
        match members {
            members if members.iter().any(is_in) => Member::Yes,
            members if members.iter().any(Option::is_none) => Member::Unknown,
            _ => Member::No,
        }
    }

    /// `None`: Slack doesn't tell, and hasn't for long.
    async fn members(&self, id: &str, deadline: Instant) -> Option<Arc<Vec<String>>> {
        let group = self.groups().get(id).cloned().unwrap_or_default();
        let now = self.clock.now();
        if let Some(members) = group.known(now, FRESH) {
            return Some(members);
        }
        if group.failed.is_some_and(|failed| now - failed < REST) {
            return group.known(now, KEPT);
        }
        let asked = timeout_at(deadline, self.slack.group_members(id)).await;
        match asked {
            Ok(Ok(members)) => {
                let members = Arc::new(members);
                let told = Group {
                    told: Some((now, members.clone())),
                    failed: None,
                };
                self.groups().insert(id.to_owned(), told);
                return Some(members);
            }
            Ok(Err(error)) => tracing::warn!(group = id, %error, "can't read the members of a user group"),
            Err(_) => tracing::warn!(group = id, "Slack takes too long to tell the members of a user group"),
        }
        self.groups().entry(id.to_owned()).or_default().failed = Some(now);
        group.known(now, KEPT)
    }
}

/// The user groups among `holders`.
pub(super) fn groups(holders: &[String]) -> impl Iterator<Item = &String> {
    holders.iter().filter(|holder| holder.starts_with('S'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::{Error, ErrorKind, MockSlack};

    fn down() -> Error {
        Error {
            method: "usergroups.users.list".to_owned(),
            message: "no connection".to_owned(),
            kind: ErrorKind::Transient,
        }
    }

    fn clock() -> Clock {
        Clock::manual(DateTime::UNIX_EPOCH)
    }

    fn holders() -> Vec<String> {
        vec!["S0DEPLOYERS".to_owned(), "U0DAN".to_owned()]
    }

    #[tokio::test]
    async fn members_are_asked_for_once_in_a_while() {
        let mut slack = MockSlack::new();
        slack
            .expect_group_members()
            .times(2)
            .returning(|_| Ok(vec!["U0ANA".to_owned()]));
        let clock = clock();
        let people = People::new(Arc::new(slack), clock.clone());
        for _ in 0..3 {
            assert_eq!(people.member("U0ANA", &holders()).await, Member::Yes);
        }
        assert_eq!(people.member("U0EVE", &holders()).await, Member::No);
        clock.advance(FRESH);
        assert_eq!(people.member("U0ANA", &holders()).await, Member::Yes);
    }

    #[tokio::test]
    async fn what_was_known_counts_while_slack_is_down_but_not_for_ever() {
        let mut slack = MockSlack::new();
        let mut first = true;
        slack
            .expect_group_members()
            .returning(move |_| match std::mem::take(&mut first) {
                true => Ok(vec!["U0ANA".to_owned()]),
                false => Err(down()),
            });
        let clock = clock();
        let people = People::new(Arc::new(slack), clock.clone());
        assert!(people.among("U0ANA", &holders()).await);
        clock.advance(FRESH * 2);
        assert!(people.among("U0ANA", &holders()).await);
        assert!(!people.among("U0EVE", &holders()).await);
        clock.advance(KEPT);
        assert_eq!(people.member("U0ANA", &holders()).await, Member::Unknown);
        assert_eq!(people.member("U0DAN", &holders()).await, Member::Yes);
    }

    #[tokio::test]
    async fn after_a_failure_slack_is_left_alone_for_a_moment() {
        let mut slack = MockSlack::new();
        slack.expect_group_members().times(2).returning(|_| Err(down()));
        let people = People::new(Arc::new(slack), clock());
        let two = ["S1".to_owned(), "S2".to_owned()];
        for _ in 0..5 {
            assert_eq!(people.member("U0ANA", &two).await, Member::Unknown);
        }
    }
}
