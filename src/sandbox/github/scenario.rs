//! Bad days: what the double can be told to do, by name. Several can be combined.
//!
//! What real GitHub does, the [`Knobs`] or hand that makes the double do it, the scenario of that name, and the file in `tests/` that
//! proves it:
//!
//! | GitHub | knob or hand | scenario | proven in |
//! |---|---|---|---|
//! | `mergeable: null` for some GETs after a retarget or merge | `null_reads` | `mergeable-null` | `lag` |
//! | a stale answer of the old base, once | `stale_once` | `stale-mergeable` | `lag` |
//! | lists, refs and `commits/{sha}/pulls` lag | `lag_reads` | `lag` | `lag` |
//! | 422 "Could not resolve to a node" on a new pull request | `node_lag` | `node-lag` | `lag` |
//! | 405 Base branch was modified; Merge already in progress; any other words | `base_modified`, `merge_refusals` | `base-modified`, `merge-in-progress` | `merging` |
//! | 405 not mergeable, draft; 409 head modified | always | `conflict` | `merging` |
//! | 405 methods, approvals, checks, linear history, merge queue; 403 workflow files | `forbidden_methods`, `rules`, `no_workflow_right` | `no-merge-commits`, `protected`, `merge-queue`, `workflow-rights` | `merging` |
//! | rules of branches that don't exist yet; classic protection | `rules` | `protected`, `no-deploy-branches`, `kept-deploy-branches` | `merging`, `git` |
//! | indirect merges | `push`, `set_branch` | | `merging` |
//! | base change dismisses approvals, in place or beside | `dismissal` | `dismissals` | `bases` |
//! | 422 on retargeting: closed, gone, duplicate, nothing new, queued | always, `edit_pull` | | `bases` |
//! | base deletion closes; reopening is refused | always | | `bases` |
//! | a merged head is deleted: children move or close | `delete_head` | `stacked` | `bases` |
//! | auto-merge fires after a retarget; `disablePullRequestAutoMerge` | `auto_merge_fires`, `edit_pull` | `auto-merge` | `bases` |
//! | 422 on opening; bodies that are too long; reviewers all or none | always, `not_asked` | | `reviewers` |
//! | rows of lists lack `mergeable`, `merged`; `head=` needs its owner | always | | `pages` |
//! | `Link` by `/repositories/ID`; pages shift | always, `close` | | `pages` |
//! | checks late, in two waves, red, none; none for conflicts; pending status over nothing | `checks_late`, `second_wave`, `failing_check`, `no_checks`, `set_check`, `set_status` | `check-waves`, `failing-checks`, `no-checks` | `ci` |
//! | one name in two suites; a run for each, with the checks as its jobs | `failing_twin` | `twin-checks` | `ci` |
//! | a run late, absent, failing, again (same id), waiting, cancelled for a newer one | `run_late`, `run`, `rerun`, `approve_environment` | `late-run`, `no-run`, `failing-run`, `waiting-run`, `superseded-run` | `ci` |
//! | drafts, annotated tags, overwritten notes, 404 without the workflow right, immutable releases | `draft_release`, `annotated_tag`, `overwritten_bodies`, `no_workflow_right`, `add_release` | `draft-release`, `annotated-tag`, `overwritten-release`, `workflow-rights` | `releases` |
//! | issues deleted (410), transferred (301), pull requests; links only to the default branch | `move_issue`, `edit_pull`, `default_branch` | `default-staging` | `issues` |
//! | rate limits: secondary with and without `Retry-After`, primary with a reset; 304 is free | `slow_down`, `quota` | `rate-limited`, `slow-down` | `limits` |
//! | an effect without its reply: 502, reset, silence | [`Faults`](crate::sandbox::faults::Faults), `lost_replies` | `lost-replies` | `limits` |
//! | App: JWT checked, `ghs_…` tokens expire (401) | `token_calls`, `expire_tokens`, `credential` | `token-expiry` | `door` |
//! | fine-grained tokens: 403 on check runs; readers; strangers (404) | `credential`, [`tokens`](super::tokens) | `fine-grained` | `door` |
//! | renamed: 301, 307; version ended: 410, announced by `Sunset` | `moved_to`, `dead_versions`, `sunset` | `moved`, `version-gone` | `door`, `git` |
//! | no `User-Agent`: 403; a slash at the end: 404 | always | | `door` |
//! | pushes that rulesets refuse | `rules` | `no-deploy-branches`, `kept-deploy-branches` | `git` |
//!
//! What the bot makes of them: `tests/deploy/bad_days.rs`.

use std::fmt;
use std::str::FromStr;

use super::knobs::{Credential, DeleteHead, Dismissal, Knobs, Rule, RunStory, SlowDown};
use super::life::CHECKS;
use crate::github::MergeMethod;

/// Says each kind of day once: its variant, its name on the command line, and what it shows.
macro_rules! scenarios {
    ($($variant:ident $name:literal $shows:literal)*) => {
        /// One kind of day.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Scenario {
            #[default]
            $(#[doc = $shows] $variant,)*
        }

        /// Every scenario, its name, and what it shows.
        pub const SCENARIOS: &[(Scenario, &str, &str)] = &[$((Scenario::$variant, $name, $shows)),*];
    };
}

scenarios! {
    Happy "happy" "everything works"
    Conflict "conflict" "two approved pull requests collide; the rehearsal says so before anything is touched"
    NoApproved "no-approved" "nothing is approved, so nothing ships"
    Stacked "stacked" "a pull request builds on another, whose branch is deleted on merge: GitHub retargets it to the deploy branch"
    AutoMerge "auto-merge" "GitHub would merge an approved pull request by itself"
    Dismissals "dismissals" "retargeting dismisses approvals; the approver chooses"
    MergeableNull "mergeable-null" "GitHub takes its time to compute mergeability"
    StaleMergeable "stale-mergeable" "the first look after a retarget or merge still shows the old base"
    Lag "lag" "new pull requests and refs can't be seen at once"
    NodeLag "node-lag" "reviewers of a new pull request can't be asked at once"
    BaseModified "base-modified" "the first merge is answered with 405 Base branch was modified"
    MergeInProgress "merge-in-progress" "the first merge is answered with 405 Merge already in progress"
    NoMergeCommits "no-merge-commits" "merge commits are switched off in the repository"
    Protected "protected" "staging asks for an approval and three checks"
    MergeQueue "merge-queue" "staging can be merged into only through a merge queue"
    NoDeployBranches "no-deploy-branches" "a ruleset forbids to create branches like deploy-*"
    KeptDeployBranches "kept-deploy-branches" "a ruleset forbids to delete branches like deploy-*"
    ForeignCommit "foreign-commit" "somebody pushes to the deploy branch before the point of no return"
    FailingChecks "failing-checks" "a check of the deploy pull request fails; a re-run succeeds"
    TwinChecks "twin-checks" "the push and the pull request have a check of the same name, and one of the two fails; a re-run succeeds"
    NoChecks "no-checks" "the deploy pull request has no checks at all"
    CheckWaves "check-waves" "checks arrive late, and in two waves"
    LateRun "late-run" "the Actions run appears late"
    NoRun "no-run" "no Actions run appears at all"
    FailingRun "failing-run" "a job of the Actions run fails; a re-run succeeds"
    WaitingRun "waiting-run" "the Actions run waits for an environment's approval"
    SupersededRun "superseded-run" "somebody pushes to staging, and the Actions run is cancelled for a newer one"
    DraftRelease "draft-release" "the release is a draft, which can't be found by its tag"
    AnnotatedTag "annotated-tag" "the release's tag is an annotated one"
    OverwrittenRelease "overwritten-release" "the workflow writes the release's body once more, over what was added"
    WorkflowRights "workflow-rights" "editing the release answers 404, because the token lacks the workflow right"
    DefaultStaging "default-staging" "staging is the default branch, so that GitHub links and closes issues by itself"
    RateLimited "rate-limited" "GitHub asks to slow down, with Retry-After and with a reset"
    SlowDown "slow-down" "GitHub asks to slow down without saying for how long: a minute"
    LostReplies "lost-replies" "the reply to each kind of write is lost once, after its effect"
    TokenExpiry "token-expiry" "the bot is a GitHub App, whose tokens expire in mid-run"
    FineGrained "fine-grained" "the bot has a fine-grained token, which can't see check runs"
    Moved "moved" "the repository was renamed; GitHub redirects"
    VersionGone "version-gone" "the API version has ended: 410"
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = SCENARIOS.iter().find(|(scenario, _, _)| scenario == self);
        f.write_str(named.map_or("", |(_, name, _)| name))
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = SCENARIOS.iter().find(|(_, name, _)| *name == text);
        named.map(|(scenario, _, _)| *scenario).ok_or_else(|| {
            let names: Vec<&str> = SCENARIOS.iter().map(|(_, name, _)| *name).collect();
            format!("there is no scenario `{text}`; there are {}", names.join(", "))
        })
    }
}

impl Scenario {
    /// Turns the knobs that make up this kind of day.
    fn turn(self, knobs: &mut Knobs) {
        match self {
            Self::Happy | Self::Conflict | Self::NoApproved => {}
            Self::Stacked => knobs.delete_head = DeleteHead::Retargeting,
            Self::AutoMerge => knobs.auto_merge_fires = true,
            Self::Dismissals => knobs.dismissal = Dismissal::InPlace,
            Self::MergeableNull => knobs.null_reads = 3,
            Self::StaleMergeable => knobs.stale_once = true,
            Self::Lag => knobs.lag_reads = 2,
            Self::NodeLag => knobs.node_lag = 2,
            Self::BaseModified => knobs.base_modified = 1,
            Self::MergeInProgress => {
                let refusal = (405, "Merge already in progress".to_owned());
                knobs.merge_refusals.push_back(refusal);
            }
            Self::NoMergeCommits => knobs.forbidden_methods.push(MergeMethod::Merge),
            Self::Protected => {
                let rule = rule(knobs, "staging");
                (rule.approvals, rule.checks) = (1, CHECKS.map(str::to_owned).to_vec());
            }
            Self::MergeQueue => rule(knobs, "staging").merge_queue = true,
            Self::NoDeployBranches => rule(knobs, "deploy-*").creation = true,
            Self::KeptDeployBranches => rule(knobs, "deploy-*").deletion = true,
            Self::ForeignCommit => knobs.foreign_commit = true,
            Self::FailingChecks => knobs.failing_check = Some("test"),
            Self::TwinChecks => knobs.failing_twin = Some("test"),
            Self::NoChecks => knobs.no_checks = true,
            Self::CheckWaves => (knobs.checks_late, knobs.second_wave) = (2, 4),
            Self::LateRun => knobs.run_late = 4,
            Self::NoRun => knobs.run = RunStory::Never,
            Self::FailingRun => knobs.run = RunStory::Fails,
            Self::WaitingRun => knobs.run = RunStory::Waits(6),
            Self::SupersededRun => knobs.run = RunStory::Superseded,
            Self::DraftRelease => knobs.draft_release = true,
            Self::AnnotatedTag => knobs.annotated_tag = true,
            Self::OverwrittenRelease => knobs.overwritten_bodies = 1,
            Self::WorkflowRights => knobs.no_workflow_right = true,
            Self::DefaultStaging => knobs.default_branch = Some("staging".to_owned()),
            Self::RateLimited => {
                knobs.slow_down = [(12, SlowDown::For(403, 1)), (30, SlowDown::For(429, 1))].into();
                knobs.quota = Some(45);
            }
            Self::SlowDown => knobs.slow_down = [(12, SlowDown::Unsaid(403))].into(),
            Self::LostReplies => knobs.lost_replies = true,
            Self::TokenExpiry => (knobs.credential, knobs.token_calls) = (Credential::App, Some(40)),
            Self::FineGrained => knobs.credential = Credential::FineGrained,
            Self::Moved => knobs.moved_to = Some("acme/web-shop".to_owned()),
            Self::VersionGone => knobs.dead_versions.push("2022-11-28".to_owned()),
        }
    }
}

fn rule<'a>(knobs: &'a mut Knobs, pattern: &str) -> &'a mut Rule {
    knobs.rules.entry(pattern.to_owned()).or_default()
}

/// What kinds of day it is, all at once; `happy` if none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenarios(Vec<Scenario>);

impl Scenarios {
    /// Whether it is this kind of day.
    pub fn has(&self, scenario: Scenario) -> bool {
        self.0.contains(&scenario)
    }

    pub(super) fn knobs(&self) -> Knobs {
        let mut knobs = Knobs::default();
        for scenario in &self.0 {
            scenario.turn(&mut knobs);
        }
        knobs
    }
}

impl From<Scenario> for Scenarios {
    fn from(scenario: Scenario) -> Self {
        Self(vec![scenario])
    }
}

impl<const N: usize> From<[Scenario; N]> for Scenarios {
    fn from(scenarios: [Scenario; N]) -> Self {
        Self(scenarios.into())
    }
}

impl FromStr for Scenarios {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(|name| name.trim().parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }
}
