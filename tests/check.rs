//! `shipmate check` against the doubles: all well, and one sickness after another.

#![allow(clippy::unwrap_used, reason = "a test's panic is its message")]

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use shipmate::sandbox::faults::{Fault, Kind, When};
use shipmate::sandbox::play::{Options, REPO, Sandbox};
use shipmate::sandbox::slack::DEPLOYS;
use tokio::process::Command;

mod support;

/// Longer than a check takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

struct Clinic {
    sandbox: Sandbox,
    file: PathBuf,
}

impl Clinic {
    async fn opens() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        let file = support::configuration(&sandbox);
        Self { sandbox, file }
    }

    fn configure(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&self.file, text.replace(from, to)).unwrap();
    }

    fn breaks_github(&self, request: &str, status: u16, message: &str) {
        self.sandbox.github.faults().inject(Fault {
            matches: request.to_owned(),
            when: When::Before,
            kind: Kind::Status(status, message.to_owned()),
            times: 99,
        });
    }

    async fn runs(&self, more: &[&str], github_token: &str) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_shipmate"))
            .arg("check")
            .args(more)
            .arg("--config")
            .arg(&self.file)
            .env("SLACK_BOT_TOKEN", self.sandbox.slack.bot_token())
            .env("SLACK_APP_TOKEN", self.sandbox.slack.app_token())
            .env("GITHUB_TOKEN", github_token)
            .env_remove("RUST_LOG")
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, output).await.unwrap().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        for secret in [
            self.sandbox.github.token(),
            self.sandbox.slack.bot_token(),
            self.sandbox.slack.app_token(),
        ] {
            assert!(!said.contains(&secret), "a secret is shown: {said}");
        }
        for line in said.lines() {
            let unwell = line.starts_with("fail ") || line.starts_with("warn ");
            assert!(!unwell || line.contains(" — "), "it has no mend: {line}");
        }
        (output.status.code().unwrap(), said)
    }

    async fn checks(&self, more: &[&str]) -> (i32, String) {
        self.runs(more, &self.sandbox.github.token()).await
    }

    /// Exactly one line fails, and it reads so.
    async fn finds(&self, sickness: &str) {
        let (code, said) = self.checks(&[]).await;
        let failing: Vec<&str> = said.lines().filter(|line| line.starts_with("fail")).collect();
        assert_eq!(code, 1, "{said}");
        assert_eq!(failing.len(), 1, "{said}");
        assert!(failing[0].contains(sickness), "{sickness:?} is not in {said}");
    }
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_are_not_there_are_told_with_the_setting_that_names_them() {
    let clinic = Clinic::opens().await;
    let nobody = nobody().await;
    clinic.configure(&clinic.sandbox.slack.api_url(), &nobody);
    clinic.configure(&clinic.sandbox.github.api_url(), &nobody);
    let (code, said) = clinic.checks(&[]).await;
    assert_eq!(code, 1, "{said}");
    for (begins, mend) in [
        (
            "fail Slack: auth.test failed: ",
            "check `api_url` in [slack], the network",
        ),
        (
            "fail web: channel: conversations.info failed: ",
            "check `api_url` in [slack], the network",
        ),
        (
            "fail web: GitHub token: GET /rate_limit failed: ",
            "check `api_url` in [github], the network",
        ),
    ] {
        let line = said.lines().find(|line| line.starts_with(begins));
        let line = line.unwrap_or_else(|| panic!("no line begins with {begins:?}: {said}"));
        assert!(line.contains(mend), "{line}");
    }
    assert!(!said.contains("may have happened"), "a read was in doubt: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_missing_is_named() {
    let clinic = Clinic::opens().await;
    clinic.breaks_github("/actions/workflows", 403, "Resource not accessible by integration");
    clinic
        .finds("web: workflow: GET /repos/acme/web/actions/workflows/deploy.yml failed: Resource not accessible by integration — give GITHUB_TOKEN the permission actions: read")
        .await;
}

/// A deployment goes well without its trace, so it is only said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_of_traces_that_is_not_there_is_said() {
    let clinic = Clinic::opens().await;
    let nobody = nobody().await;
    let text = std::fs::read_to_string(&clinic.file).unwrap();
    std::fs::write(&clinic.file, format!("{text}\n[traces]\nendpoint = \"{nobody}\"\n")).unwrap();
    let (code, said) = clinic.checks(&[]).await;
    assert_eq!(code, 0, "{said}");
    let lines: Vec<_> = said.lines().filter(|line| line.contains("traces")).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("warn "), "{said}");
    assert!(
        lines[0].contains(&nobody) && lines[0].contains("`endpoint` in [traces]"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_well_patient_is_told_so_line_by_line() {
    let clinic = Clinic::opens().await;
    let (code, said) = clinic.checks(&[]).await;
    assert_eq!(code, 0, "{said}");
    for line in [
        "(1 project)",
        "ok   data_dir: ",
        "ok   git: git version",
        "ok   Slack scopes: all are granted",
        "ok   Slack socket: the app token opens one",
        "ok   web: channel: C0DEPLOYS has the app in it",
        "ok   web: GitHub token: personal, ",
        "ok   web: repository: acme/web is reachable and may be pushed to",
        "ok   web: base branch: staging is at ",
        "ok   web: rules of staging: none",
        "ok   web: rules of deploy-2",
        "ok   web: version files: package.json, Cargo.toml, VERSION say 1.4.2",
        "ok   web: workflow: deploy.yml is active",
        "ok   web: reviewers: dan may approve",
    ] {
        assert!(said.contains(line), "{line:?} is not in:\n{said}");
    }
    let (code, said) = clinic.checks(&["--json", "--project", "web"]).await;
    let findings: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &findings[0]["verdict"]), (0, &Value::from("ok")));
    let (code, said) = clinic.checks(&["--project", "api"]).await;
    assert_eq!(code, 1);
    assert!(said.contains("there is web"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sicknesses_of_slack_are_found() {
    let clinic = Clinic::opens().await;
    let slack = &clinic.sandbox.slack;
    slack.change(|workspace| workspace.scopes.retain(|scope| scope != "users:read"));
    clinic.finds("Slack scopes: users:read not granted — reinstall").await;
    slack.change(|workspace| {
        workspace.scopes.push("users:read".to_owned());
        workspace.channels.get_mut(DEPLOYS).unwrap().bot_is_member = false;
    });
    clinic
        .finds("web: channel: the app is not in C0DEPLOYS — type /invite")
        .await;
    slack.change(|workspace| workspace.channels.get_mut(DEPLOYS).unwrap().bot_is_member = true);
    slack.faults().inject(Fault {
        matches: "apps.connections.open".to_owned(),
        when: When::Before,
        kind: Kind::NotOk("invalid_auth".to_owned()),
        times: 1,
    });
    clinic
        .finds("Slack socket: apps.connections.open failed: invalid_auth: the token is not valid (any more) — copy SLACK_APP_TOKEN anew from https://api.slack.com/apps, Basic Information")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sicknesses_of_the_repository_are_found() {
    let clinic = Clinic::opens().await;
    let github = &clinic.sandbox.github;
    github.push(REPO, "staging", "ana", "VERSION", "9.9.9\n").await.unwrap();
    clinic
        .finds("web: version files: they disagree: package.json, Cargo.toml 1.4.2; VERSION 9.9.9")
        .await;
    github.push(REPO, "staging", "ana", "VERSION", "1.4.2\n").await.unwrap();
    clinic.configure("reviewers = [\"dan\"]", "reviewers = [\"nobody\"]");
    clinic.finds("web: reviewers: nobody is no collaborator").await;
    clinic.configure("reviewers = [\"nobody\"]", "reviewers = [\"dan\"]");
    github.knobs(|knobs| knobs.token_owner = Some("dan"));
    clinic
        .finds("web: reviewers: the token is dan's, who opens the deploy pull request and so can't approve of it")
        .await;
    clinic.configure("reviewers = [\"dan\"]", "reviewers = []");
    let (_, said) = clinic.checks(&[]).await;
    let asked = "ok   web: reviewers: nobody is asked; an approval by anybody with write access is waited for";
    assert!(said.contains(asked), "{said}");
    clinic.configure("reviewers = []", "reviewers = [\"dan\"]");
    github.knobs(|knobs| knobs.token_owner = None);
    clinic.configure("deploy_workflow = \"deploy.yml\"", "deploy_workflow = \"ship.yml\"");
    clinic.finds("web: workflow: GitHub knows no workflow ship.yml").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_branch_and_a_blind_token_are_found() {
    let clinic = Clinic::opens().await;
    clinic.breaks_github("/check-runs", 403, "Resource not accessible by personal access token");
    let (code, said) = clinic.checks(&[]).await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("warn web: checks: the token can't see check runs"),
        "{said}"
    );
    clinic.configure("base_branch = \"staging\"", "base_branch = \"stagging\"");
    let (code, said) = clinic.checks(&[]).await;
    assert_eq!(code, 1, "{said}");
    for line in [
        "fail web: base branch: there is no branch stagging — make it",
        "fail web: version files: VERSION is not on stagging",
    ] {
        assert!(said.contains(line), "{line:?} is not in:\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_a_bad_file_and_no_secret_are_told_with_their_mend() {
    let clinic = Clinic::opens().await;
    let (code, said) = clinic.runs(&[], "ghp_stale").await;
    assert_eq!(code, 1);
    assert!(
        said.contains("fail web: GitHub token: GET /rate_limit failed: Bad credentials — make a new token at https://github.com/settings/tokens and put it into GITHUB_TOKEN"),
        "{said}"
    );
    assert!(!said.contains("ghp_stale"), "{said}");
    let (code, said) = clinic.runs(&[], "").await;
    assert_eq!(code, 1);
    assert!(
        said.contains("fail secrets: GITHUB_TOKEN is not set") && said.contains("ok   git:"),
        "{said}"
    );
    clinic.configure("base_branch", "base_brunch");
    let (code, said) = clinic.checks(&[]).await;
    assert_eq!(code, 1);
    assert!(
        said.contains("fail configuration: ") && said.contains("did you mean `base_branch`"),
        "{said}"
    );
}
