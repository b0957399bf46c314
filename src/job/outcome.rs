//! What a run returns: a value, never a side effect.

use super::state::Ended;
use super::store::{Job, PutBack};
use crate::ids::Timestamp;
use std::time::Duration;

/// The result of one run. `W` is what the run wants to write; it is written in the commit that ends the run.
#[derive(Debug)]
pub enum Outcome<W> {
    /// The job is done.
    Done(W),
    /// The job can never succeed. It ends as failed; `work` is written all the same (findings, a load record).
    Failed {
        /// Why, as a lower-case fragment.
        error: String,
        /// What to write.
        work: Option<W>,
    },
    /// The run failed, and another one may succeed. Costs an attempt.
    Retry {
        /// What went wrong.
        error: String,
    },
    /// Something the run needs is unavailable. Costs no attempt.
    Snooze {
        /// Time until the next run.
        after: Duration,
        /// What is unavailable.
        reason: String,
    },
    /// The job waits for a signal, at most until a deadline. Costs no attempt. A signal received since the last wait, even
    /// before this run, ends the wait at once.
    Wait {
        /// The deadline, by the clock of the store.
        until: Timestamp,
        /// What it waits for.
        reason: String,
        /// What to write.
        work: Option<W>,
    },
    /// An operator must decide.
    Hold {
        /// Why.
        reason: HoldReason,
        /// The details.
        detail: String,
        /// What to write.
        work: Option<W>,
    },
    /// The module process died on the job. After the second crash the job is held as poisoned.
    Crashed {
        /// How the process ended.
        how: String,
    },
    /// The job was cancelled while it ran.
    Cancelled,
    /// This process is shutting down; the job is put back as if it had never been claimed.
    Released,
}

/// What happened to a job at the end of its run, as the store knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// Nothing: the lease was lost, and the job belongs to another run.
    Lost,
    /// It was cancelled in the meantime and has ended as cancelled.
    Cancelled,
    /// It is held for an operator.
    Held,
    /// What its run asked for: it has ended, or will run again.
    AsMeant,
}

impl<W> Outcome<W> {
    /// The stable word, in metrics.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Failed { .. } => "failed",
            Self::Retry { .. } => "retry",
            Self::Snooze { .. } => "snooze",
            Self::Wait { .. } => "wait",
            Self::Hold { .. } => "held",
            Self::Crashed { .. } => "crashed",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
        }
    }
}

/// A run that is over, and what to commit with its end.
#[derive(Debug)]
pub struct Finished<W> {
    /// The job with its token.
    pub job: Job,
    /// What to write.
    pub work: Option<W>,
    /// How the job leaves its run.
    pub end: FinishedEnd,
}

/// How a job leaves a run that may write something.
#[derive(Debug, Clone)]
pub enum FinishedEnd {
    /// It has ended, with an error unless it completed.
    Ended(Ended, Option<String>),
    /// It is held, or waits for a signal.
    PutBack(PutBack),
}

words! {
    /// Why a job waits for an operator. Words are stable: they appear in paths, filters and metrics.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum HoldReason {
        /// No rule gave it coordinates.
        NoRule = "no_rule",
        /// The recipient belongs to no customer.
        UnknownCustomer = "unknown_customer",
        /// The fields that decide routing are malformed: two From, two Subject.
        Malformed = "malformed",
        /// It was cut short on its way, and the rest never arrived.
        CutShort = "cut_short",
        /// No module reads this category and type.
        NoModule = "no_module",
        /// Its module process crashed twice.
        Poisoned = "poisoned",
        /// Its lease expired ten times for no known reason.
        Lost = "lost",
        /// Its last allowed attempt failed.
        OutOfAttempts = "out_of_attempts",
        /// An operator stopped it.
        Operator = "operator",
        /// It is one piece of a larger mail.
        PartialMessage = "partial_message",
        /// Nothing of it could be read, and something of it is encrypted.
        Encrypted = "encrypted",
        /// There is nothing in it.
        Empty = "empty",
        /// It says that another mail could not be delivered.
        Bounce = "bounce",
        /// Its module could read nothing of it.
        Rejected = "rejected",
        /// Kafka refuses the record, alone and for good.
        Refused = "refused",
        /// Entries of the log were pruned before they were copied to Kafka.
        Gap = "gap",
    }
}

impl HoldReason {
    /// Whether the input itself is the reason, so that another run would end in the same way. Such jobs are discarded after
    /// `held.keep`, and they count in no budget that closes a door.
    #[must_use]
    pub const fn is_rejection(self) -> bool {
        matches!(self, Self::PartialMessage | Self::Encrypted | Self::Empty | Self::Bounce | Self::Rejected)
    }
}
