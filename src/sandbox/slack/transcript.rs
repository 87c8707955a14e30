//! The channel as a person reads it, in plain text: for snapshots, narration, and the message of a test that waited in vain.

use serde_json::Value;

use super::model::{Message, Workspace, name_of};

/// The whole channel, threads indented, ephemeral messages marked.
pub fn channel(workspace: &Workspace, channel: &str) -> String {
    let messages = workspace.channels.get(channel).map(Vec::as_slice).unwrap_or_default();
    let mut lines = Vec::new();
    for message in messages.iter().filter(|message| message.thread.is_none()) {
        lines.push(one(message, ""));
        let replies = messages
            .iter()
            .filter(|reply| reply.thread.as_ref() == Some(&message.ts));
        lines.extend(replies.map(|reply| one(reply, "    ")));
    }
    lines.join("\n")
}

/// One message.
pub fn one(message: &Message, indent: &str) -> String {
    let only = message
        .only_for
        .as_ref()
        .map(|user| format!(" (only for {})", name_of(user)))
        .unwrap_or_default();
    let edited = if message.edited { " (edited)" } else { "" };
    let mut lines = vec![format!("{indent}{}{only}{edited}:", name_of(&message.user))];
    let body = match message.blocks.is_empty() {
        true => plain(&message.text),
        false => message.blocks.iter().map(block).collect::<Vec<_>>().join("\n"),
    };
    lines.extend(body.lines().map(|line| format!("{indent}  {line}")));
    lines.join("\n")
}

/// A view: title, blocks, buttons.
pub fn view(view: &Value) -> String {
    let text = |part: &str| view[part]["text"].as_str().unwrap_or_default().to_owned();
    let blocks = view["blocks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(block)
        .collect::<Vec<_>>()
        .join("\n");
    format!(
        "== {} ==\n{blocks}\n[{}] [{}]",
        text("title"),
        text("submit"),
        text("close")
    )
}

fn block(block: &Value) -> String {
    let text = |object: &Value| plain(object["text"].as_str().unwrap_or_default());
    match block["type"].as_str().unwrap_or_default() {
        "header" => format!("# {}", text(&block["text"])),
        "section" => match block["accessory"].is_object() {
            true => format!("{} {}", text(&block["text"]), element(&block["accessory"])),
            false => text(&block["text"]),
        },
        "context" => {
            let parts: Vec<String> = block["elements"].as_array().into_iter().flatten().map(text).collect();
            format!("({})", parts.join(" "))
        }
        "actions" => {
            let parts: Vec<String> = block["elements"]
                .as_array()
                .into_iter()
                .flatten()
                .map(element)
                .collect();
            parts.join(" ")
        }
        "input" => format!("{}: {}", text(&block["label"]), element(&block["element"])),
        "divider" => "---".to_owned(),
        other => format!("<{other}>"),
    }
}

fn element(element: &Value) -> String {
    match element["type"].as_str().unwrap_or_default() {
        "button" => format!("[{}]", element["text"]["text"].as_str().unwrap_or_default()),
        "checkboxes" => {
            let ticked = element["initial_options"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            let row = |option: &Value| {
                let mark = if ticked.contains(option) { "x" } else { " " };
                format!(
                    "[{mark}] {}",
                    plain(option["text"]["text"].as_str().unwrap_or_default())
                )
            };
            element["options"]
                .as_array()
                .into_iter()
                .flatten()
                .map(row)
                .collect::<Vec<_>>()
                .join("\n")
        }
        "plain_text_input" => format!("«{}»", element["initial_value"].as_str().unwrap_or_default()),
        other => format!("<{other}>"),
    }
}

/// mrkdwn without its markup: links as their text, mentions as names, times as `<time>`.
pub fn plain(mrkdwn: &str) -> String {
    let mut out = String::new();
    let mut rest = mrkdwn;
    while let Some(open) = rest.find('<') {
        out += &rest[..open];
        let Some(close) = rest[open..].find('>') else { break };
        let inner = &rest[open + 1..open + close];
        out += &match inner.split_once('|') {
            _ if inner.starts_with("!date^") => "<time>".to_owned(),
            _ if inner.starts_with('@') => format!(
                "@{}",
                name_of(inner.trim_start_matches('@').split('|').next().unwrap_or_default())
            ),
            _ if inner.starts_with("!subteam^") => "@deployers".to_owned(),
            _ if inner.starts_with('#') => "#deploys".to_owned(),
            Some((_, label)) => label.to_owned(),
            None => inner.to_owned(),
        };
        rest = &rest[open + close + 1..];
    }
    out += rest;
    // What other people wrote has no such marks left: they are all ours.
    out.retain(|c| !matches!(c, '*' | '~' | '`'));
    out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
