//! GitHub's REST and GraphQL, as far as release trains use them, with its status codes and error texts.

use std::sync::{Arc, Weak};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::model::{Model, Pull, issue_json};
use super::scenario::Scenario;
use super::{BOT, GitHubDouble, Inner, Repo, TOKEN, doctor, git_http, life};
use crate::github::MergeMethod;
use crate::sandbox::faults::When;
use crate::sandbox::locked;

/// A push of a repository's size.
const BODY: usize = 64 * 1024 * 1024;

pub fn router(double: Weak<Inner>) -> Router {
    Router::new().fallback(entry).with_state(double)
}

async fn entry(State(inner): State<Weak<Inner>>, request: Request) -> Response {
    let Some(inner) = inner.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let double = GitHubDouble(inner);
    let (parts, body) = request.into_parts();
    let body = match axum::body::to_bytes(body, BODY).await {
        Ok(body) => body,
        Err(error) => return (StatusCode::PAYLOAD_TOO_LARGE, error.to_string()).into_response(),
    };
    let line = format!("{} {}", parts.method, parts.uri.path());
    if let Some(fault) = double.0.faults.strike(&line, When::Before).await {
        return fault;
    }
    let changes = parts.method != Method::GET
        && !parts.uri.path().ends_with("graphql")
        && !parts.uri.path().ends_with("git-upload-pack");
    if changes {
        double.0.faults.tell(&line, When::Before);
    }
    let answer = route(&double, &parts.method, &parts.uri, &parts.headers, body).await;
    if changes {
        double.0.faults.tell(&line, When::After);
        if answer.status().is_success() && double.scenario() == Scenario::LostReplies && lost(&double, &line) {
            return (StatusCode::BAD_GATEWAY, Json(json!({ "message": "Server Error" }))).into_response();
        }
    }
    match double.0.faults.strike(&line, When::After).await {
        Some(fault) => fault,
        None => answer,
    }
}

/// Whether this is the first write of its kind.
fn lost(double: &GitHubDouble, line: &str) -> bool {
    let kind: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
    double.first_time(&format!("lost {kind}"))
}

async fn route(double: &GitHubDouble, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Response {
    let path = percent_encoding::percent_decode_str(uri.path())
        .decode_utf8_lossy()
        .into_owned();
    if let Some(git) = git_repo(&path) {
        return push_or_pull(double, &git, method, uri, headers, body).await;
    }
    let Some(rest) = path.strip_prefix("/api/v3").or_else(|| path.strip_prefix("/api")) else {
        return (
            StatusCode::NOT_FOUND,
            "This is the sandbox's GitHub; its pages are on the sandbox's own page.",
        )
            .into_response();
    };
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if bearer != Some(&format!("Bearer {TOKEN}")) {
        return refuse(401, "Bad credentials").respond(headers, uri);
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let segments: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    *locked(&double.0.calls)
        .entry(format!("{method} {}", generic(&segments)))
        .or_default() += 1;
    if double.scenario() == Scenario::RateLimited {
        let calls: u64 = locked(&double.0.calls).values().sum();
        if calls == 12 || calls == 30 {
            let mut answer = refuse(
                403,
                "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            );
            answer.retry_after = Some(1);
            return answer.respond(headers, uri);
        }
    }
    let answer = match segments.as_slice() {
        ["graphql"] => graphql(double, &body).await,
        ["repos", owner, name, rest @ ..] => match double.repo(&format!("{owner}/{name}")) {
            Ok(repo) => call(double, &repo, method.as_str(), rest, uri, &body).await,
            Err(_) => not_found(),
        },
        ["rate_limit"] => ok(doctor::rate_limit()),
        _ => not_found(),
    };
    answer.respond(headers, uri)
}

/// `acme/web` of `/acme/web.git/info/refs`.
fn git_repo(path: &str) -> Option<String> {
    let (repo, _) = path.trim_start_matches('/').split_once(".git/")?;
    Some(repo.to_owned())
}

async fn push_or_pull(
    double: &GitHubDouble,
    name: &str,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(repo) = double.repo(name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !uri.path().ends_with("git-receive-pack") || method != Method::POST {
        return git_http::serve(double, method.as_str(), uri, headers, body).await;
    }
    let mut model = repo.model.lock().await;
    let before = repo.bare.branches().await.unwrap_or_default();
    let response = git_http::serve(double, method.as_str(), uri, headers, body).await;
    let after = repo.bare.branches().await.unwrap_or_default();
    for (branch, tip) in &after {
        if before.iter().all(|(name, old)| name != branch || old != tip) {
            let short: String = tip.chars().take(7).collect();
            model.note(format!("git push {branch} {short}"));
        }
    }
    for (branch, _) in &before {
        if after.iter().all(|(name, _)| name != branch) {
            model.note(format!("git push --delete {branch}"));
        }
    }
    if let Err(error) = life::refs_moved(double, &repo, &mut model).await {
        tracing::error!(error, "the sandbox's GitHub could not follow a push");
    }
    drop(model);
    double.changed(&repo);
    response
}

/// An answer before it is HTTP.
struct Answer {
    status: u16,
    body: Value,
    /// A list that is paged.
    pages: bool,
    retry_after: Option<u64>,
}

fn ok(body: Value) -> Answer {
    with(200, body)
}

fn with(status: u16, body: Value) -> Answer {
    Answer {
        status,
        body,
        pages: false,
        retry_after: None,
    }
}

fn paged(rows: Vec<Value>) -> Answer {
    Answer {
        pages: true,
        ..ok(Value::Array(rows))
    }
}

fn refuse(status: u16, message: &str) -> Answer {
    with(
        status,
        json!({ "message": message, "documentation_url": "https://docs.github.com/rest" }),
    )
}

fn not_found() -> Answer {
    refuse(404, "Not Found")
}

fn invalid(field: &str, code: &str, message: &str) -> Answer {
    let error = json!({ "resource": "PullRequest", "field": field, "code": code, "message": message });
    with(
        422,
        json!({ "message": "Validation Failed", "errors": [error], "documentation_url": "https://docs.github.com/rest/pulls" }),
    )
}

impl Answer {
    fn respond(mut self, headers: &HeaderMap, uri: &Uri) -> Response {
        let mut link = None;
        if self.pages
            && let Value::Array(rows) = &mut self.body
        {
            let number =
                |name: &str, default: usize| query(uri, name).and_then(|text| text.parse().ok()).unwrap_or(default);
            let (per_page, page) = (number("per_page", 30).clamp(1, 100), number("page", 1).max(1));
            let all = rows.len();
            let rows: Vec<Value> = rows.drain(..).skip((page - 1) * per_page).take(per_page).collect();
            if page * per_page < all {
                let others: Vec<&str> = uri
                    .query()
                    .unwrap_or_default()
                    .split('&')
                    .filter(|pair| !pair.starts_with("page="))
                    .collect();
                let host = headers
                    .get(header::HOST)
                    .and_then(|host| host.to_str().ok())
                    .unwrap_or("127.0.0.1");
                link = Some(format!(
                    "<http://{host}{}?{}&page={}>; rel=\"next\"",
                    uri.path(),
                    others.join("&"),
                    page + 1
                ));
            }
            self.body = Value::Array(rows);
        }
        let text = self.body.to_string();
        let etag = format!("\"{}\"", &hex::encode(Sha256::digest(&text))[..32]);
        let same = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()) == Some(&etag);
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = match (self.status, same) {
            (200, true) => StatusCode::NOT_MODIFIED.into_response(),
            (204, _) => StatusCode::NO_CONTENT.into_response(),
            _ => (
                status,
                [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
                Body::from(text),
            )
                .into_response(),
        };
        let mut put = |name: header::HeaderName, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        };
        put(header::ETAG, etag);
        put(
            header::HeaderName::from_static("x-github-request-id"),
            format!("SBX:{:06X}", fastrand::u32(..0xff_ffff)),
        );
        put(
            header::HeaderName::from_static("x-ratelimit-remaining"),
            "4900".to_owned(),
        );
        if let Some(link) = link {
            put(header::LINK, link);
        }
        if let Some(seconds) = self.retry_after {
            put(header::RETRY_AFTER, seconds.to_string());
        }
        response
    }
}

fn query(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let value = pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)?
        .1;
    Some(
        percent_encoding::percent_decode_str(value)
            .decode_utf8_lossy()
            .into_owned(),
    )
}

/// A route without its numbers and names, to count by.
fn generic(segments: &[&str]) -> String {
    let plain = |segment: &&str| match segment.bytes().all(|byte| byte.is_ascii_digit()) || segment.len() == 40 {
        true => "{}".to_owned(),
        false => (*segment).to_owned(),
    };
    segments.iter().skip(3).map(plain).collect::<Vec<_>>().join("/")
}

async fn call(double: &GitHubDouble, repo: &Arc<Repo>, method: &str, path: &[&str], uri: &Uri, body: &Value) -> Answer {
    let web = double.web();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    let mut model = repo.model.lock().await;
    match (method, path) {
        ("GET", []) => ok(json!({
            "full_name": repo.name, "default_branch": "main", "html_url": format!("{web}/{}", repo.name), "permissions": { "push": true },
            "delete_branch_on_merge": false, "allow_merge_commit": true, "allow_squash_merge": true, "allow_rebase_merge": true,
        })),
        ("GET", ["pulls"]) => list_pulls(double, repo, &model, uri).await,
        ("POST", ["pulls"]) => open_pull(double, repo, &mut model, body).await,
        ("GET", ["pulls", n]) => show_pull(double, repo, &mut model, number(n)).await,
        ("PATCH", ["pulls", n]) => edit_pull(double, repo, &mut model, number(n), body).await,
        ("PUT", ["pulls", n, "merge"]) => merge(double, repo, &mut model, number(n), body).await,
        ("GET", ["pulls", n, "reviews"]) => match model.pulls.get(&number(n)) {
            Some(pull) => paged(pull.reviews.iter().map(super::model::Review::json).collect()),
            None => not_found(),
        },
        ("GET", ["pulls", n, "commits"]) => match model.pulls.get(&number(n)) {
            Some(pull) => commits(repo, &pull.base, &pull.head_sha).await,
            None => not_found(),
        },
        ("POST", ["pulls", n, "requested_reviewers"]) => ask(double, repo, &mut model, number(n), body),
        ("GET", ["collaborators", user, "permission"]) => {
            let permission = match *user {
                "ana" | "ben" | "chloe" | "dan" => "write",
                "eve" => "read",
                _ => "none",
            };
            ok(json!({ "permission": permission }))
        }
        ("GET", ["git", "ref", "heads", branch @ ..]) => match repo.bare.tip(&branch.join("/")).await {
            Some(sha) => ok(
                json!({ "ref": format!("refs/heads/{}", branch.join("/")), "object": { "type": "commit", "sha": sha } }),
            ),
            None => not_found(),
        },
        ("GET", ["git", "ref", "tags", tag @ ..]) => {
            match repo.bare.resolve(&format!("refs/tags/{}", tag.join("/"))).await {
                Some(sha) => {
                    let kind = repo.bare.git(&["cat-file", "-t", &sha]).await.unwrap_or_default();
                    ok(json!({ "ref": format!("refs/tags/{}", tag.join("/")), "object": { "type": kind, "sha": sha } }))
                }
                None => not_found(),
            }
        }
        ("GET", ["git", "tags", sha]) => match repo.bare.resolve(&format!("{sha}^{{commit}}")).await {
            Some(commit) => ok(json!({ "object": { "type": "commit", "sha": commit } })),
            None => not_found(),
        },
        ("DELETE", ["git", "refs", "heads", branch @ ..]) => {
            delete_branch(double, repo, &mut model, &branch.join("/")).await
        }
        ("GET", ["compare", range]) => match range.split_once("...") {
            Some((base, head)) => {
                let rows = commits(repo, base, head).await.body;
                let status = if rows.as_array().is_some_and(Vec::is_empty) {
                    "identical"
                } else {
                    "ahead"
                };
                ok(json!({ "status": status, "commits": rows }))
            }
            None => not_found(),
        },
        ("GET", ["branches", branch @ ..]) => match repo.bare.tip(&branch.join("/")).await {
            Some(sha) => ok(json!({ "name": branch.join("/"), "commit": { "sha": sha }, "protected": false })),
            None => not_found(),
        },
        ("GET", ["rules", "branches", ..]) => paged(Vec::new()),
        ("GET", ["issues", n]) => match model.issues.get(&number(n)) {
            Some(issue) => ok(issue_json(&web, &repo.name, number(n), issue)),
            None => not_found(),
        },
        ("PATCH", ["issues", n]) => {
            let n = number(n);
            let state = body["state"].as_str().unwrap_or_default().to_owned();
            model.note(format!("PATCH issues/{n} state={state}"));
            let answer = match model.issues.get_mut(&n) {
                Some(issue) => {
                    issue.open = state == "open";
                    ok(issue_json(&web, &repo.name, n, issue))
                }
                None => not_found(),
            };
            double.changed(repo);
            answer
        }
        ("GET", ["issues", n, "comments"]) => {
            let comments = model.comments.get(&number(n)).into_iter().flatten();
            paged(comments.map(|body| json!({ "body": body })).collect())
        }
        ("POST", ["issues", n, "comments"]) => {
            let n = number(n);
            model.note(format!("POST issues/{n}/comments"));
            let text = body["body"].as_str().unwrap_or_default().to_owned();
            model.comments.entry(n).or_default().push(text);
            double.changed(repo);
            with(
                201,
                json!({ "html_url": format!("{web}/{}/issues/{n}#issuecomment", repo.name) }),
            )
        }
        ("GET", ["commits", sha, "check-runs"]) => {
            let rows: Vec<Value> = model
                .checks
                .get(*sha)
                .into_iter()
                .flatten()
                .map(|check| check.json(&web, &repo.name))
                .collect();
            ok(json!({ "total_count": rows.len(), "check_runs": rows }))
        }
        ("GET", ["commits", _, "status"]) => ok(json!({ "state": "pending", "total_count": 0, "statuses": [] })),
        ("GET", ["actions", "workflows", workflow, "runs"]) => {
            let sha = query(uri, "head_sha").unwrap_or_default();
            for run in model.runs.iter_mut().filter(|run| run.sha == sha) {
                run.late = run.late.saturating_sub(1);
            }
            runs(&model, &web, &repo.name, &sha, Some(workflow))
        }
        ("GET", ["actions", "runs"]) => runs(
            &model,
            &web,
            &repo.name,
            &query(uri, "head_sha").unwrap_or_default(),
            None,
        ),
        ("GET", ["actions", "runs", id]) => match model.runs.iter().find(|run| run.id == number(id)) {
            Some(run) => ok(run.json(&web, &repo.name)),
            None => not_found(),
        },
        ("GET", ["actions", "runs", id, "jobs"]) => match model.runs.iter().find(|run| run.id == number(id)) {
            Some(run) => ok(json!({ "total_count": run.jobs.len(), "jobs": run.jobs_json(&web, &repo.name) })),
            None => not_found(),
        },
        ("GET", ["releases"]) => paged(
            model
                .releases
                .iter()
                .rev()
                .map(|release| release.json(&web, &repo.name))
                .collect(),
        ),
        ("GET", ["releases", "tags", tag]) => match model
            .releases
            .iter()
            .find(|release| release.tag == *tag && !release.draft)
        {
            Some(release) => ok(release.json(&web, &repo.name)),
            None => not_found(),
        },
        ("GET", ["releases", id]) => match model.releases.iter().find(|release| release.id == number(id)) {
            Some(release) => ok(release.json(&web, &repo.name)),
            None => not_found(),
        },
        ("PATCH", ["releases", id]) => {
            let Some(text) = body["body"].as_str().filter(|text| text.chars().count() <= 125_000) else {
                return refuse(422, "Validation Failed");
            };
            let found = model.releases.iter_mut().find(|release| release.id == number(id));
            let Some(release) = found else { return not_found() };
            text.clone_into(&mut release.body);
            let (tag, answer) = (release.tag.clone(), ok(release.json(&web, &repo.name)));
            model.note(format!("PATCH releases/{tag} body"));
            double.changed(repo);
            answer
        }
        ("GET", path) => match doctor::look(&repo.bare, path, query(uri, "ref")).await {
            Some(found) => ok(found),
            None => not_found(),
        },
        _ => not_found(),
    }
}

fn runs(model: &Model, web: &str, repo: &str, sha: &str, workflow: Option<&str>) -> Answer {
    // GitHub drops an empty filter silently and answers with everybody's runs.
    let wanted = |run: &&super::model::Run| {
        (sha.is_empty() || run.sha == sha) && workflow.is_none_or(|workflow| run.workflow == workflow) && run.late == 0
    };
    let rows: Vec<Value> = model
        .runs
        .iter()
        .rev()
        .filter(wanted)
        .map(|run| run.json(web, repo))
        .collect();
    ok(json!({ "total_count": rows.len(), "workflow_runs": rows }))
}

async fn commits(repo: &Repo, base: &str, head: &str) -> Answer {
    match repo.bare.log(base, head).await {
        Ok(log) => paged(
            log.into_iter()
                .map(|(sha, author, message)| {
                    json!({ "sha": sha, "commit": { "message": message, "author": { "name": author } }, "author": { "login": author } })
                })
                .collect(),
        ),
        Err(_) => not_found(),
    }
}

async fn list_pulls(double: &GitHubDouble, repo: &Repo, model: &Model, uri: &Uri) -> Answer {
    let state = query(uri, "state").unwrap_or_else(|| "open".to_owned());
    let base = query(uri, "base");
    // Only `owner:branch` filters; a bare branch is ignored.
    let head = query(uri, "head").and_then(|head| head.split_once(':').map(|(_, branch)| branch.to_owned()));
    let mut rows = Vec::new();
    for pull in model.pulls.values() {
        let wanted = (state == "all" || pull.open == (state == "open"))
            && base.as_ref().is_none_or(|base| pull.base == *base)
            && head.as_ref().is_none_or(|head| pull.head == *head);
        if wanted {
            rows.push(pull.json(&double.web(), &repo.name, &base_sha(repo, pull).await, None));
        }
    }
    paged(rows)
}

async fn base_sha(repo: &Repo, pull: &Pull) -> String {
    repo.bare.tip(&pull.base).await.unwrap_or_else(|| "0".repeat(40))
}

async fn show_pull(double: &GitHubDouble, repo: &Repo, model: &mut Model, number: u64) -> Answer {
    let Some(pull) = model.pulls.get_mut(&number) else {
        return not_found();
    };
    let mergeable = match (pull.open, pull.null_reads) {
        (false, _) => None,
        (true, 0) => Some(repo.bare.mergeable(&pull.base, &pull.head_sha).await),
        (true, _) => {
            pull.null_reads -= 1;
            None
        }
    };
    let base = base_sha(repo, pull).await;
    ok(pull.json(&double.web(), &repo.name, &base, Some(mergeable)))
}

/// So many GETs don't know mergeability after a change.
fn null_reads(double: &GitHubDouble) -> u32 {
    if double.scenario() == Scenario::MergeableNull {
        3
    } else {
        0
    }
}

async fn edit_pull(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model, number: u64, body: &Value) -> Answer {
    let Some(pull) = model.pulls.get_mut(&number) else {
        return not_found();
    };
    let mut notes = Vec::new();
    if let Some(base) = body["base"].as_str() {
        if !pull.open {
            return invalid(
                "base",
                "invalid",
                "Cannot change the base branch of a closed pull request.",
            );
        }
        if repo.bare.tip(base).await.is_none() {
            return invalid("base", "invalid", "");
        }
        if pull.base != base {
            base.clone_into(&mut pull.base);
            pull.null_reads = null_reads(double);
            if double.scenario() == Scenario::Dismissals && base.starts_with("deploy-") {
                for review in pull.reviews.iter_mut().filter(|review| review.state == "APPROVED") {
                    review.state = "DISMISSED";
                }
            }
        }
        notes.push(format!("PATCH pulls/{number} base={base}"));
    }
    if let Some(text) = body["body"].as_str() {
        if text.chars().count() > 65_536 {
            return invalid("body", "custom", "body is too long (maximum is 65536 characters)");
        }
        text.clone_into(&mut pull.body);
        notes.push(format!("PATCH pulls/{number} body"));
    }
    if let Some(state) = body["state"].as_str() {
        pull.open = state == "open";
        notes.push(format!("PATCH pulls/{number} state={state}"));
    }
    let pull = pull.clone();
    for note in notes {
        model.note(note);
    }
    foreign_commit(double, repo, model, &pull.base).await;
    double.changed(repo);
    let base = base_sha(repo, &pull).await;
    ok(pull.json(&double.web(), &repo.name, &base, Some(None)))
}

/// Somebody pushes to the deploy branch once the train is on it.
async fn foreign_commit(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model, branch: &str) {
    if double.scenario() != Scenario::ForeignCommit
        || !branch.starts_with("deploy-")
        || !double.first_time("foreign commit")
    {
        return;
    }
    if let Some(tip) = repo.bare.tip(branch).await {
        let files = [("src/hotfix.js", Some("export const hotfix = true;\n"))];
        let dated = model.tick();
        if let Ok(sha) = repo
            .bare
            .commit(Some(&tip), &files, "Just a quick fix", "eve", dated)
            .await
        {
            let _ = repo.bare.set_ref(&format!("refs/heads/{branch}"), &sha).await;
        }
    }
}

async fn open_pull(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model, body: &Value) -> Answer {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (head, base) = (text("head"), text("base"));
    let (Some(head_sha), Some(_)) = (repo.bare.tip(&head).await, repo.bare.tip(&base).await) else {
        return invalid("head", "invalid", "");
    };
    if model
        .pulls
        .values()
        .any(|pull| pull.open && pull.head == head && pull.base == base)
    {
        let owner = repo.name.split('/').next().unwrap_or_default();
        return invalid(
            "head",
            "custom",
            &format!("A pull request already exists for {owner}:{head}."),
        );
    }
    if repo.bare.contains(&base, &head_sha).await {
        return invalid("head", "custom", &format!("No commits between {base} and {head}"));
    }
    let number = model
        .pulls
        .keys()
        .chain(model.issues.keys())
        .max()
        .copied()
        .unwrap_or(0)
        + 1;
    let pull = Pull {
        number,
        title: text("title"),
        body: text("body"),
        author: BOT.to_owned(),
        head: head.clone(),
        head_sha: head_sha.clone(),
        base: base.clone(),
        open: true,
        null_reads: null_reads(double),
        ..Pull::default()
    };
    let _ = repo.bare.set_ref(&format!("refs/pull/{number}/head"), &head_sha).await;
    let shown = pull.json(&double.web(), &repo.name, &base_sha(repo, &pull).await, Some(None));
    model.pulls.insert(number, pull);
    model.note(format!("POST pulls {head} -> {base}"));
    if head.starts_with("deploy-") {
        life::checks_begin(double, repo, model, &head_sha);
    }
    double.changed(repo);
    with(201, shown)
}

fn ask(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model, number: u64, body: &Value) -> Answer {
    let logins: Vec<String> = body["reviewers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|login| login.as_str().map(str::to_owned))
        .collect();
    let Some(pull) = model.pulls.get_mut(&number) else {
        return not_found();
    };
    if logins.contains(&pull.author) {
        return refuse(422, "Review cannot be requested from pull request author.");
    }
    if logins
        .iter()
        .any(|login| !matches!(login.as_str(), "ana" | "ben" | "chloe" | "dan" | "eve"))
    {
        return refuse(
            422,
            "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the repository.",
        );
    }
    for login in &logins {
        if !pull.requested.contains(login) {
            pull.requested.push(login.clone());
        }
    }
    model.note(format!("POST pulls/{number}/requested_reviewers {}", logins.join(",")));
    for login in &logins {
        life::reviewer_asked(double, repo, model, number, login);
    }
    double.changed(repo);
    with(201, json!({ "number": number }))
}

async fn delete_branch(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model, branch: &str) -> Answer {
    if repo.bare.tip(branch).await.is_none() {
        return refuse(422, "Reference does not exist");
    }
    if let Err(error) = repo.bare.delete_ref(&format!("refs/heads/{branch}")).await {
        return refuse(422, &error);
    }
    model.note(format!("DELETE git/refs/heads/{branch}"));
    if let Err(error) = life::refs_moved(double, repo, model).await {
        return refuse(500, &error);
    }
    double.changed(repo);
    with(204, Value::Null)
}

async fn merge(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model, number: u64, body: &Value) -> Answer {
    let Some(pull) = model.pulls.get(&number).cloned() else {
        return not_found();
    };
    let Some(base) = repo.bare.tip(&pull.base).await.filter(|_| pull.open) else {
        return refuse(405, "Pull Request is not mergeable");
    };
    if pull.draft {
        return refuse(405, "Pull Request is still a draft");
    }
    if body["sha"].as_str().is_some_and(|sha| sha != pull.head_sha) {
        return refuse(409, "Head branch was modified. Review and try the merge again.");
    }
    if double.scenario() == Scenario::BaseModified && double.first_time("base modified") {
        return refuse(405, "Base branch was modified. Review and try the merge again.");
    }
    let method = match body["merge_method"].as_str() {
        Some("squash") => MergeMethod::Squash,
        Some("rebase") => MergeMethod::Rebase,
        _ => MergeMethod::Merge,
    };
    let message = match method {
        MergeMethod::Squash => format!("{} (#{number})", pull.title),
        _ => format!("Merge pull request #{number} from {}\n\n{}", pull.head, pull.title),
    };
    let dated = model.tick();
    let merged = repo
        .bare
        .merge(method, &base, &pull.head_sha, &message, &pull.author, dated)
        .await;
    let sha = match merged {
        Ok(Some(sha)) => sha,
        Ok(None) => return refuse(405, "Pull Request is not mergeable"),
        Err(error) => return refuse(500, &error),
    };
    if let Err(error) = repo.bare.set_ref(&format!("refs/heads/{}", pull.base), &sha).await {
        return refuse(500, &error);
    }
    model.note(format!("PUT pulls/{number}/merge into {}", pull.base));
    if let Some(pull) = model.pulls.get_mut(&number) {
        pull.open = false;
        pull.merged = Some((sha.clone(), BOT.to_owned()));
    }
    for other in model.pulls.values_mut().filter(|other| other.base == pull.base) {
        other.null_reads = null_reads(double);
    }
    if let Err(error) = life::refs_moved(double, repo, model).await {
        return refuse(500, &error);
    }
    if pull.base == "staging"
        && let Err(error) = life::deploy_begins(double, repo, model, &sha).await
    {
        return refuse(500, &error);
    }
    double.changed(repo);
    ok(json!({ "sha": sha, "merged": true, "message": "Pull Request successfully merged" }))
}

/// Only one question is asked in GraphQL. Links exist for pull requests into the default branch, or by hand in the sidebar: the double has
/// none, so that parsing what people wrote is what finds issues.
async fn graphql(double: &GitHubDouble, body: &Value) -> Answer {
    let variables = &body["variables"];
    let name = format!(
        "{}/{}",
        variables["owner"].as_str().unwrap_or_default(),
        variables["name"].as_str().unwrap_or_default()
    );
    let number = variables["number"].as_u64().unwrap_or(0);
    let Ok(repo) = double.repo(&name) else {
        return ok(
            json!({ "data": { "repository": null }, "errors": [{ "message": "Could not resolve to a Repository" }] }),
        );
    };
    let model = repo.model.lock().await;
    if !model.pulls.contains_key(&number) {
        return ok(json!({ "data": null, "errors": [{ "message": "Could not resolve to a PullRequest" }] }));
    }
    ok(json!({ "data": { "repository": { "pullRequest": { "closingIssuesReferences": { "nodes": [] } } } } }))
}
