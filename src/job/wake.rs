//! Wake-ups: a job was inserted or has ended, so workers claim now instead of at the next poll, and whoever waits for an end is told.
//!
//! In the process a [`Notify`](tokio::sync::Notify); between processes on Postgres a NOTIFY, coalesced to at most twenty
//! a second and sent on a connection of its own after the commit, because inside the inserting transaction it would serialise
//! every commit of the cluster (jobs.md 0.5). Polling never stops; a lost wake-up costs one poll interval.

use crate::infra::db::Db;
use crate::infra::db::Listen;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const CHANNEL: &str = "headworks_job";
const SPACING: Duration = Duration::from_millis(50);
const RECONNECT: Duration = Duration::from_secs(1);

/// Tells workers that there may be something to claim; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    here: Arc<Notify>,
    elsewhere: Arc<Notify>,
    watching: Arc<Notify>,
}

impl Wake {
    /// Wakes the workers of this process and, soon, of the others.
    pub fn wake(&self) {
        self.hear();
        self.elsewhere.notify_one();
    }

    fn hear(&self) {
        self.here.notify_one();
        self.watching.notify_one();
    }

    /// Waits for the next wake-up; one that was sent before the call counts.
    pub async fn woken(&self) {
        self.here.notified().await;
    }

    /// Waits until something may have changed, here or in another process, for the one who watches jobs besides the workers.
    pub async fn changed(&self) {
        self.watching.notified().await;
    }

    /// Passes wake-ups between processes until `stop`. Returns at once with SQLite, which has one process.
    pub async fn relay(&self, db: &Db, stop: &CancellationToken) {
        let Some(listen) = Listen::of(db) else { return };
        let receive = async {
            loop {
                if let Err(error) = listen.each(CHANNEL, || self.hear()).await {
                    tracing::debug!(%error, "listening for wake-ups failed; polling goes on");
                }
                tokio::time::sleep(RECONNECT).await;
            }
        };
        let send = async {
            loop {
                self.elsewhere.notified().await;
                if let Err(error) = listen.notify(CHANNEL).await {
                    tracing::debug!(%error, "sending a wake-up failed; polling goes on");
                }
                tokio::time::sleep(SPACING).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = receive => {}
            () = send => {}
        }
    }
}
