//! Checks, statuses, and Actions runs.

use serde_json::{Value, json};

use super::answer::{Answer, not_found, ok, paged_in, query};
use super::{Cx, fine_grained_refusal};
use crate::sandbox::github::life;
use crate::sandbox::github::model::{Model, Run};

/// How many checks the first wave has.
const FIRST_WAVE: usize = 2;

pub fn check_runs(cx: &Cx<'_>, model: &mut Model, sha: &str) -> Answer {
    if let Some(refusal) = fine_grained_refusal(cx, "checks=read") {
        return refusal;
    }
    let reads = model.check_reads.entry(sha.to_owned()).or_default();
    *reads += 1;
    let (late, second_wave) = cx.knobs(|knobs| (knobs.checks_late, knobs.second_wave));
    let seen = match *reads {
        reads if reads <= late => 0,
        reads if reads <= second_wave => FIRST_WAVE,
        _ => usize::MAX,
    };
    let checks = model.checks.get(sha).into_iter().flatten().take(seen);
    paged_in(
        "check_runs",
        checks
            .map(|check| check.json(&cx.web, &cx.name, model.suite(sha, check.event)))
            .collect(),
    )
}

/// The combined status, over statuses alone: of none, it is pending.
pub fn status(model: &Model, sha: &str) -> Answer {
    let statuses = model.statuses.get(sha).map(Vec::as_slice).unwrap_or_default();
    let any = |wanted: &[&str]| statuses.iter().any(|(_, state)| wanted.contains(state));
    let state = if any(&["failure", "error"]) {
        "failure"
    } else if statuses.is_empty() || any(&["pending"]) {
        "pending"
    } else {
        "success"
    };
    let rows = statuses
        .iter()
        .map(|(context, state)| json!({ "context": context, "state": state, "target_url": null }));
    let mut answer = paged_in("statuses", rows.collect());
    answer.body["state"] = state.into();
    answer.body["sha"] = sha.into();
    answer
}

pub async fn workflow(cx: &Cx<'_>, file: &str) -> Answer {
    let path = format!(".github/workflows/{file}");
    let default = cx
        .knobs(|knobs| knobs.default_branch.clone())
        .unwrap_or_else(|| "main".to_owned());
    match cx.repo.bare.file(&default, &path).await {
        Some(_) => ok(json!({ "id": 1, "name": "Deploy", "path": path, "state": "active" })),
        None => not_found(),
    }
}

pub fn runs(cx: &Cx<'_>, model: &mut Model, workflow: Option<&str>) -> Answer {
    // GitHub drops an empty filter silently and answers with everybody's runs.
    let (sha, event, branch) = (
        query(cx.uri, "head_sha"),
        query(cx.uri, "event"),
        query(cx.uri, "branch"),
    );
    let wanted = |run: &Run| {
        sha.as_ref().is_none_or(|sha| run.sha == *sha)
            && event.as_ref().is_none_or(|event| event == run.event.word())
            && branch.as_ref().is_none_or(|branch| run.branch == *branch)
            && workflow.is_none_or(|workflow| run.workflow == workflow)
    };
    let ci = model.ci_runs().filter(|run| wanted(run));
    let mut rows: Vec<Value> = ci.map(|run| run.json(&cx.web, &cx.name)).collect();
    for run in model.runs.iter_mut().rev().filter(|run| wanted(run)) {
        if run.late > 0 {
            // Somebody who asks for everything doesn't make it come.
            run.late -= u32::from(workflow.is_some());
            if run.late > 0 {
                continue;
            }
        }
        rows.push(run.json(&cx.web, &cx.name));
    }
    paged_in("workflow_runs", rows)
}

pub async fn run(cx: &Cx<'_>, model: &mut Model, id: u64) -> Answer {
    let Some(run) = model.runs.iter_mut().find(|run| run.id == id) else {
        let ci = model.ci_runs().find(|run| run.id == id);
        return ci.map_or_else(not_found, |run| ok(run.json(&cx.web, &cx.name)));
    };
    let shown = run.json(&cx.web, &cx.name);
    if let Some(waits) = run.waits.filter(|waits| *waits < u32::MAX) {
        run.waits = Some(waits.saturating_sub(1));
        if waits <= 1 {
            life::environment_approved(cx.double, cx.repo, model, id).await;
        }
    }
    ok(shown)
}

pub fn jobs(cx: &Cx<'_>, model: &Model, id: u64) -> Answer {
    match model
        .runs
        .iter()
        .cloned()
        .chain(model.ci_runs())
        .find(|run| run.id == id)
    {
        Some(run) => paged_in("jobs", run.jobs_json(&cx.web, &cx.name)),
        None => not_found(),
    }
}
