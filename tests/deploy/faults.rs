//! Every outside call meets every fault once; the deployment ends the same.

use shipmate::sandbox::faults::{Fault, Kind, When};
use shipmate::sandbox::github::GitHubDouble;
use shipmate::sandbox::play::REPO;

use crate::stage::Stage;

/// Parts of request lines that tell GitHub's calls apart.
const GITHUB: [&str; 20] = [
    "GET /api/v3/repos/acme/web/pulls/41/reviews",
    "GET /api/v3/repos/acme/web/pulls/41/commits",
    "GET /api/v3/repos/acme/web/pulls/41",
    "GET /api/v3/repos/acme/web/pulls",
    "PATCH /api/v3/repos/acme/web/pulls/42",
    "PUT /api/v3/repos/acme/web/pulls/41/merge",
    "PUT /api/v3/repos/acme/web/pulls/49/merge",
    "POST /api/v3/repos/acme/web/pulls/49/requested_reviewers",
    "PATCH /api/v3/repos/acme/web/pulls/49",
    "POST /api/v3/repos/acme/web/pulls",
    "/git/ref/heads/",
    "/check-runs",
    "/status",
    "/rules/branches/",
    "/collaborators/",
    "/actions/workflows/",
    "/actions/runs/",
    "GET /api/v3/repos/acme/web/releases",
    "PATCH /api/v3/repos/acme/web/releases",
    "graphql",
];
const SLACK: [&str; 2] = ["chat.postMessage", "chat.update"];

fn inject(github: &GitHubDouble, stage: &Stage, kind: &Kind, when: When) {
    let fault = |matches: &str| Fault {
        matches: matches.to_owned(),
        when,
        kind: kind.clone(),
        times: 1,
    };
    for call in GITHUB {
        github.faults().inject(fault(call));
    }
    for call in SLACK {
        stage.slack().faults().inject(fault(call));
    }
}

async fn ends_the_same(kind: Kind, when: When) {
    let calm = Stage::new().await;
    calm.plays_to("").await;
    calm.ticks_everything().await;
    calm.reads("completed · 1.4.3 shipped").await;
    let expected = calm.github().ledger(REPO).await;
    calm.closes().await;

    let stage = Stage::new().await;
    inject(stage.github(), &stage, &kind, when);
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
    let effects = stage.github().ledger(REPO).await;
    let strip = |lines: Vec<String>| {
        lines
            .into_iter()
            .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(strip(effects), strip(expected), "{kind:?} {when:?}");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_before_and_after_the_effect() {
    ends_the_same(Kind::Status(500, "Server Error".to_owned()), When::Before).await;
    ends_the_same(Kind::Status(502, "Server Error".to_owned()), When::After).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_connections_before_and_after_the_effect() {
    ends_the_same(Kind::Reset, When::Before).await;
    ends_the_same(Kind::Reset, When::After).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests() {
    ends_the_same(Kind::RateLimited(Some(0)), When::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_what_is_documented() {
    ends_the_same(Kind::Html, When::Before).await;
    ends_the_same(Kind::HalfJson, When::After).await;
}
