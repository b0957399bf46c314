//! `headworks config`: check and print the configuration, and its schema.

mod kafka;
mod live;

use super::print::{self, Column};
use super::{Exit, Failure, Global, owner};
use crate::app::{BuildError, is_idle};
use clap::Subcommand;
use live::Line;

const COLUMNS: [Column; 4] =
    [("state", "/state"), ("check", "/check"), ("place", "/place"), ("detail", "/detail")];

/// Check and print the configuration.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check the configuration and print every mistake with its file and line.
    Check {
        /// Also check the store, volumes, spool, modules, addresses and Kafka it names, without changing anything.
        #[arg(long)]
        live: bool,
        /// With --live: print one JSON object per line.
        #[arg(long, requires = "live")]
        json: bool,
    },
    /// Print the effective settings as TOML, secrets as `***`.
    Print {
        /// Add where each setting comes from.
        #[arg(long)]
        origin: bool,
    },
    /// Print the JSON Schema of a configuration file, for editors.
    Schema,
}

impl Config {
    /// Runs the command.
    ///
    /// # Errors
    /// When the configuration is invalid, with every mistake in it.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        match self {
            Self::Check { live: true, json } => return check_live(global, json).await,
            Self::Check { .. } => {
                let loaded = global.load()?;
                let config = loaded.config();
                if is_idle(config, &config.server.roles) {
                    return Err(Failure::new(Exit::Usage, BuildError::Idle.to_string()));
                }
                global.say("the configuration is valid");
            }
            Self::Print { origin } => super::out(&global.load()?.print(origin))?,
            Self::Schema => super::out(&format!("{:#}\n", crate::config::schema()))?,
        }
        Ok(Exit::Done)
    }
}

/// Prints a line per check; exits with 1 if one failed. The checks run as the server's user, because they fail where that
/// user cannot read or write.
async fn check_live(global: &Global, json: bool) -> Result<Exit, Failure> {
    let loaded = global.load()?;
    owner::become_owner(&loaded.config().server.state_dir)?;
    let lines = live::check(&loaded).await;
    print::list(json, &COLUMNS, &lines.iter().map(Line::json).collect::<Vec<_>>())?;
    let failed = lines.iter().filter(|line| line.has_failed()).count();
    global.say(&format!("the configuration is valid; {failed} of {} checks failed", lines.len()));
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}
