//! People and links in sentences: the texts name people by Slack id, which nobody knows by heart; the configuration has their logins.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use maud::{Markup, html};
use regex::{Captures, Regex};

use crate::deploy::text::Medium;
use crate::saga::Actor;

static ID: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"@([UW][A-Z0-9]{2,})\b").ok());
static URL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"https?://[^\s()<>]+").ok());

/// Slack user id → what people call them.
#[derive(Clone, Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// As configured.
    pub fn new(people: &BTreeMap<String, String>) -> Self {
        Self(people.clone())
    }

    /// A Slack user.
    pub fn user(&self, id: &str) -> String {
        self.0.get(id).cloned().unwrap_or_else(|| format!("@{id}"))
    }

    /// Whoever did something.
    pub fn person(&self, actor: &Actor) -> String {
        match actor {
            Actor::Slack(id) => self.user(id),
            other => Medium::Plain.person(other),
        }
    }

    /// A sentence with people by name and with its links as links.
    pub fn sentence(&self, text: &str) -> Markup {
        let named = match ID.as_ref() {
            Some(id) => id.replace_all(text, |found: &Captures<'_>| self.user(&found[1])),
            None => text.into(),
        };
        let words = |(index, part): (usize, &str)| match index % 2 {
            0 => linked(part),
            _ => html! { code { (part) } },
        };
        // A back tick without its other one is only a back tick.
        match named.matches('`').count() % 2 {
            0 => html! { @for part in named.split('`').enumerate() { (words(part)) } },
            _ => linked(&named),
        }
    }
}

fn linked(text: &str) -> Markup {
    let mut parts = Vec::new();
    let mut from = 0;
    for url in URL.iter().flat_map(|url| url.find_iter(text)) {
        // What ends the sentence isn't part of the address.
        let address = url
            .as_str()
            .trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '"', '*', '`']);
        parts.push(html! { (&text[from..url.start()]) a href=(address) { (shortened(address)) } });
        from = url.start() + address.len();
    }
    html! { @for part in parts { (part) } (&text[from..]) }
}

/// Without what all addresses have, and cut in the middle.
fn shortened(url: &str) -> String {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    let letters: Vec<char> = address.chars().collect();
    match letters.len() {
        0..=60 => address.to_owned(),
        count => letters[..28]
            .iter()
            .chain(&['…'])
            .chain(&letters[count - 30..])
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_sentence_is_no_part_of_its_last_link() {
        let drawn = Names::default().sentence("See https://github.com/a/b/pull/3, then https://github.com/a/b.");
        assert_eq!(
            drawn.into_string(),
            "See <a href=\"https://github.com/a/b/pull/3\">github.com/a/b/pull/3</a>, then <a href=\"https://github.com/a/b\">github.com/a/b</a>."
        );
    }

    #[test]
    fn ids_become_names_links_become_links_and_everything_else_is_escaped() {
        let names = Names::new(&[("U0ANA".to_owned(), "ana".to_owned())].into());
        let drawn =
            names.sentence("@U0ANA <b>or</b> @U0BEN or @S0TEAM: run `x` (https://github.com/a/b?x=\"1&2). Done");
        assert_eq!(
            drawn.into_string(),
            "ana &lt;b&gt;or&lt;/b&gt; @U0BEN or @S0TEAM: run <code>x</code> (<a href=\"https://github.com/a/b?x=&quot;1&amp;2\">github.com/a/b?x=&quot;1&amp;2</a>). Done"
        );
    }
}
