//! Issues, comments, links.

use super::*;
use crate::sandbox::github::model::Whereabouts;

async fn closing(rig: &Rig, number: u64) -> Vec<u64> {
    let url = format!("{}/api/graphql", rig.double.web());
    let query = "query($owner:String!,$name:String!,$number:Int!){repository(owner:$owner,name:$name){pullRequest(number:$number){closingIssuesReferences(first:50){nodes{number}}}}}";
    let body = json!({ "query": query, "variables": { "owner": "acme", "name": "web", "number": number } });
    let (status, body) = answer(rig.http.post(&url).bearer_auth(tokens::CLASSIC).json(&body)).await;
    assert_eq!(status, 200, "GraphQL's errors come with 200");
    match &body["data"]["repository"]["pullRequest"]["closingIssuesReferences"]["nodes"] {
        Value::Null => panic!("{}", body["errors"][0]["message"]),
        nodes => numbers(nodes),
    }
}

#[tokio::test]
async fn an_issue_can_be_read_closed_and_commented() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("/issues/31").await.1["state"], "open");
    assert_eq!(
        rig.send(Method::PATCH, "/issues/31", json!({ "state": "closed" }))
            .await
            .1["state"],
        "closed"
    );
    let (status, comment) = rig
        .send(Method::POST, "/issues/31/comments", json!({ "body": "Shipped" }))
        .await;
    assert_eq!(status, 201);
    assert!(
        comment["html_url"]
            .as_str()
            .unwrap()
            .contains("/issues/31#issuecomment-")
    );
    assert_eq!(rig.get("/issues/31/comments").await.1[0]["body"], "Shipped");
    assert_eq!(
        rig.send(Method::POST, "/issues/31/comments", json!({ "body": "" }))
            .await
            .0,
        422
    );
    assert_eq!(
        rig.send(Method::POST, "/issues/999/comments", json!({ "body": "x" }))
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn a_pull_request_is_an_issue_with_a_key_that_says_so() {
    let rig = Rig::new().await;
    assert!(rig.get("/issues/41").await.1["pull_request"].is_object());
    assert!(rig.get("/issues/31").await.1.get("pull_request").is_none());
    assert_eq!(
        rig.send(Method::POST, "/issues/41/comments", json!({ "body": "x" }))
            .await
            .0,
        201
    );
}

#[tokio::test]
async fn issues_that_are_gone() {
    let rig = Rig::new().await;
    rig.double.move_issue(REPO, 31, Whereabouts::Deleted).await.unwrap();
    rig.double.move_issue(REPO, 33, Whereabouts::Transferred).await.unwrap();
    let (status, body) = rig.get("/issues/31").await;
    assert_eq!((status, &body["message"]), (410, &json!("This issue was deleted")));
    let response = rig.request(Method::GET, "/issues/33").send().await.unwrap();
    assert_eq!(response.status(), 301);
    assert!(header(&response, "location").ends_with("/repositories/999/issues/33"));
    assert_eq!(rig.get("/issues/999").await.0, 404);
}

#[tokio::test]
async fn closing_words_link_only_on_the_way_to_the_default_branch() {
    let rig = Rig::new().await;
    assert_eq!(
        closing(&rig, 41).await,
        [] as [u64; 0],
        "staging isn't the default branch"
    );
    rig.double
        .edit_pull(REPO, 41, |pull| pull.linked = vec![36])
        .await
        .unwrap();
    assert_eq!(closing(&rig, 41).await, [36], "what was linked by hand counts anyway");
    let rig = Rig::on(Scenario::DefaultStaging).await;
    assert_eq!(rig.get("").await.1["default_branch"], "staging");
    assert_eq!(closing(&rig, 41).await, [31]);
    assert_eq!(closing(&rig, 42).await, [28]);
    rig.deploy_branch().await;
    rig.retarget(41, DEPLOY).await;
    assert_eq!(closing(&rig, 41).await, [] as [u64; 0], "a retarget unlinks");
}

#[tokio::test]
async fn a_merge_into_the_default_branch_closes_what_it_names() {
    let rig = Rig::on(Scenario::DefaultStaging).await;
    rig.merge(41).await;
    assert_eq!(rig.get("/issues/31").await.1["state"], "closed");
    let rig = Rig::new().await;
    rig.merge(41).await;
    assert_eq!(rig.get("/issues/31").await.1["state"], "open");
}

#[tokio::test]
#[should_panic(expected = "Could not resolve to a PullRequest")]
async fn graphql_says_what_it_could_not_resolve() {
    closing(&Rig::new().await, 999).await;
}
