//! The double of GitHub: a model of state (`model`) over real bare repositories (`bare`) behind GitHub's own protocols (`rest`,
//! `git_http`), with a life of its own (`life`): checks, reviewers and Actions play by themselves. How it behaves is turned with [`Knobs`], or
//! by the names of [`scenario`]s; what people do at GitHub are its hands ([`GitHubDouble`]'s methods).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::faults::Faults;
use super::locked;

pub mod bare;
mod git_http;
mod hands;
pub mod knobs;
mod life;
pub mod model;
mod rest;
pub mod scenario;
mod seed;
pub mod tokens;

use bare::Bare;
use knobs::{Credential, Knobs};
use model::Model;
pub use scenario::{SCENARIOS, Scenario, Scenarios};

/// The repository that there always is.
const FIRST: &str = "acme/web";
/// Who the bot is.
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
    pub scenario: Scenarios,
    /// A real repository instead of the built-in one, and the branches that have pull requests.
    pub adopt: Option<(PathBuf, Vec<String>)>,
    /// Further repositories with the built-in content.
    pub more_repos: Vec<String>,
}

/// One repository.
pub(super) struct Repo {
    /// Outlives its name.
    id: usize,
    name: String,
    bare: Bare,
    model: tokio::sync::Mutex<Model>,
}

struct Inner {
    address: SocketAddr,
    options: Options,
    repos: BTreeMap<String, Arc<Repo>>,
    faults: Faults,
    knobs: Mutex<Knobs>,
    tokens: Mutex<tokens::Tokens>,
    /// When a used-up quota comes back, in epoch seconds.
    quota_back: Mutex<Option<i64>>,
    calls: Mutex<BTreeMap<String, u64>>,
    changes: watch::Sender<u64>,
    /// Where webhooks go, and their secret.
    webhook: Mutex<Option<(String, String)>>,
    /// Kinds of writes that lost their reply.
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
        let names = std::iter::once(FIRST.to_owned()).chain(options.more_repos.iter().cloned());
        for (index, name) in names.enumerate() {
            let at = dir.path().join(format!("{name}.git"));
            let (bare, model) = match &options.adopt {
                Some((source, branches)) => {
                    let bare = Bare::clone_of(source, &at).await?;
                    let model = seed::adopt(&bare, branches).await?;
                    (bare, model)
                }
                None => {
                    let bare = Bare::init(&at).await?;
                    let model = seed::fill(&bare, &options.scenario).await?;
                    (bare, model)
                }
            };
            let repo = Repo {
                id: index + 1,
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
            knobs: Mutex::new(options.scenario.knobs()),
            tokens: Mutex::default(),
            quota_back: Mutex::default(),
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

    /// The token that the bot gets, unless it is an App.
    pub fn token(&self) -> String {
        match self.credential() {
            Credential::FineGrained => tokens::FINE_GRAINED.to_owned(),
            Credential::Classic | Credential::App => tokens::CLASSIC.to_owned(),
        }
    }

    /// What the bot is to prove itself with.
    pub fn credential(&self) -> Credential {
        self.knobs(|knobs| knobs.credential)
    }

    /// Every installation token of the App has expired.
    pub fn expire_tokens(&self) {
        locked(&self.0.tokens).expire();
    }

    /// Turns its knobs, or looks at them.
    pub fn knobs<T>(&self, turn: impl FnOnce(&mut Knobs) -> T) -> T {
        turn(&mut locked(&self.0.knobs))
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

/// Where a repository is on disk.
fn root_of(inner: &Inner) -> &Path {
    inner._dir.path()
}
