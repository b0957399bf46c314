//! The leases this process holds, and the heartbeat that renews them.

use super::store;
use crate::ids::{JobId, LeaseToken};
use crate::infra::db::{Db, DbError, Lane};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Why a run is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody called the job off.
    Cancelled,
    /// The lease is somebody else's now: whatever the run does is in vain.
    Lost,
    /// It ran longer than it should.
    Deadline,
    /// This process is going down.
    Shutdown,
}

/// One run's lease: lets it hear that it should stop, and say how far it is.
#[derive(Debug, Clone)]
pub struct Held {
    id: JobId,
    token: LeaseToken,
    stop: CancellationToken,
    state: Arc<Mutex<HeldState>>,
}

#[derive(Debug, Default)]
struct HeldState {
    why: Option<Stop>,
    progress: Option<serde_json::Value>,
}

impl Held {
    /// Resolves when the run should stop.
    pub async fn stopped(&self) -> Stop {
        self.stop.cancelled().await;
        lock(&self.state).why.unwrap_or(Stop::Shutdown)
    }

    /// Why the run should stop; `None` while it should not.
    #[must_use]
    pub fn why(&self) -> Option<Stop> {
        lock(&self.state).why
    }

    /// Says how far the run is. The last value goes out with the next heartbeat.
    pub fn progress(&self, progress: serde_json::Value) {
        lock(&self.state).progress = Some(progress);
    }

    pub(super) fn stop(&self, why: Stop) {
        lock(&self.state).why.get_or_insert(why);
        self.stop.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these mutexes guard is whole at every instant: a panic elsewhere has not broken it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Every lease this process holds and renews; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    held: Arc<Mutex<HashMap<JobId, Held>>>,
}

impl Leases {
    /// Adds a claimed job.
    pub fn hold(&self, id: JobId, token: LeaseToken) -> Held {
        let held = Held { id, token, stop: CancellationToken::new(), state: Arc::default() };
        lock(&self.held).insert(id, held.clone());
        held
    }

    /// Takes a job out: it is finished, put back, or finishing.
    pub fn drop(&self, id: JobId) {
        lock(&self.held).remove(&id);
    }

    /// Number of leases held.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.held).len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks one run to stop; `false` when this process does not run it.
    pub fn stop(&self, id: JobId, why: Stop) -> bool {
        let held = lock(&self.held).get(&id).cloned();
        held.inspect(|held| held.stop(why)).is_some()
    }

    /// Asks every run to stop.
    pub fn stop_all(&self, why: Stop) {
        let all: Vec<_> = lock(&self.held).values().cloned().collect();
        all.iter().for_each(|held| held.stop(why));
    }

    /// Renews every lease every third of its length, until `stop`.
    pub async fn renew_until(&self, db: &Db, lease: Duration, stop: &CancellationToken) {
        let mut beat = tokio::time::interval(lease / 3);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = beat.tick() => {}
            }
            if let Err(error) = self.renew(db, lease).await {
                tracing::warn!(%error, "heartbeat failed; leases stand until they expire");
            }
        }
    }

    /// One heartbeat: renews, passes on cancellations, and tells runs whose lease is gone.
    async fn renew(&self, db: &Db, lease: Duration) -> Result<(), DbError> {
        let all: Vec<Held> = lock(&self.held).values().cloned().collect();
        if all.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<_> = all.iter().map(|h| (h.id, h.token, lock(&h.state).progress.take())).collect();
        rows.sort_by_key(|row| row.0);
        let renewed = db
            .write(Lane::Relaxed, move |mut tx| {
                Box::pin(async move { store::renew(&mut tx, &rows, lease).await })
            })
            .await?;
        for row in renewed.iter().filter(|row| row.cancel_requested) {
            self.stop(row.id, Stop::Cancelled);
        }
        let missing: Vec<_> = all
            .iter()
            .filter(|h| !renewed.iter().any(|row| row.id == h.id))
            .map(|h| (h.id, h.token))
            .collect();
        self.tell_lost(db, missing).await
    }

    /// A row that was not renewed is locked by somebody, or no longer ours; only the second is a loss.
    async fn tell_lost(&self, db: &Db, missing: Vec<(JobId, LeaseToken)>) -> Result<(), DbError> {
        if missing.is_empty() {
            return Ok(());
        }
        let asked = missing.clone();
        let standing = db
            .write(Lane::Relaxed, move |mut tx| {
                Box::pin(async move { store::standing(&mut tx, &asked).await })
            })
            .await?;
        for (id, _) in missing.iter().filter(|(id, _)| !standing.contains(id)) {
            // Finished meanwhile is the usual reason, and then it is no longer in the set.
            if self.stop(*id, Stop::Lost) {
                tracing::warn!(job_id = %id, "lease lost; the run is stopped");
            }
        }
        Ok(())
    }
}
