//! One run of a job, as its handler sees it: what to do, how to say how far it is, when to stop.

use super::interrupted::Interrupted;
use super::lease::Held;
use super::outcome::Outcome;
use super::store::Job;

/// What a handler gets: the job, and the lease that tells it to stop.
#[derive(Debug)]
pub struct Run {
    /// The claimed job.
    pub job: Job,
    /// Its lease.
    pub held: Held,
}

impl Run {
    /// Says what the run turns to next, for whoever looks at the job while it runs.
    pub fn at(&self, step: &str) {
        self.held.progress(serde_json::json!({ "step": step }));
    }

    /// Follows the steps of a handler to their end, or to the soft deadline of the queue: then they are dropped where they
    /// are, and the error says where that was.
    pub async fn follow<W>(
        &self,
        steps: impl Future<Output = Result<Outcome<W>, Interrupted>>,
    ) -> Outcome<W> {
        tokio::select! {
            biased;
            ended = steps => ended.unwrap_or_else(Outcome::from),
            () = self.held.overdue() => {
                let progress = self.held.last_progress().map(|at| format!(" at {at}")).unwrap_or_default();
                Outcome::Retry { error: format!("stopped at its soft deadline{progress}") }
            }
        }
    }
}
