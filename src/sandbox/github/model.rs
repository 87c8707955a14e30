//! What the double knows besides its repository, and how that looks in GitHub's JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The world of one repository.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// By number.
    pub pulls: BTreeMap<u64, Pull>,
    /// By number.
    pub issues: BTreeMap<u64, Issue>,
    /// By commit.
    pub checks: BTreeMap<String, Vec<Check>>,
    /// In order of creation.
    pub runs: Vec<Run>,
    /// In order of creation.
    pub releases: Vec<Release>,
    /// Comments by issue or pull request.
    pub comments: BTreeMap<u64, Vec<String>>,
    /// What GitHub tells about an issue or pull request: events as it shows them.
    pub timeline: BTreeMap<u64, Vec<Value>>,
    /// Statuses by commit: context and state.
    pub statuses: BTreeMap<String, Vec<(String, &'static str)>>,
    /// So many reads don't find a new branch yet.
    pub hidden_refs: BTreeMap<String, u32>,
    /// So many reads don't find the pull requests of a new merge commit yet.
    pub hidden_merges: BTreeMap<String, u32>,
    /// How often the checks of a commit were read.
    pub check_reads: BTreeMap<String, u32>,
    /// The tips of branches when pull requests were last brought up to them.
    pub tips: BTreeMap<String, String>,
    /// What took effect, line by line.
    pub ledger: Vec<String>,
    /// Counts everything that needs an id or a date.
    pub clock: u64,
}

/// A pull request.
#[derive(Clone, Debug, Default)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Body.
    pub body: String,
    /// Login.
    pub author: String,
    /// Branch of the same repository.
    pub head: String,
    /// Tip of that branch.
    pub head_sha: String,
    /// Target.
    pub base: String,
    /// Not ready.
    pub draft: bool,
    /// Open.
    pub open: bool,
    /// The commit it was merged as, and by whom.
    pub merged: Option<(String, String)>,
    /// In order.
    pub reviews: Vec<Review>,
    /// Logins.
    pub requested: Vec<String>,
    /// Names.
    pub labels: Vec<String>,
    /// So many GETs answer `mergeable: null`.
    pub null_reads: u32,
    /// The next GET still answers with this base tip and this mergeability.
    pub stale: Option<(String, bool)>,
    /// So many lists don't have it yet.
    pub hidden: u32,
    /// So many requests for reviewers don't find it yet.
    pub unresolved: u32,
    /// GitHub merges it by itself as soon as it can.
    pub auto_merge: bool,
    /// Part of a native stack.
    pub stack: bool,
    /// In a merge queue.
    pub queued: bool,
    /// Issues linked by hand in the sidebar.
    pub linked: Vec<u64>,
}

/// A review.
#[derive(Clone, Debug)]
pub struct Review {
    /// Its id.
    pub id: u64,
    /// Login.
    pub user: String,
    /// GitHub's word.
    pub state: &'static str,
    /// What it was about.
    pub commit: String,
}

/// Where an issue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whereabouts {
    /// Here.
    #[default]
    Here,
    /// Deleted: 410.
    Deleted,
    /// In another repository: 301.
    Transferred,
}

/// An issue.
#[derive(Clone, Debug)]
pub struct Issue {
    /// Title.
    pub title: String,
    /// Open.
    pub open: bool,
    /// Where it is.
    pub whereabouts: Whereabouts,
}

/// What starts a workflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Event {
    /// A push.
    #[default]
    Push,
    /// A pull request that is opened, or its new head.
    PullRequest,
}

impl Event {
    /// GitHub's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::PullRequest => "pull_request",
        }
    }
}

/// A check run: a job of the workflow `ci.yml`.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its id.
    pub id: u64,
    /// What it runs for.
    pub event: Event,
    /// Its name.
    pub name: String,
    /// GitHub's word.
    pub status: &'static str,
    /// GitHub's word.
    pub conclusion: Option<&'static str>,
}

/// An Actions run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Its id.
    pub id: u64,
    /// The workflow file.
    pub workflow: String,
    /// What it runs for.
    pub event: Event,
    /// The commit.
    pub sha: String,
    /// Counts from 1.
    pub attempt: u64,
    /// GitHub's word.
    pub status: &'static str,
    /// GitHub's word.
    pub conclusion: Option<&'static str>,
    /// Name, status, conclusion.
    pub jobs: Vec<(String, &'static str, Option<&'static str>)>,
    /// The checks that its jobs are, if it is of `ci.yml`.
    pub checks: Vec<u64>,
    /// So many look-ups don't find it yet.
    pub late: u32,
    /// The branch that was pushed to.
    pub branch: String,
    /// When this attempt started.
    pub started: u64,
    /// Waiting for an environment's approval, which comes after so many looks.
    pub waits: Option<u32>,
}

/// A release.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// Its id.
    pub id: u64,
    /// Its tag.
    pub tag: String,
    /// Title.
    pub name: String,
    /// Description.
    pub body: String,
    /// Not published.
    pub draft: bool,
    /// Only its name and notes can be changed.
    pub immutable: bool,
    /// The commit it is of.
    pub target: String,
    /// When that commit was made: what GitHub calls the release's creation.
    pub created: u64,
}

/// The runs of `ci.yml` are counted from here, far from the others.
const CI_RUNS: u64 = 1_000_000;
/// The workflow whose jobs the checks are.
pub const CI: &str = "ci.yml";

impl Model {
    /// The run that the checks of a commit for an event are part of; its number is that of their suite.
    fn ci_run(&self, sha: &str, event: Event) -> Option<Run> {
        let checks = self.checks.get(sha)?.iter().filter(|check| check.event == event);
        let checks: Vec<&Check> = checks.collect();
        let ends: Option<Vec<&str>> = checks.iter().map(|check| check.conclusion).collect();
        let fine = |end: &&str| matches!(*end, "success" | "skipped" | "neutral");
        let conclusion = ends.map(|ends| if ends.iter().all(fine) { "success" } else { "failure" });
        Some(Run {
            id: CI_RUNS + checks.first()?.id,
            workflow: CI.to_owned(),
            event,
            sha: sha.to_owned(),
            attempt: 1,
            status: if conclusion.is_some() {
                "completed"
            } else {
                "in_progress"
            },
            conclusion,
            jobs: checks
                .iter()
                .map(|check| (check.name.clone(), check.status, check.conclusion))
                .collect(),
            checks: checks.iter().map(|check| check.id).collect(),
            ..Run::default()
        })
    }

    /// The suite of a commit's checks for an event.
    pub fn suite(&self, sha: &str, event: Event) -> Option<u64> {
        self.ci_run(sha, event).map(|run| run.id)
    }

    /// The runs whose jobs the checks of all commits are.
    pub fn ci_runs(&self) -> impl Iterator<Item = Run> {
        let of = |sha: &String| [Event::PullRequest, Event::Push].map(|event| self.ci_run(sha, event));
        self.checks.keys().flat_map(of).flatten()
    }

    /// The next id or date.
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// The next number: issues and pull requests share theirs.
    pub fn next_number(&self) -> u64 {
        let numbers = self.pulls.keys().chain(self.issues.keys());
        numbers.max().copied().unwrap_or(0) + 1
    }

    /// One more event in the timeline of an issue or pull request.
    pub fn tell(&mut self, number: u64, event: &str, details: Value) {
        let id = self.tick();
        let mut told = json!({ "id": id, "event": event, "created_at": time(id) });
        if let (Some(told), Value::Object(details)) = (told.as_object_mut(), details) {
            told.extend(details);
        }
        self.timeline.entry(number).or_default().push(told);
    }

    /// One more line of what took effect.
    pub fn note(&mut self, line: impl Into<String>) {
        self.ledger.push(line.into());
    }
}

/// A time of the double: counted, not measured.
pub fn time(count: u64) -> String {
    let at = chrono::DateTime::from_timestamp(1_790_000_000 + i64::try_from(count).unwrap_or(0), 0);
    at.unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

pub(super) fn user(login: &str) -> Value {
    let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
    json!({ "login": login, "type": kind })
}

impl Pull {
    /// As GitHub shows it; lists leave out what only the single GET has.
    pub fn json(&self, web: &str, repo: &str, base_sha: &str, single: Option<Option<bool>>) -> Value {
        let end = |branch: &str, sha: &str| json!({ "ref": branch, "sha": sha, "repo": { "full_name": repo } });
        let mut value = json!({
            "number": self.number,
            "node_id": format!("PR_{}", self.number),
            "title": self.title,
            "body": if self.body.is_empty() { Value::Null } else { json!(self.body) },
            "user": user(&self.author),
            "html_url": format!("{web}/{repo}/pull/{}", self.number),
            "draft": self.draft,
            "state": if self.open { "open" } else { "closed" },
            "merged_at": self.merged.as_ref().map(|_| time(self.number)),
            "merge_commit_sha": self.merged.as_ref().map(|(sha, _)| sha),
            "head": end(&self.head, &self.head_sha),
            "base": end(&self.base, base_sha),
            "labels": self.labels.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
            "auto_merge": self.auto_merge.then(|| json!({ "enabled_by": user(&self.author), "merge_method": "squash" })),
            "stack": self.stack.then(|| json!({ "position": 2, "size": 2 })),
            "requested_reviewers": self.requested.iter().map(|login| user(login)).collect::<Vec<_>>(),
            "created_at": time(self.number),
        });
        if let Some(mergeable) = single {
            value["merged"] = json!(self.merged.is_some());
            value["merged_by"] = self.merged.as_ref().map_or(Value::Null, |(_, by)| user(by));
            value["mergeable"] = json!(mergeable);
            value["mergeable_state"] = json!(match mergeable {
                _ if self.draft => "draft",
                None => "unknown",
                Some(true) => "clean",
                Some(false) => "dirty",
            });
        }
        value
    }
}

impl Review {
    /// As GitHub shows it.
    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "user": user(&self.user),
            "state": self.state,
            "commit_id": self.commit,
            "submitted_at": time(self.id),
        })
    }
}

impl Check {
    /// As GitHub shows it.
    pub fn json(&self, web: &str, repo: &str, suite: Option<u64>) -> Value {
        json!({
            "id": self.id,
            "check_suite": { "id": suite },
            "name": self.name,
            "status": self.status,
            "conclusion": self.conclusion,
            "html_url": format!("{web}/{repo}/runs/{}", self.id),
            "app": { "slug": "github-actions" },
        })
    }
}

impl Run {
    /// As GitHub shows it.
    pub fn json(&self, web: &str, repo: &str) -> Value {
        let (workflow_id, name) = if self.workflow == CI { (2, "CI") } else { (1, "Deploy") };
        json!({
            "id": self.id,
            "workflow_id": workflow_id,
            "name": name,
            "run_attempt": self.attempt,
            "run_started_at": time(self.started),
            "event": self.event.word(),
            "head_branch": self.branch,
            "path": format!(".github/workflows/{}", self.workflow),
            "status": self.status,
            "conclusion": self.conclusion,
            "head_sha": self.sha,
            "html_url": format!("{web}/{repo}/actions/runs/{}", self.id),
        })
    }

    /// Its jobs as GitHub shows them.
    pub fn jobs_json(&self, web: &str, repo: &str) -> Vec<Value> {
        let job = |(index, (name, status, conclusion)): (usize, &(String, &str, Option<&str>))| {
            let id = self.checks.get(index).copied().unwrap_or(self.id * 100 + index as u64);
            json!({
                "id": id,
                "name": name,
                "status": status,
                "conclusion": conclusion,
                "html_url": format!("{web}/{repo}/actions/runs/{}/job/{id}", self.id),
            })
        };
        self.jobs.iter().enumerate().map(job).collect()
    }
}

impl Release {
    /// As GitHub shows it.
    pub fn json(&self, web: &str, repo: &str) -> Value {
        let page = if self.draft {
            format!("untagged-{}", self.id)
        } else {
            self.tag.clone()
        };
        json!({
            "id": self.id,
            "tag_name": self.tag,
            "name": self.name,
            "body": self.body,
            "draft": self.draft,
            "prerelease": false,
            "immutable": self.immutable,
            "target_commitish": "main",
            "created_at": time(self.created),
            "html_url": format!("{web}/{repo}/releases/tag/{page}"),
        })
    }
}

/// An issue as GitHub shows it.
pub fn issue_json(web: &str, repo: &str, number: u64, issue: &Issue) -> Value {
    json!({
        "number": number,
        "title": issue.title,
        "state": if issue.open { "open" } else { "closed" },
        "html_url": format!("{web}/{repo}/issues/{number}"),
    })
}

/// A pull request as the issue that it is, too.
pub fn pull_as_issue(web: &str, repo: &str, pull: &Pull) -> Value {
    let number = pull.number;
    let page = format!("{web}/{repo}/pull/{number}");
    json!({
        "number": number,
        "title": pull.title,
        "state": if pull.open { "open" } else { "closed" },
        "html_url": page,
        "pull_request": { "html_url": page, "merged_at": pull.merged.as_ref().map(|_| time(number)) },
    })
}
