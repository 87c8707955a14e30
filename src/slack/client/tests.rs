//! Against a small Slack on loopback that answers from a table and keeps what it was asked.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;

use super::*;

/// What was asked: the path after `/api/`, the `Authorization` header, the query and the body.
#[derive(Clone, Debug)]
struct Asked {
    path: String,
    authorization: Option<String>,
    query: String,
    body: Value,
}

#[derive(Clone, Default)]
struct FakeSlack {
    answers: Arc<Mutex<VecDeque<Response>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeSlack {
    /// Starts it with these answers, in order; once they are used up, it never answers.
    async fn start(answers: impl IntoIterator<Item = Response>) -> (Self, SlackClientApi, String) {
        let slack = Self::default();
        slack.answers.lock().unwrap().extend(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(slack.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut client = SlackClientApi::new(&format!("{base}/api/"), "xoxb-secret".into()).unwrap();
        client.deadline = Duration::from_millis(500);
        (slack, client, base)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(slack): State<FakeSlack>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    slack.asked.lock().unwrap().push(Asked {
        path: parts.uri.path().trim_start_matches("/api/").to_owned(),
        authorization: parts
            .headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().to_owned()),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    });
    let answer = slack.answers.lock().unwrap().pop_front();
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

fn json_answer(status: u16, body: Value) -> Response {
    let response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    response.body(Body::from(body.to_string())).unwrap()
}

fn html_answer(body: &'static str) -> Response {
    Response::builder()
        .header("content-type", "text/html")
        .body(Body::from(body))
        .unwrap()
}

fn ok(body: Value) -> Response {
    let mut body = body;
    body["ok"] = true.into();
    json_answer(200, body)
}

fn me() -> Response {
    ok(json!({"user_id": "UBOT", "team_id": "T1", "team": "Acme", "url": "https://acme.slack.com/"}))
}

fn content(text: &str) -> Content {
    Content {
        text: text.into(),
        blocks: vec![json!({"type": "divider"})],
    }
}

fn metadata(step_key: &str) -> Metadata {
    Metadata {
        deployment: "d1".into(),
        step_key: step_key.into(),
    }
}

fn our_message(ts: &str, step_key: &str) -> Value {
    let payload = json!({"deployment": "d1", "step_key": step_key});
    json!({"ts": ts, "user": "UBOT", "metadata": {"event_type": "shipmate", "event_payload": payload}})
}

fn post() -> Post {
    Post {
        channel: "C1".into(),
        thread: Some("1.1".into()),
        content: content("hello"),
        metadata: Some(metadata("card")),
    }
}

#[tokio::test]
async fn every_method_is_in_the_table_and_every_row_of_the_table_is_called() {
    let answers = [
        me(),
        ok(json!({"channel": "C1", "ts": "1.2"})),
        ok(json!({"channel": "C1", "ts": "1.2"})),
        ok(json!({})),
        ok(json!({})),
        ok(json!({"messages": []})),
        ok(json!({"messages": []})),
        ok(json!({"permalink": "https://acme.slack.com/p1"})),
        ok(json!({"users": ["UANA"]})),
        ok(
            json!({"user": {"id": "UANA", "name": "ana", "tz": "Europe/Paris", "profile": {"display_name": "Ana", "fields": []}}}),
        ),
        ok(json!({"channel": {"id": "C1", "is_member": true}})),
    ];
    let (fake, slack, _) = FakeSlack::start(answers).await;
    assert_eq!(slack.identity().await.unwrap().user_id, "UBOT");
    assert_eq!(slack.post(post()).await.unwrap(), "1.2");
    slack.update("C1", "1.2", content("x"), None).await.unwrap();
    slack.open_view("t", json!({})).await.unwrap();
    slack.publish_home("UANA", json!({})).await.unwrap();
    assert_eq!(slack.find("C1", None, &metadata("card")).await.unwrap(), None);
    assert_eq!(
        slack.find("C1", Some("1.1".into()), &metadata("card")).await.unwrap(),
        None
    );
    assert_eq!(slack.permalink("C1", "1.2").await.unwrap(), "https://acme.slack.com/p1");
    assert_eq!(slack.group_members("S1").await.unwrap(), ["UANA"]);
    let ana = User {
        id: "UANA".into(),
        name: "Ana".into(),
        tz: Some("Europe/Paris".into()),
    };
    assert_eq!(slack.user("UANA").await.unwrap(), ana);
    assert!(slack.is_member("C1").await.unwrap());

    let asked = fake.asked();
    let called: BTreeSet<_> = asked.iter().map(|asked| asked.path.as_str()).collect();
    let known: BTreeSet<_> = METHODS.iter().map(|(method, _)| *method).collect();
    assert_eq!(called, known);
    assert!(
        asked
            .iter()
            .all(|asked| asked.authorization.as_deref() == Some("Bearer xoxb-secret"))
    );
}

#[tokio::test]
async fn a_post_carries_its_thread_and_how_to_find_it_again() {
    let (fake, slack, _) = FakeSlack::start([ok(json!({"ts": "1.2"}))]).await;
    slack.post(post()).await.unwrap();
    let body = &fake.asked()[0].body;
    assert_eq!((&body["thread_ts"], &body["text"]), (&json!("1.1"), &json!("hello")));
    assert_eq!(
        body["metadata"],
        json!({"event_type": "shipmate", "event_payload": {"deployment": "d1", "step_key": "card"}})
    );
}

#[tokio::test]
async fn a_response_url_never_gets_the_token() {
    let plain = html_answer("ok");
    let gone = json_answer(404, json!({"ok": false, "error": "used_url"}));
    let (fake, slack, base) = FakeSlack::start([plain, gone]).await;
    let url = format!("{base}/response/secret");
    slack.respond(&url, Respond::Replace, content("x")).await.unwrap();
    assert_eq!(fake.asked()[0].authorization, None);
    assert_eq!(fake.asked()[0].body["replace_original"], true);

    let error = slack.respond(&url, Respond::Ephemeral, content("x")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Api("http_404".into()));
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn errors_say_what_to_do_next() {
    let mut limited = json_answer(429, json!({"ok": false, "error": "ratelimited"}));
    limited.headers_mut().insert("retry-after", "7".parse().unwrap());
    let answers = [
        limited,
        json_answer(503, json!({})),
        html_answer("<html>"),
        json_answer(200, json!({"ok": true})),
        json_answer(200, json!({"ok": false, "error": "not_in_channel"})),
    ];
    let (_, slack, _) = FakeSlack::start(answers).await;
    let mut kinds = Vec::new();
    for _ in 0..4 {
        kinds.push(slack.post(post()).await.unwrap_err().kind);
    }
    let transient = ErrorKind::Transient;
    assert_eq!(kinds[0], ErrorKind::RateLimited(Duration::from_secs(7)));
    assert_eq!(kinds[1..], [transient.clone(), transient.clone(), transient.clone()]);
    let error = slack.post(post()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Slack: chat.postMessage failed: not_in_channel; invite the app into the channel: /invite @Shipmate"
    );
    let silent = slack.post(post()).await.unwrap_err();
    assert_eq!(silent.kind, transient);
    assert!(silent.message.starts_with("no answer within"), "{silent}");
}

#[tokio::test]
async fn nobody_listening_is_transient() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let slack = SlackClientApi::new(&url, "xoxb-secret".into()).unwrap();
    assert_eq!(slack.post(post()).await.unwrap_err().kind, ErrorKind::Transient);
}

#[tokio::test]
async fn find_takes_the_newest_of_ours_and_goes_through_the_pages() {
    let mut forged = our_message("9.9", "card");
    forged["user"] = "UEVE".into();
    let mut other_app = our_message("9.8", "card");
    other_app["metadata"] = json!({"event_type": "other", "event_payload": {"n": 1, "nested": []}});
    let more = json!({"next_cursor": "two="});
    let answers = [
        me(),
        ok(json!({"messages": [forged, other_app, our_message("9.7", "notes")], "response_metadata": more})),
        ok(json!({"messages": [our_message("9.6", "card"), our_message("9.5", "card")], "response_metadata": more})),
        // A thread begins with its oldest message.
        ok(json!({"messages": [our_message("9.1", "card"), our_message("10.2", "card")], "response_metadata": more})),
        ok(json!({"messages": [our_message("10.3", "notes")], "response_metadata": {"next_cursor": ""}})),
    ];
    let (fake, slack, _) = FakeSlack::start(answers).await;
    assert_eq!(
        slack.find("C1", None, &metadata("card")).await.unwrap().as_deref(),
        Some("9.6")
    );
    let in_thread = slack.find("C1", Some("9.0".into()), &metadata("card")).await.unwrap();
    assert_eq!(in_thread.as_deref(), Some("10.2"));
    let queries: Vec<_> = fake.asked().iter().map(|asked| asked.query.clone()).collect();
    assert_eq!(
        queries[2],
        "channel=C1&limit=200&include_all_metadata=true&cursor=two%3D"
    );
    assert_eq!(queries[3], "channel=C1&limit=200&include_all_metadata=true&ts=9.0");
}
