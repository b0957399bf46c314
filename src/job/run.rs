//! One run of a job, as its handler sees it: what to do, how long it may take, how to say how far it is.

use super::interrupted::Interrupted;
use super::lease::LeaseHandle;
use super::store::Job;
use std::time::Duration;

/// What a handler gets: the job, and the lease that tells it to stop.
#[derive(Debug)]
pub struct Run {
    /// The claimed job.
    pub job: Job,
    /// Its lease.
    pub lease: LeaseHandle,
    /// How long its work may take.
    pub soft_timeout: Duration,
}

impl Run {
    /// Says what the run turns to next, for whoever looks at the job while it runs.
    pub fn at(&self, step: &str) {
        self.lease.progress(serde_json::json!({ "step": step }));
    }

    /// Waits for what others must make free first: that time is not the run's.
    ///
    /// # Errors
    /// Those of `free`.
    pub async fn wait<T, E: Into<Interrupted>>(
        &self,
        free: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Interrupted> {
        self.lease.waiting(free).await.map_err(E::into)
    }

    /// Does the work of the run, or drops it where it is when it takes too long; the error says where that was.
    ///
    /// # Errors
    /// Those of `work`, and [`Interrupted::Failed`].
    pub async fn in_time<T, E: Into<Interrupted>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Interrupted> {
        match tokio::time::timeout(self.soft_timeout, work).await {
            Ok(ended) => ended.map_err(E::into),
            Err(_) => {
                let progress = self.lease.last_progress().map(|at| format!(" at {at}")).unwrap_or_default();
                let limit = self.soft_timeout;
                Err(Interrupted::Failed(format!("stopped after soft_timeout of {limit:?}{progress}")))
            }
        }
    }
}
