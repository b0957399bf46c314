//! Workloads: insert a number of jobs, process all jobs.

use super::hands::Hands;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::task::JoinSet;

/// Jobs of one statement while a table is filled for work.
const FILL: usize = 100;

/// Inserts `count` jobs with all hands at once, in batches; returns jobs per second.
pub async fn ingest(hands: &mut Vec<Hands>, count: usize, batch: usize) -> anyhow::Result<f64> {
    let left = Arc::new(AtomicUsize::new(count));
    let begun = Instant::now();
    let done = all(hands, move |mut hand| {
        let left = Arc::clone(&left);
        async move {
            let step = hand.step(batch);
            let mut done = 0;
            while take(&left, step) {
                hand.insert(batch).await?;
                done += step;
            }
            Ok((hand, done))
        }
    })
    .await?;
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

/// Claims and ends until nothing is left, with all hands at once; returns jobs per second. Each hand asks above what it
/// claimed last, and once more from 0 before it believes that there is nothing.
pub async fn work(hands: &mut Vec<Hands>, batch: usize) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let done = all(hands, move |mut hand| async move {
        let (mut floor, mut done) = (0, 0);
        loop {
            let claimed = hand.claim(floor, batch).await?;
            if claimed.leases.is_empty() {
                if floor == 0 {
                    return Ok((hand, done));
                }
                floor = 0;
                continue;
            }
            floor = claimed.highest;
            done += claimed.leases.len();
            hand.end(claimed.leases, batch).await?;
        }
    })
    .await?;
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

/// Empties the tables, fills them with `count` jobs and works them off; jobs per second, of the work alone.
pub async fn fill_and_work(hands: &mut Vec<Hands>, count: usize, batch: usize) -> anyhow::Result<f64> {
    fill(hands, count).await?;
    work(hands, batch).await
}

/// Empties the tables and fills them with `count` jobs.
pub async fn fill(hands: &mut Vec<Hands>, count: usize) -> anyhow::Result<()> {
    hands[0].clear().await?;
    ingest(hands, count, FILL).await?;
    Ok(())
}

/// Runs a task on every hand and returns them all.
async fn all<F, T>(hands: &mut Vec<Hands>, task: F) -> anyhow::Result<usize>
where
    F: Fn(Hands) -> T,
    T: Future<Output = anyhow::Result<(Hands, usize)>> + Send + 'static,
{
    let mut tasks: JoinSet<_> = hands.drain(..).map(&task).collect();
    let mut sum = 0;
    while let Some(joined) = tasks.join_next().await {
        let (hand, done) = joined??;
        hands.push(hand);
        sum += done;
    }
    Ok(sum)
}

/// Takes `step` out of what is left; `false` when nothing is.
fn take(left: &AtomicUsize, step: usize) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        (left > 0).then(|| left.saturating_sub(step))
    })
    .is_ok()
}
