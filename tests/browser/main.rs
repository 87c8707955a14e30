//! The sandbox's page and the dashboard in a real Chromium, used as people use them: with a mouse, with a keyboard alone, on a phone, in the
//! dark, without scripts. `.ci/run` runs this; it needs Debian's `chromium`, and leaves pictures in `target/browser`.
//!
//! `axe.min.js` is axe-core 4.14.1, unchanged, from the npm registry (MPL-2.0, see its head): the rules that pages are judged by.

#![allow(clippy::unwrap_used, reason = "a test's panic is its message")]

mod decisions;
mod messages;
mod pages;
#[path = "../support/repository.rs"]
mod repository;
mod stage;
mod tab;
mod timeline;

use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn a_deployment_is_played_by_clicking_while_the_dashboard_follows() {
    let stage = Stage::new().await;
    let dashboard = stage.dashboard("/").await;
    dashboard.sees("nothing runs").await;
    dashboard.reads("window.neverReloaded = true").await;
    let channel = stage.channel().await;

    channel.says("/deploy start").await;
    dashboard.sees("to confirm the list").await;
    channel.presses("Confirm").await;
    dashboard.sees("to approve the point of no return").await;
    channel.presses("Ben Okafor").await;
    channel.presses("Approve").await;
    channel.sees("Merge the train?").await;
    channel.presses("Approve").await;
    dashboard.sees("0 of 3 ticked").await;
    channel.ticks("Log in and out on the live site").await;
    dashboard.sees("1 of 3 ticked").await;
    channel.ticks("Watch the error rate for 15 minutes").await;
    channel.ticks_the_last("Tell support what is new").await;
    dashboard.sees("✅ completed").await;
    dashboard.sees("nothing runs").await;
    let never_reloaded = dashboard.reads("window.neverReloaded").await;
    assert_eq!(never_reloaded, true, "the dashboard follows by itself");
    stage.ends().await;
}
