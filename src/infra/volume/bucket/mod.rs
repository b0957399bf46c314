//! A volume that is a bucket of an object store, or the keys in it with a prefix.
//!
//! ```text
//!   put ── hash (a reader goes to an unnamed scratch file first) ── PUT If-None-Match: * ─┬─ 200 ─▶ new, durable
//!                                                                                         ├─ 412 ─▶ read and compare
//!                                                                                         └─ 409 ─▶ again
//! ```
//!
//! An object appears whole or not at all, is never replaced, and is durable when its PUT has returned, so sealing has
//! nothing to do but see that the tree is there. Directories are what keys have before a slash: one exists while something
//! is in it. A caller who needs a file gets an unnamed one in the scratch directory, which is a copy.
//!
//! Everything blocks, as everywhere in [`Volume`](super::Volume), and waits for tasks of the runtime it was opened in.

mod marker;
mod put;
#[cfg(test)]
mod tests;

use super::error::{Fault, VolumeErrorKind};
use super::source::Hashing;
use super::sub_path::OWN_PREFIX;
use super::{Entry, EntryKind, Free, Stored, SubPath, TRIAL_BYTES};
use crate::ids::Timestamp;
use crate::infra::object_store::{Object, ObjectRef, ObjectStore, StoreError, StoreErrorKind};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Handle;
use uuid::Uuid;

/// Requests under way at once when a tree is removed.
const REMOVALS: usize = 8;
/// Microseconds of a second.
const MICROS: i64 = 1_000_000;

/// Where a bucket volume is, and what it needs.
#[derive(Debug, Clone)]
pub struct BucketSettings {
    /// Its object store.
    pub store: ObjectStore,
    /// The bucket, which must exist.
    pub bucket: String,
    /// What its keys begin with, without the slash; may be empty.
    pub prefix: String,
    /// Scratch directory for files without a name.
    pub tmp: PathBuf,
}

/// A bucket with a marker.
#[derive(Debug)]
pub struct Bucket {
    name: String,
    id: Uuid,
    store: ObjectStore,
    bucket: String,
    /// Empty, or with a slash at its end.
    prefix: String,
    tmp: PathBuf,
    runtime: Handle,
}

impl Bucket {
    /// `registered` as for a directory. With `probe` the store is tried, and a marker made where none is; otherwise nothing
    /// is written.
    pub(super) fn open(
        name: &str,
        settings: BucketSettings,
        registered: Option<Uuid>,
        probe: bool,
    ) -> Result<Self, Fault> {
        let BucketSettings { store, bucket, prefix, tmp } = settings;
        let prefix = if prefix.is_empty() { prefix } else { format!("{prefix}/") };
        let (name, id) = (name.to_owned(), Uuid::nil());
        let mut this = Self { name, id, store, bucket, prefix, tmp, runtime: Handle::current() };
        if probe {
            this.refuse_if_it_overwrites()?;
        }
        this.id = this.check_or_create_marker(registered, probe)?;
        Ok(this)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Nothing is made: a directory is there while something is in it.
    pub(super) fn make_dir(&self, _: &SubPath) -> Result<(), Fault> {
        Ok(())
    }

    pub(super) fn open_file(&self, path: &SubPath) -> Result<File, Fault> {
        self.fetch(path, None)
    }

    /// Only the range is fetched.
    pub(super) fn open_range(&self, path: &SubPath, offset: u64, len_bytes: u64) -> Result<File, Fault> {
        self.fetch(path, Some(offset..offset.saturating_add(len_bytes)))
    }

    pub(super) fn read(&self, path: &SubPath, limit_bytes: u64) -> Result<Vec<u8>, Fault> {
        // One byte more than allowed shows that there is more; nothing beyond it is fetched.
        let bytes = self.read_range(path, 0, limit_bytes.saturating_add(1))?;
        if bytes.len() as u64 <= limit_bytes {
            return Ok(bytes);
        }
        Err(Fault::new(VolumeErrorKind::TooLarge, format!("more than {limit_bytes} bytes")))
    }

    pub(super) fn read_range(&self, path: &SubPath, offset: u64, len_bytes: u64) -> Result<Vec<u8>, Fault> {
        let key = self.key(path);
        Ok(self.wait(self.store.read_range(self.at(&key), offset, len_bytes))?)
    }

    pub(super) fn digest(&self, path: &SubPath) -> Result<Stored, Fault> {
        let mut hash = Hashing::new(io::empty());
        self.copy(path, None, &mut |bytes| {
            hash.update(bytes);
            Ok(())
        })?;
        Ok(hash.stored())
    }

    pub(super) fn list(&self, dir: &SubPath) -> Result<Vec<Entry>, Fault> {
        let prefix = self.folder(dir);
        let found = self.wait(self.store.folder(&self.bucket, &prefix))?;
        if found.objects.is_empty() && found.folders.is_empty() && !dir.is_root() {
            return Err(missing());
        }
        let mut entries: Vec<Entry> = found
            .objects
            .iter()
            .filter_map(|object| file_entry(object.key.strip_prefix(&prefix)?, object))
            .collect();
        let names = found.folders.iter().filter_map(|folder| folder.strip_prefix(&prefix)?.strip_suffix('/'));
        entries.extend(names.map(|name| dir_entry(name, None)));
        entries.retain(|entry| !entry.name.starts_with(OWN_PREFIX));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    pub(super) fn stat(&self, path: &SubPath) -> Result<Entry, Fault> {
        if !path.is_root() {
            let key = self.key(path);
            match self.wait(self.store.head(self.at(&key), None)) {
                Ok(object) => return file_entry(path.name(), &object).ok_or_else(missing),
                Err(error) if error.kind == StoreErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        let below = self.wait(self.store.objects(&self.bucket, &self.folder(path), Some(1000)))?;
        if below.is_empty() && !path.is_root() {
            return Err(missing());
        }
        Ok(dir_entry(path.name(), below.iter().map(|object| object.modified_seconds).max()))
    }

    /// What is there is durable and cannot be replaced; so it is only looked for.
    pub(super) fn seal(&self, dirs: &[SubPath]) -> Result<(), Fault> {
        for dir in dirs {
            let found = self.wait(self.store.objects(&self.bucket, &self.folder(dir), Some(1)))?;
            if found.is_empty() {
                return Err(missing().at(dir.to_string()));
            }
        }
        Ok(())
    }

    pub(super) fn unseal(&self, _: &SubPath) -> Result<(), Fault> {
        Ok(())
    }

    pub(super) fn remove_file(&self, path: &SubPath) -> Result<bool, Fault> {
        if path.is_root() {
            return Err(Fault::new(VolumeErrorKind::Denied, "the volume itself is not removed"));
        }
        let key = self.key(path);
        self.wait(async {
            // DELETE says the same whether something was there or not.
            match self.store.head(self.at(&key), None).await {
                Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(false),
                found => found?,
            };
            self.store.delete(self.at(&key)).await?;
            Ok(true)
        })
    }

    pub(super) fn remove_tree(&self, dir: &SubPath) -> Result<bool, Fault> {
        if dir.is_root() {
            return Err(Fault::new(VolumeErrorKind::Denied, "the volume itself is not removed"));
        }
        self.wait(async {
            let found = self.store.objects(&self.bucket, &self.folder(dir), None).await?;
            let removals = found.iter().map(|object| self.store.delete(self.at(&object.key)));
            stream::iter(removals).buffer_unordered(REMOVALS).try_collect::<()>().await?;
            Ok(!found.is_empty())
        })
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        self.check_or_create_marker(Some(self.id), false).map(drop)
    }

    /// Buckets do not fill up.
    pub(super) fn free(&self) -> Result<Free, Fault> {
        Ok(Free { bytes: u64::MAX, inodes: u64::MAX })
    }

    pub(super) fn try_write(&self) -> Result<(), Fault> {
        let key = self.own("trial");
        self.wait(async {
            let bytes = [0; TRIAL_BYTES];
            self.create(&key, &bytes).await?;
            self.store.delete(self.at(&key)).await.map_err(Fault::from)
        })
    }

    /// Aborts uploads in parts that began longer ago than `age` and were never ended; returns how many.
    pub(super) fn sweep(&self, age: Duration) -> Result<usize, Fault> {
        self.wait(async {
            let before = Timestamp::now().before(age).0 / MICROS;
            let mut swept = 0;
            for upload in self.store.uploads(&self.bucket, &self.prefix).await? {
                if upload.begun_seconds < before {
                    self.store.abort(self.at(&upload.key), &upload.id).await?;
                    swept += 1;
                }
            }
            Ok(swept)
        })
    }

    /// Waits for an answer of the store. On a thread of the runtime others take over its tasks meanwhile.
    fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        tokio::task::block_in_place(|| self.runtime.block_on(answer))
    }

    /// A copy without a name, opened for reading only: module processes take no other.
    fn fetch(&self, path: &SubPath, window: Option<Range<u64>>) -> Result<File, Fault> {
        let mut copy = tempfile::tempfile_in(&self.tmp)?;
        self.copy(path, window, &mut |bytes| copy.write_all(bytes))?;
        Ok(File::open(format!("/proc/self/fd/{}", copy.as_raw_fd()))?)
    }

    /// Hands the bytes of a file, or those in a window, to `sink`.
    fn copy(
        &self,
        path: &SubPath,
        window: Option<Range<u64>>,
        sink: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), Fault> {
        let key = self.key(path);
        // The store's error has the text alone, and a full scratch directory must be told as such.
        let mut local = None;
        let mut keep = |bytes: &[u8]| {
            sink(bytes).map_err(|error| {
                let text = io::Error::other(error.to_string());
                local = Some(error);
                text
            })
        };
        let read = match window {
            Some(window) => self.wait(self.store.read_window(self.at(&key), window, &mut keep)),
            None => self.wait(self.store.read(self.at(&key), None, &mut keep)),
        };
        match (read, local) {
            (_, Some(error)) => Err(error.into()),
            (read, None) => read.map(drop).map_err(Fault::from),
        }
    }

    fn at<'k>(&'k self, key: &'k str) -> ObjectRef<'k> {
        ObjectRef { bucket: &self.bucket, key }
    }

    fn key(&self, path: &SubPath) -> String {
        format!("{}{}", self.prefix, path.as_str())
    }

    /// What the keys in a directory begin with.
    fn folder(&self, dir: &SubPath) -> String {
        if dir.is_root() { self.prefix.clone() } else { format!("{}/", self.key(dir)) }
    }

    /// A key of the volume's own that nobody else has.
    fn own(&self, what: &str) -> String {
        format!("{}{OWN_PREFIX}{what}-{}", self.prefix, Uuid::new_v4().simple())
    }
}

fn missing() -> Fault {
    Fault::new(VolumeErrorKind::NotFound, "nothing has this path")
}

/// `name` is empty for a key that ends in a slash, which some programs make for a folder.
fn file_entry(name: &str, object: &Object) -> Option<Entry> {
    (!name.is_empty()).then(|| Entry {
        name: name.to_owned(),
        kind: EntryKind::File,
        len_bytes: object.len_bytes,
        sealed: true,
        modified_at: Timestamp(object.modified_seconds.saturating_mul(MICROS)),
    })
}

/// A directory changed when the newest object in it did; without that it counts as old.
fn dir_entry(name: &str, modified_seconds: Option<i64>) -> Entry {
    Entry {
        name: name.to_owned(),
        kind: EntryKind::Dir,
        len_bytes: 0,
        sealed: true,
        modified_at: Timestamp(modified_seconds.unwrap_or_default().saturating_mul(MICROS)),
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        use StoreErrorKind as Store;
        use VolumeErrorKind as Kind;
        let kind = match error.kind {
            Store::NotFound => Kind::NotFound,
            Store::NoBucket => Kind::Foreign,
            Store::Denied | Store::Login => Kind::Denied,
            Store::Damaged | Store::Archived => Kind::Corrupt,
            Store::Away | Store::SlowDown => Kind::Unreachable,
            Store::Precondition
            | Store::Conflict
            | Store::Range
            | Store::Tls
            | Store::Region
            | Store::Unsupported
            | Store::Local
            | Store::Other => Kind::Io,
        };
        Self::new(kind, error.to_string())
    }
}
