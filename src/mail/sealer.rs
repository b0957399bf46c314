//! Sealing: trees become durable a few seconds after they were committed, and only then does the spool let go.
//!
//! `sort` fsyncs nothing, so a crash can leave a committed tree whose files lost their bytes. Until the seal the spool
//! entry is the durable copy; at start every unsealed tree is compared with its manifest, and a bad one made again from
//! the spool, at its stored path, without children.

use crate::config::Live;
use crate::delivery::store::{self, Unsealed};
use crate::delivery::tree::{self, Found};
use crate::ids::{DeliveryId, SpoolId, Timestamp};
use crate::infra::db::{Db, DbError, Lane, View};
use crate::infra::volume::{SubPath, Volume, VolumeError};
use mailhandler::{EntryName, Spool};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Trees of one round; they share the fsyncs of common directories.
const BATCH: i64 = 256;
const PAUSE: Duration = Duration::from_millis(500);

/// The parts of sealing; cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    /// The store.
    pub db: Db,
    /// The spool of this process.
    pub spool: Spool,
    /// Where trees are.
    pub inbox: Arc<Volume>,
    /// Where copies of originals are.
    pub archive: Arc<Volume>,
    /// The configuration in force.
    pub live: Live,
}

impl Sealer {
    /// Seals until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        loop {
            let after = self.live.config().mail.seal_after.get();
            let more = match self.round(after).await {
                Ok(sealed) => sealed as i64 == BATCH,
                Err(error) => {
                    tracing::warn!(%error, "sealing failed; the spool keeps what is not sealed");
                    false
                }
            };
            let pause = if more { Duration::ZERO } else { PAUSE };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Seals the oldest trees that were committed at least `after` ago; returns how many.
    ///
    /// # Errors
    /// When the store fails. A tree that cannot be sealed is left for the next round.
    pub async fn round(&self, after: Duration) -> Result<usize, DbError> {
        let due = self.unsealed(after).await?;
        let mut sealed = Vec::with_capacity(due.len());
        for tree in self.seal(due).await {
            match tree {
                Ok(tree) => sealed.push(tree),
                Err(error) => tracing::warn!(%error, "a tree cannot be sealed; the spool keeps its mail"),
            }
        }
        let facts: Vec<(DeliveryId, String)> =
            sealed.iter().map(|tree| (tree.id, tree.path.clone())).collect();
        self.db
            .write(Lane::State, move |mut tx| Box::pin(async move { store::seal(&mut tx, &facts).await }))
            .await?;
        let count = sealed.len();
        self.let_go(sealed).await;
        Ok(count)
    }

    /// Trees that were made and whose digests are not what their manifest says: to be made again. Asked at start, before
    /// anything is sorted.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn damaged(&self) -> Result<Vec<DeliveryId>, DbError> {
        let mut damaged = Vec::new();
        for unsealed in self.all_unsealed().await? {
            let (inbox, path) = (Arc::clone(&self.inbox), unsealed.path.clone());
            let whole = tokio::task::spawn_blocking(move || is_whole(&inbox, &path)).await;
            if !matches!(whole, Ok(Ok(true))) {
                tracing::warn!(delivery_id = %unsealed.id, "a tree was damaged by a crash and is made again");
                damaged.push(unsealed.id);
            }
        }
        Ok(damaged)
    }

    async fn all_unsealed(&self) -> Result<Vec<Unsealed>, DbError> {
        let home = SpoolId(self.spool.id());
        self.db
            .read(View::State, move |mut tx| {
                Box::pin(
                    async move { store::unsealed(&mut tx, home, Timestamp(i64::MAX / 2), i64::MAX).await },
                )
            })
            .await
    }

    async fn unsealed(&self, after: Duration) -> Result<Vec<Unsealed>, DbError> {
        let (home, before) = (SpoolId(self.spool.id()), Timestamp::now().before(after));
        self.db
            .read(View::State, move |mut tx| {
                Box::pin(async move { store::unsealed(&mut tx, home, before, BATCH).await })
            })
            .await
    }

    /// Seals a batch in one go; if that fails, each tree for itself.
    async fn seal(&self, due: Vec<Unsealed>) -> Vec<Result<Unsealed, VolumeError>> {
        let (inbox, archive) = (Arc::clone(&self.inbox), Arc::clone(&self.archive));
        let sealed = tokio::task::spawn_blocking(move || {
            if seal(&inbox, &archive, &due).is_ok() {
                return due.into_iter().map(Ok).collect();
            }
            due.into_iter()
                .map(|tree| seal(&inbox, &archive, std::slice::from_ref(&tree)).map(|()| tree))
                .collect()
        });
        sealed.await.unwrap_or_else(|error| {
            tracing::error!(%error, "sealing ended badly");
            Vec::new()
        })
    }

    /// Removes what the seals made superfluous: the spool entries, and the held trees that these trees came from.
    async fn let_go(&self, sealed: Vec<Unsealed>) {
        let (spool, inbox) = (self.spool.clone(), Arc::clone(&self.inbox));
        let removing = tokio::task::spawn_blocking(move || -> Vec<_> {
            sealed.into_iter().map(|tree| (remove(&spool, &inbox, &tree), tree)).collect()
        });
        let removed = removing.await.unwrap_or_else(|error| {
            tracing::error!(%error, "cleaning up after a seal ended badly");
            Vec::new()
        });
        for (removed, tree) in removed {
            match removed {
                Ok(()) if tree.stale_path.is_some() => self.forget_stale(tree.id).await,
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(delivery_id = %tree.id, %error, "cleaning up after a seal failed");
                }
            }
        }
    }

    async fn forget_stale(&self, id: DeliveryId) {
        let forgotten = self
            .db
            .write(Lane::State, move |mut tx| {
                Box::pin(async move { store::take_stale_path(&mut tx, id).await })
            })
            .await;
        if let Err(error) = forgotten {
            tracing::warn!(delivery_id = %id, %error, "a removed tree is still named");
        }
    }
}

fn remove(spool: &Spool, inbox: &Volume, tree: &Unsealed) -> Result<(), String> {
    for name in [EntryName::whole(tree.receipt_id.0), EntryName::short(tree.receipt_id.0)] {
        match spool.remove(name) {
            Err(error) if error.kind() != mailhandler::Kind::NotFound => return Err(error.to_string()),
            _ => {}
        }
    }
    if let Some(path) = tree.stale_path.as_ref().and_then(|path| path.parse::<SubPath>().ok()) {
        inbox.remove_tree(&path).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn seal(inbox: &Volume, archive: &Volume, due: &[Unsealed]) -> Result<(), VolumeError> {
    let path = |tree: &Unsealed| tree.path.parse::<SubPath>().ok();
    let trees: Vec<SubPath> = due.iter().filter_map(path).collect();
    let archived: Vec<SubPath> = due.iter().filter(|tree| tree.archive).filter_map(path).collect();
    if !archived.is_empty() {
        archive.seal(&archived)?;
    }
    inbox.seal(&trees)
}

fn is_whole(inbox: &Volume, path: &str) -> Result<bool, VolumeError> {
    let Ok(path) = path.parse::<SubPath>() else { return Ok(false) };
    match tree::read_manifest(inbox, &path)? {
        Found::Manifest(manifest) => Ok(tree::check(inbox, &path, &manifest)?.is_empty()),
        Found::None | Found::Unreadable(_) => Ok(false),
    }
}
