//! The sandbox: doubles of GitHub and Slack behind their real protocols, and the page on which a person plays.

pub mod github;
pub mod slack;
