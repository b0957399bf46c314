//! Stored ends: what `results.db` knows of a finish until `state.db` knows it too. SQLite only.

use super::Entry;
use super::state::{self, Consequences, Ending, Leaving};
use super::told::TABLE;
use crate::delivery::feature_rows::RowWriters;
use crate::delivery::store;
use crate::ids::{JobId, LeaseToken, Timestamp};
use crate::in_tx;
use crate::infra::db::{Db, DbError, DbErrorKind, Lane, Tx, View};
use crate::job::store::{End, PutBack};
use crate::job::{Ended, HoldReason};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};

/// The end of a job whose rows are committed, in the form that is stored.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stored {
    job: JobId,
    token: LeaseToken,
    end: Option<Ended>,
    held: Option<String>,
    /// Deadline of a wait.
    #[serde(default)]
    until: Option<Timestamp>,
    /// Last error; of a hold its details, of a wait its reason.
    error: Option<String>,
    report: Option<serde_json::Value>,
    consequences: Consequences,
}

impl Stored {
    /// The end of `ending`, with its part of `entries`.
    pub fn of(ending: &Ending, entries: &[Entry]) -> Self {
        let mut consequences = ending.consequences();
        let mine = entries.iter().filter(|(job, _)| *job == ending.job());
        consequences.entries.extend(mine.map(|(_, entry)| entry.clone()));
        let leaving = ending.leaving();
        let (job, token) = ending.lease();
        let bare =
            Self { job, token, end: None, held: None, until: None, error: None, report: None, consequences };
        match leaving {
            Leaving::Ends(End { end, error, report, .. }) => Self { end: Some(end), error, report, ..bare },
            Leaving::PutBack(_, _, PutBack::Wait { until, reason }, _) => {
                Self { until: Some(until), error: Some(reason), ..bare }
            }
            Leaving::PutBack(_, _, PutBack::Hold { reason, detail }, report) => {
                Self { held: Some(reason.word().to_owned()), error: Some(detail), report, ..bare }
            }
            Leaving::PutBack(..) => bare,
        }
    }

    fn leaving(&self) -> Leaving {
        let &Self { job: id, token, .. } = self;
        let error = self.error.clone();
        let how = match (self.end, self.until) {
            (Some(end), _) => {
                return Leaving::Ends(End { id, token, end, error, report: self.report.clone() });
            }
            (None, Some(until)) => PutBack::Wait { until, reason: error.unwrap_or_default() },
            (None, None) => {
                let reason = self.held.as_deref().and_then(|word| word.parse().ok());
                let reason = reason.unwrap_or(HoldReason::Operator);
                PutBack::Hold { reason, detail: error.unwrap_or_default() }
            }
        };
        Leaving::PutBack(id, token, how, self.report.clone())
    }
}

/// Stored ends that `state.db` knows by now: dropped with the next commit of `results.db`, or at start.
#[derive(Debug, Default)]
pub struct Committed(Mutex<Vec<JobId>>);

impl Committed {
    pub fn add(&self, jobs: &[JobId]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(jobs);
    }

    pub fn take(&self) -> Vec<JobId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub async fn insert(tx: &mut Tx<'_>, ends: &[Stored]) -> Result<(), DbError> {
    let encode = |end: &Stored| Ok((end.job, serde_json::to_vec(end)?));
    let ends: Result<Vec<_>, serde_json::Error> = ends.iter().map(encode).collect();
    store::insert_stored_ends(tx, &ends.map_err(|e| DbError::new(DbErrorKind::Content, e))?).await
}

/// The entries of published rows in stored ends that `state.db` never got, each with its job. The rows are there, so the next run
/// of such a job finds nothing new in them: their entries go with its end.
pub async fn untold(tx: &mut Tx<'_>, jobs: &[JobId]) -> Result<Vec<Entry>, DbError> {
    let mut entries = Vec::new();
    for body in store::stored_ends_of(tx, jobs).await? {
        let stored: Stored = serde_json::from_slice(&body).map_err(DbError::corrupt)?;
        // Others are events of the run, and the next one has its own.
        let of_rows =
            stored.consequences.entries.into_iter().filter(|entry| entry.headers.contains_key(TABLE));
        entries.extend(of_rows.map(|entry| (stored.job, entry)));
    }
    Ok(entries)
}

/// Applies every stored end whose job is still live under the same token, then drops them all.
pub async fn recover(db: &Db, writers: &RowWriters) -> Result<usize, DbError> {
    if db.is_pg() {
        return Ok(0);
    }
    let bodies = store::stored_ends(&mut db.reader(View::Results).await?.tx()).await?;
    let mut applied = 0;
    let mut seen = Vec::new();
    for (job, body) in bodies {
        let stored: Stored = serde_json::from_slice(&body)
            .map_err(|e| DbError::new(DbErrorKind::Corrupt, format!("stored end of job {job}: {e}")))?;
        let writers = writers.clone();
        match in_tx!(db, Lane::State, tx => apply(tx, &writers, stored)).await {
            Ok(was_live) => applied += usize::from(was_live),
            Err(error) if error.is_temporary() => return Err(error),
            // Nothing of it was written, so the job runs again, and its next load replaces these rows.
            Err(error) => {
                tracing::error!(job_id = %job, %error, "the stored end of a job cannot be applied; the job runs again")
            }
        }
        seen.push(job);
    }
    in_tx!(db, Lane::Results, tx => store::remove_stored_ends(tx, &seen)).await?;
    Ok(applied)
}

/// `false`: the job is no longer live under that token.
async fn apply(tx: &mut Tx<'_>, writers: &RowWriters, stored: Stored) -> Result<bool, DbError> {
    let adopted = stored.consequences.delivery.as_ref().and_then(|created| created.adopted());
    if let Some(delivery) = adopted {
        crate::job::store::name_delivery(tx, (stored.job, stored.token), delivery).await?;
    }
    let fenced = state::leave(tx, vec![stored.leaving()]).await?;
    if fenced.won.is_empty() {
        return Ok(false);
    }
    state::follow(tx, writers, &fenced, vec![stored.consequences], Vec::new()).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 0.1.0 stored it, before runs could create deliveries, write rows of features or wait.
    const OLD: &str = r#"{"job":7,"token":"0190c1f0-0000-7000-8000-000000000001","end":"completed","held":null,"error":null,
        "report":{"module":"hydrastor/alert"},"consequences":{"sorted":null,"children":[{"queue":3,"kind":"parse",
        "priority":"normal","delivery_id":null,"receipt_id":null,"parent_id":7,"retry_of":null,"signals":null,
        "max_attempts":5,"delay":{"secs":0,"nanos":0},"args":{}}],"notes":[],"entries":[]}}"#;

    #[test]
    fn an_end_that_an_older_program_stored_is_read() {
        let stored: Stored = serde_json::from_str(OLD).unwrap();
        assert!(matches!(stored.leaving(), Leaving::Ends(End { id: JobId(7), end: Ended::Completed, .. })));
        assert_eq!(stored.consequences.children[0].queue.id, 3);
        assert!(stored.consequences.owner.is_none() && stored.consequences.rows.is_empty());
    }
}
