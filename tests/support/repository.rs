//! A repository to make a long train from.

use std::path::Path;
use std::process::Command;

/// A repository whose pull requests don't touch each other.
pub fn repository(dir: &Path, train: usize) -> Vec<String> {
    let git = |args: &[&str]| {
        let person = ["-c", "user.name=ana", "-c", "user.email=ana@acme.example"];
        let done = Command::new("git")
            .current_dir(dir)
            .args(person)
            .args(args)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    git(&["init", "--quiet", "--initial-branch=staging"]);
    std::fs::write(dir.join("VERSION"), "1.0.0\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message=Begin"]);
    let branches: Vec<String> = (1..=train).map(|number| format!("change-{number}")).collect();
    for branch in &branches {
        git(&["checkout", "--quiet", "-b", branch, "staging"]);
        std::fs::write(dir.join(format!("{branch}.txt")), branch).unwrap();
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", branch]);
    }
    git(&["checkout", "--quiet", "staging"]);
    branches
}
