//! Shipmate: a release train as a durable saga, driven from Slack.

pub mod git;
pub mod github;
pub mod slack;
