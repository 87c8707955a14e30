//! Checks, statuses and runs.

use super::*;
use crate::sandbox::github::knobs::RunStory;

impl Rig {
    async fn head(&self, number: u64) -> String {
        self.pull(number).await["head"]["sha"].as_str().unwrap().to_owned()
    }

    async fn checks(&self, number: u64) -> Vec<(String, Value)> {
        let path = format!("/commits/{}/check-runs", self.head(number).await);
        let (_, body) = self.get(&path).await;
        let runs = body["check_runs"].as_array().unwrap().clone().into_iter();
        runs.map(|run| (run["name"].as_str().unwrap().to_owned(), run["conclusion"].clone()))
            .collect()
    }

    async fn runs(&self, query: &str) -> Vec<Value> {
        let (_, body) = self.get(&format!("/actions/workflows/deploy.yml/runs?{query}")).await;
        body["workflow_runs"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn checks_come_late_and_in_two_waves() {
    let rig = Rig::on(Scenario::CheckWaves).await;
    let number = rig.deploy_pull().await;
    let mut counts = Vec::new();
    for _ in 0..5 {
        counts.push(rig.checks(number).await.len());
    }
    assert_eq!(counts, [0, 0, 2, 2, 3]);
}

#[tokio::test]
async fn no_checks_at_all_and_a_combined_status_that_is_pending_over_nothing() {
    let rig = Rig::on(Scenario::NoChecks).await;
    let number = rig.deploy_pull().await;
    assert_eq!(rig.checks(number).await, []);
    let path = format!("/commits/{}/status", rig.head(number).await);
    let (_, status) = rig.get(&path).await;
    assert_eq!(
        (&status["state"], &status["total_count"]),
        (&json!("pending"), &json!(0))
    );
}

#[tokio::test]
async fn the_combined_status_is_over_statuses_alone() {
    let rig = Rig::new().await;
    let head = rig.head(41).await;
    rig.double
        .set_check(REPO, &head, "test", "completed", Some("failure"))
        .await
        .unwrap();
    let state = async || rig.get(&format!("/commits/{head}/status")).await.1["state"].clone();
    let report = async |context, state| rig.double.set_status(REPO, &head, context, state).await.unwrap();
    assert_eq!(state().await, "pending");
    report("legacy", "success").await;
    assert_eq!(state().await, "success");
    report("other", "pending").await;
    assert_eq!(state().await, "pending");
    report("other", "error").await;
    assert_eq!(state().await, "failure");
}

#[tokio::test]
async fn a_pull_request_with_conflicts_gets_no_checks() {
    let rig = Rig::new().await;
    rig.deploy_branch().await;
    rig.retarget(44, DEPLOY).await;
    rig.merge(44).await;
    rig.double
        .push(REPO, "staging", "eve", "src/cart.js", "export const total = 0;\n")
        .await
        .unwrap();
    let new = json!({ "title": "Deploy", "head": DEPLOY, "base": "staging", "body": "" });
    let number = rig.send(Method::POST, "/pulls", new).await.1["number"]
        .as_u64()
        .unwrap();
    assert_eq!(rig.pull(number).await["mergeable"], false);
    assert_eq!(rig.checks(number).await, []);
}

#[tokio::test]
async fn a_check_fails_and_passes_when_it_is_run_again() {
    let rig = Rig::on(Scenario::FailingChecks).await;
    let number = rig.deploy_pull().await;
    let test = async || {
        rig.checks(number)
            .await
            .into_iter()
            .find(|(name, _)| name == "test")
            .unwrap()
            .1
    };
    assert_eq!(test().await, "failure");
    rig.double.rerun_checks(REPO).await.unwrap();
    assert_eq!(test().await, "success");
}

#[tokio::test]
async fn one_name_in_two_suites_each_of_which_has_its_run_with_the_checks_as_jobs() {
    let rig = Rig::on(Scenario::TwinChecks).await;
    let number = rig.deploy_pull().await;
    let head = rig.head(number).await;
    let (_, body) = rig.get(&format!("/commits/{head}/check-runs")).await;
    let runs = body["check_runs"].as_array().unwrap();
    let tests: Vec<&Value> = runs.iter().filter(|run| run["name"] == "test").collect();
    assert_eq!(
        [&tests[0]["conclusion"], &tests[1]["conclusion"]],
        ["failure", "success"]
    );
    assert_ne!(tests[0]["check_suite"]["id"], tests[1]["check_suite"]["id"]);
    for (event, names) in [("push", vec!["test"]), ("pull_request", vec!["lint", "test", "build"])] {
        let (_, body) = rig.get(&format!("/actions/runs?head_sha={head}&event={event}")).await;
        let id = body["workflow_runs"][0]["id"].clone();
        let (_, body) = rig.get(&format!("/actions/runs/{id}/jobs")).await;
        let jobs = body["jobs"].as_array().unwrap();
        let named: Vec<&str> = jobs.iter().map(|job| job["name"].as_str().unwrap()).collect();
        assert_eq!(named, names);
        assert!(jobs.iter().all(|job| runs.iter().any(|run| run["id"] == job["id"])));
    }
}

#[tokio::test]
async fn a_run_appears_late_and_only_for_its_own_commit() {
    let rig = Rig::on(Scenario::LateRun).await;
    let sha = rig.shipped().await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        counts.push(
            rig.runs(&format!("head_sha={sha}&event=push&branch=staging"))
                .await
                .len(),
        );
    }
    assert_eq!(counts, [0, 0, 0, 1]);
    assert_eq!(rig.runs(&format!("head_sha={sha}&branch=main")).await, [] as [Value; 0]);
    let other = "f".repeat(40);
    assert_eq!(rig.runs(&format!("head_sha={other}")).await, [] as [Value; 0]);
    assert_eq!(
        rig.runs("head_sha=").await.len(),
        1,
        "an empty filter is none: somebody's run"
    );
}

#[tokio::test]
async fn there_may_be_no_run() {
    let rig = Rig::on(Scenario::NoRun).await;
    rig.shipped().await;
    assert_eq!(rig.runs("").await, [] as [Value; 0]);
}

#[tokio::test]
async fn running_again_keeps_the_id_and_counts_the_attempt() {
    let rig = Rig::on(Scenario::FailingRun).await;
    let sha = rig.shipped().await;
    let look = async || rig.runs(&format!("head_sha={sha}")).await.remove(0);
    let first = look().await;
    assert_eq!(
        (&first["conclusion"], &first["run_attempt"]),
        (&json!("failure"), &json!(1))
    );
    let jobs = async || rig.get(&format!("/actions/runs/{}/jobs", first["id"])).await.1["jobs"].clone();
    let ends = |jobs: Value| {
        jobs.as_array()
            .unwrap()
            .iter()
            .map(|job| job["conclusion"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ends(jobs().await), ["success", "failure", "skipped"]);
    rig.double.rerun(REPO).await.unwrap();
    let second = look().await;
    assert_eq!((&second["id"], &second["run_attempt"]), (&first["id"], &json!(2)));
    assert_eq!(second["conclusion"], "success");
    assert_ne!(second["run_started_at"], first["run_started_at"]);
    assert_eq!(ends(jobs().await), ["success"; 3]);
}

#[tokio::test]
async fn a_run_waits_for_its_environment_by_looks_or_by_hand() {
    let rig = Rig::on(Scenario::WaitingRun).await;
    rig.knobs(|knobs| knobs.run = RunStory::Waits(2));
    rig.shipped().await;
    let id = rig.runs("").await[0]["id"].clone();
    let look = async || rig.get(&format!("/actions/runs/{id}")).await.1["status"].clone();
    assert_eq!(
        [look().await, look().await, look().await],
        ["waiting", "waiting", "completed"]
    );
    let rig = Rig::on(Scenario::WaitingRun).await;
    rig.knobs(|knobs| knobs.run = RunStory::Waits(u32::MAX));
    rig.shipped().await;
    let run = async || rig.runs("").await.remove(0);
    assert_eq!(run().await["status"], "waiting");
    assert_eq!(rig.get("/releases").await.1, json!([]));
    rig.double.approve_environment(REPO).await.unwrap();
    assert_eq!(run().await["conclusion"], "success");
    assert_eq!(rig.get("/releases").await.1.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_newer_push_cancels_the_run_and_has_its_own() {
    let rig = Rig::on(Scenario::SupersededRun).await;
    let sha = rig.shipped().await;
    assert_eq!(rig.runs(&format!("head_sha={sha}")).await[0]["conclusion"], "cancelled");
    let newer = rig.double.tip(REPO, "staging").await.unwrap();
    assert_ne!(newer, sha);
    assert_eq!(rig.runs(&format!("head_sha={newer}")).await[0]["conclusion"], "success");
    assert_eq!(rig.get(&format!("/compare/{sha}...{newer}")).await.1["status"], "ahead");
}
