//! Pull requests: lists, edits, opening, reviewers.

use serde_json::{Value, json};

use super::Cx;
use super::answer::{Answer, invalid, not_found, ok, paged, query, refuse, with};
use crate::sandbox::github::knobs::{Dismissal, Knobs};
use crate::sandbox::github::model::{Model, Pull, Review, user};
use crate::sandbox::github::{BOT, life, rest::merge};

/// GitHub takes no longer body.
const LONGEST_BODY: usize = 65_536;

pub async fn list(cx: &Cx<'_>, model: &mut Model) -> Answer {
    let state = query(cx.uri, "state").unwrap_or_else(|| "open".to_owned());
    let base = query(cx.uri, "base");
    // Only `owner:branch` filters; a bare branch is ignored.
    let head = query(cx.uri, "head").and_then(|head| head.split_once(':').map(|(_, branch)| branch.to_owned()));
    let mut rows = Vec::new();
    for pull in model.pulls.values_mut() {
        let wanted = (state == "all" || pull.open == (state == "open"))
            && base.as_ref().is_none_or(|base| pull.base == *base)
            && head.as_ref().is_none_or(|head| pull.head == *head);
        if wanted && !Knobs::spend(&mut pull.hidden) {
            rows.push(pull.json(&cx.web, &cx.name, &base_sha(cx, pull).await, None));
        }
    }
    // The newest first, unless asked otherwise: pages shift when something is opened or closed meanwhile.
    if query(cx.uri, "direction").as_deref() != Some("asc") {
        rows.reverse();
    }
    paged(rows)
}

/// The base's tip; of a gone one, nothing.
async fn base_sha(cx: &Cx<'_>, pull: &Pull) -> String {
    cx.repo.bare.tip(&pull.base).await.unwrap_or_else(|| "0".repeat(40))
}

pub async fn show(cx: &Cx<'_>, model: &mut Model, number: u64) -> Answer {
    let Some(pull) = model.pulls.get_mut(&number) else {
        return not_found();
    };
    let mut base = base_sha(cx, pull).await;
    let mergeable = if !pull.open {
        None
    } else if let Some((old_base, old_answer)) = pull.stale.take() {
        base = old_base;
        Some(old_answer)
    } else if Knobs::spend(&mut pull.null_reads) {
        None
    } else {
        Some(cx.repo.bare.mergeable(&pull.base, &pull.head_sha).await)
    };
    let mut shown = pull.json(&cx.web, &cx.name, &base, Some(mergeable));
    let pull = pull.clone();
    if mergeable == Some(true) && !pull.draft && merge::rule_violation(cx, model, &pull, None).is_some() {
        shown["mergeable_state"] = "blocked".into();
    }
    ok(shown)
}

/// GitHub has to find out anew whether it can be merged: the next GETs don't know, or know what was.
pub async fn forget_mergeability(cx: &Cx<'_>, pull: &mut Pull, old_base: &str) {
    let (null_reads, stale) = cx.knobs(|knobs| (knobs.null_reads, knobs.stale_once));
    pull.null_reads = null_reads;
    if stale {
        let mergeable = cx.repo.bare.mergeable(old_base, &pull.head_sha).await;
        pull.stale = Some((old_base.to_owned(), mergeable));
    }
}

pub fn reviews(model: &Model, number: u64) -> Answer {
    match model.pulls.get(&number) {
        Some(pull) => paged(pull.reviews.iter().map(Review::json).collect()),
        None => not_found(),
    }
}

pub async fn commits(cx: &Cx<'_>, model: &Model, number: u64) -> Answer {
    match model.pulls.get(&number) {
        Some(pull) => match log(cx, &pull.base, &pull.head_sha).await {
            Some(rows) => paged(rows),
            None => not_found(),
        },
        None => not_found(),
    }
}

/// Commits of `head` that `base` lacks, as GitHub shows them.
pub async fn log(cx: &Cx<'_>, base: &str, head: &str) -> Option<Vec<Value>> {
    let log = cx.repo.bare.log(base, head).await.ok()?;
    let row = |(sha, author, message): (String, String, String)| json!({ "sha": sha, "commit": { "message": message, "author": { "name": author } }, "author": { "login": author } });
    Some(log.into_iter().map(row).collect())
}

/// The pull requests that a commit came with; for a new merge commit only after a while.
pub async fn of_commit(cx: &Cx<'_>, model: &mut Model, sha: &str) -> Answer {
    if model.hidden_merges.get_mut(sha).is_some_and(Knobs::spend) {
        return paged(Vec::new());
    }
    let mut rows = Vec::new();
    for pull in model.pulls.values() {
        let merged_as = pull.merged.as_ref().is_some_and(|(merge, _)| merge == sha);
        if merged_as || pull.head_sha == sha {
            rows.push(pull.json(&cx.web, &cx.name, &base_sha(cx, pull).await, None));
        }
    }
    paged(rows)
}

pub async fn edit(cx: &Cx<'_>, model: &mut Model, number: u64) -> Answer {
    let Some(pull) = model.pulls.get(&number).cloned() else {
        return not_found();
    };
    let new_base = cx.body["base"].as_str();
    if let Some(base) = new_base
        && let Some(refusal) = refuses_base(cx, model, &pull, base).await
    {
        return refusal;
    }
    let body = cx.body["body"].as_str();
    if body.is_some_and(|text| text.chars().count() > LONGEST_BODY) {
        return too_long();
    }
    let state = cx.body["state"].as_str();
    if state == Some("open")
        && !pull.open
        && let Some(refusal) = refuses_to_reopen(cx, &pull).await
    {
        return refusal;
    }
    if let Some(base) = new_base {
        retarget(cx, model, &pull, base).await;
        model.note(format!("PATCH pulls/{number} base={base}"));
    }
    if let Some(pull) = model.pulls.get_mut(&number) {
        if let Some(text) = body {
            text.clone_into(&mut pull.body);
        }
        if let Some(title) = cx.body["title"].as_str() {
            title.clone_into(&mut pull.title);
        }
        if let Some(state) = state {
            pull.open = state == "open";
        }
    }
    if body.is_some() {
        model.note(format!("PATCH pulls/{number} body"));
    }
    if let Some(state) = state {
        model.note(format!("PATCH pulls/{number} state={state}"));
        let event = if state == "open" { "reopened" } else { "closed" };
        model.tell(number, event, json!({ "actor": user(BOT) }));
    }
    foreign_commit(cx, model, number).await;
    if new_base.is_some() && pull.auto_merge && cx.knobs(|knobs| knobs.auto_merge_fires) {
        merge::fires(cx, model, number).await;
    }
    cx.double.changed(cx.repo);
    match model.pulls.get(&number) {
        Some(pull) => ok(pull.json(&cx.web, &cx.name, &base_sha(cx, pull).await, Some(None))),
        None => not_found(),
    }
}

fn too_long() -> Answer {
    invalid(
        "PullRequest",
        "body",
        "custom",
        "body is too long (maximum is 65536 characters)",
    )
}

async fn refuses_base(cx: &Cx<'_>, model: &Model, pull: &Pull, base: &str) -> Option<Answer> {
    let refuse = |message: &str| Some(invalid("PullRequest", "base", "invalid", message));
    if !pull.open {
        return refuse("Cannot change the base branch of a closed pull request.");
    }
    if pull.queued {
        return refuse("Cannot change the base branch of a pull request that is in a merge queue.");
    }
    let Some(tip) = cx.repo.bare.tip(base).await else {
        return refuse("");
    };
    if pull.base == base {
        return None;
    }
    let mut others = model
        .pulls
        .values()
        .filter(|other| other.open && other.number != pull.number);
    if others.any(|other| other.head == pull.head && other.base == base) {
        return refuse(&format!(
            "A pull request already exists for base branch '{base}' and head branch '{}'",
            pull.head
        ));
    }
    if cx.repo.bare.contains(&tip, &pull.head_sha).await {
        return refuse(&format!(
            "There are no new commits between base branch '{base}' and head branch '{}'",
            pull.head
        ));
    }
    None
}

/// A pull request can be opened again only while its branches are what they were.
async fn refuses_to_reopen(cx: &Cx<'_>, pull: &Pull) -> Option<Answer> {
    let refuse = |message: String| Some(invalid("PullRequest", "state", "custom", &message));
    if pull.merged.is_some() {
        return refuse("state cannot be changed. The pull request cannot be reopened.".to_owned());
    }
    if cx.repo.bare.tip(&pull.base).await.is_none() {
        return refuse(format!(
            "state cannot be changed. The {} branch has been deleted.",
            pull.base
        ));
    }
    match cx.repo.bare.tip(&pull.head).await {
        None => refuse(format!(
            "state cannot be changed. The {} branch has been deleted.",
            pull.head
        )),
        Some(tip) if tip != pull.head_sha => refuse(format!(
            "state cannot be changed. The {} branch was force-pushed or recreated.",
            pull.head
        )),
        Some(_) => None,
    }
}

async fn retarget(cx: &Cx<'_>, model: &mut Model, old: &Pull, base: &str) {
    if old.base == base {
        return;
    }
    let old_tip = base_sha(cx, old).await;
    let dismissal = cx.knobs(|knobs| knobs.dismissal);
    let mut pull = old.clone();
    base.clone_into(&mut pull.base);
    forget_mergeability(cx, &mut pull, &old_tip).await;
    let details = json!({ "actor": user(BOT), "previous_base": old.base, "base": base });
    model.tell(pull.number, "base_ref_changed", details);
    if dismissal != Dismissal::None {
        dismiss(model, &mut pull, dismissal);
    }
    model.pulls.insert(pull.number, pull);
}

fn dismiss(model: &mut Model, pull: &mut Pull, how: Dismissal) {
    let approvals: Vec<Review> = pull
        .reviews
        .iter()
        .filter(|review| review.state == "APPROVED")
        .cloned()
        .collect();
    for approval in approvals {
        let dismissed = json!({ "review_id": approval.id, "state": "approved", "dismissal_message": "The base branch was changed." });
        model.tell(
            pull.number,
            "review_dismissed",
            json!({ "dismissed_review": dismissed }),
        );
        match how {
            Dismissal::None => {}
            Dismissal::InPlace => {
                for review in pull.reviews.iter_mut().filter(|review| review.id == approval.id) {
                    review.state = "DISMISSED";
                }
            }
            Dismissal::Appended => {
                let id = model.tick();
                pull.reviews.push(Review {
                    id,
                    state: "DISMISSED",
                    ..approval
                });
            }
        }
    }
}

/// Somebody pushes to the deploy branch once the train is on it.
async fn foreign_commit(cx: &Cx<'_>, model: &mut Model, number: u64) {
    let branch = model
        .pulls
        .get(&number)
        .map(|pull| pull.base.clone())
        .unwrap_or_default();
    if !branch.starts_with("deploy-") || !cx.knobs(|knobs| std::mem::take(&mut knobs.foreign_commit)) {
        return;
    }
    let files = [("src/hotfix.js", "export const hotfix = true;\n")];
    if let Err(error) = life::somebody_pushes(cx.repo, model, &branch, "eve", files, "Just a quick fix").await {
        tracing::error!(error, "the sandbox's stranger could not push");
    }
}

pub async fn open(cx: &Cx<'_>, model: &mut Model) -> Answer {
    let text = |name: &str| cx.body[name].as_str().unwrap_or_default().to_owned();
    let (head, base, body) = (text("head"), text("base"), text("body"));
    let Some(head_sha) = cx.repo.bare.tip(&head).await else {
        return invalid("PullRequest", "head", "invalid", "");
    };
    if cx.repo.bare.tip(&base).await.is_none() {
        return invalid("PullRequest", "base", "invalid", "");
    }
    if body.chars().count() > LONGEST_BODY {
        return too_long();
    }
    let custom = |message: String| invalid("PullRequest", "head", "custom", &message);
    let mut pulls = model.pulls.values();
    if pulls.any(|pull| pull.open && pull.head == head && pull.base == base) {
        return custom(format!("A pull request already exists for {}:{head}.", cx.owner()));
    }
    if cx.repo.bare.contains(&base, &head_sha).await {
        return custom(format!("No commits between {base} and {head}"));
    }
    let number = model.next_number();
    let (null_reads, hidden, unresolved) = cx.knobs(|knobs| (knobs.null_reads, knobs.lag_reads, knobs.node_lag));
    let pull = Pull {
        number,
        title: text("title"),
        body,
        author: BOT.to_owned(),
        head: head.clone(),
        head_sha: head_sha.clone(),
        base: base.clone(),
        draft: cx.body["draft"].as_bool().unwrap_or(false),
        open: true,
        null_reads,
        hidden,
        unresolved,
        ..Pull::default()
    };
    let _ = cx
        .repo
        .bare
        .set_ref(&format!("refs/pull/{number}/head"), &head_sha)
        .await;
    let shown = pull.json(&cx.web, &cx.name, &base_sha(cx, &pull).await, Some(None));
    model.pulls.insert(number, pull);
    model.note(format!("POST pulls {head} -> {base}"));
    if head.starts_with("deploy-") {
        life::checks_begin(cx.double, cx.repo, model, &base, &head_sha).await;
    }
    cx.double.changed(cx.repo);
    with(201, shown)
}

pub fn requested(model: &Model, number: u64) -> Answer {
    match model.pulls.get(&number) {
        Some(pull) => {
            let users: Vec<Value> = pull.requested.iter().map(|login| user(login)).collect();
            ok(json!({ "users": users, "teams": [] }))
        }
        None => not_found(),
    }
}

fn logins(body: &Value) -> Vec<String> {
    let given = body["reviewers"].as_array().into_iter().flatten();
    given.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// All are asked, or none.
pub fn ask(cx: &Cx<'_>, model: &mut Model, number: u64) -> Answer {
    let logins = logins(cx.body);
    let Some(pull) = model.pulls.get_mut(&number) else {
        return not_found();
    };
    if Knobs::spend(&mut pull.unresolved) {
        return refuse(
            422,
            &format!("Could not resolve to a node with the global id of 'PR_{number}'"),
        );
    }
    if logins.contains(&pull.author) {
        return refuse(422, "Review cannot be requested from pull request author.");
    }
    let teams = cx.body["team_reviewers"]
        .as_array()
        .is_some_and(|teams| !teams.is_empty());
    let not_asked = cx.knobs(|knobs| knobs.not_asked.clone());
    let known = |login: &String| {
        matches!(login.as_str(), "ana" | "ben" | "chloe" | "dan" | "eve") && !not_asked.contains(login)
    };
    if teams || !logins.iter().all(known) {
        let message = format!(
            "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the {} repository.",
            cx.name
        );
        return refuse(422, &message);
    }
    for login in &logins {
        if !pull.requested.contains(login) {
            pull.requested.push(login.clone());
        }
    }
    model.note(format!("POST pulls/{number}/requested_reviewers {}", logins.join(",")));
    for login in &logins {
        life::reviewer_asked(cx.double, cx.repo, model, number, login);
    }
    cx.double.changed(cx.repo);
    with(201, json!({ "number": number }))
}

pub fn unask(cx: &Cx<'_>, model: &mut Model, number: u64) -> Answer {
    if cx.body["reviewers"].is_null() {
        return refuse(422, "Invalid request.\n\n\"reviewers\" wasn't supplied.");
    }
    let logins = logins(cx.body);
    let Some(pull) = model.pulls.get_mut(&number) else {
        return not_found();
    };
    pull.requested.retain(|login| !logins.contains(login));
    model.note(format!(
        "DELETE pulls/{number}/requested_reviewers {}",
        logins.join(",")
    ));
    cx.double.changed(cx.repo);
    ok(json!({ "number": number }))
}
