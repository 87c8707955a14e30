//! The control socket: `data_dir/control.sock`, through which the command line drives Shipmate on the day that Slack is down. HTTP and JSON.
//!
//! 1. Only the user that runs Shipmate (and root) gets in: the socket has mode 0600, and the directory is closed before it is made.
//! 2. Who acts is the login of the connecting process, as the kernel tells it; a client can't claim another.
//! 3. A login may do what `[projects.permissions]` grants to `cli:<login>`, by the rules that hold in Slack.
//!
//! Reading order: [`wire`] (what is said), [`acts`] (what it does), [`text`] (how it is shown).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Path as Segment, Query, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;

use crate::bot::plan::Planner;
use crate::config::{Config, Project};
use crate::deploy::decide::Desk;
use crate::deploy::view::View;
use crate::deploy::{Deployments, permits};
use crate::saga::store::Store;
use crate::saga::{Actor, Engine, Journal, Record};
use crate::slack::Slack;

pub mod acts;
pub mod text;
pub mod wire;

use acts::Refusal;
use wire::{Abort, Answer, Complaint, Decide, Latest, Lock, Start, Which};

/// Longer paths don't fit into a socket's address on any Unix.
const LONGEST_PATH: usize = 100;

/// What the routes see.
#[derive(Clone)]
pub struct State {
    /// All deployments.
    pub engine: Engine<Deployments>,
    /// The configuration.
    pub config: Arc<Config>,
    /// Makes dry runs.
    pub planner: Planner,
    /// Where decisions are taken.
    pub desk: Desk,
    /// Where the channels are told.
    pub slack: Arc<dyn Slack>,
}

/// Where the socket of a data directory is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// An open socket; its file goes with it.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Opens it. One that a dead process left is replaced: the store's lock sees to it that no other is alive.
    ///
    /// # Errors
    /// One sentence with the mend.
    pub fn open(data_dir: &Path) -> Result<Self, String> {
        let path = path(data_dir);
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(format!(
                "the control socket's path {} is longer than {LONGEST_PATH} bytes, the most that works everywhere; choose a shorter `data_dir`",
                path.display()
            ));
        }
        let listener = bind(data_dir, &path)
            .map_err(|error| format!("the control socket {} can't be opened: {error}", path.display()))?;
        Ok(Self { listener, path })
    }

    /// Serves until told to stop.
    pub async fn serve(self, state: State, stop: CancellationToken) {
        let routes = router(state, stop.clone()).into_make_service_with_connect_info::<Peer>();
        let served = axum::serve(self.listener, routes).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "the control socket is closed");
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn bind(data_dir: &Path, path: &Path) -> std::io::Result<UnixListener> {
    std::fs::create_dir_all(data_dir)?;
    std::fs::set_permissions(data_dir, PermissionsExt::from_mode(0o700))?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
    Ok(listener)
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
struct Peer(Result<String, String>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let login = stream.io().peer_cred().map_err(|error| error.to_string());
        Self(login.and_then(|peer| login_of(peer.uid())))
    }
}

fn login_of(uid: u32) -> Result<String, String> {
    let user = nix::unistd::User::from_uid(uid.into()).map_err(|error| error.to_string())?;
    user.map(|user| user.name)
        .ok_or_else(|| format!("user {uid} has no login on this machine"))
}

impl Peer {
    fn actor(&self) -> Result<Actor, Refusal> {
        match &self.0 {
            Ok(login) => Ok(Actor::Local(format!("{}{login}", permits::CLI))),
            Err(error) => Err(Refusal::NotAllowed(format!(
                "Shipmate can't tell who you are: {error}."
            ))),
        }
    }
}

fn router(state: State, stop: CancellationToken) -> Router {
    let watch = {
        let state = state.clone();
        get(move |Query(which): Query<Which>| async move { watch(state, which, stop) })
    };
    Router::new()
        .route("/status", get(status))
        .route("/watch", watch)
        .route("/history", get(history))
        .route("/export", get(export))
        .route("/start", post(start))
        .route("/projects/{name}/lock", post(lock))
        .route("/projects/{name}/unlock", post(unlock))
        .route("/deployments/{id}", get(show))
        .route("/deployments/{id}/decide", post(decide))
        .route("/deployments/{id}/abort", get(ask_to_abort).post(abort))
        .route("/deployments/{id}/retry", post(retry))
        .with_state(state)
}

type Answered = Result<Json<Answer>, Refusal>;

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::NotAllowed(error) => (StatusCode::FORBIDDEN, error),
            Self::Unknown(error) => (StatusCode::NOT_FOUND, error),
            Self::NotNow(error) => (StatusCode::CONFLICT, error),
            Self::NotSo(error) => (StatusCode::UNPROCESSABLE_ENTITY, error),
            Self::Failed(error) => (StatusCode::INTERNAL_SERVER_ERROR, error),
        };
        (status, Json(Complaint { error })).into_response()
    }
}

impl State {
    fn project(&self, name: &str) -> Result<&Project, Refusal> {
        let unknown = || Refusal::Unknown(text::unknown_project(name, &self.config.projects));
        self.config.project(name).ok_or_else(unknown)
    }

    fn find(&self, id: &str) -> Result<(Journal, View), Refusal> {
        let journal = self.engine.journal(id).map_err(Refusal::failed)?;
        let journal = journal.ok_or_else(|| Refusal::Unknown(text::unknown_deployment(id)))?;
        let view = View::of(id, &journal.history());
        Ok((journal, view))
    }

    /// What runs now, of one project or of all.
    fn status(&self, which: &Which) -> Result<Answer, Refusal> {
        if let Some(name) = &which.project {
            self.project(name)?;
        }
        let asked = |project: &&Project| which.project.as_ref().is_none_or(|name| *name == project.name);
        let mut found = Vec::new();
        for project in self.config.projects.iter().filter(asked) {
            let running = self.engine.running(&project.name).map_err(Refusal::failed)?;
            let view = running.map(|journal| View::of(journal.id(), &journal.history()));
            found.push((project.name.as_str(), view));
        }
        let now = self.engine.clock().now();
        let texts: Vec<String> = found
            .iter()
            .map(|(project, view)| match view {
                Some(view) => text::status(view, now),
                None => text::idle(project),
            })
            .collect();
        let data = found
            .iter()
            .map(|(project, view)| json!({ "project": project, "running": view }));
        Ok(Answer {
            text: texts.join("\n"),
            data: data.collect(),
        })
    }
}

async fn status(Shared(state): Shared<State>, Query(which): Query<Which>) -> Answered {
    state.status(&which).map(Json)
}

/// The status, and again each time that a journal has grown: one line of JSON each.
fn watch(state: State, which: Which, stop: CancellationToken) -> Result<Response, Refusal> {
    let changes = state.engine.changes();
    let first = state.status(&which)?;
    let later = futures_util::stream::unfold(
        (state, which, changes, stop),
        |(state, which, mut changes, stop)| async {
            tokio::select! {
                () = stop.cancelled() => return None,
                change = changes.recv() => if matches!(change, Err(RecvError::Closed)) { return None },
            }
            // Whatever came meanwhile is in the same picture.
            while let Ok(_) | Err(TryRecvError::Lagged(_)) = changes.try_recv() {}
            let status = state.status(&which).ok()?;
            Some((line(&status), (state, which, changes, stop)))
        },
    );
    let first = futures_util::stream::once(std::future::ready(line(&first)));
    Ok(Body::from_stream(futures_util::StreamExt::chain(first, later)).into_response())
}

fn line(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string(value)
        .map(|json| json + "\n")
        .map_err(|error| error.to_string())
}

async fn history(Shared(state): Shared<State>, Query(latest): Query<Latest>) -> Answered {
    if let Some(name) = &latest.project {
        state.project(name)?;
    }
    let mut views = Vec::new();
    for head in state.engine.store().heads().iter().rev() {
        if views.len() >= latest.limit {
            break;
        }
        let (_, view) = state.find(&head.saga)?;
        if latest.project.as_ref().is_none_or(|name| *name == view.project) {
            views.push(view);
        }
    }
    Ok(Json(Answer {
        text: text::history(&views),
        data: json!(views),
    }))
}

async fn show(Shared(state): Shared<State>, Segment(id): Segment<String>) -> Answered {
    let history = state.engine.recall(&id).map_err(Refusal::failed)?;
    let history = history.ok_or_else(|| Refusal::Unknown(text::unknown_deployment(&id)))?;
    let view = View::of(&id, &history);
    let events: Vec<_> = history.records().iter().map(|record| json!(**record)).collect();
    Ok(Json(Answer {
        text: text::shown(&view, &history, state.engine.clock().now()),
        data: json!({ "deployment": view, "events": events }),
    }))
}

async fn start(
    Shared(state): Shared<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(wish): Json<Start>,
) -> Answered {
    state.start(peer.actor()?, wish).await.map(Json)
}

async fn lock(
    Shared(state): Shared<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Segment(name): Segment<String>,
    Json(wanted): Json<Lock>,
) -> Answered {
    state.lock(peer.actor()?, &name, wanted).await.map(Json)
}

async fn unlock(
    Shared(state): Shared<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Segment(name): Segment<String>,
) -> Answered {
    state.unlock(peer.actor()?, &name).await.map(Json)
}

async fn decide(
    Shared(state): Shared<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Segment(id): Segment<String>,
    Json(decision): Json<Decide>,
) -> Answered {
    state.decide(peer.actor()?, &id, decision).await.map(Json)
}

/// What an abort would undo.
async fn ask_to_abort(Shared(state): Shared<State>, Segment(id): Segment<String>) -> Answered {
    state.ask_to_abort(&id).map(Json)
}

async fn abort(
    Shared(state): Shared<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Segment(id): Segment<String>,
    Json(abort): Json<Abort>,
) -> Answered {
    state.abort(peer.actor()?, &id, abort.reason).await.map(Json)
}

async fn retry(
    Shared(state): Shared<State>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Segment(id): Segment<String>,
) -> Answered {
    state.retry(peer.actor()?, &id).await.map(Json)
}

async fn export(Shared(state): Shared<State>) -> Response {
    let lines = futures_util::stream::iter(exported(state.engine.store().clone()));
    Body::from_stream(lines).into_response()
}

/// Every event of every deployment, one line of JSON each, oldest deployment first.
pub fn exported(store: Arc<dyn Store>) -> impl Iterator<Item = Result<String, String>> {
    let heads = store.heads();
    heads.into_iter().flat_map(move |head| match store.load(&head.saga) {
        Ok(records) => records.iter().map(|record| exported_line(&head.saga, record)).collect(),
        Err(error) => vec![Err(error.to_string())],
    })
}

fn exported_line(deployment: &str, record: &Record) -> Result<String, String> {
    let mut value = json!(record);
    value["deployment"] = deployment.into();
    line(&value)
}
