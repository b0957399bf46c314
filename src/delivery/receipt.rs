//! Receipts: the state of an accepted thing, for everybody who has the id.

use super::store;
use crate::ids::{ReceiptId, Timestamp};
use crate::infra::db::{Db, DbError, DbErrorKind, View};
use crate::job::Ended;
use serde::Serialize;

/// State of an accepted thing: the worst of its jobs', best first. The store computes the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptState {
    /// All of its jobs succeeded.
    Completed,
    /// A job was cancelled or discarded.
    Cancelled,
    /// A job has not ended.
    Working,
    /// A job waits for an operator.
    Held,
    /// A job failed for good.
    Failed,
}

/// A receipt: only state and times, because everybody who has the id may read it.
#[derive(Debug, Clone, Serialize)]
pub struct ReceiptView {
    /// Its id.
    pub id: ReceiptId,
    /// Its state.
    pub state: ReceiptState,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The same key had been used for something else.
    pub key_reused: bool,
    /// When the last of its jobs ended; absent while one has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// Nothing goes on by itself: all of its jobs have ended or wait for an operator.
    #[serde(skip)]
    pub is_settled: bool,
}

impl ReceiptState {
    /// Every state, best first: the index is the number that the store computes.
    pub const ALL: [Self; 5] = [Self::Completed, Self::Cancelled, Self::Working, Self::Held, Self::Failed];

    /// The state of a receipt whose job ended like this.
    #[must_use]
    pub const fn of_end(end: Ended) -> Self {
        match end {
            Ended::Completed => Self::Completed,
            Ended::Cancelled | Ended::Discarded => Self::Cancelled,
            Ended::Failed => Self::Failed,
        }
    }

    fn of_number(number: i32) -> Result<Self, DbError> {
        let found = usize::try_from(number).ok().and_then(|place| Self::ALL.get(place)).copied();
        found.ok_or_else(|| {
            DbError::new(DbErrorKind::Corrupt, format!("{number} is not a state of a receipt"))
        })
    }
}

impl ReceiptView {
    /// Looks a receipt up; `None` if the store has none (a spool may have it: see the mail door).
    pub async fn find(db: &Db, id: ReceiptId) -> Result<Option<Self>, DbError> {
        let found = store::receipt_facts(&mut db.reader(View::State).await?.tx(), id).await?;
        let Some(facts) = found else { return Ok(None) };
        let of_jobs = facts.worst_state.map(ReceiptState::of_number).transpose()?;
        let of_gone = facts.worst_outcome.and_then(Ended::from_code).map(ReceiptState::of_end);
        Ok(Some(Self {
            id,
            state: of_jobs.max(of_gone).unwrap_or(ReceiptState::Completed),
            accepted_at: facts.accepted_at,
            key_reused: facts.key_reused,
            finished_at: facts.finished_at.filter(|_| !facts.is_live),
            is_settled: !facts.is_working,
        }))
    }
}
