//! The real command line against a running Shipmate, through its control socket.

#![allow(clippy::unwrap_used, reason = "a test's panic is its message")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use shipmate::app::{self, Pace, Running, Setup};
use shipmate::config::Config;
use shipmate::saga::retry::RetryPolicy;
use shipmate::saga::{Actor, Clock, Event};
use shipmate::sandbox::github;
use shipmate::sandbox::play::{Options, Sandbox};
use shipmate::sandbox::slack::Workspace;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

mod support;

/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A Shipmate in this process, and a terminal on the same machine.
struct Desk {
    sandbox: Sandbox,
    file: PathBuf,
    running: Option<Running>,
}

impl Desk {
    /// One whose project grants these permissions to the login that runs the test.
    async fn with(granted: &[&str]) -> Self {
        let mut desk = Self::closed(granted).await;
        desk.opens().await;
        desk
    }

    /// One whose Shipmate does not run.
    async fn closed(granted: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = Options {
            pace: github::Pace::Instant,
            ..Options::default()
        };
        let sandbox = Sandbox::start(options).await.unwrap();
        let file = support::configuration(&sandbox);
        let mut text = std::fs::read_to_string(&file).unwrap();
        for setting in granted {
            let ours = format!("{setting} = [\"cli:{}\", ", login());
            text = text.replace(&format!("{setting} = ["), &ours);
        }
        std::fs::write(&file, text).unwrap();
        Self {
            sandbox,
            file,
            running: None,
        }
    }

    fn configure(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&self.file, text.replace(from, to)).unwrap();
    }

    async fn opens(&mut self) {
        let setup = Setup {
            config: Config::load(&self.file).unwrap(),
            secrets: self.sandbox.secrets(),
            clock: Clock::system(),
            pace: Pace {
                retry: RetryPolicy {
                    base: Duration::from_millis(2),
                    max: Duration::from_millis(20),
                    attempts: 40,
                },
                card_gap: Duration::from_millis(5),
                settle: Duration::from_millis(1),
            },
            store: None,
        };
        self.running = Some(app::start(setup).await.unwrap());
    }

    async fn closes(&mut self) {
        self.running.take().unwrap().shutdown().await;
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipmate"));
        command
            .args(line.split_whitespace())
            .arg("--config")
            .arg(&self.file)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Types a command and waits for its end: exit code, and what it said.
    async fn types(&self, line: &str) -> (i32, String) {
        let output = tokio::time::timeout(LIMIT, self.command(line).output()).await;
        let Output { status, stdout, stderr } = output.expect(line).unwrap();
        let said = [stdout, stderr].concat();
        (status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    /// Types a command that must be done.
    async fn does(&self, line: &str) -> String {
        match self.types(line).await {
            (0, said) => said,
            (code, said) => panic!("{line} exits {code}: {said}"),
        }
    }

    fn follows(&self, line: &str) -> Follower {
        let mut child = self.command(line).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Follower { lines, _child: child }
    }

    /// What Prometheus reads after one completed deployment.
    async fn is_measured(&self) {
        let address = self.running.as_ref().unwrap().address;
        let answer = reqwest::get(format!("http://{address}/metrics")).await.unwrap();
        assert_eq!(
            answer.headers()["content-type"],
            "text/plain; version=0.0.4; charset=utf-8"
        );
        let text = answer.text().await.unwrap();
        for line in [
            "shipmate_deployments_total{project=\"web\",end=\"completed\"} 1",
            "shipmate_deployment_duration_seconds_count{project=\"web\",end=\"completed\"} 1",
            "shipmate_deployments_active{project=\"web\"} 0",
            "shipmate_step_duration_seconds_bucket{step=\"merge_pr\",le=\"+Inf\"}",
            "shipmate_github_requests_total{method=\"PUT\",status=\"200\"}",
            "shipmate_github_rate_limit_remaining ",
            "shipmate_slack_requests_total{method=\"chat.postMessage\",ok=\"true\"}",
            "shipmate_store_commit_duration_seconds_sum ",
            "shipmate_build_info{version=",
            "process_resident_memory_bytes ",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
        support::prometheus::lint(&text);
    }

    fn events(&self, id: &str) -> Vec<Event> {
        let journal = self.running.as_ref().unwrap().engine.journal(id).unwrap().unwrap();
        let history = journal.history();
        history.records().iter().map(|record| record.event.clone()).collect()
    }
}

/// A command that goes on.
struct Follower {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Follower {
    async fn sees(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(text) {
                    return line;
                }
                seen.push(line);
            }
            panic!("it ended");
        };
        let found = tokio::time::timeout(LIMIT, found).await;
        found.unwrap_or_else(|_| panic!("{text:?} is not in:\n{}", seen.join("\n")))
    }
}

fn login() -> String {
    nix::unistd::User::from_uid(nix::unistd::getuid())
        .unwrap()
        .unwrap()
        .name
}

fn actor() -> Actor {
    Actor::Local(format!("cli:{}", login()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_is_shipped_without_touching_slack() {
    let mut desk = Desk::closed(&["start", "approve"]).await;
    desk.configure("two_person = true", "two_person = false");
    desk.opens().await;
    assert!(desk.does("status").await.contains("web: nothing runs"));
    let mut watch = desk.follows("status --watch");
    assert!(
        desk.does("start web --dry-run --exclude #47")
            .await
            .contains("Nothing was touched.")
    );
    assert!(
        desk.does("start web minor --exclude 47")
            .await
            .contains("web-1 is started")
    );
    watch.sees("decide web-1 confirm_pr_list confirm").await;
    desk.does("decide web-1 confirm_pr_list confirm --reason tested").await;

    // What is approved is the plan that was looked at.
    let line = watch.sees("approve --plan").await;
    let (code, said) = desk.types("decide web-1 approve_point_of_no_return approve").await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("An approval is for one plan"), "{said}");
    let approve = line.split("shipmate ").nth(1).unwrap();
    desk.does(approve).await;

    watch.sees("post_release_checklist done").await;
    desk.does("decide web-1 post_release_checklist done").await;
    watch.sees("web: nothing runs").await;
    let shown = desk.does("show web-1").await;
    for line in [
        "✅ completed",
        &format!("confirm_pr_list: confirm by cli:{} (tested)", login()),
        "ended: completed",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let history: Value = serde_json::from_str(&desk.does("history --limit 1 --json").await).unwrap();
    assert_eq!(history[0]["version"]["to"], "1.5.0");
    desk.is_measured().await;
    let events = desk.events("web-1");
    let Event::SagaStarted { by, .. } = &events[0] else {
        panic!("{events:?}");
    };
    assert_eq!(*by, actor());
    desk.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_no_list_names_may_look_and_nothing_else() {
    let mut desk = Desk::closed(&[]).await;
    desk.configure("abort = [", "abort = [\"*\", ");
    desk.opens().await;
    let (code, said) = desk.types("start web").await;
    assert_eq!(code, 4, "{said}");
    let setting = format!(
        "`start` in [projects.permissions] of web doesn't name \"cli:{}\"",
        login()
    );
    assert!(said.contains(&setting), "{said}");
    desk.sandbox
        .slack
        .says("U0ANA", "C0DEPLOYS", "/deploy start")
        .await
        .unwrap();
    let mut watch = desk.follows("status web --watch");
    watch.sees("confirm_pr_list confirm").await;
    for line in [
        "decide web-1 confirm_pr_list confirm",
        "decide web-1 confirm_pr_list edit --only 41",
        "abort web-1 because --yes",
    ] {
        assert_eq!(desk.types(line).await.0, 4, "{line}");
    }
    let refused = |event: &&Event| matches!(event, Event::Refused { by, .. } if *by == actor());
    assert_eq!(
        desk.events("web-1").iter().filter(refused).count(),
        3,
        "each is in the journal"
    );
    desk.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_keeps_starts_out_until_it_is_lifted_and_the_channel_hears_of_it() {
    let mut desk = Desk::with(&["start", "abort"]).await;
    desk.does("lock web database migration --for 2h").await;
    let hears = |text: &'static str| {
        let slack = &desk.sandbox.slack;
        let heard = move |workspace: &Workspace| workspace.transcript().contains(text).then_some(());
        async move { slack.wait_for(LIMIT, text, heard).await.unwrap() }
    };
    hears("database migration").await;
    for refused in ["start web", "lock web again"] {
        let (code, said) = desk.types(refused).await;
        assert!(code == 1 && said.contains("database migration"), "{code} {said}");
    }
    desk.does("unlock web").await;
    hears("Unlocked by").await;
    let (code, said) = desk.types("unlock web").await;
    assert!(code == 1 && said.contains("It isn't locked"), "{code} {said}");
    desk.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_are_two_on_the_machine_as_well() {
    let mut desk = Desk::with(&["start", "approve", "abort"]).await;
    let mut watch = desk.follows("status --watch");
    desk.does("start web").await;
    watch.sees("confirm_pr_list confirm").await;
    desk.does("decide web-1 confirm_pr_list edit --only 42,41").await;
    watch.sees("confirm_pr_list/2 confirm").await;
    desk.does("decide web-1 confirm_pr_list confirm").await;
    let line = watch.sees("approve --plan").await;
    let (code, said) = desk.types(line.split("shipmate ").nth(1).unwrap()).await;
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("two_person"), "{said}");
    assert!(
        desk.types("retry web-1")
            .await
            .1
            .contains("Nothing of web-1 waits for another try")
    );
    let (code, said) = desk.types("abort web-1").await;
    assert!(
        code == 1 && said.contains("shipmate abort web-1 --yes"),
        "nobody can be asked: {code} {said}"
    );
    desk.does("abort web-1 we changed our minds --yes").await;
    watch.sees("web: nothing runs").await;
    assert!(desk.does("history").await.contains("↩️ web-1"));
    let abort = Event::AbortRequested {
        by: actor(),
        reason: Some("we changed our minds".to_owned()),
    };
    assert!(desk.events("web-1").contains(&abort));
    desk.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_has_its_exit_code_and_its_mend() {
    let mut desk = Desk::closed(&["start"]).await;
    let (code, said) = desk.types("status").await;
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("start it with `shipmate serve`"), "{said}");
    assert_eq!(desk.types("start web one.two").await.0, 2);
    desk.opens().await;
    for (line, mend) in [
        ("show web-9", "`shipmate history` lists them"),
        ("status api", "there is web"),
        ("start api", "there is web"),
        ("decide web-9 confirm_pr_list confirm", "`shipmate history` lists them"),
    ] {
        let (code, said) = desk.types(line).await;
        assert_eq!(code, 1, "{line}: {said}");
        assert!(said.contains(mend), "{line}: {said}");
    }
    desk.does("start web").await;
    let (code, said) = desk.types("start web").await;
    assert_eq!(code, 1);
    assert!(said.contains("web-1 is running"), "{said}");
    for line in ["decide web-1 nonsense confirm", "decide web-1 confirm_pr_list expire"] {
        assert_eq!(desk.types(line).await.0, 1, "{line}");
    }
    desk.closes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_export_is_the_same_with_and_without_a_server() {
    let mut desk = Desk::with(&["start", "abort"]).await;
    let mut watch = desk.follows("status --watch");
    desk.does("start web").await;
    watch.sees("confirm_pr_list confirm").await;
    desk.does("abort web-1 --yes").await;
    watch.sees("web: nothing runs").await;
    let through_the_socket = desk.does("export").await;
    for server in ["with", "without"] {
        if server == "without" {
            desk.closes().await;
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = desk.command("export").stdout(writer).stderr(Stdio::piped()).spawn();
        let output = output.unwrap().wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*said),
            (Some(0), ""),
            "{server} a server, unread"
        );
    }
    assert_eq!(desk.does("export").await, through_the_socket);
    let last: Value = serde_json::from_str(through_the_socket.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["deployment"], &last["outcome"]),
        (&"web-1".into(), &"undone".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_is_for_the_one_who_runs_shipmate() {
    let mut desk = Desk::closed(&[]).await;
    let data = Config::load(&desk.file).unwrap().data_dir;
    std::fs::create_dir_all(&data).unwrap();
    let socket = data.join("control.sock");
    // A process that was killed leaves its socket behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert_eq!(desk.types("status").await.0, 3);
    desk.opens().await;
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&socket)), (0o700, 0o600));
    desk.does("status").await;
    desk.closes().await;
    assert!(!socket.exists());
}

fn said(arguments: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_shipmate"))
        .args(arguments)
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let help = said(&["--help"]);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .map_while(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_help_the_readme_and_the_completions_know_the_same_commands() {
    let readme = include_str!("../README.md");
    let row = regex::Regex::new(r"(?m)^\| `shipmate (\w+)").unwrap();
    let rows: Vec<&str> = row.captures_iter(readme).map(|row| row.extract::<1>().1[0]).collect();
    let completions = said(&["completions", "bash"]);
    let commands = commands();
    for command in &rows {
        assert!(
            commands.iter().any(|known| known == command),
            "{command} is not in the help"
        );
    }
    for command in &commands {
        let told_elsewhere = ["serve", "sandbox", "help"].contains(&command.as_str());
        assert!(
            told_elsewhere || rows.contains(&command.as_str()),
            "{command} is not in the README"
        );
        assert!(
            completions.contains(&format!("shipmate__subcmd__{command}")),
            "{command} is not completed"
        );
    }
}

/// As before `| head`, once it has what it wants.
#[test]
fn whoever_reads_no_more_causes_no_complaint() {
    for arguments in [&["completions", "bash"][..], &["sandbox", "--list"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_shipmate"))
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output);
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_history_of_nothing_is_refused() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_shipmate"))
        .args(["history", "--limit", "0"])
        .output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("0 is not in 1.."), "{said}");
}

#[test]
fn the_export_says_what_it_leaves_out() {
    let help = said(&["export", "--help"]);
    for left_out in ["locks", "queue", "muted names", "flight/archive"] {
        assert!(help.contains(left_out), "{help}");
    }
}

#[test]
fn every_command_with_an_output_has_json_and_every_help_its_options() {
    for command in [
        "status", "history", "show", "start", "decide", "abort", "retry", "lock", "unlock",
    ] {
        let help = said(&[command, "--help"]);
        assert!(
            help.contains("--json") && help.contains("--config"),
            "{command}: {help}"
        );
    }
    assert!(said(&["--help"]).contains("3 no Shipmate is running"));
}
