//! New files: written without a name, named when they are whole.

use super::super::error::{Fault, VolumeErrorKind};
use super::super::source::Hashing;
use super::super::sub_path::OWN_PREFIX;
use super::super::{Durable, FileRange, Placed, Source, Stored, SubPath, TRIAL_BYTES};
use super::{Disk, FILE_MODE, READ, sync};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use uuid::Uuid;

/// Bytes per read and write where the kernel cannot copy by itself.
const CHUNK_BYTES: usize = 128 * 1024;

impl Disk {
    pub(in super::super) fn put(
        &self,
        path: &SubPath,
        source: Source<'_>,
        durable: Durable,
    ) -> Result<Placed, Fault> {
        let Some(parent) = path.parent() else {
            return Err(Fault::new(VolumeErrorKind::AlreadyExists, "the root is a directory"));
        };
        let now = durable == Durable::Now;
        let dir = self.made_dir(&parent)?;
        let placed = put_in(&dir, path.name(), self.nameless, source, now)?;
        if now {
            // Up to the root and not only to the first directory made here: one made by another put a moment ago is
            // there for us, but may not be durable yet. An fsync of a clean directory costs little.
            self.sync_dirs(&path.ancestors().collect::<Vec<_>>())?;
        }
        Ok(placed)
    }
}

/// Puts a file into `dir`; with `durable` its bytes are fsynced, but not its name.
pub(super) fn put_in(
    dir: &OwnedFd,
    name: &str,
    nameless: bool,
    source: Source<'_>,
    durable: bool,
) -> Result<Placed, Fault> {
    let mut staged = Staged::create(dir, nameless)?;
    let offered = write(&mut staged.file, source)?;
    if durable {
        sync(&staged.file)?;
    }
    match staged.link(name) {
        Ok(()) => Ok(Placed::New(offered)),
        Err(Errno::EXIST) => {
            let existing = File::from(rustix::fs::openat(dir, name, READ | OFlags::NOFOLLOW, Mode::empty())?);
            let found = Stored::read(&existing)?;
            if found != offered {
                return Ok(Placed::Other { offered, found });
            }
            if durable {
                sync(&existing)?;
            }
            Ok(Placed::Same(offered))
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Writes a little to a file that gets no name, and fsyncs it.
pub(super) fn try_write(dir: &OwnedFd, nameless: bool) -> Result<(), Fault> {
    let mut staged = Staged::create(dir, nameless)?;
    staged.file.write_all(&[0; TRIAL_BYTES])?;
    sync(&staged.file)
}

/// Whether the file system of `dir` knows `O_TMPFILE`.
pub(super) fn can_be_nameless(dir: &OwnedFd) -> Result<bool, Errno> {
    match open_nameless(dir) {
        Ok(_) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn open_nameless(dir: &OwnedFd) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, ".", OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, FILE_MODE)
}

/// A file that is being written. Dropped without [`Staged::link`] it leaves nothing.
struct Staged<'d> {
    dir: &'d OwnedFd,
    file: File,
    /// The name it has until it is whole, on file systems that want one.
    stage: Option<String>,
}

impl<'d> Staged<'d> {
    fn create(dir: &'d OwnedFd, nameless: bool) -> Result<Self, Errno> {
        if nameless {
            return Ok(Self { dir, file: open_nameless(dir)?.into(), stage: None });
        }
        let stage = format!("{OWN_PREFIX}stage-{}", Uuid::new_v4().simple());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(dir, &stage, flags, FILE_MODE)?.into();
        Ok(Self { dir, file, stage: Some(stage) })
    }

    fn link(&self, name: &str) -> Result<(), Errno> {
        match &self.stage {
            Some(stage) => rustix::fs::linkat(self.dir, stage, self.dir, name, AtFlags::empty()),
            None => {
                let own = format!("/proc/self/fd/{}", self.file.as_fd().as_raw_fd());
                rustix::fs::linkat(CWD, own, self.dir, name, AtFlags::SYMLINK_FOLLOW)
            }
        }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Some(stage) = &self.stage
            && let Err(errno) = rustix::fs::unlinkat(self.dir, stage, AtFlags::empty())
        {
            tracing::warn!(%stage, %errno, "staged file stays until its tree is sealed or removed");
        }
    }
}

fn write(file: &mut File, source: Source<'_>) -> Result<Stored, Fault> {
    match source {
        Source::Bytes(bytes) => {
            file.write_all(bytes)?;
            Ok(Stored::of(bytes))
        }
        Source::Reader(reader) => write_reader(file, reader),
        Source::Range(range) => {
            copy_range(&range, file)?;
            Ok(range.stored)
        }
    }
}

/// Like `io::copy`, but tells a failing reader from a failing disk.
fn write_reader(file: &mut File, reader: &mut dyn Read) -> Result<Stored, Fault> {
    let mut reader = Hashing::new(reader);
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(reader.stored()),
            Ok(got) => file.write_all(&buffer[..got])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::input(error)),
        }
    }
}

fn copy_range(range: &FileRange<'_>, to: &mut File) -> Result<(), Fault> {
    let mut offset = range.offset;
    let end = range.offset.saturating_add(range.stored.len_bytes);
    while offset < end {
        let want = usize::try_from(end - offset).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(range.file, Some(&mut offset), &*to, None, want) {
            Ok(got) if got > 0 => {}
            Err(Errno::INTR) => {}
            // Other file system, memory file, old kernel, or the source ended: the plain copy does it or says why.
            Ok(_) | Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(end - offset).unwrap_or(CHUNK_BYTES))];
    while offset < end {
        let want = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
        range.file.read_exact_at(&mut buffer[..want], offset).map_err(Fault::input)?;
        to.write_all(&buffer[..want])?;
        offset += want as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Staged, copy_range, put_in};
    use crate::infra::volume::{FileRange, Placed, Source, Stored};
    use rustix::fd::OwnedFd;
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_file_given_up_leaves_nothing_named_or_nameless() {
        let dir = tempfile::tempdir().unwrap();
        let root: OwnedFd = File::open(dir.path()).unwrap().into();
        for nameless in [true, false] {
            let mut staged = Staged::create(&root, nameless).unwrap();
            staged.file.write_all(b"half").unwrap();
            drop(staged);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_range_of_a_memory_file_arrives_by_plain_copy() {
        let dir = tempfile::tempdir().unwrap();
        let memory: File =
            rustix::fs::memfd_create("source", rustix::fs::MemfdFlags::CLOEXEC).unwrap().into();
        let bytes: Vec<u8> = (0..300_000u32).map(|i| (i % 251) as u8).collect();
        memory.write_all_at(&bytes, 0).unwrap();
        let wanted = &bytes[1_000..299_000];
        let range = FileRange { file: &memory, offset: 1_000, stored: Stored::of(wanted) };
        let path = dir.path().join("copy");
        copy_range(&range, &mut File::create(&path).unwrap()).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), wanted);
    }

    #[test]
    fn a_link_in_the_way_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("target"), "other").unwrap();
        std::os::unix::fs::symlink("target", dir.path().join("name")).unwrap();
        let root: OwnedFd = File::open(dir.path()).unwrap().into();
        assert!(put_in(&root, "name", true, Source::Bytes(b"mine"), false).is_err());
        assert_eq!(std::fs::read(dir.path().join("target")).unwrap(), b"other");
        let placed = put_in(&root, "target", true, Source::Bytes(b"other"), true).unwrap();
        assert!(matches!(placed, Placed::Same(_)));
    }
}
