//! The whole product end to end: the real bot over real sockets against the sandbox's doubles. Read [`stage`] first, then the files in
//! the order below.

#![allow(clippy::unwrap_used, reason = "a test's panic is its message")]
#![allow(clippy::print_stdout, reason = "the long matrices tell their counts and times")]

mod child;
mod mortal;
mod stage;
mod stories;

mod abort;
mod after_release;
mod at_once;
mod bad_days;
mod catalogue;
mod clocks;
mod conversation;
mod crashes;
mod dashboard;
mod decisions;
mod faults;
mod guard;
mod happy_path;
mod kills;
mod moved;
mod power_cuts;
mod requests;
mod restart;
mod sentences;
mod soak;
mod storage;
mod traces;
mod upgrades;
mod workspaces;

/// A number from the environment, for a long run; otherwise what every run does.
fn asked_for(variable: &str, default: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(default)
}
