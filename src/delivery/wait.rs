//! Waiting for receipts and jobs to settle: to end, or to be held, which only an operator ends.
//!
//! A waiter costs an entry in memory. One task per process ([`Waiters::run`]) asks the store after a wake-up of a commit, here or
//! in another process, which of all that are waited for have settled: one question for all of them, at most twenty a second,
//! and none while nothing happens or nobody waits. A waiter that goes away takes its entry with it. How many wait is limited by
//! the connections alone.
//!
//! ```text
//!   enter ─▶ look ─ settled ─▶ answer            commit ─▶ Wake ─▶ run: which of the entries have settled?
//!     ▲        └─ not yet ─▶ wait ◀──────────────────────────────────┘ these are told
//!     └──────────────────────┘ told, or out of time: look once more
//! ```

use super::store;
use crate::ids::{JobId, ReceiptId};
use crate::infra::db::{Db, DbError, View};
use crate::job::{self, Wake};
use crate::web::open_requests::Counted;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Pause between two questions to the store.
const SPACING: Duration = Duration::from_millis(50);
/// Pause before a question that failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// Most ids in one question.
const CHUNK: usize = 500;

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// All jobs of a receipt.
    Receipt(ReceiptId),
    /// One job.
    Job(JobId),
}

/// Everybody in this process who waits; cheap to clone.
#[derive(Debug, Clone)]
pub struct Waiters {
    db: Db,
    wake: Wake,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    last: u64,
    /// How many have looked and wait now.
    count: usize,
    waiting: HashMap<Awaited, HashMap<u64, Arc<Notify>>>,
}

/// The place of one who waits; given up when dropped.
struct Entry<'w> {
    waiters: &'w Waiters,
    thing: Awaited,
    number: u64,
    told: Arc<Notify>,
    /// Whether it has looked and waits.
    waits: bool,
}

impl Waiters {
    /// Waiters for what the store holds. `wake` tells of commits here and in other processes.
    #[must_use]
    pub fn new(db: Db, wake: Wake) -> Self {
        Self { db, wake, entries: Arc::default() }
    }

    /// Looks until what is found has settled, at most for `most`; the last look is after it. Once it waits, `request` is not
    /// counted any more.
    ///
    /// # Errors
    /// Those of `look`.
    pub async fn settled<T, E, F>(
        &self,
        thing: Awaited,
        most: Duration,
        request: &Counted,
        look: impl Fn() -> F,
        settled: impl Fn(&T) -> bool,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let deadline = Instant::now() + most;
        let mut late = most.is_zero();
        loop {
            // Before the look, so that no end falls between the two.
            let mut entry = self.enter(thing);
            let found = look().await?;
            if settled(&found) || late {
                return Ok(found);
            }
            request.release();
            late = !entry.is_told_by(deadline).await;
        }
    }

    /// Tells those whose things have settled, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let serve = async {
            loop {
                self.wake.changed().await;
                while let Err(error) = self.tell().await {
                    tracing::debug!(%error, "asking for those who wait failed; asking again");
                    tokio::time::sleep(PAUSE).await;
                }
                tokio::time::sleep(SPACING).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = serve => {}
        }
    }

    /// Asks once which of the things that are waited for have settled.
    async fn tell(&self) -> Result<(), DbError> {
        let (mut receipts, mut jobs) = (Vec::new(), Vec::new());
        for thing in self.lock().waiting.keys() {
            match *thing {
                Awaited::Receipt(id) => receipts.push(id),
                Awaited::Job(id) => jobs.push(id),
            }
        }
        for ids in receipts.chunks(CHUNK) {
            let mut reader = self.db.reader(View::State).await?;
            let settled = store::settled_receipts(&mut reader.tx(), ids).await?;
            settled.into_iter().for_each(|id| self.release(Awaited::Receipt(id)));
        }
        for ids in jobs.chunks(CHUNK) {
            let mut reader = self.db.reader(View::State).await?;
            let go_on = job::store::unsettled(&mut reader.tx(), ids).await?;
            let settled = ids.iter().filter(|id| !go_on.contains(id));
            settled.for_each(|&id| self.release(Awaited::Job(id)));
        }
        Ok(())
    }

    fn release(&self, thing: Awaited) {
        let told = self.lock().waiting.remove(&thing);
        told.iter().flat_map(HashMap::values).for_each(|waiter| waiter.notify_one());
    }

    fn enter(&self, thing: Awaited) -> Entry<'_> {
        let told = Arc::new(Notify::new());
        let mut entries = self.lock();
        entries.last += 1;
        let number = entries.last;
        entries.waiting.entry(thing).or_default().insert(number, Arc::clone(&told));
        drop(entries);
        Entry { waiters: self, thing, number, told, waits: false }
    }

    /// How many wait in this process.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry<'_> {
    async fn is_told_by(&mut self, deadline: Instant) -> bool {
        self.waiters.lock().count += 1;
        self.waits = true;
        tokio::time::timeout_at(deadline, self.told.notified()).await.is_ok()
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut entries = self.waiters.lock();
        entries.count -= usize::from(self.waits);
        if let Some(waiting) = entries.waiting.get_mut(&self.thing) {
            waiting.remove(&self.number);
            if waiting.is_empty() {
                entries.waiting.remove(&self.thing);
            }
        }
    }
}
