//! The rest of the talk in Slack: locks, freezes, the queue, nudges, notes, the start dialogue, the App Home, who is mentioned.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use shipmate::config::{Freeze, Window};
use shipmate::saga::Clock;
use shipmate::saga::store::Store as _;
use shipmate::sandbox::faults::{Fault, Kind, When};
use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::REPO;
use shipmate::sandbox::slack::{DEPLOYS, Tick};

use crate::stage::{LIMIT, Stage};

async fn undone(stage: Stage) {
    stage.ana().aborts_by_word("end of the test").await;
    stage
        .reads("Everything is undone: aborted by @Ana Ruiz: end of the test.")
        .await;
    stage.closes().await;
}

/// Ben may pass locks and freezes; Ana may not.
async fn with_override() -> Stage {
    Stage::with(Scenario::Happy, |project| {
        project.permissions.r#override = vec!["U0BEN".to_owned()];
    })
    .await
}

/// Asks until the answer is so: for what follows a message without one of its own.
async fn hears(stage: &Stage, command: &str, answer: &str) {
    let asks = async { while !stage.ana().says(command).await.contains(answer) {} };
    tokio::time::timeout(LIMIT, asks).await.expect(answer);
}

/// Until tomorrow, whatever the time of day.
fn frozen_now(project: &mut shipmate::config::Project) {
    let today = Utc::now().date_naive().and_time(chrono::NaiveTime::MIN);
    project.freeze = vec![Freeze {
        window: Window::Dated {
            begins: today - TimeDelta::days(1),
            ends: today + TimeDelta::days(2),
        },
        time_zone: None,
        reason: "Holidays".to_owned(),
    }];
}

fn filled(values: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let owned = values.iter().map(|(field, values)| {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        ((*field).to_owned(), values)
    });
    owned.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_refuses_starts_until_it_is_lifted_and_outlives_a_restart() {
    let mut stage = with_override().await;
    assert_eq!(stage.ben().says("/deploy lock database migration for 2h").await, "");
    stage.reads("🔒 Locked by @Ben").await;
    let marks = stage.slack().messages(DEPLOYS);
    let marks = marks.iter().filter_map(|message| message.metadata.as_ref());
    let marks: Vec<_> = marks.map(|mark| mark["event_payload"].clone()).collect();
    assert_eq!(marks.len(), 1, "{marks:?}");
    assert!(
        marks[0]["deployment"] == "lock/web" && marks[0]["step_key"].is_string(),
        "{marks:?}"
    );
    stage.restart().await;
    let refused = stage.ana().says("/deploy start").await;
    for part in [
        "can't be deployed now",
        "Locked by @Ben",
        "until",
        ": database migration.",
        "may start anyway",
    ] {
        assert!(refused.contains(part), "{part:?} is missing: {refused}");
    }
    assert!(!refused.contains("Start anyway"), "Ana has no override: {refused}");
    let twice = stage.ana().says("/deploy lock me too").await;
    assert!(
        twice.contains("Nothing was changed") && twice.contains("database migration"),
        "{twice}"
    );
    let plan = stage.ana().says("/deploy").await;
    assert!(plan.contains("Locked by @Ben"), "{plan}");
    assert!(stage.eve().says("/deploy unlock").await.contains("You may not unlock"));
    assert_eq!(stage.ana().says("/deploy unlock").await, "");
    stage.reads("🔓 Unlocked by @Ana").await;
    assert!(stage.ana().says("/deploy unlock").await.contains("isn't locked"));
    stage.plays_to("Confirm").await;
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_lock_is_no_lock() {
    let mut stage = Stage::new().await;
    stage.stop().await;
    stage.clock = Clock::manual(Utc::now());
    stage.boot().await;
    stage.ana().says("/deploy lock a short one for 30m").await;
    assert!(stage.ana().says("/deploy start").await.contains("a short one"));
    stage.clock.advance(TimeDelta::minutes(31));
    assert!(!stage.ana().says("/deploy").await.contains("a short one"));
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_is_allowed_to_few_and_stands_on_the_card() {
    let stage = with_override().await;
    stage.ana().says("/deploy lock database migration").await;
    let refused = stage.ana().says("/deploy start --override it is urgent").await;
    assert!(
        refused.contains("You may not override locks and freezes here. @Ben"),
        "{refused}"
    );
    assert_eq!(
        stage
            .ben()
            .says("/deploy start minor --override hotfix for the login")
            .await,
        ""
    );
    stage.sees("Confirm").await;
    stage.reads("⚡ Started by @Ben").await;
    stage
        .reads("all the same: hotfix for the login. 🔒 Locked by @Ana")
        .await;
    let events = serde_json::to_string(&stage.events("web-1")).unwrap();
    assert!(events.contains("hotfix for the login") && events.contains("database migration"));
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_refuses_says_until_when_and_can_be_passed_by_the_dialogue() {
    let stage = Stage::with(Scenario::Happy, |project| {
        frozen_now(project);
        project.permissions.r#override = vec!["U0BEN".to_owned()];
    })
    .await;
    let refused = stage.ana().says("/deploy start").await;
    assert!(
        refused.contains("🧊 Frozen until") && refused.contains(": Holidays."),
        "{refused}"
    );
    assert!(stage.ana().says("/deploy").await.contains("Frozen until"));
    stage.ana().says("/deploy plan").await;
    stage.ana().is_told("Frozen until").await;
    stage.ben().says("/deploy start").await;
    stage.ben().clicks("Start anyway…").await;
    stage
        .until("the start dialogue", |workspace| workspace.open_view("U0BEN").map(drop))
        .await;
    assert!(
        stage.slack().submits_view("U0BEN", filled(&[])).await.is_err(),
        "a reason is required"
    );
    let given = filled(&[("override", &["a customer waits"])]);
    assert_eq!(stage.slack().submits_view("U0BEN", given).await.unwrap(), None);
    stage.reads("all the same: a customer waits. 🧊 Frozen until").await;
    stage.sees("Confirm").await;
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_in_the_queue_starts_by_itself() {
    let mut stage = Stage::new().await;
    stage.plays_to("Confirm").await;
    let refused = stage.ben().says("/deploy start minor --exclude #47").await;
    assert!(
        refused.contains("web-1 is running") && refused.contains("Queue mine"),
        "{refused}"
    );
    stage.ben().clicks("Queue mine").await;
    stage.ben().is_told("You are next").await;
    stage.restart().await;
    assert!(stage.ana().says("/deploy queue").await.contains("1. @Ben"));
    assert!(stage.ana().says("/deploy").await.contains("1 start in the queue"));
    stage.ana().aborts_by_word("").await;
    stage.reads("your turn: queued since").await;
    stage.reads("Version 1.4.2 → 1.5.0").await;
    stage.reads("#47").await;
    assert!(stage.ana().says("/deploy queue").await.contains("Nobody waits"));
    let view = serde_json::to_string(&stage.events("web-2")[0]).unwrap();
    assert!(view.contains("U0BEN"), "{view}");
    stage.sees("Confirm").await;
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_the_queue_or_meets_a_lock_is_not_started() {
    let stage = Stage::new().await;
    stage.plays_to("Confirm").await;
    assert!(
        stage
            .eve()
            .says("/deploy queue cancel")
            .await
            .contains("You don't stand in the queue")
    );
    stage.ben().says("/deploy start").await;
    stage.ben().clicks("Queue mine").await;
    stage.ben().is_told("You are next").await;
    stage.ana().says("/deploy lock database migration").await;
    stage.ana().aborts_by_word("").await;
    stage
        .reads("it was your turn, but nothing could be started, and you are out of the queue. 🔒 Locked by @Ana")
        .await;
    hears(&stage, "/deploy queue", "Nobody waits").await;
    assert_eq!(stage.store.heads().len(), 1, "nothing was started");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nudge_mentions_whom_it_waits_for_but_not_too_often() {
    let stage = Stage::new().await;
    assert!(stage.ana().says("/deploy nudge").await.contains("Nothing runs"));
    stage.plays_to("Approve").await;
    assert_eq!(stage.ana().says("/deploy nudge").await, "");
    stage
        .reads("👋 @Ana Ruiz asks. Waiting since <time> for @deployers")
        .await;
    assert!(
        stage
            .ben()
            .says("/deploy nudge")
            .await
            .contains("the next nudge can come from")
    );
    assert!(stage.eve().says("/deploy nudge").await.contains("You may not nudge"));
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_are_shown_as_they_will_be() {
    let stage = Stage::new().await;
    assert!(
        stage
            .ana()
            .says("/deploy notes")
            .await
            .contains("no list of pull requests yet")
    );
    stage.plays_to("Approve").await;
    let notes = stage.eve().says("/deploy notes").await;
    assert!(notes.contains("Release v1.4.3") && notes.contains("#41"), "{notes}");
    assert!(notes.contains("As they would be now"), "{notes}");
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_start_dialogue_says_what_is_wrong_and_then_starts() {
    let stage = Stage::new().await;
    stage.ana().says("/deploy").await;
    stage.ana().clicks("Start…").await;
    stage
        .until("the start dialogue", |workspace| workspace.open_view("U0ANA").map(drop))
        .await;
    for (given, block, why) in [
        (
            filled(&[("bump", &["explicit"])]),
            "version",
            "Type the version, such as 1.4.0.",
        ),
        (
            filled(&[("bump", &["explicit"]), ("version", &["soon"])]),
            "version",
            "soon is neither patch, minor, major, calendar nor a version such as 1.5.0.",
        ),
        (
            filled(&[("version", &["1.9.0"])]),
            "version",
            "Choose \"Exactly this one\" above, or leave this empty.",
        ),
        (
            filled(&[("only", &["the small one"])]),
            "only",
            "the is no pull request number.",
        ),
    ] {
        let complaints = stage.slack().submits_view("U0ANA", given).await.unwrap();
        assert_eq!(complaints, Some(BTreeMap::from([(block.to_owned(), why.to_owned())])));
    }
    let given = filled(&[("bump", &["explicit"]), ("version", &["1.9.0"]), ("only", &["#41, 42"])]);
    assert_eq!(stage.slack().submits_view("U0ANA", given).await.unwrap(), None);
    stage.reads("Is this the train? 2 pull requests").await;
    stage.reads("Version 1.4.2 → 1.9.0").await;
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_dry_run_the_start_dialogue_offers_its_list() {
    let stage = Stage::new().await;
    stage.ana().says("/deploy plan --exclude #42").await;
    stage.ana().is_told("Dry run of web").await;
    stage.ana().clicks("Start…").await;
    let dialogue = stage
        .until("the start dialogue", |workspace| {
            workspace.open_view("U0ANA").map(|view| view.shown().to_string())
        })
        .await;
    assert!(
        dialogue.contains("multi_static_select") && dialogue.contains("#42 Remember me"),
        "{dialogue}"
    );
    let given = filled(&[("leave_out", &["44"])]);
    assert_eq!(stage.slack().submits_view("U0ANA", given).await.unwrap(), None);
    stage.sees("Confirm").await;
    stage.reads("left out on request").await;
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_get_no_dialogue_and_no_place_in_the_queue() {
    let stage = Stage::new().await;
    stage.eve().says("/deploy").await;
    stage.eve().clicks("Start…").await;
    stage.eve().is_told("You may not start a deployment here").await;
    stage.plays_to("Confirm").await;
    stage.eve().says("/deploy lock mine").await;
    let refused = stage
        .events("web-1")
        .into_iter()
        .filter(|event| matches!(event, shipmate::saga::Event::Refused { .. }));
    assert_eq!(refused.count(), 1, "what runs knows who tried to lock");
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_remembered_while_slack_does_not_tell() {
    let stage = Stage::new().await;
    stage.plays_to("Confirm").await;
    stage.slack().faults().inject(Fault {
        matches: "usergroups.users.list".to_owned(),
        when: When::Before,
        kind: Kind::Status(503, "down".to_owned()),
        times: u32::MAX,
    });
    stage.ben().clicks("Confirm").await;
    stage.sees("Approve").await;
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authors_are_told_what_becomes_of_their_pull_requests_unless_they_mute_it() {
    let mut stage = Stage::new().await;
    stage.slack().opens_home("U0BEN").await.unwrap();
    stage
        .until("Ben's Home", |workspace| workspace.homes.get("U0BEN").map(drop))
        .await;
    stage.slack().clicks_in_view("U0BEN", "home/mute").await.unwrap();
    stage
        .until("the switch turned", |workspace| {
            let home = workspace.homes.get("U0BEN")?;
            home.shown().to_string().contains("Mention me again").then_some(())
        })
        .await;
    stage.restart().await;
    stage.plays_to("Approve").await;
    stage.reads("🎫 On the list:").await;
    stage.reads("total · @Ana Ruiz").await;
    stage.github().close(REPO, 42).await.unwrap();
    let approver = "U0CHLOE";
    stage.slack().clicks_label(approver, "Approve").await.unwrap();
    stage.reads("⏭️ No longer on the list:").await;
    stage.sees("Approve").await;
    stage.slack().clicks_label(approver, "Approve").await.unwrap();
    stage.reads("🚢 Shipped in web 1.4.3:").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    let pinged = stage
        .slack()
        .messages(DEPLOYS)
        .into_iter()
        .any(|message| format!("{}{:?}", message.text, message.blocks).contains("<@U0BEN>"));
    assert!(!pinged, "Ben is muted:\n{}", stage.slack().transcript());
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_home_shows_what_waits_for_whom() {
    let stage = Stage::new().await;
    stage.plays_to("Approve").await;
    for (user, waits) in [("U0BEN", true), ("U0ANA", false), ("U0EVE", false)] {
        stage.slack().opens_home(user).await.unwrap();
        let home = stage
            .until("a Home", |workspace| {
                workspace.homes.get(user).map(|view| view.shown().to_string())
            })
            .await;
        // Ana started it, and two people are wanted.
        assert_eq!(
            home.contains("to approve the point of no return"),
            waits || home.contains("What runs now")
        );
        let first = home.find("Your pull requests").unwrap();
        assert_eq!(
            home[..first].contains("to approve the point of no return"),
            waits,
            "{user}: {home}"
        );
        assert_eq!(
            home.contains("doesn't know your GitHub login"),
            user == "U0EVE",
            "{user}: {home}"
        );
    }
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ticks_from_stale_views_both_count_and_an_untick_shows_who_asked() {
    let stage = Stage::new().await;
    stage.plays_to("").await;
    stage.reads("After the release: 0 of 3 done").await;
    let (ana, ben) = tokio::join!(
        stage.slack().ticks_beside("U0ANA", "Log in and out", Tick::On),
        stage.slack().ticks_beside("U0BEN", "Watch the error rate", Tick::On),
    );
    ana.unwrap();
    ben.unwrap();
    stage.reads("After the release: 2 of 3 done").await;
    stage.reads("Log in and out on the live site · @Ana Ruiz").await;
    let asks = stage.slack().look(|workspace| {
        let blocks = workspace.messages.iter().flat_map(|message| message.blocks.clone());
        blocks
            .filter_map(|block| {
                block["accessory"]["confirm"]["text"]["text"]
                    .as_str()
                    .map(str::to_owned)
            })
            .collect::<Vec<_>>()
    });
    assert!(asks.iter().any(|text| text.contains("Ticked by <@U0BEN>")), "{asks:?}");
    stage
        .slack()
        .ticks_beside("U0BEN", "Watch the error rate", Tick::Off)
        .await
        .unwrap();
    stage.reads("After the release: 1 of 3 done").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_is_said_beforehand() {
    let mut stage = Stage::new().await;
    stage.stop().await;
    stage.clock = Clock::manual(Utc::now());
    stage.boot().await;
    stage.plays_to("Confirm").await;
    stage.clock.advance(TimeDelta::hours(23) + TimeDelta::minutes(1));
    stage.reads("⌛ @deployers: if nobody confirms the list by").await;
    undone(stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_commands_at_once_are_each_acknowledged_while_github_hangs() {
    let mut stage = Stage::new().await;
    stage.github().faults().inject(Fault {
        matches: String::new(),
        when: When::Before,
        kind: Kind::Hang,
        times: u32::MAX,
    });
    let words = [
        "start",
        "status",
        "history",
        "nudge",
        "notes",
        "whoami",
        "queue",
        "help",
        "",
        "show web-1",
    ];
    let people = ["U0ANA", "U0BEN", "U0CHLOE", "U0DAN", "U0EVE"];
    let commands = people
        .iter()
        .flat_map(|person| words.map(|word| (*person, format!("/deploy {word}"))));
    let slack = stage.slack();
    let said = commands.map(|(person, text)| async move {
        // The double fails a command that isn't acknowledged within three seconds, as Slack does.
        slack
            .says(person, DEPLOYS, text.trim())
            .await
            .map_err(|error| format!("{person} {text}: {error}"))
    });
    let answers = futures_util::future::join_all(said).await;
    let failed: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert_eq!(failed, [] as [&str; 0]);
    assert_eq!(stage.store.heads().len(), 1, "one start was first");
    stage.stop().await;
    assert_eq!(stage.slack().violations(), [] as [&str; 0]);
}
