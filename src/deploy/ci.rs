//! What the checks of a commit add up to. Pure: "no checks" isn't green, and "all that are there are green" isn't all.

use std::collections::{BTreeMap, BTreeSet};

use super::progress::{Check, CheckState};
use crate::config::Project;
use crate::github::{CheckRun, CommitStatus};

/// Which checks decide.
#[derive(Clone, Debug)]
pub struct Rule {
    required: BTreeSet<String>,
    others: Others,
}

/// What becomes of checks that nobody requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// They decide as well.
    Decide,
    /// They are shown.
    Shown,
}

impl Rule {
    /// All that report, and those that the branch requires; if the project names some, those and the branch's alone.
    pub fn of(project: &Project, required_by_branch: Vec<String>) -> Self {
        Self {
            others: match project.required_checks.is_empty() {
                true => Others::Decide,
                false => Others::Shown,
            },
            required: required_by_branch
                .into_iter()
                .chain(project.required_checks.iter().cloned())
                .collect(),
        }
    }

    fn is_optional(&self, name: &str) -> bool {
        self.others == Others::Shown && !self.required.contains(name)
    }
}

/// Check runs and statuses in one list, sorted by name; required ones that nobody has reported are waited for. The same name from two apps
/// counts twice; from one app, but of two workflows or for two events, the one that stands worst counts: a green one hides nothing. Those that decide come first.
pub fn checks(runs: &[CheckRun], statuses: &[CommitStatus], rule: &Rule) -> Vec<Check> {
    let mut found: BTreeMap<(String, String), Check> = BTreeMap::new();
    for run in runs.iter().filter(|run| !is_superseded(run, runs)) {
        let check = Check {
            name: run.name.clone(),
            state: CheckState::of(&run.status, run.conclusion.as_deref()),
            url: run.html_url.clone(),
            optional: rule.is_optional(&run.name),
        };
        let known = found
            .entry((run.name.clone(), run.app.clone().unwrap_or_default()))
            .or_insert_with(|| check.clone());
        if check.state < known.state {
            *known = check;
        }
    }
    for status in statuses {
        let state = match status.state.as_str() {
            "success" => CheckState::Passed,
            "pending" => CheckState::Running,
            _ => CheckState::Failed,
        };
        let check = Check {
            name: status.context.clone(),
            state,
            url: status.target_url.clone(),
            optional: rule.is_optional(&status.context),
        };
        found.insert((status.context.clone(), "status".to_owned()), check);
    }
    for name in &rule.required {
        if !found.keys().any(|(known, _)| known == name) {
            let check = Check {
                name: name.clone(),
                state: CheckState::Waiting,
                url: None,
                optional: false,
            };
            found.insert((name.clone(), String::new()), check);
        }
    }
    let mut checks: Vec<Check> = found.into_values().collect();
    checks.sort_by_key(|check| check.optional);
    checks
}

/// Whether it was run again: in one suite, the newer of two runs of one name stands for both.
fn is_superseded(run: &CheckRun, runs: &[CheckRun]) -> bool {
    run.suite.is_some()
        && runs.iter().any(|other| {
            other.suite == run.suite && other.id > run.id && other.name == run.name && other.app == run.app
        })
}

/// What they add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There are none.
    Nothing,
    /// Some aren't done.
    Waiting,
    /// These failed.
    Failed(Vec<String>),
    /// All passed; whether more will come is a question of time.
    Passed,
}

/// The names of those that failed, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Red {
    /// These keep it from being merged.
    pub decisive: Vec<String>,
    /// These don't.
    pub optional: Vec<String>,
}

/// Which of [`checks`] failed.
pub fn red(checks: &[Check]) -> Red {
    let failed = |optional| {
        let failed = checks
            .iter()
            .filter(move |check| check.state == CheckState::Failed && check.optional == optional);
        let names: BTreeSet<String> = failed.map(|check| check.name.clone()).collect();
        names.into_iter().collect()
    };
    Red {
        decisive: failed(false),
        optional: failed(true),
    }
}

/// The names of those of [`checks`] that decide.
pub fn decisive(checks: &[Check]) -> Vec<String> {
    let decisive = checks.iter().filter(|check| !check.optional);
    decisive.map(|check| check.name.clone()).collect()
}

/// The verdict over [`checks`].
pub fn verdict(checks: &[Check]) -> Verdict {
    let checks = || checks.iter().filter(|check| !check.optional);
    let with = |state| checks().filter(move |check| check.state == state);
    let failed: Vec<String> = with(CheckState::Failed).map(|check| check.name.clone()).collect();
    let unfinished = with(CheckState::Waiting).chain(with(CheckState::Running)).count();
    if !failed.is_empty() {
        Verdict::Failed(failed)
    } else if checks().next().is_none() {
        Verdict::Nothing
    } else if unfinished > 0 {
        Verdict::Waiting
    } else {
        Verdict::Passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const CONFIG: &str = include_str!("../../config/sandbox.toml");

    fn run(name: &str, app: &str, status: &str, conclusion: Option<&str>) -> CheckRun {
        CheckRun {
            id: 1,
            suite: None,
            app: Some(app.to_owned()),
            name: name.to_owned(),
            status: status.to_owned(),
            conclusion: conclusion.map(str::to_owned),
            html_url: None,
        }
    }

    fn judged(runs: &[CheckRun], statuses: &[(&str, &str)], required: &[&str]) -> Verdict {
        let statuses: Vec<CommitStatus> = statuses
            .iter()
            .map(|(context, state)| CommitStatus {
                context: (*context).to_owned(),
                state: (*state).to_owned(),
                target_url: None,
            })
            .collect();
        verdict(&checks(runs, &statuses, &rule(required, &[])))
    }

    fn rule(by_branch: &[&str], by_project: &[&str]) -> Rule {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let mut project = Config::parse(CONFIG, "sandbox.toml").unwrap().projects.remove(0);
        project.required_checks = owned(by_project);
        Rule::of(&project, owned(by_branch))
    }

    #[test]
    fn nothing_is_not_green() {
        assert_eq!(judged(&[], &[], &[]), Verdict::Nothing);
    }

    #[test]
    fn skipped_and_neutral_pass_and_every_other_conclusion_fails() {
        for conclusion in ["success", "neutral", "skipped"] {
            assert_eq!(
                judged(&[run("a", "x", "completed", Some(conclusion))], &[], &[]),
                Verdict::Passed
            );
        }
        for conclusion in [
            "failure",
            "cancelled",
            "timed_out",
            "action_required",
            "stale",
            "a new word",
        ] {
            let failed = Verdict::Failed(vec!["a".to_owned()]);
            assert_eq!(
                judged(&[run("a", "x", "completed", Some(conclusion))], &[], &[]),
                failed
            );
        }
    }

    #[test]
    fn a_required_check_that_nobody_reported_is_waited_for() {
        let green = run("build", "x", "completed", Some("success"));
        assert_eq!(judged(std::slice::from_ref(&green), &[], &["build"]), Verdict::Passed);
        assert_eq!(judged(&[green], &[], &["build", "e2e"]), Verdict::Waiting);
    }

    #[test]
    fn the_same_name_from_two_apps_counts_twice() {
        let runs = [
            run("test", "a", "completed", Some("success")),
            run("test", "b", "completed", Some("failure")),
        ];
        assert_eq!(judged(&runs, &[], &[]), Verdict::Failed(vec!["test".to_owned()]));
    }

    #[test]
    fn named_ones_and_those_of_the_branch_decide_alone_and_the_others_are_shown() {
        let runs = [
            run("a11y", "x", "in_progress", None),
            run("build", "x", "completed", Some("success")),
            run("codecov/patch", "x", "completed", Some("failure")),
        ];
        let judged = |by_branch: &[&str], by_project: &[&str]| {
            let checks = checks(&runs, &[], &rule(by_branch, by_project));
            let shown: Vec<String> = checks.iter().map(|check| check.name.clone()).collect();
            (verdict(&checks), red(&checks), shown)
        };
        let red = |decisive: &[&str], optional: &[&str]| Red {
            decisive: decisive.iter().map(|&name| name.to_owned()).collect(),
            optional: optional.iter().map(|&name| name.to_owned()).collect(),
        };
        let failed = Verdict::Failed(vec!["codecov/patch".to_owned()]);
        let (all, mine) = (["a11y", "build", "codecov/patch"], ["build", "a11y", "codecov/patch"]);
        for (by_branch, by_project, verdict, red, shown) in [
            (&[][..], &[][..], failed.clone(), red(&["codecov/patch"], &[]), &all[..]),
            (&[], &["build"], Verdict::Passed, red(&[], &["codecov/patch"]), &mine),
            (
                &["a11y"],
                &["build"],
                Verdict::Waiting,
                red(&[], &["codecov/patch"]),
                &all,
            ),
            (
                &["codecov/patch"],
                &["build"],
                failed,
                red(&["codecov/patch"], &[]),
                &["build", "codecov/patch", "a11y"],
            ),
            (
                &[],
                &["e2e"],
                Verdict::Waiting,
                red(&[], &["codecov/patch"]),
                &["e2e", "a11y", "build", "codecov/patch"],
            ),
        ] {
            let shown = shown.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(
                judged(by_branch, by_project),
                (verdict, red, shown),
                "{by_branch:?} {by_project:?}"
            );
        }
    }

    #[test]
    fn of_one_name_in_two_suites_the_worse_one_counts_whichever_comes_first() {
        let of = |suite, status, conclusion| CheckRun {
            suite,
            ..run("test", "a", status, conclusion)
        };
        let green = |suite| of(suite, "completed", Some("success"));
        let red = |suite| of(suite, "completed", Some("failure"));
        let running = |suite| of(suite, "in_progress", None);
        let failed = Verdict::Failed(vec!["test".to_owned()]);
        // Whoever doesn't say the suite can't be told to be the same run again.
        for (one, two) in [(Some(1), Some(2)), (Some(1), None), (None, None)] {
            for (runs, expected) in [
                ([green(one), red(two)], failed.clone()),
                ([running(one), red(two)], failed.clone()),
                ([green(one), running(two)], Verdict::Waiting),
                ([green(one), green(two)], Verdict::Passed),
            ] {
                assert_eq!(judged(&runs, &[], &[]), expected, "{runs:?}");
                let [first, second] = runs;
                assert_eq!(judged(&[second, first], &[], &[]), expected, "the other way round");
            }
        }
    }

    #[test]
    fn in_one_suite_a_run_again_stands_for_the_one_before_it() {
        let attempt = |id, status, conclusion| CheckRun {
            id,
            suite: Some(1),
            ..run("test", "a", status, conclusion)
        };
        let red = || attempt(1, "completed", Some("failure"));
        for (again, expected) in [
            (attempt(2, "completed", Some("success")), Verdict::Passed),
            (attempt(2, "queued", None), Verdict::Waiting),
        ] {
            assert_eq!(judged(&[red(), again.clone()], &[], &[]), expected);
            assert_eq!(judged(&[again, red()], &[], &[]), expected, "the other way round");
        }
        let green_before = attempt(0, "completed", Some("success"));
        let failed = Verdict::Failed(vec!["test".to_owned()]);
        assert_eq!(judged(&[red(), green_before], &[], &[]), failed);
    }

    #[test]
    fn statuses_count_as_checks_do() {
        assert_eq!(judged(&[], &[("ci/legacy", "pending")], &[]), Verdict::Waiting);
        assert_eq!(
            judged(&[], &[("ci/legacy", "error")], &[]),
            Verdict::Failed(vec!["ci/legacy".to_owned()])
        );
        assert_eq!(
            judged(&[], &[("ci/legacy", "success")], &["ci/legacy"]),
            Verdict::Passed
        );
    }
}
