//! What the relay stands on, against a real Kafka.
//!
//! `HEADWORKS_TEST_KAFKA` names the broker that most tests share; each has topics and ids of its own. Tests that kill a
//! broker, or need certificates, start one of their own.

pub mod broker;
mod outage;
mod producing;
mod security;
mod topics;

use broker::Broker;
use headworks::infra::kafka::{Connection, NewTopic, Producer, Record, Settings, Topics};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Longest wait for Kafka on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings for a broker without security.
fn plain(bootstrap: &str) -> Settings {
    Settings {
        bootstrap: vec![bootstrap.to_owned()],
        client_id: "headworks".to_owned(),
        compression: "zstd".to_owned(),
        partitioner: "murmur2_random".to_owned(),
        tls: None,
        login: None,
        options: BTreeMap::new(),
    }
}

/// A connection to the shared broker; `None` where the tests do without Kafka.
fn shared() -> Option<Connection> {
    broker::shared().map(|bootstrap| Connection::new(plain(&bootstrap)))
}

/// A name nobody else uses.
fn fresh(name: &str) -> String {
    format!("{name}-{}", Uuid::new_v4().simple())
}

/// A topic of its own, with one partition.
fn fresh_topic(connection: &Connection, cleanup: &str) -> String {
    let topic = NewTopic {
        name: fresh("t"),
        partitions: Some(1),
        cleanup: Some(cleanup.to_owned()),
        ..NewTopic::default()
    };
    let topics = Topics::open(connection, PATIENCE).unwrap();
    assert_eq!(topics.create(std::slice::from_ref(&topic)).unwrap(), BTreeMap::new());
    topic.name
}

fn open(connection: &Connection, id: &str) -> Producer {
    Producer::open(connection, id, PATIENCE, CancellationToken::new()).unwrap()
}

fn record(topic: &str, key: &str, payload: &[u8]) -> Record {
    Record {
        topic: topic.to_owned(),
        partition: None,
        key: Some(key.into()),
        payload: Some(payload.to_vec()),
        headers: vec![("headworks-id".to_owned(), key.into())],
        timestamp_millis: 1_700_000_000_000,
    }
}

/// Bytes that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut noise = vec![0; length];
    getrandom::fill(&mut noise).unwrap();
    noise
}

/// Keys of everything that is committed in `topic`.
fn keys(connection: &Connection, topic: &str) -> Vec<String> {
    let read = headworks::infra::kafka::read_to_end(connection, topic, PATIENCE).unwrap();
    read.into_iter().map(|kept| String::from_utf8(kept.key.unwrap()).unwrap()).collect()
}
