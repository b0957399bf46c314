//! The lock file of a SQLite store: one process at a time; the error names the holder.

use super::DbError;
use rustix::fs::{FlockOperation, Mode, OFlags};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

/// Holds the lock until dropped. The kernel releases it when the process ends.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`Unavailable`](super::DbErrorKind::Unavailable), naming the process that holds it or why the file cannot be opened.
    pub fn take(path: &Path) -> Result<Self, DbError> {
        let place =
            |error: std::io::Error| DbError::unavailable(format!("lock file {}: {error}", path.display()));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let mut file = File::from(
            rustix::fs::open(path, flags, Mode::from_raw_mode(0o600)).map_err(|e| place(e.into()))?,
        );
        if let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK {
                return Err(place(error.into()));
            }
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(place)?;
            let message = format!("{} is held by {}", path.display(), holder.trim());
            return Err(DbError::unavailable(message));
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(place)?;
        writeln!(file, "process {}", std::process::id()).map_err(place)?;
        Ok(Self { _file: file })
    }
}
