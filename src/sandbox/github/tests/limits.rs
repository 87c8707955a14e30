//! Limits, conditional requests, and faults.

use super::*;
use crate::sandbox::faults::When;
use crate::sandbox::faults::{Fault, Kind};
use crate::sandbox::github::knobs::SlowDown;

#[tokio::test]
async fn every_answer_tells_what_is_left() {
    let rig = Rig::new().await;
    for path in ["/pulls/41", "/pulls/999"] {
        let response = rig.request(Method::GET, path).send().await.unwrap();
        for name in ["limit", "remaining", "used", "reset", "resource"] {
            assert_ne!(header(&response, &format!("x-ratelimit-{name}")), "", "{name}");
        }
        assert_ne!(header(&response, "x-github-request-id"), "");
    }
}

#[tokio::test]
async fn what_is_unchanged_is_304_and_free() {
    let rig = Rig::new().await;
    rig.knobs(|knobs| knobs.quota = Some(10));
    let first = rig.request(Method::GET, "/pulls/41").send().await.unwrap();
    let etag = header(&first, "etag").to_owned();
    let again = async || {
        let request = rig.request(Method::GET, "/pulls/41").header("if-none-match", &etag);
        let response = request.send().await.unwrap();
        (
            response.status().as_u16(),
            header(&response, "x-ratelimit-remaining").to_owned(),
        )
    };
    assert_eq!(again().await, (304, "9".to_owned()));
    assert_eq!(again().await, (304, "9".to_owned()));
    rig.double.close(REPO, 41).await.unwrap();
    assert_eq!(again().await, (200, "8".to_owned()));
}

#[tokio::test]
async fn a_used_up_quota_is_403_with_a_reset() {
    let rig = Rig::new().await;
    rig.knobs(|knobs| knobs.quota = Some(1));
    assert_eq!(rig.get("/pulls/41").await.0, 200);
    let response = rig.request(Method::GET, "/pulls/41").send().await.unwrap();
    assert_eq!(response.status(), 403);
    assert_eq!(header(&response, "x-ratelimit-remaining"), "0");
    assert_eq!(header(&response, "retry-after"), "");
    assert!(header(&response, "x-ratelimit-reset").parse::<i64>().unwrap() > 1_700_000_000);
    let body: Value = response.json().await.unwrap();
    assert!(body["message"].as_str().unwrap().starts_with("API rate limit exceeded"));
    // Asking how much is left is free.
    let url = format!("{}/rate_limit", rig.double.api_url());
    let (status, body) = answer(rig.http.get(url).bearer_auth(tokens::CLASSIC)).await;
    assert_eq!((status, &body["resources"]["core"]["remaining"]), (200, &json!(0)));
}

#[tokio::test]
async fn secondary_limits_come_in_three_kinds() {
    let rig = Rig::new().await;
    rig.knobs(|knobs| {
        knobs.slow_down = [
            (1, SlowDown::For(403, 7)),
            (2, SlowDown::For(429, 1)),
            (3, SlowDown::Unsaid(403)),
        ]
        .into();
    });
    for (status, wait) in [(403, "7"), (429, "1"), (403, "")] {
        let response = rig.request(Method::GET, "/pulls/41").send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), header(&response, "retry-after")),
            (status, wait)
        );
        let body: Value = response.json().await.unwrap();
        assert!(body["message"].as_str().unwrap().contains("secondary rate limit"));
    }
    assert_eq!(rig.get("/pulls/41").await.0, 200);
}

/// Each write, with what shows that it took effect.
fn writes(release: &Value) -> Vec<(Method, String, Value, &'static str)> {
    let write = |method, path: &str, body, note| (method, path.to_owned(), body, note);
    vec![
        write(
            Method::POST,
            "/git/refs",
            json!({ "ref": "refs/heads/x", "sha": "staging" }),
            "POST git/refs x",
        ),
        write(
            Method::PATCH,
            "/pulls/42",
            json!({ "body": "x" }),
            "PATCH pulls/42 body",
        ),
        write(
            Method::PUT,
            "/pulls/42/merge",
            json!({}),
            "PUT pulls/42/merge into staging",
        ),
        write(
            Method::POST,
            "/pulls/44/requested_reviewers",
            json!({ "reviewers": ["dan"] }),
            "POST pulls/44/requested_reviewers dan",
        ),
        write(
            Method::POST,
            "/pulls",
            json!({ "title": "T", "head": "fix/cart-total", "base": "main" }),
            "POST pulls fix/cart-total -> main",
        ),
        write(
            Method::POST,
            "/issues/31/comments",
            json!({ "body": "x" }),
            "POST issues/31/comments",
        ),
        write(
            Method::PATCH,
            "/issues/31",
            json!({ "state": "closed" }),
            "PATCH issues/31 state=closed",
        ),
        write(
            Method::PATCH,
            &format!("/releases/{}", release["id"]),
            json!({ "body": "x" }),
            "PATCH releases/v1.4.2 body",
        ),
        write(
            Method::DELETE,
            "/git/refs/heads/x",
            json!({}),
            "DELETE git/refs/heads/x",
        ),
    ]
}

#[tokio::test]
async fn each_write_can_take_effect_and_lose_its_reply() {
    let rig = Rig::new().await;
    rig.shipped().await;
    let release = rig.get("/releases").await.1[0].clone();
    for (method, path, body, note) in writes(&release) {
        for (when, kind) in [
            (When::Before, Kind::Status(502, "Server Error".to_owned())),
            (
                When::After,
                if path.len() % 2 == 0 {
                    Kind::Reset
                } else {
                    Kind::Status(502, "Server Error".to_owned())
                },
            ),
        ] {
            let fault = Fault {
                matches: path.clone(),
                when,
                kind,
                times: 1,
            };
            rig.double.faults().inject(fault);
            let before = rig.double.ledger(REPO).await.len();
            let sent = rig.request(method.clone(), &path).json(&body).send().await;
            let failed = match sent {
                Ok(response) => !response.status().is_success() || response.bytes().await.is_err(),
                Err(_) => true,
            };
            assert!(failed, "{method} {path} {when:?}");
            let effects = rig.double.ledger(REPO).await[before..].to_vec();
            match when {
                When::Before => assert_eq!(effects, [] as [&str; 0], "{method} {path}"),
                When::After => assert_eq!(effects, [note]),
            }
        }
    }
}

#[tokio::test]
async fn lost_replies_lose_one_of_each_kind() {
    let rig = Rig::on(Scenario::LostReplies).await;
    let edit = async |number: u64| {
        rig.send(Method::PATCH, &format!("/pulls/{number}"), json!({ "body": "x" }))
            .await
            .0
    };
    assert_eq!([edit(41).await, edit(42).await], [502, 200]);
    assert_eq!(rig.pull(41).await["body"], "x");
    assert_eq!(
        rig.refused(Method::PUT, "/pulls/41/merge", json!({})).await,
        says(502, "Server Error")
    );
    assert_eq!(rig.pull(41).await["merged"], true);
}
