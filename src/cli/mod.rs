//! The commands that talk to a running Shipmate: what Slack's `/deploy` does, for the day that Slack is down.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::config::Config;
use crate::control;
use crate::control::text;
use crate::control::wire::{Abort, Answer, Decide, Lock, Start};
use crate::deploy::begin::Wish;
use crate::deploy::train::Selection;
use crate::deploy::version::Bump;
use crate::saga::sled_store::SledStore;

mod client;
mod watch;

use client::Client;

/// What the exit codes of [`Failure`] mean, for `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 done; 1 it failed, and the last line says why; 2 the command line is wrong; 3 no Shipmate is running; 4 you may not.";

/// Why a command was not done, in one sentence.
#[derive(Debug, PartialEq)]
pub enum Failure {
    /// It failed, or can't be done as things stand.
    Failed(String),
    /// Nobody listens at the control socket.
    NotRunning(String),
    /// Who asks may not.
    Refused(String),
    /// Whoever read the output has gone, with what they wanted: `… | head`.
    Unheard,
}

impl Failure {
    /// For scripts, as far as it is one; 2 is the command line parser's.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Unheard => 0,
            Self::Failed(_) => 1,
            Self::NotRunning(_) => 3,
            Self::Refused(_) => 4,
        })
    }

    /// For people; empty where nothing is wrong.
    pub fn sentence(&self) -> &str {
        match self {
            Self::Unheard => "",
            Self::Failed(sentence) | Self::NotRunning(sentence) | Self::Refused(sentence) => sentence,
        }
    }
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self::Failed(sentence)
    }
}

/// Where the configuration is.
#[derive(Args)]
pub struct ConfigArgs {
    /// The configuration [default: $SHIPMATE_CONFIG, or config/shipmate.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    /// Reads it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(&self) -> Result<Config, String> {
        Config::load(&self.path()).map_err(|error| error.to_string())
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        Config::path(self.config.clone(), |name| std::env::var(name).ok())
    }
}

/// What all of these commands take.
#[derive(Args)]
pub struct Common {
    /// Writes JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Says what runs now, what it waits for, and how to decide.
    Status {
        /// Only this project.
        project: Option<String>,
        /// Says it again whenever it changes, until Ctrl-C.
        #[arg(long)]
        watch: bool,
        /// How it is written, and where the configuration is.
        #[command(flatten)]
        common: Common,
    },
    /// Lists the latest deployments, newest first.
    History {
        /// Only this project's.
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
        /// At most so many.
        #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// How it is written, and where the configuration is.
        #[command(flatten)]
        common: Common,
    },
    /// Shows a deployment and everything that happened in it.
    Show {
        /// Its id.
        id: String,
        /// How it is written, and where the configuration is.
        #[command(flatten)]
        common: Common,
    },
    /// Starts a deployment; the list is confirmed before anything is touched.
    Start {
        /// The project.
        project: String,
        /// patch, minor, major, calendar or a version [default: as configured].
        bump: Option<Bump>,
        /// Which pull requests.
        #[command(flatten)]
        selection: SelectionArgs,
        /// Only says what would ship, rehearsal included.
        #[arg(long)]
        dry_run: bool,
        /// Why it may pass a lock or a freeze; stands in the journal and on the card.
        #[arg(long = "override", value_name = "REASON")]
        override_reason: Option<String>,
        /// How it is written, and where the configuration is.
        #[command(flatten)]
        common: Common,
    },
    /// Decides a checkpoint; `status` lists what can be chosen.
    Decide {
        /// The deployment.
        id: String,
        /// The checkpoint.
        checkpoint: String,
        /// What is chosen.
        choice: String,
        /// Why, for the journal.
        #[arg(long)]
        reason: Option<String>,
        /// The plan that is approved, as `status` names it.
        #[arg(long, value_name = "DIGEST")]
        plan: Option<String>,
        /// Which pull requests.
        #[command(flatten)]
        selection: SelectionArgs,
        /// How it is written, and where the configuration is.
        #[command(flatten)]
        common: Common,
    },
    /// Undoes everything; only before the point of no return.
    Abort {
        /// The deployment.
        id: String,
        /// Why.
        reason: Vec<String>,
        /// Doesn't show what would be undone, and doesn't ask: for scripts.
        #[arg(long)]
        yes: bool,
        /// How it is written, and where the configuration is.
        #[command(flatten)]
        common: Common,
    },
    /// Tries again what failed.
    Retry {
        /// The deployment.
        id: String,
        /// How it is written, and where the configuration is.
        #[command(flatten)]
        common: Common,
    },
    /// Lets nobody start a deployment of this project.
    Lock {
        /// The project.
        project: String,
        /// Why.
        #[arg(required = true)]
        reason: Vec<String>,
        /// How long, such as 2h or 30m [default: until somebody unlocks].
        #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
        lasting: Option<Duration>,
        /// How it is written, and where the configuration is.
        #[command(flatten)]
        common: Common,
    },
    /// Lifts a project's lock.
    Unlock {
        /// The project.
        project: String,
        /// How it is written, and where the configuration is.
        #[command(flatten)]
        common: Common,
    },
    /// Writes every deployment's events as JSON lines, whether Shipmate runs or not.
    ///
    /// Left out are the locks that people have put on projects, places in the queue and muted names, and deployments that have left the store
    /// (`keep` under `[history]`): their flight recorders are in `data_dir`, under flight/archive.
    Export(ConfigArgs),
}

/// Which pull requests.
#[derive(Args)]
pub struct SelectionArgs {
    /// Only these pull requests, in this order.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = number)]
    only: Vec<u64>,
    /// Not these.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', value_parser = number)]
    exclude: Vec<u64>,
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.trim().trim_start_matches('#').parse();
    digits.map_err(|_| format!("`{text}` is no pull request number"))
}

impl From<SelectionArgs> for Selection {
    fn from(args: SelectionArgs) -> Self {
        Self {
            only: args.only,
            exclude: args.exclude,
        }
    }
}

/// Runs a command.
///
/// # Errors
/// Why it was not done.
pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Status { project, watch, common } => {
            let client = common.client()?;
            let query = [("project", project)];
            match watch {
                true => watch::follow(client.stream(&["watch"], &query).await?, common.looks()).await,
                false => common.show(&client.get(&["status"], &query).await?),
            }
        }
        Command::History { project, limit, common } => {
            let query = [("project", project), ("limit", Some(limit.to_string()))];
            common.show(&common.client()?.get(&["history"], &query).await?)
        }
        Command::Show { id, common } => common.show(&common.client()?.get(&["deployments", &id], &[]).await?),
        Command::Start {
            project,
            bump,
            selection,
            dry_run,
            override_reason,
            common,
        } => {
            let start = Start {
                project,
                wish: Wish {
                    bump,
                    selection: selection.into(),
                    override_reason,
                },
                dry_run,
            };
            common.show(&common.client()?.post(&["start"], &start).await?)
        }
        Command::Lock {
            project,
            reason,
            lasting,
            common,
        } => {
            let lock = Lock {
                reason: reason.join(" "),
                seconds: lasting.map(|lasting| lasting.as_secs()),
            };
            common.show(&common.client()?.post(&["projects", &project, "lock"], &lock).await?)
        }
        Command::Unlock { project, common } => {
            common.show(&common.client()?.post(&["projects", &project, "unlock"], &()).await?)
        }
        Command::Decide {
            id,
            checkpoint,
            choice,
            reason,
            plan,
            selection,
            common,
        } => {
            let decision = Decide {
                checkpoint,
                choice,
                plan,
                reason,
                selection: selection.into(),
            };
            let path = ["deployments", &id, "decide"];
            common.show(&common.client()?.post(&path, &decision).await?)
        }
        Command::Abort {
            id,
            reason,
            yes,
            common,
        } => {
            let path = ["deployments", &id, "abort"];
            let client = common.client()?;
            if !yes {
                if !std::io::stdin().is_terminal() {
                    return Err(Failure::Failed(text::say_yes(&id)));
                }
                agrees(&client.get(&path, &[]).await?.text)?;
            }
            let reason = reason.join(" ");
            let abort = Abort {
                reason: (!reason.is_empty()).then_some(reason),
            };
            common.show(&client.post(&path, &abort).await?)
        }
        Command::Retry { id, common } => {
            let path = ["deployments", &id, "retry"];
            common.show(&common.client()?.post(&path, &()).await?)
        }
        Command::Export(config) => export(&config.load()?).await,
    }
}

impl Common {
    fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.config.load()?)
    }

    fn show(&self, answer: &Answer) -> Result<(), Failure> {
        match self.json {
            true => say(&answer.data.to_string()),
            false => say(&answer.text),
        }
    }

    fn looks(&self) -> watch::Looks {
        match (self.json, std::io::stdout().is_terminal()) {
            (true, _) => watch::Looks::Json,
            (false, true) => watch::Looks::Screen,
            (false, false) => watch::Looks::Lines,
        }
    }
}

/// Through the server, which holds the store's lock, or from the store itself when there is none.
async fn export(config: &Config) -> Result<(), Failure> {
    match Client::new(config)?.stream(&["export"], &[]).await {
        Ok(mut lines) => {
            while let Some(line) = lines.next().await? {
                say(&line)?;
            }
            Ok(())
        }
        Err(Failure::NotRunning(_)) => {
            let store = SledStore::open(&config.data_dir).map_err(|error| error.to_string())?;
            for line in control::exported(std::sync::Arc::new(store)) {
                say(line?.trim_end())?;
            }
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

/// Shows what would be done, beside what scripts read, and asks.
fn agrees(preview: &str) -> Result<(), Failure> {
    let mut stderr = std::io::stderr().lock();
    let mut answer = String::new();
    write!(stderr, "{preview}\n{}", text::ABORT)
        .and_then(|()| stderr.flush())
        .and_then(|()| std::io::stdin().read_line(&mut answer))
        .map_err(|error| Failure::Failed(format!("{} {error}", text::NOT_ABORTED)))?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Failed(text::NOT_ABORTED.to_owned())),
    }
}

/// Writes a text and a line's end to stdout.
///
/// # Errors
/// [`Failure::Unheard`] if nobody reads any more.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::Unheard,
            _ => Failure::Failed(format!("the answer can't be written: {error}")),
        })
}
