//! Changes to a delivery after it was accepted. Each is one row by its key, in text that both stores understand.

use crate::delivery::finish::Sorted;
use crate::ids::{Coordinates, DeliveryId, JobId, LeaseToken, Timestamp};
use crate::infra::db::{DbError, DbErrorKind, Tx};
use crate::sql;
use sqlx::types::Json;
use sqlx::{PgConnection, SqliteConnection};

/// The store's clock: what both call now.
async fn now(tx: &mut Tx<'_>) -> Result<Timestamp, DbError> {
    match tx {
        Tx::Pg(connection) => Ok(sqlx::query_scalar("SELECT now()").fetch_one(&mut **connection).await?),
        Tx::Lite(_) => Ok(Timestamp::now()),
    }
}

/// Stores the path of a delivery's tree before the tree is made, under the job's lease. A path that is stored already
/// for this place stays; of the candidates the first that no other delivery has is taken. `None`: the lease was lost.
///
/// A path of another place (the mail was held, or the rules changed) becomes the stale one, and a new path is taken.
///
/// # Errors
/// When the store fails; [`Conflict`](DbErrorKind::Conflict) when somebody took the path at this
/// moment: repeat.
pub async fn choose_path(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    lease: (JobId, LeaseToken),
    candidates: &[String; 2],
) -> Result<Option<String>, DbError> {
    if let Some(path) = take_path(tx, id, lease, candidates).await? {
        return Ok(Some(path));
    }
    let fence =
        "SELECT d.path FROM delivery d JOIN job j ON j.id = $2 AND j.lease_token = $3 WHERE d.id = $1";
    let row: Option<Option<String>> =
        sql!(&mut *tx, query_scalar(fence, id, lease.0, lease.1).fetch_optional)?;
    let Some(path) = row else { return Ok(None) };
    if let Some(path) = &path
        && parent(path) == parent(&candidates[0])
    {
        return Ok(Some(path.clone()));
    }
    let taken = "SELECT count(*) FROM delivery WHERE path = $1 AND id <> $2";
    for candidate in candidates {
        let others: i64 = sql!(&mut *tx, query_scalar(taken, candidate, id).fetch_one)?;
        if others == 0 {
            let take = "UPDATE delivery SET stale_path = path, path = $2, sorted_at = NULL, sealed_at = NULL WHERE id = $1";
            sql!(tx, query(take, id, candidate).execute)?;
            return Ok(Some(candidate.clone()));
        }
    }
    Err(DbError::new(DbErrorKind::Content, format!("every path for delivery {id} is taken")))
}

/// The usual case in one statement: no path yet, and the lease holds. `None`: it is not the usual case.
async fn take_path(
    tx: &mut Tx<'_>,
    id: DeliveryId,
    lease: (JobId, LeaseToken),
    [first, second]: &[String; 2],
) -> Result<Option<String>, DbError> {
    let text = "
        UPDATE delivery SET path = CASE WHEN EXISTS (SELECT 1 FROM delivery other WHERE other.path = $2) THEN $3 ELSE $2 END
        WHERE id = $1 AND path IS NULL AND EXISTS (SELECT 1 FROM job WHERE job.id = $4 AND job.lease_token = $5)
        RETURNING path";
    Ok(sql!(tx, query_scalar(text, id, first, second, lease.0, lease.1).fetch_optional)?)
}

/// The place of a tree: its path without the date.
fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// Writes what sorting decided: the trees are made and their manifests linked.
pub async fn set_sorted(tx: &mut Tx<'_>, sorted: &[&Sorted]) -> Result<(), DbError> {
    if sorted.is_empty() {
        return Ok(());
    }
    match tx {
        Tx::Pg(connection) => set_sorted_pg(connection, sorted).await,
        Tx::Lite(connection) => set_sorted_lite(connection, sorted).await,
    }
}

async fn set_sorted_pg(connection: &mut PgConnection, sorted: &[&Sorted]) -> Result<(), DbError> {
    let text = "
        UPDATE delivery SET customer = s.customer, category = s.category, type = s.type, grp = s.grp, rule = s.rule,
               settings = s.settings, captures = s.captures, archive = s.archive, held_reason = s.held_reason, sorted_at = now(),
               sealed_at = NULL
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[], $8::jsonb[], $9::boolean[],
                    $10::text[])
             AS s(id, customer, category, type, grp, rule, settings, captures, archive, held_reason)
        WHERE delivery.id = s.id";
    let mut sorted = sorted.to_vec();
    sorted.sort_unstable_by_key(|sorted| sorted.id);
    fn all<'a, T>(sorted: &[&'a Sorted], of: impl Fn(&'a Sorted) -> T) -> Vec<T> {
        sorted.iter().map(|sorted| of(sorted)).collect()
    }
    let mut query = sqlx::query(text).bind(all(&sorted, |s| s.id.0));
    for at in 0..4 {
        query = query.bind(all(&sorted, |s| s.coordinates.as_ref().map(|c| c.words()[at])));
    }
    query
        .bind(all(&sorted, |s| s.rule.as_deref()))
        .bind(all(&sorted, |s| Json(&s.settings)))
        .bind(all(&sorted, |s| Json(&s.captures)))
        .bind(all(&sorted, |s| s.archive))
        .bind(all(&sorted, |s| s.held_reason.as_deref()))
        .execute(connection)
        .await?;
    Ok(())
}

async fn set_sorted_lite(connection: &mut SqliteConnection, sorted: &[&Sorted]) -> Result<(), DbError> {
    let text = "
        UPDATE delivery SET customer = $2, category = $3, type = $4, grp = $5, rule = $6, settings = $7, captures = $8,
               archive = $9, held_reason = $10, sorted_at = $11, sealed_at = NULL
        WHERE id = $1";
    for sorted in sorted {
        let coordinates = sorted.coordinates.as_ref().map(Coordinates::words);
        let mut query = sqlx::query(text).bind(sorted.id);
        for at in 0..4 {
            query = query.bind(coordinates.map(|words| words[at]));
        }
        query
            .bind(sorted.rule.as_deref())
            .bind(Json(&sorted.settings))
            .bind(Json(&sorted.captures))
            .bind(sorted.archive)
            .bind(sorted.held_reason.as_deref())
            .bind(Timestamp::now())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Notes why a delivery waits for an operator, or that it no longer does.
pub async fn set_held(tx: &mut Tx<'_>, id: DeliveryId, reason: Option<&str>) -> Result<(), DbError> {
    let text = "UPDATE delivery SET held_reason = $2 WHERE id = $1";
    sql!(tx, query(text, id, reason).execute)?;
    Ok(())
}

/// Sets the coordinates by hand; the next run of its `sort` takes them instead of asking the rules.
pub async fn assign(tx: &mut Tx<'_>, id: DeliveryId, coordinates: &Coordinates) -> Result<(), DbError> {
    let text =
        "UPDATE delivery SET customer = $2, category = $3, type = $4, grp = $5, rule = NULL WHERE id = $1";
    let [customer, category, type_, group] = coordinates.words();
    sql!(tx, query(text, id, customer, category, type_, group).execute)?;
    Ok(())
}

/// Forgets what sorting decided, so that the rules are asked again.
pub async fn start_over(tx: &mut Tx<'_>, id: DeliveryId) -> Result<(), DbError> {
    let text = "UPDATE delivery SET customer = NULL, category = NULL, type = NULL, grp = NULL, rule = NULL WHERE id = $1";
    sql!(tx, query(text, id).execute)?;
    Ok(())
}

/// Marks trees as durable: from here on the spool entry is not needed.
pub async fn seal(tx: &mut Tx<'_>, sealed: &[(DeliveryId, String)]) -> Result<(), DbError> {
    match tx {
        Tx::Pg(connection) => {
            let text =
                "UPDATE delivery SET sealed_at = now() FROM unnest($1::uuid[], $2::text[]) AS s(id, path)
                        WHERE delivery.id = s.id AND delivery.path = s.path AND sorted_at IS NOT NULL";
            let mut sealed = sealed.to_vec();
            sealed.sort_unstable();
            let (ids, paths): (Vec<_>, Vec<_>) = sealed.into_iter().map(|(id, path)| (id.0, path)).unzip();
            sqlx::query(text).bind(ids).bind(paths).execute(&mut **connection).await?;
        }
        Tx::Lite(connection) => {
            let text =
                "UPDATE delivery SET sealed_at = $3 WHERE id = $1 AND path = $2 AND sorted_at IS NOT NULL";
            for (id, path) in sealed {
                let query = sqlx::query(text).bind(id).bind(path).bind(Timestamp::now());
                query.execute(&mut **connection).await?;
            }
        }
    }
    Ok(())
}

/// Forgets the held tree of a delivery, after it was removed.
pub async fn take_stale_path(tx: &mut Tx<'_>, id: DeliveryId) -> Result<(), DbError> {
    let text = "UPDATE delivery SET stale_path = NULL WHERE id = $1";
    sql!(tx, query(text, id).execute)?;
    Ok(())
}

/// Registers the customers of the configuration. None is ever removed: deliveries name them.
pub async fn register_customers(tx: &mut Tx<'_>, customers: &[(String, String)]) -> Result<(), DbError> {
    let text = "INSERT INTO customer (name, title, registered_by) VALUES ($1, $2, 'configuration')
                ON CONFLICT (name) DO UPDATE SET title = excluded.title";
    for (name, title) in customers {
        sql!(&mut *tx, query(text, name, title).execute)?;
    }
    Ok(())
}

/// Forgets expired keys whose receipt has no live job, oldest first.
pub async fn expire_keys(tx: &mut Tx<'_>, limit: i64) -> Result<u64, DbError> {
    let at = now(tx).await?;
    let text = "
        DELETE FROM ingest_key WHERE (key, digest) IN (
          SELECT key, digest FROM ingest_key k WHERE expires_at < $1
            AND NOT EXISTS (SELECT 1 FROM job j WHERE j.receipt_id = k.receipt_id)
          ORDER BY expires_at LIMIT $2)";
    Ok(sql!(tx, query(text, at, limit).execute)?)
}

/// The marker that a named volume must show; `None` before its first use.
pub async fn registered_volume(tx: &mut Tx<'_>, name: &str) -> Result<Option<uuid::Uuid>, DbError> {
    let text = "SELECT marker FROM volume WHERE name = $1";
    Ok(sql!(tx, query_scalar(text, name).fetch_optional)?)
}

/// Registers the marker of a volume and returns the one that is registered: the first one wins.
pub async fn register_volume(tx: &mut Tx<'_>, name: &str, marker: uuid::Uuid) -> Result<uuid::Uuid, DbError> {
    let text = "INSERT INTO volume (name, marker) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    sql!(&mut *tx, query(text, name, marker).execute)?;
    let text = "SELECT marker FROM volume WHERE name = $1";
    Ok(sql!(tx, query_scalar(text, name).fetch_one)?)
}

/// Notes on deliveries why they wait for an operator, where a job of theirs was held without saying so: by a crash, by
/// lost leases, or after its last attempt.
pub async fn note_held(tx: &mut Tx<'_>) -> Result<u64, DbError> {
    let text = "
        UPDATE delivery SET held_reason = (SELECT min(j.wait_reason) FROM job j WHERE j.delivery_id = delivery.id AND j.lane = 3)
        WHERE held_reason IS NULL AND id IN (SELECT j.delivery_id FROM job j WHERE j.lane = 3)";
    Ok(sql!(tx, query(text).execute)?)
}

/// Stores the path of the held tree of a mail whose `sort` is held and never made one; `false` if that has changed.
///
/// # Errors
/// When the store fails; [`Conflict`](DbErrorKind::Conflict) when another delivery has the path.
pub async fn choose_held_path(tx: &mut Tx<'_>, id: DeliveryId, path: &str) -> Result<bool, DbError> {
    let text = "
        UPDATE delivery SET stale_path = CASE WHEN path = $2 THEN stale_path ELSE path END, path = $2
        WHERE id = $1 AND sorted_at IS NULL
          AND EXISTS (SELECT 1 FROM job j WHERE j.delivery_id = delivery.id AND j.lane = 3)";
    Ok(sql!(tx, query(text, id, path).execute)? > 0)
}

/// Records that the held tree of such a mail is made; the sealer seals it.
pub async fn set_held_tree(tx: &mut Tx<'_>, id: DeliveryId, path: &str) -> Result<(), DbError> {
    let at = now(tx).await?;
    let text = "
        UPDATE delivery SET sorted_at = $3, archive = false WHERE id = $1 AND path = $2 AND sorted_at IS NULL
          AND EXISTS (SELECT 1 FROM job j WHERE j.delivery_id = delivery.id AND j.lane = 3)";
    sql!(tx, query(text, id, path, at).execute)?;
    Ok(())
}
