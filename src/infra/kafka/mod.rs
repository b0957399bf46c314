//! Kafka: connecting, sending in transactions, reading a topic to its end, and what topics there are.
//!
//! ```text
//!   Connection ─▶ Producer       init, begin, send, wait, commit: all or nothing, in a thread of its own
//!       │      ─▶ PlainProducer  send, wait: each record at least once
//!       │      ─▶ read_to_end    everything that is committed
//!       │      ─▶ Topics         which there are, with which limits; making them
//!       ▼
//!   Observer: what stands between us and Kafka, for the log; figures, for metrics
//! ```
//!
//! Everything here blocks its thread. What goes wrong is a [`Failure`], which tells the caller what to do next. Where an
//! error of librdkafka has its cause in a setting, [`trouble`] names that; librdkafka says the same of three different
//! mistakes with certificates, so `probe` shakes hands itself to tell them apart.

mod connection;
mod context;
mod deliveries;
mod failure;
mod oauth;
mod plain;
mod probe;
mod producer;
mod read;
mod rights;
mod topics;
mod trouble;

pub use connection::{Connection, Figures, Login, Observer, Settings, Tls};
pub use failure::Failure;
pub use plain::PlainProducer;
pub use producer::Producer;
pub use read::{Kept, read_to_end};
pub use rights::{ensure_transactions, may_write};
pub use topics::{NewTopic, TopicFacts, Topics};

/// A record to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The topic.
    pub topic: String,
    /// The partition; `None` leaves it to the partitioner, by the key.
    pub partition: Option<i32>,
    /// The key; records with none are spread at random.
    pub key: Option<Vec<u8>>,
    /// The body; none is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Headers, in this order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Time of the record, in milliseconds since 1970.
    pub timestamp_millis: i64,
}
