//! The sandbox: doubles of GitHub and Slack behind their real protocols, and the page on which a person plays. The bot between them is the
//! unchanged one, over real sockets.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub mod autopilot;
pub mod faults;
pub mod github;
pub mod page;
pub mod play;
pub mod slack;

/// A lock that survives a panic elsewhere: the doubles go on, the panicking test fails anyway.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
