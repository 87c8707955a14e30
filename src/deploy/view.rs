//! What people see of a deployment: a pure function of its journal, drawn by Slack, dashboard and command line alike.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, from_value};

use super::deploy_pr::{Asked, DeployPr};
use super::lock::Obstacle;
use super::merge_prs::AskReviewersAgain;
use super::post_deploy::{Found, Ran, Released};
use super::progress::Progress;
use super::runbook::{Line, Phase, RUNBOOK, line_of};
use super::text;
use super::train::{Car, Excluded, Plan, Shipped, VersionPlan};
use super::wait_and_merge::{Green, MergeDeployPr, Merging, WaitForCi};
use super::{Item, NUDGE, Request, read_request, ticks};
use crate::config::Permissions;
use crate::github::Issue;
use crate::saga::history::{CheckpointState, Compensation, Decided, StepPhase, StepState};
use crate::saga::{Actor, Event, History, Outcome, Step};

/// After so many, at twice the gap each time, nobody will answer any more.
const REMINDERS: u32 = 20;

/// A deployment at one instant.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// Its id.
    pub id: String,
    /// Its project.
    pub project: String,
    /// `owner/name`.
    pub repo: String,
    /// The channel it lives in.
    pub channel: String,
    /// Who may decide.
    pub permissions: Permissions,
    /// Where it stands, in the words that people read everywhere.
    pub state: State,
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// By whom.
    pub started_by: Actor,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The five phases with their steps.
    pub phases: Vec<PhaseView>,
    /// Who rides, and how far each is.
    pub cars: Vec<CarView>,
    /// Who doesn't, and why.
    pub excluded: Vec<Excluded>,
    /// The version bump, once planned.
    pub version: Option<VersionPlan>,
    /// The deploy branch, once there.
    pub branch: Option<String>,
    /// The base branch.
    pub base: String,
    /// The workspace, while there.
    pub workspace: Option<String>,
    /// The deploy pull request.
    pub deploy_pr: Option<DeployPr>,
    /// Whether it is merged.
    pub deploy_pr_merged: bool,
    /// Page of the Actions run.
    pub run_url: Option<String>,
    /// The release.
    pub release: Option<Released>,
    /// What the train carried.
    pub shipped: Option<Shipped>,
    /// What waits for a person.
    pub questions: Vec<Question>,
    /// What nobody answered before it no longer mattered: everything was undone first.
    pub lapsed: Vec<Question>,
    /// What was decided, in order.
    pub decisions: Vec<Decision>,
    /// What the running step said last.
    pub progress: Option<Progress>,
    /// Since when the current step runs or waits.
    pub current: Option<Current>,
    /// Why it is being undone, or was.
    pub undone_because: Option<String>,
    /// Who asked for that, if somebody did.
    pub aborted_by: Option<Actor>,
    /// What steps noticed on their way that people should know, one sentence each.
    pub remarks: Vec<String>,
    /// Why it was started over locks and freezes, and over which.
    pub passed: Option<Passed>,
    /// Since when it stood in the queue, if it did.
    pub queued: Option<DateTime<Utc>>,
    /// Who asked again for what it waits for, oldest first.
    pub nudges: Vec<Nudge>,
    /// What was read back after undoing, line by line; failures among them.
    pub receipt: Vec<ReceiptLine>,
}

/// Where a deployment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// At work.
    Running,
    /// Waits for a person at a checkpoint.
    Waiting,
    /// Something failed and a person must choose.
    NeedsAttention,
    /// Being undone.
    Undoing,
    /// Everything done.
    Completed,
    /// Everything undone.
    Undone,
    /// Stopped by a person after the point of no return.
    Stopped,
}

/// Where a step or phase stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stand {
    /// Not begun.
    Pending,
    /// At work.
    Running,
    /// Waits for a person.
    Waiting,
    /// Failed; tried again by itself.
    Retrying,
    /// Failed; a person must choose.
    Failed,
    /// Done.
    Done,
    /// Left out.
    Skipped,
    /// Taken back.
    Undone,
    /// Not gone on with, because a person stopped the deployment.
    Stopped,
}

/// One phase.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseView {
    /// Which.
    pub phase: Phase,
    /// Its worst or furthest step.
    pub state: Stand,
    /// When its first step started.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last step ended, once all have.
    pub ended_at: Option<DateTime<Utc>>,
    /// Its steps, in the runbook's order.
    pub steps: Vec<StepView>,
}

/// One line of the runbook.
#[derive(Clone, Debug, Serialize)]
pub struct StepView {
    /// Its name.
    pub name: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Where it stands.
    pub state: Stand,
    /// When it first started.
    pub started_at: Option<DateTime<Utc>>,
    /// When its last run started: the one that counts after a failure that a person answered, or a list that was made anew.
    pub run_at: Option<DateTime<Utc>>,
    /// When it was done.
    pub ended_at: Option<DateTime<Utc>>,
    /// How long the last run of each of its parts took, once it is done: without what came between two runs.
    pub took: Option<Duration>,
    /// Attempts beyond the first, over all its parts.
    pub retries: u32,
    /// Parts done, of how many, where it has parts.
    pub count: Option<(usize, usize)>,
    /// The last error, while it matters.
    pub error: Option<String>,
}

/// One pull request of the train.
#[derive(Clone, Debug, Serialize)]
pub struct CarView {
    /// Who.
    pub car: Car,
    /// How far.
    pub state: CarState,
}

/// How far a pull request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CarState {
    /// In the plan.
    Planned,
    /// On the deploy branch.
    Retargeted,
    /// Being merged.
    Merging,
    /// Merged.
    Merged,
    /// Left out by a person.
    Skipped,
    /// Its merge failed.
    Failed,
    /// Back on its recorded base.
    PutBack,
}

/// An open checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    /// Its key.
    pub key: String,
    /// What kind of question.
    pub kind: QuestionKind,
    /// What people may choose.
    pub choices: Vec<String>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When it decides itself.
    pub deadline: Option<DateTime<Utc>>,
    /// Seconds to the first reminder.
    pub remind_after_s: Option<u64>,
    /// Who has voted for it so far.
    pub votes: Vec<Actor>,
}

/// What is asked.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "question", rename_all = "snake_case")]
pub enum QuestionKind {
    /// Is this the list?
    ConfirmPrList {
        /// The train.
        plan: Box<Plan>,
    },
    /// Merge exactly this?
    Approve {
        /// The train.
        plan: Box<Plan>,
        /// Carried by the button.
        digest: String,
        /// What changed since people saw the plan last.
        changes: Vec<String>,
        /// Approvals that the retarget dismissed.
        dismissed: Vec<(u64, Vec<String>)>,
        /// Commits on the deploy branch that aren't ours.
        foreign: Vec<String>,
        /// How many people must approve.
        approvals: u64,
    },
    /// Retry, skip or stop?
    Attention {
        /// The step; `None`: the deployment itself.
        step: Option<String>,
        /// What went wrong, in one sentence.
        error: String,
    },
    /// Which items are done?
    Checklist {
        /// Item, and who ticked it when.
        items: Vec<Item>,
    },
    /// What becomes of the issues that shipped and are still open?
    Issues {
        /// They.
        issues: Vec<Issue>,
        /// What would be said in them.
        comment: String,
    },
    /// What becomes of what wasn't merged?
    Unmerged {
        /// Numbers.
        unmerged: Vec<u64>,
        /// The open deploy pull request.
        deploy_pr: Option<u64>,
    },
}

/// A decided checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// Its key.
    pub key: String,
    /// What was asked.
    pub kind: QuestionKind,
    /// What was chosen.
    pub choice: String,
    /// By whom.
    pub by: Actor,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is going on now.
#[derive(Clone, Debug, Serialize)]
pub struct Current {
    /// The step's key.
    pub key: String,
    /// In a few words.
    pub title: &'static str,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The last error, if it is being tried again, and when.
    pub retrying: Option<(String, DateTime<Utc>)>,
}

/// An override: recorded with the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// In the starter's words: escape before showing.
    pub reason: String,
    /// What would have kept it from starting.
    pub obstacles: Vec<Obstacle>,
}

/// Somebody asked again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nudge {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: DateTime<Utc>,
    /// The key of the question or step that was waited for.
    pub about: String,
}

/// A line of the receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptLine {
    /// It is as it was.
    pub ok: bool,
    /// What was read back, or what failed.
    pub text: String,
}

impl Question {
    /// When people are reminded of it, one after the other: the gaps double. Nobody is once the deadline has decided.
    pub fn reminders(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let gap = self.remind_after_s.and_then(|seconds| i64::try_from(seconds).ok());
        let due = move |n: u32| {
            let after = gap?.max(1).checked_mul((1_i64 << n) - 1)?;
            self.since.checked_add_signed(TimeDelta::try_seconds(after)?)
        };
        (1..=REMINDERS)
            .map_while(due)
            .take_while(|&at| self.deadline.is_none_or(|deadline| at < deadline))
    }

    /// When people are told that the deadline is near, an hour before or when a quarter of a shorter time is left; and the deadline.
    pub fn warning(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let deadline = self.deadline?;
        let lead = ((deadline - self.since) / 4).min(TimeDelta::hours(1));
        Some((deadline - lead, deadline))
    }

    /// When people are reminded or warned next.
    pub fn next_reminder(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let warning = self.warning().map(|(at, _)| at);
        self.reminders().chain(warning).filter(|&at| at > now).min()
    }
}

impl View {
    /// The view of a journal.
    pub fn of(id: &str, history: &History) -> Self {
        let (started_at, started_by, project, request) = start(history);
        let plan = latest_plan(history);
        let mut view = Self {
            id: id.to_owned(),
            repo: request
                .as_ref()
                .map(|request| request.project.repo.to_string())
                .unwrap_or_default(),
            channel: request
                .as_ref()
                .map(|request| request.project.channel.clone())
                .unwrap_or_default(),
            permissions: request
                .as_ref()
                .map(|request| request.project.permissions.clone())
                .unwrap_or_default(),
            base: request
                .as_ref()
                .map(|request| request.project.base_branch.clone())
                .unwrap_or_default(),
            project,
            state: State::Running,
            started_at,
            started_by,
            ended_at: history
                .outcome()
                .and_then(|_| history.records().last().map(|record| record.at)),
            phases: phases(history),
            cars: Vec::new(),
            excluded: plan.as_ref().map(|plan| plan.excluded.clone()).unwrap_or_default(),
            version: plan.as_ref().map(|plan| plan.version.clone()),
            branch: output(history, "create_deploy_branch"),
            workspace: output(history, "create_workspace"),
            deploy_pr: output(history, "create_pull_request"),
            deploy_pr_merged: deploy_pr_merged(history).is_some(),
            run_url: run_url(history),
            release: output(history, "wait_for_release"),
            shipped: output(history, "collect_merged_pr_info"),
            questions: history.open_checkpoints().filter_map(question).collect(),
            lapsed: lapsed(history).filter_map(question).collect(),
            decisions: history.checkpoints().iter().filter_map(decision).collect(),
            progress: None,
            current: current(history),
            undone_because: history.unwinding().map(str::to_owned),
            aborted_by: history.abort().map(|(by, _)| by.clone()),
            remarks: remarks(history),
            passed: request.as_ref().and_then(passed),
            queued: request.as_ref().and_then(|request| request.queued),
            nudges: nudges(history),
            receipt: receipt(history),
        };
        view.cars = plan.map(|plan| cars(history, plan.cars)).unwrap_or_default();
        view.progress = view
            .current
            .as_ref()
            .and_then(|current| progress(history, &current.key));
        view.state = state(history, &view);
        view
    }

    /// It has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Completed | State::Undone | State::Stopped)
    }

    /// An abort is still possible.
    pub fn can_abort(&self) -> bool {
        let merging = self
            .cars
            .iter()
            .any(|car| matches!(car.state, CarState::Merging | CarState::Merged | CarState::Failed));
        !self.is_over() && self.state != State::Undoing && !merging
    }

    /// Who may approve the point of no return.
    pub fn approvers(&self) -> Vec<String> {
        let starter = match &self.started_by {
            Actor::Slack(id) | Actor::Local(id) if self.permissions.two_person => Some(id),
            _ => None,
        };
        let approvers = self.permissions.approve.iter();
        approvers.filter(|id| Some(*id) != starter).cloned().collect()
    }

    /// On the deploy branch, and not merged.
    pub fn unmerged(&self) -> Vec<Car> {
        let stuck = |car: &&CarView| matches!(car.state, CarState::Retargeted | CarState::Merging | CarState::Failed);
        self.cars.iter().filter(stuck).map(|car| car.car.clone()).collect()
    }

    /// The deploy pull request, if it is there and not merged.
    pub fn unmerged_deploy_pr(&self) -> Option<u64> {
        self.deploy_pr
            .as_ref()
            .filter(|_| !self.deploy_pr_merged)
            .map(|pr| pr.number)
    }
}

fn start(history: &History) -> (DateTime<Utc>, Actor, String, Option<Request>) {
    match history.start() {
        Some(record) => match &record.event {
            Event::SagaStarted { by, project, input, .. } => {
                (record.at, by.clone(), project.clone(), read_request(input).ok())
            }
            _ => (record.at, Actor::Shipmate, String::new(), None),
        },
        None => (DateTime::UNIX_EPOCH, Actor::Shipmate, String::new(), None),
    }
}

fn passed(request: &Request) -> Option<Passed> {
    Some(Passed {
        reason: request.override_reason.clone()?,
        obstacles: request.passed.clone(),
    })
}

fn nudges(history: &History) -> Vec<Nudge> {
    let nudge = |record: &std::sync::Arc<crate::saga::Record>| match &record.event {
        Event::Signalled { key, by, value } if value == NUDGE => Some(Nudge {
            by: by.clone(),
            at: record.at,
            about: key.clone(),
        }),
        _ => None,
    };
    history.records().iter().filter_map(nudge).collect()
}

fn output<T: serde::de::DeserializeOwned>(history: &History, key: &str) -> Option<T> {
    match &history.step(key)?.phase {
        StepPhase::Completed(output) => from_value(output.clone()).ok(),
        _ => None,
    }
}

fn completed(history: &History, key: &str) -> bool {
    history
        .step(key)
        .is_some_and(|step| matches!(step.phase, StepPhase::Completed(_)))
}

/// The last round of a step that begins anew when its subject has changed; not every round comes as far as each step.
fn last_round<'a>(history: &'a History, kind: &str) -> Option<&'a StepState> {
    history.steps().iter().rev().find(|step| step.kind == kind)
}

/// The step that merged the deploy pull request, once it is done.
pub fn deploy_pr_merged(history: &History) -> Option<&StepState> {
    let step = last_round(history, MergeDeployPr::KIND)?;
    let merged = matches!(output(history, &step.key)?, Merging::Merged(_));
    merged.then_some(step)
}

/// The plan as people saw it last.
fn latest_plan(history: &History) -> Option<Plan> {
    let with_plan = history
        .checkpoints()
        .iter()
        .rev()
        .find(|state| !state.data["plan"].is_null())?;
    from_value(with_plan.data["plan"].clone()).ok()
}

fn run_url(history: &History) -> Option<String> {
    let ran: Option<Ran> = output(history, "watch_deploy_run");
    let found: Option<Found> = output(history, "post_deploy_link");
    let watched = match progress(history, "watch_deploy_run") {
        Some(Progress::Run { url, .. }) => Some(url),
        _ => None,
    };
    ran.map(|ran| ran.url)
        .or(watched)
        .or_else(|| found.and_then(|found| found.run).map(|(_, url)| url))
}

fn progress(history: &History, key: &str) -> Option<Progress> {
    from_value(history.step(key)?.progress.clone()?).ok()
}

fn cars(history: &History, cars: Vec<Car>) -> Vec<CarView> {
    let state = |car: &Car| {
        let step = |key: String| history.step(&key);
        let base = step(format!("change_pr_bases/{}", car.number));
        let merge = step(format!("merge_pr/{}", car.number));
        let back = [
            format!("merge_pr/{}/put_back", car.number),
            format!("stopped/put_back/{}", car.number),
        ];
        if base.is_some_and(|base| matches!(base.compensation, Compensation::Completed(_)))
            || back.iter().any(|key| completed(history, key))
        {
            return CarState::PutBack;
        }
        match merge.map(|merge| &merge.phase) {
            Some(StepPhase::Completed(_)) => CarState::Merged,
            Some(StepPhase::Skipped) => CarState::Skipped,
            Some(StepPhase::Failed { retry_at: None, .. }) => CarState::Failed,
            Some(_) => CarState::Merging,
            None if base.is_some_and(|base| matches!(base.phase, StepPhase::Completed(_))) => CarState::Retargeted,
            None => CarState::Planned,
        }
    };
    let viewed = cars.into_iter().map(|car| CarView {
        state: state(&car),
        car,
    });
    viewed.collect()
}

fn phases(history: &History) -> Vec<PhaseView> {
    let planned = latest_plan(history).map_or(0, |plan| plan.cars.len());
    let phase = |phase: Phase| {
        let lines = RUNBOOK.iter().filter(|line| line.phase == phase);
        let steps: Vec<StepView> = lines.map(|line| step_view(history, line, planned)).collect();
        let state = at_rest(history.outcome(), phase_state(&steps));
        let done = matches!(state, Stand::Done | Stand::Undone | Stand::Stopped);
        PhaseView {
            phase,
            state,
            started_at: steps.iter().filter_map(|step| step.started_at).min(),
            ended_at: steps.iter().filter_map(|step| step.ended_at).max().filter(|_| done),
            steps,
        }
    };
    Phase::ALL.into_iter().map(phase).collect()
}

fn phase_state(steps: &[StepView]) -> Stand {
    use Stand::{Done, Failed, Pending, Retrying, Running, Skipped, Undone, Waiting};
    let any = |state| steps.iter().any(|step| step.state == state);
    let loudest = [Failed, Waiting, Retrying, Running]
        .into_iter()
        .find(|&state| any(state));
    let begun = any(Done) || any(Skipped);
    match loudest {
        Some(state) => state,
        None if any(Undone) => Undone,
        None if begun && any(Pending) => Running,
        None if begun => Done,
        None => Pending,
    }
}

/// Nothing of a deployment that has ended runs or waits.
fn at_rest(outcome: Option<Outcome>, state: Stand) -> Stand {
    match (state, outcome) {
        (Stand::Running | Stand::Waiting | Stand::Retrying | Stand::Failed, Some(outcome)) => match outcome {
            Outcome::Completed => Stand::Done,
            Outcome::Undone => Stand::Undone,
            Outcome::Stopped => Stand::Stopped,
        },
        (state, _) => state,
    }
}

fn belongs(key: &str, line: &Line) -> bool {
    line_of(key) == Some(line)
}

fn step_view(history: &History, line: &Line, planned: usize) -> StepView {
    let parts: Vec<&StepState> = history.steps().iter().filter(|step| belongs(&step.key, line)).collect();
    let asked: Vec<&CheckpointState> = history
        .checkpoints()
        .iter()
        .filter(|state| belongs(&state.key, line))
        .collect();
    let attention = |step: &StepState| {
        let prefix = format!("attention/{}/", step.key);
        history.open_checkpoints().any(|open| open.key.starts_with(&prefix))
    };
    let state = match (parts.last(), asked.last()) {
        _ if parts.iter().any(|step| attention(step)) => Stand::Failed,
        (_, Some(asked)) if line.checkpoint => match (&asked.decided, history.unwinding()) {
            (Some(_), _) => Stand::Done,
            (None, None) => Stand::Waiting,
            (None, Some(_)) => Stand::Undone,
        },
        (None, _) => Stand::Pending,
        (Some(last), _) => part_state(history, last, &parts, planned, line),
    };
    let state = at_rest(history.outcome(), state);
    let errors = parts.iter().rev().find_map(|step| match &step.phase {
        StepPhase::Failed { error, .. } => Some(error.clone()),
        _ => None,
    });
    let starts = parts
        .iter()
        .map(|step| step.first_started)
        .chain(asked.iter().map(|state| state.opened));
    let decided = asked
        .iter()
        .filter_map(|state| state.decided.as_ref())
        .map(|decided| decided.at);
    let ends = parts.iter().map(|step| step.last_event).chain(decided);
    let over = matches!(state, Stand::Done | Stand::Undone | Stand::Skipped | Stand::Stopped);
    StepView {
        name: line.name,
        title: line.title,
        state,
        started_at: starts.min(),
        run_at: run_at(line, &parts, &asked),
        ended_at: ends.max().filter(|_| over),
        took: (state == Stand::Done).then(|| took(line, &parts, &asked)),
        retries: parts.iter().map(|step| step.attempts.saturating_sub(1)).sum(),
        count: count(&parts, planned, line),
        error: errors,
    }
}

/// What is done anew in another round, by one name over all rounds.
fn over_rounds<'a>(line: &Line, key: &'a str) -> &'a str {
    match key.split_once('/') {
        Some((name, round)) if !has_parts(line) && is_round(round) => name,
        _ => key,
    }
}

/// `2`, and `approve-2` of what is looked at once more before an approval.
fn is_round(suffix: &str) -> bool {
    suffix.strip_prefix("approve-").unwrap_or(suffix).parse::<u32>().is_ok()
}

/// When a step's last run began.
fn began(step: &StepState) -> DateTime<Utc> {
    step.round_began.unwrap_or(step.first_started)
}

fn run_at(line: &Line, parts: &[&StepState], asked: &[&CheckpointState]) -> Option<DateTime<Utc>> {
    match has_parts(line) {
        true => parts.iter().map(|step| step.first_started).min(),
        false => {
            let starts = parts.iter().map(|step| began(step));
            starts.chain(asked.iter().map(|state| state.opened)).max()
        }
    }
}

/// The last run of each part that worked; where people are asked, the last time that each question was. What goes on at the same time counts
/// once.
fn took(line: &Line, parts: &[&StepState], asked: &[&CheckpointState]) -> Duration {
    let worked = parts
        .iter()
        .filter(|step| matches!(step.phase, StepPhase::Completed(_)))
        .map(|step| (step.key.as_str(), began(step), step.last_event));
    let answered = asked
        .iter()
        .filter_map(|state| Some((state.key.as_str(), state.opened, state.decided.as_ref()?.at)));
    let runs: Vec<_> = match line.checkpoint {
        true => answered.collect(),
        false => worked.collect(),
    };
    let last: HashMap<&str, _> = runs
        .into_iter()
        .map(|(key, from, to)| (over_rounds(line, key), (from, to)))
        .collect();
    let mut spans: Vec<_> = last.into_values().collect();
    spans.sort();
    let mut counted_until = DateTime::<Utc>::MIN_UTC;
    let mut total = TimeDelta::zero();
    for (from, to) in spans {
        total += (to - from.max(counted_until)).max(TimeDelta::zero());
        counted_until = counted_until.max(to);
    }
    total.to_std().unwrap_or_default()
}

/// Steps with one part a pull request.
fn has_parts(line: &Line) -> bool {
    matches!(line.name, "change_pr_bases" | "merge_pr")
}

fn is_part(step: &StepState) -> bool {
    step.key.split('/').count() == 2
}

fn count(parts: &[&StepState], planned: usize, line: &Line) -> Option<(usize, usize)> {
    let done = |step: &&&StepState| {
        is_part(step)
            && step.compensation == Compensation::None
            && matches!(step.phase, StepPhase::Completed(_) | StepPhase::Skipped)
    };
    (has_parts(line) && planned > 0).then(|| (parts.iter().filter(done).count(), planned))
}

fn part_state(history: &History, last: &StepState, parts: &[&StepState], planned: usize, line: &Line) -> Stand {
    if parts.iter().any(|step| step.compensation != Compensation::None) {
        return Stand::Undone;
    }
    match &last.phase {
        StepPhase::Completed(_) | StepPhase::Skipped
            if has_parts(line)
                && history.unwinding().is_none()
                && count(parts, planned, line).is_some_and(|(done, all)| done < all) =>
        {
            Stand::Running
        }
        // Another head came in, for which it is still to be done.
        StepPhase::Completed(output) if output.get("moved").is_some() => Stand::Pending,
        StepPhase::Completed(_) => Stand::Done,
        StepPhase::Skipped => Stand::Skipped,
        StepPhase::Failed { retry_at: Some(_), .. } => Stand::Retrying,
        StepPhase::Failed { retry_at: None, .. } => Stand::Failed,
        StepPhase::Started if history.unwinding().is_some() => Stand::Undone,
        StepPhase::Started => Stand::Running,
    }
}

fn current(history: &History) -> Option<Current> {
    if history.outcome().is_some() {
        return None;
    }
    let busy = history.steps().iter().rev().find(|step| match history.unwinding() {
        Some(_) => step.compensation == Compensation::Started,
        None => matches!(step.phase, StepPhase::Started | StepPhase::Failed { .. }),
    })?;
    Some(Current {
        key: busy.key.clone(),
        title: match line_of(&busy.key) {
            Some(line) if !line.checkpoint => line.title,
            Some(line) if line.name == "approve_point_of_no_return" => "comparing the plan with GitHub",
            _ => "tidying up",
        },
        since: busy.round_began.unwrap_or(busy.last_event),
        retrying: match &busy.phase {
            StepPhase::Failed {
                error,
                retry_at: Some(at),
            } => Some((error.clone(), *at)),
            _ => None,
        },
    })
}

fn question(state: &CheckpointState) -> Option<Question> {
    Some(Question {
        key: state.key.clone(),
        kind: kind(state)?,
        choices: state.choices.clone(),
        since: state.opened,
        deadline: state.deadline,
        remind_after_s: state.remind_after_s,
        votes: votes(state),
    })
}

fn lapsed(history: &History) -> impl Iterator<Item = &CheckpointState> {
    let lapsed = |state: &&CheckpointState| state.decided.is_none() && !history.takes_decisions(state);
    history.checkpoints().iter().filter(lapsed)
}

fn votes(state: &CheckpointState) -> Vec<Actor> {
    let mut votes: Vec<Actor> = Vec::new();
    for (by, value, _) in &state.signals {
        if value == super::choice::APPROVE && !votes.contains(by) {
            votes.push(by.clone());
        }
    }
    votes
}

fn kind(state: &CheckpointState) -> Option<QuestionKind> {
    fn field<T: serde::de::DeserializeOwned>(data: &Value, name: &str) -> Option<T> {
        from_value(data[name].clone()).ok()
    }
    let data = &state.data;
    let name = state.key.split('/').next()?;
    Some(match name {
        "confirm_pr_list" => QuestionKind::ConfirmPrList {
            plan: field(data, "plan")?,
        },
        "approve_point_of_no_return" => QuestionKind::Approve {
            plan: field(data, "plan")?,
            digest: field(data, "digest")?,
            changes: field(data, "changes")?,
            dismissed: field(data, "dismissed")?,
            foreign: field(data, "foreign")?,
            approvals: field(data, "approvals")?,
        },
        "attention" => QuestionKind::Attention {
            step: field(data, "step"),
            error: field(data, "error").unwrap_or_default(),
        },
        "post_release_checklist" if state.key == "post_release_checklist/issues" => QuestionKind::Issues {
            issues: field(data, "issues")?,
            comment: field(data, "comment")?,
        },
        "post_release_checklist" => QuestionKind::Checklist { items: ticks(state) },
        "stopped" => QuestionKind::Unmerged {
            unmerged: field(data, "unmerged")?,
            deploy_pr: field(data, "deploy_pr"),
        },
        _ => return None,
    })
}

fn decision(state: &CheckpointState) -> Option<Decision> {
    let Decided { choice, by, at, .. } = state.decided.clone()?;
    Some(Decision {
        key: state.key.clone(),
        kind: kind(state)?,
        choice,
        by,
        at,
    })
}

fn remarks(history: &History) -> Vec<String> {
    let asked: Option<Asked> = output(history, "request_review");
    let misfits = asked.map(|asked| asked.misfits).unwrap_or_default();
    let refused = |misfit: &String| format!("GitHub could not ask {misfit}");
    let deploy_pr: Option<DeployPr> = output(history, "create_pull_request");
    let green: Option<Green> = last_round(history, WaitForCi::KIND).and_then(|step| output(history, &step.key));
    let red = deploy_pr
        .zip(green)
        .and_then(|(pr, green)| text::optional_red(&[(pr.number, green.red)]));
    let moved: Vec<String> = output(history, "merge_deploy_pr/stacked").unwrap_or_default();
    let again = history.steps().iter().flat_map(not_asked_again);
    again
        .chain(misfits.iter().map(refused))
        .chain(red)
        .chain(moved)
        .collect()
}

/// Who couldn't be asked for the review that the retarget had cost.
fn not_asked_again(step: &StepState) -> Vec<String> {
    let StepPhase::Completed(output) = &step.phase else {
        return Vec::new();
    };
    let asked: Option<Asked> = match step.kind == AskReviewersAgain::KIND {
        true => from_value(output.clone()).ok().flatten(),
        false => None,
    };
    let misfits = asked.map(|asked| asked.misfits).unwrap_or_default();
    let number = &step.input["number"];
    let refused = |misfit: String| format!("GitHub could not ask again about #{number}: {misfit}");
    misfits.into_iter().map(refused).collect()
}

fn receipt(history: &History) -> Vec<ReceiptLine> {
    let mut lines = Vec::new();
    for step in history.steps().iter().rev() {
        match &step.compensation {
            Compensation::Completed(receipt) => lines.extend(receipt.iter().map(|text| ReceiptLine {
                ok: true,
                text: text.clone(),
            })),
            Compensation::Failed(error) => lines.push(ReceiptLine {
                ok: false,
                text: error.clone(),
            }),
            Compensation::None | Compensation::Started => {}
        }
        if step.key.starts_with("stopped/put_back/")
            && let Some(receipt) = output::<Vec<String>>(history, &step.key)
        {
            lines.extend(receipt.into_iter().map(|text| ReceiptLine { ok: true, text }));
        }
    }
    lines
}

fn state(history: &History, view: &View) -> State {
    match history.outcome() {
        Some(Outcome::Completed) => State::Completed,
        Some(Outcome::Undone) => State::Undone,
        Some(Outcome::Stopped) => State::Stopped,
        None if history.unwinding().is_some() || history.abort().is_some() => State::Undoing,
        None => {
            let attention = |question: &Question| {
                matches!(
                    question.kind,
                    QuestionKind::Attention { .. } | QuestionKind::Unmerged { .. }
                )
            };
            match view.questions.as_slice() {
                [] => State::Running,
                questions if questions.iter().any(attention) => State::NeedsAttention,
                _ => State::Waiting,
            }
        }
    }
}
