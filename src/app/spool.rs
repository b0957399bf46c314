//! The spool of this process, and a look into that of its host.

use crate::config::Config;
use crate::mail::Damaged;
use headworks_spool::{EntryName, Spool, SpoolError, SpoolLock};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A spool and the lock that makes it this process's.
#[derive(Debug)]
pub struct HomeSpool {
    /// The spool.
    pub spool: Spool,
    /// Where it is.
    pub directory: PathBuf,
    /// What is damaged in it.
    pub damaged: Damaged,
    _lock: SpoolLock,
}

impl HomeSpool {
    /// Opens the spool of the configuration, making it where there is none, and locks it.
    ///
    /// # Errors
    /// When it cannot be made or opened, or another process has it.
    pub fn open(config: &Config) -> Result<Self, SpoolError> {
        let directory = config.spool.path.clone();
        let spool = if directory.join("id").exists() {
            Spool::open(&directory, None)?
        } else {
            Spool::create(&directory)?
        };
        let lock = spool.lock()?;
        Ok(Self { spool, directory, damaged: Damaged::default(), _lock: lock })
    }
}

/// Whether a whole mail of this receipt lies in the spool at `directory`. Looking needs no lock, so a process beside the
/// one that holds the spool can tell, and one on a host without a spool finds nothing there.
pub fn holds(directory: &Path, receipt: Uuid) -> bool {
    Spool::open(directory, None).and_then(|spool| spool.read(EntryName::whole(receipt))).is_ok()
}
