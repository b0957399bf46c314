//! All SQL of the table `relay`.

use super::check::Wish;
use super::control::{Fingerprint, Mark};
use crate::ids::{BootId, Digest, JobId, Timestamp};
use crate::infra::db::{DbError, Tx};
use crate::log::{Position, TopicId};
use crate::sql;
use uuid::Uuid;

/// An exported topic.
#[derive(Debug, Clone)]
pub struct Exported {
    /// Its row.
    pub topic: TopicId,
    /// Its name.
    pub name: String,
    /// How far it is copied; `None` before the first commit.
    pub copy: Option<Mark>,
    /// When the copy was made.
    pub moved_at: Option<Timestamp>,
    /// An operator stopped it.
    pub paused: bool,
    /// Where an operator wants it to go on.
    pub wish: Option<Wish>,
    /// Why it does not go on.
    pub trouble: Option<String>,
}

#[derive(sqlx::FromRow)]
struct Row {
    topic: TopicId,
    name: String,
    epoch: i32,
    seq: Position,
    row_number: i64,
    begun_by: Option<Uuid>,
    entry_at: Option<Timestamp>,
    entry_sha256: Option<Vec<u8>>,
    cluster: Option<String>,
    moved_at: Option<Timestamp>,
    paused: bool,
    wish: Option<Position>,
    wish_id: Option<Uuid>,
    trouble: Option<String>,
}

/// Exports these topics and no others. Nothing is kept for one that is exported no more, but how far it was.
pub async fn export(tx: &mut Tx<'_>, topics: &[TopicId]) -> Result<(), DbError> {
    sql!(&mut *tx, query("UPDATE relay SET exported = false WHERE exported").execute)?;
    for topic in topics {
        let text = "INSERT INTO relay (topic) VALUES ($1) ON CONFLICT (topic) DO UPDATE SET exported = true";
        sql!(&mut *tx, query(text, *topic).execute)?;
    }
    Ok(())
}

/// All exported topics, by name.
pub async fn exported(tx: &mut Tx<'_>) -> Result<Vec<Exported>, DbError> {
    let text = "
        SELECT topic, name, epoch, seq, row_number, begun_by, entry_at, entry_sha256, cluster, moved_at, paused, wish, wish_id, trouble
        FROM relay JOIN topic ON topic.id = relay.topic WHERE exported ORDER BY name";
    let rows: Vec<Row> = sql!(tx, query_as(text).fetch_all)?;
    Ok(rows.into_iter().map(Exported::from).collect())
}

impl From<Row> for Exported {
    fn from(row: Row) -> Self {
        let sha256 = row.entry_sha256.and_then(|sha256| <[u8; 32]>::try_from(sha256).ok());
        let entry = row.entry_at.zip(sha256).map(|(at, sha256)| Fingerprint { at, sha256: Digest(sha256) });
        let copy = row.cluster.map(|cluster| Mark {
            position: row.seq,
            row: row.row_number.unsigned_abs(),
            epoch: row.epoch.unsigned_abs(),
            wish: row.begun_by,
            entry,
            cluster,
        });
        let wish = row.wish.zip(row.wish_id).map(|(position, id)| Wish { position, id });
        Self {
            topic: row.topic,
            name: row.name,
            copy,
            moved_at: row.moved_at,
            paused: row.paused,
            wish,
            trouble: row.trouble,
        }
    }
}

/// A step of a topic.
#[derive(Debug, Clone)]
pub struct Moved {
    /// The topic.
    pub topic: TopicId,
    /// Where it was.
    pub before: Mark,
    /// Where it is.
    pub now: Mark,
}

/// Keeps how far a topic is; `false` if the store has it further than it was: somebody else has moved it. A wish
/// that the epoch began with is fulfilled, and there is no trouble any more.
pub async fn moved(tx: &mut Tx<'_>, moved: &Moved) -> Result<bool, DbError> {
    let text = "
        UPDATE relay SET epoch = $2, seq = $3, row_number = $4, begun_by = $5, entry_at = $6, entry_sha256 = $7, cluster = $8,
          moved_at = $9, trouble = NULL,
          wish = CASE WHEN wish_id = $5 THEN NULL ELSE wish END, wish_id = CASE WHEN wish_id = $5 THEN NULL ELSE wish_id END
        WHERE topic = $1 AND (epoch, seq, row_number) <= ($10, $11, $12)";
    let Moved { topic, before, now: mark } = moved;
    let epoch = |mark: &Mark| i32::try_from(mark.epoch).unwrap_or(i32::MAX);
    let row = |mark: &Mark| i64::try_from(mark.row).unwrap_or(i64::MAX);
    let (at, sha256) = (mark.entry.map(|entry| entry.at), mark.entry.map(|entry| entry.sha256.0.to_vec()));
    let (cluster, now) = (mark.cluster.clone(), Timestamp::now());
    let kept = sql!(
        tx,
        query(
            text,
            topic,
            epoch(mark),
            mark.position,
            row(mark),
            mark.wish,
            at,
            sha256,
            cluster,
            now,
            epoch(before),
            before.position,
            row(before)
        )
        .execute
    )?;
    Ok(kept > 0)
}

/// Whose lease it is.
#[derive(Debug, Clone)]
pub struct Holder {
    /// The duty.
    pub duty: String,
    /// The process.
    pub boot: BootId,
}

/// Whether a process still has its lease. Whoever takes it over waits for this transaction.
pub async fn holds(tx: &mut Tx<'_>, holder: &Holder) -> Result<bool, DbError> {
    let Tx::Pg(connection) = tx else { return Ok(true) };
    let text = "SELECT holder = $2 AND expires_at > now() FROM leader WHERE duty = $1 FOR SHARE";
    let query = sqlx::query_scalar(text).bind(&holder.duty).bind(holder.boot);
    Ok(query.fetch_optional(&mut **connection).await?.unwrap_or(false))
}

/// Says why a topic does not go on, or that nothing keeps it any more.
pub async fn trouble(tx: &mut Tx<'_>, topic: TopicId, why: Option<String>) -> Result<(), DbError> {
    let text = "UPDATE relay SET trouble = $2 WHERE topic = $1";
    sql!(tx, query(text, topic, why).execute)?;
    Ok(())
}

/// Pauses a topic, or lets it go on; `false` where it is not exported.
pub async fn pause(tx: &mut Tx<'_>, topic: TopicId, paused: bool) -> Result<bool, DbError> {
    let text = "UPDATE relay SET paused = $2 WHERE topic = $1";
    Ok(sql!(tx, query(text, topic, paused).execute)? > 0)
}

/// Wants a topic to go on after an entry, under a new epoch; `false` where it is not exported.
pub async fn wish(tx: &mut Tx<'_>, topic: TopicId, position: Position, id: Uuid) -> Result<bool, DbError> {
    let text = "UPDATE relay SET wish = $2, wish_id = $3 WHERE topic = $1";
    Ok(sql!(tx, query(text, topic, position, id).execute)? > 0)
}

/// What is not copied yet.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Lag {
    /// Entries, counted up to a limit.
    pub entries: i64,
    /// When the oldest of them was appended.
    pub oldest: Option<Timestamp>,
}

impl Lag {
    /// Age of the oldest entry.
    #[must_use]
    pub fn seconds(&self, now: Timestamp) -> f64 {
        let micros = self.oldest.map_or(0, |oldest| (now.0 - oldest.0).max(0));
        std::time::Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
    }
}

/// What of a topic is behind a position.
pub async fn lag(tx: &mut Tx<'_>, topic: TopicId, after: Position, most: i64) -> Result<Lag, DbError> {
    let text = "
        SELECT (SELECT count(*) FROM (SELECT 1 FROM log WHERE topic = $1 AND seq > $2 ORDER BY seq LIMIT $3) behind) AS entries,
               (SELECT at FROM log WHERE topic = $1 AND seq > $2 ORDER BY seq LIMIT 1) AS oldest";
    Ok(sql!(tx, query_as(text, topic, after, most).fetch_one)?)
}

/// In place of the number of a row: the entry itself is the record.
pub const ENTRY: i64 = -1;
/// In place of the number of a row: entries up to this one were pruned.
pub const GAP: i64 = -2;

/// What is held: a record, or a gap.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct HeldRow {
    /// Its log topic.
    pub topic: TopicId,
    /// Its entry.
    #[sqlx(rename = "seq")]
    pub entry: Position,
    /// Its row in the file that the entry names, or [`ENTRY`] or [`GAP`].
    #[sqlx(rename = "row_number")]
    pub row: i64,
    /// The record; `None` for a gap.
    pub file: Option<String>,
}

/// Whether it is held already.
pub async fn is_held(tx: &mut Tx<'_>, row: &HeldRow) -> Result<bool, DbError> {
    let text = "
        SELECT count(*) FROM relay_held AS held JOIN job ON job.id = held.job_id
        WHERE held.topic = $1 AND held.seq = $2 AND held.row_number = $3";
    let count: i64 = sql!(tx, query_scalar(text, row.topic, row.entry, row.row).fetch_one)?;
    Ok(count > 0)
}

/// Notes the job that it is held by.
pub async fn hold(tx: &mut Tx<'_>, row: &HeldRow, job: JobId) -> Result<(), DbError> {
    let text = "
        INSERT INTO relay_held (topic, seq, row_number, job_id, file) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (topic, seq, row_number) DO UPDATE SET job_id = excluded.job_id, file = excluded.file";
    let file = row.file.clone();
    sql!(tx, query(text, row.topic, row.entry, row.row, job, file).execute)?;
    Ok(())
}

/// What was held by jobs that have ended so long ago that nobody can repeat them.
pub async fn ended(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<HeldRow>, DbError> {
    let text = "
        SELECT topic, seq, row_number, file FROM relay_held AS held
        WHERE NOT EXISTS (SELECT 1 FROM job WHERE job.id = held.job_id)
          AND NOT EXISTS (SELECT 1 FROM job_done WHERE job_done.id = held.job_id) LIMIT $1";
    Ok(sql!(tx, query_as(text, limit).fetch_all)?)
}

/// Forgets what was held. The file is removed already.
pub async fn forget(tx: &mut Tx<'_>, row: &HeldRow) -> Result<(), DbError> {
    let text = "DELETE FROM relay_held WHERE topic = $1 AND seq = $2 AND row_number = $3";
    sql!(tx, query(text, row.topic, row.entry, row.row).execute)?;
    Ok(())
}

/// How many records and gaps of a topic are held.
pub async fn held_count(tx: &mut Tx<'_>, topic: TopicId) -> Result<i64, DbError> {
    let text = "
        SELECT count(*) FROM relay_held AS held JOIN job ON job.id = held.job_id
        WHERE held.topic = $1 AND job.lane = 3";
    Ok(sql!(tx, query_scalar(text, topic).fetch_one)?)
}

/// Host of the process that has a duty now.
pub async fn leader(tx: &mut Tx<'_>, duty: &str) -> Result<Option<String>, DbError> {
    let Tx::Pg(connection) = tx else { return Ok(None) };
    let text = "
        SELECT coalesce(worker.host, leader.holder::text) FROM leader LEFT JOIN worker ON worker.boot = leader.holder
        WHERE duty = $1 AND expires_at > now()";
    Ok(sqlx::query_scalar(text).bind(duty).fetch_optional(&mut **connection).await?)
}
