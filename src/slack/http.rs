//! Slack's requests over HTTP: commands, interactions and events, signed by Slack.
//!
//! What is promised, in the order in which it is checked:
//! 1. A request without a fresh timestamp and a well-formed signature is refused before its body is read.
//! 2. A body is read up to 256 KiB, within ten seconds.
//! 3. The signature is compared in constant time; a forgery is answered 401 and never parsed.
//! 4. A signature is accepted once: a copy of a request, sent again within the five minutes that it is fresh, is refused.
//!
//! A handler's failure is answered 500: Slack then tells the person, or delivers the event again under a new signature.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::recent::Recent;
use super::{Handler, inbound};

/// Slack's own payloads are far smaller.
const BODY_LIMIT: usize = 256 * 1024;

/// For a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How far a timestamp may be from now, either way, in seconds: Slack's recommendation.
const WINDOW: u64 = 5 * 60;

/// Signatures remembered; more than Slack sends within the window.
const REMEMBERED: usize = 10_000;

/// Seconds since 1970.
type Clock = fn() -> i64;

/// Slack's three endpoints.
pub fn router(signing_secret: SecretString, handler: Arc<dyn Handler>) -> Router {
    router_at(signing_secret, handler, now)
}

fn router_at(signing_secret: SecretString, handler: Arc<dyn Handler>, clock: Clock) -> Router {
    let door = Arc::new(Door {
        signing_secret,
        seen: Recent::new(REMEMBERED),
        clock,
        handler,
    });
    Router::new()
        .route("/slack/commands", post(commands))
        .route("/slack/interactions", post(interactions))
        .route("/slack/events", post(events))
        .with_state(door)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

struct Door {
    signing_secret: SecretString,
    seen: Recent<()>,
    clock: Clock,
    handler: Arc<dyn Handler>,
}

async fn commands(State(door): State<Arc<Door>>, headers: HeaderMap, body: Body) -> Result<Response, StatusCode> {
    let body = door.admit(&headers, body).await?;
    door.answer(inbound::command(Value::Object(form(&body)))).await
}

async fn interactions(State(door): State<Arc<Door>>, headers: HeaderMap, body: Body) -> Result<Response, StatusCode> {
    let body = door.admit(&headers, body).await?;
    let form = form(&body);
    let payload = form.get("payload").and_then(Value::as_str).unwrap_or_default();
    door.answer(inbound::interaction(json(payload.as_bytes())?)).await
}

async fn events(State(door): State<Arc<Door>>, headers: HeaderMap, body: Body) -> Result<Response, StatusCode> {
    let body = door.admit(&headers, body).await?;
    let event = json(&body)?;
    // How Slack checks an endpoint that is being configured.
    if event["type"] == "url_verification" {
        return Ok(event["challenge"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
            .into_response());
    }
    door.answer(inbound::event(event)).await
}

impl Door {
    /// The body of a request that is Slack's.
    async fn admit(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, StatusCode> {
        let claim = Claim::of(headers, (self.clock)()).ok_or(StatusCode::UNAUTHORIZED)?;
        let body = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, BODY_LIMIT))
            .await
            .map_err(|_| StatusCode::REQUEST_TIMEOUT)?
            .map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
        if !claim.holds(&self.signing_secret, &body) {
            tracing::warn!("a request with a forged Slack signature was refused; is SLACK_SIGNING_SECRET this app's?");
            return Err(StatusCode::UNAUTHORIZED);
        }
        if self.seen.seen(&hex::encode(claim.signature), ()).is_some() {
            tracing::warn!("a request from Slack came twice with the same signature; the second was refused");
            return Err(StatusCode::UNAUTHORIZED);
        }
        Ok(body)
    }

    async fn answer(&self, read: inbound::Read) -> Result<Response, StatusCode> {
        let inbound = read.map_err(|sentence| {
            tracing::warn!("a request from Slack was not understood: {sentence}");
            StatusCode::BAD_REQUEST
        })?;
        let Some(inbound) = inbound else {
            return Ok(StatusCode::OK.into_response());
        };
        let ack = inbound::handle(&*self.handler, inbound).await.map_err(|sentence| {
            tracing::error!("a request from Slack was not taken: {sentence}");
            StatusCode::INTERNAL_SERVER_ERROR
        })?;
        Ok(match inbound::answer(ack) {
            Some(body) => Json(body).into_response(),
            None => StatusCode::OK.into_response(),
        })
    }
}

/// What a request's headers say about its origin.
struct Claim {
    timestamp: String,
    signature: [u8; 32],
}

impl Claim {
    /// `None` if a header is missing or malformed, or the timestamp isn't fresh.
    fn of(headers: &HeaderMap, now: i64) -> Option<Self> {
        let timestamp = headers.get("x-slack-request-timestamp")?.to_str().ok()?;
        let signature = headers.get("x-slack-signature")?.to_str().ok()?;
        let sent: i64 = timestamp.parse().ok()?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(signature.strip_prefix("v0=")?, &mut bytes).ok()?;
        (now.abs_diff(sent) <= WINDOW).then(|| Self {
            timestamp: timestamp.to_owned(),
            signature: bytes,
        })
    }

    fn holds(&self, secret: &SecretString, body: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
            return false;
        };
        mac.update(b"v0:");
        mac.update(self.timestamp.as_bytes());
        mac.update(b":");
        mac.update(body);
        mac.verify_slice(&self.signature).is_ok()
    }
}

/// The fields of a form, all as strings.
fn form(body: &[u8]) -> Map<String, Value> {
    url::form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect()
}

fn json(body: &[u8]) -> Result<Value, StatusCode> {
    serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::http::Request;
    use serde_json::json;
    use tower::ServiceExt;

    use super::super::{Ack, Content, Inbound};
    use super::*;

    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const NOW: i64 = 1_531_420_618;

    #[derive(Default)]
    struct Desk {
        taken: Mutex<Vec<Inbound>>,
    }

    #[async_trait::async_trait]
    impl Handler for Desk {
        async fn handle(&self, inbound: Inbound) -> Result<Ack, String> {
            self.taken.lock().unwrap().push(inbound.clone());
            match inbound {
                Inbound::Command(command) if command.text == "panic" => panic!("as asked"),
                Inbound::Command(command) if command.text == "fail" => Err("as asked".into()),
                Inbound::Command(_) => Ok(Ack::Ephemeral(Content {
                    text: "hello".into(),
                    blocks: vec![],
                })),
                Inbound::Submission(_) => Ok(Ack::Errors([("order".to_owned(), "no".to_owned())].into())),
                _ => Ok(Ack::Empty),
            }
        }
    }

    struct Endpoint {
        router: Router,
        desk: Arc<Desk>,
    }

    impl Endpoint {
        fn new() -> Self {
            let desk = Arc::new(Desk::default());
            let router = router_at(SECRET.into(), desk.clone(), || NOW);
            Self { router, desk }
        }

        async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }

        async fn signed(&self, path: &str, body: impl Into<String>) -> (StatusCode, String) {
            self.send(signed(path, NOW, &body.into())).await
        }

        fn taken(&self) -> usize {
            self.desk.taken.lock().unwrap().len()
        }
    }

    fn signature(timestamp: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("v0:{timestamp}:{body}").as_bytes());
        format!("v0={}", hex::encode(mac.finalize().into_bytes()))
    }

    fn request(path: &str, timestamp: &str, signature: &str, body: impl Into<Body>) -> Request<Body> {
        Request::post(path)
            .header("X-Slack-Request-Timestamp", timestamp)
            .header("X-Slack-Signature", signature)
            .body(body.into())
            .unwrap()
    }

    fn signed(path: &str, timestamp: i64, body: &str) -> Request<Body> {
        request(
            path,
            &timestamp.to_string(),
            &signature(timestamp, body),
            body.to_owned(),
        )
    }

    fn command(text: &str) -> String {
        format!("trigger_id=1.2&channel_id=C1&user_id=UANA&command=%2Fdeploy&text={text}&response_url=https%3A%2F%2Fx")
    }

    /// The vector of Slack's documentation.
    #[test]
    fn the_published_signature_holds() {
        let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
                    &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
                    &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                    &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let published = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let headers = request("/", &NOW.to_string(), published, "").headers().clone();
        let claim = Claim::of(&headers, NOW).unwrap();
        assert!(claim.holds(&SECRET.into(), body.as_bytes()));
        assert!(!claim.holds(&SECRET.into(), b"another body"));
        assert!(!claim.holds(&"another secret".into(), body.as_bytes()));
    }

    #[tokio::test]
    async fn a_command_is_answered_to_its_sender() {
        let endpoint = Endpoint::new();
        let (status, body) = endpoint.signed("/slack/commands", command("start+web")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, r#"{"response_type":"ephemeral","text":"hello"}"#);
        let taken = endpoint.desk.taken.lock().unwrap();
        assert!(matches!(&taken[0], Inbound::Command(command) if command.text == "start web"));
    }

    #[tokio::test]
    async fn a_modal_gets_its_complaints_and_an_event_an_empty_answer() {
        let endpoint = Endpoint::new();
        let view =
            json!({"type": "view_submission", "user": {"id": "UANA"}, "view": {"id": "V1", "state": {"values": {}}}});
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let form = form.append_pair("payload", &view.to_string()).finish();
        let (status, body) = endpoint.signed("/slack/interactions", form).await;
        assert_eq!(
            (status, &*body),
            (
                StatusCode::OK,
                r#"{"response_action":"errors","errors":{"order":"no"}}"#
            )
        );

        let home =
            json!({"type": "event_callback", "event_id": "E1", "event": {"type": "app_home_opened", "user": "UANA"}});
        let (status, body) = endpoint.signed("/slack/events", home.to_string()).await;
        assert_eq!((status, &*body), (StatusCode::OK, ""));
        assert_eq!(endpoint.taken(), 2);
    }

    #[tokio::test]
    async fn the_endpoint_can_be_verified_but_only_by_slack() {
        let endpoint = Endpoint::new();
        let challenge = json!({"type": "url_verification", "challenge": "abc"}).to_string();
        let (status, body) = endpoint.signed("/slack/events", challenge.clone()).await;
        assert_eq!((status, &*body), (StatusCode::OK, "abc"));
        let forged = request("/slack/events", &NOW.to_string(), &signature(NOW, "x"), challenge);
        assert_eq!(endpoint.send(forged).await.0, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn what_isnt_slacks_or_isnt_fresh_is_refused() {
        let endpoint = Endpoint::new();
        let path = "/slack/commands";
        let body = command("start");
        let sound = signature(NOW, &body);
        let now = NOW.to_string();
        let refused = [
            Request::post(path).body(Body::from(body.clone())).unwrap(),
            request(path, &now, &signature(NOW, "another body"), body.clone()),
            request(path, &now, "v0=zz", body.clone()),
            request(path, &now, sound.trim_start_matches("v0="), body.clone()),
            request(path, "yesterday", &sound, body.clone()),
            request(path, &i64::MIN.to_string(), &sound, body.clone()),
            signed(path, NOW - 301, &body),
            signed(path, NOW + 301, &body),
        ];
        for request in refused {
            let (status, body) = endpoint.send(request).await;
            assert_eq!((status, &*body), (StatusCode::UNAUTHORIZED, ""));
        }
        assert_eq!(endpoint.taken(), 0);
        assert_eq!(endpoint.send(signed(path, NOW - 300, &body)).await.0, StatusCode::OK);
        assert_eq!(endpoint.send(signed(path, NOW + 300, &body)).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn a_replay_is_refused() {
        let endpoint = Endpoint::new();
        assert_eq!(
            endpoint.signed("/slack/commands", command("start")).await.0,
            StatusCode::OK
        );
        assert_eq!(
            endpoint.signed("/slack/commands", command("start")).await.0,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(endpoint.taken(), 1);
    }

    #[tokio::test]
    async fn a_body_is_read_only_behind_sound_headers_and_only_so_far() {
        let endpoint = Endpoint::new();
        let unreadable = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let unsigned = Request::post("/slack/events").body(unreadable()).unwrap();
        assert_eq!(endpoint.send(unsigned).await.0, StatusCode::UNAUTHORIZED);
        let huge = "x".repeat(BODY_LIMIT + 1);
        assert_eq!(
            endpoint.signed("/slack/events", huge).await.0,
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }

    #[tokio::test]
    async fn a_failing_or_panicking_handler_and_a_strange_payload_are_contained() {
        let endpoint = Endpoint::new();
        for text in ["fail", "panic"] {
            let (status, body) = endpoint.signed("/slack/commands", command(text)).await;
            assert_eq!((status, &*body), (StatusCode::INTERNAL_SERVER_ERROR, ""));
        }
        for (path, body) in [
            ("/slack/commands", "text=x"),
            ("/slack/interactions", "payload=%7B"),
            ("/slack/interactions", "nothing=here"),
            ("/slack/events", "not json"),
        ] {
            assert_eq!(
                endpoint.signed(path, body).await.0,
                StatusCode::BAD_REQUEST,
                "{path} {body}"
            );
        }
    }
}
