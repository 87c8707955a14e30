//! What the dashboard shows, ready to be drawn: the views of all deployments. An ended one never changes, so it is read once; whatever was
//! drawn is kept until something changes or a second has passed, so that many viewers cost one drawing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use maud::Markup;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::names::Names;
use crate::deploy::Deployments;
use crate::deploy::stats::Run;
use crate::deploy::text::Medium;
use crate::deploy::view::{State, View};
use crate::saga::store::StoreError;
use crate::saga::{Actor, Engine};

/// Rows of the history on one page.
pub const PAGE: usize = 25;
/// Drawings kept at once; what people search for makes new ones without end.
const DRAWINGS: usize = 64;
/// Durations on a drawing are at most so old.
const FRESH: TimeDelta = TimeDelta::seconds(1);
/// Changes that come together are announced together.
const CALM: Duration = Duration::from_millis(250);

/// All deployments, as people see them.
pub struct Board {
    engine: Engine<Deployments>,
    ended: Mutex<HashMap<String, Arc<Entry>>>,
    drawings: Mutex<HashMap<String, Drawing>>,
    changes: watch::Sender<u64>,
}

struct Drawing {
    at: DateTime<Utc>,
    of: (u64, u64),
    markup: Markup,
}

/// One deployment.
pub struct Entry {
    /// Its view.
    pub view: View,
    /// What it adds to the numbers.
    pub run: Run,
}

/// What to show of the history.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Only this project; empty: all.
    pub project: String,
    /// Only those that stand so, by the state's serde name; empty: all.
    pub state: String,
    /// Only those with these words in id, version, people or pull requests.
    pub q: String,
    /// Counts from 1.
    pub page: usize,
}

impl Board {
    /// Over the engine; announces changes until `stop`.
    pub fn new(engine: Engine<Deployments>, stop: CancellationToken) -> Arc<Self> {
        let changes = watch::Sender::new(0);
        tokio::spawn(announce(engine.changes(), changes.clone(), stop));
        Arc::new(Self {
            engine,
            ended: Mutex::default(),
            drawings: Mutex::default(),
            changes,
        })
    }

    /// Counts changes, for whoever waits for the next one.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// All deployments of a project, or of all; newest first.
    ///
    /// # Errors
    /// If a journal can't be read.
    pub fn entries(&self, project: &str) -> Result<Vec<Arc<Entry>>, StoreError> {
        let heads = self.engine.store().heads();
        let mut entries = Vec::new();
        for head in heads.iter().rev() {
            if let Some(entry) = self.entry(&head.saga)?
                && (project.is_empty() || entry.view.project == project)
            {
                entries.push(entry);
            }
        }
        let mut ended = lock(&self.ended);
        if ended.len() > heads.len() {
            ended.retain(|id, _| heads.iter().any(|head| head.saga == *id));
        }
        Ok(entries)
    }

    fn entry(&self, id: &str) -> Result<Option<Arc<Entry>>, StoreError> {
        if let Some(known) = lock(&self.ended).get(id) {
            return Ok(Some(known.clone()));
        }
        let Some(journal) = self.engine.journal(id)? else {
            return Ok(None);
        };
        let history = journal.history();
        let view = View::of(id, &history);
        let run = Run::of(&view, &history);
        let entry = Arc::new(Entry { view, run });
        if entry.view.is_over() {
            lock(&self.ended).insert(id.to_owned(), entry.clone());
        }
        Ok(Some(entry))
    }

    /// What was drawn under this name lately, or what `draw` draws now. Whoever comes meanwhile waits for it instead of drawing, too.
    ///
    /// # Errors
    /// If drawing fails.
    pub fn drawn<E>(&self, name: &str, draw: impl FnOnce() -> Result<Markup, E>) -> Result<Markup, E> {
        let now = self.engine.clock().now();
        // The length of all journals, so that whoever has just pressed a button sees what it did before it is announced to others; and
        // what was announced, because what is in the store may not be in the views for a moment.
        let length = self.engine.store().heads().iter().map(|head| head.length).sum();
        let of = (length, *self.changes.borrow());
        let mut drawings = lock(&self.drawings);
        if let Some(drawing) = drawings.get(name)
            && drawing.of == of
            && now - drawing.at < FRESH
        {
            return Ok(drawing.markup.clone());
        }
        let markup = draw()?;
        if drawings.len() >= DRAWINGS {
            drawings.clear();
        }
        let drawing = Drawing {
            at: now,
            of,
            markup: markup.clone(),
        };
        drawings.insert(name.to_owned(), drawing);
        Ok(markup)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn announce(
    mut changed: tokio::sync::broadcast::Receiver<String>,
    changes: watch::Sender<u64>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            first = changed.recv() => if first == Err(RecvError::Closed) { return },
        }
        tokio::time::sleep(CALM).await;
        // All that came meanwhile is announced with it; a slow listener has missed some, which is the same.
        changed = changed.resubscribe();
        changes.send_modify(|count| *count += 1);
    }
}

impl Filter {
    /// Which of these to show, and how many there are in all.
    pub fn page_of<'a>(&self, entries: &'a [Arc<Entry>], names: &Names) -> (Vec<&'a View>, usize) {
        let all: Vec<&View> = entries
            .iter()
            .map(|entry| &entry.view)
            .filter(|view| self.takes(view, names))
            .collect();
        let count = all.len();
        let shown = all.into_iter().skip((self.number() - 1) * PAGE).take(PAGE).collect();
        (shown, count)
    }

    /// The page, counted from 1.
    pub fn number(&self) -> usize {
        self.page.max(1)
    }

    fn takes(&self, view: &View, names: &Names) -> bool {
        let state = self.state.is_empty() || self.state == state_name(view.state);
        let words = words_of(view, names);
        let said = self.q.to_lowercase();
        state && said.split_whitespace().all(|word| words.contains(word))
    }

    /// As a link's query, on another page.
    pub fn query(&self, page: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("project", &self.project), ("state", &self.state), ("q", &self.q)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        query.append_pair("page", &page.to_string()).finish()
    }
}

/// A state's name in filters.
pub fn state_name(state: State) -> String {
    match serde_json::to_value(state) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// Everything by which a deployment can be found, in lower case.
fn words_of(view: &View, names: &Names) -> String {
    let person = |actor: &Actor| format!("{} {}", Medium::Plain.person(actor), names.person(actor));
    let mut words = vec![view.id.clone(), person(&view.started_by)];
    words.extend(view.version.as_ref().map(|version| version.to.clone()));
    words.extend(view.decisions.iter().map(|decision| person(&decision.by)));
    let car = |car: &crate::deploy::train::Car| format!("#{} {} {}", car.number, car.title, car.author);
    words.extend(view.cars.iter().map(|view| car(&view.car)));
    words.join("\n").to_lowercase()
}
