//! `headworks config`: check, print, schema.

use super::{Exit, Failure, Global};
use clap::Subcommand;

/// Look at the configuration.
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Say everything that is wrong with it, each with file and line.
    Check,
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
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        match self {
            Self::Check => {
                global.load()?;
                eprintln!("the configuration is good");
            }
            Self::Print { origin } => super::out(&global.load()?.print(origin))?,
            Self::Schema => super::out(&format!("{:#}\n", crate::config::schema()))?,
        }
        Ok(Exit::Done)
    }
}
