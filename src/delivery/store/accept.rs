//! Keys, receipts and deliveries of one accepting commit: one statement per table for the whole batch.

use crate::delivery::accept::{NewDelivery, Reuse, receipt_id};
use crate::ids::{DeliveryId, Digest, ReceiptId, Timestamp, hex};
use crate::infra::db::{DbError, Tx};
use crate::job::store::micros;
use serde_json::json;
use sqlx::types::Json;
use std::collections::{HashMap, HashSet};

/// First half of the key of the advisory locks; the second is the beginning of the ingest key.
const KEY_LOCK: i32 = 0x6877_6B79;

/// What became of one key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fate {
    /// The delivery that was accepted first under this key and digest; `None`: this one is the first.
    pub existing: Option<DeliveryId>,
    /// The key was known with other bytes.
    pub key_reused: bool,
    /// That is refused, and nothing was stored.
    pub refused: bool,
    /// The tree of the existing delivery is durable.
    pub sealed: bool,
}

impl Fate {
    /// Whether a delivery is to be inserted.
    #[must_use]
    pub const fn is_fresh(&self) -> bool {
        self.existing.is_none() && !self.refused
    }
}

/// Takes the keys of a batch, in key order, and says for each whether it was free. No two items are the same; of two with
/// one key, neither of them known, the first has it.
pub async fn take_keys(tx: &mut Tx<'_>, items: &[&NewDelivery]) -> Result<Vec<Fate>, DbError> {
    queue_up(tx, items).await?;
    let mut known = digests(tx, items).await?;
    let fates = items.iter().map(|item| {
        let digests = known.entry(item.key).or_default();
        let key_reused = !digests.is_empty() && !digests.contains(&item.digest);
        let refused = key_reused && item.reuse == Reuse::Refuse;
        if !refused {
            digests.insert(item.digest);
        }
        Fate { key_reused, refused, ..Fate::default() }
    });
    let mut fates: Vec<Fate> = fates.collect();
    let (wanted, theirs): (Vec<_>, Vec<_>) =
        items.iter().copied().zip(&mut fates).filter(|(_, fate)| !fate.refused).unzip();
    let taken = insert_keys(tx, &wanted).await?;
    let receipts: Vec<_> = wanted.iter().map(|item| receipt_id(&item.key, &item.digest)).collect();
    let existing = existing(tx, &receipts).await?;
    for (receipt, fate) in receipts.iter().zip(theirs) {
        // A key without a delivery was left by an older schema or a purge: the delivery is made anew.
        if let Some(&(delivery, sealed)) = existing.get(receipt).filter(|_| !taken.contains(receipt)) {
            (fate.existing, fate.sealed) = (Some(delivery), sealed);
        }
    }
    Ok(fates)
}

/// Lets one transaction at a time decide about a key that may have but one content. With SQLite there is only one anyway.
async fn queue_up(tx: &mut Tx<'_>, items: &[&NewDelivery]) -> Result<(), DbError> {
    let Tx::Pg(connection) = tx else { return Ok(()) };
    let strict = items.iter().filter(|item| item.reuse == Reuse::Refuse);
    let mut locks: Vec<i32> =
        strict.map(|item| i32::from_be_bytes([item.key[0], item.key[1], item.key[2], item.key[3]])).collect();
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

async fn insert_keys(tx: &mut Tx<'_>, items: &[&NewDelivery]) -> Result<HashSet<ReceiptId>, DbError> {
    let ids: Vec<ReceiptId> = match tx {
        Tx::Pg(connection) => {
            let text = "
                INSERT INTO ingest_key (key, digest, receipt_id, expires_at)
                SELECT key, digest, receipt_id, now() + ttl * interval '1 microsecond'
                FROM unnest($1::bytea[], $2::bytea[], $3::uuid[], $4::bigint[]) AS k(key, digest, receipt_id, ttl)
                ORDER BY key, digest ON CONFLICT DO NOTHING RETURNING receipt_id";
            sqlx::query_scalar(text)
                .bind(items.iter().map(|i| i.key.to_vec()).collect::<Vec<_>>())
                .bind(items.iter().map(|i| i.digest).collect::<Vec<_>>())
                .bind(items.iter().map(|i| receipt_id(&i.key, &i.digest)).collect::<Vec<_>>())
                .bind(items.iter().map(|i| micros(i.key_ttl)).collect::<Vec<_>>())
                .fetch_all(&mut **connection)
                .await?
        }
        Tx::Lite(connection) => {
            let text = "
                INSERT INTO ingest_key (key, digest, receipt_id, expires_at)
                SELECT unhex(k.value->>'key'), unhex(k.value->>'digest'), unhex(k.value->>'receipt'), k.value->>'expires'
                FROM json_each($1) k WHERE true ON CONFLICT DO NOTHING RETURNING receipt_id";
            let rows: Vec<_> = items
                .iter()
                .map(|i| {
                    json!({
                        "key": hex(&i.key), "digest": i.digest.to_string(),
                        "receipt": receipt_id(&i.key, &i.digest).0.simple().to_string(),
                        "expires": Timestamp::now().after(i.key_ttl).0,
                    })
                })
                .collect();
            sqlx::query_scalar(text).bind(json!(rows).to_string()).fetch_all(&mut **connection).await?
        }
    };
    Ok(ids.into_iter().collect())
}

/// The digests that the store knows of each key.
async fn digests(
    tx: &mut Tx<'_>,
    items: &[&NewDelivery],
) -> Result<HashMap<[u8; 32], HashSet<Digest>>, DbError> {
    let rows: Vec<(Vec<u8>, Digest)> = match tx {
        Tx::Pg(connection) => {
            let keys: Vec<_> = items.iter().map(|item| item.key.to_vec()).collect();
            let text = "SELECT key, digest FROM ingest_key WHERE key = ANY($1)";
            sqlx::query_as(text).bind(keys).fetch_all(&mut **connection).await?
        }
        Tx::Lite(connection) => {
            let keys: Vec<_> = items.iter().map(|item| hex(&item.key)).collect();
            let text = "SELECT k.key, k.digest FROM json_each($1) i CROSS JOIN ingest_key k ON k.key = unhex(i.value)";
            sqlx::query_as(text).bind(json!(keys).to_string()).fetch_all(&mut **connection).await?
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

async fn existing(
    tx: &mut Tx<'_>,
    receipts: &[ReceiptId],
) -> Result<HashMap<ReceiptId, (DeliveryId, bool)>, DbError> {
    let rows: Vec<(ReceiptId, DeliveryId, bool)> = match tx {
        Tx::Pg(connection) => {
            let text =
                "SELECT receipt_id, id, sealed_at IS NOT NULL FROM delivery WHERE receipt_id = ANY($1)";
            sqlx::query_as(text).bind(receipts).fetch_all(&mut **connection).await?
        }
        Tx::Lite(connection) => {
            let text = "SELECT d.receipt_id, d.id, d.sealed_at IS NOT NULL
                        FROM json_each($1) r CROSS JOIN delivery d ON d.receipt_id = unhex(r.value)";
            let listed: Vec<_> = receipts.iter().map(|id| id.0.simple().to_string()).collect();
            sqlx::query_as(text).bind(json!(listed).to_string()).fetch_all(&mut **connection).await?
        }
    };
    Ok(rows.into_iter().map(|(receipt, delivery, sealed)| (receipt, (delivery, sealed))).collect())
}

/// Inserts receipts and deliveries; the flag says that the key was known with other bytes.
///
/// # Errors
/// When the store fails or refuses a value.
pub async fn insert_deliveries(tx: &mut Tx<'_>, items: &[(&NewDelivery, bool)]) -> Result<(), DbError> {
    if items.is_empty() {
        return Ok(());
    }
    match tx {
        Tx::Pg(connection) => {
            let text = "
                INSERT INTO receipt (id, source, key_reused)
                SELECT id, source, reused FROM unnest($1::uuid[], $2::text[], $3::boolean[]) AS r(id, source, reused)
                ORDER BY id ON CONFLICT (id) DO NOTHING";
            sqlx::query(text)
                .bind(items.iter().map(|(i, _)| receipt_id(&i.key, &i.digest)).collect::<Vec<_>>())
                .bind(items.iter().map(|(i, _)| i.source.clone()).collect::<Vec<_>>())
                .bind(items.iter().map(|(_, reused)| *reused).collect::<Vec<_>>())
                .execute(&mut **connection)
                .await?;
            insert_deliveries_pg(connection, items).await
        }
        Tx::Lite(connection) => {
            let rows =
                json!(items.iter().map(|(i, reused)| lite_row(i, *reused)).collect::<Vec<_>>()).to_string();
            let text = "
                INSERT INTO receipt (id, source, key_reused)
                SELECT unhex(r.value->>'receipt'), r.value->>'source', r.value->>'reused'
                FROM json_each($1) r WHERE true ON CONFLICT (id) DO NOTHING";
            sqlx::query(text).bind(&rows).execute(&mut **connection).await?;
            let text = "
                INSERT INTO delivery (id, receipt_id, source, customer, category, type, grp, settings, received_at, digest, bytes,
                                      envelope, home, path, sorted_at, sealed_at)
                SELECT unhex(d.value->>'id'), unhex(d.value->>'receipt'), d.value->>'source', d.value->>'customer',
                       d.value->>'category', d.value->>'type', d.value->>'grp', d.value->>'settings', d.value->>'received_at',
                       unhex(d.value->>'digest'), d.value->>'bytes', d.value->>'envelope', unhex(d.value->>'home'), d.value->>'path',
                       d.value->>'sealed_at', d.value->>'sealed_at'
                FROM json_each($1) d";
            sqlx::query(text).bind(&rows).execute(&mut **connection).await?;
            Ok(())
        }
    }
}

async fn insert_deliveries_pg(
    connection: &mut sqlx::PgConnection,
    items: &[(&NewDelivery, bool)],
) -> Result<(), DbError> {
    let text = "
        INSERT INTO delivery (id, receipt_id, source, customer, category, type, grp, settings, received_at, digest, bytes,
                              envelope, home, path, sorted_at, sealed_at)
        SELECT id, receipt_id, source, customer, category, type, grp, settings, received_at, digest, bytes, envelope, home, path,
               CASE WHEN path IS NOT NULL THEN now() END, CASE WHEN path IS NOT NULL THEN now() END
        FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[],
                    $9::timestamptz[], $10::bytea[], $11::bigint[], $12::jsonb[], $13::uuid[], $14::text[])
             AS d(id, receipt_id, source, customer, category, type, grp, settings, received_at, digest, bytes, envelope, home, path)
        ORDER BY id";
    let text_of = |f: fn(&NewDelivery) -> Option<&str>| {
        items.iter().map(|(i, _)| f(i).map(str::to_owned)).collect::<Vec<_>>()
    };
    sqlx::query(text)
        .bind(items.iter().map(|(i, _)| i.id).collect::<Vec<_>>())
        .bind(items.iter().map(|(i, _)| receipt_id(&i.key, &i.digest)).collect::<Vec<_>>())
        .bind(items.iter().map(|(i, _)| i.source.clone()).collect::<Vec<_>>())
        .bind(text_of(|i| i.coordinates.as_ref().map(|c| c.customer.as_str())))
        .bind(text_of(|i| i.coordinates.as_ref().map(|c| c.category.as_str())))
        .bind(text_of(|i| i.coordinates.as_ref().map(|c| c.type_.as_str())))
        .bind(text_of(|i| i.coordinates.as_ref().map(|c| c.group.as_str())))
        .bind(items.iter().map(|(i, _)| Json(&i.settings)).collect::<Vec<_>>())
        .bind(items.iter().map(|(i, _)| i.received_at).collect::<Vec<_>>())
        .bind(items.iter().map(|(i, _)| i.digest).collect::<Vec<_>>())
        .bind(items.iter().map(|(i, _)| i64::try_from(i.bytes).unwrap_or(i64::MAX)).collect::<Vec<_>>())
        .bind(items.iter().map(|(i, _)| Json(&i.envelope)).collect::<Vec<_>>())
        .bind(items.iter().map(|(i, _)| i.home).collect::<Vec<_>>())
        .bind(text_of(|i| i.path.as_deref()))
        .execute(connection)
        .await?;
    Ok(())
}

fn lite_row(item: &NewDelivery, reused: bool) -> serde_json::Value {
    let coordinates = item.coordinates.as_ref();
    json!({
        "id": item.id.0.simple().to_string(),
        "receipt": receipt_id(&item.key, &item.digest).0.simple().to_string(),
        "reused": i32::from(reused),
        "source": item.source,
        "customer": coordinates.map(|c| &c.customer),
        "category": coordinates.map(|c| &c.category),
        "type": coordinates.map(|c| &c.type_),
        "grp": coordinates.map(|c| &c.group),
        "settings": item.settings.to_string(),
        "received_at": item.received_at.0,
        "digest": item.digest.to_string(),
        "bytes": item.bytes,
        "envelope": json!(item.envelope).to_string(),
        "home": item.home.map(|home| home.0.simple().to_string()),
        "path": item.path,
        "sealed_at": item.path.is_some().then(|| Timestamp::now().0),
    })
}
