//! Slack's limits, by its Block Kit reference: what a real workspace refuses, the double refuses.

use std::collections::HashSet;

use serde_json::Value;

/// The first broken rule of a message's blocks, in words.
pub fn message(blocks: &[Value]) -> Result<(), String> {
    if blocks.len() > 50 {
        return Err(format!("{} blocks where 50 are allowed", blocks.len()));
    }
    check(blocks)
}

/// The first broken rule of a view.
pub fn view(view: &Value) -> Result<(), String> {
    let blocks = view["blocks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if blocks.len() > 100 {
        return Err(format!("{} blocks where 100 are allowed", blocks.len()));
    }
    for part in ["title", "submit", "close"] {
        text(&view[part], 24, part)?;
    }
    longest(view["private_metadata"].as_str(), 3000, "private_metadata")?;
    check(blocks)
}

fn check(blocks: &[Value]) -> Result<(), String> {
    let mut ids = HashSet::new();
    for block in blocks {
        if let Some(id) = block["block_id"].as_str() {
            longest(Some(id), 255, "block_id")?;
            if !ids.insert(id) {
                return Err(format!("block_id {id} stands there twice"));
            }
        }
        one(block)?;
    }
    Ok(())
}

fn one(block: &Value) -> Result<(), String> {
    match block["type"].as_str().unwrap_or_default() {
        "section" => {
            text(&block["text"], 3000, "a section's text")?;
            let fields = block["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
            at_most(fields.len(), 10, "fields")?;
            for field in fields {
                text(field, 2000, "a field")?;
            }
            if block["accessory"].is_object() {
                element(&block["accessory"])?;
            }
            Ok(())
        }
        "header" => {
            if block["text"]["type"] != "plain_text" {
                return Err("a header's text must be plain_text".to_owned());
            }
            text(&block["text"], 150, "a header")
        }
        "context" => {
            let elements = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
            at_most(elements.len(), 10, "context elements")?;
            elements
                .iter()
                .try_for_each(|element| text(element, 3000, "a context element"))
        }
        "actions" => {
            let elements = block["elements"].as_array().map(Vec::as_slice).unwrap_or_default();
            if elements.is_empty() {
                return Err("an actions block without elements".to_owned());
            }
            at_most(elements.len(), 25, "actions elements")?;
            let primary = elements.iter().filter(|element| element["style"] == "primary").count();
            at_most(primary, 1, "primary buttons")?;
            elements.iter().try_for_each(element)
        }
        "input" => {
            text(&block["label"], 2000, "a label")?;
            text(&block["hint"], 2000, "a hint")?;
            element(&block["element"])
        }
        "divider" | "image" | "rich_text" => Ok(()),
        other => Err(format!("a block of type {other:?}")),
    }
}

fn element(element: &Value) -> Result<(), String> {
    longest(element["action_id"].as_str(), 255, "action_id")?;
    longest(element["value"].as_str(), 2000, "a value")?;
    longest(element["url"].as_str(), 3000, "a url")?;
    let confirm = &element["confirm"];
    text(&confirm["title"], 100, "a confirmation's title")?;
    text(&confirm["text"], 300, "a confirmation's text")?;
    text(&confirm["confirm"], 30, "a confirmation's button")?;
    text(&confirm["deny"], 30, "a confirmation's button")?;
    if element["type"] == "button" {
        if element["text"].is_null() {
            return Err("a button without a text".to_owned());
        }
        return text(&element["text"], 75, "a button's text");
    }
    let options = element["options"].as_array().map(Vec::as_slice).unwrap_or_default();
    let most = if element["type"] == "checkboxes" { 10 } else { 100 };
    at_most(options.len(), most, "options")?;
    for option in options {
        text(&option["text"], 75, "an option's text")?;
        text(&option["description"], 75, "an option's description")?;
        longest(option["value"].as_str(), 150, "an option's value")?;
    }
    let initial = element["initial_options"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    match initial.iter().find(|option| !options.contains(option)) {
        Some(option) => Err(format!("the initial option {} is not an option", option["value"])),
        None => Ok(()),
    }
}

fn text(object: &Value, most: usize, what: &str) -> Result<(), String> {
    if object.is_null() {
        return Ok(());
    }
    match object["text"].as_str() {
        None | Some("") => Err(format!("{what} is empty")),
        some => longest(some, most, what),
    }
}

fn longest(text: Option<&str>, most: usize, what: &str) -> Result<(), String> {
    at_most(text.map_or(0, |text| text.chars().count()), most, what)
}

fn at_most(count: usize, most: usize, what: &str) -> Result<(), String> {
    match count <= most {
        true => Ok(()),
        false => Err(format!("{what}: {count} where {most} are allowed")),
    }
}
