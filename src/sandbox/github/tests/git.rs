//! Git over smart HTTP.

use std::process::Output;

use base64::Engine as _;
use tokio::process::Command;

use super::*;

/// A client with its own clone of the repository.
struct Clone {
    dir: tempfile::TempDir,
    token: String,
}

impl Clone {
    async fn of(rig: &Rig, token: &str) -> (Self, Output) {
        let clone = Self {
            dir: tempfile::tempdir().unwrap(),
            token: token.to_owned(),
        };
        let url = format!("{}/{REPO}.git", rig.double.git_url());
        let done = clone
            .git(&["clone", "--quiet", "--filter=blob:none", "--branch=staging", &url, "."])
            .await;
        (clone, done)
    }

    async fn git(&self, args: &[&str]) -> Output {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{}", self.token));
        let mut command = Command::new("git");
        bare::environment(&mut command)
            .envs([("GIT_CONFIG_COUNT", "2"), ("GIT_TERMINAL_PROMPT", "0")])
            .envs([
                ("GIT_CONFIG_KEY_0", "http.extraHeader"),
                ("GIT_CONFIG_VALUE_0", &format!("Authorization: Basic {pair}")),
            ])
            .envs([
                ("GIT_CONFIG_KEY_1", "http.followRedirects"),
                ("GIT_CONFIG_VALUE_1", "false"),
            ])
            .current_dir(self.dir.path())
            .args(args);
        command.output().await.unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn clones_pushes_and_deletions_are_seen_by_the_api() {
    let rig = Rig::new().await;
    let (clone, done) = Clone::of(&rig, tokens::CLASSIC).await;
    assert!(done.status.success(), "{}", said(&done));
    let pushed = clone
        .git(&["push", "--quiet", "origin", "HEAD:refs/heads/deploy-1"])
        .await;
    assert!(pushed.status.success(), "{}", said(&pushed));
    assert_eq!(rig.get("/git/ref/heads/deploy-1").await.0, 200);
    rig.retarget(41, DEPLOY).await;
    let deleted = clone.git(&["push", "--quiet", "origin", ":refs/heads/deploy-1"]).await;
    assert!(deleted.status.success(), "{}", said(&deleted));
    assert_eq!(rig.pull(41).await["state"], "closed", "its base went");
}

#[tokio::test]
async fn heads_of_pull_requests_can_be_fetched() {
    let rig = Rig::new().await;
    let (clone, _) = Clone::of(&rig, tokens::CLASSIC).await;
    rig.double
        .push(REPO, "fix/cart-total", "ana", "src/more.js", "1\n")
        .await
        .unwrap();
    let fetched = clone.git(&["fetch", "--quiet", "origin", "refs/pull/44/head"]).await;
    assert!(fetched.status.success(), "{}", said(&fetched));
    let head = clone.git(&["rev-parse", "FETCH_HEAD"]).await;
    assert_eq!(
        String::from_utf8_lossy(&head.stdout).trim(),
        rig.pull(44).await["head"]["sha"]
    );
}

#[tokio::test]
async fn tokens_are_checked_for_reading_and_for_pushing() {
    let rig = Rig::new().await;
    for token in ["ghp_wrong", tokens::STRANGER] {
        assert!(!Clone::of(&rig, token).await.1.status.success(), "{token}");
    }
    let (clone, done) = Clone::of(&rig, tokens::READER).await;
    assert!(done.status.success(), "{}", said(&done));
    let pushed = clone.git(&["push", "origin", "HEAD:refs/heads/deploy-1"]).await;
    assert!(!pushed.status.success());
    assert!(rig.double.tip(REPO, DEPLOY).await.is_none());
}

#[tokio::test]
async fn rulesets_refuse_pushes_and_the_api_alike() {
    let rig = Rig::on(Scenario::NoDeployBranches).await;
    let (clone, _) = Clone::of(&rig, tokens::CLASSIC).await;
    let pushed = clone.git(&["push", "origin", "HEAD:refs/heads/deploy-1"]).await;
    assert!(!pushed.status.success());
    assert!(
        said(&pushed).contains("GH013: Repository rule violations found for refs/heads/deploy-1."),
        "{}",
        said(&pushed)
    );
    let new = json!({ "ref": "refs/heads/deploy-1", "sha": rig.double.tip(REPO, "staging").await });
    let (status, message) = rig.refused(Method::POST, "/git/refs", new).await;
    assert_eq!(status, 422);
    assert!(message.starts_with("Repository rule violations found"), "{message}");
    let other = clone.git(&["push", "--quiet", "origin", "HEAD:refs/heads/other"]).await;
    assert!(other.status.success(), "{}", said(&other));
}

#[tokio::test]
async fn kept_branches_can_be_made_and_not_deleted() {
    let rig = Rig::on(Scenario::KeptDeployBranches).await;
    let (clone, _) = Clone::of(&rig, tokens::CLASSIC).await;
    assert!(
        clone
            .git(&["push", "--quiet", "origin", "HEAD:refs/heads/deploy-1"])
            .await
            .status
            .success()
    );
    assert!(
        !clone
            .git(&["push", "origin", ":refs/heads/deploy-1"])
            .await
            .status
            .success()
    );
    let (status, _) = rig.refused(Method::DELETE, "/git/refs/heads/deploy-1", json!({})).await;
    assert_eq!(status, 422);
    assert!(rig.double.tip(REPO, DEPLOY).await.is_some());
}

#[tokio::test]
async fn a_renamed_repository_redirects_git() {
    let rig = Rig::on(Scenario::Moved).await;
    let done = Clone::of(&rig, tokens::CLASSIC).await.1;
    assert!(!done.status.success());
    assert!(said(&done).contains("301"), "{}", said(&done));
}

#[tokio::test]
async fn refs_by_the_api() {
    let rig = Rig::new().await;
    let sha = rig.double.tip(REPO, "staging").await.unwrap();
    let make = async |name: &str, sha: &str| {
        rig.refused(Method::POST, "/git/refs", json!({ "ref": name, "sha": sha }))
            .await
    };
    assert_eq!(
        make("refs/heads/staging", &sha).await,
        says(422, "Reference already exists")
    );
    assert_eq!(
        make("refs/heads/x", &"0".repeat(40)).await,
        says(422, "Object does not exist")
    );
    assert_eq!(
        make("x", &sha).await,
        says(422, "Reference name must start with 'refs/'.")
    );
    let gone = rig.refused(Method::DELETE, "/git/refs/heads/nowhere", json!({})).await;
    assert_eq!(gone, says(422, "Reference does not exist"));
    for name in ["deploy-1", "deploy-10"] {
        rig.double.set_branch(REPO, name, "staging").await.unwrap();
    }
    let (_, found) = rig.get("/git/matching-refs/heads/deploy-1").await;
    assert_eq!(found.as_array().unwrap().len(), 2, "it is the beginning that matches");
}
