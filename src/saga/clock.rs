//! Time, passed in. Journaled times and deadlines come from here; tests hand in a clock that they move.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

/// A wait is looked at again at least this often, so that a wall clock that jumps forward ends it soon.
const LONGEST_NAP: Duration = Duration::from_secs(20);

/// The clock of a process: the system's, or one that tests move.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Manual>);

#[derive(Clone, Debug)]
struct Manual {
    now: Arc<Mutex<DateTime<Utc>>>,
    moved: Arc<watch::Sender<()>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until [`Clock::advance`] is called.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self(Some(Manual {
            now: Arc::new(Mutex::new(start)),
            moved: Arc::new(watch::Sender::new(())),
        }))
    }

    /// Moves a manual clock, in either direction; the system's clock can't be moved.
    pub fn advance(&self, by: TimeDelta) {
        if let Some(manual) = &self.0 {
            *manual.now.lock().unwrap_or_else(PoisonError::into_inner) += by;
            manual.moved.send_replace(());
        }
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            None => Utc::now(),
            Some(manual) => *manual.now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Sleeps until this clock reads `at` or later.
    pub async fn sleep_until(&self, at: DateTime<Utc>) {
        match &self.0 {
            None => {
                while let Ok(left) = (at - Utc::now()).to_std()
                    && !left.is_zero()
                {
                    tokio::time::sleep(left.min(LONGEST_NAP)).await;
                }
            }
            Some(manual) => {
                let mut moved = manual.moved.subscribe();
                while self.now() < at {
                    if moved.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Sleeps for this long, whatever happens to the wall clock meanwhile.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            None => tokio::time::sleep(duration).await,
            Some(_) => self.sleep_until(self.now() + delta(duration)).await,
        }
    }
}

/// A duration as chrono counts it; absurdly long ones are a century.
pub fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration)
        .unwrap_or(TimeDelta::days(36_500))
        .min(TimeDelta::days(36_500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_systems_clock_is_waited_for() {
        let clock = Clock::system();
        let at = clock.now() + TimeDelta::milliseconds(3);
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
        clock.sleep_until(at).await;
    }
}
