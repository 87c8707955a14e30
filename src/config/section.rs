//! Reads TOML tables key by key and collects every problem with its line, instead of stopping at the first.
//!
//! A [`Section`] remembers which keys it was asked for. Those are the known keys, so "unknown key, did you mean" and the test that
//! the example file is complete both follow from the reading itself: there is no second list to keep.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, Weekday};
use chrono_tz::Tz;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Below this similarity (0 to 1, Jaro-Winkler) a suggestion would only confuse.
const NEAR: f64 = 0.75;

/// What is wrong with one file, and which keys it may have.
pub(super) struct Report<'t> {
    name: &'t str,
    text: &'t str,
    problems: RefCell<Vec<(usize, String)>>,
    known: RefCell<BTreeSet<String>>,
    present: RefCell<BTreeSet<String>>,
}

impl<'t> Report<'t> {
    pub(super) fn new(name: &'t str, text: &'t str) -> Self {
        Self {
            name,
            text,
            problems: RefCell::default(),
            known: RefCell::default(),
            present: RefCell::default(),
        }
    }

    /// Notes a problem at a byte offset.
    pub(super) fn problem(&self, offset: usize, sentence: impl AsRef<str>) {
        let line = self.line(offset);
        self.problems
            .borrow_mut()
            .push((line, format!("{}:{line}: {}", self.name, sentence.as_ref())));
    }

    /// All problems, in the order of their lines.
    pub(super) fn into_problems(self) -> Vec<String> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems.into_iter().map(|(_, sentence)| sentence).collect()
    }

    /// Known keys that the file doesn't set, as `projects[].timeouts.ci`.
    #[cfg(test)]
    pub(super) fn unset(&self) -> Vec<String> {
        self.known
            .borrow()
            .difference(&self.present.borrow())
            .cloned()
            .collect()
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

/// One table of the file, or the absence of one: then every key has its default.
pub(super) struct Section<'r> {
    report: &'r Report<'r>,
    path: String,
    offset: usize,
    table: Option<&'r DeTable<'r>>,
    known: BTreeSet<String>,
}

impl<'r> Section<'r> {
    pub(super) fn root(report: &'r Report<'r>, table: &'r Spanned<DeTable<'r>>) -> Self {
        Self::new(report, String::new(), table.span().start, Some(table.get_ref()))
    }

    fn new(report: &'r Report<'r>, path: String, offset: usize, table: Option<&'r DeTable<'r>>) -> Self {
        Self {
            report,
            path,
            offset,
            table,
            known: BTreeSet::new(),
        }
    }

    /// The key's value, or the default. A value of the wrong kind is a problem, and the default stands in for it.
    pub(super) fn or<T: Setting>(&mut self, key: &str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// The key's value, if it is there and readable.
    pub(super) fn optional<T: Setting>(&mut self, key: &str) -> Option<T> {
        let value = self.take(key)?;
        T::read(value.get_ref())
            .map_err(|sentence| self.problem(key, &sentence))
            .ok()
    }

    /// The key's value; its absence is a problem, with an example as the mend.
    pub(super) fn required<T: Setting>(&mut self, key: &str, example: &str) -> Option<T> {
        if self.find(key).is_none() {
            self.problem(key, &format!("is missing; add `{key} = {example}`"));
        }
        self.optional(key)
    }

    /// A sub-table; an absent one reads as empty.
    pub(super) fn section(&mut self, key: &str) -> Section<'r> {
        let value = self.take(key);
        let table = value.and_then(|value| value.get_ref().as_table());
        if value.is_some() && table.is_none() {
            self.problem(
                key,
                &format!("must be a table; write `[{}]` above its settings", self.header_of(key)),
            );
        }
        let offset = value.map_or(self.offset, |value| value.span().start);
        Section::new(self.report, self.path_of(key), offset, table)
    }

    /// A list of tables (`[[key]]`).
    pub(super) fn sections(&mut self, key: &str) -> Vec<Section<'r>> {
        let Some(value) = self.take(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            self.problem(
                key,
                &format!(
                    "must be a list; write `[[{}]]` with double brackets",
                    self.header_of(key)
                ),
            );
            return Vec::new();
        };
        let path = format!("{}[]", self.path_of(key));
        items
            .iter()
            .map(|item| {
                let table = item.get_ref().as_table();
                if table.is_none() {
                    self.problem(key, "must hold tables only");
                }
                Section::new(self.report, path.clone(), item.span().start, table)
            })
            .collect()
    }

    /// All pairs of a table whose keys are the user's own.
    pub(super) fn pairs(self, rule: impl Fn(&str, &str) -> Result<(), String>) -> BTreeMap<String, String> {
        let mut pairs = BTreeMap::new();
        for (key, value) in self.table.into_iter().flatten() {
            let key = key.get_ref().to_string();
            let value = String::read(value.get_ref()).and_then(|value| rule(&key, &value).map(|()| value));
            match value {
                Ok(value) => drop(pairs.insert(key, value)),
                Err(sentence) => self.problem(&key, &sentence),
            }
        }
        pairs
    }

    /// A rule about a value that was read: its sentence begins after the key's name ("must be …").
    pub(super) fn check(&self, key: &str, rule: Result<(), String>) {
        if let Err(sentence) = rule {
            self.problem(key, &sentence);
        }
    }

    /// A problem of this key, at its line if it is set, else at the table's.
    pub(super) fn problem(&self, key: &str, sentence: &str) {
        let offset = self.find(key).map_or(self.offset, |(offset, _)| offset);
        self.report
            .problem(offset, format!("`{}` {sentence}", self.path_of(key)));
    }

    /// Ends the reading: what is left over is unknown.
    pub(super) fn finish(self) {
        for (key, _) in self.table.into_iter().flatten() {
            if !self.known.contains(&**key.get_ref()) {
                self.problem(
                    key.get_ref(),
                    &format!("is not a setting; {}", self.suggestion(key.get_ref())),
                );
            }
        }
    }

    fn take(&mut self, key: &str) -> Option<&'r Spanned<DeValue<'r>>> {
        self.known.insert(key.to_owned());
        self.report.known.borrow_mut().insert(self.path_of(key));
        let (_, value) = self.find(key)?;
        self.report.present.borrow_mut().insert(self.path_of(key));
        Some(value)
    }

    fn find(&self, key: &str) -> Option<(usize, &'r Spanned<DeValue<'r>>)> {
        let mut entries = self.table?.iter();
        let (key, value) = entries.find(|(candidate, _)| **candidate.get_ref() == *key)?;
        Some((key.span().start, value))
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// As it stands between the brackets of a table's header.
    fn header_of(&self, key: &str) -> String {
        self.path_of(key).replace("[]", "")
    }

    fn suggestion(&self, unknown: &str) -> String {
        match nearest(unknown, self.known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`? Rename or remove it"),
            None => {
                let known: Vec<_> = self.known.iter().map(|key| format!("`{key}`")).collect();
                format!("remove it, or use one of {}", known.join(", "))
            }
        }
    }
}

/// The candidate that a slip of the fingers would have meant.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

/// A value as it is quoted back.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        other => format!("a value of type {}", other.type_str()),
    }
}

/// A value that can stand in the file. `read` fails with the rest of a sentence that begins with the key.
pub(super) trait Setting: Sized {
    fn read(value: &DeValue<'_>) -> Result<Self, String>;
}

fn must_be(expected: &str, value: &DeValue<'_>) -> String {
    format!("must be {expected}, not {}", shown(value))
}

/// A setting written as a string that `parse` understands.
fn read_text<T>(value: &DeValue<'_>, expected: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, String> {
    value.as_str().and_then(parse).ok_or_else(|| must_be(expected, value))
}

impl Setting for String {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let expected = "a text in quotes, without control characters and not empty";
        read_text(value, expected, |text| {
            let sound = !text.trim().is_empty() && !text.chars().any(char::is_control);
            sound.then(|| text.to_owned())
        })
    }
}

impl Setting for PathBuf {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        String::read(value).map(Self::from)
    }
}

impl Setting for SocketAddr {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        read_text(value, "an IP address and a port such as \"127.0.0.1:8080\"", |text| {
            text.parse().ok()
        })
    }
}

impl Setting for Duration {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let expected = "a duration such as \"30s\", \"60m\" or \"24h\"";
        read_text(value, expected, |text| humantime::parse_duration(text).ok())
    }
}

impl Setting for Tz {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        read_text(value, "an IANA time zone such as \"Europe/Paris\"", |text| {
            text.parse().ok()
        })
    }
}

impl Setting for Weekday {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        read_text(value, "a day such as \"fri\"", |text| text.parse().ok())
    }
}

impl Setting for NaiveTime {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        read_text(value, "a time of day such as \"18:30\"", |text| {
            Self::parse_from_str(text, "%H:%M").ok()
        })
    }
}

impl Setting for NaiveDate {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        read_text(value, "a date in quotes such as \"2026-12-24\"", |text| {
            text.parse().ok()
        })
    }
}

impl Setting for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value
            .as_bool()
            .ok_or_else(|| must_be("true or false, without quotes", value))
    }
}

impl Setting for u64 {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value
            .as_integer()
            .and_then(|number| Self::from_str_radix(number.as_str(), number.radix()).ok())
            .ok_or_else(|| must_be("a whole number, not negative, without quotes", value))
    }
}

impl Setting for u32 {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let number = u64::read(value)?;
        number.try_into().map_err(|_| format!("must be at most {}", Self::MAX))
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let items = value
            .as_array()
            .ok_or_else(|| must_be("a list such as [\"one\", \"two\"]", value))?;
        items
            .iter()
            .map(|item| T::read(item.get_ref()).map_err(|sentence| format!("has an item that {sentence}")))
            .collect()
    }
}

/// Settings whose words are those of their serde names.
macro_rules! word_setting {
    ($($kind:ty),+) => {$(
        impl $crate::config::section::Setting for $kind {
            fn read(value: &::toml::de::DeValue<'_>) -> Result<Self, String> {
                let text = value.as_str().unwrap_or_default();
                let word = ::serde::de::value::StrDeserializer::<::serde::de::value::Error>::new(text);
                ::serde::Deserialize::deserialize(word).map_err(|error| format!("is wrong: {error}"))
            }
        }
    )+};
}
pub(super) use word_setting;

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str, read: impl FnOnce(&mut Section<'_>)) -> Vec<String> {
        let report = Report::new("a.toml", text);
        let table = DeTable::parse(text).unwrap();
        let mut section = Section::root(&report, &table);
        read(&mut section);
        section.finish();
        report.into_problems()
    }

    #[test]
    fn every_problem_is_reported_with_its_line() {
        let found = problems("a = 1\nb = \"x\"\n\nc = [\"1s\", 2]\n", |section| {
            section.or::<String>("a", String::new());
            section.or::<bool>("b", false);
            section.or::<Vec<Duration>>("c", vec![]);
            section.required::<String>("d", "\"y\"");
        });
        insta::assert_snapshot!(found.join("\n"), @r#"
        a.toml:1: `a` must be a text in quotes, without control characters and not empty, not 1
        a.toml:1: `d` is missing; add `d = "y"`
        a.toml:2: `b` must be true or false, without quotes, not "x"
        a.toml:4: `c` has an item that must be a duration such as "30s", "60m" or "24h", not 2
        "#);
    }

    #[test]
    fn an_unknown_key_is_met_with_the_nearest_or_with_all() {
        let found = problems("aproval = 1\nzzz = 2\n", |section| {
            section.optional::<u32>("approval");
            section.optional::<u32>("ci");
        });
        insta::assert_snapshot!(found.join("\n"), @r"
        a.toml:1: `aproval` is not a setting; did you mean `approval`? Rename or remove it
        a.toml:2: `zzz` is not a setting; remove it, or use one of `approval`, `ci`
        ");
    }

    #[test]
    fn tables_and_lists_of_tables_are_told_apart() {
        let found = problems("list = 1\n[[table]]\n", |section| {
            section.section("table");
            section.sections("list");
        });
        insta::assert_snapshot!(found.join("\n"), @r"
        a.toml:1: `list` must be a list; write `[[list]]` with double brackets
        a.toml:2: `table` must be a table; write `[table]` above its settings
        ");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
            let report = Report::new("a.toml", &text);
            if let Ok(table) = DeTable::parse(&text) {
                Section::root(&report, &table).finish();
            }
            report.problem(usize::MAX, "past the end");
        }
    }
}
