//! The spool of this process.

use crate::config::Config;
use crate::mail::Damaged;
use mailhandler::{Spool, SpoolError, SpoolLock};
use std::path::PathBuf;

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
