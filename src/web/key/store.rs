//! All SQL of `api_key`. Keys belong to the installation, so nothing here takes a scope. Callers are the verification and
//! routes with `MayAll<Admin>`.

use super::{Key, NewKey, Scheme};
use crate::ids::{Digest, Grant, Scope, Slug, Timestamp};
use crate::infra::db::{DbError, Tx};
use crate::sql;
use uuid::Uuid;

/// A key that may belong to a value; its hash has to be compared.
#[derive(Debug)]
pub struct Candidate {
    pub key: Key,
    pub hash: String,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: Uuid,
    name: String,
    scheme: String,
    hash: String,
    grants: String,
    customer: Option<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

/// Inserts a key; `false` where its name is taken.
pub async fn insert(
    tx: &mut Tx<'_>,
    key: &NewKey,
    scheme: Scheme,
    hash: &str,
    lookup: &[u8],
) -> Result<bool, DbError> {
    let text = "INSERT INTO api_key (id, name, scheme, hash, lookup, grants, customer, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name) DO NOTHING";
    let (id, scheme, customer) = (Uuid::now_v7(), scheme.word(), key.scope.customer());
    let grants = key.grants.iter().map(|grant| grant.word()).collect::<Vec<_>>().join(",");
    let insert =
        sql!(tx, query(text, id, &key.name, scheme, hash, lookup, grants, customer, key.expires_at).execute);
    Ok(insert? == 1)
}

/// The unrevoked keys with one of these lookups.
pub async fn candidates(
    tx: &mut Tx<'_>,
    digest: Digest,
    imported: Vec<u8>,
) -> Result<Vec<Candidate>, DbError> {
    let sql =
        "SELECT id, name, scheme, hash, grants, customer, created_at, expires_at, last_used_at, revoked_at
               FROM api_key WHERE lookup IN ($1, $2) AND revoked_at IS NULL";
    let rows: Vec<KeyRow> = sql!(tx, query_as(sql, digest, imported).fetch_all)?;
    rows.into_iter().map(|row| Ok(Candidate { hash: row.hash.clone(), key: row.try_into()? })).collect()
}

/// Up to `limit` keys after name `after`, in order of names, revoked ones included.
pub async fn list(tx: &mut Tx<'_>, after: Option<&str>, limit: i64) -> Result<Vec<Key>, DbError> {
    let sql =
        "SELECT id, name, scheme, hash, grants, customer, created_at, expires_at, last_used_at, revoked_at
               FROM api_key WHERE CAST($1 AS text) IS NULL OR name > $1 ORDER BY name LIMIT $2";
    let rows: Vec<KeyRow> = sql!(tx, query_as(sql, after, limit).fetch_all)?;
    rows.into_iter().map(Key::try_from).collect()
}

/// Revokes a key; its id, or `None` if there is no unrevoked key of that name.
pub async fn revoke(tx: &mut Tx<'_>, name: &str, now: Timestamp) -> Result<Option<Uuid>, DbError> {
    let sql = "UPDATE api_key SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL RETURNING id";
    Ok(sql!(tx, query_scalar(sql, name, now).fetch_optional)?)
}

/// Stores when keys were last used; `used` is sorted by id, to lock rows in one order.
pub async fn touch(tx: &mut Tx<'_>, used: &[(Uuid, Timestamp)]) -> Result<(), DbError> {
    let sql = "UPDATE api_key SET last_used_at = $2
               WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
    for (id, at) in used {
        sql!(tx, query(sql, id, at).execute)?;
    }
    Ok(())
}

impl TryFrom<KeyRow> for Key {
    type Error = DbError;

    fn try_from(row: KeyRow) -> Result<Self, DbError> {
        let corrupt = |what: String| DbError::corrupt(format!("key {}: {what}", row.name));
        let grants: Result<Vec<Grant>, _> =
            row.grants.split(',').filter(|word| !word.is_empty()).map(str::parse).collect();
        let scope = match row.customer {
            None => Scope::All,
            Some(customer) => Scope::Customer(Slug::try_from(customer).map_err(corrupt)?),
        };
        Ok(Self {
            id: row.id,
            scheme: row.scheme.parse().map_err(corrupt)?,
            grants: grants.map_err(corrupt)?,
            scope,
            name: row.name,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
        })
    }
}
