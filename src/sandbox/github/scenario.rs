//! Bad days: what the double can be told to do, by name.

use std::fmt;
use std::str::FromStr;

/// One kind of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scenario {
    /// Everything works.
    #[default]
    Happy,
    /// Two approved pull requests change the same line.
    Conflict,
    /// Retargeting dismisses approvals.
    Dismissals,
    /// GitHub takes its time to know whether a pull request can be merged.
    MergeableNull,
    /// The first merge is answered with "Base branch was modified".
    BaseModified,
    /// The Actions run appears late.
    LateRun,
    /// No Actions run appears at all.
    NoRun,
    /// A job of the Actions run fails; running it again succeeds.
    FailingRun,
    /// A check of the deploy pull request fails; running it again succeeds.
    FailingChecks,
    /// The deploy pull request has no checks.
    NoChecks,
    /// The release is a draft.
    DraftRelease,
    /// The tag is an annotated one.
    AnnotatedTag,
    /// GitHub asks to slow down now and then.
    RateLimited,
    /// The reply to the first write of each kind is lost after its effect.
    LostReplies,
    /// Somebody pushes to the deploy branch before the point of no return.
    ForeignCommit,
    /// Nothing is approved.
    NoApproved,
}

/// Every scenario, its name, and what it shows.
pub const SCENARIOS: [(Scenario, &str, &str); 16] = [
    (Scenario::Happy, "happy", "everything works"),
    (
        Scenario::Conflict,
        "conflict",
        "two approved pull requests collide; the rehearsal says so before anything is touched",
    ),
    (
        Scenario::Dismissals,
        "dismissals",
        "retargeting dismisses approvals; the approver chooses",
    ),
    (
        Scenario::MergeableNull,
        "mergeable-null",
        "GitHub takes its time to compute mergeability",
    ),
    (
        Scenario::BaseModified,
        "base-modified",
        "the first merge is answered with 405 Base branch was modified",
    ),
    (Scenario::LateRun, "late-run", "the Actions run appears late"),
    (Scenario::NoRun, "no-run", "no Actions run appears at all"),
    (
        Scenario::FailingRun,
        "failing-run",
        "a job of the Actions run fails; a re-run succeeds",
    ),
    (
        Scenario::FailingChecks,
        "failing-checks",
        "a check of the deploy pull request fails; a re-run succeeds",
    ),
    (
        Scenario::NoChecks,
        "no-checks",
        "the deploy pull request has no checks at all",
    ),
    (
        Scenario::DraftRelease,
        "draft-release",
        "the release is a draft, which can't be found by its tag",
    ),
    (
        Scenario::AnnotatedTag,
        "annotated-tag",
        "the release's tag is an annotated one",
    ),
    (
        Scenario::RateLimited,
        "rate-limited",
        "GitHub asks to slow down, with and without saying for how long",
    ),
    (
        Scenario::LostReplies,
        "lost-replies",
        "the reply to each kind of write is lost once, after its effect",
    ),
    (
        Scenario::ForeignCommit,
        "foreign-commit",
        "somebody pushes to the deploy branch before the point of no return",
    ),
    (
        Scenario::NoApproved,
        "no-approved",
        "nothing is approved, so nothing ships",
    ),
];

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
