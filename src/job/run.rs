//! One run of a job, as its handler sees it: the job, its time limit, its progress.

use super::interrupted::Interrupted;
use super::lease::LeaseHandle;
use super::store::Job;
use std::time::Duration;

/// The argument of a handler: the job, and the lease that asks it to stop.
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
    /// Records the current step, shown as the job's progress.
    pub fn at(&self, step: &str) {
        self.lease.progress(serde_json::json!({ "step": step }));
    }

    /// Waits for something that others must free first; that time does not count as working time.
    ///
    /// # Errors
    /// Those of `free`.
    pub async fn wait<T, E: Into<Interrupted>>(
        &self,
        free: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Interrupted> {
        self.lease.waiting(free).await.map_err(E::into)
    }

    /// Runs `work`, and drops it after `soft_timeout`; the error then names the last step.
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
