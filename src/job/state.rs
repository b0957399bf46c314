//! States. The store keeps lane and lease; the state follows from them and is never stored.

use crate::ids::Timestamp;
use serde::{Deserialize, Serialize};

/// The part of the table that a live job is in. Changing lanes is rare; claiming is not, and changes no lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Can be claimed, or is running.
    Fetch,
    /// Becomes claimable at `run_at`.
    Timed,
    /// Waits for a signal; `run_at` is its deadline.
    Waiting,
    /// Waits for an operator.
    Held,
}

impl Lane {
    /// The number in the store.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }
}

/// How a job ended, best first. The number is what the history holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It succeeded.
    Completed,
    /// It failed for good.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// An operator decided that it is not needed.
    Discarded,
}

impl Ended {
    const ALL: [Self; 4] = [Self::Completed, Self::Failed, Self::Cancelled, Self::Discarded];

    /// The number in the history.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// The end behind a final state.
    #[must_use]
    pub fn of_state(state: State) -> Option<Self> {
        Self::ALL.into_iter().find(|&end| State::of_end(end) == state)
    }

    /// The end of a number; `None` if this version does not know it.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|end| end.code() == code)
    }
}

words! {
    /// The state of a job, as operators see it, in the order an item usually passes them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
    #[schema(as = JobState)]
    #[serde(rename_all = "snake_case")]
    pub enum State {
        /// Ready to be claimed.
        Available = "available",
        /// A run holds its lease.
        Running = "running",
        /// Its lease expired; it can be claimed again.
        Orphaned = "orphaned",
        /// Due later, and has not failed.
        Scheduled = "scheduled",
        /// Due later, after an error.
        Retryable = "retryable",
        /// Waits for a signal.
        Waiting = "waiting",
        /// Waits for an operator.
        Held = "held",
        /// Succeeded.
        Completed = "completed",
        /// Failed for good.
        Failed = "failed",
        /// Cancelled.
        Cancelled = "cancelled",
        /// An operator decided that it is not needed.
        Discarded = "discarded",
    }
}

/// The columns that decide the state of a row.
#[derive(Debug, sqlx::FromRow)]
pub struct Facts {
    /// Lane number; `None` in the history.
    pub lane: Option<i16>,
    /// End of the lease, if there is one.
    pub lease_until: Option<Timestamp>,
    /// Last error of a run, if one has failed.
    pub last_error: Option<String>,
    /// Number of its end; `None` while it is live.
    pub outcome: Option<i16>,
    /// Time of the read, by the clock of the store.
    pub now: Timestamp,
}

impl TryFrom<Facts> for State {
    type Error = String;

    fn try_from(facts: Facts) -> Result<Self, String> {
        if let Some(code) = facts.outcome {
            let end = Ended::from_code(code);
            return end
                .map(Self::of_end)
                .ok_or_else(|| format!("outcome {code} is not known to this version"));
        }
        Ok(match (facts.lane.unwrap_or(0), facts.lease_until) {
            (0, None) => Self::Available,
            (0, Some(until)) if until >= facts.now => Self::Running,
            (0, Some(_)) => Self::Orphaned,
            (1, _) if facts.last_error.is_some() => Self::Retryable,
            (1, _) => Self::Scheduled,
            (2, _) => Self::Waiting,
            _ => Self::Held,
        })
    }
}

impl State {
    /// State of a finished row.
    #[must_use]
    pub const fn of_end(end: Ended) -> Self {
        match end {
            Ended::Completed => Self::Completed,
            Ended::Failed => Self::Failed,
            Ended::Cancelled => Self::Cancelled,
            Ended::Discarded => Self::Discarded,
        }
    }

    /// Whether the job is in the history.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Discarded)
    }

    /// Whether nothing happens any more without an operator.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        self.is_final() || matches!(self, Self::Held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lane_lease_and_error_decide_the_state() {
        let (past, now, future) = (Some(Timestamp(1)), Timestamp(2), Some(Timestamp(3)));
        let table = [
            (0, None, false, State::Available),
            (0, None, true, State::Available),
            (0, future, false, State::Running),
            (0, past, false, State::Orphaned),
            (1, None, false, State::Scheduled),
            (1, None, true, State::Retryable),
            (2, None, false, State::Waiting),
            (3, None, true, State::Held),
        ];
        for (lane, lease_until, failed, expected) in table {
            let (lane, last_error) = (Some(lane), failed.then(String::new));
            let facts = Facts { lane, lease_until, last_error, outcome: None, now };
            assert_eq!(State::try_from(facts), Ok(expected), "lane {lane:?}");
        }
        for state in State::ALL {
            assert_eq!(state.word().parse(), Ok(state));
        }
    }
}
