//! Reads a topic from its beginning to its end.

use super::connection::Connection;
use super::context::Context;
use super::deliveries::Deadline;
use super::failure::{Failure, told};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest wait of one call.
const STEP: Duration = Duration::from_millis(500);

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The body; none is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Headers, in their order. A header without a value has an empty one.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Every record of `topic` that is committed, in the order of each partition. Its end is where the oldest open
/// transaction begins. Blocks, for `timeout` at most.
///
/// # Errors
/// [`Failure::Topic`], or [`Failure::Again`] if Kafka does not answer in time.
pub fn read_to_end(connection: &Connection, topic: &str, timeout: Duration) -> Result<Vec<Kept>, Failure> {
    let deadline = Deadline::after(timeout);
    let consumer = consumer(connection)?;
    let mut open: BTreeSet<i32> = partitions(connection, &consumer, topic, deadline)?.into_iter().collect();
    let mut list = TopicPartitionList::new();
    for partition in &open {
        list.add_partition_offset(topic, *partition, Offset::Beginning).map_err(again)?;
    }
    consumer.assign(&list).map_err(again)?;
    let mut found = Vec::new();
    while !open.is_empty() {
        match consumer.poll(deadline.left().min(STEP)) {
            Some(Ok(message)) => found.push(kept(&message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => ensure_passes(topic, &error)?,
            None => {}
        }
        if deadline.has_passed() && !open.is_empty() {
            let reason = connection.reason(format!("topic {topic} was not read to its end in time"));
            return Err(Failure::Again { reason });
        }
    }
    connection.answers();
    Ok(found)
}

/// A consumer that belongs to no group: it neither joins one nor commits.
pub(super) fn consumer(connection: &Connection) -> Result<BaseConsumer<Context>, Failure> {
    let group = format!("{}-reader", connection.settings().client_id);
    connection.client(&[
        ("group.id", &group),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        ("enable.partition.eof", "true"),
        ("fetch.wait.max.ms", "10"),
        ("auto.offset.reset", "earliest"),
    ])
}

/// The partitions of `topic`. A consumer asks, because asking as a producer may create the topic.
pub(super) fn partitions(
    connection: &Connection,
    consumer: &BaseConsumer<Context>,
    topic: &str,
    deadline: Deadline,
) -> Result<Vec<i32>, Failure> {
    let missing = |reason: &str| Failure::Topic { topic: topic.to_owned(), reason: reason.to_owned() };
    loop {
        // Whoever does not poll hears of no errors.
        if let Some(Err(error)) = consumer.poll(Duration::ZERO) {
            ensure_passes(topic, &error)?;
        }
        let asked = consumer.fetch_metadata(Some(topic), deadline.left().min(STEP));
        let found = asked.as_ref().ok().and_then(|metadata| metadata.topics().first());
        match found.map(|found| (found.error().map(Code::from), found)) {
            Some((None, found)) if !found.partitions().is_empty() => {
                return Ok(found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect());
            }
            Some((Some(Code::UnknownTopicOrPartition), _)) => return Err(missing(MISSING)),
            Some((Some(Code::TopicAuthorizationFailed), _)) => return Err(missing(NOT_ALLOWED)),
            Some((Some(Code::InvalidTopic), _)) => {
                return Err(missing("Kafka does not take this name of a topic"));
            }
            _ if deadline.has_passed() => {
                let why = asked.err().map_or_else(|| "has no leader".to_owned(), |error| told(&error));
                return Err(Failure::Again { reason: connection.reason(format!("topic {topic}: {why}")) });
            }
            Some(_) => std::thread::sleep(Duration::from_millis(50)),
            None => {}
        }
    }
}

pub(super) const MISSING: &str = "the topic does not exist";
pub(super) const NOT_ALLOWED: &str = "no right to see the topic";

/// Errors that pass, or that are about groups, are passed over: those of the connection are told by its context.
fn ensure_passes(topic: &str, error: &KafkaError) -> Result<(), Failure> {
    let reason = match error.rdkafka_error_code() {
        Some(Code::TopicAuthorizationFailed) => "no right to read the topic",
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => MISSING,
        _ => return Ok(()),
    };
    Err(Failure::Topic { topic: topic.to_owned(), reason: reason.to_owned() })
}

fn kept(message: &BorrowedMessage<'_>) -> Kept {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let header = |(key, value): (&str, Option<&[u8]>)| (key.to_owned(), value.unwrap_or_default().to_vec());
    Kept {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        headers: headers.map(|found| header((found.key, found.value))).collect(),
    }
}

fn again(error: KafkaError) -> Failure {
    Failure::Again { reason: told(&error) }
}
