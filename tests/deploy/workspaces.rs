//! The workspace is a cache: lost after any step, it is made anew, and everything that comes out of it has the same SHA.
//!
//! All steps: `SHIPMATE_CRASH_EVERY=1 cargo test --test deploy workspaces`.

use futures_util::{StreamExt, stream};
use shipmate::saga::Event;
use shipmate::sandbox::faults::When;
use shipmate::sandbox::play::REPO;

use crate::crashes::every;
use crate::mortal::{Death, Point};
use crate::stories::{Effects, Story, played, played_with};

/// Of so many steps one is played by default.
const EVERY: usize = 6;

async fn is_made_anew_after(at: Point, golden: &Effects) -> Result<(), String> {
    let death = Death {
        when: When::After,
        at: at.clone(),
    };
    let played = played_with(Story::Complete, &[death], |stage| {
        let _ = std::fs::remove_dir_all(stage.sandbox.workspaces());
    })
    .await;
    if played.died != 1 || played.effects != *golden {
        return Err(format!("{at:?}: {} died\n{:#?}", played.died, played.effects));
    }
    let outputs = played
        .stage
        .events("web-1")
        .into_iter()
        .filter_map(|event| match event {
            Event::StepCompleted { key, output, .. } if key == "commit_version_bump" => Some(output.to_string()),
            _ => None,
        });
    let commits: Vec<String> = outputs.collect();
    let pushed = played.stage.github().ledger(REPO).await;
    let pushed = pushed
        .iter()
        .rfind(|line| line.starts_with("git push deploy-"))
        .unwrap();
    let short = pushed.rsplit(' ').next().unwrap();
    match commits.as_slice() {
        [commit] if commit.contains(short) => Ok(()),
        _ => Err(format!("{at:?}: {commits:?} was journaled, and {pushed}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workspace_lost_after_any_step_is_made_anew() {
    let golden = played(Story::Complete, &[]).await;
    let is_step = |point: &Point| matches!(point, Point::Named { what, .. } if what.starts_with("journal step_"));
    let points: Vec<Point> = golden.life.points().into_iter().filter(is_step).collect();
    assert!(points.len() > 30, "{points:#?}");
    let chosen: Vec<Point> = points.into_iter().step_by(every(EVERY)).collect();
    let count = chosen.len();
    let golden = &golden.effects;
    let results: Vec<Result<(), String>> = stream::iter(chosen)
        .map(|at| is_made_anew_after(at, golden))
        .buffer_unordered(4)
        .collect()
        .await;
    let wrong: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    println!("a workspace lost after {count} steps: {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
