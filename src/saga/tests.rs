//! The engine, attacked: a toy world with a ledger of effects outlives the processes that work on it, and every process dies where a test
//! wants it to. What may be left at the end is what a run without any trouble leaves.
#![expect(clippy::unwrap_used, reason = "tests")]

mod crashes;
mod decisions;
mod failures;
mod logs;
mod poll;
mod recovery;
mod requests;
mod toy;
