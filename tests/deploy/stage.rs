//! The rig: doubles that outlive the bot, people with verbs, waits with a limit that print the whole channel when it passes, and an
//! accounting at the end: Slack's rules were kept, nothing is left running, no workspace is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use shipmate::app::{self, Pace, Running, Setup};
use shipmate::config::Secrets;
use shipmate::saga::retry::RetryPolicy;
use shipmate::saga::store::{Memory, Store};
use shipmate::saga::{Clock, Event, Journal};
use shipmate::sandbox::faults::When;
use shipmate::sandbox::github::{self, GitHubDouble, Scenario, Scenarios};
use shipmate::sandbox::play::{Options, REPO, Sandbox};
use shipmate::sandbox::slack::{DEPLOYS, Message, SlackDouble, Tick, Workspace};

use crate::mortal::{Body, Life, MortalStore};

/// Longer than anything takes on a busy machine; a wait that passes has found a bug.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct Stage {
    pub sandbox: Sandbox,
    pub store: Memory,
    pub clock: Clock,
    /// What the collector of traces wants to see.
    pub otlp_headers: Option<SecretString>,
    running: Option<Running>,
    /// Of the bot that runs, if it is one that can be killed.
    body: Option<Body>,
}

/// Somebody in the workspace.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    stage: &'a Stage,
    id: &'static str,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(Scenario::Happy, |_| {}).await
    }

    pub async fn on(scenario: impl Into<Scenarios>) -> Self {
        Self::with(scenario, |_| {}).await
    }

    /// A stage whose project is configured differently.
    pub async fn with(scenario: impl Into<Scenarios>, configure: impl FnOnce(&mut shipmate::config::Project)) -> Self {
        let mut stage = Self::empty(scenario, configure).await;
        stage.boot().await;
        stage
    }

    /// A stage on which no bot runs yet.
    pub async fn empty(scenario: impl Into<Scenarios>, configure: impl FnOnce(&mut shipmate::config::Project)) -> Self {
        let mut stage = Self::of(Options {
            pace: github::Pace::Instant,
            scenario: scenario.into(),
            ..Options::default()
        })
        .await;
        configure(&mut stage.sandbox.config.projects[0]);
        stage
    }

    /// A stage with a sandbox of one's own, on which no bot runs yet.
    pub async fn of(options: Options) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // `RUST_LOG=shipmate=debug cargo test --test deploy NAME -- --nocapture` shows what the bot logs.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let sandbox = Sandbox::start(options).await.unwrap();
        Self {
            sandbox,
            store: Memory::default(),
            clock: Clock::system(),
            otlp_headers: None,
            running: None,
            body: None,
        }
    }

    /// A clock that tests move goes by itself, too, as long as the test runs: what waits on it is not to wait for ever.
    pub fn lets_time_pass(&self) {
        const TICK: Duration = Duration::from_millis(1);
        let clock = self.clock.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                clock.advance(chrono::TimeDelta::milliseconds(1));
            }
        });
    }

    /// Starts the bot over what the last one left behind.
    pub async fn boot(&mut self) {
        self.boot_over(self.store.clone()).await;
    }

    /// Starts the bot over a store of its own.
    pub async fn boot_over(&mut self, store: impl Store + 'static) {
        assert!(self.running.is_none(), "one bot at a time");
        let running = app::start(self.setup(Arc::new(store))).await.unwrap();
        tokio::time::timeout(LIMIT, running.ready())
            .await
            .expect("Slack's socket comes up");
        self.running = Some(running);
    }

    /// Starts a bot that lives this life: it may die before it is up.
    pub async fn boot_mortal(&mut self, life: &Arc<Life>) {
        assert!(self.running.is_none() && self.body.is_none(), "one bot at a time");
        for faults in [self.github().faults(), self.slack().faults()] {
            faults.guard(Some(life.gate()));
        }
        let store = MortalStore {
            data: self.store.clone(),
            life: life.clone(),
        };
        let body = Body::new();
        let starting = body.handle().spawn(app::start(self.setup(Arc::new(store))));
        self.body = Some(body);
        let up = async {
            let running = starting.await.unwrap().unwrap();
            running.ready().await;
            running
        };
        tokio::select! {
            running = tokio::time::timeout(LIMIT, up) => self.running = Some(running.expect("Slack's socket comes up")),
            () = life.ends() => {}
        }
    }

    /// The end of a life, wherever the bot stands; what was on its way to the doubles has landed.
    pub async fn is_killed(&mut self, life: &Life) {
        life.end();
        self.running = None;
        if let Some(body) = self.body.take() {
            body.dies().await;
        }
        self.slack().cut();
        tokio::time::timeout(LIMIT, life.has_landed()).await.unwrap();
        for faults in [self.github().faults(), self.slack().faults()] {
            faults.guard(None);
        }
    }

    fn setup(&self, store: Arc<dyn Store>) -> Setup {
        Setup {
            config: self.sandbox.config.clone(),
            secrets: Secrets {
                otlp_headers: self.otlp_headers.clone(),
                ..self.sandbox.secrets()
            },
            clock: self.clock.clone(),
            pace: Pace {
                retry: RetryPolicy {
                    base: Duration::from_millis(2),
                    max: Duration::from_millis(20),
                    attempts: 40,
                },
                card_gap: Duration::from_millis(5),
                settle: Duration::from_millis(1),
            },
            store: Some(store),
        }
    }

    /// Ends the bot in order, as SIGTERM does.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
        self.body = None;
    }

    pub async fn restart(&mut self) {
        self.stop().await;
        self.boot().await;
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().expect("the bot runs")
    }

    pub fn github(&self) -> &GitHubDouble {
        &self.sandbox.github
    }

    pub fn slack(&self) -> &SlackDouble {
        &self.sandbox.slack
    }

    fn person(&self, id: &'static str) -> Person<'_> {
        Person { stage: self, id }
    }

    pub fn ana(&self) -> Person<'_> {
        self.person("U0ANA")
    }

    pub fn ben(&self) -> Person<'_> {
        self.person("U0BEN")
    }

    pub fn eve(&self) -> Person<'_> {
        self.person("U0EVE")
    }

    /// The journal of a deployment, running or ended.
    pub fn journal(&self, id: &str) -> Journal {
        let found = self.running().engine.journal(id).unwrap();
        found.unwrap_or_else(|| {
            panic!(
                "there is no deployment {id}; the channel:\n{}",
                self.slack().transcript()
            )
        })
    }

    /// All events of a deployment by name, for messages.
    pub fn events(&self, id: &str) -> Vec<Event> {
        let records = self.store.load(id).unwrap();
        records.into_iter().map(|record| record.event).collect()
    }

    /// Whether somebody has called a deployment off.
    pub fn aborting(&self, id: &str) -> bool {
        self.journal(id).history().abort().is_some()
    }

    /// Waits until somebody sees a button with this label.
    pub async fn sees(&self, label: &str) {
        self.until(&format!("a button {label:?}"), |workspace| {
            let mut messages = workspace.messages.iter();
            messages.any(|message| has_button(message, label)).then_some(())
        })
        .await;
    }

    /// Waits until the channel or its threads read so.
    pub async fn reads(&self, text: &str) {
        self.until(&format!("{text:?} in the channel"), |workspace| {
            workspace.transcript().contains(text).then_some(())
        })
        .await;
    }

    pub async fn until<T>(&self, what: &str, look: impl Fn(&Workspace) -> Option<T>) -> T {
        match self.slack().wait_for(LIMIT, what, look).await {
            Ok(found) => found,
            Err(error) => panic!("{error}\nGitHub: {:#?}", self.github().ledger(REPO).await),
        }
    }

    /// Somebody changes something at GitHub, through its own protocol.
    pub async fn asks_github(&self, method: reqwest::Method, path: &str, body: Value) {
        let url = format!("{}/repos/{REPO}/{path}", self.github().api_url());
        let request = reqwest::Client::new()
            .request(method, url)
            .header("user-agent", "somebody")
            .bearer_auth(self.github().token());
        let answer = request.json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    /// Somebody acts once, at the first change at GitHub that this is about: before it happens, or before its answer goes out. Nothing can be
    /// faster.
    pub fn somebody_acts<F>(
        &self,
        when: When,
        about: impl Fn(&str) -> bool + Send + Sync + 'static,
        act: impl Fn(GitHubDouble) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()>,
    {
        let (github, done) = (self.github().clone(), AtomicBool::new(false));
        let hook = move |request: &str, now: When| {
            if now == when && about(request) && !done.swap(true, Ordering::SeqCst) {
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(act(github.clone())));
            }
        };
        self.github().faults().watch(Some(Arc::new(hook)));
    }

    /// Everything that GitHub shows.
    pub async fn snapshot(&self) -> Value {
        self.github().snapshot(REPO).await
    }

    /// The happy path up to the question that has this button.
    pub async fn plays_to(&self, label: &str) {
        self.ana().says("/deploy start").await;
        self.sees("Confirm").await;
        if label == "Confirm" {
            return;
        }
        self.ana().clicks("Confirm").await;
        self.sees("Approve").await;
        if label == "Approve" {
            return;
        }
        self.ben().clicks("Approve").await;
    }

    /// Ticks everything once it is shown.
    pub async fn ticks_everything(&self) {
        for (who, item) in [
            ("U0ANA", "Log in and out"),
            ("U0BEN", "Watch the error rate"),
            ("U0ANA", "Tell support"),
        ] {
            self.until(&format!("a box beside {item:?}"), |workspace| {
                let mut messages = workspace.messages.iter();
                messages.any(|message| has_box(message, item)).then_some(())
            })
            .await;
            self.slack().ticks_beside(who, item, Tick::On).await.unwrap();
        }
    }

    /// The end of a test: in order, and with everything accounted for.
    pub async fn closes(mut self) {
        self.stop().await;
        assert_eq!(self.slack().violations(), [] as [&str; 0], "Slack's rules are kept");
        let locks = self.store.scan("lock/").unwrap();
        assert_eq!(locks, [], "nothing is left running");
        let left = std::fs::read_dir(self.sandbox.workspaces())
            .map(|entries| entries.count())
            .unwrap_or(0);
        assert_eq!(left, 0, "no workspace is left");
    }
}

pub fn has_button(message: &Message, label: &str) -> bool {
    button(message, label).is_some()
}

/// The action of the button with this label.
pub fn button(message: &Message, label: &str) -> Option<String> {
    let rows = message.blocks.iter().filter_map(|block| block["elements"].as_array());
    let button = rows
        .flatten()
        .find(|element| element["type"] == "button" && element["text"]["text"] == label)?;
    Some(button["action_id"].as_str()?.to_owned())
}

/// Somebody types that a deployment is called off, is shown what that undoes, and presses Abort below it.
pub async fn calls_off(slack: &SlackDouble, who: &str, channel: &str, reason: &str) -> Result<(), String> {
    slack
        .says(who, channel, format!("/deploy abort {reason}").trim())
        .await?;
    let shown = slack.look(|workspace| {
        let seen = workspace.messages.iter().rev();
        let below = |message: &&Message| {
            message.only_for.as_deref() == Some(who) && button(message, "Abort").as_deref() == Some("abort_now")
        };
        seen.into_iter().find(below).map(|message| message.ts.clone())
    });
    let ts = shown.ok_or_else(|| format!("{who} is not shown what an abort would undo"))?;
    slack.clicks(who, channel, &ts, "abort_now").await
}

fn has_box(message: &Message, beside: &str) -> bool {
    message.blocks.iter().any(|block| {
        let text = block["text"]["text"].as_str().unwrap_or_default();
        block["accessory"]["type"] == "checkboxes" && text.contains(beside)
    })
}

impl Person<'_> {
    /// Types in the deploy channel; answers with what only they see.
    pub async fn says(&self, text: &str) -> String {
        let slack = self.stage.slack();
        let reply = slack.says(self.id, DEPLOYS, text).await;
        let reply = reply.unwrap_or_else(|error| panic!("{text}: {error}"));
        slack.look(|workspace| workspace.reads_reply(&reply))
    }

    pub async fn clicks(&self, label: &str) {
        self.stage.slack().clicks_label(self.id, label).await.unwrap();
    }

    /// Whether none of the messages that stand has a button with this label.
    pub fn finds_no(&self, label: &str) -> bool {
        let slack = self.stage.slack();
        slack.look(|workspace| !workspace.messages.iter().any(|message| has_button(message, label)))
    }

    /// Presses Abort, reads the dialogue, gives a reason, and presses Abort again.
    pub async fn aborts(&self, reason: &str) {
        self.clicks("Abort").await;
        self.stage
            .until("the abort dialogue", |workspace| workspace.open_view(self.id).map(drop))
            .await;
        let given = BTreeMap::from([("reason".to_owned(), vec![reason.to_owned()])]);
        assert_eq!(self.stage.slack().submits_view(self.id, given).await.unwrap(), None);
    }

    /// Types that a deployment is called off, and presses Abort below what that would undo.
    pub async fn aborts_by_word(&self, reason: &str) {
        calls_off(self.stage.slack(), self.id, DEPLOYS, reason).await.unwrap();
    }

    /// What only they see, newest last.
    pub fn private(&self, workspace: &Workspace) -> Vec<String> {
        let only = workspace
            .visible(DEPLOYS, self.id)
            .filter(|message| message.only_for.is_some());
        only.map(|message| workspace.reads(message)).collect()
    }

    /// Waits until a private answer reads so.
    pub async fn is_told(&self, text: &str) {
        self.stage
            .until(&format!("{text:?} for {} alone", self.id), |workspace| {
                self.private(workspace)
                    .iter()
                    .any(|message| message.contains(text))
                    .then_some(())
            })
            .await;
    }
}
