//! The user a command runs as: the owner of the store's files, so that no command creates files the server cannot write.

use super::{Exit, Failure};
use crate::config::{Config, StoreKind};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Continues as a user who may open the store. SQLite's files belong to their owner alone. Postgres has roles of its own, so
/// any user will do; but root continues as the server's user if the server has a state directory on this host.
///
/// # Errors
/// As [`become_owner`].
pub fn of_store(config: &Config) -> Result<(), Failure> {
    if config.store.kind == StoreKind::Postgres && !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    become_owner(&config.server.state_dir)
}

/// Continues as the owner of the state directory. If we are root, this does not return: it runs the command again as the
/// owner.
///
/// # Errors
/// When we are neither root nor the owner.
pub fn become_owner(state_dir: &Path) -> Result<(), Failure> {
    let owner = match std::fs::metadata(state_dir) {
        Ok(found) => found,
        // We will create it, and then we own it.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::new(Exit::Failed, format!("{}: {error}", state_dir.display()))),
    };
    let user = rustix::process::geteuid();
    if user.as_raw() == owner.uid() {
        return Ok(());
    }
    if !user.is_root() {
        let why = format!(
            "{} belongs to user {}: run this as that user or as root",
            state_dir.display(),
            owner.uid()
        );
        return Err(Failure::new(Exit::Refused, why));
    }
    let program = std::env::current_exe()?;
    let error =
        Command::new(&program).args(std::env::args_os().skip(1)).uid(owner.uid()).gid(owner.gid()).exec();
    Err(Failure::new(Exit::Failed, format!("{} as user {}: {error}", program.display(), owner.uid())))
}
