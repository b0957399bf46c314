//! Connections that are kept between two writes.
//!
//! The pool asks every connection it takes back whether it still is one: a round trip for each write, where a transaction
//! needs three. Here a connection that did well is kept instead and used again, the last one first, so that few do the work
//! and have their plans. One that failed goes back to the pool, which ends what it had begun and finds out whether it lives.

use super::DbError;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgPool, Postgres};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A connection idle for longer is asked all the same.
const TRUSTED: Duration = Duration::from_secs(1);
/// One idle for longer is not even asked: whatever lies between may have forgotten it, and would not answer at all.
const STALE: Duration = Duration::from_secs(600);

/// As many connections as their pool may open.
#[derive(Debug, Clone)]
pub(super) struct IdleConnections {
    pool: PgPool,
    /// One for each connection: whoever has one finds a connection here or gets one of the pool.
    places: Arc<Semaphore>,
    patience: Duration,
    idle: Arc<Mutex<Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    connection: PoolConnection<Postgres>,
    since: Instant,
}

/// A connection in use.
#[derive(Debug)]
pub(super) struct InUse {
    pub connection: PoolConnection<Postgres>,
    place: OwnedSemaphorePermit,
}

impl IdleConnections {
    /// Keeps those of `pool`, which has room for `connections`; a write waits for one at most `patience`.
    pub(super) fn of(pool: PgPool, connections: u32, patience: Duration) -> Self {
        let places = Arc::new(Semaphore::new(connections as usize));
        Self { pool, places, patience, idle: Arc::default() }
    }

    /// A connection that lives, as far as one can know.
    pub(super) async fn take(&self) -> Result<InUse, DbError> {
        let late = |_| DbError::unavailable("no connection to the store was free in time");
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(self.patience, place).await.map_err(late)?;
        let place = place.map_err(|_| DbError::unavailable("the store is closed"))?;
        while let Some(mut idle) = self.pop() {
            if self.lives(&mut idle).await {
                return Ok(InUse { connection: idle.connection, place });
            }
            // Not back to the pool, which would ask it again and without a limit of time.
            drop(idle.connection.detach());
        }
        Ok(InUse { connection: self.pool.acquire().await?, place })
    }

    /// Keeps a connection whose write went well.
    pub(super) fn put_back(&self, used: InUse) {
        let InUse { connection, place } = used;
        let mut idle = self.lock();
        // Asked under the lock: closing closes the places first, then takes the lock.
        if !self.places.is_closed() {
            idle.push(Idle { connection, since: Instant::now() });
        }
        drop(idle);
        drop(place); // Only now: whoever gets it finds the connection.
    }

    /// Closes all of them.
    pub(super) async fn close(&self) {
        self.places.close();
        self.lock().clear();
        self.pool.close().await;
    }

    async fn lives(&self, idle: &mut Idle) -> bool {
        match idle.since.elapsed() {
            since if since <= TRUSTED => true,
            since if since > STALE => false,
            _ => matches!(tokio::time::timeout(self.patience, idle.connection.ping()).await, Ok(Ok(()))),
        }
    }

    fn pop(&self) -> Option<Idle> {
        self.lock().pop()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
