//! apalis with its Postgres storage: BATCH jobs per fetch, CONCURRENCY at once, everything else as by default.

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use futures_util::stream;
use order::{Order, PAUSE};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const QUEUE: &str = "nothing";

/// Jobs whose handler has returned; their ends may not be committed yet.
type Handled = Data<Arc<AtomicUsize>>;

async fn nothing(_number: usize, handled: Handled) -> Result<(), BoxDynError> {
    handled.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut order = Order::read()?;
    let pool = PgPool::connect(&order.url).await?;
    PostgresStorage::setup(&pool).await?;
    let config = Config::default().queue(QUEUE).batch_size(order.batch);
    let mut storage = PostgresStorage::new(&pool).with_config(config);
    order.insert_begins();
    for numbers in order.batches() {
        storage.push_all(&mut stream::iter(numbers.map(|number| TaskBuilder::new(number).build()))).await?;
    }
    order.insert_ends();
    sqlx::query("ANALYZE").execute(&pool).await?;
    order.work_begins();
    let handled = Arc::new(AtomicUsize::new(0));
    let worker = WorkerBuilder::new("hwbench")
        .backend(storage)
        .concurrency(order.concurrency)
        .data(Arc::clone(&handled))
        .build(nothing);
    let running = tokio::spawn(worker.run());
    while handled.load(Ordering::Relaxed) < order.jobs || done(&pool).await? < order.jobs {
        anyhow::ensure!(!running.is_finished(), "the worker ended early");
        tokio::time::sleep(PAUSE).await;
    }
    order.done("apalis-postgres", "1.0.0");
    running.abort();
    Ok(())
}

/// Jobs whose end is committed.
async fn done(pool: &PgPool) -> anyhow::Result<usize> {
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE status = 'Done'").fetch_one(pool).await?;
    Ok(usize::try_from(count)?)
}
