//! Bytes on their way into a volume, and what is known of them once they are there.

use crate::ids::Digest;
use sha2::Digest as _;
use std::fs::File;
use std::io::{self, Read, Write};

/// Where the bytes of a new file come from.
pub enum Source<'a> {
    /// In memory.
    Bytes(&'a [u8]),
    /// Read to its end and hashed on the way. The caller caps it.
    Reader(&'a mut dyn Read),
    /// A range whose digest is already known: copied by the kernel where it can (reflink, `copy_file_range`), not
    /// hashed again.
    Range(FileRange<'a>),
}

/// Bytes inside an open file.
#[derive(Debug, Clone, Copy)]
pub struct FileRange<'a> {
    /// Spool entry, spill, or a file of a volume.
    pub file: &'a File,
    /// First byte.
    pub offset: u64,
    /// Length and digest of the range, as found when it was made.
    pub stored: Stored,
}

/// What is known of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// SHA-256.
    pub digest: Digest,
    /// Length in bytes.
    pub len_bytes: u64,
}

impl Stored {
    /// Length and digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self { digest: Digest::of(bytes), len_bytes: bytes.len() as u64 }
    }

    /// Length and digest of everything `reader` gives.
    ///
    /// # Errors
    /// When reading fails.
    pub fn read(reader: impl Read) -> io::Result<Self> {
        Self::copy(reader, &mut io::sink())
    }

    /// As [`read`](Self::read), and writes everything to `writer`.
    ///
    /// # Errors
    /// When reading or writing fails.
    pub fn copy(reader: impl Read, writer: &mut impl Write) -> io::Result<Self> {
        let mut hashing = Hashing::new(reader);
        io::copy(&mut hashing, writer)?;
        Ok(hashing.stored())
    }
}

/// What became of a put: a file is never replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// The file is new.
    New(Stored),
    /// A file with the same bytes was there already; it is as durable as a new one would be.
    Same(Stored),
    /// A file with other bytes was there already and was left alone.
    Other {
        /// What was offered and not kept.
        offered: Stored,
        /// What is there.
        found: Stored,
    },
}

/// A reader that remembers what went through it.
pub(super) struct Hashing<R> {
    inner: R,
    hash: sha2::Sha256,
    len_bytes: u64,
}

impl<R> Hashing<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, hash: sha2::Sha256::new(), len_bytes: 0 }
    }

    /// Counts bytes that came another way.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.len_bytes += bytes.len() as u64;
    }

    pub fn stored(self) -> Stored {
        Stored { digest: Digest(self.hash.finalize().into()), len_bytes: self.len_bytes }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.update(&buffer[..got]);
        Ok(got)
    }
}
