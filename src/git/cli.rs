//! The git program, run with as little around it as possible.
//!
//! 1. The token reaches git through its environment only, bound to the remote's origin: it never stands in an argument, in a file or in a
//!    message, and git sends it nowhere else (no redirects, no other protocol).
//! 2. Nobody else's settings count: no system or user configuration, no hooks, no prompts, no inherited environment.
//! 3. Every command has a deadline and dies with us; its messages are redacted before anybody sees them.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Blob, Car, Credentials, Error, Expect, Git, Method, Oid, Pushed, Rehearsal, Result, Signature, rehearsal};

/// Cloning and fetching move data.
const SLOW: Duration = Duration::from_secs(300);
/// Everything else is local, or a ref.
const QUICK: Duration = Duration::from_secs(60);

/// Git for one remote.
pub struct GitCli {
    url: String,
    credentials: Arc<dyn Credentials>,
}

/// What a command printed.
pub(super) struct Output {
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: String,
}

impl Output {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// One command to run.
pub(super) struct Run<'a> {
    /// Where; `None`: needs no repository.
    dir: Option<&'a Path>,
    args: Vec<String>,
    stdin: Option<Vec<u8>>,
    env: Vec<(&'static str, String)>,
    /// It may talk to the remote, and so needs the token.
    remote: bool,
    limit: Duration,
}

impl<'a> Run<'a> {
    /// A local command.
    pub(super) fn local(dir: &'a Path, args: &[&str]) -> Self {
        Self {
            dir: Some(dir),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            stdin: None,
            env: Vec::new(),
            remote: false,
            limit: QUICK,
        }
    }

    /// A command that may talk to the remote: in a blobless clone that is every one that reads files.
    pub(super) fn remote(dir: &'a Path, args: &[&str]) -> Self {
        Self {
            remote: true,
            limit: SLOW,
            ..Self::local(dir, args)
        }
    }

    fn with_stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = Some(bytes.to_vec());
        self
    }

    pub(super) fn with_env(mut self, env: &[(&'static str, String)]) -> Self {
        self.env.extend_from_slice(env);
        self
    }
}

impl GitCli {
    /// Git for the remote at `url` (`https://github.com/acme/web.git`).
    pub fn new(url: String, credentials: Arc<dyn Credentials>) -> Self {
        Self { url, credentials }
    }

    /// Scheme and host, which the token is bound to.
    fn origin(&self) -> &str {
        let after_scheme = self.url.find("://").map_or(0, |scheme| scheme + 3);
        let end = self.url[after_scheme..]
            .find('/')
            .map_or(self.url.len(), |slash| after_scheme + slash);
        &self.url[..end]
    }

    fn scheme(&self) -> &str {
        self.url.split("://").next().unwrap_or("https")
    }

    /// Runs to the end; an exit code is the caller's to judge.
    pub(super) async fn run(&self, run: Run<'_>) -> Result<Output> {
        let name = describe(&run.args);
        let failed = |message: String, transient: bool| Error {
            command: name.clone(),
            message,
            transient,
        };
        let mut config = vec![
            ("core.hooksPath".to_owned(), "/dev/null".to_owned()),
            ("credential.helper".to_owned(), String::new()),
            ("protocol.allow".to_owned(), "never".to_owned()),
            (format!("protocol.{}.allow", self.scheme()), "always".to_owned()),
            ("http.followRedirects".to_owned(), "false".to_owned()),
            ("http.lowSpeedLimit".to_owned(), "1000".to_owned()),
            ("http.lowSpeedTime".to_owned(), "30".to_owned()),
            ("gc.auto".to_owned(), "0".to_owned()),
            ("maintenance.auto".to_owned(), "false".to_owned()),
            ("advice.detachedHead".to_owned(), "false".to_owned()),
        ];
        let mut secrets = Vec::new();
        if run.remote && self.scheme().starts_with("http") {
            let token: SecretString = self.credentials.token().await.map_err(|error| failed(error, true))?;
            let basic =
                base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{}", token.expose_secret()));
            config.push((
                format!("http.{}/.extraHeader", self.origin()),
                format!("Authorization: Basic {basic}"),
            ));
            secrets = vec![basic, token.expose_secret().to_owned()];
        }
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("GIT_CONFIG_COUNT", config.len().to_string());
        for (index, (key, value)) in config.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        for (key, value) in &run.env {
            command.env(key, value);
        }
        if let Some(dir) = run.dir {
            command.arg("-C").arg(dir);
        }
        command
            .args(&run.args)
            .stdin(if run.stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let work = async {
            let mut child = command.spawn()?;
            if let (Some(mut stdin), Some(bytes)) = (child.stdin.take(), run.stdin) {
                stdin.write_all(&bytes).await?;
            }
            child.wait_with_output().await
        };
        let output = match tokio::time::timeout(run.limit, work).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(failed(format!("git can't be run: {error}"), false)),
            Err(_) => return Err(failed(format!("no end after {} s", run.limit.as_secs()), true)),
        };
        let mut stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            stderr = stderr.replace(secret.as_str(), "[REDACTED]");
        }
        Ok(Output {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr,
        })
    }

    /// Runs to a good end.
    pub(super) async fn succeed(&self, run: Run<'_>) -> Result<Output> {
        let name = describe(&run.args);
        let output = self.run(run).await?;
        match output.code {
            0 => Ok(output),
            _ => Err(failure(name, &output)),
        }
    }

    /// The object that a revision names, if there is one.
    async fn resolve(&self, dir: &Path, revision: &str) -> Result<Option<Oid>> {
        let output = self
            .run(Run::local(
                dir,
                &["rev-parse", "--verify", "--quiet", "--end-of-options", revision],
            ))
            .await?;
        Ok((output.code == 0).then(|| output.text()))
    }
}

/// The subcommand and what follows, without what is long: never the environment.
fn describe(args: &[String]) -> String {
    let words: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|arg| !arg.starts_with("--end-of"))
        .take(6)
        .collect();
    words.join(" ")
}

pub(super) fn failure(command: String, output: &Output) -> Error {
    let lines: Vec<&str> = output
        .stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let message = match lines.as_slice() {
        [] => format!("exit code {}", output.code),
        lines => lines[lines.len().saturating_sub(3)..].join(" / "),
    };
    Error {
        transient: is_transient(&output.stderr),
        command,
        message,
    }
}

/// Whether another try may help, by git's and curl's words in the C locale.
fn is_transient(stderr: &str) -> bool {
    let refused = [
        "returned error: 401",
        "returned error: 403",
        "returned error: 404",
        "returned error: 301",
    ];
    if refused.iter().any(|word| stderr.contains(word)) {
        return false;
    }
    let passing = [
        "Could not resolve host",
        "Connection",
        "connection",
        "timed out",
        "returned error: 5",
        "returned error: 429",
        "RPC failed",
        "early EOF",
        "unexpected disconnect",
        "index.lock",
        "Operation too slow",
        "Empty reply from server",
        "hung up",
    ];
    passing.iter().any(|word| stderr.contains(word))
}

/// Refuses names that git would read as something else (git's own rules for refs).
fn checked_branch(branch: &str) -> Result<&str> {
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let bad = branch.is_empty()
        || branch.starts_with(['-', '/', '.'])
        || branch.ends_with(['/', '.'])
        || branch.ends_with(".lock")
        || branch.contains("..")
        || branch.contains("//")
        || branch.contains("@{")
        || branch == "@"
        || branch.contains(forbidden);
    match bad {
        false => Ok(branch),
        true => Err(Error {
            command: "check-ref-format".to_owned(),
            message: format!("{branch:?} is not a branch name"),
            transient: false,
        }),
    }
}

/// Refuses anything that isn't a full object name, so that nothing from a journal is read as an option.
pub(super) fn checked_oid(oid: &str) -> Result<&str> {
    match matches!(oid.len(), 40 | 64) && oid.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(oid),
        false => Err(Error {
            command: "rev-parse".to_owned(),
            message: format!("{oid:?} is not a full object name"),
            transient: false,
        }),
    }
}

/// Refuses paths that leave the work tree.
fn checked_path(path: &str) -> Result<&str> {
    let odd = |part: std::path::Component<'_>| !matches!(part, std::path::Component::Normal(_));
    let inside = !path.is_empty() && !Path::new(path).components().any(odd) && !path.starts_with(".git/");
    match inside && !path.contains(['\n', '\0', ':']) {
        true => Ok(path),
        false => Err(Error {
            command: "ls-tree".to_owned(),
            message: format!("{path:?} is not a path inside the repository"),
            transient: false,
        }),
    }
}

/// Git's porcelain line of a push: flag, refs, reason.
fn pushed(name: String, output: &Output) -> Result<Pushed> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find(|line| line.split('\t').count() >= 3 || line.starts_with('!'));
    match line.and_then(|line| line.chars().next()) {
        Some('=') => Ok(Pushed::UpToDate),
        Some('!') => {
            let reason = line
                .unwrap_or_default()
                .split('\t')
                .next_back()
                .unwrap_or_default()
                .to_owned();
            Ok(Pushed::Rejected(reason))
        }
        Some(' ' | '*' | '-' | '+') if output.code == 0 => Ok(Pushed::Done),
        _ if output.code == 0 => Ok(Pushed::Done),
        _ => Err(failure(name, output)),
    }
}

#[async_trait]
impl Git for GitCli {
    async fn version(&self) -> Result<(u32, u32)> {
        let run = Run {
            dir: None,
            ..Run::local(Path::new("."), &["--version"])
        };
        let text = self.succeed(run).await?.text();
        let numbers = text.split_whitespace().nth(2).unwrap_or_default();
        let mut parts = numbers.split('.').map(|part| part.parse().unwrap_or(0));
        Ok((parts.next().unwrap_or(0), parts.next().unwrap_or(0)))
    }

    async fn clone(&self, dir: &Path, branch: &str, paths: &[String]) -> Result<()> {
        let branch = checked_branch(branch)?;
        let target = dir.to_string_lossy().into_owned();
        let args = [
            "clone",
            "--quiet",
            "--filter=blob:none",
            "--no-checkout",
            "--single-branch",
            "--no-tags",
            "--branch",
            branch,
            "--",
            &self.url,
            &target,
        ];
        let run = Run {
            dir: None,
            ..Run::remote(dir, &args)
        };
        self.succeed(run).await?;
        let mut sparse = vec!["sparse-checkout".to_owned(), "set".to_owned(), "--no-cone".to_owned()];
        for path in paths {
            sparse.push(format!("/{}", checked_path(path)?));
        }
        let args: Vec<&str> = sparse.iter().map(String::as_str).collect();
        self.succeed(Run::local(dir, &args)).await.map(drop)
    }

    async fn is_clone(&self, dir: &Path) -> bool {
        if !dir.join(".git").is_dir() || !dir.join(".git").join("info").join("sparse-checkout").is_file() {
            return false;
        }
        let output = self
            .run(Run::local(dir, &["config", "--get", "remote.origin.url"]))
            .await;
        output.is_ok_and(|output| output.code == 0 && output.text() == self.url)
    }

    async fn fetch_branch(&self, dir: &Path, branch: &str) -> Result<Oid> {
        let branch = checked_branch(branch)?;
        let refspec = format!("+refs/heads/{branch}:refs/remotes/origin/{branch}");
        self.succeed(Run::remote(dir, &["fetch", "--quiet", "--no-tags", "origin", &refspec]))
            .await?;
        let tip = self.resolve(dir, &format!("refs/remotes/origin/{branch}")).await?;
        tip.ok_or_else(|| Error {
            command: format!("fetch {branch}"),
            message: "the branch is not there after the fetch".to_owned(),
            transient: true,
        })
    }

    async fn create_branch(&self, dir: &Path, branch: &str, at: &str) -> Result<()> {
        let name = format!("refs/heads/{}", checked_branch(branch)?);
        self.succeed(Run::local(dir, &["update-ref", &name, checked_oid(at)?]))
            .await
            .map(drop)
    }

    async fn delete_branch(&self, dir: &Path, branch: &str) -> Result<()> {
        let name = format!("refs/heads/{}", checked_branch(branch)?);
        self.succeed(Run::local(dir, &["update-ref", "-d", &name]))
            .await
            .map(drop)
    }

    async fn branch_tip(&self, dir: &Path, branch: &str) -> Result<Option<Oid>> {
        self.resolve(dir, &format!("refs/heads/{}", checked_branch(branch)?))
            .await
    }

    async fn remote_branches(&self, prefix: &str) -> Result<Vec<(String, Oid)>> {
        let pattern = format!(
            "refs/heads/{}*",
            checked_branch(&format!("{prefix}x"))?.trim_end_matches('x')
        );
        let run = Run {
            dir: None,
            limit: QUICK,
            ..Run::remote(Path::new("."), &["ls-remote", "--heads", "--", &self.url, &pattern])
        };
        let text = self.succeed(run).await?.text();
        let row = |line: &str| {
            let (oid, name) = line.split_once('\t')?;
            Some((name.strip_prefix("refs/heads/")?.to_owned(), oid.to_owned()))
        };
        let mut found: Vec<(String, Oid)> = text.lines().filter_map(row).collect();
        found.retain(|(name, _)| name.starts_with(prefix));
        Ok(found)
    }

    async fn push(&self, dir: &Path, commit: &str, branch: &str, expect: Expect) -> Result<Pushed> {
        let name = format!("refs/heads/{}", checked_branch(branch)?);
        let lease = match &expect {
            Expect::Absent => format!("--force-with-lease={name}:"),
            Expect::At(oid) => format!("--force-with-lease={name}:{}", checked_oid(oid)?),
        };
        let refspec = format!("{}:{name}", checked_oid(commit)?);
        let args = ["push", "--porcelain", "--no-verify", &lease, "origin", &refspec];
        let output = self.run(Run::remote(dir, &args)).await?;
        pushed(format!("push {branch}"), &output)
    }

    async fn delete_remote(&self, dir: &Path, branch: &str, expect: &str) -> Result<Pushed> {
        let name = format!("refs/heads/{}", checked_branch(branch)?);
        let lease = format!("--force-with-lease={name}:{}", checked_oid(expect)?);
        let args = [
            "push",
            "--porcelain",
            "--no-verify",
            &lease,
            "origin",
            &format!(":{name}"),
        ];
        let output = self.run(Run::remote(dir, &args)).await?;
        pushed(format!("push :{branch}"), &output)
    }

    async fn checkout(&self, dir: &Path, branch: &str, at: &str) -> Result<()> {
        let branch = checked_branch(branch)?;
        let args = ["checkout", "--quiet", "--force", "-B", branch, checked_oid(at)?];
        self.succeed(Run::remote(dir, &args)).await.map(drop)
    }

    async fn read(&self, dir: &Path, commit: &str, path: &str) -> Result<Blob> {
        let (commit, path) = (checked_oid(commit)?, checked_path(path)?);
        // By hand from the root down, so that a symlinked directory on the way is seen as well.
        let entry = self
            .succeed(Run::remote(dir, &["ls-tree", "-z", commit, "--", path]))
            .await?;
        let line = String::from_utf8_lossy(&entry.stdout).into_owned();
        let Some((meta, _)) = line.split_once('\t') else {
            return Ok(Blob::Missing);
        };
        let fields: Vec<&str> = meta.split(' ').collect();
        match fields.as_slice() {
            ["100644" | "100755", "blob", oid] => {
                let blob = self.succeed(Run::remote(dir, &["cat-file", "blob", oid])).await?;
                Ok(Blob::File(blob.stdout))
            }
            ["120000", ..] => Ok(Blob::NotAFile("symlink".to_owned())),
            ["160000", ..] => Ok(Blob::NotAFile("submodule".to_owned())),
            ["040000", ..] => Ok(Blob::NotAFile("directory".to_owned())),
            _ => Ok(Blob::Missing),
        }
    }

    async fn commit(
        &self,
        dir: &Path,
        parent: &str,
        files: &[(String, Vec<u8>)],
        message: &str,
        signature: &Signature,
    ) -> Result<Oid> {
        let parent = checked_oid(parent)?;
        let index = dir.join(".git").join("shipmate-index");
        let env = [("GIT_INDEX_FILE", index.to_string_lossy().into_owned())];
        self.succeed(Run::local(dir, &["read-tree", parent]).with_env(&env))
            .await?;
        for (path, bytes) in files {
            let path = checked_path(path)?;
            let oid = self
                .succeed(Run::local(dir, &["hash-object", "-w", "--stdin"]).with_stdin(bytes))
                .await?
                .text();
            let entry = self
                .succeed(Run::local(dir, &["ls-tree", parent, "--", path]))
                .await?
                .text();
            let mode = if entry.starts_with("100755") {
                "100755"
            } else {
                "100644"
            };
            let info = format!("{mode},{oid},{path}");
            let add = Run::local(dir, &["update-index", "--add", "--cacheinfo", &info]).with_env(&env);
            self.succeed(add).await?;
        }
        let tree = self
            .succeed(Run::local(dir, &["write-tree", "--missing-ok"]).with_env(&env))
            .await?
            .text();
        let _ = std::fs::remove_file(&index);
        if tree == self.tree(dir, parent).await? {
            return Ok(parent.to_owned());
        }
        let commit = Run::local(dir, &["commit-tree", &tree, "-p", parent])
            .with_stdin(message.as_bytes())
            .with_env(&identity(signature));
        Ok(self.succeed(commit).await?.text())
    }

    async fn tree(&self, dir: &Path, commit: &str) -> Result<Oid> {
        let revision = format!("{}^{{tree}}", checked_oid(commit)?);
        let tree = self.resolve(dir, &revision).await?;
        tree.ok_or_else(|| Error {
            command: format!("rev-parse {revision}"),
            message: "there is no such commit".to_owned(),
            transient: false,
        })
    }

    async fn rehearse(&self, dir: &Path, onto: &str, cars: &[Car], method: Method) -> Result<Rehearsal> {
        rehearsal::rehearse(self, dir, checked_oid(onto)?, cars, method).await
    }
}

/// Author and committer in the environment.
pub(super) fn identity(signature: &Signature) -> [(&'static str, String); 6] {
    let date = signature.date.format("@%s %z").to_string();
    [
        ("GIT_AUTHOR_NAME", signature.name.clone()),
        ("GIT_AUTHOR_EMAIL", signature.email.clone()),
        ("GIT_AUTHOR_DATE", date.clone()),
        ("GIT_COMMITTER_NAME", signature.name.clone()),
        ("GIT_COMMITTER_EMAIL", signature.email.clone()),
        ("GIT_COMMITTER_DATE", date),
    ]
}

/// Whether a command's output names an object.
pub(super) fn is_oid(text: &str) -> bool {
    checked_oid(text).is_ok()
}

#[cfg(test)]
mod tests;
