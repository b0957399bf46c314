//! The first compound commit: what a door calls before it says yes.

use super::batch::{BatchSettings, Batcher};
use super::envelope::Envelope;
use super::store;
use crate::ids::{Coordinates, DeliveryId, Digest, ReceiptId, SpoolId, Timestamp};
use crate::infra::db::{Db, DbError, DbErrorKind, Lane};
use crate::infra::telemetry::metrics::{ACK_SECONDS, INGEST_BYTES, INGEST_ITEMS};
use crate::job::{NewJob, Priority, QueueName, QueueRow, Queues, Wake};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Something a door wants accepted. Its bytes are durable already.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// What makes it the same thing: 32 bytes, domain-separated per door.
    pub key: [u8; 32],
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Length of the bytes.
    pub bytes: u64,
    /// Whether the key with other bytes is a new delivery, or refused.
    pub reuse: Reuse,
    /// How long the key is remembered.
    pub key_ttl: Duration,
    /// Configured way in.
    pub source: String,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Who sent what to whom.
    pub envelope: Envelope,
    /// Spool that holds the bytes until the tree is sealed.
    pub home: Option<SpoolId>,
    /// Where it belongs, for doors whose senders say so.
    pub coordinates: Option<Coordinates>,
    /// Path of its tree, for doors that made and sealed it already.
    pub path: Option<String>,
    /// Settings for the module, for doors whose senders say so.
    pub settings: serde_json::Value,
    /// Queue of its first job.
    pub queue: QueueName,
    /// How soon.
    pub priority: Priority,
    /// Failed runs that job may have.
    pub max_attempts: u16,
    /// Id made beforehand, where the bytes' place depends on it.
    pub id: DeliveryId,
}

/// What a known key with other bytes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// A new delivery, flagged (mail, upload).
    Flag,
    /// A mistake of the sender (REST: 422).
    Refuse,
}

/// The yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Public id: a function of key and digest.
    pub receipt_id: ReceiptId,
    /// The delivery; of the first acceptance where this is a repetition.
    pub delivery_id: DeliveryId,
    /// The same key and bytes were accepted before.
    pub duplicate: bool,
    /// The delivery's tree is durable: a spool entry of it is needed no more.
    pub sealed: bool,
}

/// Why there is no yes.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Too many are waiting; nothing was looked at.
    #[error("too many acceptances are waiting")]
    Busy,
    /// The key was used with other bytes, and this door refuses that.
    #[error("the key was used before with other content")]
    KeyReused,
    /// The store failed or refused it.
    #[error(transparent)]
    Store(#[from] DbError),
}

/// Gathers acceptances into commits; cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    queues: Queues,
    batcher: Batcher<(NewDelivery, QueueRow), Result<Accepted, AcceptError>>,
}

impl Acceptor {
    /// Starts gathering.
    #[must_use]
    pub fn start(db: Db, queues: Queues, wake: Wake, settings: BatchSettings) -> Self {
        let batcher = Batcher::start(settings, move |items| {
            let (db, wake) = (db.clone(), wake.clone());
            Box::pin(async move {
                let answers = commit(&db, items).await;
                if answers.iter().flatten().any(|accepted| !accepted.duplicate) {
                    wake.wake();
                }
                answers
            })
        });
        Self { queues, batcher }
    }

    /// Accepts one delivery: returns after the commit.
    ///
    /// # Errors
    /// See [`AcceptError`]; without an `Ok` nothing was promised, though it may have been committed.
    pub async fn accept(&self, delivery: NewDelivery) -> Result<Accepted, AcceptError> {
        let (source, bytes, began) = (delivery.source.clone(), delivery.bytes, Instant::now());
        let answer = self.join(delivery).await;
        measure(source, bytes, &answer, began.elapsed());
        answer
    }

    async fn join(&self, delivery: NewDelivery) -> Result<Accepted, AcceptError> {
        let queue = self.queues.row(&delivery.queue).await?;
        self.batcher.join((delivery, queue)).await.map_err(|_| AcceptError::Busy)?
    }
}

/// Every answer counts as one thing that came in; bytes and time are those of a yes.
fn measure(source: String, bytes: u64, answer: &Result<Accepted, AcceptError>, took: Duration) {
    let outcome = match answer {
        Ok(accepted) if accepted.duplicate => "duplicate",
        Ok(_) => "accepted",
        Err(AcceptError::Busy) => "busy",
        Err(AcceptError::KeyReused) => "refused",
        Err(AcceptError::Store(_)) => "failed",
    };
    metrics::counter!(INGEST_ITEMS, "source" => source.clone(), "outcome" => outcome).increment(1);
    if let Ok(accepted) = answer {
        if !accepted.duplicate {
            metrics::counter!(INGEST_BYTES, "source" => source.clone()).increment(bytes);
        }
        metrics::histogram!(ACK_SECONDS, "source" => source).record(took.as_secs_f64());
    }
}

/// Receipt id of a key and the bytes that came under it.
#[must_use]
pub fn receipt_id(key: &[u8; 32], digest: &Digest) -> ReceiptId {
    ReceiptId(headworks_spool::receipt_id(key, &digest.0))
}

async fn commit(db: &Db, items: Vec<(NewDelivery, QueueRow)>) -> Vec<Result<Accepted, AcceptError>> {
    let items: Arc<[_]> = items.into();
    match write(db, Arc::clone(&items)).await {
        Ok(accepted) => accepted,
        // Somebody's content or path spoilt the batch: each for itself, so only the culprit is refused.
        Err(error)
            if matches!(error.kind(), DbErrorKind::Content | DbErrorKind::Conflict) && items.len() > 1 =>
        {
            let mut answers = Vec::with_capacity(items.len());
            for item in items.iter() {
                let one = write(db, Arc::from([item.clone()])).await;
                answers.push(one.map_or_else(
                    |error| Err(error.into()),
                    |mut one| one.pop().unwrap_or(Err(AcceptError::Busy)),
                ));
            }
            answers
        }
        Err(error) => {
            let (kind, text) = (error.kind(), error.to_string());
            items.iter().map(|_| Err(DbError::new(kind, text.clone()).into())).collect()
        }
    }
}

type Answers = Vec<Result<Accepted, AcceptError>>;

async fn write(db: &Db, items: Arc<[(NewDelivery, QueueRow)]>) -> Result<Answers, DbError> {
    db.write(Lane::State, move |mut tx| {
        Box::pin(async move {
            // One of each key and digest; the others get its answer.
            let mut first: HashMap<ReceiptId, usize> = HashMap::new();
            for (at, (item, _)) in items.iter().enumerate() {
                first.entry(receipt_id(&item.key, &item.digest)).or_insert(at);
            }
            let mut order: Vec<_> = first.values().copied().collect();
            order.sort_by_key(|&at| (items[at].0.key, items[at].0.digest));
            let distinct: Vec<&NewDelivery> = order.iter().map(|&at| &items[at].0).collect();

            let fates = store::take_keys(&mut tx, &distinct).await?;
            let fresh: Vec<_> = order.iter().zip(&fates).filter(|(_, fate)| fate.is_fresh()).collect();
            let deliveries: Vec<_> =
                fresh.iter().map(|&(&at, fate)| (&items[at].0, fate.key_reused)).collect();
            store::insert_deliveries(&mut tx, &deliveries).await?;
            let jobs: Vec<_> = fresh.iter().map(|&(&at, _)| first_job(&items[at].0, items[at].1)).collect();
            if !jobs.is_empty() {
                crate::job::store::insert(&mut tx, &jobs).await?;
            }
            let fates: HashMap<ReceiptId, store::Fate> = order
                .iter()
                .zip(fates)
                .map(|(&at, fate)| (receipt_id(&items[at].0.key, &items[at].0.digest), fate))
                .collect();
            let answer = |(at, (item, _)): (usize, &(NewDelivery, QueueRow))| {
                let id = receipt_id(&item.key, &item.digest);
                let fate = fates.get(&id).copied().unwrap_or_default();
                if fate.refused {
                    return Err(AcceptError::KeyReused);
                }
                let mine = fate.is_fresh() && first.get(&id) == Some(&at);
                Ok(Accepted {
                    receipt_id: id,
                    delivery_id: fate.existing.unwrap_or(items[first.get(&id).copied().unwrap_or(at)].0.id),
                    duplicate: !mine,
                    sealed: fate.sealed,
                })
            };
            Ok(items.iter().enumerate().map(answer).collect())
        })
    })
    .await
}

fn first_job(delivery: &NewDelivery, queue: QueueRow) -> NewJob {
    NewJob {
        queue,
        priority: delivery.priority,
        delivery_id: Some(delivery.id),
        receipt_id: Some(receipt_id(&delivery.key, &delivery.digest)),
        parent_id: None,
        retry_of: None,
        signals: None,
        max_attempts: delivery.max_attempts,
        delay: Duration::ZERO,
        args: serde_json::json!({}),
    }
}
