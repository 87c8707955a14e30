//! The page that people read after a bad day: a conflict in the middle of the merges and a restart, with who did what.

use std::sync::Arc;

use shipmate::sandbox::faults::When;
use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::REPO;

use crate::pages::is_for_everybody;
use crate::stage::Stage;

/// While #41 is merged, somebody pushes to the deploy branch what #44 changes, too: GitHub then refuses to merge #44.
fn somebody_interferes(stage: &Stage) {
    let github = stage.sandbox.github.clone();
    let hook = move |request: &str, when| {
        if request.contains("pulls/41/merge") && when == When::After {
            let pushes = async {
                let branch = github.pull(REPO, 44).await.unwrap().base;
                github
                    .push(REPO, &branch, "eve", "src/cart.js", "export const total = 0;\n")
                    .await
            };
            // Shipmate hears of the merge only once the push is there.
            let _ = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(pushes));
        }
    };
    stage.sandbox.github.faults().watch(Some(Arc::new(hook)));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn a_conflict_and_a_restart_can_be_read_afterwards() {
    let mut stage = Stage::on(Scenario::Conflict).await;
    somebody_interferes(&stage);
    let channel = stage.channel().await;
    channel.writes("Message to #deploys", "/deploy start").await;
    channel.strikes("Enter").await;
    channel.presses("Confirm").await;
    channel.sees("Approve").await;
    stage.restart().await;
    channel.presses("Ben Okafor").await;
    channel.presses("Approve").await;
    channel.sees("Merge the train?").await;
    channel.presses("Approve").await;
    channel.sees("somebody else's commits are on").await;
    channel.presses("Retry").await;
    channel.sees("Stuck while merging the pull requests · #44").await;
    let page = stage.dashboard("/deployments/web-1").await;
    page.sees("#44 conflicts with what is on deploy-").await;
    is_for_everybody(&page, "timeline-conflict").await;
    channel.presses("Skip this PR").await;
    channel.ticks("Log in and out on the live site").await;
    channel.ticks("Watch the error rate for 15 minutes").await;
    channel.ticks_the_last("Tell support what is new").await;
    page.sees("deployment completed").await;
    for told in ["Shipmate was restarted and went on from here", "SBX:", "by ana", "ben"] {
        page.sees(told).await;
    }
    is_for_everybody(&page, "timeline-completed").await;
    stage.ends().await;
}
