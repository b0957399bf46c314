//! Keys, receipts and deliveries of one accepting commit: one statement per table for the whole batch.

use crate::delivery::accept::{Item, NewDelivery, NewReceipt, Reuse};
use crate::ids::{DeliveryId, Digest, JobId, ReceiptId, Timestamp, hex, micros};
use crate::infra::db::{DbError, Tx};
use crate::infra::volume::SubPath;
use crate::sql;
use serde_json::json;
use sqlx::types::Json;
use std::collections::{HashMap, HashSet};

/// First half of the key of the advisory locks; the second is the beginning of the ingest key.
const KEY_LOCK: i32 = 0x6877_6B79;

/// What the first acceptance of a receipt led to.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// The delivery that was accepted with it.
    pub delivery_id: Option<DeliveryId>,
    /// That delivery's tree is durable.
    pub sealed: bool,
    /// Its first jobs, in order.
    pub jobs: Vec<JobId>,
}

/// Whether a key was free.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    /// What was accepted before under this key and fingerprint; `None`: this one is the first.
    pub earlier: Option<Earlier>,
    /// The key was known with another fingerprint.
    pub key_reused: bool,
    /// It is refused, and nothing is stored.
    refused: bool,
}

impl Fate {
    /// Whether it must be inserted.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.earlier.is_none() && !self.refused
    }
}

/// A receipt to be inserted, with the ids of its first jobs.
pub struct ReceiptRecord<'a> {
    pub id: ReceiptId,
    pub new: &'a NewReceipt,
    pub key_reused: bool,
    pub jobs: Vec<JobId>,
}

/// A delivery to be inserted.
pub struct DeliveryRecord<'a> {
    pub delivery: &'a NewDelivery,
    /// Its tree, if that is made and sealed.
    pub path: Option<&'a SubPath>,
    pub receipt_id: ReceiptId,
    pub source: &'a str,
    pub received_at: Timestamp,
    /// The job whose finish creates it; `None` if it is accepted with its receipt.
    pub created_by: Option<JobId>,
}

/// Takes the keys of a batch, in key order, and says for each whether it was free. No two items are the same; of two with
/// one key, neither of them known, the first has it.
pub async fn take_keys(tx: &mut Tx<'_>, items: &[&Item]) -> Result<Vec<Fate>, DbError> {
    queue_up(tx, items).await?;
    let mut known = fingerprints(tx, items).await?;
    let fates = items.iter().map(|item| {
        let fingerprints = known.entry(item.new.key).or_default();
        let key_reused = !fingerprints.is_empty() && !fingerprints.contains(&item.new.fingerprint);
        let refused = key_reused && item.new.reuse == Reuse::Refuse;
        if !refused {
            fingerprints.insert(item.new.fingerprint);
        }
        Fate { earlier: None, key_reused, refused }
    });
    let mut fates: Vec<Fate> = fates.collect();
    let (wanted, theirs): (Vec<_>, Vec<_>) =
        items.iter().copied().zip(&mut fates).filter(|(_, fate)| !fate.refused).unzip();
    let taken = insert_keys(tx, &wanted).await?;
    let repeats: Vec<ReceiptId> =
        wanted.iter().map(|item| item.id).filter(|id| !taken.contains(id)).collect();
    // A key whose receipt is gone was left by a purge: the item is accepted again.
    let mut earlier = earlier(tx, &repeats).await?;
    for (item, fate) in wanted.iter().zip(theirs) {
        fate.earlier = earlier.remove(&item.id);
    }
    Ok(fates)
}

/// Lets one transaction at a time decide about a key that may have but one content. With SQLite there is only one anyway.
async fn queue_up(tx: &mut Tx<'_>, items: &[&Item]) -> Result<(), DbError> {
    let Tx::Pg(connection) = tx else { return Ok(()) };
    let strict = items.iter().map(|item| &item.new).filter(|new| new.reuse == Reuse::Refuse);
    let mut locks: Vec<i32> =
        strict.map(|new| i32::from_be_bytes([new.key[0], new.key[1], new.key[2], new.key[3]])).collect();
    if locks.is_empty() {
        return Ok(());
    }
    // In one order for everybody, which is not that of the keys: locks are signed.
    locks.sort_unstable();
    sqlx::query("SELECT pg_advisory_xact_lock($1, key) FROM unnest($2::int[]) AS k(key)")
        .bind(KEY_LOCK)
        .bind(locks)
        .execute(&mut **connection)
        .await?;
    Ok(())
}

/// Inserts keys and returns the receipts of those that were free.
async fn insert_keys(tx: &mut Tx<'_>, items: &[&Item]) -> Result<HashSet<ReceiptId>, DbError> {
    let ids: Vec<ReceiptId> = match tx {
        Tx::Pg(connection) => {
            let text = "
                INSERT INTO ingest_key (key, digest, receipt_id, expires_at)
                SELECT key, digest, receipt_id, now() + ttl * interval '1 microsecond'
                FROM unnest($1::bytea[], $2::bytea[], $3::uuid[], $4::bigint[]) AS k(key, digest, receipt_id, ttl)
                ORDER BY key, digest ON CONFLICT DO NOTHING RETURNING receipt_id";
            sqlx::query_scalar(text)
                .bind(all(items, |i| i.new.key.to_vec()))
                .bind(all(items, |i| i.new.fingerprint))
                .bind(all(items, |i| i.id))
                .bind(all(items, |i| micros(i.new.ttl)))
                .fetch_all(&mut **connection)
                .await?
        }
        Tx::Lite(connection) => {
            let text = "
                INSERT INTO ingest_key (key, digest, receipt_id, expires_at)
                SELECT unhex(k.value->>0), unhex(k.value->>1), unhex(k.value->>2), k.value->>3
                FROM json_each($1) k WHERE true ON CONFLICT DO NOTHING RETURNING receipt_id";
            let now = Timestamp::now();
            let row = |i: &&Item| {
                let NewReceipt { key, fingerprint, ttl, .. } = &i.new;
                json!([hex(key), fingerprint.to_string(), simple(i.id.0), now.after(*ttl).0])
            };
            sqlx::query_scalar(text)
                .bind(json!(all(items, row)).to_string())
                .fetch_all(&mut **connection)
                .await?
        }
    };
    Ok(ids.into_iter().collect())
}

/// The fingerprints that the store knows of each key.
async fn fingerprints(
    tx: &mut Tx<'_>,
    items: &[&Item],
) -> Result<HashMap<[u8; 32], HashSet<Digest>>, DbError> {
    let rows: Vec<(Vec<u8>, Digest)> = match tx {
        Tx::Pg(connection) => {
            let text = "SELECT key, digest FROM ingest_key WHERE key = ANY($1)";
            let keys = all(items, |item| item.new.key.to_vec());
            sqlx::query_as(text).bind(keys).fetch_all(&mut **connection).await?
        }
        Tx::Lite(connection) => {
            let text = "SELECT k.key, k.digest FROM json_each($1) i CROSS JOIN ingest_key k ON k.key = unhex(i.value)";
            let keys = json!(all(items, |item| hex(&item.new.key))).to_string();
            sqlx::query_as(text).bind(keys).fetch_all(&mut **connection).await?
        }
    };
    let mut known: HashMap<[u8; 32], HashSet<Digest>> = HashMap::new();
    for (key, digest) in rows {
        if let Ok(key) = key.try_into() {
            known.entry(key).or_default().insert(digest);
        }
    }
    Ok(known)
}

/// Whether a key is remembered with this fingerprint.
pub async fn knows(tx: &mut Tx<'_>, key: &[u8; 32], fingerprint: &Digest) -> Result<bool, DbError> {
    let text = "SELECT count(*) FROM ingest_key WHERE key = $1 AND digest = $2";
    let known: i64 = sql!(tx, query_scalar(text, &key[..], *fingerprint).fetch_one)?;
    Ok(known > 0)
}

/// What the latest first acceptance of each receipt led to, for those that the store knows.
pub async fn earlier(
    tx: &mut Tx<'_>,
    receipts: &[ReceiptId],
) -> Result<HashMap<ReceiptId, Earlier>, DbError> {
    if receipts.is_empty() {
        return Ok(HashMap::new());
    }
    type Row = (ReceiptId, Option<Json<Vec<JobId>>>, Option<DeliveryId>, bool);
    // A receipt whose key expired and that was accepted again has two deliveries: the later id wins.
    let rows: Vec<Row> = match tx {
        Tx::Pg(connection) => {
            let text = "
                SELECT r.id, r.first_jobs, d.id, d.sealed_at IS NOT NULL
                FROM receipt r LEFT JOIN delivery d ON d.receipt_id = r.id AND d.created_by IS NULL
                WHERE r.id = ANY($1) ORDER BY d.id";
            sqlx::query_as(text).bind(receipts).fetch_all(&mut **connection).await?
        }
        Tx::Lite(connection) => {
            let text = "
                SELECT r.id, r.first_jobs, d.id, d.sealed_at IS NOT NULL
                FROM json_each($1) i CROSS JOIN receipt r ON r.id = unhex(i.value)
                LEFT JOIN delivery d ON d.receipt_id = r.id AND d.created_by IS NULL ORDER BY d.id";
            let ids = json!(all(receipts, |id| simple(id.0))).to_string();
            sqlx::query_as(text).bind(ids).fetch_all(&mut **connection).await?
        }
    };
    let earlier = rows.into_iter().map(|(id, jobs, delivery_id, sealed)| {
        (id, Earlier { delivery_id, sealed, jobs: jobs.map(|jobs| jobs.0).unwrap_or_default() })
    });
    Ok(earlier.collect())
}

/// Inserts receipts. One whose key had expired is there already and gets the jobs of this acceptance.
pub async fn insert_receipts(tx: &mut Tx<'_>, receipts: &[ReceiptRecord<'_>]) -> Result<(), DbError> {
    if receipts.is_empty() {
        return Ok(());
    }
    match tx {
        Tx::Pg(connection) => {
            let text = "
                INSERT INTO receipt (id, source, customer, key_reused, first_jobs)
                SELECT id, source, customer, reused, jobs
                FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::jsonb[])
                     AS r(id, source, customer, reused, jobs)
                ORDER BY id ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, first_jobs = excluded.first_jobs";
            sqlx::query(text)
                .bind(all(receipts, |r| r.id))
                .bind(all(receipts, |r| r.new.source.clone()))
                .bind(all(receipts, |r| r.new.customer.as_ref().map(|slug| slug.as_str().to_owned())))
                .bind(all(receipts, |r| r.key_reused))
                .bind(all(receipts, |r| Json(r.jobs.clone())))
                .execute(&mut **connection)
                .await?;
        }
        Tx::Lite(connection) => {
            let text = "
                INSERT INTO receipt (id, source, customer, key_reused, first_jobs)
                SELECT unhex(r.value->>0), r.value->>1, r.value->>2, r.value->>3, r.value->4
                FROM json_each($1) r WHERE true
                ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, first_jobs = excluded.first_jobs";
            let row = |r: &ReceiptRecord<'_>| {
                let NewReceipt { source, customer, .. } = r.new;
                json!([simple(r.id.0), source, customer, i32::from(r.key_reused), r.jobs])
            };
            sqlx::query(text).bind(json!(all(receipts, row)).to_string()).execute(&mut **connection).await?;
        }
    }
    Ok(())
}

const INSERT_PG: &str = "
INSERT INTO delivery (id, receipt_id, source, customer, category, type, grp, settings, received_at, digest, bytes,
                      envelope, home, path, sorted_at, sealed_at, created_by)
SELECT id, receipt_id, source, customer, category, type, grp, settings, received_at, digest, bytes, envelope, home, path,
       CASE WHEN path IS NOT NULL THEN now() END, CASE WHEN path IS NOT NULL THEN now() END, created_by
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[],
            $9::timestamptz[], $10::bytea[], $11::bigint[], $12::jsonb[], $13::uuid[], $14::text[], $15::bigint[])
     AS d(id, receipt_id, source, customer, category, type, grp, settings, received_at, digest, bytes, envelope, home, path,
          created_by)
ORDER BY id";

const INSERT_LITE: &str = "
INSERT INTO delivery (id, receipt_id, source, customer, category, type, grp, settings, received_at, digest, bytes,
                      envelope, home, path, sorted_at, sealed_at, created_by)
SELECT unhex(d.value->>'id'), unhex(d.value->>'receipt'), d.value->>'source', d.value->>'customer',
       d.value->>'category', d.value->>'type', d.value->>'grp', d.value->'settings', d.value->>'received_at',
       unhex(d.value->>'digest'), d.value->>'bytes', d.value->'envelope', unhex(d.value->>'home'), d.value->>'path',
       d.value->>'sealed_at', d.value->>'sealed_at', d.value->>'created_by'
FROM json_each($1) d";

/// Inserts deliveries. One that has a path was made and sealed before.
pub async fn insert_deliveries(tx: &mut Tx<'_>, items: &[DeliveryRecord<'_>]) -> Result<(), DbError> {
    if items.is_empty() {
        return Ok(());
    }
    let connection = match tx {
        Tx::Pg(connection) => connection,
        Tx::Lite(connection) => {
            let rows = json!(all(items, lite_row)).to_string();
            sqlx::query(INSERT_LITE).bind(rows).execute(&mut **connection).await?;
            return Ok(());
        }
    };
    let mut query = sqlx::query(INSERT_PG)
        .bind(all(items, |i| i.delivery.id))
        .bind(all(items, |i| i.receipt_id))
        .bind(all(items, |i| i.source.to_owned()));
    for at in 0..4 {
        query = query.bind(all(items, |i| i.delivery.coordinates.as_ref().map(|c| c.words()[at].to_owned())));
    }
    query
        .bind(all(items, |i| Json(&i.delivery.settings)))
        .bind(all(items, |i| i.received_at))
        .bind(all(items, |i| i.delivery.digest))
        .bind(all(items, |i| i64::try_from(i.delivery.bytes).unwrap_or(i64::MAX)))
        .bind(all(items, |i| Json(&i.delivery.envelope)))
        .bind(all(items, |i| i.delivery.home))
        .bind(all(items, |i| i.path.map(SubPath::to_string)))
        .bind(all(items, |i| i.created_by))
        .execute(&mut **connection)
        .await?;
    Ok(())
}

fn lite_row(item: &DeliveryRecord<'_>) -> serde_json::Value {
    let delivery = item.delivery;
    let coordinates = delivery.coordinates.as_ref();
    json!({
        "id": simple(delivery.id.0),
        "receipt": simple(item.receipt_id.0),
        "source": item.source,
        "customer": coordinates.map(|c| &c.customer),
        "category": coordinates.map(|c| &c.category),
        "type": coordinates.map(|c| &c.type_),
        "grp": coordinates.map(|c| &c.group),
        "settings": delivery.settings,
        "received_at": item.received_at.0,
        "digest": delivery.digest.to_string(),
        "bytes": delivery.bytes,
        "envelope": delivery.envelope,
        "home": delivery.home.map(|home| simple(home.0)),
        "path": item.path.map(SubPath::as_str),
        "sealed_at": item.path.map(|_| Timestamp::now().0),
        "created_by": item.created_by,
    })
}

/// One column of many rows.
fn all<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

/// A UUID as `unhex` reads it.
fn simple(id: uuid::Uuid) -> String {
    id.simple().to_string()
}
