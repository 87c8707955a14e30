//! The sandbox as a whole: both doubles, and a configuration that leads the unchanged bot to them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::github;
use super::github::knobs::Credential;
use super::github::{GitHubDouble, Pace, Scenario, Scenarios, tokens};
use super::slack::{self, SlackDouble};
use crate::config::{Config, GitHubSecret, Secrets, SlackSecret, VersionFile, VersionFileKind};

/// The repository that is played with.
pub const REPO: &str = "acme/web";

const CONFIG: &str = include_str!("../../config/sandbox.toml");

/// What to play.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How fast GitHub plays.
    pub pace: Pace,
    /// What kind of day it is.
    pub scenario: Scenarios,
    /// A real repository, and the branches that have pull requests.
    pub adopt: Option<(PathBuf, Vec<String>)>,
    /// Where journals are kept; `None`: in a directory that goes with the sandbox.
    pub data_dir: Option<PathBuf>,
    /// Further projects, by name: each with a repository and a channel of its own, see [`channel_of`].
    pub more_projects: Vec<String>,
}

/// The channel of a further project.
pub fn channel_of(project: &str) -> String {
    format!("C0{}", project.to_uppercase())
}

/// Both doubles and what leads to them.
pub struct Sandbox {
    /// GitHub.
    pub github: GitHubDouble,
    /// Slack.
    pub slack: SlackDouble,
    /// The bot's configuration.
    pub config: Config,
    scenario: Scenarios,
    dir: TempDir,
}

impl Sandbox {
    /// Starts both doubles.
    ///
    /// # Errors
    /// One sentence.
    pub async fn start(options: Options) -> Result<Self, String> {
        let github = GitHubDouble::start(github::Options {
            pace: options.pace,
            scenario: options.scenario.clone(),
            adopt: options.adopt,
            more_repos: options
                .more_projects
                .iter()
                .map(|name| format!("acme/{name}"))
                .collect(),
        })
        .await?;
        let slack = SlackDouble::start(slack::Options {
            rate_limits: options.pace == Pace::Human,
            more_channels: options
                .more_projects
                .iter()
                .map(|name| (channel_of(name), format!("deploys-{name}")))
                .collect(),
            ..slack::Options::default()
        })
        .await?;
        let dir = tempfile::Builder::new()
            .prefix("shipmate-sandbox-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let mut config = Config::parse(CONFIG, "config/sandbox.toml").map_err(|error| error.to_string())?;
        config.slack.api_url = slack.api_url();
        config.github.api_url = github.api_url();
        config.github.git_url = github.git_url();
        if github.credential() == Credential::App {
            config.github.app_id = Some(tokens::APP_ID);
        }
        // Everybody's token is their login: `ana` signs in to the dashboard as Ana.
        let hash = |login: &String| hex::encode(Sha256::digest(login));
        config.dashboard.people = config
            .people
            .iter()
            .map(|(id, login)| (id.clone(), hash(login)))
            .collect();
        config.data_dir = options.data_dir.unwrap_or_else(|| dir.path().join("data"));
        config.workspace_root = Some(dir.path().join("workspaces"));
        for project in &mut config.projects {
            let files = github.version_files(REPO).await;
            project.version_files = files.into_iter().map(version_file).collect();
            if project.version_files.is_empty() {
                return Err("the repository has no version file that is known by name: package.json, Cargo.toml, pyproject.toml, VERSION or mix.exs".to_owned());
            }
            quicken(&mut project.timeouts, options.pace, &options.scenario);
        }
        for name in options.more_projects {
            let mut project = config.projects[0].clone();
            project.repo = format!("acme/{name}").try_into()?;
            project.channel = channel_of(&name);
            project.name = name;
            config.projects.push(project);
        }
        Ok(Self {
            github,
            slack,
            config,
            scenario: options.scenario,
            dir,
        })
    }

    /// What kind of day it is.
    pub fn scenario(&self) -> &Scenarios {
        &self.scenario
    }

    /// The secrets that the doubles take.
    pub fn secrets(&self) -> Secrets {
        Secrets {
            slack_bot_token: SecretString::from(self.slack.bot_token()),
            slack: SlackSecret::AppToken(SecretString::from(self.slack.app_token())),
            github: match self.github.credential() {
                Credential::App => GitHubSecret::AppPrivateKey(SecretString::from(tokens::APP_KEY)),
                _ => GitHubSecret::Token(SecretString::from(self.github.token())),
            },
            github_webhook_secret: Some(SecretString::from("sandbox-webhook-secret")),
            dashboard_token: None,
            otlp_headers: None,
        }
    }

    /// Where workspaces are made.
    pub fn workspaces(&self) -> PathBuf {
        self.dir.path().join("workspaces")
    }

    /// A directory that goes with the sandbox.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn version_file((path, kind): (&'static str, &'static str)) -> VersionFile {
    let key = if path == "pyproject.toml" {
        "project.version"
    } else {
        "package.version"
    };
    VersionFile {
        path: path.to_owned(),
        kind: match kind {
            "json" => VersionFileKind::Json {
                pointer: "/version".to_owned(),
            },
            "toml" => VersionFileKind::Toml { key: key.to_owned() },
            "mix" => VersionFileKind::Mix,
            _ => VersionFileKind::Plain,
        },
    }
}

/// The real waits are made for the real GitHub.
fn quicken(timeouts: &mut crate::config::Timeouts, pace: Pace, scenario: &Scenarios) {
    let (poll_min, poll_max, stable_for) = match pace {
        Pace::Instant => (2, 10, 10),
        Pace::Fast => (60, 400, 500),
        Pace::Human => (500, 2000, 4000),
    };
    timeouts.poll_min = Duration::from_millis(poll_min);
    timeouts.poll_max = Duration::from_millis(poll_max);
    timeouts.stable_for = Duration::from_millis(stable_for);
    timeouts.no_checks_grace = Duration::from_millis(stable_for * 4);
    timeouts.mergeable = Duration::from_millis(poll_max * 60);
    if scenario.has(Scenario::NoRun) {
        timeouts.run_watchdog = Duration::from_millis(poll_max * 5);
        timeouts.deploy_run = Duration::from_millis(poll_max * 10);
        timeouts.release = Duration::from_millis(poll_max * 5);
    }
}
