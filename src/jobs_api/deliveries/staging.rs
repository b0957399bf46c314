//! Puts a body into a nameless file and hashes it on the way.

use crate::ids::Digest;
use crate::infra::volume::Stored;
use crate::web::{Kind, Problem};
use module_sniff::LOOK_BYTES;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::path::Path;
use tokio::io::AsyncWriteExt;

/// A body that was read to its end.
pub struct Staged {
    /// Its bytes.
    pub file: File,
    /// Length and digest of them.
    pub stored: Stored,
    /// The first of its bytes, by which its type is told.
    pub front: Vec<u8>,
    /// Its name, where the body says one.
    pub name: Option<String>,
    /// Its media type, where request or body say one.
    pub media_type: Option<String>,
}

/// A file that is being written. Nothing of it remains when it is dropped.
pub struct Staging {
    file: tokio::fs::File,
    hash: Sha256,
    len_bytes: u64,
    most_bytes: u64,
    front: Vec<u8>,
}

/// What was written.
pub struct Written {
    /// The file.
    pub file: File,
    /// Length and digest of its bytes.
    pub stored: Stored,
    /// The first of its bytes.
    pub front: Vec<u8>,
}

impl Staging {
    /// A fresh file in `tmp` for at most `most_bytes`.
    pub async fn begin(tmp: &Path, most_bytes: u64) -> Result<Self, Problem> {
        let tmp = tmp.to_owned();
        let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(tmp)).await;
        let file = made.map_err(Problem::internal)?.map_err(failed)?;
        let file = tokio::fs::File::from_std(file);
        Ok(Self { file, hash: Sha256::new(), len_bytes: 0, most_bytes, front: Vec::new() })
    }

    /// Adds bytes.
    pub async fn add(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.len_bytes = self.len_bytes.saturating_add(bytes.len() as u64);
        if self.len_bytes > self.most_bytes {
            return Err(Problem::new(Kind::TooLarge, format!("the limit is {} bytes", self.most_bytes)));
        }
        let missing = LOOK_BYTES.saturating_sub(self.front.len());
        self.front.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.hash.update(bytes);
        self.file.write_all(bytes).await.map_err(failed)
    }

    /// The file and what it holds.
    pub async fn end(mut self) -> Result<Written, Problem> {
        self.file.flush().await.map_err(failed)?;
        let stored = Stored { digest: Digest(self.hash.finalize().into()), len_bytes: self.len_bytes };
        Ok(Written { file: self.file.into_std().await, stored, front: self.front })
    }
}

fn failed(error: std::io::Error) -> Problem {
    Problem::new(Kind::Unavailable, "").because(error)
}
