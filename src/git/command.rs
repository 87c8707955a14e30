//! Runs the git program: one command, one clean environment, one time limit.
//!
//! 1. The token is handed over in the environment (`GIT_CONFIG_*`), scoped to the remote's origin, and only to commands that may
//!    talk to the remote. It stands in no argument, in no file and, redacted, in no error.
//! 2. No configuration but ours and the clone's own counts: no system or user file, no hooks, no prompts, no redirects, no
//!    protocol but the remote's.
//! 3. A command that outlives its limit is killed and reported as transient.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use url::Url;

use super::{Credentials, Error, Result};

/// For commands that move history: clone and fetch.
const LONG: Duration = Duration::from_secs(5 * 60);
/// For all others, lazy fetches of a few files included.
const SHORT: Duration = Duration::from_secs(60);
/// A connection over which nothing comes for so many seconds is dead: a server that is still thinking says so every few seconds.
const SILENCE: &str = "30";
/// Bytes of stderr's end that are kept for people.
const STDERR_TAIL: usize = 800;
/// What git gets of our own environment: where programs are, and how the network is reached.
const INHERITED: [&str; 14] = [
    "PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_PROXY_SSL_CAINFO",
];
/// What stands in the place of a secret.
const REDACTED: &str = "[REDACTED]";

/// One git command, not yet run.
pub(super) struct Invocation {
    args: Vec<String>,
    dir: Option<PathBuf>,
    env: Vec<(&'static str, OsString)>,
    stdin: Vec<u8>,
    reaches_remote: bool,
    limit: Duration,
}

impl Invocation {
    /// A local command: it gets no token and must not fetch.
    pub(super) fn new<A: Into<String>>(args: impl IntoIterator<Item = A>) -> Invocation {
        Invocation {
            args: args.into_iter().map(Into::into).collect(),
            dir: None,
            env: Vec::new(),
            stdin: Vec::new(),
            reaches_remote: false,
            limit: SHORT,
        }
    }

    /// Runs it on this clone.
    pub(super) fn within(mut self, dir: &Path) -> Invocation {
        self.dir = Some(dir.to_owned());
        self
    }

    /// May talk to the remote, be it for a missing blob only.
    pub(super) fn remote(mut self) -> Invocation {
        self.reaches_remote = true;
        self
    }

    /// Moves history: has the long time limit.
    pub(super) fn long(mut self) -> Invocation {
        self.limit = LONG;
        self
    }

    /// What the command reads.
    pub(super) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Invocation {
        self.stdin = bytes.into();
        self
    }

    /// One more variable.
    pub(super) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Invocation {
        self.env.push((name, value.into()));
        self
    }

    /// The error of this command, as people read it.
    pub(super) fn failed(&self, message: impl Into<String>) -> Error {
        let message = message.into();
        Error {
            command: self.args.join(" "),
            transient: is_transient(&message),
            message,
        }
    }
}

/// What a command left.
pub(super) struct Outcome {
    /// `None`: ended by a signal.
    pub(super) code: Option<i32>,
    /// As it came.
    pub(super) stdout: Vec<u8>,
    /// Redacted, its end only.
    pub(super) stderr: String,
}

impl Outcome {
    /// The exit code was 0.
    pub(super) fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Stdout without the line's end.
    pub(super) fn line(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// Starts git for one remote.
pub(super) struct Runner {
    url: String,
    credentials: Arc<dyn Credentials>,
}

impl Runner {
    /// For the remote with this address.
    pub(super) fn new(url: String, credentials: Arc<dyn Credentials>) -> Runner {
        Runner { url, credentials }
    }

    /// The remote's address.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Runs the command and answers with its output if it exits with 0.
    pub(super) async fn succeed(&self, invocation: Invocation) -> Result<Outcome> {
        let outcome = self.run(&invocation).await?;
        match outcome.succeeded() {
            true => Ok(outcome),
            false => Err(invocation.failed(outcome.stderr)),
        }
    }

    /// Runs the command, whatever it exits with. Fails if it can't be started, is killed, or there is no token.
    pub(super) async fn run(&self, invocation: &Invocation) -> Result<Outcome> {
        let header = self.header(invocation).await?;
        let mut command = self.command(invocation, header.as_ref())?;
        let work = async {
            let mut child = command.spawn()?;
            let group = Group::of(&child);
            // Both ends at once: a command that writes before it has read everything would block on a full pipe.
            let pipe = child.stdin.take();
            let feed = async {
                if let Some(mut pipe) = pipe {
                    // A command that has read enough closes its end; what it thought of it is in its exit code.
                    let _ = pipe.write_all(&invocation.stdin).await;
                }
            };
            let (output, ()) = tokio::join!(child.wait_with_output(), feed);
            group.has_ended();
            output
        };
        let output = match tokio::time::timeout(invocation.limit, work).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(invocation.failed(format!("could not run git: {error}"))),
            Err(_) => {
                let limit = humantime::format_duration(invocation.limit);
                return Err(invocation.failed(format!("timed out after {limit}")));
            }
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        Ok(Outcome {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: tail(&redact(&stderr, header.as_ref())),
        })
    }

    async fn header(&self, invocation: &Invocation) -> Result<Option<Header>> {
        if !invocation.reaches_remote || self.url.starts_with("file:") {
            return Ok(None);
        }
        match self.credentials.token().await {
            Ok(token) => Ok(Some(Header::new(token))),
            Err(message) => Err(invocation.failed(format!("there is no token: {message}"))),
        }
    }

    fn command(&self, invocation: &Invocation, header: Option<&Header>) -> Result<Command> {
        let url = Url::parse(&self.url)
            .map_err(|error| invocation.failed(format!("the remote's address is wrong: {error}")))?;
        let mut command = Command::new("git");
        command
            .args(&invocation.args)
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command.envs(
            INHERITED
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        );
        match &invocation.dir {
            // Named rather than searched for: a missing clone must not be mistaken for a repository around it.
            Some(dir) => command
                .current_dir(dir)
                .env("GIT_DIR", ".git")
                .env("GIT_WORK_TREE", "."),
            None => command.current_dir("/"),
        };
        if !invocation.reaches_remote {
            command.env("GIT_NO_LAZY_FETCH", "1");
        }
        let settings = settings(&url, header);
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (at, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        command.envs(invocation.env.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// The configuration every command runs with.
fn settings(url: &Url, header: Option<&Header>) -> Vec<(String, String)> {
    let mut settings: Vec<(String, String)> = [
        ("core.hooksPath", "/dev/null"),
        ("http.lowSpeedLimit", "1"),
        ("http.lowSpeedTime", SILENCE),
        ("credential.helper", ""),
        ("http.followRedirects", "false"),
        ("gc.auto", "0"),
        ("maintenance.auto", "false"),
        ("protocol.allow", "never"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    settings.push((format!("protocol.{}.allow", url.scheme()), "always".into()));
    if let Some(header) = header {
        let origin = url.origin().ascii_serialization();
        settings.push((
            format!("http.{origin}/.extraHeader"),
            format!("Authorization: Basic {}", header.basic.expose_secret()),
        ));
    }
    settings
}

/// A git command and the helpers it starts: they end together, also when nobody waits for them any more.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: &tokio::process::Child) -> Self {
        let pid = leader.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.map(Pid::from_raw))
    }

    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// The token in both shapes in which it could show up.
struct Header {
    token: SecretString,
    basic: SecretString,
}

impl Header {
    fn new(token: SecretString) -> Header {
        let basic = STANDARD.encode(format!("x-access-token:{}", token.expose_secret()));
        Header {
            token,
            basic: basic.into(),
        }
    }
}

fn redact(text: &str, header: Option<&Header>) -> String {
    let Some(header) = header else {
        return text.to_owned();
    };
    [&header.basic, &header.token]
        .into_iter()
        .map(ExposeSecret::expose_secret)
        .filter(|secret| !secret.is_empty())
        .fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
}

fn tail(text: &str) -> String {
    let text = text.trim();
    let mut start = text.len().saturating_sub(STDERR_TAIL);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default().to_owned()
}

/// Whether another try may help: the network, a server in trouble, or a lock held by another git.
fn is_transient(message: &str) -> bool {
    const SIGNS: [&str; 16] = [
        "Could not resolve host",
        "Operation too slow",
        "Connection",
        "timed out",
        "Timeout was reached",
        "error: 502",
        "error: 503",
        "error: 504",
        "RPC failed",
        ".lock': File exists",
        // An answer that is not git's, or broke off: a proxy's page, a connection that was cut.
        "bad line length",
        "protocol error",
        "expected flush",
        "hung up unexpectedly",
        "unexpected disconnect",
        "early EOF",
    ];
    const FINAL: [&str; 5] = ["error: 301", "error: 302", "error: 401", "error: 403", "error: 404"];
    let has = |sign: &&str| message.contains(*sign);
    if FINAL.iter().any(has) || message.contains("Authentication failed") {
        return false;
    }
    SIGNS.iter().any(has) || message.contains("unable to access")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        for (message, transient) in [
            ("fatal: unable to access 'https://x/': Could not resolve host: x", true),
            (
                "fatal: unable to access 'https://x/': The requested URL returned error: 503",
                true,
            ),
            ("error: RPC failed; curl 18 transfer closed", true),
            ("fatal: Unable to create '/w/.git/index.lock': File exists.", true),
            (
                "error: Unable to create '/w/.git/refs/heads/deploy.lock': File exists.",
                true,
            ),
            ("timed out after 1m", true),
            (
                "error: RPC failed; curl 28 Operation too slow. Less than 1 bytes/sec transferred the last 30 seconds",
                true,
            ),
            ("fatal: remote-curl: bad line length character: <htm", true),
            ("fatal: the remote end hung up unexpectedly", true),
            (
                "fatal: unable to access 'https://x/': The requested URL returned error: 403",
                false,
            ),
            (
                "fatal: unable to access 'https://x/': The requested URL returned error: 301",
                false,
            ),
            ("fatal: Authentication failed for 'https://x/'", false),
            ("fatal: couldn't find remote ref refs/pull/9/head", false),
        ] {
            assert_eq!(is_transient(message), transient, "{message}");
        }
    }

    struct NoToken;

    #[async_trait::async_trait]
    impl Credentials for NoToken {
        async fn token(&self) -> Result<SecretString, String> {
            Err("the key was withdrawn".to_owned())
        }
    }

    fn runner() -> Runner {
        Runner::new("https://github.com/acme/web.git".into(), Arc::new(NoToken))
    }

    #[test]
    fn the_token_stands_in_one_variable_and_in_no_argument() {
        let header = Header::new("s3cret".to_owned().into());
        let basic = header.basic.expose_secret().to_owned();
        let fetch = Invocation::new(["fetch", "origin"]).remote();
        let command = runner().command(&fetch, Some(&header)).unwrap();
        let command = command.as_std();
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["fetch", "origin"]);
        let variables: Vec<(String, String)> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_str()?.to_owned())))
            .collect();
        let holds = |secret: &str| variables.iter().filter(|(_, value)| value.contains(secret)).count();
        assert_eq!((holds("s3cret"), holds(&basic)), (0, 1));
        assert_eq!(holds("http.https://github.com/.extraHeader"), 1);
        assert_eq!(holds("protocol.https.allow"), 1);
    }

    #[tokio::test]
    async fn without_a_token_local_commands_work_and_remote_ones_say_why_not() {
        let ask = || Invocation::new(["--version"]);
        assert!(runner().succeed(ask()).await.is_ok());
        let error = runner().run(&ask().remote()).await.err().unwrap();
        assert!(error.message.contains("the key was withdrawn"), "{error}");
    }

    #[tokio::test]
    async fn a_remote_that_never_answers_is_given_up() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/web.git", silent.local_addr().unwrap());
        let mut list = Invocation::new(["ls-remote", &url]);
        list.limit = Duration::ZERO;
        let error = Runner::new(url, Arc::new(NoToken)).run(&list).await.err().unwrap();
        assert!(error.transient && error.message.contains("timed out"), "{error}");
    }

    #[test]
    fn both_shapes_of_a_token_are_redacted() {
        let header = Header::new("s3cret".to_owned().into());
        let text = format!("a s3cret b {} c", header.basic.expose_secret());
        assert_eq!(redact(&text, Some(&header)), "a [REDACTED] b [REDACTED] c");
    }

    #[test]
    fn the_end_of_a_long_text_is_kept_at_a_letter_boundary() {
        let kept = tail(&"ü".repeat(STDERR_TAIL));
        assert!(kept.len() <= STDERR_TAIL && kept.ends_with('ü'));
    }
}
