//! The front door: every request passes its faults, proves who it is, stays within its limits and is answered with GitHub's headers. What
//! it asks for is answered by topic: [`pulls`], [`merge`], [`refs`], [`issues`], [`ci`], [`releases`], [`graphql`].

use std::sync::{Arc, Weak};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::knobs::{Credential, Knobs, SlowDown};
use super::model::Model;
use super::tokens::{self, Access};
use super::{GitHubDouble, Inner, Repo, git_http, life};
use crate::sandbox::faults::When;
use crate::sandbox::locked;

mod answer;
mod ci;
mod graphql;
mod issues;
mod limits;
mod merge;
mod pulls;
mod refs;
mod releases;

use answer::{Answer, moved, not_found, ok, refuse, with};

/// A push of a repository's size.
const BODY: usize = 64 * 1024 * 1024;
/// The API versions that there are.
const VERSIONS: [&str; 2] = ["2022-11-28", "2026-03-10"];
const SECONDARY: &str = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";

pub fn router(double: Weak<Inner>) -> Router {
    Router::new().fallback(entry).with_state(double)
}

async fn entry(State(inner): State<Weak<Inner>>, request: Request) -> Response {
    let Some(inner) = inner.upgrade() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let double = GitHubDouble(inner);
    // In a task of its own: what a caller asked for takes effect whole, even if the caller is gone in the middle of it.
    match tokio::spawn(answer(double, request)).await {
        Ok(response) => response,
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn answer(double: GitHubDouble, request: Request) -> Response {
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
        if answer.status().is_success() && double.knobs(|knobs| knobs.lost_replies) && first_of_its_kind(&double, &line)
        {
            return (StatusCode::BAD_GATEWAY, Json(json!({ "message": "Server Error" }))).into_response();
        }
    }
    match double.0.faults.strike(&line, When::After).await {
        Some(fault) => fault,
        None => answer,
    }
}

fn first_of_its_kind(double: &GitHubDouble, line: &str) -> bool {
    let kind: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
    double.first_time(&format!("lost {kind}"))
}

async fn route(double: &GitHubDouble, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Response {
    if let Some((name, rest)) = uri.path().trim_start_matches('/').split_once(".git/") {
        return push_or_pull(double, name, rest, method, uri, headers, body).await;
    }
    let below = uri
        .path()
        .strip_prefix("/api/v3")
        .or_else(|| uri.path().strip_prefix("/api"));
    let Some(path) = below else {
        return (
            StatusCode::NOT_FOUND,
            "This is the sandbox's GitHub; its pages are on the sandbox's own page.",
        )
            .into_response();
    };
    let decode = |part: &str| {
        percent_encoding::percent_decode_str(part)
            .decode_utf8_lossy()
            .into_owned()
    };
    let segments: Vec<String> = path.split('/').skip(1).map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let call = Call {
        method: method.as_str(),
        path: &segments,
        uri,
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let (answer, home) = call.answer(double).await;
    let answer = call.sign(double, answer);
    let response = answer.respond(headers, uri, &home);
    double.count_down(response.status());
    limits::with_limits(double, response)
}

/// A request to the API.
struct Call<'a> {
    method: &'a str,
    path: &'a [&'a str],
    uri: &'a Uri,
    headers: &'a HeaderMap,
    body: Value,
}

/// What answering a request about a repository takes.
pub(super) struct Cx<'a> {
    pub double: &'a GitHubDouble,
    pub repo: &'a Arc<Repo>,
    /// As the repository is called now.
    pub name: String,
    pub web: String,
    pub method: &'a str,
    pub uri: &'a Uri,
    pub body: &'a Value,
    pub access: Access,
}

impl Cx<'_> {
    pub fn knobs<T>(&self, look: impl FnOnce(&mut Knobs) -> T) -> T {
        self.double.knobs(look)
    }

    pub fn owner(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

impl Call<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn token(&self) -> Option<&str> {
        let value = self.header("authorization")?;
        value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("token "))
    }

    /// The answer, and the base of links between its pages.
    async fn answer(&self, double: &GitHubDouble) -> (Answer, String) {
        let nowhere = |answer: Answer| (answer, String::new());
        if self.header("user-agent").is_none_or(str::is_empty) {
            return nowhere(refuse(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). Check https://developer.github.com for other possible causes.",
            ));
        }
        if self.path.last().is_none_or(|last| last.is_empty()) {
            return nowhere(not_found());
        }
        if let Some(refusal) = self.version(double) {
            return nowhere(refusal);
        }
        if let Some(answer) = self.for_the_app(double) {
            return nowhere(answer);
        }
        let access = match self.token() {
            None => return nowhere(refuse(401, "Requires authentication")),
            Some(token) => {
                let mut tokens = locked(&double.0.tokens);
                let access = tokens.access(token);
                tokens.spend(token);
                access
            }
        };
        let Some(access) = access else {
            return nowhere(refuse(401, "Bad credentials"));
        };
        if self.path == ["rate_limit"] {
            return nowhere(limits::rate_limit(double));
        }
        if let Some(refusal) = self.limits(double) {
            return nowhere(refusal);
        }
        match self.path {
            ["user"] => nowhere(limits::user(double)),
            ["graphql"] => nowhere(graphql::answer(double, &self.body).await),
            ["repos", owner, name, rest @ ..] => {
                let asked = format!("{owner}/{name}");
                let Some((repo, now)) = double.known_as(&asked).filter(|_| access.sees) else {
                    return nowhere(not_found());
                };
                let home = home(double, &repo);
                if now != asked {
                    return nowhere(moved(self.method, &self.elsewhere(&home, rest)));
                }
                (self.about(double, &repo, now, rest, access).await, home)
            }
            ["repositories", id, rest @ ..] => {
                let found = double.0.repos.values().find(|repo| repo.id.to_string() == *id);
                let Some(repo) = found.filter(|_| access.sees) else {
                    return nowhere(not_found());
                };
                (
                    self.about(double, repo, double.name_of(repo), rest, access).await,
                    home(double, repo),
                )
            }
            _ => nowhere(not_found()),
        }
    }

    fn elsewhere(&self, home: &str, rest: &[&str]) -> String {
        let query = self.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let rest: String = rest.iter().map(|part| format!("/{part}")).collect();
        format!("{home}{rest}{query}")
    }

    fn version(&self, double: &GitHubDouble) -> Option<Answer> {
        let version = self.header("x-github-api-version")?;
        if double.knobs(|knobs| knobs.dead_versions.iter().any(|dead| dead == version)) {
            return Some(refuse(410, &format!("API version {version} is no longer supported.")));
        }
        (!VERSIONS.contains(&version)).then(|| refuse(400, &format!("{version} is not a supported API version.")))
    }

    /// The two calls that a GitHub App makes in its own name.
    fn for_the_app(&self, double: &GitHubDouble) -> Option<Answer> {
        let created = match (self.method, self.path) {
            ("GET", ["repos", owner, name, "installation"]) => {
                let known = double.known_as(&format!("{owner}/{name}")).is_some();
                known.then(|| ok(json!({ "id": tokens::INSTALLATION, "app_id": tokens::APP_ID })))
            }
            ("POST", ["app", "installations", id, "access_tokens"]) => {
                (*id == tokens::INSTALLATION.to_string()).then(|| {
                    let calls = double.knobs(|knobs| knobs.token_calls);
                    with(201, locked(&double.0.tokens).install(calls))
                })
            }
            _ => return None,
        };
        Some(match tokens::check_jwt(self.token().unwrap_or_default()) {
            Ok(()) => created.unwrap_or_else(not_found),
            Err(message) => refuse(401, message),
        })
    }

    /// Counts the call, and refuses it if it is one too many.
    fn limits(&self, double: &GitHubDouble) -> Option<Answer> {
        let call = {
            let mut calls = locked(&double.0.calls);
            *calls
                .entry(format!("{} {}", self.method, generic(self.path)))
                .or_default() += 1;
            calls.values().sum::<u64>()
        };
        match double.knobs(|knobs| knobs.slow_down.remove(&call)) {
            Some(SlowDown::For(status, seconds)) => {
                return Some(refuse(status, SECONDARY).and("retry-after", seconds.to_string()));
            }
            Some(SlowDown::Unsaid(status)) => return Some(refuse(status, SECONDARY)),
            None => {}
        }
        let refused = double.quota().0 == 0;
        refused.then(|| refuse(403, "API rate limit exceeded for user ID 1. If you reach out to GitHub Support for help, please include the request ID."))
    }

    async fn about(
        &self,
        double: &GitHubDouble,
        repo: &Arc<Repo>,
        name: String,
        path: &[&str],
        access: Access,
    ) -> Answer {
        if self.method != "GET" && !access.pushes {
            return refuse(403, "Must have push access to repository");
        }
        let cx = Cx {
            double,
            repo,
            name,
            web: double.web(),
            method: self.method,
            uri: self.uri,
            body: &self.body,
            access,
        };
        let mut answer = dispatch(&cx, &mut *repo.model.lock().await, path).await;
        if self.header("x-github-api-version") == Some(VERSIONS[1]) {
            drop_since_2026(&mut answer.body);
        }
        answer
    }

    /// The headers that tell what the caller is and has.
    fn sign(&self, double: &GitHubDouble, answer: Answer) -> Answer {
        let version = self.header("x-github-api-version").unwrap_or(VERSIONS[0]).to_owned();
        let mut answer = answer.and("x-github-api-version-selected", version);
        if let Some(date) = double.knobs(|knobs| knobs.sunset.clone()) {
            answer = answer.and("sunset", date.clone()).and("deprecation", date);
        }
        if self.token().is_some_and(|token| token.starts_with("ghp_")) {
            answer = answer.and("x-oauth-scopes", "repo, workflow".to_owned());
        }
        answer
    }
}

/// The repository by its id, which outlives its name.
fn home(double: &GitHubDouble, repo: &Repo) -> String {
    format!("{}/repositories/{}", double.api_url(), repo.id)
}

/// Version 2026-03-10 took this from every pull request.
fn drop_since_2026(body: &mut Value) {
    let rows = match body {
        Value::Array(rows) => rows.as_mut_slice(),
        one => std::slice::from_mut(one),
    };
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        row.remove("merge_commit_sha");
    }
}

impl GitHubDouble {
    /// A repository by a name that it has or had, and its name now.
    fn known_as(&self, name: &str) -> Option<(Arc<Repo>, String)> {
        let now = self.knobs(|knobs| knobs.moved_to.clone());
        let first = self.0.repos.get(super::FIRST);
        match (self.0.repos.get(name), first) {
            (Some(repo), _) => Some((repo.clone(), self.name_of(repo))),
            (None, Some(repo)) if now.as_deref() == Some(name) => Some((repo.clone(), name.to_owned())),
            _ => None,
        }
    }

    /// What a repository is called now.
    fn name_of(&self, repo: &Repo) -> String {
        let now = self.knobs(|knobs| knobs.moved_to.clone());
        now.filter(|_| repo.name == super::FIRST)
            .unwrap_or_else(|| repo.name.clone())
    }
}

/// A route without its numbers and names, to count by.
fn generic(segments: &[&str]) -> String {
    let plain = |segment: &&str| match segment.bytes().all(|byte| byte.is_ascii_digit()) || segment.len() == 40 {
        true => "{}".to_owned(),
        false => (*segment).to_owned(),
    };
    segments.iter().skip(3).map(plain).collect::<Vec<_>>().join("/")
}

async fn dispatch(cx: &Cx<'_>, model: &mut Model, path: &[&str]) -> Answer {
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    match (cx.method, path) {
        ("GET", []) => repository(cx),
        ("GET", ["collaborators", user, "permission"]) => permission(user),
        ("GET", ["contents", path @ ..]) => refs::contents(cx, &path.join("/")).await,
        ("GET", ["pulls"]) => pulls::list(cx, model).await,
        ("POST", ["pulls"]) => pulls::open(cx, model).await,
        ("GET", ["pulls", n]) => pulls::show(cx, model, number(n)).await,
        ("PATCH", ["pulls", n]) => pulls::edit(cx, model, number(n)).await,
        ("GET", ["pulls", n, "reviews"]) => pulls::reviews(model, number(n)),
        ("GET", ["pulls", n, "commits"]) => pulls::commits(cx, model, number(n)).await,
        ("GET", ["pulls", n, "requested_reviewers"]) => pulls::requested(model, number(n)),
        ("POST", ["pulls", n, "requested_reviewers"]) => pulls::ask(cx, model, number(n)),
        ("DELETE", ["pulls", n, "requested_reviewers"]) => pulls::unask(cx, model, number(n)),
        ("GET", ["pulls", n, "merge"]) => merge::is_merged(model, number(n)),
        ("PUT", ["pulls", n, "merge"]) => merge::merge(cx, model, number(n)).await,
        ("GET", ["git", "ref", "heads", branch @ ..]) => refs::branch_ref(cx, model, &branch.join("/")).await,
        ("GET", ["git", "ref", "tags", tag @ ..]) => refs::tag_ref(cx, &tag.join("/")).await,
        ("GET", ["git", "matching-refs", "heads", beginning @ ..]) => refs::matching(cx, &beginning.join("/")).await,
        ("GET", ["git", "tags", sha]) => refs::tag(cx, sha).await,
        ("POST", ["git", "refs"]) => refs::create(cx, model).await,
        ("DELETE", ["git", "refs", "heads", branch @ ..]) => refs::delete(cx, model, &branch.join("/")).await,
        ("GET", ["compare", span @ ..]) => refs::compare(cx, &span.join("/")).await,
        ("GET", ["branches", branch @ ..]) => refs::branch(cx, &branch.join("/")).await,
        ("GET", ["rules", "branches", branch @ ..]) => refs::rules(cx, &branch.join("/")),
        ("GET", ["issues", n]) => issues::show(cx, model, number(n)),
        ("PATCH", ["issues", n]) => issues::edit(cx, model, number(n)),
        ("GET", ["issues", n, "comments"]) => issues::comments(cx, model, number(n)),
        ("POST", ["issues", n, "comments"]) => issues::comment(cx, model, number(n)),
        ("GET", ["issues", n, "timeline"]) => issues::timeline(model, number(n)),
        ("GET", ["commits", sha, "pulls"]) => pulls::of_commit(cx, model, sha).await,
        ("GET", ["commits", sha, "check-runs"]) => ci::check_runs(cx, model, sha),
        ("GET", ["commits", sha, "status"]) => ci::status(model, sha),
        ("GET", ["actions", "workflows", file]) => ci::workflow(cx, file).await,
        ("GET", ["actions", "workflows", file, "runs"]) => ci::runs(cx, model, Some(file)),
        ("GET", ["actions", "runs"]) => ci::runs(cx, model, None),
        ("GET", ["actions", "runs", id]) => ci::run(cx, model, number(id)).await,
        ("GET", ["actions", "runs", id, "jobs"]) => ci::jobs(cx, model, number(id)),
        ("GET", ["releases"]) => releases::list(cx, model),
        ("GET", ["releases", "latest"]) => releases::latest(cx, model),
        ("GET", ["releases", "tags", tag @ ..]) => releases::by_tag(cx, model, &tag.join("/")),
        ("GET", ["releases", id]) => releases::show(cx, model, number(id)),
        ("PATCH", ["releases", id]) => releases::edit(cx, model, number(id)),
        _ => not_found(),
    }
}

fn repository(cx: &Cx<'_>) -> Answer {
    let (default_branch, deletes, forbidden) = cx.knobs(|knobs| {
        let default = knobs.default_branch.clone().unwrap_or_else(|| "main".to_owned());
        (
            default,
            knobs.delete_head != super::knobs::DeleteHead::No,
            knobs.forbidden_methods.clone(),
        )
    });
    let mut repository = json!({
        "id": cx.repo.id, "full_name": cx.name, "private": true, "default_branch": default_branch,
        "html_url": format!("{}/{}", cx.web, cx.name), "permissions": { "pull": true, "push": cx.access.pushes },
    });
    // Only writers see what the repository's owner chose.
    if cx.access.pushes {
        use crate::github::MergeMethod::{Merge, Rebase, Squash};
        repository["delete_branch_on_merge"] = deletes.into();
        for (key, method) in [
            ("allow_merge_commit", Merge),
            ("allow_squash_merge", Squash),
            ("allow_rebase_merge", Rebase),
        ] {
            repository[key] = (!forbidden.contains(&method)).into();
        }
    }
    ok(repository)
}

fn permission(user: &str) -> Answer {
    let permission = match user {
        "ana" | "ben" | "chloe" | "dan" => "write",
        "eve" => "read",
        _ => "none",
    };
    ok(json!({ "permission": permission, "role_name": permission, "user": super::model::user(user) }))
}

/// A fine-grained token has no such permission at all.
fn fine_grained_refusal(cx: &Cx<'_>, permission: &str) -> Option<Answer> {
    (cx.access.credential == Credential::FineGrained).then(|| {
        refuse(403, "Resource not accessible by personal access token")
            .and("x-accepted-github-permissions", permission.to_owned())
    })
}

async fn push_or_pull(
    double: &GitHubDouble,
    name: &str,
    rest: &str,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let Some((repo, now)) = double.known_as(name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if now != name {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let location = format!("{}/{now}.git/{rest}{query}", double.web());
        return (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response();
    }
    let path = format!("/{}.git/{rest}", repo.name);
    if !rest.ends_with("git-receive-pack") || method != Method::POST {
        return git_http::serve(double, method.as_str(), &path, uri, headers, body).await;
    }
    let mut model = repo.model.lock().await;
    let before = repo.bare.branches().await.unwrap_or_default();
    let response = git_http::serve(double, method.as_str(), &path, uri, headers, body).await;
    let after = repo.bare.branches().await.unwrap_or_default();
    for (branch, tip) in &after {
        if before.iter().all(|(name, old)| name != branch || old != tip) {
            let short: String = tip.chars().take(7).collect();
            model.note(format!("git push {branch} {short}"));
        }
        if before.iter().all(|(name, _)| name != branch) {
            let hidden = double.knobs(|knobs| knobs.lag_reads);
            model.hidden_refs.insert(branch.clone(), hidden);
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
