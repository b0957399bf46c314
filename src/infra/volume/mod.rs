//! Volumes: named stores of files.
//!
//! ```text
//!   put ── stage (no name) ── write, hash ──┬─ Durable::Now: fsync ─ link ─ fsync directories ─▶ durable
//!                                           └─ Durable::AtSeal:       link ──┐
//!                                                        seal: modes, fsync everything ──▶ durable, read-only
//! ```
//!
//! A file appears whole or not at all, because its name is linked after its bytes are written, and it never replaces
//! another ([`Placed`]). It is durable when `put` with [`Durable::Now`] has returned, or when its tree was sealed. A failed
//! fsync is an error and means that the bytes are gone: start again from the first copy, never repeat the fsync.
//!
//! A volume is a directory or a bucket of an object store, where a completed PUT is durable and sealing has
//! nothing to do.
//!
//! A directory or bucket volume carries a marker with its id. [`Volume::open`] takes the id the database knows and refuses a
//! directory with another marker or none, which is what an unmounted file system looks like. Below the opened root
//! nothing follows a symbolic link or leaves the volume (`openat2`). A process that has no need of a volume may go on
//! without it: it holds a volume that is [away](Volume::away), which refuses everything and says why.
//!
//! Every operation blocks. Callers do one whole step (all files of a tree) inside one `spawn_blocking`, so there is no
//! async face here that would hop threads per file.

mod away;
mod bucket;
#[cfg(test)]
mod conformance;
mod disk;
mod error;
mod marker;
mod memory;
mod source;
mod sub_path;
mod volumes;

pub use volumes::Volumes;

pub use bucket::BucketSettings;
pub use error::{VolumeError, VolumeErrorKind};
pub use source::{FileRange, Placed, Source, Stored};
pub use sub_path::{BadSubPath, SubPath};

use crate::ids::Timestamp;
use error::Fault;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Length of what [`Volume::try_write`] writes.
const TRIAL_BYTES: usize = 4096;

/// A named store of files. Clones share it.
#[derive(Debug, Clone)]
pub enum Volume {
    /// A directory of this machine, or one mounted here.
    Disk(Arc<disk::Disk>),
    /// A bucket of an object store.
    Bucket(Arc<bucket::Bucket>),
    /// Memory of this process, gone with it.
    Memory(Arc<memory::Memory>),
    /// Not to be had in this process.
    Away(Arc<away::Away>),
}

/// When a put becomes durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durable {
    /// Before it returns.
    Now,
    /// When its tree is sealed.
    AtSeal,
}

/// One thing in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Last component of its path. A foreign name that is not UTF-8 has U+FFFD in it and cannot be addressed.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Length of a file; 0 for anything else.
    pub len_bytes: u64,
    /// Whether nobody may write to it.
    pub sealed: bool,
    /// When its content last changed.
    pub modified_at: Timestamp,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A link, device, pipe or socket: nothing headworks made.
    Foreign,
}

/// What is left on a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    /// Bytes this user may still write.
    pub bytes: u64,
    /// Files that may still be made; `u64::MAX` where the file system does not count them.
    pub inodes: u64,
}

/// Calls the same method of whichever variant this is and names the volume, the action and the place in its error.
macro_rules! on {
    ($self:ident, $action:literal, $path:expr, $method:ident($($argument:expr),*)) => {
        match $self {
            Volume::Disk(disk) => disk.$method($($argument),*),
            Volume::Bucket(bucket) => bucket.$method($($argument),*),
            Volume::Memory(memory) => memory.$method($($argument),*),
            Volume::Away(away) => Err(away.fault()),
        }
        .map_err(|fault: Fault| $self.failed(fault, $action, $path))
    };
}

impl Volume {
    /// Opens the directory volume `name` at `root`.
    ///
    /// `registered` is the id the database has for it. Without one this is its first use: the directory is made if it
    /// is missing, and gets a marker unless it has one; the caller registers [`Volume::id`].
    ///
    /// # Errors
    /// [`VolumeErrorKind::Foreign`] when the marker is missing or another one; its message holds both ids.
    pub fn open(name: &str, root: &Path, registered: Option<Uuid>) -> Result<Self, VolumeError> {
        match disk::Disk::open(name, root, registered) {
            Ok(disk) => Ok(Self::Disk(Arc::new(disk))),
            Err(fault) => Err(fault.at(root.display().to_string()).with(name, "open", &SubPath::root())),
        }
    }

    /// Opens the bucket volume `name`, inside a tokio runtime of many threads; blocks. `registered` as for
    /// [`Volume::open`]. Before that the store is tried: it must never replace an object that is there.
    ///
    /// # Errors
    /// [`VolumeErrorKind::Unsuitable`] when the store replaces objects; [`VolumeErrorKind::Foreign`] when the bucket or the
    /// marker is missing, or the marker is another one; what the store reports.
    pub fn open_bucket(
        name: &str,
        settings: BucketSettings,
        registered: Option<Uuid>,
    ) -> Result<Self, VolumeError> {
        Self::bucket(name, settings, registered, true)
    }

    /// As [`open_bucket`](Self::open_bucket), for who looks at a volume that a server has used: nothing is written.
    ///
    /// # Errors
    /// As there.
    pub fn look_into_bucket(
        name: &str,
        settings: BucketSettings,
        registered: Option<Uuid>,
    ) -> Result<Self, VolumeError> {
        Self::bucket(name, settings, registered, false)
    }

    fn bucket(
        name: &str,
        settings: BucketSettings,
        registered: Option<Uuid>,
        probe: bool,
    ) -> Result<Self, VolumeError> {
        let place = format!("{}/{}", settings.bucket, settings.prefix);
        match bucket::Bucket::open(name, settings, registered, probe) {
            Ok(bucket) => Ok(Self::Bucket(Arc::new(bucket))),
            Err(fault) => Err(fault.at(place).with(name, "open", &SubPath::root())),
        }
    }

    /// Whether `root` shows a marker: for who looks at a volume and must not make one of an empty mount point.
    #[must_use]
    pub fn is_marked(root: &Path) -> bool {
        disk::is_marked(root)
    }

    /// A fresh volume in memory that holds at most `capacity_bytes`.
    #[must_use]
    pub fn memory(name: &str, capacity_bytes: u64) -> Self {
        Self::Memory(Arc::new(memory::Memory::new(name, capacity_bytes)))
    }

    /// A volume that refuses everything with [`VolumeErrorKind::Away`], because of `why`.
    #[must_use]
    pub fn away(name: &str, why: impl Into<String>) -> Self {
        Self::Away(Arc::new(away::Away::new(name, why.into())))
    }

    /// Whether it is [away](Self::away).
    #[must_use]
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Away(_))
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Disk(disk) => disk.name(),
            Self::Bucket(bucket) => bucket.name(),
            Self::Memory(memory) => memory.name(),
            Self::Away(away) => away.name(),
        }
    }

    /// Its marker's id; nil of one that is away.
    #[must_use]
    pub fn id(&self) -> Uuid {
        match self {
            Self::Disk(disk) => disk.id(),
            Self::Bucket(bucket) => bucket.id(),
            Self::Memory(memory) => memory.id(),
            Self::Away(_) => Uuid::nil(),
        }
    }

    /// Makes `dir` and what is missing above it; one that is there already is fine.
    ///
    /// # Errors
    /// [`VolumeErrorKind::Corrupt`] when something that is no directory is in the way; what the system reports.
    pub fn make_dir(&self, dir: &SubPath) -> Result<(), VolumeError> {
        on!(self, "make directory", dir, make_dir(dir))
    }

    /// Stores a new file, making missing directories. Nothing is replaced and nothing half-written is ever visible.
    ///
    /// # Errors
    /// [`VolumeErrorKind::Input`] when `source` fails or is too short, otherwise what the system reports. Nothing of the
    /// file remains then, unless what failed was the fsync of a directory: then it may be there, and is not durable.
    pub fn put(&self, path: &SubPath, source: Source<'_>, durable: Durable) -> Result<Placed, VolumeError> {
        on!(self, "put", path, put(path, source, durable))
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`VolumeErrorKind::NotFound`], or what the system reports.
    pub fn open_file(&self, path: &SubPath) -> Result<File, VolumeError> {
        on!(self, "open", path, open_file(path))
    }

    /// Opens a file for reading `len_bytes` from byte `offset` on, where its cursor stands; what is beyond need not be there.
    ///
    /// # Errors
    /// As [`Volume::open_file`].
    pub fn open_range(&self, path: &SubPath, offset: u64, len_bytes: u64) -> Result<File, VolumeError> {
        if let Self::Bucket(bucket) = self {
            let opened = bucket.open_range(path, offset, len_bytes);
            return opened.map_err(|fault| self.failed(fault, "open", path));
        }
        let mut file = self.open_file(path)?;
        match file.seek(SeekFrom::Start(offset)) {
            Ok(_) => Ok(file),
            Err(error) => Err(self.failed(error.into(), "open", path)),
        }
    }

    /// A whole file of at most `limit_bytes`.
    ///
    /// # Errors
    /// [`VolumeErrorKind::TooLarge`] when it is longer, or as [`Volume::open_file`].
    pub fn read(&self, path: &SubPath, limit_bytes: u64) -> Result<Vec<u8>, VolumeError> {
        on!(self, "read", path, read(path, limit_bytes))
    }

    /// At most `len_bytes` bytes from `offset`; fewer, or none, where the file ends before.
    ///
    /// # Errors
    /// As [`Volume::open_file`].
    pub fn read_range(&self, path: &SubPath, offset: u64, len_bytes: u64) -> Result<Vec<u8>, VolumeError> {
        on!(self, "read", path, read_range(path, offset, len_bytes))
    }

    /// Reads a file to its end and says what it holds.
    ///
    /// # Errors
    /// As [`Volume::open_file`].
    pub fn digest(&self, path: &SubPath) -> Result<Stored, VolumeError> {
        on!(self, "digest", path, digest(path))
    }

    /// What is in a directory, by name; the volume's own files are not shown.
    ///
    /// # Errors
    /// [`VolumeErrorKind::NotFound`], or what the system reports.
    pub fn list(&self, dir: &SubPath) -> Result<Vec<Entry>, VolumeError> {
        on!(self, "list", dir, list(dir))
    }

    /// What is at `path`.
    ///
    /// # Errors
    /// [`VolumeErrorKind::NotFound`], or what the system reports.
    pub fn stat(&self, path: &SubPath) -> Result<Entry, VolumeError> {
        on!(self, "stat", path, stat(path))
    }

    /// Makes the trees at `dirs` durable and read-only: files 0440, directories 0550, everything fsynced, then every
    /// directory above them once. Durable means: when this has returned without an error.
    ///
    /// Many trees at once cost little more journal than one. Where one fails, none counts; try them one by one.
    ///
    /// # Errors
    /// [`VolumeErrorKind::Corrupt`] when there is something else than files and directories, or what the system reports.
    pub fn seal(&self, dirs: &[SubPath]) -> Result<(), VolumeError> {
        let first = dirs.first().cloned().unwrap_or_else(SubPath::root);
        on!(self, "seal", &first, seal(dirs))
    }

    /// Makes a sealed tree writable again, to repair it.
    ///
    /// # Errors
    /// [`VolumeErrorKind::NotFound`], or what the system reports.
    pub fn unseal(&self, dir: &SubPath) -> Result<(), VolumeError> {
        on!(self, "unseal", dir, unseal(dir))
    }

    /// Removes one file, durably; false when there was none.
    pub fn remove_file(&self, path: &SubPath) -> Result<bool, VolumeError> {
        on!(self, "remove", path, remove_file(path))
    }

    /// Removes a directory, sealed or not, and all that is in it, durably; false when there was none. The directories
    /// above stay.
    ///
    /// # Errors
    /// What the system reports; part of the tree may be gone then, and a repetition goes on.
    pub fn remove_tree(&self, dir: &SubPath) -> Result<bool, VolumeError> {
        on!(self, "remove", dir, remove_tree(dir))
    }

    /// Whether it is still the volume that was opened: its marker can be read and is the same.
    ///
    /// # Errors
    /// [`VolumeErrorKind::Foreign`] when it is another one or gone; what the system reports.
    pub fn check(&self) -> Result<(), VolumeError> {
        let checked = match self {
            Self::Disk(disk) => disk.check(),
            Self::Bucket(bucket) => bucket.check(),
            Self::Memory(_) => Ok(()),
            Self::Away(away) => Err(away.fault()),
        };
        checked.map_err(|fault| fault.with(self.name(), "check", &SubPath::root()))
    }

    /// Tries whether a few bytes can be written and made durable; nothing of them stays.
    ///
    /// # Errors
    /// What the system reports.
    pub fn try_write(&self) -> Result<(), VolumeError> {
        on!(self, "try to write", &SubPath::root(), try_write())
    }

    /// Places where something else is in the way that must be a directory: on the way to one of `paths`, or met by an operation
    /// and not mended since.
    #[must_use]
    pub fn damage(&self, paths: impl Iterator<Item = SubPath>) -> BTreeSet<SubPath> {
        match self {
            Self::Disk(disk) => disk.damage(paths),
            Self::Bucket(_) | Self::Memory(_) | Self::Away(_) => BTreeSet::new(),
        }
    }

    /// Ends what a crash left half-written where nobody sees it, if it began longer ago than `age`: uploads in parts to a
    /// bucket. Returns how many.
    ///
    /// # Errors
    /// What the store reports.
    pub fn sweep(&self, age: Duration) -> Result<usize, VolumeError> {
        match self {
            Self::Bucket(bucket) => {
                bucket.sweep(age).map_err(|fault| self.failed(fault, "sweep", &SubPath::root()))
            }
            Self::Disk(_) | Self::Memory(_) | Self::Away(_) => Ok(0),
        }
    }

    fn failed(&self, fault: Fault, action: &'static str, path: &SubPath) -> VolumeError {
        if let (Self::Disk(disk), VolumeErrorKind::Corrupt) = (self, fault.kind) {
            disk.suspect(path);
        }
        fault.with(self.name(), action, path)
    }

    /// What is left.
    pub fn free(&self) -> Result<Free, VolumeError> {
        on!(self, "statvfs", &SubPath::root(), free())
    }
}
