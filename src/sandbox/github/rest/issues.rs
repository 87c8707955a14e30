//! Issues, comments, timelines.

use serde_json::{Value, json};

use super::Cx;
use super::answer::{Answer, moved, not_found, ok, paged, refuse, with};
use crate::sandbox::github::BOT;
use crate::sandbox::github::model::{Model, Whereabouts, issue_json, pull_as_issue, user};

/// The answer for an issue that isn't here any more.
fn gone(cx: &Cx<'_>, model: &Model, number: u64) -> Option<Answer> {
    match model.issues.get(&number)?.whereabouts {
        Whereabouts::Here => None,
        Whereabouts::Deleted => Some(refuse(410, "This issue was deleted")),
        Whereabouts::Transferred => {
            let there = format!("{}/repositories/999/issues/{number}", cx.double.api_url());
            Some(moved(cx.method, &there))
        }
    }
}

pub fn show(cx: &Cx<'_>, model: &Model, number: u64) -> Answer {
    if let Some(answer) = gone(cx, model, number) {
        return answer;
    }
    match (model.issues.get(&number), model.pulls.get(&number)) {
        (Some(issue), _) => ok(issue_json(&cx.web, &cx.name, number, issue)),
        (None, Some(pull)) => ok(pull_as_issue(&cx.web, &cx.name, pull)),
        (None, None) => not_found(),
    }
}

pub fn edit(cx: &Cx<'_>, model: &mut Model, number: u64) -> Answer {
    if let Some(answer) = gone(cx, model, number) {
        return answer;
    }
    let state = cx.body["state"].as_str().unwrap_or_default();
    let Some(issue) = model.issues.get_mut(&number) else {
        return not_found();
    };
    issue.open = state == "open";
    let shown = issue_json(&cx.web, &cx.name, number, issue);
    model.note(format!("PATCH issues/{number} state={state}"));
    cx.double.changed(cx.repo);
    ok(shown)
}

fn exists(model: &Model, number: u64) -> bool {
    model.issues.contains_key(&number) || model.pulls.contains_key(&number)
}

fn comment_json(cx: &Cx<'_>, number: u64, index: usize, body: &str) -> Value {
    let id = number * 1000 + index as u64;
    let page = format!("{}/{}/issues/{number}#issuecomment-{id}", cx.web, cx.name);
    json!({ "id": id, "body": body, "user": user(BOT), "html_url": page })
}

pub fn comments(cx: &Cx<'_>, model: &Model, number: u64) -> Answer {
    if !exists(model, number) {
        return not_found();
    }
    let comments = model.comments.get(&number).into_iter().flatten().enumerate();
    paged(
        comments
            .map(|(index, body)| comment_json(cx, number, index, body))
            .collect(),
    )
}

pub fn comment(cx: &Cx<'_>, model: &mut Model, number: u64) -> Answer {
    if !exists(model, number) {
        return not_found();
    }
    let text = cx.body["body"].as_str().unwrap_or_default();
    if text.is_empty() {
        return super::answer::invalid("IssueComment", "body", "missing_field", "");
    }
    model.note(format!("POST issues/{number}/comments"));
    let comments = model.comments.entry(number).or_default();
    comments.push(text.to_owned());
    let shown = comment_json(cx, number, comments.len() - 1, text);
    cx.double.changed(cx.repo);
    with(201, shown)
}

pub fn timeline(model: &Model, number: u64) -> Answer {
    match exists(model, number) {
        true => paged(model.timeline.get(&number).cloned().unwrap_or_default()),
        false => not_found(),
    }
}
