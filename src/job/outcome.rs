//! What a run returns: a value, never a side effect.

use super::store::Job;
use std::time::Duration;

/// The end of one run, as its handler sees it. `W` is what a finished job wants written in its finishing commit.
#[derive(Debug)]
pub enum Outcome<W> {
    /// Done: commit this together with the end of the job.
    Done(W),
    /// Cannot be done, now or ever. The job ends as failed; `W` is written all the same (findings, a load record).
    Failed {
        /// Why, as a lower-case fragment.
        error: String,
        /// What to keep of the run.
        work: Option<W>,
    },
    /// Went wrong and may go well another time. Costs an attempt.
    Retry {
        /// What went wrong.
        error: String,
    },
    /// Something it needs is away. Costs no attempt.
    Snooze {
        /// When to look again.
        after: Duration,
        /// What is away.
        reason: String,
    },
    /// An operator must decide. `W` is written in the same commit.
    Hold {
        /// Why.
        reason: HoldReason,
        /// What exactly.
        detail: String,
        /// What to keep of the run.
        work: Option<W>,
    },
    /// The module child died on it. At the second time it is held as poisoned.
    Crashed {
        /// How the child ended.
        how: String,
    },
    /// It was called off while it ran.
    Cancelled,
    /// This process is going down; the job is given back as if it had never been claimed.
    Released,
}

/// What became of a job when its run was over, as the store knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// Nothing: its lease was lost, and it is another run's.
    Lost,
    /// It was called off in the meantime, and has ended as cancelled instead of going on or being held.
    Cancelled,
    /// It waits for an operator.
    Held,
    /// What its run meant: it has ended, or will go on.
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
            Self::Hold { .. } => "held",
            Self::Crashed { .. } => "crashed",
            Self::Cancelled => "cancelled",
            Self::Released => "released",
        }
    }
}

/// A run that ends its job, and what is to be committed with the end.
#[derive(Debug)]
pub struct Finished<W> {
    /// The job with its token.
    pub job: Job,
    /// What to write.
    pub work: Option<W>,
    /// How the job leaves its run.
    pub end: FinishedEnd,
}

/// How a job leaves its last run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishedEnd {
    /// Completed.
    Completed,
    /// Failed, with the error.
    Failed(String),
    /// Called off.
    Cancelled,
    /// Held, with reason and detail.
    Held(HoldReason, String),
}

/// Why a job waits for an operator. Words are stable: they stand in paths, filters and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldReason {
    /// No rule gave it coordinates.
    NoRule,
    /// The recipient belongs to no customer.
    UnknownCustomer,
    /// Malformed where that decides routing: two From, two Subject.
    Malformed,
    /// It was cut short on its way and never came whole.
    CutShort,
    /// No module reads this category and type.
    NoModule,
    /// It killed its module child twice.
    Poisoned,
    /// Its lease expired ten times without anybody to blame.
    Lost,
    /// Sorting failed as often as it may.
    OutOfAttempts,
    /// An operator stopped it.
    Operator,
}

impl HoldReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::NoRule,
        Self::UnknownCustomer,
        Self::Malformed,
        Self::CutShort,
        Self::NoModule,
        Self::Poisoned,
        Self::Lost,
        Self::OutOfAttempts,
        Self::Operator,
    ];

    /// The stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::UnknownCustomer => "unknown_customer",
            Self::Malformed => "malformed",
            Self::CutShort => "cut_short",
            Self::NoModule => "no_module",
            Self::Poisoned => "poisoned",
            Self::Lost => "lost",
            Self::OutOfAttempts => "out_of_attempts",
            Self::Operator => "operator",
        }
    }
}

impl std::str::FromStr for HoldReason {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.word() == word)
            .ok_or_else(|| format!("{word:?} is not one of {}", Self::ALL.map(Self::word).join(", ")))
    }
}
