//! Whatever people write and however many pull requests there are, what comes out is what Slack takes.

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::deploy::begin::Wish;
use crate::deploy::progress::CheckState;
use crate::deploy::train::{Car, Excluded, Reason, VersionPlan};
use crate::deploy::version::Bump;
use crate::deploy::write_request;
use crate::github::MergeMethod;
use crate::saga::{Actor, Effect, Event, History, Outcome};

const CONFIG: &str = include_str!("../../../config/sandbox.toml");

fn begun(key: &str, kind: &str, effect: Effect) -> Event {
    Event::StepStarted {
        key: key.to_owned(),
        kind: kind.to_owned(),
        effect,
        input: Value::Null,
        attempt: 1,
    }
}

fn started(checklist: Vec<String>) -> Event {
    let mut project = Config::parse(CONFIG, "sandbox.toml").unwrap().projects.remove(0);
    project.checklist = checklist;
    let request = Wish::default().of(&project, Vec::new());
    Event::SagaStarted {
        workflow_version: 1,
        project: "web".to_owned(),
        by: Actor::Slack("U0ANA".to_owned()),
        input: write_request(&request).unwrap(),
    }
}

fn plan(titles: &[String], excluded: usize) -> Plan {
    let car = |(index, title): (usize, &String)| Car {
        number: index as u64 + 1,
        title: title.clone(),
        author: title.chars().rev().take(39).collect(),
        url: format!("https://github.com/acme/web/pull/{index}"),
        head: format!("{index:040x}").parse().unwrap(),
        head_branch: title.clone(),
        base: "staging".to_owned(),
        approvals: Vec::new(),
        issues: Vec::new(),
        opened_at: None,
    };
    let out = |index: usize| Excluded {
        number: 1000 + index as u64,
        title: titles.get(index % titles.len().max(1)).cloned().unwrap_or_default(),
        author: "eve".to_owned(),
        url: "https://github.com/acme/web/pull/9".to_owned(),
        reason: Reason::RedChecks { names: titles.to_vec() },
    };
    Plan {
        branch: "deploy-20261124".to_owned(),
        branch_tip: "a".repeat(40),
        base: "staging".to_owned(),
        base_tip: "a".repeat(40),
        cars: titles.iter().enumerate().map(car).collect(),
        excluded: (0..excluded).map(out).collect(),
        version: VersionPlan {
            from: "1.4.2".to_owned(),
            to: "1.4.3".to_owned(),
            files: titles.to_vec(),
        },
        method: MergeMethod::Merge,
        tree: "b".repeat(40),
        note: titles.first().cloned(),
    }
}

fn opened(key: &str, data: Value, choices: &[&str]) -> Event {
    Event::CheckpointOpened {
        key: key.to_owned(),
        data,
        choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
        deadline: Some(DateTime::UNIX_EPOCH),
        on_expiry: Some("expire".to_owned()),
        remind_after_s: Some(60),
    }
}

fn decided(key: &str, choice: &str) -> Event {
    Event::CheckpointDecided {
        key: key.to_owned(),
        choice: choice.to_owned(),
        by: Actor::Slack("U0BEN".to_owned()),
        payload: Value::Null,
    }
}

/// Every kind of message over one set of texts.
fn everything(texts: &[String], excluded: usize) -> Vec<Content> {
    let plan = plan(texts, excluded);
    let approve = json!({ "plan": plan, "digest": plan.digest(), "changes": texts, "dismissed": [[1, texts]], "foreign": texts, "approvals": 2 });
    let failed = texts.join(" ");
    let failing = |key: &str| {
        [
            begun(key, "merge_pr", Effect::Pivot),
            Event::StepFailed {
                key: key.to_owned(),
                error: failed.clone(),
                retry_at: None,
                requests: Vec::new(),
            },
        ]
    };
    let mut events = vec![
        started(texts.to_vec()),
        opened(
            "confirm_pr_list",
            json!({ "plan": plan }),
            &["confirm", "edit", "expire"],
        ),
    ];
    let mut stories = vec![events.clone()];
    events.extend([
        decided("confirm_pr_list", "confirm"),
        opened(
            "approve_point_of_no_return/1",
            approve,
            &["approve", "ask_again", "drop"],
        ),
    ]);
    stories.push(events.clone());
    let mut stopped = events.clone();
    stopped.push(decided("approve_point_of_no_return/1", "approve"));
    stopped.extend(failing("merge_pr/1"));
    stopped.push(opened(
        "attention/merge_pr/1/1",
        json!({ "step": "merge_pr/1", "error": failed }),
        &["retry", "skip", "stop"],
    ));
    stories.push(stopped.clone());
    stopped.push(opened(
        "stopped/unmerged",
        json!({ "unmerged": (0..texts.len()).collect::<Vec<_>>(), "deploy_pr": 49 }),
        &["put_back", "leave", "put_back_and_close"],
    ));
    stories.push(stopped.clone());
    stopped.push(Event::SagaFinished {
        outcome: Outcome::Stopped,
    });
    stories.push(stopped);
    let mut shipped = events.clone();
    shipped.push(opened("post_release_checklist", json!({ "items": texts }), &["done"]));
    stories.push(shipped);
    events.extend([
        Event::UnwindStarted { reason: failed.clone() },
        Event::SagaFinished {
            outcome: Outcome::Undone,
        },
    ]);
    stories.push(events);

    let mut contents = Vec::new();
    for story in stories {
        let view = View::of("web-1", &History::at_once(story));
        contents.push(status(&view, DateTime::UNIX_EPOCH));
        contents.extend(
            messages(
                &view,
                DateTime::UNIX_EPOCH + chrono::TimeDelta::days(1),
                &Audience::default(),
            )
            .into_iter()
            .map(|message| message.content),
        );
    }
    contents
}

/// The first of Slack's limits that a message breaks.
fn broken(content: &Content) -> Option<String> {
    let length = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
    if content.text.is_empty() || content.blocks.len() > 50 {
        return Some(format!(
            "{} blocks, text of {}",
            content.blocks.len(),
            content.text.len()
        ));
    }
    let mut ids = std::collections::HashSet::new();
    for block in &content.blocks {
        if block["block_id"].as_str().is_some_and(|id| !ids.insert(id.to_owned())) {
            return Some(format!("twice {}", block["block_id"]));
        }
        let text = length(&block["text"]["text"]);
        let most = if block["type"] == "header" { 150 } else { 3000 };
        let typed = matches!(block["type"].as_str(), Some("section" | "header"));
        if text > most || typed && text == 0 {
            return Some(format!("a {} of {text}", block["type"]));
        }
        let elements = block["elements"].as_array().cloned().unwrap_or_default();
        if block["type"] == "actions" && !(1..=25).contains(&elements.len()) {
            return Some(format!("{} elements", elements.len()));
        }
        for element in elements.iter().chain([&block["accessory"]]) {
            let label = if block["type"] == "context" {
                length(&element["text"])
            } else {
                length(&element["text"]["text"])
            };
            let most = if block["type"] == "context" { 3000 } else { 75 };
            if label > most || length(&element["value"]) > 2000 || length(&element["action_id"]) > 255 {
                return Some(format!("{element}"));
            }
        }
    }
    let elements = content.blocks.iter().filter_map(|block| block["elements"].as_array());
    let primary = elements.flatten().filter(|element| element["style"] == "primary");
    (primary.count() > 1).then(|| "two primary buttons".to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn any_number_of_any_texts_keeps_slacks_limits(
        texts in prop::collection::vec("(?s).{0,60}|[*_~`<>&@#!|:]{0,40}|<!channel> .{0,400}", 0..130),
        excluded in 0..150_usize,
    ) {
        for content in everything(&texts, excluded) {
            prop_assert_eq!(broken(&content), None, "{}", content.text);
            let all = format!("{}{}", content.text, Value::Array(content.blocks.clone()));
            prop_assert!(!all.contains("<!channel") && !all.contains("<!here"), "nobody pings a channel: {}", content.text);
        }
    }
}

#[test]
fn a_train_of_a_hundred_and_twenty_is_cut_and_counted() {
    let texts: Vec<String> = (0..120)
        .map(|number| format!("Change number {number} with a title of usual length"))
        .collect();
    let contents = everything(&texts, 30);
    assert!(contents.iter().all(|content| broken(content).is_none()));
    let card = Value::Array(contents[1].blocks.clone()).to_string();
    assert!(card.contains("… and 108 more in the thread"), "{card}");
    let list = Value::Array(contents[2].blocks.clone()).to_string();
    assert!(list.contains("… and 60 more"), "{list}");
}

#[test]
fn reminders_grow_apart_and_a_late_start_posts_one() {
    let at = |minutes: i64| DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes);
    let mut question = opened(
        "confirm_pr_list",
        json!({ "plan": plan(&["x".to_owned()], 0) }),
        &["confirm"],
    );
    if let Event::CheckpointOpened { deadline, .. } = &mut question {
        *deadline = Some(at(100));
    }
    let view = View::of("web-1", &History::at_once(vec![started(Vec::new()), question]));
    let due = |minutes| {
        let slots: Vec<String> = messages(&view, at(minutes), &Audience::default())
            .into_iter()
            .map(|message| message.slot)
            .filter(|slot| slot.starts_with("reminder"))
            .collect();
        slots
    };
    assert_eq!(due(0), [] as [&str; 0]);
    assert_eq!(due(1), ["reminder/confirm_pr_list/1"]);
    assert_eq!(due(2), ["reminder/confirm_pr_list/1"]);
    assert_eq!(due(3), ["reminder/confirm_pr_list/2"]);
    assert_eq!(due(60), ["reminder/confirm_pr_list/5"]);
    assert_eq!(next_reminder(&view, at(3)), Some(at(7)));
    assert_eq!(next_reminder(&view, at(63)), Some(at(75)), "the warning");
    assert_eq!(next_reminder(&view, at(75)), None, "the deadline comes first");
}

/// A deployment whose list has these authors, confirmed, released and ticked.
fn shipped_by(authors: usize) -> View {
    let mut plan = plan(&vec!["A change".to_owned(); authors], 0);
    for (index, car) in plan.cars.iter_mut().enumerate() {
        car.author = format!("author{index}");
    }
    View::of(
        "web-1",
        &History::at_once(vec![
            started(Vec::new()),
            opened("confirm_pr_list", json!({ "plan": plan }), &["confirm"]),
        ]),
    )
}

#[test]
fn nothing_of_a_deployment_that_has_ended_runs_or_waits() {
    let failing = |outcome: Outcome| {
        let plan = plan(&["One".to_owned(), "Two".to_owned()], 0);
        History::at_once(vec![
            started(Vec::new()),
            opened("confirm_pr_list", json!({ "plan": plan }), &["confirm"]),
            decided("confirm_pr_list", "confirm"),
            begun("merge_pr/1", "merge_pr", Effect::Pivot),
            Event::StepFailed {
                key: "merge_pr/1".to_owned(),
                error: "GitHub answered 405".to_owned(),
                retry_at: None,
                requests: Vec::new(),
            },
            Event::SagaFinished { outcome },
        ])
    };
    for (outcome, word) in [(Outcome::Stopped, "stopped"), (Outcome::Undone, "undone")] {
        let view = View::of("web-1", &failing(outcome));
        let card = Value::Array(card(&view, DateTime::UNIX_EPOCH, Place::Channel).blocks).to_string();
        assert!(
            card.contains(&format!("*Merge* · {word}")) || card.contains(&format!("· {word}")),
            "{card}"
        );
        assert!(!card.contains("needs attention") && !card.contains("running"), "{card}");
    }
}

#[test]
fn a_running_phase_says_since_when() {
    let view = View::of(
        "web-1",
        &History::at_once(vec![
            started(Vec::new()),
            begun("create_workspace", "create_workspace", Effect::Compensable),
        ]),
    );
    let card = Value::Array(card(&view, DateTime::UNIX_EPOCH, Place::Channel).blocks).to_string();
    assert!(card.contains("running · since <!date^0^"), "{card}");
}

#[test]
fn what_failed_is_linked_and_each_answer_explained() {
    let check = |name: &str, state| crate::deploy::progress::Check {
        name: name.to_owned(),
        state,
        url: Some(format!("https://github.com/acme/web/runs/{name}")),
        optional: false,
    };
    let progress = Progress::Checks {
        checks: vec![check("test", CheckState::Failed), check("lint", CheckState::Passed)],
        deadline: DateTime::UNIX_EPOCH,
    };
    let view = View::of(
        "web-1",
        &History::at_once(vec![
            started(Vec::new()),
            begun("wait_for_ci", "wait_for_ci", Effect::Read),
            Event::StepProgressed {
                key: "wait_for_ci".to_owned(),
                progress: serde_json::to_value(progress).unwrap(),
            },
            Event::StepFailed {
                key: "wait_for_ci".to_owned(),
                error: "checks failed: test".to_owned(),
                retry_at: None,
                requests: Vec::new(),
            },
            opened(
                "attention/wait_for_ci/1",
                json!({ "step": "wait_for_ci", "error": "checks failed: test" }),
                &["retry", "stop"],
            ),
        ]),
    );
    let told = messages(&view, DateTime::UNIX_EPOCH, &Audience::default());
    let blocks = |slot: &str| {
        let message = told.iter().find(|message| message.slot == slot).unwrap();
        Value::Array(message.content.blocks.clone()).to_string()
    };
    let asked = blocks("question/attention/wait_for_ci/1");
    for part in [
        "❌ failed: <https://github.com/acme/web/runs/test|test>",
        "*Retry* tries it again. *Stop here* ends the deployment: what is merged stays merged.",
    ] {
        assert!(asked.contains(part), "{part:?} is missing: {asked}");
    }
    assert!(blocks(CARD).contains(text::IN_THE_THREAD));
    let alone = Value::Array(status(&view, DateTime::UNIX_EPOCH).blocks).to_string();
    assert!(
        !alone.contains(text::IN_THE_THREAD),
        "it has the buttons itself: {alone}"
    );
}

#[test]
fn only_who_rides_is_on_the_list() {
    let mut plan = plan(&["A".to_owned()], 1);
    plan.cars[0].author = "ana".to_owned();
    let question = opened("confirm_pr_list", json!({ "plan": plan }), &["confirm"]);
    let view = View::of("web-1", &History::at_once(vec![started(Vec::new()), question]));
    let audience = Audience::of(&[("ana", "U0ANA"), ("eve", "U0EVE")], &[]);
    let told = messages(&view, DateTime::UNIX_EPOCH, &audience);
    let text = |slot: &str| &told.iter().find(|message| message.slot == slot).unwrap().content.text;
    let (on, out) = (text("authors/planned"), text("authors/left_out"));
    assert!(on.starts_with("🎫 On the list:") && !on.contains("#1000"), "{on}");
    assert!(
        out.starts_with("⏭️ Not on the list:") && out.contains("#1000") && !out.contains("<@U0ANA>"),
        "{out}"
    );
}

#[test]
fn at_most_twenty_people_are_mentioned_in_one_message() {
    let view = shipped_by(35);
    let ids: Vec<(String, String)> = (0..35)
        .map(|index| (format!("author{index}"), format!("U{index:03}")))
        .collect();
    let users: Vec<(&str, &str)> = ids
        .iter()
        .map(|(login, user)| (login.as_str(), user.as_str()))
        .collect();
    let audience = Audience::of(&users, &[]);
    let told = messages(&view, DateTime::UNIX_EPOCH, &audience);
    let planned = told.iter().find(|message| message.slot == "authors/planned").unwrap();
    assert_eq!(planned.content.text.matches("<@").count(), MENTIONS);
    assert!(planned.content.text.contains("author34"), "the others are named");
    let nobody = messages(&view, DateTime::UNIX_EPOCH, &Audience::default());
    assert!(
        nobody.iter().all(|message| !message.slot.starts_with("authors/")),
        "nobody to tell"
    );
}

#[test]
fn a_dropped_pull_requests_author_is_told_why() {
    let first = plan(&["A".to_owned(), "B".to_owned()], 0);
    let mut second = first.clone();
    let gone = second.cars.remove(0);
    second.excluded.push(Excluded {
        number: gone.number,
        title: gone.title,
        author: gone.author.clone(),
        url: gone.url,
        reason: Reason::Conflict {
            files: vec!["src/a.js".to_owned()],
            with: Some(7),
        },
    });
    let view = View::of(
        "web-1",
        &History::at_once(vec![
            started(Vec::new()),
            opened("confirm_pr_list", json!({ "plan": first }), &["confirm", "edit"]),
            decided("confirm_pr_list", "edit"),
            opened("confirm_pr_list/2", json!({ "plan": second }), &["confirm", "edit"]),
        ]),
    );
    let audience = Audience::of(&[(&gone.author.to_lowercase(), "U0ANA")], &[]);
    let told = messages(&view, DateTime::UNIX_EPOCH, &audience);
    let dropped = told
        .iter()
        .find(|message| message.slot == "authors/dropped/confirm_pr_list/2")
        .unwrap();
    insta::assert_snapshot!(dropped.content.text);
}

#[test]
fn a_nudge_while_reviewers_are_waited_for_mentions_them() {
    let nudge = Event::Signalled {
        key: "wait_for_approval".to_owned(),
        by: Actor::Slack("U0BEN".to_owned()),
        value: json!(crate::deploy::NUDGE),
    };
    let view = View::of(
        "web-1",
        &History::at_once(vec![
            started(Vec::new()),
            begun("wait_for_approval", "wait_for_approval", Effect::Read),
            Event::StepProgressed {
                key: "wait_for_approval".to_owned(),
                progress: serde_json::to_value(Progress::Approval {
                    reviewers: vec!["dan".to_owned()],
                    changes_requested: Vec::new(),
                    deadline: DateTime::UNIX_EPOCH,
                })
                .unwrap(),
            },
            nudge,
        ]),
    );
    assert_eq!(
        super::super::nudge::waits_for_people(&view).as_deref(),
        Some("wait_for_approval")
    );
    let audience = Audience::of(&[("dan", "U0DAN")], &[]);
    let told = messages(&view, DateTime::UNIX_EPOCH, &audience);
    let nudged = told.iter().find(|message| message.slot == "nudge/0").unwrap();
    insta::assert_snapshot!(nudged.content.text);
}

#[test]
fn a_deadline_is_said_an_hour_before_or_when_a_quarter_is_left() {
    let question = |seconds: i64| Question {
        key: "confirm_pr_list".to_owned(),
        kind: QuestionKind::Checklist { items: Vec::new() },
        choices: Vec::new(),
        since: DateTime::UNIX_EPOCH,
        deadline: DateTime::from_timestamp(seconds, 0),
        remind_after_s: None,
        votes: Vec::new(),
    };
    let at = |seconds| question(seconds).warning().map(|(at, _)| at.timestamp());
    assert_eq!(at(24 * 3600), Some(23 * 3600));
    assert_eq!(at(40 * 60), Some(30 * 60));
}

/// A release that shipped isn't undone because nobody says what becomes of its issues, but they stay open.
#[test]
fn what_a_deadline_decides_is_warned_of() {
    let plan = plan(&["One".to_owned()], 0);
    let approval =
        json!({ "plan": plan, "digest": "d", "changes": [], "dismissed": [], "foreign": [], "approvals": 1 });
    let issues = json!({ "issues": [], "comment": "Shipped in 1.4.3." });
    for (key, data, warned) in [
        ("confirm_pr_list", json!({ "plan": plan }), true),
        ("approve_point_of_no_return/1", approval, true),
        ("post_release_checklist/issues", issues, true),
        (
            "attention/merge_pr/1/1",
            json!({ "step": "merge_pr/1", "error": "x" }),
            false,
        ),
    ] {
        let asked = Event::CheckpointOpened {
            key: key.to_owned(),
            data,
            choices: vec!["expire".to_owned()],
            deadline: DateTime::from_timestamp(24 * 3600, 0),
            on_expiry: Some("expire".to_owned()),
            remind_after_s: None,
        };
        let view = View::of("web-1", &History::at_once(vec![started(Vec::new()), asked]));
        assert_eq!(view.questions.len(), 1, "{key}");
        let late = DateTime::from_timestamp(23 * 3600 + 60, 0).unwrap();
        let said = warning(&view, &view.questions[0], late);
        assert_eq!(said.is_some(), warned, "{key}: {said:?}");
    }
}

fn lock_by(reason: &str) -> crate::deploy::lock::Lock {
    crate::deploy::lock::Lock {
        by: Actor::Slack("U0BEN".to_owned()),
        reason: reason.to_owned(),
        at: DateTime::UNIX_EPOCH,
        until: DateTime::from_timestamp(7200, 0),
    }
}

/// Every answer to one person, over one set of texts.
fn answers_over(texts: &[String]) -> Vec<Content> {
    use crate::bot::answers::{self, MayOverride};
    use crate::deploy::lock::{Obstacle, Turn};

    let config = Config::parse(CONFIG, "sandbox.toml").unwrap();
    let project = &config.projects[0];
    let reason = texts.join(" ");
    let obstacles = [
        Obstacle::Locked(lock_by(&reason)),
        Obstacle::Frozen(crate::config::Frozen {
            reason: reason.clone(),
            until: None,
        }),
    ];
    let wish = Wish {
        bump: Some(Bump::To(reason.clone())),
        override_reason: Some(reason.clone()),
        ..Wish::default()
    };
    let plan = plan(texts, texts.len());
    let ana = Actor::Slack("U0ANA".to_owned());
    let mut start = started(texts.to_vec());
    if let Event::SagaStarted { input, .. } = &mut start {
        input["override_reason"] = json!(reason);
        input["passed"] = json!(obstacles);
        input["queued"] = json!(DateTime::UNIX_EPOCH);
    }
    let question = opened("confirm_pr_list", json!({ "plan": plan }), &["confirm"]);
    let nudge = Event::Signalled {
        key: "confirm_pr_list".to_owned(),
        by: ana.clone(),
        value: json!(crate::deploy::NUDGE),
    };
    let view = View::of("web-1", &History::at_once(vec![start, question, nudge]));
    let mut contents: Vec<Content> = messages(
        &view,
        DateTime::UNIX_EPOCH - TimeDelta::seconds(1),
        &Audience::default(),
    )
    .into_iter()
    .map(|message| message.content)
    .collect();
    contents.extend(notes(project, &view));
    contents.extend([
        answers::blocked(project, &obstacles, &wish, MayOverride::Yes),
        answers::blocked(project, &obstacles, &Wish::default(), MayOverride::No),
        answers::occupied("web-1", Some(&view), &wish, DateTime::UNIX_EPOCH),
        answers::nothing_runs(project, Some(&view), &obstacles, 3, MayOverride::Yes),
        answers::would_undo(&view, Some(reason.clone())),
        answers::runs(&view, &obstacles, 3, DateTime::UNIX_EPOCH),
        answers::dry_run(project, &plan, &obstacles, &wish, MayOverride::Yes),
        text::now_locked(project, &lock_by(&reason)),
        text::now_unlocked(project, &lock_by(&reason), &ana),
        text::queued(1),
        text::queued(4),
        text::queue_full(5),
        text::queue(&[(ana.clone(), DateTime::UNIX_EPOCH), (ana.clone(), DateTime::UNIX_EPOCH)]),
        text::queue(&[]),
        text::left_queue(true),
        text::left_queue(false),
        text::not_started_from_queue(&ana, &text::obstacles(&obstacles, Medium::Slack).unwrap()),
        text::not_nudged(DateTime::from_timestamp(600, 0)),
        text::not_nudged(None),
        text::no_notes(),
        text::undoing(&view),
        text::plan_failed(&reason),
    ]);
    contents.extend(text::locked(&Turn::Held(lock_by(&reason))));
    contents.extend(text::locked(&Turn::Free));
    contents
}

/// The first of Slack's limits that a modal or Home breaks.
fn broken_view(view: &Value, most: usize) -> Option<String> {
    let blocks = view["blocks"].as_array().cloned().unwrap_or_default();
    if blocks.len() > most || view["private_metadata"].as_str().is_some_and(|text| text.len() > 3000) {
        return Some(format!("{} blocks", blocks.len()));
    }
    let options = blocks.iter().filter_map(|block| block["element"]["options"].as_array());
    let long = |option: &Value| {
        option["text"]["text"]
            .as_str()
            .is_none_or(|text| text.is_empty() || text.chars().count() > 75)
    };
    if let Some(option) = options.clone().flatten().find(|option| long(option)) {
        return Some(option.to_string());
    }
    if options.into_iter().any(|options| !(1..=100).contains(&options.len())) {
        return Some("a menu with too many or no options".to_owned());
    }
    for page in blocks.chunks(50) {
        let content = Content {
            text: "view".to_owned(),
            blocks: page.to_vec(),
        };
        if let Some(broken) = broken(&content) {
            return Some(broken);
        }
    }
    None
}

/// What people read of blocks: a button carries its wish as it was typed, and nobody sees that.
fn shown(blocks: &[Value]) -> String {
    let mut blocks = blocks.to_vec();
    for element in blocks
        .iter_mut()
        .filter_map(|block| block["elements"].as_array_mut())
        .flatten()
    {
        element.as_object_mut().map(|element| element.remove("value"));
    }
    Value::Array(blocks).to_string()
}

#[test]
fn every_answer_is_said_in_one_voice() {
    let texts = ["*database* migration <!channel>".to_owned()];
    let said: Vec<String> = answers_over(&texts).into_iter().map(|content| content.text).collect();
    insta::assert_snapshot!(said.join("\n\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn answers_dialogues_and_homes_keep_slacks_limits(
        texts in prop::collection::vec("(?s).{0,60}|[*_~`<>&@#!|:]{0,40}|<!channel> .{0,400}", 0..130),
    ) {
        for content in answers_over(&texts) {
            prop_assert_eq!(broken(&content), None, "{}", content.text);
            let all = format!("{}{}", content.text, shown(&content.blocks));
            prop_assert!(!all.contains("<!channel") && !all.contains("<!here"), "nobody pings a channel: {}", content.text);
        }
        let config = Config::parse(CONFIG, "sandbox.toml").unwrap();
        let plan = plan(&texts, texts.len());
        let lock = crate::deploy::lock::Obstacle::Locked(lock_by(&texts.join(" ")));
        let wish = Wish { override_reason: Some(texts.join(" ")), ..Default::default() };
        for plan in [None, Some(&plan)] {
            let dialogue = crate::bot::modals::start(&config.projects[0], &wish, plan, std::slice::from_ref(&lock));
            prop_assert_eq!(broken_view(&dialogue, 100), None);
        }
        let view = View::of("web-1", &History::at_once(vec![
            started(texts.clone()),
            opened("confirm_pr_list", json!({ "plan": plan }), &["confirm"]),
        ]));
        let views = vec![view; 20];
        let waits = views.iter().flat_map(|view| view.questions.iter().map(move |question| (view, question))).collect();
        let login = plan.cars.first().map(|car| car.author.clone());
        let home = crate::bot::home::Home { views: &views, waits, login: login.as_deref(), muted: false, links: Default::default(), now: DateTime::UNIX_EPOCH };
        prop_assert_eq!(broken_view(&home.drawn(), 50), None);
    }
}
