//! Stories that people and the bot play to an end, whatever happens to the bot meanwhile, and what is left of them at the doubles.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shipmate::sandbox::faults::{Fault, Kind, When};
use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::{REPO, Sandbox};
use shipmate::sandbox::slack::{DEPLOYS, Message, SlackDouble, Workspace};

use crate::mortal::{Death, Life};
use crate::stage::{LIMIT, Stage, button, calls_off, has_button};

/// What people do at the questions they are asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Story {
    /// Everything is confirmed, approved and ticked.
    Complete,
    /// The same where pull requests and issues hear of the release, and the issues are closed.
    CloseIssues,
    /// Called off at the list.
    AbortAtConfirm,
    /// Called off at the point of no return.
    AbortAtApprove,
    /// A pull request can't be merged after the first was, and is left out.
    SkipOne,
    /// Red checks after the merges; people stop and put everything back that can be.
    StopAfterThePivot,
}

/// How many there are.
pub const STORIES: usize = 6;

/// After so long without an answer people do it once more.
const AGAIN: Duration = Duration::from_millis(300);

/// What a person does about what the channel shows.
#[derive(Clone, Debug, PartialEq)]
enum Turn {
    CallsOff,
    Clicks(&'static str, &'static str),
    Ticks,
    Over,
}

impl Story {
    fn scenario(self) -> Scenario {
        match self {
            Self::StopAfterThePivot => Scenario::FailingChecks,
            _ => Scenario::Happy,
        }
    }

    /// Nobody runs on it yet.
    pub async fn stage(self) -> Stage {
        let stage = Stage::empty(self.scenario(), |project| {
            // GitHub's word that it can't be merged is taken at once.
            project.timeouts.mergeable = Duration::from_millis(20);
            project.comment_shipped = self == Self::CloseIssues;
        })
        .await;
        if self == Self::SkipOne {
            stage.github().faults().inject(Fault {
                matches: "PUT /api/v3/repos/acme/web/pulls/44/merge".to_owned(),
                when: When::Before,
                kind: Kind::Status(405, "Pull Request is not mergeable".to_owned()),
                times: u32::MAX,
            });
        }
        stage
    }

    /// The newest thing that waits for a person.
    fn turn(self, messages: &[&Message]) -> Option<Turn> {
        let shows = |label: &str| messages.iter().any(|message| has_button(message, label));
        if messages.iter().any(|message| is_outcome(message)) {
            return Some(Turn::Over);
        }
        let answers = [
            ("Put back and close the deploy PR", "U0BEN"),
            ("Close the deploy PR", "U0BEN"),
            ("Skip this PR", "U0BEN"),
            ("Stop here", "U0BEN"),
            ("Approve", "U0BEN"),
            ("Confirm", "U0ANA"),
        ];
        let issues = (self == Self::CloseIssues).then_some(("Close them", "U0BEN"));
        let Some((label, who)) = answers.into_iter().chain(issues).find(|(label, _)| shows(label)) else {
            let open = messages.iter().any(|message| open_boxes(message).next().is_some());
            // Once everything is ticked, nobody asks about the issues any more.
            let chosen = issues.is_none() || messages.iter().any(|message| has_chosen_to_close(message));
            return (open && chosen).then_some(Turn::Ticks);
        };
        Some(match (self, label) {
            (Self::AbortAtConfirm, "Confirm") | (Self::AbortAtApprove, "Approve") => Turn::CallsOff,
            _ => Turn::Clicks(who, label),
        })
    }
}

fn is_outcome(message: &Message) -> bool {
    let metadata = message.metadata.as_ref();
    metadata.is_some_and(|metadata| metadata["event_payload"]["step_key"] == "outcome")
}

fn has_chosen_to_close(message: &Message) -> bool {
    let mut blocks = message.blocks.iter();
    blocks.any(|block| block.to_string().contains("Closing chosen"))
}

/// The check boxes that have no tick yet.
fn open_boxes(message: &Message) -> impl Iterator<Item = &Value> {
    let boxes = message.blocks.iter().map(|block| &block["accessory"]);
    boxes.filter(|accessory| accessory["type"] == "checkboxes" && accessory["initial_options"].is_null())
}

/// What a story left behind: GitHub's changes in order, Slack's posts counted, and what the channel reads in the end, sorted: what comes up
/// at the same time is posted in one order or the other.
#[derive(Debug, PartialEq)]
pub struct Effects {
    github: Vec<String>,
    posts: BTreeMap<String, usize>,
    channel: Vec<String>,
}

impl Effects {
    pub async fn of(sandbox: &Sandbox) -> Self {
        // The bump's commit holds the time of the start, so its SHA differs from run to run.
        let stripped = |line: String| match line.starts_with("git push deploy-") {
            true => line.rsplit_once(' ').map_or(line.clone(), |(rest, _)| rest.to_owned()),
            false => line,
        };
        let github = sandbox.github.ledger(REPO).await.into_iter().map(stripped).collect();
        let mut posts = BTreeMap::new();
        for line in sandbox.slack.ledger() {
            if line.starts_with("chat.postMessage") {
                *posts.entry(line).or_default() += 1;
            }
        }
        let mut channel: Vec<String> = sandbox.slack.look(|workspace| {
            let for_all = workspace.messages.iter().filter(|message| message.only_for.is_none());
            for_all.map(|message| timeless(&workspace.reads(message))).collect()
        });
        channel.sort();
        Self { github, posts, channel }
    }

    /// Line by line, what is here and not there (`+`), and the reverse (`-`).
    pub fn against(&self, other: &Self) -> String {
        let (here, there) = (format!("{self:#?}"), format!("{other:#?}"));
        let lacking = |mark: char, some: &str, others: &str| -> String {
            let lines = some.lines().filter(|&line| others.lines().all(|other| other != line));
            lines.map(|line| format!("{mark}{line}\n")).collect()
        };
        match lacking('+', &here, &there) + &lacking('-', &there, &here) {
            same if same.is_empty() => format!("another order or count: {here}\ninstead of\n{there}"),
            different => different,
        }
    }
}

/// Without what differs from run to run: durations, and the SHAs of commits that are dated now.
fn timeless(text: &str) -> String {
    let varying = regex::Regex::new(
        r"\d+ min \d+ s\b|\d+ (s|min)\b|\b[0-9a-f]{7,40}\b|localhost:\d+|127\.0\.0\.1:\d+|<!date[^>]*>",
    )
    .unwrap();
    varying.replace_all(text, "<…>").into_owned()
}

/// A story played to its end.
pub struct Played {
    pub effects: Effects,
    /// The life of the first process.
    pub life: Arc<Life>,
    /// How many died.
    pub died: usize,
    pub stage: Stage,
}

/// Plays the people over bots that die so, one after the other, and are started again.
pub async fn played(story: Story, deaths: &[Death]) -> Played {
    played_with(story, deaths, |_| {}).await
}

/// The same, with something that happens while nobody runs.
pub async fn played_with(story: Story, deaths: &[Death], meanwhile: impl Fn(&Stage)) -> Played {
    let mut stage = story.stage().await;
    let mut deaths = deaths.iter().cloned();
    let first = Life::new(deaths.next());
    let (mut life, mut died) = (first.clone(), 0);
    stage.boot_mortal(&life).await;
    loop {
        let over = tokio::select! {
            biased;
            () = life.ends() => false,
            () = plays(&stage.sandbox, story) => true,
        };
        if over {
            break;
        }
        stage.is_killed(&life).await;
        died += 1;
        meanwhile(&stage);
        life = Life::new(deaths.next());
        stage.boot_mortal(&life).await;
    }
    // Whatever is to be shown yet is shown by one that lives; it may still die on its way down.
    tokio::select! {
        biased;
        () = life.ends() => {
            stage.is_killed(&life).await;
            died += 1;
            stage.boot().await;
        }
        () = stage.stop() => {}
    }
    stage.stop().await;
    Played {
        effects: Effects::of(&stage.sandbox).await,
        life: first,
        died,
        stage,
    }
}

/// The people, to the end of the story.
pub async fn plays(sandbox: &Sandbox, story: Story) {
    Scene {
        slack: &sandbox.slack,
        channel: DEPLOYS,
        from: 0,
    }
    .plays(story)
    .await;
}

/// Where a story is played: a channel, from some message on.
pub struct Scene<'a> {
    pub slack: &'a SlackDouble,
    pub channel: &'a str,
    /// So many messages came before.
    pub from: usize,
}

impl Scene<'_> {
    fn messages<'a>(&self, workspace: &'a Workspace) -> Vec<&'a Message> {
        let later = workspace.messages.iter().skip(self.from);
        later
            .filter(|message| message.channel == self.channel && message.only_for.is_none())
            .collect()
    }

    pub async fn plays(&self, story: Story) {
        let shown = |workspace: &Workspace| (!self.messages(workspace).is_empty()).then_some(());
        // A start whose acknowledgement was lost is simply made again: one that runs is not started twice.
        while self.slack.look(shown).is_none() {
            if self.slack.says("U0ANA", self.channel, "/deploy start").await.is_err() {
                tokio::task::yield_now().await;
            }
            let _ = self.slack.wait_for(AGAIN, "the card", shown).await;
        }
        loop {
            let turn = |workspace: &Workspace| story.turn(&self.messages(workspace));
            let next = self.slack.wait_for(LIMIT * 3, "the next turn", turn).await.unwrap();
            match &next {
                Turn::Over => return,
                Turn::CallsOff => drop(calls_off(self.slack, "U0ANA", self.channel, "enough").await),
                Turn::Clicks(who, label) => self.clicks(who, label).await,
                Turn::Ticks => self.ticks().await,
            }
            // So does a click: it is made again if nothing has come of it.
            let other = |workspace: &Workspace| (turn(workspace).as_ref() != Some(&next)).then_some(());
            let _ = self.slack.wait_for(AGAIN, "the answer", other).await;
        }
    }

    async fn clicks(&self, who: &str, label: &str) {
        let button = self.slack.look(|workspace| {
            let mut messages = self.messages(workspace).into_iter().rev();
            messages.find_map(|message| Some((message.ts.clone(), button(message, label)?)))
        });
        if let Some((ts, action)) = button {
            let _ = self.slack.clicks(who, self.channel, &ts, &action).await;
        }
    }

    async fn ticks(&self) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let boxes: Vec<(String, String, String)> = self.slack.look(|workspace| {
            let messages = self.messages(workspace).into_iter();
            let of = |message: &Message| {
                let ts = message.ts.clone();
                let open =
                    open_boxes(message).map(|open| (text(&open["action_id"]), text(&open["options"][0]["value"])));
                open.map(|(action, value)| (ts.clone(), action, value))
                    .collect::<Vec<_>>()
            };
            messages.flat_map(of).collect()
        });
        for (ts, action, value) in boxes {
            let _ = self.slack.ticks("U0BEN", self.channel, &ts, &action, &[&value]).await;
        }
    }
}
