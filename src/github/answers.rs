//! GitHub's JSON as it comes, read tolerantly: unknown fields are ignored, a missing one is an error that names it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::http::malformed;
use super::{
    CheckRun as Check, Commit as OurCommit, Comparison as Compared, End, Error, Issue as OurIssue, Job,
    PullRequest as Pull, PullRequestState, Release as Released, RepoName, Repository as Repo, Result,
    Review as OurReview, ReviewState, Sha, WorkflowRun as Run,
};

/// A JSON value as a type; the error names the field.
pub fn typed<T: DeserializeOwned>(request: &str, body: Value) -> Result<T> {
    serde_path_to_error::deserialize(body).map_err(|error| {
        malformed(
            request,
            &format!(
                "the answer's `{}` is not as documented: {}",
                error.path(),
                error.inner()
            ),
        )
    })
}

#[derive(Deserialize)]
struct User {
    login: String,
}

fn login(user: Option<User>) -> Option<String> {
    user.map(|user| user.login)
}

#[derive(Deserialize)]
pub struct Repository {
    full_name: String,
    default_branch: String,
    html_url: String,
    permissions: Option<Permissions>,
    delete_branch_on_merge: Option<bool>,
    allow_merge_commit: Option<bool>,
    allow_squash_merge: Option<bool>,
    allow_rebase_merge: Option<bool>,
}

#[derive(Deserialize)]
struct Permissions {
    push: bool,
}

impl From<Repository> for Repo {
    fn from(repo: Repository) -> Self {
        Self {
            full_name: repo.full_name,
            default_branch: repo.default_branch,
            html_url: repo.html_url,
            can_push: repo.permissions.map(|permissions| permissions.push),
            delete_branch_on_merge: repo.delete_branch_on_merge,
            allow_merge_commit: repo.allow_merge_commit,
            allow_squash_merge: repo.allow_squash_merge,
            allow_rebase_merge: repo.allow_rebase_merge,
        }
    }
}

#[derive(Deserialize)]
pub struct PullRequest {
    number: u64,
    #[serde(default)]
    node_id: String,
    title: String,
    body: Option<String>,
    user: Option<User>,
    html_url: String,
    #[serde(default)]
    draft: bool,
    state: PullRequestState,
    merged: Option<bool>,
    merged_at: Option<chrono::DateTime<chrono::Utc>>,
    merged_by: Option<User>,
    merge_commit_sha: Option<Sha>,
    mergeable: Option<bool>,
    mergeable_state: Option<String>,
    head: Branch,
    base: Branch,
    #[serde(default)]
    labels: Vec<Label>,
    auto_merge: Option<Value>,
    stack: Option<Value>,
    #[serde(default)]
    requested_reviewers: Vec<User>,
    created_at: Option<chrono::DateTime<chrono::Utc>>,
}

#[derive(Deserialize)]
struct Branch {
    #[serde(rename = "ref")]
    name: String,
    sha: Sha,
    repo: Option<HeadRepo>,
}

#[derive(Deserialize)]
struct HeadRepo {
    full_name: String,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

impl From<Branch> for End {
    fn from(branch: Branch) -> Self {
        Self {
            branch: branch.name,
            sha: branch.sha,
            repo: branch.repo.map(|repo| repo.full_name),
        }
    }
}

impl From<PullRequest> for Pull {
    fn from(pr: PullRequest) -> Self {
        Self {
            number: pr.number,
            node_id: pr.node_id,
            title: pr.title,
            body: pr.body.unwrap_or_default(),
            author: login(pr.user),
            html_url: pr.html_url,
            draft: pr.draft,
            state: pr.state,
            // Lists don't say `merged`, but a time of merging says as much.
            merged: pr.merged.or(pr.merged_at.map(|_| true)),
            merged_by: login(pr.merged_by),
            merge_commit_sha: pr.merge_commit_sha,
            mergeable: pr.mergeable,
            mergeable_state: pr.mergeable_state,
            head: pr.head.into(),
            base: pr.base.into(),
            labels: pr.labels.into_iter().map(|label| label.name).collect(),
            auto_merge: pr.auto_merge.is_some_and(|value| !value.is_null()),
            stacked: pr.stack.is_some_and(|value| !value.is_null()),
            requested_reviewers: pr.requested_reviewers.into_iter().map(|user| user.login).collect(),
            created_at: pr.created_at,
        }
    }
}

#[derive(Deserialize)]
pub struct Review {
    id: u64,
    user: Option<User>,
    state: ReviewState,
    // A rewritten branch can leave no commit behind, or an empty one.
    #[serde(default, deserialize_with = "lenient_sha")]
    commit_id: Option<Sha>,
    submitted_at: Option<chrono::DateTime<chrono::Utc>>,
}

fn lenient_sha<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Sha>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| Sha::try_from(text).ok()))
}

impl From<Review> for OurReview {
    fn from(review: Review) -> Self {
        Self {
            id: review.id,
            user: login(review.user),
            state: review.state,
            commit_id: review.commit_id,
            submitted_at: review.submitted_at,
        }
    }
}

#[derive(Deserialize)]
pub struct Commit {
    sha: Sha,
    commit: CommitBody,
    author: Option<User>,
}

#[derive(Deserialize)]
struct CommitBody {
    message: String,
    author: Option<Name>,
}

#[derive(Deserialize)]
struct Name {
    name: Option<String>,
}

impl From<Commit> for OurCommit {
    fn from(commit: Commit) -> Self {
        let name = commit.commit.author.and_then(|author| author.name);
        Self {
            sha: commit.sha,
            message: commit.commit.message,
            author: login(commit.author).or(name).unwrap_or_else(|| "ghost".to_owned()),
        }
    }
}

#[derive(Deserialize)]
pub struct Comparison {
    status: String,
    #[serde(default)]
    commits: Vec<Commit>,
}

impl From<Comparison> for Compared {
    fn from(comparison: Comparison) -> Self {
        Self {
            status: comparison.status,
            commits: comparison.commits.into_iter().map(OurCommit::from).collect(),
        }
    }
}

#[derive(Deserialize)]
pub struct CheckRun {
    id: u64,
    name: String,
    status: String,
    conclusion: Option<String>,
    html_url: Option<String>,
    app: Option<App>,
    check_suite: Option<Suite>,
}

#[derive(Deserialize)]
struct Suite {
    id: u64,
}

#[derive(Deserialize)]
struct App {
    slug: Option<String>,
}

impl From<CheckRun> for Check {
    fn from(run: CheckRun) -> Self {
        Self {
            id: run.id,
            suite: run.check_suite.map(|suite| suite.id),
            app: run.app.and_then(|app| app.slug),
            name: run.name,
            status: run.status,
            conclusion: run.conclusion,
            html_url: run.html_url,
        }
    }
}

/// The app whose checks the jobs of Actions are.
const ACTIONS: &str = "github-actions";

#[derive(Deserialize)]
pub struct WorkflowRun {
    id: u64,
    #[serde(default = "first")]
    run_attempt: u64,
    name: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    head_sha: Sha,
    html_url: String,
    workflow_id: Option<u64>,
    event: Option<String>,
}

fn first() -> u64 {
    1
}

impl WorkflowRun {
    /// Whether it ran on that commit: an ignored filter answers with everybody's.
    pub fn is_for(&self, sha: &Sha) -> bool {
        self.head_sha == *sha
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What starts it: of one workflow and event, a newer run stands for the older ones.
    pub fn source(&self) -> (u64, Option<String>) {
        (self.workflow_id.unwrap_or(self.id), self.event.clone())
    }

    /// Its jobs as the checks that they are, for a token that can't see checks. Where none of them stands as the run does, it is one more:
    /// no job has begun, or more of them are to come.
    pub fn into_checks(self, jobs: Vec<Job>) -> Vec<Check> {
        let status = self.status.unwrap_or_default();
        let told = |job: &Job| job.status == status && job.conclusion == self.conclusion;
        let whole = (!jobs.iter().any(told)).then(|| Check {
            id: self.id,
            suite: None,
            app: Some(ACTIONS.to_owned()),
            name: self.name.unwrap_or_default(),
            status: status.clone(),
            conclusion: self.conclusion.clone(),
            html_url: Some(self.html_url),
        });
        let part = |job: Job| Check {
            id: job.id,
            suite: Some(self.id),
            app: Some(ACTIONS.to_owned()),
            name: job.name,
            status: job.status,
            conclusion: job.conclusion,
            html_url: job.html_url,
        };
        jobs.into_iter().map(part).chain(whole).collect()
    }
}

impl From<WorkflowRun> for Run {
    fn from(run: WorkflowRun) -> Self {
        Self {
            id: run.id,
            attempt: run.run_attempt,
            name: run.name.unwrap_or_default(),
            status: run.status.unwrap_or_default(),
            conclusion: run.conclusion,
            head_sha: run.head_sha,
            html_url: run.html_url,
        }
    }
}

#[derive(Deserialize)]
pub struct Release {
    id: u64,
    tag_name: String,
    #[serde(default)]
    draft: bool,
    name: Option<String>,
    body: Option<String>,
    html_url: String,
    #[serde(default)]
    target_commitish: String,
}

impl From<Release> for Released {
    fn from(release: Release) -> Self {
        Self {
            id: release.id,
            tag_name: release.tag_name,
            draft: release.draft,
            name: release.name,
            body: release.body.unwrap_or_default(),
            html_url: release.html_url,
            target_commitish: release.target_commitish,
        }
    }
}

/// The least that tells an answer of GitHub's from a proxy's page with status 200.
#[derive(Deserialize)]
pub struct Numbered {
    #[serde(rename = "number")]
    _number: u64,
}

#[derive(Deserialize)]
pub struct Issue {
    number: u64,
    title: String,
    html_url: String,
    state: String,
    pull_request: Option<Value>,
}

impl Issue {
    /// As an issue of that repository.
    pub fn in_repo(self, repo: &RepoName) -> OurIssue {
        OurIssue {
            repo: repo.clone(),
            number: self.number,
            title: self.title,
            html_url: self.html_url,
            open: self.state == "open",
            is_pull_request: self.pull_request.is_some_and(|value| !value.is_null()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    number: u64,
    title: String,
    url: String,
    state: String,
    repository: NodeRepo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeRepo {
    name_with_owner: RepoName,
}

/// The issues of a GraphQL answer; errors come with status 200.
pub fn closing_issues(request: &str, mut body: Value) -> Result<Vec<OurIssue>> {
    let nodes = body["data"]["repository"]["pullRequest"]["closingIssuesReferences"]["nodes"].take();
    if nodes.is_null() {
        let said = body["errors"][0]["message"]
            .as_str()
            .unwrap_or("the answer has no `nodes`");
        return Err(Error {
            message: said.to_owned(),
            ..malformed(request, "")
        });
    }
    let nodes: Vec<Option<Node>> = typed(request, nodes)?;
    let issue = |node: Node| OurIssue {
        repo: node.repository.name_with_owner,
        number: node.number,
        title: node.title,
        html_url: node.url,
        open: node.state == "OPEN",
        is_pull_request: false,
    };
    Ok(nodes.into_iter().flatten().map(issue).collect())
}

/// Names that rules and classic protection require.
pub fn required_checks(rules: &[Value], branch: Option<&Value>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: Option<&str>| {
        if let Some(name) = name.filter(|name| !names.iter().any(|known| known == name)) {
            names.push(name.to_owned());
        }
    };
    for rule in rules.iter().filter(|rule| rule["type"] == "required_status_checks") {
        let checks = rule["parameters"]["required_status_checks"].as_array();
        for check in checks.into_iter().flatten() {
            add(check["context"].as_str());
        }
    }
    let classic = branch.map(|branch| &branch["protection"]["required_status_checks"]["contexts"]);
    for context in classic.and_then(Value::as_array).into_iter().flatten() {
        add(context.as_str());
    }
    names
}
