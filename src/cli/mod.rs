//! The command line: one file per noun.
//!
//! `headworks <noun> <verb>`. Standard output is data, standard error is talk; `--json` prints one object per line. Exit
//! codes ([`Exit`]) are the contract of product.md 3.1.

mod config;
mod migrate;
mod serve;

use crate::config::{Errors, Sources};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Ingestion appliance: takes in what arrives, keeps it, and turns it into typed rows.
#[derive(Debug, Parser)]
#[command(name = "headworks", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Configuration file [default: /etc/headworks/headworks.toml where it exists].
    #[arg(long, global = true, env = "HEADWORKS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Overrides one setting, for example `--set jobs.lease=1m`; secrets are refused. May be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Least important level that is logged: error, warn, info, debug, trace.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Serve),
    /// Bring the schema of the store up to this version.
    Migrate,
    /// Look at the configuration.
    #[command(subcommand)]
    Config(config::Config),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Called in a wrong way; clap exits with the same.
    Usage = 2,
    /// What was asked for is not there.
    NotFound = 3,
    /// Refused by policy.
    Refused = 4,
    /// Done in part.
    Partly = 5,
    /// The server cannot be reached.
    Unreachable = 6,
}

/// Why a command did not do what it was asked: what goes to standard error, and how to exit.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}

/// Parses the command line, runs one command, says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = match run(cli) {
        Ok(exit) => exit,
        Err(failure) => {
            eprintln!("headworks: {}", failure.message);
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

#[tokio::main]
async fn run(cli: Cli) -> Result<Exit, Failure> {
    let global = cli.global;
    match cli.command {
        Command::Serve(serve) => serve.run(&global).await,
        Command::Migrate => migrate::run(&global).await,
        Command::Config(config) => config.run(&global),
    }
}

impl Global {
    /// Where the settings come from.
    fn sources(&self) -> Sources {
        const USUAL: &str = "/etc/headworks/headworks.toml";
        let usual = || std::path::Path::new(USUAL).exists().then(|| PathBuf::from(USUAL));
        let mut flags = self.set.clone();
        flags.extend(self.log_level.iter().map(|level| format!("telemetry.level={level}")));
        Sources::of_process(self.config.clone().or_else(usual), flags)
    }

    /// The configuration, checked.
    fn load(&self) -> Result<crate::config::Loaded, Failure> {
        crate::config::load(&self.sources()).map_err(|errors: Errors| Failure::new(Exit::Usage, errors.to_string()))
    }
}

/// Writes to standard output: the one place that does.
///
/// # Errors
/// When it cannot be written.
fn out(text: &str) -> Result<(), Failure> {
    use std::io::Write;
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

/// The command line as clap knows it, for completions and the manual page.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}
