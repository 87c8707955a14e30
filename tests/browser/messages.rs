//! Every kind of message as the channel draws it, pictured in `target/browser/messages-*.png` for people to look through: what a test can't
//! tell is whether it reads well.

use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta};
use shipmate::config::{Freeze, Project, Window};
use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::Options;

use crate::repository::repository;
use crate::stage::Stage;
use crate::tab::{Light, Screen, Tab};

/// Everything that the channel and its thread hold.
async fn pictured(tab: &Tab, name: &str) {
    is_pictured_on(tab, Screen::Wall, name).await;
}

/// As on a desk, where a dialogue lies over the rest.
async fn dialogue_pictured(tab: &Tab, name: &str) {
    is_pictured_on(tab, Screen::Desk, name).await;
}

async fn is_pictured_on(tab: &Tab, screen: Screen, name: &str) {
    tab.looks_in(Light::Light, screen).await;
    tab.is_pictured_as(&format!("messages-{name}")).await;
    tab.looks_in(Light::Light, Screen::Desk).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn what_is_said_while_nothing_runs() {
    let stage = Stage::new().await;
    let channel = stage.channel().await;
    for (typed, answered) in [
        ("/deploy", "Nothing runs for web"),
        ("/deploy whoami", "You are"),
        ("/deploy history", "no deployment yet"),
        ("/deploy stats", "No deployment was started"),
        ("/deploy notes", "there are no notes"),
        ("/deploy queue", "Nobody waits in the queue"),
        ("/deploy show web-9", "There is no deployment"),
        ("/deploy lock database migration for 2h", "What runs goes on"),
        ("/deploy start", "can't be deployed now"),
        ("/deploy unlock", "Unlocked by"),
        ("/deploy strat", "Did you mean"),
        ("/deploy plan", "Dry run of web"),
    ] {
        channel.says(typed).await;
        channel.sees(answered).await;
    }
    pictured(&channel, "idle").await;
    channel.says("/deploy").await;
    channel.presses("Start…").await;
    channel.sees("Leave out").await;
    dialogue_pictured(&channel, "start").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn what_is_said_of_a_deployment() {
    let reminded = |project: &mut Project| project.timeouts.reminder = Duration::from_secs(2);
    let stage = Stage::with(Options::default(), reminded).await;
    let channel = stage.channel().await;
    channel.says("/deploy start").await;
    channel.sees("Is this the train?").await;
    channel.says("/deploy start").await;
    channel.presses("Queue mine").await;
    channel.sees("You are next").await;
    channel.says("/deploy queue").await;
    channel.sees("Next to start").await;
    channel.says("/deploy queue cancel").await;
    channel.sees("Taken out of the queue").await;
    channel.says("/deploy nudge").await;
    channel.sees("asks.").await;
    channel.sees("🔔").await;
    pictured(&channel, "confirm").await;
    channel.presses("Edit list").await;
    channel.sees("Tick the pull requests that ride").await;
    dialogue_pictured(&channel, "edit").await;
    channel.presses("Back").await;
    channel.says("/deploy status").await;
    channel.sees("Dismiss").await;
    channel.presses("Confirm").await;
    channel.sees("Point of no return").await;
    // The answer to the command still has its buttons.
    channel.presses("Confirm").await;
    channel.sees("Already decided").await;
    channel.presses("Approve").await;
    channel.sees("Merge the train?").await;
    dialogue_pictured(&channel, "approve-sure").await;
    channel.presses("Approve").await;
    channel.sees("somebody else must approve it").await;
    pictured(&channel, "refusals").await;
    channel.presses("Shipmate").await;
    channel.sees("What runs now").await;
    pictured(&channel, "home").await;
    channel.presses("deploys").await;
    channel.presses("Ben Okafor").await;
    pictured(&channel, "approve").await;
    channel.presses("Approve").await;
    channel.presses("Approve").await;
    channel.sees("0 of 3 ticked").await;
    channel.ticks("Log in and out on the live site").await;
    channel.says("/deploy status").await;
    channel.sees("1 of 3 ticked").await;
    pictured(&channel, "checklist").await;
    let ticked = channel
        .reads("document.querySelector('input[checked]').getAttribute('aria-label')")
        .await;
    channel.presses(ticked.as_str().unwrap()).await;
    channel.sees("Take the tick back?").await;
    dialogue_pictured(&channel, "untick").await;
    channel.presses("Keep it").await;
    channel.presses("Only comment").await;
    channel.sees("Commenting chosen").await;
    channel.ticks("Watch the error rate for 15 minutes").await;
    channel.ticks_the_last("Tell support what is new").await;
    for (typed, answered) in [
        ("/deploy history", "completed ·"),
        ("/deploy stats", "Deployment frequency"),
        ("/deploy notes", "Release v"),
        ("/deploy show web-1", "shipped with"),
    ] {
        channel.says(typed).await;
        channel.sees(answered).await;
    }
    pictured(&channel, "completed").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn what_is_said_of_an_abort() {
    let stage = Stage::new().await;
    let channel = stage.channel().await;
    channel.says("/deploy start minor").await;
    channel.presses("Confirm").await;
    channel.sees("Point of no return").await;
    channel.presses("Abort").await;
    channel.sees("Abort and undo").await;
    dialogue_pictured(&channel, "abort").await;
    channel.writes("Reason (optional)", "wrong <day> & *bold*").await;
    channel.strikes("Enter").await;
    channel.sees("Receipt, read back from GitHub").await;
    pictured(&channel, "abort-receipt").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn what_is_said_when_something_fails() {
    let options = Options {
        scenario: Scenario::FailingRun.into(),
        ..Options::default()
    };
    let stage = Stage::with(options, |_| {}).await;
    let channel = stage.channel().await;
    channel.says("/deploy start").await;
    channel.presses("Confirm").await;
    channel.sees("Point of no return").await;
    channel.presses("Ben Okafor").await;
    channel.presses("Approve").await;
    channel.presses("Approve").await;
    channel.sees("to choose Retry").await;
    channel.presses("Stop here").await;
    channel.sees("Stop here?").await;
    dialogue_pictured(&channel, "stop-sure").await;
    channel.presses("Not now").await;
    pictured(&channel, "failure").await;
    channel.presses("Stop here").await;
    channel.presses("Stop here").await;
    channel.sees("stopped").await;
    pictured(&channel, "stopped").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn what_is_said_of_a_freeze() {
    let freeze = Freeze {
        reason: "Conference <week>".to_owned(),
        time_zone: None,
        window: Window::Dated {
            begins: NaiveDateTime::default(),
            ends: NaiveDateTime::default() + TimeDelta::weeks(52 * 200),
        },
    };
    let stage = Stage::with(Options::default(), |project| project.freeze = vec![freeze]).await;
    let channel = stage.channel().await;
    channel.says("/deploy").await;
    channel.sees("Frozen until").await;
    channel.says("/deploy start").await;
    channel.sees("can't be deployed now").await;
    channel.presses("Chloé Martin").await;
    channel.says("/deploy start").await;
    channel.presses("Start anyway…").await;
    channel
        .writes("Reason to start all the same", "the login is down")
        .await;
    dialogue_pictured(&channel, "override").await;
    channel.presses("Start").await;
    channel.sees("Is this the train?").await;
    pictured(&channel, "freeze").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn what_is_said_of_a_long_train() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        adopt: Some((dir.path().to_owned(), repository(dir.path(), 120))),
        ..Options::default()
    };
    let stage = Stage::with(options, |_| {}).await;
    let channel = stage.channel().await;
    channel.says("/deploy start").await;
    channel.sees("Is this the train? 120 pull requests").await;
    pictured(&channel, "long").await;
    channel.presses("Edit list").await;
    channel.sees("Tick the pull requests that ride").await;
    dialogue_pictured(&channel, "long-edit").await;
    stage.ends().await;
}
