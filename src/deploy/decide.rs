//! What a person's decision does, whichever way it comes: a click in Slack and a button of the dashboard are checked and taken here, so that
//! neither lets through what the other refuses. Who may is checked against the project as it is configured now.

use std::sync::Arc;

use serde_json::json;

use super::people::{self, Member, People};
use super::permits::{self, Permit};
use super::text::{self, Medium};
use super::train::Selection;
use super::view::{Question, QuestionKind, View};
use super::{Deployments, Tick, choice};
use crate::config::{Config, Permissions, Project};
use crate::saga::engine::TooLate;
use crate::saga::history::Decided;
use crate::saga::journal::AppendError;
use crate::saga::run::Undecidable;
use crate::saga::store::{Op, StoreError};
use crate::saga::{Actor, Engine, Event, Journal};
use crate::slack::text::truncate;

/// The checkpoint whose items people tick.
const CHECKLIST: &str = "post_release_checklist";

/// Characters of a reason: the card and the receipt repeat it, and what is longer belongs elsewhere. Also the dialogue's limit.
pub const LONGEST_REASON: usize = 500;

/// Where decisions are taken. Clones share it.
#[derive(Clone)]
pub struct Desk {
    config: Arc<Config>,
    engine: Engine<Deployments>,
    people: Arc<People>,
}

/// Whose decision about what.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// The deployment.
    pub deployment: &'a str,
    /// The checkpoint.
    pub key: &'a str,
    /// The plan that the person saw.
    pub digest: Option<&'a str>,
    /// Why, in their words.
    pub reason: Option<&'a str>,
    /// Who decides.
    pub by: &'a Actor,
}

/// Why a decision wasn't taken.
#[derive(Debug)]
pub enum Refusal {
    /// The question, or its whole deployment, is no longer there.
    Stale,
    /// The deployment's project is no longer configured.
    ProjectGone(String),
    /// This person may not.
    MayNot {
        /// What they tried, to stand after "may not".
        what: &'static str,
        /// The setting in `[projects.permissions]`.
        setting: &'static str,
        /// Who may.
        holders: Vec<String>,
    },
    /// Slack doesn't tell who is in the user groups that may.
    NotTold {
        /// As in [`Refusal::MayNot`].
        what: &'static str,
        /// The user groups.
        groups: Vec<String>,
    },
    /// They started it, and somebody else must approve.
    TwoPeople(Permissions),
    /// The plan is no longer the one they saw.
    AnotherPlan,
    /// Somebody was first.
    Decided(Decided),
    /// Nothing can be undone any more, or all of it is already.
    TooLate(TooLate),
    /// Not a refusal: the store failed, and the process is about to end.
    Failed(StoreError),
}

impl Refusal {
    /// `None`: they may.
    fn of(permit: Permit<'_>, member: Member) -> Option<Self> {
        match member {
            Member::Yes => None,
            Member::No => Some(Self::MayNot {
                what: permit.what,
                setting: permit.setting,
                holders: permit.holders.to_owned(),
            }),
            Member::Unknown => Some(Self::NotTold {
                what: permit.what,
                groups: people::groups(permit.holders).cloned().collect(),
            }),
        }
    }
}

impl Desk {
    /// Over the engine, with what is known of user groups.
    pub fn new(config: Arc<Config>, engine: Engine<Deployments>, people: Arc<People>) -> Self {
        Self { config, engine, people }
    }

    pub(super) fn engine(&self) -> &Engine<Deployments> {
        &self.engine
    }

    /// Who is in which user group.
    pub fn people(&self) -> &People {
        &self.people
    }

    /// A deployment's journal and view.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn find(&self, deployment: &str) -> Result<Option<(Journal, View)>, StoreError> {
        let journal = self.engine.journal(deployment)?;
        Ok(journal.map(|journal| {
            let view = View::of(deployment, &journal.history());
            (journal, view)
        }))
    }

    fn found(&self, deployment: &str) -> Result<(Journal, View, &Project), Refusal> {
        let found = self.find(deployment).map_err(Refusal::Failed)?;
        let (journal, view) = found.ok_or(Refusal::Stale)?;
        let project = self.config.project(&view.project);
        let project = project.ok_or_else(|| Refusal::ProjectGone(view.project.clone()))?;
        Ok((journal, view, project))
    }

    /// Whether this person may choose that: for dialogues, which nobody is to fill in for nothing.
    ///
    /// # Errors
    /// Why not; it is noted in the journal.
    pub async fn may_decide(&self, about: &About<'_>, chosen: &str) -> Result<(), Refusal> {
        let (journal, view, project) = self.found(about.deployment)?;
        self.permit(project, (&journal, &view), chosen, about).await
    }

    /// Whether this person may abort, and it isn't too late.
    ///
    /// # Errors
    /// Why not; what they may not is noted in the journal.
    pub async fn may_abort(&self, deployment: &str, by: &Actor) -> Result<View, Refusal> {
        let (journal, view, project) = self.found(deployment)?;
        self.permitted_about(&journal, by, permits::to_abort(&project.permissions))
            .await?;
        match TooLate::of(&journal.history()) {
            Some(why) => Err(Refusal::TooLate(why)),
            None => Ok(view),
        }
    }

    /// Decides a checkpoint, if this person may and nobody was first. `also` goes into the same commit.
    ///
    /// # Errors
    /// Why it wasn't taken.
    pub async fn decide(&self, about: About<'_>, chosen: &str, also: Vec<Op>) -> Result<(), Refusal> {
        // Deadlines, boxes and the edited list decide these.
        if matches!(chosen, choice::EXPIRE | choice::DONE | choice::EDIT) {
            return Err(Refusal::Stale);
        }
        let (journal, view, project) = self.found(about.deployment)?;
        self.permit(project, (&journal, &view), chosen, &about).await?;
        let question = view.questions.iter().find(|question| question.key == about.key);
        if chosen == choice::APPROVE {
            same_plan(question, about.digest)?;
        }
        let by = about.by.clone();
        let appended = match (chosen, question.map(|question| &question.kind)) {
            // The engine decides once enough different people have voted.
            (choice::APPROVE, Some(QuestionKind::Approve { approvals, .. })) if *approvals > 1 => {
                let vote = json!(choice::APPROVE);
                self.engine.signal(&journal, about.key, by, vote, also).await
            }
            _ => {
                let payload = json!({ "digest": about.digest, "reason": about.reason });
                self.engine.decide(&journal, about.key, chosen, by, payload, also).await
            }
        };
        settled(appended)
    }

    /// Decides for another list, if this person may and nobody was first.
    ///
    /// # Errors
    /// Why it wasn't taken.
    pub async fn edit(&self, about: About<'_>, selection: &Selection, also: Vec<Op>) -> Result<(), Refusal> {
        let (journal, view, project) = self.found(about.deployment)?;
        self.permit(project, (&journal, &view), choice::EDIT, &about).await?;
        let by = about.by.clone();
        let decided = self
            .engine
            .decide(&journal, about.key, choice::EDIT, by, json!(selection), also);
        settled(decided.await)
    }

    /// Whether this person may choose that; a refusal is noted in the journal.
    async fn permit(
        &self,
        project: &Project,
        (journal, view): (&Journal, &View),
        chosen: &str,
        &About { by, key, .. }: &About<'_>,
    ) -> Result<(), Refusal> {
        let permissions = &project.permissions;
        let permit = permits::to_decide(permissions, chosen);
        let refusal = match Refusal::of(permit, self.member(by, permit.holders).await) {
            Some(refusal) => refusal,
            None if permits::wants_another(permissions, view, chosen, by) => Refusal::TwoPeople(permissions.clone()),
            None => return Ok(()),
        };
        Err(note(journal, by, &format!("{chosen} {key}"), refusal).await)
    }

    /// Whether this person is among those; user groups count in Slack only.
    pub async fn is_among(&self, by: &Actor, holders: &[String]) -> bool {
        self.member(by, holders).await == Member::Yes
    }

    async fn member(&self, by: &Actor, holders: &[String]) -> Member {
        match by {
            Actor::Slack(user) => self.people.member(user, holders).await,
            by if permits::names(holders, by) => Member::Yes,
            _ => Member::No,
        }
    }

    /// Whether this person has a permission in a project; a refusal is noted in the journal of what runs.
    ///
    /// # Errors
    /// If they haven't.
    pub async fn permitted(&self, project: &Project, by: &Actor, permit: Permit<'_>) -> Result<(), Refusal> {
        let Some(refusal) = Refusal::of(permit, self.member(by, permit.holders).await) else {
            return Ok(());
        };
        match self.engine.running(&project.name) {
            Ok(Some(journal)) => Err(note(&journal, by, permit.what, refusal).await),
            _ => {
                tracing::info!(?by, what = permit.what, project = project.name, "refused");
                Err(refusal)
            }
        }
    }

    /// Whether this person has a permission about a deployment; a refusal is noted in its journal, and in that of no other that runs.
    async fn permitted_about(&self, journal: &Journal, by: &Actor, permit: Permit<'_>) -> Result<(), Refusal> {
        match Refusal::of(permit, self.member(by, permit.holders).await) {
            Some(refusal) => Err(note(journal, by, permit.what, refusal).await),
            None => Ok(()),
        }
    }

    /// Asks to undo everything, if this person may and it isn't too late.
    ///
    /// # Errors
    /// Why it wasn't taken.
    pub async fn abort(
        &self,
        deployment: &str,
        by: &Actor,
        reason: Option<String>,
        also: Vec<Op>,
    ) -> Result<(), Refusal> {
        let (journal, _, project) = self.found(deployment)?;
        self.permitted_about(&journal, by, permits::to_abort(&project.permissions))
            .await?;
        let reason = reason.map(|reason| truncate(&reason, LONGEST_REASON));
        match self.engine.abort(&journal, by.clone(), reason, also).await {
            Err(AppendError::Refused(why)) => Err(Refusal::TooLate(why)),
            Err(AppendError::Store(error)) => taken(error),
            Ok(()) => Ok(()),
        }
    }

    /// Ticks an item of the checklist, or un-ticks it, if this person may.
    ///
    /// # Errors
    /// Why it wasn't taken.
    pub async fn tick(&self, deployment: &str, tick: Tick, by: &Actor, also: Vec<Op>) -> Result<(), Refusal> {
        let (journal, _, project) = self.found(deployment)?;
        let holders = tickers(&project.permissions);
        let permit = permits::either(&holders, "tick the checklist");
        self.permitted_about(&journal, by, permit).await?;
        settled(
            self.engine
                .signal(&journal, CHECKLIST, by.clone(), json!(tick), also)
                .await,
        )
    }
}

/// Writes a refusal into the journal of the deployment that it is about; nothing is added to one that has ended.
async fn note(journal: &Journal, by: &Actor, what: &str, refusal: Refusal) -> Refusal {
    let refused = Event::Refused {
        by: by.clone(),
        what: what.to_owned(),
        why: text::refusal(&refusal, Medium::Plain),
    };
    let noted = journal.append_if(Vec::new(), |history| match history.outcome() {
        Some(_) => Err(()),
        None => Ok(refused),
    });
    if let Err(AppendError::Store(error)) = noted.await {
        tracing::error!(%error, "a refusal can't be noted");
    }
    tracing::info!(?by, what, deployment = journal.id(), "refused");
    refusal
}

/// Who may tick the checklist, and nudge.
pub fn tickers(permissions: &Permissions) -> Vec<String> {
    let mut holders = permissions.start.clone();
    holders.extend(
        permissions
            .approve
            .iter()
            .filter(|id| !permissions.start.contains(id))
            .cloned(),
    );
    holders
}

fn same_plan(question: Option<&Question>, seen: Option<&str>) -> Result<(), Refusal> {
    match question.map(|question| &question.kind) {
        Some(QuestionKind::Approve { digest, .. }) if seen != Some(digest) => Err(Refusal::AnotherPlan),
        _ => Ok(()),
    }
}

fn settled(appended: Result<(), AppendError<Undecidable>>) -> Result<(), Refusal> {
    match appended {
        Ok(()) => Ok(()),
        Err(AppendError::Refused(Undecidable::Decided(decided))) => Err(Refusal::Decided(decided)),
        Err(AppendError::Refused(Undecidable::NotOpen | Undecidable::NoSuchChoice)) => Err(Refusal::Stale),
        Err(AppendError::Store(error)) => taken(error),
    }
}

/// A claim that was taken: this very message was handled before.
fn taken(error: StoreError) -> Result<(), Refusal> {
    match error {
        StoreError::Taken { .. } => Ok(()),
        error => Err(Refusal::Failed(error)),
    }
}
