//! Merging: the three methods, made by git, and the refusals, of which 405 alone has many.

use serde_json::{Value, json};

use super::Cx;
use super::answer::{Answer, not_found, ok, refuse, with};
use super::pulls::forget_mergeability;
use crate::github::MergeMethod;
use crate::sandbox::github::knobs::Knobs;
use crate::sandbox::github::model::{Model, Pull, user};
use crate::sandbox::github::{BOT, life};

const NOT_MERGEABLE: &str = "Pull Request is not mergeable";

pub fn is_merged(model: &Model, number: u64) -> Answer {
    match model.pulls.get(&number) {
        Some(pull) if pull.merged.is_some() => with(204, Value::Null),
        _ => not_found(),
    }
}

pub async fn merge(cx: &Cx<'_>, model: &mut Model, number: u64) -> Answer {
    let Some(pull) = model.pulls.get(&number).cloned() else {
        return not_found();
    };
    let method = match cx.body["merge_method"].as_str() {
        Some("squash") => MergeMethod::Squash,
        Some("rebase") => MergeMethod::Rebase,
        _ => MergeMethod::Merge,
    };
    if let Some(refusal) = refuses(cx, model, &pull, method).await {
        return refusal;
    }
    match perform(cx, model, &pull, method).await {
        Ok(Some(sha)) => ok(json!({ "sha": sha, "merged": true, "message": "Pull Request successfully merged" })),
        Ok(None) => refuse(405, NOT_MERGEABLE),
        Err(error) => refuse(500, &error),
    }
}

/// Everything that GitHub looks at before it merges.
async fn refuses(cx: &Cx<'_>, model: &Model, pull: &Pull, method: MergeMethod) -> Option<Answer> {
    if !pull.open {
        return Some(refuse(405, NOT_MERGEABLE));
    }
    if pull.draft {
        return Some(refuse(405, "Pull Request is still a draft"));
    }
    if cx.body["sha"].as_str().is_some_and(|sha| sha != pull.head_sha) {
        return Some(refuse(409, "Head branch was modified. Review and try the merge again."));
    }
    if let Some((status, message)) = cx.knobs(|knobs| knobs.merge_refusals.pop_front()) {
        return Some(refuse(status, &message));
    }
    if cx.knobs(|knobs| Knobs::spend(&mut knobs.base_modified)) {
        return Some(refuse(405, "Base branch was modified. Review and try the merge again."));
    }
    if cx.knobs(|knobs| knobs.forbidden_methods.contains(&method)) {
        let what = match method {
            MergeMethod::Merge => "Merge commits",
            MergeMethod::Squash => "Squash merges",
            MergeMethod::Rebase => "Rebase merges",
        };
        return Some(refuse(405, &format!("{what} are not allowed on this repository.")));
    }
    if let Some(violation) = rule_violation(cx, model, pull, Some(method)) {
        return Some(refuse(405, &violation));
    }
    if cx.knobs(|knobs| knobs.no_workflow_right) && touches_workflows(cx, pull).await {
        return Some(refuse(
            403,
            "refusing to allow a GitHub App to create or update workflow `.github/workflows/deploy.yml` without `workflows` permission",
        ));
    }
    None
}

async fn touches_workflows(cx: &Cx<'_>, pull: &Pull) -> bool {
    let span = format!("{}...{}", pull.base, pull.head_sha);
    let changed = cx
        .repo
        .bare
        .git(&["diff", "--name-only", &span, "--", ".github/workflows"])
        .await;
    changed.is_ok_and(|files| !files.is_empty())
}

/// What the base's rules say against a merge; without a method, against any.
pub fn rule_violation(cx: &Cx<'_>, model: &Model, pull: &Pull, method: Option<MergeMethod>) -> Option<String> {
    cx.knobs(|knobs| {
        let mut rules = knobs.rules_of(&pull.base);
        rules.find_map(|rule| {
            let said = if rule.merge_queue {
                "Changes must be made through the merge queue".to_owned()
            } else if rule.linear_history && method == Some(MergeMethod::Merge) {
                "This branch must not contain merge commits.".to_owned()
            } else if approvals(pull) < rule.approvals {
                let (plural, verb) = if rule.approvals == 1 { ("", "is") } else { ("s", "are") };
                format!(
                    "At least {} approving review{plural} {verb} required by reviewers with write access.",
                    rule.approvals
                )
            } else {
                missing_check(model, pull, &rule.checks)?
            };
            Some(match rule.classic {
                true => said,
                false => format!("Repository rule violations found\n\n{said}\n\n"),
            })
        })
    })
}

fn approvals(pull: &Pull) -> usize {
    let latest: std::collections::BTreeMap<&str, &str> = pull
        .reviews
        .iter()
        .map(|review| (review.user.as_str(), review.state))
        .collect();
    latest
        .iter()
        .filter(|(login, state)| **state == "APPROVED" && **login != "eve")
        .count()
}

fn missing_check(model: &Model, pull: &Pull, required: &[String]) -> Option<String> {
    let checks = model.checks.get(&pull.head_sha).map(Vec::as_slice).unwrap_or_default();
    let statuses = model
        .statuses
        .get(&pull.head_sha)
        .map(Vec::as_slice)
        .unwrap_or_default();
    required.iter().find_map(|name| {
        let check = checks
            .iter()
            .find(|check| check.name == *name)
            .map(|check| check.conclusion.unwrap_or(check.status));
        let status = statuses
            .iter()
            .find(|(context, _)| context == name)
            .map(|(_, state)| *state);
        match check.or(status) {
            Some("success" | "skipped" | "neutral") => None,
            Some("failure" | "error" | "cancelled" | "timed_out") => {
                Some(format!("Required status check \"{name}\" is failing."))
            }
            Some(_) => Some(format!("Required status check \"{name}\" is in progress.")),
            None => Some(format!("Required status check \"{name}\" is expected.")),
        }
    })
}

/// A pull request with auto-merge, just retargeted to where nothing holds it back.
pub async fn fires(cx: &Cx<'_>, model: &mut Model, number: u64) {
    let Some(pull) = model.pulls.get(&number).cloned() else {
        return;
    };
    let free = cx.knobs(|knobs| knobs.rules_of(&pull.base).next().is_none());
    if free && let Err(error) = perform(cx, model, &pull, MergeMethod::Squash).await {
        tracing::error!(error, "the sandbox could not auto-merge");
    }
}

/// The merge itself, and all that follows from it; `None`: it conflicts.
async fn perform(cx: &Cx<'_>, model: &mut Model, pull: &Pull, method: MergeMethod) -> Result<Option<String>, String> {
    let Some(base) = cx.repo.bare.tip(&pull.base).await else {
        return Ok(None);
    };
    let number = pull.number;
    let title = cx.body["commit_title"].as_str().map(str::to_owned);
    let text = cx.body["commit_message"].as_str();
    let message = match (method, title) {
        (MergeMethod::Squash, title) => {
            let title = title.unwrap_or_else(|| format!("{} (#{number})", pull.title));
            format!("{title}\n\n{}", text.unwrap_or_default())
        }
        (_, title) => {
            let title =
                title.unwrap_or_else(|| format!("Merge pull request #{number} from {}/{}", cx.owner(), pull.head));
            format!("{title}\n\n{}", text.unwrap_or(&pull.title))
        }
    };
    let dated = model.tick();
    let merged = cx
        .repo
        .bare
        .merge(method, &base, &pull.head_sha, message.trim_end(), &pull.author, dated)
        .await?;
    let Some(sha) = merged else { return Ok(None) };
    cx.repo.bare.set_ref(&format!("refs/heads/{}", pull.base), &sha).await?;
    model.note(format!("PUT pulls/{number}/merge into {}", pull.base));
    if let Some(pull) = model.pulls.get_mut(&number) {
        pull.open = false;
        pull.merged = Some((sha.clone(), BOT.to_owned()));
    }
    model.tell(
        number,
        "merged",
        json!({ "actor": user(BOT), "commit_id": pull.head_sha }),
    );
    let hidden = cx.knobs(|knobs| knobs.lag_reads);
    model.hidden_merges.insert(sha.clone(), hidden);
    let mut siblings: Vec<Pull> = model
        .pulls
        .values()
        .filter(|other| other.open && other.base == pull.base)
        .cloned()
        .collect();
    for sibling in &mut siblings {
        forget_mergeability(cx, sibling, &base).await;
    }
    model
        .pulls
        .extend(siblings.into_iter().map(|sibling| (sibling.number, sibling)));
    if Some(&pull.base) == cx.knobs(|knobs| knobs.default_branch.clone()).as_ref() {
        close_issues(cx, model, pull, &base, &sha).await;
    }
    life::delete_merged_head(cx.double, cx.repo, model, pull).await?;
    life::refs_moved(cx.double, cx.repo, model).await?;
    if pull.base == "staging" {
        life::deploy_begins(cx.double, cx.repo, model, &sha).await?;
    }
    cx.double.changed(cx.repo);
    Ok(Some(sha))
}

/// What came to the default branch closes the issues that its words name: those of the pull request and of its commits.
async fn close_issues(cx: &Cx<'_>, model: &mut Model, pull: &Pull, before: &str, after: &str) {
    let commits = cx.repo.bare.log(before, after).await.unwrap_or_default();
    let words: Vec<&str> = commits
        .iter()
        .map(|(_, _, message)| message.as_str())
        .chain([pull.body.as_str()])
        .collect();
    for number in super::graphql::closes(&cx.name, &words.join("\n")) {
        if let Some(issue) = model.issues.get_mut(&number) {
            issue.open = false;
        }
    }
}
