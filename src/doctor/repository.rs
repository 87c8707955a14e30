//! GitHub: the token, the repository, its branches, files, workflow and people.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use futures_util::future::join_all;
use secrecy::ExposeSecret as _;

use super::{Finding, Look, fail, look, mend, ok, rules, warn};
use crate::config::{CloseIssues, DeployApproval, GitHubSecret, Project, VersionFile};
use crate::deploy::version::read_version;
use crate::github::rest::RestGitHub;
use crate::github::rest::inspect::Allowance;
use crate::github::{Error, GitHub as _, MergeMethod, Permission, Release, Repository};

/// Fewer requests than this an hour may not last for a train.
const FEW: u64 = 500;

/// One project's repository, and what its findings are called.
#[derive(Clone)]
struct Subject<'a> {
    project: &'a Project,
    github: Arc<RestGitHub>,
    secret: &'a GitHubSecret,
}

impl Subject<'_> {
    fn named(&self, what: &str) -> String {
        format!("{}: {what}", self.project.name)
    }

    /// A look that failed, which needed a permission and rested on a setting.
    fn failed(&self, subject: &str, permission: &'static str, setting: &'static str, error: &Error) -> Finding {
        let needs = mend::Needs {
            secret: self.secret,
            permission,
            setting,
        };
        mend::github(subject, needs, error)
    }
}

pub(super) fn looks<'a>(project: &'a Project, github: Arc<RestGitHub>, secret: &'a GitHubSecret) -> Vec<Look<'a>> {
    let of = Subject {
        project,
        github,
        secret,
    };
    let look = |what: &str, looking| look(&of.named(what), looking);
    let mut looks: Vec<Look<'a>> = vec![
        look("GitHub token", boxed(token(of.clone()))),
        look("repository", boxed(repository(of.clone()))),
        look("base branch", boxed(base_branch(of.clone()))),
        look("rules", boxed(branch_rules(of.clone()))),
        look("version files", boxed(version_files(of.clone()))),
        look("workflow", boxed(workflow(of.clone()))),
        look("releases", boxed(releases(of.clone()))),
        look("reviewers", boxed(reviewers(of.clone()))),
    ];
    looks.extend(
        project
            .blocked_labels
            .iter()
            .map(|name| look("labels", boxed(label(of.clone(), name)))),
    );
    looks
}

fn boxed<'a>(looking: impl Future<Output = Vec<Finding>> + Send + 'a) -> Look<'a> {
    Box::pin(looking)
}

async fn token(of: Subject<'_>) -> Vec<Finding> {
    let subject = of.named("GitHub token");
    let allowance = match of.github.allowance().await {
        Ok(allowance) => allowance,
        Err(error) => {
            return vec![of.failed(
                &subject,
                "metadata: read",
                "`api_url` in [github] and the project's `repo`",
                &error,
            )];
        }
    };
    let kind = match of.secret {
        GitHubSecret::AppPrivateKey(_) => "a GitHub App's",
        GitHubSecret::Token(token) if token.expose_secret().starts_with("github_pat_") => "fine-grained",
        GitHubSecret::Token(_) => "personal",
    };
    let mut findings = vec![judge_allowance(&subject, kind, &allowance)];
    findings.extend(missing_scopes(&subject, &allowance));
    if let Some(permissions) = &allowance.permissions {
        findings.extend(missing_permissions(&subject, of.project.close_issues, permissions));
    }
    findings
}

fn judge_allowance(subject: &str, kind: &str, allowance: &Allowance) -> Finding {
    let said = format!(
        "{kind}, {} of {} requests left this hour",
        allowance.remaining, allowance.limit
    );
    match allowance.remaining < FEW {
        true => warn(
            subject,
            &said,
            "wait for the next hour, or use a GitHub App, whose limit is its own",
        ),
        false => ok(subject, said),
    }
}

/// Scopes are a classic token's; other kinds have none, and their answers say none.
fn missing_scopes(subject: &str, allowance: &Allowance) -> Option<Finding> {
    let scopes = allowance.scopes.as_ref().filter(|scopes| !scopes.is_empty())?;
    let missing: Vec<&str> = ["repo", "workflow"]
        .into_iter()
        .filter(|needed| scopes.iter().all(|scope| scope != needed))
        .collect();
    (!missing.is_empty()).then(|| {
        fail(
            subject,
            &format!("it lacks the scope {}", missing.join(" and ")),
            "add it at https://github.com/settings/tokens",
        )
    })
}

/// What a GitHub App's installation lacks. An installation whose permissions GitHub didn't tell is not judged.
fn missing_permissions(
    subject: &str,
    close_issues: CloseIssues,
    granted: &BTreeMap<String, String>,
) -> Option<Finding> {
    const LEVELS: [&str; 3] = ["read", "write", "admin"];
    let level = |name: &str| LEVELS.iter().position(|level| *level == name);
    let issues = match close_issues {
        CloseIssues::Offer => "write",
        CloseIssues::Never => "read",
    };
    let needed = [
        ("contents", "write"),
        ("pull_requests", "write"),
        ("workflows", "write"),
        ("issues", issues),
        ("checks", "read"),
        ("statuses", "read"),
        ("actions", "read"),
    ];
    let missing: Vec<String> = needed
        .into_iter()
        .filter(|(name, least)| granted.get(*name).and_then(|granted| level(granted)) < level(least))
        .map(|(name, least)| format!("{name}: {least}"))
        .collect();
    let closes = missing.iter().any(|missing| missing == "issues: write");
    let mend = format!(
        "add it in the GitHub App's settings, and accept it where the App is installed{}",
        if closes { "; or set `close_issues` to never" } else { "" }
    );
    (!missing.is_empty() && !granted.is_empty()).then(|| {
        fail(
            subject,
            &format!("the installation lacks {}", missing.join(", ")),
            &mend,
        )
    })
}

async fn repository(of: Subject<'_>) -> Vec<Finding> {
    match of.github.repository().await {
        Ok(repository) => judge_repository(&of, &repository),
        Err(error) => vec![of.failed(
            &of.named("repository"),
            "metadata: read",
            "the project's `repo`",
            &error,
        )],
    }
}

fn judge_repository(of: &Subject<'_>, repository: &Repository) -> Vec<Finding> {
    let (project, subject) = (of.project, of.named("repository"));
    let mut findings = vec![match repository.can_push {
        Some(false) => fail(
            &subject,
            &format!("the token may not push to {}", repository.full_name),
            "give it write access to contents",
        ),
        _ => ok(
            &subject,
            format!("{} is reachable and may be pushed to", repository.full_name),
        ),
    }];
    for (setting, method) in [
        ("merge_method", project.merge_method),
        ("deploy_merge_method", project.deploy_merge_method),
    ] {
        let allowed = match method {
            MergeMethod::Merge => repository.allow_merge_commit,
            MergeMethod::Squash => repository.allow_squash_merge,
            MergeMethod::Rebase => repository.allow_rebase_merge,
        };
        if allowed == Some(false) {
            findings.push(fail(
                &subject,
                &format!("it doesn't allow to merge by {method}, which `{setting}` wants"),
                &format!("allow it in the repository's settings, or change `{setting}`"),
            ));
        }
    }
    if repository.delete_branch_on_merge == Some(true) {
        findings.push(warn(
            &subject,
            "it deletes branches when their pull request is merged, and GitHub then moves stacked pull requests by itself",
            "switch that off, or don't ship stacked pull requests",
        ));
    }
    if repository.default_branch != project.base_branch {
        findings.push(ok(
            &subject,
            format!(
                "closing keywords act on {} only, so issues stay open after the release (see `close_issues`)",
                repository.default_branch
            ),
        ));
    }
    findings
}

async fn base_branch(of: Subject<'_>) -> Vec<Finding> {
    let (base, subject) = (&of.project.base_branch, of.named("base branch"));
    let tip = match of.github.branch_tip(base).await {
        Ok(Some(tip)) => tip,
        Ok(None) => {
            return vec![fail(
                &subject,
                &format!("there is no branch {base}"),
                "make it, or change `base_branch`",
            )];
        }
        Err(error) => return vec![of.failed(&subject, "contents: read", "`base_branch`", &error)],
    };
    let mut findings = vec![ok(&subject, format!("{base} is at {}", tip.short()))];
    let checks = of.named("checks");
    findings.push(match of.github.sees_check_runs(&tip).await {
        Ok(true) => ok(&checks, "the token sees check runs"),
        Ok(false) => warn(
            &checks,
            "the token can't see check runs, so only Actions runs and statuses count",
            "use a GitHub App or a classic token if other checks matter",
        ),
        Err(error) => of.failed(&checks, "checks: read", "`base_branch`", &error),
    });
    findings.push(match of.github.required_checks(base).await {
        Ok(names) if names.is_empty() => ok(&checks, format!("{base} requires none by name")),
        Ok(names) => ok(&checks, format!("{base} requires {}", names.join(", "))),
        Err(error) => of.failed(&checks, "contents: read", "`base_branch`", &error),
    });
    findings
}

async fn branch_rules(of: Subject<'_>) -> Vec<Finding> {
    let project = of.project;
    let today = Utc::now().with_timezone(&project.time_zone).format("%Y%m%d");
    let deploy = format!("{}{today}", project.branch_prefix);
    let (base_subject, deploy_subject) = (
        of.named(&format!("rules of {}", project.base_branch)),
        of.named(&format!("rules of {deploy}")),
    );
    let (base, deploy) = tokio::join!(of.github.rules(&project.base_branch), of.github.rules(&deploy));
    let mut findings = match base {
        Ok(found) => rules::of_base(&base_subject, project, &found),
        Err(error) => vec![of.failed(&base_subject, "metadata: read", "`base_branch`", &error)],
    };
    findings.extend(match deploy {
        Ok(found) => rules::of_deploy(&deploy_subject, project, &found),
        Err(error) => vec![of.failed(&deploy_subject, "metadata: read", "`base_branch`", &error)],
    });
    findings
}

async fn version_files(of: Subject<'_>) -> Vec<Finding> {
    let project = of.project;
    let read = |file| read_file(&of, file);
    let read = join_all(project.version_files.iter().map(read)).await;
    judge_versions(&of.named("version files"), read)
}

async fn read_file(of: &Subject<'_>, file: &VersionFile) -> Result<(String, String), Finding> {
    let (project, subject) = (of.project, of.named("version files"));
    match of.github.file(&project.base_branch, &file.path).await {
        Ok(Some(bytes)) => read_version(file, &bytes)
            .map(|version| (file.path.clone(), version))
            .map_err(|error| mend::told(&subject, &error, "mend the file, or change `version_files`")),
        Ok(None) => Err(fail(
            &subject,
            &format!("{} is not on {}", file.path, project.base_branch),
            "add it, or change `version_files`",
        )),
        Err(error) => Err(of.failed(&subject, "contents: read", "`version_files`", &error)),
    }
}

fn judge_versions(subject: &str, read: Vec<Result<(String, String), Finding>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for result in read {
        match result {
            Ok((path, version)) => versions.entry(version).or_default().push(path),
            Err(finding) => findings.push(finding),
        }
    }
    match versions.len() {
        0 => {}
        1 => findings.extend(
            versions
                .into_iter()
                .map(|(version, paths)| ok(subject, format!("{} say {version}", paths.join(", ")))),
        ),
        _ => {
            let said: Vec<String> = versions
                .iter()
                .map(|(version, paths)| format!("{} {version}", paths.join(", ")))
                .collect();
            findings.push(fail(
                subject,
                &format!("they disagree: {}", said.join("; ")),
                "make them say the same version",
            ));
        }
    }
    findings
}

async fn workflow(of: Subject<'_>) -> Vec<Finding> {
    let (file, subject) = (&of.project.deploy_workflow, of.named("workflow"));
    vec![match of.github.workflow(file).await {
        Ok(Some(workflow)) if workflow.state == "active" => ok(&subject, format!("{file} is active")),
        Ok(Some(workflow)) => fail(
            &subject,
            &format!("{file} is {}", workflow.state),
            "enable it on the repository's Actions page",
        ),
        Ok(None) => fail(
            &subject,
            &format!("GitHub knows no workflow {file}"),
            "put it into .github/workflows on the default branch, or change `deploy_workflow`",
        ),
        Err(error) => of.failed(&subject, "actions: read", "`deploy_workflow`", &error),
    }]
}

async fn releases(of: Subject<'_>) -> Vec<Finding> {
    let subject = of.named("releases");
    vec![match of.github.releases().await {
        Ok(releases) => judge_tags(&subject, &of.project.release_tag, &releases),
        Err(error) => of.failed(&subject, "contents: read", "the project's `repo`", &error),
    }]
}

/// Whether the newest release's tag has the configured form.
fn judge_tags(subject: &str, pattern: &str, releases: &[Release]) -> Finding {
    let Some(newest) = releases.iter().find(|release| !release.draft) else {
        return ok(subject, "there is none yet");
    };
    let (before, after) = pattern.split_once("{version}").unwrap_or((pattern, ""));
    let version = newest
        .tag_name
        .strip_prefix(before)
        .and_then(|rest| rest.strip_suffix(after));
    match version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit())) {
        true => ok(subject, format!("{} is the newest", newest.tag_name)),
        false => warn(
            subject,
            &format!("the newest, {}, is not tagged like {pattern}", newest.tag_name),
            "change `release_tag`, or what the workflow tags",
        ),
    }
}

async fn reviewers(of: Subject<'_>) -> Vec<Finding> {
    let subject = of.named("reviewers");
    let logins = &of.project.reviewers;
    if logins.is_empty() {
        return vec![nobody_asked(&subject, of.project.deploy_approval)];
    }
    let permissions = join_all(logins.iter().map(|login| of.github.permission(login)));
    let (own, permissions) = tokio::join!(of.github.login(), permissions);
    let judge = |(login, permission): (&String, _)| match permission {
        Ok(Permission::None) => fail(
            &subject,
            &format!("{login} is no collaborator"),
            "add them, or change `reviewers`",
        ),
        Ok(Permission::Read) => warn(
            &subject,
            &format!("{login} can only read, so their approval doesn't count"),
            "give them write access, or change `reviewers`",
        ),
        Ok(Permission::Write | Permission::Admin) => match &own {
            Ok(Some(own)) if own.eq_ignore_ascii_case(login) => own_reviewer(&subject, of.project, login),
            Ok(_) => ok(&subject, format!("{login} may approve")),
            Err(error) => of.failed(&subject, "metadata: read", "`api_url` in [github]", error),
        },
        Err(error) => of.failed(&subject, "metadata: read", "`reviewers`", &error),
    };
    logins.iter().zip(permissions).map(judge).collect()
}

/// GitHub lets nobody approve of a pull request that they opened themselves.
fn own_reviewer(subject: &str, project: &Project, login: &str) -> Finding {
    let what = format!("the token is {login}'s, who opens the deploy pull request and so can't approve of it");
    match project.reviewers.len() {
        1 if project.deploy_approval == DeployApproval::Required => fail(
            subject,
            &what,
            "name somebody else, use a token that is nobody's (a GitHub App), or set `deploy_approval` to \"none\"",
        ),
        _ => warn(
            subject,
            &what,
            "name somebody else, or use a token that is nobody's (a GitHub App)",
        ),
    }
}

fn nobody_asked(subject: &str, approval: DeployApproval) -> Finding {
    ok(
        subject,
        match approval {
            DeployApproval::Required => "nobody is asked; an approval by anybody with write access is waited for",
            DeployApproval::None => "nobody is asked, and no approval is waited for",
        },
    )
}

async fn label(of: Subject<'_>, name: &str) -> Vec<Finding> {
    let subject = of.named("labels");
    vec![match of.github.has_label(name).await {
        Ok(true) => ok(&subject, format!("{name} exists")),
        Ok(false) => warn(
            &subject,
            &format!("there is no label {name}, so it blocks nothing"),
            "make it, or change `blocked_labels`",
        ),
        Err(error) => of.failed(&subject, "issues: read", "`blocked_labels`", &error),
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_scarce_token_and_a_narrow_one_are_told() {
        let allowance = |remaining, scopes: &[&str]| Allowance {
            remaining,
            limit: 5000,
            scopes: Some(scopes.iter().map(|&scope| scope.to_owned()).collect()),
            permissions: None,
        };
        assert_eq!(
            judge_allowance("token", "personal", &allowance(4999, &[])).verdict,
            Verdict::Ok
        );
        assert_eq!(
            judge_allowance("token", "personal", &allowance(3, &[])).verdict,
            Verdict::Warn
        );
        assert_eq!(missing_scopes("token", &allowance(1, &["repo", "workflow"])), None);
        assert_eq!(missing_scopes("token", &allowance(1, &[])), None);
        let narrow = missing_scopes("token", &allowance(1, &["repo"])).unwrap();
        assert!(narrow.said.contains("lacks the scope workflow"), "{narrow}");
    }

    #[test]
    fn an_installation_may_lack_what_the_settings_need() {
        let granted = |issues: &str| -> BTreeMap<String, String> {
            let always = [
                ("contents", "write"),
                ("pull_requests", "write"),
                ("workflows", "write"),
                ("checks", "read"),
                ("statuses", "write"),
                ("actions", "read"),
            ];
            let all = always.into_iter().chain([("issues", issues)]);
            all.map(|(name, level)| (name.to_owned(), level.to_owned())).collect()
        };
        let lacks = |settings, granted| missing_permissions("token", settings, &granted);
        assert_eq!(lacks(CloseIssues::Offer, granted("write")), None);
        assert_eq!(lacks(CloseIssues::Never, granted("read")), None);
        assert_eq!(lacks(CloseIssues::Offer, BTreeMap::new()), None, "nothing was told");
        let blunt = lacks(CloseIssues::Offer, granted("read")).unwrap().to_string();
        assert!(
            blunt.contains("lacks issues: write — ") && blunt.contains("`close_issues` to never"),
            "{blunt}"
        );
        let mut without = granted("write");
        without.remove("checks");
        without.insert("contents".to_owned(), "read".to_owned());
        let blunt = lacks(CloseIssues::Offer, without).unwrap().to_string();
        assert!(
            blunt.contains("lacks contents: write, checks: read — ") && !blunt.contains("never"),
            "{blunt}"
        );
    }

    #[test]
    fn versions_must_agree() {
        let said = |path: &str, version: &str| Ok((path.to_owned(), version.to_owned()));
        let same = judge_versions("files", vec![said("a", "1.2.3"), said("b", "1.2.3")]);
        assert_eq!(same, [ok("files", "a, b say 1.2.3")]);
        let differing = judge_versions("files", vec![said("a", "1.2.3"), said("b", "1.2.4")]);
        assert_eq!(differing[0].verdict, Verdict::Fail);
        assert!(differing[0].said.contains("a 1.2.3; b 1.2.4"), "{}", differing[0]);
    }
}
