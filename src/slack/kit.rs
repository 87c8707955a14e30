//! Block Kit, with Slack's limits kept by construction: whatever goes in, what comes out is accepted.
//!
//! Limits are those of Slack's Block Kit reference: 50 blocks a message, 3,000 characters a section, 150 a header, 75 a button, 2,000 a
//! button's value, 255 an action id, 10 elements a context, 25 an actions block, 300 a confirmation's text.

use serde_json::{Value, json};

use super::text::truncate;

/// Blocks a message can have.
pub const BLOCKS: usize = 50;
/// Characters a section's text can have.
pub const SECTION: usize = 3000;

/// A paragraph of mrkdwn; the text is escaped already.
pub fn section(mrkdwn: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": filled(mrkdwn, SECTION) } })
}

/// A paragraph with one control beside it.
pub fn section_with(mrkdwn: &str, accessory: Value) -> Value {
    let mut block = section(mrkdwn);
    block["accessory"] = accessory;
    block
}

/// A headline; plain text, never interpreted.
pub fn header(plain: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": filled(plain, 150), "emoji": true } })
}

/// Small print.
pub fn context(mrkdwn: &str) -> Value {
    json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": filled(mrkdwn, SECTION) }] })
}

/// A line.
pub fn divider() -> Value {
    json!({ "type": "divider" })
}

/// Controls in a row.
pub fn actions(elements: Vec<Value>) -> Value {
    json!({ "type": "actions", "elements": elements.into_iter().take(25).collect::<Vec<_>>() })
}

/// Lines of mrkdwn in as few sections as they fit into, whole lines each.
pub fn lines(lines: &[String]) -> Vec<Value> {
    let mut blocks = Vec::new();
    let mut text = String::new();
    for line in lines {
        let line = truncate(line, SECTION);
        if !text.is_empty() && text.chars().count() + 1 + line.chars().count() > SECTION {
            blocks.push(section(&text));
            text.clear();
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text += &line;
    }
    if !text.is_empty() {
        blocks.push(section(&text));
    }
    blocks
}

/// How a button looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Like any other.
    Plain,
    /// The one to press; at most one a message.
    Primary,
    /// Destroys.
    Danger,
}

/// A button.
pub fn button(label: &str, action_id: &str, value: &str, style: Style) -> Value {
    let mut button = json!({
        "type": "button",
        "text": { "type": "plain_text", "text": filled(label, 75), "emoji": true },
        "action_id": truncate(action_id, 255),
        "value": truncate(value, 2000),
    });
    match style {
        Style::Plain => {}
        Style::Primary => button["style"] = json!("primary"),
        Style::Danger => button["style"] = json!("danger"),
    }
    button
}

/// A button that opens a page.
pub fn link_button(label: &str, action_id: &str, url: &str) -> Value {
    let mut button = button(label, action_id, "", Style::Plain);
    button["url"] = json!(truncate(url, 3000));
    if let Some(fields) = button.as_object_mut() {
        fields.remove("value");
    }
    button
}

/// Words of a second question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// The question.
    pub title: &'static str,
    /// What comes of it, in mrkdwn that is escaped already.
    pub text: String,
    /// Goes on.
    pub yes: &'static str,
    /// Doesn't.
    pub no: &'static str,
}

/// Asks "are you sure?" before a control acts: only for what can't be undone.
pub fn confirmed(mut element: Value, ask: &Confirmation) -> Value {
    element["confirm"] = json!({
        "title": { "type": "plain_text", "text": filled(ask.title, 100) },
        "text": { "type": "mrkdwn", "text": filled(&ask.text, 300) },
        "confirm": { "type": "plain_text", "text": filled(ask.yes, 30) },
        "deny": { "type": "plain_text", "text": filled(ask.no, 30) },
    });
    element
}

/// A link with a text that is escaped already.
pub fn link(url: &str, text: &str) -> String {
    // A `|` or `>` in the URL would end the link early.
    let url: String = url
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '<' | '>' | '|'))
        .collect();
    format!("<{}|{}>", url.replace('&', "&amp;"), text.replace('|', "¦"))
}

/// At most 50 blocks: what is beyond is replaced by a line that says so.
pub fn capped(mut blocks: Vec<Value>, more: &str) -> Vec<Value> {
    if blocks.len() > BLOCKS {
        blocks.truncate(BLOCKS - 1);
        blocks.push(context(more));
    }
    blocks
}

/// Slack refuses empty texts.
fn filled(text: &str, max: usize) -> String {
    match text.trim().is_empty() {
        true => "–".to_owned(),
        false => truncate(text, max),
    }
}
