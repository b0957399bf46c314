//! Turns the outcome of a run into a commit.

use super::super::outcome::{Became, Finished, FinishedEnd, HoldReason, Outcome};
use super::super::run_log;
use super::super::state::Ended;
use super::super::store::{self, Job, PutBack};
use super::start::Running;
use super::{Runner, random_u32};
use crate::ids::{Exhausted, JobId, LeaseToken};
use crate::infra::db::{DbError, DbErrorKind, Lane, Tx};
use crate::{in_tx, warn_unless_outage};
use std::sync::Arc;
use std::time::Instant;

impl<W: Send + 'static> Runner<W> {
    pub(super) async fn settle(&self, running: &Running, outcome: Outcome<W>) {
        let job = &running.job;
        match outcome {
            Outcome::Done(work) => {
                self.finish(running, Some(work), FinishedEnd::Ended(Ended::Completed, None)).await
            }
            Outcome::Failed { error, work } => self.finish(running, work, failed(error)).await,
            Outcome::Hold { reason, detail, work } => {
                self.finish(running, work, FinishedEnd::PutBack(PutBack::Hold { reason, detail })).await;
            }
            Outcome::Wait { until, reason, work } => {
                self.finish(running, work, FinishedEnd::PutBack(PutBack::Wait { until, reason })).await;
            }
            Outcome::Cancelled => {
                let why = Some("cancelled while it ran".to_owned());
                self.finish(running, None, FinishedEnd::Ended(Ended::Cancelled, why)).await;
            }
            Outcome::Retry { error } => self.retry(running, error).await,
            Outcome::Snooze { after, reason } => {
                self.put_back(job, PutBack::Snooze { wait: after, reason }).await;
            }
            Outcome::Crashed { how } => {
                self.put_back(job, PutBack::Crash { how, limit: self.settings.max_crashes }).await;
                self.wake.wake();
            }
            Outcome::Released => self.put_back(job, PutBack::Release).await,
        }
    }

    /// Schedules another attempt; after the last one the job fails or is held, as its kind says.
    async fn retry(&self, running: &Running, error: String) {
        let job = &running.job;
        let attempt = u16::try_from(job.attempt).unwrap_or(0) + 1;
        if attempt < u16::try_from(job.max_attempts).unwrap_or(1) {
            let wait = running.rules.backoff.wait(attempt, random_u32());
            return self.put_back(job, PutBack::Retry { wait, error }).await;
        }
        let end = match running.queue.kind.facts().exhausted {
            Exhausted::Hold => {
                FinishedEnd::PutBack(PutBack::Hold { reason: HoldReason::OutOfAttempts, detail: error })
            }
            Exhausted::Fail => failed(error),
        };
        if let Err(error) = self.commit(job, None, end).await {
            self.store_failed(job, &error).await;
        }
    }

    /// Commits the end of a run. If the store is away, the job runs again later, at no cost; if the store refuses what the run
    /// wants to write, the run has failed.
    async fn finish(&self, running: &Running, work: Option<W>, end: FinishedEnd) {
        match self.commit(&running.job, work, end).await {
            Ok(()) => {}
            Err(error) if error.is_temporary() => self.store_failed(&running.job, &error).await,
            Err(error) => {
                tracing::warn!(%error, "the store refused the results of a run");
                self.retry(running, format!("its results could not be stored: {error}")).await;
            }
        }
    }

    async fn commit(&self, job: &Job, work: Option<W>, end: FinishedEnd) -> Result<(), DbError> {
        match (self.finish)(Finished { job: job.clone(), work, end: end.clone() }).await? {
            Became::Lost => tracing::warn!("the lease was lost before the job was finished"),
            became => run_log::ended(job, &end, became),
        }
        self.leases.drop(job.id, job.lease_token);
        Ok(())
    }

    async fn store_failed(&self, job: &Job, error: &DbError) {
        warn_unless_outage!(error, %error, "finishing failed; the job will run again");
        let reason = format!("the store failed: {error}");
        self.put_back(job, PutBack::Snooze { wait: self.settings.poll_max, reason }).await;
    }

    pub(super) async fn put_back(&self, job: &Job, how: PutBack) {
        self.put_all_back(std::slice::from_ref(job), how).await;
    }

    /// Puts jobs back in one commit, each behind those that are available. Repeats for up to one lease while the store is away;
    /// after that the leases expire by themselves.
    pub(super) async fn put_all_back(&self, jobs: &[Job], how: PutBack) {
        let deadline = Instant::now() + self.settings.lease;
        let leases: Arc<[_]> = jobs.iter().map(|job| (job.id, job.lease_token)).collect();
        loop {
            let (leases, change) = (Arc::clone(&leases), how.clone());
            match in_tx!(self.db, Lane::State, tx => put_back_all(tx, &leases, &change)).await {
                Err(error) if error.kind() != DbErrorKind::Content && Instant::now() < deadline => {
                    tracing::debug!(%error, "putting back failed; trying again");
                    tokio::time::sleep(self.settings.poll_min).await;
                }
                Err(error) => {
                    warn_unless_outage!(error, %error, "putting back failed; the lease will expire");
                    break;
                }
                Ok(became) => {
                    if matches!(how, PutBack::Hold { .. }) {
                        self.wake.wake();
                    }
                    jobs.iter().zip(became).for_each(|(job, became)| run_log::put_back(job, &how, became));
                    break;
                }
            }
        }
        leases.iter().for_each(|&(id, token)| self.leases.drop(id, token));
    }
}

const fn failed(error: String) -> FinishedEnd {
    FinishedEnd::Ended(Ended::Failed, Some(error))
}

async fn put_back_all(
    tx: &mut Tx<'_>,
    leases: &[(JobId, LeaseToken)],
    how: &PutBack,
) -> Result<Vec<Became>, DbError> {
    let mut became = Vec::with_capacity(leases.len());
    for &(id, token) in leases {
        became.push(store::put_back(tx, id, token, how).await?);
    }
    Ok(became)
}
