//! Sealed files: many entries of one commit in a file of a volume, and in the log one entry that names it.
//!
//! ```text
//!   Sealing: push, push, … (unnamed scratch file) ─▶ seal: durable in the volume ─▶ headers of the entry that names it
//!   Sealed (from those headers) ─▶ expand: digest and count compared, then the entries from any number on
//! ```
//!
//! A file has one line of JSON per entry: `{"key":"…","headers":{…},"body":"…"}`.

use super::store::Entry;
use crate::ids::Digest;
use crate::infra::volume::{Durable, FileRange, Placed, Source, Stored, SubPath, Volume, VolumeError};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

/// Header of the entry that names a file: where it is in the volume.
pub(super) const FILE: &str = "file";
/// Header: how many entries the file has.
const ENTRIES: &str = "entries";
/// Header: length of the file in bytes.
const BYTES: &str = "bytes";
/// Header: digest of the file, in hexadecimal.
const SHA256: &str = "sha256";

/// A sealed file, as the entry that names it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Where it is in its volume.
    pub path: SubPath,
    /// How many entries it has.
    pub entries: u64,
    /// Its length.
    pub len_bytes: u64,
    /// Its digest.
    pub sha256: Digest,
}

/// An entry in a file. Its topic is that of the entry that names the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedEntry {
    /// As [`Entry::key`].
    pub key: Option<String>,
    /// As [`Entry::headers`].
    pub headers: BTreeMap<String, String>,
    /// As [`Entry::body`].
    pub body: String,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ExpandError {
    /// The volume does not give it.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Reading failed.
    #[error("file {path}: {source}")]
    Read {
        /// The file.
        path: SubPath,
        /// Why.
        source: io::Error,
    },
    /// It is not what was sealed.
    #[error("file {0} is not the one that was sealed")]
    Damaged(SubPath),
}

impl Sealed {
    /// The file that an entry with these headers names; `None` if it is an entry like any other.
    ///
    /// # Errors
    /// Which header is wrong.
    pub fn named_by(headers: &BTreeMap<String, String>) -> Result<Option<Self>, String> {
        let Some(file) = headers.get(FILE) else { return Ok(None) };
        let wrong =
            |name: &str| format!("header {name} of the entry that names file {file:?} is wrong or missing");
        let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        Ok(Some(Self {
            path: file.parse().map_err(|_| wrong(FILE))?,
            entries: header(ENTRIES).parse().map_err(|_| wrong(ENTRIES))?,
            len_bytes: header(BYTES).parse().map_err(|_| wrong(BYTES))?,
            sha256: header(SHA256).parse().map_err(|_| wrong(SHA256))?,
        }))
    }

    /// Headers of the entry that names it.
    #[must_use]
    pub fn headers(&self) -> BTreeMap<String, String> {
        let headers = [
            (FILE, self.path.as_str().to_owned()),
            (ENTRIES, self.entries.to_string()),
            (BYTES, self.len_bytes.to_string()),
            (SHA256, self.sha256.to_string()),
        ];
        headers.map(|(name, value)| (name.to_owned(), value)).into()
    }
}

/// A file being written.
#[derive(Debug)]
pub struct Sealing {
    file: BufWriter<File>,
    hash: sha2::Sha256,
    len_bytes: u64,
    entries: u64,
}

impl Sealing {
    /// Begins a file without a name in the directory `tmp`.
    ///
    /// # Errors
    /// What the system reports.
    pub fn begin(tmp: &Path) -> io::Result<Self> {
        let file = BufWriter::new(tempfile::tempfile_in(tmp)?);
        Ok(Self { file, hash: sha2::Sha256::default(), len_bytes: 0, entries: 0 })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When it cannot be written, or its key or body is not UTF-8.
    pub fn push(&mut self, entry: Entry) -> io::Result<()> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(io::Error::other);
        let key = entry.key.map(text).transpose()?;
        let entry = SealedEntry { key, headers: entry.headers, body: text(entry.body)? };
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        self.hash.update(&line);
        self.len_bytes += line.len() as u64;
        self.entries += 1;
        self.file.write_all(&line)
    }

    /// Puts the file into a volume, durably.
    ///
    /// # Errors
    /// What the volume or the system reports; the file may be there then.
    pub fn seal(self, volume: &Volume, path: SubPath) -> Result<Sealed, ExpandError> {
        let unreadable = |source| ExpandError::Read { path: path.clone(), source };
        let file = self.file.into_inner().map_err(|error| unreadable(error.into_error()))?;
        let sha256 = Digest(self.hash.finalize().into());
        let stored = Stored { digest: sha256, len_bytes: self.len_bytes };
        let source = Source::Range(FileRange { file: &file, offset: 0, stored });
        match volume.put(&path, source, Durable::Now)? {
            Placed::New(_) | Placed::Same(_) => {
                Ok(Sealed { path, entries: self.entries, len_bytes: self.len_bytes, sha256 })
            }
            Placed::Other { .. } => Err(ExpandError::Damaged(path)),
        }
    }
}

/// The entries of a file, in the order they were pushed.
#[derive(Debug)]
pub struct Expanded {
    path: SubPath,
    lines: BufReader<File>,
    left: u64,
}

/// The entries of `sealed` from number `from` on, the first being 0. Reads the whole file once, to compare it with its digest,
/// before it returns: keep what it returns for as long as entries of the file are wanted. Blocks.
///
/// # Errors
/// [`ExpandError::Damaged`] if the file is another one; what the volume reports.
pub fn expand(volume: &Volume, sealed: &Sealed, from: u64) -> Result<Expanded, ExpandError> {
    let path = sealed.path.clone();
    let unreadable = |source| ExpandError::Read { path: path.clone(), source };
    let mut lines = BufReader::with_capacity(1 << 16, volume.open_file(&path)?);
    let (mut hash, mut entries, mut offset, mut start) = (sha2::Sha256::default(), 0, 0, None);
    loop {
        let bytes = lines.fill_buf().map_err(unreadable)?;
        if bytes.is_empty() {
            break;
        }
        hash.update(bytes);
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            entries += 1;
            if entries == from {
                start = Some(offset + at as u64 + 1);
            }
        }
        let read = bytes.len();
        offset += read as u64;
        lines.consume(read);
    }
    if Digest(hash.finalize().into()) != sealed.sha256 || entries != sealed.entries {
        return Err(ExpandError::Damaged(path));
    }
    lines.seek(SeekFrom::Start(start.unwrap_or(0))).map_err(unreadable)?;
    Ok(Expanded { lines, left: entries.saturating_sub(from), path })
}

impl Expanded {
    fn entry(&mut self) -> Result<SealedEntry, ExpandError> {
        let mut line = Vec::new();
        let read = self.lines.read_until(b'\n', &mut line);
        read.map_err(|source| ExpandError::Read { path: self.path.clone(), source })?;
        serde_json::from_slice(&line).map_err(|_| ExpandError::Damaged(self.path.clone()))
    }
}

impl Iterator for Expanded {
    type Item = Result<SealedEntry, ExpandError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let entry = self.entry();
        if entry.is_err() {
            self.left = 0;
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::TopicId;

    fn volume(directory: &Path) -> Volume {
        Volume::open("blobs", &directory.join("blobs"), None).unwrap()
    }

    fn entry(number: u64) -> Entry {
        Entry {
            topic: TopicId(1),
            key: number.is_multiple_of(2).then(|| format!("key\n{number}").into_bytes()),
            headers: BTreeMap::from([("op".to_owned(), "upsert".to_owned())]),
            body: format!("{{\"n\":\"{number} \\n ß\"}}").into_bytes(),
        }
    }

    fn sealed(directory: &Path, volume: &Volume, count: u64) -> Sealed {
        let mut sealing = Sealing::begin(directory).unwrap();
        (0..count).for_each(|number| sealing.push(entry(number)).unwrap());
        sealing.seal(volume, "log/topic/1.jsonl".parse().unwrap()).unwrap()
    }

    #[test]
    fn entries_come_back_as_they_were_pushed_from_any_number_on() {
        let directory = tempfile::tempdir().unwrap();
        let volume = volume(directory.path());
        let sealed = sealed(directory.path(), &volume, 3_000);
        assert_eq!(Sealed::named_by(&sealed.headers()), Ok(Some(sealed.clone())));
        for from in [0, 1, 2, 1_499, 2_999, 3_000, 3_001] {
            let entries = expand(&volume, &sealed, from).unwrap();
            let mut number = from;
            for found in entries {
                let (found, pushed) = (found.unwrap(), entry(number));
                assert_eq!(found.key.map(String::into_bytes), pushed.key);
                assert_eq!((found.headers, found.body.into_bytes()), (pushed.headers, pushed.body));
                number += 1;
            }
            assert_eq!(number, from.max(3_000));
        }
    }

    #[test]
    fn a_file_that_was_changed_cut_or_removed_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let volume = volume(directory.path());
        let sealed = sealed(directory.path(), &volume, 100);
        let path = directory.path().join("blobs/log/topic/1.jsonl");
        let whole = std::fs::read(&path).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() / 2] ^= 1;
        for other in [changed, whole[..whole.len() - 1].to_vec(), Vec::new()] {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, other).unwrap();
            assert!(matches!(expand(&volume, &sealed, 0), Err(ExpandError::Damaged(_))));
        }
        let fewer = Sealed { entries: 99, ..sealed.clone() };
        std::fs::write(&path, whole).unwrap();
        assert!(matches!(expand(&volume, &fewer, 0), Err(ExpandError::Damaged(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(expand(&volume, &sealed, 0), Err(ExpandError::Volume(_))));
    }

    #[test]
    fn headers_that_name_no_file_rightly_are_refused_and_those_without_one_are_not() {
        assert_eq!(Sealed::named_by(&BTreeMap::new()), Ok(None));
        let directory = tempfile::tempdir().unwrap();
        let headers = sealed(directory.path(), &volume(directory.path()), 1).headers();
        for (name, value) in [(FILE, "../x"), (ENTRIES, "-1"), (BYTES, "x"), (SHA256, "0")] {
            let mut wrong = headers.clone();
            wrong.insert(name.to_owned(), value.to_owned());
            assert!(Sealed::named_by(&wrong).unwrap_err().contains(name));
            wrong.remove(name);
            assert_eq!(Sealed::named_by(&wrong).is_err(), name != FILE);
        }
    }
}
