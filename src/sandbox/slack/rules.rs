//! Slack's rules for what an app sends, from the Block Kit reference. Each broken rule is a sentence with the place it was broken at; none
//! is an acceptable message.

use std::collections::BTreeSet;

use serde_json::Value;

/// Blocks of a message.
const MESSAGE_BLOCKS: usize = 50;
/// Blocks of a modal or Home.
const VIEW_BLOCKS: usize = 100;
/// Characters of a message's own text.
const MESSAGE_TEXT: usize = 40_000;
/// Characters of any `block_id` or `action_id`.
const ID: usize = 255;
/// Characters of a URL.
const URL: usize = 3000;

/// What a message's blocks break.
pub(super) fn blocks(blocks: &[Value]) -> Vec<String> {
    let mut check = Check::default();
    check.blocks(blocks, MESSAGE_BLOCKS);
    check.broken
}

/// What a modal or Home breaks.
pub(super) fn view(view: &Value) -> Vec<String> {
    let mut check = Check::default();
    let modal = view["type"] == "modal";
    if !modal && view["type"] != "home" {
        check
            .broken
            .push(format!("view: type {} is neither modal nor home", view["type"]));
    }
    if modal {
        check.text("view.title", &view["title"], Words::Plain, 24);
    }
    for name in ["submit", "close"] {
        if !view[name].is_null() {
            check.text(&format!("view.{name}"), &view[name], Words::Plain, 24);
        }
    }
    check.length(
        "view.private_metadata",
        view["private_metadata"].as_str().unwrap_or_default(),
        3000,
    );
    check.length("view.callback_id", view["callback_id"].as_str().unwrap_or_default(), ID);
    let blocks = view["blocks"].as_array().map(Vec::as_slice).unwrap_or_default();
    check.blocks(blocks, VIEW_BLOCKS);
    if modal && view["submit"].is_null() && blocks.iter().any(|block| block["type"] == "input") {
        check.broken.push("view: input blocks need a submit button".to_owned());
    }
    check.broken
}

/// What a message's metadata breaks.
pub(super) fn metadata(metadata: &Value) -> Vec<String> {
    let named = metadata["event_type"].as_str().is_some_and(|name| !name.is_empty());
    match named && metadata["event_payload"].is_object() {
        true => Vec::new(),
        false => vec!["metadata: needs event_type, a name, and event_payload, an object".to_owned()],
    }
}

/// Whether a message's own text is longer than Slack takes.
pub(super) fn too_long(text: &str) -> bool {
    text.chars().count() > MESSAGE_TEXT
}

/// What kind of text a place takes.
#[derive(Clone, Copy, PartialEq)]
enum Words {
    Any,
    Plain,
}

#[derive(Default)]
struct Check {
    broken: Vec<String>,
}

impl Check {
    fn blocks(&mut self, blocks: &[Value], most: usize) {
        self.count("blocks", blocks.len(), 0, most);
        let mut ids = BTreeSet::new();
        for (index, block) in blocks.iter().enumerate() {
            let at = format!("blocks[{index}]");
            let id = block["block_id"].as_str().unwrap_or_default();
            self.length(&format!("{at}.block_id"), id, ID);
            if !id.is_empty() && !ids.insert(id) {
                self.broken.push(format!("{at}.block_id: {id:?} is there twice"));
            }
            self.block(&at, block);
        }
    }

    fn block(&mut self, at: &str, block: &Value) {
        match block["type"].as_str().unwrap_or_default() {
            "section" => self.section(at, block),
            "header" => self.text(&format!("{at}.text"), &block["text"], Words::Plain, 150),
            "actions" => self.elements(at, block, 25),
            "context" => {
                let elements = items(block, "elements");
                self.count(&format!("{at}.elements"), elements.len(), 1, 10);
                for (index, element) in elements.iter().enumerate() {
                    if element["type"] != "image" {
                        self.text(&format!("{at}.elements[{index}]"), element, Words::Any, 3000);
                    }
                }
            }
            "input" => {
                self.text(&format!("{at}.label"), &block["label"], Words::Plain, 2000);
                if !block["hint"].is_null() {
                    self.text(&format!("{at}.hint"), &block["hint"], Words::Plain, 2000);
                }
                self.element(&format!("{at}.element"), &block["element"]);
            }
            "divider" | "image" | "rich_text" | "markdown" | "video" | "file" | "table" => {}
            other => self.broken.push(format!("{at}: there is no block of type {other:?}")),
        }
    }

    fn section(&mut self, at: &str, block: &Value) {
        let fields = items(block, "fields");
        if block["text"].is_null() && fields.is_empty() {
            self.broken.push(format!("{at}: a section needs text or fields"));
        }
        if !block["text"].is_null() {
            self.text(&format!("{at}.text"), &block["text"], Words::Any, 3000);
        }
        self.count(&format!("{at}.fields"), fields.len(), 0, 10);
        for (index, field) in fields.iter().enumerate() {
            self.text(&format!("{at}.fields[{index}]"), field, Words::Any, 2000);
        }
        if !block["accessory"].is_null() {
            self.element(&format!("{at}.accessory"), &block["accessory"]);
        }
    }

    fn elements(&mut self, at: &str, block: &Value, most: usize) {
        let elements = items(block, "elements");
        self.count(&format!("{at}.elements"), elements.len(), 1, most);
        let mut ids = BTreeSet::new();
        for (index, element) in elements.iter().enumerate() {
            let at = format!("{at}.elements[{index}]");
            let id = element["action_id"].as_str().unwrap_or_default();
            if !id.is_empty() && !ids.insert(id) {
                self.broken.push(format!("{at}.action_id: {id:?} is there twice"));
            }
            self.element(&at, element);
        }
    }

    fn element(&mut self, at: &str, element: &Value) {
        self.length(
            &format!("{at}.action_id"),
            element["action_id"].as_str().unwrap_or_default(),
            ID,
        );
        if !element["confirm"].is_null() {
            self.confirm(&format!("{at}.confirm"), &element["confirm"]);
        }
        if !element["placeholder"].is_null() {
            self.text(&format!("{at}.placeholder"), &element["placeholder"], Words::Plain, 150);
        }
        match element["type"].as_str().unwrap_or_default() {
            "button" => self.button(at, element),
            "checkboxes" | "radio_buttons" => self.options(at, element, 10),
            "overflow" => self.options(at, element, 5),
            "static_select" | "multi_static_select" if element["option_groups"].is_null() => {
                self.options(at, element, 100)
            }
            "image"
            | "plain_text_input"
            | "static_select"
            | "multi_static_select"
            | "users_select"
            | "multi_users_select"
            | "conversations_select"
            | "channels_select"
            | "datepicker"
            | "timepicker"
            | "number_input"
            | "url_text_input"
            | "email_text_input" => {}
            other => self.broken.push(format!("{at}: there is no element of type {other:?}")),
        }
    }

    fn button(&mut self, at: &str, button: &Value) {
        self.text(&format!("{at}.text"), &button["text"], Words::Plain, 75);
        self.length(
            &format!("{at}.value"),
            button["value"].as_str().unwrap_or_default(),
            2000,
        );
        self.length(&format!("{at}.url"), button["url"].as_str().unwrap_or_default(), URL);
        if !matches!(button["style"].as_str(), None | Some("primary" | "danger")) {
            self.broken
                .push(format!("{at}.style: {} is neither primary nor danger", button["style"]));
        }
    }

    fn options(&mut self, at: &str, element: &Value, most: usize) {
        let options = items(element, "options");
        self.count(&format!("{at}.options"), options.len(), 1, most);
        let mut values = BTreeSet::new();
        for (index, option) in options.iter().enumerate() {
            let at = format!("{at}.options[{index}]");
            self.text(&format!("{at}.text"), &option["text"], Words::Any, 75);
            if !option["description"].is_null() {
                self.text(&format!("{at}.description"), &option["description"], Words::Any, 75);
            }
            let value = option["value"].as_str().unwrap_or_default();
            self.length(&format!("{at}.value"), value, 150);
            if !values.insert(value) {
                self.broken.push(format!("{at}.value: {value:?} is there twice"));
            }
        }
        let initial = &element["initial_options"];
        if initial.as_array().is_some_and(Vec::is_empty) {
            self.broken.push(format!("{at}.initial_options: must not be empty"));
        }
        let chosen = items(element, "initial_options")
            .iter()
            .chain(Some(&element["initial_option"]).filter(|one| !one.is_null()));
        for option in chosen {
            if !options.contains(option) {
                self.broken.push(format!(
                    "{at}.initial_options: {} is not among the options",
                    option["value"]
                ));
            }
        }
    }

    fn confirm(&mut self, at: &str, confirm: &Value) {
        self.text(&format!("{at}.title"), &confirm["title"], Words::Plain, 100);
        self.text(&format!("{at}.text"), &confirm["text"], Words::Any, 300);
        self.text(&format!("{at}.confirm"), &confirm["confirm"], Words::Plain, 30);
        self.text(&format!("{at}.deny"), &confirm["deny"], Words::Plain, 30);
    }

    fn text(&mut self, at: &str, text: &Value, words: Words, most: usize) {
        let known = match text["type"].as_str() {
            Some("plain_text") => true,
            Some("mrkdwn") => words == Words::Any,
            _ => false,
        };
        if !known {
            self.broken.push(format!("{at}: is no text that can stand here"));
        }
        let said = text["text"].as_str().unwrap_or_default();
        if said.is_empty() {
            self.broken.push(format!("{at}: must say something"));
        }
        self.length(at, said, most);
    }

    fn length(&mut self, at: &str, text: &str, most: usize) {
        let length = text.chars().count();
        if length > most {
            self.broken
                .push(format!("{at}: {length} characters are more than {most}"));
        }
    }

    fn count(&mut self, at: &str, count: usize, least: usize, most: usize) {
        if count < least || count > most {
            self.broken.push(format!("{at}: {count} are not {least} to {most}"));
        }
    }
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(length: usize) -> Value {
        json!({ "type": "plain_text", "text": "x".repeat(length) })
    }

    fn mrkdwn(length: usize) -> Value {
        json!({ "type": "mrkdwn", "text": "x".repeat(length) })
    }

    fn actions(element: Value) -> Value {
        json!({ "type": "actions", "elements": [element] })
    }

    fn button(text: usize, value: usize, id: usize) -> Value {
        json!({ "type": "button", "text": plain(text), "action_id": "i".repeat(id), "value": "v".repeat(value) })
    }

    fn ticks(count: usize, text: usize) -> Value {
        let options: Vec<_> = (0..count)
            .map(|value| json!({ "text": mrkdwn(text), "value": value.to_string() }))
            .collect();
        json!({ "type": "checkboxes", "action_id": "tick", "options": options })
    }

    fn confirm(title: usize, text: usize, yes: usize) -> Value {
        let mut button = button(1, 1, 1);
        button["confirm"] =
            json!({ "title": plain(title), "text": mrkdwn(text), "confirm": plain(yes), "deny": plain(yes) });
        actions(button)
    }

    /// The largest that fits, and the smallest that doesn't.
    #[test]
    fn limits_hold_exactly() {
        let section = |length| json!({ "type": "section", "text": mrkdwn(length) });
        let fields = |count, length| json!({ "type": "section", "fields": vec![mrkdwn(length); count] });
        let header = |length| json!({ "type": "header", "text": plain(length) });
        let context = |count| json!({ "type": "context", "elements": vec![mrkdwn(1); count] });
        let buttons = |count: usize| {
            let many: Vec<_> = (1..=count).map(|id| button(1, 1, id)).collect();
            json!({ "type": "actions", "elements": many })
        };
        let named = |length| json!({ "type": "divider", "block_id": "b".repeat(length) });
        let cases = [
            (section(3000), section(3001)),
            (section(1), section(0)),
            (fields(10, 2000), fields(11, 2000)),
            (fields(1, 2000), fields(1, 2001)),
            (header(150), header(151)),
            (context(10), context(11)),
            (buttons(25), buttons(26)),
            (actions(button(75, 2000, 255)), actions(button(76, 2000, 255))),
            (actions(button(75, 2000, 255)), actions(button(75, 2001, 255))),
            (actions(button(75, 2000, 255)), actions(button(75, 2000, 256))),
            (actions(ticks(10, 75)), actions(ticks(11, 75))),
            (actions(ticks(1, 75)), actions(ticks(1, 76))),
            (confirm(100, 300, 30), confirm(101, 300, 30)),
            (confirm(100, 300, 30), confirm(100, 301, 30)),
            (confirm(100, 300, 30), confirm(100, 300, 31)),
            (named(255), named(256)),
        ];
        for (fits, breaks) in cases {
            assert_eq!(blocks(std::slice::from_ref(&fits)), Vec::<String>::new());
            assert!(!blocks(std::slice::from_ref(&breaks)).is_empty(), "{breaks}");
        }
        assert!(blocks(&vec![json!({ "type": "divider" }); 50]).is_empty());
        assert_eq!(
            blocks(&vec![json!({ "type": "divider" }); 51]),
            ["blocks: 51 are not 0 to 50"]
        );
    }

    #[test]
    fn ids_and_initial_options_are_checked() {
        let twice = json!({ "type": "divider", "block_id": "a" });
        assert_eq!(
            blocks(&[twice.clone(), twice]),
            ["blocks[1].block_id: \"a\" is there twice"]
        );
        let mut foreign = ticks(1, 1);
        foreign["initial_options"] = json!([{ "text": mrkdwn(1), "value": "9" }]);
        assert_eq!(
            blocks(&[actions(foreign)]),
            ["blocks[0].elements[0].initial_options: \"9\" is not among the options"]
        );
        let mut own = ticks(2, 1);
        own["initial_options"] = json!([own["options"][1]]);
        assert!(blocks(&[actions(own)]).is_empty());
    }

    #[test]
    fn views_and_metadata() {
        let modal = |title, private| json!({ "type": "modal", "title": plain(title), "private_metadata": "p".repeat(private), "blocks": [] });
        assert!(view(&modal(24, 3000)).is_empty());
        assert_eq!(view(&modal(25, 3001)).len(), 2);
        let input =
            json!({ "type": "input", "label": plain(1), "element": { "type": "plain_text_input", "action_id": "a" } });
        let asking = json!({ "type": "modal", "title": plain(1), "blocks": [input] });
        assert_eq!(view(&asking), ["view: input blocks need a submit button"]);
        assert!(metadata(&json!({ "event_type": "x", "event_payload": {} })).is_empty());
        assert!(!metadata(&json!({ "event_type": "x", "event_payload": "y" })).is_empty());
    }
}
