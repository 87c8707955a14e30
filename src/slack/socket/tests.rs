//! Against a small Slack on loopback whose lines the test holds in its hand.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::super::{Ack, Content, Inbound};
use super::conversation::HANDLED_AT_ONCE;
use super::*;

/// Longer than anything takes here; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} didn't come"))
}

fn quick() -> Timing {
    Timing {
        open: Duration::from_millis(200),
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(40),
        lines: 1,
        ..Timing::default()
    }
}

/// Answers by the command's text, and keeps what it was given.
#[derive(Default)]
struct Desk {
    taken: Mutex<Vec<String>>,
    slow_may_go_on: Notify,
    slow_has_begun: Notify,
}

#[async_trait::async_trait]
impl Handler for Desk {
    async fn handle(&self, inbound: Inbound) -> Result<Ack, String> {
        let text = match inbound {
            Inbound::Command(command) => command.text,
            Inbound::Submission(_) => {
                return Ok(Ack::Errors(BTreeMap::from([("order".into(), "no".into())])));
            }
            Inbound::Action(action) => action.action_id,
            Inbound::HomeOpened { user, .. } => user,
        };
        self.taken.lock().unwrap().push(text.clone());
        match text.as_str() {
            "panic" => panic!("as asked"),
            "fail" => return Err("as asked".into()),
            "slow" => {
                self.slow_has_begun.notify_one();
                self.slow_may_go_on.notified().await;
            }
            "approve" => return Ok(Ack::Empty),
            _ => {}
        }
        Ok(Ack::Ephemeral(Content {
            text: format!("took {text}"),
            blocks: vec![],
        }))
    }
}

/// A Slack that opens lines, and hands each to the test.
struct FakeSlack {
    address: String,
    lines: mpsc::Receiver<WebSocket>,
    door: Arc<Door>,
}

struct Door {
    address: String,
    opened: mpsc::Sender<WebSocket>,
    asked: AtomicUsize,
    /// So many calls of `apps.connections.open` never return.
    hung_opens: AtomicUsize,
    /// So many handshakes never return.
    hung_handshakes: AtomicUsize,
}

impl FakeSlack {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (opened, lines) = mpsc::channel(100);
        let door = Arc::new(Door {
            address: address.clone(),
            opened,
            asked: AtomicUsize::new(0),
            hung_opens: AtomicUsize::new(0),
            hung_handshakes: AtomicUsize::new(0),
        });
        let router = Router::new()
            .route("/api/apps.connections.open", post(open))
            .route("/socket", get(upgrade))
            .with_state(door.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, lines, door }
    }

    async fn connect(&self, desk: &Arc<Desk>, timing: Timing) -> SocketMode {
        let api_url = format!("http://{}/api", self.address);
        let started = SocketMode::start_with(&api_url, "xapp-secret".into(), desk.clone(), timing);
        started.await.unwrap()
    }

    /// The next line that the client opens, greeted.
    async fn line(&mut self) -> Line {
        let mut line = Line(soon("a line", self.lines.recv()).await.unwrap());
        line.send(json!({"type": "hello"})).await;
        line
    }
}

async fn open(State(door): State<Arc<Door>>) -> Json<Value> {
    door.asked.fetch_add(1, Ordering::SeqCst);
    hang_while_any(&door.hung_opens).await;
    Json(json!({"ok": true, "url": format!("ws://{}/socket", door.address)}))
}

/// Takes one from the counter and hangs, unless it is at zero.
async fn hang_while_any(counter: &AtomicUsize) {
    let taken = counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if taken.is_ok() {
        std::future::pending::<()>().await;
    }
}

async fn upgrade(State(door): State<Arc<Door>>, upgrade: WebSocketUpgrade) -> Response {
    hang_while_any(&door.hung_handshakes).await;
    upgrade.on_upgrade(|socket| async move {
        let _ = door.opened.send(socket).await;
    })
}

struct Line(WebSocket);

impl Line {
    async fn send(&mut self, frame: Value) {
        self.0.send(Frame::Text(frame.to_string().into())).await.unwrap();
    }

    async fn command(&mut self, envelope_id: &str, text: &str) {
        let payload = json!({"trigger_id": envelope_id, "channel_id": "C1", "user_id": "UANA", "text": text});
        self.send(json!({"type": "slash_commands", "envelope_id": envelope_id, "accepts_response_payload": true, "payload": payload}))
            .await;
    }

    /// The next acknowledgement; `None` once the line is closed.
    async fn acknowledged(&mut self) -> Option<Value> {
        loop {
            match soon("an acknowledgement", self.0.recv()).await {
                Some(Ok(Frame::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    async fn expect(&mut self, envelope_id: &str) {
        assert_eq!(self.acknowledged().await.unwrap()["envelope_id"], envelope_id);
    }
}

async fn stage(timing: Timing) -> (FakeSlack, Arc<Desk>, SocketMode, Line) {
    let mut slack = FakeSlack::start().await;
    let desk = Arc::new(Desk::default());
    let socket_mode = slack.connect(&desk, timing).await;
    let line = slack.line().await;
    (slack, desk, socket_mode, line)
}

#[tokio::test]
async fn each_kind_gets_its_acknowledgement() {
    let (_slack, _desk, _socket_mode, mut line) = stage(quick()).await;
    line.command("E1", "status").await;
    assert_eq!(
        line.acknowledged().await.unwrap(),
        json!({"envelope_id": "E1", "payload": {"response_type": "ephemeral", "text": "took status"}})
    );

    // slack-morphism's models reject this click: metadata that isn't flat strings, no team, no trigger.
    let click = json!({
        "type": "block_actions", "team": null, "user": {"id": "UANA"}, "actions": [{"action_id": "approve", "value": "d1"}],
        "message": {"ts": "1.2", "metadata": {"event_type": "x", "event_payload": {"n": 1}}}
    });
    line.send(json!({"type": "interactive", "envelope_id": "E2", "accepts_response_payload": false, "payload": click}))
        .await;
    assert_eq!(line.acknowledged().await.unwrap(), json!({"envelope_id": "E2"}));

    let modal = json!({"type": "view_submission", "user": {"id": "UANA"}, "view": {"id": "V1"}});
    line.send(json!({"type": "interactive", "envelope_id": "E3", "accepts_response_payload": true, "payload": modal}))
        .await;
    assert_eq!(
        line.acknowledged().await.unwrap(),
        json!({"envelope_id": "E3", "payload": {"response_action": "errors", "errors": {"order": "no"}}})
    );

    let home = json!({"event_id": "Ev1", "event": {"type": "app_home_opened", "user": "UANA"}});
    line.send(json!({"type": "events_api", "envelope_id": "E4", "accepts_response_payload": false, "payload": home}))
        .await;
    line.expect("E4").await;
}

#[tokio::test]
async fn what_doesnt_concern_us_is_acknowledged_and_goes_no_further() {
    let (_slack, desk, _socket_mode, mut line) = stage(quick()).await;
    // As Slack sends them, and as its models know nothing of.
    let event = json!({
        "token": "t", "team_id": "T1", "api_app_id": "A1", "type": "event_callback", "event_id": "Ev2", "event_time": 1,
        "event": {"type": "app_mention", "user": "UANA", "text": "hi", "ts": "1.2", "channel": "C1", "event_ts": "1.2"}
    });
    let shortcut = json!({
        "type": "shortcut", "token": "t", "team": {"id": "T1", "domain": "acme"}, "user": {"id": "UANA", "team_id": "T1"},
        "callback_id": "c", "trigger_id": "1.2", "action_ts": "1.2"
    });
    let others = [
        ("events_api", event),
        ("interactive", shortcut),
        (
            "events_api",
            json!({"event_id": "Ev3", "event": {"type": "something_new"}}),
        ),
        ("interactive", json!({"type": "something_new"})),
        ("something_new", json!({})),
    ];
    for (index, (kind, payload)) in others.into_iter().enumerate() {
        let id = format!("E{index}");
        line.send(json!({"type": kind, "envelope_id": id, "accepts_response_payload": false, "payload": payload}))
            .await;
        assert_eq!(line.acknowledged().await.unwrap(), json!({"envelope_id": id}));
    }
    assert!(desk.taken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_isnt_taken_isnt_acknowledged_and_harms_nothing_else() {
    let (_slack, desk, _socket_mode, mut line) = stage(quick()).await;
    line.command("E1", "panic").await;
    line.command("E2", "fail").await;
    line.send(json!({"type": "slash_commands", "envelope_id": "E3", "payload": {"text": "no channel"}}))
        .await;
    line.send(json!({"type": "slash_commands"})).await;
    line.send(json!("not an object")).await;
    line.command("E4", "status").await;
    line.expect("E4").await;
    assert_eq!(*desk.taken.lock().unwrap(), ["panic", "fail", "status"]);
}

#[tokio::test]
async fn what_wasnt_taken_is_tried_again_when_it_comes_again() {
    let (_slack, desk, _socket_mode, mut line) = stage(quick()).await;
    let fails = || desk.taken.lock().unwrap().iter().filter(|text| *text == "fail").count();
    let twice = async {
        while fails() < 2 {
            line.command("E1", "fail").await;
            line.command("probe", "status").await;
            line.expect("probe").await;
        }
    };
    soon("the second attempt", twice).await;
}

#[tokio::test]
async fn a_slow_message_holds_up_no_other_and_a_repetition_is_not_handled_again() {
    let (_slack, desk, _socket_mode, mut line) = stage(quick()).await;
    line.command("E1", "slow").await;
    line.command("E1", "slow").await;
    line.command("E2", "status").await;
    line.expect("E2").await;
    desk.slow_may_go_on.notify_one();
    line.expect("E1").await;
    line.command("E1", "slow").await;
    line.expect("E1").await;
    assert_eq!(*desk.taken.lock().unwrap(), ["slow", "status"]);
}

#[tokio::test]
async fn an_answer_lost_with_its_line_is_given_on_the_next() {
    let (mut slack, desk, _socket_mode, mut line) = stage(quick()).await;
    line.command("E1", "slow").await;
    soon("the slow message", desk.slow_has_begun.notified()).await;
    drop(line);
    let mut next = slack.line().await;
    desk.slow_may_go_on.notify_one();
    // Until the first delivery is done, a repetition is left to it.
    let answered = async {
        loop {
            next.command("E1", "slow").await;
            next.command("probe", "status").await;
            if next.acknowledged().await.unwrap()["envelope_id"] == "E1" {
                break;
            }
        }
    };
    soon("the remembered answer", answered).await;
    let taken = desk.taken.lock().unwrap();
    assert_eq!(taken.iter().filter(|text| *text == "slow").count(), 1);
}

#[tokio::test]
async fn after_disconnect_the_old_line_is_read_on_while_the_next_opens() {
    let (mut slack, _desk, _socket_mode, mut old) = stage(quick()).await;
    old.send(json!({"type": "disconnect", "reason": "refresh_requested"}))
        .await;
    let mut new = slack.line().await;
    old.command("E1", "status").await;
    old.expect("E1").await;
    new.command("E2", "status").await;
    new.expect("E2").await;
}

#[tokio::test]
async fn an_old_line_that_slack_never_closes_is_closed_by_us() {
    let timing = Timing {
        linger: Duration::from_millis(10),
        ..quick()
    };
    let (mut slack, _desk, _socket_mode, mut old) = stage(timing).await;
    old.send(json!({"type": "disconnect"})).await;
    let _new = slack.line().await;
    assert_eq!(old.acknowledged().await, None);
}

#[tokio::test]
async fn a_hung_open_or_handshake_is_given_up_and_tried_again() {
    let mut slack = FakeSlack::start().await;
    slack.door.hung_opens.store(1, Ordering::SeqCst);
    slack.door.hung_handshakes.store(1, Ordering::SeqCst);
    let _socket_mode = slack.connect(&Arc::default(), quick()).await;
    slack.line().await;
    assert_eq!(slack.door.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_silent_line_is_given_up() {
    let timing = Timing {
        idle: Duration::from_millis(100),
        ping: PATIENCE,
        ..quick()
    };
    let (mut slack, _desk, _socket_mode, _silent) = stage(timing).await;
    slack.line().await;
}

#[tokio::test]
async fn lines_that_close_at_once_are_opened_ever_more_slowly() {
    let mut slack = FakeSlack::start().await;
    let begun = Instant::now();
    let _socket_mode = slack.connect(&Arc::default(), quick()).await;
    for _ in 0..6 {
        drop(soon("a line", slack.lines.recv()).await);
    }
    // Five pauses, each at least half of 10, 20, 40, 40, 40 ms: a lower bound, so a slow machine can't fail it.
    assert!(begun.elapsed() >= Duration::from_millis(75));
}

#[tokio::test]
async fn connected_means_greeted() {
    let mut slack = FakeSlack::start().await;
    let socket_mode = slack.connect(&Arc::default(), quick()).await;
    let mut connected = socket_mode.connected();
    assert!(!*connected.borrow());
    let line = slack.line().await;
    soon("the greeting", connected.wait_for(|connected| *connected))
        .await
        .unwrap();
    drop(line);
    soon("the loss", connected.wait_for(|connected| !*connected))
        .await
        .unwrap();
}

#[tokio::test]
async fn shutting_down_still_acknowledges_what_is_being_handled() {
    let (slack, desk, socket_mode, mut line) = stage(quick()).await;
    line.command("E1", "slow").await;
    soon("the slow message", desk.slow_has_begun.notified()).await;
    let mut connected = socket_mode.connected();
    let shutdown = tokio::spawn(socket_mode.shutdown());
    // The line is ending before the message is done.
    soon("the line's end", connected.wait_for(|connected| !*connected))
        .await
        .unwrap();
    desk.slow_may_go_on.notify_one();
    line.expect("E1").await;
    assert_eq!(line.acknowledged().await, None);
    soon("the end", shutdown).await.unwrap();
    assert_eq!(
        slack.door.asked.load(Ordering::SeqCst),
        1,
        "no line is opened after the end"
    );
}

#[tokio::test]
async fn a_flood_is_refused_and_leaves_room_once_it_is_over() {
    let (_slack, desk, _socket_mode, mut line) = stage(quick()).await;
    line.command("E0", "status").await;
    line.expect("E0").await;
    for index in 0..HANDLED_AT_ONCE {
        line.command(&format!("slow{index}"), "slow").await;
        soon("a slow message", desk.slow_has_begun.notified()).await;
    }
    line.command("one too many", "refused").await;
    // A repetition needs no room, so its answer proves that the one before it was heard.
    line.command("E0", "status").await;
    line.expect("E0").await;
    assert!(!desk.taken.lock().unwrap().contains(&"refused".to_owned()));

    desk.slow_may_go_on.notify_one();
    let first = line.acknowledged().await.unwrap();
    assert!(first["envelope_id"].as_str().unwrap().starts_with("slow"), "{first}");
    line.command("one too many", "taken").await;
    line.expect("one too many").await;
}
