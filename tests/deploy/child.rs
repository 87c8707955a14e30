//! The real binary as a supervisor runs it: `shipmate serve` with a configuration file, secrets in the environment and its journal on disk.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shipmate::sandbox::play::Sandbox;

/// Longer than anything takes on a busy machine: real pauses between writes and messages are kept here.
pub const LIMIT: Duration = Duration::from_secs(180);

/// A Shipmate process; clones share it, and it is killed with the last.
#[derive(Clone)]
pub struct Process(Arc<Mutex<Killed>>);

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    pub fn start(sandbox: &Sandbox, config: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipmate"));
        command.args(["serve", "--config"]).arg(config);
        Self::of(secrets(&mut command, sandbox))
    }

    /// Whatever this command runs.
    pub fn of(command: &mut Command) -> Self {
        let child = command.env("RUST_LOG", "warn").stdin(Stdio::null()).spawn();
        Self(Arc::new(Mutex::new(Killed(child.unwrap()))))
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.lock().unwrap().0.id()
    }

    /// SIGKILL, now.
    pub fn is_killed(&self) {
        self.0.lock().unwrap().0.kill().unwrap();
    }

    /// SIGTERM.
    pub fn is_told_to_end(&self) {
        self.hears("TERM");
    }

    /// A signal, by the program that every Unix has.
    pub fn hears(&self, signal: &str) {
        let pid = self.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Its root directory, as it sees it.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.id()))
    }

    /// Its end, if that comes within `limit`.
    pub async fn ends(&self, limit: Duration) -> Option<ExitStatus> {
        let child = self.0.clone();
        let ended = async move {
            loop {
                // Nothing tells of a child's end but looking.
                if let Some(status) = child.lock().unwrap().0.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(limit, ended).await.ok()
    }
}

/// With the secrets that the doubles take.
pub fn secrets<'a>(command: &'a mut Command, sandbox: &Sandbox) -> &'a mut Command {
    command
        .env("SLACK_BOT_TOKEN", sandbox.slack.bot_token())
        .env("SLACK_APP_TOKEN", sandbox.slack.app_token())
        .env("GITHUB_TOKEN", sandbox.github.token())
}

pub fn data_dir(sandbox: &Sandbox) -> PathBuf {
    sandbox.dir().join("data")
}

/// Writes the configuration file; answers with its path.
pub fn configuration(sandbox: &Sandbox) -> PathBuf {
    let text = include_str!("../../config/sandbox.toml");
    let github = format!(
        "[github]\napi_url = \"{}\"\ngit_url = \"{}\"",
        sandbox.github.api_url(),
        sandbox.github.git_url()
    );
    let (data, workspaces) = (data_dir(sandbox), sandbox.workspaces());
    let places = format!(
        "data_dir = \"{}\"\nworkspace_root = \"{}\"",
        data.display(),
        workspaces.display()
    );
    let slack = format!("mode = \"socket\"\napi_url = \"{}\"", sandbox.slack.api_url());
    let text = text
        .replace("data_dir = \"data\"", &places)
        .replace("mode = \"socket\"", &slack)
        .replace("[github]", &github)
        .replace(
            "[people]",
            "[projects.timeouts]\npoll_min = \"20ms\"\npoll_max = \"100ms\"\nstable_for = \"10ms\"\n\n[people]",
        );
    let file = sandbox.dir().join("shipmate.toml");
    std::fs::write(&file, text).unwrap();
    file
}
