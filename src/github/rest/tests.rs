//! The client against canned answers: what GitHub's protocol has in store besides the happy path. The whole of it is played end to end
//! against the sandbox's double in `tests/deploy`.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde_json::json;

use super::*;
use crate::github::http::SECONDARY_LIMIT;

type Seen = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// A server that answers by request line, and notes what it saw.
async fn serve(answer: impl Fn(&str, &HeaderMap) -> Response + Clone + Send + Sync + 'static) -> (RestGitHub, Seen) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let seen = Seen::default();
    let noted = seen.clone();
    let routes = Router::new().fallback(move |request: Request| {
        let line = format!("{} {}", request.method(), request.uri());
        noted.lock().unwrap().push((line.clone(), request.headers().clone()));
        let response = answer(&line, request.headers());
        async move { response }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let tokens = Arc::new(TokenSource::personal(SecretString::from("ghp_secret")));
    let repo = RepoName::try_from("acme/web".to_owned()).unwrap();
    let client = RestGitHub::new(&url, repo, tokens)
        .unwrap()
        .with_write_gap(Duration::ZERO);
    (client, seen)
}

fn error(status: u16, message: &str) -> Response {
    (
        StatusCode::from_u16(status).unwrap(),
        axum::Json(json!({ "message": message })),
    )
        .into_response()
}

fn sha() -> Sha {
    "a".repeat(40).parse().unwrap()
}

#[tokio::test]
async fn every_request_pins_the_version_and_says_who_asks() {
    let (github, seen) = serve(|_, _| error(404, "Not Found")).await;
    assert_eq!(github.branch_tip("feature/a b").await.unwrap(), None);
    let seen = seen.lock().unwrap();
    let (line, headers) = &seen[0];
    assert_eq!(line, "GET /repos/acme/web/git/ref/heads/feature/a%20b");
    assert_eq!(headers["x-github-api-version"], "2022-11-28");
    assert_eq!(headers[header::AUTHORIZATION], "Bearer ghp_secret");
    assert!(headers[header::USER_AGENT].to_str().unwrap().starts_with("shipmate/"));
}

#[tokio::test]
async fn pages_are_followed_on_the_same_origin_only() {
    let (github, seen) = serve(|line, headers| {
        let host = headers[header::HOST].to_str().unwrap();
        let (next, rows) = match line.contains("page=2") {
            false => (
                format!("<http://{host}/repositories/1/issues/1/comments?page=2>; rel=\"next\""),
                json!([{ "body": "one" }]),
            ),
            true => (
                "<http://evil.test/steal>; rel=\"next\"".to_owned(),
                json!([{ "body": "two" }]),
            ),
        };
        ([(header::LINK, next)], axum::Json(rows)).into_response()
    })
    .await;
    let refused = github.comments(1).await.unwrap_err();
    assert!(refused.message.contains("another host"), "{refused}");
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn an_unchanged_answer_comes_from_the_cache() {
    let (github, seen) = serve(|_, headers| match headers.get(header::IF_NONE_MATCH) {
        Some(_) => StatusCode::NOT_MODIFIED.into_response(),
        None => (
            [(header::ETAG, "\"1\"")],
            axum::Json(
                json!({ "jobs": [{ "id": 1, "name": "deploy", "status": "queued", "conclusion": null, "html_url": null }] }),
            ),
        )
            .into_response(),
    })
    .await;
    let first = github.jobs(1).await.unwrap();
    assert_eq!(github.jobs(1).await.unwrap(), first);
    assert_eq!(seen.lock().unwrap()[1].1[header::IF_NONE_MATCH], "\"1\"");
}

#[tokio::test]
async fn an_unchanged_answer_is_there_whatever_else_is_read_meanwhile() {
    let (github, seen) = serve(|_, headers| match headers.get(header::IF_NONE_MATCH) {
        Some(_) => StatusCode::NOT_MODIFIED.into_response(),
        None => ([(header::ETAG, "\"1\"")], axum::Json(json!([{ "body": "said" }]))).into_response(),
    })
    .await;
    let all = async |numbers: std::ops::Range<u64>| {
        let reads = numbers.map(|number| github.comments(number));
        for answer in futures_util::future::join_all(reads).await {
            assert_eq!(answer.unwrap(), ["said"]);
        }
    };
    all(1000..1500).await;
    // New ones take the place of old ones while those are asked for.
    all(800..1500).await;
    let seen = seen.lock().unwrap();
    let unchanged = seen
        .iter()
        .filter(|(_, headers)| headers.contains_key(header::IF_NONE_MATCH));
    assert_eq!(unchanged.count(), 500, "each was asked about while it was known");
}

#[tokio::test]
async fn limits_say_how_long_to_wait() {
    let (github, _) = serve(|line, _| {
        let limited = |headers: [(&'static str, String); 1], message: &str| {
            (
                StatusCode::FORBIDDEN,
                headers,
                axum::Json(json!({ "message": message })),
            )
                .into_response()
        };
        match line {
            line if line.contains("/issues/1/") => limited(
                [("retry-after", "7".to_owned())],
                "You have exceeded a secondary rate limit",
            ),
            line if line.contains("/issues/2/") => {
                limited([("x-other", String::new())], "You have exceeded a secondary rate limit")
            }
            line if line.contains("/issues/3/") => {
                limited([("x-ratelimit-remaining", "0".to_owned())], "API rate limit exceeded")
            }
            _ => limited(
                [("x-accepted-github-permissions", "issues=write".to_owned())],
                "Resource not accessible by integration",
            ),
        }
    })
    .await;
    let kind = async |number| github.comments(number).await.unwrap_err();
    assert_eq!(kind(1).await.kind, ErrorKind::RateLimited(Duration::from_secs(7)));
    assert_eq!(kind(2).await.kind, ErrorKind::RateLimited(SECONDARY_LIMIT));
    assert_eq!(kind(3).await.kind, ErrorKind::RateLimited(Duration::from_secs(2)));
    let forbidden = kind(4).await;
    assert_eq!(forbidden.kind, ErrorKind::Forbidden);
    assert!(
        forbidden.message.ends_with("the token needs issues=write"),
        "{forbidden}"
    );
}

#[tokio::test]
async fn a_moved_repository_is_read_on_but_never_written_to() {
    let (github, seen) = serve(|line, _| match line {
        line if line.contains("/repositories/9") => axum::Json(json!([])).into_response(),
        _ => (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, "/repositories/9/x")]).into_response(),
    })
    .await;
    assert_eq!(github.comments(1).await.unwrap(), [] as [&str; 0]);
    let moved = github.set_base(7, "staging").await.unwrap_err();
    assert!(
        moved
            .message
            .contains("the repository moved to /repositories/9/x: change `repo`"),
        "{moved}"
    );
    let lines: Vec<String> = seen.lock().unwrap().iter().map(|(line, _)| line.clone()).collect();
    assert_eq!(
        lines.last().unwrap(),
        "PATCH /repos/acme/web/pulls/7",
        "the write was not followed"
    );
}

#[tokio::test]
async fn errors_carry_githubs_own_words_link_and_request_id() {
    let (github, _) = serve(|_, _| {
        let body = json!({
            "message": "Validation Failed", "documentation_url": "https://docs.github.com/rest/pulls",
            "errors": [{ "field": "base", "code": "invalid", "message": "" }, { "message": "No commits between staging and deploy-1" }, "and text"],
        });
        (StatusCode::UNPROCESSABLE_ENTITY, [("x-github-request-id", "ABCD:1")], axum::Json(body)).into_response()
    })
    .await;
    let said = github.set_base(7, "x").await.unwrap_err().to_string();
    assert_eq!(
        said,
        "GitHub: PATCH /repos/acme/web/pulls/7 failed: Validation Failed: base is invalid; No commits between staging and deploy-1; and text (see https://docs.github.com/rest/pulls) [request ABCD:1]"
    );
}

#[tokio::test]
async fn a_missing_field_is_named_and_worth_another_try() {
    let (github, _) = serve(|_, _| {
        axum::Json(json!({ "number": 7, "title": "x", "html_url": "y", "state": "open" })).into_response()
    })
    .await;
    let malformed = github.pull_request(7).await.unwrap_err();
    assert!(malformed.is_transient());
    assert!(malformed.message.contains("missing field `head`"), "{malformed}");
}

#[tokio::test]
async fn merges_are_told_apart_by_their_message() {
    for (status, message, expected) in [
        (
            405,
            "Base branch was modified. Review and try the merge again.",
            "BaseModified",
        ),
        (405, "Merge already in progress", "InProgress"),
        (405, "Pull Request is not mergeable", "NotMergeable"),
        (405, "Pull Request is still a draft", "Refused"),
        (
            405,
            "At least 1 approving review is required by reviewers with write access.",
            "Refused",
        ),
        (
            409,
            "Head branch was modified. Review and try the merge again.",
            "HeadModified",
        ),
        (422, "Repository rule violations found", "Refused"),
        (
            403,
            "refusing to allow a GitHub App to create or update workflow `x` without `workflows` permission",
            "Refused",
        ),
    ] {
        let (github, _) = serve(move |_, _| error(status, message)).await;
        let outcome = github.merge(7, MergeMethod::Squash, &sha()).await.unwrap();
        assert!(
            format!("{outcome:?}").starts_with(expected),
            "{status} {message}: {outcome:?}"
        );
    }
    let (github, _) = serve(|_, _| error(403, "You have exceeded a secondary rate limit")).await;
    assert!(github.merge(7, MergeMethod::Squash, &sha()).await.is_err());
    let (github, _) = serve(|_, _| axum::Json(json!({ "sha": "b".repeat(40), "merged": true })).into_response()).await;
    assert_eq!(
        github.merge(7, MergeMethod::Squash, &sha()).await.unwrap(),
        MergeOutcome::Merged("b".repeat(40).parse().unwrap())
    );
}

#[tokio::test]
async fn a_token_that_can_not_see_checks_sees_the_jobs_of_actions_instead() {
    let (github, _) = serve(|line, _| {
        let run = |id: u64, workflow: u64, event: &str, status: &str, conclusion: Option<&str>| {
            json!({
                "id": id, "workflow_id": workflow, "event": event, "name": format!("CI {workflow}"), "status": status, "conclusion": conclusion,
                "head_sha": "a".repeat(40), "html_url": "x",
            })
        };
        let job = |id: u64, name: &str, status: &str, conclusion: Option<&str>| {
            json!({ "id": id, "name": name, "status": status, "conclusion": conclusion, "html_url": "y" })
        };
        let jobs = |jobs: Vec<Value>| axum::Json(json!({ "jobs": jobs })).into_response();
        match line.split('?').next().unwrap_or_default() {
            line if line.ends_with("/check-runs") => error(403, "Resource not accessible by personal access token"),
            line if line.ends_with("/runs/1/jobs") => jobs(vec![job(10, "test", "completed", Some("success"))]),
            line if line.ends_with("/runs/2/jobs") => jobs(vec![job(20, "test", "completed", Some("failure"))]),
            // More jobs are to come.
            line if line.ends_with("/runs/4/jobs") => jobs(vec![job(40, "build", "completed", Some("success"))]),
            line if line.ends_with("/runs/5/jobs") => jobs(Vec::new()),
            line if line.ends_with("/actions/runs") => {
                let runs = [
                    run(1, 7, "pull_request", "completed", Some("success")),
                    run(2, 7, "push", "completed", Some("failure")),
                    run(4, 8, "push", "in_progress", None),
                    run(3, 8, "push", "completed", Some("failure")),
                    run(5, 9, "push", "completed", Some("startup_failure")),
                ];
                axum::Json(json!({ "workflow_runs": runs })).into_response()
            }
            _ => error(404, "Not Found"),
        }
    })
    .await;
    for _ in 0..2 {
        let mut checks = github.check_runs(&sha()).await.unwrap();
        checks.sort_by_key(|check| check.id);
        let shown: Vec<_> = checks
            .iter()
            .map(|check| (check.name.as_str(), check.conclusion.as_deref(), check.suite))
            .collect();
        assert_eq!(
            shown,
            [
                ("CI 8", None, None),
                ("CI 9", Some("startup_failure"), None),
                ("test", Some("success"), Some(1)),
                ("test", Some("failure"), Some(2)),
                ("build", Some("success"), Some(4)),
            ],
            "neither event hides the other, a newer run stands for the older one, and what no job tells the run does"
        );
    }
    assert_eq!(github.calls().0, 11, "it isn't asked for check runs again");
}

#[tokio::test]
async fn required_checks_are_those_of_rules_and_of_classic_protection() {
    let (github, _) = serve(|line, _| match line.contains("/rules/") {
        true => axum::Json(json!([{ "type": "deletion" }, { "type": "required_status_checks", "parameters": { "required_status_checks": [{ "context": "build" }] } }])).into_response(),
        false => axum::Json(json!({ "protection": { "required_status_checks": { "contexts": ["build", "e2e"] } } })).into_response(),
    })
    .await;
    assert_eq!(github.required_checks("staging").await.unwrap(), ["build", "e2e"]);
}

/// A key made for this test alone.
const APP_KEY: &str = include_str!("../testdata/app.pem");

#[tokio::test]
async fn an_app_finds_its_installation_and_renews_its_token_once() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    let routes = Router::new().fallback(move |request: Request| {
        let line = format!("{} {}", request.method(), request.uri().path());
        let bearer = request.headers()[header::AUTHORIZATION]
            .to_str()
            .unwrap()
            .trim_start_matches("Bearer ")
            .to_owned();
        let mut asked = noted.lock().unwrap();
        let made = asked
            .iter()
            .filter(|(line, _): &&(String, String)| line.ends_with("/access_tokens"))
            .count();
        let response = match line.as_str() {
            "GET /repos/acme/web/installation" => axum::Json(json!({ "id": 5 })).into_response(),
            "POST /app/installations/5/access_tokens" => {
                let expires = Utc::now() + chrono::TimeDelta::hours(1);
                let token = format!("ghs_{}", made + 1);
                axum::Json(json!({ "token": token, "expires_at": expires, "permissions": { "issues": "read" } }))
                    .into_response()
            }
            "GET /rate_limit" => {
                axum::Json(json!({ "resources": { "core": { "remaining": 1, "limit": 2 } } })).into_response()
            }
            // The first token is refused, as one that GitHub revoked.
            _ if bearer == "ghs_1" => error(401, "Bad credentials"),
            _ => axum::Json(json!([])).into_response(),
        };
        asked.push((line, bearer));
        async move { response }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let repo = RepoName::try_from("acme/web".to_owned()).unwrap();
    let key = SecretString::from(APP_KEY);
    let tokens = Arc::new(TokenSource::app(&url, 12345, &key, None, repo.clone()).unwrap());
    let github = RestGitHub::new(&url, repo, tokens).unwrap();
    assert_eq!(github.comments(1).await.unwrap(), [] as [&str; 0]);
    github.comments(2).await.unwrap();
    let told = github.allowance().await.unwrap().permissions.unwrap();
    assert_eq!(told["issues"], "read", "what GitHub told with the token");

    let asked = asked.lock().unwrap();
    let bearers: Vec<&str> = asked
        .iter()
        .filter(|(line, _)| line.ends_with("/comments"))
        .map(|(_, bearer)| bearer.as_str())
        .collect();
    assert_eq!(bearers, ["ghs_1", "ghs_2", "ghs_2"], "renewed once, then kept");
    let jwt = &asked[0].1;
    assert_eq!(
        jwt.split('.').count(),
        3,
        "the App proves itself by a signed token: {jwt}"
    );
}

#[test]
fn a_key_that_is_none_is_said_without_quoting_it() {
    let repo = RepoName::try_from("acme/web".to_owned()).unwrap();
    let refused = TokenSource::app("https://api.github.com", 1, &SecretString::from("hunter2"), None, repo);
    let said = refused.err().unwrap().to_string();
    assert!(
        said.contains("GITHUB_APP_PRIVATE_KEY") && !said.contains("hunter2"),
        "{said}"
    );
}
