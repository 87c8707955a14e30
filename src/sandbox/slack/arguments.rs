//! A method's arguments, from a query, a form or JSON alike.

use axum::http::{HeaderMap, header};
use serde_json::{Map, Value};
use url::form_urlencoded;

/// Arguments by name.
pub(super) struct Arguments(Map<String, Value>);

impl Arguments {
    /// Of a request. A method that only reads takes no JSON: it is answered as if there were none, as Slack does.
    pub(super) fn of(query: &str, headers: &HeaderMap, body: &[u8], takes_json: TakesJson) -> Self {
        let content = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let mut arguments = form(query.as_bytes());
        if !content.starts_with("application/json") {
            arguments.extend(form(body));
        } else if let (TakesJson::Yes, Ok(Value::Object(fields))) = (takes_json, serde_json::from_slice(body)) {
            arguments.extend(fields);
        }
        Self(arguments)
    }

    /// Whether it was given at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Empty if it wasn't given.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A boolean, or one that a form or query spells.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name) == Some(&Value::Bool(true)) || matches!(self.text(name), "true" | "1")
    }

    /// A number, or one that a form or query spells.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        match self.0.get(name)? {
            Value::String(digits) => digits.parse().ok(),
            number => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        }
    }

    /// Empty if it wasn't given.
    pub(super) fn list(&self, name: &str) -> Vec<Value> {
        self.0.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// Null if it wasn't given.
    pub(super) fn structure(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

/// Whether a method reads a JSON body.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum TakesJson {
    Yes,
    No,
}

/// Forms carry structures as JSON text.
fn form(text: &[u8]) -> Map<String, Value> {
    let value = |name: &str, text: String| match name {
        "blocks" | "metadata" | "view" => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        _ => Value::String(text),
    };
    let pairs = form_urlencoded::parse(text);
    pairs
        .map(|(name, text)| (name.to_string(), value(&name, text.into_owned())))
        .collect()
}
