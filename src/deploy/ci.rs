//! What the checks of a commit add up to. Pure: "no checks" isn't green, and "all that are there are green" isn't all.

use std::collections::BTreeMap;

use super::progress::{Check, CheckState};
use crate::github::{CheckRun, CommitStatus};

/// Check runs and statuses in one list, sorted by name; required ones that nobody has reported are waited for. The same name from two apps
/// counts twice; from one app, but of two workflows or for two events, the one that stands worst counts: a green one hides nothing.
pub fn checks(runs: &[CheckRun], statuses: &[CommitStatus], required: &[String]) -> Vec<Check> {
    let mut found: BTreeMap<(String, String), Check> = BTreeMap::new();
    for run in runs.iter().filter(|run| !is_superseded(run, runs)) {
        let check = Check {
            name: run.name.clone(),
            state: CheckState::of(&run.status, run.conclusion.as_deref()),
            url: run.html_url.clone(),
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
        };
        found.insert((status.context.clone(), "status".to_owned()), check);
    }
    for name in required {
        if !found.keys().any(|(known, _)| known == name) {
            let check = Check {
                name: name.clone(),
                state: CheckState::Waiting,
                url: None,
            };
            found.insert((name.clone(), String::new()), check);
        }
    }
    found.into_values().collect()
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

/// The verdict over [`checks`].
pub fn verdict(checks: &[Check]) -> Verdict {
    let with = |state| checks.iter().filter(move |check| check.state == state);
    let failed: Vec<String> = with(CheckState::Failed).map(|check| check.name.clone()).collect();
    let unfinished = with(CheckState::Waiting).chain(with(CheckState::Running)).count();
    if !failed.is_empty() {
        Verdict::Failed(failed)
    } else if checks.is_empty() {
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
        let required: Vec<String> = required.iter().map(|name| (*name).to_owned()).collect();
        verdict(&checks(runs, &statuses, &required))
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
