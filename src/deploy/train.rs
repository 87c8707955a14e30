//! The train as values: which pull requests ride, which don't and why, and the plan that people confirm and approve.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::github::{Issue, MergeMethod, Sha};

/// A pull request that rides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Car {
    /// Its number.
    pub number: u64,
    /// As written by a person: escape before showing.
    pub title: String,
    /// Login, or `ghost`.
    pub author: String,
    /// The page.
    pub url: String,
    /// The pinned head: what was approved and rehearsed, and what is merged or nothing.
    pub head: Sha,
    /// Its branch.
    pub head_branch: String,
    /// The base before we touched it; it goes back there.
    pub base: String,
    /// Who approved it, recorded before the retarget may dismiss it.
    pub approvals: Vec<Approval>,
    /// What it resolves, read before the retarget: GitHub drops the links with the base.
    pub issues: Vec<Issue>,
    /// When it was opened, for the numbers; journals of older versions don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<DateTime<Utc>>,
}

/// An approval as it was before we touched anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The review.
    pub review: u64,
    /// Login.
    pub user: String,
}

/// A pull request that doesn't ride.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Excluded {
    /// Its number.
    pub number: u64,
    /// As written by a person: escape before showing.
    pub title: String,
    /// Login, or `ghost`.
    pub author: String,
    /// The page.
    pub url: String,
    /// Why.
    pub reason: Reason,
}

/// Why a pull request doesn't ride.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// Not ready for review.
    Draft,
    /// Nobody with write access approves of it.
    NotApproved,
    /// Somebody doesn't want it.
    ChangesRequested {
        /// Logins.
        by: Vec<String>,
    },
    /// Checks failed.
    RedChecks {
        /// Their names.
        names: Vec<String>,
    },
    /// It can't be merged.
    Conflict {
        /// Files.
        files: Vec<String>,
        /// The earlier pull request it collides with; `None`: with the base.
        with: Option<u64>,
    },
    /// Labelled as not to be deployed.
    BlockedLabel {
        /// The label.
        label: String,
    },
    /// GitHub would merge it by itself, in its own order.
    AutoMerge,
    /// Part of a native stack.
    Stacked,
    /// Its fork was deleted.
    ForkGone,
    /// Nothing in it that the base lacks.
    NothingToMerge,
    /// Its head could not be fetched as pinned.
    HeadMoved,
    /// Targets the branch of another pull request.
    StackedOn {
        /// That one.
        number: u64,
    },
    /// Wanted, but it targets another branch.
    OtherBase {
        /// The branch.
        branch: String,
    },
    /// Wanted, but no open pull request has its number.
    NotOpen,
    /// Left out on request.
    LeftOut,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draft => f.write_str("draft"),
            Self::NotApproved => f.write_str("not approved"),
            Self::ChangesRequested { by } => write!(f, "changes requested by {}", by.join(", ")),
            Self::RedChecks { names } => write!(f, "red checks: {}", names.join(", ")),
            Self::Conflict { files, with } => {
                match with {
                    Some(number) => write!(f, "conflicts with #{number}")?,
                    None => f.write_str("conflicts with the base branch")?,
                }
                match files.as_slice() {
                    [] => Ok(()),
                    [one] => write!(f, " in {one}"),
                    [one, two] => write!(f, " in {one} and {two}"),
                    [one, rest @ ..] => write!(f, " in {one} and {} more files", rest.len()),
                }
            }
            Self::BlockedLabel { label } => write!(f, "labelled {label}"),
            Self::AutoMerge => f.write_str("auto-merge is on"),
            Self::Stacked => f.write_str("part of a stack"),
            Self::ForkGone => f.write_str("its fork is gone"),
            Self::NothingToMerge => f.write_str("nothing in it that the base branch lacks"),
            Self::HeadMoved => f.write_str("its head moved while we looked"),
            Self::StackedOn { number } => write!(f, "stacked on #{number}"),
            Self::OtherBase { branch } => write!(f, "targets {branch}"),
            Self::NotOpen => f.write_str("not open"),
            Self::LeftOut => f.write_str("left out on request"),
        }
    }
}

/// What people chose of the approved pull requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Only these, in this order; empty: all approved ones, oldest first.
    #[serde(default)]
    pub only: Vec<u64>,
    /// Not these.
    #[serde(default)]
    pub exclude: Vec<u64>,
}

/// The version bump, planned on the rehearsed result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionPlan {
    /// Now, in every version file.
    pub from: String,
    /// Then.
    pub to: String,
    /// The files.
    pub files: Vec<String>,
}

/// What people confirm, then approve: exactly this or nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The deploy branch.
    pub branch: String,
    /// Its tip when planned.
    pub branch_tip: String,
    /// The base branch.
    pub base: String,
    /// Its tip when planned.
    pub base_tip: String,
    /// Who rides, in order.
    pub cars: Vec<Car>,
    /// Who doesn't, and why.
    pub excluded: Vec<Excluded>,
    /// The bump.
    pub version: VersionPlan,
    /// How the cars are merged.
    pub method: MergeMethod,
    /// The tree that the rehearsal ended with; the real one must equal it.
    pub tree: String,
    /// What the rehearsal could not promise.
    pub note: Option<String>,
}

impl Plan {
    /// Twelve hex digits over everything that an approval is about: numbers, heads, order, tips and version.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for car in &self.cars {
            hash.update(format!("{} {}\n", car.number, car.head));
        }
        hash.update(format!("{} {} {}\n", self.branch_tip, self.base_tip, self.version.to));
        hex::encode(hash.finalize())[..12].to_owned()
    }

    /// What is stacked on the train's pull requests: it can't ride, and moves on to the base branch once they are merged.
    pub fn stacked(&self) -> Vec<u64> {
        let stacked = |out: &&Excluded| matches!(out.reason, Reason::StackedOn { .. });
        self.excluded.iter().filter(stacked).map(|out| out.number).collect()
    }

    /// How this plan differs from an earlier one, one line each, for people.
    pub fn changes_since(&self, before: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        let numbers = |plan: &Self| plan.cars.iter().map(|car| car.number).collect::<Vec<_>>();
        for old in &before.cars {
            match self.cars.iter().find(|car| car.number == old.number) {
                None => {
                    let why = self.excluded.iter().find(|excluded| excluded.number == old.number);
                    let why = why.map_or_else(|| Reason::NotOpen.to_string(), |excluded| excluded.reason.to_string());
                    changes.push(format!("#{} is out: {why}", old.number));
                }
                Some(new) if new.head != old.head => changes.push(format!(
                    "#{} was pushed to: {} → {}",
                    old.number,
                    old.head.short(),
                    new.head.short()
                )),
                Some(_) => {}
            }
        }
        for new in &self.cars {
            if before.cars.iter().all(|car| car.number != new.number) {
                changes.push(format!("#{} is in", new.number));
            }
        }
        let common = |plan: &Self, other: &Self| {
            let others = numbers(other);
            let mine = numbers(plan).into_iter();
            mine.filter(|number| others.contains(number)).collect::<Vec<_>>()
        };
        if common(self, before) != common(before, self) {
            changes.push("the order changed".to_owned());
        }
        let moved = |what: &str, from: &str, to: &str| {
            let short = |sha: &str| sha.chars().take(7).collect::<String>();
            format!("{what} moved: {} → {}", short(from), short(to))
        };
        if self.base_tip != before.base_tip {
            changes.push(moved(&self.base, &before.base_tip, &self.base_tip));
        }
        if self.branch_tip != before.branch_tip {
            changes.push(moved(&self.branch, &before.branch_tip, &self.branch_tip));
        }
        if self.version.to != before.version.to {
            changes.push(format!(
                "the version is now {} instead of {}",
                self.version.to, before.version.to
            ));
        }
        changes
    }
}

/// A merged pull request, for descriptions and notes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Merged {
    /// As planned.
    pub car: Car,
    /// The commit it became.
    pub commit: Sha,
}

/// What the train carried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shipped {
    /// In order.
    pub merged: Vec<Merged>,
    /// Left out on the way, by a person's choice.
    pub skipped: Vec<Car>,
    /// Tip of the deploy branch after the merges.
    pub tip: String,
    /// Whether its tree is what the rehearsal promised; `None` if cars were left out on the way.
    pub as_rehearsed: Option<bool>,
}

impl Shipped {
    /// All resolved issues, each once, in order.
    pub fn issues(&self) -> Vec<&Issue> {
        let mut issues: Vec<&Issue> = self.merged.iter().flat_map(|merged| &merged.car.issues).collect();
        issues.sort();
        issues.dedup_by_key(|issue| (&issue.repo, issue.number));
        issues
    }
}
