//! `shipmate check`: looks at everything that a deployment will rest on, changes nothing, and says for each thing that it is well or how to
//! mend it. Independent looks go side by side, each within a limit; secrets are used and never shown.
//!
//! Reading order: `machine` (this computer), `workspace` (Slack), `repository` (GitHub), `rules` (what branch rules mean for us), `mend`
//! (what to do about errors of the layers below).

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;

use crate::config::{Config, GitHubSecret, Project, Secrets};
use crate::deploy::text::counted;
use crate::github::rest::RestGitHub;

mod machine;
mod mend;
mod repository;
mod rules;
mod workspace;

/// For one look, with all its requests.
const LIMIT: Duration = Duration::from_secs(30);

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Well.
    Ok,
    /// A deployment can go wrong over it.
    Warn,
    /// A deployment will go wrong over it.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// What was looked at.
    pub subject: String,
    /// What was seen.
    pub said: String,
    /// What to do about it, whenever it isn't well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        write!(f, "{verdict:<5}{}: {}", self.subject, self.said)?;
        match &self.mend {
            Some(mend) => write!(f, " — {mend}"),
            None => Ok(()),
        }
    }
}

fn ok(subject: &str, said: impl Into<String>) -> Finding {
    Finding {
        verdict: Verdict::Ok,
        subject: subject.to_owned(),
        said: said.into(),
        mend: None,
    }
}

fn warn(subject: &str, said: &str, mend: &str) -> Finding {
    unwell(Verdict::Warn, subject, said, mend)
}

fn fail(subject: &str, said: &str, mend: &str) -> Finding {
    unwell(Verdict::Fail, subject, said, mend)
}

fn unwell(verdict: Verdict, subject: &str, said: &str, mend: &str) -> Finding {
    Finding {
        verdict,
        subject: subject.to_owned(),
        said: said.to_owned(),
        mend: Some(mend.to_owned()),
    }
}

/// How the repository of a project is reached.
pub type Reach = dyn Fn(&Config, &GitHubSecret, &Project) -> Result<Arc<RestGitHub>, String> + Send + Sync;

type Look<'a> = BoxFuture<'a, Vec<Finding>>;

/// Reads the configuration and the secrets, and looks at everything that they name.
///
/// # Errors
/// If there is no such project.
pub async fn check(
    path: &Path,
    variable: impl Fn(&str) -> Option<String>,
    reach: &Reach,
    only: Option<&str>,
) -> Result<Vec<Finding>, String> {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => {
            return Ok(error
                .problems
                .iter()
                .map(|problem| {
                    mend::told(
                        "configuration",
                        problem,
                        "config/shipmate.example.toml explains every setting",
                    )
                })
                .collect());
        }
    };
    let projects = counted(config.projects.len(), "project");
    let mut findings = vec![ok("configuration", format!("{} ({projects})", path.display()))];
    let secrets = Secrets::from_env(&config, variable).map_err(|error| error.problems);
    findings.extend(examine(&config, secrets, reach, only).await?);
    Ok(findings)
}

/// Looks at everything; `only` at what one project needs.
///
/// # Errors
/// If there is no such project.
async fn examine(
    config: &Config,
    secrets: Result<Secrets, Vec<String>>,
    reach: &Reach,
    only: Option<&str>,
) -> Result<Vec<Finding>, String> {
    let projects: Vec<&Project> = match only {
        None => config.projects.iter().collect(),
        Some(name) => vec![config.project(name).ok_or_else(|| unknown(config, name))?],
    };
    let mut looks: Vec<Look<'_>> = vec![
        look("data_dir", async { vec![machine::data_dir(&config.data_dir)] }),
        look("workspaces", async {
            vec![machine::workspaces(config.workspace_root.as_deref())]
        }),
        look("git", async { vec![machine::git(&projects).await] }),
    ];
    let mut findings = Vec::new();
    match &secrets {
        Err(problems) => findings.extend(
            problems
                .iter()
                .map(|problem| mend::told("secrets", problem, "README.md says where each comes from")),
        ),
        Ok(secrets) => {
            findings.push(ok("secrets", "all are set"));
            looks.extend(workspace::looks(config, secrets, &projects));
            if let Some(traces) = &config.traces {
                looks.push(look("traces", async {
                    vec![machine::collector(traces, secrets).await]
                }));
            }
            for &project in &projects {
                let subject = |what: &str| format!("{}: {what}", project.name);
                match reach(config, &secrets.github, project) {
                    Ok(github) => looks.extend(repository::looks(project, github, &secrets.github)),
                    Err(error) => findings.push(mend::told(
                        &subject("GitHub"),
                        &error,
                        "compare [github] with config/shipmate.example.toml",
                    )),
                }
            }
        }
    }
    findings.extend(join_all(looks).await.into_iter().flatten());
    Ok(findings)
}

fn unknown(config: &Config, name: &str) -> String {
    let known: Vec<&str> = config.projects.iter().map(|project| project.name.as_str()).collect();
    format!("there is no project {name:?}; there is {}", known.join(", "))
}

/// One look, within the limit.
fn look<'a>(subject: &str, looking: impl Future<Output = Vec<Finding>> + Send + 'a) -> Look<'a> {
    let subject = subject.to_owned();
    Box::pin(async move {
        match tokio::time::timeout(LIMIT, looking).await {
            Ok(findings) => findings,
            Err(_) => vec![fail(
                &subject,
                &format!("no answer within {} s", LIMIT.as_secs()),
                "check the network, and any proxy between",
            )],
        }
    })
}
