//! What people do: type, click, tick, submit. Each verb goes through Slack's own protocol to the app and back.

use std::collections::BTreeMap;
use std::time::Duration;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::api::RESPONSES;
use super::model::{BOT, Message, ResponseUrl, TEAM, name_of};
use super::{SIGNING_SECRET, SlackDouble, transcript};
use crate::sandbox::locked;

/// A trigger can open a modal for so long.
const TRIGGER: Duration = Duration::from_secs(3);

impl SlackDouble {
    fn new_trigger(&self, user: &str) -> String {
        self.change(|workspace| {
            let trigger = format!("{}.trigger", workspace.tick());
            let until = tokio::time::Instant::now() + TRIGGER;
            workspace.triggers.insert(trigger.clone(), (user.to_owned(), until));
            trigger
        })
    }

    fn new_response_url(&self, channel: &str, user: &str, message: Option<&str>) -> String {
        let id = self.change(|workspace| {
            let id = format!("R{}", workspace.tick());
            let url = ResponseUrl {
                channel: channel.to_owned(),
                user: user.to_owned(),
                message: message.map(str::to_owned),
                left: RESPONSES,
            };
            workspace.responses.insert(id.clone(), url);
            id
        });
        format!("http://{}/response/{id}", self.0.address)
    }

    /// Over the socket, or signed over HTTP; `None`: not acknowledged.
    async fn hand_over(&self, kind: &str, payload: Value) -> Option<Value> {
        let Some(base) = &self.0.options.http else {
            return self.deliver(kind, payload).await;
        };
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let (path, content_type, body) = match kind {
            "slash_commands" => {
                let fields = payload
                    .as_object()?
                    .iter()
                    .map(|(key, value)| format!("{key}={}", encode(value.as_str().unwrap_or_default())));
                (
                    "commands",
                    "application/x-www-form-urlencoded",
                    fields.collect::<Vec<_>>().join("&"),
                )
            }
            "interactive" => {
                let body = format!("payload={}", encode(&payload.to_string()));
                ("interactions", "application/x-www-form-urlencoded", body)
            }
            _ => ("events", "application/json", payload.to_string()),
        };
        let now = chrono::Utc::now().timestamp().to_string();
        let mac = Hmac::<Sha256>::new_from_slice(SIGNING_SECRET.as_bytes()).ok()?;
        let signed = mac.chain_update(format!("v0:{now}:{body}")).finalize().into_bytes();
        let client = crate::github::rest::http_client().ok()?;
        let request = client
            .post(format!("{base}/slack/{path}"))
            .header("Content-Type", content_type)
            .header("X-Slack-Request-Timestamp", now)
            .header("X-Slack-Signature", format!("v0={}", hex::encode(signed)))
            .body(body);
        let response = tokio::time::timeout(self.0.options.ack_deadline, request.send())
            .await
            .ok()?
            .ok()?;
        if !response.status().is_success() {
            return None;
        }
        let text = response.text().await.ok()?;
        Some(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Types in a channel: a slash command goes to the app, anything else is a message. Answers with what the app says to this person alone.
    ///
    /// # Errors
    /// Slack's own words when the app doesn't acknowledge in time.
    pub async fn says(&self, user: &str, channel: &str, text: &str) -> Result<Option<String>, String> {
        let Some((command, rest)) = text
            .strip_prefix('/')
            .map(|typed| typed.split_once(' ').unwrap_or((typed, "")))
        else {
            self.change(|workspace| {
                let message = Message {
                    ts: workspace.ts(),
                    thread: None,
                    user: user.to_owned(),
                    text: text.to_owned(),
                    blocks: Vec::new(),
                    metadata: None,
                    edited: false,
                    only_for: None,
                };
                workspace.channels.entry(channel.to_owned()).or_default().push(message);
            });
            return Ok(None);
        };
        let payload = json!({
            "token": "verification", "team_id": TEAM, "team_domain": "acme", "channel_id": channel, "channel_name": "deploys",
            "user_id": user, "user_name": name_of(user), "command": format!("/{command}"), "text": rest, "api_app_id": "A0SHIPMATE",
            "is_enterprise_install": "false",
            "response_url": self.new_response_url(channel, user, None), "trigger_id": self.new_trigger(user),
        });
        let Some(answer) = self.hand_over("slash_commands", payload).await else {
            self.change(|workspace| {
                workspace
                    .violations
                    .push(format!("/{command} {rest} was not acknowledged in time"))
            });
            return Err(format!("/{command} failed with the error \"operation_timeout\""));
        };
        if answer["text"].is_null() && answer["blocks"].is_null() {
            return Ok(None);
        }
        let message = self.change(|workspace| {
            let message = Message {
                ts: workspace.ts(),
                thread: None,
                user: BOT.to_owned(),
                text: answer["text"].as_str().unwrap_or_default().to_owned(),
                blocks: answer["blocks"].as_array().cloned().unwrap_or_default(),
                metadata: None,
                edited: false,
                only_for: Some(user.to_owned()).filter(|_| answer["response_type"] != "in_channel"),
            };
            workspace
                .channels
                .entry(channel.to_owned())
                .or_default()
                .push(message.clone());
            message
        });
        Ok(Some(transcript::one(&message, "")))
    }

    /// Clicks the newest button with this label that this person sees.
    ///
    /// # Errors
    /// If there is none, or the app doesn't acknowledge in time.
    pub async fn clicks(&self, user: &str, channel: &str, label: &str) -> Result<(), String> {
        let found = {
            let workspace = locked(&self.0.workspace);
            let mut visible: Vec<&Message> = workspace.visible(channel, user).collect();
            visible.reverse();
            visible.iter().find_map(|message| {
                let button = controls(message)
                    .into_iter()
                    .find(|(_, element)| element["text"]["text"] == label)?;
                Some((
                    message.ts.clone(),
                    button.1["action_id"].as_str().unwrap_or_default().to_owned(),
                ))
            })
        };
        match found {
            Some((ts, action)) => self.acts(user, channel, &ts, &action, None).await,
            None => Err(format!(
                "{} sees no button {label:?}; the channel:\n{}",
                name_of(user),
                self.transcript()
            )),
        }
    }

    /// Uses one control of one message; `ticked` are the values of its check boxes as this person's client shows them.
    ///
    /// # Errors
    /// If it isn't there, or the app doesn't acknowledge in time.
    pub async fn acts(
        &self,
        user: &str,
        channel: &str,
        ts: &str,
        action_id: &str,
        ticked: Option<Vec<String>>,
    ) -> Result<(), String> {
        let message = locked(&self.0.workspace).message(channel, ts).cloned();
        let message = message.ok_or_else(|| format!("there is no message {ts}"))?;
        let found = controls(&message)
            .into_iter()
            .find(|(_, element)| element["action_id"] == action_id);
        let (block_id, element) = found.ok_or_else(|| format!("message {ts} has no control {action_id}"))?;
        let action_ts = self.change(super::Workspace::ts);
        let mut action = json!({
            "type": element["type"], "action_id": action_id, "block_id": block_id, "action_ts": action_ts,
        });
        let mut state = json!({});
        if element["type"] == "checkboxes" {
            let ticked = ticked.unwrap_or_default();
            let options = element["options"].as_array().cloned().unwrap_or_default();
            let chosen: Vec<Value> = options
                .into_iter()
                .filter(|option| ticked.iter().any(|value| option["value"] == value.as_str()))
                .collect();
            action["selected_options"] = json!(chosen);
            state = json!({ block_id.clone(): { action_id: { "type": "checkboxes", "selected_options": chosen } } });
        } else {
            action["value"] = element["value"].clone();
            action["text"] = element["text"].clone();
        }
        let payload = json!({
            "type": "block_actions", "team": { "id": TEAM, "domain": "acme" }, "user": { "id": user, "username": name_of(user), "team_id": TEAM },
            "api_app_id": "A0SHIPMATE", "token": "verification",
            "container": { "type": "message", "message_ts": ts, "channel_id": channel, "is_ephemeral": message.only_for.is_some(), "thread_ts": message.thread },
            "trigger_id": self.new_trigger(user), "channel": { "id": channel, "name": "deploys" }, "message": message.json(true),
            "state": { "values": state }, "response_url": self.new_response_url(channel, user, Some(ts)), "actions": [action],
        });
        match self.hand_over("interactive", payload).await {
            Some(_) => Ok(()),
            None => {
                self.change(|workspace| {
                    workspace
                        .violations
                        .push(format!("a click on {action_id} was not acknowledged in time"))
                });
                Err("Slack shows a warning sign beside the button".to_owned())
            }
        }
    }

    /// Ticks or un-ticks the check box beside a text.
    ///
    /// # Errors
    /// If it isn't there, or the app doesn't acknowledge in time.
    pub async fn ticks(&self, user: &str, channel: &str, beside: &str, done: bool) -> Result<(), String> {
        let found = {
            let workspace = locked(&self.0.workspace);
            let mut visible: Vec<&Message> = workspace.visible(channel, user).collect();
            visible.reverse();
            visible.iter().find_map(|message| {
                let row = message.blocks.iter().find(|block| {
                    let text = block["text"]["text"].as_str().unwrap_or_default();
                    block["accessory"]["type"] == "checkboxes" && text.contains(beside)
                })?;
                Some((
                    message.ts.clone(),
                    row["accessory"]["action_id"].as_str().unwrap_or_default().to_owned(),
                    row["accessory"]["options"][0]["value"].clone(),
                ))
            })
        };
        let (ts, action, value) =
            found.ok_or_else(|| format!("there is no box beside {beside:?}; the channel:\n{}", self.transcript()))?;
        let ticked = if done {
            vec![value.as_str().unwrap_or_default().to_owned()]
        } else {
            Vec::new()
        };
        self.acts(user, channel, &ts, &action, Some(ticked)).await
    }

    /// The modal that a person has open, as text.
    pub fn modal(&self, user: &str) -> Option<String> {
        locked(&self.0.workspace)
            .views
            .get(user)
            .map(|view| transcript::view(&view.view))
    }

    /// Submits the open modal: what isn't given keeps its initial value. Answers with the app's complaints, if it has any.
    ///
    /// # Errors
    /// If no modal is open, or the app doesn't acknowledge in time.
    pub async fn submits(
        &self,
        user: &str,
        given: &BTreeMap<String, Vec<String>>,
    ) -> Result<BTreeMap<String, String>, String> {
        let open = locked(&self.0.workspace).views.get(user).cloned();
        let open = open.ok_or_else(|| format!("{} has no modal open", name_of(user)))?;
        let mut values = serde_json::Map::new();
        for block in open.view["blocks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|block| block["type"] == "input")
        {
            let element = &block["element"];
            let action = element["action_id"].as_str().unwrap_or_default();
            let value = state_of(element, given.get(action));
            values.insert(
                block["block_id"].as_str().unwrap_or(action).to_owned(),
                json!({ action: value }),
            );
        }
        let mut view = open.view.clone();
        view["id"] = json!(open.id);
        view["hash"] = json!(format!("{}.hash", self.change(super::Workspace::tick)));
        view["team_id"] = json!(TEAM);
        view["state"] = json!({ "values": values });
        let payload = json!({
            "type": "view_submission", "team": { "id": TEAM, "domain": "acme" }, "user": { "id": user, "username": name_of(user), "team_id": TEAM },
            "api_app_id": "A0SHIPMATE", "token": "verification", "trigger_id": self.new_trigger(user), "view": view, "response_urls": [],
        });
        let Some(answer) = self.hand_over("interactive", payload).await else {
            self.change(|workspace| {
                workspace
                    .violations
                    .push("a modal's submission was not acknowledged in time".to_owned())
            });
            return Err("We had some trouble connecting. Try again?".to_owned());
        };
        let errors: BTreeMap<String, String> = match answer["response_action"].as_str() {
            Some("errors") => serde_json::from_value(answer["errors"].clone()).unwrap_or_default(),
            _ => BTreeMap::new(),
        };
        self.change(|workspace| match errors.is_empty() {
            true => drop(workspace.views.remove(user)),
            false => {
                if let Some(view) = workspace.views.get_mut(user) {
                    view.errors.clone_from(&errors);
                }
            }
        });
        Ok(errors)
    }

    /// Closes the open modal.
    pub fn closes_modal(&self, user: &str) {
        self.change(|workspace| workspace.views.remove(user));
    }

    /// Dismisses an ephemeral message.
    pub fn dismisses(&self, user: &str, channel: &str, ts: &str) {
        self.change(|workspace| {
            if let Some(messages) = workspace.channels.get_mut(channel) {
                messages.retain(|message| message.ts != ts || message.only_for.as_deref() != Some(user));
            }
        });
    }

    /// Opens the App Home.
    pub async fn opens_home(&self, user: &str) {
        let event_id = format!("Ev{}", self.change(super::Workspace::tick));
        let payload = json!({
            "type": "event_callback", "team_id": TEAM, "api_app_id": "A0SHIPMATE", "event_id": event_id, "token": "verification",
            "event_time": 1_790_000_000, "authorizations": [],
            "event": { "type": "app_home_opened", "user": user, "channel": "D0HOME", "tab": "home", "event_ts": "1.0" },
        });
        // Events are delivered again when they aren't acknowledged.
        for _ in 0..3 {
            if self.hand_over("events_api", payload.clone()).await.is_some() {
                return;
            }
        }
    }
}

/// All controls of a message with their block's id.
fn controls(message: &Message) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (index, block) in message.blocks.iter().enumerate() {
        let block_id = block["block_id"]
            .as_str()
            .map_or_else(|| format!("b{index}"), str::to_owned);
        if block["accessory"].is_object() {
            found.push((block_id.clone(), &block["accessory"]));
        }
        if block["type"] == "actions" {
            found.extend(
                block["elements"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|element| (block_id.clone(), element)),
            );
        }
    }
    found
}

/// An input's state as a submission carries it.
fn state_of(element: &Value, given: Option<&Vec<String>>) -> Value {
    let kind = element["type"].as_str().unwrap_or_default();
    match kind {
        "checkboxes" => {
            let chosen = match given {
                Some(values) => {
                    let options = element["options"].as_array().into_iter().flatten();
                    json!(
                        options
                            .filter(|option| values.iter().any(|value| option["value"] == value.as_str()))
                            .collect::<Vec<_>>()
                    )
                }
                None => match &element["initial_options"] {
                    Value::Null => json!([]),
                    initial => initial.clone(),
                },
            };
            json!({ "type": kind, "selected_options": chosen })
        }
        _ => {
            let initial = element["initial_value"].as_str().map(str::to_owned);
            let value = given
                .and_then(|values| values.first())
                .cloned()
                .or(initial)
                .filter(|value| !value.is_empty());
            json!({ "type": kind, "value": value })
        }
    }
}
