//! From `/deploy start` to the last ticked item.

use shipmate::deploy::runbook::RUNBOOK;
use shipmate::sandbox::play::REPO;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_train_is_shipped_from_start_to_the_last_ticked_item() {
    let stage = Stage::new().await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped with 4 pull requests").await;

    let ledger = stage
        .github()
        .ledger(REPO)
        .await
        .join("\n")
        .replace(&today(), "<today>");
    // The bump's commit holds the time of the start.
    let ledger = regex::Regex::new(r"(?m)^(git push \S+) .*")
        .unwrap()
        .replace_all(&ledger, "$1")
        .into_owned();
    insta::assert_snapshot!(ledger);
    for path in ["package.json", "Cargo.toml", "VERSION"] {
        let file = stage.github().file(REPO, "staging", path).await.unwrap();
        assert!(file.contains("1.4.3") && !file.contains("1.4.2"), "{path}: {file}");
    }
    let cargo = stage.github().file(REPO, "staging", "Cargo.toml").await.unwrap();
    assert!(
        cargo.contains("version = \"1.4.3\" # kept in step with package.json"),
        "{cargo}"
    );
    let release = stage.snapshot().await["releases"][0]["body"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        release.starts_with("Automated release of v1.4.3"),
        "what the Action wrote stays: {release}"
    );
    for link in ["[#41]", "[#42]", "[#44]", "[#47]", "[#28]", "[#31]", "[#33]"] {
        assert!(release.contains(link), "{link} is missing: {release}");
    }
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_thread_reads_as_a_calm_colleague_writes() {
    let stage = Stage::new().await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    // The last edits and the last message come in no set order.
    stage.reads("After the release: 3 of 3 done").await;
    stage.reads("    Shipmate: ✅ completed").await;
    stage
        .until("the last edit of the card", |workspace| {
            let card = workspace.messages.first()?;
            card.text.contains("completed").then_some(())
        })
        .await;
    let transcript = stage.slack().transcript().replace(&today(), "<today>");
    let transcript = regex::Regex::new(r"\d+ s\b|\b[0-9a-f]{12}\b")
        .unwrap()
        .replace_all(&transcript, "<…>")
        .into_owned();
    insta::assert_snapshot!(transcript);
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_the_runbook_is_journaled_in_its_order() {
    let stage = Stage::new().await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    let history = stage.journal("web-1").history();
    let first_seen = |name: &str| {
        let event_of = |key: &str| key == name || key.starts_with(&format!("{name}/"));
        history.records().iter().position(|record| match &record.event {
            shipmate::saga::Event::StepStarted { key, .. } | shipmate::saga::Event::CheckpointOpened { key, .. } => {
                event_of(key)
            }
            _ => false,
        })
    };
    let places: Vec<usize> = RUNBOOK
        .iter()
        .map(|line| first_seen(line.name).unwrap_or_else(|| panic!("{} is not in the journal", line.name)))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rehearsed_tree_is_the_real_one() {
    let stage = Stage::new().await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    let history = stage.journal("web-1").history();
    let shipped = history.step("collect_merged_pr_info").unwrap();
    match &shipped.phase {
        shipmate::saga::history::StepPhase::Completed(output) => assert_eq!(output["as_rehearsed"], true),
        other => panic!("{other:?}"),
    }
    stage.closes().await;
}

/// The date as branch names have it, where the sandbox's project is.
pub fn today() -> String {
    let zone: chrono_tz::Tz = "Europe/Paris".parse().unwrap();
    chrono::Utc::now().with_timezone(&zone).format("%Y%m%d").to_string()
}
