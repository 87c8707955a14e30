//! Shipmate: a release train as a durable saga, driven from Slack.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`metrics`] | what every layer counts and times |
//! | [`requests`] | what GitHub calls the requests that changed it, on their way into the journal |
//! | [`saga`] | the engine: journaled steps, checkpoints, unwinding; knows none of its neighbours |
//! | [`git`], [`github`], [`slack`] | the outside world behind narrow traits |
//! | [`config`] | settings and secrets |
//! | [`deploy`] | the runbook: `deploy()` reads like the sixteen steps by hand, one file a phase |
//! | [`bot`] | what people type, click and see in Slack |
//! | [`web`] | the dashboard, health, readiness, webhooks |
//! | [`traces`] | one OpenTelemetry trace a deployment, made from its journal |
//! | [`control`] | the socket through which the command line drives a running Shipmate |
//! | [`cli`] | the commands that talk to it |
//! | [`doctor`] | `shipmate check`: whether everything that a deployment rests on is well |
//! | [`sandbox`] | doubles of Slack and GitHub, and the page to play on |
//! | [`app`] | the wiring |
//!
//! The runbook's steps, with the file of each, stand in the README and in [`deploy::runbook::RUNBOOK`]; a test compares them.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test's panic is its message"))]

pub mod app;
pub mod bot;
pub mod cli;
pub mod config;
pub mod control;
pub mod deploy;
pub mod doctor;
pub mod git;
pub mod github;
pub mod metrics;
pub mod requests;
pub mod saga;
pub mod sandbox;
pub mod slack;
pub mod traces;
pub mod web;
