//! Opening the deploy pull request, its body, its reviewers.

use super::*;

#[tokio::test]
async fn every_refusal_to_open() {
    let rig = Rig::new().await;
    rig.deploy_branch().await;
    let open = async |head: &str, base: &str, body: &str| {
        let new = json!({ "title": "Deploy", "head": head, "base": base, "body": body });
        let (status, answer) = rig.send(Method::POST, "/pulls", new).await;
        let error = &answer["errors"][0];
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        (status, text("field"), text("code"), text("message"))
    };
    let refusal = |field: &str, code: &str, message: &str| (422, field.to_owned(), code.to_owned(), message.to_owned());
    assert_eq!(open("nowhere", "staging", "").await, refusal("head", "invalid", ""));
    assert_eq!(open(DEPLOY, "nowhere", "").await, refusal("base", "invalid", ""));
    assert_eq!(
        open(DEPLOY, "staging", "").await,
        refusal("head", "custom", "No commits between staging and deploy-1")
    );
    assert_eq!(
        open("fix/cart-total", "staging", "").await,
        refusal(
            "head",
            "custom",
            "A pull request already exists for acme:fix/cart-total."
        )
    );
    assert_eq!(
        open("fix/cart-total", "main", &"x".repeat(65_537)).await,
        refusal("body", "custom", "body is too long (maximum is 65536 characters)")
    );
    assert_eq!(open("fix/cart-total", "main", &"ü".repeat(65_536)).await.0, 201);
}

#[tokio::test]
async fn a_body_that_is_too_long_changes_nothing() {
    let rig = Rig::new().await;
    let before = rig.pull(41).await["body"].clone();
    let refusal = rig
        .refused(Method::PATCH, "/pulls/41", json!({ "body": "x".repeat(65_537) }))
        .await;
    assert_eq!(refusal, says(422, "body is too long (maximum is 65536 characters)"));
    assert_eq!(rig.pull(41).await["body"], before);
}

#[tokio::test]
async fn reviewers_are_asked_all_or_none() {
    let rig = Rig::new().await;
    let path = "/pulls/41/requested_reviewers";
    let ask = async |logins: &[&str]| rig.refused(Method::POST, path, json!({ "reviewers": logins })).await;
    assert_eq!(
        ask(&["ana", "ben"]).await,
        says(422, "Review cannot be requested from pull request author.")
    );
    let misfit = says(
        422,
        "Reviews may only be requested from collaborators. One or more of the users or teams you specified is not a collaborator of the acme/web repository.",
    );
    assert_eq!(ask(&["ana", "zoe"]).await, misfit);
    let team = json!({ "reviewers": ["ana"], "team_reviewers": ["leads"] });
    assert_eq!(rig.refused(Method::POST, path, team).await, misfit);
    assert_eq!(rig.get(path).await.1, json!({ "users": [], "teams": [] }));
    assert_eq!(
        rig.send(Method::POST, path, json!({ "reviewers": ["ana", "dan"] }))
            .await
            .0,
        201
    );
    assert_eq!(rig.get(path).await.1["users"][1]["login"], "dan");
    // Who has reviewed is no longer asked.
    rig.double.review(REPO, 41, "ana", "COMMENTED").await.unwrap();
    assert_eq!(rig.get(path).await.1["users"].as_array().unwrap().len(), 1);
    assert_eq!(
        rig.send(Method::DELETE, path, json!({ "team_reviewers": [] })).await.0,
        422
    );
    assert_eq!(
        rig.send(Method::DELETE, path, json!({ "reviewers": ["dan"] })).await.0,
        200
    );
    assert_eq!(rig.get(path).await.1["users"], json!([]));
}

#[tokio::test]
async fn the_bot_is_the_author_and_cannot_be_asked() {
    let rig = Rig::new().await;
    let number = rig.deploy_pull().await;
    assert_eq!(rig.pull(number).await["user"]["login"], BOT);
    let path = format!("/pulls/{number}/requested_reviewers");
    let refusal = rig.refused(Method::POST, &path, json!({ "reviewers": [BOT] })).await;
    assert_eq!(
        refusal,
        says(422, "Review cannot be requested from pull request author.")
    );
}

#[tokio::test]
async fn permissions_are_one_of_four_words() {
    let rig = Rig::new().await;
    let may = async |login: &str| rig.get(&format!("/collaborators/{login}/permission")).await.1["permission"].clone();
    assert_eq!(
        [may("ana").await, may("eve").await, may("zoe").await],
        ["write", "read", "none"]
    );
}
