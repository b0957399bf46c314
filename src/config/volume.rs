//! Where bytes live: volumes and the spool.

use super::{ByteSize, Folded};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// The named stores of files.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volumes {
    /// What arrived, split into parts, sealed.
    pub inbox: Volume,
    /// Copies of originals, for the rules that ask for one.
    pub archive: Volume,
}

/// One named store of files.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// disk, or memory (gone when the process ends).
    pub kind: VolumeKind,
    /// Disk: its directory.
    pub path: PathBuf,
}

/// Kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// A directory.
    Disk,
    /// Nothing outlives the process; for tests and trials.
    Memory,
}

/// The directory Postfix and LMTP put mail into, and how Postfix is told to.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    /// Its directory.
    pub path: PathBuf,
    /// Mail is deferred while the file system has fewer free bytes.
    pub min_free_bytes: ByteSize,
    /// Mail is deferred while the file system has fewer free inodes.
    pub min_free_inodes: u64,
    /// Mail whose length differs at all from what Postfix announced is taken as cut short.
    pub strict_size: bool,
    /// Postfix: path of the program it runs per mail.
    pub mailhandler: PathBuf,
    /// Postfix: user the program runs as, the same as the server's.
    pub user: String,
    /// Domains whose mail is ours; also where plus addresses are looked at.
    pub domains: Vec<Folded>,
}
