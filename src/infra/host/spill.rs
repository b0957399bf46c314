//! Spills: the unnamed files that children write decoded bytes to.
//!
//! A spill belongs to one child and is reused from run to run: creating an unnamed file per run was the most expensive
//! part of a small one, for ext4 walks past every recently freed inode. A [`Spill`] is held by the reader of a run's
//! output; when dropped, it is emptied and goes back to its child.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Unused spills of one child.
#[derive(Debug, Clone, Default)]
pub(super) struct SpillPool(Arc<Mutex<Vec<Arc<File>>>>);

/// The spill of one run.
#[derive(Debug)]
pub struct Spill {
    file: Arc<File>,
    pool: SpillPool,
}

impl SpillPool {
    /// An empty spill: a used one, or a new one in `tmp`.
    pub(super) fn take(&self, tmp: &Path) -> std::io::Result<Spill> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let file = used.map_or_else(|| tempfile::tempfile_in(tmp).map(Arc::new), Ok)?;
        Ok(Spill { file, pool: self.clone() })
    }

    /// Empties a spill and takes it back.
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
        if let Err(error) = self.pool.put(&self.file) {
            tracing::debug!(%error, "a spill cannot be emptied and is not used again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SpillPool;
    use std::io::Read;
    use std::os::unix::fs::FileExt;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_spill_comes_back_empty_and_not_while_it_is_read() {
        let tmp = tempfile::tempdir().unwrap();
        let pool = SpillPool::default();
        let first = pool.take(tmp.path()).unwrap();
        first.write_all_at(b"decoded", 0).unwrap();
        let inode = first.metadata().unwrap().ino();
        let beside = pool.take(tmp.path()).unwrap();
        assert_ne!(beside.metadata().unwrap().ino(), inode);
        drop(first);
        let again = pool.take(tmp.path()).unwrap();
        assert_eq!(again.metadata().unwrap().ino(), inode);
        let mut bytes = Vec::new();
        (&*again).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"");
    }
}
