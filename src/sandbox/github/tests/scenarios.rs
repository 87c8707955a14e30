//! The names.

use super::*;

#[test]
fn every_name_is_its_own_and_reads_back() {
    let mut names: Vec<&str> = SCENARIOS.iter().map(|(_, name, _)| *name).collect();
    for (scenario, name, shows) in SCENARIOS {
        assert_eq!(name.parse::<Scenario>().unwrap(), *scenario);
        assert_eq!(scenario.to_string(), *name);
        assert!(!shows.is_empty() && !shows.contains('\n'));
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SCENARIOS.len());
}

#[test]
fn several_are_combined_with_commas() {
    let day: Scenarios = "mergeable-null, protected,merge-queue".parse().unwrap();
    assert!(day.has(Scenario::MergeableNull) && !day.has(Scenario::Happy));
    let knobs = day.knobs();
    assert_eq!(knobs.null_reads, 3);
    let staging = &knobs.rules["staging"];
    assert!(staging.merge_queue && staging.approvals == 1, "they add up");
    let error = "happy,sunny".parse::<Scenarios>().unwrap_err();
    assert!(
        error.starts_with("there is no scenario `sunny`; there are happy, conflict"),
        "{error}"
    );
}
