//! Daily partitions of Postgres: created ahead of time, dropped whole.
//!
//! Partition `t_20260131` of table `t` holds that day, UTC. There is no DEFAULT partition, so a missing day is an error
//! of kind [`MissingPartition`](super::DbErrorKind::MissingPartition): call [`make`] and repeat.

use super::DbError;
use crate::ids::Timestamp;
use jiff::civil::Date;
use jiff::{Span, tz::TimeZone};
use sqlx::{AssertSqlSafe, Executor, PgConnection};

const NAME: &str = "%Y%m%d";
/// First and last day that [`make`] creates, counted from today.
const AHEAD: std::ops::RangeInclusive<i64> = -1..=7;
/// Advisory lock around [`make`]: two processes creating the same table would fail.
const MAKER_LOCK: i64 = 0x6877_6461_7973;

/// Creates the missing partitions of `tables`, from yesterday to a week ahead.
///
/// A partition is created on its own and then attached, which does not wait for running inserts.
pub async fn make(connection: &mut PgConnection, tables: &[&'static str]) -> Result<(), DbError> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MAKER_LOCK).execute(&mut *connection).await?;
    let now: Timestamp = sqlx::query_scalar("SELECT now()").fetch_one(&mut *connection).await?;
    for table in tables {
        let existing = existing(connection, table).await?;
        for offset in AHEAD {
            let day = date(now).saturating_add(Span::new().days(offset));
            let name = name(table, day);
            if !existing.contains(&name) {
                let next = day.saturating_add(Span::new().days(1));
                let text = format!(
                    "CREATE TABLE {name} (LIKE {table} INCLUDING ALL);
                     ALTER TABLE {table} ATTACH PARTITION {name}
                     FOR VALUES FROM ('{day} 00:00+00') TO ('{next} 00:00+00')"
                );
                connection.execute(sqlx::raw_sql(AssertSqlSafe(text))).await?;
            }
        }
    }
    Ok(())
}

/// Drops the partitions of `table` for days before that of `before`, and returns how many.
///
/// # Errors
/// [`Corrupt`](super::DbErrorKind::Corrupt) where a partition has a name that this program would not give.
pub async fn drop_before(
    connection: &mut PgConnection,
    table: &'static str,
    before: Timestamp,
) -> Result<u64, DbError> {
    let first_kept = name(table, date(before));
    let mut dropped = 0;
    for day in existing(connection, table).await?.into_iter().filter(|day| *day < first_kept) {
        if !day.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(DbError::corrupt(format!("{day:?} is not a partition of ours")));
        }
        connection.execute(sqlx::raw_sql(AssertSqlSafe(format!("DROP TABLE {day}")))).await?;
        dropped += 1;
    }
    Ok(dropped)
}

async fn existing(connection: &mut PgConnection, table: &'static str) -> Result<Vec<String>, DbError> {
    let text = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = $1::regclass ORDER BY 1";
    Ok(sqlx::query_scalar(text).bind(table).fetch_all(connection).await?)
}

fn date(at: Timestamp) -> Date {
    at.to_jiff().to_zoned(TimeZone::UTC).date()
}

fn name(table: &str, day: Date) -> String {
    format!("{table}_{}", day.strftime(NAME))
}
