//! Shipmate: a release train as a durable saga, driven from Slack.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test's panic is its message"))]

pub mod app;
pub mod bot;
pub mod config;
pub mod deploy;
pub mod git;
pub mod github;
pub mod saga;
pub mod sandbox;
pub mod slack;
pub mod web;
