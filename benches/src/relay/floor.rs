//! The least that copying to Kafka takes: one producer that has the records in memory.

use super::Delivery;
use anyhow::ensure;
use headworks::infra::kafka::Record;
use headworks::relay::Batch;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// A commit waits 100 ms where a record is not acknowledged yet, so that is awaited before it.
const PAUSE: Duration = Duration::from_micros(100);
/// What the relay gives librdkafka (`infra::kafka::Connection`), but for figures.
const SETTINGS: [(&str, &str); 7] = [
    ("compression.type", "zstd"),
    ("partitioner", "murmur2_random"),
    ("enable.idempotence", "true"),
    ("message.max.bytes", "1000000000"),
    ("queue.buffering.max.kbytes", "1048576"),
    ("linger.ms", "2"),
    ("batch.size", "1000000"),
];

/// Counts records that were not written.
#[derive(Default)]
struct Failures(AtomicUsize);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.0.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
    }
}

/// Sends all batches, each when the one before is written.
pub fn send(bootstrap: &str, delivery: Delivery, batches: &[Batch]) -> anyhow::Result<()> {
    let has_transactions = delivery == Delivery::Transactions;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    for (name, value) in SETTINGS {
        config.set(name, value);
    }
    if has_transactions {
        config.set("transactional.id", "hwbench-floor");
    }
    let producer: ThreadedProducer<Failures> = config.create_with_context(Failures::default())?;
    if has_transactions {
        producer.init_transactions(PATIENCE)?;
    }
    for batch in batches {
        if has_transactions {
            producer.begin_transaction()?;
        }
        for record in &batch.records {
            send_one(&producer, record)?;
        }
        let begun = Instant::now();
        while producer.in_flight_count() > 0 {
            ensure!(begun.elapsed() < PATIENCE, "Kafka does not answer the floor");
            std::thread::sleep(PAUSE);
        }
        if has_transactions {
            producer.commit_transaction(PATIENCE)?;
        }
        let failed = producer.context().0.load(Ordering::Relaxed);
        ensure!(failed == 0, "{failed} records of the floor were not written");
    }
    Ok(())
}

fn send_one(producer: &ThreadedProducer<Failures>, record: &Record) -> anyhow::Result<()> {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    let mut sent =
        BaseRecord::<'_, [u8], [u8]>::to(&record.topic).headers(headers).timestamp(record.timestamp_millis);
    sent.key = record.key.as_deref();
    sent.payload = record.payload.as_deref();
    Ok(producer.send(sent).map_err(|(error, _)| error)?)
}
