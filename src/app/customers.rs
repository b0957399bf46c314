//! Customers of the configuration become rows of the store: at the start, and after a reload.

use crate::config::{Config, Customer, Live};
use crate::delivery;
use crate::in_tx;
use crate::infra::db::{Db, DbError, Lane};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Pause between two attempts while the store is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Registers the customers of `config`, or updates their titles. A customer without a title is called by its name.
pub async fn register(db: &Db, config: &Config) -> Result<(), DbError> {
    let named = |customer: &Customer| {
        let name = customer.name.to_string();
        (name.clone(), customer.title.clone().unwrap_or(name))
    };
    let customers: Vec<_> = config.customers.iter().map(named).collect();
    in_tx!(db, Lane::State, tx => delivery::store::register_customers(tx, &customers)).await
}

/// Registers after every reload, until `stop`. If the store is unreachable, it retries until it is back. `reloads`
/// has been subscribed to before the first registration, so that none is missed.
pub async fn keep_registered(
    db: Db,
    live: Live,
    mut reloads: watch::Receiver<Arc<Config>>,
    stop: CancellationToken,
) {
    let registering = async {
        while reloads.changed().await.is_ok() {
            register_at_last(&db, &live).await;
        }
    };
    stop.run_until_cancelled(registering).await;
}

async fn register_at_last(db: &Db, live: &Live) {
    let mut warned = false;
    while let Err(error) = register(db, &live.config()).await {
        if !error.is_temporary() {
            return tracing::error!(%error, "new customers are not registered; the next reload tries again");
        }
        if !warned {
            tracing::warn!(%error, "new customers are not registered yet; retrying");
        }
        warned = true;
        tokio::time::sleep(PAUSE).await;
    }
    if warned {
        tracing::info!("new customers are registered now");
    }
}
