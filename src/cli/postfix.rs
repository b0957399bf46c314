//! `headworks postfix snippet`.

use super::{Exit, Failure, Global, print};
use clap::Subcommand;
use headworks_spool::Spool;

/// Print settings for Postfix.
#[derive(Debug, Subcommand)]
pub enum Postfix {
    /// Print the lines for main.cf and master.cf of this installation.
    Snippet,
}

impl Postfix {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no spool yet, or no domain is configured.
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let Self::Snippet = self;
        let loaded = global.load()?;
        let config = loaded.config();
        let path = &config.spool.path;
        if !path.join("id").exists() {
            let why =
                format!("there is no spool at {} yet: start the server once to create it", path.display());
            return Err(Failure::new(Exit::NotFound, why));
        }
        // Root edits Postfix's files, but only the owner may open the spool.
        super::owner::become_owner(&config.server.state_dir)?;
        let spool = Spool::open(path, None)?;
        let lines = crate::mail::snippet(config, &spool).map_err(|why| Failure::new(Exit::Usage, why))?;
        print::out(&lines)?;
        Ok(Exit::Done)
    }
}
