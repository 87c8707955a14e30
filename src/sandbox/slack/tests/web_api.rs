//! What the Web API and response URLs take and refuse.

use super::*;

#[tokio::test]
async fn what_breaks_a_rule_is_refused_and_noted() {
    let app = App::of(Options::default()).await;
    let divider = json!({ "type": "divider" });
    let refused = app
        .calls(
            "chat.postMessage",
            json!({ "channel": DEPLOYS, "text": "x", "blocks": vec![divider; 51] }),
        )
        .await;
    assert_eq!(refused["error"], "invalid_blocks");
    let nameless = json!({ "channel": DEPLOYS, "text": "x", "metadata": { "event_payload": {} } });
    assert_eq!(
        app.calls("chat.postMessage", nameless).await["error"],
        "invalid_metadata_format"
    );
    assert_eq!(
        app.calls("chat.postMessage", json!({ "channel": DEPLOYS })).await["error"],
        "no_text"
    );
    assert_eq!(
        app.slack.violations(),
        [
            "chat.postMessage: blocks: 51 are not 0 to 50",
            "chat.postMessage: metadata: needs event_type, a name, and event_payload, an object",
            "chat.postMessage: no text for notifications and screen readers",
        ]
    );
    assert!(app.slack.messages(DEPLOYS).is_empty() && app.slack.ledger().is_empty());
}

#[tokio::test]
async fn refusals_have_slacks_codes() {
    let app = App::of(Options {
        more_channels: vec![("C0OPS".into(), "ops".into())],
        ..Options::default()
    })
    .await;
    let code = async |method: &str, body: Value| {
        app.calls(method, body).await["error"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        code("chat.postMessage", json!({ "channel": "C0", "text": "x" })).await,
        "channel_not_found"
    );
    app.slack
        .change(|workspace| workspace.channels.get_mut("C0OPS").unwrap().bot_is_member = false);
    assert_eq!(
        code("chat.postMessage", json!({ "channel": "C0OPS", "text": "x" })).await,
        "not_in_channel"
    );
    assert_eq!(
        app.reads("conversations.info", "channel=C0OPS").await["channel"]["is_member"],
        false
    );
    assert_eq!(
        code("chat.update", json!({ "channel": DEPLOYS, "ts": "1.2", "text": "x" })).await,
        "message_not_found"
    );
    app.slack.says("U0ANA", DEPLOYS, "hello").await.unwrap();
    let hers = app.slack.messages(DEPLOYS)[0].ts.clone();
    assert_eq!(
        code("chat.update", json!({ "channel": DEPLOYS, "ts": hers, "text": "x" })).await,
        "cant_update_message"
    );
    let forged = app
        .posts("auth.test", "xoxb-other", &json!({}))
        .await
        .json::<Value>()
        .await
        .unwrap();
    assert_eq!(forged["error"], "invalid_auth");
    assert_eq!(code("chat.explode", json!({})).await, "unknown_method");
    // Reads take no JSON.
    assert_eq!(
        code("conversations.info", json!({ "channel": DEPLOYS })).await,
        "channel_not_found"
    );
}

#[tokio::test]
async fn metadata_is_found_page_by_page_in_channel_and_thread() {
    let app = App::of(Options::default()).await;
    let root = app.card().await;
    for n in 0..3 {
        app.calls(
            "chat.postMessage",
            json!({ "channel": DEPLOYS, "text": format!("reply {n}"), "thread_ts": root }),
        )
        .await;
        app.calls(
            "chat.postMessage",
            json!({ "channel": DEPLOYS, "text": format!("more {n}") }),
        )
        .await;
    }
    let texts = async |method: &str, query: &str| {
        let (mut texts, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = app
                .reads(method, &format!("channel={DEPLOYS}&limit=2&cursor={cursor}{query}"))
                .await;
            let messages = page["messages"].as_array().unwrap().clone();
            assert!(messages.len() <= 2);
            texts.extend(
                messages
                    .iter()
                    .map(|message| message["text"].as_str().unwrap().to_owned()),
            );
            cursor = page["response_metadata"]["next_cursor"].as_str().unwrap().to_owned();
            if cursor.is_empty() {
                return (texts, messages.last().unwrap().clone());
            }
        }
    };
    let (history, oldest) = texts("conversations.history", "&include_all_metadata=true").await;
    assert_eq!(history, ["more 2", "more 1", "more 0", "Ship it?"]);
    assert_eq!(oldest["metadata"]["event_payload"]["step_key"], "card");
    let (_, bare) = texts("conversations.history", "").await;
    assert!(bare["metadata"].is_null());
    let (replies, _) = texts("conversations.replies", &format!("&ts={root}")).await;
    assert_eq!(replies, ["Ship it?", "reply 0", "reply 1", "reply 2"]);
    assert_eq!(
        app.slack.ledger()[..2],
        [
            "chat.postMessage C0DEPLOYS slot=card",
            "chat.postMessage C0DEPLOYS thread"
        ]
    );
}

#[tokio::test]
async fn a_response_url_answers_five_times() {
    let (app, mut line) = app_with_line(Options::default()).await;
    let url = command_of(&app, &mut line).await["response_url"]
        .as_str()
        .unwrap()
        .to_owned();
    let respond = async |body: Value| {
        let response = soon("a response", app.http.post(&url).json(&body).send())
            .await
            .unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(respond(json!({ "text": "to her" })).await, (200, "ok".to_owned()));
    assert_eq!(
        respond(json!({ "text": "to all", "response_type": "in_channel" }))
            .await
            .0,
        200
    );
    assert_eq!(
        app.slack.transcript(),
        "#deploys\nShipmate (only to Ana Ruiz): to her\nShipmate: to all\n"
    );
    for _ in 0..3 {
        assert_eq!(respond(json!({ "text": "again" })).await.0, 200);
    }
    let (status, body) = respond(json!({ "text": "once more" })).await;
    assert_eq!((status, body.contains("used_url")), (404, true));
    assert_eq!(app.slack.ephemerals("U0ANA").len(), 4);
}

#[tokio::test]
async fn only_a_response_url_reaches_an_ephemeral_message() {
    let (app, mut line) = app_with_line(Options::default()).await;
    let button = json!({ "type": "button", "text": { "type": "plain_text", "text": "Yes" }, "action_id": "yes" });
    let blocks = json!([{ "type": "actions", "elements": [button] }]);
    let asked = json!({ "channel": DEPLOYS, "user": "U0ANA", "text": "Sure?", "blocks": blocks });
    let ts = app.calls("chat.postEphemeral", asked).await["message_ts"].clone();
    let update = app
        .calls("chat.update", json!({ "channel": DEPLOYS, "ts": ts, "text": "x" }))
        .await;
    assert_eq!(update["error"], "message_not_found");
    assert!(app.slack.clicks_label("U0BEN", "Yes").await.is_err());

    let (clicked, envelope) = tokio::join!(app.slack.clicks_label("U0ANA", "Yes"), line.takes(Value::Null));
    clicked.unwrap();
    let payload = &envelope["payload"];
    assert_eq!(
        (&payload["container"]["is_ephemeral"], &payload["message"]),
        (&json!(true), &Value::Null)
    );
    let url = payload["response_url"].as_str().unwrap();
    let replaced = app
        .http
        .post(url)
        .json(&json!({ "replace_original": true, "text": "Done." }))
        .send()
        .await
        .unwrap();
    assert_eq!(replaced.status(), 200);
    assert_eq!(app.slack.transcript(), "#deploys\nShipmate (only to Ana Ruiz): Done.\n");
    app.http
        .post(url)
        .json(&json!({ "delete_original": true }))
        .send()
        .await
        .unwrap();
    assert_eq!(app.slack.transcript(), "");

    let ts = app
        .calls(
            "chat.postEphemeral",
            json!({ "channel": DEPLOYS, "user": "U0ANA", "text": "Psst." }),
        )
        .await;
    let ts = ts["message_ts"].as_str().unwrap();
    app.slack.dismisses("U0BEN", DEPLOYS, ts);
    assert_eq!(app.slack.ephemerals("U0ANA").len(), 1);
    app.slack.dismisses("U0ANA", DEPLOYS, ts);
    assert!(app.slack.ephemerals("U0ANA").is_empty());
}

#[tokio::test]
async fn faults_strike_before_or_after_the_effect_and_the_hook_sees_both() {
    let app = App::of(Options::default()).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let watching = seen.clone();
    app.slack.faults().watch(Some(Arc::new(move |line, when| {
        locked(&watching).push((line.to_owned(), when))
    })));
    let body = json!({ "channel": DEPLOYS, "text": "x" });
    let post = async || app.posts("chat.postMessage", &app.slack.bot_token(), &body).await;
    let strike = |when, kind| {
        let fault = Fault {
            matches: "chat.postMessage".to_owned(),
            when,
            kind,
            times: 1,
        };
        app.slack.faults().inject(fault);
    };
    strike(When::Before, Kind::Status(500, "no".to_owned()));
    assert_eq!(post().await.status(), 500);
    assert!(app.slack.messages(DEPLOYS).is_empty() && locked(&seen).is_empty());
    strike(When::After, Kind::NotOk("internal_error".to_owned()));
    assert_eq!(post().await.json::<Value>().await.unwrap()["error"], "internal_error");
    assert_eq!(app.slack.messages(DEPLOYS).len(), 1);
    let line = "POST chat.postMessage".to_owned();
    assert_eq!(*locked(&seen), [(line.clone(), When::Before), (line, When::After)]);
    assert_eq!(app.slack.calls()["chat.postMessage"], 2);
}

#[tokio::test]
async fn too_many_posts_are_told_when_to_come_again() {
    let app = App::of(Options {
        rate_limits: true,
        ..Options::default()
    })
    .await;
    let body = json!({ "channel": DEPLOYS, "text": "x" });
    let token = app.slack.bot_token();
    let mut limited = app.posts("chat.postMessage", &token, &body).await;
    for _ in 0..50 {
        if limited.status() == 429 {
            break;
        }
        limited = app.posts("chat.postMessage", &token, &body).await;
    }
    assert_eq!(limited.headers()["retry-after"], "1");
    assert_eq!(limited.json::<Value>().await.unwrap()["error"], "ratelimited");
}
