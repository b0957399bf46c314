//! Customers of the configuration become rows of the store: at the start, and after a reload.

use crate::config::{Config, Customer, Live};
use crate::delivery;
use crate::infra::db::{Db, DbError, Lane};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Pause between two attempts while the store is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Registers the customers of `config`; those that are registered get their title anew.
pub async fn register(db: &Db, config: &Config) -> Result<(), DbError> {
    let customers: Vec<_> =
        config.customers.iter().map(|customer| (customer.name.to_string(), title(customer))).collect();
    db.write(Lane::State, move |mut tx| {
        Box::pin(async move { delivery::store::register_customers(&mut tx, &customers).await })
    })
    .await
}

/// Registers after every reload, until `stop`. A store that is away hears of new customers as soon as it is back. `reloads`
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
    let mut told = false;
    while let Err(error) = register(db, &live.config()).await {
        if !error.is_temporary() {
            return tracing::error!(%error, "new customers are not registered, and will not be before the next reload");
        }
        if !told {
            tracing::warn!(%error, "new customers are not registered yet; it is tried again until they are");
        }
        told = true;
        tokio::time::sleep(PAUSE).await;
    }
    if told {
        tracing::info!("new customers are registered now");
    }
}

/// What people call a customer: its name where nobody said.
fn title(customer: &Customer) -> String {
    customer.title.clone().unwrap_or_else(|| customer.name.to_string())
}
