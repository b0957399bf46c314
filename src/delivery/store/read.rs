//! Reads of deliveries and receipts. Every one that serves a caller takes the caller's [`Scope`] first.

use crate::delivery::envelope::Envelope;
use crate::ids::{Coordinates, DeliveryId, Digest, ReceiptId, Scope, Slug, SpoolId, Timestamp};
use crate::infra::db::{DbError, Tx, fewest};
use crate::{on_either, sql};
use serde::Serialize;
use sqlx::{QueryBuilder, Row};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A delivery.
#[derive(Debug, Clone, Serialize, ToSchema, sqlx::FromRow)]
#[schema(as = Delivery)]
pub struct DeliveryRow {
    /// Its id.
    pub id: DeliveryId,
    /// The receipt its sender holds.
    pub receipt_id: ReceiptId,
    /// Its source.
    pub source: String,
    /// Coordinates, as far as they are known.
    pub customer: Option<String>,
    /// See `customer`.
    pub category: Option<String>,
    /// See `customer`.
    #[serde(rename = "type")]
    #[sqlx(rename = "type")]
    pub type_: Option<String>,
    /// See `customer`.
    #[sqlx(rename = "grp")]
    pub group: Option<String>,
    /// Rule that decided them; null: an operator, the sender, or nobody yet.
    pub rule: Option<String>,
    /// Settings of that rule, for the module.
    #[serde(skip)]
    #[sqlx(json)]
    pub settings: serde_json::Value,
    /// Captures of that rule's named groups.
    #[serde(skip)]
    #[sqlx(json)]
    pub captures: BTreeMap<String, String>,
    /// Whether a copy of the original is kept on volume archive, at the same path.
    #[serde(rename = "archived")]
    pub archive: bool,
    /// Why it waits for an operator.
    pub held_reason: Option<String>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// SHA-256 of its bytes, in hex.
    #[serde(rename = "sha256")]
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Length of its bytes.
    pub bytes: i64,
    /// Sender, recipient and how it arrived.
    #[sqlx(json)]
    pub envelope: Envelope,
    /// Spool that holds the bytes until the tree is sealed.
    #[serde(skip)]
    pub home: Option<SpoolId>,
    /// Its tree on volume inbox.
    pub path: Option<String>,
    /// Held tree that is removed once the new one is sealed.
    #[serde(skip)]
    pub stale_path: Option<String>,
    /// When its tree was made.
    pub sorted_at: Option<Timestamp>,
    /// When its tree became durable.
    pub sealed_at: Option<Timestamp>,
    /// Whether its sender had used the key (for mail the queue id and recipient) before, for other bytes.
    pub key_reused: bool,
}

impl DeliveryRow {
    /// Its coordinates; `None` while one of the four is undecided.
    #[must_use]
    pub fn coordinates(&self) -> Option<Coordinates> {
        let slug = |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok());
        Some(Coordinates {
            customer: slug(&self.customer)?,
            category: slug(&self.category)?,
            type_: slug(&self.type_)?,
            group: slug(&self.group)?,
        })
    }
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this customer.
    pub customer: Option<String>,
    /// Of this category.
    pub category: Option<String>,
    /// Of this type.
    pub type_: Option<String>,
    /// Of this group.
    pub group: Option<String>,
    /// Of this source.
    pub source: Option<String>,
    /// Waits for an operator.
    pub held: bool,
    /// Waits for this reason.
    pub held_reason: Option<String>,
    /// Of this receipt.
    pub receipt: Option<ReceiptId>,
    /// Arrived at or after this.
    pub since: Option<Timestamp>,
    /// Arrived before this.
    pub until: Option<Timestamp>,
    /// Only those after this one in the order of the list: the cursor.
    pub before: Option<(Timestamp, DeliveryId)>,
}

/// The fields of a [`DeliveryRow`].
macro_rules! columns {
    () => {
        "id, receipt_id, source, customer, category, type, grp, rule, settings, captures, archive, held_reason, received_at, digest, \
         bytes, envelope, home, path, stale_path, sorted_at, sealed_at, \
         COALESCE((SELECT r.key_reused FROM receipt r WHERE r.id = delivery.receipt_id), false) AS key_reused"
    };
}

/// One delivery; `None` also where the scope may not see it.
pub async fn get(scope: &Scope, tx: &mut Tx<'_>, id: DeliveryId) -> Result<Option<DeliveryRow>, DbError> {
    let text = concat!(
        "SELECT ",
        columns!(),
        " FROM delivery WHERE id = $1 AND (CAST($2 AS text) IS NULL OR customer = $2)"
    );
    Ok(sql!(tx, query_as(text, id, scope.customer()).fetch_optional)?)
}

/// The deliveries among `ids` that the scope may see, in no order.
pub async fn of_ids(scope: &Scope, tx: &mut Tx<'_>, ids: &[DeliveryId]) -> Result<Vec<DeliveryRow>, DbError> {
    Ok(on_either!(tx, c => {
        let mut query = QueryBuilder::new(concat!("SELECT ", columns!(), " FROM delivery WHERE id IN (NULL"));
        for id in ids {
            query.push(", ").push_bind(*id);
        }
        query.push(")");
        if let Some(customer) = scope.customer() {
            query.push(" AND customer = ").push_bind(customer);
        }
        query.build_query_as().fetch_all(c).await?
    }))
}

/// One delivery, locked until the end of the transaction, so that operators' acts on it come one after the other.
pub async fn lock(scope: &Scope, tx: &mut Tx<'_>, id: DeliveryId) -> Result<Option<DeliveryRow>, DbError> {
    if let Tx::Pg(connection) = tx {
        let text = "SELECT 1 FROM delivery WHERE id = $1 FOR UPDATE";
        sqlx::query(text).bind(id).execute(&mut **connection).await?;
    }
    get(scope, tx, id).await
}

/// Whether a customer is registered.
pub async fn is_customer(tx: &mut Tx<'_>, name: &Slug) -> Result<bool, DbError> {
    let text = "SELECT count(*) FROM customer WHERE name = $1";
    let found: i64 = sql!(tx, query_scalar(text, name.as_str()).fetch_one)?;
    Ok(found > 0)
}

/// The columns that a list compares with a text.
fn texts<'a>(scope: &'a Scope, filter: &'a Filter) -> Vec<(&'static str, &'a str)> {
    let asked = [
        ("customer", scope.customer()),
        ("source", filter.source.as_deref()),
        ("customer", filter.customer.as_deref()),
        ("category", filter.category.as_deref()),
        ("type", filter.type_.as_deref()),
        ("grp", filter.group.as_deref()),
        ("held_reason", filter.held_reason.as_deref()),
    ];
    asked.into_iter().filter_map(|(column, wanted)| Some((column, wanted?))).collect()
}

/// The column whose index SQLite, which has no statistics, must take where several filters have one: the receipt's, or that
/// with the fewest deliveries.
async fn best_index(
    tx: &mut Tx<'_>,
    scope: &Scope,
    filter: &Filter,
) -> Result<Option<&'static str>, DbError> {
    let asked = texts(scope, filter);
    if !matches!(tx, Tx::Lite(_)) {
        return Ok(None);
    }
    if filter.receipt.is_some() || asked.len() + usize::from(filter.held) < 2 {
        return Ok(filter.receipt.and(Some("receipt_id")));
    }
    let held = filter.held.then_some(("held_reason", None));
    let asked = asked.into_iter().map(|(column, wanted)| (column, Some(wanted)));
    let asked: Vec<_> = asked.filter(|(column, _)| *column != "held_reason").chain(held).collect();
    fewest(tx, "delivery", &asked).await
}

/// The query of [`list`], after `$head`, for the store that the macro is used in. The text holds only the predicates that are
/// asked for and is planned anew with its values, so each filter finds its index. `$best` is the column whose index is taken.
macro_rules! list {
    ($head:expr, $best:expr, $scope:expr, $filter:expr, $limit:expr) => {{
        let filter = $filter;
        // Only SQLite has a best one, and uses no index for a column behind a plus.
        let plus = |column: &str| if $best.is_some_and(|best| best != column) { "+" } else { "" };
        let mut query = QueryBuilder::new($head);
        query.push(concat!("SELECT ", columns!(), " FROM delivery WHERE true"));
        for (column, wanted) in texts($scope, filter) {
            query.push(format!(" AND {}{column} = ", plus(column))).push_bind(wanted);
        }
        if filter.held {
            query.push(" AND held_reason IS NOT NULL");
        }
        if let Some(receipt) = filter.receipt {
            query.push(" AND receipt_id = ").push_bind(receipt);
        }
        for (condition, at) in [(">=", filter.since), ("<", filter.until)] {
            if let Some(at) = at {
                query.push(format!(" AND received_at {condition} ")).push_bind(at);
            }
        }
        if let Some((at, id)) = filter.before {
            query.push(" AND (received_at, id) < (").push_bind(at).push(", ").push_bind(id).push(")");
        }
        query.push(" ORDER BY received_at DESC, id DESC LIMIT ").push_bind(i64::from($limit));
        query
    }};
}

/// Deliveries that match, newest first, at most `limit`.
pub async fn list(
    scope: &Scope,
    tx: &mut Tx<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<DeliveryRow>, DbError> {
    let best = best_index(tx, scope, filter).await?;
    Ok(on_either!(tx, c => {
        list!("", best, scope, filter, limit).build_query_as().persistent(false).fetch_all(c).await?
    }))
}

/// How the store would find the deliveries of [`list`], one line per step.
pub async fn plan_of_list(
    scope: &Scope,
    tx: &mut Tx<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<String>, DbError> {
    let (head, best) = (tx.explain(), best_index(tx, scope, filter).await?);
    Ok(on_either!(tx, c => {
        let lines = list!(head, best, scope, filter, limit).build().persistent(false).fetch_all(c).await?;
        lines.iter().map(|line| line.try_get(line.len() - 1)).collect::<Result<_, _>>()?
    }))
}

/// A tree that was made and is not durable yet.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Unsealed {
    /// The delivery.
    pub id: DeliveryId,
    /// Its receipt: the name of the spool entry.
    pub receipt_id: ReceiptId,
    /// The tree.
    pub path: String,
    /// A held tree that is removed once this one is sealed.
    pub stale_path: Option<String>,
    /// The original goes to the archive volume too.
    pub archive: bool,
    /// Digest of what was delivered.
    pub digest: Digest,
    /// When the tree was made.
    pub sorted_at: Timestamp,
}

/// Trees of one spool that were made before `before` and are not durable, oldest first.
pub async fn unsealed(
    tx: &mut Tx<'_>,
    home: SpoolId,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<Unsealed>, DbError> {
    let text = "
        SELECT id, receipt_id, path, stale_path, archive, digest, sorted_at FROM delivery
        WHERE home = $1 AND sealed_at IS NULL AND path IS NOT NULL AND sorted_at <= $2 ORDER BY sorted_at LIMIT $3";
    Ok(sql!(tx, query_as(text, home, before, limit).fetch_all)?)
}

/// Durable trees of one spool whose held predecessor was not removed because of a crash.
pub async fn sealed_with_stale_path(tx: &mut Tx<'_>, home: SpoolId) -> Result<Vec<Unsealed>, DbError> {
    let text = "
        SELECT id, receipt_id, path, stale_path, archive, digest, sorted_at FROM delivery
        WHERE home = $1 AND stale_path IS NOT NULL AND sealed_at IS NOT NULL AND path IS NOT NULL AND sorted_at IS NOT NULL";
    Ok(sql!(tx, query_as(text, home).fetch_all)?)
}

/// Whether anything was accepted under a key.
pub async fn knows_key(tx: &mut Tx<'_>, key: &[u8; 32]) -> Result<bool, DbError> {
    let text = "SELECT count(*) FROM ingest_key WHERE key = $1";
    let known: i64 = sql!(tx, query_scalar(text, &key[..]).fetch_one)?;
    Ok(known > 0)
}

/// Mails of one spool whose `sort` is held and that have no tree, oldest first.
pub async fn held_without_tree(
    tx: &mut Tx<'_>,
    home: SpoolId,
    limit: i64,
) -> Result<Vec<DeliveryId>, DbError> {
    let text = "
        SELECT d.id FROM delivery d WHERE d.home = $1 AND d.sealed_at IS NULL AND d.sorted_at IS NULL
          AND EXISTS (SELECT 1 FROM job j WHERE j.delivery_id = d.id AND j.lane = 3)
        ORDER BY d.received_at LIMIT $2";
    Ok(sql!(tx, query_scalar(text, home, limit).fetch_all)?)
}
