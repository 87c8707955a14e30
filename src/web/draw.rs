//! The bodies of the pages, from views and numbers. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::access::Guest;
use super::board::{Entry, Filter, PAGE, state_name};
use super::chart;
use super::names::Names;
use super::page::form_token;
use super::parts::{Buttons, Extent, Shown, badge, brief, time};
use crate::config::Project;
use crate::deploy::stats::{Run, Spread, Stats};
use crate::deploy::text::{Medium, WOULD_UNDO, between, counted, lasting, state, undoes};
use crate::deploy::timeline::{Moment, Tone, subject, timeline};
use crate::deploy::train::Plan;
use crate::deploy::view::{State, View};
use crate::saga::History;

const STATES: [State; 7] = [
    State::Running,
    State::Waiting,
    State::NeedsAttention,
    State::Undoing,
    State::Completed,
    State::Undone,
    State::Stopped,
];

/// The form that narrows the first page.
pub fn search(projects: &[Project], filter: &Filter) -> Markup {
    html! {
        h1.hidden { "Deployments" }
        form.search role="search" method="get" action="/" {
            label { span.hidden { "Project" }
                select name="project" {
                    option value="" { "All projects" }
                    @for project in projects { option value=(project.name) selected[project.name == filter.project] { (project.name) } }
                }
            }
            label { span.hidden { "State" }
                select name="state" {
                    option value="" { "Any state" }
                    @for one in STATES { option value=(state_name(one)) selected[state_name(one) == filter.state] { (state(one).0) " " (state(one).1) } }
                }
            }
            label.grow { span.hidden { "Search" } input type="search" name="q" value=(filter.q) placeholder="id, version, person, #number or title"; }
            button { "Find" }
        }
    }
}

/// What runs now, and the history.
pub fn home(
    entries: &[Arc<Entry>],
    projects: &[Project],
    filter: &Filter,
    names: &Names,
    now: DateTime<Utc>,
    buttons: Buttons,
) -> Markup {
    let searching = !filter.q.is_empty() || !filter.state.is_empty() || filter.number() > 1;
    let (shown, count) = filter.page_of(entries, names);
    html! {
        @if !searching {
            section aria-labelledby="now" {
                h2.section id="now" { "Now" }
                @for view in entries.iter().map(|entry| &entry.view).filter(|view| !view.is_over()) {
                    (Shown { view, names, now, buttons }.draw(Extent::Card))
                }
                (idle(entries, projects, filter, now))
            }
        }
        section aria-labelledby="history" {
            h2.section id="history" { (if searching { "Found" } else { "History" }) " " span.count { (count) } }
            (history(&shown, names, now))
            (paging(filter, count))
        }
    }
}

/// Projects of which nothing runs, a line each.
fn idle(entries: &[Arc<Entry>], projects: &[Project], filter: &Filter, now: DateTime<Utc>) -> Markup {
    let wanted = projects
        .iter()
        .filter(|project| filter.project.is_empty() || filter.project == project.name);
    let last = |project: &Project| {
        entries
            .iter()
            .map(|entry| &entry.view)
            .find(|view| view.project == project.name)
    };
    let idle = wanted
        .map(|project| (project, last(project)))
        .filter(|(_, last)| last.is_none_or(View::is_over));
    html! {
        @for (project, last) in idle {
            p.idle {
                b { (project.name) } " · nothing runs. "
                @match last {
                    Some(view) => { "The last, " a href=(link(view)) { (view.id) } ", " (state(view.state).1) " " (between(view.ended_at.unwrap_or(view.started_at), now)) " ago." },
                    None => "Type /deploy start in its channel.",
                }
            }
        }
    }
}

fn link(view: &View) -> String {
    format!("/deployments/{}", view.id)
}

fn history(views: &[&View], names: &Names, now: DateTime<Utc>) -> Markup {
    html! {
        @if views.is_empty() { p.idle { "None." } } @else {
            table.history {
                thead { tr {
                    th scope="col" { "Deployment" } th scope="col" { "Version" } th scope="col" { "State" } th.number scope="col" { "Pull requests" }
                    th scope="col" { "Started by" } th scope="col" { "Started (UTC)" } th.number scope="col" { "Took" }
                } }
                tbody {
                    @for view in views {
                        tr {
                            th scope="row" { a href=(link(view)) { (view.id) } }
                            td data-label="Version" { @match &view.version { Some(version) => (version.to), None => "–" } }
                            td data-label="State" { (badge(view.state)) }
                            td.number data-label="Pull requests" { (view.cars.len()) }
                            td data-label="Started by" { (names.person(&view.started_by)) }
                            td data-label="Started" { (time(view.started_at)) }
                            td.number data-label="Took" { (between(view.started_at, view.ended_at.unwrap_or(now))) }
                        }
                    }
                }
            }
        }
    }
}

fn paging(filter: &Filter, count: usize) -> Markup {
    let (page, pages) = (filter.number(), count.div_ceil(PAGE));
    html! {
        @if pages > 1 {
            nav.paging aria-label="Pages of the history" {
                @if page > 1 { a rel="prev" href=(format!("/?{}", filter.query(page - 1))) { "← Newer" } }
                span { "Page " (page) " of " (pages) }
                @if page < pages { a rel="next" href=(format!("/?{}", filter.query(page + 1))) { "Older →" } }
            }
        }
    }
}

/// One deployment with all that happened.
pub fn deployment(view: &View, history: &History, names: &Names, now: DateTime<Utc>, buttons: Buttons) -> Markup {
    let moments = timeline(history);
    let stretches = chart::stretches(&moments, (!view.is_over()).then_some(now));
    let shown = Shown {
        view,
        names,
        now,
        buttons,
    };
    html! {
        nav.trail aria-label="Where this is" { a href="/" { "Deployments" } " / " a href=(format!("/?project={}", view.project)) { (view.project) } " / " span aria-current="page" { (view.id) } }
        (shown.draw(Extent::Whole))
        section.card aria-labelledby="time" {
            h2 id="time" { "Where the time went" }
            (chart::gantt(&stretches))
        }
        section.card aria-labelledby="timeline" {
            header {
                h2 id="timeline" { "Everything that happened" }
                a.clock href=(format!("{}/flight.jsonl", link(view))) download { "Flight recorder (.jsonl)" }
            }
            @for (day, moments) in days(ends(&moments)) {
                h3.day { (day) }
                ol.timeline { @for moment in moments { (moment_line(moment, names)) } }
            }
        }
    }
}

/// An end says when it began: beginnings stand alone only while there is no end.
fn ends(moments: &[Moment]) -> Vec<&Moment> {
    let mut ended = HashSet::new();
    let mut kept = Vec::new();
    for moment in moments.iter().rev() {
        if moment.took.is_some() {
            ended.insert(&moment.key);
        }
        if moment.tone != Tone::Beginning || !ended.remove(&moment.key) {
            kept.push(moment);
        }
    }
    kept.reverse();
    kept
}

/// Lines below the day on which they end: clocks alone don't say that people slept in between.
fn days(moments: Vec<&Moment>) -> Vec<(String, Vec<&Moment>)> {
    let mut days: Vec<(String, Vec<&Moment>)> = Vec::new();
    for moment in moments {
        let day = moment.at.format("%A, %-d %B %Y, UTC").to_string();
        match days.last_mut() {
            Some((last, moments)) if *last == day => moments.push(moment),
            _ => days.push((day, vec![moment])),
        }
    }
    days
}

fn line_class(moment: &Moment) -> &'static str {
    match (moment.tone, &moment.by) {
        (Tone::Restart, _) => "restart",
        (Tone::Failure, _) => "failure",
        (_, Some(_)) => "human",
        (Tone::Beginning, None) => "begin",
        (Tone::Plain, None) => "end",
    }
}

fn moment_line(moment: &Moment, names: &Names) -> Markup {
    let clock = |at: DateTime<Utc>| html! { time datetime=(at.to_rfc3339()) title=(at.to_rfc3339()) { (at.format("%H:%M:%S")) } };
    let began = moment
        .took
        .and_then(|(_, took)| Some(moment.at - TimeDelta::from_std(took).ok()?));
    html! {
        li.(line_class(moment)) {
            span.clocks { @if let Some(began) = began { (clock(began)) " – " } (clock(moment.at)) }
            span aria-hidden="true" { (moment.mark) }
            div {
                @if let Some(key) = &moment.key { code { (subject(key)) } " " }
                (moment.what)
                @if let Some(by) = &moment.by { " · " b { (names.person(by)) } }
                @for line in &moment.detail { p.detail { (names.sentence(line)) } }
                @if !moment.requests.is_empty() { ul.requests { @for request in &moment.requests {
                    li { (request.what) " " code title="GitHub's id of this request" { (request.id) } }
                } } }
            }
            span.took { @if let Some((_, took)) = moment.took { (brief(took)) } }
        }
    }
}

/// The numbers of a project.
pub fn numbers(project: &str, entries: &[Arc<Entry>], now: DateTime<Utc>) -> Markup {
    let runs: Vec<Run> = entries.iter().map(|entry| entry.run.clone()).collect();
    let stats = Stats::of(&runs, now);
    let title = format!("numbers-{project}");
    html! {
        section.card aria-labelledby=(title) {
            header { h2 id=(title) { (project) } span.clock { "the last 12 weeks" } }
            (tiles(&stats))
            @if stats.deployments > 0 {
                h3 { "Releases a week" }
                (chart::weeks(&stats, project))
                h3 { "How long steps take, p50 and p95" }
                (chart::steps(&stats, project))
            }
            h3 { "In words" }
            ul.words { @for sentence in stats.sentences() { li { (sentence) } } }
        }
    }
}

fn tiles(stats: &Stats) -> Markup {
    let spread = |spread: Option<Spread>| spread.map_or_else(|| "–".to_owned(), |spread| lasting(spread.p50));
    let p95 = |spread: Option<Spread>| {
        spread.map_or_else(
            || "nothing to count yet".to_owned(),
            |spread| format!("p95 {}", lasting(spread.p95)),
        )
    };
    let (lead, lead_from) = match stats.lead_time {
        Some(lead) => (Some(lead), "opened → released"),
        None => (stats.merge_to_release, "merged → released"),
    };
    let failures = stats
        .failure_percent()
        .map_or_else(|| "–".to_owned(), |percent| format!("{percent} %"));
    let tile =
        |name: &str, value: &str, note: &str| html! { div { dt { (name) } dd { b { (value) } span { (note) } } } };
    html! {
        dl.tiles {
            (tile("Deployment frequency", &format!("{:.1} / week", stats.per_week()), &counted(stats.released, "release")))
            (tile("Lead time for changes", &spread(lead), &format!("{lead_from}, {}", p95(lead))))
            (tile("Change failure rate", &failures, &format!("{} of {}", stats.failed, counted(stats.merged, "merged train"))))
            (tile("Time to restore", &spread(stats.time_to_restore), &p95(stats.time_to_restore)))
        }
    }
}

/// Asks for the reason before everything is undone.
pub fn abort(view: &View, guest: &Guest) -> Markup {
    html! {
        section.notice {
            h1 { "Abort " (view.id) "?" }
            p { (WOULD_UNDO) }
            ul { @for line in undoes(view, Medium::Plain) { li { (line) } } }
            form method="post" action=(format!("{}/abort", link(view))) {
                (form_token(guest))
                label for="reason" { "Why? (people read it)" }
                input id="reason" name="reason" maxlength="200" autocomplete="off";
                button.danger { "Abort" }
                a href=(link(view)) { "Keep going" }
            }
        }
    }
}

/// Which of the listed pull requests ride.
pub fn edit(view: &View, key: &str, plan: &Plan, guest: &Guest) -> Markup {
    let action = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("key", key)
        .finish();
    html! {
        section.notice {
            h1 { "Who rides with " (view.id) "?" }
            p { "Whatever is left out stays open and untouched. The list is rehearsed again and put to you once more." }
            form method="post" action=(format!("{}/edit?{action}", link(view))) {
                (form_token(guest))
                fieldset {
                    legend.hidden { "Pull requests" }
                    @for car in &plan.cars {
                        label { input type="checkbox" name="car" value=(car.number) checked; " #" (car.number) " " (car.title) " · " (car.author) }
                    }
                }
                button.primary { "Rehearse this list" }
                a href=(link(view)) { "Keep the list" }
            }
        }
    }
}
