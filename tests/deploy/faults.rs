//! Every outside call meets every fault: too many requests, errors, silence, broken connections, answers that are none; before the effect of
//! the call and after it. The deployment ends the same, by itself.
//!
//! The calls come from a recorded run, so a new one is covered by being there. By default all calls of a story meet a fault in one run, a run
//! for each kind of fault; each call alone with each fault, on the way forward and back, with its count and time:
//! `SHIPMATE_FAULT_EVERY=1 cargo test --test deploy faults -- --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures_util::{StreamExt, stream};
use shipmate::sandbox::faults::{Gate, Kind, When};

use crate::stage::Stage;
use crate::stories::{Effects, Story, plays};

/// Which of a call's occurrences meets the fault.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Which {
    First,
    Last,
}

/// What goes wrong, and when.
type Fault = (When, Kind);

/// What strikes at once. Slack's own codes are in its client's tests.
fn quick() -> Vec<Fault> {
    let error = |status| Kind::Status(status, "Server Error".to_owned());
    let before = [
        Kind::RateLimited(Some(0)),
        error(500),
        error(502),
        error(503),
        Kind::Html,
        Kind::HalfJson,
        Kind::Reset,
    ];
    let after = [error(500), error(502), Kind::Html, Kind::HalfJson, Kind::Reset];
    let before = before.into_iter().map(|kind| (When::Before, kind));
    before
        .chain(after.into_iter().map(|kind| (When::After, kind)))
        .collect()
}

/// What makes the caller wait: for its own deadline, or as long as the other side wants when it doesn't say how long.
fn slow() -> Vec<Fault> {
    vec![
        (When::Before, Kind::Hang),
        (When::After, Kind::Hang),
        (When::Before, Kind::RateLimited(None)),
    ]
}

/// A request line without numbers, names and SHAs: what kind of call it is.
fn call(line: &str) -> String {
    let varying = regex::Regex::new(r"/[0-9a-f]{40}\b|/\d+|/deploy-\d{8}(-\d+)?|/v\d+\.\d+\.\d+").unwrap();
    varying.replace_all(line, "/*").into_owned()
}

/// Counts calls, and has one go wrong when its turn comes.
#[derive(Default)]
struct Counter(Mutex<BTreeMap<String, usize>>);

impl Counter {
    fn counts(
        self: &Arc<Self>,
        on: &Stage,
        strikes: impl Fn(&str, usize, When) -> Option<Kind> + Send + Sync + 'static,
    ) {
        let counter = self.clone();
        let gate: Gate = Arc::new(move |line: &str, when| {
            let mut counted = counter.0.lock().unwrap();
            let seen = counted.entry(call(line)).or_default();
            *seen += usize::from(when == When::Before);
            strikes(&call(line), *seen, when)
        });
        on.github().faults().guard(Some(gate.clone()));
        on.slack().faults().guard(Some(gate));
    }

    fn calls(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap().clone()
    }
}

/// A story with what strikes; its effects and its calls.
async fn played(
    story: Story,
    strikes: impl Fn(&str, usize, When) -> Option<Kind> + Send + Sync + 'static,
) -> (Effects, BTreeMap<String, usize>) {
    let counter = Arc::<Counter>::default();
    let mut stage = story.stage().await;
    counter.counts(&stage, strikes);
    stage.boot().await;
    plays(&stage.sandbox, story).await;
    stage.stop().await;
    let effects = Effects::of(&stage.sandbox).await;
    stage.closes().await;
    (effects, counter.calls())
}

/// Whether a fault can strike this call: what looks like JSON to people may be git's, and a line that is opened is a line.
fn can_strike(call: &str, fault: &Fault) -> bool {
    let pushed_and_lost = call.contains(".git/") && fault.1 == Kind::HalfJson;
    !pushed_and_lost
}

/// Every call of a run meets this fault at its first occurrence.
async fn everything_meets(fault: Fault, calm: &Effects) {
    let struck = Arc::<Mutex<BTreeSet<String>>>::default();
    let (noted, (when, kind)) = (struck.clone(), fault.clone());
    let (effects, calls) = played(Story::Complete, move |call, _, now| {
        let strikes = now == when && can_strike(call, &fault);
        (strikes && noted.lock().unwrap().insert(call.to_owned())).then(|| kind.clone())
    })
    .await;
    assert!(effects == *calm, "{}\n{struck:#?}", effects.against(calm));
    let struck = struck.lock().unwrap().len();
    assert!(struck + 5 > calls.len() && struck > 20, "{struck} of {calls:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_meets_every_fault_in_one_run() {
    let (calm, _) = played(Story::Complete, |_, _, _| None).await;
    let met = stream::iter(quick()).map(|fault| everything_meets(fault, &calm));
    met.buffer_unordered(4).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_state_lands_even_when_slack_fails_until_the_end() {
    let (calm, _) = played(Story::AbortAtApprove, |_, _, _| None).await;
    let mut stage = Story::AbortAtApprove.stage().await;
    // From the second push on, which deletes the branch, no edit succeeds, and neither do the first two of the process that is told to end.
    let [undoing, ending] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let gate = {
        let (undoing, ending, refused) = (undoing, ending.clone(), AtomicUsize::new(0));
        move |call: &str, nth, when| {
            undoing.fetch_or(call.ends_with("git-receive-pack") && nth == 2, Relaxed);
            let strikes = call.contains("chat.update")
                && when == When::Before
                && undoing.load(Relaxed)
                && (!ending.load(Relaxed) || refused.fetch_add(1, Relaxed) < 2);
            strikes.then(|| Kind::Status(500, "Server Error".to_owned()))
        }
    };
    Arc::<Counter>::default().counts(&stage, gate);
    stage.boot().await;
    plays(&stage.sandbox, Story::AbortAtApprove).await;
    ending.store(true, Relaxed);
    stage.stop().await;
    let effects = Effects::of(&stage.sandbox).await;
    assert!(effects == calm, "{}", effects.against(&calm));
    stage.closes().await;
}

/// One call of a story meets one fault.
struct Case {
    story: Story,
    call: String,
    which: Which,
    fault: Fault,
}

impl Case {
    async fn outlives(self, calm: &Effects, occurrences: usize) -> Result<(), String> {
        let Self {
            story,
            call,
            which,
            fault,
        } = self;
        let at = match which {
            Which::First => 1,
            Which::Last => occurrences,
        };
        let name = format!("{story:?}, {which:?} {call}, {:?} {:?}", fault.0, fault.1);
        let struck = Arc::<Mutex<bool>>::default();
        let run = tokio::spawn(played(story, move |this, seen, now| {
            let strikes =
                this == call && now == fault.0 && seen >= at && !std::mem::replace(&mut *struck.lock().unwrap(), true);
            strikes.then(|| fault.1.clone())
        }));
        match run.await {
            Ok((effects, _)) if effects == *calm => Ok(()),
            Ok((effects, _)) => Err(format!("{name}:\n{}", effects.against(calm))),
            Err(panic) => Err(format!("{name}: {panic}")),
        }
    }
}

/// All cases of a story with these faults.
async fn each_alone(story: Story, which: Which, faults: Vec<Fault>, at_once: usize) {
    let Some(every) = std::env::var("SHIPMATE_FAULT_EVERY")
        .ok()
        .and_then(|every| every.parse().ok())
    else {
        return;
    };
    let began = Instant::now();
    let (calm, calls) = played(story, |_, _, _| None).await;
    let mut cases = Vec::new();
    for (call, occurrences) in &calls {
        for fault in faults.iter().filter(|fault| can_strike(call, fault)) {
            let (call, fault) = (call.clone(), fault.clone());
            cases.push((
                Case {
                    story,
                    call,
                    which,
                    fault,
                },
                *occurrences,
            ));
        }
    }
    let calm = &calm;
    let results: Vec<Result<(), String>> = stream::iter(cases.into_iter().step_by(every))
        .map(|(case, occurrences)| case.outlives(calm, occurrences))
        .buffer_unordered(at_once)
        .collect()
        .await;
    let count = results.len();
    let wrong: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    println!(
        "{story:?}: {count} faults of {} calls, {} wrong, {:.1} s",
        calls.len(),
        wrong.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_alone_on_the_way_forward() {
    each_alone(Story::Complete, Which::First, quick(), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_alone_on_the_way_back() {
    each_alone(Story::AbortAtApprove, Which::Last, quick(), 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_alone_in_silence() {
    each_alone(Story::Complete, Which::First, slow(), 40).await;
}
