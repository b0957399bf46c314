//! Whole trees: sealed, unsealed, removed.

use super::super::SubPath;
use super::super::error::{Fault, VolumeErrorKind};
use super::super::sub_path::OWN_PREFIX;
use super::{DIR_MODE, Disk, FILE_MODE, READ, SEALED_DIR_MODE, SEALED_FILE_MODE, children, sync};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::CStr;

/// Trees deeper than this are not ours.
const MAX_DEPTH: u32 = 32;

/// One thing found on the way through a tree; what a directory holds comes before the directory.
struct Found<'a> {
    parent: &'a OwnedFd,
    name: &'a CStr,
    kind: FileType,
}

impl Found<'_> {
    fn open(&self) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(self.parent, self.name, READ | OFlags::NOFOLLOW, Mode::empty())
    }

    fn unlink(&self) -> Result<(), Errno> {
        let flags = if self.kind == FileType::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        rustix::fs::unlinkat(self.parent, self.name, flags)
    }
}

impl Disk {
    /// Modes first, everywhere, then the fsyncs: the first fsync commits the changed modes of all of them.
    pub(in super::super) fn seal(&self, dirs: &[SubPath]) -> Result<(), Fault> {
        for dir in dirs {
            self.set_modes(dir, SEALED_FILE_MODE, SEALED_DIR_MODE)?;
        }
        for dir in dirs {
            self.each_below(dir, &mut |found| sync(found.open()?))?;
        }
        let trees = dirs.iter().cloned();
        let above: BTreeSet<SubPath> = trees.chain(dirs.iter().flat_map(SubPath::ancestors)).collect();
        self.sync_dirs(above.iter().rev())
    }

    pub(in super::super) fn unseal(&self, dir: &SubPath) -> Result<(), Fault> {
        self.set_modes(dir, FILE_MODE, DIR_MODE)
    }

    pub(in super::super) fn remove_file(&self, path: &SubPath) -> Result<bool, Fault> {
        self.remove_name(path, AtFlags::empty())
    }

    pub(in super::super) fn remove_tree(&self, dir: &SubPath) -> Result<bool, Fault> {
        if dir.is_root() {
            return Err(Fault::new(VolumeErrorKind::Denied, "the volume itself is not removed"));
        }
        let own = match self.open_dir(dir) {
            Err(Errno::NOENT) => return Ok(false),
            opened => opened?,
        };
        rustix::fs::fchmod(own, DIR_MODE)?;
        self.each_below(dir, &mut |found| {
            if found.kind == FileType::Directory {
                rustix::fs::fchmod(found.open()?, DIR_MODE)?;
            }
            Ok(())
        })?;
        self.each_below(dir, &mut |found| Ok(found.unlink()?))?;
        self.remove_name(dir, AtFlags::REMOVEDIR)
    }

    fn remove_name(&self, path: &SubPath, flags: AtFlags) -> Result<bool, Fault> {
        let Some(parent) = path.parent() else {
            return Err(Fault::new(VolumeErrorKind::Denied, "the volume itself is not removed"));
        };
        let removed = self.open_dir(&parent).and_then(|parent| {
            rustix::fs::unlinkat(&parent, path.name(), flags)?;
            rustix::fs::fsync(parent)
        });
        match removed {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sets the modes of a tree and drops files that a killed process left staged in it.
    fn set_modes(&self, dir: &SubPath, file_mode: Mode, dir_mode: Mode) -> Result<(), Fault> {
        self.each_below(dir, &mut |found| {
            if found.name.to_bytes().starts_with(OWN_PREFIX.as_bytes()) {
                return Ok(found.unlink()?);
            }
            let mode = match found.kind {
                FileType::RegularFile => file_mode,
                FileType::Directory => dir_mode,
                _ => return Err(Fault::new(VolumeErrorKind::Corrupt, "neither file nor directory")),
            };
            Ok(rustix::fs::fchmod(found.open()?, mode)?)
        })?;
        Ok(rustix::fs::fchmod(self.open_dir(dir)?, dir_mode)?)
    }

    fn each_below(
        &self,
        dir: &SubPath,
        visit: &mut dyn FnMut(&Found<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        walk(&self.open_dir(dir)?, dir.as_str(), MAX_DEPTH, visit)
    }
}

fn walk(
    dir: &OwnedFd,
    place: &str,
    depth_left: u32,
    visit: &mut dyn FnMut(&Found<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if depth_left == 0 {
        return Err(Fault::new(VolumeErrorKind::Corrupt, "too deep").at(place));
    }
    for (name, kind) in children(dir)? {
        let found = Found { parent: dir, name: &name, kind };
        let place = format!("{place}/{}", name.to_string_lossy());
        if kind == FileType::Directory {
            walk(&found.open()?, &place, depth_left - 1, visit)?;
        }
        visit(&found).map_err(|fault| fault.at(place))?;
    }
    Ok(())
}
