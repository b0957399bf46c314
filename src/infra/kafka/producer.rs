//! The transactional producer: a batch is sent whole or not at all.

use super::Record;
use super::connection::Connection;
use super::context::Context;
use super::deliveries::{Deadline, blame, of_topic, tag};
use super::failure::{Failure, Next, is_fence, next, told};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, PurgeConfig, ThreadedProducer};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Longest wait of one call, so that a stop is noticed in time.
const STEP: Duration = Duration::from_millis(500);
/// Pause before a call is repeated: some refusals come at once.
const PAUSE: Duration = Duration::from_millis(20);
/// Age at which a client is replaced while its certificates or login are refused: a new one reads the files again.
const FRESH: Duration = Duration::from_secs(5);

/// A producer with a transactional id. Kafka lets only the newest producer of an id write, so opening one ends the
/// transaction of its predecessor and its right to write.
pub struct Producer {
    inner: Inner,
    transactional_id: String,
    timeout: Duration,
    stop: CancellationToken,
    /// After a record that was too large, the broker refuses the next transaction of the same producer, whatever is in it.
    is_next_refused: bool,
    /// Topics that have taken records of it.
    known: BTreeSet<String>,
}

/// What both kinds of producers have.
pub(super) struct Inner {
    pub(super) connection: Connection,
    pub(super) client: ThreadedProducer<Context>,
}

impl Producer {
    /// Makes a producer and registers it with Kafka, trying until `stop`. A transaction that takes longer than `timeout`
    /// is given up, by us and by the broker. Blocks.
    ///
    /// # Errors
    /// [`Failure::Lost`]: the settings cannot be used, or we have no right to the id. [`Failure::Again`]: stopped before
    /// Kafka answered.
    pub fn open(
        connection: &Connection,
        transactional_id: &str,
        timeout: Duration,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        let mut opened_at = Instant::now();
        let mut client = make(connection, transactional_id, timeout)?;
        loop {
            let error = match client.init_transactions(STEP) {
                Ok(()) => break,
                Err(error) => error,
            };
            if let Next::GiveUp { fenced } = next(&error) {
                return Err(Failure::Lost { reason: refused(&error, transactional_id), fenced });
            }
            if stop.is_cancelled() {
                let reason = connection.reason("Kafka did not answer");
                return Err(Failure::Again { reason });
            }
            if connection.may_need_new_client() && opened_at.elapsed() > FRESH {
                opened_at = Instant::now();
                client = make(connection, transactional_id, timeout)?;
            }
            std::thread::sleep(PAUSE);
        }
        connection.answers();
        let inner = Inner { connection: connection.clone(), client };
        let transactional_id = transactional_id.to_owned();
        let known = BTreeSet::new();
        Ok(Self { inner, transactional_id, timeout, stop, is_next_refused: false, known })
    }

    /// Sends all of `records` in one transaction. Blocks.
    ///
    /// The last record goes first while a topic is unknown: if the broker refuses the topics that a transaction begins with, it has
    /// none that could be aborted, and the producer is lost. The last one is to be of a topic that takes it.
    ///
    /// # Errors
    /// What to do next; see [`Failure`].
    pub fn transact(&mut self, records: &[Record]) -> Result<(), Failure> {
        let again = std::mem::take(&mut self.is_next_refused);
        let mut sent = self.attempt(records);
        if again && matches!(sent, Err(Failure::Again { .. })) {
            sent = self.attempt(records);
        }
        match &sent {
            Ok(()) => {
                self.inner.connection.answers();
                for Record { topic, .. } in records {
                    if !self.known.contains(topic) {
                        self.known.insert(topic.clone());
                    }
                }
            }
            Err(Failure::Refused { .. }) => self.is_next_refused = true,
            Err(_) => {}
        }
        sent
    }

    fn attempt(&self, records: &[Record]) -> Result<(), Failure> {
        // Shorter than the broker's, so that there is time for the commit, or for an abort that is still ours.
        let deadline = Deadline::after(self.timeout * 4 / 5);
        self.inner.client.begin_transaction().map_err(|error| self.lost(&error))?;
        let stopped = || self.stop.is_cancelled();
        let all = records.len();
        let is_known = records.iter().all(|record| self.known.contains(&record.topic));
        let first = if is_known { 0 } else { all.saturating_sub(1) };
        for part in [first..all, 0..first] {
            if let Err(why) = self.inner.send(records, part, deadline, &stopped) {
                let blamed = self.inner.client.context().deliveries.blame(records);
                return Err(match (self.abort(), blamed) {
                    (Ok(()), blamed) => blamed.unwrap_or(why),
                    // The cause says more than what came of it.
                    (Err(Failure::Lost { fenced: false, .. }), Some(cause)) => {
                        Failure::Lost { reason: cause.to_string(), fenced: false }
                    }
                    (Err(lost), _) => lost,
                });
            }
        }
        self.commit(records)
    }

    fn commit(&self, records: &[Record]) -> Result<(), Failure> {
        let deadline = Deadline::after(self.timeout);
        loop {
            let Err(error) = self.inner.client.commit_transaction(STEP) else { return Ok(()) };
            match next(&error) {
                Next::GiveUp { .. } => return Err(self.lost(&error)),
                Next::Abort => {
                    self.abort()?;
                    let blamed = self.inner.client.context().deliveries.blame(records);
                    return Err(blamed.unwrap_or_else(|| Failure::Again { reason: told(&error) }));
                }
                Next::Repeat if deadline.has_passed() || self.stop.is_cancelled() => {
                    let reason = self.inner.connection.reason("Kafka did not answer");
                    let reason = format!("whether the transaction was committed is unknown: {reason}");
                    return Err(Failure::Lost { reason, fenced: false });
                }
                Next::Repeat => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Ends the transaction; nothing of it counts.
    fn abort(&self) -> Result<(), Failure> {
        self.inner.purge();
        let deadline = Deadline::after(self.timeout);
        loop {
            let Err(error) = self.inner.client.abort_transaction(STEP) else { return Ok(()) };
            if next(&error) != Next::Repeat {
                return Err(self.lost(&error));
            }
            if deadline.has_passed() || self.stop.is_cancelled() {
                let reason = self.inner.connection.reason("Kafka did not answer");
                let reason = format!("the transaction could not be aborted: {reason}");
                return Err(Failure::Lost { reason, fenced: false });
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn lost(&self, error: &KafkaError) -> Failure {
        let fenced = matches!(next(error), Next::GiveUp { fenced: true }) || self.inner.is_fenced();
        Failure::Lost { reason: refused(error, &self.transactional_id), fenced }
    }
}

fn make(
    connection: &Connection,
    transactional_id: &str,
    timeout: Duration,
) -> Result<ThreadedProducer<Context>, Failure> {
    let millis = timeout.as_millis().to_string();
    let properties = connection.of_producers();
    let mut own: Vec<(&str, &str)> = properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
    own.extend([
        ("transactional.id", transactional_id),
        ("transaction.timeout.ms", &millis),
        ("message.timeout.ms", &millis),
    ]);
    connection.client(&own)
}

/// The reason of a fatal error, with the setting where that is at fault.
fn refused(error: &KafkaError, transactional_id: &str) -> String {
    match error {
        KafkaError::Transaction(error) if error.code() == Code::TransactionalIdAuthorizationFailed => {
            format!("kafka.transactional_id_prefix: no right to use transactional id {transactional_id}")
        }
        error => told(error),
    }
}

impl Inner {
    /// Sends `part` of the records and waits until each was written.
    pub(super) fn send(
        &self,
        records: &[Record],
        part: Range<usize>,
        deadline: Deadline,
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), Failure> {
        let deliveries = &self.client.context().deliveries;
        let batch = deliveries.begin();
        let late = || {
            let reason = if stopped() { "stopped" } else { "Kafka did not answer in time" };
            Failure::Again { reason: self.connection.reason(reason) }
        };
        let count = part.len();
        for (index, record) in part.clone().zip(&records[part]) {
            while let Err(code) = self.send_one(tag(batch, index), record) {
                match code {
                    Code::QueueFull if deadline.has_passed() || stopped() => return Err(late()),
                    Code::QueueFull => std::thread::sleep(Duration::from_millis(1)),
                    code => return Err(self.not_sent(index, record, code)),
                }
            }
        }
        while !deliveries.wait(count, deadline.left().min(STEP)) {
            if deadline.has_passed() || stopped() {
                return Err(late());
            }
        }
        // The reports are counted a moment before librdkafka forgets the records. A commit would wait 100 ms for that.
        while self.client.in_flight_count() > 0 && !deadline.has_passed() {
            std::thread::sleep(Duration::from_micros(200));
        }
        let failed = deliveries.failed();
        match failed.first() {
            None => Ok(()),
            Some((_, code)) => {
                let again = || Failure::Again { reason: self.connection.reason(code) };
                Err(deliveries.blame(records).unwrap_or_else(again))
            }
        }
    }

    fn send_one(&self, tag: usize, record: &Record) -> Result<(), Code> {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut sent = BaseRecord::<'_, [u8], [u8], usize>::with_opaque_to(&record.topic, tag)
            .headers(headers)
            .timestamp(record.timestamp_millis);
        sent.key = record.key.as_deref();
        sent.payload = record.payload.as_deref();
        sent.partition = record.partition;
        self.client.send(sent).map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(Code::Fail))
    }

    /// Why librdkafka did not even take a record.
    fn not_sent(&self, index: usize, record: &Record, code: Code) -> Failure {
        match of_topic(code) {
            Some(reason) => Failure::Topic { topic: record.topic.clone(), reason: reason.to_owned() },
            None => {
                let again = || Failure::Again { reason: self.connection.reason(code) };
                blame(&[(index, code)], std::slice::from_ref(record)).unwrap_or_else(again)
            }
        }
    }

    /// Forgets what has not been written.
    pub(super) fn purge(&self) {
        self.client.purge(PurgeConfig::default().queue().inflight());
        let deadline = Deadline::after(STEP);
        while self.client.in_flight_count() > 0 && !deadline.has_passed() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_fenced(&self) -> bool {
        self.client.client().fatal_error().is_some_and(|(code, _)| is_fence(code))
    }

    /// Why this producer cannot be used any more.
    pub(super) fn fatal(&self) -> Option<Failure> {
        let (_, reason) = self.client.client().fatal_error()?;
        Some(Failure::Lost { reason, fenced: self.is_fenced() })
    }
}
