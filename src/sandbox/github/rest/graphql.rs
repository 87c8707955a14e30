//! The two things for which REST has no answer: linked issues, and switching off auto-merge. No GraphQL engine: an answer has every field
//! that such a question can ask for.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::answer::{Answer, ok};
use crate::sandbox::github::GitHubDouble;
use crate::sandbox::github::model::{Model, Pull};

/// Errors come with status 200.
fn unresolved(what: &str) -> Answer {
    let message = format!("Could not resolve to a {what}");
    ok(json!({ "data": { "repository": null }, "errors": [{ "type": "NOT_FOUND", "message": message }] }))
}

pub async fn answer(double: &GitHubDouble, body: &Value) -> Answer {
    if body["query"]
        .as_str()
        .unwrap_or_default()
        .contains("disablePullRequestAutoMerge")
    {
        return disable_auto_merge(double, &body["variables"]).await;
    }
    let variables = &body["variables"];
    let text = |name: &str| variables[name].as_str().unwrap_or_default().to_owned();
    let number = variables["number"].as_u64().unwrap_or(0);
    let Some((repo, name)) = double.known_as(&format!("{}/{}", text("owner"), text("name"))) else {
        return unresolved("Repository");
    };
    let model = repo.model.lock().await;
    let Some(pull) = model.pulls.get(&number) else {
        return unresolved("PullRequest");
    };
    let nodes: Vec<Value> = linked(double, &name, &model, pull)
        .into_iter()
        .filter_map(|number| Some((number, model.issues.get(&number)?)))
        .map(|(number, issue)| {
            json!({
                "number": number,
                "title": issue.title,
                "url": format!("{}/{name}/issues/{number}", double.web()),
                "state": if issue.open { "OPEN" } else { "CLOSED" },
                "repository": { "nameWithOwner": name },
            })
        })
        .collect();
    let references = json!({ "totalCount": nodes.len(), "nodes": nodes, "pageInfo": { "hasNextPage": false } });
    ok(json!({ "data": { "repository": { "pullRequest": { "closingIssuesReferences": references } } } }))
}

/// Links made by hand, and those by closing words, which count only on the way to the default branch.
fn linked(double: &GitHubDouble, name: &str, model: &Model, pull: &Pull) -> Vec<u64> {
    let default = double.knobs(|knobs| knobs.default_branch.clone());
    let mut linked = pull.linked.clone();
    if pull.base == default.as_deref().unwrap_or("main") {
        linked.extend(closes(name, &pull.body));
    }
    linked.sort_unstable();
    linked.dedup();
    linked.retain(|number| model.issues.contains_key(number));
    linked
}

/// The issues of this repository that a text closes.
pub fn closes(name: &str, text: &str) -> Vec<u64> {
    static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"(?i)\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+([\w.-]+/[\w.-]+)?#(\d+)").ok()
    });
    let found = WORDS
        .as_ref()
        .map(|words| words.captures_iter(text))
        .into_iter()
        .flatten();
    let ours = found.filter(|words| words.get(1).is_none_or(|repo| repo.as_str() == name));
    ours.filter_map(|words| words[2].parse().ok()).collect()
}

async fn disable_auto_merge(double: &GitHubDouble, variables: &Value) -> Answer {
    let id = variables
        .as_object()
        .into_iter()
        .flat_map(|map| map.values())
        .find_map(|value| {
            let id = value["pullRequestId"].as_str().or_else(|| value.as_str())?;
            id.strip_prefix("PR_")?.parse::<u64>().ok()
        });
    for repo in double.0.repos.values() {
        let mut model = repo.model.lock().await;
        let Some(pull) = id.and_then(|id| model.pulls.get_mut(&id)) else {
            continue;
        };
        if !pull.auto_merge {
            let error = json!({ "type": "UNPROCESSABLE", "message": "Can't disable auto-merge for this pull request" });
            return ok(json!({ "data": { "disablePullRequestAutoMerge": null }, "errors": [error] }));
        }
        pull.auto_merge = false;
        let number = pull.number;
        model.note(format!("disablePullRequestAutoMerge {number}"));
        let actor = json!({ "login": super::super::BOT });
        let pull_request = json!({ "number": number, "autoMergeRequest": null });
        return ok(
            json!({ "data": { "disablePullRequestAutoMerge": { "actor": actor, "pullRequest": pull_request } } }),
        );
    }
    unresolved("node with the given id")
}
