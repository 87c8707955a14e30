//! The double of GitHub: a model of state (`model`) over real bare repositories (`bare`) behind GitHub's own protocols (`rest`,
//! `git_http`), with a life of its own (`life`): checks, reviewers and Actions play by themselves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{MutexGuard, watch};

use super::faults::Faults;
use super::locked;

pub mod bare;
mod git_http;
mod life;
pub mod model;
mod rest;
pub mod scenario;
mod seed;

use bare::Bare;
use model::{Model, Release, Review, Run};
pub use scenario::{SCENARIOS, Scenario};

/// The one token it takes.
const TOKEN: &str = "ghp_sandbox_token_of_no_value";
/// Whose token that is.
pub const BOT: &str = "shipmate[bot]";

/// How fast checks, reviewers and Actions play.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// At once, within the request that causes it: no timers, for tests.
    #[default]
    Instant,
    /// Tenths of seconds.
    Fast,
    /// Seconds: a person can follow.
    Human,
}

impl Pace {
    fn step(self) -> Duration {
        match self {
            Self::Instant => Duration::ZERO,
            Self::Fast => Duration::from_millis(120),
            Self::Human => Duration::from_millis(2500),
        }
    }
}

/// What to start with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How fast it plays.
    pub pace: Pace,
    /// What kind of day it is.
    pub scenario: Scenario,
    /// A real repository instead of the built-in one, and the branches that have pull requests.
    pub adopt: Option<(PathBuf, Vec<String>)>,
    /// Further repositories with the built-in content.
    pub more_repos: Vec<String>,
}

/// One repository.
pub(super) struct Repo {
    name: String,
    bare: Bare,
    model: tokio::sync::Mutex<Model>,
}

struct Inner {
    address: SocketAddr,
    options: Options,
    repos: BTreeMap<String, Arc<Repo>>,
    faults: Faults,
    calls: Mutex<BTreeMap<String, u64>>,
    changes: watch::Sender<u64>,
    /// Where webhooks go, and their secret.
    webhook: Mutex<Option<(String, String)>>,
    /// Behaviours that happen once.
    once: Mutex<std::collections::HashSet<String>>,
    server: Mutex<Option<tokio::task::JoinHandle<()>>>,
    _dir: TempDir,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(server) = locked(&self.server).take() {
            server.abort();
        }
    }
}

/// The double. Clones share it.
#[derive(Clone)]
pub struct GitHubDouble(Arc<Inner>);

impl GitHubDouble {
    /// Starts it on a free port of this machine.
    ///
    /// # Errors
    /// One sentence: git is missing, the repository can't be read.
    pub async fn start(options: Options) -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("shipmate-github-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let mut repos = BTreeMap::new();
        let names = std::iter::once("acme/web".to_owned()).chain(options.more_repos.iter().cloned());
        for name in names {
            let at = dir.path().join(format!("{name}.git"));
            let (bare, model) = match &options.adopt {
                Some((source, branches)) => {
                    let bare = Bare::clone_of(source, &at).await?;
                    let model = seed::adopt(&bare, branches).await?;
                    (bare, model)
                }
                None => {
                    let bare = Bare::init(&at).await?;
                    let model = seed::fill(&bare, options.scenario).await?;
                    (bare, model)
                }
            };
            let repo = Repo {
                name: name.clone(),
                bare,
                model: tokio::sync::Mutex::new(model),
            };
            repos.insert(name, Arc::new(repo));
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let double = Self(Arc::new(Inner {
            address: listener.local_addr().map_err(|error| error.to_string())?,
            options,
            repos,
            faults: Faults::default(),
            calls: Mutex::default(),
            changes: watch::Sender::new(0),
            webhook: Mutex::default(),
            once: Mutex::default(),
            server: Mutex::default(),
            _dir: dir,
        }));
        let routes = rest::router(Arc::downgrade(&double.0));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        *locked(&double.0.server) = Some(server);
        Ok(double)
    }

    /// `http://127.0.0.1:PORT`
    pub fn web(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// For `api_url` in the configuration.
    pub fn api_url(&self) -> String {
        format!("{}/api/v3", self.web())
    }

    /// For `git_url` in the configuration.
    pub fn git_url(&self) -> String {
        self.web()
    }

    /// The token it takes.
    pub fn token(&self) -> String {
        TOKEN.to_owned()
    }

    /// Its faults.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Counts visible changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Sends webhooks there from now on.
    pub fn send_webhooks(&self, url: &str, secret: &str) {
        *locked(&self.0.webhook) = Some((url.to_owned(), secret.to_owned()));
    }

    /// Calls so far, by method and route.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        locked(&self.0.calls).clone()
    }

    fn repo(&self, name: &str) -> Result<Arc<Repo>, String> {
        self.0
            .repos
            .get(name)
            .cloned()
            .ok_or_else(|| format!("there is no repository {name}"))
    }

    fn changed(&self, repo: &Repo) {
        self.0.changes.send_modify(|count| *count += 1);
        life::webhook(self, repo);
    }

    /// Whether this is the first time for that.
    fn first_time(&self, what: &str) -> bool {
        locked(&self.0.once).insert(what.to_owned())
    }

    fn scenario(&self) -> Scenario {
        self.0.options.scenario
    }

    /// What took effect so far, in order.
    pub async fn ledger(&self, repo: &str) -> Vec<String> {
        match self.repo(repo) {
            Ok(repo) => repo.model.lock().await.ledger.clone(),
            Err(_) => Vec::new(),
        }
    }

    /// Everything that can be seen, without times and counts: equal before and after what was undone completely.
    pub async fn snapshot(&self, repo: &str) -> Value {
        let Ok(repo) = self.repo(repo) else {
            return Value::Null;
        };
        let branches = repo.bare.branches().await.unwrap_or_default();
        let model = repo.model.lock().await;
        let pulls = model.pulls.values().map(|pull| {
            let reviews: Vec<Value> = pull.reviews.iter().map(|review| json!({ "user": review.user, "state": review.state })).collect();
            json!({
                "number": pull.number, "title": pull.title, "author": pull.author, "draft": pull.draft, "head": pull.head,
                "sha": pull.head_sha, "base": pull.base, "labels": pull.labels, "reviews": reviews, "requested": pull.requested,
                "state": match (&pull.merged, pull.open) { (Some(_), _) => "merged", (None, true) => "open", (None, false) => "closed" },
                "body": pull.body,
            })
        });
        let named = |(number, issue): (&u64, &model::Issue)| json!({ "number": number, "title": issue.title, "open": issue.open });
        json!({
            "repo": repo.name,
            "pull_requests": pulls.collect::<Vec<_>>(),
            "branches": branches.iter().map(|(name, sha)| json!({ "name": name, "sha": sha })).collect::<Vec<_>>(),
            "checks": model.checks.iter().map(|(sha, checks)| {
                let rows: Vec<Value> = checks.iter().map(|check| json!({ "name": check.name, "status": check.status, "conclusion": check.conclusion })).collect();
                (sha.clone(), json!(rows))
            }).collect::<serde_json::Map<_, _>>(),
            "runs": model.runs.iter().filter(|run| run.late == 0).map(|run| json!({
                "id": run.id, "workflow": run.workflow, "sha": run.sha, "attempt": run.attempt, "status": run.status, "conclusion": run.conclusion,
                "jobs": run.jobs.iter().map(|(name, status, conclusion)| json!({ "name": name, "status": status, "conclusion": conclusion })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "releases": model.releases.iter().map(|release| json!({ "tag": release.tag, "name": release.name, "body": release.body, "draft": release.draft })).collect::<Vec<_>>(),
            "issues": model.issues.iter().map(named).collect::<Vec<_>>(),
        })
    }

    /// The version files that the repository has at its root, as `(path, kind)`.
    pub async fn version_files(&self, repo: &str) -> Vec<(&'static str, &'static str)> {
        const KNOWN: [(&str, &str); 5] = [
            ("package.json", "json"),
            ("Cargo.toml", "toml"),
            ("pyproject.toml", "toml"),
            ("VERSION", "plain"),
            ("mix.exs", "mix"),
        ];
        let mut found = Vec::new();
        if let Ok(repo) = self.repo(repo) {
            for (path, kind) in KNOWN {
                if repo.bare.file("refs/heads/staging", path).await.is_some() {
                    found.push((path, kind));
                }
            }
        }
        found
    }
}

/// Hands: what people and GitHub's own machinery do in tests.
impl GitHubDouble {
    async fn with<T>(&self, repo: &str, act: impl FnOnce(&mut MutexGuard<'_, Model>) -> T) -> Result<T, String> {
        let repo = self.repo(repo)?;
        let done = act(&mut repo.model.lock().await);
        self.changed(&repo);
        Ok(done)
    }

    /// A review.
    pub async fn review(&self, repo: &str, number: u64, user: &str, state: &'static str) -> Result<(), String> {
        self.with(repo, |model| {
            let id = model.tick();
            if let Some(pull) = model.pulls.get_mut(&number) {
                pull.requested.retain(|login| login != user);
                pull.reviews.push(Review {
                    id,
                    user: user.to_owned(),
                    state,
                    commit: pull.head_sha.clone(),
                });
            }
        })
        .await
    }

    /// Somebody closes a pull request.
    pub async fn close(&self, repo: &str, number: u64) -> Result<(), String> {
        self.with(repo, |model| {
            if let Some(pull) = model.pulls.get_mut(&number) {
                pull.open = false;
            }
        })
        .await
    }

    /// Somebody pushes a commit to a branch.
    pub async fn push(
        &self,
        repo: &str,
        branch: &str,
        author: &str,
        path: &str,
        content: &str,
    ) -> Result<String, String> {
        let repo = self.repo(repo)?;
        let mut model = repo.model.lock().await;
        let tip = repo
            .bare
            .tip(branch)
            .await
            .ok_or_else(|| format!("there is no branch {branch}"))?;
        let dated = model.tick();
        let sha = repo
            .bare
            .commit(
                Some(&tip),
                &[(path, Some(content))],
                &format!("Change {path}"),
                author,
                dated,
            )
            .await?;
        repo.bare.set_ref(&format!("refs/heads/{branch}"), &sha).await?;
        life::refs_moved(self, &repo, &mut model).await?;
        drop(model);
        self.changed(&repo);
        Ok(sha)
    }

    /// Somebody makes a branch.
    pub async fn branch(&self, repo: &str, name: &str, at: &str) -> Result<(), String> {
        let repo = self.repo(repo)?;
        let mut model = repo.model.lock().await;
        repo.bare.set_ref(&format!("refs/heads/{name}"), at).await?;
        life::refs_moved(self, &repo, &mut model).await?;
        drop(model);
        self.changed(&repo);
        Ok(())
    }

    /// The checks of a commit end, or begin again.
    pub async fn set_check(
        &self,
        repo: &str,
        sha: &str,
        name: &str,
        status: &'static str,
        conclusion: Option<&'static str>,
    ) -> Result<(), String> {
        self.with(repo, |model| life::set_check(model, sha, name, status, conclusion))
            .await
    }

    /// Everything red of a commit is run again and passes.
    pub async fn rerun_checks(&self, repo: &str) -> Result<(), String> {
        self.with(repo, |model| {
            for check in model.checks.values_mut().flatten() {
                if check.conclusion == Some("failure") {
                    check.conclusion = Some("success");
                }
            }
        })
        .await
    }

    /// The newest run is run again and succeeds; its release comes.
    pub async fn rerun(&self, repo: &str) -> Result<(), String> {
        let repo = self.repo(repo)?;
        let sha = {
            let mut model = repo.model.lock().await;
            let run = model.runs.last_mut().ok_or("there is no run")?;
            run.attempt += 1;
            life::finish(run, None);
            run.sha.clone()
        };
        life::release(self, &repo, &sha).await?;
        self.changed(&repo);
        Ok(())
    }

    /// A run appears by hand.
    pub async fn add_run(&self, repo: &str, run: Run) -> Result<(), String> {
        self.with(repo, |model| model.runs.push(run)).await
    }

    /// A release appears by hand.
    pub async fn add_release(&self, repo: &str, release: Release) -> Result<(), String> {
        self.with(repo, |model| model.releases.push(release)).await
    }

    /// Looks at a pull request.
    pub async fn pull(&self, repo: &str, number: u64) -> Option<model::Pull> {
        self.repo(repo).ok()?.model.lock().await.pulls.get(&number).cloned()
    }

    /// The tip of a branch.
    pub async fn tip(&self, repo: &str, branch: &str) -> Option<String> {
        self.repo(repo).ok()?.bare.tip(branch).await
    }

    /// A file of a branch.
    pub async fn file(&self, repo: &str, branch: &str, path: &str) -> Option<String> {
        self.repo(repo)
            .ok()?
            .bare
            .file(&format!("refs/heads/{branch}"), path)
            .await
    }
}

/// Where a repository is on disk.
fn root_of(inner: &Inner) -> &Path {
    inner._dir.path()
}

#[cfg(test)]
mod tests;
