//! Connections that stay out of their pool between two writes.
//!
//! The pool pings every connection it takes back: a fourth round trip for a transaction that needs three. So a connection
//! whose write succeeded is kept here and used again, the most recent one first, so that few connections do all the work
//! and have their plans cached. After an error a connection goes back to the pool, which rolls back and tests it.

use super::DbError;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgPool, Postgres};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A connection idle for longer is pinged before use.
const TRUSTED: Duration = Duration::from_secs(1);
/// One idle for longer is closed: a firewall may have dropped it silently, and a ping would hang.
const STALE: Duration = Duration::from_secs(600);

/// At most as many connections as the pool may open.
#[derive(Debug, Clone)]
pub(super) struct IdleConnections {
    pool: PgPool,
    /// One permit per connection: its holder finds an idle connection here or gets one from the pool.
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
    /// Wraps `pool`, which may open `connections`; a write waits for one at most `patience`.
    pub(super) fn of(pool: PgPool, connections: u32, patience: Duration) -> Self {
        let places = Arc::new(Semaphore::new(connections as usize));
        Self { pool, places, patience, idle: Arc::default() }
    }

    /// A connection, pinged first if it was idle for long.
    pub(super) async fn take(&self) -> Result<InUse, DbError> {
        let late = |_| DbError::unavailable("no connection to the store was free in time");
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(self.patience, place).await.map_err(late)?;
        let place = place.map_err(|_| DbError::unavailable("the store is closed"))?;
        while let Some(mut idle) = self.pop() {
            if self.lives(&mut idle).await {
                return Ok(InUse { connection: idle.connection, place });
            }
            // Not back to the pool, which would ping it again, without a time limit.
            drop(idle.connection.detach());
        }
        Ok(InUse { connection: self.pool.acquire().await?, place })
    }

    /// Keeps a connection whose write succeeded.
    pub(super) fn put_back(&self, used: InUse) {
        let InUse { connection, place } = used;
        let mut idle = self.lock();
        // Checked under the lock: `close` closes the semaphore first, then takes the lock.
        if !self.places.is_closed() {
            idle.push(Idle { connection, since: Instant::now() });
        }
        drop(idle);
        drop(place); // Last, so that the next holder finds the connection.
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
