//! The runbook: every step a person once did by hand, by the name it has everywhere (journal, Slack, dashboard, README).

use serde::{Deserialize, Serialize};

/// The five phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A workspace and the deploy branch.
    Setup,
    /// The train: which pull requests, on which base, merged.
    MergePrs,
    /// Version, deploy pull request, reviewer.
    DeployPr,
    /// Green, approved, merged.
    CiAndMerge,
    /// Actions run, release, notes, checklist.
    Release,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 5] = [
        Self::Setup,
        Self::MergePrs,
        Self::DeployPr,
        Self::CiAndMerge,
        Self::Release,
    ];

    /// What people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Setup => "Setup",
            Self::MergePrs => "Merge PRs",
            Self::DeployPr => "Deploy PR",
            Self::CiAndMerge => "CI and merge",
            Self::Release => "Release",
        }
    }
}

/// One line of the runbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name; what comes after a `/` in a step's key tells rounds and pull requests apart.
    pub name: &'static str,
    /// Where it belongs.
    pub phase: Phase,
    /// A human decision rather than work.
    pub checkpoint: bool,
    /// What it does, in a few words that read well after "now:".
    pub title: &'static str,
    /// Where its code stands.
    pub file: &'static str,
}

const fn step(phase: Phase, name: &'static str, title: &'static str, file: &'static str) -> Line {
    Line {
        name,
        phase,
        checkpoint: false,
        title,
        file,
    }
}

const fn checkpoint(phase: Phase, name: &'static str, title: &'static str, file: &'static str) -> Line {
    Line {
        name,
        phase,
        checkpoint: true,
        title,
        file,
    }
}

const SETUP: &str = "src/deploy/setup.rs";
const MERGE_PRS: &str = "src/deploy/merge_prs.rs";
const DEPLOY_PR: &str = "src/deploy/deploy_pr.rs";
const WAIT_AND_MERGE: &str = "src/deploy/wait_and_merge.rs";
const POST_DEPLOY: &str = "src/deploy/post_deploy.rs";

/// The runbook, in order.
pub const RUNBOOK: [Line; 27] = [
    step(Phase::Setup, "create_workspace", "making a fresh workspace", SETUP),
    step(
        Phase::Setup,
        "clone_repo",
        "cloning the repository, without its blobs",
        SETUP,
    ),
    step(Phase::Setup, "fetch_staging", "fetching the base branch", SETUP),
    step(Phase::Setup, "create_deploy_branch", "branching off", SETUP),
    step(Phase::Setup, "push_deploy_branch", "pushing the deploy branch", SETUP),
    step(
        Phase::MergePrs,
        "fetch_approved_prs",
        "collecting the approved pull requests",
        MERGE_PRS,
    ),
    step(Phase::MergePrs, "rehearse_merges", "rehearsing the merges", MERGE_PRS),
    checkpoint(
        Phase::MergePrs,
        "confirm_pr_list",
        "confirm the list of pull requests",
        MERGE_PRS,
    ),
    step(
        Phase::MergePrs,
        "change_pr_bases",
        "retargeting the pull requests",
        MERGE_PRS,
    ),
    checkpoint(
        Phase::MergePrs,
        "approve_point_of_no_return",
        "approve the point of no return",
        MERGE_PRS,
    ),
    step(Phase::MergePrs, "merge_pr", "merging the pull requests", MERGE_PRS),
    step(
        Phase::MergePrs,
        "collect_merged_pr_info",
        "collecting what was merged",
        MERGE_PRS,
    ),
    step(Phase::DeployPr, "bump_version", "bumping the version", DEPLOY_PR),
    step(
        Phase::DeployPr,
        "commit_version_bump",
        "committing the version bump",
        DEPLOY_PR,
    ),
    step(
        Phase::DeployPr,
        "push_version_bump",
        "pushing the version bump",
        DEPLOY_PR,
    ),
    step(
        Phase::DeployPr,
        "create_pull_request",
        "opening the deploy pull request",
        DEPLOY_PR,
    ),
    step(
        Phase::DeployPr,
        "update_pr_description",
        "writing its description",
        DEPLOY_PR,
    ),
    step(Phase::DeployPr, "request_review", "asking for a review", DEPLOY_PR),
    step(
        Phase::CiAndMerge,
        "wait_for_ci",
        "waiting for the checks",
        WAIT_AND_MERGE,
    ),
    step(
        Phase::CiAndMerge,
        "wait_for_approval",
        "waiting for an approval",
        WAIT_AND_MERGE,
    ),
    step(
        Phase::CiAndMerge,
        "merge_deploy_pr",
        "merging the deploy pull request",
        WAIT_AND_MERGE,
    ),
    step(
        Phase::Release,
        "post_deploy_link",
        "finding the Actions run",
        POST_DEPLOY,
    ),
    step(
        Phase::Release,
        "watch_deploy_run",
        "watching the Actions run",
        POST_DEPLOY,
    ),
    step(
        Phase::Release,
        "wait_for_release",
        "waiting for the release",
        POST_DEPLOY,
    ),
    step(
        Phase::Release,
        "update_release_description",
        "describing the release",
        POST_DEPLOY,
    ),
    step(
        Phase::Release,
        "post_release_notes",
        "posting the release notes",
        POST_DEPLOY,
    ),
    checkpoint(
        Phase::Release,
        "post_release_checklist",
        "tick the checklist",
        POST_DEPLOY,
    ),
];

/// The line that a step's or checkpoint's key belongs to.
pub fn line_of(key: &str) -> Option<&'static Line> {
    let name = key.split('/').next().unwrap_or(key);
    RUNBOOK.iter().find(|line| line.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_come_in_order_and_names_are_unique() {
        assert!(RUNBOOK.is_sorted_by_key(|line| line.phase));
        for (index, line) in RUNBOOK.iter().enumerate() {
            assert!(
                RUNBOOK[..index].iter().all(|other| other.name != line.name),
                "{}",
                line.name
            );
        }
    }

    #[test]
    fn the_readme_says_the_same() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        let rows: Vec<&str> = readme.lines().filter(|line| line.contains("| `src/deploy/")).collect();
        let row = |line: &Line| {
            let people = if line.checkpoint { " (people)" } else { "" };
            format!("| {} | `{}`{people} | `{}` |", line.phase.title(), line.name, line.file)
        };
        assert_eq!(rows, RUNBOOK.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn a_key_belongs_to_the_line_it_begins_with() {
        assert_eq!(line_of("merge_pr/42").map(|line| line.name), Some("merge_pr"));
        assert_eq!(line_of("attention/merge_pr/42/1"), None);
    }
}
