//! Who may do what: default deny, checked against the person who clicks or types, user groups included. Groups are cached, so that a
//! check doesn't wait for Slack while an acknowledgement is due.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::deploy::permits;
use crate::saga::Actor;
use crate::slack::Slack;

/// A group's members are asked for again after this long.
const FRESH: Duration = Duration::from_secs(300);
/// A check waits for Slack at most this long: the acknowledgement is due after three seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Members of user groups, as Slack said lately.
pub struct People {
    slack: Arc<dyn Slack>,
    groups: Mutex<HashMap<String, (Instant, Vec<String>)>>,
}

impl People {
    /// Nobody known yet.
    pub fn new(slack: Arc<dyn Slack>) -> Self {
        Self {
            slack,
            groups: Mutex::default(),
        }
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<String, (Instant, Vec<String>)>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one of `holders` (users, user groups, `*`) is this person. A group that Slack can't tell of right now counts as it was last
    /// known, and as empty if it never was.
    pub async fn among(&self, user: &str, holders: &[String]) -> bool {
        if permits::names(holders, &Actor::Slack(user.to_owned())) {
            return true;
        }
        for group in holders.iter().filter(|holder| holder.starts_with('S')) {
            if self.members(group).await.iter().any(|member| member == user) {
                return true;
            }
        }
        false
    }

    async fn members(&self, group: &str) -> Vec<String> {
        let known = self.groups().get(group).cloned();
        if let Some((asked, members)) = &known
            && asked.elapsed() < FRESH
        {
            return members.clone();
        }
        match tokio::time::timeout(PATIENCE, self.slack.group_members(group)).await {
            Ok(Ok(members)) => {
                let entry = (Instant::now(), members.clone());
                self.groups().insert(group.to_owned(), entry);
                members
            }
            Ok(Err(error)) => {
                tracing::warn!(group, %error, "can't read the members of a user group");
                known.map(|(_, members)| members).unwrap_or_default()
            }
            Err(_) => {
                tracing::warn!(group, "Slack takes too long to tell the members of a user group");
                known.map(|(_, members)| members).unwrap_or_default()
            }
        }
    }
}
