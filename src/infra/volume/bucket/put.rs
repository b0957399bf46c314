//! New objects.

use super::super::error::{Fault, VolumeErrorKind};
use super::super::source::Hashing;
use super::super::{Durable, FileRange, Placed, Source, Stored, SubPath};
use super::Bucket;
use crate::infra::object_store::{Body, Put};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// Bytes per read of a reader.
const CHUNK_BYTES: usize = 128 * 1024;
/// A reader's bytes up to this length stay in memory.
const IN_MEMORY_BYTES: usize = 256 * 1024;

impl Bucket {
    pub(in super::super) fn put(
        &self,
        path: &SubPath,
        source: Source<'_>,
        _: Durable,
    ) -> Result<Placed, Fault> {
        if path.is_root() {
            return Err(Fault::new(VolumeErrorKind::AlreadyExists, "the root is a directory"));
        }
        let (body, offered) = self.body(source)?;
        let key = self.key(path);
        match self.wait(self.store.put_new(self.at(&key), &body, offered.digest.0))? {
            Put::New => Ok(Placed::New(offered)),
            Put::Exists => {
                let found = self.digest(path)?;
                Ok(if found == offered { Placed::Same(offered) } else { Placed::Other { offered, found } })
            }
        }
    }

    /// The bytes, so that they can be sent more than once, and what is known of them.
    fn body(&self, source: Source<'_>) -> Result<(Body, Stored), Fault> {
        match source {
            Source::Bytes(bytes) => Ok((Body::Bytes(bytes.to_vec().into()), Stored::of(bytes))),
            Source::Range(range) => Ok((of_range(&range)?, range.stored)),
            Source::Reader(reader) => of_reader(reader, &self.tmp),
        }
    }
}

fn of_range(range: &FileRange<'_>) -> Result<Body, Fault> {
    let len_bytes = range.stored.len_bytes;
    let there = range.file.metadata().map_err(Fault::input)?.len();
    if there < range.offset.saturating_add(len_bytes) {
        return Err(Fault::input(io::ErrorKind::UnexpectedEof.into()));
    }
    let file = range.file.try_clone().map_err(Fault::input)?;
    Ok(Body::File { file: Arc::new(file), offset: range.offset, len_bytes })
}

/// A few bytes stay in memory; more go through a file without a name.
fn of_reader(reader: &mut dyn Read, tmp: &Path) -> Result<(Body, Stored), Fault> {
    let mut reader = Hashing::new(reader);
    let mut bytes = Vec::new();
    let mut spill: Option<File> = None;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let got = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Fault::input(error)),
        };
        match &mut spill {
            Some(file) => file.write_all(&buffer[..got])?,
            None if bytes.len() + got <= IN_MEMORY_BYTES => bytes.extend_from_slice(&buffer[..got]),
            None => {
                let mut file = tempfile::tempfile_in(tmp)?;
                file.write_all(&bytes)?;
                file.write_all(&buffer[..got])?;
                spill = Some(file);
            }
        }
    }
    let stored = reader.stored();
    let body = match spill {
        None => Body::Bytes(bytes.into()),
        Some(file) => Body::File { file: Arc::new(file), offset: 0, len_bytes: stored.len_bytes },
    };
    Ok((body, stored))
}
