//! A real bare repository, changed with git's plumbing: the truth about branches, merges and files behind the double.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::github::MergeMethod;

/// A bare repository.
#[derive(Clone, Debug)]
pub struct Bare {
    dir: PathBuf,
}

/// Commits are dated by count, so that the same story has the same SHAs.
pub const EPOCH: u64 = 1_790_000_000;

/// Refuses pushes to guarded refs in GitHub's words. `SHIPMATE_GUARDED` lists them: `creation:refs/heads/deploy-* deletion:…`.
const GUARD: &str = r#"#!/bin/sh
set -f
what=update
case "$2" in *[!0]*) ;; *) what=creation ;; esac
case "$3" in *[!0]*) ;; *) what=deletion ;; esac
for guarded in $SHIPMATE_GUARDED; do
  case "$what:$1" in
    $guarded)
      echo "error: GH013: Repository rule violations found for $1." >&2
      case $what in
        creation) echo "- Cannot create ref due to creations being restricted." >&2 ;;
        *) echo "- Cannot delete this branch" >&2 ;;
      esac
      exit 1 ;;
  esac
done
"#;

/// The environment of every git here: nobody's settings, a fixed identity.
pub fn environment(command: &mut Command) -> &mut Command {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
}

impl Bare {
    /// An empty one.
    pub async fn init(dir: &Path) -> Result<Self, String> {
        let bare = Self { dir: dir.to_owned() };
        std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        bare.git(&["init", "--quiet", "--bare", "--initial-branch=main"])
            .await?;
        bare.configure().await?;
        Ok(bare)
    }

    /// A copy of a local repository.
    pub async fn clone_of(source: &Path, dir: &Path) -> Result<Self, String> {
        let bare = Self { dir: dir.to_owned() };
        std::fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        let source = std::fs::canonicalize(source).map_err(|error| format!("{}: {error}", source.display()))?;
        bare.git(&[
            "clone",
            "--quiet",
            "--bare",
            "--no-hardlinks",
            &source.to_string_lossy(),
            ".",
        ])
        .await?;
        bare.configure().await?;
        Ok(bare)
    }

    async fn configure(&self) -> Result<(), String> {
        for (key, value) in [
            ("uploadpack.allowFilter", "true"),
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("http.receivepack", "true"),
            ("receive.denyDeleteCurrent", "ignore"),
            ("gc.auto", "0"),
        ] {
            self.git(&["config", key, value]).await?;
        }
        let hook = self.dir.join("hooks").join("update");
        let problem = |error: std::io::Error| error.to_string();
        std::fs::create_dir_all(self.dir.join("hooks")).map_err(problem)?;
        std::fs::write(&hook, GUARD).map_err(problem)?;
        std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(problem)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    async fn run(&self, args: &[&str], stdin: Option<&[u8]>, dated: u64) -> Result<(i32, Vec<u8>, String), String> {
        let mut command = Command::new("git");
        let date = format!("{} +0000", EPOCH + dated);
        environment(&mut command)
            .envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)])
            .envs([
                ("GIT_AUTHOR_NAME", "GitHub"),
                ("GIT_AUTHOR_EMAIL", "noreply@github.com"),
            ])
            .envs([
                ("GIT_COMMITTER_NAME", "GitHub"),
                ("GIT_COMMITTER_EMAIL", "noreply@github.com"),
            ])
            .current_dir(&self.dir)
            .args(args)
            .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| format!("git can't be run: {error}"))?;
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), stdin) {
            pipe.write_all(bytes).await.map_err(|error| error.to_string())?;
        }
        let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.code().unwrap_or(-1), output.stdout, stderr))
    }

    /// Runs git to a good end; answers with what it printed.
    pub async fn git(&self, args: &[&str]) -> Result<String, String> {
        match self.run(args, None, 0).await? {
            (0, stdout, _) => Ok(String::from_utf8_lossy(&stdout).trim_end().to_owned()),
            (_, _, stderr) => Err(format!("git {}: {}", args.join(" "), stderr.trim())),
        }
    }

    /// What a ref or revision names.
    pub async fn resolve(&self, revision: &str) -> Option<String> {
        self.git(&["rev-parse", "--verify", "--quiet", "--end-of-options", revision])
            .await
            .ok()
    }

    /// A branch's tip.
    pub async fn tip(&self, branch: &str) -> Option<String> {
        let name = format!("refs/heads/{branch}");
        // Asked for more than anything else: git's own loose file says it without a process.
        match tokio::fs::read_to_string(self.dir.join(&name)).await {
            Ok(sha) if sha.trim().len() == 40 => Some(sha.trim().to_owned()),
            _ => self.resolve(&name).await,
        }
    }

    /// All branches with their tips.
    pub async fn branches(&self) -> Result<Vec<(String, String)>, String> {
        let text = self
            .git(&[
                "for-each-ref",
                "--format=%(refname:lstrip=2) %(objectname)",
                "refs/heads",
            ])
            .await?;
        let row = |line: &str| {
            line.split_once(' ')
                .map(|(name, sha)| (name.to_owned(), sha.to_owned()))
        };
        Ok(text.lines().filter_map(row).collect())
    }

    /// Points a ref somewhere.
    pub async fn set_ref(&self, name: &str, sha: &str) -> Result<(), String> {
        self.git(&["update-ref", name, sha]).await.map(drop)
    }

    /// Removes a ref.
    pub async fn delete_ref(&self, name: &str) -> Result<(), String> {
        self.git(&["update-ref", "-d", name]).await.map(drop)
    }

    /// A file of a commit.
    pub async fn file(&self, commit: &str, path: &str) -> Option<String> {
        let args = ["cat-file", "blob", &format!("{commit}:{path}")];
        let (code, stdout, _) = self.run(&args, None, 0).await.ok()?;
        (code == 0).then(|| String::from_utf8_lossy(&stdout).into_owned())
    }

    /// Commits on top of `parent`: files written (or removed with `None`).
    pub async fn commit(
        &self,
        parent: Option<&str>,
        files: &[(&str, Option<&str>)],
        message: &str,
        author: &str,
        dated: u64,
    ) -> Result<String, String> {
        let index = self.dir.join(format!("index-{:x}", fastrand::u64(..)));
        let index_name = index.to_string_lossy().into_owned();
        let with_index = |args: Vec<String>| {
            let mut all = vec![format!("--git-dir={}", self.dir.display())];
            all.extend(args);
            let mut command = Command::new("git");
            environment(&mut command)
                .env("GIT_INDEX_FILE", &index_name)
                .args(all)
                .kill_on_drop(true);
            command
        };
        let checked = |output: std::process::Output| match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        };
        if let Some(parent) = parent {
            let read = with_index(vec!["read-tree".to_owned(), parent.to_owned()])
                .output()
                .await;
            checked(read.map_err(|error| error.to_string())?)?;
        }
        for (path, content) in files {
            let args = match content {
                Some(content) => {
                    let (_, oid, _) = self
                        .run(&["hash-object", "-w", "--stdin"], Some(content.as_bytes()), 0)
                        .await?;
                    let oid = String::from_utf8_lossy(&oid).trim().to_owned();
                    vec![
                        "update-index".to_owned(),
                        "--add".to_owned(),
                        "--cacheinfo".to_owned(),
                        format!("100644,{oid},{path}"),
                    ]
                }
                None => vec![
                    "update-index".to_owned(),
                    "--force-remove".to_owned(),
                    (*path).to_owned(),
                ],
            };
            checked(with_index(args).output().await.map_err(|error| error.to_string())?)?;
        }
        let tree = checked(
            with_index(vec!["write-tree".to_owned()])
                .output()
                .await
                .map_err(|error| error.to_string())?,
        )?;
        let _ = std::fs::remove_file(&index);
        self.commit_tree(&tree, parent.as_slice(), message, author, dated).await
    }

    async fn commit_tree(
        &self,
        tree: &str,
        parents: &[&str],
        message: &str,
        author: &str,
        dated: u64,
    ) -> Result<String, String> {
        let mut args = vec!["-c", "user.useConfigOnly=false", "commit-tree", tree];
        for parent in parents {
            args.extend(["-p", *parent]);
        }
        let mut command = Command::new("git");
        let date = format!("{} +0000", EPOCH + dated);
        environment(&mut command)
            .envs([("GIT_AUTHOR_DATE", &date), ("GIT_COMMITTER_DATE", &date)])
            .env("GIT_AUTHOR_NAME", author)
            .env("GIT_AUTHOR_EMAIL", format!("{author}@users.noreply.github.com"))
            .envs([
                ("GIT_COMMITTER_NAME", "GitHub"),
                ("GIT_COMMITTER_EMAIL", "noreply@github.com"),
            ])
            .current_dir(&self.dir)
            .args(&args)
            .args(["-m", message])
            .kill_on_drop(true);
        let output = command.output().await.map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Whether a commit is contained in another.
    pub async fn contains(&self, in_commit: &str, commit: &str) -> bool {
        let args = ["merge-base", "--is-ancestor", commit, in_commit];
        self.run(&args, None, 0).await.is_ok_and(|(code, _, _)| code == 0)
    }

    /// The tree of a merge, or `None` where it conflicts.
    async fn merge_tree(&self, base: Option<&str>, ours: &str, theirs: &str) -> Result<Option<String>, String> {
        let merge_base = base.map(|base| format!("--merge-base={base}"));
        let mut args = vec!["merge-tree", "--write-tree", "--no-messages", "--name-only"];
        args.extend(merge_base.as_deref());
        args.extend([ours, theirs]);
        match self.run(&args, None, 0).await? {
            (0, stdout, _) => Ok(Some(
                String::from_utf8_lossy(&stdout)
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
            )),
            (1, _, _) => Ok(None),
            (_, _, stderr) => Err(stderr),
        }
    }

    /// Whether `head` merges cleanly into `base`.
    pub async fn mergeable(&self, base: &str, head: &str) -> bool {
        self.merge_tree(None, base, head).await.is_ok_and(|tree| tree.is_some())
    }

    /// Merges as GitHub does; the new tip, or `None` where it conflicts.
    pub async fn merge(
        &self,
        method: MergeMethod,
        base: &str,
        head: &str,
        message: &str,
        author: &str,
        dated: u64,
    ) -> Result<Option<String>, String> {
        match method {
            MergeMethod::Rebase => self.rebase(base, head, dated).await,
            MergeMethod::Merge | MergeMethod::Squash => {
                let Some(tree) = self.merge_tree(None, base, head).await? else {
                    return Ok(None);
                };
                let parents = match method {
                    MergeMethod::Merge => vec![base, head],
                    _ => vec![base],
                };
                self.commit_tree(&tree, &parents, message, author, dated)
                    .await
                    .map(Some)
            }
        }
    }

    async fn rebase(&self, base: &str, head: &str, dated: u64) -> Result<Option<String>, String> {
        let commits = self
            .git(&[
                "rev-list",
                "--reverse",
                "--no-merges",
                "--topo-order",
                &format!("{base}..{head}"),
            ])
            .await?;
        let mut tip = base.to_owned();
        for commit in commits.lines() {
            let Some(tree) = self.merge_tree(Some(&format!("{commit}^")), &tip, commit).await? else {
                return Ok(None);
            };
            let message = self.git(&["log", "-1", "--format=%B", commit]).await?;
            let author = self.git(&["log", "-1", "--format=%an", commit]).await?;
            if Some(&tree) != self.resolve(&format!("{tip}^{{tree}}")).await.as_ref() {
                tip = self.commit_tree(&tree, &[&tip], &message, &author, dated).await?;
            }
        }
        Ok(Some(tip))
    }

    /// Commits of `head` that `base` lacks, oldest first: SHA, author, message.
    pub async fn log(&self, base: &str, head: &str) -> Result<Vec<(String, String, String)>, String> {
        let range = format!("{base}..{head}");
        let text = self
            .git(&[
                "log",
                "--reverse",
                "--topo-order",
                "--format=%H%x1f%an%x1f%B%x1e",
                &range,
            ])
            .await?;
        let row = |entry: &str| {
            let mut fields = entry.trim_start().splitn(3, '\u{1f}').map(str::to_owned);
            Some((fields.next()?, fields.next()?, fields.next()?.trim_end().to_owned()))
        };
        Ok(text.split('\u{1e}').filter_map(row).collect())
    }
}
