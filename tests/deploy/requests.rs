//! Whoever calls GitHub's support after a bad day has the id of every write at hand: in the journal, on the dashboard, at the command line.

use shipmate::control::text;
use shipmate::deploy::view::View;
use shipmate::sandbox::github::Scenario;
use shipmate::sandbox::play::REPO;

use crate::stage::Stage;

/// Every write that GitHub saw stands in the journal, in GitHub's order, and people can read its id.
async fn all_are_told(stage: &Stage) {
    let history = stage.journal("web-1").history();
    let requests: Vec<_> = history
        .records()
        .iter()
        .flat_map(|record| record.event.requests().to_vec())
        .collect();
    let method_and_place = |line: &str| {
        let place = line.replace(&format!("/repos/{REPO}/"), "");
        // A release is asked for by its number and stands in the ledger by its tag.
        let mut words = place.trim_end_matches(": 200").split([' ', ':']);
        let (method, place) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        match place.starts_with("releases/") {
            true => format!("{method} releases"),
            false => format!("{method} {place}"),
        }
    };
    let ledger = stage.github().ledger(REPO).await;
    let writes = ledger.iter().filter(|line| !line.starts_with("git push"));
    let mut seen: Vec<String> = writes.map(|line| method_and_place(line)).collect();
    let mut told: Vec<String> = requests.iter().map(|request| method_and_place(&request.what)).collect();
    // Bases change side by side, and are journaled in the order in which steps end.
    seen.sort();
    told.sort();
    assert_eq!(told, seen);
    let shown = text::shown(&View::of("web-1", &history), &history, stage.clock.now());
    let page = format!("http://{}/deployments/web-1", stage.running().address);
    let page = reqwest::get(page).await.unwrap().text().await.unwrap();
    for request in &requests {
        assert!(request.id.starts_with("SBX:"), "{request:?}");
        assert!(shown.contains(&format!(", request {}", request.id)), "{shown}");
        assert!(page.contains(&format!(">{}</code>", request.id)), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_leaves_the_id_of_each_of_its_writes() {
    let stage = Stage::new().await;
    stage.plays_to("").await;
    stage.ticks_everything().await;
    stage.reads("completed · 1.4.3 shipped").await;
    all_are_told(&stage).await;
    stage.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_does_what_is_undone_after_a_restart() {
    let mut stage = Stage::on(Scenario::Happy).await;
    stage.plays_to("Approve").await;
    stage.restart().await;
    stage.ana().aborts("changed my mind").await;
    stage
        .reads("Everything is undone: aborted by @Ana Ruiz: changed my mind.")
        .await;
    all_are_told(&stage).await;
    let page = format!("http://{}/deployments/web-1", stage.running().address);
    let page = reqwest::get(page).await.unwrap().text().await.unwrap();
    assert!(page.contains("Shipmate was restarted and went on from here"), "{page}");
    stage.closes().await;
}
