//! Every sentence that people read about a deployment, in one voice: calm, exact, with what to press. The same sentence stands on the card,
//! in `/deploy status`, on the dashboard and in the command line; a [`Medium`] says how times, people and links are written there.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::choice;
use super::decide::{Refusal, tickers};
use super::lock::{Lock, Obstacle, Turn};
use super::merge_prs::Clash;
use super::notes;
use super::progress::{Check, CheckState, Progress};
use super::runbook::line_of;
use super::stats::Stats;
use super::train::{Excluded, Plan};
use super::view::{CarState, Current, Decision, Passed, Question, QuestionKind, ReceiptLine, Stand, State, View};
use super::{Item, Ticked};
use crate::config::Project;
use crate::git::Proposal;
use crate::saga::Actor;
use crate::saga::engine::TooLate;
use crate::saga::run::choice as engine;
use crate::slack::Content;
use crate::slack::kit::{self, Confirmation};
use crate::slack::text::{escape, truncate};

pub mod dialogue;
mod markdown;
pub mod typed;

/// Where a sentence is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Slack's mrkdwn: text by people is escaped, times are the reader's.
    Slack,
    /// Terminals and HTML (which escapes by itself); times are UTC.
    Plain,
}

impl Medium {
    /// Text by people.
    pub fn quote(self, text: &str) -> String {
        match self {
            Self::Slack => escape(text),
            Self::Plain => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        }
    }

    /// A person.
    pub fn person(self, actor: &Actor) -> String {
        match (self, actor) {
            (Self::Slack, Actor::Slack(id)) => format!("<@{}>", escape(id)),
            (Self::Plain, Actor::Slack(id)) => format!("@{id}"),
            (medium, Actor::Local(name)) => medium.quote(name),
            (_, Actor::Deadline) => "the deadline".to_owned(),
            (_, Actor::Shipmate) => "Shipmate".to_owned(),
        }
    }

    /// A time of day, with the date if it isn't today in Slack.
    pub fn time(self, at: DateTime<Utc>) -> String {
        let plain = at.format("%Y-%m-%d %H:%M UTC");
        match self {
            Self::Slack => format!("<!date^{}^{{date_short_pretty}} {{time}}|{plain}>", at.timestamp()),
            Self::Plain => plain.to_string(),
        }
    }

    /// A link.
    pub fn link(self, url: &str, text: &str) -> String {
        match self {
            Self::Slack => kit::link(url, text),
            Self::Plain => format!("{text} ({url})"),
        }
    }

    /// Something that stands out.
    pub fn bold(self, text: &str) -> String {
        match self {
            Self::Slack => format!("*{text}*"),
            Self::Plain => text.to_owned(),
        }
    }

    /// The name of a branch or a plan.
    fn name(self, name: &str) -> String {
        match self {
            Self::Slack => format!("`{}`", escape(name)),
            Self::Plain => self.quote(name),
        }
    }

    /// Where the buttons of now are.
    fn elsewhere(self) -> &'static str {
        match self {
            Self::Slack => "`/deploy status`",
            Self::Plain => "the deployment's page",
        }
    }

    /// Those who hold a permission.
    pub fn holders(self, who: &[String]) -> String {
        if who.iter().any(|id| id == "*") {
            return "anybody in this channel".to_owned();
        }
        let name = |id: &String| match (self, id.starts_with('S')) {
            _ if id.starts_with(super::permits::CLI) => self.quote(id),
            (Self::Slack, true) => format!("<!subteam^{}>", escape(id)),
            (Self::Slack, false) => format!("<@{}>", escape(id)),
            // Nobody knows it by its id, and the id is all that the configuration has.
            (Self::Plain, true) => format!("the user group {id}"),
            (Self::Plain, false) => format!("@{id}"),
        };
        match who {
            [] => "nobody (no one is configured)".to_owned(),
            who => listed(&who.iter().map(name).collect::<Vec<_>>(), "or"),
        }
    }
}

/// `a, b and c`.
pub fn listed(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., end] => format!("{} {last} {end}", init.join(", ")),
    }
}

/// `1 pull request`, `3 pull requests`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What is said of one, or of any other number.
fn number<'a>(count: usize, one: &'a str, more: &'a str) -> &'a str {
    if count == 1 { one } else { more }
}

/// A duration as people say it: the two largest units.
pub fn lasting(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, m, s) if m < 10 => format!("{m} min {s} s"),
        (0, 0, m, _) => format!("{m} min"),
        (0, h, m, _) => format!("{h} h {m} min"),
        (d, h, _, _) => format!("{} {h} h", counted(d as usize, "day")),
    }
}

/// After how long the last run of a step took: how long all of them did, with what came between.
pub fn of_all(whole: Duration) -> String {
    format!("of {}", lasting(whole))
}

/// From one time to another.
pub fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    lasting((to - from).to_std().unwrap_or_default())
}

/// A state: emoji and word, never one alone.
pub fn state(state: State) -> (&'static str, &'static str) {
    match state {
        State::Running => ("🔄", "running"),
        State::Waiting => ("⏳", "waiting for people"),
        State::NeedsAttention => ("⚠️", "needs attention"),
        State::Undoing => ("↩️", "undoing"),
        State::Completed => ("✅", "completed"),
        State::Undone => ("↩️", "undone"),
        State::Stopped => ("🛑", "stopped"),
    }
}

/// The small print of a deployment: which, of what, by whom, on which branch, and how long it took.
pub fn facts(view: &View) -> String {
    let mut facts = vec![
        format!("`{}`", escape(&view.id)),
        escape(&view.repo),
        format!(
            "started by {} {}",
            Medium::Slack.person(&view.started_by),
            Medium::Slack.time(view.started_at)
        ),
    ];
    if let Some(branch) = &view.branch {
        facts.push(format!("`{}` → `{}`", escape(branch), escape(&view.base)));
    }
    if let Some(ended) = view.ended_at {
        facts.push(format!("took {}", between(view.started_at, ended)));
    }
    facts.join(" · ")
}

/// Where a step or phase stands: emoji and word.
pub fn stand(stand: Stand) -> (&'static str, &'static str) {
    match stand {
        Stand::Pending => ("▫️", "to do"),
        Stand::Running => ("🔄", "running"),
        Stand::Waiting => ("⏳", "waiting"),
        Stand::Retrying => ("🔁", "trying again"),
        Stand::Failed => ("⚠️", "needs attention"),
        Stand::Done => ("✅", "done"),
        Stand::Skipped => ("⏭️", "skipped"),
        Stand::Undone => ("↩️", "undone"),
        Stand::Stopped => ("🛑", "stopped"),
    }
}

/// How far a pull request is: emoji and word.
pub fn car_state(state: CarState) -> (&'static str, &'static str) {
    match state {
        CarState::Planned => ("▫️", "planned"),
        CarState::Retargeted => ("🎯", "ready to merge"),
        CarState::Merging => ("🔄", "merging"),
        CarState::Merged => ("✅", "merged"),
        CarState::Skipped => ("⏭️", "skipped"),
        CarState::Failed => ("⚠️", "failed"),
        CarState::PutBack => ("↩️", "back on its base"),
    }
}

/// A check or a job: emoji and word.
pub fn check_state(state: CheckState) -> (&'static str, &'static str) {
    match state {
        CheckState::Failed => ("❌", "failed"),
        CheckState::Waiting => ("▫️", "to come"),
        CheckState::Running => ("🔄", "running"),
        CheckState::Passed => ("✅", "passed"),
    }
}

/// A line of the receipt: emoji, word, and what was read back.
pub fn receipt_line(line: &ReceiptLine, medium: Medium) -> String {
    let (emoji, word) = match line.ok {
        true => ("✅", "done"),
        false => ("⚠️", "not done"),
    };
    format!("{emoji} {word} · {}", medium.quote(&line.text))
}

/// Since when a phase runs. A time of day, because a card that nobody edits must not say something else than the clock.
pub fn since(at: DateTime<Utc>, medium: Medium) -> String {
    format!("since {}", medium.time(at))
}

/// A choice as its button says it.
pub fn choice_label(choice: &str) -> &str {
    match choice {
        choice::CONFIRM => "Confirm",
        choice::EDIT => "Edit list",
        choice::APPROVE => "Approve",
        choice::ASK_AGAIN => "Ask reviewers again",
        choice::DROP => "Drop those PRs",
        engine::RETRY => "Retry",
        engine::SKIP => "Skip this PR",
        engine::STOP => "Stop here",
        engine::UNDO => "Undo everything",
        choice::CLOSE_ISSUES => "Close them",
        choice::COMMENT_ISSUES => "Only comment",
        choice::PUT_BACK => "Put them back",
        choice::PUT_BACK_AND_CLOSE => "Put back and close the deploy PR",
        choice::CLOSE => "Close the deploy PR",
        choice::LEAVE => "Leave as it is",
        other => other,
    }
}

/// The button's label where a step is skipped that isn't a pull request.
pub fn skip_label(step: Option<&str>) -> &'static str {
    match is_pull_request(step) {
        true => "Skip this PR",
        false => "Go on without",
    }
}

fn is_pull_request(step: Option<&str>) -> bool {
    step.is_some_and(|step| step.starts_with("merge_pr/"))
}

/// The label of a choice about a step.
pub fn offered<'a>(choice: &'a str, step: Option<&str>) -> &'a str {
    match choice {
        engine::SKIP => skip_label(step),
        other => choice_label(other),
    }
}

/// To whoever asks whether Shipmate is ready while Slack can't be heard.
pub const SLACK_NOT_READY: &str = "Slack: the socket is not connected; Shipmate connects again by itself";

/// To whoever asks whether Shipmate is ready while its store takes no writes.
pub fn store_not_ready(why: &str) -> String {
    format!("store: {why}")
}

/// The deployment's title.
pub fn title(view: &View) -> String {
    let project = Medium::Plain.quote(&view.project);
    match &view.version {
        Some(version) => format!("{project} {}", version.to),
        None => format!("{project}: a new release"),
    }
}

/// The one sentence: what it does `now`, or what it waits for, since when, until when, and what then.
pub fn now(view: &View, now: DateTime<Utc>, medium: Medium) -> String {
    match view.state {
        State::Completed => completed(view, medium),
        State::Undone => undone(view, medium),
        State::Stopped => stopped(view, medium),
        State::Undoing => "Undoing everything, newest step first.".to_owned(),
        State::Waiting | State::NeedsAttention => {
            // That it shipped is said first.
            let (shipped, others): (Vec<&Question>, Vec<&Question>) = view
                .questions
                .iter()
                .partition(|question| matches!(question.kind, QuestionKind::Checklist { .. }));
            let waits = shipped
                .into_iter()
                .chain(others)
                .map(|question| wait(view, question, now, medium));
            waits.collect::<Vec<_>>().join(" ")
        }
        State::Running => match &view.current {
            Some(current) => doing(view, current, medium),
            None => "Going on to the next step.".to_owned(),
        },
    }
}

/// Who stopped it, at what, and where that leaves what was merged.
fn stopped(view: &View, medium: Medium) -> String {
    let stops = |decision: &&Decision| decision.choice == engine::STOP;
    let stop = view.decisions.iter().rev().find(stops);
    let by = stop.map_or_else(|| "a person".to_owned(), |stop| medium.person(&stop.by));
    let why = match stop.map(|stop| &stop.kind) {
        Some(QuestionKind::Attention { step, error }) => format!(
            ". {}: {}",
            stuck(step.as_deref()),
            explained(view, &truncate(ended(error), 300), medium)
        ),
        _ => String::new(),
    };
    let left = on_the_branch_only(view, medium).map(|left| format!(" {left}"));
    format!(
        "Stopped by {by} after the point of no return{why}.{} The receipt says what was merged and what was not.",
        left.unwrap_or_default()
    )
}

/// Why it is undone, and by whom if somebody wanted it.
fn undone_because(view: &View, medium: Medium) -> String {
    let because = ended(view.undone_because.as_deref().unwrap_or(ABORTED));
    let reason = because.strip_prefix(ABORTED).map(|rest| rest.strip_prefix(": "));
    let undo = view
        .decisions
        .iter()
        .rev()
        .find(|decision| decision.choice == engine::UNDO);
    match (reason, &view.aborted_by, undo) {
        (Some(Some(reason)), Some(by), _) => format!("aborted by {}: {}", medium.person(by), medium.quote(reason)),
        (Some(None), Some(by), _) if because == ABORTED => format!("aborted by {}", medium.person(by)),
        (None, _, Some(undo)) => {
            let because = did_not_work(because);
            format!("{} (chosen by {})", medium.quote(&because), medium.person(&undo.by))
        }
        _ => medium.quote(&did_not_work(because)),
    }
}

/// A step's failure, which the engine tells by the step's key, in the words of the runbook.
fn did_not_work(because: &str) -> String {
    let failed = because.split_once(" failed: ");
    match failed.and_then(|(key, error)| Some((line_of(key)?, key, error))) {
        Some((line, key, error)) => format!("{}{} did not work: {error}", line.title, which(key)),
        None => because.to_owned(),
    }
}

/// How the engine's reason for undoing begins when somebody asked for it.
const ABORTED: &str = "aborted";

fn undone(view: &View, medium: Medium) -> String {
    let why = undone_because(view, medium);
    match view.receipt.iter().filter(|line| !line.ok).count() {
        0 if why.starts_with(NOTHING_TO_SHIP) => format!("{}. Everything is undone.", capitalised(&why)),
        0 => format!("Everything is undone: {why}."),
        left => format!(
            "Undone, but {} could not be taken back and a person must look; the receipt says which. Undone because: {why}.",
            counted(left, "thing")
        ),
    }
}

/// A sentence without its end, to go on after it.
fn ended(sentence: &str) -> &str {
    sentence.trim_end_matches(['.', '?', '!'])
}

fn completed(view: &View, medium: Medium) -> String {
    let merged = view.shipped.as_ref().map_or(0, |shipped| shipped.merged.len());
    let version = view.version.as_ref().map_or("", |version| version.to.as_str());
    let took = view
        .ended_at
        .map(|ended| between(view.started_at, ended))
        .unwrap_or_default();
    format!(
        "{} shipped with {} in {took}.",
        medium.bold(version),
        counted(merged, "pull request")
    )
}

fn doing(view: &View, current: &Current, medium: Medium) -> String {
    let since = medium.time(current.since);
    if let Some((error, at)) = &current.retrying {
        return format!(
            "{}{} did not work: {}. The next try comes by itself: {}.",
            capitalised(current.title),
            which(&current.key),
            medium.quote(&truncate(ended(error), 300)),
            medium.time(*at)
        );
    }
    match &view.progress {
        Some(Progress::Mergeability { number, deadline }) => {
            let then = deadline.map(|at| {
                format!(
                    " If it has not by {}, the merge is tried all the same.",
                    medium.time(at)
                )
            });
            format!(
                "Waiting since {since} for GitHub to work out whether #{number} can be merged.{}",
                then.unwrap_or_default()
            )
        }
        Some(Progress::Foreign { tip, .. }) => format!(
            "Looking since {since} at who moved the deploy branch to {}. Whoever may approve is asked, unless a Retry has taken it in.",
            medium.quote(tip.short())
        ),
        Some(Progress::Checks { checks, deadline }) => format!(
            "Waiting for the checks of the deploy pull request since {since}: {}. If they are not done by {}, whoever may approve is asked.",
            checks_summary(checks, medium, "none has reported yet"),
            medium.time(*deadline)
        ),
        Some(Progress::Approval {
            reviewers,
            changes_requested,
            deadline,
        }) => {
            let who: Vec<String> = reviewers.iter().map(|login| medium.quote(login)).collect();
            let against: Vec<String> = changes_requested.iter().map(|login| medium.quote(login)).collect();
            let against = match against.as_slice() {
                [] => String::new(),
                against => format!(" {} asked for changes.", listed(against, "and")),
            };
            let who = match who.as_slice() {
                [] => "somebody with write access".to_owned(),
                who => listed(who, "or"),
            };
            format!(
                "Waiting on GitHub for an approval by {who} since {since}.{against} If there is none by {}, whoever may approve is asked.",
                medium.time(*deadline)
            )
        }
        Some(Progress::NoRun { workflow, deadline }) => format!(
            "Waiting for a run of {} to start since {since}. If none has by {}, the channel is told.",
            medium.quote(workflow),
            medium.time(*deadline)
        ),
        Some(Progress::Run {
            url,
            status,
            attempt,
            jobs,
            deadline,
        }) => {
            let again = if *attempt > 1 {
                format!(" (attempt {attempt})")
            } else {
                String::new()
            };
            let waiting = match status.as_str() {
                "waiting" => " It waits for an environment's approval on GitHub.",
                _ => "",
            };
            format!(
                "Watching the {}{again} since {since}: {}.{waiting} If it has not ended by {}, whoever may approve is asked.",
                medium.link(url, "Actions run"),
                checks_summary(jobs, medium, "no job has begun yet"),
                medium.time(*deadline)
            )
        }
        Some(Progress::Release { tag, deadline }) => format!(
            "Waiting for the release {} since {since}. If there is none by {}, whoever may approve is asked.",
            medium.quote(tag),
            medium.time(*deadline)
        ),
        None => {
            format!("Now: {}{}.", current.title, which(&current.key))
        }
    }
}

/// Which pull request a step is about, to stand after its title.
fn which(key: &str) -> String {
    let parts = ["change_pr_bases/", "merge_pr/"];
    let number = parts.iter().find_map(|part| key.strip_prefix(part));
    let number = number.map(|number| format!(" · #{}", number.trim_end_matches("/put_back")));
    number.unwrap_or_default()
}

/// What can't go on; `step` is a step's key.
fn stuck(step: Option<&str>) -> String {
    match step.map(|key| (key, line_of(key))) {
        Some((key, Some(line))) => format!("Stuck while {}{}", line.title, which(key)),
        Some((key, None)) => format!("Stuck at {}", Medium::Plain.quote(key)),
        None => "The deployment needs a decision".to_owned(),
    }
}

fn checks_summary(checks: &[Check], medium: Medium, none: &str) -> String {
    if checks.is_empty() {
        return none.to_owned();
    }
    let shown: Vec<String> = checks
        .iter()
        .take(8)
        .map(|check| {
            let (emoji, word) = check_state(check.state);
            let optional = if check.optional { ", optional" } else { "" };
            format!("{emoji} {} ({word}{optional})", medium.quote(&check.name))
        })
        .collect();
    match checks.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What a question waits for, in one sentence, and when people are reminded of it next.
pub fn wait(view: &View, question: &Question, now: DateTime<Utc>, medium: Medium) -> String {
    format!("{}{}", waits(view, question, medium), reminded(question, now, medium))
}

fn reminded(question: &Question, now: DateTime<Utc>, medium: Medium) -> String {
    let next = question.next_reminder(now);
    next.map_or_else(String::new, |at| format!(" Next reminder: {}.", medium.time(at)))
}

fn waits(view: &View, question: &Question, medium: Medium) -> String {
    let since = medium.time(question.since);
    let deadline = match question.deadline {
        Some(at) => format!(" If nobody does by {}, everything is undone.", medium.time(at)),
        None => " There is no deadline.".to_owned(),
    };
    let who = |who: &[String]| medium.holders(who);
    match &question.kind {
        QuestionKind::ConfirmPrList { plan } => format!(
            "Waiting since {since} for {} to confirm the list of {}.{deadline}",
            who(&view.permissions.start),
            counted(plan.cars.len(), "pull request"),
        ),
        QuestionKind::Approve { approvals, .. } => {
            let votes = match (*approvals, question.votes.len()) {
                (0 | 1, _) => String::new(),
                (wanted, have) => format!(" ({have} of {wanted} approvals so far)"),
            };
            format!(
                "Waiting since {since} for {} to approve the point of no return{votes}.{deadline}",
                approvers(view, medium)
            )
        }
        QuestionKind::Attention { step, error } => format!(
            "{} since {since}: {}. Waiting for {} to choose {}.",
            stuck(step.as_deref()),
            explained(view, &truncate(ended(error), 600), medium),
            who(&view.permissions.approve),
            choices(question)
        ),
        QuestionKind::Checklist { items } => {
            let done = items.iter().filter(|item| item.ticked.is_some()).count();
            format!(
                "Shipped. Waiting since {since} for {} to tick the checklist: {done} of {} ticked.",
                who(&tickers(&view.permissions)),
                items.len()
            )
        }
        QuestionKind::Issues { issues, .. } => format!(
            "Waiting since {since} for {} to say what becomes of {} that GitHub left open. If nobody does by {}, or before the checklist is done, {}.",
            who(&view.permissions.approve),
            counted(issues.len(), "resolved issue"),
            question.deadline.map(|at| medium.time(at)).unwrap_or_default(),
            number(issues.len(), "it stays open", "they stay open"),
        ),
        QuestionKind::Unmerged { unmerged, .. } => format!(
            "Stopped. Waiting since {since} for {} to choose what becomes of {}: {}.",
            who(&view.permissions.approve),
            match unmerged.len() {
                0 => "the deploy pull request".to_owned(),
                left => format!("{} still on the deploy branch", counted(left, "pull request")),
            },
            choices(question)
        ),
    }
}

/// Who may approve the point of no return: where two people are wanted, whoever started isn't one of them.
fn approvers(view: &View, medium: Medium) -> String {
    let permissions = &view.permissions;
    let others = view.approvers();
    let wide = others.iter().any(|id| id == "*" || id.starts_with('S'));
    let all = medium.holders(&others);
    match (permissions.two_person, others.is_empty()) {
        (false, _) => all,
        (true, true) => "somebody who didn't start it (nobody else is configured)".to_owned(),
        // The starter may be one of them, and isn't mentioned for nothing.
        (true, false) if wide => format!("{all}, but not whoever started it,"),
        (true, false) => all,
    }
}

/// What a question waits for, below what went wrong.
pub fn to_choose(view: &View, question: &Question, now: DateTime<Utc>) -> String {
    format!(
        "Waiting since {} for {} to choose {}.{}",
        Medium::Slack.time(question.since),
        Medium::Slack.holders(&view.permissions.approve),
        choices(question),
        reminded(question, now, Medium::Slack)
    )
}

/// What went wrong, in one sentence. Addresses below the Actions run's are known to be GitHub's and become links; no other does.
pub fn explained(view: &View, error: &str, medium: Medium) -> String {
    let run = view.run_url.as_deref().filter(|_| medium == Medium::Slack);
    let Some((before, rest)) = run.and_then(|run| Some(error.split_at(error.find(run)?))) else {
        return medium.quote(error);
    };
    let (url, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
    let page = url.trim_end_matches(['.', ',', ';']);
    format!(
        "{}{}{}{}",
        medium.quote(before),
        medium.link(page, "its page"),
        &url[page.len()..],
        medium.quote(after)
    )
}

fn choices(question: &Question) -> String {
    let step = match &question.kind {
        QuestionKind::Attention { step, .. } => step.as_deref(),
        _ => None,
    };
    let label = |name: &String| offered(name, step).to_owned();
    listed(&question.choices.iter().map(label).collect::<Vec<_>>(), "or")
}

/// The button that calls a deployment off.
pub const ABORT: &str = "Abort";

/// What each answer to a failure does, one short sentence each.
pub fn choices_explained(question: &Question, medium: Medium) -> String {
    let step = match &question.kind {
        QuestionKind::Attention { step, .. } => step.as_deref(),
        _ => None,
    };
    let does = |choice: &String| {
        let does = match choice.as_str() {
            engine::RETRY => "tries it again",
            engine::SKIP if is_pull_request(step) => "puts it back on its base and goes on with the others",
            engine::SKIP => "leaves this step out",
            engine::STOP => "ends the deployment: what is merged stays merged",
            engine::UNDO => "puts everything back as it was",
            _ => return None,
        };
        Some(format!("{} {does}.", medium.bold(offered(choice, step))))
    };
    question.choices.iter().filter_map(does).collect::<Vec<_>>().join(" ")
}

/// The checks or jobs that failed, as links; `None` if none is known.
pub fn failed_checks(view: &View, step: Option<&str>, medium: Medium) -> Option<String> {
    const SHOWN: usize = 5;
    let checks = match &view.progress {
        Some(Progress::Checks { checks, .. }) => checks,
        Some(Progress::Run { jobs, .. }) => jobs,
        _ => return None,
    };
    let stuck = view
        .current
        .as_ref()
        .is_some_and(|current| Some(current.key.as_str()) == step);
    let failed = |check: &&Check| stuck && check.state == CheckState::Failed && !check.optional;
    let link = |check: &Check| match &check.url {
        Some(url) => medium.link(url, &medium.quote(&truncate(&check.name, 100))),
        None => medium.quote(&truncate(&check.name, 100)),
    };
    let failed: Vec<String> = checks.iter().filter(failed).take(SHOWN).map(link).collect();
    (!failed.is_empty()).then(|| format!("❌ failed: {}", failed.join(", ")))
}

/// On the card in the channel, whose questions stand below it.
pub const IN_THE_THREAD: &str = "the buttons are in the thread";

/// What became of a question, once it is answered.
pub fn decided(decision: &Decision, medium: Medium) -> String {
    let who = medium.person(&decision.by);
    let at = medium.time(decision.at);
    let by = |verb: &str| format!("{verb} by {who}, {at}.");
    match decision.choice.as_str() {
        choice::CONFIRM => by("✅ Confirmed"),
        choice::EDIT => by("✏️ List edited"),
        choice::APPROVE => by("✅ Point of no return approved"),
        choice::ASK_AGAIN => by("🔔 Reviewers asked again"),
        choice::DROP => by("⏭️ Those pull requests dropped"),
        choice::EXPIRE => format!("⌛ Nobody answered by {at}."),
        choice::DONE => format!("✅ Everything ticked, the last item by {who}, {at}."),
        engine::RETRY => by("🔁 Retry chosen"),
        engine::SKIP => by("⏭️ Skip chosen"),
        engine::STOP => by("🛑 Stop chosen"),
        engine::UNDO => by("↩️ Undo chosen"),
        choice::CLOSE_ISSUES => by("✅ Closing chosen"),
        choice::COMMENT_ISSUES => by("💬 Commenting chosen"),
        choice::PUT_BACK => by("↩️ Put back"),
        choice::PUT_BACK_AND_CLOSE => by("↩️ Put back and closed"),
        choice::CLOSE => by("🛑 Deploy pull request closed"),
        choice::LEAVE if decision.by == Actor::Shipmate => "The checklist was done first: left as it is.".to_owned(),
        choice::LEAVE => by("Left as it is"),
        other => by(other),
    }
}

/// What became of a question that nobody answered before everything was undone.
pub const LAPSED: &str = "↩️ No longer asked: everything is undone.";

/// The headline over a question: plain text.
pub fn headline(view: &View, kind: &QuestionKind) -> String {
    match kind {
        QuestionKind::ConfirmPrList { plan } => {
            format!("Is this the train? {}", counted(plan.cars.len(), "pull request"))
        }
        QuestionKind::Approve { plan, .. } => format!(
            "Point of no return: merge {} into {}",
            counted(plan.cars.len(), "pull request"),
            plan.branch
        ),
        QuestionKind::Attention { step, .. } => stuck(step.as_deref()),
        QuestionKind::Checklist { items } => {
            let done = items.iter().filter(|item| item.ticked.is_some()).count();
            format!("After the release: {done} of {} done", items.len())
        }
        QuestionKind::Issues { issues, .. } => {
            let open = number(issues.len(), "is still open", "are still open");
            format!("{} {open}", counted(issues.len(), "resolved issue"))
        }
        QuestionKind::Unmerged { .. } => format!("{} stopped: what becomes of the rest?", view.id),
    }
}

/// Over what changed between two looks at a plan.
pub fn plan_changed(medium: Medium) -> String {
    format!("⚠️ {}", medium.bold("The plan changed since you saw it last:"))
}

/// Over commits on the deploy branch that are not ours.
pub fn foreign_commits(branch: &str, medium: Medium) -> String {
    let head = format!("Commits on {} that Shipmate did not make:", medium.quote(branch));
    format!("⚠️ {}", medium.bold(&head))
}

/// Over approvals that are gone from GitHub.
pub fn dismissed(medium: Medium) -> String {
    let head = medium.bold("GitHub dismissed these approvals because of the retarget.");
    format!("⚠️ {head} Approve to merge on the recorded ones.")
}

/// Under the plan that is to be approved.
pub fn from_here_on(digest: &str, medium: Medium) -> String {
    format!(
        "Plan {} · from here on nothing is undone by itself: what fails is put to a person.",
        medium.name(digest)
    )
}

/// What would be said in each issue; `comment` is GitHub's Markdown.
pub fn would_be_told(comment: &str, medium: Medium) -> String {
    let comment = match medium {
        Medium::Slack => markdown::line(comment),
        Medium::Plain => markdown::plain(comment),
    };
    format!("Each would be told: {comment}")
}

/// What is left after a stop, and how what was merged still gets on.
pub fn unmerged(view: &View, numbers: &[u64], deploy_pr: Option<u64>, medium: Medium) -> String {
    let numbers: Vec<String> = numbers.iter().map(|number| format!("#{number}")).collect();
    let rest = match numbers.as_slice() {
        [] => "Every pull request of the train is merged.".to_owned(),
        numbers => format!(
            "Not merged, and still aimed at the deploy branch: {}.",
            listed(numbers, "and")
        ),
    };
    let open = deploy_pr.map(|number| format!("The deploy pull request #{number} is open."));
    let sentences = [Some(rest), open, on_the_branch_only(view, medium)];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// That what was merged went no further than the deploy branch, and how it gets on; `None` where nothing was merged, or all of it got on.
pub fn on_the_branch_only(view: &View, medium: Medium) -> Option<String> {
    let merged = view.cars.iter().filter(|car| car.state == CarState::Merged).count();
    let branch = view
        .branch
        .as_deref()
        .filter(|_| merged > 0 && !view.deploy_pr_merged)?;
    let closes = |decision: &Decision| matches!(decision.choice.as_str(), choice::CLOSE | choice::PUT_BACK_AND_CLOSE);
    let closed = view.decisions.iter().any(closes);
    let branch = medium.name(branch);
    let base = medium.name(&view.base);
    let on = match &view.deploy_pr {
        Some(pr) => format!(
            "{} the deploy pull request {} by hand",
            if closed { "reopen and merge" } else { "merge" },
            medium.link(&pr.url, &format!("#{}", pr.number))
        ),
        None => format!("open a pull request from {branch} into {base} and merge it by hand"),
    };
    Some(format!(
        "What is merged is on {branch} only, and not on {base}: to ship it, {on}."
    ))
}

/// What a stop found of the deploy pull request.
pub fn deploy_pr(view: &View) -> Option<String> {
    let pr = view.deploy_pr.as_ref()?;
    let link = kit::link(&pr.url, &format!("#{}", pr.number));
    Some(match view.deploy_pr_merged {
        true => format!(
            "✅ The deploy pull request {link} is merged into `{}`.",
            escape(&view.base)
        ),
        false => format!("▫️ The deploy pull request {link} is not merged."),
    })
}

/// An item of the checklist, and who ticked it.
pub fn item(item: &Item) -> String {
    let what = escape(&truncate(&item.text, 500));
    match &item.ticked {
        Some(Ticked { by, at }) => format!("✅ {what} · {} {}", Medium::Slack.person(by), Medium::Slack.time(*at)),
        None => what,
    }
}

/// Asked before a choice that can't be taken back; `None` for the others.
pub fn confirmation(choice: &str) -> Option<Confirmation> {
    let ask = |title, text: &str, yes, no| Confirmation {
        title,
        text: text.to_owned(),
        yes,
        no,
    };
    match choice {
        choice::APPROVE => Some(ask(
            "Merge the train?",
            "The pull requests are merged one by one, exactly as planned. This can't be undone.",
            "Approve",
            "Not yet",
        )),
        engine::STOP => Some(ask(
            "Stop here?",
            "The deployment ends here. What is merged stays merged; if something is left over, you choose what becomes of it.",
            "Stop here",
            "Not now",
        )),
        _ => None,
    }
}

/// Who ticked something, and when.
pub fn ticked(by: &Actor, at: DateTime<Utc>, medium: Medium) -> String {
    format!("Ticked by {} {}.", medium.person(by), medium.time(at))
}

/// Asked before a tick is taken back, which somebody may rely on.
pub fn untick(by: &Actor, at: DateTime<Utc>) -> Confirmation {
    Confirmation {
        title: "Take the tick back?",
        text: ticked(by, at, Medium::Slack),
        yes: "Take it back",
        no: "Keep it",
    }
}

/// Over what was read back after undoing.
pub const RECEIPT: &str = "*Receipt, read back from GitHub:*";

/// What a list doesn't show, and where it stands.
pub fn more(count: usize, place: &str) -> String {
    match place {
        "" => format!("… and {count} more"),
        place => format!("… and {count} more {place}"),
    }
}

/// That a question still waits.
pub fn reminder(view: &View, question: &Question, now: DateTime<Utc>) -> String {
    format!("🔔 {}", wait(view, question, now, Medium::Slack))
}

/// A line of the train: number, title, author, head.
pub fn car(car: &super::train::Car, medium: Medium) -> String {
    format!(
        "{} {} · {} · `{}`",
        medium.link(&car.url, &format!("#{}", car.number)),
        medium.quote(&truncate(&car.title, 120)),
        medium.quote(&car.author),
        car.head.short()
    )
}

/// A line of those that don't ride.
pub fn excluded(excluded: &Excluded, medium: Medium) -> String {
    let number = format!("#{}", excluded.number);
    let reason = medium.quote(&excluded.reason.to_string());
    if excluded.url.is_empty() {
        return format!("{number} · {reason}");
    }
    format!(
        "{} {} · {reason}",
        medium.link(&excluded.url, &number),
        medium.quote(&truncate(&excluded.title, 80)),
    )
}

/// Over a group of boxes, of which there may be several: `before` stand in the groups before it, `these` in it.
pub fn on_the_train(before: usize, these: usize, all: usize) -> String {
    match these == all {
        true => "On the train".to_owned(),
        false => format!("On the train: {} to {} of {all}", before + 1, before + these),
    }
}

/// Over those that don't ride.
pub fn left_out(count: usize) -> String {
    format!("*Not on it:* {}", counted(count, "pull request"))
}

/// The rehearsal's verdict on a plan.
pub fn verdict(plan: &Plan, medium: Medium) -> String {
    let conflicts = plan
        .excluded
        .iter()
        .filter(|out| matches!(out.reason, super::train::Reason::Conflict { .. }))
        .count();
    let mut text = match plan.cars.len() {
        1 => "🎼 Rehearsed: it merges cleanly.".to_owned(),
        count => format!("🎼 Rehearsed: all {count} merge cleanly in this order."),
    };
    if conflicts > 0 {
        text += &format!(" {} left out because of conflicts.", counted(conflicts, "pull request"));
    }
    if let Some(note) = &plan.note {
        text += " ";
        text += &medium.quote(note);
    }
    text
}

/// The planned version.
pub fn version(plan: &Plan) -> String {
    format!(
        "🏷️ Version *{}* → *{}* in {}.",
        escape(&plan.version.from),
        escape(&plan.version.to),
        listed(
            &plan
                .version
                .files
                .iter()
                .map(|file| format!("`{}`", escape(file)))
                .collect::<Vec<_>>(),
            "and"
        )
    )
}

/// The merges did not give what was rehearsed.
pub const NOT_AS_REHEARSED: &str = "⚠️ *The deploy branch is not what the rehearsal promised:* somebody else changed it during the merges. Look at its commits before the deploy pull request is approved.";

/// How a reason begins that is nobody's failure.
const NOTHING_TO_SHIP: &str = "nothing to ship";

/// Why there is nothing to do.
pub fn nothing_to_ship(project: &Project, excluded: &[Excluded]) -> String {
    match excluded {
        [] => format!(
            "{NOTHING_TO_SHIP}: no open pull request targets {}",
            project.base_branch
        ),
        excluded => {
            let reasons: Vec<String> = excluded
                .iter()
                .take(10)
                .map(|out| format!("#{} {}", out.number, out.reason))
                .collect();
            format!(
                "{NOTHING_TO_SHIP}: no open pull request into {} is approved and ready ({})",
                project.base_branch,
                reasons.join("; ")
            )
        }
    }
}

/// A checkpoint's deadline passed.
pub fn expired(what: &str, limit: Duration) -> String {
    format!("nobody {what} within {}", lasting(limit))
}

/// What would make more of the train ride; it was rehearsed.
pub fn proposal(proposal: &Proposal) -> String {
    match proposal {
        Proposal::Order { cars } => {
            let order: Vec<String> = cars.iter().map(|number| format!("#{number}")).collect();
            format!(
                "More would ride in the order {}: press Edit list to take it.",
                order.join(", ")
            )
        }
        Proposal::Without { number } => {
            format!("More would ride without #{number}: press Edit list to leave it out.")
        }
    }
}

/// The last merge will need a person.
pub fn merge_queue(base: &str) -> String {
    format!(
        "{base} has a merge queue, which Shipmate doesn't join: at the end a person adds the deploy pull request to it, then presses Retry."
    )
}

/// Checks that are red and stop nobody, by pull request; nothing, if there are none.
pub fn optional_red(red: &[(u64, Vec<String>)]) -> Option<String> {
    let red = red.iter().filter(|(_, names)| !names.is_empty());
    let each: Vec<String> = red
        .map(|(number, names)| format!("{} of #{number}", listed(names, "and")))
        .collect();
    let all = truncate(&each.join("; "), 600);
    (!each.is_empty()).then(|| format!("Red, but not among the checks that must succeed: {all}."))
}

/// GitHub starts no workflow for a commit whose message says so, and a squashed deploy pull request may carry its pull requests' titles.
pub fn skips_ci(plan: &Plan) -> Option<String> {
    const MARKERS: [&str; 5] = ["[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"];
    let skips = |title: &str| {
        let title = title.to_lowercase();
        MARKERS.iter().any(|marker| title.contains(marker))
    };
    let numbers: Vec<String> = plan
        .cars
        .iter()
        .filter(|car| skips(&car.title))
        .map(|car| format!("#{}", car.number))
        .collect();
    (!numbers.is_empty()).then(|| {
        format!(
            "{} of {} {} GitHub to skip workflows: should that end up in the deploy merge's message, nothing is deployed. Change it on GitHub.",
            number(numbers.len(), "The title", "The titles"),
            listed(&numbers, "and"),
            number(numbers.len(), "tells", "tell"),
        )
    })
}

/// **post_deploy_link**.
pub fn deploy_link(project: &Project, version: &str, workflow: &str, url: Option<&str>) -> Content {
    let tag = escape(&notes::tag(project, version));
    let name = escape(&project.name);
    let text = match url {
        Some(url) => format!(
            "🚀 *{name} {tag}* is merged and being deployed: {}",
            kit::link(url, "follow the Actions run")
        ),
        None => format!(
            "⚠️ *{name} {tag}* is merged, but no run of `{}` has started in {}. Is it filtered out by path, skipped by the message, or disabled? Shipmate keeps looking.",
            escape(workflow),
            lasting(project.timeouts.run_watchdog)
        ),
    };
    Content {
        blocks: vec![kit::section(&text)],
        text,
    }
}

/// **post_release_notes**: the description as GitHub has it, cut at a line.
pub fn release_notes(project: &Project, version: &str, markdown: &str, url: Option<&str>) -> Content {
    let tag = notes::tag(project, version);
    let title = match url {
        Some(url) => format!("📦 *{}*", kit::link(url, &format!("Release {}", escape(&tag)))),
        None => format!("📦 *Release {}*", escape(&tag)),
    };
    let mut lines = vec![title.clone()];
    lines.extend(markdown::lines(markdown));
    let mut blocks = kit::lines(&lines);
    blocks = kit::capped(blocks, "… the rest is in the release on GitHub.");
    Content { text: title, blocks }
}

/// Why a decision was refused.
pub fn refusal(refusal: &Refusal, medium: Medium) -> String {
    match refusal {
        Refusal::Stale => format!(
            "This button is out of date; {} has the current ones.",
            medium.elsewhere()
        ),
        Refusal::ProjectGone(project) => format!(
            "The project {} is no longer configured; add it again to decide about its deployment.",
            medium.quote(project)
        ),
        Refusal::MayNot { what, holders, .. } => {
            format!(
                "You may not {what} here. {} may.",
                capitalised(&medium.holders(holders))
            )
        }
        Refusal::NotTold { what, groups } => format!(
            "Shipmate can't tell whether you may {what}: Slack doesn't say who is in {}. Try again in a minute.",
            medium.holders(groups)
        ),
        Refusal::TwoPeople(permissions) => format!(
            "You started this deployment, so somebody else must approve it: {} (`two_person`).",
            medium.holders(&permissions.approve)
        ),
        Refusal::AnotherPlan => {
            "The plan has changed since that button was shown; approve the newest one in the thread.".to_owned()
        }
        Refusal::Decided(decided) => format!(
            "Already decided: {} by {} {}.",
            medium.bold(choice_label(&decided.choice)),
            medium.person(&decided.by),
            medium.time(decided.at)
        ),
        Refusal::TooLate(TooLate::PastPivot) => format!(
            "The point of no return is passed: nothing is undone any more. If something fails, {} is offered.",
            medium.bold("Stop here")
        ),
        Refusal::TooLate(TooLate::Unwinding) => "It is being undone already.".to_owned(),
        Refusal::TooLate(TooLate::Finished) => "It has ended already.".to_owned(),
        Refusal::Failed(error) => format!("Nothing was done: {}.", medium.quote(ended(&error.to_string()))),
    }
}

/// A refusal to the person alone.
pub fn refused(why: &Refusal) -> Content {
    let sentence = refusal(why, Medium::Slack);
    match why {
        Refusal::Stale | Refusal::Decided(_) | Refusal::TooLate(TooLate::Unwinding | TooLate::Finished) => {
            private(&sentence)
        }
        _ => private(&format!("🚫 {sentence}")),
    }
}

/// A message to one person alone.
pub fn private(mrkdwn: &str) -> Content {
    Content {
        text: mrkdwn.to_owned(),
        blocks: vec![kit::section(mrkdwn)],
    }
}

/// A command typed in a channel that no project has.
pub fn wrong_channel(projects: &[Project]) -> Content {
    let channels: Vec<String> = projects
        .iter()
        .map(|project| format!("<#{}> for {}", escape(&project.channel), escape(&project.name)))
        .collect();
    private(&format!(
        "🚫 No project is deployed from this channel. Use {}.",
        listed(&channels, "or")
    ))
}

/// The start was refused, because one runs.
pub fn already_running(id: &str, view: Option<&View>, at: DateTime<Utc>) -> Content {
    let by = view.map(|view| {
        let who = Medium::Slack.person(&view.started_by);
        format!(
            ", started by {who} {}: {}",
            Medium::Slack.time(view.started_at),
            now(view, at, Medium::Slack)
        )
    });
    private(&format!(
        "🚫 `{}` is running{}",
        escape(id),
        by.unwrap_or_else(|| ".".to_owned())
    ))
}

/// Nothing runs.
pub fn nothing_runs(project: &Project) -> Content {
    private(&format!(
        "Nothing runs for *{}*. Type `/deploy start` to ship what is approved, or `/deploy help`.",
        escape(&project.name)
    ))
}

/// How the last deployment ended, beside "nothing runs".
pub fn last_one(view: &View) -> String {
    let (emoji, word) = state(view.state);
    let ended = view
        .ended_at
        .map(|at| format!(" {}", Medium::Slack.time(at)))
        .unwrap_or_default();
    format!(
        "The last one was `{}`, *{}*: {emoji} {word}{ended}.",
        escape(&view.id),
        escape(&title(view))
    )
}

/// `retry` without anything that failed.
pub fn nothing_to_retry() -> Content {
    private("Nothing waits for a retry.")
}

/// The process is ending.
pub const RESTARTING: &str = "Shipmate is restarting; try again in a moment.";

/// The process is ending.
pub fn draining() -> Content {
    private(RESTARTING)
}

/// A dry run has begun.
pub fn planning() -> Content {
    private("🎼 Rehearsing; the plan comes in a moment. Nothing is touched.")
}

/// The headline over what would ship: plain text.
pub fn dry_run(project: &Project) -> String {
    format!("Dry run of {}: nothing was touched", project.name)
}

/// A dry run can't be made.
pub fn plan_failed(problem: &str) -> Content {
    let problem = escape(ended(problem));
    private(&match problem.starts_with(NOTHING_TO_SHIP) {
        true => format!("{}.", capitalised(&problem)),
        false => format!("⚠️ There is no plan: {problem}."),
    })
}

/// A button of a question that is over.
pub fn stale_button() -> Content {
    refused(&Refusal::Stale)
}

/// A modal could not be opened.
pub fn modal_failed() -> Content {
    private("Slack did not open the dialogue; press the button again, or type the command instead.")
}

/// No deployment has that id here.
pub fn unknown_deployment(id: &str) -> Content {
    private(&format!(
        "There is no deployment `{}` here; `/deploy history` lists them.",
        escape(&truncate(id, 60))
    ))
}

/// What people may do, as `whoami` lists it: the first two go with `start`, then each with its own permission.
pub const RIGHTS: [&str; 5] = [
    "start",
    "confirm the list",
    "approve",
    "abort",
    "override locks and freezes",
];

/// What a person may.
pub fn whoami(user: &str, login: Option<&str>, may: &[String]) -> Content {
    let login = match login {
        Some(login) => format!(", GitHub login `{}`.", escape(login)),
        None => format!(". {}", home::NO_LOGIN),
    };
    let may = match may {
        [] => "look, and nothing else".to_owned(),
        may => listed(may, "and"),
    };
    private(&format!("You are <@{}>{login} Here you may {may}.", escape(user)))
}

/// How often, how fast and how safely a project ships.
pub fn stats(project: &Project, stats: &Stats) -> Content {
    let mut lines = vec![format!("📈 *{}*", escape(&project.name))];
    lines.extend(
        stats
            .sentences()
            .iter()
            .map(|sentence| format!("• {}", escape(sentence))),
    );
    Content {
        text: lines.join("\n"),
        blocks: kit::lines(&lines),
    }
}

/// Nothing has ever run.
pub const NO_DEPLOYMENT: &str = "There has been no deployment yet.";

/// The latest deployments, newest first.
pub fn history(views: &[View]) -> Content {
    let line = |view: &View| {
        let (emoji, word) = state(view.state);
        let version = view
            .version
            .as_ref()
            .map_or_else(|| "–".to_owned(), |version| escape(&version.to));
        format!(
            "{emoji} `{}` {version} · {word} · {} by {}",
            escape(&view.id),
            Medium::Slack.time(view.started_at),
            Medium::Slack.person(&view.started_by)
        )
    };
    match views {
        [] => private(NO_DEPLOYMENT),
        views => {
            let lines: Vec<String> = views.iter().map(line).collect();
            Content {
                text: lines.join("\n"),
                blocks: kit::lines(&lines),
            }
        }
    }
}

/// The first word is none that the help lists: what was probably meant, and the help.
pub fn unknown_word(why: &str, help: Content) -> Content {
    let why = escape_but_code(why);
    let end = if why.ends_with('?') { "" } else { "." };
    let line = format!("🚫 {}{end} Nothing was done.", capitalised(&why));
    Content {
        text: format!("{line}\n{}", help.text),
        blocks: [kit::section(&line)].into_iter().chain(help.blocks).collect(),
    }
}

/// What follows a known word isn't understood: one line, and not the whole help over a slip of the finger.
pub fn complaint(why: &str) -> Content {
    not_understood(&escape_but_code(why))
}

fn not_understood(mrkdwn: &str) -> Content {
    let end = if mrkdwn.ends_with('?') { "" } else { "." };
    private(&format!("🚫 {}{end} `/deploy help` lists all.", capitalised(mrkdwn)))
}

/// The help, made from the words that the parser knows: word, arguments and help of each.
pub fn help(words: &[(&str, &str, &str)]) -> Content {
    let mut lines = vec!["*What you can type:*".to_owned()];
    for (word, arguments, help) in words {
        let arguments = if arguments.is_empty() {
            String::new()
        } else {
            format!(" {}", escape_but_code(arguments))
        };
        lines.push(format!("• `/deploy {word}{arguments}` – {help}"));
    }
    lines.push("`/deploy` alone shows what runs. Buttons in the thread do the rest.".to_owned());
    Content {
        text: lines.join("\n"),
        blocks: kit::lines(&lines),
    }
}

/// Our own sentences quote words in back ticks, which [`escape`] would break.
fn escape_but_code(text: &str) -> String {
    let parts: Vec<String> = text.split('`').map(escape).collect();
    parts.join("`")
}

/// As a sentence begins.
pub fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Why a deployment can't be started now, in one sentence for each obstacle; `None` if nothing keeps it.
pub fn obstacles(obstacles: &[Obstacle], medium: Medium) -> Option<String> {
    let sentences: Vec<String> = obstacles
        .iter()
        .map(|obstacle| self::obstacle(obstacle, medium))
        .collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// A lock or a freeze, in a sentence.
pub fn obstacle(obstacle: &Obstacle, medium: Medium) -> String {
    match obstacle {
        Obstacle::Locked(lock) => {
            let until = match lock.until {
                Some(until) => format!("until {}", medium.time(until)),
                None => "until somebody unlocks".to_owned(),
            };
            format!(
                "🔒 Locked by {} since {} {until}: {}.",
                medium.person(&lock.by),
                medium.time(lock.at),
                medium.quote(&truncate(ended(&lock.reason), 300))
            )
        }
        Obstacle::Frozen(frozen) => {
            let until = match frozen.until {
                Some(until) => format!("until {}", medium.time(until)),
                None => "with no end in sight".to_owned(),
            };
            format!(
                "🧊 Frozen {until}: {}.",
                medium.quote(&truncate(ended(&frozen.reason), 300))
            )
        }
    }
}

/// That a start is refused because of locks and freezes, and who may pass them.
pub fn blocked(project: &Project, obstacles: &[Obstacle]) -> String {
    let holders = &project.permissions.r#override;
    let way_out = match holders.is_empty() {
        true => "Nobody may start anyway: no one holds `override`.".to_owned(),
        false => format!(
            "{} may start anyway, with a reason.",
            capitalised(&Medium::Slack.holders(holders))
        ),
    };
    format!(
        "🚫 *{}* can't be deployed now. {} {way_out}",
        escape(&project.name),
        self::obstacles(obstacles, Medium::Slack).unwrap_or_default(),
    )
}

/// That a deployment was started over locks and freezes, by whom and why.
pub fn passed(view: &View, passed: &Passed, medium: Medium) -> String {
    format!(
        "⚡ Started by {} all the same: {}. {}",
        medium.person(&view.started_by),
        medium.quote(&truncate(ended(&passed.reason), 300)),
        obstacles(&passed.obstacles, medium).unwrap_or_default()
    )
}

/// There is no lock to lift.
pub const NOT_LOCKED: &str = "It isn't locked.";

/// What became of a wish to lock or to unlock.
pub fn locked(turn: &Turn) -> Option<Content> {
    let sentence = match turn {
        Turn::Held(lock) => format!(
            "🚫 Nothing was changed. {} `/deploy unlock` lifts it.",
            obstacle(&Obstacle::Locked(lock.clone()), Medium::Slack)
        ),
        Turn::Free => NOT_LOCKED.to_owned(),
        Turn::Done(_) | Turn::Seen => return None,
    };
    Some(private(&sentence))
}

/// For everybody in the channel: the lock is set.
pub fn now_locked(project: &Project, lock: &Lock) -> Content {
    private(&format!(
        "*{}* · {} What runs goes on; nobody can start another.",
        escape(&project.name),
        obstacle(&Obstacle::Locked(lock.clone()), Medium::Slack)
    ))
}

/// For everybody in the channel: the lock is lifted.
pub fn now_unlocked(project: &Project, lock: &Lock, by: &Actor) -> Content {
    private(&format!(
        "*{}* · 🔓 Unlocked by {}. It was locked by {} since {}: {}.",
        escape(&project.name),
        Medium::Slack.person(by),
        Medium::Slack.person(&lock.by),
        Medium::Slack.time(lock.at),
        escape(&truncate(ended(&lock.reason), 300))
    ))
}

/// A place in the queue.
pub fn queued(place: usize) -> Content {
    private(&match place {
        1 => "🕐 You are next: yours starts by itself when what runs has ended. `/deploy queue cancel` takes it out."
            .to_owned(),
        place => format!(
            "🕐 You are number {place} in the queue: yours starts by itself. `/deploy queue cancel` takes it out."
        ),
    })
}

/// No place is left in the queue.
pub fn queue_full(places: usize) -> Content {
    private(&format!(
        "🚫 The queue is full: {places} wait already. `/deploy queue` shows who."
    ))
}

/// Who waits in the queue: person and since when.
pub fn queue(line: &[(Actor, DateTime<Utc>)]) -> Content {
    let row = |(index, (who, at)): (usize, &(Actor, DateTime<Utc>))| {
        format!(
            "{}. {} since {}",
            index + 1,
            Medium::Slack.person(who),
            Medium::Slack.time(*at)
        )
    };
    match line {
        [] => private("Nobody waits in the queue."),
        line => {
            let rows: Vec<String> = line.iter().enumerate().map(row).collect();
            private(&format!("🕐 *Next to start:*\n{}", rows.join("\n")))
        }
    }
}

/// How many wait to start.
pub fn in_the_queue(starts: usize) -> String {
    format!("🕐 {} in the queue.", counted(starts, "start"))
}

/// Leaving the queue.
pub fn left_queue(stood: bool) -> Content {
    private(match stood {
        true => "Taken out of the queue.",
        false => "You don't stand in the queue.",
    })
}

/// To somebody whose start from the queue is not made.
pub fn not_started_from_queue(who: &Actor, why: &str) -> Content {
    private(&format!(
        "🕐 {}, it was your turn, but nothing could be started, and you are out of the queue. {why}",
        Medium::Slack.person(who)
    ))
}

/// To somebody whose start came from the queue.
pub fn started_from_queue(view: &View, since: DateTime<Utc>) -> Content {
    private(&format!(
        "🕐 {}, your turn: queued since {}, started {}.",
        Medium::Slack.person(&view.started_by),
        Medium::Slack.time(since),
        Medium::Slack.time(view.started_at)
    ))
}

/// A nudge came too soon after another, or nothing waits for people.
pub fn not_nudged(next: Option<DateTime<Utc>>) -> Content {
    private(&match next {
        Some(next) => format!(
            "Somebody nudged already; the next nudge can come from {} on.",
            Medium::Slack.time(next)
        ),
        None => "Nothing waits for people now.".to_owned(),
    })
}

/// Somebody asks again for what is waited for; `whom` are mentions.
pub fn nudged(by: &Actor, whom: &str, wait: &str) -> String {
    let by = Medium::Slack.person(by);
    // One mention is enough.
    match wait.contains(whom) {
        true => format!("👋 {by} asks. {wait}"),
        false => format!("👋 {whom}: {by} asks. {wait}"),
    }
}

/// That a deadline is near, said while there is time; `None` where nothing follows from it.
pub fn expires_soon(question: &Question, deadline: DateTime<Utc>, whom: &str) -> Option<String> {
    let (what, then) = match &question.kind {
        QuestionKind::ConfirmPrList { .. } => ("confirms the list", "everything is undone"),
        QuestionKind::Approve { .. } => ("approves the point of no return", "everything is undone"),
        QuestionKind::Issues { issues, .. } => (
            "says what becomes of the resolved issues",
            number(issues.len(), "it stays open", "they stay open"),
        ),
        QuestionKind::Attention { .. } | QuestionKind::Checklist { .. } | QuestionKind::Unmerged { .. } => return None,
    };
    Some(format!(
        "⌛ {whom}: if nobody {what} by {}, {then}.",
        Medium::Slack.time(deadline)
    ))
}

/// Why a train is called off before anything is merged: the base branch has moved, and not so that the train still fits. Raw, as every
/// reason is.
pub fn clash(base: &str, clash: &Clash) -> String {
    let what = match clash {
        Clash::Conflict(files) => {
            let shown: Vec<String> = match files.len().saturating_sub(3) {
                0 => files.clone(),
                more => files[..3].iter().cloned().chain([format!("{more} more")]).collect(),
            };
            format!("what would ship conflicts with it in {}", listed(&shown, "and"))
        }
        Clash::Version(version) => format!("its version is {version} by now"),
    };
    format!("{base} has moved on, and {what}; start again, and the plan begins at {base} as it is now")
}

/// No notes yet.
pub fn no_notes() -> Content {
    private("There is no list of pull requests yet, so there are no notes.")
}

/// Notes that nobody has published yet.
pub fn preliminary(mut notes: Content) -> Content {
    notes.blocks.truncate(kit::BLOCKS - 1);
    notes.blocks.push(kit::context(
        "As they would be now. Nothing is published until the release is there.",
    ));
    notes
}

/// Over what an abort would undo.
pub const WOULD_UNDO: &str = "This will be undone, newest first, and read back from GitHub:";

/// What an abort undoes, one line each.
pub fn undoes(view: &View, medium: Medium) -> Vec<String> {
    let mut lines = Vec::new();
    let retargeted = view.unmerged();
    if !retargeted.is_empty() {
        let numbers: Vec<String> = retargeted.iter().map(|car| format!("#{}", car.number)).collect();
        lines.push(format!(
            "{} {} back to {}",
            listed(&numbers, "and"),
            number(numbers.len(), "goes", "go"),
            medium.name(&view.base)
        ));
        lines.push(
            "reviews that the retarget dismissed are asked for again; the approvals themselves don't come back"
                .to_owned(),
        );
    }
    if let Some(branch) = &view.branch {
        lines.push(format!("the branch {} is deleted", medium.name(branch)));
    }
    lines.push("the workspace is deleted".to_owned());
    lines
}

/// What an abort undoes, as a list under its head.
pub fn undone_by(head: &str, view: &View, medium: Medium) -> Vec<String> {
    let lines = undoes(view, medium).into_iter().map(|line| format!("• {line}"));
    std::iter::once(head.to_owned()).chain(lines).collect()
}

/// An abort was taken: what it undoes now.
pub fn undoing(view: &View) -> Content {
    let head = "↩️ Undoing this, newest first; the receipt comes in the thread:";
    private(&undone_by(head, view, Medium::Slack).join("\n"))
}

/// What authors are told about their pull requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// On the list that people are asked to confirm.
    Planned,
    /// Not on it, for a reason that their author may not know of.
    LeftOut,
    /// No longer on it.
    Dropped,
    /// Left out while merging.
    Skipped,
    /// Released.
    Shipped,
}

/// The first line of what authors are told.
pub fn fate(fate: Fate, view: &View) -> String {
    match fate {
        Fate::Planned => "🎫 On the list:".to_owned(),
        Fate::LeftOut => "⏭️ Not on the list:".to_owned(),
        Fate::Dropped => "⏭️ No longer on the list:".to_owned(),
        Fate::Skipped => "⏭️ Left out on the way, back on their base:".to_owned(),
        Fate::Shipped => format!("🚢 Shipped in {}:", escape(&title(view))),
    }
}

/// The App Home's words.
pub mod home {
    /// Its parts.
    pub const WAITS: &str = "Waits for you";
    /// Its parts.
    pub const IN_FLIGHT: &str = "Your pull requests in flight";
    /// Its parts.
    pub const RUNS: &str = "What runs now";
    /// Nothing waits.
    pub const NOTHING_WAITS: &str = "Nothing. When a deployment needs you, it stands here.";
    /// None is on a train.
    pub const NONE_IN_FLIGHT: &str = "None is on a train now.";
    /// Whose pull requests?
    pub const NO_LOGIN: &str =
        "Shipmate doesn't know your GitHub login; whoever runs it can add you to `[people]` in its configuration.";
    /// Nothing runs.
    pub const NOTHING_RUNS: &str = "Nothing. Type `/deploy start` in a deploy channel.";
    /// Mentions are on.
    pub const MENTIONED: &str = "You are mentioned when you are needed and when your pull requests move.";
    /// Mentions are off.
    pub const MUTED: &str = "You are not mentioned: your name is written without a ping.";
}
