//! [`GitCli`] against real bare repositories.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use chrono::DateTime;
use secrecy::SecretString;
use tempfile::TempDir;

use super::cli::GitCli;
use super::*;

mod pushing;
mod rehearsing;
mod secrecy_of_the_token;

const TOKEN: &str = "ghs_a-very-secret-token";

struct Fixed;

#[async_trait]
impl Credentials for Fixed {
    async fn token(&self) -> Result<SecretString, String> {
        Ok(TOKEN.to_owned().into())
    }
}

/// A remote with a branch `main` of three files, and room for a clone.
struct Rig {
    root: TempDir,
    git: GitCli,
}

impl Rig {
    fn new() -> Rig {
        let root = TempDir::new().unwrap();
        let remote = root.path().join("web.git");
        let url = format!("file://{}", remote.display());
        let rig = Rig {
            root,
            git: GitCli::new(url, Arc::new(Fixed)),
        };
        std::fs::create_dir(&remote).unwrap();
        rig.remote(&["init", "-q", "--bare", "-b", "main"]);
        rig.remote(&["config", "uploadpack.allowFilter", "true"]);
        rig.remote(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        rig.writes(
            "main",
            &[],
            &[
                ("VERSION", "1.2.3\n"),
                ("src/big.txt", "big\n"),
                ("a b/[x]*.json", "{}\n"),
            ],
        );
        rig
    }

    async fn cloned() -> Rig {
        let rig = Rig::new();
        let paths = ["VERSION", "a b/[x]*.json"].map(str::to_owned);
        rig.git.clone(&rig.dir(), "main", &paths).await.unwrap();
        rig
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("clone")
    }

    fn remote(&self, args: &[&str]) -> String {
        plain_git(&self.root.path().join("web.git"), args, "")
    }

    fn local(&self, args: &[&str]) -> String {
        plain_git(&self.dir(), args, "")
    }

    fn tip(&self, branch: &str) -> String {
        self.remote(&["rev-parse", &format!("refs/heads/{branch}")])
    }

    /// Commits on the remote itself; `reference` is a branch or a full name.
    fn writes(&self, reference: &str, parents: &[&str], files: &[(&str, &str)]) -> String {
        let remote = self.root.path().join("web.git");
        match parents.first() {
            Some(parent) => plain_git(&remote, &["read-tree", parent], ""),
            None => plain_git(&remote, &["read-tree", "--empty"], ""),
        };
        for (path, text) in files {
            let blob = plain_git(&remote, &["hash-object", "-w", "--stdin"], text);
            plain_git(
                &remote,
                &["update-index", "--add", "--cacheinfo", "100644", &blob, path],
                "",
            );
        }
        let tree = plain_git(&remote, &["write-tree"], "");
        let mut args = vec!["commit-tree", &tree, "-m", "x"];
        for parent in parents {
            args.extend(["-p", *parent]);
        }
        let commit = plain_git(&remote, &args, "");
        let reference = match reference.starts_with("refs/") {
            true => reference.to_owned(),
            false => format!("refs/heads/{reference}"),
        };
        plain_git(&remote, &["update-ref", &reference, &commit], "");
        commit
    }
}

fn plain_git(dir: &Path, args: &[&str], stdin: &str) -> String {
    use std::io::Write;
    let mut child = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_NO_LAZY_FETCH", "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn signature() -> Signature {
    Signature {
        name: "Shipmate".into(),
        email: "bot@example.com".into(),
        date: DateTime::parse_from_rfc3339("2026-01-02T03:04:05+02:00").unwrap(),
    }
}

#[tokio::test]
async fn the_version_is_known() {
    assert!(Rig::new().git.version().await.unwrap() >= (2, 38));
}

#[tokio::test]
async fn a_clone_has_the_history_but_only_the_blobs_asked_for() {
    let rig = Rig::new();
    rig.writes("main", &[&rig.tip("main")], &[("VERSION", "1.2.4\n")]);
    assert!(!rig.git.is_clone(&rig.dir()).await);
    let paths = ["VERSION", "a b/[x]*.json"].map(str::to_owned);
    rig.git.clone(&rig.dir(), "main", &paths).await.unwrap();
    assert!(rig.git.is_clone(&rig.dir()).await);
    assert!(!rig.dir().join("VERSION").exists());
    assert_eq!(rig.local(&["rev-list", "--count", "origin/main"]), "2");

    rig.git.checkout(&rig.dir(), "deploy", &rig.tip("main")).await.unwrap();
    assert_eq!(std::fs::read_to_string(rig.dir().join("VERSION")).unwrap(), "1.2.4\n");
    assert!(rig.dir().join("a b/[x]*.json").exists());
    assert!(!rig.dir().join("src").exists());
    let missing = rig.local(&["rev-list", "--objects", "--missing=print", "origin/main"]);
    assert_eq!(
        missing.lines().filter(|line| line.starts_with('?')).count(),
        2,
        "{missing}"
    );
}

#[tokio::test]
async fn without_paths_nothing_is_checked_out() {
    let rig = Rig::new();
    rig.git.clone(&rig.dir(), "main", &[]).await.unwrap();
    rig.git.checkout(&rig.dir(), "deploy", &rig.tip("main")).await.unwrap();
    assert!(!rig.dir().join("VERSION").exists());
}

#[tokio::test]
async fn half_a_clone_and_a_foreign_one_are_no_clones() {
    let rig = Rig::cloned().await;
    let other = GitCli::new("file:///elsewhere.git".into(), Arc::new(Fixed));
    assert!(!other.is_clone(&rig.dir()).await);
    rig.local(&["config", "--unset", "shipmate.whole"]);
    assert!(!rig.git.is_clone(&rig.dir()).await);
}

#[tokio::test]
async fn a_repository_around_an_empty_folder_is_not_touched() {
    let rig = Rig::cloned().await;
    let inner = rig.dir().join("inner");
    std::fs::create_dir(&inner).unwrap();
    assert!(!rig.git.is_clone(&inner).await);
    assert!(rig.git.branch_tip(&inner, "main").await.is_err());
}

#[tokio::test]
async fn fetching_finds_the_new_tip() {
    let rig = Rig::cloned().await;
    let next = rig.writes("main", &[&rig.tip("main")], &[("VERSION", "2.0.0\n")]);
    assert_eq!(rig.git.fetch_branch(&rig.dir(), "main").await.unwrap(), next);
    assert!(!rig.git.fetch_branch(&rig.dir(), "nope").await.unwrap_err().transient);
}

#[tokio::test]
async fn local_branches_are_made_found_and_deleted() {
    let rig = Rig::cloned().await;
    let (dir, first) = (rig.dir(), rig.tip("main"));
    let second = rig.writes("main", &[&first], &[("VERSION", "2\n")]);
    rig.git.fetch_branch(&dir, "main").await.unwrap();
    rig.git.create_branch(&dir, "deploy", &first).await.unwrap();
    rig.git.create_branch(&dir, "deploy", &first).await.unwrap();
    assert!(rig.git.create_branch(&dir, "deploy", &second).await.is_err());
    assert_eq!(rig.git.branch_tip(&dir, "deploy").await.unwrap(), Some(first));
    rig.git.delete_branch(&dir, "deploy").await.unwrap();
    rig.git.delete_branch(&dir, "deploy").await.unwrap();
    assert_eq!(rig.git.branch_tip(&dir, "deploy").await.unwrap(), None);
}

#[tokio::test]
async fn a_path_is_a_file_or_not_or_missing() {
    let rig = Rig::cloned().await;
    let (dir, tip) = (rig.dir(), rig.tip("main"));
    for (path, blob) in [
        ("src/big.txt", Blob::File(b"big\n".to_vec())),
        ("a b/[x]*.json", Blob::File(b"{}\n".to_vec())),
        ("src", Blob::NotAFile("a directory".into())),
        ("nope", Blob::Missing),
        ("*", Blob::Missing),
    ] {
        assert_eq!(rig.git.read(&dir, &tip, path).await.unwrap(), blob, "{path}");
    }
    assert!(rig.git.read(&dir, &tip, "../secret").await.is_err());
    assert!(rig.git.read(&dir, "main", "VERSION").await.is_err());
}

#[tokio::test]
async fn a_commit_is_deterministic_and_touches_its_files_only() {
    let rig = Rig::cloned().await;
    let (dir, parent) = (rig.dir(), rig.tip("main"));
    let files = [
        ("VERSION".to_owned(), b"1.2.4\n".to_vec()),
        ("new/file".to_owned(), b"x".to_vec()),
    ];
    let commit = rig
        .git
        .commit(&dir, &parent, &files, "Release 1.2.4", &signature())
        .await
        .unwrap();
    let again = rig
        .git
        .commit(&dir, &parent, &files, "Release 1.2.4", &signature())
        .await
        .unwrap();
    assert_eq!(commit, again);
    let changed = rig.local(&["diff-tree", "-r", "--name-status", &parent, &commit]);
    assert_eq!(changed, "M\tVERSION\nA\tnew/file");
    let about = rig.local(&["log", "-1", "--format=%an|%ae|%aI|%cn|%cI|%B", &commit]);
    let when = "2026-01-02T03:04:05+02:00";
    assert_eq!(
        about,
        format!("Shipmate|bot@example.com|{when}|Shipmate|{when}|Release 1.2.4")
    );
    assert!(
        !std::fs::read_dir(dir.join(".git"))
            .unwrap()
            .any(|entry| { entry.unwrap().file_name().to_string_lossy().starts_with("index-") })
    );
}

#[tokio::test]
async fn a_commit_without_a_change_is_its_parent_and_a_mode_is_kept() {
    let rig = Rig::cloned().await;
    let (dir, parent) = (rig.dir(), rig.tip("main"));
    let same = [("VERSION".to_owned(), b"1.2.3\n".to_vec())];
    assert_eq!(
        rig.git.commit(&dir, &parent, &same, "x", &signature()).await.unwrap(),
        parent
    );

    rig.remote(&["read-tree", &parent]);
    let blob = rig.remote(&["rev-parse", &format!("{parent}:VERSION")]);
    rig.remote(&["update-index", "--cacheinfo", "100755", &blob, "VERSION"]);
    let tree = rig.remote(&["write-tree"]);
    let executable = rig.remote(&["commit-tree", &tree, "-p", &parent, "-m", "x"]);
    rig.remote(&["update-ref", "refs/heads/main", &executable]);
    rig.git.fetch_branch(&dir, "main").await.unwrap();
    let changed = [("VERSION".to_owned(), b"2\n".to_vec())];
    let commit = rig
        .git
        .commit(&dir, &executable, &changed, "x", &signature())
        .await
        .unwrap();
    assert!(rig.local(&["ls-tree", &commit, "VERSION"]).starts_with("100755"));
}

#[tokio::test]
async fn a_commit_never_writes_over_a_symlink() {
    let rig = Rig::cloned().await;
    let (dir, parent) = (rig.dir(), rig.tip("main"));
    let target = rig.remote(&["rev-parse", &format!("{parent}:VERSION")]);
    rig.remote(&["read-tree", &parent]);
    rig.remote(&["update-index", "--add", "--cacheinfo", "120000", &target, "link"]);
    let tree = rig.remote(&["write-tree"]);
    let commit = rig.remote(&["commit-tree", &tree, "-p", &parent, "-m", "x"]);
    rig.remote(&["update-ref", "refs/heads/main", &commit]);
    rig.git.fetch_branch(&dir, "main").await.unwrap();
    let read = rig.git.read(&dir, &commit, "link").await.unwrap();
    assert_eq!(read, Blob::NotAFile("a symlink".into()));
    let files = [("link".to_owned(), b"x".to_vec())];
    let error = rig
        .git
        .commit(&dir, &commit, &files, "x", &signature())
        .await
        .unwrap_err();
    assert!(error.message.contains("a symlink"), "{error}");
}
