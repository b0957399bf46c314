//! Receipts: what whoever holds the id may ask.

use super::store;
use crate::ids::{ReceiptId, Scope, Timestamp};
use crate::infra::db::{Db, DbError, View};
use crate::job::{self, Ended, State};
use serde::Serialize;

/// State of an accepted thing: the worst of its jobs'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptState {
    /// Everything it led to is done.
    Completed,
    /// Something of it was called off or need not be done.
    Cancelled,
    /// It is on its way.
    Working,
    /// Something of it waits for an operator.
    Held,
    /// Something of it could not be done.
    Failed,
}

/// A receipt: state and times, nothing else, for it is open to whoever holds the id.
#[derive(Debug, Clone, Serialize)]
pub struct ReceiptView {
    /// Which.
    pub id: ReceiptId,
    /// Where it stands.
    pub state: ReceiptState,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The same key had been used with other bytes.
    pub key_reused: bool,
    /// When the last of its jobs ended; absent while one has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
}

impl ReceiptState {
    const fn of(state: State) -> Self {
        match state {
            State::Completed => Self::Completed,
            State::Cancelled | State::Discarded => Self::Cancelled,
            State::Held => Self::Held,
            State::Failed => Self::Failed,
            State::Available
            | State::Running
            | State::Orphaned
            | State::Scheduled
            | State::Retryable
            | State::Waiting => Self::Working,
        }
    }
}

impl ReceiptView {
    /// Looks a receipt up; `None` when the store knows none (a spool may: see the mail door).
    pub async fn find(db: &Db, id: ReceiptId) -> Result<Option<Self>, DbError> {
        let mut state = db.reader(View::State).await?;
        let Some(facts) = store::receipt_facts(&mut state.tx(), id).await? else { return Ok(None) };
        let jobs = job::store::of_receipt(&Scope::All, &mut state.tx(), id).await?;
        drop(state);
        // A retried job's end counts no more once its repetition is there.
        let repeated: Vec<_> = jobs.iter().filter_map(|job| job.retry_of).collect();
        let counting: Vec<_> = jobs.iter().filter(|job| !repeated.contains(&job.id)).collect();
        let gone =
            facts.worst_outcome.and_then(Ended::from_code).map(|end| ReceiptState::of(State::of_end(end)));
        let state = counting
            .iter()
            .map(|job| ReceiptState::of(job.state))
            .chain(gone)
            .max()
            .unwrap_or(ReceiptState::Completed);
        let ended = counting.iter().all(|job| job.state.is_final());
        let finished_at = counting.iter().filter_map(|job| job.finished_at).max().filter(|_| ended);
        Ok(Some(Self {
            id,
            state,
            accepted_at: facts.accepted_at,
            key_reused: facts.key_reused,
            finished_at,
        }))
    }
}
