//! `headworks postfix snippet`.

use super::{Exit, Failure, Global, print};
use clap::Subcommand;
use headworks_spool::Spool;

/// How Postfix hands its mail to us.
#[derive(Debug, Subcommand)]
pub enum Postfix {
    /// Print the lines for main.cf and master.cf that belong to this installation.
    Snippet,
}

impl Postfix {
    /// Prints them.
    ///
    /// # Errors
    /// When there is no spool yet, or no domain is ours.
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let Self::Snippet = self;
        let loaded = global.load()?;
        let config = loaded.config();
        let path = &config.spool.path;
        if !path.join("id").exists() {
            let why =
                format!("there is no spool at {} yet: start the server once, it makes one", path.display());
            return Err(Failure::new(Exit::NotFound, why));
        }
        // The spool is its owner's alone; who edits Postfix's files is root.
        super::owner::become_owner(&config.server.state_dir)?;
        let spool = Spool::open(path, None)?;
        let lines = crate::mail::snippet(config, &spool).map_err(|why| Failure::new(Exit::Usage, why))?;
        print::out(&lines)?;
        Ok(Exit::Done)
    }
}
