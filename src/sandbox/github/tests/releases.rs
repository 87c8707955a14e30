//! Releases: drafts, tags, notes.

use super::*;

async fn release(rig: &Rig) -> Value {
    rig.get("/releases").await.1[0].clone()
}

#[tokio::test]
async fn a_draft_has_no_tag_and_is_only_for_those_who_may_push() {
    let rig = Rig::on(Scenario::DraftRelease).await;
    rig.shipped().await;
    let draft = release(&rig).await;
    assert_eq!(draft["draft"], true);
    assert!(draft["html_url"].as_str().unwrap().contains("/untagged-"));
    let tag = draft["tag_name"].as_str().unwrap();
    assert_eq!(rig.get(&format!("/releases/tags/{tag}")).await.0, 404);
    assert_eq!(rig.get(&format!("/git/ref/tags/{tag}")).await.0, 404);
    assert_eq!(rig.get(&format!("/releases/{}", draft["id"])).await.0, 200);
    let readers = rig.request_as(tokens::READER, Method::GET, "/releases");
    assert_eq!(answer(readers).await, (200, json!([])));
    let path = format!("/releases/{}", draft["id"]);
    assert_eq!(
        rig.send(Method::PATCH, &path, json!({ "draft": false })).await.1["draft"],
        false
    );
    assert_eq!(rig.get(&format!("/releases/tags/{tag}")).await.0, 200);
}

#[tokio::test]
async fn tags_are_light_or_annotated() {
    for (scenario, kind) in [(Scenario::Happy, "commit"), (Scenario::AnnotatedTag, "tag")] {
        let rig = Rig::on(scenario).await;
        let merge = rig.shipped().await;
        let tag = release(&rig).await["tag_name"].as_str().unwrap().to_owned();
        let (_, found) = rig.get(&format!("/git/ref/tags/{tag}")).await;
        assert_eq!(found["object"]["type"], kind);
        let object = found["object"]["sha"].as_str().unwrap();
        let (status, peeled) = rig.get(&format!("/git/tags/{object}")).await;
        if kind == "tag" {
            assert_eq!((status, &peeled["object"]["sha"]), (200, &json!(merge)));
        } else {
            assert_eq!((status, object), (404, merge.as_str()));
        }
    }
}

#[tokio::test]
async fn the_workflow_can_write_over_notes_once() {
    let rig = Rig::on(Scenario::OverwrittenRelease).await;
    rig.shipped().await;
    let before = release(&rig).await;
    let path = format!("/releases/{}", before["id"]);
    let write = async || rig.send(Method::PATCH, &path, json!({ "body": "mine" })).await.1["body"].clone();
    assert_eq!(write().await, "mine", "the answer doesn't know yet");
    assert_eq!(release(&rig).await["body"], before["body"]);
    write().await;
    assert_eq!(release(&rig).await["body"], "mine");
}

#[tokio::test]
async fn notes_have_a_limit_and_workflow_rights_are_needed() {
    let rig = Rig::new().await;
    rig.shipped().await;
    let path = format!("/releases/{}", release(&rig).await["id"]);
    let refusal = rig
        .refused(Method::PATCH, &path, json!({ "body": "x".repeat(125_001) }))
        .await;
    assert_eq!(refusal, says(422, "body is too long (maximum is 125000 characters)"));
    assert_eq!(
        rig.send(Method::PATCH, &path, json!({ "body": "x".repeat(125_000) }))
            .await
            .0,
        200
    );
    rig.knobs(|knobs| knobs.no_workflow_right = true);
    assert_eq!(
        rig.refused(Method::PATCH, &path, json!({ "body": "y" })).await,
        says(404, "Not Found")
    );
    assert_eq!(rig.get(&path).await.0, 200, "though it can be read");
}

#[tokio::test]
async fn an_immutable_release_takes_notes_and_nothing_else() {
    let rig = Rig::new().await;
    let immutable = model::Release {
        id: 5,
        tag: "v9".to_owned(),
        immutable: true,
        ..model::Release::default()
    };
    rig.double.add_release(REPO, immutable).await.unwrap();
    assert_eq!(
        rig.send(Method::PATCH, "/releases/5", json!({ "body": "new" })).await.0,
        200
    );
    let whole = json!({ "body": "new", "tag_name": "v9" });
    let refusal = rig.refused(Method::PATCH, "/releases/5", whole).await;
    assert_eq!(refusal, says(422, "Only release title and notes can be modified"));
}

#[tokio::test]
async fn the_latest_is_the_one_with_the_newest_commit_not_the_newest_one() {
    let rig = Rig::new().await;
    for (id, created) in [(1, 20), (2, 10)] {
        let release = model::Release {
            id,
            created,
            ..model::Release::default()
        };
        rig.double.add_release(REPO, release).await.unwrap();
    }
    assert_eq!(rig.get("/releases/latest").await.1["id"], 1);
    assert_eq!(release(&rig).await["id"], 2);
}
