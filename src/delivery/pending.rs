//! Trees that are made before their delivery has a row: each is noted first, so that none is forgotten.
//!
//! ```text
//!   note, durable ─▶ tree, sealed ─▶ accept ─┬─ yes ───────────▶ the note goes
//!                                            ├─ a definite no ─▶ the tree goes, then the note
//!                                            └─ undecided, or a crash at any arrow: both stay until the store was asked
//! ```
//!
//! A note is the file `pending/<delivery id>` in the scratch directory. Whoever works on it keeps it locked, so a note that can
//! be locked is left over, and [`LeftOver`] decides it. Nothing without a note is removed: after a restored backup
//! that would be everything since. `verify` finds such trees.

mod left_over;
mod note;

pub use left_over::LeftOver;

use super::accept::{AcceptError, Answer};
use super::tree::Written;
use crate::ids::DeliveryId;
use crate::infra::db::DbErrorKind;
use crate::infra::volume::{SubPath, Volume, VolumeError};
use crate::web::{Kind, Problem};
use note::Note;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Handle;
use tokio::task::JoinError;

/// Where notes are; cheap to clone.
#[derive(Debug, Clone)]
pub struct Pending {
    tmp: Arc<Path>,
}

/// Why there is no tree. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum PendingError {
    /// It could not be noted, and so was not made.
    #[error("the note of a tree cannot be written: {0}")]
    Note(#[source] io::Error),
    /// The volume failed.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// Another delivery's tree is there.
    #[error("the path is that of delivery {0}")]
    Taken(DeliveryId),
    /// The task that made it failed.
    #[error("making a tree failed: {0}")]
    Task(#[from] JoinError),
}

impl From<PendingError> for Problem {
    fn from(error: PendingError) -> Self {
        match error {
            PendingError::Note(_) => Self::new(Kind::Unavailable, "").because(error),
            PendingError::Volume(error) => error.into(),
            PendingError::Taken(_) => {
                Self::new(Kind::Conflict, "the same delivery is being accepted at this moment")
            }
            PendingError::Task(error) => Self::internal(error),
        }
    }
}

impl Pending {
    /// Notes below the scratch directory `tmp`.
    #[must_use]
    pub fn below(tmp: &Path) -> Self {
        Self { tmp: tmp.into() }
    }

    /// Notes the tree of `delivery` at `path`, has it written by `write`, and seals it. The acceptor takes it from there.
    ///
    /// # Errors
    /// See [`PendingError`].
    pub async fn make(
        &self,
        volume: Arc<Volume>,
        path: SubPath,
        delivery: DeliveryId,
        write: impl FnOnce(&Volume, &SubPath) -> Result<Written, VolumeError> + Send + 'static,
    ) -> Result<PendingTree, PendingError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.make_now(volume, path, delivery, write)).await?
    }

    fn make_now(
        &self,
        volume: Arc<Volume>,
        path: SubPath,
        delivery: DeliveryId,
        write: impl FnOnce(&Volume, &SubPath) -> Result<Written, VolumeError>,
    ) -> Result<PendingTree, PendingError> {
        // Nothing is noted for a volume that is not here.
        volume.check()?;
        let note = Note::write(&self.tmp, &self.directory(), delivery, &volume, &path);
        let note = note.map_err(PendingError::Note)?;
        let tree =
            PendingTree(Arc::new(Tree { note, volume, path, delivery, asked: AtomicBool::new(false) }));
        let made = write(&tree.0.volume, &tree.0.path).and_then(|written| match written {
            Written::Taken(other) => Ok(Some(other)),
            Written::Made(_) | Written::Adopted(_) => {
                tree.0.volume.seal(std::slice::from_ref(&tree.0.path)).map(|()| None)
            }
        });
        match made {
            Ok(None) => Ok(tree),
            Ok(Some(other)) => {
                tree.0.keep();
                Err(PendingError::Taken(other))
            }
            Err(error) => {
                tree.0.remove();
                Err(error.into())
            }
        }
    }

    fn directory(&self) -> PathBuf {
        self.tmp.join("pending")
    }
}

/// A sealed tree whose delivery has no row yet; clones are of the same tree. What becomes of it is decided by the answer of
/// [`Acceptor::accept_tree`](super::Acceptor::accept_tree). It is removed if all clones are dropped before the store is asked.
#[derive(Debug, Clone)]
pub struct PendingTree(Arc<Tree>);

#[derive(Debug)]
struct Tree {
    note: Note,
    volume: Arc<Volume>,
    path: SubPath,
    delivery: DeliveryId,
    /// The store is asked or was asked; or the note is gone.
    asked: AtomicBool,
}

impl PendingTree {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &SubPath {
        &self.0.path
    }

    /// From here on it may have a row.
    pub(super) fn ask(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
    }

    /// Whether the store was asked; then whoever asked settles it.
    pub(super) fn was_asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// Does what the answers demand: before they are passed on, so that a refused tree is gone when its sender hears of it.
    pub(super) async fn settle<'a>(answers: impl IntoIterator<Item = (&'a Self, &'a Answer)>) {
        let ends: Vec<_> = answers
            .into_iter()
            .filter_map(|(tree, answer)| Some((Arc::clone(&tree.0), tree.end(answer)?)))
            .collect();
        if ends.is_empty() {
            return;
        }
        let settled = tokio::task::spawn_blocking(move || ends.iter().for_each(|(tree, end)| end(tree)));
        if let Err(error) = settled.await {
            tracing::error!(%error, "the task that settles trees failed");
        }
    }

    /// What an answer demands; `None` while nobody knows whether it has a row.
    fn end(&self, answer: &Answer) -> Option<fn(&Tree)> {
        match answer {
            Ok(accepted) if accepted.delivery_id == Some(self.0.delivery) => Some(Tree::keep),
            Err(AcceptError::Store(error)) if error.kind() == DbErrorKind::Undecided && self.was_asked() => {
                None
            }
            _ => Some(Tree::remove),
        }
    }
}

impl Tree {
    /// The delivery has a row.
    fn keep(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.note.remove();
    }

    /// The delivery has none and never will.
    fn remove(&self) {
        self.asked.store(true, Ordering::SeqCst);
        match self.volume.remove_tree(&self.path) {
            Ok(_) => self.note.remove(),
            Err(error) => {
                tracing::debug!(%error, source = %error.source, "a refused tree cannot be removed yet; its note stays");
            }
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if self.asked.load(Ordering::SeqCst) {
            return;
        }
        // Its caller went away, for example because the connection was closed.
        let Some(note) = self.note.take() else { return };
        let (volume, path, delivery) = (Arc::clone(&self.volume), self.path.clone(), self.delivery);
        let orphan = Self { note, volume, path, delivery, asked: AtomicBool::new(true) };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || orphan.remove())),
            Err(_) => orphan.remove(),
        }
    }
}
