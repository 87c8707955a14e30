//! Makes Slack agree with the journals: for each deployment, the messages that should stand in the channel are posted and edited until they do.
//!
//! 1. What people see is a fold of the journal, so nothing is lost by being late: the last state always lands.
//! 2. Updates are coalesced: one round at most every `gap`, whatever happens meanwhile.
//! 3. A message whose post is in doubt is looked up by its metadata before it is posted again (see [`super::slots`]).
//! 4. A failing Slack never holds a deployment up.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::audience::Audiences;
use super::cards::{self, CARD, Message};
use super::slots::{Posted, Slot, Slots};
use crate::deploy::Deployments;
use crate::deploy::view::View;
use crate::saga::store::StoreError;
use crate::saga::{Engine, Journal};
use crate::slack::{self, Content, ErrorKind, Metadata, Post, Slack, Ts};

/// After a failed round Slack is tried again after so many gaps, or what it asks for.
const GAPS_AFTER_FAILURE: u32 = 4;

/// How long an ending process tries to show what it did last; what Slack doesn't take by then, the next process shows.
const LAST_WORD: Duration = Duration::from_secs(3);

/// The projector of all deployments.
#[derive(Clone)]
pub struct Projector {
    engine: Engine<Deployments>,
    slack: Arc<dyn Slack>,
    slots: Slots,
    audience: Audiences,
    /// Between two rounds of a deployment: Slack wants about one message a second in a channel.
    gap: Duration,
    stop: CancellationToken,
}

/// Why a round ended early.
enum Halt {
    Store(StoreError),
    Slack(slack::Error),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Projector {
    /// One that does nothing until [`Projector::run`].
    pub fn new(
        engine: Engine<Deployments>,
        slack: Arc<dyn Slack>,
        slots: Slots,
        audience: Audiences,
        gap: Duration,
        stop: CancellationToken,
    ) -> Self {
        Self {
            engine,
            slack,
            slots,
            audience,
            gap,
            stop,
        }
    }

    /// Follows every deployment until told to stop; then finishes the rounds under way.
    pub async fn run(self) {
        let mut changes = self.engine.changes();
        let tasks = TaskTracker::new();
        let mut followed = std::collections::HashSet::new();
        let mut known = self.slots.unsettled().unwrap_or_default();
        let heads = self
            .engine
            .store()
            .heads()
            .into_iter()
            .rev()
            .take(20)
            .map(|head| head.saga);
        known.extend(heads);
        loop {
            for id in known.drain(..) {
                if followed.insert(id.clone()) {
                    tasks.spawn(self.clone().follow(id));
                }
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                change = changes.recv() => match change {
                    Ok(id) => known.push(id),
                    Err(RecvError::Lagged(_)) => known.extend(self.engine.store().heads().into_iter().map(|head| head.saga)),
                    Err(RecvError::Closed) => break,
                },
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// One deployment, until it is over and Slack shows it.
    async fn follow(self, id: String) {
        let Ok(Some(journal)) = self.engine.journal(&id) else {
            return;
        };
        if self.slots.read(&id).is_ok_and(|posted| posted.settled) {
            return;
        }
        let mut length = journal.watch();
        loop {
            length.mark_unchanged();
            // What falls due while this round is under way is due in the next.
            let looked = self.engine.clock().now();
            let wait = match self.round(&journal).await {
                Ok(true) => return,
                Ok(false) => self.gap,
                Err(Halt::Store(error)) => {
                    tracing::error!(deployment = %id, %error, "can't note what was posted");
                    self.engine.store_failed(&error);
                    return;
                }
                Err(Halt::Slack(error)) => {
                    tracing::warn!(deployment = %id, %error, "Slack does not show the latest state yet");
                    self.pause_after(&error)
                }
            };
            let failed = wait != self.gap;
            tokio::select! {
                () = self.stop.cancelled() => return self.last_word(&journal, wait).await,
                () = tokio::time::sleep(wait) => {}
            }
            if failed {
                continue;
            }
            let view = View::of(&id, &journal.history());
            tokio::select! {
                () = self.stop.cancelled() => return self.last_word(&journal, Duration::ZERO).await,
                _ = length.changed() => {}
                () = self.until_next_reminder(&view, looked) => {}
            }
        }
    }

    /// Shows what the last events changed, after `wait`.
    async fn last_word(&self, journal: &Journal, mut wait: Duration) {
        let tries = async {
            loop {
                tokio::time::sleep(wait).await;
                match self.round(journal).await {
                    Err(Halt::Slack(error)) => wait = self.pause_after(&error),
                    Ok(_) | Err(Halt::Store(_)) => return,
                }
            }
        };
        // A post that is cut off stays intended, and is looked for before it is repeated.
        let _ = tokio::time::timeout(LAST_WORD, tries).await;
    }

    fn pause_after(&self, error: &slack::Error) -> Duration {
        match error.kind {
            ErrorKind::RateLimited(asked_for) => asked_for,
            _ => self.gap * GAPS_AFTER_FAILURE,
        }
    }

    async fn until_next_reminder(&self, view: &View, after: DateTime<Utc>) {
        match cards::next_reminder(view, after) {
            Some(at) => self.engine.clock().sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// One round; `true` once the deployment is over and everything is shown.
    async fn round(&self, journal: &Journal) -> Result<bool, Halt> {
        let view = View::of(journal.id(), &journal.history());
        let mut posted = self.slots.read(journal.id())?;
        let mut late: Option<slack::Error> = None;
        for message in cards::messages(&view, self.engine.clock().now(), &self.audience.now()) {
            let stands = posted.slots.get(&message.slot).is_some_and(|slot| slot.ts.is_some());
            // Slack limits each method by itself: edits that have to wait must not keep a question from being asked.
            if stands && late.as_ref().is_some_and(is_limited) {
                continue;
            }
            match self.show(&view, &mut posted, message).await {
                Ok(()) => {}
                Err(Halt::Slack(error)) if posted.root().is_some() && (stands || !is_limited(&error)) => {
                    // What Slack asks to wait for isn't forgotten over another error.
                    late = Some(late.filter(is_limited).unwrap_or(error));
                }
                Err(halt) => return Err(halt),
            }
        }
        if let Some(error) = late {
            return Err(Halt::Slack(error));
        }
        if view.is_over() {
            posted.settled = true;
            self.slots.write(journal.id(), &posted).await?;
        }
        Ok(view.is_over())
    }

    async fn show(&self, view: &View, posted: &mut Posted, message: Message) -> Result<(), Halt> {
        let digest = digest(&message.content);
        let thread = match message.slot.as_str() {
            CARD => None,
            _ => posted.root().cloned(),
        };
        let metadata = Metadata {
            deployment: view.id.clone(),
            step_key: message.slot.clone(),
        };
        let standing = match posted.slots.get(&message.slot).cloned() {
            Some(slot) if slot.ts.is_some() && slot.digest == digest => return Ok(()),
            Some(Slot { ts: Some(ts), .. }) => Some(ts),
            // In doubt. What is found may say something older, so it is edited, too.
            Some(Slot { ts: None, .. }) => self.find(view, thread.clone(), &metadata).await?,
            None => None,
        };
        if let Some(ts) = standing {
            let unknown = Slot {
                ts: Some(ts.clone()),
                digest: 0,
            };
            posted.slots.insert(message.slot.clone(), unknown);
            let edited = self.update(view, &ts, message.content.clone(), metadata.clone());
            if let Updated::Done = edited.await? {
                posted.slots.insert(message.slot, Slot { ts: Some(ts), digest });
                return Ok(self.slots.write(&view.id, posted).await?);
            }
        }
        posted.slots.insert(message.slot.clone(), Slot::default());
        self.slots.write(&view.id, posted).await?;
        let post = Post {
            channel: view.channel.clone(),
            thread,
            content: message.content,
            metadata: Some(metadata),
        };
        let ts = self.slack.post(post).await.map_err(Halt::Slack)?;
        posted.slots.insert(message.slot, Slot { ts: Some(ts), digest });
        Ok(self.slots.write(&view.id, posted).await?)
    }

    /// Edits a message that stands, or says that somebody deleted it.
    async fn update(&self, view: &View, ts: &str, content: Content, metadata: Metadata) -> Result<Updated, Halt> {
        match self.slack.update(&view.channel, ts, content, Some(metadata)).await {
            Ok(()) => Ok(Updated::Done),
            Err(error) if error.kind == ErrorKind::Api("message_not_found".to_owned()) => Ok(Updated::Gone),
            Err(error) => Err(Halt::Slack(error)),
        }
    }

    async fn find(&self, view: &View, thread: Option<Ts>, metadata: &Metadata) -> Result<Option<Ts>, Halt> {
        self.slack
            .find(&view.channel, thread, metadata)
            .await
            .map_err(Halt::Slack)
    }
}

enum Updated {
    Done,
    Gone,
}

fn is_limited(error: &slack::Error) -> bool {
    matches!(error.kind, ErrorKind::RateLimited(_))
}

/// Tells contents apart; never 0, which means "unknown".
fn digest(content: &Content) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.text.hash(&mut hasher);
    for block in &content.blocks {
        block.to_string().hash(&mut hasher);
    }
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests;
