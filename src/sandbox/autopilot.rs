//! The autopilot plays the people: starts, confirms, approves (or aborts), retries what failed, ticks the checklist, and tells every thing
//! that happens as one readable line.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::github::Scenario;
use super::play::{REPO, Sandbox};
use super::slack::{DEPLOYS, Message, Reply, Tick, Workspace};

/// How far the people go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plan {
    /// To the last ticked item.
    #[default]
    Complete,
    /// Abort when asked to confirm the list.
    AbortAtConfirm,
    /// Abort when asked to approve the point of no return.
    AbortAtApprove,
}

impl std::str::FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "complete" => Ok(Self::Complete),
            "abort-at-confirm" => Ok(Self::AbortAtConfirm),
            "abort-at-approve" => Ok(Self::AbortAtApprove),
            _ => Err(format!(
                "`{text}` is none of complete, abort-at-confirm, abort-at-approve"
            )),
        }
    }
}

/// People who would wait longer than this in one state have met a bug.
const PATIENCE: Duration = Duration::from_secs(120);
/// On such days nothing ships.
const STOPPED_EARLY: [Scenario; 5] = [
    Scenario::NoApproved,
    Scenario::NoDeployBranches,
    Scenario::NoMergeCommits,
    Scenario::Moved,
    Scenario::VersionGone,
];
/// A failure that comes back this often isn't retried again.
const RETRIES: u32 = 3;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything shipped.
    Completed,
    /// Everything as before.
    Undone,
    /// Somebody stopped it.
    Stopped,
}

/// What waits for a person now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Turn {
    Confirm,
    Approve,
    Retry,
    Tick(String),
    Over(End),
}

/// Plays a whole deployment; `tell` gets every line.
///
/// # Errors
/// One sentence with the reason, if it doesn't end as planned.
pub async fn play(
    sandbox: &Sandbox,
    plan: Plan,
    tell: impl Fn(&str) + Send + Sync + Clone + 'static,
) -> Result<End, String> {
    let narrator = tokio::spawn(narrate(sandbox.slack.clone(), sandbox.github.clone(), tell.clone()));
    let before = sandbox.github.snapshot(REPO).await;
    let end = people(sandbox, plan, &tell).await;
    // The last lines are told before the reason or the end.
    tokio::time::sleep(Duration::from_millis(50)).await;
    narrator.abort();
    let end = end?;
    if end == End::Undone {
        if sandbox.github.snapshot(REPO).await != before {
            return Err("undone, but GitHub is not as it was before".to_owned());
        }
        tell("GitHub    is exactly as it was before: the clean slate");
    }
    let expected = match plan {
        Plan::Complete if STOPPED_EARLY.iter().any(|scenario| sandbox.scenario().has(*scenario)) => End::Undone,
        Plan::Complete => End::Completed,
        Plan::AbortAtConfirm | Plan::AbortAtApprove => End::Undone,
    };
    match end == expected {
        true => Ok(end),
        false => Err(format!("the deployment ended {end:?} where {expected:?} was planned").to_lowercase()),
    }
}

async fn people(sandbox: &Sandbox, plan: Plan, tell: &impl Fn(&str)) -> Result<End, String> {
    let slack = &sandbox.slack;
    tell("Ana       /deploy start");
    let reply = slack.says("U0ANA", DEPLOYS, "/deploy start").await?;
    if reply != Reply::default() {
        return Err(slack.look(|workspace| workspace.reads_reply(&reply)));
    }
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut retries = 0;
    loop {
        let (turn, mark) = slack
            .wait_for(PATIENCE, "the next turn of a person", |workspace| {
                next_turn(workspace, &done)
            })
            .await?;
        done.insert(mark);
        match turn {
            Turn::Over(end) => return Ok(end),
            Turn::Confirm if plan == Plan::AbortAtConfirm => abort(sandbox, tell).await?,
            Turn::Approve if plan == Plan::AbortAtApprove => abort(sandbox, tell).await?,
            Turn::Confirm => {
                tell("Ana       presses Confirm");
                slack.clicks_label("U0ANA", "Confirm").await?;
            }
            Turn::Approve => {
                tell("Ben       presses Approve");
                slack.clicks_label("U0BEN", "Approve").await?;
            }
            Turn::Retry => {
                retries += 1;
                if retries > RETRIES {
                    return Err(format!(
                        "it failed {RETRIES} times; the channel:\n{}",
                        slack.transcript()
                    ));
                }
                mend(sandbox, tell).await?;
                let gone = [Scenario::NoRun, Scenario::SupersededRun];
                let label = match gone.iter().any(|scenario| sandbox.scenario().has(*scenario)) {
                    true => "Go on without",
                    false => "Retry",
                };
                tell(&format!("Chloé     presses {label}"));
                slack.clicks_label("U0CHLOE", label).await?;
            }
            Turn::Tick(item) => {
                let who = if done.len().is_multiple_of(2) { "U0ANA" } else { "U0BEN" };
                let name = slack.look(|workspace| workspace.name(who).to_owned());
                let first = name.split(' ').next().unwrap_or_default();
                tell(&format!("{first:<10}ticks “{item}”"));
                slack.ticks_beside(who, &item, Tick::On).await?;
            }
        }
    }
}

async fn abort(sandbox: &Sandbox, tell: &impl Fn(&str)) -> Result<(), String> {
    let slack = &sandbox.slack;
    tell("Ana       presses Abort");
    slack.clicks_label("U0ANA", "Abort").await?;
    let open = |workspace: &Workspace| workspace.open_view("U0ANA").map(drop);
    slack.wait_for(PATIENCE, "the abort dialogue", open).await?;
    if let Some(modal) = slack.reads_view("U0ANA") {
        for line in modal.lines() {
            tell(&format!("          │ {line}"));
        }
    }
    tell("Ana       gives a reason and presses Abort again");
    let reason = BTreeMap::from([("reason".to_owned(), vec!["a customer found a bug".to_owned()])]);
    match slack.submits_view("U0ANA", reason).await? {
        Some(complaints) => Err(complaints.into_values().collect::<Vec<_>>().join("; ")),
        None => Ok(()),
    }
}

/// What a person would do at GitHub before pressing Retry.
async fn mend(sandbox: &Sandbox, tell: &impl Fn(&str)) -> Result<(), String> {
    let red = [Scenario::FailingChecks, Scenario::TwinChecks];
    if red.iter().any(|&scenario| sandbox.scenario().has(scenario)) && sandbox.github.has_red_checks(REPO).await {
        tell("Chloé     runs the failed check again on GitHub");
        return sandbox.github.rerun_checks(REPO).await;
    }
    if sandbox.scenario().has(Scenario::FailingRun) {
        tell("Chloé     runs the failed job again on GitHub");
        return sandbox.github.rerun(REPO).await;
    }
    let [queue, rights] =
        [Scenario::MergeQueue, Scenario::WorkflowRights].map(|scenario| sandbox.scenario().has(scenario));
    sandbox.github.knobs(|knobs| {
        if queue {
            tell("Chloé     takes the merge queue off the branch");
            knobs.rules.clear();
        }
        if rights {
            tell("Chloé     gives the token the workflow right");
            knobs.no_workflow_right = false;
        }
    });
    Ok(())
}

/// The oldest thing that waits for a person and was not done yet, and a mark to know it by.
fn next_turn(workspace: &Workspace, done: &BTreeSet<String>) -> Option<(Turn, String)> {
    let fresh = |mark: &String| !done.contains(mark);
    for message in workspace.messages.iter().filter(|message| message.only_for.is_none()) {
        for (label, turn) in [
            ("Confirm", Turn::Confirm),
            ("Approve", Turn::Approve),
            ("Retry", Turn::Retry),
        ] {
            let mark = format!("{label} {}", message.ts);
            if has_button(message, label) && fresh(&mark) {
                return Some((turn, mark));
            }
        }
        for block in &message.blocks {
            let boxes = &block["accessory"];
            if boxes["type"] == "checkboxes" && boxes["initial_options"].is_null() {
                let text = block["text"]["text"].as_str().unwrap_or_default();
                let item = workspace.readable(text);
                let mark = format!("tick {item}");
                if fresh(&mark) {
                    return Some((Turn::Tick(item), mark));
                }
            }
        }
        let slot = message
            .metadata
            .as_ref()
            .and_then(|metadata| metadata["event_payload"]["step_key"].as_str());
        if slot == Some("outcome") {
            let end = match message.text.as_str() {
                text if text.contains("*completed*") => End::Completed,
                text if text.contains("*undone*") => End::Undone,
                _ => End::Stopped,
            };
            return Some((Turn::Over(end), "over".to_owned()));
        }
    }
    None
}

fn has_button(message: &Message, label: &str) -> bool {
    let elements = message
        .blocks
        .iter()
        .filter(|block| block["type"] == "actions")
        .flat_map(|block| block["elements"].as_array().into_iter().flatten());
    elements.into_iter().any(|element| element["text"]["text"] == label)
}

/// Tells what the bot does at GitHub and says in Slack.
async fn narrate(slack: super::slack::SlackDouble, github: super::github::GitHubDouble, tell: impl Fn(&str)) {
    let (mut at_slack, mut at_github) = (slack.changes(), github.changes());
    let mut told_effects = 0;
    let mut told_texts: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let ledger = github.ledger(REPO).await;
        for line in ledger.iter().skip(told_effects) {
            tell(&format!("GitHub    {line}"));
        }
        told_effects = ledger.len();
        let workspace = slack.look(Workspace::clone);
        for message in &workspace.messages {
            let text = workspace
                .readable(&message.text)
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            if told_texts.get(&message.ts) != Some(&text) {
                let what = match (&message.thread, told_texts.contains_key(&message.ts)) {
                    (None, true) => "  card    ",
                    (None, false) => "Slack     ",
                    (Some(_), true) => "  edited  ",
                    (Some(_), false) => "  thread  ",
                };
                tell(&format!("{what}{text}"));
                told_texts.insert(message.ts.clone(), text);
            }
        }
        tokio::select! {
            changed = at_slack.changed() => if changed.is_err() { return },
            changed = at_github.changed() => if changed.is_err() { return },
        }
    }
}
