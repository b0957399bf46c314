//! G5: how soon a job starts after it was inserted, and what telling other processes costs those who insert.
//!
//! Latency: one job at a time, idle in between; from the moment the insert has returned until the runner hands the job
//! to its function. *Across*: the job is inserted with one store and one `Wake`, and run with others, as in two processes.
//! Loss: 32 callers insert one job each, over and over. **A** with relays running in an inserting and in a listening
//! process; **B** without. Each call wakes, as a door does.

use super::hands::{self, new_job};
use super::runner;
use crate::cell::{Cell, Report};
use crate::place::Postgres;
use crate::rounds::{Plan, Side, percentile};
use crate::stores;
use headworks::ids::JobId;
use headworks::infra::db::{Db, Lane};
use headworks::job::store;
use headworks::job::{Became, Finish, Handler, Outcome, Runner, Wake};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const QUEUE: &str = "parse:bench";
const INSERTERS: usize = 32;
/// Longer than the spacing of notifications, shorter than a poll.
const PAUSE: Duration = Duration::from_millis(70);
/// Relays connect and listen within this.
const SETTLE: Duration = Duration::from_millis(300);

type Started = mpsc::Receiver<(JobId, Instant)>;

/// All cells of one store.
pub async fn postgres(plan: &Plan, server: &Postgres, report: &mut Report) -> anyhow::Result<()> {
    let url = server.make("wake").await?;
    let (here, there) = (stores::postgres(&url, 4).await?, stores::postgres(&url, 4).await?);
    same(plan, &here, "postgres", report).await?;
    let (inserting, running) = (Wake::default(), Wake::default());
    let latency = latency(plan, (&here, &inserting), (&there, &running)).await?;
    tell(latency, "g5_wake_across_processes", "postgres", 10.0, report)?;
    here.close().await;
    there.close().await;
    loss(plan, &url, report).await
}

/// Within one process; the only one there is on SQLite.
pub async fn same(plan: &Plan, db: &Db, store: &'static str, report: &mut Report) -> anyhow::Result<()> {
    let wake = Wake::default();
    let latency = latency(plan, (db, &wake), (db, &wake)).await?;
    tell(latency, "g5_wake_same_process", store, 3.0, report)
}

fn tell(
    mut millis: Vec<f64>,
    name: &str,
    store: &'static str,
    expected: f64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let cell = Cell::new(super::BENCH, name).store(store).figure("expected_p50_ms", expected);
    let cell =
        cell.figure("p50_ms", percentile(&mut millis, 0.5)).figure("p99_ms", percentile(&mut millis, 0.99));
    report.tell(&cell.figure("jobs", millis.len() as f64))
}

/// Milliseconds from insert to start, job by job.
async fn latency(plan: &Plan, insert: (&Db, &Wake), run: (&Db, &Wake)) -> anyhow::Result<Vec<f64>> {
    let queue = stores::queue(insert.0, QUEUE).await?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    for (db, wake) in [insert, run] {
        let (db, wake, stop) = (db.clone(), wake.clone(), stop.clone());
        tasks.spawn(async move { wake.relay(&db, &stop).await });
    }
    let (runner, mut started) = runner(run.0, run.1).await?;
    tasks.spawn(runner.run(stop.clone()));
    tokio::time::sleep(SETTLE).await;
    let mut millis = Vec::new();
    for _ in 0..plan.size(150, 30) {
        let id = insert_one(insert.0, queue).await?;
        let inserted = Instant::now();
        insert.1.wake();
        let (seen, at) = started.recv().await.ok_or_else(|| anyhow::anyhow!("the runner ended"))?;
        anyhow::ensure!(seen == id, "job {seen} started, {id} was inserted");
        millis.push(at.saturating_duration_since(inserted).as_secs_f64() * 1e3);
        tokio::time::sleep(PAUSE).await;
    }
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(millis)
}

async fn insert_one(db: &Db, queue: i16) -> anyhow::Result<JobId> {
    let jobs = [new_job(queue)];
    let ids = db
        .write(Lane::State, move |mut tx| Box::pin(async move { store::insert(&mut tx, &jobs).await }))
        .await?;
    ids.first().copied().ok_or_else(|| anyhow::anyhow!("nothing was inserted"))
}

/// A runner whose jobs do nothing but say when they started.
async fn runner(db: &Db, wake: &Wake) -> anyhow::Result<(Runner<()>, Started)> {
    let (sender, started) = mpsc::channel(64);
    let ends = db.clone();
    let handler: Handler<()> = Arc::new(move |run| {
        // The receiver is gone only when nobody wants to know any more.
        sender.try_send((run.job.id, Instant::now())).ok();
        Box::pin(std::future::ready(Outcome::Done(())))
    });
    let finish: Finish<()> = Arc::new(move |finished| {
        let db = ends.clone();
        Box::pin(async move {
            let lease = vec![(finished.job.id, finished.job.lease_token)];
            Ok(if hands::end(&db, lease).await? == 1 { Became::AsMeant } else { Became::Lost })
        })
    });
    Ok((runner::runner(db, QUEUE, 4, wake, handler, finish).await?, started))
}

async fn loss(plan: &Plan, url: &str, report: &mut Report) -> anyhow::Result<()> {
    let inserting = stores::postgres(url, u32::try_from(INSERTERS)?).await?;
    let listening = stores::postgres(url, 2).await?;
    let queue = stores::queue(&inserting, QUEUE).await?;
    let jobs = plan.size(8_000, 1_600);
    let outcome = plan
        .interleave(async |turn| {
            stores::execute(&inserting, "TRUNCATE job").await?;
            let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
            let wakes = HashMap::from([("inserting", Wake::default()), ("listening", Wake::default())]);
            if turn == Side::A {
                for (db, name) in [(&inserting, "inserting"), (&listening, "listening")] {
                    let (db, wake, stop) = (db.clone(), wakes[name].clone(), stop.clone());
                    tasks.spawn(async move { wake.relay(&db, &stop).await });
                }
            }
            tokio::time::sleep(SETTLE).await;
            let rate = insert_with_all(&inserting, &wakes["inserting"], queue, jobs).await;
            stop.cancel();
            tasks.close();
            tasks.wait().await;
            rate
        })
        .await?;
    inserting.close().await;
    listening.close().await;
    let cell = Cell::new(super::BENCH, "g5_inserters_with_relay").store("postgres");
    let cell = outcome.write(cell, "with_relay_jobs_s", "without_jobs_s");
    report.tell(&cell.against(0.95, outcome.ratio))
}

/// All inserters at once; jobs per second.
async fn insert_with_all(db: &Db, wake: &Wake, queue: i16, jobs: usize) -> anyhow::Result<f64> {
    let left = Arc::new(AtomicUsize::new(jobs));
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..INSERTERS {
        let (db, wake, left) = (db.clone(), wake.clone(), Arc::clone(&left));
        tasks.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                insert_one(&db, queue).await?;
                wake.wake();
            }
            anyhow::Ok(())
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined??;
    }
    Ok(jobs as f64 / begun.elapsed().as_secs_f64())
}
