//! What `hwbench` asks of a peer, and how the peer answers.
//!
//! `peer DATABASE_URL JOBS CONCURRENCY BATCH` inserts so many jobs that do nothing into an empty database, then works
//! off all of them, and prints one JSON line. In between the planner learns what is there (`ANALYZE`), as it would of a
//! queue that is in service. The clock of the work begins when the worker is started and ends when the
//! end of every job is committed.

use anyhow::Context;
use std::time::{Duration, Instant};

/// Jobs that are inserted with one call.
pub const INSERT: usize = 1_000;

/// How often a peer asks whether all is done.
pub const PAUSE: Duration = Duration::from_millis(2);

/// One order.
#[derive(Debug, Clone)]
pub struct Order {
    /// An empty database.
    pub url: String,
    /// Jobs to insert and to work off.
    pub jobs: usize,
    /// Jobs that run at once.
    pub concurrency: usize,
    /// Jobs that are fetched at once.
    pub batch: usize,
    begun: Instant,
    inserted: Option<Duration>,
}

impl Order {
    /// Reads the command line.
    pub fn read() -> anyhow::Result<Self> {
        let mut arguments = std::env::args().skip(1);
        let url = arguments.next().context("usage: peer DATABASE_URL JOBS CONCURRENCY BATCH")?;
        let mut number = |name: &str| -> anyhow::Result<usize> {
            let text = arguments.next().with_context(|| format!("{name} is missing"))?;
            text.parse().with_context(|| format!("{name} is {text:?}"))
        };
        let (jobs, concurrency, batch) = (number("JOBS")?, number("CONCURRENCY")?, number("BATCH")?);
        Ok(Self { url, jobs, concurrency, batch, begun: Instant::now(), inserted: None })
    }

    /// The jobs of each insert, as ranges of their numbers.
    pub fn batches(&self) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let jobs = self.jobs;
        (0..jobs).step_by(INSERT).map(move |first| first..jobs.min(first + INSERT))
    }

    /// The database is ready: now the inserts count.
    pub fn insert_begins(&mut self) {
        self.begun = Instant::now();
    }

    /// All jobs are inserted.
    pub fn insert_ends(&mut self) {
        self.inserted = Some(self.begun.elapsed());
    }

    /// The worker is about to start: now the work counts.
    pub fn work_begins(&mut self) {
        self.begun = Instant::now();
    }

    /// The end of every job is committed.
    pub fn done(self, peer: &str, version: &str) {
        let worked = self.begun.elapsed();
        let rate = |time: Duration| (self.jobs as f64 / time.as_secs_f64()).round();
        let line = serde_json::json!({
            "peer": peer,
            "version": version,
            "jobs": self.jobs,
            "insert_jobs_s": self.inserted.map(rate),
            "work_jobs_s": rate(worked),
        });
        println!("{line}");
    }
}
