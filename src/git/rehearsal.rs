//! Rehearses a train in the object store: every pinned head is merged in order by `merge-tree`, the engine GitHub merges with,
//! without a work tree and without a visible effect. Missing blobs are fetched by git as it needs them.

use std::path::Path;

use chrono::DateTime;

use super::cli::{GitCli, allow};
use super::command::Invocation;
use super::name::{check_commit, is_object_name};
use super::{Car, CarVerdict, Git, Method, Oid, Proposal, Rehearsal, Result, Signature};

/// The first git whose `merge-tree` takes a merge base, which a rehearsed rebase needs.
const REBASES_SINCE: (u32, u32) = (2, 40);
/// Other trains rehearsed at most where the one asked for has conflicts.
const TRIALS: usize = 6;

impl GitCli {
    pub(super) async fn rehearse_train(
        &self,
        dir: &Path,
        onto: &str,
        cars: &[Car],
        method: Method,
    ) -> Result<Rehearsal> {
        allow(&Invocation::new(["merge-tree", onto]), check_commit(onto))?;
        let (method, note) = match method {
            Method::Rebase if self.version().await? < REBASES_SINCE => {
                let note = "This git is older than 2.40 and can't rehearse a rebase: the train was merged instead.";
                (Method::Merge, Some(note.to_owned()))
            }
            method => (method, None),
        };
        self.fetch_heads(dir, cars).await?;
        let empty = || Train {
            git: self,
            dir,
            onto,
            method,
            tip: onto.to_owned(),
            clean: Vec::new(),
        };
        let mut train = empty();
        let mut verdicts = Vec::with_capacity(cars.len());
        for car in cars {
            verdicts.push(train.take(car).await?);
        }
        let (rides, _) = worth(&verdicts);
        let mut best = (worth(&verdicts), None);
        for (proposal, cars) in proposals(cars, &verdicts).into_iter().take(TRIALS) {
            let mut other = empty();
            let mut verdicts = Vec::with_capacity(cars.len());
            for car in cars {
                verdicts.push(other.take(car).await?);
            }
            // Only one that takes more is worth a change.
            if worth(&verdicts) > best.0 && worth(&verdicts).0 > rides {
                best = (worth(&verdicts), Some(proposal));
            }
        }
        Ok(Rehearsal {
            cars: verdicts,
            tree: self.tree(dir, &train.tip).await?,
            tip: train.tip,
            note,
            proposal: best.1,
        })
    }

    pub(super) async fn conflicting_files(&self, dir: &Path, one: &str, other: &str) -> Result<Option<Vec<String>>> {
        for commit in [one, other] {
            allow(&Invocation::new(["merge-tree", commit]), check_commit(commit))?;
        }
        Ok(match self.merge_tree(dir, &[one, other]).await? {
            Merged::Clean(_) => None,
            Merged::Conflict(files) => Some(files),
        })
    }

    async fn merge_tree(&self, dir: &Path, operands: &[&str]) -> Result<Merged> {
        let options = ["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z"];
        let merge = Invocation::new(options.into_iter().chain(operands.iter().copied()))
            .within(dir)
            .remote();
        let outcome = self.runner.run(&merge).await?;
        match judge(outcome.code, &outcome.stdout) {
            Some(merged) => Ok(merged),
            None => Err(merge.failed(outcome.stderr)),
        }
    }

    /// Fetches the heads of all cars; a head that the remote doesn't have is left out.
    async fn fetch_heads(&self, dir: &Path, cars: &[Car]) -> Result<()> {
        for car in cars {
            let forget = Invocation::new(["update-ref", "-d", &fetched(car.number)]);
            self.runner.succeed(forget.within(dir)).await?;
        }
        if cars.is_empty() || self.fetch(dir, cars).await? {
            return Ok(());
        }
        // One missing head makes the whole fetch fail.
        for car in cars {
            self.fetch(dir, std::slice::from_ref(car)).await?;
        }
        Ok(())
    }

    /// `false` if the remote lacks one of them.
    async fn fetch(&self, dir: &Path, cars: &[Car]) -> Result<bool> {
        let refspecs = cars
            .iter()
            .map(|car| format!("+refs/pull/{0}/head:{1}", car.number, fetched(car.number)));
        let words = ["fetch", "--quiet", "--no-tags", "origin"].map(str::to_owned);
        let fetch = Invocation::new(words.into_iter().chain(refspecs))
            .within(dir)
            .remote()
            .long();
        let outcome = self.runner.run(&fetch).await?;
        match outcome.succeeded() {
            true => Ok(true),
            false if outcome.stderr.contains("couldn't find remote ref") => Ok(false),
            false => Err(fetch.failed(outcome.stderr)),
        }
    }
}

/// How many come in, be it with another one, and whether that is all of them.
fn worth(verdicts: &[CarVerdict]) -> (usize, bool) {
    let in_it = |verdict: &&CarVerdict| matches!(verdict, CarVerdict::Clean { .. } | CarVerdict::AlreadyIn { .. });
    let rides = verdicts.iter().filter(in_it).count();
    (rides, rides == verdicts.len())
}

/// Other trains that might take more, the gentlest change first: a conflicting car later or earlier, or without the one that it collides with.
fn proposals<'a>(cars: &'a [Car], verdicts: &[CarVerdict]) -> Vec<(Proposal, Vec<&'a Car>)> {
    let mut orders = Vec::new();
    let mut exclusions: Vec<(Proposal, Vec<&Car>)> = Vec::new();
    for verdict in verdicts {
        let CarVerdict::Conflict {
            number,
            with: Some(with),
            ..
        } = verdict
        else {
            continue;
        };
        let (moved, rest): (Vec<&Car>, Vec<&Car>) = cars.iter().partition(|car| car.number == *number);
        let before = rest.iter().position(|car| car.number == *with).unwrap_or(0);
        for place in [rest.len(), before] {
            let mut order = rest.clone();
            order.splice(place..place, moved.iter().copied());
            let cars = order.iter().map(|car| car.number).collect();
            orders.push((Proposal::Order { cars }, order));
        }
        let without = Proposal::Without { number: *with };
        if exclusions.iter().all(|(known, _)| *known != without) {
            exclusions.push((without, cars.iter().filter(|car| car.number != *with).collect()));
        }
    }
    // In turn, so that neither kind uses up all the trials.
    let (mut orders, mut exclusions) = (orders.into_iter(), exclusions.into_iter());
    let mut all = Vec::new();
    loop {
        let round: Vec<_> = orders.by_ref().take(2).chain(exclusions.next()).collect();
        if round.is_empty() {
            return all;
        }
        all.extend(round);
    }
}

/// Where a pull request's head is kept in the clone.
fn fetched(number: u64) -> String {
    format!("refs/shipmate/pull/{number}")
}

/// The train so far.
struct Train<'a> {
    git: &'a GitCli,
    dir: &'a Path,
    onto: &'a str,
    method: Method,
    tip: Oid,
    clean: Vec<&'a Car>,
}

/// A car put on top of something.
enum Coupled {
    Clean(Oid),
    Conflict(Vec<String>),
}

impl<'a> Train<'a> {
    async fn take(&mut self, car: &'a Car) -> Result<CarVerdict> {
        let number = car.number;
        match self.git.resolve(self.dir, &fetched(number)).await? {
            Some(head) if head == car.head => {}
            Some(head) => {
                let reason = format!("its head is {head} by now, not {}", car.head);
                return Ok(CarVerdict::Gone { number, reason });
            }
            None => {
                let reason = "the remote has no head for it".to_owned();
                return Ok(CarVerdict::Gone { number, reason });
            }
        }
        match self.common_ancestor(&car.head).await? {
            Some(base) if base == car.head => return Ok(CarVerdict::AlreadyIn { number }),
            Some(_) => {}
            // No common history: GitHub refuses it as it refuses a conflict, but no file is to blame.
            None => {
                return Ok(CarVerdict::Conflict {
                    number,
                    files: Vec::new(),
                    with: None,
                });
            }
        }
        match self.couple(&self.tip, car).await? {
            Coupled::Clean(tip) => {
                self.tip.clone_from(&tip);
                self.clean.push(car);
                Ok(CarVerdict::Clean { number, tip })
            }
            Coupled::Conflict(files) => {
                let with = self.partner(car).await?;
                Ok(CarVerdict::Conflict { number, files, with })
            }
        }
    }

    async fn common_ancestor(&self, head: &str) -> Result<Option<Oid>> {
        let ask = Invocation::new(["merge-base", &self.tip, head]).within(self.dir);
        let outcome = self.git.runner.run(&ask).await?;
        match outcome.code {
            Some(0) => Ok(Some(outcome.line())),
            Some(1) => Ok(None),
            _ => Err(ask.failed(outcome.stderr)),
        }
    }

    /// The earlier car that this one collides with. Where only several together do, the last one is named.
    async fn partner(&self, car: &Car) -> Result<Option<u64>> {
        if let Coupled::Conflict(_) = self.couple(self.onto, car).await? {
            return Ok(None);
        }
        for earlier in &self.clean {
            if let Coupled::Clean(tip) = self.couple(self.onto, earlier).await?
                && let Coupled::Conflict(_) = self.couple(&tip, car).await?
            {
                return Ok(Some(earlier.number));
            }
        }
        Ok(self.clean.last().map(|earlier| earlier.number))
    }

    async fn couple(&self, tip: &str, car: &Car) -> Result<Coupled> {
        let message = format!("Rehearse #{}", car.number);
        if self.method == Method::Rebase {
            return self.rebase(tip, car, &message).await;
        }
        let tree = match self.git.merge_tree(self.dir, &[tip, &car.head]).await? {
            Merged::Clean(tree) => tree,
            Merged::Conflict(files) => return Ok(Coupled::Conflict(files)),
        };
        let parents = match self.method {
            Method::Squash => vec![tip],
            Method::Merge | Method::Rebase => vec![tip, car.head.as_str()],
        };
        self.commit(&tree, &parents, &message).await.map(Coupled::Clean)
    }

    async fn rebase(&self, tip: &str, car: &Car, message: &str) -> Result<Coupled> {
        let range = format!("{tip}..{}", car.head);
        let list = Invocation::new(["rev-list", "--reverse", "--topo-order", "--no-merges", &range]).within(self.dir);
        let commits = self.git.runner.succeed(list).await?.line();
        let mut tip = tip.to_owned();
        let mut tree = self.git.tree(self.dir, &tip).await?;
        for commit in commits.lines() {
            let base = format!("--merge-base={commit}^");
            match self.git.merge_tree(self.dir, &[&base, &tip, commit]).await? {
                Merged::Conflict(files) => return Ok(Coupled::Conflict(files)),
                // Nothing of it is left: a rebase drops it.
                Merged::Clean(same) if same == tree => {}
                Merged::Clean(next) => {
                    tip = self.commit(&next, &[&tip], message).await?;
                    tree = next;
                }
            }
        }
        Ok(Coupled::Clean(tip))
    }

    async fn commit(&self, tree: &str, parents: &[&str], message: &str) -> Result<Oid> {
        let signature = Signature {
            name: "Shipmate".to_owned(),
            email: "rehearsal@shipmate.invalid".to_owned(),
            // Fixed, so that the same train has the same tip whenever it is rehearsed.
            date: DateTime::UNIX_EPOCH.fixed_offset(),
        };
        self.git.commit_tree(self.dir, tree, parents, message, &signature).await
    }
}

/// What one `merge-tree` found.
#[derive(Debug, PartialEq)]
enum Merged {
    Clean(Oid),
    Conflict(Vec<String>),
}

/// Judges by exit code *and* tree: a commit that can't be read exits with 1 as a conflict does, but names no tree; and stderr may
/// complain although all went well.
fn judge(code: Option<i32>, stdout: &[u8]) -> Option<Merged> {
    let mut records = stdout.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let tree = records.next().filter(|tree| is_object_name(tree));
    match (code, tree) {
        (Some(0), Some(tree)) => Some(Merged::Clean(tree.into_owned())),
        (Some(1), Some(_)) => {
            let mut files: Vec<String> = records
                .filter(|file| !file.is_empty())
                .map(|file| file.into_owned())
                .collect();
            files.sort();
            files.dedup();
            Some(Merged::Conflict(files))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_needs_both_its_exit_code_and_a_tree() {
        let tree = "0123456789012345678901234567890123456789";
        let output = format!("{tree}\0b\0a\0a\0");
        let files = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(judge(Some(1), output.as_bytes()), Some(Merged::Conflict(files)));
        assert_eq!(judge(Some(0), tree.as_bytes()), Some(Merged::Clean(tree.into())));
        for (code, stdout) in [(Some(1), ""), (Some(128), tree), (None, tree), (Some(0), "")] {
            assert_eq!(judge(code, stdout.as_bytes()), None, "{code:?} {stdout:?}");
        }
    }
}
