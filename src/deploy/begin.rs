//! How a deployment begins, whichever way it is asked for: who may, what stands in the way, and who may pass that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::decide::{Desk, Refusal};
use super::lock::{self, Lock, Obstacle, Turn};
use super::train::Selection;
use super::version::Bump;
use super::{Request, permits, write_request};
use crate::config::Project;
use crate::saga::Actor;
use crate::saga::clock::delta;
use crate::saga::engine::StartError;
use crate::saga::store::{Op, StoreError};

/// What is to be shipped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// Which part of the version counts up; `None`: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bump: Option<Bump>,
    /// Which pull requests.
    #[serde(default)]
    pub selection: Selection,
    /// Why it may pass a lock or a freeze.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub override_reason: Option<String>,
}

impl Wish {
    /// As a project's request; what isn't said is as configured.
    pub fn of(self, project: &Project, passed: Vec<Obstacle>) -> Request {
        Request {
            bump: self.bump.unwrap_or(Bump::By(project.bump)),
            project: project.clone(),
            selection: self.selection,
            // An override of nothing is none.
            override_reason: self.override_reason.filter(|_| !passed.is_empty()),
            passed,
            queued: None,
        }
    }
}

/// Why a deployment was not begun.
#[derive(Debug)]
pub enum NotBegun {
    /// This person may not.
    Refused(Refusal),
    /// Locks or freezes stand in the way.
    Blocked {
        /// They.
        obstacles: Vec<Obstacle>,
        /// Whether this person may pass them, given a reason.
        may_override: bool,
    },
    /// Another one runs.
    Running(String),
    /// This very message was handled before.
    Seen,
    /// The process is ending.
    Draining,
    /// Not a refusal: it failed.
    Failed(String),
}

impl Desk {
    /// Begins a deployment, if this person may and nothing is in the way that they may not pass. `also` goes into the same commit.
    ///
    /// # Errors
    /// Why it was not begun.
    pub async fn start(&self, project: &Project, wish: &Wish, by: &Actor, also: &[Op]) -> Result<String, NotBegun> {
        self.permitted(project, by, permits::to_start(&project.permissions))
            .await
            .map_err(NotBegun::Refused)?;
        loop {
            let engine = self.engine();
            let obstacles = lock::obstacles(&**engine.store(), project, engine.clock().now());
            let obstacles = obstacles.map_err(|error: StoreError| NotBegun::Failed(error.to_string()))?;
            self.passes(project, &obstacles.all, wish, by).await?;
            let input = write_request(&wish.clone().of(project, obstacles.all)).map_err(NotBegun::Failed)?;
            let mut ops = also.to_vec();
            ops.push(obstacles.still);
            return match engine.start(&project.name, by.clone(), input, ops).await {
                Ok(id) => Ok(id),
                // Locked or unlocked in between.
                Err(StartError::Changed) => continue,
                Err(StartError::Running(id)) => Err(NotBegun::Running(id)),
                Err(StartError::Seen) => Err(NotBegun::Seen),
                Err(StartError::Draining) => Err(NotBegun::Draining),
                Err(StartError::Store(error)) => Err(NotBegun::Failed(error.to_string())),
            };
        }
    }

    /// Locks a project, if this person may; `Err(Refusal::Failed)` if the store does.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn lock(
        &self,
        project: &Project,
        by: &Actor,
        reason: String,
        lasting: Option<Duration>,
        also: Vec<Op>,
    ) -> Result<Turn, Refusal> {
        self.may_lock(project, by, "lock this project").await?;
        let now = self.engine().clock().now();
        let lock = Lock {
            by: by.clone(),
            reason,
            at: now,
            until: lasting.and_then(|lasting| now.checked_add_signed(delta(lasting))),
        };
        let locked = lock::lock(&**self.engine().store(), &project.name, lock, also).await;
        locked.map_err(Refusal::Failed)
    }

    /// Lifts a project's lock, if this person may.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn unlock(&self, project: &Project, by: &Actor, also: Vec<Op>) -> Result<Turn, Refusal> {
        self.may_lock(project, by, "unlock this project").await?;
        let now = self.engine().clock().now();
        let unlocked = lock::unlock(&**self.engine().store(), &project.name, now, also).await;
        unlocked.map_err(Refusal::Failed)
    }

    /// Those who may start, and those who may pass locks.
    async fn may_lock(&self, project: &Project, by: &Actor, what: &'static str) -> Result<(), Refusal> {
        let permissions = &project.permissions;
        let mut holders = permissions.start.clone();
        let others = permissions
            .r#override
            .iter()
            .filter(|id| !permissions.start.contains(id));
        holders.extend(others.cloned());
        self.permitted(project, by, permits::either(&holders, what)).await
    }

    async fn passes(&self, project: &Project, obstacles: &[Obstacle], wish: &Wish, by: &Actor) -> Result<(), NotBegun> {
        if obstacles.is_empty() {
            return Ok(());
        }
        let permit = permits::to_override(&project.permissions);
        match wish.override_reason {
            Some(_) => self.permitted(project, by, permit).await.map_err(NotBegun::Refused),
            None => {
                tracing::info!(?by, project = project.name, "a start is refused: locked or frozen");
                Err(NotBegun::Blocked {
                    obstacles: obstacles.to_vec(),
                    may_override: self.is_among(by, permit.holders).await,
                })
            }
        }
    }
}
