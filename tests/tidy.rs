//! The rules of this repository that the compiler doesn't know.

#![allow(clippy::unwrap_used, reason = "a test's panic is its message")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use shipmate::slack::client::METHODS;

/// Each module with what it may use, in reading order. A new module gets its row here.
const LAYERS: &[(&str, &[&str])] = &[
    ("metrics", &[]),
    ("requests", &[]),
    ("github", &["metrics", "requests"]),
    ("git", &[]),
    ("saga", &["metrics", "requests"]),
    ("slack", &["metrics"]),
    ("config", &["github"]),
    ("deploy", &["requests", "config", "saga", "git", "github", "slack"]),
    ("bot", &["config", "saga", "git", "github", "slack", "deploy"]),
    (
        "web",
        &["metrics", "config", "saga", "git", "github", "slack", "deploy"],
    ),
    (
        "control",
        &["requests", "config", "saga", "git", "github", "slack", "deploy", "bot"],
    ),
    ("traces", &["requests", "config", "saga", "deploy"]),
    ("doctor", &["traces", "config", "git", "github", "slack", "deploy"]),
    ("cli", &["config", "saga", "deploy", "control"]),
    (
        "sandbox",
        &["config", "saga", "git", "github", "slack", "deploy", "bot", "web"],
    ),
    (
        "app",
        &[
            "metrics", "config", "saga", "git", "github", "slack", "deploy", "bot", "web", "control", "doctor",
            "traces", "sandbox",
        ],
    ),
];

/// These wire everything together and may use all of it.
const ROOTS: &[&str] = &["lib", "main"];

const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "tests",
    "slack-manifest.yaml",
    "config",
    "README.md",
    "benches",
    "LICENSE",
    "CHANGELOG.md",
];

/// Made by building and running, and ignored by git.
const MADE: &[&str] = &["target", "data"];

#[test]
fn modules_use_only_what_stands_left_of_them() {
    for (path, code) in sources() {
        let module = module_of(&path);
        if ROOTS.contains(&module.as_str()) {
            continue;
        }
        let layer = LAYERS.iter().find(|(name, _)| *name == module);
        let (_, allowed) = layer.unwrap_or_else(|| panic!("{}: `{module}` has no row in LAYERS", path.display()));
        for used in used_modules(&code) {
            assert!(
                used == module || allowed.contains(&used.as_str()),
                "{}: `{module}` must not use `{used}`; it may use {allowed:?}",
                path.display()
            );
        }
    }
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let code = "use crate::git::{self, Oid};\nuse crate::{\n    slack::{Post, Slack},\n    github,\n};\nfn f() { crate::saga::x() }\n// crate::web";
    let expected = ["git", "github", "saga", "slack"].map(str::to_owned);
    assert_eq!(used_modules(&without_comments(code)), BTreeSet::from(expected));
}

#[test]
fn a_lint_is_allowed_only_with_a_reason() {
    let attribute = Regex::new(r"(?s)(?:#!?\[|,\s*)allow\(.*?\)").unwrap();
    for (path, code) in sources() {
        for found in attribute.find_iter(&code) {
            let text = found.as_str();
            assert!(text.contains("reason ="), "{}: {text} gives no reason", path.display());
        }
    }
}

#[test]
fn the_manifests_ask_for_the_scopes_of_the_methods_called_and_no_more() {
    let called = METHODS.iter().flat_map(|(_, scopes)| scopes.iter().copied());
    let needed: BTreeSet<_> = called.chain(["commands"]).collect();
    for name in MANIFESTS {
        let asked = items_below(&manifest(name), "bot");
        let asked_once: BTreeSet<_> = asked.iter().map(String::as_str).collect();
        assert_eq!(asked_once, needed, "{name}");
        assert_eq!(asked.len(), needed.len(), "{name}: a scope stands twice");
    }
}

#[test]
fn the_manifests_name_the_command_and_the_events_that_the_code_takes() {
    let event = Regex::new(r#"kind == "([a-z_]+)""#).unwrap();
    let inbound = fs::read_to_string(root().join("src/slack/inbound.rs")).unwrap();
    let taken: BTreeSet<_> = event.captures_iter(&inbound).map(|found| found[1].to_owned()).collect();
    for name in MANIFESTS {
        let manifest = manifest(name);
        let subscribed: BTreeSet<_> = items_below(&manifest, "bot_events").into_iter().collect();
        assert_eq!(subscribed, taken, "{name}");
        let commands: Vec<_> = manifest
            .lines()
            .filter(|line| line.contains("- command:"))
            .map(str::trim)
            .collect();
        assert_eq!(commands, ["- command: /deploy"], "{name}");
        for line in ["home_tab_enabled: true", "is_enabled: true"] {
            assert!(has_line(&manifest, line), "{name}: `{line}` is missing");
        }
    }
}

#[test]
fn the_manifests_differ_in_how_slack_reaches_shipmate_and_in_nothing_else() {
    let [socket, http] = MANIFESTS.map(manifest);
    assert!(has_line(&socket, "socket_mode_enabled: true") && has_line(&http, "socket_mode_enabled: false"));
    let url = Regex::new(r"^\s*(request_)?url: https://shipmate\.example\.com(/slack/\S+)$").unwrap();
    let reached: Vec<_> = http
        .lines()
        .filter_map(|line| Some(url.captures(line)?[2].to_owned()))
        .collect();
    assert_eq!(reached, ["/slack/commands", "/slack/events", "/slack/interactions"]);
    let routes = fs::read_to_string(root().join("src/slack/http.rs")).unwrap();
    for path in reached {
        assert!(routes.contains(&format!("\"{path}\"")), "nothing listens on {path}");
    }
    let common = |manifest: &str| {
        let said = |line: &&str| !line.starts_with('#') && !url.is_match(line) && !line.contains("socket_mode_enabled");
        manifest.lines().filter(said).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(common(&socket), common(&http));
}

#[test]
fn the_manifest_hints_at_words_that_exist() {
    let hint = Regex::new(r#"usage_hint: "\[(.+)\]""#).unwrap();
    for name in MANIFESTS {
        let manifest = manifest(name);
        let words = &hint.captures(&manifest).unwrap()[1];
        for hinted in words.split('|') {
            let known = shipmate::bot::command::WORDS.iter().any(|word| word.word == hinted);
            assert!(known, "{name}: there is no `{hinted}`");
        }
    }
}

#[test]
fn the_readme_lists_every_command() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for word in shipmate::bot::command::WORDS {
        let mut rows = readme.lines().filter(|line| line.starts_with("| `"));
        let named = format!("`{}", word.word);
        assert!(
            rows.any(|row| row.contains(&format!("{named}`")) || row.contains(&format!("{named} "))),
            "the README's table has no row for `{}`",
            word.word
        );
    }
}

#[test]
fn the_top_level_stays_small() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = name.starts_with('.') || TOP_LEVEL.contains(&&*name) || MADE.contains(&&*name);
        assert!(known, "`{name}` doesn't belong at the top level");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// For Socket Mode, and for HTTP.
const MANIFESTS: [&str; 2] = ["slack-manifest.yaml", "config/slack-manifest.http.yaml"];

fn manifest(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn has_line(yaml: &str, wanted: &str) -> bool {
    yaml.lines().any(|line| line.trim() == wanted)
}

/// The items of the list under a key: enough of YAML for a file that this repository writes itself.
fn items_below(yaml: &str, key: &str) -> Vec<String> {
    let after = yaml.lines().skip_while(|line| line.trim() != format!("{key}:")).skip(1);
    after
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .map_while(|line| line.strip_prefix("- "))
        .map(str::to_owned)
        .collect()
}

/// Every source file's path below `src`, and its code without comments.
fn sources() -> Vec<(PathBuf, String)> {
    let src = root().join("src");
    let mut found = Vec::new();
    let mut open = vec![src.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let code = without_comments(&fs::read_to_string(&path).unwrap());
                found.push((path.strip_prefix(&src).unwrap().to_owned(), code));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn without_comments(code: &str) -> String {
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn module_of(path: &Path) -> String {
    let first = path.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The crate's modules that `crate::…` and `crate::{…}` name.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        let begins_a_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            _ if !begins_a_word => {}
            Some(group) => used.extend(heads_of_group(group)),
            None => used.extend(head(rest)),
        }
    }
    used
}

/// The first name of each item of a group whose opening brace was read already.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 1;
    let mut item_begins = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => break,
            '}' => depth -= 1,
            ',' if depth == 1 => item_begins = true,
            c if item_begins && !c.is_whitespace() => {
                heads.extend(head(&group[at..]));
                item_begins = false;
            }
            _ => {}
        }
    }
    heads
}

/// A module's name; types and macros of the root begin otherwise or don't exist.
fn head(path: &str) -> Option<String> {
    let name: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty() && name != "self").then_some(name)
}
