//! What went wrong, as what to do next.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::fmt;

/// Why nothing of a batch counts as sent, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The broker refused these records, by their index; the transaction was aborted. The limit on size counts a whole
    /// batch, so where several are named, some may be innocent: send them in halves, until one is refused alone.
    Refused {
        /// Index and reason, in order.
        records: Vec<(usize, String)>,
    },
    /// The topic is missing, or we have no right to it; the transaction was aborted. Other topics go on.
    Topic {
        /// Which.
        topic: String,
        /// Why.
        reason: String,
    },
    /// Nothing was committed. The same producer can send the same batch again.
    Again {
        /// Why.
        reason: String,
    },
    /// Whether something was committed is unknown, or the producer cannot be used any more: make another, then look at
    /// what was committed.
    Lost {
        /// Why.
        reason: String,
        /// Whether another producer has taken over this id, or the broker ended a transaction that took too long, which
        /// looks the same.
        fenced: bool,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { records } => {
                let reason = records.first().map_or("", |(_, reason)| reason);
                write!(f, "{} records were refused: {reason}", records.len())
            }
            Self::Topic { topic, reason } => write!(f, "topic {topic}: {reason}"),
            Self::Again { reason } | Self::Lost { reason, .. } => f.write_str(reason),
        }
    }
}

impl std::error::Error for Failure {}

/// What an error of a transactional call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The same call again.
    Repeat,
    /// The transaction is to be aborted.
    Abort,
    /// The producer is of no use any more.
    GiveUp {
        /// Whether it was fenced.
        fenced: bool,
    },
}

/// What `error` asks for.
pub(super) fn next(error: &KafkaError) -> Next {
    match error {
        KafkaError::Transaction(error) if error.is_fatal() => Next::GiveUp { fenced: is_fence(error.code()) },
        KafkaError::Transaction(error) if error.txn_requires_abort() => Next::Abort,
        KafkaError::Transaction(error) if error.is_retriable() => Next::Repeat,
        // The crate's own flush before a commit, which has not begun then.
        KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => Next::Repeat,
        _ => Next::GiveUp { fenced: false },
    }
}

/// Whether a code says that another producer has taken over.
pub(super) const fn is_fence(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(code, Fenced | ProducerFenced | InvalidProducerEpoch)
}

/// What librdkafka says about an error, without its own wrapping.
pub(super) fn told(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(error) => error.string(),
        other => other.rdkafka_error_code().map_or_else(|| other.to_string(), |code| code.to_string()),
    }
}
