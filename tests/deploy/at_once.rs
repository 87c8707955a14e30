//! Things that happen at the same moment: one wins, the other is told, and nothing is done by halves.

use shipmate::saga::Outcome;
use shipmate::saga::store::Store as _;
use shipmate::sandbox::github::{Pace, Scenario};
use shipmate::sandbox::play::{Options, REPO, channel_of};
use shipmate::sandbox::slack::DEPLOYS;

use crate::stage::{Stage, calls_off};
use crate::stories::{Scene, Story};

/// A race is run so often: who is first differs.
const RACES: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_starts_in_one_moment_one_runs() {
    let stage = Stage::new().await;
    let slack = stage.slack();
    let (ana, ben) = tokio::join!(
        slack.says("U0ANA", DEPLOYS, "/deploy start"),
        slack.says("U0BEN", DEPLOYS, "/deploy start")
    );
    let told = |reply: Result<_, String>| slack.look(|workspace| workspace.reads_reply(&reply.unwrap()));
    let answers = [told(ana), told(ben)];
    let refused = answers
        .iter()
        .filter(|answer| answer.contains("web-1 is running"))
        .count();
    assert_eq!(refused, 1, "{answers:#?}");
    assert_eq!(stage.store.heads().len(), 1);
    stage.sees("Confirm").await;
    stage.ana().aborts_by_word("").await;
    stage.reads("Everything is undone").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_that_races_the_approval_undoes_everything_or_nothing() {
    for race in 0..RACES {
        let stage = Stage::new().await;
        let before = stage.snapshot().await;
        stage.plays_to("Approve").await;
        let slack = stage.slack();
        let abort = calls_off(slack, "U0ANA", DEPLOYS, "no");
        let approve = slack.clicks_label("U0BEN", "Approve");
        // Whoever is polled first is ahead by a hair.
        let _ = match race % 2 {
            0 => tokio::join!(abort, approve),
            _ => {
                let (approved, aborted) = tokio::join!(approve, abort);
                (aborted, approved)
            }
        };
        let undone = stage
            .until("one of both", |workspace| {
                let text = workspace.transcript();
                let undone = text.contains("Everything is undone: aborted by @Ana Ruiz: no.");
                (undone || text.contains("[ ] Done")).then_some(undone)
            })
            .await;
        if undone {
            assert_eq!(stage.snapshot().await, before, "the clean slate");
        } else {
            stage.ticks_everything().await;
            stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
        }
        stage.closes().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clicks_while_everything_is_undone_change_nothing() {
    let stage = Stage::new().await;
    let before = stage.snapshot().await;
    stage.plays_to("Approve").await;
    let slack = stage.slack();
    calls_off(slack, "U0ANA", DEPLOYS, "no").await.unwrap();
    // The buttons may be gone from the screen already; a click that was on its way counts for nothing.
    let _ = slack.clicks_label("U0BEN", "Approve").await;
    let _ = slack.says("U0BEN", DEPLOYS, "/deploy abort me too").await;
    let _ = slack.says("U0BEN", DEPLOYS, "/deploy status").await;
    stage.reads("Everything is undone: aborted by @Ana Ruiz: no.").await;
    assert_eq!(stage.snapshot().await, before, "the clean slate");
    let merges = stage.github().ledger(REPO).await;
    assert!(!merges.iter().any(|line| line.starts_with("PUT")), "{merges:#?}");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_projects_ship_side_by_side() {
    let names = ["api", "shop", "docs"].map(str::to_owned);
    let mut stage = Stage::of(Options {
        pace: Pace::Instant,
        scenario: Scenario::Happy.into(),
        more_projects: names.to_vec(),
        ..Options::default()
    })
    .await;
    stage.boot().await;
    let channels: Vec<String> = names
        .iter()
        .map(|name| channel_of(name))
        .chain([DEPLOYS.to_owned()])
        .collect();
    let stories = [
        Story::AbortAtApprove,
        Story::Complete,
        Story::AbortAtConfirm,
        Story::Complete,
    ];
    let scenes: Vec<Scene> = channels
        .iter()
        .map(|channel| Scene {
            slack: stage.slack(),
            channel,
            from: 0,
        })
        .collect();
    futures_util::future::join_all(scenes.iter().zip(stories).map(|(scene, story)| scene.plays(story))).await;
    for (id, outcome) in [
        ("api-1", Outcome::Undone),
        ("shop-1", Outcome::Completed),
        ("docs-1", Outcome::Undone),
        ("web-1", Outcome::Completed),
    ] {
        assert_eq!(stage.journal(id).history().outcome(), Some(outcome), "{id}");
    }
    for (repo, merges) in [("acme/api", 0), ("acme/shop", 5), ("acme/docs", 0), (REPO, 5)] {
        let ledger = stage.github().ledger(repo).await;
        let merged = ledger.iter().filter(|line| line.starts_with("PUT")).count();
        assert_eq!(merged, merges, "{repo}: {ledger:#?}");
    }
    stage.closes().await;
}
