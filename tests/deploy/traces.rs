//! One trace a deployment, at a collector on this machine: whole, once, and never in the deployment's way.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use shipmate::config::Traces;
use shipmate::saga::store::Store as _;
use shipmate::sandbox::faults::{Fault, Kind, When};
use shipmate::sandbox::github::Scenario;
use tokio::sync::watch;

use crate::stage::{LIMIT, Stage};

/// What a collector does with what it is sent.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Takes,
    /// It takes it, and its answer never comes.
    Hangs,
}

/// Everything that came, and how many there are.
#[derive(Clone)]
struct Collector {
    mood: Arc<Mutex<Mood>>,
    came: watch::Sender<Vec<(Option<String>, ResourceSpans)>>,
}

async fn receive(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let key = headers.get("api-key").map(|key| key.to_str().unwrap().to_owned());
    collector.came.send_modify(|came| {
        came.extend(request.resource_spans.into_iter().map(|spans| (key.clone(), spans)));
    });
    let mood = *collector.mood.lock().unwrap();
    if mood == Mood::Hangs {
        std::future::pending().await
    }
}

impl Collector {
    /// One to which this stage's bot will send.
    async fn of(stage: &mut Stage, mood: Mood) -> Self {
        let collector = Self {
            mood: Arc::new(Mutex::new(mood)),
            came: watch::Sender::default(),
        };
        let routes = Router::new().route("/v1/traces", post(receive));
        let routes = routes.with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        stage.sandbox.config.traces = Some(Traces { endpoint });
        collector
    }

    async fn has(&self, count: usize) -> Vec<(Option<String>, ResourceSpans)> {
        let mut came = self.came.subscribe();
        let enough = came.wait_for(|came| came.len() >= count);
        tokio::time::timeout(LIMIT, enough)
            .await
            .expect("a trace")
            .unwrap()
            .clone()
    }
}

fn spans(sent: &ResourceSpans) -> Vec<Span> {
    sent.scope_spans.iter().flat_map(|scope| scope.spans.clone()).collect()
}

fn trace_ids(sent: &ResourceSpans) -> HashSet<Vec<u8>> {
    spans(sent).into_iter().map(|span| span.trace_id).collect()
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|pair| pair.key == key)?;
    match &found.value {
        Some(AnyValue {
            value: Some(Any::StringValue(text)),
        }) => Some(text.clone()),
        Some(AnyValue {
            value: Some(Any::IntValue(number)),
        }) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

async fn completes(stage: &Stage) {
    stage.ben().clicks("Approve").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;
}

/// How many tries a deployment's trace has left, once that is settled.
async fn settles(stage: &Stage, left: u64) {
    let settled = async {
        while stage.store.get("trace/web-1").unwrap() != Some(left.into()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LIMIT, settled).await.expect("it is settled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_with_a_retry_and_a_restart_is_one_trace() {
    let mut stage = Stage::empty(Scenario::Happy, |_| {}).await;
    stage.otlp_headers = Some("api-key=of%20the%20team".into());
    let collector = Collector::of(&mut stage, Mood::Takes).await;
    stage.boot().await;
    stage.github().faults().inject(Fault {
        matches: "PATCH /api/v3/repos/acme/web/pulls/42".to_owned(),
        when: When::After,
        kind: Kind::Status(502, "Bad Gateway".to_owned()),
        times: 1,
    });
    stage.plays_to("Approve").await;
    stage.restart().await;
    completes(&stage).await;
    settles(&stage, 0).await;
    // A later process knows that it is sent.
    stage.restart().await;
    let sent = collector.has(1).await;
    let [(key, sent)] = sent.as_slice() else {
        panic!("{} came", sent.len())
    };
    assert_eq!(key.as_deref(), Some("of the team"));
    assert_eq!(
        text(&sent.resource.as_ref().unwrap().attributes, "service.name").as_deref(),
        Some("shipmate")
    );
    assert_eq!(trace_ids(sent).len(), 1);

    let spans = spans(sent);
    let root = &spans[0];
    assert_eq!(
        (root.name.as_str(), root.parent_span_id.as_slice()),
        ("deployment", &[][..])
    );
    for (key, value) in [
        ("shipmate.deployment", "web-1"),
        ("shipmate.project", "web"),
        ("shipmate.outcome", "completed"),
    ] {
        assert_eq!(text(&root.attributes, key).as_deref(), Some(value));
    }
    assert!(root.events.iter().any(|event| event.name == "restarted"), "{root:#?}");
    assert!(spans[1..].iter().all(|span| span.parent_span_id == root.span_id));
    let named = |key: &str| {
        let mut found = spans
            .iter()
            .filter(|span| text(&span.attributes, "shipmate.key").as_deref() == Some(key));
        found.next().unwrap_or_else(|| panic!("no span for {key}"))
    };
    let told = |span: &Span| span.events.iter().map(|event| event.name.clone()).collect::<Vec<_>>();
    // It took effect and its answer was lost, with the id: found done by looking.
    let retarget = named("change_pr_bases/42");
    assert_eq!(retarget.name, "change_pr_bases");
    assert_eq!(told(retarget), ["attempt started", "attempt failed"], "{retarget:#?}");
    let merge = named("merge_pr/42");
    assert_eq!(told(merge), ["attempt started", "request"], "{merge:#?}");
    let id = text(&merge.events[1].attributes, "github.request_id").unwrap();
    assert!(id.starts_with("SBX:"), "{id}");
    assert_eq!(
        text(&named("confirm_pr_list").attributes, "shipmate.by").as_deref(),
        Some("slack:U0ANA")
    );
    assert!(spans.iter().any(|span| span.name == "merge_pr"));
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_after_a_crash_is_the_same_trace() {
    let mut stage = Stage::empty(Scenario::Happy, |_| {}).await;
    let collector = Collector::of(&mut stage, Mood::Hangs).await;
    stage.boot().await;
    stage.plays_to("Approve").await;
    completes(&stage).await;
    collector.has(1).await;
    stage.stop().await;
    *collector.mood.lock().unwrap() = Mood::Takes;
    stage.boot().await;
    settles(&stage, 0).await;
    let sent = collector.has(2).await;
    assert_eq!(sent[0].1, sent[1].1);
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_collector_a_deployment_goes_on_and_its_trace_is_given_up_in_the_end() {
    let mut stage = Stage::empty(Scenario::Happy, |_| {}).await;
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    stage.sandbox.config.traces = Some(Traces {
        endpoint: format!("http://{nobody}"),
    });
    stage.boot().await;
    stage.plays_to("Approve").await;
    completes(&stage).await;
    for left in (0..5).rev() {
        settles(&stage, left).await;
        stage.restart().await;
    }
    assert_eq!(stage.store.get("trace/web-1").unwrap(), Some(0.into()));
    stage.closes().await;
}
