//! What goes to Kafka at once.

use super::control::{Control, Mark};
use super::record::{self, MessageId};
use super::view::View;
use crate::ids::Timestamp;
use crate::infra::kafka::Record;
use crate::log::{Position, SealedEntry, Stored, TopicId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Most records of a batch, the positions not counted.
const RECORDS: usize = 1_000;
/// A batch is not made larger once it has so many bytes.
const BYTES: u64 = 4 << 20;
/// What a record takes in Kafka besides key, body and headers, at most.
const RECORD_BYTES: usize = 64;
const HEADER_BYTES: usize = 8;

/// Records, and where each topic is once they are in Kafka.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order of their entries.
    pub records: Vec<Record>,
    /// The log topic of each record, and its entry.
    pub of: Vec<(TopicId, Position)>,
    /// Copies of held records for the topic of dead letters, each with its log topic.
    pub dead_letters: Vec<(String, Record)>,
    /// Where each log topic is once the records are in Kafka, by its name.
    pub marks: BTreeMap<String, Mark>,
    bytes: u64,
}

/// The topic an entry is of.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The store.
    pub store: Uuid,
    /// Epoch of the ids.
    pub epoch: u32,
    /// The log topic.
    pub topic: &'a str,
    /// Its Kafka topic.
    pub kafka: &'a str,
}

impl Source<'_> {
    /// An entry as a record.
    #[must_use]
    pub fn record(&self, entry: &Stored) -> Record {
        let place = (entry.position, None);
        self.made(place, entry.at, entry.key.clone(), &entry.headers, entry.body.clone())
    }

    /// A row of the file that an entry names as a record.
    #[must_use]
    pub fn row(&self, (position, at): (Position, Timestamp), number: u64, row: SealedEntry) -> Record {
        let key = row.key.map(String::into_bytes);
        self.made((position, Some(number)), at, key, &row.headers, row.body.into_bytes())
    }

    fn made(
        &self,
        (position, row): (Position, Option<u64>),
        at: Timestamp,
        key: Option<Vec<u8>>,
        headers: &BTreeMap<String, String>,
        body: Vec<u8>,
    ) -> Record {
        let Self { store, epoch, topic, kafka } = *self;
        let id = MessageId { store, epoch, topic, position, row };
        Record {
            topic: kafka.to_owned(),
            partition: None,
            headers: record::headers(&id, headers),
            timestamp_millis: record::millis(at),
            // An empty key is none: such records are spread over the partitions.
            key: key.filter(|key| !key.is_empty()),
            payload: Some(body),
        }
    }
}

/// What a record takes in Kafka, before compression.
#[must_use]
pub fn bytes(record: &Record) -> u64 {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers = record.headers.iter().map(|(name, value)| name.len() + value.len() + HEADER_BYTES);
    (length(&record.key) + length(&record.payload) + RECORD_BYTES + headers.sum::<usize>()) as u64
}

impl Batch {
    /// Whether it is large enough.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.records.len() >= RECORDS || self.bytes >= BYTES
    }

    /// How many more records it takes.
    #[must_use]
    pub fn room(&self) -> usize {
        RECORDS.saturating_sub(self.records.len())
    }

    /// Adds the record of an entry; those of a topic come in the order of their entries. See [`mark`](Self::mark).
    pub fn add(&mut self, topic: TopicId, entry: Position, record: Record) {
        self.bytes += bytes(&record);
        self.records.push(record);
        self.of.push((topic, entry));
    }

    /// Sets where the topic of this name is behind its records in the batch.
    pub fn mark(&mut self, topic: &str, mark: Mark) {
        self.marks.insert(topic.to_owned(), mark);
    }

    /// Adds the copy of a held record.
    pub fn add_dead_letter(&mut self, topic: &str, record: Record) {
        self.dead_letters.push((topic.to_owned(), record));
    }

    /// Takes its records out, to be sent.
    pub fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// Puts them back. Others may have been added behind them.
    pub fn take_back(&mut self, mut records: Vec<Record>) {
        records.truncate(self.of.len());
        self.records = records;
    }

    /// Records of the control topic that say where each topic is behind this batch. `kafka` names the Kafka topic of a log topic.
    pub fn positions<'b>(
        &'b self,
        store: Uuid,
        control_topic: &'b str,
        view: &'b View,
        kafka: impl Fn(&str) -> Option<&'b str>,
    ) -> impl Iterator<Item = Record> {
        self.marks.iter().map(move |(topic, mark)| {
            let partitions = kafka(topic).and_then(|name| Some((name.to_owned(), view.partitions(name)?)));
            let control = Control {
                store,
                topic: topic.clone(),
                mark: mark.clone(),
                partitions: partitions.into_iter().collect(),
            };
            let (key, payload) = control.to_record();
            Record {
                topic: control_topic.to_owned(),
                partition: Some(0),
                key: Some(key),
                payload: Some(payload),
                headers: Vec::new(),
                timestamp_millis: mark.entry.map_or(0, |entry| record::millis(entry.at)),
            }
        })
    }
}
