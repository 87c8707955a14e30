//! What goes on at GitHub without anybody calling it: checks, reviewers, the Actions run and its release.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use super::model::{Check, Model, Release, Review, Run};
use super::scenario::Scenario;
use super::{GitHubDouble, Pace, Repo};
use crate::sandbox::locked;

const CHECKS: [&str; 3] = ["lint", "test", "build"];
const JOBS: [&str; 3] = ["build", "migrate", "deploy"];
/// How many look-ups a late run doesn't show in.
const LATE: u32 = 4;

/// A deploy pull request was opened, or its head moved: checks come, in two waves.
pub fn checks_begin(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model, sha: &str) {
    if double.scenario() == Scenario::NoChecks || model.checks.contains_key(sha) {
        return;
    }
    let failing = double.scenario() == Scenario::FailingChecks && double.first_time("failing check");
    let verdict = move |name: &str| {
        if failing && name == "test" {
            "failure"
        } else {
            "success"
        }
    };
    if double.0.options.pace == Pace::Instant {
        for name in CHECKS {
            set_check(model, sha, name, "completed", Some(verdict(name)));
        }
        return;
    }
    let (double, repo, sha) = (double.clone(), repo.clone(), sha.to_owned());
    tokio::spawn(async move {
        let steps = [
            (CHECKS[0], "queued"),
            (CHECKS[1], "queued"),
            (CHECKS[0], "in_progress"),
            (CHECKS[1], "in_progress"),
            (CHECKS[2], "queued"),
            (CHECKS[0], "completed"),
            (CHECKS[2], "in_progress"),
            (CHECKS[1], "completed"),
            (CHECKS[2], "completed"),
        ];
        for (name, status) in steps {
            tokio::time::sleep(double.0.options.pace.step()).await;
            let conclusion = (status == "completed").then(|| verdict(name));
            set_check(&mut *repo.model.lock().await, &sha, name, status, conclusion);
            double.changed(&repo);
        }
    });
}

/// One check of a commit.
pub fn set_check(model: &mut Model, sha: &str, name: &str, status: &'static str, conclusion: Option<&'static str>) {
    let id = model.tick();
    let checks = model.checks.entry(sha.to_owned()).or_default();
    match checks.iter_mut().find(|check| check.name == name) {
        Some(check) => {
            check.status = status;
            check.conclusion = conclusion;
        }
        None => checks.push(Check {
            id,
            name: name.to_owned(),
            status,
            conclusion,
        }),
    }
}

/// A reviewer was asked: they approve after a while.
pub fn reviewer_asked(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model, number: u64, user: &str) {
    let deploys = model
        .pulls
        .get(&number)
        .is_some_and(|pull| pull.head.starts_with("deploy-"));
    if !deploys {
        return;
    }
    if double.0.options.pace == Pace::Instant {
        approve(model, number, user);
        return;
    }
    let (double, repo, user) = (double.clone(), repo.clone(), user.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(double.0.options.pace.step() * 6).await;
        approve(&mut *repo.model.lock().await, number, &user);
        double.changed(&repo);
    });
}

fn approve(model: &mut Model, number: u64, user: &str) {
    let id = model.tick();
    if let Some(pull) = model.pulls.get_mut(&number)
        && pull.requested.iter().any(|login| login == user)
    {
        pull.requested.retain(|login| login != user);
        pull.reviews.push(Review {
            id,
            user: user.to_owned(),
            state: "APPROVED",
            commit: pull.head_sha.clone(),
        });
    }
}

/// Something was merged into staging: the deploy workflow runs, and its release comes.
pub async fn deploy_begins(
    double: &GitHubDouble,
    repo: &Arc<Repo>,
    model: &mut Model,
    sha: &str,
) -> Result<(), String> {
    if double.scenario() == Scenario::NoRun {
        return Ok(());
    }
    let id = 9000 + model.tick();
    let jobs = JOBS.iter().map(|job| ((*job).to_owned(), "queued", None)).collect();
    model.runs.push(Run {
        id,
        workflow: "deploy.yml".to_owned(),
        sha: sha.to_owned(),
        attempt: 1,
        status: "queued",
        conclusion: None,
        jobs,
        late: if double.scenario() == Scenario::LateRun {
            LATE
        } else {
            0
        },
    });
    let failing = double.scenario() == Scenario::FailingRun;
    let fails = failing.then_some("migrate");
    if double.0.options.pace == Pace::Instant {
        if let Some(run) = model.runs.last_mut() {
            finish(run, fails);
        }
        return if failing {
            Ok(())
        } else {
            add_release(double, repo, model, sha).await
        };
    }
    let (double, repo, sha) = (double.clone(), repo.clone(), sha.to_owned());
    tokio::spawn(async move {
        for stage in 0..=JOBS.len() {
            tokio::time::sleep(double.0.options.pace.step() * 2).await;
            let mut model = repo.model.lock().await;
            let Some(run) = model.runs.iter_mut().find(|run| run.id == id) else {
                return;
            };
            run.status = "in_progress";
            for (index, job) in run.jobs.iter_mut().enumerate() {
                (job.1, job.2) = match index.cmp(&stage) {
                    std::cmp::Ordering::Less => ("completed", Some("success")),
                    std::cmp::Ordering::Equal => ("in_progress", None),
                    std::cmp::Ordering::Greater => ("queued", None),
                };
            }
            let failed = fails.is_some() && stage == 2;
            if failed || stage == JOBS.len() {
                finish(run, fails);
            }
            drop(model);
            double.changed(&repo);
            if failed {
                return;
            }
        }
        tokio::time::sleep(double.0.options.pace.step()).await;
        if let Err(error) = release(&double, &repo, &sha).await {
            tracing::error!(error, "the sandbox could not make its release");
        }
    });
    Ok(())
}

/// A run's end; `fails` names the job that fails.
pub fn finish(run: &mut Run, fails: Option<&str>) {
    run.status = "completed";
    run.conclusion = Some(if fails.is_some() { "failure" } else { "success" });
    let mut failed = false;
    for (name, status, conclusion) in &mut run.jobs {
        *status = "completed";
        *conclusion = Some(match (failed, fails == Some(name.as_str())) {
            (true, _) => "skipped",
            (false, true) => "failure",
            (false, false) => "success",
        });
        failed |= fails == Some(name.as_str());
    }
}

/// The Action makes the release of a commit.
pub async fn release(double: &GitHubDouble, repo: &Arc<Repo>, sha: &str) -> Result<(), String> {
    let mut model = repo.model.lock().await;
    add_release(double, repo, &mut model, sha).await?;
    drop(model);
    double.changed(repo);
    Ok(())
}

async fn add_release(double: &GitHubDouble, repo: &Repo, model: &mut Model, sha: &str) -> Result<(), String> {
    let version = version_at(repo, sha).await.unwrap_or_else(|| "0.0.1".to_owned());
    let tag = format!("v{version}");
    let draft = double.scenario() == Scenario::DraftRelease;
    if !draft {
        match double.scenario() {
            Scenario::AnnotatedTag => {
                let args = [
                    "-c",
                    "user.name=GitHub",
                    "-c",
                    "user.email=noreply@github.com",
                    "tag",
                    "-a",
                    "-m",
                    &tag,
                    &tag,
                    sha,
                ];
                repo.bare.git(&args).await?;
            }
            _ => repo.bare.set_ref(&format!("refs/tags/{tag}"), sha).await?,
        }
    }
    let id = model.tick();
    model.releases.push(Release {
        id,
        name: tag.clone(),
        body: format!(
            "Automated release of {tag} by the deploy workflow.\n\nImage: `registry.acme.test/web:{version}`"
        ),
        tag,
        draft,
    });
    Ok(())
}

async fn version_at(repo: &Repo, sha: &str) -> Option<String> {
    if let Some(plain) = repo.bare.file(sha, "VERSION").await {
        return Some(plain.trim().to_owned());
    }
    if let Some(package) = repo.bare.file(sha, "package.json").await {
        let package: serde_json::Value = serde_json::from_str(&package).ok()?;
        return package["version"].as_str().map(str::to_owned);
    }
    for path in ["Cargo.toml", "pyproject.toml", "mix.exs"] {
        if let Some(text) = repo.bare.file(sha, path).await {
            let line = text.lines().find(|line| line.trim_start().starts_with("version"))?;
            return line.split('"').nth(1).map(str::to_owned);
        }
    }
    None
}

/// Branches may have moved or gone: heads of pull requests follow, pull requests without their base are closed.
pub async fn refs_moved(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model) -> Result<(), String> {
    let branches: std::collections::HashMap<String, String> = repo.bare.branches().await?.into_iter().collect();
    let mut moved = Vec::new();
    for pull in model.pulls.values_mut().filter(|pull| pull.open) {
        if !branches.contains_key(&pull.base) {
            pull.open = false;
        }
        if let Some(tip) = branches.get(&pull.head)
            && *tip != pull.head_sha
        {
            pull.head_sha.clone_from(tip);
            moved.push((pull.number, pull.head.clone(), tip.clone()));
        }
    }
    for (number, head, tip) in moved {
        repo.bare.set_ref(&format!("refs/pull/{number}/head"), &tip).await?;
        if head.starts_with("deploy-") {
            checks_begin(double, repo, model, &tip);
        }
    }
    Ok(())
}

/// Tells whoever wants webhooks that something happened; never waits for them.
pub fn webhook(double: &GitHubDouble, repo: &Repo) {
    let Some((url, secret)) = locked(&double.0.webhook).clone() else {
        return;
    };
    let body = json!({ "action": "edited", "repository": { "full_name": repo.name } }).to_string();
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return;
    };
    let signature = hex::encode(mac.chain_update(body.as_bytes()).finalize().into_bytes());
    tokio::spawn(async move {
        let Ok(client) = crate::github::http::http_client() else {
            return;
        };
        let request = client
            .post(url)
            .header("X-Hub-Signature-256", format!("sha256={signature}"))
            .header("X-GitHub-Event", "pull_request")
            .header("Content-Type", "application/json");
        let _ = request.body(body).send().await;
    });
}
