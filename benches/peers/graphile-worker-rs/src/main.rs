//! graphile_worker, the Rust one, with the settings of its own throughput bench: a pool of 100, a poll every 5 ms,
//! completions gathered for 5 ms, and a local queue of BATCH jobs.

use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, WorkerContext, WorkerOptions,
};
use order::{Order, PAUSE};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const CONNECTIONS: u32 = 100;
const DELAY: Duration = Duration::from_millis(5);

#[derive(Debug, Serialize, Deserialize)]
struct Nothing {
    number: usize,
}

/// Jobs whose handler has returned; their ends may not be committed yet.
#[derive(Debug, Clone, Default)]
struct Handled(Arc<AtomicUsize>);

impl TaskHandler for Nothing {
    const IDENTIFIER: &'static str = "nothing";

    async fn run(self, context: WorkerContext) -> impl IntoTaskHandlerResult {
        if let Some(handled) = context.get_ext::<Handled>() {
            handled.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), String>(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut order = Order::read()?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&order.url).await?;
    let handled = Handled::default();
    let worker = WorkerOptions::default()
        .pg_pool(pool.clone())
        .concurrency(order.concurrency)
        .poll_interval(DELAY)
        .complete_job_batch_delay(DELAY)
        .local_queue(LocalQueueConfig::default().with_size(order.batch))
        .add_extension(handled.clone())
        .define_job::<Nothing>()
        .init()
        .await?;
    let worker = Arc::new(worker);
    order.insert_begins();
    for numbers in order.batches() {
        let jobs: Vec<_> = numbers.map(job).collect();
        worker.create_utils().add_raw_jobs(&jobs).await?;
    }
    order.insert_ends();
    sqlx::query("ANALYZE").execute(&pool).await?;
    order.work_begins();
    let running = tokio::spawn({
        let worker = Arc::clone(&worker);
        async move { worker.run().await }
    });
    while handled.0.load(Ordering::Relaxed) < order.jobs || !is_empty(&pool).await? {
        tokio::time::sleep(PAUSE).await;
    }
    order.done("graphile_worker", "0.14.1");
    worker.request_shutdown();
    Ok(running.await??)
}

fn job(number: usize) -> RawJobSpec {
    RawJobSpec {
        identifier: Nothing::IDENTIFIER.to_owned(),
        payload: serde_json::json!({ "number": number }),
        spec: JobSpec::default(),
    }
}

/// Whether no job is left: a job that is done is deleted.
async fn is_empty(pool: &sqlx::PgPool) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM graphile_worker._private_jobs)").fetch_one(pool).await
}
