//! What is counted and timed, for `/metrics`. Every name, unit and help stands here; the layers call the functions below, and labels take
//! few values. Counts begin anew with the process, as Prometheus expects; what people see of a deployment comes from its journal alone.

use std::sync::OnceLock;
use std::time::Duration;

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

const DEPLOYMENTS: &str = "shipmate_deployments_total";
const DEPLOYMENT_DURATION: &str = "shipmate_deployment_duration_seconds";
const ACTIVE: &str = "shipmate_deployments_active";
const STEP_DURATION: &str = "shipmate_step_duration_seconds";
const RETRIES: &str = "shipmate_step_retries_total";
const GITHUB_REQUESTS: &str = "shipmate_github_requests_total";
const GITHUB_REMAINING: &str = "shipmate_github_rate_limit_remaining";
const SLACK_REQUESTS: &str = "shipmate_slack_requests_total";
const COMMIT_DURATION: &str = "shipmate_store_commit_duration_seconds";
const BUILD: &str = "shipmate_build_info";

/// Trains take minutes to days: people sleep over checkpoints.
const DEPLOYMENT_BUCKETS: [f64; 9] = [
    60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0, 259_200.0,
];
/// Steps take from one request to a workflow's run.
const STEP_BUCKETS: [f64; 10] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0];
/// Commits take one sync of a disk.
const COMMIT_BUCKETS: [f64; 9] = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0];

/// A deployment has ended so.
pub fn deployment_ended(project: &str, end: &'static str, took: Duration) {
    let project = project.to_owned();
    counter!(DEPLOYMENTS, "project" => project.clone(), "end" => end).increment(1);
    histogram!(DEPLOYMENT_DURATION, "project" => project, "end" => end).record(took);
}

/// Whether a project has a deployment running.
pub fn deployment_active(project: &str, active: bool) {
    gauge!(ACTIVE, "project" => project.to_owned()).set(u8::from(active));
}

/// A step is done, `took` after its first attempt began.
pub fn step_done(key: &str, took: Duration) {
    histogram!(STEP_DURATION, "step" => step(key)).record(took);
}

/// A step will be tried again by itself.
pub fn step_retried(key: &str) {
    counter!(RETRIES, "step" => step(key)).increment(1);
}

/// A step without the pull request or the round that its key names.
fn step(key: &str) -> String {
    key.split('/').next().unwrap_or(key).to_owned()
}

/// GitHub was asked; `status` is `None` if it didn't answer.
pub fn github_asked(method: &str, status: Option<u16>) {
    let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
    counter!(GITHUB_REQUESTS, "method" => method.to_owned(), "status" => status).increment(1);
}

/// GitHub said how many requests are left.
pub fn github_remaining(requests: u32) {
    gauge!(GITHUB_REMAINING).set(requests);
}

/// Slack was asked.
pub fn slack_asked(method: &str, ok: bool) {
    counter!(SLACK_REQUESTS, "method" => method.to_owned(), "ok" => ok.to_string()).increment(1);
}

/// A commit became durable.
pub fn committed(took: Duration) {
    histogram!(COMMIT_DURATION).record(took);
}

/// The recorder of this process; installed with the first call.
fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let buckets = [
            (DEPLOYMENT_DURATION, &DEPLOYMENT_BUCKETS[..]),
            (STEP_DURATION, &STEP_BUCKETS[..]),
            (COMMIT_DURATION, &COMMIT_BUCKETS[..]),
        ];
        let builder = buckets
            .into_iter()
            .try_fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
                builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
            });
        // Refuses only an empty list.
        let recorder = builder.unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        if ::metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("something else counts in this process, so /metrics stays empty");
        }
        describe();
        handle
    })
}

fn describe() {
    describe_counter!(DEPLOYMENTS, "Deployments that have ended, by project and end.");
    describe_histogram!(
        DEPLOYMENT_DURATION,
        Unit::Seconds,
        "From start to end of a deployment, waits for people included."
    );
    describe_gauge!(ACTIVE, "Deployments running now, by project.");
    describe_histogram!(
        STEP_DURATION,
        Unit::Seconds,
        "From a step's first attempt to its end, by step."
    );
    describe_counter!(RETRIES, "Failed attempts that are tried again by themselves, by step.");
    describe_counter!(
        GITHUB_REQUESTS,
        "Requests to GitHub, by method and status; none: it didn't answer."
    );
    describe_gauge!(
        GITHUB_REMAINING,
        "Requests that GitHub's limit leaves this hour, as it said last."
    );
    describe_counter!(SLACK_REQUESTS, "Calls to Slack, by method and whether it was done.");
    describe_histogram!(
        COMMIT_DURATION,
        Unit::Seconds,
        "From asking for a commit of the journal to its being durable."
    );
    describe_gauge!(BUILD, "Always 1; the version is a label.");
    metrics_process::Collector::default().describe();
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1);
}

/// Begins to count.
pub fn install() {
    recorder();
}

/// Condenses what was timed since the last call: called now and then, so that timings don't pile up when nobody reads them.
pub fn keep_up() {
    recorder().run_upkeep();
}

/// All of it in Prometheus' text format.
pub fn rendered() -> String {
    metrics_process::Collector::default().collect();
    recorder().render()
}
