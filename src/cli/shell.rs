//! `headworks completions` and `headworks man`, generated from the definition of the command line.

use super::{Exit, Failure, command, out};
use clap::Args;
use clap_complete::Shell;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
pub struct Completions {
    shell: Shell,
}

impl Completions {
    /// Runs the command.
    pub fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "headworks", &mut script);
        out(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}

/// Prints the manual page.
pub fn man() -> Result<Exit, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command()).render(&mut page)?;
    out(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}
