//! The rehearsal: every car merged in order in the object store, without a work tree, by the project's method. GitHub uses the same merge
//! machinery, so what is clean here is clean there (custom merge drivers excepted: GitHub ignores them).

use std::path::Path;

use chrono::DateTime;

use super::cli::{GitCli, Run, checked_oid, failure, identity, is_oid};
use super::{Car, CarVerdict, Error, Git, Method, Oid, Rehearsal, Result, Signature};

/// `merge-tree --merge-base` came with git 2.40.
const REBASE_SINCE: (u32, u32) = (2, 40);

/// What became of one merge.
enum Merge {
    /// A tree.
    Clean(Oid),
    /// These files, sorted.
    Conflict(Vec<String>),
}

pub(super) async fn rehearse(git: &GitCli, dir: &Path, onto: &str, cars: &[Car], method: Method) -> Result<Rehearsal> {
    let gone = fetch(git, dir, cars).await?;
    let can_rebase = git.version().await? >= REBASE_SINCE;
    let (method, note) = match (method, can_rebase) {
        (Method::Rebase, false) => (
            Method::Merge,
            Some("This git is too old to rehearse rebases (2.40 can): merges were rehearsed instead.".to_owned()),
        ),
        (method, _) => (method, None),
    };
    let mut rehearsed = Rehearsed {
        git,
        dir,
        method,
        onto: onto.to_owned(),
        tip: onto.to_owned(),
        clean: Vec::new(),
    };
    let mut verdicts = Vec::new();
    for car in cars {
        let verdict = match gone.iter().find(|(number, _)| *number == car.number) {
            Some((number, reason)) => CarVerdict::Gone {
                number: *number,
                reason: reason.clone(),
            },
            None => rehearsed.add(car).await?,
        };
        verdicts.push(verdict);
    }
    Ok(Rehearsal {
        cars: verdicts,
        tree: git.tree(dir, &rehearsed.tip).await?,
        tip: rehearsed.tip,
        note,
    })
}

/// Fetches every head in one go, or one by one if that fails; answers with those that aren't there as pinned.
async fn fetch(git: &GitCli, dir: &Path, cars: &[Car]) -> Result<Vec<(u64, String)>> {
    let refspec = |car: &Car| format!("+refs/pull/{0}/head:refs/shipmate/pull/{0}", car.number);
    let fetch = |refspecs: Vec<String>| async move {
        let mut args = vec!["fetch", "--quiet", "--no-tags", "origin"];
        args.extend(refspecs.iter().map(String::as_str));
        git.succeed(Run::remote(dir, &args)).await
    };
    let mut gone = Vec::new();
    if !cars.is_empty()
        && let Err(error) = fetch(cars.iter().map(refspec).collect()).await
    {
        if error.transient {
            return Err(error);
        }
        for car in cars {
            match fetch(vec![refspec(car)]).await {
                Ok(_) => {}
                Err(error) if error.transient => return Err(error),
                Err(error) => gone.push((car.number, error.message)),
            }
        }
    }
    for car in cars {
        let name = format!("refs/shipmate/pull/{}", car.number);
        let found = git
            .run(Run::local(dir, &["rev-parse", "--verify", "--quiet", &name]))
            .await?
            .text();
        if found != car.head && gone.iter().all(|(number, _)| *number != car.number) {
            gone.push((car.number, format!("its head is {found} instead of {}", car.head)));
        }
    }
    Ok(gone)
}

struct Rehearsed<'a> {
    git: &'a GitCli,
    dir: &'a Path,
    method: Method,
    onto: Oid,
    tip: Oid,
    clean: Vec<Car>,
}

impl Rehearsed<'_> {
    async fn add(&mut self, car: &Car) -> Result<CarVerdict> {
        let number = car.number;
        if self.is_ancestor(&car.head, &self.tip).await? {
            return Ok(CarVerdict::AlreadyIn { number });
        }
        let tip = self.tip.clone();
        match self.put_on(&tip, car).await? {
            Ok(tip) => {
                self.tip.clone_from(&tip);
                self.clean.push(car.clone());
                Ok(CarVerdict::Clean { number, tip })
            }
            Err(files) => {
                let with = self.partner(car).await?;
                Ok(CarVerdict::Conflict { number, files, with })
            }
        }
    }

    /// The earlier car that this one collides with; `None`: the base itself.
    async fn partner(&self, car: &Car) -> Result<Option<u64>> {
        if self.put_on(&self.onto, car).await?.is_err() {
            return Ok(None);
        }
        for earlier in &self.clean {
            if let Ok(tip) = self.put_on(&self.onto, earlier).await?
                && self.put_on(&tip, car).await?.is_err()
            {
                return Ok(Some(earlier.number));
            }
        }
        // Only several together collide with it: the last of them completes the conflict.
        Ok(self.clean.last().map(|last| last.number))
    }

    /// The tip with one car on it, or the files that conflict.
    async fn put_on(&self, tip: &str, car: &Car) -> Result<std::result::Result<Oid, Vec<String>>> {
        match self.method {
            Method::Rebase => self.rebase_onto(tip, car).await,
            Method::Merge | Method::Squash => match self.merge_tree(None, tip, &car.head).await? {
                Merge::Conflict(files) => Ok(Err(files)),
                Merge::Clean(tree) => {
                    let parents = match self.method {
                        Method::Merge => vec![tip, &car.head],
                        _ => vec![tip],
                    };
                    Ok(Ok(self.commit_tree(&tree, &parents).await?))
                }
            },
        }
    }

    async fn rebase_onto(&self, tip: &str, car: &Car) -> Result<std::result::Result<Oid, Vec<String>>> {
        let range = format!("{}..{}", checked_oid(tip)?, checked_oid(&car.head)?);
        let list = Run::local(
            self.dir,
            &["rev-list", "--reverse", "--no-merges", "--topo-order", &range],
        );
        let commits = self.git.succeed(list).await?.text();
        let mut tip = tip.to_owned();
        for commit in commits.lines() {
            match self.merge_tree(Some(&format!("{commit}^")), &tip, commit).await? {
                Merge::Conflict(files) => return Ok(Err(files)),
                Merge::Clean(tree) if tree == self.git.tree(self.dir, &tip).await? => {}
                Merge::Clean(tree) => tip = self.commit_tree(&tree, &[&tip]).await?,
            }
        }
        Ok(Ok(tip))
    }

    /// A conflict is exit code 1 *and* a tree in the first record: a missing commit exits with 1, too, but prints none.
    async fn merge_tree(&self, base: Option<&str>, ours: &str, theirs: &str) -> Result<Merge> {
        let merge_base = base.map(|base| format!("--merge-base={base}"));
        let mut args = vec!["merge-tree", "--write-tree", "--name-only", "--no-messages", "-z"];
        args.extend(merge_base.as_deref());
        args.extend([ours, theirs]);
        let output = self.git.run(Run::remote(self.dir, &args)).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut records = text.split('\0');
        let tree = records.next().unwrap_or_default().trim().to_owned();
        match (output.code, is_oid(&tree)) {
            (0, true) => Ok(Merge::Clean(tree)),
            (1, true) => {
                let mut files: Vec<String> = records.take_while(|path| !path.is_empty()).map(str::to_owned).collect();
                files.sort();
                files.dedup();
                Ok(Merge::Conflict(files))
            }
            _ => Err(failure(format!("merge-tree {ours} {theirs}"), &output)),
        }
    }

    async fn commit_tree(&self, tree: &str, parents: &[&str]) -> Result<Oid> {
        let mut args = vec!["commit-tree", tree, "-m", "rehearsal"];
        for parent in parents {
            args.extend(["-p", *parent]);
        }
        let signature = Signature {
            name: "rehearsal".to_owned(),
            email: "rehearsal@localhost".to_owned(),
            date: DateTime::UNIX_EPOCH.fixed_offset(),
        };
        let output = self
            .git
            .succeed(Run::local(self.dir, &args).with_env(&identity(&signature)))
            .await?;
        Ok(output.text())
    }

    async fn is_ancestor(&self, commit: &str, of: &str) -> Result<bool> {
        let args = ["merge-base", "--is-ancestor", checked_oid(commit)?, checked_oid(of)?];
        let output = self.git.run(Run::local(self.dir, &args)).await?;
        match output.code {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err::<bool, Error>(failure("merge-base".to_owned(), &output)),
        }
    }
}
