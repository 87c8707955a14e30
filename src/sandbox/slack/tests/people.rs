//! What people do, and what they read.

use super::*;

#[tokio::test]
async fn a_command_and_its_answer() {
    let (app, mut line) = app_with_line(Options::default()).await;
    let answer = json!({ "response_type": "ephemeral", "text": "On it." });
    let (reply, envelope) = tokio::join!(
        app.slack.says("U0ANA", DEPLOYS, "/deploy start --only #4"),
        line.takes(answer)
    );
    assert_eq!(reply.unwrap().text.as_deref(), Some("On it."));
    assert_eq!(
        (&envelope["type"], &envelope["accepts_response_payload"]),
        (&json!("slash_commands"), &json!(true))
    );
    let payload = &envelope["payload"];
    assert_eq!(
        (&payload["command"], &payload["text"]),
        (&json!("/deploy"), &json!("start --only #4"))
    );
    assert_eq!(
        (&payload["user_name"], &payload["channel_name"]),
        (&json!("ana"), &json!("deploys"))
    );
    assert_eq!(app.slack.ephemerals("U0ANA").len(), 1);
    assert!(app.slack.ephemerals("U0BEN").is_empty() && app.slack.messages(DEPLOYS).is_empty());
    assert_eq!(
        app.slack.transcript(),
        "#deploys\nShipmate (only to Ana Ruiz): On it.\n"
    );
}

#[tokio::test]
async fn a_missed_acknowledgement_fails_in_slacks_words() {
    let (app, _line) = app_with_line(Options {
        ack_deadline: Duration::from_millis(1),
        ..Options::default()
    })
    .await;
    let failed = app.slack.says("U0ANA", DEPLOYS, "/deploy").await.unwrap_err();
    assert_eq!(failed, "/deploy failed with the error \"operation_timeout\"");
    app.slack.cut();
    let failed = app.slack.says("U0ANA", DEPLOYS, "/deploy").await.unwrap_err();
    assert_eq!(failed, "/deploy failed with the error \"dispatch_failed\"");
    assert_eq!(
        app.slack.says("U0ANA", DEPLOYS, "/deplyo").await.unwrap_err(),
        "/deplyo is not a valid command"
    );
    app.slack.says("U0ANA", DEPLOYS, "lunch?").await.unwrap();
    assert_eq!(app.slack.transcript(), "#deploys\nAna Ruiz: lunch?\n");
}

#[tokio::test]
async fn a_click_carries_what_slacks_does() {
    let (app, mut line) = app_with_line(Options::default()).await;
    let ts = app.card().await;
    let (clicked, envelope) = tokio::join!(app.slack.clicks_label("U0BEN", "Ship"), line.takes(Value::Null));
    clicked.unwrap();
    let payload = &envelope["payload"];
    assert_eq!(envelope["type"], "interactive");
    assert_eq!(payload["type"], "block_actions");
    assert_eq!(
        payload["user"],
        json!({ "id": "U0BEN", "username": "ben", "name": "ben", "team_id": TEAM })
    );
    assert_eq!(
        payload["container"],
        json!({ "type": "message", "message_ts": ts, "channel_id": DEPLOYS, "is_ephemeral": false })
    );
    assert_eq!(payload["message"]["metadata"]["event_payload"]["step_key"], "card");
    assert_eq!(payload["message"]["blocks"][1]["block_id"], "row");
    let action = &payload["actions"][0];
    assert_eq!(
        (&action["type"], &action["action_id"], &action["block_id"]),
        (&json!("button"), &json!("ship"), &json!("row"))
    );
    assert_eq!(
        (&action["value"], &action["text"]["text"]),
        (&json!("d1"), &json!("Ship"))
    );
    assert_eq!(
        payload["state"]["values"]["row"]["tick"]["selected_options"][0]["value"],
        "a"
    );
    assert!(app.slack.clicks_label("U0BEN", "Sink").await.is_err());
    keeps_to_the_rules(&app.slack);
}

#[tokio::test]
async fn ticks_are_a_persons_own_and_outlast_updates_while_the_block_keeps_its_id() {
    let (app, mut line) = app_with_line(Options::default()).await;
    let ts = app.card().await;
    let (ticked, envelope) = tokio::join!(
        app.slack.ticks("U0BEN", DEPLOYS, &ts, "tick", &["b"]),
        line.takes(Value::Null)
    );
    ticked.unwrap();
    let values = |of: &Value| {
        let options = of["selected_options"].as_array().unwrap().iter();
        options
            .map(|option| option["value"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&envelope["payload"]["actions"][0]), ["b"]);
    let state_of_next_click = async |line: &mut Line, user: &str| {
        let (clicked, envelope) = tokio::join!(app.slack.clicks(user, DEPLOYS, &ts, "ship"), line.takes(Value::Null));
        clicked.unwrap();
        values(&envelope["payload"]["state"]["values"]["row"]["tick"])
    };
    assert_eq!(state_of_next_click(&mut line, "U0BEN").await, ["b"]);
    assert_eq!(state_of_next_click(&mut line, "U0ANA").await, ["a"]);
    let mut blocks = app.slack.messages(DEPLOYS)[0].blocks.clone();
    let update = async |blocks: &[Value]| {
        let body = json!({ "channel": DEPLOYS, "ts": ts, "text": "Ship it?", "blocks": blocks });
        assert_eq!(app.calls("chat.update", body).await["ok"], true);
    };
    update(&blocks).await;
    assert_eq!(state_of_next_click(&mut line, "U0BEN").await, ["b"]);
    let (ticked, _) = tokio::join!(app.slack.ticks_beside("U0BEN", "a", Tick::On), line.takes(Value::Null));
    ticked.unwrap();
    assert_eq!(state_of_next_click(&mut line, "U0BEN").await, ["a", "b"]);
    let (ticked, _) = tokio::join!(app.slack.ticks_beside("U0BEN", "b", Tick::Off), line.takes(Value::Null));
    ticked.unwrap();
    assert_eq!(state_of_next_click(&mut line, "U0BEN").await, ["a"]);
    assert!(app.slack.ticks_beside("U0BEN", "c", Tick::On).await.is_err());

    let (ticked, _) = tokio::join!(app.slack.ticks_beside("U0BEN", "a", Tick::Off), line.takes(Value::Null));
    ticked.unwrap();
    blocks[1]["block_id"] = json!("another");
    update(&blocks).await;
    let (clicked, envelope) = tokio::join!(app.slack.clicks_label("U0BEN", "Ship"), line.takes(Value::Null));
    clicked.unwrap();
    assert_eq!(
        values(&envelope["payload"]["state"]["values"]["another"]["tick"]),
        ["a"]
    );
    assert!(app.slack.ticks("U0BEN", DEPLOYS, &ts, "tick", &["z"]).await.is_err());
}

#[tokio::test]
async fn a_trigger_opens_one_modal_soon() {
    let (app, mut line) = app_with_line(Options::default()).await;
    let trigger = command_of(&app, &mut line).await["trigger_id"].clone();
    let opening = json!({ "trigger_id": trigger, "view": modal() });
    assert_eq!(app.calls("views.open", opening.clone()).await["ok"], true);
    assert_eq!(app.calls("views.open", opening).await["error"], "exchanged_trigger_id");
    let (app, mut line) = app_with_line(Options {
        trigger_life: Duration::ZERO,
        ..Options::default()
    })
    .await;
    let trigger = command_of(&app, &mut line).await["trigger_id"].clone();
    let opening = json!({ "trigger_id": trigger, "view": modal() });
    assert_eq!(app.calls("views.open", opening).await["error"], "expired_trigger_id");
}

#[tokio::test]
async fn a_modal_stays_open_until_the_app_has_no_complaints() {
    let (app, mut line) = app_with_line(Options::default()).await;
    let trigger = command_of(&app, &mut line).await["trigger_id"].clone();
    app.calls("views.open", json!({ "trigger_id": trigger, "view": modal() }))
        .await;
    let missing = app.slack.submits_view("U0ANA", BTreeMap::new()).await.unwrap_err();
    assert_eq!(missing, "Please complete this required field: reason");
    assert!(app.slack.submits_view("U0BEN", filled("x")).await.is_err());

    let complaint = json!({ "response_action": "errors", "errors": { "why": "Say more." } });
    let (errors, envelope) = tokio::join!(app.slack.submits_view("U0ANA", filled("x")), line.takes(complaint));
    assert_eq!(errors.unwrap().unwrap()["why"], "Say more.");
    let view = &envelope["payload"]["view"];
    assert_eq!(
        (&view["callback_id"], &view["private_metadata"]),
        (&json!("edit"), &json!("d1"))
    );
    assert_eq!(view["state"]["values"]["why"]["reason"]["value"], "x");
    assert_eq!(
        view["state"]["values"]["what"]["include"]["selected_options"][0]["value"],
        "7"
    );
    assert_eq!(envelope["accepts_response_payload"], true);
    let reads = app.slack.reads_view("U0ANA").unwrap();
    assert_eq!(reads, "Edit\n  Why: [        ]\n  What: [ ] 4\n  [x] 7\n  ! Say more.");

    let (errors, _) = tokio::join!(app.slack.submits_view("U0ANA", filled("more")), line.takes(Value::Null));
    assert_eq!(errors, Ok(None));
    assert_eq!(app.slack.open_view("U0ANA"), None);
    keeps_to_the_rules(&app.slack);
}

#[tokio::test]
async fn a_complaint_about_no_input_block_is_a_violation() {
    let (app, mut line) = app_with_line(Options::default()).await;
    let trigger = command_of(&app, &mut line).await["trigger_id"].clone();
    app.calls("views.open", json!({ "trigger_id": trigger, "view": modal() }))
        .await;
    let complaint = json!({ "response_action": "errors", "errors": { "reason": "Say more." } });
    let (errors, _) = tokio::join!(app.slack.submits_view("U0ANA", filled("x")), line.takes(complaint));
    errors.unwrap();
    assert_eq!(
        app.slack.violations(),
        ["view_submission: \"reason\" is no input block of the modal"]
    );
}

#[tokio::test]
async fn a_wait_in_vain_shows_the_transcript() {
    let app = App::of(Options::default()).await;
    let root = app.card().await;
    let reply =
        json!({ "channel": DEPLOYS, "text": "<!date^1^{time}|noon> <https://a.b|link> &lt;3", "thread_ts": root });
    app.calls("chat.postMessage", reply).await;
    let failed = app
        .slack
        .wait_for(Duration::ZERO, "the end", |_| None::<()>)
        .await
        .unwrap_err();
    let expected = "waited 0ns in vain for the end; the transcript:\n#deploys\nShipmate: Ship it, @Ana Ruiz?\n  [Ship] [x] a\n  [ ] b\n    Shipmate: <time> link <3\n";
    assert_eq!(failed, expected);
    let posting = app.calls("chat.postMessage", json!({ "channel": DEPLOYS, "text": "the end" }));
    let waiting = app.slack.wait_for(LIMIT, "the end", |workspace| {
        workspace
            .messages
            .iter()
            .find(|message| message.text == "the end")
            .map(|message| message.ts.clone())
    });
    let (found, posted) = tokio::join!(waiting, posting);
    assert_eq!(posted["ts"], found.unwrap());
}

#[tokio::test]
async fn a_root_is_in_its_own_thread_once_somebody_replied() {
    let (app, mut line) = app_with_line(Options::default()).await;
    let root = app.card().await;
    let click = async |line: &mut Line| {
        let (clicked, envelope) = tokio::join!(app.slack.clicks_label("U0ANA", "Ship"), line.takes(Value::Null));
        clicked.unwrap();
        envelope["payload"].clone()
    };
    let before = click(&mut line).await;
    assert_eq!(
        (&before["message"]["thread_ts"], &before["container"]["thread_ts"]),
        (&Value::Null, &Value::Null)
    );
    app.slack.replies("U0BEN", DEPLOYS, &root, "1 < 2").await.unwrap();
    let after = click(&mut line).await;
    assert_eq!(
        (&after["message"]["thread_ts"], &after["container"]["thread_ts"]),
        (&json!(root), &json!(root))
    );
    assert_eq!(app.slack.thread(DEPLOYS, &root)[1].text, "1 &lt; 2");
    assert!(app.slack.transcript().ends_with("    Ben Okafor: 1 < 2\n"));
    let seen = app.slack.look(|workspace| workspace.visible(DEPLOYS, "U0EVE").count());
    assert_eq!(seen, 2);
}
