//! Table `stored_end` of `results.db`. Postgres has none: there rows and end are one commit.

use crate::ids::JobId;
use crate::infra::db::{DbError, Tx};

/// Stores encoded ends; one that is there already is replaced.
pub async fn insert_stored_ends(tx: &mut Tx<'_>, ends: &[(JobId, Vec<u8>)]) -> Result<(), DbError> {
    let Tx::Lite(connection) = tx else { return Ok(()) };
    for (job, body) in ends {
        let text = "INSERT INTO stored_end (job_id, body) VALUES ($1, $2)
                    ON CONFLICT (job_id) DO UPDATE SET body = excluded.body";
        sqlx::query(text).bind(job).bind(body).execute(&mut **connection).await?;
    }
    Ok(())
}

/// Drops stored ends.
pub async fn remove_stored_ends(tx: &mut Tx<'_>, jobs: &[JobId]) -> Result<(), DbError> {
    let Tx::Lite(connection) = tx else { return Ok(()) };
    let text = "DELETE FROM stored_end WHERE job_id IN (SELECT value FROM json_each($1))";
    sqlx::query(text).bind(serde_json::json!(jobs).to_string()).execute(&mut **connection).await?;
    Ok(())
}

/// The stored ends of these jobs.
pub async fn stored_ends_of(tx: &mut Tx<'_>, jobs: &[JobId]) -> Result<Vec<Vec<u8>>, DbError> {
    let Tx::Lite(connection) = tx else { return Ok(Vec::new()) };
    let text =
        "SELECT body FROM stored_end WHERE job_id IN (SELECT value FROM json_each($1)) ORDER BY job_id";
    let jobs = serde_json::json!(jobs).to_string();
    Ok(sqlx::query_scalar(text).bind(jobs).fetch_all(&mut **connection).await?)
}

/// Every stored end, in the order of jobs.
pub async fn stored_ends(tx: &mut Tx<'_>) -> Result<Vec<(JobId, Vec<u8>)>, DbError> {
    let Tx::Lite(connection) = tx else { return Ok(Vec::new()) };
    let text = "SELECT job_id, body FROM stored_end ORDER BY job_id";
    Ok(sqlx::query_as(text).fetch_all(&mut **connection).await?)
}
