//! This computer: directories and git.

use std::path::Path;

use tokio::process::Command;

use super::{Finding, fail, ok, warn};
use crate::config::{Project, Secrets, Traces};
use crate::github::MergeMethod;
use crate::traces::Collector;

/// Merges in the object store.
const MERGES_SINCE: (u32, u32) = (2, 38);
/// Rebases there.
const REBASES_SINCE: (u32, u32) = (2, 40);

pub(super) fn data_dir(path: &Path) -> Finding {
    writable("data_dir", path, "`data_dir`")
}

pub(super) fn workspaces(root: Option<&Path>) -> Finding {
    let default = std::env::temp_dir();
    writable("workspaces", root.unwrap_or(&default), "`workspace_root`")
}

/// A directory that is there and writable, or that can be made; nothing is left behind.
fn writable(subject: &str, path: &Path, setting: &str) -> Finding {
    let there = path
        .ancestors()
        .find(|ancestor| ancestor.exists() || ancestor.as_os_str().is_empty());
    let there = match there {
        Some(ancestor) if !ancestor.as_os_str().is_empty() => ancestor,
        _ => Path::new("."),
    };
    let shown = path.display();
    if !there.is_dir() {
        return fail(
            subject,
            &format!("{} is no directory", there.display()),
            &format!("move it away, or change {setting}"),
        );
    }
    match tempfile::tempfile_in(there) {
        Ok(_) if there == path => ok(subject, format!("{shown} is writable")),
        Ok(_) => ok(subject, format!("{shown} will be made")),
        Err(error) => fail(
            subject,
            &format!("{} can't be written to ({error})", there.display()),
            &format!("give it to the user that runs Shipmate, or change {setting}"),
        ),
    }
}

/// A deployment goes well without its trace.
pub(super) async fn collector(traces: &Traces, secrets: &Secrets) -> Finding {
    let answered = match Collector::new(traces, secrets.otlp_headers.as_ref()) {
        Ok(collector) => collector.answers().await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(()) => ok("traces", format!("{} takes them", traces.endpoint)),
        Err(error) => warn(
            "traces",
            &error,
            "mend `endpoint` in [traces] or OTEL_EXPORTER_OTLP_HEADERS, or start the collector",
        ),
    }
}

pub(super) async fn git(projects: &[&Project]) -> Finding {
    let asked = Command::new("git").arg("--version").kill_on_drop(true).output().await;
    let said = match asked {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => {
            return fail(
                "git",
                &format!("it can't be run ({error})"),
                "install git 2.38 or later",
            );
        }
    };
    let rebases = projects
        .iter()
        .any(|project| project.merge_method == MergeMethod::Rebase);
    judge_git(&said, rebases)
}

fn judge_git(said: &str, rebases: bool) -> Finding {
    match crate::git::cli::parse_version(said) {
        None => fail(
            "git",
            &format!("{said:?} is not a version of git"),
            "install git 2.38 or later",
        ),
        Some(version) if version < MERGES_SINCE => fail(
            "git",
            &format!("{said} can't rehearse merges"),
            "install git 2.38 or later",
        ),
        Some(version) if rebases && version < REBASES_SINCE => warn(
            "git",
            &format!("{said} can't rehearse the configured rebases and merges instead"),
            "install git 2.40 or later",
        ),
        Some(_) => ok("git", said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn git_is_judged_by_what_is_asked_of_it() {
        for (said, rebases, verdict) in [
            ("git version 2.37.9", false, Verdict::Fail),
            ("git version 2.39.5 (Apple Git-154)", false, Verdict::Ok),
            ("git version 2.39.5", true, Verdict::Warn),
            ("git version 2.47.1", true, Verdict::Ok),
            ("hub", false, Verdict::Fail),
        ] {
            assert_eq!(judge_git(said, rebases).verdict, verdict, "{said}");
        }
    }

    #[test]
    fn a_directory_is_writable_or_can_be_made_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        assert!(data_dir(dir.path()).said.contains("is writable"));
        assert!(data_dir(&dir.path().join("a/b")).said.contains("will be made"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(data_dir(&dir.path().join("file/data")).verdict, Verdict::Fail);
    }
}
