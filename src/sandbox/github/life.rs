//! What goes on at GitHub without anybody calling it: checks, reviewers, the Actions run and its release.

use std::sync::Arc;

use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use super::knobs::{DeleteHead, RunStory};
use super::model::{Check, Event, Model, Pull, Release, Review, Run, user};
use super::{BOT, GitHubDouble, Pace, Repo};
use crate::sandbox::locked;

/// The checks of a deploy pull request, the last one in a second wave.
pub const CHECKS: [&str; 3] = ["lint", "test", "build"];
const JOBS: [&str; 3] = ["build", "migrate", "deploy"];

/// A deploy pull request was opened, or its head moved: checks come, in two waves; none at all while it conflicts.
pub async fn checks_begin(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model, base: &str, sha: &str) {
    if double.knobs(|knobs| knobs.no_checks) || model.checks.contains_key(sha) || !repo.bare.mergeable(base, sha).await
    {
        return;
    }
    let (failing, twin) = double.knobs(|knobs| (knobs.failing_check.take(), knobs.failing_twin.take()));
    let verdict = move |name: &str| {
        if failing == Some(name) { "failure" } else { "success" }
    };
    if let Some(name) = twin {
        set_check(model, sha, Event::Push, name, "completed", Some("failure"));
    }
    if double.0.options.pace == Pace::Instant {
        for name in CHECKS {
            set_check(model, sha, Event::PullRequest, name, "completed", Some(verdict(name)));
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
            let mut model = repo.model.lock().await;
            set_check(&mut model, &sha, Event::PullRequest, name, status, conclusion);
            drop(model);
            double.changed(&repo);
        }
    });
}

/// One check of a commit.
pub fn set_check(
    model: &mut Model,
    sha: &str,
    event: Event,
    name: &str,
    status: &'static str,
    conclusion: Option<&'static str>,
) {
    let id = model.tick();
    let checks = model.checks.entry(sha.to_owned()).or_default();
    match checks
        .iter_mut()
        .find(|check| (check.name.as_str(), check.event) == (name, event))
    {
        Some(check) => {
            check.status = status;
            check.conclusion = conclusion;
        }
        None => checks.push(Check {
            id,
            event,
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
    let story = double.knobs(|knobs| knobs.run);
    if story == RunStory::Never {
        return Ok(());
    }
    let id = queue_run(double, model, sha);
    if double.0.options.pace == Pace::Instant {
        return play_out(double, repo, model, id, story).await;
    }
    let (double, repo) = (double.clone(), repo.clone());
    tokio::spawn(async move {
        // Until the job that makes the difference.
        let last = match story {
            RunStory::Succeeds | RunStory::Never => JOBS.len(),
            RunStory::Fails | RunStory::Waits(_) => 2,
            RunStory::Superseded => 1,
        };
        for stage in 0..last {
            tokio::time::sleep(double.0.options.pace.step() * 2).await;
            advance(&mut *repo.model.lock().await, id, stage);
            double.changed(&repo);
        }
        tokio::time::sleep(double.0.options.pace.step() * 2).await;
        let mut model = repo.model.lock().await;
        if let Err(error) = play_out(&double, &repo, &mut model, id, story).await {
            tracing::error!(error, "the sandbox could not end its run");
        }
        drop(model);
        double.changed(&repo);
    });
    Ok(())
}

fn queue_run(double: &GitHubDouble, model: &mut Model, sha: &str) -> u64 {
    let started = model.tick();
    let id = 9000 + started;
    let jobs = JOBS.iter().map(|job| ((*job).to_owned(), "queued", None)).collect();
    model.runs.push(Run {
        id,
        workflow: "deploy.yml".to_owned(),
        sha: sha.to_owned(),
        attempt: 1,
        status: "queued",
        jobs,
        late: double.knobs(|knobs| knobs.run_late),
        branch: "staging".to_owned(),
        started,
        ..Run::default()
    });
    id
}

/// The jobs before this stage are done, the one at it runs.
fn advance(model: &mut Model, id: u64, stage: usize) {
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
}

/// How a run ends.
async fn play_out(
    double: &GitHubDouble,
    repo: &Arc<Repo>,
    model: &mut Model,
    id: u64,
    story: RunStory,
) -> Result<(), String> {
    let Some(run) = model.runs.iter_mut().find(|run| run.id == id) else {
        return Ok(());
    };
    match story {
        RunStory::Fails => finish(run, Some("migrate")),
        RunStory::Waits(looks) => {
            (run.status, run.waits) = ("waiting", Some(looks));
            for (index, job) in run.jobs.iter_mut().enumerate() {
                (job.1, job.2) = if index < 2 {
                    ("completed", Some("success"))
                } else {
                    ("waiting", None)
                };
            }
        }
        RunStory::Superseded => {
            cancel(run);
            let files = [("README.md", "# The Acme shop\n\nAsk in #deploys first.\n")];
            let newer = somebody_pushes(repo, model, "staging", "eve", files, "Ask first").await?;
            refs_moved(double, repo, model).await?;
            let id = queue_run(double, model, &newer);
            Box::pin(play_out(double, repo, model, id, RunStory::Succeeds)).await?;
        }
        RunStory::Succeeds | RunStory::Never => {
            finish(run, None);
            let sha = run.sha.clone();
            add_release(double, repo, model, &sha).await?;
        }
    }
    Ok(())
}

/// A newer push took the concurrency group.
fn cancel(run: &mut Run) {
    (run.status, run.conclusion) = ("completed", Some("cancelled"));
    for (_, status, conclusion) in &mut run.jobs {
        (*status, *conclusion) = ("completed", Some("cancelled"));
    }
}

/// Somebody approves the environment that a run waits for.
pub async fn environment_approved(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model, id: u64) {
    if let Some(run) = model.runs.iter_mut().find(|run| run.id == id) {
        run.waits = None;
    }
    if let Err(error) = play_out(double, repo, model, id, RunStory::Succeeds).await {
        tracing::error!(error, "the sandbox could not end its run");
    }
    double.changed(repo);
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
    let (draft, annotated) = double.knobs(|knobs| (knobs.draft_release, knobs.annotated_tag));
    if !draft {
        match annotated {
            true => {
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
            false => repo.bare.set_ref(&format!("refs/tags/{tag}"), sha).await?,
        }
    }
    let made = repo.bare.git(&["log", "-1", "--format=%ct", sha]).await?;
    let created = made.parse::<u64>().unwrap_or(0).saturating_sub(super::bare::EPOCH);
    let id = model.tick();
    model.releases.push(Release {
        id,
        target: sha.to_owned(),
        created,
        immutable: false,
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

/// A commit by somebody else on top of a branch.
pub async fn somebody_pushes<const N: usize>(
    repo: &Repo,
    model: &mut Model,
    branch: &str,
    author: &str,
    files: [(&str, &str); N],
    message: &str,
) -> Result<String, String> {
    let tip = repo
        .bare
        .tip(branch)
        .await
        .ok_or_else(|| format!("there is no branch {branch}"))?;
    let files = files.map(|(path, content)| (path, Some(content)));
    let dated = model.tick();
    let sha = repo.bare.commit(Some(&tip), &files, message, author, dated).await?;
    repo.bare.set_ref(&format!("refs/heads/{branch}"), &sha).await?;
    Ok(sha)
}

/// The head of a merged pull request goes, if the repository is set so; those that build on it move along, or are closed.
pub async fn delete_merged_head(
    double: &GitHubDouble,
    repo: &Repo,
    model: &mut Model,
    merged: &Pull,
) -> Result<(), String> {
    let how = double.knobs(|knobs| knobs.delete_head);
    if how == DeleteHead::No {
        return Ok(());
    }
    if how == DeleteHead::Retargeting {
        let children = model
            .pulls
            .values_mut()
            .filter(|child| child.open && child.base == merged.head);
        let moved: Vec<u64> = children
            .map(|child| {
                child.base.clone_from(&merged.base);
                child.number
            })
            .collect();
        for child in moved {
            model.tell(child, "automatic_base_change_succeeded", json!({ "base": merged.base }));
        }
    }
    repo.bare.delete_ref(&format!("refs/heads/{}", merged.head)).await?;
    model.tell(merged.number, "head_ref_deleted", json!({ "actor": user(BOT) }));
    Ok(())
}

/// Branches may have moved or gone: heads of pull requests follow; pull requests without their base or head are closed; those whose commits
/// came to their base otherwise count as merged.
pub async fn refs_moved(double: &GitHubDouble, repo: &Arc<Repo>, model: &mut Model) -> Result<(), String> {
    let tips: std::collections::BTreeMap<String, String> = repo.bare.branches().await?.into_iter().collect();
    let open: Vec<Pull> = model.pulls.values().filter(|pull| pull.open).cloned().collect();
    for mut pull in open {
        let (Some(head), Some(base)) = (tips.get(&pull.head), tips.get(&pull.base)) else {
            pull.open = false;
            let event = if tips.contains_key(&pull.base) {
                "head_ref_deleted"
            } else {
                "base_ref_deleted"
            };
            model.tell(pull.number, event, json!({ "actor": user(BOT) }));
            model.tell(pull.number, "closed", json!({ "actor": user(BOT) }));
            model.pulls.insert(pull.number, pull);
            continue;
        };
        let moved = *head != pull.head_sha;
        if moved {
            pull.head_sha.clone_from(head);
            repo.bare
                .set_ref(&format!("refs/pull/{}/head", pull.number), head)
                .await?;
        }
        let base_moved = model.tips.get(&pull.base).is_some_and(|known| known != base);
        if (moved || base_moved) && repo.bare.contains(base, head).await {
            pull.open = false;
            pull.merged = Some((base.clone(), BOT.to_owned()));
            model.tell(pull.number, "merged", json!({ "actor": user(BOT), "commit_id": head }));
        } else if moved && pull.head.starts_with("deploy-") {
            checks_begin(double, repo, model, &pull.base, head).await;
        }
        model.pulls.insert(pull.number, pull);
    }
    model.tips = tips;
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
