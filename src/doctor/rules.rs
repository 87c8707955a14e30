//! What the rules of the base branch and of the deploy branches to come mean for a train. Pure: rules in, findings out.

use serde_json::Value;

use super::{Finding, fail, ok, warn};
use crate::config::{DeployApproval, Project};
use crate::github::MergeMethod;
use crate::github::rest::inspect::Rule;

/// The branch that a deploy pull request goes into.
pub(super) fn of_base(subject: &str, project: &Project, rules: &[Rule]) -> Vec<Finding> {
    let judge = |rule: &Rule| base_rule(subject, project, rule);
    or_ok(subject, rules.iter().flat_map(judge).collect(), rules)
}

/// A branch that Shipmate makes, pushes to, merges pull requests into, and deletes.
pub(super) fn of_deploy(subject: &str, project: &Project, rules: &[Rule]) -> Vec<Finding> {
    let judge = |rule: &Rule| deploy_rule(subject, project, rule);
    or_ok(subject, rules.iter().filter_map(judge).collect(), rules)
}

fn or_ok(subject: &str, findings: Vec<Finding>, rules: &[Rule]) -> Vec<Finding> {
    if !findings.is_empty() {
        return findings;
    }
    vec![ok(
        subject,
        match rules.len() {
            0 => "none".to_owned(),
            count => format!("{count}, none in the way"),
        },
    )]
}

fn base_rule(subject: &str, project: &Project, rule: &Rule) -> Vec<Finding> {
    let fail = |said: &str, mend: &str| vec![fail(subject, said, mend)];
    match rule.kind.as_str() {
        "pull_request" => reviews(subject, project, &rule.parameters),
        "merge_queue" => fail(
            "a merge queue takes every merge",
            "let Shipmate bypass that rule: it merges the deploy pull request itself",
        ),
        "required_linear_history" if project.deploy_merge_method == MergeMethod::Merge => fail(
            "linear history is required, and `deploy_merge_method` is merge",
            "set `deploy_merge_method` to squash or rebase",
        ),
        "required_signatures" => fail(
            "signed commits are required, and the version's commit is not signed",
            "let Shipmate bypass that rule",
        ),
        "update" => fail("updates are restricted", "let Shipmate bypass that rule"),
        "required_deployments" => vec![warn(
            subject,
            "deployments must succeed before a merge",
            "see to it that they run on deploy branches",
        )],
        _ => Vec::new(),
    }
}

fn reviews(subject: &str, project: &Project, parameters: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let method = project.deploy_merge_method;
    if let Some(allowed) = parameters["allowed_merge_methods"].as_array()
        && !allowed.iter().any(|allowed| *allowed == method.to_string())
    {
        findings.push(fail(
            subject,
            &format!("pull requests can't be merged by {method}"),
            "allow it in the rule, or change `deploy_merge_method`",
        ));
    }
    if parameters["dismiss_stale_reviews_on_push"] == true {
        findings.push(warn(
            subject,
            "changing a pull request's base dismisses its approvals here",
            "they are recorded before and shown when the plan is approved; ask again there if you want them back",
        ));
    }
    let wanted = parameters["required_approving_review_count"].as_u64().unwrap_or(0);
    if wanted > 0 && project.deploy_approval == DeployApproval::None {
        findings.push(fail(
            subject,
            &format!("a merge needs {wanted} approvals, and `deploy_approval` says that none is waited for"),
            "set `deploy_approval` to \"required\"",
        ));
    } else if wanted > project.reviewers.len() as u64 {
        findings.push(warn(
            subject,
            &format!(
                "a merge needs {wanted} approvals, and so few are asked: {}",
                project.reviewers.len()
            ),
            "name more in `reviewers`",
        ));
    }
    findings
}

fn deploy_rule(subject: &str, project: &Project, rule: &Rule) -> Option<Finding> {
    let bypass = "exempt deploy branches from the rule, or let Shipmate bypass it";
    let said = match rule.kind.as_str() {
        "creation" => "deploy branches can't be made",
        "update" => "deploy branches can't be pushed to",
        "pull_request" => "pushes must go through a pull request, and the version's commit doesn't",
        "required_status_checks" => "pushes and merges wait for checks that don't run on deploy branches",
        "required_signatures" => "signed commits are required, and the version's commit is not signed",
        "merge_queue" => "a merge queue takes every merge",
        "required_deployments" => "deployments must succeed before a merge",
        "required_linear_history" if project.merge_method == MergeMethod::Merge => {
            return Some(fail(
                subject,
                "linear history is required, and `merge_method` is merge",
                "set `merge_method` to squash or rebase",
            ));
        }
        "deletion" => {
            return Some(warn(
                subject,
                "deploy branches can't be deleted, so undoing leaves them behind",
                bypass,
            ));
        }
        "branch_name_pattern" | "commit_message_pattern" => {
            return Some(warn(
                subject,
                "names or messages must match a pattern",
                "compare it with `branch_prefix`, and with the titles of pull requests",
            ));
        }
        _ => return None,
    };
    Some(fail(subject, said, bypass))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Config;
    use crate::doctor::Verdict;

    fn project(settings: &str) -> Project {
        let text = format!(
            "[[projects]]\nname = \"web\"\nrepo = \"acme/web\"\nchannel = \"C1\"\ndeploy_workflow = \"deploy.yml\"\nversion_files = [{{ path = \"VERSION\", kind = \"plain\" }}]\n{settings}"
        );
        Config::parse(&text, "a.toml").unwrap().projects.remove(0)
    }

    fn rule(kind: &str, parameters: Value) -> Rule {
        Rule {
            kind: kind.to_owned(),
            parameters,
        }
    }

    #[test]
    fn each_rule_of_a_deploy_branch_is_judged() {
        let web = project("merge_method = \"squash\"");
        for (kind, verdict) in [
            ("creation", Verdict::Fail),
            ("update", Verdict::Fail),
            ("deletion", Verdict::Warn),
            ("pull_request", Verdict::Fail),
            ("required_status_checks", Verdict::Fail),
            ("required_signatures", Verdict::Fail),
            ("merge_queue", Verdict::Fail),
            ("required_linear_history", Verdict::Ok),
            ("non_fast_forward", Verdict::Ok),
        ] {
            let findings = of_deploy("rules", &web, &[rule(kind, json!({}))]);
            assert_eq!(findings.len(), 1, "{kind}");
            assert_eq!(findings[0].verdict, verdict, "{kind}");
        }
        let linear = [rule("required_linear_history", json!({}))];
        assert_eq!(of_deploy("rules", &project(""), &linear)[0].verdict, Verdict::Fail);
    }

    #[test]
    fn the_base_may_dismiss_approvals_and_forbid_methods() {
        let parameters = json!({
            "allowed_merge_methods": ["squash"], "dismiss_stale_reviews_on_push": true, "required_approving_review_count": 2,
        });
        let findings = of_base(
            "rules",
            &project("reviewers = [\"dan\"]"),
            &[rule("pull_request", parameters)],
        );
        let shown: Vec<String> = findings.iter().map(Finding::to_string).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        fail rules: pull requests can't be merged by merge — allow it in the rule, or change `deploy_merge_method`
        warn rules: changing a pull request's base dismisses its approvals here — they are recorded before and shown when the plan is approved; ask again there if you want them back
        warn rules: a merge needs 2 approvals, and so few are asked: 1 — name more in `reviewers`
        ");
        for kind in [
            "merge_queue",
            "required_linear_history",
            "required_signatures",
            "update",
        ] {
            let findings = of_base("rules", &project(""), &[rule(kind, json!({}))]);
            assert_eq!(findings[0].verdict, Verdict::Fail, "{kind}");
        }
        let mild = [rule("non_fast_forward", json!({})), rule("deletion", json!({}))];
        assert_eq!(of_base("rules", &project(""), &mild)[0].said, "2, none in the way");
    }
}
