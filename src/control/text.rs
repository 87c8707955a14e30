//! Every sentence that people read in a terminal.

use chrono::{DateTime, Utc};

use crate::config::Project;
use crate::deploy::begin::NotBegun;
use crate::deploy::lock::{Obstacle, Turn};
use crate::deploy::permits::Permit;
use crate::deploy::runbook::Phase;
use crate::deploy::text::{self as shared, Medium, counted, listed};
use crate::deploy::timeline::signal;
use crate::deploy::train::Plan;
use crate::deploy::view::{Question, QuestionKind, Stand, View};
use crate::deploy::{choice, runbook};
use crate::requests::Request;
use crate::saga::{Actor, Event, History};

const PLAIN: Medium = Medium::Plain;

/// Nothing runs.
pub fn idle(project: &str) -> String {
    format!("{project}: nothing runs. Start with: shipmate start {project}")
}

/// A deployment at a glance, with what can be decided and how.
pub fn status(view: &View, now: DateTime<Utc>) -> String {
    let (emoji, word) = shared::state(view.state);
    let mut lines = vec![format!("{} · {} · {emoji} {word}", view.id, shared::title(view))];
    lines.push(format!("  {}", shared::now(view, now, PLAIN)));
    if !view.is_over() {
        lines.extend(view.phases.iter().map(|phase| phase_line(phase.phase, phase.state)));
    }
    for car in &view.cars {
        let (emoji, word) = shared::car_state(car.state);
        lines.push(format!("  {emoji} {} · {word}", shared::car(&car.car, PLAIN)));
    }
    for question in &view.questions {
        lines.extend(
            how_to_decide(view, question)
                .into_iter()
                .map(|line| format!("  {line}")),
        );
    }
    if view.can_abort() {
        lines.push(format!("  Undo everything: shipmate abort {}", view.id));
    }
    lines.join("\n")
}

fn phase_line(phase: Phase, stand: Stand) -> String {
    let (emoji, word) = shared::stand(stand);
    format!("  {emoji} {} · {word}", phase.title())
}

/// What people may choose; an expiry is the machine's.
pub fn offered(question: &Question) -> impl Iterator<Item = &str> {
    let choices = question.choices.iter().map(String::as_str);
    choices.filter(|&choice| choice != choice::EXPIRE)
}

fn how_to_decide(view: &View, question: &Question) -> Vec<String> {
    let command = |chosen: &str| {
        let more = match (&question.kind, chosen) {
            (QuestionKind::Approve { digest, .. }, choice::APPROVE) => format!(" --plan {digest}"),
            (QuestionKind::ConfirmPrList { plan }, choice::EDIT) => {
                let numbers: Vec<String> = plan.cars.iter().map(|car| car.number.to_string()).collect();
                format!(" --only {}", numbers.join(","))
            }
            _ => String::new(),
        };
        let step = match &question.kind {
            QuestionKind::Attention { step, .. } => step.as_deref(),
            _ => None,
        };
        let label = shared::offered(chosen, step);
        format!("{label}: shipmate decide {} {} {chosen}{more}", view.id, question.key)
    };
    offered(question).map(command).collect()
}

/// The latest deployments, newest first.
pub fn history(views: &[View]) -> String {
    let line = |view: &View| {
        let (emoji, word) = shared::state(view.state);
        let version = view.version.as_ref().map_or("–", |version| version.to.as_str());
        let (at, by) = (PLAIN.time(view.started_at), PLAIN.person(&view.started_by));
        format!("{emoji} {} {} · {word} · {at} by {by}", view.id, PLAIN.quote(version))
    };
    match views {
        [] => shared::NO_DEPLOYMENT.to_owned(),
        views => views.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}

/// A deployment and all its events.
pub fn shown(view: &View, history: &History, now: DateTime<Utc>) -> String {
    let mut lines = vec![status(view, now), String::new()];
    for record in history.records() {
        lines.push(format!("  {}  {}", moment(record.at), event(history, &record.event)));
        lines.extend(record.event.requests().iter().map(request));
    }
    lines.join("\n")
}

/// A request of the event above, below its words.
fn request(request: &Request) -> String {
    let what = PLAIN.quote(&request.what);
    format!("{:27}{what}, request {}", "", PLAIN.quote(&request.id))
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// What happened, in one line.
fn event(history: &History, event: &Event) -> String {
    let person = |actor: &Actor| PLAIN.person(actor);
    let line = match event {
        Event::SagaStarted { by, .. } => format!("started by {}", person(by)),
        Event::SagaRecovered { version } => format!("Shipmate {version} was started and went on"),
        Event::StepStarted { key, attempt: 1, .. } => format!("{key}: {}", title(key)),
        Event::StepStarted { key, attempt, .. } => format!("{key}: attempt {attempt}"),
        Event::StepProgressed { key, .. } => format!("{key}: still at it"),
        Event::StepCompleted {
            key, observed: true, ..
        } => format!("{key}: found done"),
        Event::StepCompleted { key, .. } => format!("{key}: done"),
        Event::StepFailed {
            key, error, retry_at, ..
        } => match retry_at {
            Some(at) => format!("{key}: failed: {error} (again at {})", moment(*at)),
            None => format!("{key}: failed: {error}"),
        },
        Event::StepSuspended { key, .. } => format!("{key}: suspended, because Shipmate was stopping"),
        Event::StepSkipped { key } => format!("{key}: skipped"),
        Event::CheckpointOpened { key, choices, .. } => format!("{key}: waits for {}", listed(choices, "or")),
        Event::CheckpointDecided {
            key,
            choice,
            by,
            payload,
        } => {
            let reason = payload["reason"].as_str().map(|reason| format!(" ({reason})"));
            format!("{key}: {choice} by {}{}", person(by), reason.unwrap_or_default())
        }
        Event::Signalled { key, by, value } => format!("{key}: {} {}", person(by), signal(history, key, value)),
        Event::Refused { by, what, why } => format!("refused: {} may not {what}: {why}", person(by)),
        Event::AbortRequested { by, reason } => match reason {
            Some(reason) => format!("abort asked for by {}: {reason}", person(by)),
            None => format!("abort asked for by {}", person(by)),
        },
        Event::UnwindStarted { reason } => format!("undoing: {reason}"),
        Event::CompensationStarted { key } => format!("{key}: taking it back"),
        Event::CompensationCompleted { key, receipt, .. } if receipt.is_empty() => format!("{key}: taken back"),
        Event::CompensationCompleted { key, receipt, .. } => format!("{key}: taken back: {}", receipt.join("; ")),
        Event::CompensationFailed { key, error, .. } => format!("{key}: can't be taken back: {error}"),
        Event::SagaFinished { outcome } => format!("ended: {outcome:?}").to_lowercase(),
    };
    // A title or an error with control characters must not move the reader's cursor.
    PLAIN.quote(&line)
}

fn title(key: &str) -> &'static str {
    runbook::line_of(key).map_or("begun", |line| line.title)
}

/// What would ship.
pub fn plan(plan: &Plan) -> String {
    let mut lines = vec![
        format!(
            "{} → {}",
            PLAIN.quote(&plan.version.from),
            PLAIN.quote(&plan.version.to)
        ),
        shared::verdict(plan, PLAIN),
    ];
    lines.extend(plan.cars.iter().map(|car| format!("  {}", shared::car(car, PLAIN))));
    if !plan.excluded.is_empty() {
        lines.push(format!("Left out: {}", counted(plan.excluded.len(), "pull request")));
        lines.extend(
            plan.excluded
                .iter()
                .map(|out| format!("  {}", shared::excluded(out, PLAIN))),
        );
    }
    lines.push("Nothing was touched.".to_owned());
    lines.join("\n")
}

/// A deployment is on its way.
pub fn started(id: &str) -> String {
    format!("{id} is started. Follow it with: shipmate status --watch")
}

/// A decision is journaled.
pub fn decided(key: &str, choice: &str) -> String {
    format!("{key}: {choice} is noted.")
}

/// Asked before an abort.
pub const ABORT: &str = "Abort? [y/N] ";

/// Another answer than yes.
pub const NOT_ABORTED: &str = "Nothing was done.";

/// An abort that nobody can be asked about.
pub fn say_yes(id: &str) -> String {
    format!("Nothing was done: there is no terminal to ask at. To abort without being asked: shipmate abort {id} --yes")
}

/// An abort is journaled.
pub fn aborting(id: &str) -> String {
    format!("{id} is being undone. Follow it with: shipmate status --watch")
}

/// One deployment at a time.
pub fn already_running(project: &str, id: &str) -> String {
    format!("{id} is running, and {project} ships one release at a time; see it with: shipmate status {project}")
}

/// Who asks may not; names the setting.
pub fn may_not(project: &Project, by: &Actor, permit: Permit<'_>) -> String {
    let name = PLAIN.person(by);
    format!(
        "{name} may not {}: `{}` in [projects.permissions] of {} doesn't name \"{name}\" (\"*\" is the channel's people only). Add it and restart Shipmate, or ask {}.",
        permit.what,
        permit.setting,
        project.name,
        PLAIN.holders(permit.holders),
    )
}

/// No such project.
pub fn unknown_project(name: &str, projects: &[Project]) -> String {
    let known: Vec<String> = projects.iter().map(|project| project.name.clone()).collect();
    format!("There is no project {name:?}; there is {}.", listed(&known, "and"))
}

/// No such deployment.
pub fn unknown_deployment(id: &str) -> String {
    format!("There is no deployment {id:?}; `shipmate history` lists them.")
}

/// Not an open checkpoint.
pub fn not_open(view: &View, key: &str) -> String {
    let open: Vec<String> = view.questions.iter().map(|question| question.key.clone()).collect();
    match open.as_slice() {
        [] => format!(
            "{} waits for no decision; see it with: shipmate show {}",
            view.id, view.id
        ),
        open => format!("{key:?} is not open; {} waits for {}.", view.id, listed(open, "and")),
    }
}

/// Not one of its choices.
pub fn no_such_choice(question: &Question, chosen: &str) -> String {
    let offered: Vec<String> = offered(question).map(str::to_owned).collect();
    format!(
        "{chosen:?} can't be chosen at {}; choose {}.",
        question.key,
        listed(&offered, "or")
    )
}

/// An approval is for one plan, named by its digest.
pub fn which_plan(view: &View, question: &Question, digest: &str, given: Option<&str>) -> String {
    let problem = match given {
        None => "An approval is for one plan; say which".to_owned(),
        Some(given) => format!("{given} is not the plan any more; look at the new one"),
    };
    format!(
        "{problem}: see it with `shipmate status {}`, then: shipmate decide {} {} approve --plan {digest}",
        view.project, view.id, question.key
    )
}

/// Locks and freezes stand in the way.
pub fn blocked(obstacles: &[Obstacle]) -> String {
    let why = shared::obstacles(obstacles, PLAIN).unwrap_or_default();
    format!("{why} Those in `override` of [projects.permissions] may pass it: --override \"why\".")
}

/// It is locked now.
pub fn locked(project: &str) -> String {
    format!(
        "{project} is locked: what runs goes on, and nobody can start another. Lift it with: shipmate unlock {project}"
    )
}

/// It is free now.
pub fn unlocked(project: &str) -> String {
    format!("{project} is unlocked.")
}

/// Nothing was changed: it stands already as it was wanted.
pub fn not_locked(turn: &Turn) -> String {
    match turn {
        Turn::Held(lock) => shared::obstacle(&Obstacle::Locked(lock.clone()), PLAIN),
        _ => shared::NOT_LOCKED.to_owned(),
    }
}

/// Another message was first, or the process is ending.
pub fn not_begun(why: &NotBegun) -> String {
    match why {
        NotBegun::Draining => shared::RESTARTING,
        _ => "This was asked for already.",
    }
    .to_owned()
}

/// Nothing waits for another try.
pub fn nothing_to_retry(id: &str) -> String {
    format!("Nothing of {id} waits for another try; see it with: shipmate show {id}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::deploy::NUDGE;

    #[test]
    fn what_somebody_did_is_said_in_words() {
        let key = "post_release_checklist";
        let history = History::at_once([Event::CheckpointOpened {
            key: key.to_owned(),
            data: json!({ "items": ["Log in", "Look"] }),
            choices: Vec::new(),
            deadline: None,
            on_expiry: None,
            remind_after_s: None,
        }]);
        for (value, said) in [
            (json!({ "item": 0, "done": true }), "ticked “Log in”"),
            (json!({ "item": 1, "done": false }), "un-ticked “Look”"),
            (json!(NUDGE), "nudged whoever must act"),
            (json!("approve"), "approved, as one of several"),
            (json!([1]), "gave a sign"),
        ] {
            let signalled = Event::Signalled {
                key: key.to_owned(),
                by: Actor::Slack("U0ANA".to_owned()),
                value,
            };
            let line = event(&history, &signalled);
            assert_eq!(line, format!("post_release_checklist: @U0ANA {said}"));
        }
    }
}
