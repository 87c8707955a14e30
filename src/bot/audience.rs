//! Who is mentioned, and who asked not to be: GitHub logins as Slack people, and the mute switch of the App Home.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::Config;
use crate::saga::store::{Op, Store, StoreError};
use crate::slack::Content;
use crate::slack::text::escape;

const MUTED: &str = "muted/";

/// The source of [`Audience`]s.
#[derive(Clone)]
pub struct Audiences {
    config: Arc<Config>,
    store: Arc<dyn Store>,
}

/// Who can be mentioned at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audience {
    /// GitHub login in lower case → Slack user id.
    users: BTreeMap<String, String>,
    /// Slack user id → how they are written instead.
    muted: BTreeMap<String, String>,
}

impl Audiences {
    /// Over the configuration's `[people]` and the store's switches.
    pub fn new(config: Arc<Config>, store: Arc<dyn Store>) -> Self {
        Self { config, store }
    }

    /// As it is now. A store that can't be read mutes nobody: a ping too many is better than a missed one.
    pub fn now(&self) -> Audience {
        let muted = self.store.scan(MUTED).unwrap_or_default();
        let muted = muted.into_iter().filter_map(|(key, value)| {
            let user = key.strip_prefix(MUTED)?.to_owned();
            Some((user, value.as_str().unwrap_or("somebody").to_owned()))
        });
        let people = self.config.people.iter();
        Audience {
            users: people
                .map(|(user, login)| (login.to_lowercase(), user.clone()))
                .collect(),
            muted: muted.collect(),
        }
    }

    /// This person isn't mentioned any more; `name` stands where they would have been.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn mute(&self, user: &str, name: &str) -> Result<(), StoreError> {
        let key = format!("{MUTED}{user}");
        let value = json!(name);
        self.store.commit(vec![Op::Put { key, value }]).await
    }

    /// This person is mentioned again.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn unmute(&self, user: &str) -> Result<(), StoreError> {
        let key = format!("{MUTED}{user}");
        self.store.commit(vec![Op::Delete { key }]).await
    }
}

impl Audience {
    /// An audience of these logins and Slack users, and of those who are muted.
    #[cfg(test)]
    pub fn of(users: &[(&str, &str)], muted: &[(&str, &str)]) -> Self {
        let owned = |pairs: &[(&str, &str)]| {
            let owned = pairs.iter().map(|&(a, b)| (a.to_owned(), b.to_owned()));
            owned.collect()
        };
        Self {
            users: owned(users),
            muted: owned(muted),
        }
    }

    /// Whether this person asked not to be mentioned.
    pub fn is_muted(&self, user: &str) -> bool {
        self.muted.contains_key(user)
    }

    /// The mention of whoever has this GitHub login; `None` if nobody is known by it, or they are muted.
    pub fn mention(&self, login: &str) -> Option<String> {
        let user = self.users.get(&login.to_lowercase())?;
        (!self.is_muted(user)).then(|| format!("<@{}>", escape(user)))
    }

    /// The same content, with the muted written instead of mentioned.
    pub fn hushed(&self, mut content: Content) -> Content {
        if self.muted.is_empty() {
            return content;
        }
        content.text = self.without_mentions(&content.text);
        content.blocks.iter_mut().for_each(|block| self.hush(block));
        content
    }

    fn hush(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.without_mentions(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hush(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.hush(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn without_mentions(&self, text: &str) -> String {
        let hush = |text: String, (user, name): (&String, &String)| {
            let mention = format!("<@{user}>");
            match text.contains(&mention) {
                true => text.replace(&mention, &escape(name)),
                false => text,
            }
        };
        self.muted.iter().fold(text.to_owned(), hush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::text;

    #[test]
    fn the_muted_are_written_and_not_mentioned() {
        let audience = Audience::of(&[("ana", "U0ANA"), ("ben", "U0BEN")], &[("U0ANA", "ana")]);
        assert_eq!(audience.mention("Ben").as_deref(), Some("<@U0BEN>"));
        assert_eq!(audience.mention("ana"), None);
        assert_eq!(audience.mention("ghost"), None);
        let hushed = audience.hushed(text::private("started by <@U0ANA>, approved by <@U0BEN>"));
        assert_eq!(hushed, text::private("started by ana, approved by <@U0BEN>"));
    }
}
