//! What became of the records of one batch.

use super::Record;
use super::failure::Failure;
use rdkafka::error::RDKafkaErrorCode as Code;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

const NO_RIGHT: &str = "no right to write to the topic";

/// A record's tag is the number of its batch, then its index in that many bits.
const INDEX_BITS: u32 = 32;
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;

/// The tag of a record.
pub(super) const fn tag(batch: u32, index: usize) -> usize {
    ((batch as usize) << INDEX_BITS) | (index & INDEX_MASK)
}

/// Reports of the records that were sent last.
#[derive(Default)]
pub struct Deliveries {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Number of the batch.
    batch: u32,
    /// Records of which it is known.
    done: usize,
    /// Those that were not written, by their index.
    failed: Vec<(usize, Code)>,
    /// Topics that the broker did not let into the transaction.
    not_allowed: Vec<String>,
}

impl Deliveries {
    /// Begins a batch, and forgets the one before. Returns its number.
    pub(super) fn begin(&self) -> u32 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { batch: state.batch.wrapping_add(1), ..State::default() };
        state.batch
    }

    /// The record with this tag was written, or not because of `error`. Late reports of an earlier batch do not count.
    pub(super) fn done(&self, tag: usize, error: Option<Code>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if tag >> INDEX_BITS == state.batch as usize {
            state.done += 1;
            state.failed.extend(error.map(|error| (tag & INDEX_MASK, error)));
            self.changed.notify_all();
        }
    }

    /// Waits a moment, or until `count` records are done; says whether they are.
    pub(super) fn wait(&self, count: usize, longest: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let open = |state: &mut State| state.done < count;
        let waited = self.changed.wait_timeout_while(state, longest, open);
        waited.unwrap_or_else(PoisonError::into_inner).0.done >= count
    }

    /// The broker did not let a topic into the transaction. Its records, and all others, are then only reported as purged.
    pub(super) fn not_allowed(&self, topic: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.not_allowed.push(topic.to_owned());
    }

    /// What the caller is to do about those of `records` that were not written; `None` if nothing is known that would not pass.
    pub(super) fn blame(&self, records: &[Record]) -> Option<Failure> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_sent = |topic: &&String| records.iter().any(|record| record.topic == **topic);
        match state.not_allowed.iter().find(is_sent) {
            Some(topic) => Some(Failure::Topic { topic: topic.clone(), reason: NO_RIGHT.to_owned() }),
            None => blame(&state.failed, records),
        }
    }

    /// Those that were not written.
    pub(super) fn failed(&self) -> Vec<(usize, Code)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failed.clone()
    }
}

/// What the caller is to do about records that were not written; `None` if nothing is known that would not pass.
pub(super) fn blame(failed: &[(usize, Code)], records: &[Record]) -> Option<Failure> {
    let topic = failed.iter().find_map(|&(index, code)| Some((index, of_topic(code)?)));
    if let Some((index, reason)) = topic {
        let topic = records.get(index).map(|record| record.topic.clone()).unwrap_or_default();
        return Some(Failure::Topic { topic, reason: reason.to_owned() });
    }
    let refused = failed.iter().filter_map(|&(index, code)| Some((index, of_record(code)?.to_owned())));
    let mut records: Vec<_> = refused.collect();
    records.sort_unstable();
    (!records.is_empty()).then_some(Failure::Refused { records })
}

/// Why this is the topic's fault.
pub(super) const fn of_topic(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic => "the topic does not exist",
        Code::UnknownPartition => "the topic has no such partition",
        Code::TopicAuthorizationFailed => NO_RIGHT,
        Code::InvalidTopic => "Kafka does not take this name of a topic",
        _ => return None,
    })
}

/// Why this is the record's fault, or that of one in its batch.
const fn of_record(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::MessageSizeTooLarge => "larger than the topic's max.message.bytes",
        Code::InvalidRecord => {
            "refused by the broker as invalid, as a record without a key is in a compacted topic"
        }
        _ => return None,
    })
}

/// A time after which to give up.
#[derive(Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    pub(super) fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }

    pub(super) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}
