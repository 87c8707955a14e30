//! Decisions on the dashboard, by people who signed in.

use crate::stage::Stage;
use crate::tab::Tab;

/// A deployment that waits for its list to be confirmed.
async fn started() -> (Stage, Tab) {
    let stage = Stage::new().await;
    let channel = stage.channel().await;
    channel.says("/deploy start").await;
    channel.sees("Is this the train?").await;
    (stage, channel)
}

async fn signed_in(stage: &Stage, token: &str) -> Tab {
    let tab = stage.dashboard("/sign-in").await;
    tab.writes("Your token", token).await;
    tab.strikes("Enter").await;
    tab.sees("to confirm the list").await;
    tab.opens(&stage.address("/deployments/web-1")).await;
    tab
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn an_abort_on_the_dashboard_undoes_everything_and_the_channel_shows_it() {
    let (stage, channel) = started().await;
    let ben = signed_in(&stage, "ben").await;
    ben.presses("Abort…").await;
    ben.writes("Why? (people read it)", "wrong day").await;
    ben.presses("Abort").await;
    ben.sees("Everything is undone").await;
    channel.sees("Everything is undone: aborted by").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn a_keyboard_alone_is_enough_to_confirm() {
    let (stage, channel) = started().await;
    let ana = signed_in(&stage, "ana").await;
    ana.sees("Confirm").await;
    for _ in 0..60 {
        let focused = ana.reads("document.activeElement.textContent.trim()").await;
        if focused == "Confirm" {
            break;
        }
        ana.strikes("Tab").await;
    }
    ana.strikes("Enter").await;
    ana.sees("to approve the point of no return").await;
    channel.sees("Confirmed by").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn who_may_not_is_refused_with_who_may() {
    let (stage, _) = started().await;
    let nobody = stage.dashboard("/deployments/web-1").await;
    nobody.sees("to decide here, or decide in Slack").await;
    let ana = signed_in(&stage, "ana").await;
    ana.presses("Confirm").await;
    ana.sees("to approve the point of no return").await;
    ana.presses("Approve…").await;
    ana.presses("Approve").await;
    ana.sees("You started this deployment, so somebody else must approve it")
        .await;
    stage.ends().await;
}
