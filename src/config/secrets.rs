//! Secrets: from environment variables, or from files that `*_FILE` variables name; never from the configuration file.
//!
//! They are held in types that print as `[REDACTED]`. Which ones are needed follows from the configuration, and all problems are
//! reported at once.

use secrecy::{ExposeSecret, SecretString};

use super::{Config, ConfigError, SlackMode};

/// Everything secret that this configuration needs.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// `SLACK_BOT_TOKEN`: calls the Web API.
    pub slack_bot_token: SecretString,
    /// What the way in needs.
    pub slack: SlackSecret,
    /// How we prove ourselves to GitHub.
    pub github: GitHubSecret,
    /// `GITHUB_WEBHOOK_SECRET`: without it webhooks are refused, and polling alone finds out.
    pub github_webhook_secret: Option<SecretString>,
    /// `SHIPMATE_DASHBOARD_TOKEN`: without it only this machine reaches the dashboard.
    pub dashboard_token: Option<SecretString>,
    /// `OTEL_EXPORTER_OTLP_HEADERS`: what the collector of traces wants to see, such as `api-key=…`.
    pub otlp_headers: Option<SecretString>,
}

/// What the way in from Slack needs.
#[derive(Clone, Debug)]
pub enum SlackSecret {
    /// `SLACK_APP_TOKEN`: opens the WebSocket.
    AppToken(SecretString),
    /// `SLACK_SIGNING_SECRET`: checks what is posted to us.
    SigningSecret(SecretString),
}

/// How we prove ourselves to GitHub.
#[derive(Clone, Debug)]
pub enum GitHubSecret {
    /// `GITHUB_TOKEN`.
    Token(SecretString),
    /// `GITHUB_APP_PRIVATE_KEY`: signs for the configured `app_id`.
    AppPrivateKey(SecretString),
}

impl Secrets {
    /// Takes what `config` needs from the environment; `variable` looks one up, so that tests need no environment of their own.
    pub fn from_env(config: &Config, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader {
            variable,
            problems: Vec::new(),
        };
        let secrets = reader.read(config);
        match secrets {
            Some(secrets) if reader.problems.is_empty() => Ok(secrets),
            _ => Err(ConfigError {
                problems: reader.problems,
            }),
        }
    }
}

/// Why the dashboard needs a token, if it does.
fn needs_dashboard_token(config: &Config) -> Option<String> {
    let listen = config.server.listen;
    if !listen.ip().is_loopback() {
        return Some(format!(
            "SHIPMATE_DASHBOARD_TOKEN is not set, but `server.listen` = \"{listen}\" is reachable from other machines; set a long random token, or listen on 127.0.0.1"
        ));
    }
    // Slack reaches us through something that passes the world's requests on, and it need not say so in any header.
    (config.slack.mode == SlackMode::Http).then(|| {
        "SHIPMATE_DASHBOARD_TOKEN is not set, but with `slack.mode` = \"http\" a proxy lets others in, to the dashboard and its flight recorders as well; set a long random token, or use `slack.mode` = \"socket\""
            .to_owned()
    })
}

struct Reader<V> {
    variable: V,
    problems: Vec<String>,
}

impl<V: Fn(&str) -> Option<String>> Reader<V> {
    fn read(&mut self, config: &Config) -> Option<Secrets> {
        let bot_token = self.token("SLACK_BOT_TOKEN", "xoxb-", "OAuth & Permissions");
        let slack = match config.slack.mode {
            SlackMode::Socket => self
                .token(
                    "SLACK_APP_TOKEN",
                    "xapp-",
                    "Basic Information, App-Level Tokens, scope connections:write",
                )
                .map(SlackSecret::AppToken),
            SlackMode::Http => self
                .required(
                    "SLACK_SIGNING_SECRET",
                    "copy it from https://api.slack.com/apps, Basic Information",
                )
                .map(SlackSecret::SigningSecret),
        };
        let github = if config.github.app_id.is_some() {
            let mend =
                "download a private key from the GitHub App's settings, or remove `github.app_id` and set GITHUB_TOKEN";
            self.required("GITHUB_APP_PRIVATE_KEY", mend)
                .map(GitHubSecret::AppPrivateKey)
        } else {
            let mend = "make a classic token with the scopes repo and workflow at https://github.com/settings/tokens; or set `github.app_id` (a fine-grained token works, but can't see check runs)";
            self.required("GITHUB_TOKEN", mend).map(GitHubSecret::Token)
        };
        let github_webhook_secret = self.optional("GITHUB_WEBHOOK_SECRET");
        let dashboard_token = self.optional("SHIPMATE_DASHBOARD_TOKEN");
        let otlp_headers = self.optional("OTEL_EXPORTER_OTLP_HEADERS");
        if dashboard_token.is_none() {
            self.problems.extend(needs_dashboard_token(config));
        }
        Some(Secrets {
            slack_bot_token: bot_token?,
            slack: slack?,
            github: github?,
            github_webhook_secret,
            dashboard_token,
            otlp_headers,
        })
    }

    /// A Slack token: its beginning tells whether it is the right kind.
    fn token(&mut self, name: &str, prefix: &str, page: &str) -> Option<SecretString> {
        let token = self.required(name, &format!("copy it from https://api.slack.com/apps, {page}"))?;
        if !token.expose_secret().starts_with(prefix) {
            self.problems.push(format!(
                "{name} does not begin with {prefix}, so it is another kind of token; copy it from https://api.slack.com/apps, {page}"
            ));
        }
        Some(token)
    }

    fn required(&mut self, name: &str, mend: &str) -> Option<SecretString> {
        let before = self.problems.len();
        let secret = self.optional(name);
        if secret.is_none() && self.problems.len() == before {
            self.problems
                .push(format!("{name} is not set (nor {name}_FILE); {mend}"));
        }
        secret
    }

    /// White space around a secret is a slip of copying or the file's last newline.
    fn optional(&mut self, name: &str) -> Option<SecretString> {
        let file_name = format!("{name}_FILE");
        let text = match (self.variable(name), self.variable(&file_name)) {
            (Some(_), Some(_)) => {
                self.problems
                    .push(format!("{name} and {file_name} are both set; unset one of them"));
                return None;
            }
            (Some(text), None) => text,
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => {
                    self.problems.push(format!(
                        "{file_name} names `{path}`, which cannot be read ({error}); mend the path or the file"
                    ));
                    return None;
                }
            },
            (None, None) => return None,
        };
        let text = text.trim();
        if text.is_empty() {
            self.problems
                .push(format!("{file_name} names an empty file; write the secret into it"));
            return None;
        }
        Some(text.into())
    }

    /// An empty variable counts as unset, as compose files and CI systems have it.
    fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|text| !text.trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const PROJECT: &str = r#"
        [[projects]]
        name = "web"
        repo = "acme/web"
        channel = "C1"
        deploy_workflow = "deploy.yml"
        version_files = [{ path = "VERSION", kind = "plain" }]
    "#;

    fn read(settings: &str, variables: &[(&str, &str)]) -> Result<Secrets, ConfigError> {
        let config = Config::parse(&format!("{settings}\n{PROJECT}"), "a.toml").unwrap();
        let lookup = |name: &str| {
            let found = variables.iter().find(|(candidate, _)| *candidate == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Secrets::from_env(&config, lookup)
    }

    const SOUND: [(&str, &str); 3] = [
        ("SLACK_BOT_TOKEN", " xoxb-1\n"),
        ("SLACK_APP_TOKEN", "xapp-1"),
        ("GITHUB_TOKEN", "ghp_1"),
    ];

    #[test]
    fn secrets_are_trimmed_and_never_printed() {
        let secrets = read("", &SOUND).unwrap();
        assert_eq!(secrets.slack_bot_token.expose_secret(), "xoxb-1");
        let printed = format!("{secrets:?}");
        assert!(!printed.contains("xoxb-1") && !printed.contains("ghp_1"), "{printed}");
    }

    #[test]
    fn missing_ones_are_named_all_at_once_with_where_to_get_them() {
        let problems = read("slack.mode = \"http\"\ngithub.app_id = 1", &[])
            .unwrap_err()
            .to_string();
        insta::assert_snapshot!(problems, @r#"
        SLACK_BOT_TOKEN is not set (nor SLACK_BOT_TOKEN_FILE); copy it from https://api.slack.com/apps, OAuth & Permissions
        SLACK_SIGNING_SECRET is not set (nor SLACK_SIGNING_SECRET_FILE); copy it from https://api.slack.com/apps, Basic Information
        GITHUB_APP_PRIVATE_KEY is not set (nor GITHUB_APP_PRIVATE_KEY_FILE); download a private key from the GitHub App's settings, or remove `github.app_id` and set GITHUB_TOKEN
        SHIPMATE_DASHBOARD_TOKEN is not set, but with `slack.mode` = "http" a proxy lets others in, to the dashboard and its flight recorders as well; set a long random token, or use `slack.mode` = "socket"
        "#);
    }

    #[test]
    fn a_file_can_hold_a_secret_but_not_beside_the_variable() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "xoxb-file").unwrap();
        let path = file.path().to_str().unwrap();
        let from_file = [("SLACK_BOT_TOKEN_FILE", path), SOUND[1], SOUND[2]];
        let secrets = read("", &from_file).unwrap();
        assert_eq!(secrets.slack_bot_token.expose_secret(), "xoxb-file");

        let both = [from_file.as_slice(), &SOUND[..1]].concat();
        let problems = read("", &both).unwrap_err().problems;
        assert_eq!(
            problems,
            ["SLACK_BOT_TOKEN and SLACK_BOT_TOKEN_FILE are both set; unset one of them"]
        );
    }

    #[test]
    fn a_token_of_the_wrong_kind_is_refused_without_showing_it() {
        let swapped = [SOUND[1], SOUND[2], ("SLACK_BOT_TOKEN", "xapp-secret")];
        let problems = read("", &swapped).unwrap_err().to_string();
        assert!(
            problems.starts_with("SLACK_BOT_TOKEN does not begin with xoxb-"),
            "{problems}"
        );
        assert!(!problems.contains("xapp-secret"), "{problems}");
    }

    #[test]
    fn listening_to_the_world_needs_a_dashboard_token() {
        let settings = "server.listen = \"0.0.0.0:80\"";
        let problems = read(settings, &SOUND).unwrap_err().to_string();
        assert!(
            problems.starts_with("SHIPMATE_DASHBOARD_TOKEN is not set"),
            "{problems}"
        );
        let with_token = [SOUND.as_slice(), &[("SHIPMATE_DASHBOARD_TOKEN", "t")]].concat();
        assert!(read(settings, &with_token).is_ok());
    }

    #[test]
    fn slack_over_http_needs_a_dashboard_token_on_any_address() {
        let sound = [SOUND.as_slice(), &[("SLACK_SIGNING_SECRET", "s")]].concat();
        let settings = "slack.mode = \"http\"";
        let problems = read(settings, &sound).unwrap_err().problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("SHIPMATE_DASHBOARD_TOKEN is not set, but with `slack.mode`"));
        let with_token = [sound.as_slice(), &[("SHIPMATE_DASHBOARD_TOKEN", "t")]].concat();
        assert!(read(settings, &with_token).is_ok());
    }
}
