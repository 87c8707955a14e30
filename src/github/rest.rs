//! The GitHub client over REST (and GraphQL for linked issues).
//!
//! 1. The API version is pinned: later ones drop `merge_commit_sha`, and unversioned requests change over time.
//! 2. Writes go one at a time, [`RestGitHub::with_write_gap`] apart; they are never repeated here and never follow a redirect.
//! 3. Pages are followed by `Link`, on the same origin only: the token goes nowhere else.
//! 4. GETs send the ETag of the last answer; an unchanged one costs nothing against the limit. The answer is held until GitHub has said
//!    whether it still stands.
//! 5. A 401 renews the token once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ETAG, HeaderMap, IF_NONE_MATCH, LINK};
use reqwest::{Method, StatusCode, Url};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::answers;
use super::auth::TokenSource;
use super::http::{
    API_VERSION, USER_AGENT, http_client, malformed, note_request, note_sunset, note_write, read_error, read_json,
    unreachable_error,
};
use super::*;
use cache::{Cache, Page};

mod cache;
pub mod inspect;

/// GitHub's guidance: at least a second between writes.
const WRITE_GAP: Duration = Duration::from_secs(1);
/// Pages of a hundred; nobody has that many open pull requests.
const PAGES: usize = 100;
/// A token that was refused check runs is tried with them again after this long: permissions change.
const BLIND: Duration = Duration::from_secs(15 * 60);

/// What must be encoded in a path segment; branch names have slashes.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// GitHub over HTTP, for one repository.
pub struct RestGitHub {
    api_url: String,
    repo: RepoName,
    tokens: Arc<TokenSource>,
    http: reqwest::Client,
    write_gap: Duration,
    /// When the next write may go.
    writes: tokio::sync::Mutex<Option<Instant>>,
    cache: Mutex<Cache>,
    reads: AtomicU64,
    written: AtomicU64,
    /// When the token was last refused check runs: fine-grained ones have no such permission at all.
    no_checks: Mutex<Option<Instant>>,
}

impl RestGitHub {
    /// A client for one repository at `api_url` (`https://api.github.com`, `https://HOST/api/v3`).
    ///
    /// # Errors
    /// If the HTTP client can't be made: no root certificates.
    pub fn new(api_url: &str, repo: RepoName, tokens: Arc<TokenSource>) -> Result<Self> {
        Ok(Self {
            api_url: api_url.trim_end_matches('/').to_owned(),
            repo,
            tokens,
            http: http_client()?,
            write_gap: WRITE_GAP,
            writes: tokio::sync::Mutex::default(),
            cache: Mutex::default(),
            reads: AtomicU64::new(0),
            written: AtomicU64::new(0),
            no_checks: Mutex::default(),
        })
    }

    /// With another pause between writes.
    #[must_use]
    pub fn with_write_gap(mut self, gap: Duration) -> Self {
        self.write_gap = gap;
        self
    }

    /// Calls so far: reads and writes.
    pub fn calls(&self) -> (u64, u64) {
        (self.reads.load(Ordering::Relaxed), self.written.load(Ordering::Relaxed))
    }

    fn path(&self, rest: &str) -> String {
        format!(
            "/repos/{}/{}{rest}",
            segment(&self.repo.owner),
            segment(&self.repo.name)
        )
    }

    fn graphql_url(&self) -> String {
        match self.api_url.strip_suffix("/api/v3") {
            Some(host) => format!("{host}/api/graphql"),
            None => format!("{}/graphql", self.api_url),
        }
    }

    async fn send(
        &self,
        method: &Method,
        url: &str,
        request: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<reqwest::Response> {
        let mut renewed = false;
        loop {
            let token = self.tokens.token().await?;
            let mut builder = self
                .http
                .request(method.clone(), url)
                .bearer_auth(token.expose_secret())
                .header("Accept", "application/vnd.github+json")
                .header("X-GitHub-Api-Version", API_VERSION)
                .header("User-Agent", USER_AGENT);
            if let Some(body) = body {
                builder = builder.json(body);
            }
            if let Some(etag) = etag {
                builder = builder.header(IF_NONE_MATCH, etag);
            }
            let sent = builder.send().await;
            note_request(method, sent.as_ref().ok());
            let response = sent.map_err(|error| unreachable_error(request, &error))?;
            note_sunset(request, response.headers());
            if response.status() == StatusCode::UNAUTHORIZED && !renewed && self.tokens.renew(&token).await {
                renewed = true;
                continue;
            }
            return Ok(response);
        }
    }

    /// One GET, from the cache if GitHub says that nothing changed; answers with the next page's URL.
    async fn page(&self, url: &str, request: &str) -> Result<(Value, Option<String>)> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let known = self.cache().get(url);
        let etag = known.as_ref().map(|page| page.etag.as_str());
        let mut response = self.send(&Method::GET, url, request, None, etag).await?;
        for _ in 0..3 {
            let Some(moved) = self.redirect(&response) else { break };
            response = self.send(&Method::GET, &moved, request, None, None).await?;
        }
        if response.status() == StatusCode::NOT_MODIFIED
            && let Some(known) = known
        {
            return Ok((known.body.clone(), known.next.clone()));
        }
        if !response.status().is_success() {
            return Err(read_error(request, response).await);
        }
        let etag = response
            .headers()
            .get(ETAG)
            .and_then(|etag| etag.to_str().ok())
            .map(str::to_owned);
        let next = self.next_page(request, response.headers())?;
        let body: Value = read_json(request, response).await?;
        if let Some(etag) = etag {
            let page = Page {
                etag,
                body: body.clone(),
                next: next.clone(),
            };
            self.cache().put(url, page);
        }
        Ok((body, next))
    }

    /// Whether check runs were refused not long ago.
    fn blind(&self) -> bool {
        let refused = *self.no_checks.lock().unwrap_or_else(PoisonError::into_inner);
        refused.is_some_and(|at| at.elapsed() < BLIND)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a renamed repository is now; only on the same origin.
    fn redirect(&self, response: &reqwest::Response) -> Option<String> {
        if !response.status().is_redirection() || response.status() == StatusCode::NOT_MODIFIED {
            return None;
        }
        let location = response.headers().get("location")?.to_str().ok()?;
        let target = response.url().join(location).ok()?;
        self.same_origin(&target).then(|| target.to_string())
    }

    fn same_origin(&self, url: &Url) -> bool {
        Url::parse(&self.api_url).is_ok_and(|ours| ours.origin() == url.origin())
    }

    fn next_page(&self, request: &str, headers: &HeaderMap) -> Result<Option<String>> {
        let links = headers
            .get(LINK)
            .and_then(|links| links.to_str().ok())
            .unwrap_or_default();
        let next = links.split(',').find_map(|link| {
            let (url, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
            rest.contains("rel=\"next\"").then_some(url)
        });
        match next {
            None => Ok(None),
            Some(url) if Url::parse(url).is_ok_and(|url| self.same_origin(&url)) => Ok(Some(url.to_owned())),
            Some(_) => Err(malformed(
                request,
                "its next page is on another host, where the token must not go",
            )),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = format!("GET {}", path.split('?').next().unwrap_or(path));
        let (body, _) = self.page(&format!("{}{path}", self.api_url), &request).await?;
        answers::typed(&request, body)
    }

    /// All pages of a list, or of the list in `field` of each page.
    async fn list<T: DeserializeOwned>(&self, path: &str, field: Option<&str>) -> Result<Vec<T>> {
        let request = format!("GET {}", path.split('?').next().unwrap_or(path));
        let mut url = format!("{}{path}", self.api_url);
        let mut items = Vec::new();
        for _ in 0..PAGES {
            let (mut body, next) = self.page(&url, &request).await?;
            let rows = match field {
                Some(field) => body[field].take(),
                None => body,
            };
            items.extend(answers::typed::<Vec<T>>(&request, rows)?);
            match next {
                Some(next) => url = next,
                None => return Ok(items),
            }
        }
        Err(malformed(&request, "it has more pages than anybody can want"))
    }

    /// One write, alone and in its time.
    async fn write(&self, method: Method, path: &str, body: &Value) -> Result<reqwest::Response> {
        let request = format!("{method} {path}");
        let response = self.write_raw(&method, path, body).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(read_error(&request, response).await)
    }

    async fn write_raw(&self, method: &Method, path: &str, body: &Value) -> Result<reqwest::Response> {
        let request = format!("{method} {path}");
        let mut next = self.writes.lock().await;
        if let Some(at) = *next {
            tokio::time::sleep_until(at).await;
        }
        self.written.fetch_add(1, Ordering::Relaxed);
        let sent = self
            .send(
                method,
                &format!("{}{path}", self.api_url),
                &request,
                Some(body).filter(|body| !body.is_null()),
                None,
            )
            .await;
        *next = Some(Instant::now() + self.write_gap);
        if let Ok(response) = &sent {
            note_write(&request, response);
        }
        sent
    }

    async fn write_for<T: DeserializeOwned>(&self, method: Method, path: &str, body: &Value) -> Result<T> {
        let request = format!("{method} {path}");
        let response = self.write(method, path, body).await?;
        let body: Value = read_json(&request, response).await?;
        answers::typed(&request, body)
    }

    /// The checks of a commit as far as they are jobs of Actions: one read more for each workflow, which costs nothing against the limit as
    /// long as its jobs don't change.
    async fn jobs_as_checks(&self, sha: &Sha) -> Result<Vec<CheckRun>> {
        let path = self.path(&format!("/actions/runs?head_sha={sha}&per_page=100"));
        let runs: Vec<answers::WorkflowRun> = self.list(&path, Some("workflow_runs")).await?;
        let mut newest = BTreeMap::new();
        for run in runs.into_iter().filter(|run| run.is_for(sha)) {
            match newest.entry(run.source()) {
                Entry::Vacant(place) => {
                    place.insert(run);
                }
                Entry::Occupied(mut known) if known.get().id() < run.id() => {
                    known.insert(run);
                }
                Entry::Occupied(_) => {}
            }
        }
        let mut checks = Vec::new();
        for run in newest.into_values() {
            let jobs = self.jobs(run.id()).await?;
            checks.extend(run.into_checks(jobs));
        }
        Ok(checks)
    }

    async fn branch_rules(&self, branch: &str) -> Result<Vec<Value>> {
        let path = self.path(&format!("/rules/branches/{}?per_page=100", segment(branch)));
        Ok(self.found(self.list(&path, None).await).await?.unwrap_or_default())
    }

    async fn found<T>(&self, answer: Result<T>) -> Result<Option<T>> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What GitHub said to a merge, by status and message.
fn merge_outcome(status: u16, message: &str) -> Option<MergeOutcome> {
    let text = message.to_owned();
    let has = |part: &str| message.to_lowercase().contains(part);
    match status {
        405 if has("base branch was modified") => Some(MergeOutcome::BaseModified(text)),
        405 if has("merge already in progress") => Some(MergeOutcome::InProgress(text)),
        405 if has("not mergeable") => Some(MergeOutcome::NotMergeable(text)),
        405 => Some(MergeOutcome::Refused(text)),
        409 if has("head branch was modified") => Some(MergeOutcome::HeadModified(text)),
        409 if has("base branch was modified") => Some(MergeOutcome::BaseModified(text)),
        409 | 422 => Some(MergeOutcome::Refused(text)),
        403 if has("workflow") || has("rule") || has("protected") => Some(MergeOutcome::Refused(text)),
        _ => None,
    }
}

#[async_trait]
impl GitHub for RestGitHub {
    fn blind_spot(&self) -> Option<String> {
        self.blind().then(|| {
            "This token can't see check runs (fine-grained tokens never can), so the jobs of Actions stand in for them: checks by other apps count only if \
             they are commit statuses."
                .to_owned()
        })
    }

    async fn repository(&self) -> Result<Repository> {
        Ok(self.get::<answers::Repository>(&self.path("")).await?.into())
    }

    async fn pull_requests(&self, filter: PullRequestFilter) -> Result<Vec<PullRequest>> {
        let state = if filter.closed_too { "all" } else { "open" };
        let mut query = format!("?state={state}&sort=created&direction=asc&per_page=100");
        if let Some(base) = &filter.base {
            query += &format!("&base={}", segment(base));
        }
        if let Some(head) = &filter.head {
            query += &format!("&head={}:{}", segment(&self.repo.owner), segment(head));
        }
        let found: Vec<answers::PullRequest> = self.list(&self.path(&format!("/pulls{query}")), None).await?;
        let wanted = |pr: &PullRequest| {
            filter.base.as_ref().is_none_or(|base| pr.base.branch == *base)
                && filter.head.as_ref().is_none_or(|head| {
                    let ours = pr
                        .head
                        .repo
                        .as_ref()
                        .is_some_and(|repo| repo.eq_ignore_ascii_case(&self.repo.to_string()));
                    pr.head.branch == *head && ours
                })
        };
        Ok(found.into_iter().map(PullRequest::from).filter(wanted).collect())
    }

    async fn pull_request(&self, number: u64) -> Result<PullRequest> {
        Ok(self
            .get::<answers::PullRequest>(&self.path(&format!("/pulls/{number}")))
            .await?
            .into())
    }

    async fn reviews(&self, number: u64) -> Result<Vec<Review>> {
        let path = self.path(&format!("/pulls/{number}/reviews?per_page=100"));
        let reviews: Vec<answers::Review> = self.list(&path, None).await?;
        Ok(reviews.into_iter().map(Review::from).collect())
    }

    async fn pull_request_commits(&self, number: u64) -> Result<Vec<Commit>> {
        let path = self.path(&format!("/pulls/{number}/commits?per_page=100"));
        let commits: Vec<answers::Commit> = self.list(&path, None).await?;
        Ok(commits.into_iter().map(Commit::from).collect())
    }

    async fn permission(&self, login: &str) -> Result<Permission> {
        let path = self.path(&format!("/collaborators/{}/permission", segment(login)));
        let answer: Option<Value> = self.found(self.get(&path).await).await?;
        Ok(match answer.as_ref().and_then(|answer| answer["permission"].as_str()) {
            Some("admin") => Permission::Admin,
            Some("write" | "maintain") => Permission::Write,
            Some("read" | "triage") => Permission::Read,
            _ => Permission::None,
        })
    }

    async fn closing_issues(&self, number: u64) -> Result<Vec<Issue>> {
        const QUERY: &str = "query($owner:String!,$name:String!,$number:Int!){repository(owner:$owner,name:$name){pullRequest(number:$number){\
            closingIssuesReferences(first:50){nodes{number title url state repository{nameWithOwner}}}}}}";
        let request = "POST /graphql closingIssuesReferences";
        let variables = json!({ "owner": self.repo.owner, "name": self.repo.name, "number": number });
        self.reads.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "query": QUERY, "variables": variables });
        let response = self
            .send(&Method::POST, &self.graphql_url(), request, Some(&body), None)
            .await?;
        if !response.status().is_success() {
            return Err(read_error(request, response).await);
        }
        answers::closing_issues(request, read_json(request, response).await?)
    }

    async fn issue(&self, repo: &RepoName, number: u64) -> Result<Option<Issue>> {
        let path = format!(
            "/repos/{}/{}/issues/{number}",
            segment(&repo.owner),
            segment(&repo.name)
        );
        let answer = match self.get::<answers::Issue>(&path).await {
            // Issues of repositories that we can't see, or of ones with issues switched off.
            Err(error) if matches!(error.kind, ErrorKind::Forbidden | ErrorKind::Moved(_)) => return Ok(None),
            answer => self.found(answer).await?,
        };
        Ok(answer.map(|issue| issue.in_repo(repo)))
    }

    async fn set_base(&self, number: u64, base: &str) -> Result<PullRequest> {
        let path = self.path(&format!("/pulls/{number}"));
        let answer: answers::PullRequest = self.write_for(Method::PATCH, &path, &json!({ "base": base })).await?;
        Ok(answer.into())
    }

    async fn merge(&self, number: u64, method: MergeMethod, head: &Sha) -> Result<MergeOutcome> {
        let path = self.path(&format!("/pulls/{number}/merge"));
        let request = format!("PUT {path}");
        let body = json!({ "merge_method": method, "sha": head });
        let response = self.write_raw(&Method::PUT, &path, &body).await?;
        if response.status().is_success() {
            let body: Value = read_json(&request, response).await?;
            return Ok(MergeOutcome::Merged(answers::typed(&request, body["sha"].clone())?));
        }
        let error = read_error(&request, response).await;
        let limited = matches!(error.kind, ErrorKind::RateLimited(_));
        // The hint about permissions that we add to GitHub's words must not be read as its own.
        let said = error.message.split("; the token needs").next().unwrap_or_default();
        match error.status.and_then(|status| merge_outcome(status, said)) {
            Some(outcome) if !limited => Ok(outcome),
            _ => Err(error),
        }
    }

    async fn branch_tip(&self, branch: &str) -> Result<Option<Sha>> {
        let path = self.path(&format!(
            "/git/ref/heads/{}",
            branch.split('/').map(segment).collect::<Vec<_>>().join("/")
        ));
        let answer: Option<Value> = self.found(self.get(&path).await).await?;
        answer
            .map(|answer| answers::typed("GET git/ref", answer["object"]["sha"].clone()))
            .transpose()
    }

    async fn delete_branch(&self, branch: &str) -> Result<Deleted> {
        let path = self.path(&format!(
            "/git/refs/heads/{}",
            branch.split('/').map(segment).collect::<Vec<_>>().join("/")
        ));
        match self.write(Method::DELETE, &path, &Value::Null).await {
            Ok(_) => Ok(Deleted::Now),
            Err(error)
                if matches!(error.kind, ErrorKind::Invalid | ErrorKind::NotFound)
                    && error.message.contains("does not exist") =>
            {
                Ok(Deleted::Before)
            }
            Err(error) => Err(error),
        }
    }

    async fn compare(&self, base: &str, head: &str) -> Result<Comparison> {
        let path = self.path(&format!("/compare/{}...{}", segment(base), segment(head)));
        Ok(self.get::<answers::Comparison>(&path).await?.into())
    }

    async fn create_pull_request(&self, new: NewPullRequest) -> Result<PullRequest> {
        let body = json!({ "title": new.title, "head": new.head, "base": new.base, "body": new.body });
        let answer: answers::PullRequest = self.write_for(Method::POST, &self.path("/pulls"), &body).await?;
        Ok(answer.into())
    }

    async fn set_pull_request_body(&self, number: u64, body: &str) -> Result<PullRequest> {
        let path = self.path(&format!("/pulls/{number}"));
        let answer: answers::PullRequest = self.write_for(Method::PATCH, &path, &json!({ "body": body })).await?;
        Ok(answer.into())
    }

    async fn close_pull_request(&self, number: u64) -> Result<PullRequest> {
        let path = self.path(&format!("/pulls/{number}"));
        let answer: answers::PullRequest = self
            .write_for(Method::PATCH, &path, &json!({ "state": "closed" }))
            .await?;
        Ok(answer.into())
    }

    async fn request_reviewers(&self, number: u64, logins: &[String]) -> Result<()> {
        let path = self.path(&format!("/pulls/{number}/requested_reviewers"));
        let body = json!({ "reviewers": logins });
        let asked: Result<answers::Numbered> = self.write_for(Method::POST, &path, &body).await;
        asked.map(drop)
    }

    async fn comment(&self, number: u64, body: &str) -> Result<String> {
        let path = self.path(&format!("/issues/{number}/comments"));
        let answer: Value = self.write_for(Method::POST, &path, &json!({ "body": body })).await?;
        answers::typed("POST comments", answer["html_url"].clone())
    }

    async fn comments(&self, number: u64) -> Result<Vec<String>> {
        let path = self.path(&format!("/issues/{number}/comments?per_page=100"));
        let rows: Vec<Value> = self.list(&path, None).await?;
        Ok(rows
            .iter()
            .map(|row| row["body"].as_str().unwrap_or_default().to_owned())
            .collect())
    }

    async fn close_issue(&self, number: u64) -> Result<()> {
        let path = self.path(&format!("/issues/{number}"));
        let body = json!({ "state": "closed", "state_reason": "completed" });
        let closed: Result<answers::Numbered> = self.write_for(Method::PATCH, &path, &body).await;
        closed.map(drop)
    }

    async fn check_runs(&self, sha: &Sha) -> Result<Vec<CheckRun>> {
        if !self.blind() {
            let path = self.path(&format!("/commits/{sha}/check-runs?filter=latest&per_page=100"));
            match self.list::<answers::CheckRun>(&path, Some("check_runs")).await {
                Ok(runs) => return Ok(runs.into_iter().map(CheckRun::from).collect()),
                Err(error) if error.kind == ErrorKind::Forbidden => {
                    tracing::warn!(repo = %self.repo, "this token can't see check runs (fine-grained tokens never can); the jobs of Actions stand in for them");
                    *self.no_checks.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                }
                Err(error) => return Err(error),
            }
        }
        self.jobs_as_checks(sha).await
    }

    async fn statuses(&self, sha: &Sha) -> Result<Vec<CommitStatus>> {
        let path = self.path(&format!("/commits/{sha}/status?per_page=100"));
        self.list(&path, Some("statuses")).await
    }

    async fn required_checks(&self, branch: &str) -> Result<Vec<String>> {
        let rules = self.branch_rules(branch).await?;
        let branch = segment(branch);
        let protected: Option<Value> = self
            .found(self.get(&self.path(&format!("/branches/{branch}"))).await)
            .await?;
        Ok(answers::required_checks(&rules, protected.as_ref()))
    }

    async fn has_merge_queue(&self, branch: &str) -> Result<bool> {
        let rules = self.branch_rules(branch).await?;
        Ok(rules.iter().any(|rule| rule["type"] == "merge_queue"))
    }

    async fn branch_runs(&self, workflow: &str, branch: &str) -> Result<Vec<WorkflowRun>> {
        let path = self.path(&format!(
            "/actions/workflows/{}/runs?branch={}&event=push&per_page=30",
            segment(workflow),
            segment(branch)
        ));
        let request = format!("GET {}", path.split('?').next().unwrap_or(&path));
        // The first page alone: what is older can't have taken over.
        let (mut body, _) = self.page(&format!("{}{path}", self.api_url), &request).await?;
        let runs: Vec<answers::WorkflowRun> = answers::typed(&request, body["workflow_runs"].take())?;
        Ok(runs.into_iter().map(WorkflowRun::from).collect())
    }

    async fn workflow_runs(&self, workflow: &str, sha: &Sha) -> Result<Vec<WorkflowRun>> {
        let path = self.path(&format!(
            "/actions/workflows/{}/runs?head_sha={sha}&per_page=100",
            segment(workflow)
        ));
        let runs: Vec<answers::WorkflowRun> = self.list(&path, Some("workflow_runs")).await?;
        Ok(runs
            .into_iter()
            .map(WorkflowRun::from)
            .filter(|run| run.head_sha == *sha)
            .collect())
    }

    async fn workflow_run(&self, id: u64) -> Result<WorkflowRun> {
        Ok(self
            .get::<answers::WorkflowRun>(&self.path(&format!("/actions/runs/{id}")))
            .await?
            .into())
    }

    async fn jobs(&self, run: u64) -> Result<Vec<Job>> {
        self.list(
            &self.path(&format!("/actions/runs/{run}/jobs?filter=latest&per_page=100")),
            Some("jobs"),
        )
        .await
    }

    async fn releases(&self) -> Result<Vec<Release>> {
        let rows: Vec<answers::Release> = self.list(&self.path("/releases?per_page=100"), None).await?;
        Ok(rows.into_iter().map(Release::from).collect())
    }

    async fn release(&self, id: u64) -> Result<Release> {
        Ok(self
            .get::<answers::Release>(&self.path(&format!("/releases/{id}")))
            .await?
            .into())
    }

    async fn tag_commit(&self, tag: &str) -> Result<Option<Sha>> {
        let path = self.path(&format!(
            "/git/ref/tags/{}",
            tag.split('/').map(segment).collect::<Vec<_>>().join("/")
        ));
        let Some(answer) = self.found(self.get::<Value>(&path).await).await? else {
            return Ok(None);
        };
        let object: Sha = answers::typed("GET git/ref", answer["object"]["sha"].clone())?;
        if answer["object"]["type"] != "tag" {
            return Ok(Some(object));
        }
        let tag: Value = self.get(&self.path(&format!("/git/tags/{object}"))).await?;
        answers::typed("GET git/tags", tag["object"]["sha"].clone()).map(Some)
    }

    async fn set_release_body(&self, id: u64, body: &str) -> Result<Release> {
        let path = self.path(&format!("/releases/{id}"));
        let answer: Result<answers::Release> = self.write_for(Method::PATCH, &path, &json!({ "body": body })).await;
        answer.map(Release::from).map_err(|mut error| {
            // GitHub's documentation of "Update a release": 404 when the release's commit changes workflow files.
            if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Forbidden) {
                error.message += "; if its commit changes .github/workflows, the token needs the workflow permission";
            }
            error
        })
    }
}

#[cfg(test)]
mod tests;
