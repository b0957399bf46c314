//! awa on its queue storage: CONCURRENCY workers, BATCH jobs per claim, no deadline per job, everything else as by default.

use awa::model::{insert, migrations};
use awa::{
    Client, InsertOpts, InsertParams, JobArgs, JobResult, QueueConfig, QueueStorage, QueueStorageConfig,
};
use order::{Order, PAUSE};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgPoolOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const CONNECTIONS: u32 = 20;
const QUEUE: &str = "nothing";
const STOP: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize, Deserialize, JobArgs)]
struct Nothing {
    number: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut order = Order::read()?;
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(&order.url).await?;
    migrations::run(&pool).await?;
    let handled = Arc::new(AtomicUsize::new(0));
    // The first start on a database without jobs is what switches it to queue storage.
    let first = client(&order, &pool, Arc::clone(&handled))?;
    first.start().await?;
    first.shutdown(STOP).await;
    let store = QueueStorage::new(QueueStorageConfig::default())?;
    order.insert_begins();
    for numbers in order.batches() {
        let jobs = numbers.map(job).collect::<Result<Vec<_>, _>>()?;
        store.enqueue_params_copy(&pool, &jobs).await?;
    }
    order.insert_ends();
    sqlx::query("ANALYZE").execute(&pool).await?;
    let client = client(&order, &pool, Arc::clone(&handled))?;
    order.work_begins();
    client.start().await?;
    // Exact, and dear: asked only when every handler has returned.
    while handled.load(Ordering::Relaxed) < order.jobs
        || usize::try_from(store.queue_counts(&pool, QUEUE).await?.terminal)? < order.jobs
    {
        tokio::time::sleep(PAUSE).await;
    }
    order.done("awa", "0.6.9");
    client.shutdown(STOP).await;
    Ok(())
}

fn client(order: &Order, pool: &sqlx::PgPool, handled: Arc<AtomicUsize>) -> anyhow::Result<Client> {
    let queue = QueueConfig {
        max_workers: u32::try_from(order.concurrency)?,
        claim_batch_size: order.batch,
        deadline_duration: Duration::ZERO,
        ..QueueConfig::default()
    };
    let client = Client::builder(pool.clone()).queue(QUEUE, queue).register::<Nothing, _, _>(move |_, _| {
        handled.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(JobResult::Completed))
    });
    Ok(client.build()?)
}

fn job(number: usize) -> Result<InsertParams, awa::AwaError> {
    insert::params_with(&Nothing { number }, InsertOpts { queue: QUEUE.to_owned(), ..InsertOpts::default() })
}
