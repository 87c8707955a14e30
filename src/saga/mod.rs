//! A durable saga engine: ordinary async code whose steps are journaled. Knows neither git nor GitHub nor Slack.
//!
//! What it guarantees, to workflow code and to people:
//! 1. A step's intent is durable before its effect begins; its outcome is durable before the next step's effect begins.
//! 2. An attempt without an outcome may have taken effect: it is observed before it is tried again, never assumed.
//! 3. A key means one step with one input, for ever; anything else is drift and stops the saga with a clear error.
//! 4. Unwinding reads only the journal, newest step first, is journaled itself, and never starts past the pivot.
//! 5. Whichever of "abort" and "pivot started" is journaled first wins; the other is refused. The first decision of a checkpoint wins.
//! 6. Deadlines count from journaled times, so a restart doesn't reset them.
//! 7. What an attempt asked of other systems stands in the journal with its outcome; only a killed process takes that along.
//!
//! The one dangerous race: a request that timed out may still land *after* we looked for its effect. The engine can't see this; a step
//! whose effect can land late must wait that out in its `observe` (see `deploy::merge_prs`).
//!
//! Reading order: [`journal`] (what is stored), [`history`] (its fold), [`step`] (what a step is), [`run`] (one saga going forward),
//! [`unwind`] (and back), [`engine`] (all of them, over restarts), [`store`] (where it is kept).

pub mod clock;
pub mod engine;
pub mod history;
pub mod journal;
pub mod retry;
pub mod run;
pub mod sled_store;
pub mod step;
pub mod store;
pub mod unwind;

pub use clock::Clock;
pub use engine::{Engine, Workflow};
pub use history::History;
pub use journal::{Actor, Effect, Event, Journal, Outcome, Record};
pub use run::{Checkpoint, Decision, Saga, Stop};
pub use step::{Compensate, Context, Registry, Step, StepError};

#[cfg(test)]
mod tests;
