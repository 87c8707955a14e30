//! What GitHub doesn't know yet: answers that are missing, or from before.

use super::*;

#[tokio::test]
async fn mergeability_is_unknown_for_some_reads_after_a_retarget_and_after_a_merge() {
    let rig = Rig::on(Scenario::MergeableNull).await;
    rig.deploy_branch().await;
    let looks = async || {
        let mut looks = Vec::new();
        for _ in 0..4 {
            let pull = rig.pull(42).await;
            assert_eq!(pull["mergeable"].is_null(), pull["mergeable_state"] == "unknown");
            looks.push(pull["mergeable"].clone());
        }
        looks
    };
    assert_eq!(looks().await, [true; 4], "nothing has happened yet");
    rig.retarget(42, DEPLOY).await;
    assert_eq!(looks().await, [json!(null), json!(null), json!(null), json!(true)]);
    rig.retarget(41, DEPLOY).await;
    rig.merge(41).await;
    assert_eq!(looks().await, [json!(null), json!(null), json!(null), json!(true)]);
}

#[tokio::test]
async fn the_first_look_can_still_be_of_the_old_base() {
    let rig = Rig::on([Scenario::Conflict, Scenario::StaleMergeable, Scenario::MergeableNull]).await;
    let old = rig.double.tip(REPO, "staging").await.unwrap();
    rig.merge(44).await;
    let stale = rig.pull(47).await;
    assert_eq!(
        (&stale["mergeable"], &stale["base"]["sha"]),
        (&json!(true), &json!(old))
    );
    assert_eq!(rig.pull(47).await["mergeable"], Value::Null);
    rig.pull(47).await;
    rig.pull(47).await;
    let fresh = rig.pull(47).await;
    assert_eq!(fresh["mergeable"], false);
    assert_eq!(fresh["base"]["sha"], json!(rig.double.tip(REPO, "staging").await));
}

#[tokio::test]
async fn a_new_pull_request_is_missing_in_lists_for_a_while() {
    let rig = Rig::on(Scenario::Lag).await;
    let number = rig.deploy_pull().await;
    let seen = async || numbers(&rig.get("/pulls").await.1).contains(&number);
    assert_eq!([seen().await, seen().await, seen().await], [false, false, true]);
    assert_eq!(
        rig.pull(number).await["number"],
        number,
        "by number it was always there"
    );
}

#[tokio::test]
async fn a_new_ref_is_missing_for_a_while_but_can_not_be_made_twice() {
    let rig = Rig::on(Scenario::Lag).await;
    let new = json!({ "ref": "refs/heads/deploy-1", "sha": rig.double.tip(REPO, "staging").await });
    assert_eq!(rig.send(Method::POST, "/git/refs", new.clone()).await.0, 201);
    let look = async || rig.get("/git/ref/heads/deploy-1").await.0;
    assert_eq!([look().await, look().await, look().await], [404, 404, 200]);
    assert_eq!(
        rig.refused(Method::POST, "/git/refs", new).await,
        says(422, "Reference already exists")
    );
}

#[tokio::test]
async fn a_merge_commit_has_no_pull_requests_for_a_while() {
    let rig = Rig::on(Scenario::Lag).await;
    let sha = rig.merge(41).await;
    let look = async || numbers(&rig.get(&format!("/commits/{sha}/pulls")).await.1);
    assert_eq!(look().await, [] as [u64; 0]);
    assert_eq!(look().await, [] as [u64; 0]);
    assert_eq!(look().await, [41]);
}

#[tokio::test]
async fn reviewers_of_a_new_pull_request_can_not_be_asked_at_once() {
    let rig = Rig::on(Scenario::NodeLag).await;
    let number = rig.deploy_pull().await;
    let path = format!("/pulls/{number}/requested_reviewers");
    let body = json!({ "reviewers": ["ana"] });
    for _ in 0..2 {
        let (status, said) = rig.refused(Method::POST, &path, body.clone()).await;
        assert_eq!(status, 422);
        assert!(said.starts_with("Could not resolve to a node"), "{said}");
    }
    assert_eq!(rig.send(Method::POST, &path, body).await.0, 201);
}
