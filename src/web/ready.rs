//! Whether the store takes writes, found out by writing. The answer holds for a while, so that whoever asks often costs nothing, and those
//! who ask at the same time wait for one answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
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

/// The last answer. Clones share it.
#[derive(Clone, Default)]
pub struct Readiness(Arc<Mutex<Option<Found>>>);

impl Readiness {
    /// Whether the store takes writes; if not, why.
    ///
    /// # Errors
    /// The reason.
    pub async fn store(&self, engine: &Engine<Deployments>) -> Result<(), String> {
        if let Some(error) = engine.fatal().borrow().as_ref() {
            return Err(error.to_string());
        }
        let mut last = self.0.lock().await;
        match &*last {
            Some((at, answer)) if at.elapsed() < if answer.is_ok() { GOOD } else { BAD } => answer.clone(),
            _ => {
                let answer = found_out(engine).await;
                *last = Some((Instant::now(), answer.clone()));
                answer
            }
        }
    }
}

async fn found_out(engine: &Engine<Deployments>) -> Result<(), String> {
    let probing = probe(&**engine.store(), engine.clock().now());
    match tokio::time::timeout(LIMIT, probing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Probed::NoRoom(error))) => Err(error.to_string()),
        Ok(Err(Probed::Lost(error))) => {
            engine.store_failed(&error);
            Err(error.to_string())
        }
        Err(_) => Err(format!("nothing was written within {} s", LIMIT.as_secs())),
    }
}
