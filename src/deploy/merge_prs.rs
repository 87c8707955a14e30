//! Phase 2, Merge PRs: who rides, a rehearsal, the confirmation, the retarget, the point of no return, the merges.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::DateTime;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::ci::Rule;
use super::deploy_pr::{self, Asked};
use super::eligible::{self, Verdict};
use super::guard;
use super::issues;
use super::progress::Progress;
use super::reviews::{self, Misfit};
use super::text;
use super::train::{Car, Excluded, Merged, Plan, Reason, Selection, Shipped, VersionPlan};
use super::version::{self, Bump};
use super::world::{Poll, World, overdue};
use crate::git::{self, Blob, CarVerdict, Rehearsal};
use crate::github::{
    Issue, MergeMethod, MergeOutcome, Permission, PullRequest, PullRequestFilter, PullRequestState, RepoName, Review,
    ReviewState, Sha,
};
use crate::saga::clock::delta;
use crate::saga::{Compensate, Context, Step, StepError};

/// Reads under way at once: well below GitHub's hundred.
const READS_AT_ONCE: usize = 8;

/// **fetch_approved_prs**: who may ride and who may not, and why; approvals and linked issues are recorded here, before the retarget
/// makes GitHub drop both.
#[derive(Serialize, Deserialize)]
pub struct FetchApprovedPrs {
    /// What people chose.
    pub selection: Selection,
}

/// What was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Collected {
    /// May ride, in train order.
    pub cars: Vec<Car>,
    /// May not.
    pub excluded: Vec<Excluded>,
    /// What people should know before they confirm, one sentence each.
    #[serde(default)]
    pub remarks: Vec<String>,
}

impl Step<World> for FetchApprovedPrs {
    const KIND: &'static str = "fetch_approved_prs";
    type Output = Collected;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Collected, StepError> {
        let world = cx.world;
        let open = world.github.pull_requests(PullRequestFilter::default()).await?;
        let base = &world.project.base_branch;
        let reviewers = Reviewers::default();
        let rule = guard::rule(world).await?;
        let mut judging = Vec::new();
        for pr in open.iter().filter(|pr| pr.base.branch == *base) {
            judging.push(self.judge(world, pr, &reviewers, &rule).boxed());
        }
        let judged: Vec<Judged> = stream::iter(judging).buffered(READS_AT_ONCE).try_collect().await?;
        let mut collected = Collected {
            cars: Vec::new(),
            excluded: self.elsewhere(world, &open),
            remarks: world.github.blind_spot().into_iter().collect(),
        };
        if world.github.has_merge_queue(base).await? {
            collected.remarks.push(text::merge_queue(base));
        }
        let mut red = Vec::new();
        for verdict in judged {
            match verdict {
                Ok((car, optional)) => {
                    red.push((car.number, optional));
                    collected.cars.push(car);
                }
                Err(excluded) => collected.excluded.push(excluded),
            }
        }
        collected.remarks.extend(text::optional_red(&red));
        let place = |car: &Car| self.selection.only.iter().position(|&number| number == car.number);
        collected.cars.sort_by_key(place);
        Ok(collected)
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Collected>, StepError> {
        Ok(None)
    }
}

/// Rides, with the checks that are red and don't matter; or doesn't ride.
type Judged = Result<(Car, Vec<String>), Excluded>;

impl FetchApprovedPrs {
    /// What doesn't target the base branch and is of interest all the same: stacked on one that does, or asked for by number.
    fn elsewhere(&self, world: &World, open: &[PullRequest]) -> Vec<Excluded> {
        let home = world.project.repo.to_string();
        let parent = |pr: &PullRequest| {
            let is_base = |other: &&PullRequest| {
                let here = other
                    .head
                    .repo
                    .as_ref()
                    .is_some_and(|repo| repo.eq_ignore_ascii_case(&home));
                here && other.number != pr.number && other.head.branch == pr.base.branch
            };
            open.iter().find(is_base).map(|parent| parent.number)
        };
        let mut excluded = Vec::new();
        for pr in open.iter().filter(|pr| pr.base.branch != world.project.base_branch) {
            let reason = match parent(pr) {
                Some(number) => Reason::StackedOn { number },
                None if self.selection.only.contains(&pr.number) => Reason::OtherBase {
                    branch: pr.base.branch.clone(),
                },
                None => continue,
            };
            excluded.push(without(pr, reason));
        }
        let closed = |number: &&u64| open.iter().all(|pr| pr.number != **number);
        excluded.extend(self.selection.only.iter().filter(closed).map(|&number| Excluded {
            number,
            title: String::new(),
            author: String::new(),
            url: String::new(),
            reason: Reason::NotOpen,
        }));
        excluded
    }

    async fn judge(
        &self,
        world: &World,
        pr: &PullRequest,
        reviewers: &Reviewers,
        rule: &Rule,
    ) -> Result<Judged, StepError> {
        let excluded = |reason| Ok(Err(without(pr, reason)));
        if let Some(reason) = eligible::disqualified(pr, &world.project) {
            return excluded(reason);
        }
        let reviews = world.github.reviews(pr.number).await?;
        let approvals = match opinion(world, pr, &reviews, reviewers).await? {
            Verdict::Approved(approvals) => approvals,
            Verdict::Waiting => return excluded(Reason::NotApproved),
            Verdict::ChangesRequested(by) => return excluded(Reason::ChangesRequested { by }),
        };
        let only = &self.selection.only;
        if self.selection.exclude.contains(&pr.number) || (!only.is_empty() && !only.contains(&pr.number)) {
            return excluded(Reason::LeftOut);
        }
        let red = guard::red_checks(world, &pr.head.sha, rule).await?;
        if !red.decisive.is_empty() {
            return excluded(Reason::RedChecks { names: red.decisive });
        }
        let car = Car {
            number: pr.number,
            title: pr.title.clone(),
            author: author(pr),
            url: pr.html_url.clone(),
            head: pr.head.sha.clone(),
            head_branch: pr.head.branch.clone(),
            base: pr.base.branch.clone(),
            approvals,
            issues: linked_issues(world, pr).await?,
            opened_at: pr.created_at,
        };
        Ok(Ok((car, red.optional)))
    }
}

fn without(pr: &PullRequest, reason: Reason) -> Excluded {
    Excluded {
        number: pr.number,
        title: pr.title.clone(),
        author: author(pr),
        url: pr.html_url.clone(),
        reason,
    }
}

fn author(pr: &PullRequest) -> String {
    pr.author.clone().unwrap_or_else(|| "ghost".to_owned())
}

/// What the reviews of a pull request add up to now.
pub(super) async fn opinion(
    world: &World,
    pr: &PullRequest,
    reviews: &[Review],
    reviewers: &Reviewers,
) -> Result<Verdict, StepError> {
    let mut permissions = BTreeMap::new();
    for user in eligible::latest_opinions(reviews).into_keys() {
        permissions.insert(user.to_owned(), reviewers.permission(world, user).await?);
    }
    Ok(eligible::verdict(pr.author.as_deref(), reviews, &permissions))
}

/// What reviewers may do here, asked once each: a few people review most pull requests of a train.
#[derive(Default)]
pub(super) struct Reviewers(tokio::sync::Mutex<BTreeMap<String, Permission>>);

impl Reviewers {
    async fn permission(&self, world: &World, user: &str) -> Result<Permission, StepError> {
        let mut known = self.0.lock().await;
        if let Some(permission) = known.get(user) {
            return Ok(*permission);
        }
        let permission = world.github.permission(user).await?;
        known.insert(user.to_owned(), permission);
        Ok(permission)
    }
}

/// Sidebar links and closing keywords, in title, body and commits.
async fn linked_issues(world: &World, pr: &PullRequest) -> Result<Vec<Issue>, StepError> {
    let home = &world.project.repo;
    let mut found: BTreeMap<(RepoName, u64), Issue> = BTreeMap::new();
    for issue in world.github.closing_issues(pr.number).await? {
        found.insert((issue.repo.clone(), issue.number), issue);
    }
    let mut said: BTreeSet<(RepoName, u64)> = issues::closed_by(&pr.title, home);
    said.extend(issues::closed_by(&pr.body, home));
    for commit in world.github.pull_request_commits(pr.number).await? {
        said.extend(issues::closed_by(&commit.message, home));
    }
    for (repo, number) in said {
        let key = (repo, number);
        if found.contains_key(&key) {
            continue;
        }
        // Deleted, transferred or invisible ones are left out rather than linked to nowhere.
        if let Some(issue) = world.github.issue(&key.0, key.1).await?
            && !issue.is_pull_request
        {
            found.insert(key, issue);
        }
    }
    Ok(found.into_values().collect())
}

/// **rehearse_merges**: every pinned head merged in train order in the object store, then the version bump planned on the result.
#[derive(Serialize, Deserialize)]
pub struct RehearseMerges {
    /// The workspace.
    pub workspace: String,
    /// The branch that they will be merged into (the base branch in a dry run).
    pub branch: String,
    /// Its tip.
    pub onto: String,
    /// Who rides.
    pub cars: Vec<git::Car>,
    /// How they are merged.
    pub method: MergeMethod,
    /// Which part of the version counts up.
    pub bump: Bump,
    /// For calendar versions.
    pub date: chrono::NaiveDate,
    /// Tip of the base branch; where it isn't `onto`, the merge into it is rehearsed as well.
    #[serde(default)]
    pub base_tip: String,
}

/// What the rehearsal found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rehearsed {
    /// Car by car.
    pub rehearsal: Rehearsal,
    /// The bump on the result.
    pub version: VersionPlan,
    /// Why the base branch, as it is by now, can't take the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clash: Option<Clash>,
}

/// The base branch has moved on, and not so that the train still fits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clash {
    /// In these files.
    Conflict(Vec<String>),
    /// It carries this version by now.
    Version(String),
}

impl RehearseMerges {
    /// Rehearses the merge of the deploy branch, version bump included, into a base branch that has moved.
    async fn clash(
        &self,
        world: &World,
        clone: &Path,
        tip: &str,
        version: &VersionPlan,
    ) -> Result<Option<Clash>, StepError> {
        if self.base_tip.is_empty() || self.base_tip == self.onto {
            return Ok(None);
        }
        world.git.fetch_branch(clone, &world.project.base_branch).await?;
        let before = agreed_version(&read_versions(world, clone, &self.onto).await?)?;
        let there = agreed_version(&read_versions(world, clone, &self.base_tip).await?)?;
        // A pull request of the train may change the version, too: what counts is what the base branch did.
        if there != before {
            return Ok(Some(Clash::Version(there)));
        }
        let bump = deploy_pr::bump_commit(world, clone, tip, version, DateTime::UNIX_EPOCH).await?;
        let files = world.git.conflict(clone, &self.base_tip, &bump).await?;
        Ok(files.map(Clash::Conflict))
    }
}

impl Step<World> for RehearseMerges {
    const KIND: &'static str = "rehearse_merges";
    type Output = Rehearsed;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Rehearsed, StepError> {
        let world = cx.world;
        let clone = world.clone_in(&self.workspace).await?;
        let method = match self.method {
            MergeMethod::Merge => git::Method::Merge,
            MergeMethod::Squash => git::Method::Squash,
            MergeMethod::Rebase => git::Method::Rebase,
        };
        world.git.fetch_branch(&clone, &self.branch).await?;
        let rehearsal = world.git.rehearse(&clone, &self.onto, &self.cars, method).await?;
        let files = read_versions(world, &clone, &rehearsal.tip).await?;
        let from = agreed_version(&files)?;
        let to = version::next_version(&from, &self.bump, self.date).map_err(StepError::Permanent)?;
        let version = VersionPlan {
            from,
            to,
            files: files.into_iter().map(|file| file.path).collect(),
        };
        let clash = self.clash(world, &clone, &rehearsal.tip, &version).await?;
        Ok(Rehearsed {
            rehearsal,
            version,
            clash,
        })
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Rehearsed>, StepError> {
        Ok(None)
    }
}

/// A version file as a commit has it.
pub(super) struct VersionOf {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    pub(super) version: String,
}

/// All version files of a commit; a missing, unreadable or linked one is refused with its mend.
pub(super) async fn read_versions(
    world: &World,
    clone: &std::path::Path,
    commit: &str,
) -> Result<Vec<VersionOf>, StepError> {
    let mut files = Vec::new();
    for file in &world.project.version_files {
        let path = file.path.clone();
        let bytes = match world.git.read(clone, commit, &path).await? {
            Blob::File(bytes) => bytes,
            Blob::NotAFile(what) => {
                return Err(StepError::permanent(format!(
                    "the version file {path} is a {what}, and only regular files are changed: name the file itself in `version_files`"
                )));
            }
            Blob::Missing => {
                return Err(StepError::permanent(format!(
                    "the version file {path} doesn't exist on this branch: mend `version_files` or add it"
                )));
            }
        };
        let version = version::read_version(file, &bytes).map_err(StepError::Permanent)?;
        files.push(VersionOf { path, bytes, version });
    }
    Ok(files)
}

/// The version that all files agree on.
pub(super) fn agreed_version(files: &[VersionOf]) -> Result<String, StepError> {
    let Some(first) = files.first() else {
        return Err(StepError::permanent(
            "no version files are configured: add `version_files`",
        ));
    };
    match files.iter().find(|file| file.version != first.version) {
        None => Ok(first.version.clone()),
        Some(other) => Err(StepError::permanent(format!(
            "the version files disagree: {} says {}, {} says {}; make them agree, then start again",
            first.path, first.version, other.path, other.version
        ))),
    }
}

/// Splits the rehearsed cars into those that merge cleanly and those that don't, with why.
pub(super) fn sort_out(cars: Vec<Car>, verdicts: &[CarVerdict]) -> (Vec<Car>, Vec<Excluded>) {
    let mut clean = Vec::new();
    let mut out = Vec::new();
    for car in cars {
        let reason = verdicts.iter().find_map(|verdict| match verdict {
            CarVerdict::Conflict { number, files, with } if *number == car.number => Some(Reason::Conflict {
                files: files.clone(),
                with: *with,
            }),
            CarVerdict::Gone { number, .. } if *number == car.number => Some(Reason::HeadMoved),
            CarVerdict::AlreadyIn { number } if *number == car.number => Some(Reason::NothingToMerge),
            _ => None,
        });
        match reason {
            None => clean.push(car),
            Some(reason) => out.push(Excluded {
                number: car.number,
                title: car.title,
                author: car.author,
                url: car.url,
                reason,
            }),
        }
    }
    (clean, out)
}

/// **change_pr_bases**, one step a pull request: GitHub wants writes one at a time, a second apart, so nothing is won by doing them at once,
/// and undoing is exact.
#[derive(Serialize, Deserialize)]
pub struct ChangePrBase {
    /// Who.
    pub car: Car,
    /// The deploy branch.
    pub branch: String,
}

impl Step<World> for ChangePrBase {
    const KIND: &'static str = "change_pr_base";
    type Output = ();

    async fn run(&self, cx: &Context<'_, World>) -> Result<(), StepError> {
        cx.world.github.set_base(self.car.number, &self.branch).await?;
        Ok(())
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<()>, StepError> {
        let pr = cx.world.github.pull_request(self.car.number).await?;
        Ok((pr.base.branch == self.branch).then_some(()))
    }
}

impl Compensate<World> for ChangePrBase {
    async fn compensate(&self, cx: &Context<'_, World>, _: Option<()>) -> Result<Vec<String>, StepError> {
        put_back(cx.world, &self.car, &self.branch).await
    }
}

/// A pull request that left the train goes back to its recorded base.
#[derive(Serialize, Deserialize)]
pub struct RestorePrBase {
    /// Who.
    pub car: Car,
    /// The deploy branch.
    pub branch: String,
}

impl Step<World> for RestorePrBase {
    const KIND: &'static str = "restore_pr_base";
    type Output = Vec<String>;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Vec<String>, StepError> {
        put_back(cx.world, &self.car, &self.branch).await
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Vec<String>>, StepError> {
        Ok(None)
    }
}

impl Compensate<World> for RestorePrBase {
    /// It is where it belongs already.
    async fn compensate(&self, _: &Context<'_, World>, _: Option<Vec<String>>) -> Result<Vec<String>, StepError> {
        Ok(Vec::new())
    }
}

/// Moves a pull request back, reads it back, and asks again for the reviews that the retarget cost it.
async fn put_back(world: &World, car: &Car, branch: &str) -> Result<Vec<String>, StepError> {
    let number = car.number;
    let pr = world.github.pull_request(number).await?;
    if pr.state == PullRequestState::Closed {
        return Ok(vec![format!("#{number} is closed and was left alone.")]);
    }
    if pr.base.branch != branch && pr.base.branch != car.base {
        return Ok(vec![format!(
            "#{number} was moved to {} by somebody and was left there.",
            pr.base.branch
        )]);
    }
    if pr.base.branch == branch {
        world.github.set_base(number, &car.base).await?;
        let now = world.github.pull_request(number).await?.base.branch;
        if now != car.base {
            return Err(StepError::transient(format!("#{number} still targets {now}")));
        }
    }
    let mut receipt = vec![format!("#{number} targets {} again.", car.base)];
    let lost = lost_approvals(car, &world.github.reviews(number).await?);
    if lost.is_empty() {
        return Ok(receipt);
    }
    let misfits = match reviews::ask(world, number, &lost).await {
        Ok(misfits) => misfits,
        Err(StepError::Permanent(reason)) => {
            let nobody = |login: &String| Misfit {
                login: login.clone(),
                reason: reason.clone(),
            };
            lost.iter().map(nobody).collect()
        }
        Err(again) => return Err(again),
    };
    let asked = Asked::of(&lost, &misfits).reviewers;
    if !asked.is_empty() {
        receipt.push(format!(
            "{} lost {} approval; a new review was asked for.",
            asked.join(", "),
            whose(&asked)
        ));
    }
    receipt.extend(misfits.into_iter().map(|Misfit { login, reason }| {
        format!("{login} lost an approval of #{number}; please ask again ({reason}).")
    }));
    Ok(receipt)
}

fn whose(people: &[String]) -> &'static str {
    if people.len() == 1 { "an" } else { "their" }
}

/// Who had approved and is now dismissed: the retarget did that. Who has approved anew, or wants changes by now, is not among them.
fn lost_approvals(car: &Car, reviews: &[Review]) -> Vec<String> {
    let opinions = eligible::latest_opinions(reviews);
    let dismissed = |user: &&String| {
        let opinion = opinions.get(user.as_str());
        opinion.is_some_and(|review| review.state == ReviewState::Dismissed)
    };
    let approved = car.approvals.iter().map(|approval| &approval.user);
    approved.filter(dismissed).cloned().collect()
}

/// What stands behind **approve_point_of_no_return**: the world looked at again, against the plan.
#[derive(Serialize, Deserialize)]
pub struct LookAgain {
    /// The plan as people saw it last.
    pub plan: Plan,
}

/// What has become of a plan's facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Still ride, with today's heads.
    pub cars: Vec<Car>,
    /// Can't any more.
    pub out: Vec<Excluded>,
    /// Approvals that the retarget dismissed: number and logins. No change of plan; the approver chooses.
    pub dismissed: Vec<(u64, Vec<String>)>,
    /// Tip of the deploy branch.
    pub branch_tip: String,
    /// Tip of the base branch.
    pub base_tip: String,
    /// Commits on the deploy branch that aren't ours: who and what.
    pub foreign: Vec<String>,
}

impl Step<World> for LookAgain {
    const KIND: &'static str = "look_again";
    type Output = Look;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Look, StepError> {
        let world = cx.world;
        let plan = &self.plan;
        // GitHub's answers may lag behind a push: looked at again within the step's budget.
        let gone = |branch: &str| StepError::transient(format!("the branch {branch} is gone"));
        let branch_tip = world
            .github
            .branch_tip(&plan.branch)
            .await?
            .ok_or_else(|| gone(&plan.branch))?;
        let base_tip = world
            .github
            .branch_tip(&plan.base)
            .await?
            .ok_or_else(|| gone(&plan.base))?;
        let mut look = Look {
            cars: Vec::new(),
            out: Vec::new(),
            dismissed: Vec::new(),
            branch_tip: branch_tip.to_string(),
            base_tip: base_tip.to_string(),
            foreign: Vec::new(),
        };
        if look.branch_tip != plan.branch_tip {
            let comparison = world.github.compare(&plan.branch_tip, &look.branch_tip).await?;
            look.foreign = comparison.commits.iter().map(ToString::to_string).collect();
        }
        let reviewers = Reviewers::default();
        let mut looking = Vec::new();
        for car in &plan.cars {
            looking.push(self.look_at(world, car, &reviewers).boxed());
        }
        let looked: Vec<Seen> = stream::iter(looking).buffered(READS_AT_ONCE).try_collect().await?;
        for seen in looked {
            match seen {
                Seen::Rides(car, lost) => {
                    if !lost.is_empty() {
                        look.dismissed.push((car.number, lost));
                    }
                    look.cars.push(car);
                }
                Seen::Out(excluded) => look.out.push(excluded),
            }
        }
        Ok(look)
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Look>, StepError> {
        Ok(None)
    }
}

enum Seen {
    Rides(Car, Vec<String>),
    Out(Excluded),
}

impl LookAgain {
    async fn look_at(&self, world: &World, car: &Car, reviewers: &Reviewers) -> Result<Seen, StepError> {
        let pr = world.github.pull_request(car.number).await?;
        if pr.state == PullRequestState::Closed {
            return Ok(Seen::Out(out(car, Reason::NotOpen)));
        }
        if pr.base.branch != self.plan.branch {
            let branch = pr.base.branch;
            return Ok(Seen::Out(out(car, Reason::OtherBase { branch })));
        }
        if let Some(reason) = eligible::disqualified(&pr, &world.project) {
            return Ok(Seen::Out(out(car, reason)));
        }
        let reviews = world.github.reviews(car.number).await?;
        if let Verdict::ChangesRequested(by) = opinion(world, &pr, &reviews, reviewers).await? {
            return Ok(Seen::Out(out(car, Reason::ChangesRequested { by })));
        }
        let lost = lost_approvals(car, &reviews);
        let today = Car {
            head: pr.head.sha,
            ..car.clone()
        };
        Ok(Seen::Rides(today, lost))
    }
}

fn out(car: &Car, reason: Reason) -> Excluded {
    Excluded {
        number: car.number,
        title: car.title.clone(),
        author: car.author.clone(),
        url: car.url.clone(),
        reason,
    }
}

/// Asks the reviewers whose approval the retarget dismissed to look again.
#[derive(Serialize, Deserialize)]
pub struct AskReviewersAgain {
    /// The pull request.
    pub number: u64,
    /// Logins.
    pub reviewers: Vec<String>,
}

impl AskReviewersAgain {
    /// Who isn't asked at this time.
    async fn missing(&self, world: &World) -> Result<Vec<String>, StepError> {
        let requested = world.github.pull_request(self.number).await?.requested_reviewers;
        let missing = self.reviewers.iter().filter(|login| !requested.contains(login));
        Ok(missing.cloned().collect())
    }
}

impl Step<World> for AskReviewersAgain {
    const KIND: &'static str = "ask_reviewers_again";
    /// `None` in journals from before it was written down.
    type Output = Option<Asked>;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Option<Asked>, StepError> {
        let misfits = match self.missing(cx.world).await?.as_slice() {
            [] => Vec::new(),
            missing => reviews::ask(cx.world, self.number, missing).await?,
        };
        Ok(Some(Asked::of(&self.reviewers, &misfits)))
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<Option<Asked>>, StepError> {
        let all_asked = self.missing(cx.world).await?.is_empty();
        Ok(all_asked.then(|| Some(Asked::of(&self.reviewers, &[]))))
    }
}

impl Compensate<World> for AskReviewersAgain {
    /// The review is wanted all the same once the pull request is back.
    async fn compensate(&self, _: &Context<'_, World>, _: Option<Option<Asked>>) -> Result<Vec<String>, StepError> {
        Ok(Vec::new())
    }
}

/// **merge_pr**, one per pull request, in order: the point of no return.
///
/// The danger: a merge whose reply was lost may land after we looked. GitHub gives up on a request after ten seconds, so looking waits
/// that long first ([`World::settle`]).
#[derive(Serialize, Deserialize)]
pub struct MergePr {
    /// The pull request.
    pub number: u64,
    /// Its pinned head.
    pub head: Sha,
    /// How.
    pub method: MergeMethod,
    /// The branch that it must target.
    pub into: String,
    /// The tips that the train itself gave that branch, the last one last; none: it is not the train's alone.
    #[serde(default)]
    pub known: Vec<String>,
}

/// A merge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergeCommit {
    /// What it became.
    pub commit: Sha,
    /// Who merged it, if it wasn't us (or GitHub doesn't say).
    pub by: Option<String>,
    /// A tip by somebody else that a person took in before it.
    #[serde(default)]
    pub foreign: Option<Sha>,
}

impl Step<World> for MergePr {
    const KIND: &'static str = "merge_pr";
    type Output = MergeCommit;

    async fn run(&self, cx: &Context<'_, World>) -> Result<MergeCommit, StepError> {
        let patience = cx.world.project.timeouts.mergeable;
        let mut poll = Poll::new(&cx.world.project);
        let mut said: Option<String> = None;
        let mut foreign = None;
        let mut looked = false;
        loop {
            let pr = cx.world.github.pull_request(self.number).await?;
            if let Some(done) = self.judge(cx, &pr).await? {
                return Ok(done);
            }
            if !looked {
                let unmoved = guard::foreign_tip(cx, &self.into, &self.known);
                let green = guard::still_green(cx.world, self.number, &self.head);
                (foreign, ()) = futures_util::try_join!(unmoved, green)?;
                looked = true;
            }
            let impatient = overdue(cx, patience);
            match pr.mergeable {
                None if !impatient => {
                    cx.report(&Progress::Mergeability {
                        number: self.number,
                        deadline: Some(cx.began() + delta(patience)),
                    })
                    .await?
                }
                // Right after the previous merge GitHub may still answer for the old base: the merge itself is the arbiter.
                _ => match cx.world.github.merge(self.number, self.method, &self.head).await? {
                    MergeOutcome::Merged(commit) => {
                        return Ok(MergeCommit {
                            commit,
                            by: None,
                            foreign,
                        });
                    }
                    MergeOutcome::BaseModified(message) | MergeOutcome::InProgress(message) if !impatient => {
                        said = Some(message);
                    }
                    MergeOutcome::NotMergeable(message) if !impatient && pr.mergeable != Some(false) => {
                        said = Some(message)
                    }
                    MergeOutcome::NotMergeable(message) => return self.conflict(cx, &message).await,
                    MergeOutcome::BaseModified(message) | MergeOutcome::InProgress(message) => {
                        return Err(StepError::permanent(format!(
                            "#{} could not be merged in time: {message}",
                            self.number
                        )));
                    }
                    MergeOutcome::HeadModified(message) => return Err(self.refused(&message)),
                    MergeOutcome::Refused(message) => return Err(self.refused(&message)),
                },
            }
            tracing::debug!(number = self.number, ?said, "not yet");
            poll.pause(cx).await?;
        }
    }

    async fn observe(&self, cx: &Context<'_, World>) -> Result<Option<MergeCommit>, StepError> {
        cx.settle(cx.world.settle).await?;
        let pr = cx.world.github.pull_request(self.number).await?;
        let merged = pr.merged == Some(true) && pr.base.branch == self.into;
        // At whatever head: a merge into the deploy branch is the point of no return, whoever made it.
        Ok(merged.then(|| merge_commit(&pr)))
    }
}

/// What a merged pull request became.
pub(super) fn merge_commit(pr: &PullRequest) -> MergeCommit {
    MergeCommit {
        commit: pr.merge_commit_sha.clone().unwrap_or_else(|| pr.head.sha.clone()),
        by: pr.merged_by.clone(),
        foreign: None,
    }
}

impl MergePr {
    /// Merged already, can't be any more, or to be tried.
    async fn judge(&self, cx: &Context<'_, World>, pr: &PullRequest) -> Result<Option<MergeCommit>, StepError> {
        let number = self.number;
        if pr.merged == Some(true) {
            if pr.base.branch != self.into {
                return Err(StepError::permanent(format!(
                    "#{number} was merged into {} instead of {}",
                    pr.base.branch, self.into
                )));
            }
            if pr.head.sha != self.head {
                let told = format!(
                    "{} merged #{number} at {}, where {} was expected. Retry takes it as it is",
                    pr.merged_by.as_deref().unwrap_or("somebody"),
                    pr.head.sha.short(),
                    self.head.short()
                );
                guard::taken_in(cx, pr.head.sha.clone(), &told).await?;
            }
            return Ok(Some(merge_commit(pr)));
        }
        if pr.state == PullRequestState::Closed {
            return Err(StepError::permanent(format!("#{number} was closed by somebody")));
        }
        if pr.base.branch != self.into {
            return Err(StepError::permanent(format!(
                "#{number} was moved to {} by somebody",
                pr.base.branch
            )));
        }
        if pr.head.sha != self.head {
            return Err(StepError::permanent(format!(
                "#{number} was pushed to: {} was approved and rehearsed, {} is there now",
                self.head.short(),
                pr.head.sha.short()
            )));
        }
        Ok(None)
    }

    async fn conflict(&self, cx: &Context<'_, World>, message: &str) -> Result<MergeCommit, StepError> {
        let pr = cx.world.github.pull_request(self.number).await?;
        match self.judge(cx, &pr).await? {
            Some(done) => Ok(done),
            None if pr.mergeable == Some(false) => Err(StepError::permanent(format!(
                "#{} conflicts with what is on {into} by now ({message}). {mend}, then Retry",
                self.number,
                into = self.into,
                mend = match self.known.is_empty() {
                    true => format!(
                        "Merge {into} into its branch and resolve the conflict there",
                        into = self.into
                    ),
                    false => format!("Skip it, or take away from {into} what collides", into = self.into),
                }
            ))),
            None => Err(self.refused(message)),
        }
    }

    fn refused(&self, message: &str) -> StepError {
        StepError::permanent(format!("GitHub refuses to merge #{}: {message}", self.number))
    }
}

/// **collect_merged_pr_info**: what the train carried, and whether the result is what the rehearsal promised.
#[derive(Serialize, Deserialize)]
pub struct CollectMergedPrInfo {
    /// The workspace.
    pub workspace: String,
    /// The deploy branch.
    pub branch: String,
    /// Who was merged.
    pub merged: Vec<Merged>,
    /// Who was left out on the way.
    pub skipped: Vec<Car>,
    /// The rehearsal's tree.
    pub tree: String,
    /// The tips that the train itself gave the branch.
    #[serde(default)]
    pub known: Vec<String>,
}

impl Step<World> for CollectMergedPrInfo {
    const KIND: &'static str = "collect_merged_pr_info";
    type Output = Shipped;

    async fn run(&self, cx: &Context<'_, World>) -> Result<Shipped, StepError> {
        guard::foreign_tip(cx, &self.branch, &self.known).await?;
        let clone = cx.world.clone_in(&self.workspace).await?;
        let tip = cx.world.git.fetch_branch(&clone, &self.branch).await?;
        self.has_the_last_merge(cx.world, &tip).await?;
        let tree = cx.world.git.tree(&clone, &tip).await?;
        Ok(Shipped {
            merged: self.merged.clone(),
            skipped: self.skipped.clone(),
            as_rehearsed: self.skipped.is_empty().then_some(tree == self.tree),
            tip,
        })
    }

    async fn observe(&self, _: &Context<'_, World>) -> Result<Option<Shipped>, StepError> {
        Ok(None)
    }
}

impl CollectMergedPrInfo {
    /// What is built on top of a stale tip would be refused later.
    async fn has_the_last_merge(&self, world: &World, tip: &str) -> Result<(), StepError> {
        let Some(last) = self.merged.last().filter(|last| last.commit.as_str() != tip) else {
            return Ok(());
        };
        let status = world.github.compare(last.commit.as_str(), tip).await?.status;
        match status.as_str() {
            "ahead" | "identical" => Ok(()),
            _ => Err(StepError::transient(format!(
                "{} does not show the merge of #{} yet",
                self.branch, last.car.number
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
