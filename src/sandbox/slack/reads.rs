//! The Web API's reading methods.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::model::{BOT, BOT_ID, BOT_NAME, TEAM, TEAM_NAME, Workspace};

/// What a method finds: its reply without `ok: true`, or the code of its refusal.
pub(super) type Read = fn(&Workspace, &Arguments) -> Result<Value, String>;
type Answer = Result<Value, String>;

/// By name.
pub(super) const READS: &[(&str, Read)] = &[
    ("auth.test", identity),
    ("chat.getPermalink", permalink),
    ("conversations.history", history),
    ("conversations.replies", replies),
    ("conversations.info", conversation),
    ("users.info", user),
    ("usergroups.users.list", group),
];

/// Messages a page without a `limit`.
const PAGE: usize = 100;

fn identity(workspace: &Workspace, _: &Arguments) -> Answer {
    Ok(json!({
        "url": format!("{}/", workspace.url), "team": TEAM_NAME, "team_id": TEAM, "user": BOT_NAME.to_lowercase(), "user_id": BOT,
        "bot_id": BOT_ID, "is_enterprise_install": false,
    }))
}

/// The channel, if the bot may read there.
fn readable<'a>(workspace: &Workspace, arguments: &'a Arguments) -> Result<&'a str, String> {
    let id = arguments.text("channel");
    let channel = workspace.channels.get(id).ok_or("channel_not_found")?;
    if channel.bot_is_member {
        Ok(id)
    } else {
        Err("not_in_channel".to_owned())
    }
}

fn permalink(workspace: &Workspace, arguments: &Arguments) -> Answer {
    let channel = readable(workspace, arguments)?;
    let ts = arguments.text("message_ts");
    let message = workspace.message(channel, ts).ok_or("message_not_found")?;
    let mut link = format!("{}/archives/{channel}/p{}", workspace.url, ts.replace('.', ""));
    if let Some(root) = &message.thread {
        link += &format!("?thread_ts={root}&cid={channel}");
    }
    Ok(json!({ "channel": channel, "permalink": link }))
}

/// The channel's own messages, newest first.
fn history(workspace: &Workspace, arguments: &Arguments) -> Answer {
    let channel = readable(workspace, arguments)?;
    let messages = workspace.messages.iter().rev();
    let own =
        messages.filter(|message| message.channel == channel && message.only_for.is_none() && message.thread.is_none());
    let payloads = own.map(|message| workspace.payload(message, arguments.flag("include_all_metadata")));
    page(payloads.collect(), arguments)
}

/// A thread, its root first, oldest first.
fn replies(workspace: &Workspace, arguments: &Arguments) -> Answer {
    let channel = readable(workspace, arguments)?;
    let root = arguments.text("ts");
    let visible = workspace
        .messages
        .iter()
        .filter(|message| message.channel == channel && message.only_for.is_none());
    let within = visible.filter(|message| message.ts == root || message.thread.as_deref() == Some(root));
    let payloads: Vec<_> = within
        .map(|message| workspace.payload(message, arguments.flag("include_all_metadata")))
        .collect();
    match payloads.is_empty() {
        true => Err("thread_not_found".to_owned()),
        false => page(payloads, arguments),
    }
}

/// A cursor names the last message of the page before, so that what is posted meanwhile moves nothing.
fn page(messages: Vec<Value>, arguments: &Arguments) -> Answer {
    let limit = arguments.number("limit").unwrap_or(PAGE).clamp(1, 999);
    let cursor = arguments.text("cursor");
    let begin = if cursor.is_empty() {
        0
    } else {
        let last = URL_SAFE
            .decode(cursor)
            .ok()
            .and_then(|last| String::from_utf8(last).ok())
            .ok_or("invalid_cursor")?;
        let last = messages
            .iter()
            .position(|message| message["ts"] == *last)
            .ok_or("invalid_cursor")?;
        last + 1
    };
    let rest = messages.get(begin..).unwrap_or_default();
    let messages = rest.get(..limit).unwrap_or(rest);
    let more = messages.len() < rest.len();
    let next = messages
        .last()
        .filter(|_| more)
        .and_then(|message| message["ts"].as_str());
    Ok(json!({
        "messages": messages,
        "has_more": more,
        "response_metadata": { "next_cursor": next.map(|ts| URL_SAFE.encode(ts)).unwrap_or_default() },
    }))
}

fn conversation(workspace: &Workspace, arguments: &Arguments) -> Answer {
    let channel = workspace
        .channels
        .get(arguments.text("channel"))
        .ok_or("channel_not_found")?;
    Ok(json!({ "channel": {
        "id": channel.id, "name": channel.name, "is_channel": true, "is_private": false, "is_archived": channel.archived,
        "is_member": channel.bot_is_member,
    } }))
}

fn user(workspace: &Workspace, arguments: &Arguments) -> Answer {
    let person = workspace.people.get(arguments.text("user")).ok_or("user_not_found")?;
    Ok(json!({ "user": {
        "id": person.id, "team_id": TEAM, "name": person.handle, "real_name": person.name, "tz": person.tz, "is_bot": person.id == BOT,
        // Slack's empty object is an array.
        "profile": { "real_name": person.name, "display_name": person.name, "fields": [] },
    } }))
}

fn group(workspace: &Workspace, arguments: &Arguments) -> Answer {
    let members = workspace
        .groups
        .get(arguments.text("usergroup"))
        .ok_or("no_such_subteam")?;
    Ok(json!({ "users": members }))
}
