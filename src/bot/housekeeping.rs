//! What keeps the store from growing without end: ids of Slack messages are forgotten once they can't come again, and the oldest ended
//! deployments leave the store (their flight recorders stay, in the archive).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use crate::deploy::Deployments;
use crate::saga::Engine;
use crate::saga::store::{Op, StoreError};

/// Slack delivers an event again for at most an hour.
const REMEMBERED: TimeDelta = TimeDelta::hours(2);
/// Between two rounds.
const ROUND: Duration = Duration::from_secs(600);
/// Ids forgotten in one commit.
const AT_ONCE: usize = 500;

/// Keeps house until told to stop; `keep` ended deployments of each project stay.
pub async fn keep_house(engine: Engine<Deployments>, keep: usize, stop: CancellationToken) {
    loop {
        if let Err(error) = round(&engine, keep).await {
            tracing::warn!(%error, "housekeeping failed; the next round tries again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

/// One round.
///
/// # Errors
/// If the store fails.
pub async fn round(engine: &Engine<Deployments>, keep: usize) -> Result<(), StoreError> {
    let store = engine.store();
    let oldest = engine.clock().now() - REMEMBERED;
    let old = |value: &serde_json::Value| {
        let at = value
            .as_i64()
            .and_then(|seconds| DateTime::<Utc>::from_timestamp(seconds, 0));
        at.is_none_or(|at| at < oldest)
    };
    let seen = store.scan("seen/")?.into_iter().filter(|(_, value)| old(value));
    let forgotten: Vec<Op> = seen.map(|(key, _)| Op::Delete { key }).collect();
    for some in forgotten.chunks(AT_ONCE) {
        store.commit(some.to_vec()).await?;
    }
    engine.retire(keep).await?;
    let kept: std::collections::HashSet<String> = store.heads().into_iter().map(|head| head.saga).collect();
    let posted = store.scan("posted/")?.into_iter().map(|(key, _)| key);
    let orphans = posted.filter(|key| key.strip_prefix("posted/").is_some_and(|id| !kept.contains(id)));
    let orphans: Vec<Op> = orphans.map(|key| Op::Delete { key }).collect();
    match orphans.is_empty() {
        true => Ok(()),
        false => store.commit(orphans).await,
    }
}
