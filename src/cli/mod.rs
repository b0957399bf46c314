//! The command line: one file per noun.
//!
//! `headworks <noun> <verb>`. Data goes to standard output, messages for people to standard error; `--json` prints one
//! object per line. Scripts rely on the exit codes ([`Exit`]).

mod client;
mod config;
mod deliveries;
mod demo;
mod doctor;
mod gateway;
mod held;
mod ids;
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
mod receipts;
mod relay;
mod rows;
mod rules;
mod schemas;
mod serve;
mod shell;
mod verify;

use gateway::{Gateway, Store};
use print::out;

use crate::config::{Errors, Layers};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Ingestion appliance: accepts mail, notifications and uploads, keeps them, and turns them into typed rows.
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
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file [default: /etc/headworks/headworks.toml if it exists].
    #[arg(long, global = true, env = "HEADWORKS_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one setting, for example `--set jobs.lease=1m`. May be repeated; secrets are refused.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Use the server at this http:// or https:// address instead of the one on this host.
    #[arg(long, global = true, env = "HEADWORKS_URL", value_name = "URL")]
    url: Option<String>,
    /// File with the API key for --url [default: the value of HEADWORKS_KEY].
    #[arg(long, global = true, env = "HEADWORKS_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// File with the CA certificates to trust for an https:// URL, in PEM form [default: the system's].
    #[arg(long, global = true, env = "HEADWORKS_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print only errors on standard error.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Print help and usage errors without colours.
    #[arg(long, global = true)]
    no_color: bool,
    /// Least severe level to log: error, warn, info, debug or trace.
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    /// Bring the schema of the store up to date.
    Migrate,
    #[command(subcommand)]
    Config(config::Config),
    #[command(subcommand)]
    Keys(keys::Keys),
    #[command(subcommand)]
    Jobs(jobs::Jobs),
    #[command(subcommand)]
    Held(held::HeldJobs),
    #[command(subcommand)]
    Deliveries(deliveries::Deliveries),
    #[command(subcommand)]
    Receipts(receipts::Receipts),
    Rows(rows::Rows),
    Schemas(schemas::Schemas),
    Trace(deliveries::Trace),
    Replay(deliveries::Replay),
    #[command(subcommand)]
    Rules(rules::Rules),
    #[command(subcommand)]
    Modules(modules::Modules),
    #[command(subcommand)]
    Queues(queues::Queues),
    #[command(subcommand)]
    Relay(relay::Relay),
    #[command(subcommand)]
    Log(log::Log),
    Verify(verify::Verify),
    #[command(subcommand)]
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Postfix(postfix::Postfix),
    Completions(shell::Completions),
    /// Print the manual page in roff format.
    Man,
}

/// Exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage; clap exits with the same code.
    Usage = 2,
    /// Not found.
    NotFound = 3,
    /// Refused by policy.
    Refused = 4,
    /// Partly done.
    Partly = 5,
    /// The server cannot be reached.
    Unreachable = 6,
}

/// Why a command failed: the message for standard error, and the exit code.
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

/// Parses the command line, runs one command, and reports how it ended.
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

/// Exits if the command line is wrong or only asks for help. clap itself respects `NO_COLOR` and `TERM=dumb`.
fn parse() -> Cli {
    let plain = std::env::args_os().any(|argument| argument == "--no-color");
    let colors = if plain { clap::ColorChoice::Never } else { clap::ColorChoice::Auto };
    let mut matches = Cli::command().color(colors).get_matches();
    Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit())
}

#[tokio::main]
async fn run(cli: Cli) -> Result<Exit, Failure> {
    let global = &cli.global;
    match cli.command {
        Command::Serve(serve) => serve.run(global).await,
        Command::Demo(demo) => demo.run(global).await,
        Command::Migrate => migrate::run(global).await,
        Command::Config(config) => config.run(global).await,
        Command::Keys(keys) => {
            let store = keys.store();
            ask_on(global, store, async |api| keys.run(global, api).await).await
        }
        Command::Jobs(jobs) => ask(global, async |api| jobs.run(global, api).await).await,
        Command::Held(held) => ask(global, async |api| held.run(global, api).await).await,
        Command::Deliveries(deliveries) => ask(global, async |api| deliveries.run(global, api).await).await,
        Command::Receipts(receipts) => ask(global, async |api| receipts.run(api).await).await,
        Command::Rows(rows) => ask(global, async |api| rows.run(global, api).await).await,
        Command::Schemas(schemas) => ask(global, async |api| schemas.run(global, api).await).await,
        Command::Trace(trace) => ask(global, async |api| trace.run(global, api).await).await,
        Command::Replay(replay) => ask(global, async |api| replay.run(global, api).await).await,
        Command::Rules(rules) => rules.run(global).await,
        Command::Modules(modules) => modules.run(global).await,
        Command::Queues(queues) => ask(global, async |api| queues.run(global, api).await).await,
        Command::Relay(relay) => ask(global, async |api| relay.run(global, api).await).await,
        Command::Log(log) => ask(global, async |api| log.run(global, api).await).await,
        Command::Verify(verify) => verify.run(global).await,
        Command::Doctor(doctor) => doctor.run(global).await,
        Command::Postfix(postfix) => postfix.run(global),
        Command::Completions(completions) => completions.run(),
        Command::Man => shell::man(),
    }
}

/// Runs a command that asks the API.
async fn ask(
    global: &Global,
    command: impl AsyncFnOnce(&Gateway) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    ask_on(global, Store::Found, command).await
}

/// As [`ask`], for a command that may make the store.
async fn ask_on(
    global: &Global,
    store: Store,
    command: impl AsyncFnOnce(&Gateway) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let api = Gateway::open_on(global, store).await?;
    let ended = command(&api).await;
    api.close().await;
    ended
}

impl Global {
    /// Where the settings are read from.
    fn layers(&self) -> Layers {
        const DEFAULT: &str = "/etc/headworks/headworks.toml";
        let default = || Some(PathBuf::from(DEFAULT)).filter(|path| path.exists());
        let mut flags = self.set.clone();
        flags.extend(self.log_level.iter().map(|level| format!("telemetry.level={level}")));
        Layers::of_process(self.config.clone().or_else(default), flags)
    }

    /// Prints a message for people on standard error.
    fn say(&self, message: &str) {
        if !self.quiet {
            eprintln!("{message}");
        }
    }

    /// Loads and checks the configuration.
    fn load(&self) -> Result<crate::config::Loaded, Failure> {
        crate::config::load(&self.layers())
            .map_err(|errors: Errors| Failure::new(Exit::Usage, errors.to_string()))
    }
}

/// The command line as clap knows it, for completions and the manual page.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}
