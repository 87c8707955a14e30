//! Lines, and what is delivered on them.

use super::*;

#[tokio::test]
async fn hello_counts_lines_and_a_ticket_opens_one() {
    let app = App::of(Options::default()).await;
    let opened: Value = app
        .posts("apps.connections.open", &app.slack.app_token(), &json!({}))
        .await
        .json()
        .await
        .unwrap();
    let url = opened["url"].as_str().unwrap();
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let hello = Line(socket).hears().await;
    assert_eq!(hello["num_connections"], 1);
    assert_eq!(hello["connection_info"]["app_id"], "A0SHIPMATE");
    assert!(hello["debug_info"]["host"].is_string());
    assert!(tokio_tungstenite::connect_async(url).await.is_err());
}

#[tokio::test]
async fn lines_take_turns_and_one_that_is_to_disconnect_is_the_last_choice() {
    let (app, mut first) = app_with_line(Options::default()).await;
    let mut second = app.line().await;
    assert_eq!(second.hears().await["num_connections"], 2);
    let says = async |line: &mut Line| {
        let (said, _) = tokio::join!(app.slack.says("U0ANA", DEPLOYS, "/deploy"), line.takes(Value::Null));
        said.unwrap();
    };
    says(&mut first).await;
    says(&mut second).await;
    says(&mut first).await;
    app.slack.disconnect("refresh_requested");
    assert_eq!(first.hears().await["reason"], "refresh_requested");
    let mut third = app.line().await;
    third.hears().await;
    says(&mut third).await;
    says(&mut third).await;
}

#[tokio::test]
async fn a_home_is_asked_for_twice_and_shown() {
    let (app, mut line) = app_with_line(Options {
        ack_deadline: Duration::from_millis(1),
        ..Options::default()
    })
    .await;
    app.slack.opens_home("U0ANA").await.unwrap_err();
    let (first, second) = (line.hears().await, line.hears().await);
    assert_eq!(
        (&first["retry_attempt"], &second["retry_attempt"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(first["payload"]["event_id"], second["payload"]["event_id"]);
    assert_eq!(first["payload"]["event"]["type"], "app_home_opened");
    let view = json!({ "type": "home", "blocks": [{ "type": "divider" }] });
    assert_eq!(
        app.calls("views.publish", json!({ "user_id": "U0ANA", "view": view }))
            .await["ok"],
        true
    );
    assert_eq!(app.slack.home("U0ANA").unwrap()["blocks"][0]["type"], "divider");
    assert_eq!(app.slack.home("U0BEN"), None);
}

#[tokio::test]
async fn a_repeated_envelope_keeps_its_id() {
    let (app, mut line) = app_with_line(Options::default()).await;
    app.slack.repeat_next();
    let first = command_of(&app, &mut line).await;
    assert_eq!(line.takes(Value::Null).await["payload"], first);
    assert_ne!(command_of(&app, &mut line).await["trigger_id"], first["trigger_id"]);
}

#[tokio::test]
async fn a_click_in_a_home_comes_from_a_view() {
    let (app, mut line) = app_with_line(Options::default()).await;
    assert!(app.slack.clicks_in_view("U0ANA", "show").await.is_err());
    let button = json!({ "type": "button", "text": { "type": "plain_text", "text": "Show" }, "action_id": "show" });
    let view = json!({ "type": "home", "blocks": [{ "type": "actions", "elements": [button] }] });
    app.calls("views.publish", json!({ "user_id": "U0ANA", "view": view }))
        .await;
    let (clicked, envelope) = tokio::join!(app.slack.clicks_in_view("U0ANA", "show"), line.takes(Value::Null));
    clicked.unwrap();
    let payload = &envelope["payload"];
    assert_eq!(
        payload["container"],
        json!({ "type": "view", "view_id": payload["view"]["id"] })
    );
    assert_eq!((&payload["message"], &payload["channel"]), (&Value::Null, &Value::Null));
    assert_eq!(payload["actions"][0]["action_id"], "show");
}
