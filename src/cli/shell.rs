//! `headworks completions` and `headworks man`: generated from the command line itself.

use super::{Exit, Failure, command, out};
use clap::Args;
use clap_complete::Shell;

/// Print completions for a shell.
#[derive(Debug, Args)]
pub struct Completions {
    shell: Shell,
}

impl Completions {
    /// Prints them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn run(self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "headworks", &mut script);
        out(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}

/// Prints the manual page.
///
/// # Errors
/// When it cannot be written.
pub fn man() -> Result<Exit, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command()).render(&mut page)?;
    out(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}
