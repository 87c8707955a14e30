//! What was last posted where: the timestamps of a deployment's messages, kept in the store beside its journal.
//!
//! A message's slot is noted as *intended* before it is posted. If the reply is lost, by a crash or by the network, the slot stays intended,
//! and whoever comes next looks for the message by its metadata before posting it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{from_value, to_value};

use super::cards::CARD;
use crate::deploy::world::Thread;
use crate::saga::store::{Op, Store, StoreError};
use crate::slack::{self, Ts};

/// A deployment's messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Posted {
    /// By slot.
    pub slots: BTreeMap<String, Slot>,
    /// The deployment is over and Slack shows its last state.
    #[serde(default)]
    pub settled: bool,
}

impl Posted {
    /// The deployment's message in the channel, once it is there.
    pub fn root(&self) -> Option<&Ts> {
        self.slots.get(CARD)?.ts.as_ref()
    }
}

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    /// Where it is; `None`: intended, and perhaps posted.
    pub ts: Option<Ts>,
    /// Digest of what it says.
    pub digest: u64,
}

/// All deployments' messages.
#[derive(Clone)]
pub struct Slots(Arc<dyn Store>);

impl Slots {
    /// Over a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    fn key(deployment: &str) -> String {
        format!("posted/{deployment}")
    }

    /// A deployment's messages as last noted.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn read(&self, deployment: &str) -> Result<Posted, StoreError> {
        let value = self.0.get(&Self::key(deployment))?;
        // Unreadable notes are no notes: every message is then looked for before it is posted.
        Ok(value.and_then(|value| from_value(value).ok()).unwrap_or_default())
    }

    /// Notes a deployment's messages, durably.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn write(&self, deployment: &str, posted: &Posted) -> Result<(), StoreError> {
        let value = to_value(posted).map_err(|error| StoreError::Failed(error.to_string()))?;
        let key = Self::key(deployment);
        self.0.commit(vec![Op::Put { key, value }]).await
    }

    /// Deployments whose last state Slack may not show yet.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn unsettled(&self) -> Result<Vec<String>, StoreError> {
        let all = self.0.scan("posted/")?.into_iter();
        let open = all.filter(|(_, value)| !value["settled"].as_bool().unwrap_or(false));
        Ok(open
            .filter_map(|(key, _)| key.strip_prefix("posted/").map(str::to_owned))
            .collect())
    }
}

#[async_trait]
impl Thread for Slots {
    async fn root(&self, deployment: &str) -> Result<Ts, slack::Error> {
        let missing = |message: String| slack::Error {
            method: "chat.postMessage".to_owned(),
            message,
            kind: slack::ErrorKind::Transient,
        };
        let posted = self.read(deployment).map_err(|error| missing(error.to_string()))?;
        posted
            .root()
            .cloned()
            .ok_or_else(|| missing("the deployment's message isn't in the channel yet".to_owned()))
    }
}
