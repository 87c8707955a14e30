//! Refs, tags, branches and their rules, comparisons, files.

use base64::Engine as _;
use serde_json::{Value, json};

use super::Cx;
use super::answer::{Answer, not_found, ok, paged, query, refuse, with};
use super::pulls::log;
use crate::sandbox::github::knobs::Knobs;
use crate::sandbox::github::life;
use crate::sandbox::github::model::Model;

/// GitHub lists no more commits of a comparison.
const COMPARED: usize = 250;

fn shown(name: &str, kind: &str, sha: &str) -> Value {
    json!({ "ref": name, "object": { "type": kind, "sha": sha } })
}

pub async fn branch_ref(cx: &Cx<'_>, model: &mut Model, branch: &str) -> Answer {
    if model.hidden_refs.get_mut(branch).is_some_and(Knobs::spend) {
        return not_found();
    }
    match cx.repo.bare.tip(branch).await {
        Some(sha) => ok(shown(&format!("refs/heads/{branch}"), "commit", &sha)),
        None => not_found(),
    }
}

pub async fn tag_ref(cx: &Cx<'_>, tag: &str) -> Answer {
    let name = format!("refs/tags/{tag}");
    let Some(sha) = cx.repo.bare.resolve(&name).await else {
        return not_found();
    };
    let kind = cx.repo.bare.git(&["cat-file", "-t", &sha]).await.unwrap_or_default();
    ok(shown(&name, &kind, &sha))
}

/// Branches that begin so: `deploy-` finds `deploy-1`, and `deploy-1` finds `deploy-10`.
pub async fn matching(cx: &Cx<'_>, beginning: &str) -> Answer {
    let branches = cx.repo.bare.branches().await.unwrap_or_default();
    let found = branches.iter().filter(|(name, _)| name.starts_with(beginning));
    paged(
        found
            .map(|(name, sha)| shown(&format!("refs/heads/{name}"), "commit", sha))
            .collect(),
    )
}

/// An annotated tag's own object.
pub async fn tag(cx: &Cx<'_>, sha: &str) -> Answer {
    let kind = cx.repo.bare.git(&["cat-file", "-t", sha]).await;
    if kind.as_deref() != Ok("tag") {
        return not_found();
    }
    match cx.repo.bare.resolve(&format!("{sha}^{{commit}}")).await {
        Some(commit) => ok(json!({ "sha": sha, "object": { "type": "commit", "sha": commit } })),
        None => not_found(),
    }
}

fn rule_violation(what: &str) -> Answer {
    refuse(422, &format!("Repository rule violations found\n\n{what}\n\n"))
}

pub async fn create(cx: &Cx<'_>, model: &mut Model) -> Answer {
    let (name, sha) = (
        cx.body["ref"].as_str().unwrap_or_default(),
        cx.body["sha"].as_str().unwrap_or_default(),
    );
    let Some(branch) = name.strip_prefix("refs/heads/") else {
        return refuse(422, "Reference name must start with 'refs/'.");
    };
    if cx.repo.bare.tip(branch).await.is_some() {
        return refuse(422, "Reference already exists");
    }
    if cx.knobs(|knobs| knobs.rules_of(branch).any(|rule| rule.creation)) {
        return rule_violation("Cannot create ref due to creations being restricted.");
    }
    if cx.repo.bare.resolve(&format!("{sha}^{{commit}}")).await.is_none() {
        return refuse(422, "Object does not exist");
    }
    if let Err(error) = cx.repo.bare.set_ref(name, sha).await {
        return refuse(422, &error);
    }
    let hidden = cx.knobs(|knobs| knobs.lag_reads);
    model.hidden_refs.insert(branch.to_owned(), hidden);
    model.note(format!("POST git/refs {branch}"));
    cx.double.changed(cx.repo);
    with(201, shown(name, "commit", sha))
}

pub async fn delete(cx: &Cx<'_>, model: &mut Model, branch: &str) -> Answer {
    if cx.repo.bare.tip(branch).await.is_none() {
        return refuse(422, "Reference does not exist");
    }
    if cx.knobs(|knobs| knobs.rules_of(branch).any(|rule| rule.deletion)) {
        return rule_violation("Cannot delete this branch");
    }
    if let Err(error) = cx.repo.bare.delete_ref(&format!("refs/heads/{branch}")).await {
        return refuse(422, &error);
    }
    model.note(format!("DELETE git/refs/heads/{branch}"));
    if let Err(error) = life::refs_moved(cx.double, cx.repo, model).await {
        return refuse(500, &error);
    }
    cx.double.changed(cx.repo);
    with(204, Value::Null)
}

pub async fn compare(cx: &Cx<'_>, span: &str) -> Answer {
    let Some((base, head)) = span.split_once("...") else {
        return not_found();
    };
    let count = |from: &str, to: &str| {
        let range = format!("{from}..{to}");
        async move {
            cx.repo
                .bare
                .git(&["rev-list", "--count", &range])
                .await?
                .parse::<u64>()
                .map_err(|error| error.to_string())
        }
    };
    let (Ok(ahead), Ok(behind)) = (count(base, head).await, count(head, base).await) else {
        return not_found();
    };
    let Some(mut commits) = log(cx, base, head).await else {
        return not_found();
    };
    commits.truncate(COMPARED);
    let status = match (ahead, behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    ok(json!({ "status": status, "ahead_by": ahead, "behind_by": behind, "total_commits": ahead, "commits": commits }))
}

/// A branch with its classic protection.
pub async fn branch(cx: &Cx<'_>, branch: &str) -> Answer {
    let Some(sha) = cx.repo.bare.tip(branch).await else {
        return refuse(404, "Branch not found");
    };
    let protection = cx.knobs(|knobs| {
        let rules: Vec<_> = knobs.rules_of(branch).collect();
        let classic = rules.iter().filter(|rule| rule.classic);
        let contexts: Vec<&String> = classic.flat_map(|rule| &rule.checks).collect();
        let checks: Vec<Value> = contexts.iter().map(|context| json!({ "context": context, "app_id": null })).collect();
        json!({
            "protected": !rules.is_empty(),
            "protection": { "enabled": !contexts.is_empty(), "required_status_checks": { "contexts": contexts, "checks": checks } },
        })
    });
    ok(json!({
        "name": branch, "commit": { "sha": sha },
        "protected": protection["protected"], "protection": protection["protection"],
    }))
}

/// The rulesets' rules for a branch, whether there is such a branch or not.
pub fn rules(cx: &Cx<'_>, branch: &str) -> Answer {
    let mut rows = Vec::new();
    cx.knobs(|knobs| {
        for rule in knobs.rules_of(branch).filter(|rule| !rule.classic) {
            let mut row = |kind: &str, parameters: Value| {
                rows.push(json!({ "type": kind, "ruleset_source_type": "Repository", "ruleset_id": 1, "parameters": parameters }));
            };
            if rule.approvals > 0 {
                row("pull_request", json!({ "required_approving_review_count": rule.approvals, "allowed_merge_methods": ["merge", "squash", "rebase"] }));
            }
            if !rule.checks.is_empty() {
                let checks: Vec<Value> = rule.checks.iter().map(|context| json!({ "context": context })).collect();
                row("required_status_checks", json!({ "required_status_checks": checks, "strict_required_status_checks_policy": false }));
            }
            for (kind, on) in [
                ("merge_queue", rule.merge_queue),
                ("required_linear_history", rule.linear_history),
                ("creation", rule.creation),
                ("deletion", rule.deletion),
            ] {
                if on {
                    row(kind, json!({}));
                }
            }
        }
    });
    paged(rows)
}

pub async fn contents(cx: &Cx<'_>, path: &str) -> Answer {
    let default = cx
        .knobs(|knobs| knobs.default_branch.clone())
        .unwrap_or_else(|| "main".to_owned());
    let at = query(cx.uri, "ref").unwrap_or(default);
    let Some(text) = cx.repo.bare.file(&at, path).await else {
        return not_found();
    };
    let sha = cx.repo.bare.resolve(&format!("{at}:{path}")).await;
    ok(json!({
        "type": "file", "name": path.rsplit('/').next(), "path": path, "sha": sha, "size": text.len(),
        "encoding": "base64", "content": base64::engine::general_purpose::STANDARD.encode(text),
    }))
}
