//! `headworks config`: check, print, schema.

mod live;

use super::print::{self, Column};
use super::{Exit, Failure, Global, owner};
use clap::Subcommand;
use live::Line;

const COLUMNS: [Column; 4] =
    [("state", "/state"), ("what", "/what"), ("place", "/place"), ("detail", "/detail")];

/// Look at the configuration.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Say everything that is wrong with it, each with file and line.
    Check {
        /// Look at what it names, too: store, volumes, spool, modules, addresses. Nothing is changed.
        #[arg(long)]
        live: bool,
        /// With --live: print one JSON object per line.
        #[arg(long, requires = "live")]
        json: bool,
    },
    /// Print the settings in force as TOML, secrets as `***`.
    Print {
        /// Add where each setting was written.
        #[arg(long)]
        origin: bool,
    },
    /// Print the JSON Schema of a configuration file, for editors.
    Schema,
}

impl Config {
    /// Does it.
    ///
    /// # Errors
    /// When the configuration is wrong: everything that is.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        match self {
            Self::Check { live: true, json } => return check_live(global, json).await,
            Self::Check { .. } => {
                global.load()?;
                global.say("the configuration is good");
            }
            Self::Print { origin } => super::out(&global.load()?.print(origin))?,
            Self::Schema => super::out(&format!("{:#}\n", crate::config::schema()))?,
        }
        Ok(Exit::Done)
    }
}

/// A line per thing looked at; exit 1 where one is in trouble. What the server's user cannot read or write is trouble, so it
/// is looked at as that user.
async fn check_live(global: &Global, json: bool) -> Result<Exit, Failure> {
    let loaded = global.load()?;
    owner::become_owner(&loaded.config().server.state_dir)?;
    let lines = live::check(&loaded).await;
    print::list(json, &COLUMNS, &lines.iter().map(Line::json).collect::<Vec<_>>())?;
    let troubles = lines.iter().filter(|line| line.is_trouble()).count();
    global.say(&format!("the configuration is good; {troubles} troubles with what it names"));
    Ok(if troubles == 0 { Exit::Done } else { Exit::Failed })
}
