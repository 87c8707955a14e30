//! The catalogue of sentences: every function of the text file with what it says, singular and plural, with and without what may be missing.
//! One snapshot to read through; a sentence that isn't in it fails the test below.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use regex::Regex;
use serde_json::Value;
use shipmate::bot::{answers, command, modals};
use shipmate::config::{Config, Frozen, Project};
use shipmate::deploy::begin::Wish;
use shipmate::deploy::decide::Refusal;
use shipmate::deploy::lock::{Lock, Obstacle, Turn};
use shipmate::deploy::merge_prs::Clash;
use shipmate::deploy::progress::{Check, CheckState, Progress};
use shipmate::deploy::stats::{Run, Stats};
use shipmate::deploy::text::{self, Fate, Medium, home};
use shipmate::deploy::train::{Car, Excluded, Plan, Reason, Shipped};
use shipmate::deploy::view::{
    CarState, Current, Decision, Passed, Question, QuestionKind, ReceiptLine, Stand, State, View,
};
use shipmate::deploy::{Item, Ticked, choice};
use shipmate::git::Proposal;
use shipmate::github::Issue;
use shipmate::saga::engine::TooLate;
use shipmate::saga::history::Decided;
use shipmate::saga::run::choice as engine;
use shipmate::saga::store::StoreError;
use shipmate::saga::{Actor, History, Record};
use shipmate::slack::Content;
use shipmate::slack::kit::Confirmation;

const SOURCE: &str = include_str!("../../src/deploy/text.rs");
const CONFIG: &str = include_str!("../../config/sandbox.toml");

/// What is said, under the name of the function that says it.
#[derive(Default)]
struct Catalogue {
    page: String,
    names: BTreeSet<String>,
}

impl Catalogue {
    fn topic(&mut self, topic: &str) {
        writeln!(self.page, "\n# {topic}").unwrap();
    }

    fn name(&mut self, name: &str) {
        assert!(self.names.insert(name.to_owned()), "{name} stands twice");
        writeln!(self.page, "\n{name}").unwrap();
    }

    /// A function that says one thing.
    fn says(&mut self, name: &str, said: impl Said) {
        self.name(name);
        self.line("", said);
    }

    /// A function that says this or that, depending.
    fn line(&mut self, when: &str, said: impl Said) {
        let times = Regex::new(r"<!date\^[^|]+\|([^>]+)>").unwrap();
        let said = said.words();
        let said = times.replace_all(&said, "$1").replace('\n', "\n      ");
        let when = if when.is_empty() {
            String::new()
        } else {
            format!("{when}: ")
        };
        writeln!(self.page, "  {when}{said}").unwrap();
    }
}

/// Whatever has words.
trait Said {
    fn words(self) -> String;
}

impl Said for String {
    fn words(self) -> String {
        self
    }
}

impl Said for &str {
    fn words(self) -> String {
        self.to_owned()
    }
}

impl Said for (&str, &str) {
    fn words(self) -> String {
        format!("{} {}", self.0, self.1)
    }
}

impl Said for Vec<String> {
    fn words(self) -> String {
        self.join("\n")
    }
}

impl<T: Said> Said for Option<T> {
    fn words(self) -> String {
        self.map_or_else(|| "(nothing)".to_owned(), Said::words)
    }
}

impl Said for Confirmation {
    fn words(self) -> String {
        format!("{} {} [{}] [{}]", self.title, self.text, self.yes, self.no)
    }
}

impl Said for Content {
    fn words(self) -> String {
        Value::Array(self.blocks).words()
    }
}

/// The words of blocks and dialogues, in reading order.
impl Said for Value {
    fn words(self) -> String {
        fn read(value: &Value, words: &mut Vec<String>) {
            match value {
                Value::Object(fields) => {
                    for (name, field) in fields {
                        match (name.as_str(), field) {
                            ("text" | "initial_value", Value::String(said)) => words.push(said.clone()),
                            ("initial_option" | "initial_options", _) => {}
                            (_, field) => read(field, words),
                        }
                    }
                }
                Value::Array(items) => items.iter().for_each(|item| read(item, words)),
                _ => {}
            }
        }
        let mut words = Vec::new();
        read(&self, &mut words);
        words.join("\n")
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|&word| word.to_owned()).collect()
}

/// 2026-11-24 10:00 UTC, and so many minutes later.
fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_514_400, 0).unwrap() + TimeDelta::minutes(minutes)
}

fn ana() -> Actor {
    Actor::Slack("U0ANA".to_owned())
}

fn ben() -> Actor {
    Actor::Slack("U0BEN".to_owned())
}

fn project() -> Project {
    Config::parse(CONFIG, "sandbox.toml").unwrap().projects.remove(0)
}

fn frozen_journal(name: &str) -> History {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deploy/journals/v1");
    let journal = std::fs::read_to_string(format!("{folder}/{name}.jsonl")).unwrap();
    let records = journal
        .lines()
        .map(|line| serde_json::from_str::<Record>(line).unwrap());
    records.collect()
}

/// A deployment that waits for approval, begun ten minutes before ten.
fn waiting() -> View {
    let mut view = View::of("web-1", &frozen_journal("at_approve"));
    view.started_at = at(-10);
    view.ended_at = None;
    view
}

fn plan() -> Plan {
    let view = waiting();
    match view.questions.into_iter().next().map(|question| question.kind) {
        Some(QuestionKind::Approve { plan, .. }) => *plan,
        other => panic!("{other:?}"),
    }
}

/// The same with one pull request.
fn short_plan() -> Plan {
    let mut plan = plan();
    plan.cars.truncate(1);
    plan.excluded.clear();
    plan
}

fn out(number: u64, title: &str, reason: Reason) -> Excluded {
    Excluded {
        number,
        title: title.to_owned(),
        author: "dan".to_owned(),
        url: format!("https://github.com/acme/web/pull/{number}"),
        reason,
    }
}

/// One for each reason.
fn everybody_out() -> Vec<Excluded> {
    let reasons = [
        Reason::Draft,
        Reason::NotApproved,
        Reason::ChangesRequested { by: words(&["eve"]) },
        Reason::RedChecks {
            names: words(&["lint", "test"]),
        },
        Reason::Conflict {
            files: words(&["src/login.rs", "src/logout.rs", "README.md"]),
            with: Some(7),
        },
        Reason::Conflict {
            files: words(&["src/login.rs"]),
            with: None,
        },
        Reason::BlockedLabel {
            label: "do-not-deploy".to_owned(),
        },
        Reason::AutoMerge,
        Reason::Stacked,
        Reason::ForkGone,
        Reason::NothingToMerge,
        Reason::HeadMoved,
        Reason::StackedOn { number: 7 },
        Reason::OtherBase {
            branch: "main".to_owned(),
        },
        Reason::NotOpen,
        Reason::LeftOut,
    ];
    let out = |(number, reason)| out(number, "Sign the <session> cookie", reason);
    (20..).zip(reasons).map(out).collect()
}

fn asked(kind: QuestionKind, choices: &[&str]) -> Question {
    Question {
        key: "confirm_pr_list".to_owned(),
        kind,
        choices: words(choices),
        since: at(0),
        deadline: Some(at(24 * 60)),
        remind_after_s: Some(1800),
        votes: Vec::new(),
    }
}

fn confirm() -> Question {
    let plan = Box::new(plan());
    asked(QuestionKind::ConfirmPrList { plan }, &[choice::CONFIRM, choice::EDIT])
}

fn approve(approvals: u64) -> Question {
    let kind = QuestionKind::Approve {
        plan: Box::new(plan()),
        digest: "0123456789ab".to_owned(),
        changes: Vec::new(),
        dismissed: Vec::new(),
        foreign: Vec::new(),
        approvals,
    };
    asked(kind, &[choice::APPROVE])
}

fn attention(step: Option<&str>, choices: &[&str]) -> Question {
    let kind = QuestionKind::Attention {
        step: step.map(str::to_owned),
        error: "GitHub answered 405: the base branch was modified.".to_owned(),
    };
    asked(kind, choices)
}

fn items() -> Vec<Item> {
    let item = |text: &str, ticked: Option<Ticked>| Item {
        text: text.to_owned(),
        ticked,
    };
    vec![
        item("Log in and out on the live site", Some(Ticked { by: ben(), at: at(5) })),
        item("Tell support what is new", None),
    ]
}

fn checklist() -> Question {
    Question {
        deadline: None,
        ..asked(QuestionKind::Checklist { items: items() }, &[choice::DONE])
    }
}

fn issues(count: u64) -> Question {
    let issue = |number| Issue {
        repo: "acme/web".to_owned().try_into().unwrap(),
        number,
        title: "The cookie is not signed".to_owned(),
        html_url: format!("https://github.com/acme/web/issues/{number}"),
        open: true,
        is_pull_request: false,
    };
    let kind = QuestionKind::Issues {
        issues: (50..50 + count).map(issue).collect(),
        comment: "Shipped in [v1.4.3](https://github.com/acme/web/releases/v1.4.3).".to_owned(),
    };
    asked(kind, &[choice::CLOSE_ISSUES, choice::COMMENT_ISSUES, choice::LEAVE])
}

fn unmerged(numbers: &[u64]) -> Question {
    let kind = QuestionKind::Unmerged {
        unmerged: numbers.to_vec(),
        deploy_pr: Some(41),
    };
    asked(kind, &[choice::PUT_BACK, choice::PUT_BACK_AND_CLOSE, choice::LEAVE])
}

fn all_merged() -> Question {
    let kind = QuestionKind::Unmerged {
        unmerged: Vec::new(),
        deploy_pr: Some(41),
    };
    asked(kind, &[choice::LEAVE, choice::CLOSE])
}

fn close_chosen() -> Decision {
    Decision {
        key: "stopped/unmerged".to_owned(),
        kind: all_merged().kind,
        choice: choice::CLOSE.to_owned(),
        by: ben(),
        at: at(5),
    }
}

/// Every kind of question, with what sets it apart.
fn questions() -> Vec<(&'static str, Question)> {
    let step = [engine::RETRY, engine::SKIP, engine::STOP];
    let patient = Question {
        deadline: None,
        remind_after_s: None,
        ..confirm()
    };
    let voted = Question {
        votes: vec![ben()],
        ..approve(2)
    };
    vec![
        ("the list", confirm()),
        ("the list, for ever", patient),
        ("approval", approve(1)),
        ("approval by two", voted),
        ("a failed merge", attention(Some("merge_pr/7"), &step)),
        ("a failed step", attention(Some("wait_for_release"), &step)),
        ("a failed deployment", attention(None, &[engine::RETRY, engine::UNDO])),
        ("the checklist", checklist()),
        ("an issue", issues(1)),
        ("issues", issues(2)),
        ("one left over", unmerged(&[7])),
        ("all merged", all_merged()),
    ]
}

fn check(name: &str, state: CheckState) -> Check {
    Check {
        name: name.to_owned(),
        state,
        url: None,
        optional: false,
    }
}

/// Everything that a running step may say.
fn progress() -> Vec<(&'static str, Progress)> {
    let checks = |count: usize| {
        let states = [
            CheckState::Failed,
            CheckState::Waiting,
            CheckState::Running,
            CheckState::Passed,
        ];
        let check = |(index, state)| check(&format!("check-{index}"), state);
        states
            .into_iter()
            .cycle()
            .take(count)
            .enumerate()
            .map(check)
            .collect::<Vec<_>>()
    };
    let approval = |reviewers: &[&str], against: &[&str]| Progress::Approval {
        reviewers: words(reviewers),
        changes_requested: words(against),
        deadline: at(60),
    };
    let run = |status: &str, attempt: u64, jobs: Vec<Check>| Progress::Run {
        url: "https://github.com/acme/web/actions/runs/1".to_owned(),
        status: status.to_owned(),
        attempt,
        jobs,
        deadline: at(60),
    };
    let deadline = at(60);
    vec![
        (
            "mergeability",
            Progress::Mergeability {
                number: 7,
                deadline: Some(at(5)),
            },
        ),
        (
            "mergeability, in an older journal",
            Progress::Mergeability {
                number: 7,
                deadline: None,
            },
        ),
        (
            "somebody else's commit",
            Progress::Foreign {
                tip: "8d1cdff6c8c2430559a94ada3293553389d1c8cf".parse().unwrap(),
                asked: 0,
            },
        ),
        (
            "no check yet",
            Progress::Checks {
                checks: vec![],
                deadline,
            },
        ),
        (
            "many checks",
            Progress::Checks {
                checks: checks(10),
                deadline,
            },
        ),
        (
            "an optional check",
            Progress::Checks {
                checks: vec![
                    check("build", CheckState::Passed),
                    Check {
                        optional: true,
                        ..check("codecov/patch", CheckState::Failed)
                    },
                ],
                deadline,
            },
        ),
        ("nobody asked", approval(&[], &[])),
        ("a reviewer", approval(&["dan"], &[])),
        ("reviewers", approval(&["dan", "eve"], &["eve"])),
        (
            "no run",
            Progress::NoRun {
                workflow: "deploy.yml".to_owned(),
                deadline,
            },
        ),
        ("a run", run("in_progress", 1, checks(4))),
        ("a run, again, held", run("waiting", 2, vec![])),
        (
            "the release",
            Progress::Release {
                tag: "v1.4.3".to_owned(),
                deadline,
            },
        ),
    ]
}

fn running(progress: Option<Progress>, key: &str, title: &'static str, retrying: Option<&str>) -> View {
    let mut view = waiting();
    view.state = State::Running;
    view.progress = progress;
    view.current = Some(Current {
        key: key.to_owned(),
        title,
        since: at(0),
        retrying: retrying.map(|error| (error.to_owned(), at(1))),
    });
    view
}

fn ended(state: State, merged: usize) -> View {
    let mut view = waiting();
    view.state = state;
    view.ended_at = Some(at(12));
    let car = |car: &Car| shipmate::deploy::train::Merged {
        car: car.clone(),
        commit: car.head.clone(),
    };
    view.shipped = Some(Shipped {
        merged: plan().cars.iter().take(merged).map(car).collect(),
        skipped: Vec::new(),
        tip: String::new(),
        as_rehearsed: Some(true),
    });
    view
}

fn undone(why: Option<&str>, left: usize) -> View {
    let mut view = ended(State::Undone, 0);
    view.undone_because = why.map(str::to_owned);
    let line = |index: usize| ReceiptLine {
        ok: index >= left,
        text: format!("#{index} is back on staging"),
    };
    view.receipt = (0..3).map(line).collect();
    view
}

fn aborted(why: Option<&str>) -> View {
    View {
        aborted_by: Some(ana()),
        ..undone(why, 0)
    }
}

fn chosen(choice: &str) -> Decision {
    Decision {
        key: "attention/merge_pr/7/1".to_owned(),
        kind: attention(Some("merge_pr/7"), &[]).kind,
        choice: choice.to_owned(),
        by: ben(),
        at: at(5),
    }
}

fn undone_on_choice() -> View {
    View {
        decisions: vec![chosen(engine::UNDO)],
        ..undone(Some("the branch was pushed to"), 0)
    }
}

fn stopped() -> View {
    let mut view = ended(State::Stopped, 1);
    view.cars[0].state = CarState::Merged;
    view.decisions = vec![chosen(engine::STOP)];
    view
}

#[test]
fn every_sentence_reads_so() {
    let mut catalogue = Catalogue::default();
    words_and_places(&mut catalogue);
    what_runs(&mut catalogue);
    what_is_asked(&mut catalogue);
    the_plan(&mut catalogue);
    the_release(&mut catalogue);
    refusals(&mut catalogue);
    answers_to_commands(&mut catalogue);
    locks_and_queue(&mut catalogue);
    asking_again(&mut catalogue);
    undoing(&mut catalogue);
    the_home(&mut catalogue);
    dialogues(&mut catalogue);

    let function = Regex::new(r"(?m)^ *pub (?:const )?(?:fn|const) (\w+)").unwrap();
    let spoken: BTreeSet<String> = function
        .captures_iter(SOURCE)
        .map(|found| found[1].to_owned())
        .collect();
    let missing: Vec<_> = spoken.difference(&catalogue.names).collect();
    assert!(missing.is_empty(), "say these in the catalogue: {missing:?}");
    insta::assert_snapshot!("catalogue", catalogue.page);
}

fn words_and_places(catalogue: &mut Catalogue) {
    catalogue.topic("Words, numbers, people");
    for (name, of) in [
        ("quote", Medium::quote as fn(Medium, &str) -> String),
        ("bold", |medium, text| medium.bold(text)),
        ("link", |medium, text| {
            medium.link("https://github.com/acme", &medium.quote(text))
        }),
    ] {
        catalogue.name(name);
        catalogue.line("Slack", of(Medium::Slack, "a <b> & *c*"));
        catalogue.line("plain", of(Medium::Plain, "a <b> & *c*"));
    }
    catalogue.name("time");
    catalogue.line("", Medium::Plain.time(at(0)));
    catalogue.name("person");
    for actor in [
        ana(),
        Actor::Local("cli:ana".to_owned()),
        Actor::Deadline,
        Actor::Shipmate,
    ] {
        catalogue.line("Slack", Medium::Slack.person(&actor));
        catalogue.line("plain", Medium::Plain.person(&actor));
    }
    catalogue.name("holders");
    for who in [
        words(&[]),
        words(&["*"]),
        words(&["U0ANA"]),
        words(&["S0DEPLOYERS", "U0BEN", "cli:ana"]),
    ] {
        catalogue.line("Slack", Medium::Slack.holders(&who));
        catalogue.line("plain", Medium::Plain.holders(&who));
    }
    catalogue.name("listed");
    for items in [words(&["a"]), words(&["a", "b"]), words(&["a", "b", "c"])] {
        catalogue.line("", text::listed(&items, "and"));
    }
    catalogue.says(
        "counted",
        [0, 1, 2].map(|count| text::counted(count, "pull request")).to_vec(),
    );
    catalogue.name("lasting");
    for seconds in [0, 59, 61, 600, 3600, 86_400, 180_000] {
        catalogue.line("", text::lasting(Duration::from_secs(seconds)));
    }
    catalogue.says("between", text::between(at(0), at(90)));
    catalogue.says("of_all", text::of_all(Duration::from_secs(3725)));
    catalogue.says("SLACK_NOT_READY", text::SLACK_NOT_READY);
    catalogue.says(
        "store_not_ready",
        text::store_not_ready("nothing was written within 5 s"),
    );
    catalogue.name("more");
    catalogue.line("", text::more(3, ""));
    catalogue.line("", text::more(3, "in the thread"));
    catalogue.says("capitalised", text::capitalised("émile began."));
    catalogue.says("private", text::private("To one person alone."));
}

fn what_runs(catalogue: &mut Catalogue) {
    catalogue.topic("What runs");
    catalogue.name("state");
    for state in [
        State::Running,
        State::Waiting,
        State::NeedsAttention,
        State::Undoing,
        State::Completed,
        State::Undone,
        State::Stopped,
    ] {
        catalogue.line("", text::state(state));
    }
    catalogue.name("stand");
    for stand in [
        Stand::Pending,
        Stand::Running,
        Stand::Waiting,
        Stand::Retrying,
        Stand::Failed,
        Stand::Done,
        Stand::Skipped,
        Stand::Undone,
        Stand::Stopped,
    ] {
        catalogue.line("", text::stand(stand));
    }
    catalogue.name("car_state");
    for state in [
        CarState::Planned,
        CarState::Retargeted,
        CarState::Merging,
        CarState::Merged,
        CarState::Skipped,
        CarState::Failed,
        CarState::PutBack,
    ] {
        catalogue.line("", text::car_state(state));
    }
    catalogue.name("check_state");
    for state in [
        CheckState::Failed,
        CheckState::Waiting,
        CheckState::Running,
        CheckState::Passed,
    ] {
        catalogue.line("", text::check_state(state));
    }
    catalogue.name("facts");
    catalogue.line("", text::facts(&waiting()));
    catalogue.line("ended", text::facts(&ended(State::Completed, 2)));
    catalogue.name("receipt_line");
    for line in &undone(None, 1).receipt[..2] {
        catalogue.line("", text::receipt_line(line, Medium::Slack));
    }
    catalogue.says("since", text::since(at(0), Medium::Plain));
    catalogue.name("title");
    catalogue.line("", text::title(&waiting()));
    let nameless = View {
        version: None,
        ..waiting()
    };
    catalogue.line("before it is planned", text::title(&nameless));
    catalogue.name("now");
    for medium in [Medium::Slack, Medium::Plain] {
        for (when, said) in progress() {
            let view = running(Some(said), "wait_for_ci", "waiting for the checks", None);
            catalogue.line(&format!("{medium:?}, {when}"), text::now(&view, at(0), medium));
        }
    }
    let failing = Some("GitHub answered 502.");
    for (when, view) in [
        (
            "a step",
            running(None, "create_workspace", "making a fresh workspace", None),
        ),
        (
            "a pull request",
            running(None, "merge_pr/7", "merging the pull requests", None),
        ),
        (
            "a pull request goes back",
            running(None, "merge_pr/7/put_back", "merging the pull requests", None),
        ),
        (
            "between steps",
            View {
                current: None,
                ..running(None, "", "", None)
            },
        ),
        (
            "tries again",
            running(None, "merge_pr/7", "merging the pull requests", failing),
        ),
        ("undoing", ended(State::Undoing, 0)),
        ("completed with one", ended(State::Completed, 1)),
        ("completed", ended(State::Completed, 2)),
        ("undone", undone(Some("aborted by somebody: wrong version."), 0)),
        ("undone, nobody knows why", undone(None, 0)),
        (
            "undone after a failure",
            undone(Some("merge_pr/7 failed: GitHub answered 405."), 0),
        ),
        (
            "nothing to ship",
            undone(Some(&text::nothing_to_ship(&project(), &[])), 0),
        ),
        ("undone by somebody", aborted(Some("aborted: wrong version."))),
        ("undone by somebody without a word", aborted(Some("aborted"))),
        ("undone on somebody's choice", undone_on_choice()),
        ("undone but for one", undone(Some("the checks failed"), 1)),
        ("undone but for two", undone(Some("the checks failed"), 2)),
        ("stopped", ended(State::Stopped, 1)),
        ("stopped by somebody", stopped()),
    ] {
        catalogue.line(when, text::now(&view, at(0), Medium::Slack));
    }
}

fn what_is_asked(catalogue: &mut Catalogue) {
    catalogue.topic("What is asked");
    let view = waiting();
    catalogue.name("headline");
    for (when, question) in questions() {
        catalogue.line(when, text::headline(&view, &question.kind));
    }
    catalogue.name("wait");
    for (when, question) in questions() {
        catalogue.line(when, text::wait(&view, &question, at(0), Medium::Slack));
    }
    for (when, holders) in [
        ("approval, of the starter alone", words(&["U0ANA"])),
        ("approval, of another", words(&["U0ANA", "U0BEN"])),
        ("approval, of a group", words(&["S0DEPLOYERS"])),
    ] {
        let mut view = waiting();
        view.started_by = ana();
        view.permissions.two_person = true;
        view.permissions.approve = holders;
        catalogue.line(when, text::wait(&view, &approve(1), at(0), Medium::Slack));
    }
    catalogue.name("choices_explained");
    for index in [4, 5, 6] {
        let (when, question) = &questions()[index];
        catalogue.line(when, text::choices_explained(question, Medium::Slack));
    }
    catalogue.name("failed_checks");
    let checks = progress().into_iter().find(|(when, _)| *when == "many checks");
    let red = running(checks.map(|(_, said)| said), "wait_for_ci", "waiting", None);
    catalogue.line("two", text::failed_checks(&red, Some("wait_for_ci"), Medium::Slack));
    catalogue.line(
        "of another step",
        text::failed_checks(&red, Some("merge_pr/7"), Medium::Slack),
    );
    catalogue.says("IN_THE_THREAD", text::IN_THE_THREAD);
    let (_, failed) = &questions()[5];
    catalogue.says("to_choose", text::to_choose(&view, failed, at(0)));
    let run = "https://github.com/acme/web/actions/runs/1";
    let ran = View {
        run_url: Some(run.to_owned()),
        ..waiting()
    };
    catalogue.name("explained");
    for (when, medium) in [("Slack", Medium::Slack), ("plain", Medium::Plain)] {
        for error in [
            format!("job a:b failed, see {run}/job/1."),
            "see https://evil.example".to_owned(),
        ] {
            catalogue.line(when, text::explained(&ran, &error, medium));
        }
    }
    catalogue.says("reminder", text::reminder(&view, &checklist(), at(30)));
    catalogue.name("clash");
    let files = |count: usize| Clash::Conflict((1..=count).map(|number| format!("src/{number}.js")).collect());
    for clash in [files(1), files(3), files(5), Clash::Version("1.5.0".to_owned())] {
        catalogue.line("", text::clash("staging", &clash));
    }
    catalogue.name("expires_soon");
    let soon = |question: &Question, whom: &str| text::expires_soon(question, at(60), whom).unwrap_or_default();
    catalogue.line("", soon(&confirm(), "<@U0ANA>"));
    catalogue.line("", soon(&approve(1), "<!subteam^S0DEPLOYERS>"));
    catalogue.line("", soon(&issues(2), "<@U0ANA>"));
    let choices = [
        choice::CONFIRM,
        choice::EDIT,
        choice::APPROVE,
        choice::ASK_AGAIN,
        choice::DROP,
        engine::RETRY,
        engine::SKIP,
        engine::STOP,
        engine::UNDO,
        choice::CLOSE_ISSUES,
        choice::COMMENT_ISSUES,
        choice::PUT_BACK,
        choice::PUT_BACK_AND_CLOSE,
        choice::CLOSE,
        choice::LEAVE,
    ];
    catalogue.says(
        "choice_label",
        choices.map(text::choice_label).map(str::to_owned).to_vec(),
    );
    catalogue.name("skip_label");
    catalogue.line("a pull request", text::skip_label(Some("merge_pr/7")));
    catalogue.line("a step", text::skip_label(Some("wait_for_release")));
    catalogue.says("offered", text::offered(engine::SKIP, None));
    catalogue.name("confirmation");
    for choice in choices {
        if let Some(ask) = text::confirmation(choice) {
            catalogue.line(choice, ask);
        }
    }
    catalogue.name("deploy_pr");
    let deploy_pr = View::of("web-1", &frozen_journal("at_the_checklist"));
    catalogue.line("merged", text::deploy_pr(&deploy_pr));
    let open = View {
        deploy_pr_merged: false,
        ..deploy_pr
    };
    catalogue.line("open", text::deploy_pr(&open));
    catalogue.line("none", text::deploy_pr(&view));
    catalogue.says("ABORT", text::ABORT);
    catalogue.says("untick", text::untick(&ben(), at(5)));
    catalogue.says("ticked", text::ticked(&ben(), at(5), Medium::Plain));
    catalogue.name("decided");
    for choice in choices.iter().chain(&[choice::EXPIRE, choice::DONE]) {
        for by in [ben(), Actor::Shipmate] {
            if by == ben() || *choice == choice::LEAVE {
                let decision = Decision {
                    key: "approve".to_owned(),
                    kind: confirm().kind,
                    choice: (*choice).to_owned(),
                    by,
                    at: at(5),
                };
                catalogue.line(choice, text::decided(&decision, Medium::Slack));
            }
        }
    }
    catalogue.says("LAPSED", text::LAPSED);
    catalogue.says("plan_changed", text::plan_changed(Medium::Slack));
    catalogue.says(
        "foreign_commits",
        text::foreign_commits("deploy-20261124", Medium::Slack),
    );
    catalogue.says("dismissed", text::dismissed(Medium::Slack));
    catalogue.name("from_here_on");
    for medium in [Medium::Slack, Medium::Plain] {
        catalogue.line(&format!("{medium:?}"), text::from_here_on("0123456789ab", medium));
    }
    catalogue.says(
        "would_be_told",
        text::would_be_told("Shipped in [v1.4.3](https://github.com/acme/web).", Medium::Slack),
    );
    catalogue.name("unmerged");
    for (numbers, deploy_pr) in [(&[][..], None), (&[7][..], Some(41)), (&[7, 9][..], None)] {
        catalogue.line("", text::unmerged(&view, numbers, deploy_pr, Medium::Slack));
    }
    catalogue.name("on_the_branch_only");
    let merged = View {
        deploy_pr_merged: false,
        ..View::of("web-1", &frozen_journal("at_the_checklist"))
    };
    catalogue.line("a deploy PR", text::on_the_branch_only(&merged, Medium::Slack));
    let closed = View {
        decisions: vec![close_chosen()],
        ..merged.clone()
    };
    catalogue.line("a closed one", text::on_the_branch_only(&closed, Medium::Slack));
    let none = View {
        deploy_pr: None,
        ..merged
    };
    catalogue.line("none", text::on_the_branch_only(&none, Medium::Plain));
    catalogue.line("nothing merged", text::on_the_branch_only(&view, Medium::Slack));
    catalogue.says("item", items().iter().map(text::item).collect::<Vec<_>>());
}

fn the_plan(catalogue: &mut Catalogue) {
    catalogue.topic("The plan");
    let plan = plan();
    catalogue.says("car", text::car(&plan.cars[0], Medium::Slack));
    catalogue.name("on_the_train");
    catalogue.line("", text::on_the_train(0, 4, 4));
    catalogue.line("", text::on_the_train(10, 10, 23));
    catalogue.name("left_out");
    catalogue.line("", text::left_out(1));
    catalogue.line("", text::left_out(2));
    catalogue.name("excluded");
    for out in everybody_out() {
        catalogue.line("", text::excluded(&out, Medium::Slack));
    }
    let unknown = Excluded {
        url: String::new(),
        ..out(99, "", Reason::NotOpen)
    };
    catalogue.line("", text::excluded(&unknown, Medium::Slack));
    catalogue.name("verdict");
    catalogue.line("one", text::verdict(&short_plan(), Medium::Slack));
    catalogue.line("more", text::verdict(&plan, Medium::Slack));
    let conflicting = Plan {
        excluded: everybody_out(),
        note: Some(text::proposal(&Proposal::Without { number: 7 })),
        ..plan.clone()
    };
    catalogue.line("conflicts", text::verdict(&conflicting, Medium::Slack));
    catalogue.says("version", text::version(&plan));
    catalogue.name("proposal");
    catalogue.line("", text::proposal(&Proposal::Order { cars: vec![9, 7] }));
    catalogue.line("", text::proposal(&Proposal::Without { number: 7 }));
    catalogue.says("merge_queue", text::merge_queue("main"));
    catalogue.name("optional_red");
    let red = |number: u64, names: &[&str]| (number, words(names));
    let several = [red(7, &["codecov/patch"]), red(8, &[]), red(9, &["a11y", "e2e"])];
    for (what, of) in [
        ("none", &several[1..2]),
        ("one", &several[..1]),
        ("several", &several[..]),
    ] {
        catalogue.line(what, text::optional_red(of));
    }
    catalogue.name("skips_ci");
    let mut silent = plan.clone();
    silent.cars[0].title += " [skip ci]";
    catalogue.line("one", text::skips_ci(&silent));
    silent.cars[1].title += " [ci skip]";
    catalogue.line("two", text::skips_ci(&silent));
    catalogue.line("none", text::skips_ci(&plan));
    catalogue.says("NOT_AS_REHEARSED", text::NOT_AS_REHEARSED);
    catalogue.name("nothing_to_ship");
    catalogue.line("", text::nothing_to_ship(&project(), &[]));
    catalogue.line("", text::nothing_to_ship(&project(), &everybody_out()[..3]));
    catalogue.says(
        "expired",
        text::expired("confirmed the list", Duration::from_secs(86_400)),
    );
    catalogue.says("dry_run", text::dry_run(&project()));
    catalogue.says("planning", text::planning());
    catalogue.name("plan_failed");
    catalogue.line("", text::plan_failed("git could not clone acme/web: no space is left"));
    catalogue.line(
        "nothing to ship",
        text::plan_failed(&text::nothing_to_ship(&project(), &[])),
    );
}

fn the_release(catalogue: &mut Catalogue) {
    catalogue.topic("The release");
    let project = project();
    let url = Some("https://github.com/acme/web/actions/runs/1");
    catalogue.name("deploy_link");
    catalogue.line("", text::deploy_link(&project, "1.4.3", "deploy.yml", url));
    catalogue.line("no run", text::deploy_link(&project, "1.4.3", "deploy.yml", None));
    let notes = "## What's new\n\n- Sign the `cookie` ([#7](https://github.com/acme/web/pull/7)) by @ana\n- a\\_b & c";
    catalogue.name("release_notes");
    catalogue.line("", text::release_notes(&project, "1.4.3", notes, url));
    catalogue.line("none yet", text::release_notes(&project, "1.4.3", "", None));
    let later = text::preliminary(text::release_notes(&project, "1.4.3", "", None));
    catalogue.says("preliminary", later);
    catalogue.says("no_notes", text::no_notes());
    catalogue.name("fate");
    for fate in [
        Fate::Planned,
        Fate::LeftOut,
        Fate::Dropped,
        Fate::Skipped,
        Fate::Shipped,
    ] {
        catalogue.line("", text::fate(fate, &waiting()));
    }
}

fn refusals(catalogue: &mut Catalogue) {
    catalogue.topic("Refusals");
    let may_not = || Refusal::MayNot {
        what: "start a deployment",
        setting: "start",
        holders: words(&["S0DEPLOYERS"]),
    };
    let decided = Decided {
        choice: choice::APPROVE.to_owned(),
        by: ben(),
        at: at(5),
        payload: Value::Null,
    };
    catalogue.name("refusal");
    for (when, why) in [
        ("stale", Refusal::Stale),
        ("no project", Refusal::ProjectGone("web".to_owned())),
        ("may not", may_not()),
        (
            "not told",
            Refusal::NotTold {
                what: "approve",
                groups: words(&["S0DEPLOYERS"]),
            },
        ),
        ("two people", Refusal::TwoPeople(waiting().permissions)),
        ("another plan", Refusal::AnotherPlan),
        ("decided", Refusal::Decided(decided)),
        ("past the point", Refusal::TooLate(TooLate::PastPivot)),
        ("undoing", Refusal::TooLate(TooLate::Unwinding)),
        ("ended", Refusal::TooLate(TooLate::Finished)),
        (
            "store",
            Refusal::Failed(StoreError::Damaged("the journal of web-1 can't be read".to_owned())),
        ),
    ] {
        catalogue.line(&format!("Slack, {when}"), text::refusal(&why, Medium::Slack));
        catalogue.line(&format!("plain, {when}"), text::refusal(&why, Medium::Plain));
    }
    catalogue.name("refused");
    catalogue.line("calm", text::refused(&Refusal::Stale));
    catalogue.line("firm", text::refused(&may_not()));
    catalogue.says("stale_button", text::stale_button());
    catalogue.says("modal_failed", text::modal_failed());
    catalogue.says("RESTARTING", text::RESTARTING);
    catalogue.says("draining", text::draining());
    let mut projects = vec![project(), project()];
    catalogue.name("wrong_channel");
    catalogue.line("", text::wrong_channel(&projects[..1]));
    projects[1].name = "api".to_owned();
    catalogue.line("", text::wrong_channel(&projects));
}

fn answers_to_commands(catalogue: &mut Catalogue) {
    catalogue.topic("Answers to commands");
    let project = project();
    catalogue.name("already_running");
    catalogue.line("", text::already_running("web-1", Some(&waiting()), at(0)));
    catalogue.line("unread", text::already_running("web-1", None, at(0)));
    catalogue.says("nothing_runs", text::nothing_runs(&project));
    catalogue.name("last_one");
    catalogue.line("", text::last_one(&ended(State::Completed, 2)));
    catalogue.line("", text::last_one(&undone(None, 0)));
    catalogue.says("nothing_to_retry", text::nothing_to_retry());
    catalogue.says("unknown_deployment", text::unknown_deployment("web-<99>"));
    catalogue.says("RIGHTS", words(&text::RIGHTS));
    catalogue.name("whoami");
    catalogue.line(
        "",
        text::whoami("U0ANA", Some("ana"), &words(&["start and confirm", "approve"])),
    );
    catalogue.line("", text::whoami("U0ANA", None, &[]));
    catalogue.name("stats");
    catalogue.line("none", text::stats(&project, &Stats::of(&[], at(0))));
    let history = frozen_journal("at_the_checklist");
    let run = Run::of(&View::of("web-1", &history), &history);
    catalogue.line(
        "one",
        text::stats(&project, &Stats::of(std::slice::from_ref(&run), run.started_at)),
    );
    catalogue.says("NO_DEPLOYMENT", text::NO_DEPLOYMENT);
    catalogue.name("history");
    catalogue.line("none", text::history(&[]));
    let unplanned = View {
        version: None,
        ..undone(None, 0)
    };
    catalogue.line("some", text::history(&[ended(State::Completed, 2), unplanned]));
    let words: Vec<_> = command::WORDS
        .iter()
        .map(|word| (word.word, word.arguments, word.help))
        .collect();
    catalogue.name("help");
    catalogue.line("", text::help(&words));
    catalogue.name("complaint");
    for typed in [
        "status now",
        "show",
        "lock",
        "lock x for 2parsecs",
        "lock x for two hours",
        "lock x until 18:00",
        "lock x 2h",
        "queue all",
        "start 1.x",
        "start --force",
        "start --only",
        "start --only #x",
        "start --override",
        "start patch minor",
    ] {
        let complaint = command::parse(typed).unwrap_err();
        catalogue.line(typed, text::complaint(&complaint));
    }
    catalogue.name("unknown_word");
    for typed in ["strat", "rm -rf"] {
        let complaint = command::parse(typed).unwrap_err();
        catalogue.line(typed, text::unknown_word(&complaint, text::help(&words[..1])));
    }
    catalogue.name("another project");
    catalogue.line("unknown", text::typed::another_project("pathc", "web", None));
    catalogue.line("elsewhere", text::typed::another_project("api", "web", Some("C0API")));
}

fn lock(until: Option<DateTime<Utc>>) -> Lock {
    Lock {
        by: ana(),
        reason: "database migration.".to_owned(),
        at: at(0),
        until,
    }
}

/// A lock and a freeze.
fn in_the_way() -> Vec<Obstacle> {
    vec![
        Obstacle::Locked(lock(Some(at(120)))),
        Obstacle::Frozen(Frozen {
            reason: "Weekend".to_owned(),
            until: Some(at(60)),
        }),
    ]
}

fn locks_and_queue(catalogue: &mut Catalogue) {
    catalogue.topic("Locks and the queue");
    let mut project = project();
    catalogue.name("obstacle");
    for obstacle in in_the_way() {
        catalogue.line("", text::obstacle(&obstacle, Medium::Slack));
        catalogue.line("plain", text::obstacle(&obstacle, Medium::Plain));
    }
    catalogue.line("", text::obstacle(&Obstacle::Locked(lock(None)), Medium::Slack));
    let endless = Frozen {
        reason: "Audit".to_owned(),
        until: None,
    };
    catalogue.line("", text::obstacle(&Obstacle::Frozen(endless), Medium::Slack));
    catalogue.name("obstacles");
    catalogue.line("", text::obstacles(&in_the_way(), Medium::Slack));
    catalogue.line("none", text::obstacles(&[], Medium::Slack));
    let passing = Passed {
        reason: "hotfix for the login".to_owned(),
        obstacles: in_the_way(),
    };
    catalogue.says("passed", text::passed(&waiting(), &passing, Medium::Slack));
    catalogue.name("blocked");
    catalogue.line("", text::blocked(&project, &in_the_way()));
    project.permissions.r#override.clear();
    catalogue.line("nobody may", text::blocked(&project, &in_the_way()[..1]));
    catalogue.says("NOT_LOCKED", text::NOT_LOCKED);
    catalogue.name("locked");
    for turn in [Turn::Held(lock(None)), Turn::Free, Turn::Done(lock(None)), Turn::Seen] {
        catalogue.line("", text::locked(&turn));
    }
    catalogue.says("now_locked", text::now_locked(&project, &lock(Some(at(120)))));
    catalogue.says("now_unlocked", text::now_unlocked(&project, &lock(None), &ben()));
    catalogue.name("queued");
    catalogue.line("", text::queued(1));
    catalogue.line("", text::queued(2));
    catalogue.says("queue_full", text::queue_full(5));
    catalogue.name("queue");
    catalogue.line("", text::queue(&[]));
    catalogue.line("", text::queue(&[(ana(), at(0)), (ben(), at(3))]));
    catalogue.name("in_the_queue");
    catalogue.line("", text::in_the_queue(1));
    catalogue.line("", text::in_the_queue(2));
    catalogue.name("left_queue");
    catalogue.line("", text::left_queue(true));
    catalogue.line("", text::left_queue(false));
    let why = text::obstacles(&in_the_way()[..1], Medium::Slack).unwrap();
    catalogue.says("not_started_from_queue", text::not_started_from_queue(&ana(), &why));
    catalogue.says("started_from_queue", text::started_from_queue(&waiting(), at(-60)));
}

fn asking_again(catalogue: &mut Catalogue) {
    catalogue.topic("Asking again");
    let view = waiting();
    let wait = text::now(
        &running(progress().pop().map(|(_, said)| said), "", "", None),
        at(0),
        Medium::Slack,
    );
    catalogue.name("nudged");
    catalogue.line("not named yet", text::nudged(&ben(), "<!subteam^S0DEPLOYERS>", &wait));
    let wait = text::wait(&view, &confirm(), at(0), Medium::Slack);
    catalogue.line("named already", text::nudged(&ben(), "<!subteam^S0DEPLOYERS>", &wait));
    catalogue.name("not_nudged");
    catalogue.line("", text::not_nudged(Some(at(10))));
    catalogue.line("", text::not_nudged(None));
}

fn undoing(catalogue: &mut Catalogue) {
    catalogue.topic("Undoing");
    let mut view = waiting();
    catalogue.name("undoes");
    catalogue.line("all", text::undoes(&view, Medium::Slack));
    view.cars.truncate(1);
    catalogue.line("one", text::undoes(&view, Medium::Slack));
    view.cars.clear();
    view.branch = None;
    catalogue.line("hardly anything", text::undoes(&view, Medium::Slack));
    catalogue.says("WOULD_UNDO", text::WOULD_UNDO);
    catalogue.says(
        "undone_by",
        text::undone_by(text::WOULD_UNDO, &waiting(), Medium::Plain),
    );
    catalogue.says("undoing", text::undoing(&waiting()));
    catalogue.says("RECEIPT", text::RECEIPT);
}

fn the_home(catalogue: &mut Catalogue) {
    catalogue.topic("The Home");
    for (name, said) in [
        ("WAITS", home::WAITS),
        ("NOTHING_WAITS", home::NOTHING_WAITS),
        ("IN_FLIGHT", home::IN_FLIGHT),
        ("NONE_IN_FLIGHT", home::NONE_IN_FLIGHT),
        ("NO_LOGIN", home::NO_LOGIN),
        ("RUNS", home::RUNS),
        ("NOTHING_RUNS", home::NOTHING_RUNS),
        ("MENTIONED", home::MENTIONED),
        ("MUTED", home::MUTED),
    ] {
        catalogue.says(name, said);
    }
}

/// What stands in dialogues and on buttons, as it is drawn.
fn dialogues(catalogue: &mut Catalogue) {
    catalogue.topic("Dialogues and answers with buttons, as drawn");
    let project = project();
    let context = modals::Context {
        deployment: "web-1".to_owned(),
        key: String::new(),
    };
    let plan = plan();
    let wish = Wish::default();
    for (name, drawn) in [
        ("to start", modals::start(&project, &wish, None, &[])),
        (
            "to start anyway",
            modals::start(&project, &wish, Some(&plan), &in_the_way()),
        ),
        ("to edit", modals::edit(&context, &plan)),
        ("to abort", modals::abort(&waiting())),
    ] {
        catalogue.says(name, drawn);
    }
    let yes = answers::MayOverride::Yes;
    for (name, answer) in [
        ("nothing runs", answers::nothing_runs(&project, None, &[], 2, yes)),
        ("blocked", answers::blocked(&project, &in_the_way(), &wish, yes)),
        ("occupied", answers::occupied("web-1", Some(&waiting()), &wish, at(0))),
        (
            "an abort",
            answers::would_undo(&waiting(), Some("wrong day".to_owned())),
        ),
        ("a dry run", answers::dry_run(&project, &plan, &[], &wish, yes)),
    ] {
        catalogue.says(&format!("{name}, with buttons"), answer);
    }
    catalogue.name("what a dialogue complains about");
    let typed = |fields: &[(&str, &str)]| {
        fields
            .iter()
            .map(|(name, typed)| ((*name).to_owned(), words(&[typed])))
            .collect()
    };
    for fields in [
        typed(&[("bump", "explicit"), ("version", "later")]),
        typed(&[("bump", "explicit"), ("version", "patch")]),
        typed(&[("bump", "explicit")]),
        typed(&[("bump", "patch"), ("version", "1.5.0")]),
        typed(&[("only", "seven")]),
    ] {
        catalogue.line("start", modals::wished(&fields).unwrap_err().1);
    }
    for fields in [typed(&[]), typed(&[("include_0", "7"), ("order", "seven")])] {
        catalogue.line("edit", modals::edited(&fields).unwrap_err().1);
    }
}
