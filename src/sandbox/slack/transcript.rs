//! A channel as plain text, as a person reads it: for the message of a failed wait, for snapshots, for whoever plays without a browser.

use std::fmt::Write;

use serde_json::Value;

use super::model::{DEPLOYERS, DEPLOYERS_HANDLE, Message, View, Workspace};

/// Every channel that has messages.
pub(super) fn transcript(workspace: &Workspace) -> String {
    let channels = workspace.channels.values().filter_map(|channel| {
        let roots = workspace
            .messages
            .iter()
            .filter(|message| message.channel == channel.id && message.thread.is_none());
        let lines: Vec<String> = roots.flat_map(|root| with_thread(workspace, root)).collect();
        (!lines.is_empty()).then(|| format!("#{}\n{}\n", channel.name, lines.join("\n")))
    });
    let channels: Vec<String> = channels.collect();
    let mut text = channels.join("\n");
    for open in &workspace.views {
        let _ = write!(
            text,
            "\n{} has a modal open: {}\n",
            workspace.name(&open.user),
            view(workspace, open)
        );
    }
    text
}

/// A modal: its title, its blocks, the app's complaints.
pub(super) fn view(workspace: &Workspace, view: &View) -> String {
    let title = words(workspace, &view.view["title"]);
    let complaints = view.errors.values().map(|complaint| format!("! {complaint}"));
    let below = content(workspace, "", view.blocks()).into_iter().chain(complaints);
    joined(
        std::iter::once(title).chain(below.map(|line| format!("  {line}"))),
        "\n",
    )
}

fn with_thread(workspace: &Workspace, root: &Message) -> Vec<String> {
    let replies = workspace
        .messages
        .iter()
        .filter(|message| message.channel == root.channel && message.thread.as_deref() == Some(root.ts.as_str()));
    let replies = replies
        .flat_map(|reply| lines(workspace, reply))
        .map(|line| format!("    {line}"));
    lines(workspace, root).into_iter().chain(replies).collect()
}

/// One message: who, what, with what is beyond the first line indented.
pub(super) fn lines(workspace: &Workspace, message: &Message) -> Vec<String> {
    let audience = match &message.only_for {
        Some(user) => format!(" (only to {})", workspace.name(user)),
        None => String::new(),
    };
    let mut lines = content(workspace, &message.text, &message.blocks).into_iter();
    let first = format!(
        "{}{audience}: {}",
        workspace.name(&message.author),
        lines.next().unwrap_or_default()
    );
    std::iter::once(first)
        .chain(lines.map(|line| format!("  {line}")))
        .collect()
}

/// Blocks, or the text where there are none, line by line.
pub(super) fn content(workspace: &Workspace, text: &str, blocks: &[Value]) -> Vec<String> {
    let whole: Vec<String> = match blocks.is_empty() {
        true => vec![readable(workspace, text)],
        false => blocks.iter().map(|block| self::block(workspace, block)).collect(),
    };
    whole
        .iter()
        .flat_map(|text| text.lines())
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn block(workspace: &Workspace, block: &Value) -> String {
    let said = |value: &Value| words(workspace, value);
    let each = |name: &str| block[name].as_array().map(Vec::as_slice).unwrap_or_default();
    match block["type"].as_str().unwrap_or_default() {
        "divider" => "———".to_owned(),
        "header" => format!("# {}", said(&block["text"])),
        "context" => joined(each("elements").iter().map(said), "  "),
        "actions" => joined(each("elements").iter().map(|item| element(workspace, item)), " "),
        "input" => format!("{}: {}", said(&block["label"]), element(workspace, &block["element"])),
        "section" => {
            let texts = std::iter::once(&block["text"])
                .chain(each("fields"))
                .filter(|text| !text.is_null());
            let text = joined(texts.map(said), "\n");
            match &block["accessory"] {
                Value::Null => text,
                accessory => format!("{text} {}", element(workspace, accessory)),
            }
        }
        other => format!("({other})"),
    }
}

fn element(workspace: &Workspace, element: &Value) -> String {
    let options = element["options"].as_array().map(Vec::as_slice).unwrap_or_default();
    let initial = element["initial_options"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    match element["type"].as_str().unwrap_or_default() {
        "button" => format!("[{}]", words(workspace, &element["text"])),
        "checkboxes" => {
            let tick = |option: &Value| {
                let mark = if initial.contains(option) { "[x]" } else { "[ ]" };
                let said = [&option["text"], &option["description"]].map(|text| words(workspace, text));
                format!("{mark} {}", said.join(" "))
            };
            joined(options.iter().map(tick), "\n")
        }
        "plain_text_input" => format!("[{}]", element["initial_value"].as_str().unwrap_or("        ")),
        "image" => words(workspace, &element["alt_text"]),
        _ => {
            let chosen = initial
                .iter()
                .chain(Some(&element["initial_option"]).filter(|option| !option.is_null()));
            let chosen = joined(chosen.map(|option| words(workspace, &option["text"])), ", ");
            format!(
                "[{} ▾]",
                if chosen.is_empty() {
                    words(workspace, &element["placeholder"])
                } else {
                    chosen
                }
            )
        }
    }
}

fn words(workspace: &Workspace, text: &Value) -> String {
    let said = text["text"].as_str().unwrap_or_default();
    match text["type"] == "mrkdwn" {
        true => readable(workspace, said),
        false => said.to_owned(),
    }
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

/// mrkdwn with its references resolved, without the marks of bold, struck and code.
pub(super) fn readable(workspace: &Workspace, mrkdwn: &str) -> String {
    let mut text = String::new();
    let mut rest = mrkdwn;
    while let Some((before, after)) = rest.split_once('<') {
        text += before;
        let Some((reference, after)) = after.split_once('>') else {
            text.push('<');
            rest = after;
            break;
        };
        text += &resolved(workspace, reference);
        rest = after;
    }
    text += rest;
    text.retain(|c| !matches!(c, '*' | '~' | '`'));
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

fn resolved(workspace: &Workspace, reference: &str) -> String {
    let (target, label) = match reference.split_once('|') {
        Some((target, label)) => (target, Some(label)),
        None => (reference, None),
    };
    if let Some(user) = target.strip_prefix('@') {
        return format!("@{}", workspace.name(user));
    }
    if let Some(channel) = target.strip_prefix('#') {
        let known = workspace.channels.get(channel).map(|channel| channel.name.as_str());
        return format!("#{}", known.or(label).unwrap_or(channel));
    }
    // The time is that of whoever reads; the fallback is for clients that know no dates.
    if target.starts_with("!date^") {
        return "&lt;time&gt;".to_owned();
    }
    if let Some(group) = target.strip_prefix("!subteam^") {
        return match group == DEPLOYERS {
            true => format!("@{DEPLOYERS_HANDLE}"),
            false => label.unwrap_or(group).to_owned(),
        };
    }
    match target.strip_prefix('!') {
        Some(everybody) => format!("@{everybody}"),
        None => label.unwrap_or(target).to_owned(),
    }
}
