//! Who may open the store's files: their owner, so that no command leaves files the server cannot write.

use super::{Exit, Failure};
use crate::config::{Config, StoreKind};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Goes on as somebody who may open the store. SQLite's files are their owner's alone; Postgres asks for a role of its own and
/// not for a user, but root goes on as the server's user there, too, where that has a state directory on this host.
///
/// # Errors
/// As [`become_owner`].
pub fn of_store(config: &Config) -> Result<(), Failure> {
    if config.store.kind == StoreKind::Postgres && !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    become_owner(&config.server.state_dir)
}

/// Goes on as the owner of the state directory. Root starts this command again as that user, and does not return.
///
/// # Errors
/// When we are neither.
pub fn become_owner(state_dir: &Path) -> Result<(), Failure> {
    let owner = match std::fs::metadata(state_dir) {
        Ok(found) => found,
        // It will be made, and then it is ours.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::new(Exit::Failed, format!("{}: {error}", state_dir.display()))),
    };
    let own = rustix::process::geteuid();
    if own.as_raw() == owner.uid() {
        return Ok(());
    }
    if !own.is_root() {
        let why =
            format!("{} is of user {}: run this as that user or as root", state_dir.display(), owner.uid());
        return Err(Failure::new(Exit::Refused, why));
    }
    let program = std::env::current_exe()?;
    let error =
        Command::new(&program).args(std::env::args_os().skip(1)).uid(owner.uid()).gid(owner.gid()).exec();
    Err(Failure::new(Exit::Failed, format!("{} as user {}: {error}", program.display(), owner.uid())))
}
