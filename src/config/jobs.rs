//! The job table: leases, polling, retries, and exceptions per queue.

use super::Period;
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::time::Duration;

/// How jobs are leased, run and retried (`[queue.<name>]` makes exceptions).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jobs {
    /// How long a claimed job belongs to its worker; renewed every third of it.
    pub lease: Period,
    /// Shortest pause between two checks for work.
    pub poll_min: Period,
    /// Longest pause between two checks for work.
    pub poll_max: Period,
    /// How often to look for work that the ordinary check misses: expired leases, late commits.
    pub sweep: Period,
    /// How far behind the newest claim a check starts, because commits can arrive out of order.
    pub claim_lag: Period,
    /// How long a finished job waits for others to share one commit.
    pub finish_linger: Period,
    /// Jobs claimed ahead of free places, per queue.
    pub prefetch: u32,
    /// Jobs that run at once, per queue and process.
    pub concurrency: NonZeroU32,
    /// Failed attempts before a job fails for good.
    pub max_attempts: NonZeroU32,
    /// How often a job may crash its process before it is held as poisoned.
    pub max_crashes: NonZeroU32,
    /// How often the lease of a job may expire before the job is held.
    pub max_lost: NonZeroU32,
    /// Delay after the first failure. It doubles with each further failure, with jitter.
    pub backoff_base: Period,
    /// Longest delay after a failure.
    pub backoff_max: Period,
    /// Longest work of a module process for one job; then it is stopped, which costs an attempt. A run may take twice as long.
    pub soft_timeout: Period,
}

impl Jobs {
    /// Pause between two renewals of a lease: two may be missed before it expires.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        self.lease.get() / 3
    }
}

/// Exceptions for one queue, `"parse:hydrastor/alert"`, or all below a prefix, `parse`. The most specific wins; the rest is as in `[jobs]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueException {
    /// Jobs that run at once, per process.
    pub concurrency: Option<NonZeroU32>,
    /// Jobs claimed ahead of free places.
    pub prefetch: Option<u32>,
    /// Failed attempts before a job fails for good.
    pub max_attempts: Option<NonZeroU32>,
    /// Longest work of a module process for one job; then it is stopped, which costs an attempt. A run may take twice as long.
    pub soft_timeout: Option<Period>,
    /// Jobs are taken in but not run.
    pub paused: Option<bool>,
}

/// What holds for one queue, exceptions applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Jobs that run at once, per process.
    pub concurrency: NonZeroU32,
    /// Jobs claimed ahead of free places.
    pub prefetch: u32,
    /// Failed attempts before a job fails for good; at most what a job's row can hold.
    pub max_attempts: u16,
    /// Longest work of a module process for one job; then it is stopped, which costs an attempt.
    pub soft_timeout: Duration,
    /// Jobs are taken in but not run.
    pub paused: bool,
}

impl QueueLimits {
    /// The limits of `[jobs]`, then each of `exceptions` on top, the most specific one last.
    pub(super) fn new<'a>(jobs: &Jobs, exceptions: impl Iterator<Item = &'a QueueException>) -> Self {
        let mut limits = Self {
            concurrency: jobs.concurrency,
            prefetch: jobs.prefetch,
            max_attempts: attempts(jobs.max_attempts),
            soft_timeout: jobs.soft_timeout.get(),
            paused: false,
        };
        for exception in exceptions {
            limits = Self {
                concurrency: exception.concurrency.unwrap_or(limits.concurrency),
                prefetch: exception.prefetch.unwrap_or(limits.prefetch),
                max_attempts: exception.max_attempts.map_or(limits.max_attempts, attempts),
                soft_timeout: exception.soft_timeout.map_or(limits.soft_timeout, Period::get),
                paused: exception.paused.unwrap_or(limits.paused),
            };
        }
        limits
    }

    /// Longest run of a job, without what it waits for a module process; then it is given up, which costs an attempt.
    #[must_use]
    pub fn hard_timeout(&self) -> Duration {
        hard_timeout(self.soft_timeout)
    }
}

/// A run may take twice as long as the work of its module, for what stands around that work.
pub(super) fn hard_timeout(soft_timeout: Duration) -> Duration {
    soft_timeout.saturating_mul(2)
}

fn attempts(configured: NonZeroU32) -> u16 {
    u16::try_from(configured.get()).unwrap_or(u16::MAX)
}
