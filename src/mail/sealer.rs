//! Sealing: trees become durable a few seconds after they were committed; only then are their spool entries removed.
//!
//! `sort` fsyncs nothing, so a crash can leave a committed tree whose files lost their bytes. Until the seal the spool
//! entry is the durable copy; at start every unsealed tree is compared with its manifest, and a bad one is rebuilt from
//! the spool, at its stored path, without children. The comparison is repeated before each seal: if anything is wrong with a
//! tree or its archive copy, the mail stays in the spool.

use crate::delivery::Core;
use crate::delivery::store::{self, Unsealed};
use crate::delivery::verify::{self, Known};
use crate::ids::{DeliveryId, SpoolId, Timestamp, VolumeName};
use crate::in_tx;
use crate::infra::db::{DbError, Lane, View};
use crate::infra::telemetry::condition::Condition;
use crate::infra::volume::{BadSubPath, SubPath, Volume, VolumeError};
use crate::warn_unless_outage;
use headworks_spool::{EntryName, Spool};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Trees of one round; they share the fsyncs of common directories.
const BATCH: i64 = 256;
const PAUSE: Duration = Duration::from_millis(500);
/// A tree that could not be sealed is tried again after this time.
const DEFERRED: Duration = Duration::from_secs(60);

/// Seals trees; cheap to clone.
#[derive(Clone)]
pub struct Sealer {
    core: Arc<Core>,
    /// The spool of this process.
    spool: Spool,
    /// Trees that could not be sealed, and when that was.
    deferred: Arc<Mutex<HashMap<DeliveryId, Instant>>>,
    /// There are such trees.
    unsealable: Arc<Condition>,
}

impl Sealer {
    /// A sealer of the trees whose mail is in `spool`.
    pub fn new(core: Arc<Core>, spool: Spool) -> Self {
        let wrong = "trees cannot be sealed; their mail stays in the spool";
        let unsealable = Arc::new(Condition::new(wrong, "trees are sealed again"));
        Self { core, spool, deferred: Arc::default(), unsealable }
    }

    /// Seals until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        if let Err(error) = self.let_go_of_stale().await {
            tracing::warn!(%error, "held trees that a crash left behind stay until the next start");
        }
        loop {
            let after = self.core.live.config().mail.seal_after.get();
            let more = match self.round(after).await {
                Ok(sealed) => sealed as i64 == BATCH,
                Err(error) => {
                    warn_unless_outage!(error, %error, "sealing failed; unsealed mail stays in the spool");
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
        for (tree, result) in self.seal(due).await {
            match result {
                Ok(()) => sealed.push(tree),
                Err(error) => {
                    self.unsealable.holds(&format!("delivery {}: {error}", tree.id));
                    self.deferred().insert(tree.id, Instant::now());
                }
            }
        }
        if !sealed.is_empty() && self.deferred().is_empty() {
            self.unsealable.ends();
        }
        let facts: Vec<(DeliveryId, String)> =
            sealed.iter().map(|tree| (tree.id, tree.path.clone())).collect();
        in_tx!(self.core.db, Lane::State, tx => store::seal(tx, &facts)).await?;
        let count = sealed.len();
        self.let_go(sealed).await;
        Ok(count)
    }

    /// Trees whose files differ from their manifest and must be rebuilt. Called at start, before anything is sorted.
    pub async fn damaged(&self) -> Result<Vec<DeliveryId>, DbError> {
        let mut damaged = Vec::new();
        for unsealed in self.all_unsealed().await? {
            let (inbox, archive, id) =
                (self.core.volume(VolumeName::Inbox), self.core.volume(VolumeName::Archive), unsealed.id);
            let whole = tokio::task::spawn_blocking(move || is_whole(&inbox, &archive, &unsealed)).await;
            if !matches!(whole, Ok(Ok(()))) {
                tracing::warn!(delivery_id = %id, "a tree was damaged by a crash and is rebuilt");
                damaged.push(id);
            }
        }
        Ok(damaged)
    }

    async fn all_unsealed(&self) -> Result<Vec<Unsealed>, DbError> {
        let home = SpoolId(self.spool.id());
        store::unsealed(
            &mut self.core.db.reader(View::State).await?.tx(),
            home,
            Timestamp(i64::MAX / 2),
            i64::MAX,
        )
        .await
    }

    async fn unsealed(&self, after: Duration) -> Result<Vec<Unsealed>, DbError> {
        let (home, before) = (SpoolId(self.spool.id()), Timestamp::now().before(after));
        let deferred = {
            let mut deferred = self.deferred();
            deferred.retain(|_, since| since.elapsed() < DEFERRED);
            deferred.clone()
        };
        let limit = BATCH + i64::try_from(deferred.len()).unwrap_or(0);
        let unsealed =
            store::unsealed(&mut self.core.db.reader(View::State).await?.tx(), home, before, limit).await?;
        let due = unsealed.into_iter().filter(|tree| !deferred.contains_key(&tree.id));
        Ok(due.take(usize::try_from(BATCH).unwrap_or(usize::MAX)).collect())
    }

    fn deferred(&self) -> MutexGuard<'_, HashMap<DeliveryId, Instant>> {
        self.deferred.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals the intact trees of a batch at once; if that fails, one by one.
    async fn seal(&self, due: Vec<Unsealed>) -> Vec<(Unsealed, Result<(), String>)> {
        let (inbox, archive) = (self.core.volume(VolumeName::Inbox), self.core.volume(VolumeName::Archive));
        let sealed = tokio::task::spawn_blocking(move || {
            let mut answers = Vec::with_capacity(due.len());
            let mut whole = Vec::with_capacity(due.len());
            for tree in due {
                match is_whole(&inbox, &archive, &tree) {
                    Ok(()) => whole.push(tree),
                    Err(why) => answers.push((tree, Err(why))),
                }
            }
            let all = seal(&inbox, &archive, &whole).is_ok();
            answers.extend(whole.into_iter().map(|tree| {
                let one = if all { Ok(()) } else { seal(&inbox, &archive, std::slice::from_ref(&tree)) };
                (tree, one.map_err(|error| error.to_string()))
            }));
            answers
        });
        sealed.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the task that seals trees failed");
            Vec::new()
        })
    }

    /// Removes held trees whose successors were sealed just before a crash.
    async fn let_go_of_stale(&self) -> Result<(), DbError> {
        let home = SpoolId(self.spool.id());
        let stale =
            store::sealed_with_stale_path(&mut self.core.db.reader(View::State).await?.tx(), home).await?;
        self.let_go(stale).await;
        Ok(())
    }

    /// Removes what is no longer needed after the seals: the spool entries, and the held trees that the sealed ones replace.
    async fn let_go(&self, sealed: Vec<Unsealed>) {
        let (spool, inbox) = (self.spool.clone(), self.core.volume(VolumeName::Inbox));
        let removing = tokio::task::spawn_blocking(move || -> Vec<_> {
            sealed.into_iter().map(|tree| (remove(&spool, &inbox, &tree), tree)).collect()
        });
        let removed = removing.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the task that cleans up after a seal failed");
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
        let forgotten = in_tx!(self.core.db, Lane::State, tx => store::take_stale_path(tx, id)).await;
        if let Err(error) = forgotten {
            tracing::warn!(delivery_id = %id, %error, "a removed tree is still recorded in the store");
        }
    }
}

fn remove(spool: &Spool, inbox: &Volume, tree: &Unsealed) -> Result<(), String> {
    for name in [EntryName::whole(tree.receipt_id.0), EntryName::short(tree.receipt_id.0)] {
        match spool.remove(name) {
            Err(error) if error.kind() != headworks_spool::Kind::NotFound => return Err(error.to_string()),
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

/// Whether a tree is what its delivery and its manifest say, and its archive copy too where it has one; `Err` says what
/// is not.
fn is_whole(inbox: &Volume, archive: &Volume, unsealed: &Unsealed) -> Result<(), String> {
    let known = Known {
        delivery: unsealed.id,
        path: unsealed.path.parse().map_err(|error: BadSubPath| error.to_string())?,
        digest: unsealed.digest,
        sealed: false,
        archived: unsealed.archive,
    };
    let mut troubles = verify::of_delivery(inbox, &known).map_err(|error| error.to_string())?;
    if known.archived {
        troubles.extend(verify::archived(archive, &known).map_err(|error| error.to_string())?);
    }
    match troubles.first() {
        Some(trouble) => Err(format!("{}: {trouble}", known.path)),
        None => Ok(()),
    }
}
