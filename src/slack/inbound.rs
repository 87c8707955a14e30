//! Slack's payloads become [`Inbound`], and an [`Ack`] becomes Slack's answer: the same for Socket Mode and HTTP.
//!
//! The payloads are read with our own types, which ask only for what is used. slack-morphism's models reject whole payloads for a
//! field that doesn't matter here (a number in a message's metadata, a `team` that is null), and a rejected click is a lost click.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{Ack, Action, Command, Handler, Inbound, Submission};

/// `Ok(None)` is something that doesn't concern us. An error is one sentence for the log and never quotes the payload, which holds
/// response URLs and what people wrote.
pub(super) type Read = Result<Option<Inbound>, String>;

/// A slash command: an object in Socket Mode, a form over HTTP.
pub(super) fn command(payload: Value) -> Read {
    let command: CommandPayload = parse("slash command", payload)?;
    Ok(Some(Inbound::Command(Command {
        id: command.trigger_id.clone(),
        channel: command.channel_id,
        user: command.user_id,
        text: command.text,
        trigger_id: command.trigger_id,
        response_url: command.response_url,
    })))
}

/// A click, a tick, a submitted modal.
pub(super) fn interaction(payload: Value) -> Read {
    match payload["type"].as_str() {
        Some("block_actions") => action(parse("block_actions", payload)?),
        Some("view_submission") => Ok(Some(submission(parse("view_submission", payload)?))),
        Some(_) => Ok(None),
        None => Err("an interaction has no type".to_owned()),
    }
}

/// An event of the Events API.
pub(super) fn event(payload: Value) -> Read {
    let callback: EventCallback = parse("event", payload)?;
    // The app's home has a Messages tab as well.
    let home = callback.event.tab.as_deref().unwrap_or("home") == "home";
    match callback.event {
        Event {
            kind, user: Some(user), ..
        } if kind == "app_home_opened" && home => Ok(Some(Inbound::HomeOpened {
            id: callback.event_id,
            user,
        })),
        _ => Ok(None),
    }
}

/// What Slack is answered, if it isn't empty.
pub(super) fn answer(ack: Ack) -> Option<Value> {
    match ack {
        Ack::Empty => None,
        Ack::Ephemeral(content) => {
            let mut body = json!({"response_type": "ephemeral", "text": content.text});
            if !content.blocks.is_empty() {
                body["blocks"] = Value::Array(content.blocks);
            }
            Some(body)
        }
        Ack::Errors(errors) => Some(json!({"response_action": "errors", "errors": errors})),
    }
}

/// Asks the handler; a panic is an error like any other, so that it costs one message and not the connection.
pub(super) async fn handle(handler: &dyn Handler, inbound: Inbound) -> Result<Ack, String> {
    AssertUnwindSafe(handler.handle(inbound))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err("the handler panicked".to_owned()))
}

fn action(payload: ActionPayload) -> Read {
    let Some(element) = payload.actions.into_iter().next() else {
        return Err("block_actions has no action".to_owned());
    };
    let container = payload.container.unwrap_or_default();
    let message = payload.message.unwrap_or_default();
    let channel = payload.channel.map(|channel| channel.id).or(container.channel_id);
    let message_ts = message.ts.or(container.message_ts);
    let user = payload.user.id;
    let id = payload.trigger_id.clone().unwrap_or_else(|| {
        let place = [channel.as_deref(), message_ts.as_deref(), element.action_ts.as_deref()];
        let place = place.map(Option::unwrap_or_default).join("/");
        format!("{place}/{}/{user}", element.action_id)
    });
    Ok(Some(Inbound::Action(Action {
        id,
        user,
        channel,
        message: message_ts,
        thread: message.thread_ts.or(container.thread_ts),
        action_id: element.action_id,
        value: element.state.single(),
        selected: element.state.ticked(),
        trigger_id: payload.trigger_id.unwrap_or_default(),
        response_url: payload.response_url,
    })))
}

fn submission(payload: SubmissionPayload) -> Inbound {
    let view = payload.view;
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (action_id, state) in view.state.values.into_values().flatten() {
        values.entry(action_id).or_default().extend(state.all());
    }
    Inbound::Submission(Submission {
        id: format!("{}/{}", view.id, view.hash),
        user: payload.user.id,
        callback_id: view.callback_id,
        private_metadata: view.private_metadata,
        values,
    })
}

fn parse<T: DeserializeOwned>(what: &str, payload: Value) -> Result<T, String> {
    // serde's message may quote a value; its path may not.
    serde_path_to_error::deserialize(payload).map_err(|error| {
        let path = error.path().to_string();
        format!("a {what} can't be read: something is missing or of another kind at `{path}`")
    })
}

/// Slack writes null where it means nothing.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
struct CommandPayload {
    trigger_id: String,
    channel_id: String,
    user_id: String,
    #[serde(default, deserialize_with = "nullable")]
    text: String,
    #[serde(default, deserialize_with = "nullable")]
    response_url: String,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct ActionPayload {
    user: Id,
    channel: Option<Id>,
    message: Option<MessagePayload>,
    container: Option<Container>,
    actions: Vec<Element>,
    trigger_id: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    response_url: String,
}

#[derive(Default, Deserialize)]
struct MessagePayload {
    ts: Option<String>,
    thread_ts: Option<String>,
}

#[derive(Default, Deserialize)]
struct Container {
    channel_id: Option<String>,
    message_ts: Option<String>,
    thread_ts: Option<String>,
}

#[derive(Deserialize)]
struct Element {
    action_id: String,
    action_ts: Option<String>,
    #[serde(flatten)]
    state: ElementState,
}

/// What an element holds: which field depends on its kind.
#[derive(Deserialize)]
struct ElementState {
    #[serde(
        alias = "selected_user",
        alias = "selected_conversation",
        alias = "selected_channel",
        alias = "selected_date",
        alias = "selected_time"
    )]
    value: Option<String>,
    selected_option: Option<Choice>,
    #[serde(default, deserialize_with = "nullable")]
    selected_options: Vec<Choice>,
    #[serde(
        default,
        deserialize_with = "nullable",
        alias = "selected_conversations",
        alias = "selected_channels"
    )]
    selected_users: Vec<String>,
}

#[derive(Deserialize)]
struct Choice {
    value: String,
}

impl ElementState {
    fn single(&self) -> Option<String> {
        let chosen = self.selected_option.as_ref().map(|option| &option.value);
        self.value.as_ref().or(chosen).cloned()
    }

    fn ticked(&self) -> Vec<String> {
        let options = self.selected_options.iter().map(|option| &option.value);
        options.chain(&self.selected_users).cloned().collect()
    }

    fn all(&self) -> Vec<String> {
        self.single().into_iter().chain(self.ticked()).collect()
    }
}

#[derive(Deserialize)]
struct SubmissionPayload {
    user: Id,
    view: View,
}

#[derive(Deserialize)]
struct View {
    id: String,
    #[serde(default, deserialize_with = "nullable")]
    hash: String,
    #[serde(default, deserialize_with = "nullable")]
    callback_id: String,
    #[serde(default, deserialize_with = "nullable")]
    private_metadata: String,
    #[serde(default, deserialize_with = "nullable")]
    state: ViewState,
}

#[derive(Default, Deserialize)]
struct ViewState {
    /// `block_id` → `action_id` → state.
    #[serde(default, deserialize_with = "nullable")]
    values: BTreeMap<String, BTreeMap<String, ElementState>>,
}

#[derive(Deserialize)]
struct EventCallback {
    event_id: String,
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    user: Option<String>,
    tab: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Content;
    use super::*;

    fn action_of(read: Read) -> Action {
        match read {
            Ok(Some(Inbound::Action(action))) => action,
            other => panic!("no action: {other:?}"),
        }
    }

    /// As Slack sends it for a button in a channel, with the fields that slack-morphism's models choke on.
    fn click() -> Value {
        json!({
            "type": "block_actions",
            "user": {"id": "UANA", "username": "ana", "name": "ana", "team_id": "T1"},
            "api_app_id": "A1",
            "token": "verification",
            "container": {"type": "message", "message_ts": "1732438800.000100", "channel_id": "C1", "is_ephemeral": false,
                          "thread_ts": "1732438700.000100"},
            "trigger_id": "13345224609.738474920.8088930838d88f008e0",
            "team": null,
            "enterprise": null,
            "is_enterprise_install": false,
            "channel": {"id": "C1", "name": "deploys"},
            "message": {"type": "message", "user": "UBOT", "ts": "1732438800.000100", "bot_id": "B1", "text": "x",
                        "metadata": {"event_type": "x", "event_payload": {"n": 1, "nested": {"a": []}}}},
            "state": {"values": {}},
            "response_url": "https://hooks.slack.com/actions/T1/1/secret",
            "actions": [{"action_id": "approve", "block_id": "b", "type": "button", "value": "d1|digest",
                         "text": {"type": "plain_text", "text": "Approve"}, "action_ts": "1732438801.234567"}]
        })
    }

    #[test]
    fn a_button() {
        let action = action_of(interaction(click()));
        assert_eq!(
            action,
            Action {
                id: "13345224609.738474920.8088930838d88f008e0".into(),
                user: "UANA".into(),
                channel: Some("C1".into()),
                message: Some("1732438800.000100".into()),
                thread: Some("1732438700.000100".into()),
                action_id: "approve".into(),
                value: Some("d1|digest".into()),
                selected: vec![],
                trigger_id: "13345224609.738474920.8088930838d88f008e0".into(),
                response_url: "https://hooks.slack.com/actions/T1/1/secret".into(),
            }
        );
    }

    #[test]
    fn other_elements_and_places() {
        let with = |element: Value| {
            let mut payload = click();
            payload["actions"] = json!([element]);
            action_of(interaction(payload))
        };
        let options = json!([{"value": "1", "text": {}}, {"value": "2", "text": {}}]);
        let ticked =
            with(json!({"action_id": "tick", "type": "checkboxes", "selected_options": options, "action_ts": "1.2"}));
        assert_eq!((ticked.value, ticked.selected), (None, vec!["1".into(), "2".into()]));
        let unticked =
            with(json!({"action_id": "tick", "type": "checkboxes", "selected_options": [], "action_ts": "1.2"}));
        assert!(unticked.selected.is_empty());
        let chosen = with(json!({"action_id": "pick", "type": "static_select", "selected_option": {"value": "b"}}));
        assert_eq!(chosen.value.as_deref(), Some("b"));
        let person = with(json!({"action_id": "who", "type": "users_select", "selected_user": "UBEN"}));
        assert_eq!(person.value.as_deref(), Some("UBEN"));

        let mut on_home = click();
        on_home["channel"] = Value::Null;
        on_home["message"] = Value::Null;
        on_home["container"] = json!({"type": "view", "view_id": "V1"});
        let on_home = action_of(interaction(on_home));
        assert_eq!((on_home.channel, on_home.message, on_home.thread), (None, None, None));
    }

    #[test]
    fn a_click_without_a_trigger_has_an_id_that_a_redelivery_shares() {
        let mut payload = click();
        payload["trigger_id"] = Value::Null;
        let action = action_of(interaction(payload.clone()));
        assert_eq!(action.id, "C1/1732438800.000100/1732438801.234567/approve/UANA");
        assert_eq!(action.id, action_of(interaction(payload)).id);
    }

    #[test]
    fn a_command() {
        let payload = json!({
            "token": "verification", "team_id": "T1", "team_domain": "acme", "channel_id": "C1", "channel_name": "deploys",
            "user_id": "UANA", "user_name": "ana", "command": "/deploy", "text": " start --only #1", "api_app_id": "A1",
            "is_enterprise_install": "false", "response_url": "https://hooks.slack.com/commands/T1/1/secret",
            "trigger_id": "1.2.abc"
        });
        let Ok(Some(Inbound::Command(command))) = command(payload) else {
            panic!("no command")
        };
        assert_eq!((&*command.id, &*command.trigger_id), ("1.2.abc", "1.2.abc"));
        assert_eq!((&*command.channel, &*command.user), ("C1", "UANA"));
        assert_eq!(command.text, " start --only #1");
        assert_eq!(command.response_url, "https://hooks.slack.com/commands/T1/1/secret");
    }

    #[test]
    fn a_submitted_modal() {
        let payload = json!({
            "type": "view_submission", "team": {"id": "T1"}, "user": {"id": "UANA"}, "trigger_id": "t",
            "view": {
                "id": "V1", "hash": "156772938.1827394", "type": "modal", "callback_id": "edit_train", "private_metadata": "d1",
                "state": {"values": {
                    "block-1": {"include": {"type": "checkboxes", "selected_options": [{"value": "4"}, {"value": "7"}]}},
                    "block-2": {"include": {"type": "checkboxes", "selected_options": [{"value": "9"}]}},
                    "block-3": {"order": {"type": "plain_text_input", "value": "7, 4"}},
                    "block-4": {"reason": {"type": "plain_text_input", "value": null}}
                }}
            },
            "response_urls": []
        });
        let Ok(Some(Inbound::Submission(submission))) = interaction(payload) else {
            panic!("no submission")
        };
        assert_eq!(
            (&*submission.id, &*submission.callback_id),
            ("V1/156772938.1827394", "edit_train")
        );
        assert_eq!(submission.private_metadata, "d1");
        let values: Vec<_> = submission.values.into_iter().collect();
        let strings = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            values,
            [
                ("include".into(), strings(&["4", "7", "9"])),
                ("order".into(), strings(&["7, 4"])),
                ("reason".into(), vec![])
            ]
        );
    }

    #[test]
    fn the_home_tab_concerns_us_and_nothing_else_does() {
        let opened = |event: Value| event_of(json!({"type": "event_callback", "event_id": "Ev1", "event": event}));
        let expected = Inbound::HomeOpened {
            id: "Ev1".into(),
            user: "UANA".into(),
        };
        assert_eq!(
            opened(json!({"type": "app_home_opened", "user": "UANA", "tab": "home"})),
            Some(expected)
        );
        assert_eq!(
            opened(json!({"type": "app_home_opened", "user": "UANA", "tab": "messages"})),
            None
        );
        assert_eq!(opened(json!({"type": "reaction_added", "user": "UANA"})), None);
        assert_eq!(interaction(json!({"type": "view_closed"})), Ok(None));
    }

    fn event_of(payload: Value) -> Option<Inbound> {
        event(payload).unwrap()
    }

    #[test]
    fn what_cant_be_read_is_named_and_not_quoted() {
        let mut payload = click();
        payload["actions"][0]["action_id"] = json!({"secret": 1});
        let sentence = interaction(payload).unwrap_err();
        assert_eq!(
            sentence,
            "a block_actions can't be read: something is missing or of another kind at `actions[0].action_id`"
        );
        assert!(command(json!({"text": "secret"})).is_err());
        assert!(event(json!([])).is_err());
        assert!(interaction(json!("secret")).is_err());
    }

    /// Every field in turn is missing or of another kind: the payload is read or refused, never a panic.
    #[test]
    fn odd_payloads_are_read_or_refused() {
        fn oddities(value: &Value) -> Vec<Value> {
            let mut odd = vec![Value::Null, json!(1), json!("x"), json!([]), json!({})];
            if let Value::Object(fields) = value {
                for (name, field) in fields {
                    let replaced = oddities(field).into_iter().map(|field| {
                        let mut fields = fields.clone();
                        fields.insert(name.clone(), field);
                        fields.into()
                    });
                    odd.extend(replaced);
                }
            }
            odd
        }
        let mut with_list = click();
        with_list["actions"][0]["selected_options"] = json!([{"value": 1}, null]);
        let results: Vec<_> = [click(), with_list]
            .iter()
            .flat_map(oddities)
            .flat_map(|payload| [interaction(payload.clone()), command(payload.clone()), event(payload)])
            .collect();
        assert!(results.iter().any(Result::is_ok) && results.iter().any(Result::is_err));
    }

    #[test]
    fn answers() {
        assert_eq!(answer(Ack::Empty), None);
        let content = |blocks| Content {
            text: "no".into(),
            blocks,
        };
        assert_eq!(
            answer(Ack::Ephemeral(content(vec![]))),
            Some(json!({"response_type": "ephemeral", "text": "no"}))
        );
        let blocks = vec![json!({"type": "divider"})];
        assert_eq!(
            answer(Ack::Ephemeral(content(blocks.clone()))),
            Some(json!({"response_type": "ephemeral", "text": "no", "blocks": blocks}))
        );
        let errors = BTreeMap::from([("order".to_owned(), "not a number".to_owned())]);
        assert_eq!(
            answer(Ack::Errors(errors)),
            Some(json!({"response_action": "errors", "errors": {"order": "not a number"}}))
        );
    }

    /// Any JSON, with fields that Slack's payloads have; every text in it is a secret.
    fn any_json() -> impl Strategy<Value = Value> {
        const FIELDS: &str = "type|user|id|view|state|values|actions|action_id|value|selected_options|container|event|event_id|trigger_id|\
            channel_id|user_id|text|callback_id";
        let kinds = ["block_actions", "view_submission", "app_home_opened", "s3cret"].map(|text| json!(text));
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            proptest::sample::select(kinds.to_vec()),
        ];
        leaf.prop_recursive(5, 48, 6, |inner| {
            let field = proptest::sample::select(FIELDS.split('|').collect::<Vec<_>>()).prop_map(str::to_owned);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(field, inner, 0..6).prop_map(|fields| json!(fields)),
            ]
        })
    }

    proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn any_json_is_read_or_refused_without_a_word_of_it(any in any_json(), kind in 0..4usize) {
            let mut payload = any;
            if let (Some(kind), Some(fields)) = (["block_actions", "view_submission", "x"].get(kind), payload.as_object_mut()) {
                fields.insert("type".to_owned(), json!(kind));
            }
            for read in [interaction(payload.clone()), command(payload.clone()), event(payload)] {
                if let Err(sentence) = read {
                    prop_assert!(!sentence.contains("s3cret"), "{}", sentence);
                }
            }
        }
    }
}
