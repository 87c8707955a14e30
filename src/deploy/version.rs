//! Version files: reading, bumping and writing the version, and nothing but the version: every other byte stays.
//!
//! Each kind finds the byte range of the version's text in the file as it is; writing replaces that range and reads the result again, so
//! that what was written is what the next reader finds.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use chrono::{Datelike, NaiveDate};
use regex::Regex;
use semver::{BuildMetadata, Prerelease, Version};
use serde::{Deserialize, Serialize};

use crate::config::{self, VersionFile, VersionFileKind};

/// What the next version is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Bump {
    /// One part counts up.
    By(config::Bump),
    /// Exactly this one, which must be higher.
    To(String),
}

impl FromStr for Bump {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self::By(match text.to_lowercase().as_str() {
            "patch" => config::Bump::Patch,
            "minor" => config::Bump::Minor,
            "major" => config::Bump::Major,
            "calendar" => config::Bump::Calendar,
            version => match Version::parse(version.strip_prefix('v').unwrap_or(version)) {
                Ok(version) => return Ok(Self::To(version.to_string())),
                Err(_) => {
                    return Err(format!(
                        "`{text}` is neither patch, minor, major, calendar nor a version such as 1.5.0"
                    ));
                }
            },
        }))
    }
}

impl TryFrom<String> for Bump {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Bump> for String {
    fn from(bump: Bump) -> Self {
        bump.to_string()
    }
}

impl fmt::Display for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::By(config::Bump::Patch) => "patch",
            Self::By(config::Bump::Minor) => "minor",
            Self::By(config::Bump::Major) => "major",
            Self::By(config::Bump::Calendar) => "calendar",
            Self::To(version) => version,
        })
    }
}

/// The version after `current`. A pre-release is finished by its own part: patch of 1.2.3-rc.1 is 1.2.3.
///
/// Calendar versions are `YYYY.MMDD.N`: a same-day suffix as in `2026.11.24-1` would be a pre-release, which sorts *before* `2026.11.24`.
///
/// # Errors
/// One sentence: not a semantic version, or not higher.
pub fn next_version(current: &str, bump: &Bump, date: NaiveDate) -> Result<String, String> {
    let now = Version::parse(current).map_err(|_| {
        format!("the current version {current:?} is not a semantic version such as 1.4.2; set one by hand first")
    })?;
    let unfinished = !now.pre.is_empty();
    let next = match bump {
        Bump::By(config::Bump::Patch) if unfinished => Version::new(now.major, now.minor, now.patch),
        Bump::By(config::Bump::Patch) => Version::new(now.major, now.minor, now.patch.saturating_add(1)),
        Bump::By(config::Bump::Minor) if unfinished && now.patch == 0 => Version::new(now.major, now.minor, 0),
        Bump::By(config::Bump::Minor) => Version::new(now.major, now.minor.saturating_add(1), 0),
        Bump::By(config::Bump::Major) if unfinished && now.minor == 0 && now.patch == 0 => {
            Version::new(now.major, 0, 0)
        }
        Bump::By(config::Bump::Major) => Version::new(now.major.saturating_add(1), 0, 0),
        Bump::By(config::Bump::Calendar) => {
            let year = u64::from(date.year().unsigned_abs());
            let day = u64::from(date.month() * 100 + date.day());
            let first = Version::new(year, day, 0);
            let same_day = (now.major, now.minor) == (year, day);
            let again = Version::new(year, day, now.patch.saturating_add(1));
            if same_day { again } else { first }
        }
        Bump::To(version) => {
            Version::parse(version).map_err(|_| format!("{version:?} is not a semantic version such as 1.5.0"))?
        }
    };
    let plain = |version: &Version| Version {
        pre: version.pre.clone(),
        build: BuildMetadata::EMPTY,
        ..version.clone()
    };
    if plain(&next) <= plain(&now) {
        return Err(format!("{next} is not higher than the current version {now}"));
    }
    Ok(match bump {
        Bump::To(_) => next.to_string(),
        Bump::By(_) => Version {
            pre: Prerelease::EMPTY,
            ..next
        }
        .to_string(),
    })
}

/// The version that a file carries.
///
/// # Errors
/// One sentence naming the file and the mend.
pub fn read_version(file: &VersionFile, bytes: &[u8]) -> Result<String, String> {
    let text = utf8(file, bytes)?;
    let range = find(file, text)?;
    let version = &text[range];
    match version.is_empty()
        || version
            .chars()
            .any(|c| c.is_control() || c.is_whitespace() || "\"'\\<>".contains(c))
    {
        true => Err(format!("{}: {version:?} is not a version", file.path)),
        false => Ok(version.to_owned()),
    }
}

/// The file with another version in it, every other byte as it was.
///
/// # Errors
/// One sentence naming the file and the mend.
pub fn write_version(file: &VersionFile, bytes: &[u8], version: &str) -> Result<Vec<u8>, String> {
    let text = utf8(file, bytes)?;
    let range = find(file, text)?;
    let mut written = text.to_owned();
    written.replace_range(range, version);
    match read_version(file, written.as_bytes())? == version {
        true => Ok(written.into_bytes()),
        false => Err(format!(
            "{}: {version} would not be read back; check `version_files`",
            file.path
        )),
    }
}

fn utf8<'a>(file: &VersionFile, bytes: &'a [u8]) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8 text", file.path))
}

/// Where the version's text stands.
fn find(file: &VersionFile, text: &str) -> Result<Range<usize>, String> {
    let path = &file.path;
    let found = match &file.kind {
        VersionFileKind::Json { pointer } => in_json(text, pointer),
        VersionFileKind::Toml { key } => in_toml(text, key),
        VersionFileKind::Yaml { key } => in_yaml(text, key),
        VersionFileKind::Mix => {
            let pattern = r#"(?m)^\s*(?:@version\s+|(?:\[|,)?\s*version:\s*)"([^"\n]*)""#;
            only_match(
                text,
                pattern,
                "no `version: \"…\"` and no `@version \"…\"`",
                "more than one version",
            )
        }
        VersionFileKind::Plain => {
            let trimmed = text.trim_start_matches('\u{feff}').trim();
            let start = text.len() - text.trim_start_matches('\u{feff}').trim_start().len();
            Ok(start..start + trimmed.len())
        }
        VersionFileKind::Regex { pattern } => only_match(
            text,
            pattern,
            &format!("nothing that matches `{pattern}`"),
            &format!("more than one match of `{pattern}`"),
        ),
    };
    found.map_err(|problem| format!("{path}: {problem}; mend the file or its entry in `version_files`"))
}

fn only_match(text: &str, pattern: &str, none: &str, many: &str) -> Result<Range<usize>, String> {
    let pattern = Regex::new(pattern).map_err(|error| error.to_string())?;
    let mut found = pattern.captures_iter(text).filter_map(|captures| captures.get(1));
    match (found.next(), found.next()) {
        (Some(version), None) => Ok(version.range()),
        (None, _) => Err(none.to_owned()),
        (Some(_), Some(_)) => Err(many.to_owned()),
    }
}

/// The parser recurses: deeper files than any real one are refused before it overflows the stack.
const DEEPEST: usize = 200;

fn in_json(text: &str, pointer: &str) -> Result<Range<usize>, String> {
    use jsonc_parser::ast::Value;
    let deeper = |(depth, deepest): (usize, usize), c: char| match c {
        '[' | '{' => (depth + 1, deepest.max(depth + 1)),
        ']' | '}' => (depth.saturating_sub(1), deepest),
        _ => (depth, deepest),
    };
    if text.chars().fold((0, 0), deeper).1 > DEEPEST {
        return Err(format!("it is nested deeper than {DEEPEST} levels"));
    }
    let start = text.len() - text.trim_start_matches('\u{feff}').len();
    let parsed = jsonc_parser::parse_to_ast(
        &text[start..],
        &jsonc_parser::CollectOptions::default(),
        &jsonc_parser::ParseOptions::default(),
    )
    .map_err(|error| format!("it is not JSON ({error})"))?;
    let mut value = parsed.value.ok_or("it is empty")?;
    for part in pointer.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        let missing = || format!("`{pointer}` is missing");
        value = match value {
            Value::Object(object) => {
                let mut matching = object
                    .properties
                    .into_iter()
                    .filter(|property| property.name.as_str() == name);
                let found = matching.next().ok_or_else(missing)?;
                if matching.next().is_some() {
                    return Err(format!("`{name}` stands there twice"));
                }
                found.value
            }
            Value::Array(array) => {
                let index: usize = name.parse().map_err(|_| missing())?;
                array.elements.into_iter().nth(index).ok_or_else(missing)?
            }
            _ => return Err(missing()),
        };
    }
    match value {
        Value::StringLit(string) => Ok(start + string.range.start + 1..start + string.range.end - 1),
        _ => Err(format!("`{pointer}` is not a string")),
    }
}

fn in_toml(text: &str, key: &str) -> Result<Range<usize>, String> {
    let start = text.len() - text.trim_start_matches('\u{feff}').len();
    let document =
        toml_edit::Document::parse(&text[start..]).map_err(|error| format!("it is not TOML ({})", error.message()))?;
    let mut item = document.as_item();
    for part in key.split('.') {
        item = item.get(part).ok_or_else(|| format!("`{key}` is missing"))?;
    }
    let value = item.as_value().filter(|value| value.is_str());
    let span = value
        .and_then(toml_edit::Value::span)
        .ok_or_else(|| match item.get("workspace") {
            Some(_) => format!(
                "`{key}` is inherited from the workspace: name the workspace's file and `workspace.package.version`"
            ),
            None => format!("`{key}` is not a string"),
        })?;
    let literal = &text[start + span.start..start + span.end];
    let quotes = if literal.starts_with("\"\"\"") || literal.starts_with("'''") {
        3
    } else {
        1
    };
    Ok(start + span.start + quotes..start + span.end - quotes)
}

/// Block mappings by indentation, which is how version keys are written; anything fancier on the way (flow mappings, anchors, sequences,
/// several documents) is refused rather than guessed at.
fn in_yaml(text: &str, key: &str) -> Result<Range<usize>, String> {
    let wanted: Vec<&str> = key.split('.').collect();
    let mut parents: Vec<(usize, &str)> = Vec::new();
    let mut found = None;
    let mut block_scalar: Option<usize> = None;
    let mut offset = text.len() - text.trim_start_matches('\u{feff}').len();
    for line in text[offset..].split_inclusive('\n') {
        let at = offset;
        offset += line.len();
        let body = line.trim_end();
        let content = body.trim_start();
        let indent = body.len() - content.len();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        // Lines of a block scalar are text, whatever they look like.
        if block_scalar.is_some_and(|scalar| indent > scalar) {
            continue;
        }
        block_scalar = None;
        while parents.last().is_some_and(|(parent, _)| indent <= *parent) {
            parents.pop();
        }
        let Some((name, value)) = mapping(content) else {
            continue;
        };
        if value.starts_with(['|', '>']) {
            block_scalar = Some(indent);
        }
        parents.push((indent, name));
        if parents.iter().map(|(_, name)| *name).eq(wanted.iter().copied()) {
            if found.is_some() {
                return Err(format!("`{key}` stands there twice"));
            }
            let value_at = at + body.len() - value.len();
            found = Some(scalar(value, value_at).ok_or_else(|| format!("`{key}` is not a plain or quoted string"))?);
        }
    }
    found.ok_or_else(|| format!("`{key}` is missing"))
}

/// `name: value` of a block mapping.
fn mapping(content: &str) -> Option<(&str, &str)> {
    let colon = content.find(':')?;
    let (name, rest) = content.split_at(colon);
    let rest = &rest[1..];
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return None;
    }
    let name = name.trim().trim_matches(['"', '\'']);
    let value = rest.trim_start();
    Some((name, if value.starts_with('#') { "" } else { value }))
}

/// The text of a one-line scalar that begins at `at`.
fn scalar(value: &str, at: usize) -> Option<Range<usize>> {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    match quote {
        Some(quote) => {
            let end = value[1..].find(quote)?;
            Some(at + 1..at + 1 + end)
        }
        None if value.starts_with(['[', '{', '&', '*', '!', '|', '>', '%', '@']) => None,
        None => {
            let plain = value.split(" #").next().unwrap_or(value).trim_end();
            (!plain.is_empty()).then_some(at..at + plain.len())
        }
    }
}

#[cfg(test)]
mod tests;
