//! Nothing lost, nothing twice: the process dies at each write of its journal, before and after it is durable, and at each of its effects
//! outside, before and after it takes place; forward, while people are asked and while unwinding; once, and again during the recovery. It
//! is started again, and what is left at GitHub and in Slack equals what the run without a crash leaves.
//!
//! The points come from a recorded run, so a new step is covered by being there. By default a sample is played, spread over all stories;
//! all of it, with its count and time: `SHIPMATE_CRASH_EVERY=1 cargo test --test deploy crashes -- --nocapture`.

use std::time::Instant;

use futures_util::{StreamExt, stream};
use shipmate::sandbox::faults::When;

use crate::mortal::{Death, Point, Sort};
use crate::stories::{Effects, Played, STORIES, Story, played};

/// Of so many cases one is played by default. Odd, so that deaths before and after, and one and two of them, are all among them.
const EVERY: usize = 131;
/// Cases at once: each waits for git most of the time.
const AT_ONCE: usize = 4;

/// What follows the first death: nothing, or another in the recovery, at these places in turn.
fn second(number: usize) -> Death {
    let (when, sort, nth) = [
        (When::Before, Sort::Commit, 0),
        (When::After, Sort::Commit, 0),
        (When::Before, Sort::Effect, 0),
        (When::After, Sort::Effect, 0),
        (When::After, Sort::Commit, 1),
        (When::Before, Sort::Commit, 2),
        (When::After, Sort::Effect, 1),
    ][number % 7];
    Death {
        when,
        at: Point::Any { sort, nth },
    }
}

/// Each point of a recorded life, before and after it, alone and with a second death.
fn cases(points: &[Point]) -> Vec<Vec<Death>> {
    let mut cases = Vec::new();
    for point in points {
        for when in [When::Before, When::After] {
            let death = Death {
                when,
                at: point.clone(),
            };
            cases.push(vec![death.clone()]);
            cases.push(vec![death, second(cases.len() / 2)]);
        }
    }
    cases
}

/// What is wrong with a case, or how many processes died in it.
async fn account(story: Story, deaths: Vec<Death>, golden: &Effects) -> Result<usize, String> {
    let Played {
        effects, died, stage, ..
    } = played(story, &deaths).await;
    if effects != *golden {
        let transcript = stage.slack().transcript();
        let events = stage.events("web-1");
        return Err(format!(
            "{story:?} with {deaths:?}, against the run without a crash:\n{}\n{transcript}\n{events:#?}",
            effects.against(golden)
        ));
    }
    stage.closes().await;
    Ok(died)
}

/// Of so many cases one is played.
pub fn every(default: usize) -> usize {
    crate::asked_for("SHIPMATE_CRASH_EVERY", default)
}

async fn survives_every_crash(story: Story) {
    let began = Instant::now();
    let golden = played(story, &[]).await;
    let all = cases(&golden.life.points());
    let every = every(EVERY);
    // Stories begin at different places, so that a sample is spread.
    let chosen: Vec<Vec<Death>> = all
        .iter()
        .skip(story as usize * every / STORIES)
        .step_by(every)
        .cloned()
        .collect();
    let count = chosen.len();
    let golden = &golden.effects;
    let results = stream::iter(chosen)
        .map(|deaths| async move { account(story, deaths, golden).await })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let deaths: usize = results.iter().flatten().sum();
    let wrong: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    println!(
        "{story:?}: {count} of {} cases, {deaths} deaths, {} wrong, {:.1} s",
        all.len(),
        wrong.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(
        wrong.is_empty(),
        "{} of {count} cases:\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
    assert!(
        all.len() > 100 && deaths > 0,
        "{deaths} deaths in {count} of {} cases",
        all.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward() {
    survives_every_crash(Story::Complete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_to_closed_issues() {
    survives_every_crash(Story::CloseIssues).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn called_off_at_the_list() {
    survives_every_crash(Story::AbortAtConfirm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn called_off_at_the_point_of_no_return() {
    survives_every_crash(Story::AbortAtApprove).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_left_out() {
    survives_every_crash(Story::SkipOne).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_after_the_point_of_no_return() {
    survives_every_crash(Story::StopAfterThePivot).await;
}
