//! What a deployment looks like in Slack: from its view, the messages that should stand in the channel and its thread. Pure; the
//! [`super::projector`] makes Slack agree.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::audience::Audience;
use super::home::holders;
use crate::config::Project;
use crate::deploy::notes;
use crate::deploy::progress::Progress;
use crate::deploy::text::{self, Medium, dialogue as words};
use crate::deploy::train::{Car, Merged, Plan, Shipped};
use crate::deploy::view::{CarState, CarView, Decision, Nudge, Question, QuestionKind, Stand, State, StepView, View};
use crate::deploy::{Item, Ticked, choice};
use crate::saga::run::choice as engine;
use crate::slack::Content;
use crate::slack::kit::{self, Style};
use crate::slack::text::{escape, truncate};

/// Pull requests that the card itself lists; the thread has them all.
const CARD_CARS: usize = 12;
/// Lines of a list in a message; what is beyond is counted.
const LIST: usize = 60;
/// People that one message mentions; beyond that, names are written without a ping.
const MENTIONS: usize = 20;

mod authors;

/// A message that should be there.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Which one it is, for ever.
    pub slot: String,
    /// What it says now.
    pub content: Content,
}

/// The slot of the one live message in the channel; everything else stands in its thread.
pub const CARD: &str = "card";

/// All messages of a deployment, the card first; the muted are mentioned in none.
pub fn messages(view: &View, now: DateTime<Utc>, audience: &Audience) -> Vec<Message> {
    let mut messages = everything(view, now, audience);
    for message in &mut messages {
        message.content = audience.hushed(std::mem::take(&mut message.content));
    }
    messages
}

fn everything(view: &View, now: DateTime<Utc>, audience: &Audience) -> Vec<Message> {
    let mut messages = vec![Message {
        slot: CARD.to_owned(),
        content: card(view, now, Place::Channel),
    }];
    messages.extend(view.queued.map(|since| Message {
        slot: "from_queue".to_owned(),
        content: text::started_from_queue(view, since),
    }));
    messages.extend(authors::messages(view, audience));
    for decision in &view.decisions {
        messages.push(Message {
            slot: format!("question/{}", decision.key),
            content: decided(view, decision),
        });
    }
    for question in &view.lapsed {
        messages.push(Message {
            slot: format!("question/{}", question.key),
            content: closed(&question.kind, view, text::LAPSED),
        });
    }
    for question in &view.questions {
        messages.push(Message {
            slot: format!("question/{}", question.key),
            content: asked(view, question, now),
        });
        messages.extend(reminder(view, question, now));
        messages.extend(warning(view, question, now));
    }
    messages.extend(nudges(view, now, audience));
    if view.is_over() {
        messages.push(Message {
            slot: "outcome".to_owned(),
            content: outcome(view, now),
        });
    }
    messages
}

/// Where a card stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the channel, above the thread with the buttons.
    Channel,
    /// In an answer to one person, which has them itself.
    Answer,
}

/// The live card.
fn card(view: &View, now: DateTime<Utc>, place: Place) -> Content {
    let (emoji, word) = text::state(view.state);
    let now = text::now(view, now, Medium::Slack);
    let mut blocks = vec![
        kit::header(&text::title(view)),
        kit::section(&format!("{emoji} *{word}* · {now}")),
        kit::section(&view.phases.iter().map(phase_line).collect::<Vec<_>>().join("\n")),
    ];
    if !view.cars.is_empty() {
        let mut lines: Vec<String> = view.cars.iter().take(CARD_CARS).map(car_line).collect();
        if view.cars.len() > CARD_CARS {
            lines.push(text::more(view.cars.len() - CARD_CARS, "in the thread"));
        }
        blocks.extend(kit::lines(&lines));
    }
    if view
        .shipped
        .as_ref()
        .is_some_and(|shipped| shipped.as_rehearsed == Some(false))
    {
        blocks.push(kit::section(text::NOT_AS_REHEARSED));
    }
    if !view.remarks.is_empty() {
        let remark = |remark: &String| format!("ℹ️ {}", escape(&truncate(remark, 300)));
        blocks.extend(kit::lines(
            &view.remarks.iter().take(CARD_CARS).map(remark).collect::<Vec<_>>(),
        ));
    }
    if let Some(passed) = &view.passed {
        blocks.push(kit::section(&text::passed(view, passed, Medium::Slack)));
    }
    let asks = view.questions.iter().any(|question| !question.choices.is_empty());
    let facts = match place {
        Place::Channel if asks => format!("{} · {}", text::facts(view), text::IN_THE_THREAD),
        Place::Channel | Place::Answer => text::facts(view),
    };
    blocks.push(kit::context(&facts));
    let mut controls = Vec::new();
    if view.can_abort() {
        let value = json!({ "d": view.id }).to_string();
        controls.push(kit::button(text::ABORT, "abort", &value, Style::Danger));
    }
    controls.extend(link_buttons(view));
    if !controls.is_empty() {
        blocks.push(kit::actions(controls));
    }
    Content {
        text: format!("{emoji} {} · {word} · {now}", escape(&text::title(view))),
        blocks,
    }
}

/// To the pages that there are.
fn link_buttons(view: &View) -> Vec<Value> {
    let deploy_pr = view.deploy_pr.as_ref().map(|pr| pr.url.as_str());
    let release = view.release.as_ref().map(|release| release.url.as_str());
    let pages = [
        (words::DEPLOY_PR, "open_deploy_pr", deploy_pr),
        (words::ACTIONS_RUN, "open_run", view.run_url.as_deref()),
        (words::RELEASE, "open_release", release),
    ];
    let button = |(label, action, url): (_, _, Option<&str>)| Some(kit::link_button(label, action, url?));
    pages.into_iter().filter_map(button).collect()
}

fn phase_line(phase: &crate::deploy::view::PhaseView) -> String {
    let (emoji, word) = text::stand(phase.state);
    let took = match (phase.started_at, phase.ended_at) {
        (Some(from), Some(to)) => format!(" · {}", text::between(from, to)),
        (Some(from), None) => format!(" · {}", text::since(from, Medium::Slack)),
        (None, _) => String::new(),
    };
    let title = phase.phase.title();
    let busy = phase.steps.iter().find(|step| {
        !matches!(
            step.state,
            Stand::Pending | Stand::Done | Stand::Skipped | Stand::Undone | Stand::Stopped
        )
    });
    let detail = busy.map(|step| format!(" · {}", step_detail(step))).unwrap_or_default();
    match phase.state {
        Stand::Pending => format!("{emoji} {title} · {word}"),
        Stand::Done => format!("{emoji} *{title}* · {word}{took}"),
        _ => format!("{emoji} *{title}* · {word}{took}{detail}"),
    }
}

fn step_detail(step: &StepView) -> String {
    match step.count {
        Some((done, all)) => format!("{} {done}/{all}", step.title),
        None => step.title.to_owned(),
    }
}

/// A line of the train with how far it is.
pub fn car_line(view: &CarView) -> String {
    let (emoji, word) = text::car_state(view.state);
    format!("{emoji} {} · _{word}_", text::car(&view.car, Medium::Slack))
}

/// What a question says, open or answered.
fn body(view: &View, kind: &QuestionKind) -> Vec<Value> {
    match kind {
        QuestionKind::ConfirmPrList { plan } => train(plan),
        QuestionKind::Approve {
            plan,
            digest,
            changes,
            dismissed,
            foreign,
            ..
        } => {
            let dismissed = dismissed
                .iter()
                .map(|(number, who)| format!("#{number}: {}", who.join(", ")));
            let mut blocks = items(&text::plan_changed(Medium::Slack), changes);
            blocks.extend(items(&text::foreign_commits(&plan.branch, Medium::Slack), foreign));
            blocks.extend(items(&text::dismissed(Medium::Slack), &dismissed.collect::<Vec<_>>()));
            blocks.extend(train(plan));
            blocks.push(kit::context(&text::from_here_on(digest, Medium::Slack)));
            blocks
        }
        QuestionKind::Attention { step, error } => {
            let error = text::explained(view, &truncate(error, 2000), Medium::Slack);
            let failed = text::failed_checks(view, step.as_deref(), Medium::Slack);
            let lines = std::iter::once(format!("⚠️ {}", text::capitalised(&error))).chain(failed);
            kit::lines(&lines.collect::<Vec<_>>())
        }
        QuestionKind::Checklist { .. } => Vec::new(),
        QuestionKind::Issues { issues, comment } => {
            let line = |issue: &crate::github::Issue| {
                let link = kit::link(&issue.html_url, &format!("#{}", issue.number));
                format!("• {link} {}", escape(&truncate(&issue.title, 120)))
            };
            let mut lines = list(issues, line);
            lines.push(text::would_be_told(comment, Medium::Slack));
            kit::lines(&lines)
        }
        QuestionKind::Unmerged { unmerged, deploy_pr } => {
            vec![kit::section(&text::unmerged(view, unmerged, *deploy_pr, Medium::Slack))]
        }
    }
}

/// A head with what it stands over; nothing if that is nothing.
fn items(head: &str, items: &[String]) -> Vec<Value> {
    if items.is_empty() {
        return Vec::new();
    }
    let lines = items.iter().map(|item| format!("• {}", escape(item)));
    kit::lines(&std::iter::once(head.to_owned()).chain(lines).collect::<Vec<_>>())
}

/// As many lines as people read, and how many more there are.
fn list<T>(all: &[T], line: impl Fn(&T) -> String) -> Vec<String> {
    let mut lines: Vec<String> = all.iter().take(LIST).map(line).collect();
    if all.len() > LIST {
        lines.push(text::more(all.len() - LIST, "on the dashboard"));
    }
    lines
}

/// The train: order, authors, heads; who is out and why; rehearsal and version.
pub fn train(plan: &Plan) -> Vec<Value> {
    let numbered: Vec<(usize, &Car)> = (1..).zip(&plan.cars).collect();
    let mut blocks = kit::lines(&list(&numbered, |(place, car)| {
        format!("{place}. {}", text::car(car, Medium::Slack))
    }));
    if !plan.excluded.is_empty() {
        let mut lines = vec![text::left_out(plan.excluded.len())];
        lines.extend(list(&plan.excluded, |out| {
            format!("• {}", text::excluded(out, Medium::Slack))
        }));
        blocks.extend(kit::lines(&lines));
    }
    blocks.push(kit::section(&format!(
        "{}\n{}",
        text::verdict(plan, Medium::Slack),
        text::version(plan)
    )));
    blocks
}

/// An open question with its buttons.
fn asked(view: &View, question: &Question, now: DateTime<Utc>) -> Content {
    let title = text::headline(view, &question.kind);
    let waits = text::wait(view, question, now, Medium::Slack);
    let mut blocks = vec![kit::header(&title)];
    blocks.extend(body(view, &question.kind));
    if let QuestionKind::Checklist { items } = &question.kind {
        for (index, item) in items.iter().enumerate() {
            blocks.push(checklist_row(view, index, item));
        }
    }
    blocks = kit::capped(blocks, words::ON_THE_DASHBOARD);
    blocks.truncate(kit::BLOCKS - 3);
    let failed = matches!(question.kind, QuestionKind::Attention { .. });
    if failed {
        blocks.push(kit::context(&text::choices_explained(question, Medium::Slack)));
    }
    blocks.push(kit::context(&match failed {
        true => text::to_choose(view, question, now),
        false => waits.clone(),
    }));
    let mut buttons = buttons(view, question);
    if failed {
        buttons.extend(link_buttons(view));
    }
    if !buttons.is_empty() {
        blocks.push(kit::actions(buttons));
    }
    Content {
        text: match failed {
            true => waits,
            false => format!("{} · {waits}", escape(&title)),
        },
        blocks,
    }
}

fn checklist_row(view: &View, index: usize, item: &Item) -> Value {
    let option = json!({ "text": { "type": "plain_text", "text": words::DONE }, "value": index.to_string() });
    let mut boxes = json!({
        "type": "checkboxes",
        "action_id": format!("tick/{index}/{}", view.id),
        "options": [option.clone()],
    });
    if let Some(Ticked { by, at }) = &item.ticked {
        boxes["initial_options"] = json!([option]);
        boxes = kit::confirmed(boxes, &text::untick(by, *at));
    }
    // Slack's client keeps a box's state by its block's id: another state needs another id to be shown.
    let mut row = kit::section_with(&text::item(item), boxes);
    row["block_id"] = json!(format!("tick/{}/{index}/{}", view.id, item.ticked.is_some()));
    row
}

fn buttons(view: &View, question: &Question) -> Vec<Value> {
    let digest = match &question.kind {
        QuestionKind::Approve { digest, .. } => Some(digest.as_str()),
        _ => None,
    };
    let step = match &question.kind {
        QuestionKind::Attention { step, .. } => step.as_deref(),
        _ => None,
    };
    let value = json!({ "d": view.id, "k": question.key, "digest": digest }).to_string();
    let mut buttons = Vec::new();
    for choice in &question.choices {
        let style = match choice.as_str() {
            // Deadlines and boxes decide these.
            choice::EXPIRE | choice::DONE => continue,
            choice::CONFIRM | choice::APPROVE | engine::RETRY | choice::PUT_BACK => Style::Primary,
            engine::STOP => Style::Danger,
            _ => Style::Plain,
        };
        let button = kit::button(text::offered(choice, step), &format!("decide/{choice}"), &value, style);
        buttons.push(match text::confirmation(choice) {
            Some(ask) => kit::confirmed(button, &ask),
            None => button,
        });
    }
    let before_the_merges = matches!(
        question.kind,
        QuestionKind::ConfirmPrList { .. } | QuestionKind::Approve { .. }
    );
    if before_the_merges {
        let value = json!({ "d": view.id }).to_string();
        buttons.push(kit::button(text::ABORT, "abort", &value, Style::Danger));
    }
    buttons
}

/// An answered question: what it was, and who decided what and when, instead of the buttons.
fn decided(view: &View, decision: &Decision) -> Content {
    closed(&decision.kind, view, &text::decided(decision, Medium::Slack))
}

/// A question without its buttons, and what became of it.
fn closed(kind: &QuestionKind, view: &View, sentence: &str) -> Content {
    let title = text::headline(view, kind);
    let mut blocks = vec![kit::header(&title)];
    blocks.extend(body(view, kind));
    if let QuestionKind::Checklist { items } = kind {
        blocks.extend(kit::lines(&items.iter().map(text::item).collect::<Vec<_>>()));
    }
    blocks = kit::capped(blocks, words::ON_THE_DASHBOARD);
    blocks.truncate(kit::BLOCKS - 1);
    blocks.push(kit::context(sentence));
    Content {
        text: format!("{} · {sentence}", escape(&title)),
        blocks,
    }
}

/// The last word in the thread.
fn outcome(view: &View, now: DateTime<Utc>) -> Content {
    let (emoji, word) = text::state(view.state);
    let sentence = text::now(view, now, Medium::Slack);
    let head = format!("{emoji} *{word}* · {sentence}");
    let mut lines = vec![head.clone()];
    if view.state == State::Stopped {
        let merged = |car: &&CarView| car.state == CarState::Merged;
        let (done, rest): (Vec<&CarView>, Vec<&CarView>) = view.cars.iter().partition(merged);
        lines.extend(done.iter().take(LIST).map(|car| car_line(car)));
        lines.extend(rest.iter().take(LIST).map(|car| car_line(car)));
        lines.extend(text::deploy_pr(view));
    }
    if !view.receipt.is_empty() {
        lines.push(text::RECEIPT.to_owned());
        lines.extend(view.receipt.iter().map(|line| text::receipt_line(line, Medium::Slack)));
    }
    Content {
        text: head,
        blocks: kit::capped(kit::lines(&lines), words::ON_THE_DASHBOARD),
    }
}

/// A deployment to one person alone: the card, with the buttons that apply now.
pub fn status(view: &View, now: DateTime<Utc>) -> Content {
    let mut content = card(view, now, Place::Answer);
    let mut primary = false;
    for question in &view.questions {
        let mut buttons: Vec<Value> = buttons(view, question)
            .into_iter()
            .filter(|button| button["action_id"] != "abort")
            .collect();
        // One message has one button to press: that of the first question.
        for button in buttons.iter_mut().filter(|button| button["style"] == "primary") {
            if std::mem::replace(&mut primary, true)
                && let Some(button) = button.as_object_mut()
            {
                button.remove("style");
            }
        }
        if !buttons.is_empty() {
            let headline = escape(&text::headline(view, &question.kind));
            content.blocks.push(kit::section(&format!("*{headline}*")));
            content.blocks.push(kit::actions(buttons));
        }
    }
    content.blocks = kit::capped(content.blocks, words::REST_IN_THE_THREAD);
    content
}

/// The release notes as they are, or as they would be now; `None` while there is no list.
pub fn notes(project: &Project, view: &View) -> Option<Content> {
    let version = &view.version.as_ref()?.to;
    let planned = || Shipped {
        merged: view
            .cars
            .iter()
            .filter(|car| !is_out(car.state))
            .map(as_merged)
            .collect(),
        skipped: Vec::new(),
        tip: String::new(),
        as_rehearsed: None,
    };
    let shipped = view.shipped.clone().unwrap_or_else(planned);
    let url = view.release.as_ref().map(|release| release.url.as_str());
    let markdown = notes::preview(project, &shipped);
    let content = text::release_notes(project, version, &markdown, url);
    Some(match url {
        Some(_) => content,
        None => text::preliminary(content),
    })
}

fn is_out(state: CarState) -> bool {
    matches!(state, CarState::Skipped | CarState::PutBack)
}

/// What isn't merged yet becomes a commit that nobody knows; notes don't name it.
fn as_merged(car: &CarView) -> Merged {
    Merged {
        car: car.car.clone(),
        commit: car.car.head.clone(),
    }
}

/// Who asked again for what is still waited for; whoever is waited for is mentioned.
fn nudges(view: &View, now: DateTime<Utc>, audience: &Audience) -> Vec<Message> {
    let nudge = |(index, nudge): (usize, &Nudge)| {
        let question = view.questions.iter().find(|question| question.key == nudge.about);
        let (whom, wait) = match (question, &view.progress, &view.current) {
            (Some(question), _, _) => (
                Medium::Slack.holders(&holders(view, question)),
                text::wait(view, question, now, Medium::Slack),
            ),
            (None, Some(Progress::Approval { reviewers, .. }), Some(current)) if current.key == nudge.about => {
                let who = |login: &String| audience.mention(login).unwrap_or_else(|| escape(login));
                let who: Vec<String> = reviewers.iter().take(MENTIONS).map(who).collect();
                (text::listed(&who, "and"), text::now(view, now, Medium::Slack))
            }
            _ => return None,
        };
        let sentence = text::nudged(&nudge.by, &whom, &wait);
        Some(Message {
            slot: format!("nudge/{index}"),
            content: text::private(&sentence),
        })
    };
    view.nudges.iter().enumerate().filter_map(nudge).collect()
}

fn warning(view: &View, question: &Question, now: DateTime<Utc>) -> Option<Message> {
    let (at, deadline) = question.warning()?;
    let whom = Medium::Slack.holders(&holders(view, question));
    let sentence = text::expires_soon(question, deadline, &whom)?;
    (at <= now && now < deadline).then(|| Message {
        slot: format!("expiry/{}", question.key),
        content: text::private(&sentence),
    })
}

/// The newest reminder that is due; older ones were posted at their time, or the process was down and one is enough.
fn reminder(view: &View, question: &Question, now: DateTime<Utc>) -> Option<Message> {
    let due = question.reminders().take_while(|&at| at <= now).count();
    (due > 0).then(|| Message {
        slot: format!("reminder/{}/{due}", question.key),
        content: text::private(&text::reminder(view, question, now)),
    })
}

/// When the next reminder or warning of any open question is due.
pub fn next_reminder(view: &View, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let next = |question: &Question| question.next_reminder(now);
    view.questions.iter().filter_map(next).min()
}

#[cfg(test)]
mod tests;
