//! The whole product end to end: the real bot over real sockets against the sandbox's doubles. Read [`stage`] first, then the files in
//! the order below.

#![allow(clippy::unwrap_used, reason = "a test's panic is its message")]

mod stage;

mod happy_path;
mod abort;
mod restart;
mod decisions;
mod crashes;
mod faults;
mod bad_days;
