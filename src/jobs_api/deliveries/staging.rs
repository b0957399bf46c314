//! Puts a body into a nameless file and hashes it on the way.

use crate::ids::Digest;
use crate::infra::volume::Stored;
use crate::web::{Kind, Problem};
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
}

impl Staging {
    /// A fresh file in `tmp` for at most `most_bytes`.
    pub async fn begin(tmp: &Path, most_bytes: u64) -> Result<Self, Problem> {
        let tmp = tmp.to_owned();
        let made = tokio::task::spawn_blocking(move || tempfile::tempfile_in(tmp)).await;
        let file = made.map_err(Problem::internal)?.map_err(failed)?;
        Ok(Self { file: tokio::fs::File::from_std(file), hash: Sha256::new(), len_bytes: 0, most_bytes })
    }

    /// Adds bytes.
    pub async fn add(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.len_bytes = self.len_bytes.saturating_add(bytes.len() as u64);
        if self.len_bytes > self.most_bytes {
            return Err(Problem::new(Kind::TooLarge, format!("the limit is {} bytes", self.most_bytes)));
        }
        self.hash.update(bytes);
        self.file.write_all(bytes).await.map_err(failed)
    }

    /// The file and what it holds.
    pub async fn end(mut self) -> Result<(File, Stored), Problem> {
        self.file.flush().await.map_err(failed)?;
        let stored = Stored { digest: Digest(self.hash.finalize().into()), len_bytes: self.len_bytes };
        Ok((self.file.into_std().await, stored))
    }
}

fn failed(error: std::io::Error) -> Problem {
    Problem::new(Kind::Unavailable, "").because(error)
}
