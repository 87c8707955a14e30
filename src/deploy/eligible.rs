//! Who may ride: GitHub's own rule for approvals, and a reason for everybody who may not. Pure.

use std::collections::BTreeMap;

use super::train::{Approval, Reason};
use crate::config::Project;
use crate::github::{Permission, PullRequest, Review, ReviewState};

/// The latest opinion of each user who has one: `COMMENTED` and `PENDING` are none; `DISMISSED` is one that cancels what came before it.
/// Deleted accounts have no opinion.
pub fn latest_opinions(reviews: &[Review]) -> BTreeMap<&str, &Review> {
    let opinion = |review: &&Review| {
        matches!(
            review.state,
            ReviewState::Approved | ReviewState::ChangesRequested | ReviewState::Dismissed
        )
    };
    let named = reviews
        .iter()
        .filter(opinion)
        .filter_map(|review| Some((review.user.as_deref()?, review)));
    named.collect()
}

/// What reviews add up to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Go, by these.
    Approved(Vec<Approval>),
    /// Somebody doesn't want it.
    ChangesRequested(Vec<String>),
    /// Nobody has said enough.
    Waiting,
}

/// The rule: the latest opinion of every user with write access, the author's excepted.
pub fn verdict(author: Option<&str>, reviews: &[Review], permissions: &BTreeMap<String, Permission>) -> Verdict {
    let counts =
        |user: &str| Some(user) != author && permissions.get(user).is_some_and(|&may| may >= Permission::Write);
    let opinions = latest_opinions(reviews);
    let with = |state: ReviewState| {
        opinions
            .iter()
            .filter(move |(user, review)| counts(user) && review.state == state)
    };
    let against: Vec<String> = with(ReviewState::ChangesRequested)
        .map(|(user, _)| (*user).to_owned())
        .collect();
    if !against.is_empty() {
        return Verdict::ChangesRequested(against);
    }
    let approvals: Vec<Approval> = with(ReviewState::Approved)
        .map(|(user, review)| Approval {
            review: review.id,
            user: (*user).to_owned(),
        })
        .collect();
    match approvals.is_empty() {
        true => Verdict::Waiting,
        false => Verdict::Approved(approvals),
    }
}

/// Why a pull request doesn't ride, as far as itself tells; `None`: ask for its reviews.
pub fn disqualified(pull_request: &PullRequest, project: &Project) -> Option<Reason> {
    let blocked = pull_request
        .labels
        .iter()
        .find(|label| project.blocked_labels.contains(label));
    if pull_request.draft {
        Some(Reason::Draft)
    } else if let Some(label) = blocked {
        Some(Reason::BlockedLabel { label: label.clone() })
    } else if pull_request.auto_merge {
        Some(Reason::AutoMerge)
    } else if pull_request.stacked {
        Some(Reason::Stacked)
    } else if pull_request.head.repo.is_none() {
        Some(Reason::ForkGone)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(id: u64, user: Option<&str>, state: ReviewState) -> Review {
        Review {
            id,
            user: user.map(str::to_owned),
            state,
            commit_id: None,
            submitted_at: None,
        }
    }

    fn judged(reviews: &[(&str, ReviewState)]) -> Verdict {
        let reviews: Vec<Review> = reviews
            .iter()
            .enumerate()
            .map(|(id, (user, state))| review(id as u64, Some(user), *state))
            .collect();
        let permissions = [
            ("ana", Permission::Write),
            ("ben", Permission::Admin),
            ("eve", Permission::Read),
        ];
        let permissions = permissions
            .map(|(user, permission)| (user.to_owned(), permission))
            .into();
        verdict(Some("ana"), &reviews, &permissions)
    }

    use ReviewState::{Approved, ChangesRequested, Commented, Dismissed};

    #[test]
    fn only_writers_other_than_the_author_count() {
        assert_eq!(
            judged(&[("ana", Approved), ("eve", Approved), ("stranger", Approved)]),
            Verdict::Waiting
        );
        assert!(matches!(judged(&[("ben", Approved)]), Verdict::Approved(by) if by[0].user == "ben"));
        assert!(matches!(
            judged(&[("ben", Approved), ("eve", ChangesRequested)]),
            Verdict::Approved(_)
        ));
    }

    #[test]
    fn the_latest_opinion_counts_and_comments_are_none() {
        assert!(matches!(
            judged(&[("ben", Approved), ("ben", Commented)]),
            Verdict::Approved(_)
        ));
        assert_eq!(
            judged(&[("ben", Approved), ("ben", ChangesRequested)]),
            Verdict::ChangesRequested(vec!["ben".to_owned()])
        );
    }

    #[test]
    fn a_dismissed_opinion_does_not_bring_an_older_one_back() {
        assert_eq!(judged(&[("ben", Approved), ("ben", Dismissed)]), Verdict::Waiting);
        assert_eq!(
            judged(&[("ben", ChangesRequested), ("ben", Dismissed)]),
            Verdict::Waiting
        );
    }

    #[test]
    fn deleted_accounts_have_no_opinion() {
        assert!(latest_opinions(&[review(1, None, Approved)]).is_empty());
    }
}
