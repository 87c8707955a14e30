//! What every page must be: usable by those who can't see it, at any width, in any light, and without scripts.

use serde_json::Value;

use crate::stage::Stage;
use crate::tab::{Light, Screen, Tab};

const AXE: &str = include_str!("axe.min.js");

/// What axe finds that keeps somebody out, one line each.
async fn barriers(tab: &Tab) -> Vec<String> {
    tab.reads(AXE).await;
    let found = tab
        .reads("axe.run(document, { resultTypes: ['violations'] }).then((found) => found.violations)")
        .await;
    let grave = |violation: &&Value| matches!(violation["impact"].as_str(), Some("serious" | "critical"));
    let line = |violation: &Value| format!("{}: {}", violation["id"], violation["nodes"][0]["html"]);
    let found = found.as_array().cloned().unwrap_or_default();
    found.iter().filter(grave).map(line).collect()
}

/// In both lights, on a desk and on a phone.
pub async fn is_for_everybody(tab: &Tab, name: &str) {
    let mut wrong = Vec::new();
    for (light, screen) in [
        (Light::Light, Screen::Desk),
        (Light::Dark, Screen::Desk),
        (Light::Light, Screen::Phone),
        (Light::Dark, Screen::Phone),
    ] {
        tab.looks_in(light, screen).await;
        let mode = format!("{name}-{light:?}-{screen:?}").to_lowercase();
        tab.is_pictured_as(&mode).await;
        wrong.extend(
            barriers(tab)
                .await
                .into_iter()
                .map(|barrier| format!("{mode}: {barrier}")),
        );
        let beyond = tab
            .reads("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            .await;
        if beyond != 0 {
            wrong.push(format!("{mode} scrolls sideways"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn every_page_is_for_everybody() {
    let stage = Stage::new().await;
    let channel = stage.channel().await;
    channel.says("/deploy start").await;
    channel.sees("Is this the train?").await;
    is_for_everybody(&channel, "channel").await;
    let dashboard = stage.dashboard("/").await;
    dashboard.sees("to confirm the list").await;
    is_for_everybody(&dashboard, "overview").await;
    dashboard.opens(&stage.address("/deployments/web-1")).await;
    dashboard.sees("to confirm the list").await;
    is_for_everybody(&dashboard, "deployment").await;
    dashboard.opens(&stage.address("/stats")).await;
    is_for_everybody(&dashboard, "stats").await;
    dashboard.opens(&stage.address("/sign-in")).await;
    is_for_everybody(&dashboard, "sign-in").await;
    stage.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium; .ci/run runs it"]
async fn without_scripts_the_dashboard_shows_the_same() {
    let stage = Stage::new().await;
    let channel = stage.channel().await;
    channel.says("/deploy start").await;
    channel.sees("Is this the train?").await;
    let plain = stage.tab().await;
    plain.without_scripts().await;
    plain.opens(&stage.address("/")).await;
    assert!(plain.text().await.contains("to confirm the list"));
    stage.ends().await;
}
