//! Whether the store takes writes, found out by writing. The answer holds for a while, so that whoever asks often costs nothing, and those
//! who ask at the same time wait for one answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use crate::deploy::Deployments;
use crate::saga::Engine;
use crate::saga::store::{Probed, probe};

/// How long a good answer holds.
const GOOD: Duration = Duration::from_secs(10);
/// How long a bad one does: whoever freed some space wants to see it.
const BAD: Duration = Duration::from_secs(1);
/// A disk that takes longer is not one to go on with.
const LIMIT: Duration = Duration::from_secs(5);

/// When it was found out, and why not.
type Found = (Instant, Result<(), String>);

/// The last answer, and a write that is still under way. Clones share it.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Asked>>);

#[derive(Default)]
struct Asked {
    last: Option<Found>,
    /// On a disk that hangs, one write hangs however often somebody asks.
    pending: Option<JoinHandle<Result<(), Probed>>>,
}

impl Readiness {
    /// Whether the store takes writes; if not, why.
    ///
    /// # Errors
    /// The reason.
    pub async fn store(&self, engine: &Engine<Deployments>) -> Result<(), String> {
        if let Some(error) = engine.fatal().borrow().as_ref() {
            return Err(error.to_string());
        }
        let mut asked = self.0.lock().await;
        match &asked.last {
            Some((at, answer)) if at.elapsed() < if answer.is_ok() { GOOD } else { BAD } => answer.clone(),
            _ => {
                let answer = found_out(engine, &mut asked.pending).await;
                asked.last = Some((Instant::now(), answer.clone()));
                answer
            }
        }
    }
}

async fn found_out(
    engine: &Engine<Deployments>,
    pending: &mut Option<JoinHandle<Result<(), Probed>>>,
) -> Result<(), String> {
    let (store, now) = (engine.store().clone(), engine.clock().now());
    match within(LIMIT, pending, async move { probe(&*store, now).await }).await {
        Some(Ok(Ok(()))) => Ok(()),
        Some(Ok(Err(Probed::NoRoom(error)))) => Err(error.to_string()),
        Some(Ok(Err(Probed::Lost(error)))) => {
            engine.store_failed(&error);
            Err(error.to_string())
        }
        Some(Err(ended)) => Err(ended.to_string()),
        None => Err(format!("nothing was written within {} s", LIMIT.as_secs())),
    }
}

/// The end of what is under way, or of `work` if nothing is; `None` if it takes too long, and then it goes on.
async fn within<T: Send + 'static>(
    limit: Duration,
    pending: &mut Option<JoinHandle<T>>,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<Result<T, JoinError>> {
    let under_way = pending.get_or_insert_with(|| tokio::spawn(work));
    let ended = tokio::time::timeout(limit, under_way).await.ok()?;
    *pending = None;
    Some(ended)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn on_a_disk_that_hangs_one_write_hangs_however_often_somebody_asks() {
        let (begun, disk) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let write = || {
            let (begun, disk) = (begun.clone(), disk.clone());
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                disk.notified().await;
            }
        };
        let mut pending = None;
        for _ in 0..3 {
            assert!(within(Duration::ZERO, &mut pending, write()).await.is_none());
        }
        disk.notify_one();
        assert!(matches!(within(LIMIT, &mut pending, write()).await, Some(Ok(()))));
        assert_eq!((begun.load(Ordering::SeqCst), pending.is_none()), (1, true));
    }
}
