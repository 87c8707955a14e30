//! The command line: arguments to a running Shipmate and an exit code.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shipmate::app::{self, Pace, Running, Setup};
use shipmate::cli::{self, ConfigArgs, Failure};
use shipmate::config::Secrets;
use shipmate::doctor::{self, Verdict};
use shipmate::saga::Clock;
use shipmate::saga::sled_store;
use shipmate::sandbox::autopilot::{self, Plan};
use shipmate::sandbox::github::{self, SCENARIOS, Scenarios};
use shipmate::sandbox::page::{self, Page};
use shipmate::sandbox::play::{self, Sandbox};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The release train as a durable saga, driven from Slack.
#[derive(Parser)]
#[command(version, about, after_help = cli::EXIT_CODES)]
struct Cli {
    /// How log lines look; `RUST_LOG` says which.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the bot against the real Slack and GitHub.
    Serve(ConfigArgs),
    /// Runs the whole product on this machine, without any account.
    Sandbox(SandboxArgs),
    /// Looks at everything that a deployment rests on (tokens, scopes, channels, rules, files), changes nothing, and says how to mend it.
    Check {
        /// Only what this project needs.
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
        /// Writes JSON instead of text.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArgs,
    },
    #[command(flatten)]
    Talk(cli::Command),
    /// Restores a damaged database from flight recorders.
    Import {
        /// The directory with the `.jsonl` files.
        flights: PathBuf,
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Writes a shell's completions to stdout.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
struct SandboxArgs {
    /// Plays the people, tells every thing that happens, and exits 0 when the deployment ends as planned: complete, abort-at-confirm or
    /// abort-at-approve.
    #[arg(long, value_name = "PLAN", num_args = 0..=1, require_equals = true, default_missing_value = "complete")]
    autopilot: Option<Plan>,
    /// How fast GitHub's checks, reviewers and Actions play.
    #[arg(long, value_enum)]
    pace: Option<PaceArg>,
    /// What kind of day it is, or several with commas between; see --list.
    #[arg(long, default_value = "happy")]
    scenario: Scenarios,
    /// Lists the scenarios.
    #[arg(long)]
    list: bool,
    /// Makes the train from a real local repository, which is copied and never changed.
    #[arg(long, value_name = "PATH", requires = "prs")]
    repo: Option<PathBuf>,
    /// The branches of that repository that become approved pull requests.
    #[arg(long, value_name = "BRANCHES", value_delimiter = ',')]
    prs: Vec<String>,
    /// Keeps the journals here instead of in a directory that goes with the sandbox.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The page's port; 0 takes a free one.
    #[arg(long, default_value_t = 7077)]
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PaceArg {
    /// Tenths of seconds: the default with --autopilot.
    Fast,
    /// Seconds: a person can follow.
    Human,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log_format, &cli.command);
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Failed(format!("can't start: {error}"))),
    };
    let done = runtime.block_on(run(cli.command));
    // A blocking task that hangs must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    if !failure.sentence().is_empty() {
        // Nobody may be there to read it.
        let _ = writeln!(std::io::stderr(), "shipmate: {}", failure.sentence());
    }
    failure.exit_code()
}

/// What goes on also if nobody reads it.
fn tell(line: &str) {
    let _ = cli::say(line);
}

fn log_to_stderr(format: LogFormat, command: &Command) {
    let default = match command {
        Command::Sandbox(_) | Command::Check { .. } | Command::Talk(_) => "warn,shipmate=warn",
        _ => "info,hyper=warn,slack_morphism=warn",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| default.into());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => Ok(serve(&args).await?),
        Command::Sandbox(args) => Ok(sandbox(args).await?),
        Command::Check { project, json, config } => check(project.as_deref(), json, &config).await,
        Command::Talk(command) => cli::run(command).await,
        Command::Import { flights, config } => {
            let config = config.load()?;
            let restored = sled_store::import(&flights, &config.data_dir)
                .await
                .map_err(|error| error.to_string())?;
            cli::say(&format!("restored: {}", restored.join(", ")))
        }
        Command::Completions { shell } => {
            let mut command = <Cli as clap::CommandFactory>::command();
            // It panics where it can't write.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "shipmate", &mut script);
            cli::say(String::from_utf8_lossy(&script).trim_end())
        }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn serve(args: &ConfigArgs) -> Result<(), String> {
    let mut stop = StopSignal::listen()?;
    let config = args.load()?;
    let secrets = Secrets::from_env(&config, variable).map_err(|error| error.to_string())?;
    let starting = app::start(Setup {
        config,
        secrets,
        clock: Clock::system(),
        pace: Pace::default(),
        store: None,
    });
    let running = tokio::select! {
        started = starting => started?,
        // What was begun is cut off as a crash would, and goes on at the next start.
        () = stop.comes() => return Ok(()),
    };
    tracing::info!(address = %running.address, "Shipmate is up");
    until_told_to_stop(running, &mut stop).await
}

async fn check(project: Option<&str>, json: bool, config: &ConfigArgs) -> Result<(), Failure> {
    let findings = doctor::check(&config.path(), variable, &app::reach, project).await?;
    let lines = match json {
        true => vec![serde_json::json!(findings).to_string()],
        false => findings.iter().map(ToString::to_string).collect(),
    };
    match lines.iter().try_for_each(|line| cli::say(line)) {
        // The exit code still says whether all is well.
        Ok(()) | Err(Failure::Unheard) => {}
        Err(failure) => return Err(failure),
    }
    match findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Fail)
        .count()
    {
        0 => Ok(()),
        count => Err(Failure::Failed(format!(
            "{count} to mend before a deployment can go well"
        ))),
    }
}

/// SIGTERM and SIGINT, heard from when this is made: before that they end the process on the spot.
struct StopSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignal {
    fn listen() -> Result<Self, String> {
        let hear = |kind| signal(kind).map_err(|error| error.to_string());
        Ok(Self {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
        })
    }

    async fn comes(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Signals end in order; a failed store ends with its reason.
async fn until_told_to_stop(running: Running, stop: &mut StopSignal) -> Result<(), String> {
    let outcome = tokio::select! {
        () = stop.comes() => Ok(()),
        error = running.failed() => Err(error.to_string()),
    };
    running.shutdown().await;
    outcome
}

async fn sandbox(args: SandboxArgs) -> Result<(), String> {
    if args.list {
        for (_, name, what) in SCENARIOS {
            tell(&format!("{name:<21}{what}"));
        }
        return Ok(());
    }
    let pace = match (args.pace, args.autopilot) {
        (Some(PaceArg::Human), _) | (None, None) => github::Pace::Human,
        (Some(PaceArg::Fast), _) | (None, Some(_)) => github::Pace::Fast,
    };
    let sandbox = Sandbox::start(play::Options {
        pace,
        scenario: args.scenario,
        adopt: args.repo.map(|path| (path, args.prs)),
        data_dir: args.data_dir,
        more_projects: Vec::new(),
    })
    .await?;
    let running = app::start(Setup {
        config: sandbox.config.clone(),
        secrets: sandbox.secrets(),
        clock: Clock::system(),
        pace: Pace::sandbox(pace == github::Pace::Human),
        store: None,
    })
    .await?;
    running.ready().await;
    let webhooks = format!("http://{}/github/webhooks", running.address);
    sandbox.github.send_webhooks(&webhooks, "sandbox-webhook-secret");
    match args.autopilot {
        Some(plan) => {
            let end = autopilot::play(&sandbox, plan, tell).await;
            running.shutdown().await;
            end.map(|end| {
                tell(&format!(
                    "The deployment ended as planned: {}.",
                    format!("{end:?}").to_lowercase()
                ))
            })
        }
        None => {
            let page = Page {
                slack: sandbox.slack.clone(),
                github: sandbox.github.clone(),
            };
            let listener = listen(args.port).await?;
            let address = listener.local_addr().map_err(|error| error.to_string())?;
            tell(&format!(
                "The sandbox is open: http://{address}/\nType /deploy start there. Ctrl-C ends it.\nThe dashboard: http://{}/ (sign in as ana, ben, chloe or dan: the name is the token)",
                running.address
            ));
            let mut stop = StopSignal::listen()?;
            tokio::select! {
                served = axum::serve(listener, page::router(page)).into_future() => served.map_err(|error| error.to_string()),
                stopped = until_told_to_stop(running, &mut stop) => stopped,
            }
        }
    }
}

/// The wanted port, or a free one if another sandbox has it.
async fn listen(port: u16) -> Result<tokio::net::TcpListener, String> {
    match tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
        Ok(listener) => Ok(listener),
        Err(_) => tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(|error| error.to_string()),
    }
}
