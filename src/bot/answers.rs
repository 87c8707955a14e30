//! Answers to one person that come with buttons: what keeps a start from being made, what runs now, what can be done next. Pure.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::cards;
use crate::config::Project;
use crate::deploy::begin::Wish;
use crate::deploy::decide::LONGEST_REASON;
use crate::deploy::lock::Obstacle;
use crate::deploy::text::{self, dialogue};
use crate::deploy::view::View;
use crate::slack::Content;
use crate::slack::kit::{self, Style};
use crate::slack::text::{escape, truncate};

/// Opens the start dialogue: carries nothing, or the wish that was refused.
pub const START: &str = "start";
/// Joins the queue with the wish that was refused.
pub const QUEUE: &str = "queue";

/// Aborts: below what would be undone.
pub const ABORT_NOW: &str = "abort_now";

/// A longer value is cut off by Slack's limit and could not be read back; such a wish is typed again.
const LONGEST_VALUE: usize = 1900;

/// A button that carries what was wished for.
fn wishing(label: &str, action: &str, wish: &Wish, style: Style) -> Option<Value> {
    let value = json!(wish).to_string();
    (value.chars().count() <= LONGEST_VALUE).then(|| kit::button(label, action, &value, style))
}

fn with_buttons(sentence: String, buttons: Vec<Value>) -> Content {
    let mut blocks = vec![kit::section(&sentence)];
    if !buttons.is_empty() {
        blocks.push(kit::actions(buttons));
    }
    Content { text: sentence, blocks }
}

/// Whether whoever reads an answer may pass locks and freezes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayOverride {
    /// They may.
    Yes,
    /// They may not.
    No,
}

/// Opens the start dialogue; nobody is led to one whose start would be refused.
fn start_button(wish: &Wish, obstacles: &[Obstacle], may: MayOverride) -> Option<Value> {
    match (obstacles.is_empty(), may) {
        (true, _) => wishing(dialogue::START_WHAT, START, wish, Style::Primary),
        (false, MayOverride::Yes) => wishing(dialogue::START_ANYWAY, START, wish, Style::Danger),
        (false, MayOverride::No) => None,
    }
}

/// A start that locks or freezes keep from being made.
pub fn blocked(project: &Project, obstacles: &[Obstacle], wish: &Wish, may: MayOverride) -> Content {
    let anyway = start_button(wish, obstacles, may);
    with_buttons(text::blocked(project, obstacles), anyway.into_iter().collect())
}

/// A start that has to wait, because one runs.
pub fn occupied(id: &str, view: Option<&View>, wish: &Wish, now: DateTime<Utc>) -> Content {
    let refusal = text::already_running(id, view, now);
    let queue = wishing(dialogue::QUEUE_MINE, QUEUE, wish, Style::Plain);
    with_buttons(refusal.text, queue.into_iter().collect())
}

/// `/deploy` while nothing runs: how the last one ended, what keeps the next from starting, and the button that starts it.
pub fn nothing_runs(
    project: &Project,
    last: Option<&View>,
    obstacles: &[Obstacle],
    line: usize,
    may: MayOverride,
) -> Content {
    let mut sentences = vec![text::nothing_runs(project).text];
    sentences.extend(last.map(text::last_one));
    sentences.extend(text::obstacles(obstacles, text::Medium::Slack));
    if line > 0 {
        sentences.push(text::in_the_queue(line));
    }
    let start = start_button(&Wish::default(), obstacles, may);
    with_buttons(sentences.join("\n"), start.into_iter().collect())
}

/// `/deploy` while one runs: the card with the buttons that apply, and the line behind it.
pub fn runs(view: &View, obstacles: &[Obstacle], line: usize, now: DateTime<Utc>) -> Content {
    let mut content = cards::status(view, now);
    let mut notes: Vec<String> = text::obstacles(obstacles, text::Medium::Slack).into_iter().collect();
    if line > 0 {
        notes.push(text::in_the_queue(line));
    }
    if !notes.is_empty() {
        content.blocks.truncate(kit::BLOCKS - 1);
        content.blocks.push(kit::context(&notes.join(" ")));
    }
    content
}

/// What an abort would undo, and the button that does it with the reason that was typed.
pub fn would_undo(view: &View, reason: Option<String>) -> Content {
    let reason = reason.map(|reason| {
        let reason: String = reason.chars().filter(|c| !c.is_control()).collect();
        truncate(&reason, LONGEST_REASON)
    });
    let value = json!({ "d": view.id, "reason": reason }).to_string();
    let lines = text::undone_by(text::WOULD_UNDO, view, text::Medium::Slack);
    let button = kit::button(text::ABORT, ABORT_NOW, &value, Style::Danger);
    with_buttons(lines.join("\n"), vec![button])
}

/// What would ship, what keeps it from starting, and the button that starts it with a list to choose from.
pub fn dry_run(
    project: &Project,
    plan: &crate::deploy::train::Plan,
    obstacles: &[Obstacle],
    wish: &Wish,
    may: MayOverride,
) -> Content {
    let title = text::dry_run(project);
    let mut blocks = vec![kit::header(&title)];
    blocks.extend(cards::train(plan));
    blocks = kit::capped(blocks, dialogue::AND_MORE);
    blocks.truncate(kit::BLOCKS - 2);
    if let Some(sentence) = text::obstacles(obstacles, text::Medium::Slack) {
        blocks.push(kit::context(&sentence));
    }
    if let Some(start) = start_button(wish, obstacles, may) {
        blocks.push(kit::actions(vec![start]));
    }
    Content {
        text: escape(&title),
        blocks,
    }
}
