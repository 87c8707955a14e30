//! Hands: what people and GitHub's own machinery do at GitHub while nobody calls it.

use serde_json::json;
use tokio::sync::MutexGuard;

use super::model::{self, Event, Model, Release, Review, Run, Whereabouts};
use super::{GitHubDouble, life};

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
                model.tell(number, "closed", json!({}));
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
        let message = format!("Change {path}");
        let sha = life::somebody_pushes(&repo, &mut model, branch, author, [(path, content)], &message).await?;
        life::refs_moved(self, &repo, &mut model).await?;
        drop(model);
        self.changed(&repo);
        Ok(sha)
    }

    /// Somebody makes a branch, at the tip of another or at a commit, or moves it there.
    pub async fn set_branch(&self, repo: &str, branch: &str, at: &str) -> Result<String, String> {
        let repo = self.repo(repo)?;
        let mut model = repo.model.lock().await;
        let sha = repo
            .bare
            .resolve(at)
            .await
            .ok_or_else(|| format!("there is no branch {at}"))?;
        repo.bare.set_ref(&format!("refs/heads/{branch}"), &sha).await?;
        life::refs_moved(self, &repo, &mut model).await?;
        drop(model);
        self.changed(&repo);
        Ok(sha)
    }

    /// Somebody edits a pull request in a way that the API has no word for: links, auto-merge, stacks, queues.
    pub async fn edit_pull(&self, repo: &str, number: u64, edit: impl FnOnce(&mut model::Pull)) -> Result<(), String> {
        self.with(repo, |model| model.pulls.get_mut(&number).map(edit))
            .await?
            .ok_or_else(|| format!("there is no #{number}"))
    }

    /// An issue is deleted, or moves to another repository.
    pub async fn move_issue(&self, repo: &str, number: u64, to: Whereabouts) -> Result<(), String> {
        self.with(repo, |model| {
            if let Some(issue) = model.issues.get_mut(&number) {
                issue.whereabouts = to;
            }
        })
        .await
    }

    /// Somebody's CI reports a status.
    pub async fn set_status(&self, repo: &str, sha: &str, context: &str, state: &'static str) -> Result<(), String> {
        self.with(repo, |model| {
            let statuses = model.statuses.entry(sha.to_owned()).or_default();
            statuses.retain(|(known, _)| known != context);
            statuses.push((context.to_owned(), state));
        })
        .await
    }

    /// Somebody approves the environment that the newest run waits for.
    pub async fn approve_environment(&self, repo: &str) -> Result<(), String> {
        let repo = self.repo(repo)?;
        let mut model = repo.model.lock().await;
        let id = model.runs.last().ok_or("there is no run")?.id;
        life::environment_approved(self, &repo, &mut model, id).await;
        Ok(())
    }

    /// The checks of a pull request's commit end, or begin again.
    pub async fn set_check(
        &self,
        repo: &str,
        sha: &str,
        name: &str,
        status: &'static str,
        conclusion: Option<&'static str>,
    ) -> Result<(), String> {
        self.with(repo, |model| {
            life::set_check(model, sha, Event::PullRequest, name, status, conclusion);
        })
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

    /// Whether a check of any commit is red.
    pub async fn has_red_checks(&self, repo: &str) -> bool {
        let Ok(repo) = self.repo(repo) else { return false };
        let model = repo.model.lock().await;
        model
            .checks
            .values()
            .flatten()
            .any(|check| check.conclusion == Some("failure"))
    }

    /// The newest run is run again and succeeds; its release comes.
    pub async fn rerun(&self, repo: &str) -> Result<(), String> {
        let repo = self.repo(repo)?;
        let sha = {
            let mut model = repo.model.lock().await;
            let started = model.tick();
            let run = model.runs.last_mut().ok_or("there is no run")?;
            run.attempt += 1;
            run.started = started;
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
