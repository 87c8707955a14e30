//! Bases: retargeting and what it costs, branches that go, pull requests that build on others.

use super::*;
use crate::sandbox::github::knobs::{DeleteHead, Dismissal};

#[tokio::test]
async fn a_changed_base_dismisses_approvals_and_the_timeline_says_so() {
    let rig = Rig::on(Scenario::Dismissals).await;
    rig.deploy_branch().await;
    rig.retarget(42, DEPLOY).await;
    let (_, reviews) = rig.get("/pulls/42/reviews").await;
    let states: Vec<&Value> = reviews
        .as_array()
        .unwrap()
        .iter()
        .map(|review| &review["state"])
        .collect();
    assert_eq!(states, ["DISMISSED", "DISMISSED"]);
    assert_eq!(
        rig.events(42).await,
        ["base_ref_changed", "review_dismissed", "review_dismissed"]
    );
    let (_, timeline) = rig.get("/issues/42/timeline").await;
    assert_eq!(
        timeline[1]["dismissed_review"]["dismissal_message"],
        "The base branch was changed."
    );
    // Back again brings nothing back.
    rig.retarget(42, "staging").await;
    assert_eq!(rig.get("/pulls/42/reviews").await.1, reviews);
}

#[tokio::test]
async fn a_dismissal_can_also_stand_beside_the_approval() {
    let rig = Rig::new().await;
    rig.knobs(|knobs| knobs.dismissal = Dismissal::Appended);
    rig.deploy_branch().await;
    rig.retarget(41, DEPLOY).await;
    let (_, reviews) = rig.get("/pulls/41/reviews").await;
    assert_eq!(
        (&reviews[0]["state"], &reviews[1]["state"]),
        (&json!("APPROVED"), &json!("DISMISSED"))
    );
    assert_eq!(reviews[0]["user"], reviews[1]["user"]);
}

#[tokio::test]
async fn an_edit_without_a_base_and_the_same_base_dismiss_nothing() {
    let rig = Rig::on(Scenario::Dismissals).await;
    rig.send(Method::PATCH, "/pulls/41", json!({ "title": "New" })).await;
    rig.retarget(41, "staging").await;
    assert_eq!(rig.get("/pulls/41/reviews").await.1[0]["state"], "APPROVED");
    assert_eq!(rig.pull(41).await["title"], "New");
}

#[tokio::test]
async fn every_refusal_to_retarget() {
    let rig = Rig::new().await;
    rig.deploy_branch().await;
    let base = async |number: u64, base: &str| {
        let (status, body) = rig
            .send(Method::PATCH, &format!("/pulls/{number}"), json!({ "base": base }))
            .await;
        assert_eq!((status, &body["message"]), (422, &json!("Validation Failed")));
        let error = body["errors"][0].clone();
        assert_eq!((&error["field"], &error["code"]), (&json!("base"), &json!("invalid")));
        error["message"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(base(41, "nowhere").await, "");
    rig.double.close(REPO, 42).await.unwrap();
    assert_eq!(
        base(42, "main").await,
        "Cannot change the base branch of a closed pull request."
    );
    // Even the base that it has, beside something harmless.
    let both = json!({ "body": "x", "base": "staging" });
    let refusal = rig.refused(Method::PATCH, "/pulls/42", both).await;
    assert_eq!(
        refusal,
        says(422, "Cannot change the base branch of a closed pull request.")
    );
    let new = json!({ "title": "Twice", "head": "fix/double-submit", "base": DEPLOY, "body": "" });
    assert_eq!(rig.send(Method::POST, "/pulls", new).await.0, 201);
    assert_eq!(
        base(41, DEPLOY).await,
        "A pull request already exists for base branch 'deploy-1' and head branch 'fix/double-submit'"
    );
    rig.double.set_branch(REPO, "deploy-2", "fix/cart-total").await.unwrap();
    assert_eq!(
        base(44, "deploy-2").await,
        "There are no new commits between base branch 'deploy-2' and head branch 'fix/cart-total'"
    );
    rig.double.edit_pull(REPO, 47, |pull| pull.queued = true).await.unwrap();
    assert!(base(47, DEPLOY).await.contains("merge queue"));
}

#[tokio::test]
async fn a_deleted_base_closes_what_aims_at_it_for_good() {
    let rig = Rig::new().await;
    rig.deploy_branch().await;
    rig.retarget(41, DEPLOY).await;
    assert_eq!(
        rig.send(Method::DELETE, "/git/refs/heads/deploy-1", json!({})).await.0,
        204
    );
    assert_eq!(rig.pull(41).await["state"], "closed");
    assert_eq!(rig.events(41).await, ["base_ref_changed", "base_ref_deleted", "closed"]);
    let edit = async |body| rig.refused(Method::PATCH, "/pulls/41", body).await;
    assert_eq!(
        edit(json!({ "base": "staging" })).await,
        says(422, "Cannot change the base branch of a closed pull request.")
    );
    assert_eq!(
        edit(json!({ "state": "open" })).await,
        says(422, "state cannot be changed. The deploy-1 branch has been deleted.")
    );
    // The way out: the branch again, open, retarget.
    rig.deploy_branch().await;
    assert_eq!(
        rig.send(Method::PATCH, "/pulls/41", json!({ "state": "open" })).await.0,
        200
    );
    rig.retarget(41, "staging").await;
}

#[tokio::test]
async fn a_closed_pull_request_whose_head_moved_can_not_be_opened_again() {
    let rig = Rig::new().await;
    rig.double.close(REPO, 41).await.unwrap();
    rig.double
        .push(REPO, "fix/double-submit", "ben", "src/more.js", "1\n")
        .await
        .unwrap();
    let refusal = rig
        .refused(Method::PATCH, "/pulls/41", json!({ "state": "open" }))
        .await;
    assert_eq!(
        refusal,
        says(
            422,
            "state cannot be changed. The fix/double-submit branch was force-pushed or recreated."
        )
    );
}

#[tokio::test]
async fn a_deleted_head_closes_its_pull_request() {
    let rig = Rig::new().await;
    rig.send(Method::DELETE, "/git/refs/heads/fix%2Fdouble-submit", json!({}))
        .await;
    assert_eq!(rig.pull(41).await["state"], "closed");
    assert_eq!(rig.events(41).await, ["head_ref_deleted", "closed"]);
}

#[tokio::test]
async fn a_merged_head_takes_its_children_to_the_deploy_branch() {
    let rig = Rig::on(Scenario::Stacked).await;
    assert_eq!(rig.pull(49).await["base"]["ref"], "fix/double-submit");
    assert_eq!(rig.get("").await.1["delete_branch_on_merge"], true);
    rig.deploy_branch().await;
    rig.retarget(41, DEPLOY).await;
    rig.merge(41).await;
    let child = rig.pull(49).await;
    assert_eq!(
        (&child["base"]["ref"], &child["state"]),
        (&json!(DEPLOY), &json!("open"))
    );
    assert_eq!(rig.events(49).await, ["automatic_base_change_succeeded"]);
    assert_eq!(rig.get("/git/ref/heads/fix%2Fdouble-submit").await.0, 404);
}

#[tokio::test]
async fn or_the_children_are_closed() {
    let rig = Rig::on(Scenario::Stacked).await;
    rig.knobs(|knobs| knobs.delete_head = DeleteHead::Closing);
    rig.merge(41).await;
    assert_eq!(rig.pull(49).await["state"], "closed");
    assert_eq!(rig.events(49).await, ["base_ref_deleted", "closed"]);
}

#[tokio::test]
async fn auto_merge_fires_on_a_branch_without_rules() {
    let rig = Rig::on(Scenario::AutoMerge).await;
    assert!(rig.pull(47).await["auto_merge"].is_object());
    rig.deploy_branch().await;
    rig.rules(
        "deploy-*",
        knobs::Rule {
            approvals: 1,
            ..knobs::Rule::default()
        },
    );
    rig.retarget(47, DEPLOY).await;
    assert_eq!(rig.pull(47).await["merged"], false);
    rig.knobs(|knobs| knobs.rules.clear());
    rig.double.set_branch(REPO, "deploy-2", "staging").await.unwrap();
    rig.retarget(47, "deploy-2").await;
    assert_eq!(rig.pull(47).await["merged"], true);
}

#[tokio::test]
async fn auto_merge_can_be_switched_off_in_graphql_alone() {
    let rig = Rig::on(Scenario::AutoMerge).await;
    let url = format!("{}/api/graphql", rig.double.web());
    let query = "mutation($id:ID!){disablePullRequestAutoMerge(input:{pullRequestId:$id}){pullRequest{number}}}";
    let ask = async || {
        let body = json!({ "query": query, "variables": { "id": "PR_47" } });
        answer(rig.http.post(&url).bearer_auth(tokens::CLASSIC).json(&body)).await
    };
    let (status, body) = ask().await;
    assert_eq!(
        (
            status,
            &body["data"]["disablePullRequestAutoMerge"]["pullRequest"]["number"]
        ),
        (200, &json!(47))
    );
    assert_eq!(rig.pull(47).await["auto_merge"], Value::Null);
    let (status, body) = ask().await;
    assert_eq!((status, &body["errors"][0]["type"]), (200, &json!("UNPROCESSABLE")));
}

#[tokio::test]
async fn a_stack_is_said() {
    let rig = Rig::new().await;
    assert_eq!(rig.pull(41).await["stack"], Value::Null);
    rig.double.edit_pull(REPO, 41, |pull| pull.stack = true).await.unwrap();
    assert!(rig.pull(41).await["stack"].is_object());
}
