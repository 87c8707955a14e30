//! Slack: tokens, scopes, channels, user groups.

use std::collections::BTreeSet;

use secrecy::SecretString;

use super::{Finding, Look, fail, failed, look, ok, warn};
use crate::config::{Config, Permissions, Project, Secrets, SlackSecret};
use crate::slack::client::{METHODS, SlackClientApi};
use crate::slack::{Slack as _, inspect};

pub(super) fn looks<'a>(config: &'a Config, secrets: &'a Secrets, projects: &[&'a Project]) -> Vec<Look<'a>> {
    let (url, token) = (config.slack.api_url.as_str(), &secrets.slack_bot_token);
    let mut looks = vec![look("Slack", bot(url, token))];
    if let SlackSecret::AppToken(app_token) = &secrets.slack {
        looks.push(look("Slack socket", async move { vec![socket(url, app_token).await] }));
    }
    for &project in projects {
        let subject = format!("{}: channel", project.name);
        looks.push(look(&subject.clone(), channel(url, token, project, subject)));
        for group in groups(&project.permissions) {
            let subject = format!("{}: user group {group}", project.name);
            looks.push(look(&subject.clone(), members(url, token, group, subject)));
        }
    }
    looks
}

async fn bot(url: &str, token: &SecretString) -> Vec<Finding> {
    let granted = match inspect::granted(url, token).await {
        Ok(granted) => granted,
        Err(error) => return vec![failed("Slack", error)],
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
        Err(error) => failed("Slack socket", error),
    }
}

async fn channel(url: &str, token: &SecretString, project: &Project, subject: String) -> Vec<Finding> {
    let client = SlackClientApi::new(url, token.clone()).map_err(|error| error.to_string());
    let member = match client {
        Ok(client) => client
            .is_member(&project.channel)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    vec![match member {
        Ok(true) => ok(&subject, format!("{} has the app in it", project.channel)),
        Ok(false) => fail(
            &subject,
            &format!("the app is not in {}", project.channel),
            "type /invite @Shipmate there",
        ),
        Err(error) => failed(&subject, error),
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

async fn members(url: &str, token: &SecretString, group: &str, subject: String) -> Vec<Finding> {
    let client = SlackClientApi::new(url, token.clone()).map_err(|error| error.to_string());
    let members = match client {
        Ok(client) => client.group_members(group).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    vec![match members {
        Ok(members) if members.is_empty() => warn(
            &subject,
            "nobody is in it",
            "add people to the group, or name others in [projects.permissions]",
        ),
        Ok(members) => ok(&subject, format!("{} people", members.len())),
        Err(error) => failed(&subject, error),
    }]
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
