//! The configuration: what `config/shipmate.toml` may say, what it means and which values are refused.
//!
//! All problems of a file are reported at once, each as one sentence with file, line, key and the mend. Secrets never stand in the
//! file: see [`Secrets`]. A [`Project`] can be written to the journal and read back, because a deployment keeps the settings it
//! began with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{Days, NaiveDate, NaiveTime, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use crate::github::{MergeMethod, RepoName};
use section::{Report, Section, word_setting};

mod freeze;
mod rules;
mod secrets;
mod section;

pub use freeze::{Freeze, Frozen, Window, frozen};
pub use secrets::{GitHubSecret, Secrets, SlackSecret};

/// Where the configuration is when neither `--config` nor `SHIPMATE_CONFIG` says so.
pub const DEFAULT_PATH: &str = "config/shipmate.toml";

/// Everything that isn't secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The database and the flight recorder; relative to the working directory.
    pub data_dir: PathBuf,
    /// Where workspaces are made; `None` is the system's folder for temporary files.
    pub workspace_root: Option<PathBuf>,
    /// The HTTP side.
    pub server: Server,
    /// How we reach Slack.
    pub slack: Slack,
    /// How we reach GitHub.
    pub github: GitHub,
    /// At least one.
    pub projects: Vec<Project>,
    /// Slack user id → GitHub login.
    pub people: BTreeMap<String, String>,
    /// What is kept.
    pub history: History,
    /// Who may decide on the dashboard.
    pub dashboard: Dashboard,
    /// Where a trace of each deployment goes, if anywhere.
    pub traces: Option<Traces>,
}

/// Where a trace of each deployment goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// An OpenTelemetry collector's address for OTLP over HTTP, without `/v1/traces` and without a slash at its end.
    pub endpoint: String,
}

/// Who may decide on the dashboard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dashboard {
    /// Slack user id → SHA-256 of that person's token, in hex: a long random token can't be guessed from it, so it is no secret.
    pub people: BTreeMap<String, String>,
}

/// The HTTP side.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Dashboard, health, metrics, webhooks, and Slack's endpoints in HTTP mode.
    pub listen: SocketAddr,
}

/// How we reach Slack.
#[derive(Clone, Debug, PartialEq)]
pub struct Slack {
    /// The way inbound messages come.
    pub mode: SlackMode,
    /// Base of the Web API, without a slash at its end.
    pub api_url: String,
}

/// The way inbound messages come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlackMode {
    /// We open a WebSocket: nothing need be reachable from outside.
    #[default]
    Socket,
    /// Slack posts to our endpoints.
    Http,
}

/// How we reach GitHub.
#[derive(Clone, Debug, PartialEq)]
pub struct GitHub {
    /// Base of the REST API, without a slash at its end.
    pub api_url: String,
    /// Base of clone URLs, without a slash at its end.
    pub git_url: String,
    /// A GitHub App instead of a token.
    pub app_id: Option<u64>,
    /// The App's installation; looked up by repository otherwise.
    pub installation_id: Option<u64>,
    /// Between two writes to one repository; GitHub asks for a second.
    pub write_gap: Duration,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Ended deployments kept, for each project.
    pub keep: u32,
}

/// One repository with its channel and its rules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Project {
    /// What people type; unique.
    pub name: String,
    /// The repository.
    pub repo: RepoName,
    /// Channel id; one project a channel.
    pub channel: String,
    /// The branch that approved pull requests target.
    pub base_branch: String,
    /// The deploy branch's name is this and a date.
    pub branch_prefix: String,
    /// In which the date of the deploy branch is read.
    pub time_zone: Tz,
    /// How pull requests go into the deploy branch.
    pub merge_method: MergeMethod,
    /// How the deploy branch goes into the base branch.
    pub deploy_merge_method: MergeMethod,
    /// GitHub logins asked to review the deploy pull request.
    pub reviewers: Vec<String>,
    /// Whether the deploy pull request waits for an approval on GitHub.
    #[serde(default)]
    pub deploy_approval: DeployApproval,
    /// The release's tag, with `{version}` in it.
    pub release_tag: String,
    /// File name of the workflow that the merge starts.
    pub deploy_workflow: String,
    /// Check names that must succeed; empty: all that report.
    pub required_checks: Vec<String>,
    /// What it means when no check reports.
    pub no_checks: NoChecks,
    /// Ticked in the thread after the release.
    pub checklist: Vec<String>,
    /// Pull requests with one of these labels stay behind.
    pub blocked_labels: Vec<String>,
    /// Which part of the version counts up when nobody says.
    pub bump: Bump,
    /// The files that carry the version; at least one.
    pub version_files: Vec<VersionFile>,
    /// Who may do what; nobody by default.
    pub permissions: Permissions,
    /// How long each wait may take.
    pub timeouts: Timeouts,
    /// Whether to offer closing the issues that GitHub won't close.
    pub close_issues: CloseIssues,
    /// Whether each merged pull request gets a comment once it is released.
    pub comment_shipped: bool,
    /// When starting needs an override.
    pub freeze: Vec<Freeze>,
}

/// What it means when no check reports within the grace period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoChecks {
    /// A failure.
    Fail,
    /// Success, and the card says that there were none.
    #[default]
    Pass,
}

/// Whether somebody must approve of the deploy pull request on GitHub before it is merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeployApproval {
    /// Somebody with write access, who isn't its author.
    #[default]
    Required,
    /// Nobody, as far as the base branch's rules allow: who approved in Slack has approved.
    None,
}

/// Which part of the version counts up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bump {
    /// 1.2.3 → 1.2.4
    #[default]
    Patch,
    /// 1.2.3 → 1.3.0
    Minor,
    /// 1.2.3 → 2.0.0
    Major,
    /// Year, month and day, and a count within the day: 2026.1124.0, then 2026.1124.1.
    Calendar,
}

/// What happens to linked issues that are still open after the release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CloseIssues {
    /// A person is asked.
    #[default]
    Offer,
    /// They stay open.
    Never,
}

/// A file that carries the version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionFile {
    /// Relative to the repository's root, with `/`.
    pub path: String,
    /// Where in it.
    #[serde(flatten)]
    pub kind: VersionFileKind,
}

/// Where in a file the version stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum VersionFileKind {
    /// At a JSON pointer (RFC 6901).
    Json {
        /// Begins with `/`.
        pointer: String,
    },
    /// At a dotted key.
    Toml {
        /// `package.version`
        key: String,
    },
    /// At a dotted key.
    Yaml {
        /// `app.version`
        key: String,
    },
    /// `version:` of an Elixir project, or its `@version`.
    Mix,
    /// The whole file.
    Plain,
    /// What the one capture group matches.
    Regex {
        /// Compiles, with exactly one capture group.
        pattern: String,
    },
}

/// Who may do what: Slack users (`U…`), user groups (`S…`), or `*` for everybody in the channel. Empty lists allow nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// Start a deployment and edit its train.
    pub start: Vec<String>,
    /// Approve the point of no return.
    pub approve: Vec<String>,
    /// Abort.
    pub abort: Vec<String>,
    /// Pass freeze windows and locks.
    pub r#override: Vec<String>,
    /// The one who started may not approve.
    pub two_person: bool,
    /// How many must approve; at least 1.
    pub approvals: u32,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            start: Vec::new(),
            approve: Vec::new(),
            abort: Vec::new(),
            r#override: Vec::new(),
            two_person: false,
            approvals: 1,
        }
    }
}

/// How long each wait may take. Written as `"60m"`, in the file and in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// For checks and statuses of the deploy pull request.
    #[serde(with = "human_duration")]
    pub ci: Duration,
    /// For its reviews.
    #[serde(with = "human_duration")]
    pub approval: Duration,
    /// For the workflow run after the merge.
    #[serde(with = "human_duration")]
    pub deploy_run: Duration,
    /// For the release to appear.
    #[serde(with = "human_duration")]
    pub release: Duration,
    /// How long "no checks at all" is waited out.
    #[serde(with = "human_duration")]
    pub no_checks_grace: Duration,
    /// Between the first looks at GitHub.
    #[serde(with = "human_duration")]
    pub poll_min: Duration,
    /// Between later looks.
    #[serde(with = "human_duration")]
    pub poll_max: Duration,
    /// After which the list of pull requests counts as not confirmed.
    #[serde(with = "human_duration")]
    pub confirm: Duration,
    /// After which the point of no return counts as not approved.
    #[serde(with = "human_duration")]
    pub approve_ponr: Duration,
    /// Between reminders to people.
    #[serde(with = "human_duration")]
    pub reminder: Duration,
    /// Within which the workflow run must have begun.
    #[serde(with = "human_duration")]
    pub run_watchdog: Duration,
    /// For GitHub to work out whether a pull request can be merged.
    #[serde(with = "human_duration")]
    pub mergeable: Duration,
    /// How long green checks must stay green, because more may come.
    #[serde(with = "human_duration")]
    pub stable_for: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let seconds = Duration::from_secs;
        Self {
            ci: seconds(HOUR),
            approval: seconds(24 * HOUR),
            deploy_run: seconds(HOUR),
            release: seconds(30 * MINUTE),
            no_checks_grace: seconds(MINUTE),
            poll_min: seconds(2),
            poll_max: seconds(MINUTE),
            confirm: seconds(24 * HOUR),
            approve_ponr: seconds(24 * HOUR),
            reminder: seconds(30 * MINUTE),
            run_watchdog: seconds(10 * MINUTE),
            mergeable: seconds(MINUTE),
            stable_for: seconds(MINUTE),
        }
    }
}

/// Why a configuration is refused: all problems, a sentence each, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The file to read: the flag's, else `SHIPMATE_CONFIG`'s, else [`DEFAULT_PATH`].
    pub fn path(flag: Option<PathBuf>, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
        flag.or_else(|| {
            variable("SHIPMATE_CONFIG")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        })
        .unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            problems: vec![format!(
                "{}: cannot be read ({error}); copy config/shipmate.example.toml there, or name another file with --config or SHIPMATE_CONFIG",
                path.display()
            )],
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads a text; `name` is how problems call it.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let report = Report::new(name, text);
        let config = read_config(&report, text);
        match (config, report.into_problems()) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(ConfigError { problems }),
        }
    }

    /// The project of this name.
    pub fn project(&self, name: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.name == name)
    }

    /// The project of this channel.
    pub fn project_of_channel(&self, channel: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.channel == channel)
    }
}

/// `None` only with a problem in the report.
fn read_config(report: &Report<'_>, text: &str) -> Option<Config> {
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            report.problem(offset, format!("is not TOML: {}", error.message().replace('\n', ", ")));
            return None;
        }
    };
    let mut root = Section::root(report, &table);
    let data_dir = root.or("data_dir", PathBuf::from("data"));
    let workspace_root = root.optional("workspace_root");
    let server = read_server(root.section("server"));
    let slack = read_slack(root.section("slack"));
    let github = read_github(root.section("github"));
    let projects = read_projects(&mut root);
    let people = read_people(root.section("people"));
    let dashboard = read_dashboard(root.section("dashboard"));
    let history = read_history(root.section("history"));
    let traces = read_traces(root.section("traces"));
    root.finish();
    Some(Config {
        data_dir,
        workspace_root,
        server,
        slack,
        github,
        projects: projects?,
        people,
        dashboard,
        history,
        traces,
    })
}

fn read_server(mut section: Section<'_>) -> Server {
    let listen = section.or("listen", SocketAddr::from(([127, 0, 0, 1], 8080)));
    section.finish();
    Server { listen }
}

fn read_slack(mut section: Section<'_>) -> Slack {
    let mode = section.or("mode", SlackMode::default());
    let api_url = read_url(&mut section, "api_url", "https://slack.com/api");
    section.finish();
    Slack { mode, api_url }
}

fn read_github(mut section: Section<'_>) -> GitHub {
    let github = GitHub {
        api_url: read_url(&mut section, "api_url", "https://api.github.com"),
        git_url: read_url(&mut section, "git_url", "https://github.com"),
        app_id: section.optional("app_id"),
        installation_id: section.optional("installation_id"),
        write_gap: section.or("write_gap", Duration::from_secs(1)),
    };
    if github.installation_id.is_some() && github.app_id.is_none() {
        section.problem(
            "installation_id",
            "belongs to a GitHub App; set `app_id` as well, or remove it",
        );
    }
    section.finish();
    github
}

fn read_url(section: &mut Section<'_>, key: &str, default: &str) -> String {
    let url = section.or(key, default.to_owned());
    section.check(key, rules::base_url(&url));
    url.trim_end_matches('/').to_owned()
}

fn read_people(section: Section<'_>) -> BTreeMap<String, String> {
    section.pairs(|user, login| {
        rules::slack_user(user)?;
        rules::login(login)
    })
}

fn read_dashboard(mut section: Section<'_>) -> Dashboard {
    let people = section.section("people").pairs(|user, hash| {
        rules::slack_user(user)?;
        rules::sha256(hash)
    });
    section.finish();
    Dashboard { people }
}

fn read_history(mut section: Section<'_>) -> History {
    let keep = section.or("keep", 200);
    section.check("keep", rules::at_least_one(keep));
    section.finish();
    History { keep }
}

fn read_traces(mut section: Section<'_>) -> Option<Traces> {
    let endpoint: Option<String> = section.optional("endpoint");
    if let Some(endpoint) = &endpoint {
        section.check("endpoint", rules::base_url(endpoint));
    }
    section.finish();
    endpoint.map(|endpoint| Traces {
        endpoint: endpoint.trim_end_matches('/').trim_end_matches("/v1/traces").to_owned(),
    })
}

fn read_projects(root: &mut Section<'_>) -> Option<Vec<Project>> {
    let sections = root.sections("projects");
    if sections.is_empty() {
        root.problem(
            "projects",
            "is empty; add a `[[projects]]` table with name, repo, channel and deploy_workflow",
        );
    }
    let (mut names, mut channels, mut trains) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    // All are read before the first gap ends it, so that all problems are found.
    let projects: Vec<_> = sections
        .into_iter()
        .map(|section| read_project(section, &mut names, &mut channels, &mut trains))
        .collect();
    projects.into_iter().collect()
}

/// What no two projects can share: they would take each other's pull requests, or push the same branch.
struct Train {
    project: String,
    repo: RepoName,
    base_branch: String,
    branch_prefix: String,
}

impl Train {
    /// Refuses what a project of another name has already. Case tells repositories apart nowhere, and branches to nobody's good.
    fn check(&self, others: &[Train], section: &Section<'_>) {
        let same = |ours: &str, theirs: &str| ours.eq_ignore_ascii_case(theirs);
        let (project, repo) = (&self.project, self.repo.to_string());
        let beside = |other: &&Train| other.project != *project && same(&other.repo.to_string(), &repo);
        for other in others.iter().filter(beside) {
            if same(&other.base_branch, &self.base_branch) {
                let sentence = format!(
                    "is `{}` of {repo} in `{}` and in `{project}`, whose trains would take the same pull requests; give one of them another, or make them one project",
                    self.base_branch, other.project
                );
                section.problem("base_branch", &sentence);
            } else if same(&other.branch_prefix, &self.branch_prefix) {
                let sentence = format!(
                    "is `{}` for {repo} in `{}` and in `{project}`, which would push the same branches; give one of them another, such as \"deploy-{project}-\"",
                    self.branch_prefix, other.project
                );
                section.problem("branch_prefix", &sentence);
            }
        }
    }
}

fn read_project(
    mut section: Section<'_>,
    names: &mut BTreeSet<String>,
    channels: &mut BTreeSet<String>,
    trains: &mut Vec<Train>,
) -> Option<Project> {
    let name = required(&mut section, "name", "\"web\"", rules::project_name);
    let repo: Option<RepoName> = section.required("repo", "\"owner/name\"");
    let channel = required(&mut section, "channel", "\"C0123456789\"", rules::channel);
    for (key, value, taken) in [("name", &name, names), ("channel", &channel, channels)] {
        if value.as_ref().is_some_and(|value| !taken.insert(value.clone())) {
            section.problem(key, "is another project's already; each project needs its own");
        }
    }

    let base_branch = checked(&mut section, "base_branch", "staging", rules::branch);
    let branch_prefix = checked(&mut section, "branch_prefix", "deploy-", rules::branch_prefix);
    if let (Some(project), Some(repo)) = (&name, &repo) {
        let train = Train {
            project: project.clone(),
            repo: repo.clone(),
            base_branch: base_branch.clone(),
            branch_prefix: branch_prefix.clone(),
        };
        train.check(trains, &section);
        trains.push(train);
    }
    let release_tag = checked(&mut section, "release_tag", "v{version}", rules::release_tag);
    let deploy_workflow = required(&mut section, "deploy_workflow", "\"deploy.yml\"", rules::workflow);
    let time_zone = section.or("time_zone", Tz::UTC);
    let merge_method = section.or("merge_method", MergeMethod::default());
    let deploy_merge_method = section.or("deploy_merge_method", MergeMethod::default());
    let reviewers = each(&mut section, "reviewers", rules::login);
    let deploy_approval = section.or("deploy_approval", DeployApproval::default());
    let required_checks = section.or("required_checks", Vec::new());
    let no_checks = section.or("no_checks", NoChecks::default());
    let checklist = each(&mut section, "checklist", rules::checklist_item);
    let blocked_labels = section.or("blocked_labels", Vec::new());
    let bump = section.or("bump", Bump::default());
    let close_issues = section.or("close_issues", CloseIssues::default());
    let comment_shipped = section.or("comment_shipped", false);

    let version_files = read_version_files(&mut section);
    let permissions = read_permissions(section.section("permissions"));
    let timeouts = read_timeouts(section.section("timeouts"));
    let freeze: Vec<_> = section.sections("freeze").into_iter().map(read_freeze).collect();
    section.finish();

    Some(Project {
        name: name?,
        repo: repo?,
        channel: channel?,
        base_branch,
        branch_prefix,
        time_zone,
        merge_method,
        deploy_merge_method,
        reviewers,
        deploy_approval,
        release_tag,
        deploy_workflow: deploy_workflow?,
        required_checks,
        no_checks,
        checklist,
        blocked_labels,
        bump,
        version_files: version_files?,
        permissions,
        timeouts,
        close_issues,
        comment_shipped,
        freeze: freeze.into_iter().collect::<Option<_>>()?,
    })
}

fn read_version_files(project: &mut Section<'_>) -> Option<Vec<VersionFile>> {
    let sections = project.sections("version_files");
    if sections.is_empty() {
        project.problem(
            "version_files",
            "is empty, so there would be no version to bump; add a `[[projects.version_files]]` table with path and kind",
        );
    }
    let files: Vec<_> = sections.into_iter().map(read_version_file).collect();
    let files: Vec<_> = files.into_iter().collect::<Option<_>>()?;
    for (index, file) in files.iter().enumerate() {
        if files[..index].contains(file) {
            project.problem(
                "version_files",
                &format!("names `{}` twice at the same place; remove one", file.path),
            );
        }
    }
    Some(files)
}

fn read_version_file(mut section: Section<'_>) -> Option<VersionFile> {
    let path = required(&mut section, "path", "\"package.json\"", rules::version_file_path);
    let kind: Option<String> = section.required("kind", "\"json\"");
    let kind = kind.and_then(|kind| match kind.as_str() {
        "json" => Some(VersionFileKind::Json {
            pointer: required(&mut section, "pointer", "\"/version\"", rules::json_pointer)?,
        }),
        "toml" => Some(VersionFileKind::Toml {
            key: required(&mut section, "key", "\"package.version\"", rules::dotted_key)?,
        }),
        "yaml" => Some(VersionFileKind::Yaml {
            key: required(&mut section, "key", "\"version\"", rules::dotted_key)?,
        }),
        "mix" => Some(VersionFileKind::Mix),
        "plain" => Some(VersionFileKind::Plain),
        "regex" => Some(VersionFileKind::Regex {
            pattern: required(
                &mut section,
                "pattern",
                "'version = \"(.+)\"'",
                rules::regex_with_one_group,
            )?,
        }),
        _ => {
            section.problem(
                "kind",
                "must be one of \"json\", \"toml\", \"yaml\", \"mix\", \"plain\", \"regex\"",
            );
            None
        }
    });
    if kind.is_some() {
        section.finish();
    }
    Some(VersionFile {
        path: path?,
        kind: kind?,
    })
}

fn read_permissions(mut section: Section<'_>) -> Permissions {
    let permissions = Permissions {
        start: each(&mut section, "start", rules::who),
        approve: each(&mut section, "approve", rules::who),
        abort: each(&mut section, "abort", rules::who),
        r#override: each(&mut section, "override", rules::who),
        two_person: section.or("two_person", false),
        approvals: section.or("approvals", 1),
    };
    section.check("approvals", rules::at_least_one(permissions.approvals));
    section.finish();
    permissions
}

fn read_timeouts(mut section: Section<'_>) -> Timeouts {
    let default = Timeouts::default();
    let mut read = |key, default| {
        let value: Duration = section.or(key, default);
        section.check(key, rules::positive(value));
        value
    };
    let timeouts = Timeouts {
        ci: read("ci", default.ci),
        approval: read("approval", default.approval),
        deploy_run: read("deploy_run", default.deploy_run),
        release: read("release", default.release),
        no_checks_grace: read("no_checks_grace", default.no_checks_grace),
        poll_min: read("poll_min", default.poll_min),
        poll_max: read("poll_max", default.poll_max),
        confirm: read("confirm", default.confirm),
        approve_ponr: read("approve_ponr", default.approve_ponr),
        reminder: read("reminder", default.reminder),
        run_watchdog: read("run_watchdog", default.run_watchdog),
        mergeable: read("mergeable", default.mergeable),
        stable_for: read("stable_for", default.stable_for),
    };
    if timeouts.poll_min > timeouts.poll_max {
        section.problem("poll_min", "is longer than `poll_max`; make it at most as long");
    }
    section.finish();
    timeouts
}

fn read_freeze(mut section: Section<'_>) -> Option<Freeze> {
    let window = read_window(&mut section);
    let time_zone = section.optional("time_zone");
    let reason = section.required("reason", "\"Nobody is at work\"");
    section.finish();
    Some(Freeze {
        window: window?,
        time_zone,
        reason: reason?,
    })
}

fn read_window(section: &mut Section<'_>) -> Option<Window> {
    let days: Vec<Weekday> = section.or("days", Vec::new());
    let from: Option<NaiveTime> = section.optional("from");
    let to: Option<NaiveTime> = section.optional("to");
    let first: Option<NaiveDate> = section.optional("from_date");
    let last: Option<NaiveDate> = section.optional("until_date");
    let begins_at = from.unwrap_or(NaiveTime::MIN);
    match (first, last) {
        (None, None) => {
            if from.is_some() && from == to {
                section.problem(
                    "to",
                    "is the same as `from`, so the window would be empty; make it later, or leave both out for whole days",
                );
            }
            Some(Window::Weekly {
                days,
                from: begins_at,
                to: to.unwrap_or(NaiveTime::MIN),
            })
        }
        (Some(first), Some(last)) => {
            if !days.is_empty() {
                section.problem(
                    "days",
                    "is for weekly windows; remove it, or `from_date` and `until_date`",
                );
            }
            let begins = first.and_time(begins_at);
            // The last day is frozen, too.
            let ends = match to {
                Some(to) => last.and_time(to),
                None => last.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN),
            };
            if ends <= begins {
                section.problem("until_date", "is before `from_date`; make it later");
            }
            Some(Window::Dated { begins, ends })
        }
        (Some(_), None) => {
            section.problem("from_date", "needs an `until_date` as well: the last day of the freeze");
            None
        }
        (None, Some(_)) => {
            section.problem("until_date", "needs a `from_date` as well: the first day of the freeze");
            None
        }
    }
}

type Rule = fn(&str) -> Result<(), String>;

fn checked(section: &mut Section<'_>, key: &str, default: &str, rule: Rule) -> String {
    let value = section.or(key, default.to_owned());
    section.check(key, rule(&value));
    value
}

fn required(section: &mut Section<'_>, key: &str, example: &str, rule: Rule) -> Option<String> {
    let value: String = section.required(key, example)?;
    section.check(key, rule(&value));
    Some(value)
}

fn each(section: &mut Section<'_>, key: &str, rule: Rule) -> Vec<String> {
    let values: Vec<String> = section.or(key, Vec::new());
    for value in &values {
        section.check(
            key,
            rule(value).map_err(|sentence| format!("has the item `{value}`, which {sentence}")),
        );
    }
    values
}

word_setting!(
    SlackMode,
    NoChecks,
    DeployApproval,
    Bump,
    CloseIssues,
    MergeMethod,
    RepoName
);

/// Durations as people write them (`"60m"`), for serde.
mod human_duration {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
