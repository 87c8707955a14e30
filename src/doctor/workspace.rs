//! Slack: tokens, scopes, channels, user groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use secrecy::SecretString;

use super::{Finding, Look, fail, look, mend, ok, warn};
use crate::config::{Config, Permissions, Project, Secrets, SlackSecret};
use crate::slack::client::{METHODS, SlackClientApi};
use crate::slack::{Slack as _, inspect};

/// The secret, and the page that shows it.
const BOT_TOKEN: (&str, &str) = ("SLACK_BOT_TOKEN", "OAuth & Permissions");
const APP_TOKEN: (&str, &str) = (
    "SLACK_APP_TOKEN",
    "Basic Information, App-Level Tokens (scope connections:write)",
);

pub(super) fn looks<'a>(config: &'a Config, secrets: &'a Secrets, projects: &[&'a Project]) -> Vec<Look<'a>> {
    let (url, token) = (config.slack.api_url.as_str(), &secrets.slack_bot_token);
    let mut looks = vec![look("Slack", bot(url, token))];
    if let SlackSecret::AppToken(app_token) = &secrets.slack {
        looks.push(look("Slack socket", async move { vec![socket(url, app_token).await] }));
    }
    let client = match SlackClientApi::new(url, token.clone()) {
        Ok(client) => Arc::new(client),
        Err(error) => {
            let unreadable = fail(
                "certificates",
                &format!("the system's root certificates can't be read ({error})"),
                "install ca-certificates",
            );
            looks.push(look("certificates", async move { vec![unreadable] }));
            return looks;
        }
    };
    for &project in projects {
        let subject = format!("{}: channel", project.name);
        looks.push(look(&subject.clone(), channel(client.clone(), project, subject)));
        for group in groups(&project.permissions) {
            let subject = format!("{}: user group {group}", project.name);
            looks.push(look(&subject.clone(), members(client.clone(), group, subject)));
        }
    }
    looks
}

async fn bot(url: &str, token: &SecretString) -> Vec<Finding> {
    let granted = match inspect::granted(url, token).await {
        Ok(granted) => granted,
        Err(error) => return vec![mend::slack("Slack", BOT_TOKEN, "`api_url` in [slack]", &error)],
    };
    let who = ok(
        "Slack",
        format!("{} in {}", granted.identity.user_id, granted.identity.team),
    );
    vec![who, scopes(granted.scopes.as_deref())]
}

fn scopes(granted: Option<&[String]>) -> Finding {
    const SUBJECT: &str = "Slack scopes";
    const MEND: &str = "reinstall the app from slack-manifest.yaml, which has every scope";
    let Some(granted) = granted else {
        return warn(
            SUBJECT,
            "Slack didn't say which are granted",
            "compare them with slack-manifest.yaml",
        );
    };
    let called = METHODS.iter().flat_map(|(_, scopes)| scopes.iter().copied());
    let needed: BTreeSet<&str> = called.chain(["commands"]).collect();
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|scope| granted.iter().all(|granted| granted != scope))
        .collect();
    match missing.is_empty() {
        true => ok(SUBJECT, "all are granted"),
        false => fail(SUBJECT, &format!("{} not granted", missing.join(", ")), MEND),
    }
}

async fn socket(url: &str, token: &SecretString) -> Finding {
    match inspect::opens_socket(url, token).await {
        Ok(()) => ok("Slack socket", "the app token opens one"),
        Err(error) => mend::slack("Slack socket", APP_TOKEN, "`mode` in [slack]", &error),
    }
}

async fn channel(client: Arc<SlackClientApi>, project: &Project, subject: String) -> Vec<Finding> {
    vec![match client.is_member(&project.channel).await {
        Ok(true) => ok(&subject, format!("{} has the app in it", project.channel)),
        Ok(false) => fail(
            &subject,
            &format!("the app is not in {}", project.channel),
            "type /invite @Shipmate there",
        ),
        Err(error) => mend::slack(&subject, BOT_TOKEN, "the project's `channel`", &error),
    }]
}

fn groups(permissions: &Permissions) -> BTreeSet<&str> {
    let lists = [
        &permissions.start,
        &permissions.approve,
        &permissions.abort,
        &permissions.r#override,
    ];
    let holders = lists.into_iter().flatten().map(String::as_str);
    holders.filter(|holder| holder.starts_with('S')).collect()
}

async fn members(client: Arc<SlackClientApi>, group: &str, subject: String) -> Vec<Finding> {
    vec![match client.group_members(group).await {
        Ok(members) if members.is_empty() => warn(
            &subject,
            "nobody is in it",
            "add people to the group, or name others in [projects.permissions]",
        ),
        Ok(members) => ok(&subject, people(members.len())),
        Err(error) => mend::slack(&subject, BOT_TOKEN, "[projects.permissions]", &error),
    }]
}

fn people(count: usize) -> String {
    match count {
        1 => "1 person".to_owned(),
        _ => format!("{count} people"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn missing_scopes_are_named() {
        let some = ["chat:write", "commands"].map(str::to_owned);
        let finding = scopes(Some(&some));
        assert_eq!(finding.verdict, Verdict::Fail);
        assert!(
            finding.said.contains("users:read") && !finding.said.contains("chat:write"),
            "{finding}"
        );
        assert_eq!(scopes(None).verdict, Verdict::Warn);
    }
}
