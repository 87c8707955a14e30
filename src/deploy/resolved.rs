//! After the release: the pull requests and issues hear of it. GitHub closes issues by keyword only from the default branch; elsewhere people
//! are offered to close them, or to comment on them, in one click. The checklist doesn't wait for that.

use serde::{Deserialize, Serialize};

use super::notes;
use super::train::Shipped;
use super::world::World;
use crate::github::Issue;
use crate::saga::{Context, Step, StepError};

/// Tells a shipped pull request's readers which release it is in.
#[derive(Serialize, Deserialize)]
pub struct CommentShipped {
    /// The pull request.
    pub number: u64,
    /// What is said.
    pub text: String,
}

impl Step<World> for CommentShipped {
    const KIND: &'static str = "comment_shipped";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        comment(cx, self.number, &self.text).await
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
        Ok(has_comment(cx, self.number).await?.then_some(()))
    }
}

/// Whether this deployment has commented there already: a comment carries its marker.
async fn has_comment(cx: &Context<'_, World>, number: u64) -> Result<bool, StepError> {
    let marker = notes::marker(cx.saga());
    let comments = cx.world.github.comments(number).await?;
    Ok(comments.iter().any(|comment| comment.contains(&marker)))
}

async fn comment(cx: &Context<'_, World>, number: u64, text: &str) -> Result<(), StepError> {
    let body = format!("{text}\n\n{}", notes::marker(cx.saga()));
    cx.world.github.comment(number, &body).await?;
    Ok(())
}

/// The resolved issues of this repository that GitHub left open.
#[derive(Serialize, Deserialize)]
pub struct FindOpenIssues {
    /// What shipped.
    pub shipped: Shipped,
}

impl Step<World> for FindOpenIssues {
    const KIND: &'static str = "find_open_issues";
    type Output = Vec<Issue>;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Vec<Issue>, StepError> {
        let home = &cx.world.project.repo;
        let mut open = Vec::new();
        for issue in self.shipped.issues() {
            if issue.repo == *home
                && let Some(now) = cx.world.github.issue(home, issue.number).await?
                && now.open
                && !now.is_pull_request
            {
                open.push(now);
            }
        }
        Ok(open)
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Vec<Issue>>, StepError> {
        Ok(None)
    }
}

/// Says in an issue that it has shipped, and closes it if people chose that.
#[derive(Serialize, Deserialize)]
pub struct ResolveIssue {
    /// The issue.
    pub number: u64,
    /// What is said.
    pub text: String,
    /// Close it, too.
    pub close: bool,
}

impl Step<World> for ResolveIssue {
    const KIND: &'static str = "resolve_issue";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        if !has_comment(cx, self.number).await? {
            comment(cx, self.number, &self.text).await?;
        }
        if self.close {
            cx.world.github.close_issue(self.number).await?;
        }
        Ok(())
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
        let said = has_comment(cx, self.number).await?;
        let closed = match self.close {
            false => true,
            true => {
                let issue = cx.world.github.issue(&cx.world.project.repo, self.number).await?;
                issue.is_none_or(|issue| !issue.open)
            }
        };
        Ok((said && closed).then_some(()))
    }
}
