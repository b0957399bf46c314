//! The leases this process holds, and the heartbeat that renews them.

use super::store;
use crate::ids::{JobId, LeaseToken};
use crate::infra::db::{Db, DbError, Lane};
use crate::{in_tx, warn_unless_outage};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a run is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The job was cancelled.
    Cancelled,
    /// The job belongs to another run now: nothing this run does will be kept.
    Lost,
    /// This process is shutting down.
    Shutdown,
}

/// The lease of one run: asks it to stop, and takes its progress.
#[derive(Debug, Clone)]
pub struct LeaseHandle {
    id: JobId,
    token: LeaseToken,
    signs: watch::Sender<Signs>,
    state: Arc<Mutex<HandleState>>,
}

/// What a run and its watchers share.
#[derive(Debug, Default)]
struct Signs {
    /// Why the run should stop.
    stop: Option<Stop>,
    /// The run is waiting for others; that time does not count as its own.
    waits: bool,
}

#[derive(Debug, Default)]
struct HandleState {
    /// The last progress the run reported.
    progress: Option<Value>,
    /// Whether the store has it.
    progress_stored: bool,
    /// The end is being committed: the row may disappear at any moment, which does not mean that the lease was lost.
    finishing: bool,
}

impl LeaseHandle {
    /// Resolves when the run should stop.
    pub async fn stopped(&self) -> Stop {
        let mut signs = self.signs.subscribe();
        let found = signs.wait_for(|signs| signs.stop.is_some()).await;
        // The sender lives in `self`, so waiting cannot fail.
        found.ok().and_then(|signs| signs.stop).unwrap_or(Stop::Shutdown)
    }

    /// Why the run should stop; `None` while it should not.
    #[must_use]
    pub fn why(&self) -> Option<Stop> {
        self.signs.borrow().stop
    }

    /// Reports progress. The next heartbeat stores the last value.
    pub fn progress(&self, progress: Value) {
        let mut state = lock(&self.state);
        state.progress_stored &= state.progress.as_ref() == Some(&progress);
        state.progress = Some(progress);
    }

    /// The last progress the run reported.
    pub(super) fn last_progress(&self) -> Option<Value> {
        lock(&self.state).progress.clone()
    }

    /// The progress that the next heartbeat must store.
    fn progress_to_store(&self) -> Option<Value> {
        let state = lock(&self.state);
        state.progress.clone().filter(|_| !state.progress_stored)
    }

    /// Asks the run to stop. The first reason stays.
    pub(super) fn stop(&self, why: Stop) {
        self.signs.send_if_modified(|signs| {
            let first = signs.stop.is_none();
            signs.stop.get_or_insert(why);
            first
        });
    }

    /// Awaits `free`; that time does not count as the run's.
    pub(super) async fn waiting<T>(&self, free: impl Future<Output = T>) -> T {
        self.signs.send_modify(|signs| signs.waits = true);
        let freed = free.await;
        self.signs.send_modify(|signs| signs.waits = false);
        freed
    }

    /// Resolves when the run has worked for `limit`, not counting time spent waiting for others.
    pub(super) async fn at_work_for(&self, limit: Duration) {
        let mut signs = self.signs.subscribe();
        let mut left = limit;
        // The sender lives in `self`: the receiver never fails.
        while signs.wait_for(|signs| !signs.waits).await.is_ok() {
            let begun = Instant::now();
            if tokio::time::timeout(left, signs.wait_for(|signs| signs.waits)).await.is_err() {
                return;
            }
            left = left.saturating_sub(begun.elapsed());
        }
    }

    /// Says that the end of the run is being committed: from now on the row may disappear.
    pub(super) fn finishing(&self) {
        lock(&self.state).finishing = true;
    }

    /// Notes that the store has `progress`.
    fn stored(&self, progress: Option<&Value>) {
        let mut state = lock(&self.state);
        state.progress_stored |= progress.is_some() && state.progress.as_ref() == progress;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // These mutexes guard values that are valid at every moment: a panic elsewhere has not broken them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The leases that this process holds and renews; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Leases {
    handles: Arc<Mutex<HashMap<JobId, LeaseHandle>>>,
}

impl Leases {
    /// Adds a claimed job. A run of this process that still has an older lease on the job has lost it.
    pub fn hold(&self, id: JobId, token: LeaseToken) -> LeaseHandle {
        let handle = LeaseHandle { id, token, signs: watch::Sender::default(), state: Arc::default() };
        if let Some(older) = lock(&self.handles).insert(id, handle.clone()) {
            older.stop(Stop::Lost);
        }
        handle
    }

    /// Removes the lease of a job that was finished or put back. A newer lease on the same job stays.
    pub fn drop(&self, id: JobId, token: LeaseToken) {
        let mut handles = lock(&self.handles);
        if handles.get(&id).is_some_and(|handle| handle.token == token) {
            handles.remove(&id);
        }
    }

    /// Number of leases.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.handles).len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks one run to stop; `false` if this process does not run it.
    pub fn stop(&self, id: JobId, why: Stop) -> bool {
        let handle = lock(&self.handles).get(&id).cloned();
        handle.inspect(|handle| handle.stop(why)).is_some()
    }

    /// Asks every run to stop.
    pub fn stop_all(&self, why: Stop) {
        let all: Vec<_> = lock(&self.handles).values().cloned().collect();
        all.iter().for_each(|handle| handle.stop(why));
    }

    /// Renews all leases every third of their length, until `stop`.
    pub async fn renew_until(&self, db: &Db, lease: Duration, stop: &CancellationToken) {
        let mut beat = tokio::time::interval(lease / 3);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = beat.tick() => {}
            }
            if let Err(error) = self.renew(db, lease).await {
                warn_unless_outage!(error, %error, "heartbeat failed; leases hold until they expire");
            }
        }
    }

    /// One heartbeat: renews leases, passes on cancellations, and stops runs that lost their lease.
    async fn renew(&self, db: &Db, lease: Duration) -> Result<(), DbError> {
        let mut all: Vec<LeaseHandle> = lock(&self.handles).values().cloned().collect();
        if all.is_empty() {
            return Ok(());
        }
        all.sort_by_key(|handle| handle.id);
        let rows: Vec<_> = all.iter().map(|h| (h.id, h.token, h.progress_to_store())).collect();
        let sent = rows.clone();
        let renewed = in_tx!(db, Lane::Relaxed, tx => store::renew(tx, &rows, lease)).await?;
        let renewed: HashMap<JobId, bool> =
            renewed.into_iter().map(|row| (row.id, row.cancel_requested)).collect();
        let mut missing = Vec::new();
        for (handle, (_, _, progress)) in all.into_iter().zip(&sent) {
            match renewed.get(&handle.id) {
                Some(cancel_requested) => {
                    handle.stored(progress.as_ref());
                    if *cancel_requested {
                        handle.stop(Stop::Cancelled);
                    }
                }
                None => missing.push(handle),
            }
        }
        self.stop_lost(db, missing).await
    }

    /// Stops the runs that lost their lease. A row that was not renewed may also just be locked by another transaction.
    async fn stop_lost(&self, db: &Db, missing: Vec<LeaseHandle>) -> Result<(), DbError> {
        if missing.is_empty() {
            return Ok(());
        }
        let asked: Vec<_> = missing.iter().map(|handle| (handle.id, handle.token)).collect();
        let standing = in_tx!(db, Lane::Relaxed, tx => store::standing(tx, &asked)).await?;
        for handle in missing.iter().filter(|handle| !standing.contains(&handle.id)) {
            if !lock(&handle.state).finishing {
                tracing::warn!(job_id = %handle.id, "lease lost; the run is stopped");
            }
            handle.stop(Stop::Lost);
            self.drop(handle.id, handle.token);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_lease_on_a_job_stops_the_older_run_and_outlives_it() {
        let (leases, id) = (Leases::default(), JobId(1));
        let (old, new) = (LeaseToken::fresh(), LeaseToken::fresh());
        let older = leases.hold(id, old);
        let newer = leases.hold(id, new);
        assert_eq!((older.why(), newer.why()), (Some(Stop::Lost), None));
        leases.drop(id, old);
        assert_eq!(leases.len(), 1);
        leases.drop(id, new);
        assert!(leases.is_empty());
    }

    #[test]
    fn the_first_reason_to_stop_stays() {
        let handle = Leases::default().hold(JobId(1), LeaseToken::fresh());
        for said in [Stop::Cancelled, Stop::Lost, Stop::Shutdown] {
            handle.stop(said);
            assert_eq!(handle.why(), Some(Stop::Cancelled));
        }
    }

    #[tokio::test]
    async fn time_in_which_a_run_waits_for_others_is_not_its_own() {
        let handle = Leases::default().hold(JobId(1), LeaseToken::fresh());
        let pause = |millis| tokio::time::sleep(Duration::from_millis(millis));
        let begun = Instant::now();
        let run = async {
            pause(20).await;
            handle.waiting(pause(200)).await;
            pause(40).await;
            handle.waiting(pause(200)).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = run => {}
            () = handle.at_work_for(Duration::from_millis(100)) => {}
        }
        assert!(begun.elapsed() >= Duration::from_millis(20 + 200 + 40 + 200 + 40));
    }
}
