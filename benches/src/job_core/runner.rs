//! The whole runner: claims into a buffer, a task with lease and deadline per job, ends gathered into commits.
//!
//! What G2 calls a job: nothing to do, and one log entry in the commit of its end. Peers run jobs as tasks of their own
//! too, so this is the fairer half of that comparison; it informs.

use super::hands::LEASE;
use crate::stores;
use headworks::delivery::{BatchSettings, Finisher, RowWriters, Sealer, Work};
use headworks::infra::db::Db;
use headworks::infra::volume::Volume;
use headworks::job::{
    Backoff, Became, Finish, Handler, Kind, Leases, Outcome, QueueRules, Runner, RunnerSettings, Wake,
};
use headworks::load::Tables;
use headworks::log;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const TOPIC: &str = "bench.nothing";
const BODY_BYTES: usize = 150;

/// A runner with default settings that works on `queue`, so many jobs at once, and as many claimed ahead.
pub async fn runner<W>(
    db: &Db,
    queue: &'static str,
    concurrency: u32,
    wake: &Wake,
    handler: Handler<W>,
    finish: Finish<W>,
) -> anyhow::Result<Runner<W>> {
    let rules = QueueRules {
        concurrency,
        prefetch: concurrency,
        max_attempts: 5,
        soft_timeout: LEASE,
        hard_timeout: LEASE,
        backoff: Backoff { base: Duration::from_secs(5), max: Duration::from_secs(5) },
    };
    Ok(Runner {
        db: db.clone(),
        worker: stores::worker(db).await?,
        settings: RunnerSettings {
            lease: Duration::from_secs(30),
            claim_lag: Duration::from_millis(200),
            sweep: Duration::from_secs(2),
            poll_min: Duration::from_millis(250),
            poll_max: Duration::from_secs(2),
            max_crashes: 2,
            max_lost: 10,
            max_finishing: 512,
            grace: Duration::from_secs(5),
        },
        handlers: HashMap::from([(Kind::Parse, handler)]),
        homes: Vec::new(),
        rules: Arc::new(move |name| (name.to_string() == queue).then_some(rules)),
        wake: wake.clone(),
        leases: Leases::default(),
        finish,
    })
}

/// Works off the `jobs` jobs that are there, `concurrency` at once; jobs per second.
pub async fn work(db: &Db, queue: &'static str, jobs: usize, concurrency: u32) -> anyhow::Result<f64> {
    let (wake, topic) = (Wake::default(), log::Topics::new(db.clone()).id(TOPIC).await?);
    // As by default; two commits at once on Postgres.
    let settings = BatchSettings { items: 256, linger: Duration::from_millis(3), bound: 4096, parallel: 2 };
    let (tables, writers) = (Tables::new(&[])?, RowWriters::default());
    let blobs = Arc::new(Volume::memory("blobs", 0));
    let sealer = Sealer { volume: blobs, tmp: std::env::temp_dir(), entries: usize::MAX };
    let finisher = Finisher::start(db.clone(), tables, wake.clone(), writers, settings, sealer).await?;
    let entry = log::Entry { topic, key: None, headers: BTreeMap::new(), body: vec![b'x'; BODY_BYTES] };
    let handler: Handler<Work> = Arc::new(move |_| {
        let work = Work { entries: vec![entry.clone()], ..Work::default() };
        Box::pin(std::future::ready(Outcome::Done(work)))
    });
    let (left, all_ended) = (Arc::new(AtomicUsize::new(jobs)), Arc::new(Notify::new()));
    let ended = Arc::clone(&all_ended);
    let finish: Finish<Work> = Arc::new(move |finished| {
        let (finisher, left, ended) = (finisher.clone(), Arc::clone(&left), Arc::clone(&ended));
        Box::pin(async move {
            let became = finisher.finish(finished).await?;
            if became == Became::AsMeant && left.fetch_sub(1, Ordering::Relaxed) == 1 {
                ended.notify_one();
            }
            Ok(became)
        })
    });
    let runner = runner(db, queue, concurrency, &wake, handler, finish).await?;
    let stop = CancellationToken::new();
    let begun = Instant::now();
    let running = tokio::spawn(runner.run(stop.clone()));
    all_ended.notified().await;
    let took = begun.elapsed();
    stop.cancel();
    running.await?;
    Ok(jobs as f64 / took.as_secs_f64())
}
