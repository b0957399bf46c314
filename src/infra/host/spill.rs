//! Spills: the unnamed files that children write decoded bytes to.
//!
//! A spill belongs to one child and is used for one run after the other: making an unnamed file for every run was the
//! dearest part of a small one, for ext4 walks past every inode that was freed lately. Whoever reads the spill of a run
//! holds it; let go of, it is emptied and goes back to its child.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Spills of one child that nobody reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf(Arc<Mutex<Vec<Arc<File>>>>);

/// The spill of one run.
#[derive(Debug)]
pub struct Spill {
    file: Arc<File>,
    shelf: Shelf,
}

impl Shelf {
    /// An empty spill: one that came back, or a new one in `tmp`.
    pub(super) fn take(&self, tmp: &Path) -> std::io::Result<Spill> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let file = used.map_or_else(|| tempfile::tempfile_in(tmp).map(Arc::new), Ok)?;
        Ok(Spill { file, shelf: self.clone() })
    }

    /// Takes back what can be emptied.
    fn put(&self, file: &Arc<File>) -> std::io::Result<()> {
        if file.metadata()?.len() > 0 {
            file.set_len(0)?;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(file));
        Ok(())
    }
}

impl Deref for Spill {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if let Err(error) = self.shelf.put(&self.file) {
            tracing::debug!(%error, "a spill is not used again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shelf;
    use std::io::Read;
    use std::os::unix::fs::FileExt;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_spill_comes_back_empty_and_not_while_it_is_read() {
        let tmp = tempfile::tempdir().unwrap();
        let shelf = Shelf::default();
        let first = shelf.take(tmp.path()).unwrap();
        first.write_all_at(b"decoded", 0).unwrap();
        let inode = first.metadata().unwrap().ino();
        let beside = shelf.take(tmp.path()).unwrap();
        assert_ne!(beside.metadata().unwrap().ino(), inode);
        drop(first);
        let again = shelf.take(tmp.path()).unwrap();
        assert_eq!(again.metadata().unwrap().ino(), inode);
        let mut bytes = Vec::new();
        (&*again).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"");
    }
}
