//! Whatever people write and however many pull requests there are, what comes out is what Slack takes.

use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::deploy::train::{Car, Excluded, Reason, VersionPlan};
use crate::deploy::version::Bump;
use crate::deploy::{Request, write_request};
use crate::github::MergeMethod;
use crate::saga::{Actor, Effect, Event, History, Outcome, Record};

const CONFIG: &str = include_str!("../../../config/sandbox.toml");

fn history(events: Vec<Event>) -> History {
    let records = events.into_iter().enumerate().map(|(seq, event)| Record {
        seq: seq as u64,
        at: DateTime::UNIX_EPOCH,
        event,
    });
    records.fold(History::default(), History::with)
}

fn started(checklist: Vec<String>) -> Event {
    let mut project = Config::parse(CONFIG, "sandbox.toml").unwrap().projects.remove(0);
    project.checklist = checklist;
    let request = Request {
        bump: Bump::By(project.bump),
        project,
        selection: crate::deploy::train::Selection::default(),
        override_reason: None,
        passed: Vec::new(),
        queued: None,
    };
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
            Event::StepStarted {
                key: key.to_owned(),
                kind: "merge_pr".to_owned(),
                effect: Effect::Pivot,
                input: Value::Null,
                attempt: 1,
            },
            Event::StepFailed {
                key: key.to_owned(),
                error: failed.clone(),
                retry_at: None,
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
        let view = View::of("web-1", &history(story));
        contents.push(status(&view));
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
        let primary = elements.iter().filter(|element| element["style"] == "primary").count();
        if primary > 1 {
            return Some("two primary buttons".to_owned());
        }
    }
    None
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
    let view = View::of(
        "web-1",
        &history(vec![
            started(Vec::new()),
            opened(
                "confirm_pr_list",
                json!({ "plan": plan(&["x".to_owned()], 0) }),
                &["confirm"],
            ),
        ]),
    );
    let at = |minutes: i64| DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minutes);
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
}
