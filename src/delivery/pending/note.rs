//! One note: a locked file that says whose tree is made where.

use crate::ids::DeliveryId;
use crate::infra::volume::{SubPath, Volume};
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// First line of a note; the name of the volume and the path follow, one a line.
const FORMAT: &str = "headworks-pending/1";
/// Longest note that is read.
const LIMIT_BYTES: u64 = 16 << 10;

/// A note, locked until dropped.
#[derive(Debug)]
pub struct Note {
    path: PathBuf,
    file: Option<File>,
}

/// What a note says.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    /// Name of the volume.
    pub volume: String,
    /// The tree.
    pub path: SubPath,
}

impl Note {
    /// Writes a note, durably. It appears in `directory` whole and locked.
    ///
    /// # Errors
    /// What the system reports; there is no note then.
    pub fn write(
        tmp: &Path,
        directory: &Path,
        delivery: DeliveryId,
        volume: &Volume,
        path: &SubPath,
    ) -> io::Result<Self> {
        let mut draft = tempfile::NamedTempFile::new_in(tmp)?;
        draft.as_file().lock()?;
        draft.write_all(Said { volume: volume.name().to_owned(), path: path.clone() }.text().as_bytes())?;
        draft.as_file().sync_all()?;
        make_directory(directory)?;
        let path = directory.join(delivery.to_string());
        let file = draft.persist_noclobber(&path).map_err(|failed| failed.error)?;
        let note = Self { path, file: Some(file) };
        if let Err(error) = File::open(directory).and_then(|directory| directory.sync_all()) {
            note.remove();
            return Err(error);
        }
        Ok(note)
    }

    /// Takes over a note that nobody works on; `None` if somebody does, or it is gone.
    ///
    /// # Errors
    /// What the system reports, or that it is no note.
    pub fn left_over(directory: &Path, delivery: DeliveryId) -> io::Result<Option<(Self, Said)>> {
        let path = directory.join(delivery.to_string());
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        // Somebody else decided it between the opening and the lock.
        if file.metadata()?.nlink() == 0 {
            return Ok(None);
        }
        let mut text = String::new();
        (&mut file).take(LIMIT_BYTES).read_to_string(&mut text)?;
        let said = Said::parse(&text).ok_or_else(|| io::Error::other("it is not a note of version 1"))?;
        Ok(Some((Self { path, file: Some(file) }, said)))
    }

    /// Removes it. Where that fails it is decided once more.
    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, "the note of a tree cannot be removed");
        }
    }

    /// The note without its present owner.
    pub fn take(&mut self) -> Option<Self> {
        Some(Self { path: self.path.clone(), file: Some(self.file.take()?) })
    }
}

impl Said {
    fn text(&self) -> String {
        format!("{FORMAT}\n{}\n{}\n", self.volume, self.path)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (format, volume, path) = (lines.next()?, lines.next()?, lines.next()?);
        if format != FORMAT || lines.next().is_some() {
            return None;
        }
        Some(Self { volume: volume.to_owned(), path: path.parse().ok()? })
    }
}

/// Makes the directory of the notes, durably.
fn make_directory(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => {
            made?;
            File::open(directory.parent().unwrap_or(directory))?.sync_all()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Note, Said};
    use crate::ids::DeliveryId;
    use crate::infra::volume::{SubPath, Volume};

    #[test]
    fn a_note_can_be_taken_over_only_when_nobody_works_on_it_and_says_what_was_noted() {
        let tmp = tempfile::tempdir().unwrap();
        let directory = tmp.path().join("pending");
        let (id, volume) = (DeliveryId::fresh(), Volume::memory("inbox", 1));
        let path: SubPath = "bobs/a/b/c/20260113_120000-0011aabb".parse().unwrap();
        assert!(Note::left_over(&directory, id).unwrap().is_none(), "there is none");
        let mut note = Note::write(tmp.path(), &directory, id, &volume, &path).unwrap();
        assert!(Note::left_over(&directory, id).unwrap().is_none(), "it is being worked on");
        let taken = note.take().unwrap();
        drop(note);
        assert!(Note::left_over(&directory, id).unwrap().is_none(), "by another now");
        drop(taken);
        let (note, said) = Note::left_over(&directory, id).unwrap().unwrap();
        assert_eq!(said, Said { volume: "inbox".into(), path });
        assert!(Note::left_over(&directory, id).unwrap().is_none(), "it was taken over");
        note.remove();
        drop(note);
        assert!(Note::left_over(&directory, id).unwrap().is_none(), "it is gone");
        assert_eq!(std::fs::read_dir(tmp.path()).unwrap().count(), 1, "only the directory of the notes");
    }

    #[test]
    fn what_is_no_note_is_an_error() {
        for text in [
            "",
            "headworks-pending/1\ninbox\n",
            "headworks-pending/1\ninbox\n../x\n",
            "headworks-pending/2\ninbox\na\n",
        ] {
            assert_eq!(Said::parse(text), None, "{text}");
        }
        assert!(Said::parse("headworks-pending/1\ninbox\na/b\n").is_some());
    }
}
