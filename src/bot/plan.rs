//! `/deploy plan`: what would ship, rehearsal included. Runs the same steps as a deployment, in a saga of its own that has no journal on
//! disk and ends before the first step that would touch anything.

use std::sync::Arc;

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use crate::deploy::train::Plan;
use crate::deploy::world::{World, remove};
use crate::deploy::{Connect, Request, dry_run, write_request};
use crate::saga::retry::RetryPolicy;
use crate::saga::run::Core;
use crate::saga::store::Memory;
use crate::saga::{Actor, Clock, Event, Journal, Saga, Stop};

/// Makes dry runs.
#[derive(Clone)]
pub struct Planner {
    connect: Arc<Connect>,
    retry: RetryPolicy,
    clock: Clock,
}

impl Planner {
    /// Over a way to reach the outside.
    pub fn new(connect: Arc<Connect>, retry: RetryPolicy, clock: Clock) -> Self {
        Self { connect, retry, clock }
    }

    /// The plan, or one sentence about what keeps it from being made.
    ///
    /// # Errors
    /// The sentence.
    pub async fn plan(&self, request: &Request) -> Result<Plan, String> {
        let world: Arc<World> = Arc::new((self.connect)(&request.project)?);
        let id = format!("plan-{}-{:08x}", request.project.name, fastrand::u32(..));
        let journal = Journal::new(&id, Arc::new(Memory::default()), self.clock.clone(), Vec::new());
        let started = Event::SagaStarted {
            workflow_version: 0,
            project: request.project.name.clone(),
            by: Actor::Shipmate,
            input: write_request(request)?,
        };
        journal.append(started).await.map_err(|error| error.to_string())?;
        let core = Core {
            journal,
            wake: Arc::default(),
            drain: CancellationToken::new(),
            retry: self.retry,
            remind_after: None,
        };
        let saga = Saga::new(world.clone(), core);
        let name = format!("deploy-{}-{id}", Utc::now().format("%Y%m%dT%H%M%S"));
        let planned = dry_run(&saga, request, &name).await;
        let cleaned = world.workspace(&name).and_then(|dir| remove(&dir));
        if let Err(error) = cleaned {
            tracing::warn!(%error, "a dry run's workspace is left behind");
        }
        planned.map_err(|stop| match stop {
            Stop::Ended(why) | Stop::Failed { error: why, .. } => why,
            other => other.to_string(),
        })
    }
}
