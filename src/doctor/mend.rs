//! What to do about an error that another layer tells: that layer knows what happened, only here is known which setting and which secret
//! stand behind it.

use super::{Finding, fail};
use crate::config::GitHubSecret;
use crate::github::{self, ErrorKind};
use crate::slack;

/// What a look at GitHub rests on, besides the address.
#[derive(Clone, Copy)]
pub(super) struct Needs<'a> {
    /// How Shipmate proves itself there.
    pub(super) secret: &'a GitHubSecret,
    /// The repository permission, as GitHub's pages call it.
    pub(super) permission: &'static str,
    /// The setting that names what was looked for.
    pub(super) setting: &'static str,
}

/// A look at GitHub that failed.
pub(super) fn github(subject: &str, needs: Needs<'_>, error: &github::Error) -> Finding {
    let Needs {
        secret,
        permission,
        setting,
    } = needs;
    let said = match error.kind {
        // The message is the mend.
        ErrorKind::Moved(_) => format!("{} was redirected", error.request),
        _ => format!("{} failed: {}", error.request, error.message),
    };
    let mend = match (&error.kind, secret) {
        (ErrorKind::Transient, _) if error.status.is_some() => {
            "try again in a minute; https://www.githubstatus.com says whether GitHub has trouble".to_owned()
        }
        (ErrorKind::Transient, _) => {
            "check `api_url` in [github], the network, and any proxy or firewall between".to_owned()
        }
        (ErrorKind::Malformed | ErrorKind::Other, _) => {
            "check `api_url` in [github]: what answers there doesn't speak as GitHub's API does; a proxy may stand between"
                .to_owned()
        }
        (ErrorKind::RateLimited(wait), _) => format!(
            "wait {} s, or use a GitHub App, whose limit is its own",
            wait.as_secs().max(1)
        ),
        (ErrorKind::Unauthorized, GitHubSecret::Token(_)) => {
            "make a new token at https://github.com/settings/tokens and put it into GITHUB_TOKEN".to_owned()
        }
        (ErrorKind::Unauthorized, GitHubSecret::AppPrivateKey(_)) => {
            "compare `app_id` with the GitHub App's settings, make a new private key there, and put it into GITHUB_APP_PRIVATE_KEY"
                .to_owned()
        }
        (ErrorKind::Forbidden, GitHubSecret::Token(_)) => format!(
            "give GITHUB_TOKEN the permission {permission} (a classic token: the scopes repo and workflow) at https://github.com/settings/tokens"
        ),
        (ErrorKind::Forbidden, GitHubSecret::AppPrivateKey(_)) => format!(
            "give the GitHub App the permission {permission} in its settings, and accept it where the App is installed"
        ),
        (ErrorKind::NotFound, GitHubSecret::Token(_)) => {
            format!("check {setting}, and that GITHUB_TOKEN may see that repository")
        }
        (ErrorKind::NotFound, GitHubSecret::AppPrivateKey(_)) => {
            format!("check {setting}, and that the GitHub App is installed there (`installation_id`)")
        }
        (ErrorKind::Moved(_), _) => error.message.clone(),
        (ErrorKind::Conflict | ErrorKind::Invalid, _) => format!("check {setting}: GitHub can't do this with it"),
    };
    fail(subject, &said, &mend)
}

/// A look at Slack that failed; `secret` names the token that was used, `page` where Slack shows it, `setting` what was looked for.
pub(super) fn slack(subject: &str, (secret, page): (&str, &str), setting: &str, error: &slack::Error) -> Finding {
    let (said, mend) = match &error.kind {
        slack::ErrorKind::Transient => (
            error.message.clone(),
            "check `api_url` in [slack], the network, and any proxy or firewall between".to_owned(),
        ),
        slack::ErrorKind::RateLimited(wait) => (
            error.message.clone(),
            format!("run this again in {} s", wait.as_secs().max(1)),
        ),
        slack::ErrorKind::Api(code) => match (code.as_str(), slack::client::mend(code)) {
            ("invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired", _) => (
                format!("{code}: the token is not valid (any more)"),
                format!("copy {secret} anew from https://api.slack.com/apps, {page}"),
            ),
            ("not_allowed_token_type", _) => (
                format!("{code}: this is another kind of token"),
                format!("copy {secret} from https://api.slack.com/apps, {page}"),
            ),
            (_, Some(mend)) => (code.clone(), mend.to_owned()),
            (_, None) => (
                error.message.clone(),
                format!(
                    "check {setting}; https://docs.slack.dev/reference/methods/{} explains the code",
                    error.method
                ),
            ),
        },
    };
    fail(subject, &format!("{} failed: {said}", error.method), &mend)
}

/// A problem whose sentence ends with its mend, after a semicolon; `otherwise` for one that says none.
pub(super) fn told(subject: &str, problem: &str, otherwise: &str) -> Finding {
    let (said, mend) = problem.split_once("; ").unwrap_or((problem, otherwise));
    fail(subject, said, mend)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn github_says(kind: ErrorKind, status: Option<u16>) -> github::Error {
        github::Error {
            kind,
            request: "GET /repos/acme/web".to_owned(),
            status,
            message: "as GitHub says it".to_owned(),
            documentation_url: None,
            request_id: None,
        }
    }

    #[test]
    fn each_kind_of_error_from_github_has_its_mend() {
        let kinds = [
            (ErrorKind::Transient, None),
            (ErrorKind::Transient, Some(502)),
            (ErrorKind::RateLimited(Duration::from_secs(60)), Some(429)),
            (ErrorKind::Unauthorized, Some(401)),
            (ErrorKind::Forbidden, Some(403)),
            (ErrorKind::NotFound, Some(404)),
            (ErrorKind::Conflict, Some(409)),
            (ErrorKind::Invalid, Some(422)),
            (ErrorKind::Moved("https://github.com/new".to_owned()), Some(301)),
            (ErrorKind::Malformed, None),
            (ErrorKind::Other, Some(418)),
        ];
        let mut shown = Vec::new();
        for secret in [GitHubSecret::Token("x".into()), GitHubSecret::AppPrivateKey("x".into())] {
            for (kind, status) in &kinds {
                let needs = Needs {
                    secret: &secret,
                    permission: "contents: write",
                    setting: "`repo`",
                };
                let finding = github("GitHub", needs, &github_says(kind.clone(), *status));
                let line = format!("{kind:?}: {}", finding.mend.unwrap());
                if !shown.contains(&line) {
                    shown.push(line);
                }
            }
        }
        insta::assert_snapshot!(shown.join("\n"), @r#"
        Transient: check `api_url` in [github], the network, and any proxy or firewall between
        Transient: try again in a minute; https://www.githubstatus.com says whether GitHub has trouble
        RateLimited(60s): wait 60 s, or use a GitHub App, whose limit is its own
        Unauthorized: make a new token at https://github.com/settings/tokens and put it into GITHUB_TOKEN
        Forbidden: give GITHUB_TOKEN the permission contents: write (a classic token: the scopes repo and workflow) at https://github.com/settings/tokens
        NotFound: check `repo`, and that GITHUB_TOKEN may see that repository
        Conflict: check `repo`: GitHub can't do this with it
        Invalid: check `repo`: GitHub can't do this with it
        Moved("https://github.com/new"): as GitHub says it
        Malformed: check `api_url` in [github]: what answers there doesn't speak as GitHub's API does; a proxy may stand between
        Other: check `api_url` in [github]: what answers there doesn't speak as GitHub's API does; a proxy may stand between
        Unauthorized: compare `app_id` with the GitHub App's settings, make a new private key there, and put it into GITHUB_APP_PRIVATE_KEY
        Forbidden: give the GitHub App the permission contents: write in its settings, and accept it where the App is installed
        NotFound: check `repo`, and that the GitHub App is installed there (`installation_id`)
        "#);
    }

    #[test]
    fn each_kind_of_error_from_slack_has_its_mend() {
        let kinds = [
            slack::ErrorKind::Transient,
            slack::ErrorKind::RateLimited(Duration::from_secs(30)),
            slack::ErrorKind::Api("token_revoked".to_owned()),
            slack::ErrorKind::Api("not_allowed_token_type".to_owned()),
            slack::ErrorKind::Api("missing_scope".to_owned()),
            slack::ErrorKind::Api("no_such_subteam".to_owned()),
        ];
        let shown: Vec<String> = kinds
            .into_iter()
            .map(|kind| slack::Error {
                method: "conversations.info".to_owned(),
                message: "as Slack says it".to_owned(),
                kind,
            })
            .map(|error| slack("Slack", ("SLACK_BOT_TOKEN", "OAuth & Permissions"), "`channel`", &error).to_string())
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        fail Slack: conversations.info failed: as Slack says it — check `api_url` in [slack], the network, and any proxy or firewall between
        fail Slack: conversations.info failed: as Slack says it — run this again in 30 s
        fail Slack: conversations.info failed: token_revoked: the token is not valid (any more) — copy SLACK_BOT_TOKEN anew from https://api.slack.com/apps, OAuth & Permissions
        fail Slack: conversations.info failed: not_allowed_token_type: this is another kind of token — copy SLACK_BOT_TOKEN from https://api.slack.com/apps, OAuth & Permissions
        fail Slack: conversations.info failed: missing_scope — reinstall the app from slack-manifest.yaml, which has every scope
        fail Slack: conversations.info failed: as Slack says it — check `channel`; https://docs.slack.dev/reference/methods/conversations.info explains the code
        ");
    }

    #[test]
    fn a_problem_is_parted_from_its_mend() {
        let parted = told("secrets", "A is not set; make one; or do without", "read the manual");
        assert_eq!(
            parted.to_string(),
            "fail secrets: A is not set — make one; or do without"
        );
        let bare = told("secrets", "A is strange", "read the manual");
        assert_eq!(bare.to_string(), "fail secrets: A is strange — read the manual");
    }
}
