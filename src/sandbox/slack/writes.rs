//! The Web API's writing methods.

use std::time::Instant;

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::model::{BOT, Draft, View, Workspace};
use super::rules;

/// What a method does: its reply without `ok: true`, or the code of its refusal.
pub(super) type Write = fn(&mut Workspace, &Arguments) -> Result<Value, String>;
type Answer = Result<Value, String>;

/// By name.
pub(super) const WRITES: &[(&str, Write)] = &[
    ("chat.postMessage", post_message),
    ("chat.update", update),
    ("chat.postEphemeral", post_ephemeral),
    ("views.open", open_view),
    ("views.update", update_view),
    ("views.publish", publish_home),
];

/// The channel, if the bot may speak there.
fn writable(workspace: &Workspace, arguments: &Arguments) -> Result<String, String> {
    let channel = workspace
        .channels
        .get(arguments.text("channel"))
        .ok_or("channel_not_found")?;
    match (channel.archived, channel.bot_is_member) {
        (true, _) => Err("is_archived".to_owned()),
        (_, false) => Err("not_in_channel".to_owned()),
        _ => Ok(channel.id.clone()),
    }
}

/// What a message breaks is noted; the first thing of weight refuses it.
fn admit_message(workspace: &mut Workspace, method: &str, arguments: &Arguments) -> Result<(), String> {
    let said = arguments.text("text");
    let blocks = arguments.list("blocks");
    let metadata = Some(arguments.structure("metadata")).filter(Value::is_object);
    let broken_blocks = rules::blocks(&blocks);
    let broken_metadata = metadata.as_ref().map(rules::metadata).unwrap_or_default();
    let refusal = if rules::too_long(said) {
        Some("msg_too_long")
    } else if !broken_blocks.is_empty() {
        Some("invalid_blocks")
    } else if !broken_metadata.is_empty() {
        Some("invalid_metadata_format")
    } else {
        (said.is_empty() && blocks.is_empty()).then_some("no_text")
    };
    for rule in broken_blocks.iter().chain(&broken_metadata) {
        workspace.violations.push(format!("{method}: {rule}"));
    }
    if said.is_empty() {
        workspace
            .violations
            .push(format!("{method}: no text for notifications and screen readers"));
    }
    refusal.map_or(Ok(()), |code| Err(code.to_owned()))
}

fn draft(channel: &str, arguments: &Arguments) -> Draft {
    Draft {
        channel: channel.to_owned(),
        author: BOT.to_owned(),
        thread: Some(arguments.text("thread_ts"))
            .filter(|ts| !ts.is_empty())
            .map(str::to_owned),
        text: arguments.text("text").to_owned(),
        blocks: arguments.list("blocks"),
        metadata: Some(arguments.structure("metadata")).filter(Value::is_object),
        only_for: None,
    }
}

fn post_message(workspace: &mut Workspace, arguments: &Arguments) -> Answer {
    const METHOD: &str = "chat.postMessage";
    let channel = writable(workspace, arguments)?;
    admit_message(workspace, METHOD, arguments)?;
    let mut draft = draft(&channel, arguments);
    if let Some(thread) = draft.thread.take() {
        let root = workspace.message(&channel, &thread).ok_or("thread_not_found")?;
        let upper = root.thread.clone();
        if upper.is_some() {
            workspace
                .violations
                .push(format!("{METHOD}: thread_ts is a reply's, not a root's"));
        }
        draft.thread = Some(upper.unwrap_or(thread));
    }
    let ts = workspace.post(draft);
    workspace.enter(METHOD, &channel, &ts);
    let message = workspace
        .message(&channel, &ts)
        .map(|message| workspace.payload(message, true));
    Ok(json!({ "channel": channel, "ts": ts, "message": message }))
}

/// What isn't given stays as it is.
fn update(workspace: &mut Workspace, arguments: &Arguments) -> Answer {
    const METHOD: &str = "chat.update";
    let channel = writable(workspace, arguments)?;
    let ts = arguments.text("ts").to_owned();
    // An ephemeral message has no place in the channel: only its response URL reaches it.
    let found = workspace
        .message(&channel, &ts)
        .filter(|message| message.only_for.is_none());
    if found.ok_or("message_not_found")?.author != BOT {
        return Err("cant_update_message".to_owned());
    }
    admit_message(workspace, METHOD, arguments)?;
    let draft = draft(&channel, arguments);
    let blocks = workspace.with_ids(draft.blocks);
    if let Some(message) = workspace.message_mut(&channel, &ts) {
        let blocks = match arguments.has("blocks") {
            true => blocks,
            false => std::mem::take(&mut message.blocks),
        };
        message.rewrite(draft.text, blocks);
        message.metadata = draft.metadata.or(message.metadata.take());
    }
    workspace.enter(METHOD, &channel, &ts);
    Ok(json!({ "channel": channel, "ts": ts, "text": arguments.text("text") }))
}

fn post_ephemeral(workspace: &mut Workspace, arguments: &Arguments) -> Answer {
    const METHOD: &str = "chat.postEphemeral";
    let channel = writable(workspace, arguments)?;
    let user = arguments.text("user");
    if user == BOT || !workspace.people.contains_key(user) {
        return Err("user_not_in_channel".to_owned());
    }
    admit_message(workspace, METHOD, arguments)?;
    let mut draft = draft(&channel, arguments);
    draft.only_for = Some(user.to_owned());
    let ts = workspace.post(draft);
    workspace.enter(METHOD, &channel, &ts);
    Ok(json!({ "message_ts": ts }))
}

/// What a modal or Home breaks is noted and refuses it.
fn admit_view(workspace: &mut Workspace, method: &str, kind: &str, view: &Value) -> Result<(), String> {
    let mut broken = rules::view(view);
    if view["type"] != kind {
        broken.push(format!("view: {method} takes a {kind}"));
    }
    let refused = !broken.is_empty();
    workspace
        .violations
        .extend(broken.into_iter().map(|rule| format!("{method}: {rule}")));
    if refused {
        Err("invalid_arguments".to_owned())
    } else {
        Ok(())
    }
}

fn shown(view: &View) -> Value {
    json!({ "view": view.shown() })
}

fn open_view(workspace: &mut Workspace, arguments: &Arguments) -> Answer {
    const METHOD: &str = "views.open";
    let view = arguments.structure("view");
    admit_view(workspace, METHOD, "modal", &view)?;
    let trigger = workspace
        .triggers
        .get_mut(arguments.text("trigger_id"))
        .ok_or("invalid_trigger_id")?;
    if Instant::now() >= trigger.expires {
        return Err("expired_trigger_id".to_owned());
    }
    if std::mem::replace(&mut trigger.used, true) {
        return Err("exchanged_trigger_id".to_owned());
    }
    let user = trigger.user.clone();
    let view = workspace.new_view(&user, view);
    workspace.ledger.push(format!("{METHOD} {user}"));
    let reply = shown(&view);
    workspace.views.push(view);
    Ok(reply)
}

fn update_view(workspace: &mut Workspace, arguments: &Arguments) -> Answer {
    const METHOD: &str = "views.update";
    let next = arguments.structure("view");
    admit_view(workspace, METHOD, "modal", &next)?;
    let (id, external) = (arguments.text("view_id"), arguments.text("external_id"));
    let wanted = |view: &View| view.id == id || (!external.is_empty() && view.view["external_id"] == external);
    let at = workspace.views.iter().position(wanted).ok_or("not_found")?;
    let hash = arguments.text("hash");
    if !hash.is_empty() && workspace.views[at].hash != hash {
        return Err("hash_conflict".to_owned());
    }
    let user = workspace.views[at].user.clone();
    let view = View {
        id: workspace.views[at].id.clone(),
        ..workspace.new_view(&user, next)
    };
    workspace.ledger.push(format!("{METHOD} {user}"));
    let reply = shown(&view);
    workspace.views[at] = view;
    Ok(reply)
}

fn publish_home(workspace: &mut Workspace, arguments: &Arguments) -> Answer {
    const METHOD: &str = "views.publish";
    let user = arguments.text("user_id").to_owned();
    if !workspace.people.contains_key(&user) {
        return Err("invalid_arguments".to_owned());
    }
    let view = arguments.structure("view");
    admit_view(workspace, METHOD, "home", &view)?;
    let view = workspace.new_view(&user, view);
    workspace.ledger.push(format!("{METHOD} {user}"));
    let reply = shown(&view);
    workspace.homes.insert(user, view);
    Ok(reply)
}
