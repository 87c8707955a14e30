//! Everything about GitHub's behaviour that can be chosen. The default is a GitHub that is well-behaved, quick and consistent; a test turns
//! single knobs, a [`Scenario`](super::Scenario) turns those that make up its kind of day.

use std::collections::{BTreeMap, VecDeque};

use crate::github::MergeMethod;

/// The knobs. Counters that count down are used up by the requests that they spoil.
#[derive(Clone, Debug, Default)]
pub struct Knobs {
    /// So many GETs of a pull request answer `mergeable: null` after a retarget or a merge into its base.
    pub null_reads: u32,
    /// The first GET after a retarget or merge still answers from before it: the old base's tip, and whether that could be merged into.
    pub stale_once: bool,
    /// So many reads don't show what is new: pull requests in lists, refs, the pull requests of a commit.
    pub lag_reads: u32,
    /// So many times asking for reviewers of a new pull request answers 422 "Could not resolve to a node".
    pub node_lag: u32,
    /// So many merges are answered with "Base branch was modified".
    pub base_modified: u32,
    /// These may review, and can't be asked to: they have their access by a role of the organisation alone.
    pub not_asked: Vec<String>,
    /// The next merges are refused with these statuses and messages, in order.
    pub merge_refusals: VecDeque<(u16, String)>,
    /// What a changed base does to approvals.
    pub dismissal: Dismissal,
    /// Head branches go when their pull request is merged.
    pub delete_head: DeleteHead,
    /// A pull request with auto-merge is merged as soon as it is retargeted to a branch without rules.
    pub auto_merge_fires: bool,
    /// Merge methods that the repository has switched off.
    pub forbidden_methods: Vec<MergeMethod>,
    /// Rules by branch, or by the beginning of branches and a `*`.
    pub rules: BTreeMap<String, Rule>,
    /// The branch that closing keywords work on, instead of `main`.
    pub default_branch: Option<String>,
    /// Who pushes to the deploy branch once a pull request was retargeted to it.
    pub foreign_commit: bool,

    /// No check ever reports.
    pub no_checks: bool,
    /// So many reads of check runs see none yet.
    pub checks_late: u32,
    /// So many reads of check runs see only the first two.
    pub second_wave: u32,
    /// This check of the deploy pull request fails, once.
    pub failing_check: Option<&'static str>,
    /// Another workflow has a check of this name, too, which runs for the push and fails, once.
    pub failing_twin: Option<&'static str>,

    /// How the deploy workflow's run goes.
    pub run: RunStory,
    /// So many look-ups don't find the run yet.
    pub run_late: u32,

    /// The release stays a draft.
    pub draft_release: bool,
    /// The release's tag is an annotated one.
    pub annotated_tag: bool,
    /// So many edits of a release's body are overwritten by the workflow at once.
    pub overwritten_bodies: u32,
    /// The token has no right to workflow files: editing the release answers 404, merging such files 403.
    pub no_workflow_right: bool,

    /// A secondary rate limit strikes at these calls, counted from 1.
    pub slow_down: BTreeMap<u64, SlowDown>,
    /// Requests left before the primary rate limit; it comes back a second after it was used up.
    pub quota: Option<u64>,
    /// Every reply to a write is lost once, after its effect.
    pub lost_replies: bool,
    /// An installation token is good for so many calls.
    pub token_calls: Option<u64>,
    /// The repository is called that now, and redirects under its old name.
    pub moved_to: Option<String>,
    /// API versions that have ended: 410.
    pub dead_versions: Vec<String>,
    /// When the API version in use ends, announced in a `Sunset` header.
    pub sunset: Option<String>,
    /// The credential that a sandbox hands to the bot.
    pub credential: Credential,
    /// Whose personal token it is, instead of a machine user's.
    pub token_owner: Option<&'static str>,
}

/// What happens to approvals when the base changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dismissal {
    /// Nothing: the repository doesn't dismiss stale reviews.
    #[default]
    None,
    /// Each approval's own state reads `DISMISSED`.
    InPlace,
    /// The approval stays as it is, and one more review of the same person reads `DISMISSED`.
    Appended,
}

/// What happens to a merged head branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeleteHead {
    /// It stays.
    #[default]
    No,
    /// It goes, and pull requests that build on it move to where it was merged into.
    Retargeting,
    /// It goes, and pull requests that build on it are closed, as has been seen.
    Closing,
}

/// How the deploy workflow's run goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunStory {
    /// It starts and succeeds.
    #[default]
    Succeeds,
    /// Its `migrate` job fails; running it again succeeds.
    Fails,
    /// It waits for an environment's approval, which comes after so many looks at the run; never, if it is `u32::MAX`.
    Waits(u32),
    /// Somebody pushes once more, and the concurrency group cancels this run for the newer one.
    Superseded,
    /// There is none.
    Never,
}

/// How GitHub asks to slow down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowDown {
    /// With this status and `Retry-After`, in seconds.
    For(u16, u64),
    /// With this status, without saying for how long.
    Unsaid(u16),
}

/// A kind of credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// `ghp_…` with the scopes repo and workflow.
    #[default]
    Classic,
    /// `github_pat_…`, which can't see check runs.
    FineGrained,
    /// A GitHub App's key.
    App,
}

/// A ruleset's or a protected branch's rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Classic branch protection instead of a ruleset.
    pub classic: bool,
    /// Approving reviews required.
    pub approvals: usize,
    /// Checks required.
    pub checks: Vec<String>,
    /// Merging goes through a queue.
    pub merge_queue: bool,
    /// No merge commits.
    pub linear_history: bool,
    /// Nobody may create such a branch.
    pub creation: bool,
    /// Nobody may delete it.
    pub deletion: bool,
}

impl Knobs {
    /// The rules of a branch.
    pub fn rules_of<'a>(&'a self, branch: &'a str) -> impl Iterator<Item = &'a Rule> {
        let applies = move |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => branch.starts_with(beginning),
            None => branch == pattern,
        };
        let found = self.rules.iter().filter(move |(pattern, _)| applies(pattern));
        found.map(|(_, rule)| rule)
    }

    /// One less of a counter; whether there was one.
    pub(super) fn spend(counter: &mut u32) -> bool {
        let left = *counter > 0;
        *counter = counter.saturating_sub(1);
        left
    }
}
