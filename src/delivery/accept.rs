//! The first compound commit: what a door calls before it says yes.
//!
//! A receipt is accepted with any number of first jobs, with a delivery where the bytes are here, and with rows of the door's
//! own. Key and fingerprint identify a repeat, which gets the answer of the first acceptance and writes nothing.

use super::batch::{BatchSettings, Batcher};
use super::envelope::Envelope;
use super::feature_rows::{FeatureRow, Origin, RowWriters};
use super::pending::PendingTree;
use super::store::{self, DeliveryRecord, Earlier};
use crate::ids::{Coordinates, DeliveryId, Digest, JobId, ReceiptId, Slug, SpoolId, Timestamp};
use crate::in_tx;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, Tx};
use crate::infra::telemetry::metrics::{ACK_SECONDS, INGEST_BYTES, INGEST_ITEMS};
use crate::job::{NewJob, Priority, QueueName, Queues, Wake};
use crate::web::{Kind, Problem};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// Something a door wants accepted. Bytes of its delivery are durable already: in a spool, or in a [`PendingTree`].
#[derive(Debug, Clone)]
pub struct NewReceipt {
    /// The sender's name for it: 32 bytes, domain-separated per door.
    pub key: [u8; 32],
    /// Digest of everything that was sent under the key. Equal key and equal fingerprint: the same thing.
    pub fingerprint: Digest,
    /// Whether the key with another fingerprint is accepted or refused.
    pub reuse: Reuse,
    /// How long the key is remembered.
    pub ttl: Duration,
    /// Configured way in.
    pub source: String,
    /// Customer who may see its jobs without a delivery, where the door knows.
    pub customer: Option<Slug>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Its delivery, where the bytes are here.
    pub delivery: Option<NewDelivery>,
    /// Its first jobs; they name the delivery if there is one.
    pub jobs: Vec<FirstJob>,
    /// Rows of the door's own tables.
    pub rows: Vec<FeatureRow>,
}

impl NewReceipt {
    fn delivery_id(&self) -> Option<DeliveryId> {
        self.delivery.as_ref().map(|delivery| delivery.id)
    }
}

/// Bytes with coordinates, to be inserted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewDelivery {
    /// Id made beforehand, because the place of the bytes may depend on it.
    pub id: DeliveryId,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Length of the bytes.
    pub bytes: u64,
    /// Who sent what to whom.
    pub envelope: Envelope,
    /// Spool that holds the bytes until the tree is sealed.
    pub home: Option<SpoolId>,
    /// Where it belongs, if that is known.
    pub coordinates: Option<Coordinates>,
    /// Settings for the module.
    pub settings: serde_json::Value,
}

/// A job that starts with its receipt.
#[derive(Debug, Clone)]
pub struct FirstJob {
    /// Its queue, which also says what kind of job it is.
    pub queue: QueueName,
    /// How soon among its queue.
    pub priority: Priority,
    /// Failed runs it may have.
    pub max_attempts: u16,
    /// Delay after the acceptance before it may run.
    pub delay: Duration,
    /// Small arguments (at most 2 kB): bytes belong in a volume.
    pub args: serde_json::Value,
}

/// What a known key with another fingerprint means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Accepted as new, and flagged (mail, upload).
    Flag,
    /// Refused as a mistake of the sender (REST: 422).
    Refuse,
}

/// The acceptance: a door may say yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Taken)]
pub struct Accepted {
    /// What to ask with: a function of key and fingerprint.
    pub receipt_id: ReceiptId,
    /// The delivery; of the first time where this is a repetition. Null where that delivery was purged since.
    pub delivery_id: Option<DeliveryId>,
    /// Its first jobs, in the order given; of the first acceptance where this is a repeat.
    #[serde(skip)]
    pub jobs: Vec<JobId>,
    /// The same was accepted before.
    pub duplicate: bool,
    /// The delivery's tree is durable, so its spool entry is no longer needed.
    #[serde(skip)]
    pub sealed: bool,
}

/// Why there is no yes.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Too many are waiting; nothing was checked.
    #[error("too many acceptances are waiting")]
    Busy,
    /// The key was used for something else, and this door refuses that.
    #[error("the key was used before for something else")]
    KeyReused,
    /// The store failed or refused it.
    #[error(transparent)]
    Store(#[from] DbError),
}

impl From<AcceptError> for Problem {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Busy => Self::new(Kind::Busy, ""),
            AcceptError::KeyReused => Self::new(Kind::Invalid, error.to_string()),
            AcceptError::Store(error) => error.into(),
        }
    }
}

/// Gathers acceptances into commits; cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    queues: Queues,
    batcher: Batcher<Item, Answer>,
}

pub(super) type Answer = Result<Accepted, AcceptError>;

/// A receipt on its way into a commit.
pub struct Item {
    pub id: ReceiptId,
    pub new: NewReceipt,
    /// The tree of its delivery, where its door made one.
    tree: Option<PendingTree>,
    /// Its first jobs as the job table takes them.
    jobs: Vec<NewJob>,
}

impl Acceptor {
    /// Starts gathering. `writers` insert the rows that doors hand over.
    #[must_use]
    pub fn start(db: Db, queues: Queues, wake: Wake, writers: RowWriters, settings: BatchSettings) -> Self {
        let weigh = |item: &Item| item.jobs.len() + item.new.rows.len();
        let batcher = Batcher::start(settings, weigh, move |items| {
            let (db, wake, writers) = (db.clone(), wake.clone(), writers.clone());
            Box::pin(async move {
                let trees: Vec<_> = items.iter().map(|item: &Item| item.tree.clone()).collect();
                trees.iter().flatten().for_each(PendingTree::ask);
                let answers = commit(&db, &writers, items.into()).await;
                // Here and not where the caller waits, who may be gone by now.
                let made = trees.iter().zip(&answers);
                PendingTree::settle(made.filter_map(|(tree, answer)| Some((tree.as_ref()?, answer)))).await;
                if answers.iter().flatten().any(|accepted| !accepted.duplicate) {
                    wake.wake();
                }
                answers
            })
        });
        Self { queues, batcher }
    }

    /// Accepts one thing: returns after the commit.
    ///
    /// # Errors
    /// See [`AcceptError`]; without an `Ok` nothing was promised, though it may have been committed.
    pub async fn accept(&self, new: NewReceipt) -> Answer {
        self.accept_with(new, None).await
    }

    /// As [`accept`](Self::accept), with the tree of its delivery. The tree stays if it has a row now; it is removed if it is
    /// known to have none; otherwise it stays noted, and [`LeftOver`](super::pending::LeftOver) decides.
    ///
    /// # Errors
    /// See [`AcceptError`].
    pub async fn accept_tree(&self, new: NewReceipt, tree: PendingTree) -> Answer {
        let answer = self.accept_with(new, Some(tree.clone())).await;
        if !tree.was_asked() {
            PendingTree::settle([(&tree, &answer)]).await;
        }
        answer
    }

    async fn accept_with(&self, new: NewReceipt, tree: Option<PendingTree>) -> Answer {
        let bytes = new.delivery.as_ref().map_or(0, |delivery| delivery.bytes);
        let (source, began) = (new.source.clone(), Instant::now());
        let answer = self.join(new, tree).await;
        measure(source, bytes, &answer, began.elapsed());
        answer
    }

    async fn join(&self, new: NewReceipt, tree: Option<PendingTree>) -> Answer {
        let id = receipt_id(&new.key, &new.fingerprint);
        let mut jobs = Vec::with_capacity(new.jobs.len());
        for first in &new.jobs {
            let queue = self.queues.row(&first.queue).await?;
            jobs.push(NewJob {
                queue,
                priority: first.priority,
                delivery_id: new.delivery_id(),
                receipt_id: Some(id),
                parent_id: None,
                retry_of: None,
                signals: None,
                max_attempts: first.max_attempts,
                delay: first.delay,
                args: first.args.clone(),
            });
        }
        self.batcher.join(Item { id, new, tree, jobs }).await.map_err(|_| AcceptError::Busy)?
    }
}

/// Every answer counts as one item; bytes and time are measured only for a yes.
fn measure(source: String, bytes: u64, answer: &Answer, took: Duration) {
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

/// Receipt id of a key and a fingerprint.
#[must_use]
pub fn receipt_id(key: &[u8; 32], fingerprint: &Digest) -> ReceiptId {
    ReceiptId(headworks_spool::receipt_id(key, &fingerprint.0))
}

/// What was accepted under this key with this fingerprint, while the key is remembered: for doors that would write much
/// before they find out that it is a repeat. Only [`Acceptor::accept`] decides.
pub async fn find_accepted(
    tx: &mut Tx<'_>,
    key: &[u8; 32],
    fingerprint: &Digest,
) -> Result<Option<Accepted>, DbError> {
    if !store::knows(tx, key, fingerprint).await? {
        return Ok(None);
    }
    let id = receipt_id(key, fingerprint);
    Ok(store::earlier(tx, &[id]).await?.remove(&id).map(|earlier| accepted(id, earlier, true)))
}

fn accepted(receipt_id: ReceiptId, first: Earlier, duplicate: bool) -> Accepted {
    let Earlier { delivery_id, sealed, jobs } = first;
    Accepted { receipt_id, delivery_id, jobs, duplicate, sealed }
}

async fn commit(db: &Db, writers: &RowWriters, items: Arc<[Item]>) -> Vec<Answer> {
    let all = 0..items.len();
    let mut written = write(db, writers, &items, all.clone()).await;
    if written.as_ref().is_err_and(|error| error.kind() == DbErrorKind::Contention) {
        written = write(db, writers, &items, all.clone()).await;
    }
    match written {
        Ok(answers) => answers,
        // One item made the batch fail: each is written on its own, so that only that one is refused.
        Err(error) if !error.is_temporary() && items.len() > 1 => {
            let mut answers = Vec::with_capacity(items.len());
            for at in all {
                match write(db, writers, &items, at..at + 1).await {
                    Ok(one) => answers.extend(one),
                    Err(error) => answers.push(Err(error.into())),
                }
            }
            answers
        }
        Err(error) => {
            let (kind, text) = (error.kind(), error.to_string());
            all.map(|_| Err(DbError::new(kind, text.clone()).into())).collect()
        }
    }
}

async fn write(
    db: &Db,
    writers: &RowWriters,
    items: &Arc<[Item]>,
    range: Range<usize>,
) -> Result<Vec<Answer>, DbError> {
    let (items, writers) = (Arc::clone(items), writers.clone());
    in_tx!(db, Lane::State, tx => write_in(tx, &writers, &items[range])).await
}

/// Keys, deliveries, jobs, receipts, rows of doors: each in one go for the whole batch, in the order of keys.
async fn write_in(tx: &mut Tx<'_>, writers: &RowWriters, items: &[Item]) -> Result<Vec<Answer>, DbError> {
    // One of each receipt is written; the others get its answer.
    let mut first: HashMap<ReceiptId, usize> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        first.entry(item.id).or_insert(at);
    }
    let mut distinct: Vec<&Item> = first.values().map(|&at| &items[at]).collect();
    distinct.sort_by_key(|item| (item.new.key, item.new.fingerprint));

    let fates = store::take_keys(tx, &distinct).await?;
    let fresh: Vec<(&Item, bool)> = distinct
        .iter()
        .zip(&fates)
        .filter(|(_, fate)| fate.is_fresh())
        .map(|(item, fate)| (*item, fate.key_reused))
        .collect();
    let mut written = insert(tx, writers, &fresh).await?;

    let mut known: HashMap<ReceiptId, Option<Earlier>> = HashMap::new();
    for (item, fate) in distinct.iter().zip(fates) {
        let is_fresh = fate.is_fresh();
        known.insert(item.id, if is_fresh { written.remove(&item.id) } else { fate.earlier });
        if !is_fresh {
            first.remove(&item.id); // Nobody of this batch was the first.
        }
    }
    let answer = |(at, item): (usize, &Item)| match known.get(&item.id) {
        Some(Some(earlier)) => Ok(accepted(item.id, earlier.clone(), first.get(&item.id) != Some(&at))),
        _ => Err(AcceptError::KeyReused),
    };
    Ok(items.iter().enumerate().map(answer).collect())
}

/// Inserts what is new, each with whether its key was known, and returns the answers for repeats.
async fn insert(
    tx: &mut Tx<'_>,
    writers: &RowWriters,
    fresh: &[(&Item, bool)],
) -> Result<HashMap<ReceiptId, Earlier>, DbError> {
    let deliveries: Vec<DeliveryRecord<'_>> = fresh.iter().filter_map(|(item, _)| item.delivery()).collect();
    store::insert_deliveries(tx, &deliveries).await?;
    let jobs: Vec<NewJob> = fresh.iter().flat_map(|(item, _)| item.jobs.iter().cloned()).collect();
    let ids = if jobs.is_empty() { Vec::new() } else { crate::job::store::insert(tx, &jobs).await? };
    let (mut ids, mut receipts, mut rows) = (ids.into_iter(), Vec::new(), Vec::new());
    for &(item, key_reused) in fresh {
        let jobs: Vec<JobId> = ids.by_ref().take(item.jobs.len()).collect();
        let origin = Origin { receipt_id: Some(item.id), delivery_id: item.new.delivery_id(), job_id: None };
        rows.extend(item.new.rows.iter().map(|row| (origin, row)));
        receipts.push(store::ReceiptRecord { id: item.id, new: &item.new, key_reused, jobs });
    }
    store::insert_receipts(tx, &receipts).await?;
    writers.insert(tx, &rows).await?;
    let written = receipts.into_iter().map(|receipt| {
        let delivery_id = receipt.new.delivery_id();
        (receipt.id, Earlier { delivery_id, sealed: false, jobs: receipt.jobs })
    });
    Ok(written.collect())
}

impl Item {
    fn delivery(&self) -> Option<DeliveryRecord<'_>> {
        let delivery = self.new.delivery.as_ref()?;
        Some(DeliveryRecord {
            delivery,
            path: self.tree.as_ref().map(PendingTree::path),
            receipt_id: self.id,
            source: &self.new.source,
            received_at: self.new.received_at,
            created_by: None,
        })
    }
}
