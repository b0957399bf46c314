//! How jobs are put back, cancelled, released and discarded: one flow for both stores over the statements of `pg.rs` and
//! `lite.rs`.

use super::{Act, Note, PutBack, note, signal};
use crate::ids::{DeliveryId, JobId, LeaseToken, Timestamp};
use crate::infra::db::{DbError, Tx};
use crate::job::outcome::{Became, HoldReason};
use crate::job::state::{Ended, Lane};
use crate::sql;
use std::time::Duration;

/// What a put-back changes, the same in both stores.
pub(super) struct Change<'a> {
    pub lane: Lane,
    /// Time until the next run; `until` wins.
    pub wait: Duration,
    pub until: Option<Timestamp>,
    pub attempts: i16,
    pub crashes: i16,
    pub reason: Option<&'a str>,
    pub error: Option<&'a str>,
    /// Word in the timeline; `None` if it is not recorded.
    event: Option<&'static str>,
}

impl<'a> Change<'a> {
    fn of(how: &'a PutBack) -> Self {
        let none = Self {
            lane: Lane::Fetch,
            wait: Duration::ZERO,
            until: None,
            attempts: 0,
            crashes: 0,
            reason: None,
            error: None,
            event: None,
        };
        match how {
            PutBack::Retry { wait, error } => Self {
                lane: Lane::Timed,
                wait: *wait,
                attempts: 1,
                error: Some(error),
                event: Some("attempt_failed"),
                ..none
            },
            PutBack::Snooze { wait, reason } => {
                Self { lane: Lane::Timed, wait: *wait, reason: Some(reason), ..none }
            }
            PutBack::Hold { reason, detail } => Self {
                lane: Lane::Held,
                attempts: i16::from(*reason == HoldReason::OutOfAttempts),
                reason: Some(reason.word()),
                error: Some(detail),
                event: Some("held"),
                ..none
            },
            PutBack::Crash { how, .. } => {
                Self { crashes: 1, error: Some(how), event: Some("crashed"), ..none }
            }
            PutBack::Release => none,
            PutBack::Wait { until, reason } => {
                Self { lane: Lane::Waiting, until: Some(*until), reason: Some(reason), ..none }
            }
        }
    }
}

/// The columns of a job that was put back which decide what follows.
#[derive(sqlx::FromRow)]
pub(super) struct Changed {
    delivery_id: Option<DeliveryId>,
    crashes: i16,
    cancel_requested: bool,
}

/// Gives a leased job back, and notes it. A job that was cancelled in the meantime ends as cancelled instead.
pub async fn put_back(
    tx: &mut Tx<'_>,
    id: JobId,
    token: LeaseToken,
    how: &PutBack,
) -> Result<Became, DbError> {
    let change = Change::of(how);
    let Some(changed) = super::change(tx, id, token, &change).await? else { return Ok(Became::Lost) };
    let noted = |event: &'static str, detail: Option<&str>| Note {
        delivery_id: changed.delivery_id,
        job_id: Some(id),
        event: event.into(),
        detail: detail.map(str::to_owned),
        ..Note::default()
    };
    if let Some(event) = change.event {
        note(tx, &[noted(event, change.error)]).await?;
    }
    if changed.cancel_requested {
        end_unleased(tx, id, Ended::Cancelled, None).await?;
        return Ok(Became::Cancelled);
    }
    if let PutBack::Crash { limit, .. } = how
        && u16::try_from(changed.crashes).unwrap_or(0) >= *limit
    {
        let (poisoned, text) =
            (HoldReason::Poisoned.word(), "UPDATE job SET lane = 3, wait_reason = $2 WHERE id = $1");
        sql!(&mut *tx, query(text, id, poisoned).execute)?;
        note(tx, &[noted("held", Some(poisoned))]).await?;
        return Ok(Became::Held);
    }
    Ok(if change.lane == Lane::Held { Became::Held } else { Became::AsMeant })
}

/// Ends a job without a valid lease, and signals the job that it names.
async fn end_unleased(tx: &mut Tx<'_>, id: JobId, end: Ended, why: Option<&str>) -> Result<Act, DbError> {
    let signals = super::move_unleased(tx, id, end, why).await?;
    signal(tx, signals.as_slice()).await?;
    Ok(Act::Done)
}

/// Cancels a job. If it runs, its run is stopped at the next heartbeat; otherwise, or if its lease has expired, it ends at once.
pub async fn cancel(tx: &mut Tx<'_>, id: JobId, why: &str) -> Result<Act, DbError> {
    match super::is_running(tx, id).await? {
        None => Ok(Act::NotFound),
        Some(true) => {
            sql!(tx, query("UPDATE job SET cancel_requested = true WHERE id = $1", id).execute)?;
            Ok(Act::Requested)
        }
        Some(false) => end_unleased(tx, id, Ended::Cancelled, Some(why)).await,
    }
}

/// Why a job that should be held is not; `None` if it is. Locks it.
async fn not_held(tx: &mut Tx<'_>, id: JobId) -> Result<Option<Act>, DbError> {
    let text = match tx {
        Tx::Pg(_) => "SELECT lane FROM job WHERE id = $1 FOR UPDATE",
        Tx::Lite(_) => "SELECT lane FROM job WHERE id = $1",
    };
    let lane: Option<i16> = sql!(tx, query_scalar(text, id).fetch_optional)?;
    Ok(match lane {
        None => Some(Act::NotFound),
        Some(lane) => (lane != Lane::Held.code()).then_some(Act::WrongState),
    })
}

/// Makes a held job available again, and resets its attempts, crashes and losses.
pub async fn release(tx: &mut Tx<'_>, id: JobId) -> Result<Act, DbError> {
    if let Some(refused) = not_held(tx, id).await? {
        return Ok(refused);
    }
    super::reset(tx, id).await?;
    Ok(Act::Done)
}

/// Ends a held job as discarded.
pub async fn discard(tx: &mut Tx<'_>, id: JobId, why: &str) -> Result<Act, DbError> {
    match not_held(tx, id).await? {
        Some(refused) => Ok(refused),
        None => end_unleased(tx, id, Ended::Discarded, Some(why)).await,
    }
}
