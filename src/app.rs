//! The wiring: from configuration and secrets to a running Shipmate, and back down again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bot::audience::Audiences;
use crate::bot::plan::Planner;
use crate::bot::projector::Projector;
use crate::bot::slots::Slots;
use crate::bot::{Bot, housekeeping};
use crate::config::{Config, GitHubSecret, Project, Secrets, SlackSecret};
use crate::control::{self, Socket};
use crate::deploy::decide::Desk;
use crate::deploy::people::People;
use crate::deploy::world::World;
use crate::deploy::{Connect, Deployments, workspace_root};
use crate::git::Credentials;
use crate::git::cli::GitCli;
use crate::github::auth::TokenSource;
use crate::github::rest::RestGitHub;
use crate::metrics;
use crate::saga::retry::RetryPolicy;
use crate::saga::sled_store::SledStore;
use crate::saga::store::{Store, StoreError};
use crate::saga::{Clock, Engine};
use crate::slack::client::SlackClientApi;
use crate::slack::socket::SocketMode;
use crate::slack::{Slack, http};
use crate::traces::{Collector, Tracer};
use crate::web;
use crate::web::dashboard::Dashboard;

/// A drain may take this long, so that a supervisor that waits ten seconds never has to kill us.
const DRAIN: Duration = Duration::from_secs(8);

/// What a Shipmate is made of.
pub struct Setup {
    /// Its configuration.
    pub config: Config,
    /// Its secrets.
    pub secrets: Secrets,
    /// Time.
    pub clock: Clock,
    /// Waits that differ between the real world and a double on this machine.
    pub pace: Pace,
    /// Where journals are kept; `None`: on disk, in the configuration's `data_dir`.
    pub store: Option<Arc<dyn Store>>,
}

/// Waits that differ between the real world and a double on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between failed attempts.
    pub retry: RetryPolicy,
    /// Between two rounds of a deployment's messages.
    pub card_gap: Duration,
    /// How long a write whose reply was lost may still land: GitHub gives up on a request after 10 s.
    pub settle: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: RetryPolicy::default(),
            card_gap: Duration::from_millis(1100),
            settle: Duration::from_secs(12),
        }
    }
}

impl Pace {
    /// For doubles on this machine, whose replies are never late; slow enough to follow, or not.
    pub fn sandbox(human: bool) -> Self {
        let millis = if human { 900 } else { 40 };
        Self {
            retry: RetryPolicy {
                base: Duration::from_millis(millis / 2),
                max: Duration::from_millis(millis * 4),
                ..RetryPolicy::default()
            },
            card_gap: Duration::from_millis(millis),
            settle: Duration::from_millis(millis / 4),
        }
    }
}

/// A running Shipmate.
pub struct Running {
    /// Where the HTTP server listens.
    pub address: SocketAddr,
    /// All deployments.
    pub engine: Engine<Deployments>,
    socket: Option<SocketMode>,
    projector: tokio::task::JoinHandle<()>,
    server: tokio::task::JoinHandle<()>,
    control: tokio::task::JoinHandle<()>,
    stop: CancellationToken,
}

/// Starts everything and goes on with what was running when the last process ended.
///
/// # Errors
/// One sentence with the mend.
pub async fn start(setup: Setup) -> Result<Running, String> {
    let Setup {
        config,
        secrets,
        clock,
        pace,
        store,
    } = setup;
    metrics::install();
    let store = match store {
        Some(store) => store,
        None => Arc::new(SledStore::open(&config.data_dir).map_err(|error| error.to_string())?) as Arc<dyn Store>,
    };
    let listener = TcpListener::bind(config.server.listen).await.map_err(|error| {
        format!(
            "can't listen on {}: {error}; change `listen` in [server]",
            config.server.listen
        )
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let control = Socket::open(&config.data_dir)?;
    let slack = SlackClientApi::new(&config.slack.api_url, secrets.slack_bot_token.clone())
        .map_err(|error| format!("the Slack client can't be made: {error}"))?;
    let slack: Arc<dyn Slack> = Arc::new(slack);
    let config = Arc::new(config);
    let slots = Slots::new(store.clone());
    let connect = connect(&config, secrets.github, slack.clone(), slots.clone(), pace);
    let planner = Planner::new(connect.clone(), pace.retry, clock.clone());
    let engine = Engine::new(Deployments::new(connect), store, clock, pace.retry);
    let stop = CancellationToken::new();
    let projector = Projector::new(
        engine.clone(),
        slack.clone(),
        slots,
        Audiences::new(config.clone(), engine.store().clone()),
        pace.card_gap,
        stop.clone(),
    );
    let projector = tokio::spawn(projector.run());
    tokio::spawn(keep_metrics_up(stop.clone()));
    tokio::spawn(housekeeping::keep_house(
        engine.clone(),
        config.history.keep as usize,
        stop.clone(),
    ));
    if let Some(traces) = &config.traces {
        let collector = Collector::new(traces, secrets.otlp_headers.as_ref())?;
        tokio::spawn(Tracer::new(engine.clone(), collector).run(stop.clone()));
    }
    let recovered = engine.recover().map_err(|error| error.to_string())?;
    for id in recovered {
        tracing::info!(deployment = %id, "goes on where it was");
    }
    let people = Arc::new(People::new(slack.clone(), engine.clock().clone()));
    let desk = Desk::new(config.clone(), engine.clone(), people);
    let control = tokio::spawn(control.serve(
        control::State {
            engine: engine.clone(),
            config: config.clone(),
            planner: planner.clone(),
            desk: desk.clone(),
            slack: slack.clone(),
        },
        stop.clone(),
    ));
    let bot = Bot::new(config.clone(), engine.clone(), slack, desk.clone(), planner);
    tokio::spawn(bot.clone().serve_the_queues(stop.clone()));
    let bot = Arc::new(bot);
    let (socket, slack_routes) = match secrets.slack {
        SlackSecret::AppToken(token) => {
            let socket = SocketMode::start(&config.slack.api_url, token, bot).await;
            let socket = socket.map_err(|error| format!("Socket Mode can't be started: {error}"))?;
            (Some(socket), None)
        }
        SlackSecret::SigningSecret(secret) => (None, Some(http::router(secret, bot))),
    };
    let connected = socket.as_ref().map(SocketMode::connected);
    let dashboard = Dashboard::new(
        config.clone(),
        engine.clone(),
        desk,
        secrets.dashboard_token,
        stop.clone(),
    )?;
    let mut routes = web::router(web::State {
        engine: engine.clone(),
        readiness: Default::default(),
        dashboard,
        config,
        slack_connected: connected,
        webhook_secret: secrets.github_webhook_secret,
    });
    if let Some(slack_routes) = slack_routes {
        routes = routes.merge(slack_routes);
    }
    let closing = stop.clone();
    let server = tokio::spawn(async move {
        let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
        let served = axum::serve(listener, routes).with_graceful_shutdown(closing.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the HTTP server ended");
        }
    });
    Ok(Running {
        address,
        engine,
        socket,
        projector,
        server,
        control,
        stop,
    })
}

/// Timings must not pile up when nobody reads them.
async fn keep_metrics_up(stop: CancellationToken) {
    const EVERY: Duration = Duration::from_secs(30);
    while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        metrics::keep_up();
    }
}

impl Running {
    /// Whether Slack's socket is up; `true` in HTTP mode.
    pub async fn ready(&self) {
        if let Some(socket) = &self.socket {
            let mut connected = socket.connected();
            let _ = connected.wait_for(|up| *up).await;
        }
    }

    /// Resolves when the store has failed, after which nothing is accepted any more.
    pub async fn failed(&self) -> StoreError {
        let mut fatal = self.engine.fatal();
        loop {
            if let Some(error) = fatal.borrow_and_update().clone() {
                return error;
            }
            if fatal.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Stops taking messages, suspends every deployment at its next journal boundary, and shows what happened last.
    pub async fn shutdown(self) {
        let down = async {
            if let Some(socket) = self.socket {
                socket.shutdown().await;
            }
            self.engine.drain(DRAIN).await;
            self.stop.cancel();
            let _ = self.projector.await;
            let _ = self.control.await;
        };
        if tokio::time::timeout(DRAIN, down).await.is_err() {
            tracing::warn!("shutting down took too long; what was cut off is looked for at the next start");
        }
        self.server.abort();
    }
}

/// The token of one repository, for git and for the API.
struct GitToken(Arc<TokenSource>);

#[async_trait]
impl Credentials for GitToken {
    async fn token(&self) -> Result<SecretString, String> {
        self.0.token().await.map_err(|error| error.to_string())
    }
}

/// How deployments reach the outside. Clients are made once a repository and shared, so that limits and pauses hold over all of them.
fn connect(
    config: &Arc<Config>,
    secret: GitHubSecret,
    slack: Arc<dyn Slack>,
    slots: Slots,
    pace: Pace,
) -> Arc<Connect> {
    let config = config.clone();
    let clients = std::sync::Mutex::new(std::collections::HashMap::new());
    Arc::new(move |project: &Project| {
        let mut clients = clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (github, git) = match clients.get(&project.repo) {
            Some(known) => Clone::clone(known),
            None => {
                let made = clients_for(&config, &secret, project)?;
                clients.insert(project.repo.clone(), made.clone());
                made
            }
        };
        Ok(World {
            project: project.clone(),
            github,
            git,
            slack: slack.clone(),
            thread: Arc::new(slots.clone()),
            workspace_root: workspace_root(config.workspace_root.as_ref()),
            settle: pace.settle,
        })
    })
}

/// A project's repository over the API.
///
/// # Errors
/// One sentence: the App's key, or the system's certificates.
pub fn reach(config: &Config, secret: &GitHubSecret, project: &Project) -> Result<Arc<RestGitHub>, String> {
    clients_for(config, secret, project).map(|(github, _)| github)
}

type Clients = (Arc<RestGitHub>, Arc<GitCli>);

fn clients_for(config: &Config, secret: &GitHubSecret, project: &Project) -> Result<Clients, String> {
    let api_url = &config.github.api_url;
    let tokens = match secret {
        GitHubSecret::Token(token) => TokenSource::personal(token.clone()),
        GitHubSecret::AppPrivateKey(key) => {
            let app_id = config.github.app_id.ok_or("`app_id` is missing in [github]")?;
            TokenSource::app(
                api_url,
                app_id,
                key,
                config.github.installation_id,
                project.repo.clone(),
            )
            .map_err(|error| error.to_string())?
        }
    };
    let tokens = Arc::new(tokens);
    let github = RestGitHub::new(api_url, project.repo.clone(), tokens.clone())
        .map_err(|error| error.to_string())?
        .with_write_gap(config.github.write_gap);
    let url = format!("{}/{}.git", config.github.git_url.trim_end_matches('/'), project.repo);
    Ok((Arc::new(github), Arc::new(GitCli::new(url, Arc::new(GitToken(tokens))))))
}
