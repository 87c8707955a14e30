//! What the toy train doesn't use: signals that decide, questions beside others, steps that remember how far they were, and taking back
//! what a step said it made.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::saga::clock::Clock;
use crate::saga::engine::TooLate;
use crate::saga::history::CheckpointState;
use crate::saga::journal::AppendError;
use crate::saga::retry::RetryPolicy;
use crate::saga::run::{Checkpoint, Core, Undecidable};
use crate::saga::store::Memory;
use crate::saga::{
    Actor, Compensate, Context, Effect, Engine, Event, Journal, Outcome, Registry, Saga, Step, StepError, Stop,
    Workflow,
};

use super::toy::{ana, ben, events, noon, sees, sees_end, sees_open, settles};

const PAGES: u32 = 3;

/// What was done, in order.
type Notes = Mutex<Vec<String>>;

/// Prints page after page, a minute each.
#[derive(Serialize, Deserialize)]
struct Print;

impl Step<Notes> for Print {
    const KIND: &'static str = "print";
    type Output = u32;

    async fn run(&self, cx: &Context<'_, Notes>) -> Result<u32, StepError> {
        for page in cx.progress().unwrap_or(0)..PAGES {
            note(cx.world, format!("{} page {page}", cx.saga()));
            cx.report(&(page + 1)).await?;
            cx.pause(Duration::from_secs(60)).await?;
        }
        Ok(PAGES)
    }

    async fn observe(&self, cx: &Context<'_, Notes>) -> Result<Option<u32>, StepError> {
        note(cx.world, "looked".to_owned());
        Ok(None)
    }
}

impl Compensate<Notes> for Print {
    async fn compensate(&self, cx: &Context<'_, Notes>, output: Option<u32>) -> Result<Vec<String>, StepError> {
        note(cx.world, format!("shredded {output:?}"));
        Ok(Vec::new())
    }
}

/// Looks at nothing: there is nothing to take back.
#[derive(Serialize, Deserialize)]
struct Look;

impl Step<Notes> for Look {
    const KIND: &'static str = "look";
    type Output = ();

    async fn run(&self, _: &Context<'_, Notes>) -> Result<(), StepError> {
        Ok(())
    }

    async fn observe(&self, _: &Context<'_, Notes>) -> Result<Option<()>, StepError> {
        Ok(None)
    }
}

/// Waits for something that tells nobody when it is over.
#[derive(Serialize, Deserialize)]
struct Dry;

impl Step<Notes> for Dry {
    const KIND: &'static str = "dry";
    type Output = ();

    async fn run(&self, cx: &Context<'_, Notes>) -> Result<(), StepError> {
        note(cx.world, "hung up".to_owned());
        cx.settle(Duration::from_secs(12)).await?;
        note(cx.world, "dry".to_owned());
        Ok(())
    }

    async fn observe(&self, _: &Context<'_, Notes>) -> Result<Option<()>, StepError> {
        Ok(None)
    }
}

fn note(notes: &Notes, what: String) {
    notes.lock().unwrap().push(what);
}

/// Prints, asks about the weather beside, and has two people vote.
struct Poll {
    notes: Arc<Notes>,
    registry: Registry<Notes>,
}

fn two_votes(state: &CheckpointState) -> Option<(&'static str, Actor)> {
    let (by, ..) = state.signals.get(1)?;
    Some(("go", by.clone()))
}

impl Workflow for Poll {
    type World = Notes;
    const VERSION: u32 = 1;

    fn world(&self, _: &str, _: &Value) -> Result<Arc<Notes>, String> {
        Ok(self.notes.clone())
    }

    fn registry(&self) -> &Registry<Notes> {
        &self.registry
    }

    async fn run(&self, saga: &Saga<Notes>, _: &Value) -> Result<(), Stop> {
        saga.read("look", Look).await?;
        saga.step("print", Print).await?;
        let weather = Checkpoint {
            choices: vec!["sun", "none"],
            ..Checkpoint::default()
        };
        saga.ask("weather", weather).await?;
        let vote = Checkpoint {
            choices: vec!["go", "no"],
            settles: Some(two_votes),
            ..Checkpoint::default()
        };
        if saga.checkpoint("vote", vote).await?.choice == "no" {
            return Err(Stop::Ended("the vote said no".to_owned()));
        }
        saga.lapse("weather", "none").await?;
        let weather = saga.answer("weather").await?;
        note(&self.notes, format!("weather: {} by {:?}", weather.choice, weather.by));
        Ok(())
    }

    async fn wind_down(&self, _: &Saga<Notes>, _: &Value) -> Result<(), Stop> {
        Ok(())
    }
}

/// What outlives processes.
struct Press {
    data: Memory,
    notes: Arc<Notes>,
    clock: Clock,
}

impl Press {
    fn new() -> Self {
        Self {
            data: Memory::default(),
            notes: Arc::default(),
            clock: Clock::manual(noon()),
        }
    }

    fn engine(&self) -> Engine<Poll> {
        let poll = Poll {
            notes: self.notes.clone(),
            registry: Registry::default().with::<Print>(),
        };
        let retry = RetryPolicy {
            base: Duration::ZERO,
            max: Duration::ZERO,
            attempts: 3,
        };
        Engine::new(poll, Arc::new(self.data.clone()), self.clock.clone(), retry)
    }

    async fn starts(&self, engine: &Engine<Poll>) -> Journal {
        let id = engine.start("web", ana(), json!({}), Vec::new()).await.unwrap();
        engine.journal(&id).unwrap().unwrap()
    }

    /// Until so many pages are printed.
    async fn prints(&self, journal: &Journal, pages: u32) {
        sees(journal, "the page", |history| {
            (history.step("print")?.progress == Some(json!(pages))).then_some(())
        })
        .await;
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

/// Everything is printed, and people vote.
async fn at_the_vote() -> (Press, Engine<Poll>, Journal) {
    let press = Press::new();
    let engine = press.engine();
    let journal = press.starts(&engine).await;
    for page in 1..=PAGES {
        press.prints(&journal, page).await;
        press.clock.advance(TimeDelta::seconds(61));
    }
    sees_open(&journal, "vote").await;
    (press, engine, journal)
}

#[tokio::test]
async fn signals_decide_once_they_suffice_and_a_question_without_a_point_lapses() {
    let (press, engine, journal) = at_the_vote().await;
    let votes = async |by: Actor| {
        let vote = engine.signal(&journal, "vote", by, json!("go"), Vec::new());
        vote.await.unwrap();
    };
    votes(ana()).await;
    assert!(sees_open(&journal, "vote").await.decided.is_none());
    votes(ben()).await;
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    let history = journal.history();
    let decided = history.checkpoint("vote").unwrap().decided.clone().unwrap();
    assert_eq!((decided.choice.as_str(), decided.by), ("go", ben()));
    assert_eq!(press.notes().last().unwrap(), "weather: none by Shipmate");
}

#[tokio::test]
async fn what_a_person_has_answered_does_not_lapse() {
    let (press, engine, journal) = at_the_vote().await;
    for (key, choice) in [("weather", "sun"), ("vote", "go")] {
        let decided = engine.decide(&journal, key, choice, ben(), json!({}), Vec::new());
        decided.await.unwrap();
    }
    assert_eq!(sees_end(&journal).await, Outcome::Completed);
    assert_eq!(press.notes().last().unwrap(), r#"weather: sun by Slack("UBEN")"#);
}

#[tokio::test]
async fn a_vote_that_comes_after_the_end_is_refused() {
    let (_press, engine, journal) = at_the_vote().await;
    engine.abort(&journal, ana(), None, Vec::new()).await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    let late = engine.signal(&journal, "vote", ben(), json!("go"), Vec::new()).await;
    assert!(
        matches!(late, Err(AppendError::Refused(Undecidable::NotOpen))),
        "{late:?}"
    );
}

#[tokio::test]
async fn whoever_listens_hears_of_each_saga_that_grows() {
    let press = Press::new();
    let engine = press.engine();
    let mut changes = engine.changes();
    let journal = press.starts(&engine).await;
    press.prints(&journal, 1).await;
    assert_eq!(changes.recv().await.unwrap(), "web-1");
    while changes.try_recv().is_ok() {}
    press.clock.advance(TimeDelta::seconds(61));
    press.prints(&journal, 2).await;
    assert_eq!(changes.recv().await.unwrap(), "web-1");
}

#[tokio::test]
async fn a_step_goes_on_from_what_it_reported_last() {
    let press = Press::new();
    let engine = press.engine();
    let journal = press.starts(&engine).await;
    press.prints(&journal, 1).await;
    press.clock.advance(TimeDelta::seconds(61));
    press.prints(&journal, 2).await;
    engine.drain(Duration::ZERO).await;

    let engine = press.engine();
    let id = engine.recover().unwrap().remove(0);
    let journal = engine.journal(&id).unwrap().unwrap();
    press.prints(&journal, 3).await;
    assert_eq!(
        press.notes(),
        ["web-1 page 0", "web-1 page 1", "looked", "web-1 page 2"]
    );
}

#[tokio::test]
async fn taking_back_hears_what_was_made_and_touches_nothing_else() {
    let (press, engine, journal) = at_the_vote().await;
    let decided = engine.decide(&journal, "vote", "no", ben(), json!({}), Vec::new());
    decided.await.unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    assert_eq!(press.notes().last().unwrap(), "shredded Some(3)");
    let touched: Vec<_> = events(&journal.history())
        .into_iter()
        .filter_map(|event| match event {
            Event::CompensationStarted { key } | Event::CompensationFailed { key, .. } => Some(key),
            _ => None,
        })
        .collect();
    assert_eq!(touched, ["print"]);
    let effects: Vec<_> = journal.history().steps().iter().map(|step| step.effect).collect();
    assert_eq!(effects, [Effect::Read, Effect::Compensable]);
}

#[tokio::test]
async fn taking_back_an_attempt_in_doubt_knows_no_output() {
    let press = Press::new();
    let engine = press.engine();
    let journal = press.starts(&engine).await;
    press.prints(&journal, 1).await;
    engine.abort(&journal, ana(), None, Vec::new()).await.unwrap();
    let again = engine.abort(&journal, ben(), None, Vec::new()).await;
    assert!(
        matches!(again, Err(AppendError::Refused(TooLate::Unwinding))),
        "{again:?}"
    );
    engine.drain(Duration::ZERO).await;

    let engine = press.engine();
    engine.recover().unwrap();
    let journal = engine.journal(journal.id()).unwrap().unwrap();
    assert_eq!(sees_end(&journal).await, Outcome::Undone);
    assert_eq!(press.notes().last().unwrap(), "shredded None");
}

/// A step that waits for something to settle, and its saga's bell and end.
async fn drying() -> (Press, Core, tokio::task::JoinHandle<Result<(), Stop>>) {
    let press = Press::new();
    let journal = Journal::new("web-1", Arc::new(press.data.clone()), press.clock.clone(), Vec::new());
    let started = Event::SagaStarted {
        workflow_version: 1,
        project: "web".to_owned(),
        by: ana(),
        input: Value::Null,
    };
    journal.append(started).await.unwrap();
    let core = Core {
        journal,
        wake: Arc::default(),
        drain: CancellationToken::new(),
        retry: RetryPolicy::default(),
        remind_after: None,
    };
    // Somebody rang before it began.
    core.wake.notify_one();
    let saga = Saga::new(press.notes.clone(), core.clone());
    let step = tokio::spawn(async move { saga.read("dry", Dry).await });
    settles().await;
    assert_eq!(press.notes(), ["hung up"]);
    (press, core, step)
}

#[tokio::test]
async fn what_must_settle_is_waited_for_whoever_rings() {
    let (press, core, step) = drying().await;
    core.wake.notify_waiters();
    core.wake.notify_one();
    settles().await;
    press.clock.advance(TimeDelta::seconds(11));
    settles().await;
    assert_eq!(press.notes(), ["hung up"]);
    press.clock.advance(TimeDelta::seconds(1));
    step.await.unwrap().unwrap();
    assert_eq!(press.notes(), ["hung up", "dry"]);
}

#[tokio::test]
async fn the_end_of_the_process_waits_for_nothing_to_settle() {
    let (press, core, step) = drying().await;
    core.drain.cancel();
    assert!(matches!(step.await.unwrap(), Err(Stop::Suspended)));
    assert_eq!(press.notes(), ["hung up"]);
}
