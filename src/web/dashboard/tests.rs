//! Over the real engine and a store in memory: what people see, what they may do, and what no other site can make them do.

use axum::body::Body;
use axum::http::Request as HttpRequest;
use chrono::TimeDelta;
use futures_util::StreamExt;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower::ServiceExt;

use super::*;
use crate::deploy::begin::Wish;
use crate::deploy::people::People;
use crate::deploy::train::{Car, Plan, VersionPlan};
use crate::deploy::write_request;
use crate::github::MergeMethod;
use crate::saga::retry::RetryPolicy;
use crate::saga::store::{Memory, Op, Store};
use crate::saga::{Actor, Clock, Event, Outcome, Record};
use crate::slack::MockSlack;

const HOSTILE: &str = "</title><script>alert(1)</script>\" onload=x & <!channel>";

struct Stage {
    router: Router,
    store: Memory,
    engine: Engine<Deployments>,
    config: Arc<Config>,
}

fn config() -> Config {
    let mut config = Config::parse(include_str!("../../../config/sandbox.toml"), "sandbox.toml").unwrap();
    let mut other = config.projects[0].clone();
    other.name = "api".to_owned();
    other.channel = "C0API".to_owned();
    config.projects.push(other);
    for project in &mut config.projects {
        project.permissions.start = vec!["U0ANA".to_owned(), "U0BEN".to_owned()];
        project.permissions.approve = vec!["S0APPROVERS".to_owned()];
        project.permissions.abort = vec!["U0ANA".to_owned()];
    }
    let hash = |login: &String| hex::encode(Sha256::digest(login));
    config.dashboard.people = config
        .people
        .iter()
        .map(|(id, login)| (id.clone(), hash(login)))
        .collect();
    config
}

impl Stage {
    fn new() -> Self {
        Self::with_token(None)
    }

    fn with_token(token: Option<&str>) -> Self {
        let config = Arc::new(config());
        let store = Memory::default();
        let nowhere = Arc::new(|_: &crate::config::Project| Err("there is no world here".to_owned()));
        let clock = Clock::manual(now());
        let shared: Arc<dyn Store> = Arc::new(store.clone());
        let engine = Engine::new(Deployments::new(nowhere), shared, clock.clone(), RetryPolicy::default());
        let mut slack = MockSlack::new();
        let members = |_: &str| Ok(vec!["U0ANA".to_owned(), "U0BEN".to_owned()]);
        slack.expect_group_members().returning(members);
        let people = Arc::new(People::new(Arc::new(slack), clock.clone()));
        let desk = Desk::new(config.clone(), engine.clone(), people);
        let token = token.map(SecretString::from);
        let stop = CancellationToken::new();
        let dashboard = Dashboard::new(config.clone(), engine.clone(), desk, token, stop).unwrap();
        let router = crate::web::router(crate::web::State {
            engine: engine.clone(),
            readiness: Default::default(),
            config: config.clone(),
            slack_connected: None,
            webhook_secret: None,
            dashboard,
        });
        Self {
            router,
            store,
            engine,
            config,
        }
    }

    /// A journal that stands in the store; one that hasn't ended holds its project's lock.
    async fn journal(&self, id: &str, minutes_ago: i64, events: Vec<Event>) {
        let at = now() - TimeDelta::minutes(minutes_ago);
        let ended = events.iter().any(|event| matches!(event, Event::SagaFinished { .. }));
        let record = |(seq, event)| Record {
            seq: seq as u64,
            at: at + TimeDelta::seconds(10 * seq as i64),
            event,
        };
        let mut ops = vec![Op::Append {
            saga: id.to_owned(),
            records: events.into_iter().enumerate().map(record).collect(),
        }];
        if !ended {
            ops.push(Op::Put {
                key: format!("lock/{}", id.rsplit_once('-').unwrap().0),
                value: json!(id),
            });
        }
        self.store.commit(ops).await.unwrap();
    }

    fn started(&self, project: &str, by: &str) -> Event {
        let request = Wish::default().of(self.config.project(project).unwrap(), Vec::new());
        Event::SagaStarted {
            workflow_version: 1,
            project: request.project.name.clone(),
            by: Actor::Slack(by.to_owned()),
            input: write_request(&request).unwrap(),
        }
    }

    /// Waits for an approval; Ana started it.
    async fn waiting(&self) -> Plan {
        let plan = plan("Stop the form from submitting twice");
        let data = json!({ "plan": plan, "digest": plan.digest(), "changes": [], "dismissed": [], "foreign": [], "approvals": 1 });
        let asked = asked("approve_point_of_no_return/1", data, &["approve"]);
        self.journal("web-1", 5, vec![self.started("web", "U0ANA"), asked])
            .await;
        plan
    }

    async fn send(&self, request: HttpRequest<Body>) -> (StatusCode, HeaderMap, String) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, HeaderMap, String) {
        self.send(get_as(path, "")).await
    }

    /// A page's whole text.
    async fn page(&self, path: &str) -> String {
        let (status, _, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// Signs in with a token; the session's cookie.
    async fn sign_in(&self, token: &str) -> String {
        let form = post_as("/sign-in", "", "http://localhost:1", &format!("token={token}"));
        let (status, headers, body) = self.send(form).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
        let cookie = headers[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// Presses a button of a page, as its browser does.
    async fn press(&self, cookie: &str, path: &str) -> (StatusCode, String) {
        let (_, _, page) = self.send(get_as("/", cookie)).await;
        let (_, after) = page.split_once("name=\"form_token\" value=\"").unwrap();
        let form_token = after.split('"').next().unwrap();
        let body = format!("form_token={form_token}&reason=not+today");
        let (status, _, body) = self.send(post_as(path, cookie, "http://localhost:1", &body)).await;
        (status, body)
    }
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn get_as(path: &str, cookie: &str) -> HttpRequest<Body> {
    let request = HttpRequest::get(path)
        .header("host", "localhost:1")
        .header("cookie", cookie);
    request.body(Body::empty()).unwrap()
}

fn post_as(path: &str, cookie: &str, origin: &str, body: &str) -> HttpRequest<Body> {
    HttpRequest::post(path)
        .header("host", "localhost:1")
        .header("origin", origin)
        .header("cookie", cookie)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

fn plan(title: &str) -> Plan {
    Plan {
        branch: "deploy-1".to_owned(),
        branch_tip: "a".repeat(40),
        base: "staging".to_owned(),
        base_tip: "a".repeat(40),
        cars: vec![Car {
            number: 41,
            title: title.to_owned(),
            author: "ben".to_owned(),
            url: "https://github.com/acme/web/pull/41".to_owned(),
            head: "b".repeat(40).parse().unwrap(),
            head_branch: "form".to_owned(),
            base: "staging".to_owned(),
            approvals: Vec::new(),
            issues: Vec::new(),
            opened_at: None,
        }],
        excluded: Vec::new(),
        version: VersionPlan {
            from: "1.4.2".to_owned(),
            to: "1.4.3".to_owned(),
            files: vec!["VERSION".to_owned()],
        },
        method: MergeMethod::Squash,
        tree: "c".repeat(40),
        note: None,
    }
}

fn asked(key: &str, data: Value, choices: &[&str]) -> Event {
    Event::CheckpointOpened {
        key: key.to_owned(),
        data,
        choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
        deadline: None,
        on_expiry: None,
        remind_after_s: None,
    }
}

fn undone() -> Event {
    Event::SagaFinished {
        outcome: Outcome::Undone,
    }
}

fn approve(plan: &Plan) -> String {
    let key = "approve_point_of_no_return%2F1";
    format!(
        "/deployments/web-1/decide?key={key}&choice=approve&digest={}",
        plan.digest()
    )
}

#[tokio::test]
async fn hostile_texts_stay_texts_on_every_page() {
    let stage = Stage::new();
    let confirm = asked("confirm_pr_list", json!({ "plan": plan(HOSTILE) }), &["confirm"]);
    let attention = asked("attention/saga/1", json!({ "error": HOSTILE }), &["retry"]);
    let refused = Event::Refused {
        by: Actor::Local(HOSTILE.to_owned()),
        what: HOSTILE.to_owned(),
        why: HOSTILE.to_owned(),
    };
    let events = vec![stage.started("web", HOSTILE), confirm, attention, refused];
    stage.journal("web-1", 5, events).await;
    let cookie = stage.sign_in("ana").await;
    for path in [
        "/",
        "/deployments/web-1",
        "/stats",
        "/?q=%3Cscript%3Ealert(1)%3C/script%3E&state=%22%3E%3Cscript",
    ] {
        for cookie in ["", &cookie] {
            let (status, _, page) = stage.send(get_as(path, cookie)).await;
            assert_eq!(status, StatusCode::OK);
            assert!(
                !page.contains("<script>") && !page.contains("\" onload"),
                "{path}: {page}"
            );
        }
    }
    assert!(stage.page("/").await.contains("&lt;script&gt;alert(1)"));
}

#[tokio::test]
async fn the_history_is_filtered_searched_and_paged() {
    let stage = Stage::new();
    for number in 2..=61 {
        let confirm = asked(
            "confirm_pr_list",
            json!({ "plan": plan(&format!("Change {number}")) }),
            &["confirm"],
        );
        let by = if number == 7 { "U0CHLOE" } else { "U0ANA" };
        let events = vec![stage.started("web", by), confirm, undone()];
        stage.journal(&format!("web-{number}"), 1000 - number, events).await;
    }
    stage.waiting().await;
    let ids = |page: String| -> Vec<String> {
        let link = regex::Regex::new(r#"<th scope="row"><a href="/deployments/([a-z0-9-]+)""#).unwrap();
        link.captures_iter(&page).map(|found| found[1].to_owned()).collect()
    };
    let first = ids(stage.page("/").await);
    assert_eq!(
        (first.len(), &*first[0], &*first[1]),
        (25, "web-1", "web-61"),
        "newest first"
    );
    assert_eq!(ids(stage.page("/?page=3").await).len(), 11);
    assert_eq!(ids(stage.page("/?q=chloe").await), ["web-7"], "a person by name");
    assert_eq!(ids(stage.page("/?q=U0CHLOE").await), ["web-7"], "a person by id");
    assert_eq!(ids(stage.page("/?q=change+33").await), ["web-33"], "a title's words");
    assert_eq!(ids(stage.page("/?state=waiting").await), ["web-1"]);
    assert_eq!(
        ids(stage.page("/?q=%2341&state=undone&page=1").await).len(),
        25,
        "a number"
    );
    assert_eq!(
        ids(stage.page("/?q=1.4.3+web-12").await),
        ["web-12"],
        "a version, and an id"
    );
    assert!(
        stage.page("/?q=change").await.contains("page=2\">Older"),
        "the search is kept"
    );
    assert_eq!(ids(stage.page("/?q=nothing").await), [""; 0]);
    assert_eq!(ids(stage.page("/?page=0").await).len(), 25);
}

#[tokio::test]
async fn a_view_of_one_project_shows_nothing_of_another() {
    let stage = Stage::new();
    stage.waiting().await;
    let confirm = asked(
        "confirm_pr_list",
        json!({ "plan": plan("Secret of the API") }),
        &["confirm"],
    );
    stage
        .journal("api-1", 3, vec![stage.started("api", "U0BEN"), confirm])
        .await;
    assert!(stage.page("/").await.contains("Secret of the API"));
    for path in [
        "/?project=web",
        "/?project=web&q=secret",
        "/stats?project=web",
        "/deployments/web-1",
    ] {
        let page = stage.page(path).await;
        assert!(!page.contains("api-1") && !page.contains("Secret of"), "{path}: {page}");
    }
}

#[tokio::test]
async fn a_person_decides_from_the_page_and_the_second_is_told_who_was_first() {
    let stage = Stage::new();
    let plan = stage.waiting().await;
    let ben = stage.sign_in("ben").await;
    let (_, _, page) = stage.send(get_as("/deployments/web-1", &ben)).await;
    assert!(
        page.contains(&approve(&plan).replace('&', "&amp;")),
        "the button is there: {page}"
    );
    let (status, body) = stage.press(&ben, &approve(&plan)).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    let journal = stage.engine.journal("web-1").unwrap().unwrap();
    let decided = journal
        .history()
        .checkpoint("approve_point_of_no_return/1")
        .unwrap()
        .decided
        .clone();
    assert_eq!(decided.unwrap().by, Actor::Slack("U0BEN".to_owned()));
    let (_, _, page) = stage.send(get_as("/deployments/web-1", &ben)).await;
    assert!(!page.contains("formaction"), "the button is gone: {page}");
    let (status, body) = stage.press(&ben, &approve(&plan)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body.contains("Already decided: Approve by"), "{body}");
}

#[tokio::test]
async fn who_may_not_is_refused_with_the_sentence_of_slack_and_it_is_journaled() {
    let stage = Stage::new();
    let plan = stage.waiting().await;
    let ana = stage.sign_in("ana").await;
    let (status, body) = stage.press(&ana, &approve(&plan)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(
        body.contains("You started this deployment, so somebody else must approve it"),
        "{body}"
    );
    let dan = stage.sign_in("dan").await;
    let (status, body) = stage.press(&dan, &approve(&plan)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(
        body.contains("You may not decide this here. The user group S0APPROVERS may."),
        "{body}"
    );
    let ben = stage.sign_in("ben").await;
    let (_, body) = stage.press(&ben, "/deployments/web-1/abort").await;
    assert!(body.contains("You may not abort a deployment here. ana may."), "{body}");
    let other = approve(&plan).replace(&plan.digest(), "000000000000");
    let (status, body) = stage.press(&ben, &other).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body.contains("The plan has changed"), "{body}");
    let journal = stage.engine.journal("web-1").unwrap().unwrap();
    let history = journal.history();
    let refused = history
        .records()
        .iter()
        .filter(|record| matches!(record.event, Event::Refused { .. }));
    assert_eq!(refused.count(), 3);
    assert!(history.open_checkpoints().count() == 1 && history.abort().is_none());
}

#[tokio::test]
async fn a_refusal_about_what_has_ended_stands_in_no_journal() {
    let stage = Stage::new();
    stage
        .journal("web-0", 9, vec![stage.started("web", "U0ANA"), undone()])
        .await;
    stage.waiting().await;
    let ben = stage.sign_in("ben").await;
    let (status, body) = stage.press(&ben, "/deployments/web-0/abort").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    for (id, events) in [("web-0", 2), ("web-1", 2)] {
        assert_eq!(stage.store.load(id).unwrap().len(), events, "{id}");
    }
    stage.press(&ben, "/deployments/web-1/abort").await;
    assert_eq!(stage.store.load("web-1").unwrap().len(), 3, "its own stands there");
}

#[tokio::test]
async fn deadlines_and_boxes_can_not_be_pressed_and_an_abort_is_taken_with_its_reason() {
    let stage = Stage::new();
    stage.waiting().await;
    let ana = stage.sign_in("ana").await;
    for choice in ["expire", "done", "edit", "nonsense"] {
        let path = format!("/deployments/web-1/decide?key=approve_point_of_no_return%2F1&choice={choice}");
        let (status, _) = stage.press(&ana, &path).await;
        assert_eq!(status, StatusCode::CONFLICT, "{choice}");
    }
    let (_, _, page) = stage.send(get_as("/deployments/web-1/abort", &ana)).await;
    assert!(page.contains("<li>the workspace is deleted</li>"), "{page}");
    let (status, body) = stage.press(&ana, "/deployments/web-1/abort").await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    let (status, _, page) = stage.send(get_as("/deployments/web-1/abort", &ana)).await;
    assert_eq!(status, StatusCode::CONFLICT, "{page}");
    let journal = stage.engine.journal("web-1").unwrap().unwrap();
    let reason = Some("not today".to_owned());
    assert_eq!(
        journal.history().abort(),
        Some(&(Actor::Slack("U0ANA".to_owned()), reason))
    );
}

#[tokio::test]
async fn the_list_is_edited_on_a_page_of_its_own() {
    let stage = Stage::new();
    let asks = asked("confirm_pr_list", json!({ "plan": plan("One") }), &["confirm", "edit"]);
    stage
        .journal("web-1", 5, vec![stage.started("web", "U0ANA"), asks])
        .await;
    let ana = stage.sign_in("ana").await;
    let path = "/deployments/web-1/edit?key=confirm_pr_list";
    let (_, _, page) = stage.send(get_as(path, &ana)).await;
    let (_, after) = page.split_once("name=\"form_token\" value=\"").unwrap();
    let token = after.split('"').next().unwrap();
    let send = |body: String| stage.send(post_as(path, &ana, "http://localhost:1", &body));
    let (status, _, page) = send(format!("form_token={token}")).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{page}");
    let (status, _, page) = send(format!("form_token={token}&car=41&car=47")).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{page}");
    let journal = stage.engine.journal("web-1").unwrap().unwrap();
    let decided = journal
        .history()
        .checkpoint("confirm_pr_list")
        .unwrap()
        .decided
        .clone()
        .unwrap();
    assert_eq!((&*decided.choice, &decided.payload["only"]), ("edit", &json!([41, 47])));
    assert_eq!(
        stage.send(get_as(path, &ana)).await.0,
        StatusCode::CONFLICT,
        "it is answered"
    );
}

#[tokio::test]
async fn the_checklist_is_ticked_from_the_page() {
    let stage = Stage::new();
    let list = asked("post_release_checklist", json!({ "items": ["Look at it"] }), &["done"]);
    stage
        .journal("web-1", 5, vec![stage.started("web", "U0ANA"), list])
        .await;
    let ben = stage.sign_in("ben").await;
    let (status, body) = stage.press(&ben, "/deployments/web-1/tick?item=0&done=true").await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{body}");
    let page = stage.page("/deployments/web-1").await;
    assert!(page.contains("ticked “Look at it” · <b>ben</b>"), "{page}");
    // Somebody may rely on it: taking it back is asked for first, by a part that opens without a script.
    let (_, _, page) = stage.send(get_as("/deployments/web-1", &ben)).await;
    let asks = page.split("<details class=\"sure tick\"").nth(1).unwrap();
    let (asks, _) = asks.split_once("</details>").unwrap();
    assert!(asks.contains("Take the tick back?</b> Ticked by ben "), "{asks}");
    let untick = "/deployments/web-1/tick?item=0&amp;done=false";
    assert!(asks.contains(untick) && asks.contains("Take it back"), "{asks}");
    assert_eq!(page.matches(untick).count(), 1, "{page}");
}

#[tokio::test]
async fn a_form_of_another_site_or_session_does_nothing() {
    let stage = Stage::new();
    let plan = stage.waiting().await;
    let ben = stage.sign_in("ben").await;
    let sign_in = post_as("/sign-in", "", "http://evil.example", "token=ben");
    assert_eq!(stage.send(sign_in).await.0, StatusCode::FORBIDDEN);
    for (origin, body) in [
        ("http://localhost:1", String::new()),
        ("http://localhost:1", format!("form_token={}", "0".repeat(64))),
        ("http://evil.example", String::new()),
    ] {
        let (status, _, page) = stage.send(post_as(&approve(&plan), &ben, origin, &body)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{page}");
        assert!(page.contains("Nothing was done"));
    }
    let nobody = stage.press("", &approve(&plan)).await;
    assert_eq!(nobody.0, StatusCode::FORBIDDEN);
    assert!(nobody.1.contains("sign in with your own token"), "{}", nobody.1);
    let journal = stage.engine.journal("web-1").unwrap().unwrap();
    assert_eq!(journal.history().open_checkpoints().count(), 1);
}

#[tokio::test]
async fn with_a_token_nothing_is_shown_without_it() {
    let stage = Stage::with_token(Some("the-shared-one"));
    stage.waiting().await;
    for path in [
        "/",
        "/stats",
        "/deployments/web-1",
        "/deployments/web-1/flight.jsonl",
        "/events",
    ] {
        let (status, _, page) = stage.get(path).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(!page.contains("web-1"), "{path}: {page}");
    }
    let wrong = post_as("/sign-in", "", "http://localhost:1", "token=wrong");
    assert_eq!(stage.send(wrong).await.0, StatusCode::UNAUTHORIZED);
    let cookie = stage.sign_in("the-shared-one").await;
    let (status, _, page) = stage.send(get_as("/", &cookie)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        !page.contains("formaction") && page.contains("Sign in to decide"),
        "{page}"
    );
}

#[tokio::test]
async fn a_name_that_points_here_from_elsewhere_is_refused() {
    let stage = Stage::new();
    let request = HttpRequest::get("/")
        .header("host", "evil.example")
        .body(Body::empty())
        .unwrap();
    let (status, _, page) = stage.send(request).await;
    assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
    assert!(page.contains("open it as 127.0.0.1 or localhost"), "{page}");
}

#[tokio::test]
async fn without_a_token_nothing_goes_through_a_proxy() {
    let stage = Stage::new();
    stage.waiting().await;
    for path in ["/", "/stats", "/deployments/web-1/flight.jsonl", "/sign-in", "/metrics"] {
        let mut request = get_as(path, "");
        let address = "203.0.113.9".parse().unwrap();
        request.headers_mut().insert("x-forwarded-for", address);
        let (status, _, page) = stage.send(request).await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{path}");
        assert!(
            page.contains("came through a proxy") && !page.contains("web-1"),
            "{path}: {page}"
        );
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let stage = Stage::new();
    for path in [
        "/",
        "/stats",
        "/deployments/none",
        "/sign-in",
        "/dashboard.css",
        "/dashboard.js",
    ] {
        let (_, headers, _) = stage.get(path).await;
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(
            policy.contains("script-src 'self';") && !policy.contains("unsafe"),
            "{path}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        for (name, value) in HEADERS {
            let cached = name == header::CACHE_CONTROL && path.starts_with("/dashboard.");
            assert_eq!(headers[&name], if cached { "no-cache" } else { value }, "{path}");
        }
    }
}

#[tokio::test]
async fn an_unknown_deployment_is_not_found_and_is_named_safely() {
    let stage = Stage::new();
    for path in [
        "/deployments/%3Cscript%3E",
        "/deployments/%3Cscript%3E/flight.jsonl",
        "/deployments/%3Cscript%3E/abort",
    ] {
        let (status, _, page) = stage.get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert!(
            page.contains("There is no deployment <code>&lt;script&gt;</code> here."),
            "{page}"
        );
    }
}

#[tokio::test]
async fn the_flight_recorder_is_the_journal_line_by_line() {
    let stage = Stage::new();
    stage.waiting().await;
    let (_, headers, lines) = stage.get("/deployments/web-1/flight.jsonl").await;
    assert_eq!(
        headers[header::CONTENT_DISPOSITION],
        "attachment; filename=\"web-1.jsonl\""
    );
    let records: Vec<Record> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records, stage.store.load("web-1").unwrap());
}

#[tokio::test]
async fn an_open_page_is_told_of_a_change_and_gets_the_live_part_alone() {
    let stage = Stage::new();
    stage.waiting().await;
    let answer = stage.router.clone().oneshot(get_as("/events", "")).await.unwrap();
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    let mut events = answer.into_body().into_data_stream();
    // There is no world here: the engine says so in the journal, which is a change.
    stage.engine.recover().unwrap();
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(&event[..], b"event: changed\ndata: 1\n\n");
    let mut request = get_as("/deployments/web-1", "");
    request.headers_mut().insert(LIVE_PART, HeaderValue::from_static("1"));
    let (_, _, part) = stage.send(request).await;
    assert!(!part.contains("<html") && part.contains("web 1.4.3"), "{part}");
}

#[tokio::test]
async fn many_viewers_cost_one_drawing() {
    let stage = Stage::new();
    let stop = CancellationToken::new();
    let board = Board::new(stage.engine.clone(), stop);
    let drawings = std::cell::Cell::new(0);
    let draw = || {
        drawings.set(drawings.get() + 1);
        Ok::<_, StoreError>(html! { "drawn" })
    };
    for _ in 0..100 {
        board.drawn("one", draw).unwrap();
    }
    assert_eq!(drawings.get(), 1);
    board.drawn("another", draw).unwrap();
    assert_eq!(drawings.get(), 2);
    stage.engine.clock().advance(TimeDelta::seconds(1));
    board.drawn("one", draw).unwrap();
    assert_eq!(drawings.get(), 3, "durations are at most so old");
    stage.waiting().await;
    board.drawn("one", draw).unwrap();
    assert_eq!(drawings.get(), 4, "what has happened shows at once");
}

/// A request as it comes from this address.
fn from(mut request: HttpRequest<Body>, peer: [u8; 4]) -> HttpRequest<Body> {
    let peer = std::net::SocketAddr::from((peer, 1));
    request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    request
}

#[tokio::test]
async fn whoever_guesses_tokens_has_to_wait_and_others_sign_in() {
    let stage = Stage::with_token(Some("the shared one"));
    let (guesser, other) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let sign_in = |token: &str| post_as("/sign-in", "", "http://localhost:1", &format!("token={token}"));
    let bearer = |token: &str| {
        let mut request = get_as("/", "");
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert(header::AUTHORIZATION, value);
        request
    };
    // By form or by header: it is the same lock.
    for number in 0..5 {
        let guesses = [sign_in(&format!("a{number}")), bearer(&format!("b{number}"))];
        for guess in guesses {
            let (status, _, _) = stage.send(from(guess, guesser)).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
    }
    for request in [sign_in("ana"), bearer("ana")] {
        let (status, headers, page) = stage.send(from(request, guesser)).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(headers[header::RETRY_AFTER], "300");
        assert!(page.contains("try again in 5 min"), "{page}");
    }
    let (status, _, _) = stage.send(from(sign_in("ana"), other)).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    stage.engine.clock().advance(TimeDelta::minutes(5));
    let (status, _, _) = stage.send(from(sign_in("ana"), guesser)).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn after_a_restart_people_are_told_why_they_are_signed_out() {
    const WHY: &str = "You were signed out because Shipmate was restarted.";
    let before = Stage::new().sign_in("ana").await;
    let stage = Stage::new();
    let plan = stage.waiting().await;
    // What the script asks for makes it load the page anew, which says it once.
    let mut live = get_as("/", &before);
    live.headers_mut().insert(LIVE_PART, "1".parse().unwrap());
    assert_eq!(stage.send(live).await.0, StatusCode::UNAUTHORIZED);
    let (status, headers, page) = stage.send(get_as("/", &before)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.contains(WHY), "{page}");
    assert!(
        headers[header::SET_COOKIE].to_str().unwrap().starts_with("shipmate=; "),
        "{headers:?}"
    );
    assert!(!stage.page("/").await.contains(WHY));
    // A button of the old page does nothing, and says why.
    let pressed = post_as(&approve(&plan), &before, "http://localhost:1", "form_token=old");
    let (status, _, page) = stage.send(pressed).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(page.contains(WHY), "{page}");

    let guarded = Stage::with_token(Some("the shared one"));
    let (status, _, page) = guarded.send(get_as("/", &before)).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(page.contains(WHY), "{page}");
}

#[tokio::test]
async fn metrics_are_behind_the_same_guard_where_there_is_one() {
    let (status, _, body) = Stage::new().get("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body.contains("shipmate_build_info"), "{body}");
    let stage = Stage::with_token(Some("the shared one"));
    for (value, expected) in [
        ("", StatusCode::UNAUTHORIZED),
        ("Bearer another", StatusCode::UNAUTHORIZED),
        ("Bearer the shared one", StatusCode::OK),
    ] {
        let mut request = get_as("/metrics", "");
        if !value.is_empty() {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        assert_eq!(stage.send(request).await.0, expected, "{value}");
    }
}

#[tokio::test]
async fn readiness_is_one_write_for_many_who_ask_and_names_what_fails() {
    let stage = Stage::new();
    for _ in 0..3 {
        let (status, _, body) = stage.get("/readyz").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "ready\n"));
    }
    assert_eq!(stage.store.commits(), 1);
    stage
        .engine
        .store_failed(&StoreError::Failed("the disk is gone".to_owned()));
    let (status, _, body) = stage.get("/readyz").await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "store: the disk is gone\n")
    );
}

#[tokio::test]
async fn a_deployment_that_has_left_the_store_is_shown_from_its_archive() {
    let stage = Stage::new();
    let ended = Event::SagaFinished {
        outcome: Outcome::Completed,
    };
    stage
        .journal("web-1", 60, vec![stage.started("web", "U0ANA"), ended])
        .await;
    let (_, _, recorded) = stage.get("/deployments/web-1/flight.jsonl").await;
    stage.store.retire("web-1").await.unwrap();
    assert!(stage.store.heads().is_empty());
    let page = stage.page("/deployments/web-1").await;
    assert!(page.contains("deployment completed"), "{page}");
    assert_eq!(stage.get("/deployments/web-1/flight.jsonl").await.2, recorded);
    for unknown in ["web-2", "..%2Fweb-1", "%2E%2E"] {
        let (status, _, _) = stage.get(&format!("/deployments/{unknown}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{unknown}");
    }
}

#[tokio::test]
async fn the_list_stands_above_its_question_and_what_it_warns_of_names_people_and_links() {
    let stage = Stage::new();
    let plan = plan("Stop the form from submitting twice");
    let change = "@U0BEN pushed to it, see https://github.com/acme/web/pull/7.";
    let data = json!({ "plan": plan, "digest": plan.digest(), "changes": [change], "dismissed": [], "foreign": [], "approvals": 1 });
    let question = asked("approve_point_of_no_return/1", data, &["approve"]);
    stage
        .journal("web-1", 5, vec![stage.started("web", "U0ANA"), question])
        .await;
    for path in ["/", "/deployments/web-1"] {
        let page = stage.page(path).await;
        let (list, question) = (page.find("<caption>Pull requests"), page.find("class=\"question\""));
        assert!(list.is_some() && list < question, "{page}");
        let link = "<a href=\"https://github.com/acme/web/pull/7\">github.com/acme/web/pull/7</a>.";
        assert!(page.contains(&format!("ben pushed to it, see {link}")), "{page}");
    }
}
