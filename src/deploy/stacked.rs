//! Pull requests on top of the train's. When GitHub deletes a merged head branch it moves what was stacked on it to the deploy branch, where
//! nobody wants it: before the deploy pull request is merged, it goes on to the base branch.

use serde::{Deserialize, Serialize};

use super::world::World;
use crate::github::{PullRequestFilter, PullRequestState};
use crate::saga::{Context, Step, StepError};

/// Moves the train's children on to the base branch, and names strangers that target the deploy branch.
#[derive(Serialize, Deserialize)]
pub struct MoveStackedPrs {
    /// Stacked on the train's pull requests when it was collected.
    pub children: Vec<u64>,
    /// The deploy branch.
    pub branch: String,
    /// The base branch.
    pub base: String,
}

impl Step<World> for MoveStackedPrs {
    const KIND: &'static str = "move_stacked_prs";
    /// What people should know, one line each.
    type Output = Vec<String>;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Vec<String>, StepError> {
        let mut said = Vec::new();
        for &number in &self.children {
            let pr = cx.world.github.pull_request(number).await?;
            if pr.state == PullRequestState::Open && pr.base.branch == self.branch {
                cx.world.github.set_base(number, &self.base).await?;
            }
            if pr.base.branch == self.branch || pr.base.branch == self.base {
                said.push(format!(
                    "#{number} was stacked on the train and targets {} now.",
                    self.base
                ));
            }
        }
        let there = PullRequestFilter {
            base: Some(self.branch.clone()),
            ..PullRequestFilter::default()
        };
        for stranger in cx.world.github.pull_requests(there).await? {
            if !self.children.contains(&stranger.number) {
                said.push(format!(
                    "#{} targets {} and isn't of this train: it was left there; move it before that branch is deleted.",
                    stranger.number, self.branch
                ));
            }
        }
        Ok(said)
    }

    /// Doing it again changes nothing and says the same.
    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Vec<String>>, StepError> {
        Ok(None)
    }
}
