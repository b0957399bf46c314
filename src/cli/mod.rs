//! The command line: one file per noun.
//!
//! `headworks <noun> <verb>`. Standard output is data, standard error is talk; `--json` prints one object per line. Exit
//! codes ([`Exit`]) are the contract of product.md 3.1.

mod config;
mod deliveries;
mod demo;
mod gateway;
mod held;
mod jobs;
mod keys;
mod listing;
mod local;
mod log;
mod migrate;
mod modules;
mod owner;
mod postfix;
mod print;
mod queues;
mod rules;
mod serve;
mod shell;
mod verify;

use print::out;

use crate::config::{Errors, Sources};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
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
    /// Speak to the server at this address (http:// only) instead of the one on this host.
    #[arg(long, global = true, env = "HEADWORKS_URL", value_name = "URL")]
    url: Option<String>,
    /// File with the key for --url; without it, HEADWORKS_KEY is taken.
    #[arg(long, global = true, env = "HEADWORKS_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Say nothing on standard error but what went wrong.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// No colours in help and in complaints about the command line.
    #[arg(long, global = true)]
    no_color: bool,
    /// Least important level that is logged: error, warn, info, debug, trace.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(serve::Serve),
    /// See it work, from nothing, in a temporary directory.
    Demo(demo::Demo),
    /// Bring the schema of the store up to this version.
    Migrate,
    /// Look at the configuration.
    #[command(subcommand)]
    Config(config::Config),
    /// Who may ask.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// What is to be done, is done, was done.
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    /// What waits for an operator.
    #[command(subcommand)]
    Held(held::HeldJobs),
    /// What came.
    #[command(subcommand)]
    Deliveries(deliveries::Deliveries),
    /// Print the whole story of one delivery, receipt or job.
    Trace(deliveries::Trace),
    /// Read a delivery once more.
    Replay(deliveries::Replay),
    /// What the rules make of a mail.
    #[command(subcommand)]
    Rules(rules::Rules),
    /// The parsers.
    #[command(subcommand)]
    Modules(modules::Modules),
    /// Queues of jobs.
    #[command(subcommand)]
    Queues(queues::Queues),
    /// The log of events.
    #[command(subcommand)]
    Log(log::Log),
    /// Compare what is on the volumes with what the store knows.
    Verify(verify::Verify),
    /// How Postfix hands its mail to us.
    #[command(subcommand)]
    Postfix(postfix::Postfix),
    /// Print completions for a shell.
    Completions(shell::Completions),
    /// Print the manual page, in roff.
    Man,
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
    let exit = match run(parse()) {
        Ok(exit) => exit,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("headworks: {}", failure.message);
            }
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// Ends the process where the command line is wrong or asks for help only. `NO_COLOR` and `TERM=dumb` are clap's to see.
fn parse() -> Cli {
    let plain = std::env::args_os().any(|argument| argument == "--no-color");
    let colors = if plain { clap::ColorChoice::Never } else { clap::ColorChoice::Auto };
    let mut matches = Cli::command().color(colors).get_matches();
    Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit())
}

#[tokio::main]
async fn run(cli: Cli) -> Result<Exit, Failure> {
    let global = cli.global;
    match cli.command {
        Command::Serve(serve) => serve.run(&global).await,
        Command::Demo(demo) => demo.run(&global).await,
        Command::Migrate => migrate::run(&global).await,
        Command::Config(config) => config.run(&global).await,
        Command::Keys(keys) => keys.run(&global).await,
        Command::Jobs(jobs) => jobs.run(&global).await,
        Command::Held(held) => held.run(&global).await,
        Command::Deliveries(deliveries) => deliveries.run(&global).await,
        Command::Trace(trace) => trace.run(&global).await,
        Command::Replay(replay) => replay.run(&global).await,
        Command::Rules(rules) => rules.run(&global).await,
        Command::Modules(modules) => modules.run(&global).await,
        Command::Queues(queues) => queues.run(&global).await,
        Command::Log(log) => log.run(&global).await,
        Command::Verify(verify) => verify.run(&global).await,
        Command::Postfix(postfix) => postfix.run(&global),
        Command::Completions(completions) => completions.run(),
        Command::Man => shell::man(),
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

    /// Says something to a person, on standard error.
    fn say(&self, what: &str) {
        if !self.quiet {
            eprintln!("{what}");
        }
    }

    /// The configuration, checked.
    fn load(&self) -> Result<crate::config::Loaded, Failure> {
        crate::config::load(&self.sources())
            .map_err(|errors: Errors| Failure::new(Exit::Usage, errors.to_string()))
    }
}

/// The command line as clap knows it, for completions and the manual page.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}
