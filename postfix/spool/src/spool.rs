//! The directory of a spool: create, open, lock, list, read, remove.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, fstatvfs, fsync, linkat, mkdirat, openat, renameat,
    statat, unlinkat,
};
use rustix::io::Errno;
use uuid::Uuid;

use crate::draft::Draft;
use crate::entry::Entry;
use crate::error::{Damage, Kind, SpoolError};
use crate::name::EntryName;

/// An open spool. Clones share its descriptors.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Directories>);

#[derive(Debug)]
struct Directories {
    id: Uuid,
    root: OwnedFd,
    new: OwnedFd,
}

/// The right to remove mail, until dropped.
#[derive(Debug)]
pub struct SpoolLock(#[expect(dead_code, reason = "held for its flock")] File);

/// Free space of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Free {
    pub bytes: u64,
    /// `None` where the file system does not count inodes.
    pub inodes: Option<u64>,
}

const READ_ONLY: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC);
const DIRECTORY: OFlags = READ_ONLY.union(OFlags::DIRECTORY);

impl Spool {
    /// Creates a spool in `dir` unless it is one, and opens it. The parent must exist.
    pub fn create(dir: &Path) -> Result<Self, SpoolError> {
        make_dir(CWD, dir)?;
        let root = openat(CWD, dir, DIRECTORY, Mode::empty()).map_err(SpoolError::io("open the spool"))?;
        for name in ["new", "tmp"] {
            make_dir(&root, Path::new(name))?;
        }
        openat(&root, "lock", OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
            .map_err(SpoolError::io("create the lock"))?;
        write_id(&root)?;
        sync(&root, "fsync the spool")?;
        let parent =
            openat(&root, "..", DIRECTORY, Mode::empty()).map_err(SpoolError::io("open the parent"))?;
        sync(&parent, "fsync the parent of the spool")?;
        Self::open(dir, None)
    }

    /// Opens an existing spool: it must have an id, the `expected` one if given, and belong to our user.
    pub fn open(dir: &Path, expected: Option<Uuid>) -> Result<Self, SpoolError> {
        let root = openat(CWD, dir, DIRECTORY, Mode::empty()).map_err(missing("open the spool"))?;
        let id = read_id(&root)?;
        if expected.is_some_and(|expected| expected != id) {
            return Err(SpoolError::new(Kind::Foreign, "its id is not the expected one"));
        }
        let owner = fstat(&root).map_err(SpoolError::io("stat the spool"))?.st_uid;
        if owner != rustix::process::geteuid().as_raw() {
            return Err(SpoolError::new(Kind::WrongOwner, "the spool belongs to somebody else"));
        }
        let new =
            openat(&root, "new", DIRECTORY | OFlags::NOFOLLOW, Mode::empty()).map_err(missing("open new"))?;
        Ok(Self(Arc::new(Directories { id, root, new })))
    }

    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// Takes the lock, or fails with [`Kind::InUse`] at once.
    pub fn lock(&self) -> Result<SpoolLock, SpoolError> {
        let file = openat(self.root(), "lock", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
            .map_err(SpoolError::io("open the lock"))?;
        let file = File::from(file);
        match file.try_lock() {
            Ok(()) => Ok(SpoolLock(file)),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(SpoolError::new(Kind::InUse, "another process holds the lock"))
            }
            Err(std::fs::TryLockError::Error(error)) => Err(SpoolError::io("lock the spool")(error)),
        }
    }

    pub fn free(&self) -> Result<Free, SpoolError> {
        let found = fstatvfs(&self.0.new).map_err(SpoolError::io("measure free space"))?;
        Ok(Free {
            bytes: found.f_bavail.saturating_mul(found.f_frsize),
            inodes: (found.f_files > 0).then_some(found.f_favail),
        })
    }

    /// [`Kind::Full`] unless at least this much is free.
    pub fn require_free(&self, bytes: u64, inodes: u64) -> Result<(), SpoolError> {
        let free = self.free()?;
        if free.bytes < bytes {
            return Err(SpoolError::new(Kind::Full, "fewer bytes free than configured"));
        }
        if free.inodes.is_some_and(|free| free < inodes) {
            return Err(SpoolError::new(Kind::Full, "fewer inodes free than configured"));
        }
        Ok(())
    }

    /// Starts a draft.
    pub fn draft(&self) -> Result<Draft, SpoolError> {
        Draft::create(self)
    }

    /// Makes every name linked into `new/` so far durable.
    pub fn sync(&self) -> Result<(), SpoolError> {
        sync(&self.0.new, "fsync new")
    }

    /// The entries, in no order; other files are ignored.
    pub fn list(&self) -> Result<Vec<EntryName>, SpoolError> {
        let mut names = Vec::new();
        for file in Dir::read_from(&self.0.new).map_err(SpoolError::io("list new"))? {
            let file = file.map_err(SpoolError::io("list new"))?;
            names.extend(EntryName::parse(file.file_name().to_bytes()));
        }
        Ok(names)
    }

    /// Opens an entry and reads its envelope; reading and verifying the message is up to the caller.
    pub fn read(&self, name: EntryName) -> Result<Entry, SpoolError> {
        let flags = READ_ONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match openat(&self.0.new, name.to_string(), flags, Mode::empty()) {
            // A link, and a socket.
            Err(Errno::LOOP | Errno::NXIO) => {
                return Err(SpoolError::damaged(Damage::NotAFile, "open the entry"));
            }
            opened => opened.map_err(gone("open the entry"))?,
        };
        let found = fstat(&file).map_err(SpoolError::io("stat the entry"))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(SpoolError::damaged(Damage::NotAFile, "look at the entry"));
        }
        let entry = Entry::read(File::from(file))?;
        if entry.envelope().receipt_id != name.receipt_id {
            return Err(SpoolError::damaged(Damage::Name, "named after another receipt"));
        }
        Ok(entry)
    }

    /// Removes an entry. Durable after the next [`Spool::sync`]; one that reappears is recognised as a duplicate.
    pub fn remove(&self, name: EntryName) -> Result<(), SpoolError> {
        unlinkat(&self.0.new, name.to_string(), AtFlags::empty()).map_err(gone("remove the entry"))
    }

    /// Renames a damaged entry so that its name is free for a good one. An older damaged one is replaced.
    pub fn set_aside(&self, name: EntryName) -> Result<(), SpoolError> {
        let aside = EntryName::damaged(name.receipt_id).to_string();
        renameat(&self.0.new, name.to_string(), &self.0.new, aside).map_err(gone("set the entry aside"))
    }

    /// Removes drafts older than `age` that crashed writers left in `tmp/`, and returns how many.
    pub fn sweep(&self, age: Duration) -> Result<usize, SpoolError> {
        let tmp = openat(self.root(), "tmp", DIRECTORY, Mode::empty()).map_err(SpoolError::io("open tmp"))?;
        let before = unix_seconds(SystemTime::now()).saturating_sub_unsigned(age.as_secs());
        let mut swept = 0;
        for file in Dir::read_from(&tmp).map_err(SpoolError::io("list tmp"))? {
            let file = file.map_err(SpoolError::io("list tmp"))?;
            let name = file.file_name();
            let is_draft = name.to_str().is_ok_and(|name| Uuid::try_parse(name).is_ok());
            match statat(&tmp, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if is_draft && found.st_mtime < before => {}
                Ok(_) | Err(Errno::NOENT) => continue,
                Err(error) => return Err(SpoolError::io("stat a draft")(error)),
            }
            unlinkat(&tmp, name, AtFlags::empty()).map_err(SpoolError::io("remove a draft"))?;
            swept += 1;
        }
        Ok(swept)
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.0.root.as_fd()
    }

    pub(crate) fn new_dir(&self) -> BorrowedFd<'_> {
        self.0.new.as_fd()
    }
}

fn make_dir(at: impl AsFd, dir: &Path) -> Result<(), SpoolError> {
    match mkdirat(at, dir, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(SpoolError::io("create a directory")(error)),
    }
}

/// Creates the id by linking a complete file, so that it is never read half written and never changes.
fn write_id(root: &OwnedFd) -> Result<(), SpoolError> {
    use std::io::Write as _;

    let id = Uuid::new_v4();
    let draft = format!("tmp/{id}");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file =
        openat(root, &draft, flags, Mode::RUSR | Mode::WUSR).map_err(SpoolError::io("create the id"))?;
    let mut file = File::from(file);
    writeln!(file, "{id}").map_err(SpoolError::io("write the id"))?;
    file.sync_all().map_err(SpoolError::io("fsync the id"))?;
    let linked = linkat(root, &draft, root, "id", AtFlags::empty());
    unlinkat(root, &draft, AtFlags::empty()).map_err(SpoolError::io("remove the id's draft"))?;
    match linked {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(SpoolError::io("link the id")(error)),
    }
}

fn read_id(root: &OwnedFd) -> Result<Uuid, SpoolError> {
    let file = openat(root, "id", READ_ONLY | OFlags::NOFOLLOW, Mode::empty()).map_err(missing("open id"))?;
    let mut text = String::new();
    File::from(file).take(64).read_to_string(&mut text).map_err(SpoolError::io("read id"))?;
    Uuid::try_parse(text.trim_end()).map_err(|_| SpoolError::new(Kind::NoSpool, "id holds no uuid"))
}

fn sync(dir: &OwnedFd, step: &'static str) -> Result<(), SpoolError> {
    fsync(dir).map_err(SpoolError::io(step))
}

/// A missing path means that the directory is no spool, or not mounted.
fn missing(step: &'static str) -> impl FnOnce(Errno) -> SpoolError {
    kind_if_missing(Kind::NoSpool, step)
}

fn gone(step: &'static str) -> impl FnOnce(Errno) -> SpoolError {
    kind_if_missing(Kind::NotFound, step)
}

fn kind_if_missing(kind: Kind, step: &'static str) -> impl FnOnce(Errno) -> SpoolError {
    move |error| match error {
        Errno::NOENT | Errno::NOTDIR => SpoolError::io(step)(error).with_kind(kind),
        _ => SpoolError::io(step)(error),
    }
}

fn unix_seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
