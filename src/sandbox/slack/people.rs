//! What people do: type, click, tick, fill in, open their Home. Each verb sends what the real client would make Slack send, waits for the
//! app's acknowledgement as Slack does, and fails with what the person would see.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::SlackDouble;
use super::delivery::Kind;
use super::elements::{Element, elements, state_values};
use super::model::{APP, BOT, Draft, Message, TEAM, TEAM_NAME, Touched, Workspace};
use super::{rules, transcript};

/// The app's one command.
const COMMAND: &str = "/deploy";
/// Slack's old proof of origin, still in each payload.
const VERIFICATION: &str = "sandbox-verification-token";

/// What the app answered a command at once; empty if it only took it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Its text.
    pub text: Option<String>,
    /// Its blocks.
    pub blocks: Vec<Value>,
}

/// What becomes of a check box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tick {
    /// It has a tick.
    On,
    /// It has none.
    Off,
}

/// Where an element was touched.
enum Surface {
    Message(Message),
    View { id: String, payload: Value },
}

impl SlackDouble {
    /// Types something into a channel. `/deploy …` reaches the app; anything else is a message.
    ///
    /// # Errors
    /// What Slack shows: the command failed, or doesn't exist; nobody has this id.
    pub async fn says(&self, user: &str, channel: &str, text: &str) -> Result<Reply, String> {
        self.look(|workspace| known(workspace, user, channel))?;
        let Some(arguments) = text
            .strip_prefix(COMMAND)
            .filter(|rest| rest.is_empty() || rest.starts_with(' '))
        else {
            if text.starts_with('/') {
                let command = text.split_whitespace().next().unwrap_or_default();
                return Err(format!("{command} is not a valid command"));
            }
            self.post_as(user, channel, None, text);
            return Ok(Reply::default());
        };
        let payload = self.look_mut(|workspace| {
            let trigger = workspace.new_trigger(user, self.0.options.trigger_life);
            let response = workspace.new_response_url(user, channel, None, None);
            json!({
                "token": VERIFICATION, "team_id": TEAM, "team_domain": TEAM_NAME.to_lowercase(),
                "channel_id": channel, "channel_name": workspace.channels.get(channel).map(|channel| &channel.name),
                "user_id": user, "user_name": workspace.people.get(user).map(|person| &person.handle),
                "command": COMMAND, "text": arguments.trim(), "api_app_id": APP, "is_enterprise_install": "false",
                "response_url": self.response_url(&response), "trigger_id": trigger,
            })
        });
        let failed = |code| format!("{COMMAND} failed with the error \"{code}\"");
        let answer = self.deliver(Kind::Command, payload, true).await.map_err(failed)?;
        Ok(self.show_answer(user, channel, &answer))
    }

    /// Types a message into a thread.
    ///
    /// # Errors
    /// Nobody has this id, or there is no such message.
    pub async fn replies(&self, user: &str, channel: &str, root: &str, text: &str) -> Result<(), String> {
        self.look(|workspace| {
            known(workspace, user, channel)?;
            match workspace.message(channel, root) {
                Some(message) if message.only_for.is_none() => Ok(()),
                _ => Err(format!("{user} sees no message {root}")),
            }
        })?;
        self.post_as(user, channel, Some(root), text);
        Ok(())
    }

    /// Slack escapes what people type.
    fn post_as(&self, user: &str, channel: &str, thread: Option<&str>, text: &str) {
        let draft = Draft {
            channel: channel.to_owned(),
            author: user.to_owned(),
            thread: thread.map(str::to_owned),
            text: text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            ..Draft::default()
        };
        self.change(|workspace| workspace.post(draft));
    }

    fn response_url(&self, id: &str) -> String {
        format!("http://{}/response/{id}", self.0.address)
    }

    /// An acknowledgement with text or blocks is a message.
    fn show_answer(&self, user: &str, channel: &str, answer: &Value) -> Reply {
        let reply = Reply {
            text: answer["text"].as_str().map(str::to_owned),
            blocks: answer["blocks"].as_array().cloned().unwrap_or_default(),
        };
        if reply != Reply::default() {
            let draft = Draft {
                channel: channel.to_owned(),
                author: BOT.to_owned(),
                text: reply.text.clone().unwrap_or_default(),
                blocks: reply.blocks.clone(),
                only_for: (answer["response_type"] != "in_channel").then(|| user.to_owned()),
                ..Draft::default()
            };
            self.change(|workspace| {
                let broken = rules::blocks(&draft.blocks);
                workspace
                    .violations
                    .extend(broken.into_iter().map(|rule| format!("acknowledgement: {rule}")));
                workspace.post(draft)
            });
        }
        reply
    }

    /// Clicks a button of a message.
    ///
    /// # Errors
    /// There is no such message or button, or the app didn't acknowledge and the button shows a warning.
    pub async fn clicks(&self, user: &str, channel: &str, ts: &str, action_id: &str) -> Result<(), String> {
        self.touches(user, channel, ts, action_id, Vec::new()).await
    }

    /// Clicks the button with this label on the newest message that this person sees and that has one.
    ///
    /// # Errors
    /// As [`clicks`](Self::clicks).
    pub async fn clicks_label(&self, user: &str, label: &str) -> Result<(), String> {
        let found = self.look(|workspace| {
            let seen = workspace
                .messages
                .iter()
                .rev()
                .filter(|message| message.is_seen_by(user));
            let labelled = |message: &Message| {
                let element = elements(&message.blocks).find(|element| element.label() == Some(label))?;
                Some((
                    message.channel.clone(),
                    message.ts.clone(),
                    element.action_id().to_owned(),
                ))
            };
            seen.filter_map(labelled).next()
        });
        let (channel, ts, action_id) = found.ok_or_else(|| self.unseen(user, &format!("button [{label}]")))?;
        self.clicks(user, &channel, &ts, &action_id).await
    }

    fn unseen(&self, user: &str, what: &str) -> String {
        format!("{user} sees no {what}; the transcript:\n{}", self.transcript())
    }

    /// Leaves exactly these values ticked (check boxes) or chosen (menus, radio buttons).
    ///
    /// # Errors
    /// As [`clicks`](Self::clicks); or a value isn't offered.
    pub async fn ticks(
        &self,
        user: &str,
        channel: &str,
        ts: &str,
        action_id: &str,
        values: &[&str],
    ) -> Result<(), String> {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        self.touches(user, channel, ts, action_id, values).await
    }

    async fn touches(
        &self,
        user: &str,
        channel: &str,
        ts: &str,
        action_id: &str,
        values: Vec<String>,
    ) -> Result<(), String> {
        let message = self.look(|workspace| {
            known(workspace, user, channel)?;
            let seen = workspace
                .message(channel, ts)
                .filter(|message| message.is_seen_by(user));
            seen.cloned().ok_or_else(|| format!("{user} sees no message {ts}"))
        })?;
        self.interacts(user, Surface::Message(message), action_id, values).await
    }

    /// Ticks or un-ticks the box beside this text, on the newest message that this person sees and that has one: the text may be its
    /// own label or its section's.
    ///
    /// # Errors
    /// As [`clicks`](Self::clicks).
    pub async fn ticks_beside(&self, user: &str, text: &str, tick: Tick) -> Result<(), String> {
        let found = self.look(|workspace| {
            let mut seen = workspace
                .messages
                .iter()
                .rev()
                .filter(|message| message.is_seen_by(user));
            seen.find_map(|message| {
                let (element, value) =
                    elements(&message.blocks).find_map(|element| Some((element, element.beside(text)?)))?;
                let held = message.chosen.get(&touched(user, element)).cloned();
                let mut values = held.unwrap_or_else(|| element.initial());
                values.retain(|held| held != value);
                if tick == Tick::On {
                    values.push(value.to_owned());
                }
                Some((
                    message.channel.clone(),
                    message.ts.clone(),
                    element.action_id().to_owned(),
                    values,
                ))
            })
        });
        let (channel, ts, action_id, values) =
            found.ok_or_else(|| self.unseen(user, &format!("box beside {text:?}")))?;
        self.touches(user, &channel, &ts, &action_id, values).await
    }

    /// Dismisses an ephemeral message, as "Only visible to you" lets one.
    pub fn dismisses(&self, user: &str, channel: &str, ts: &str) {
        let dismissed = |message: &Message| {
            message.channel == channel && message.ts == ts && message.only_for.as_deref() == Some(user)
        };
        self.change(|workspace| workspace.messages.retain(|message| !dismissed(message)));
    }

    /// Clicks a button in the modal that this person has open, or else in their Home.
    ///
    /// # Errors
    /// As [`clicks`](Self::clicks).
    pub async fn clicks_in_view(&self, user: &str, action_id: &str) -> Result<(), String> {
        let surface = self.look(|workspace| {
            let view = workspace.open_view(user).or_else(|| workspace.homes.get(user))?;
            Some(Surface::View {
                id: view.id.clone(),
                payload: view.shown(),
            })
        });
        let surface = surface.ok_or_else(|| format!("{user} has neither a modal nor a Home"))?;
        self.interacts(user, surface, action_id, Vec::new()).await
    }

    async fn interacts(
        &self,
        user: &str,
        surface: Surface,
        action_id: &str,
        values: Vec<String>,
    ) -> Result<(), String> {
        let blocks = surface.blocks();
        let found = elements(blocks).find(|element| element.action_id() == action_id);
        let element = found.ok_or_else(|| format!("there is nothing called {action_id} to touch"))?;
        if let Some(foreign) = values.iter().find(|value| !element.offers(value)) {
            return Err(format!("{action_id} doesn't offer {foreign}"));
        }
        let is_button = element.label().is_some();
        if let (Surface::Message(message), false) = (&surface, is_button) {
            self.change(|workspace| {
                let message = workspace.message_mut(&message.channel, &message.ts)?;
                message.chosen.insert(touched(user, element), values.clone())
            });
        }
        let payload = self.look_mut(|workspace| self.block_actions(workspace, user, &surface, element, &values));
        let failed = |code| format!("Slack shows a warning beside {action_id}: {code}");
        self.deliver(Kind::Interaction, payload, false).await.map_err(failed)?;
        Ok(())
    }
}

fn touched(user: &str, element: Element<'_>) -> Touched {
    Touched {
        user: user.to_owned(),
        block_id: element.block_id().to_owned(),
        action_id: element.action_id().to_owned(),
    }
}

impl Surface {
    fn blocks(&self) -> &[Value] {
        match self {
            Self::Message(message) => &message.blocks,
            Self::View { payload, .. } => payload["blocks"].as_array().map(Vec::as_slice).unwrap_or_default(),
        }
    }
}

/// Payloads, field by field as Slack sends them.
impl SlackDouble {
    fn interaction(&self, workspace: &mut Workspace, kind: &str, user: &str) -> Value {
        let handle = workspace
            .people
            .get(user)
            .map(|person| person.handle.clone())
            .unwrap_or_default();
        json!({
            "type": kind,
            "team": { "id": TEAM, "domain": TEAM_NAME.to_lowercase() },
            "user": { "id": user, "username": handle, "name": handle, "team_id": TEAM },
            "api_app_id": APP,
            "token": VERIFICATION,
            "trigger_id": workspace.new_trigger(user, self.0.options.trigger_life),
            "enterprise": null,
            "is_enterprise_install": false,
        })
    }

    fn block_actions(
        &self,
        workspace: &mut Workspace,
        user: &str,
        surface: &Surface,
        element: Element<'_>,
        values: &[String],
    ) -> Value {
        let mut payload = self.interaction(workspace, "block_actions", user);
        payload["actions"] = json!([element.action(values, &workspace.next_ts())]);
        let message = match surface {
            Surface::View { id, payload: view } => {
                payload["container"] = json!({ "type": "view", "view_id": id });
                payload["view"] = view.clone();
                return payload;
            }
            Surface::Message(message) => message,
        };
        let (channel, thread) = (&message.channel, message.thread.clone());
        let response = workspace.new_response_url(user, channel, thread, Some(message.ts.clone()));
        let name = workspace.channels.get(channel).map(|channel| &channel.name);
        payload["container"] = json!({
            "type": "message", "message_ts": message.ts, "channel_id": channel, "is_ephemeral": message.only_for.is_some(),
        });
        if let Some(root) = workspace.root_of(message) {
            payload["container"]["thread_ts"] = json!(root);
        }
        payload["channel"] = json!({ "id": channel, "name": name });
        // Slack keeps no copy of an ephemeral message to send along.
        if message.only_for.is_none() {
            payload["message"] = workspace.payload(message, true);
        }
        let just_now = touched(user, element);
        let chosen = |other: Element<'_>| match touched(user, other) {
            other if other == just_now => Some(values.to_vec()),
            other => message.chosen.get(&other).cloned(),
        };
        payload["state"] = json!({ "values": state_values(&message.blocks, chosen) });
        payload["response_url"] = json!(self.response_url(&response));
        payload
    }
}

/// Modals and the Home.
impl SlackDouble {
    /// The modal on top of this person's screen, as Slack's payloads carry it.
    pub fn open_view(&self, user: &str) -> Option<Value> {
        self.look(|workspace| workspace.open_view(user).map(|view| view.shown()))
    }

    /// The modal on top of this person's screen, as they read it.
    pub fn reads_view(&self, user: &str) -> Option<String> {
        self.look(|workspace| Some(transcript::view(workspace, workspace.open_view(user)?)))
    }

    /// This person's Home, as the app last published it.
    pub fn home(&self, user: &str) -> Option<Value> {
        self.look(|workspace| workspace.homes.get(user).map(|view| view.shown()))
    }

    /// Submits the open modal with these values, `action_id` → values; what isn't given stays as the modal shows it. `Some` are the
    /// app's complaints, `block_id` → text, and the modal stays open.
    ///
    /// # Errors
    /// No modal is open, a value can't be entered, a required one is missing, or the app didn't acknowledge.
    pub async fn submits_view(
        &self,
        user: &str,
        values: BTreeMap<String, Vec<String>>,
    ) -> Result<Option<BTreeMap<String, String>>, String> {
        let payload = self.look_mut(|workspace| {
            let view = workspace
                .open_view(user)
                .ok_or_else(|| format!("{user} has no modal open"))?
                .clone();
            let blocks = view.blocks();
            fits(blocks, &values)?;
            let mut payload = self.interaction(workspace, "view_submission", user);
            payload["view"] = view.payload(state_values(blocks, |element| values.get(element.action_id()).cloned()));
            payload["response_urls"] = json!([]);
            Ok::<_, String>(payload)
        })?;
        let id = payload["view"]["id"].as_str().unwrap_or_default().to_owned();
        let failed = |code| format!("We had some trouble connecting. Try again? ({code})");
        let answer = self.deliver(Kind::Interaction, payload, true).await.map_err(failed)?;
        Ok(self.change(|workspace| take_answer(workspace, user, &id, &answer)))
    }

    /// Closes the open modal; the app hears of it if it asked to.
    pub async fn closes_view(&self, user: &str) {
        let payload = self.change(|workspace| {
            let at = workspace.views.iter().rposition(|view| view.user == user)?;
            let view = workspace.views.remove(at);
            if view.view["notify_on_close"] != true {
                return None;
            }
            let mut payload = self.interaction(workspace, "view_closed", user);
            payload["view"] = view.shown();
            payload["is_cleared"] = json!(false);
            Some(payload)
        });
        if let Some(payload) = payload {
            // The modal is gone whatever the app says.
            let _ = self.deliver(Kind::Interaction, payload, false).await;
        }
    }

    /// Opens the app's Home.
    ///
    /// # Errors
    /// The app acknowledged neither the event nor its repetition.
    pub async fn opens_home(&self, user: &str) -> Result<(), String> {
        let payload = self.look_mut(|workspace| {
            let event_ts = workspace.next_ts();
            json!({
                "token": VERIFICATION, "team_id": TEAM, "api_app_id": APP, "type": "event_callback",
                "event_id": workspace.next_id("Ev"), "event_time": 1_732_438_800,
                "event": {
                    "type": "app_home_opened", "user": user, "channel": format!("D{user}"), "tab": "home", "event_ts": event_ts,
                },
            })
        });
        let failed = |code| format!("the app didn't take the event: {code}");
        self.deliver_event(payload).await.map_err(failed)?;
        Ok(())
    }
}

fn known(workspace: &Workspace, user: &str, channel: &str) -> Result<(), String> {
    if !workspace.people.contains_key(user) {
        return Err(format!("there is nobody called {user}"));
    }
    if !workspace.channels.contains_key(channel) {
        return Err(format!("there is no channel {channel}"));
    }
    Ok(())
}

/// What Slack's client checks before it submits a modal.
fn fits(blocks: &[Value], values: &BTreeMap<String, Vec<String>>) -> Result<(), String> {
    for (action_id, values) in values {
        let element = elements(blocks).find(|element| element.action_id() == action_id);
        let element = element.ok_or_else(|| format!("the modal has no {action_id}"))?;
        if let Some(foreign) = values.iter().find(|value| !element.offers(value)) {
            return Err(format!("{action_id} doesn't offer {foreign}"));
        }
    }
    let is_empty = |element: &Element<'_>| {
        let held = values
            .get(element.action_id())
            .cloned()
            .unwrap_or_else(|| element.initial());
        held.iter().all(String::is_empty)
    };
    match elements(blocks).find(|element| element.is_required() && is_empty(element)) {
        Some(missing) => Err(format!("Please complete this required field: {}", missing.action_id())),
        None => Ok(()),
    }
}

/// What becomes of a submitted modal.
fn take_answer(workspace: &mut Workspace, user: &str, id: &str, answer: &Value) -> Option<BTreeMap<String, String>> {
    let next = &answer["view"];
    match answer["response_action"].as_str() {
        Some("errors") => return Some(complaints(workspace, id, &answer["errors"])),
        Some("clear") => workspace.views.retain(|view| view.user != user),
        Some(action @ ("update" | "push")) => {
            let broken = rules::view(next);
            workspace
                .violations
                .extend(broken.into_iter().map(|rule| format!("view_submission: {rule}")));
            let next = workspace.new_view(user, next.clone());
            match workspace
                .views
                .iter_mut()
                .find(|view| view.id == id && action == "update")
            {
                Some(view) => *view = next,
                None => workspace.views.push(next),
            }
        }
        _ => workspace.views.retain(|view| view.id != id),
    }
    None
}

/// Slack shows complaints beside input blocks and nowhere else.
fn complaints(workspace: &mut Workspace, id: &str, errors: &Value) -> BTreeMap<String, String> {
    let errors: BTreeMap<String, String> = serde_json::from_value(errors.clone()).unwrap_or_default();
    let Some(view) = workspace.views.iter_mut().find(|view| view.id == id) else {
        return errors;
    };
    view.errors.clone_from(&errors);
    let is_input = |name: &str| {
        let mut blocks = view.blocks().iter();
        blocks.any(|block| block["type"] == "input" && block["block_id"] == name)
    };
    let lost = errors.keys().filter(|name| !is_input(name));
    let lost = lost.map(|name| format!("view_submission: {name:?} is no input block of the modal"));
    workspace.violations.extend(lost);
    errors
}
