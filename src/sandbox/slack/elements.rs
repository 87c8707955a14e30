//! What people can touch in blocks, and what their clients report of it.

use serde_json::{Map, Value, json};

/// An element that can be touched, with its block's id.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub block: &'a Value,
    pub element: &'a Value,
}

impl<'a> Element<'a> {
    pub(super) fn block_id(self) -> &'a str {
        self.block["block_id"].as_str().unwrap_or_default()
    }

    pub(super) fn action_id(self) -> &'a str {
        self.element["action_id"].as_str().unwrap_or_default()
    }

    pub(super) fn kind(self) -> &'a str {
        self.element["type"].as_str().unwrap_or_default()
    }

    /// A button's label.
    pub(super) fn label(self) -> Option<&'a str> {
        self.element["text"]["text"]
            .as_str()
            .filter(|_| self.kind() == "button")
    }

    /// Whether a modal can't be submitted without it.
    pub(super) fn is_required(self) -> bool {
        self.block["type"] == "input" && self.block["optional"] != true
    }

    /// What it holds before anybody touches it.
    pub(super) fn initial(self) -> Vec<String> {
        let value = |option: &Value| option["value"].as_str().map(str::to_owned);
        let many = self.element["initial_options"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(value);
        let one = value(&self.element["initial_option"]);
        let plain = [
            "initial_value",
            "initial_user",
            "initial_date",
            "initial_channel",
            "initial_conversation",
        ];
        let plain = plain
            .iter()
            .filter_map(|name| self.element[name].as_str().map(str::to_owned));
        many.chain(one).chain(plain).collect()
    }

    /// Whether a person can choose this value here.
    pub(super) fn offers(self, value: &str) -> bool {
        let options = self.element["options"].as_array();
        options.is_none_or(|options| options.iter().any(|option| option["value"] == value))
    }

    /// Check boxes: the value of the box beside this text.
    pub(super) fn beside(self, text: &str) -> Option<&'a str> {
        let options = self.element["options"]
            .as_array()
            .filter(|_| self.kind() == "checkboxes")?;
        let says = |words: &Value| words["text"]["text"].as_str().is_some_and(|words| words.contains(text));
        let in_section = says(self.block);
        let found = options.iter().find(|option| in_section || says(option))?;
        found["value"].as_str()
    }

    /// Its state with these values, as payloads carry it.
    pub(super) fn state(self, values: &[String]) -> Map<String, Value> {
        let options = self.element["options"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let chosen: Vec<&Value> = options
            .iter()
            .filter(|option| values.iter().any(|value| option["value"] == **value))
            .collect();
        let first = values.first();
        let (name, held) = match self.kind() {
            "button" => ("value", self.element["value"].clone()),
            "checkboxes" | "multi_static_select" => ("selected_options", json!(chosen)),
            "radio_buttons" | "static_select" | "overflow" => ("selected_option", json!(chosen.first())),
            "users_select" => ("selected_user", json!(first)),
            "multi_users_select" => ("selected_users", json!(values)),
            "channels_select" => ("selected_channel", json!(first)),
            "conversations_select" => ("selected_conversation", json!(first)),
            "datepicker" => ("selected_date", json!(first)),
            "timepicker" => ("selected_time", json!(first)),
            _ => ("value", json!(first)),
        };
        Map::from_iter([("type".to_owned(), json!(self.kind())), (name.to_owned(), held)])
    }

    /// As `actions[0]` of a click.
    pub(super) fn action(self, values: &[String], action_ts: &str) -> Value {
        let mut action = self.state(values);
        action.insert("action_id".to_owned(), json!(self.action_id()));
        action.insert("block_id".to_owned(), json!(self.block_id()));
        action.insert("action_ts".to_owned(), json!(action_ts));
        if self.label().is_some() {
            action.insert("text".to_owned(), self.element["text"].clone());
            // A button without a value has none in the payload either.
            action.retain(|_, value| !value.is_null());
        }
        Value::Object(action)
    }
}

/// All of them, in reading order.
pub(super) fn elements(blocks: &[Value]) -> impl DoubleEndedIterator<Item = Element<'_>> {
    blocks.iter().flat_map(|block| {
        let row = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
        let row = row.iter().filter(|_| block["type"] == "actions");
        let single = [&block["accessory"], &block["element"]];
        let touchable = row.chain(single).filter(|element| element["action_id"].is_string());
        touchable.map(|element| Element { block, element }).collect::<Vec<_>>()
    })
}

/// `state.values` of a message or view; `chosen` has what was touched.
pub(super) fn state_values(blocks: &[Value], chosen: impl Fn(Element<'_>) -> Option<Vec<String>>) -> Value {
    let mut values = json!({});
    for element in elements(blocks).filter(|element| element.kind() != "button") {
        let held = chosen(element).unwrap_or_else(|| element.initial());
        values[element.block_id()][element.action_id()] = Value::Object(element.state(&held));
    }
    values
}
