//! The parts of a page that show one deployment. Drawn for everybody alike: what is a viewer's own (the form's token) stands in the page
//! around them, and the buttons belong to that form by its id.

use std::time::Duration;

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::names::Names;
use crate::deploy::text::{self, Medium};
use crate::deploy::train::Plan;
use crate::deploy::view::{CarView, PhaseView, Question, QuestionKind, Stand, State, StepView, View};
use crate::deploy::{Item, Ticked, choice};
use crate::saga::run::choice as engine;

/// What the viewer may press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buttons {
    /// Signed in as a person.
    Shown,
    /// Only looking.
    Hidden,
}

/// How much of a deployment is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The steps of the phase that matters now.
    Card,
    /// Every step.
    Whole,
}

/// A deployment.
pub struct Shown<'a> {
    /// Its view.
    pub view: &'a View,
    /// What people are called.
    pub names: &'a Names,
    /// Now.
    pub now: DateTime<Utc>,
    /// What may be pressed.
    pub buttons: Buttons,
}

/// Emoji and word.
pub fn badge(state: State) -> Markup {
    let (emoji, word) = text::state(state);
    let word = if state == State::Waiting { "waiting" } else { word };
    html! { span.badge.(class(state)) { span aria-hidden="true" { (emoji) } " " (word) } }
}

fn class(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Waiting => "waiting",
        State::NeedsAttention => "failed",
        State::Undoing | State::Undone => "undone",
        State::Completed => "done",
        State::Stopped => "stopped",
    }
}

fn stand_class(stand: Stand) -> &'static str {
    match stand {
        Stand::Pending => "pending",
        Stand::Running | Stand::Retrying => "running",
        Stand::Waiting => "waiting",
        Stand::Failed => "failed",
        Stand::Done => "done",
        Stand::Skipped => "skipped",
        Stand::Undone | Stand::Stopped => "undone",
    }
}

/// An instant.
pub fn time(at: DateTime<Utc>) -> Markup {
    html! { time datetime=(at.to_rfc3339()) { (at.format("%Y-%m-%d %H:%M")) } }
}

/// How long something took: exactly where it was short.
pub fn brief(took: Duration) -> String {
    match took.as_millis() {
        0..=49 => "0 s".to_owned(),
        50..10_000 => format!("{:.1} s", took.as_secs_f64()),
        _ => text::lasting(took),
    }
}

/// From one instant to another, or to now and ticking.
pub fn lasted(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Markup {
    match (from, to) {
        (Some(from), Some(to)) => html! { (brief((to - from).to_std().unwrap_or_default())) },
        (Some(from), None) => {
            html! { span data-since=(from.timestamp()) { (text::between(from, now)) } }
        }
        (None, _) => html! {},
    }
}

impl Shown<'_> {
    /// The whole card.
    pub fn draw(&self, extent: Extent) -> Markup {
        let view = self.view;
        let sentence = text::now(view, self.now, Medium::Plain);
        html! {
            article.card.(class(view.state)) aria-labelledby=(format!("{}-title", view.id)) {
                header {
                    @match extent {
                        Extent::Card => h2 id=(format!("{}-title", view.id)) { a href=(format!("/deployments/{}", view.id)) { (text::title(view)) } },
                        Extent::Whole => h1 id=(format!("{}-title", view.id)) { (text::title(view)) },
                    }
                    (badge(view.state))
                    span.clock { (lasted(Some(view.started_at), view.ended_at, self.now)) }
                }
                p.sentence data-say=(view.id) { (self.names.sentence(&sentence)) }
                @if self.asks_about_cars() { (self.cars()) }
                @for question in &view.questions { (self.question(question)) }
                (self.phases())
                @match extent {
                    Extent::Card => @if let Some(phase) = self.phase_now() { (self.steps(phase)) },
                    Extent::Whole => div.columns { @for phase in &self.view.phases { (self.steps(phase)) } },
                }
                @if !self.asks_about_cars() { (self.cars()) }
                (self.remarks())
                @if extent == Extent::Whole { (self.left_out()) (self.receipt()) }
                (self.facts())
            }
        }
    }

    /// Whoever is asked about the list sees it before the buttons.
    fn asks_about_cars(&self) -> bool {
        let about = |question: &Question| {
            matches!(
                question.kind,
                QuestionKind::ConfirmPrList { .. } | QuestionKind::Approve { .. } | QuestionKind::Unmerged { .. }
            )
        };
        self.view.questions.iter().any(about)
    }

    fn phase_now(&self) -> Option<&PhaseView> {
        let over = |phase: &&PhaseView| matches!(phase.state, Stand::Pending | Stand::Done | Stand::Skipped);
        self.view.phases.iter().find(|phase| !over(phase))
    }

    fn phases(&self) -> Markup {
        html! {
            ol.phases aria-label="Phases" {
                @for phase in &self.view.phases {
                    @let (emoji, word) = text::stand(phase.state);
                    li.(stand_class(phase.state)) aria-current=[self.is_now(phase).then_some("step")] {
                        span.name { (phase.phase.title()) }
                        span.state { span aria-hidden="true" { (emoji) } " " (word) }
                        span.took { (lasted(phase.started_at, phase.ended_at.or(self.stopped_at(phase.state)), self.now)) }
                    }
                }
            }
        }
    }

    fn is_now(&self, phase: &PhaseView) -> bool {
        self.phase_now().is_some_and(|now| now.phase == phase.phase)
    }

    /// What doesn't go on has stopped with its deployment.
    fn stopped_at(&self, stand: Stand) -> Option<DateTime<Utc>> {
        let going = matches!(stand, Stand::Running | Stand::Waiting | Stand::Retrying | Stand::Failed);
        self.view.ended_at.or((!going).then_some(self.now))
    }

    fn steps(&self, phase: &PhaseView) -> Markup {
        html! {
            table.steps {
                caption { (phase.phase.title()) }
                thead { tr { th scope="col" { "Step" } th scope="col" { "State" } th.number scope="col" { "Took" } } }
                tbody { @for step in &phase.steps { (self.step(step)) } }
            }
        }
    }

    fn step(&self, step: &StepView) -> Markup {
        let (emoji, word) = text::stand(step.state);
        let tries = if step.started_at.is_some() { step.retries + 1 } else { 0 };
        html! {
            tr.(stand_class(step.state)) {
                th scope="row" title=(step.name) { (step.title) " " code { (step.name) } }
                td.state {
                    span.whole { span aria-hidden="true" { (emoji) } " " (word) }
                    @if let Some((done, all)) = step.count { " " (done) "/" (all) }
                    @if tries > 1 { " " span.whole { "· " (tries) " tries" } }
                }
                td.number { (self.took(step)) }
            }
            @if let Some(error) = &step.error {
                tr.detail { td colspan="3" { p.error { (self.names.sentence(error)) (self.mend(step, error)) } } }
            }
        }
    }

    /// How long its last run took, or takes; and how long it was from the first start, where that is another time.
    fn took(&self, step: &StepView) -> Markup {
        let ended = step.ended_at.or(self.stopped_at(step.state));
        let last = match step.took {
            Some(took) => html! { (brief(took)) },
            None => lasted(step.run_at, ended, self.now),
        };
        let span = |from: Option<DateTime<Utc>>| Some((ended? - from?).to_std().unwrap_or_default());
        let (run, whole) = (step.took.or(span(step.run_at)), span(step.started_at));
        let more = run
            .zip(whole)
            .filter(|(run, whole)| *whole > *run + Duration::from_secs(1));
        html! { (last) @if let Some((_, whole)) = more { " " span.quiet { (text::of_all(whole)) } } }
    }

    /// What comes of an error, after its full stop.
    fn mend(&self, step: &StepView, error: &str) -> Markup {
        let stop = if error.ends_with(['.', '!', '?']) { " " } else { ". " };
        let retrying = self.view.current.as_ref().and_then(|current| current.retrying.as_ref());
        match (step.state, retrying) {
            (Stand::Retrying, Some((_, at))) => {
                html! { (stop) "Trying again by itself at " (at.format("%H:%M:%S")) " UTC." }
            }
            (Stand::Failed, _) => html! { (stop) "A person must choose; see above." },
            _ => html! {},
        }
    }

    fn cars(&self) -> Markup {
        let row = |view: &CarView| {
            let (emoji, word) = text::car_state(view.state);
            let car = &view.car;
            html! {
                tr {
                    td.number { a href=(car.url) { "#" (car.number) } }
                    th scope="row" { (car.title) }
                    td { (car.author) }
                    td { code { (car.head.short()) } }
                    td.state { span aria-hidden="true" { (emoji) } " " (word) }
                }
            }
        };
        html! {
            @if !self.view.cars.is_empty() {
                table.cars {
                    caption { "Pull requests" }
                    thead.quiet { tr { th scope="col" { "Number" } th scope="col" { "Title" } th scope="col" { "Author" } th scope="col" { "Head" } th scope="col" { "State" } } }
                    tbody { @for car in &self.view.cars { (row(car)) } }
                }
            }
        }
    }

    fn left_out(&self) -> Markup {
        html! {
            @if !self.view.excluded.is_empty() {
                table.cars {
                    caption { "Not on it" }
                    thead.quiet { tr { th scope="col" { "Number" } th scope="col" { "Title" } th scope="col" { "Why" } } }
                    tbody {
                        @for out in &self.view.excluded {
                            tr { td.number {
                                    @if out.url.is_empty() { "#" (out.number) } @else { a href=(out.url) { "#" (out.number) } }
                                } th scope="row" { (out.title) } td { (self.names.sentence(&out.reason.to_string())) } }
                        }
                    }
                }
            }
        }
    }

    fn receipt(&self) -> Markup {
        html! {
            @if !self.view.receipt.is_empty() {
                h3 { "Receipt, read back from GitHub" }
                ul.receipt {
                    @for line in &self.view.receipt { li { (if line.ok { "✅" } else { "⚠️ not undone:" }) " " (self.names.sentence(&line.text)) } }
                }
            }
        }
    }

    /// What steps noticed on their way, and whether the merges gave what was rehearsed.
    fn remarks(&self) -> Markup {
        let as_rehearsed = self.view.shipped.as_ref().and_then(|shipped| shipped.as_rehearsed);
        let mut lines = self.view.remarks.clone();
        if as_rehearsed == Some(false) {
            lines.insert(0, crate::slack::text::plain(text::NOT_AS_REHEARSED));
        }
        warning("Worth knowing", &lines, self.names)
    }

    fn facts(&self) -> Markup {
        let view = self.view;
        html! {
            footer.facts {
                span { code { (view.id) } }
                span { (view.repo) }
                span { "started by " (self.names.person(&view.started_by)) ", " (time(view.started_at)) " UTC" }
                @if let Some(branch) = &view.branch { span { code { (branch) } " → " code { (view.base) } } }
                @if let Some(pr) = &view.deploy_pr { a href=(pr.url) { "Deploy PR #" (pr.number) } }
                @if let Some(url) = &view.run_url { a href=(url) { "Actions run" } }
                @if let Some(release) = &view.release { a href=(release.url) { "Release" } }
                @if view.can_abort() && self.buttons == Buttons::Shown { a.abort href=(format!("/deployments/{}/abort", view.id)) { "Abort…" } }
            }
        }
    }
}

/// Where a button's form goes.
fn action(view: &View, verb: &str, pairs: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish();
    format!("/deployments/{}/{verb}?{query}", view.id)
}

impl Shown<'_> {
    fn question(&self, question: &Question) -> Markup {
        let body = match &question.kind {
            QuestionKind::ConfirmPrList { plan } => html! { (plan_lines(plan, self.names)) },
            QuestionKind::Approve {
                plan,
                changes,
                dismissed,
                foreign,
                digest,
                ..
            } => html! {
                (warning(&text::plan_changed(Medium::Plain), changes, self.names))
                (warning(&text::foreign_commits(&plan.branch, Medium::Plain), foreign, self.names))
                (warning(&text::dismissed(Medium::Plain), &dismissed_lines(dismissed), self.names))
                (plan_lines(plan, self.names))
                p.quiet { (text::from_here_on(digest, Medium::Plain)) }
            },
            QuestionKind::Checklist { items } => self.checklist(items),
            QuestionKind::Issues { issues, comment } => html! {
                ul {
                    @for issue in issues {
                        li { a href=(issue.html_url) { "#" (issue.number) } " " (issue.title) }
                    }
                }
                p.quiet { (self.names.sentence(&text::would_be_told(comment, Medium::Plain))) }
            },
            QuestionKind::Attention { .. } | QuestionKind::Unmerged { .. } => html! {},
        };
        html! {
            section.question aria-label="Waits for a person" {
                (body)
                @match self.buttons {
                    Buttons::Shown => (self.choices(question)),
                    Buttons::Hidden => p.quiet { a href="/sign-in" { "Sign in" } " to decide here, or decide in Slack." },
                }
            }
        }
    }

    fn choices(&self, question: &Question) -> Markup {
        let step = match &question.kind {
            QuestionKind::Attention { step, .. } => step.as_deref(),
            _ => None,
        };
        let digest = match &question.kind {
            QuestionKind::Approve { digest, .. } => digest,
            _ => "",
        };
        let button = |choice: &str, label: &str, class: &str| {
            let action = action(
                self.view,
                "decide",
                &[("key", &question.key), ("choice", choice), ("digest", digest)],
            );
            html! { button.(class) form="act" formaction=(action) { (label) } }
        };
        let sure = |choice: &str, class: &str, sentence: &str| {
            html! {
                details.sure id=(format!("{}-{choice}", self.view.id)) {
                    summary.button.(class) { (text::choice_label(choice)) "…" }
                    p { (sentence) }
                    (button(choice, text::choice_label(choice), class))
                }
            }
        };
        let choice = |choice: &str| match choice {
            // Deadlines and boxes decide these.
            choice::EXPIRE | choice::DONE => html! {},
            choice::EDIT => {
                html! { a.button href=(action(self.view, "edit", &[("key", &question.key)])) { (text::choice_label(choice)) "…" } }
            }
            choice::CONFIRM | engine::RETRY | choice::PUT_BACK => button(choice, text::choice_label(choice), "primary"),
            engine::SKIP => button(choice, text::skip_label(step), "plain"),
            other => match text::confirmation(other) {
                Some(ask) if other == engine::STOP => sure(other, "danger", &ask.text),
                Some(ask) => sure(other, "primary", &ask.text),
                None => button(other, text::choice_label(other), "plain"),
            },
        };
        html! { div.buttons { @for name in &question.choices { (choice(name)) } } }
    }

    fn checklist(&self, items: &[Item]) -> Markup {
        let row = |(index, item): (usize, &Item)| {
            let done = item.ticked.is_some();
            let (index, turn) = (index.to_string(), (!done).to_string());
            let action = action(self.view, "tick", &[("item", &index), ("done", &turn)]);
            html! {
                li.(if done { "done" } else { "open" }) {
                    @if self.buttons == Buttons::Shown {
                        @if let Some(Ticked { by, at }) = &item.ticked {
                            @let confirmation = text::untick(by, *at);
                            details.sure.tick id=(format!("{}-untick-{index}", self.view.id)) {
                                summary.tick { span aria-hidden="true" { "✓" } span.quiet-label { "done: " } (item.text) }
                                p { b { (confirmation.title) } " " (self.names.sentence(&text::ticked(by, *at, Medium::Plain))) }
                                button form="act" formaction=(action) { (confirmation.yes) }
                            }
                        } @else {
                            button.tick id=(format!("{}-tick-{index}", self.view.id)) form="act" formaction=(action) role="checkbox" aria-checked="false" { (item.text) }
                        }
                    } @else {
                        span.tick { span aria-hidden="true" { (if done { "✅" } else { "▫️" }) } span.quiet-label { (if done { "done: " } else { "to do: " }) } (item.text) }
                    }
                    @if let Some(ticked) = &item.ticked { span.quiet { (self.names.person(&ticked.by)) ", " (time(ticked.at)) } }
                }
            }
        };
        html! { ul.checklist { @for pair in items.iter().enumerate() { (row(pair)) } } }
    }
}

fn plan_lines(plan: &Plan, names: &Names) -> Markup {
    html! {
        p { (names.sentence(&text::verdict(plan, Medium::Plain))) " 🏷️ Version " b { (plan.version.from) } " → " b { (plan.version.to) } " in " (text::listed(&plan.version.files, "and")) "." }
    }
}

fn warning(title: &str, lines: &[String], names: &Names) -> Markup {
    html! { @if !lines.is_empty() { p.warning { (title) } ul { @for line in lines { li { (names.sentence(line)) } } } } }
}

fn dismissed_lines(dismissed: &[(u64, Vec<String>)]) -> Vec<String> {
    let line = |(number, who): &(u64, Vec<String>)| format!("#{number}: {}", who.join(", "));
    dismissed.iter().map(line).collect()
}
