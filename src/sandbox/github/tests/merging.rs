//! Merges by git, and every refusal in GitHub's words.

use super::*;
use crate::github::MergeMethod;
use crate::sandbox::github::knobs::Rule;

const RULES: &str = "Repository rule violations found\n\n";

async fn parents_after(method: &str) -> usize {
    let rig = Rig::new().await;
    rig.deploy_branch().await;
    // The base moves on, so that merging is more than moving a ref.
    rig.double
        .push(REPO, DEPLOY, "dan", "src/other.js", "1\n")
        .await
        .unwrap();
    rig.retarget(44, DEPLOY).await;
    let pinned = rig.pull(44).await["head"]["sha"].clone();
    let wish = json!({ "merge_method": method, "sha": pinned });
    let (status, body) = rig.send(Method::PUT, "/pulls/44/merge", wish).await;
    assert_eq!(status, 200, "{body}");
    let sha = body["sha"].as_str().unwrap();
    assert_eq!(rig.double.tip(REPO, DEPLOY).await.unwrap(), sha);
    let pull = rig.pull(44).await;
    assert_eq!(
        (&pull["merged"], &pull["merge_commit_sha"]),
        (&json!(true), &json!(sha))
    );
    assert_eq!(pull["merged_by"]["login"], BOT);
    let merged = rig.double.file(REPO, DEPLOY, "src/cart.js").await.unwrap();
    assert!(merged.contains("item.quantity"), "{method} has the change");
    let bare = &rig.double.repo(REPO).unwrap().bare;
    bare.git(&["show", "-s", "--format=%P", sha])
        .await
        .unwrap()
        .split(' ')
        .count()
}

#[tokio::test]
async fn a_merge_has_two_parents_and_the_others_one() {
    assert_eq!(parents_after("merge").await, 2);
    assert_eq!(parents_after("squash").await, 1);
    assert_eq!(parents_after("rebase").await, 1);
}

#[tokio::test]
async fn titles_are_githubs_unless_they_are_given() {
    let rig = Rig::new().await;
    rig.deploy_branch().await;
    for number in [41, 44] {
        rig.retarget(number, DEPLOY).await;
    }
    let subject = async || {
        let bare = &rig.double.repo(REPO).unwrap().bare;
        bare.git(&["show", "-s", "--format=%s", DEPLOY]).await.unwrap()
    };
    rig.send(Method::PUT, "/pulls/41/merge", json!({ "merge_method": "squash" }))
        .await;
    assert_eq!(subject().await, "Stop the checkout form from submitting twice (#41)");
    rig.send(
        Method::PUT,
        "/pulls/44/merge",
        json!({ "merge_method": "squash", "commit_title": "Mine" }),
    )
    .await;
    assert_eq!(subject().await, "Mine");
}

#[tokio::test]
async fn drafts_closed_and_moved_heads_are_refused() {
    let rig = Rig::new().await;
    let merge = async |number: u64, body| rig.refused(Method::PUT, &format!("/pulls/{number}/merge"), body).await;
    assert_eq!(merge(43, json!({})).await, says(405, "Pull Request is still a draft"));
    let elsewhere = json!({ "sha": rig.double.tip(REPO, "main").await });
    assert_eq!(
        merge(41, elsewhere).await,
        says(409, "Head branch was modified. Review and try the merge again.")
    );
    rig.double.close(REPO, 42).await.unwrap();
    assert_eq!(merge(42, json!({})).await, says(405, "Pull Request is not mergeable"));
    rig.merge(41).await;
    assert_eq!(merge(41, json!({})).await, says(405, "Pull Request is not mergeable"));
    assert_eq!(rig.get("/pulls/41/merge").await.0, 204);
    assert_eq!(rig.get("/pulls/42/merge").await.0, 404);
    assert_eq!(rig.send(Method::PUT, "/pulls/999/merge", json!({})).await.0, 404);
}

#[tokio::test]
async fn a_conflict_is_not_mergeable_and_dirty() {
    let rig = Rig::on(Scenario::Conflict).await;
    assert_eq!(rig.pull(47).await["mergeable"], true);
    rig.merge(44).await;
    let pull = rig.pull(47).await;
    assert_eq!(
        (&pull["mergeable"], &pull["mergeable_state"]),
        (&json!(false), &json!("dirty"))
    );
    let refusal = rig.refused(Method::PUT, "/pulls/47/merge", json!({})).await;
    assert_eq!(refusal, says(405, "Pull Request is not mergeable"));
}

#[tokio::test]
async fn transient_refusals_pass() {
    let rig = Rig::on([Scenario::BaseModified, Scenario::MergeInProgress]).await;
    let merge = async || rig.refused(Method::PUT, "/pulls/41/merge", json!({})).await;
    assert_eq!(merge().await, says(405, "Merge already in progress"));
    assert_eq!(
        merge().await,
        says(405, "Base branch was modified. Review and try the merge again.")
    );
    rig.merge(41).await;
}

#[tokio::test]
async fn methods_can_be_switched_off() {
    let rig = Rig::on(Scenario::NoMergeCommits).await;
    let merge = async |method| {
        rig.refused(Method::PUT, "/pulls/41/merge", json!({ "merge_method": method }))
            .await
    };
    assert_eq!(
        merge("merge").await,
        says(405, "Merge commits are not allowed on this repository.")
    );
    assert_eq!(rig.get("").await.1["allow_merge_commit"], false);
    rig.knobs(|knobs| knobs.forbidden_methods = vec![MergeMethod::Squash, MergeMethod::Rebase]);
    assert_eq!(
        merge("squash").await,
        says(405, "Squash merges are not allowed on this repository.")
    );
    assert_eq!(
        merge("rebase").await,
        says(405, "Rebase merges are not allowed on this repository.")
    );
    rig.merge(41).await;
}

#[tokio::test]
async fn rules_refuse_until_they_are_met() {
    let rig = Rig::on(Scenario::Protected).await;
    let merge = async || rig.refused(Method::PUT, "/pulls/41/merge", json!({})).await;
    let rule = |said: &str| says(405, &format!("{RULES}{said}\n\n"));
    assert_eq!(rig.pull(41).await["mergeable_state"], "blocked");
    assert_eq!(merge().await, rule("Required status check \"lint\" is expected."));
    let head = rig.pull(41).await["head"]["sha"].as_str().unwrap().to_owned();
    let check = async |name, status, conclusion| {
        rig.double
            .set_check(REPO, &head, name, status, conclusion)
            .await
            .unwrap()
    };
    check("lint", "completed", Some("skipped")).await;
    check("test", "in_progress", None).await;
    assert_eq!(merge().await, rule("Required status check \"test\" is in progress."));
    check("test", "completed", Some("failure")).await;
    assert_eq!(merge().await, rule("Required status check \"test\" is failing."));
    check("test", "completed", Some("success")).await;
    rig.double.set_status(REPO, &head, "build", "success").await.unwrap();
    rig.double.review(REPO, 41, "ana", "DISMISSED").await.unwrap();
    assert_eq!(
        merge().await,
        rule("At least 1 approving review is required by reviewers with write access.")
    );
    // Eve may only read: hers doesn't count.
    rig.double.review(REPO, 41, "eve", "APPROVED").await.unwrap();
    assert_eq!(merge().await.0, 405);
    rig.double.review(REPO, 41, "dan", "APPROVED").await.unwrap();
    assert_eq!(rig.pull(41).await["mergeable_state"], "clean");
    rig.merge(41).await;
}

#[tokio::test]
async fn rules_are_shown_for_branches_that_do_not_exist_yet() {
    let rig = Rig::on([
        Scenario::Protected,
        Scenario::NoDeployBranches,
        Scenario::KeptDeployBranches,
    ])
    .await;
    let types = async |branch: &str| {
        let (_, rules) = rig.get(&format!("/rules/branches/{branch}")).await;
        let rules = rules.as_array().unwrap().clone().into_iter();
        rules
            .map(|rule| rule["type"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(types("staging").await, ["pull_request", "required_status_checks"]);
    assert_eq!(types("deploy-20991231").await, ["creation", "deletion"]);
    assert_eq!(types("main").await, [] as [&str; 0]);
}

#[tokio::test]
async fn classic_protection_shows_on_the_branch_and_not_in_the_rules() {
    let rig = Rig::new().await;
    let rule = Rule {
        classic: true,
        checks: vec!["e2e".to_owned()],
        ..Rule::default()
    };
    rig.rules("staging", rule);
    let (_, branch) = rig.get("/branches/staging").await;
    assert_eq!(branch["protected"], true);
    assert_eq!(
        branch["protection"]["required_status_checks"]["contexts"],
        json!(["e2e"])
    );
    assert_eq!(rig.get("/rules/branches/staging").await.1, json!([]));
    let refusal = rig.refused(Method::PUT, "/pulls/41/merge", json!({})).await;
    assert_eq!(refusal, says(405, "Required status check \"e2e\" is expected."));
    assert_eq!(rig.get("/branches/nowhere").await.1["message"], "Branch not found");
}

#[tokio::test]
async fn queues_and_linear_histories_refuse() {
    let rig = Rig::on(Scenario::MergeQueue).await;
    let merge = async |method| {
        rig.refused(Method::PUT, "/pulls/41/merge", json!({ "merge_method": method }))
            .await
    };
    let rule = |said: &str| says(405, &format!("{RULES}{said}\n\n"));
    assert_eq!(
        merge("merge").await,
        rule("Changes must be made through the merge queue")
    );
    rig.rules(
        "staging",
        Rule {
            linear_history: true,
            ..Rule::default()
        },
    );
    assert_eq!(
        merge("merge").await,
        rule("This branch must not contain merge commits.")
    );
    let squashed = rig
        .send(Method::PUT, "/pulls/41/merge", json!({ "merge_method": "squash" }))
        .await;
    assert_eq!(squashed.0, 200);
}

#[tokio::test]
async fn workflow_files_need_their_own_right() {
    let rig = Rig::on(Scenario::WorkflowRights).await;
    rig.double
        .push(
            REPO,
            "fix/cart-total",
            "ana",
            ".github/workflows/deploy.yml",
            "name: Deploy\n",
        )
        .await
        .unwrap();
    let refusal = rig.refused(Method::PUT, "/pulls/44/merge", json!({})).await;
    assert_eq!(
        refusal,
        says(
            403,
            "refusing to allow a GitHub App to create or update workflow `.github/workflows/deploy.yml` without `workflows` permission"
        )
    );
    rig.merge(41).await;
}

#[tokio::test]
async fn what_reaches_the_base_otherwise_counts_as_merged() {
    let rig = Rig::new().await;
    rig.double
        .set_branch(REPO, "staging", "fix/double-submit")
        .await
        .unwrap();
    let pull = rig.pull(41).await;
    assert_eq!((&pull["state"], &pull["merged"]), (&json!("closed"), &json!(true)));
    assert_eq!(pull["merge_commit_sha"], json!(rig.double.tip(REPO, "staging").await));
    assert_eq!(rig.pull(42).await["merged"], false);
}

#[tokio::test]
async fn the_version_of_2026_has_no_merge_commits() {
    let rig = Rig::new().await;
    rig.merge(41).await;
    let shown = async |version| {
        let request = rig
            .request(Method::GET, "/pulls/41")
            .header("x-github-api-version", version);
        answer(request).await.1.get("merge_commit_sha").is_some()
    };
    assert!(shown("2022-11-28").await);
    assert!(!shown("2026-03-10").await);
}
