//! A spool of its own per test.

use headworks_spool::{EntryName, Envelope, Spool, State};
use std::io::Read as _;
use std::path::PathBuf;
use tempfile::TempDir;

/// A fresh spool in a directory that vanishes with it.
pub struct Bench {
    pub dir: TempDir,
    pub spool: Spool,
}

impl Bench {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::create(&dir.path().join("spool")).unwrap();
        Self { dir, spool }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    pub fn names(&self, state: State) -> Vec<EntryName> {
        self.spool.list().unwrap().into_iter().filter(|name| name.state == state).collect()
    }
}

/// Reads and verifies an entry.
pub fn read(spool: &Spool, name: EntryName) -> (Envelope, Vec<u8>) {
    let mut entry = spool.read(name).unwrap();
    entry.verify().unwrap();
    let mut message = Vec::new();
    entry.message().unwrap().read_to_end(&mut message).unwrap();
    assert_eq!(message.len() as u64, entry.message_bytes());
    (entry.envelope().clone(), message)
}
