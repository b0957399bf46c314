//! A volume that is a directory.
//!
//! The root is opened once; everything else is reached from its descriptor with `openat2`, which neither follows
//! symbolic links nor leaves the root, so a path never means another file than the one named.

mod marker;
mod put;
mod tree;

use super::error::{Fault, VolumeErrorKind};
use super::sub_path::OWN_PREFIX;
use super::{Entry, EntryKind, Free, Stored, SubPath};
use crate::ids::Timestamp;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

const DIR_MODE: Mode = Mode::from_raw_mode(0o750);
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);
const SEALED_DIR_MODE: Mode = Mode::from_raw_mode(0o550);
const SEALED_FILE_MODE: Mode = Mode::from_raw_mode(0o440);

/// Files are opened so that a planted pipe or terminal can neither block us nor become ours.
const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Most odd paths that are remembered.
const MAX_SUSPECTS: usize = 16;

/// A directory with a marker.
#[derive(Debug)]
pub struct Disk {
    name: String,
    id: Uuid,
    root: OwnedFd,
    /// Whether the file system can hold files that have no name yet (`O_TMPFILE`); otherwise they get a stage name.
    nameless: bool,
    /// Paths at which something was found that headworks did not put there.
    suspects: Mutex<BTreeSet<SubPath>>,
}

impl Disk {
    pub(super) fn open(name: &str, root: &Path, registered: Option<Uuid>) -> Result<Self, Fault> {
        if registered.is_none() {
            make_root(root)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = match rustix::fs::openat(CWD, root, flags, Mode::empty()) {
            Err(Errno::NOENT) => {
                return Err(Fault::new(VolumeErrorKind::Foreign, "the directory is missing; is it mounted?"));
            }
            opened => opened?,
        };
        let nameless = put::can_be_nameless(&root)?;
        let id = marker::check_or_create(&root, nameless, name, registered)?;
        Ok(Self { name: name.to_owned(), id, root, nameless, suspects: Mutex::default() })
    }

    /// The same volume as on a file system without `O_TMPFILE`.
    #[cfg(test)]
    pub(super) fn with_stage_names(mut self) -> Self {
        self.nameless = false;
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    pub(super) fn make_dir(&self, dir: &SubPath) -> Result<(), Fault> {
        self.made_dir(dir)?;
        Ok(())
    }

    pub(super) fn open_file(&self, path: &SubPath) -> Result<File, Fault> {
        let file = File::from(self.open_at(path, READ)?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        Err(Fault::new(VolumeErrorKind::Corrupt, "not a regular file"))
    }

    pub(super) fn read(&self, path: &SubPath, limit_bytes: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        self.open_file(path)?.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 <= limit_bytes {
            return Ok(bytes);
        }
        Err(Fault::new(VolumeErrorKind::TooLarge, format!("more than {limit_bytes} bytes")))
    }

    pub(super) fn read_range(
        &self,
        path: &SubPath,
        mut offset: u64,
        len_bytes: u64,
    ) -> Result<Vec<u8>, Fault> {
        let file = self.open_file(path)?;
        let there = file.metadata()?.len().saturating_sub(offset).min(len_bytes);
        let mut bytes = vec![0; usize::try_from(there).unwrap_or(usize::MAX)];
        let mut filled = 0;
        while filled < bytes.len() {
            let got = file.read_at(&mut bytes[filled..], offset)?;
            if got == 0 {
                break;
            }
            filled += got;
            offset += got as u64;
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    pub(super) fn digest(&self, path: &SubPath) -> Result<Stored, Fault> {
        Ok(Stored::read(self.open_file(path)?)?)
    }

    pub(super) fn list(&self, dir: &SubPath) -> Result<Vec<Entry>, Fault> {
        let dir = self.open_dir(dir)?;
        let mut entries = Vec::new();
        for (name, _) in children(&dir)? {
            if name.as_bytes().starts_with(OWN_PREFIX.as_bytes()) {
                continue;
            }
            match rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => entries.push(entry(&name.to_string_lossy(), &stat)),
                Err(Errno::NOENT) => {} // removed since it was listed
                Err(errno) => return Err(errno.into()),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    pub(super) fn stat(&self, path: &SubPath) -> Result<Entry, Fault> {
        let Some(parent) = path.parent() else {
            return Ok(entry("", &rustix::fs::fstat(&self.root)?));
        };
        let parent = self.open_dir(&parent)?;
        Ok(entry(path.name(), &rustix::fs::statat(&parent, path.name(), AtFlags::SYMLINK_NOFOLLOW)?))
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        marker::check_or_create(&self.root, self.nameless, &self.name, Some(self.id)).map(drop)
    }

    pub(super) fn free(&self) -> Result<Free, Fault> {
        let left = rustix::fs::fstatvfs(&self.root)?;
        let inodes = if left.f_files == 0 { u64::MAX } else { left.f_favail };
        Ok(Free { bytes: left.f_bavail.saturating_mul(left.f_frsize), inodes })
    }

    pub(super) fn try_write(&self) -> Result<(), Fault> {
        put::try_write(&self.root, self.nameless)
    }

    /// Remembers a path at which something odd was met; not more of them than an operator wants to read.
    pub(super) fn suspect(&self, path: &SubPath) {
        let mut suspects = self.suspects();
        if suspects.len() < MAX_SUSPECTS {
            suspects.insert(path.clone());
        }
    }

    /// What is no directory on the way to `paths` and to those that were met before; mended ones are forgotten.
    pub(super) fn damage(&self, paths: impl Iterator<Item = SubPath>) -> BTreeSet<SubPath> {
        let mut damage: BTreeSet<SubPath> = paths.filter_map(|path| self.culprit(&path)).collect();
        self.suspects().retain(|path| {
            let culprit = self.culprit(path);
            let is_damaged = culprit.is_some();
            damage.extend(culprit);
            is_damaged
        });
        damage
    }

    /// The first component of a path that is there and is no directory, although something is below it.
    fn culprit(&self, path: &SubPath) -> Option<SubPath> {
        let above: Vec<SubPath> = path.ancestors().filter(|above| !above.is_root()).collect();
        for above in above.into_iter().rev() {
            if self.stat(&above).ok()?.kind != EntryKind::Dir {
                return Some(above);
            }
        }
        (self.stat(path).ok()?.kind == EntryKind::Foreign).then(|| path.clone())
    }

    fn suspects(&self) -> MutexGuard<'_, BTreeSet<SubPath>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_at(&self, path: &SubPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_root() { "." } else { path.as_str() };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)
    }

    fn open_dir(&self, dir: &SubPath) -> Result<OwnedFd, Errno> {
        self.open_at(dir, READ | OFlags::DIRECTORY)
    }

    /// Opens a directory, making it and what is missing above it.
    fn made_dir(&self, dir: &SubPath) -> Result<OwnedFd, Errno> {
        match (self.open_dir(dir), dir.parent()) {
            (Err(Errno::NOENT), Some(parent)) => {
                match rustix::fs::mkdirat(self.made_dir(&parent)?, dir.name(), DIR_MODE) {
                    Ok(()) | Err(Errno::EXIST) => self.open_dir(dir),
                    Err(errno) => Err(errno),
                }
            }
            (opened, _) => opened,
        }
    }

    /// Makes the names of `dirs` durable.
    fn sync_dirs<'a>(&self, dirs: impl IntoIterator<Item = &'a SubPath>) -> Result<(), Fault> {
        for dir in dirs {
            let synced = self.open_dir(dir).and_then(rustix::fs::fsync);
            synced.map_err(|errno| Fault::from(errno).at(dir.to_string()))?;
        }
        Ok(())
    }
}

pub(super) fn is_marked(root: &Path) -> bool {
    root.join(super::marker::NAME).is_file()
}

/// Makes the volume's directory and what is missing above it, durably.
fn make_root(root: &Path) -> std::io::Result<()> {
    let root = std::path::absolute(root)?;
    let missing: Vec<_> = root.ancestors().take_while(|dir| !dir.exists()).collect();
    std::fs::create_dir_all(&root)?;
    for parent in missing.iter().filter_map(|dir| dir.parent()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Names and types in a directory, without `.` and `..`.
fn children(dir: &OwnedFd) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_owned();
        if matches!(name.as_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => file_type(&rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)?),
            known => known,
        };
        found.push((name, kind));
    }
    Ok(found)
}

fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn entry(name: &str, stat: &Stat) -> Entry {
    let kind = match file_type(stat) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Dir,
        _ => EntryKind::Foreign,
    };
    let len_bytes = if kind == EntryKind::File { u64::try_from(stat.st_size).unwrap_or_default() } else { 0 };
    let anyone_may_write = Mode::from_raw_mode(0o222);
    Entry {
        name: name.to_owned(),
        kind,
        len_bytes,
        sealed: !Mode::from_raw_mode(stat.st_mode).intersects(anyone_may_write),
        modified_at: Timestamp(
            stat.st_mtime
                .saturating_mul(1_000_000)
                .saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or_default() / 1_000),
        ),
    }
}

/// fsync of anything open.
fn sync(file: impl AsFd) -> Result<(), Fault> {
    Ok(rustix::fs::fsync(file)?)
}
