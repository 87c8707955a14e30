//! [`Git`] by the git program. Commits are made by plumbing on a private index, so neither the work tree nor a crash in the middle
//! can leave anything in them that wasn't asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::command::{Invocation, Outcome, Runner};
use super::name::{check_branch, check_branch_prefix, check_commit, check_path};
use super::{Blob, Car, Credentials, Error, Expect, Git, Method, Oid, Pushed, Rehearsal, Result, Signature};

/// Set in the clone's configuration when it is whole: a clone that was killed in the middle looks like one otherwise.
const WHOLE: &str = "shipmate.whole";
/// A regular file that isn't executable.
const REGULAR: &str = "100644";

/// The git program, bound to one remote.
pub struct GitCli {
    pub(super) runner: Runner,
}

impl GitCli {
    /// For the remote at `url`: `https:`, or `http:` and `file:` where the remote is on this machine. The token never goes into it.
    pub fn new(url: String, credentials: Arc<dyn Credentials>) -> GitCli {
        GitCli {
            runner: Runner::new(url, credentials),
        }
    }

    /// The object that an expression names, `None` if there is none.
    pub(super) async fn resolve(&self, dir: &Path, expression: &str) -> Result<Option<Oid>> {
        let parse = Invocation::new(["rev-parse", "--quiet", "--verify", "--end-of-options", expression]).within(dir);
        let outcome = self.runner.run(&parse).await?;
        match outcome.code {
            Some(0) => Ok(Some(outcome.line())),
            Some(1) => Ok(None),
            _ => Err(parse.failed(outcome.stderr)),
        }
    }

    async fn must_resolve(&self, dir: &Path, expression: &str) -> Result<Oid> {
        let missing = || Invocation::new(["rev-parse", expression]).failed("there is no such object");
        self.resolve(dir, expression).await?.ok_or_else(missing)
    }

    /// The entry of a path in a commit.
    async fn entry(&self, dir: &Path, commit: &str, path: &str) -> Result<Option<Entry>> {
        let list = Invocation::new(["ls-tree", "-z", "--full-tree", commit, "--", path]).within(dir);
        allow(&list, check_commit(commit).and_then(|()| check_path(path)))?;
        let broken = list.failed("its output was not understood");
        let outcome = self.runner.succeed(list).await?;
        if outcome.stdout.is_empty() {
            return Ok(None);
        }
        let line = outcome.line();
        let entry = line.split_once('\t').and_then(|(words, _)| {
            let mut words = words.split(' ');
            let (mode, kind, oid) = (words.next()?, words.next()?, words.next()?);
            Some(Entry {
                mode: mode.to_owned(),
                kind: kind.to_owned(),
                oid: oid.to_owned(),
            })
        });
        entry.map(Some).ok_or(broken)
    }

    /// Stages the contents in the index named by `index` and answers with the tree.
    async fn stage(&self, dir: &Path, index: &Path, parent: &str, files: &[(String, Vec<u8>)]) -> Result<Oid> {
        let on_index = |args: Vec<String>| Invocation::new(args).within(dir).env("GIT_INDEX_FILE", index);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        self.runner.succeed(on_index(words(&["read-tree", parent]))).await?;
        for (path, bytes) in files {
            let mode = match self.entry(dir, parent, path).await? {
                None => REGULAR.to_owned(),
                Some(entry) if entry.is_file() => entry.mode,
                Some(entry) => {
                    let update = Invocation::new(["update-index", path]);
                    return Err(update.failed(format!("{path} is {}, not a file", entry.what())));
                }
            };
            let hash = Invocation::new(["hash-object", "-w", "--stdin"])
                .within(dir)
                .stdin(bytes.clone());
            let blob = self.runner.succeed(hash).await?.line();
            let update = words(&["update-index", "--add", "--cacheinfo", &mode, &blob, path]);
            self.runner.succeed(on_index(update)).await?;
        }
        // The blobs that nobody needed were never fetched.
        let write = on_index(words(&["write-tree", "--missing-ok"]));
        Ok(self.runner.succeed(write).await?.line())
    }

    /// Whether there is no such branch, as git says, or only no answer: see [`Git::remote_branches`].
    async fn doubted(&self, branch: &str, mut error: Error) -> Error {
        let missing = ["not found in upstream", "couldn't find remote ref"];
        if missing.iter().any(|words| error.message.contains(words)) {
            match self.remote_branches(branch).await {
                Ok(found) => error.transient = found.iter().any(|(name, _)| name == branch),
                Err(no_answer) => return no_answer,
            }
        }
        error
    }

    async fn push_ref(&self, dir: &Path, source: &str, branch: &str, lease: &str) -> Result<Pushed> {
        let push = Invocation::new([
            "push".to_owned(),
            "--porcelain".to_owned(),
            format!("--force-with-lease=refs/heads/{branch}:{lease}"),
            "origin".to_owned(),
            format!("{source}:refs/heads/{branch}"),
        ])
        .within(dir)
        .remote();
        allow(&push, check_branch(branch))?;
        let outcome = self.runner.run(&push).await?;
        pushed(&outcome).ok_or_else(|| push.failed(outcome.stderr))
    }
}

/// What `ls-tree` says of a path.
struct Entry {
    mode: String,
    kind: String,
    oid: Oid,
}

impl Entry {
    fn is_file(&self) -> bool {
        self.kind == "blob" && self.mode.starts_with("100")
    }

    fn what(&self) -> &'static str {
        match (self.kind.as_str(), self.mode.as_str()) {
            ("tree", _) => "a directory",
            ("commit", _) => "a submodule",
            (_, "120000") => "a symlink",
            _ => "something unknown",
        }
    }
}

/// A wrong name is this command's error; the command is not run.
pub(super) fn allow(invocation: &Invocation, checked: Result<(), String>) -> Result<()> {
    checked.map_err(|wrong| invocation.failed(wrong))
}

/// A line for `sparse-checkout` that matches this path alone, although it is read as a pattern.
fn sparse_pattern(path: &str) -> String {
    let mut pattern = String::from("/");
    for letter in path.chars() {
        if "\\*?[ ".contains(letter) {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern + "\n"
}

/// What `push --porcelain` says of its one ref; `None` if it didn't come that far.
fn pushed(outcome: &Outcome) -> Option<Pushed> {
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let mut fields = stdout.lines().find(|line| line.contains(":refs/heads/"))?.split('\t');
    let (flag, _refs, summary) = (fields.next()?, fields.next()?, fields.next()?);
    match flag {
        "=" => Some(Pushed::UpToDate),
        "!" => Some(Pushed::Rejected(rejection(summary, &outcome.stderr))),
        _ => outcome.succeeded().then_some(Pushed::Done),
    }
}

/// Git's reason and, where the remote gave one in words, the remote's.
fn rejection(summary: &str, stderr: &str) -> String {
    let said = stderr.lines().filter_map(|line| line.strip_prefix("remote:"));
    std::iter::once(summary)
        .chain(said)
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

/// The index of one commit in the making; removed with its lock when dropped.
struct PrivateIndex(PathBuf);

impl PrivateIndex {
    fn new(dir: &Path) -> std::io::Result<PrivateIndex> {
        let name = format!("index-{:016x}", fastrand::u64(..));
        Ok(PrivateIndex(std::path::absolute(dir)?.join(".git").join(name)))
    }
}

impl Drop for PrivateIndex {
    fn drop(&mut self) {
        // Best effort: a leftover has a name of its own and goes with the workspace.
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_file(self.0.with_extension("lock"));
    }
}

#[async_trait]
impl Git for GitCli {
    async fn version(&self) -> Result<(u32, u32)> {
        let ask = Invocation::new(["--version"]);
        let unknown = ask.failed("its answer was not understood");
        let line = self.runner.succeed(ask).await?.line();
        parse_version(&line).ok_or(unknown)
    }

    async fn clone(&self, dir: &Path, branch: &str, paths: &[String]) -> Result<()> {
        let target = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
        let target = target.to_string_lossy();
        // Not shallow: a rehearsal needs the merge bases.
        let clone = Invocation::new([
            "clone",
            "--quiet",
            "--filter=blob:none",
            "--no-checkout",
            "--single-branch",
            "--no-tags",
            "--branch",
            branch,
            "--",
            self.runner.url(),
            &target,
        ])
        .remote()
        .long();
        allow(&clone, check_branch(branch))?;
        allow(&clone, paths.iter().try_for_each(|path| check_path(path)))?;
        if let Err(error) = self.runner.succeed(clone).await {
            return Err(self.doubted(branch, error).await);
        }
        // By stdin: without any path, the arguments would mean "all files of the root".
        let patterns: String = paths.iter().map(|path| sparse_pattern(path)).collect();
        let sparse = Invocation::new(["sparse-checkout", "set", "--no-cone", "--stdin"]);
        self.runner.succeed(sparse.within(dir).stdin(patterns)).await?;
        self.runner
            .succeed(Invocation::new(["config", WHOLE, "true"]).within(dir))
            .await?;
        Ok(())
    }

    async fn is_clone(&self, dir: &Path) -> bool {
        for (args, answer) in [
            (["rev-parse", "--git-dir"], ".git"),
            (["config", WHOLE], "true"),
            (["config", "remote.origin.url"], self.runner.url()),
        ] {
            match self.runner.succeed(Invocation::new(args).within(dir)).await {
                Ok(outcome) if outcome.line() == answer => {}
                _ => return false,
            }
        }
        true
    }

    async fn fetch_branch(&self, dir: &Path, branch: &str) -> Result<Oid> {
        let tracking = format!("refs/remotes/origin/{branch}");
        // By the remote's name: by address, git would write a second remote into the configuration.
        let refspec = format!("+refs/heads/{branch}:{tracking}");
        let fetch = Invocation::new(["fetch", "--quiet", "--no-tags", "origin", &refspec])
            .within(dir)
            .remote()
            .long();
        allow(&fetch, check_branch(branch))?;
        if let Err(error) = self.runner.succeed(fetch).await {
            return Err(self.doubted(branch, error).await);
        }
        self.must_resolve(dir, &tracking).await
    }

    async fn create_branch(&self, dir: &Path, branch: &str, at: &str) -> Result<()> {
        // The empty old value: it must not exist.
        let update = Invocation::new(["update-ref", &format!("refs/heads/{branch}"), at, ""]).within(dir);
        allow(&update, check_branch(branch).and_then(|()| check_commit(at)))?;
        match self.branch_tip(dir, branch).await? {
            Some(tip) if tip == at => Ok(()),
            Some(tip) => Err(update.failed(format!("the branch is at {tip} already"))),
            None => self.runner.succeed(update).await.map(|_| ()),
        }
    }

    async fn delete_branch(&self, dir: &Path, branch: &str) -> Result<()> {
        let delete = Invocation::new(["update-ref", "-d", &format!("refs/heads/{branch}")]).within(dir);
        allow(&delete, check_branch(branch))?;
        self.runner.succeed(delete).await.map(|_| ())
    }

    async fn branch_tip(&self, dir: &Path, branch: &str) -> Result<Option<Oid>> {
        allow(&Invocation::new(["rev-parse", branch]), check_branch(branch))?;
        self.resolve(dir, &format!("refs/heads/{branch}")).await
    }

    async fn remote_branches(&self, prefix: &str) -> Result<Vec<(String, Oid)>> {
        let pattern = format!("refs/heads/{prefix}*");
        // HEAD, so that an answer is never empty.
        let list = Invocation::new(["ls-remote", "--quiet", "--", self.runner.url(), "HEAD", &pattern]).remote();
        allow(&list, check_branch_prefix(prefix))?;
        let mut no_answer = list.failed("the remote's answer was not git's");
        no_answer.transient = true;
        let outcome = self.runner.succeed(list).await?;
        // Git takes a proxy's page for a repository without branches, and says so in good faith.
        if outcome.stdout.is_empty() && self.runner.url().starts_with("http") {
            return Err(no_answer);
        }
        let branches = String::from_utf8_lossy(&outcome.stdout)
            .lines()
            .filter_map(|line| {
                let (oid, name) = line.split_once('\t')?;
                // The pattern also finds names that only end so.
                let branch = name.strip_prefix("refs/heads/")?;
                branch.starts_with(prefix).then(|| (branch.to_owned(), oid.to_owned()))
            })
            .collect();
        Ok(branches)
    }

    async fn push(&self, dir: &Path, commit: &str, branch: &str, expect: Expect) -> Result<Pushed> {
        let lease = match &expect {
            Expect::Absent => "",
            Expect::At(oid) => oid.as_str(),
        };
        let push = Invocation::new(["push", commit, lease]);
        allow(&push, check_commit(commit))?;
        if let Expect::At(oid) = &expect {
            allow(&push, check_commit(oid))?;
            // A lease that holds would force: only a fast-forward is pushed.
            let forward = Invocation::new(["merge-base", "--is-ancestor", oid, commit])
                .within(dir)
                .remote();
            if self.runner.run(&forward).await?.code != Some(0) {
                return Ok(Pushed::Rejected("it would not be a fast-forward".to_owned()));
            }
        }
        self.push_ref(dir, commit, branch, lease).await
    }

    async fn delete_remote(&self, dir: &Path, branch: &str, expect: &str) -> Result<Pushed> {
        allow(
            &Invocation::new(["push", "--delete", branch, expect]),
            check_commit(expect),
        )?;
        let pushed = self.push_ref(dir, "", branch, expect).await?;
        if !matches!(pushed, Pushed::Rejected(_)) {
            return Ok(pushed);
        }
        // The lease fails in the same words whether the branch is elsewhere or gone.
        let there = self.remote_branches(branch).await?;
        match there.iter().any(|(name, _)| name == branch) {
            true => Ok(pushed),
            false => Ok(Pushed::UpToDate),
        }
    }

    async fn checkout(&self, dir: &Path, branch: &str, at: &str) -> Result<()> {
        let checkout = Invocation::new(["checkout", "--quiet", "--force", "-B", branch, at])
            .within(dir)
            .remote();
        allow(&checkout, check_branch(branch).and_then(|()| check_commit(at)))?;
        self.runner.succeed(checkout).await.map(|_| ())
    }

    async fn read(&self, dir: &Path, commit: &str, path: &str) -> Result<Blob> {
        match self.entry(dir, commit, path).await? {
            None => Ok(Blob::Missing),
            Some(entry) if entry.is_file() => {
                let cat = Invocation::new(["cat-file", "blob", &entry.oid]).within(dir).remote();
                Ok(Blob::File(self.runner.succeed(cat).await?.stdout))
            }
            Some(entry) => Ok(Blob::NotAFile(entry.what().to_owned())),
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
        let make = Invocation::new(["commit-tree", "-p", parent]);
        allow(&make, check_commit(parent))?;
        let index = PrivateIndex::new(dir).map_err(|error| make.failed(error.to_string()))?;
        let tree = self.stage(dir, &index.0, parent, files).await?;
        if tree == self.tree(dir, parent).await? {
            return Ok(parent.to_owned());
        }
        self.commit_tree(dir, &tree, &[parent], message, signature).await
    }

    async fn tree(&self, dir: &Path, commit: &str) -> Result<Oid> {
        allow(&Invocation::new(["rev-parse", commit]), check_commit(commit))?;
        self.must_resolve(dir, &format!("{commit}^{{tree}}")).await
    }

    async fn conflict(&self, dir: &Path, one: &str, other: &str) -> Result<Option<Vec<String>>> {
        self.conflicting_files(dir, one, other).await
    }

    async fn rehearse(&self, dir: &Path, onto: &str, cars: &[Car], method: Method) -> Result<Rehearsal> {
        self.rehearse_train(dir, onto, cars, method).await
    }
}

impl GitCli {
    /// A commit of this tree; the same arguments give the same commit.
    pub(super) async fn commit_tree(
        &self,
        dir: &Path,
        tree: &str,
        parents: &[&str],
        message: &str,
        signature: &Signature,
    ) -> Result<Oid> {
        let parents = parents.iter().flat_map(|parent| ["-p", *parent]);
        let date = format!("@{} {}", signature.date.timestamp(), signature.date.format("%z"));
        let make = Invocation::new(["commit-tree", tree].into_iter().chain(parents))
            .within(dir)
            .env("GIT_AUTHOR_NAME", &signature.name)
            .env("GIT_AUTHOR_EMAIL", &signature.email)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_NAME", &signature.name)
            .env("GIT_COMMITTER_EMAIL", &signature.email)
            .env("GIT_COMMITTER_DATE", &date)
            .stdin(message);
        Ok(self.runner.succeed(make).await?.line())
    }
}

/// `git version 2.39.5 (Apple Git-154)`.
pub(crate) fn parse_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.strip_prefix("git version ")?.split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}
