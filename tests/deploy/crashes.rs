//! Crash at journal writes over the whole deployment, forward and while unwinding; restart; the ledger of effects equals the crash-free
//! run's: nothing lost, nothing twice. The engine's own tests crash at *every* write and around every effect of a toy train; here the whole
//! product dies at every [`EVERY`]th (`SHIPMATE_CRASH_EVERY=1` for all of them).

use std::collections::BTreeMap;
use std::time::Duration;

use shipmate::sandbox::play::REPO;
use shipmate::sandbox::slack::{DEPLOYS, Message, Tick, Workspace};

use crate::stage::{LIMIT, Stage};

const EVERY: usize = 9;

/// What people do at each question.
#[derive(Clone, Copy, PartialEq)]
enum Story {
    Complete,
    AbortAtApprove,
}

/// A crash-free run's or a crashed run's effects: GitHub's in order, Slack's posts counted.
#[derive(Debug, PartialEq)]
struct Effects {
    github: Vec<String>,
    posts: BTreeMap<String, usize>,
}

async fn effects(stage: &Stage) -> Effects {
    // The bump's commit holds the time of the start, so its SHA differs from run to run.
    let stripped = |line: String| match line.starts_with("git push deploy-") {
        true => line.rsplit_once(' ').map_or(line.clone(), |(rest, _)| rest.to_owned()),
        false => line,
    };
    let github = stage.github().ledger(REPO).await.into_iter().map(stripped).collect();
    let mut posts = BTreeMap::new();
    for line in stage
        .slack()
        .ledger()
        .into_iter()
        .filter(|line| line.starts_with("chat.postMessage"))
    {
        *posts.entry(line).or_default() += 1;
    }
    Effects { github, posts }
}

/// Something that a person can do now.
fn turn(workspace: &Workspace, story: Story) -> Option<&'static str> {
    let text = workspace.transcript();
    let has = |part: &str| text.contains(part);
    let outcome = |message: &Message| {
        let metadata = message.metadata.as_ref();
        metadata.is_some_and(|metadata| metadata["event_payload"]["step_key"] == "outcome")
    };
    if workspace.messages.iter().any(outcome) {
        Some("over")
    } else if has("[Confirm]") {
        Some("Confirm")
    } else if has("[Approve]") {
        Some(if story == Story::AbortAtApprove {
            "/deploy abort"
        } else {
            "Approve"
        })
    } else if has("[ ] Done") {
        Some("tick")
    } else {
        None
    }
}

/// Plays the people over a bot that dies at that commit, and is started again.
async fn played(story: Story, dies_at: Option<u64>) -> (Effects, u64) {
    let mut stage = Stage::new().await;
    if dies_at.is_some() {
        stage.stop().await;
        stage.boot_over(stage.store.dying_at(dies_at)).await;
    }
    let slack = stage.slack().clone();
    let mut started = false;
    loop {
        if !started {
            started = slack.says("U0ANA", DEPLOYS, "/deploy start").await.is_ok();
        }
        let next = tokio::select! {
            biased;
            _ = stage.running().failed() => None,
            // A click whose acknowledgement was lost in the crash is simply made again.
            next = slack.wait_for(LIMIT, "the next turn", |workspace| turn(workspace, story)) => Some(next.unwrap()),
        };
        match next {
            None => {
                stage.stop().await;
                stage.boot().await;
                started = !shipmate::saga::store::Store::heads(&stage.store).is_empty();
            }
            Some("over") => break,
            Some("tick") => {
                for item in ["Log in and out", "Watch the error rate", "Tell support"] {
                    let _ = slack.ticks_beside("U0BEN", item, Tick::On).await;
                }
            }
            Some("/deploy abort") => drop(slack.says("U0ANA", DEPLOYS, "/deploy abort").await),
            Some(label) => {
                let who = if label == "Approve" { "U0BEN" } else { "U0ANA" };
                let _ = slack.clicks_label(who, label).await;
            }
        }
        let same = |workspace: &Workspace| (turn(workspace, story) != next).then_some(());
        let _ = slack.wait_for(Duration::from_millis(300), "the answer", same).await;
    }
    stage.stop().await;
    let commits = stage.store.commits();
    let effects = effects(&stage).await;
    (effects, commits)
}

async fn survives_every_crash(story: Story) {
    let (golden, commits) = played(story, None).await;
    let every = std::env::var("SHIPMATE_CRASH_EVERY")
        .ok()
        .and_then(|every| every.parse().ok())
        .unwrap_or(EVERY);
    let mut cases = 0;
    for commit in (0..commits).step_by(every) {
        let (crashed, _) = played(story, Some(commit)).await;
        assert_eq!(crashed, golden, "after a crash at commit {commit} of {commits}");
        cases += 1;
    }
    assert!(cases > 5, "{cases} cases of {commits} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_on_the_way_to_the_last_tick_loses_nothing_and_repeats_nothing() {
    survives_every_crash(Story::Complete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_on_the_way_back_loses_nothing_and_repeats_nothing() {
    survives_every_crash(Story::AbortAtApprove).await;
}
