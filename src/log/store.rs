//! All SQL of the tables `topic` and `log`.

use super::file::names_file;
use super::position::Position;
use super::topic::TopicId;
use crate::ids::{Timestamp, hex};
use crate::infra::db::{DbError, Tx, days};
use crate::sql;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::types::Json;
use sqlx::{PgConnection, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// An event for the readers of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its topic.
    pub topic: TopicId,
    /// Entries with the same key stay in order wherever they are copied.
    pub key: Option<Vec<u8>>,
    /// Short facts about the body: its type, its message id.
    pub headers: BTreeMap<String, String>,
    /// The event itself.
    pub body: Vec<u8>,
}

/// An entry as it was committed.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Stored {
    /// Right after this entry.
    #[sqlx(rename = "seq")]
    pub position: Position,
    /// When it was appended.
    pub at: Timestamp,
    /// See [`Entry::key`].
    pub key: Option<Vec<u8>>,
    /// See [`Entry::headers`].
    #[sqlx(json)]
    pub headers: BTreeMap<String, String>,
    /// See [`Entry::body`].
    pub body: Vec<u8>,
}

/// Entries after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In commit order.
    pub entries: Vec<Stored>,
    /// Where to continue.
    pub next: Position,
    /// Entries after the requested position have been pruned: the reader was too slow.
    pub gap: bool,
}

/// What an entry takes on SQLite besides key, headers and body, with its places in two indexes.
const ENTRY_BYTES: i64 = 64;
/// Postgres: first half of the key of the advisory lock under which a topic is appended to; the second is the topic.
pub const TOPIC_LOCK: i32 = 0x6877_6C67;

const APPEND_PG: &str = "
INSERT INTO log (seq, at, topic, key, headers, body)
SELECT nextval('log_seq'), clock_timestamp(), topic, key, headers, body
FROM (SELECT topic, key, headers, body
      FROM unnest($1::smallint[], $2::bytea[], $3::jsonb[], $4::bytea[]) WITH ORDINALITY AS n(topic, key, headers, body, ord)
      ORDER BY ord) n";

/// As [`APPEND_PG`], where entries name files.
const APPEND_FILES_PG: &str = "
WITH appended AS (
  INSERT INTO log (seq, at, topic, key, headers, body)
  SELECT nextval('log_seq'), clock_timestamp(), topic, key, headers, body
  FROM (SELECT topic, key, headers, body
        FROM unnest($1::smallint[], $2::bytea[], $3::jsonb[], $4::bytea[]) WITH ORDINALITY AS n(topic, key, headers, body, ord)
        ORDER BY ord) n
  RETURNING topic, seq, headers)
INSERT INTO log_file (path, noted_at, topic, seq, len_bytes)
SELECT headers->>'file', now(), topic, seq, (headers->>'bytes')::bigint FROM appended WHERE headers->>'file' IS NOT NULL
ON CONFLICT (path) DO UPDATE SET topic = excluded.topic, seq = excluded.seq, len_bytes = excluded.len_bytes";

const NAME_FILES_LITE: &str = "
INSERT INTO log_file (path, noted_at, topic, seq, len_bytes)
SELECT headers->>'file', at, topic, seq, CAST(headers->>'bytes' AS INTEGER)
FROM log WHERE seq > $1 AND headers->>'file' IS NOT NULL
ON CONFLICT (path) DO UPDATE SET topic = excluded.topic, seq = excluded.seq, len_bytes = excluded.len_bytes";

const APPEND_LITE: &str = "
INSERT INTO log (at, topic, key, headers, body)
SELECT $2, n.value->>'topic', unhex(n.value->>'key'), n.value->>'headers', unhex(n.value->>'body')
FROM json_each($1) n WHERE true ORDER BY n.key";

/// Appends entries, in the order given. Once per transaction, and as its last statement: see the [module](super).
///
/// # Errors
/// [`MissingPartition`](crate::infra::db::DbErrorKind::MissingPartition) where today has none yet.
pub async fn append(tx: &mut Tx<'_>, entries: &[Entry]) -> Result<(), DbError> {
    if entries.is_empty() {
        return Ok(());
    }
    match tx {
        Tx::Pg(connection) => append_pg(connection, entries).await,
        Tx::Lite(connection) => append_lite(connection, entries).await,
    }
}

/// Lets nobody else append to a topic until the transaction ends. What was appended before is committed.
pub async fn lock(tx: &mut Tx<'_>, topic: TopicId) -> Result<(), DbError> {
    match tx {
        Tx::Pg(connection) => lock_pg(connection, &BTreeSet::from([i32::from(topic.0)])).await,
        // There is one writer.
        Tx::Lite(_) => Ok(()),
    }
}

async fn lock_pg(connection: &mut PgConnection, topics: &BTreeSet<i32>) -> Result<(), DbError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1, topic) FROM unnest($2::int[]) AS t(topic)")
        .bind(TOPIC_LOCK)
        .bind(topics.iter().copied().collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn append_pg(connection: &mut PgConnection, entries: &[Entry]) -> Result<(), DbError> {
    let topics = entries.iter().map(|entry| i32::from(entry.topic.0)).collect();
    lock_pg(connection, &topics).await?;
    let text = if entries.iter().any(names_file) { APPEND_FILES_PG } else { APPEND_PG };
    sqlx::query(text)
        .bind(entries.iter().map(|entry| entry.topic.0).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.key.as_deref()).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| Json(&entry.headers)).collect::<Vec<_>>())
        .bind(entries.iter().map(|entry| entry.body.as_slice()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

async fn append_lite(connection: &mut SqliteConnection, entries: &[Entry]) -> Result<(), DbError> {
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| {
            json!({
                "topic": entry.topic.0, "key": entry.key.as_deref().map(hex), "headers": json!(entry.headers).to_string(),
                "body": hex(&entry.body),
            })
        })
        .collect();
    let append = sqlx::query(APPEND_LITE).bind(json!(rows).to_string()).bind(Timestamp::now());
    if !entries.iter().any(names_file) {
        append.execute(connection).await?;
        return Ok(());
    }
    let newest = "SELECT coalesce(max(seq), 0) FROM log";
    let newest: i64 = sqlx::query_scalar(newest).fetch_one(&mut *connection).await?;
    append.execute(&mut *connection).await?;
    sqlx::query(NAME_FILES_LITE).bind(newest).execute(connection).await?;
    Ok(())
}

/// Up to `limit` entries of a topic after a position.
pub async fn read(tx: &mut Tx<'_>, topic: TopicId, after: Position, limit: u32) -> Result<Page, DbError> {
    let text = "
        SELECT seq, at, key, headers, body, (SELECT pruned FROM topic WHERE id = $1) AS pruned
        FROM log WHERE topic = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    let rows: Vec<Row> = sql!(tx, query_as(text, topic, after, i64::from(limit)).fetch_all)?;
    let pruned = match rows.first() {
        Some(row) => row.pruned,
        None => pruned(tx, topic).await?,
    };
    let entries: Vec<_> = rows.into_iter().map(|row| row.entry).collect();
    let next = entries.last().map_or(after.max(pruned), |entry| entry.position);
    Ok(Page { entries, next, gap: after < pruned })
}

/// The entry whose position is `at`; `None` where there is none, or none any more.
pub async fn entry(tx: &mut Tx<'_>, topic: TopicId, at: Position) -> Result<Option<Stored>, DbError> {
    let text = "SELECT seq, at, key, headers, body FROM log WHERE topic = $1 AND seq = $2";
    Ok(sql!(tx, query_as(text, topic, at).fetch_optional)?)
}

/// Positions of a topic: of its newest entry that is still there, and up to which entries have been pruned.
pub async fn ends(tx: &mut Tx<'_>, topic: TopicId) -> Result<(Position, Position), DbError> {
    let text = "SELECT coalesce(max(seq), 0) FROM log WHERE topic = $1";
    let newest: Position = sql!(&mut *tx, query_scalar(text, topic).fetch_one)?;
    Ok((newest, pruned(tx, topic).await?))
}

/// Read together with the rows, or after finding none, so that a prune in between is noticed.
async fn pruned(tx: &mut Tx<'_>, topic: TopicId) -> Result<Position, DbError> {
    let text = "SELECT pruned FROM topic WHERE id = $1";
    Ok(sql!(tx, query_scalar(text, topic).fetch_optional)?.unwrap_or(Position::START))
}

#[derive(sqlx::FromRow)]
struct Row {
    #[sqlx(flatten)]
    entry: Stored,
    pruned: Position,
}

/// All topics: row and name.
pub async fn topics(tx: &mut Tx<'_>) -> Result<Vec<(TopicId, String)>, DbError> {
    let text = "SELECT id, name FROM topic ORDER BY id";
    Ok(sql!(tx, query_as(text).fetch_all)?)
}

pub(super) async fn topic_id(tx: &mut Tx<'_>, name: &str) -> Result<TopicId, DbError> {
    let find = "SELECT id FROM topic WHERE name = $1";
    if let Some(id) = sql!(tx, query_scalar(find, name).fetch_optional)? {
        return Ok(id);
    }
    sql!(tx, query("INSERT INTO topic (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", name).execute)?;
    Ok(sql!(tx, query_scalar(find, name).fetch_one)?)
}

/// How long entries are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// All of them.
    pub keep: Duration,
    /// Those of exported topics that the relay has not copied yet, where there is a relay.
    pub unrelayed: Option<Unrelayed>,
}

/// How long entries are kept that the relay has not copied.
#[derive(Debug, Clone, Copy)]
pub struct Unrelayed {
    /// Older ones are pruned.
    pub keep: Duration,
    /// Those from before are pruned whatever their age: see [`HeldBack::excess`].
    pub excess: Option<Timestamp>,
}

/// What is kept only because the relay has not copied it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldBack {
    /// What it takes, with the files that entries name. On Postgres this is the size of the days that are kept.
    pub bytes: u64,
    /// Without what is from before this time it takes no more than it may; `None` where it does not anyway.
    pub excess: Option<Timestamp>,
}

/// Deletes entries past their retention: whole days in Postgres, at most `limit` rows in SQLite. Returns how many days or
/// rows; readers that had not read them will see a gap.
pub async fn prune(tx: &mut Tx<'_>, retention: Retention, limit: u32) -> Result<u64, DbError> {
    match tx {
        Tx::Pg(connection) => prune_pg(connection, retention).await,
        Tx::Lite(connection) => prune_lite(connection, retention, limit).await,
    }
}

impl Retention {
    /// Entries older than this are deleted whether they were copied or not.
    fn unrelayed_before(&self, now: Timestamp) -> Timestamp {
        let Some(unrelayed) = self.unrelayed else { return now.before(self.keep) };
        let old = now.before(self.keep.max(unrelayed.keep));
        unrelayed.excess.map_or(old, |excess| excess.max(old).min(now.before(self.keep)))
    }
}

async fn prune_pg(connection: &mut PgConnection, retention: Retention) -> Result<u64, DbError> {
    let now: Timestamp = sqlx::query_scalar("SELECT now()").fetch_one(&mut *connection).await?;
    // A day goes as a whole, so the first entry that was not copied keeps its own.
    let midnight = "
        SELECT date_trunc('day', least($1::timestamptz, greatest($2::timestamptz, coalesce(min(first.at), $1))), 'UTC')
        FROM relay CROSS JOIN LATERAL (
          SELECT at FROM log WHERE topic = relay.topic AND seq > relay.seq ORDER BY seq LIMIT 1) first
        WHERE relay.exported";
    let before: Timestamp = sqlx::query_scalar(midnight)
        .bind(now.before(retention.keep))
        .bind(retention.unrelayed_before(now))
        .fetch_one(&mut *connection)
        .await?;
    let remember = "
        UPDATE topic SET pruned = gone.seq
        FROM (SELECT t.id, (SELECT max(seq) FROM log WHERE log.topic = t.id AND log.at < $1) AS seq FROM topic t) gone
        WHERE topic.id = gone.id AND gone.seq > topic.pruned";
    sqlx::query(remember).bind(before).execute(&mut *connection).await?;
    days::drop_before(connection, "log", before).await
}

async fn prune_lite(
    connection: &mut SqliteConnection,
    retention: Retention,
    limit: u32,
) -> Result<u64, DbError> {
    let text = "
        SELECT seq FROM log WHERE at < $1
          AND (at < $3 OR NOT EXISTS (SELECT 1 FROM relay WHERE relay.topic = log.topic AND relay.seq < log.seq AND relay.exported))
        ORDER BY at, seq LIMIT $2";
    let now = Timestamp::now();
    let old: Vec<i64> = sqlx::query_scalar(text)
        .bind(now.before(retention.keep))
        .bind(limit)
        .bind(retention.unrelayed_before(now))
        .fetch_all(&mut *connection)
        .await?;
    let listed = json!(old).to_string();
    let remember = "
        UPDATE topic SET pruned = max(pruned, gone.seq)
        FROM (SELECT topic, max(seq) AS seq FROM log WHERE seq IN (SELECT value FROM json_each($1)) GROUP BY topic) gone
        WHERE topic.id = gone.topic";
    sqlx::query(remember).bind(&listed).execute(&mut *connection).await?;
    let text = "DELETE FROM log WHERE seq IN (SELECT value FROM json_each($1))";
    Ok(sqlx::query(text).bind(&listed).execute(connection).await?.rows_affected())
}

/// What the relay holds back: entries past `keep` of exported topics that it has not copied. More than `most` bytes are an excess.
///
/// Reads every such entry on SQLite.
pub async fn held_back(tx: &mut Tx<'_>, keep: Duration, most: u64) -> Result<HeldBack, DbError> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let (bytes, excess): (i64, Option<Timestamp>) = match tx {
        Tx::Pg(connection) => {
            let text = "
                WITH cut AS (
                  SELECT date_trunc('day', now() - $1 * interval '1 microsecond', 'UTC') AS midnight),
                first AS (
                  SELECT date_trunc('day', min(first.at), 'UTC') AS midnight
                  FROM relay CROSS JOIN LATERAL (
                    SELECT at FROM log WHERE topic = relay.topic AND seq > relay.seq ORDER BY seq LIMIT 1) first
                  WHERE relay.exported),
                day AS (
                  SELECT to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC' AS midnight,
                         pg_total_relation_size(c.oid) AS bytes
                  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'log'::regclass),
                files AS (
                  SELECT date_trunc('day', log.at, 'UTC') AS midnight, sum(f.len_bytes) AS bytes
                  FROM log_file f JOIN log ON log.topic = f.topic AND log.seq = f.seq GROUP BY 1),
                kept AS (
                  SELECT day.midnight,
                         sum(day.bytes + coalesce(files.bytes, 0)) OVER (ORDER BY day.midnight DESC) AS bytes
                  FROM cut, first, day LEFT JOIN files ON files.midnight = day.midnight
                  WHERE day.midnight < cut.midnight AND day.midnight >= first.midnight)
                SELECT coalesce(max(bytes), 0)::bigint, max(midnight) FILTER (WHERE bytes > $2) + interval '1 day' FROM kept";
            let keep = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
            sqlx::query_as(text).bind(keep).bind(most).fetch_one(&mut **connection).await?
        }
        Tx::Lite(connection) => {
            let text = "
                SELECT coalesce(max(bytes), 0), max(at) FILTER (WHERE bytes > $2) + 1
                FROM (
                  SELECT log.at, sum(length(body) + length(headers) + coalesce(length(key), 0) + $3 + coalesce(f.len_bytes, 0))
                           OVER (ORDER BY log.at DESC, log.seq DESC) AS bytes
                  FROM log JOIN relay ON relay.topic = log.topic AND relay.seq < log.seq AND relay.exported
                  LEFT JOIN log_file f ON f.topic = log.topic AND f.seq = log.seq
                  WHERE log.at < $1)";
            let query = sqlx::query_as(text).bind(Timestamp::now().before(keep)).bind(most);
            query.bind(ENTRY_BYTES).fetch_one(&mut **connection).await?
        }
    };
    Ok(HeldBack { bytes: bytes.unsigned_abs(), excess })
}
