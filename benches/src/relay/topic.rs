//! A topic of one partition, and how fast it grows for a consumer that reads what is committed.
//!
//! Reading everything would take the CPU from those that are measured. So the reader asks for the end of what can be read,
//! and reads only what is there when all records must be: the last of them, and with transactions a few before it, because
//! the end of each transaction has a number too.

use super::records::Records;
use crate::cpu;
use crate::place::Kafka;
use anyhow::{Context, anyhow, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::time::{Duration, Instant};

const PARTITION: i32 = 0;
const STEP: Duration = Duration::from_millis(5);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);

/// A topic with a reader.
pub struct Topic {
    name: String,
    reader: BaseConsumer,
    admin: AdminClient<DefaultClientContext>,
}

/// What a turn gave.
#[derive(Debug)]
pub struct Pace {
    /// Records per second.
    pub records_s: f64,
    /// CPU seconds of two processes.
    pub cpu_seconds: [f64; 2],
}

impl Topic {
    /// Makes a topic.
    pub async fn make(broker: &Kafka, name: &str) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.bootstrap());
        let admin: AdminClient<DefaultClientContext> = config.create()?;
        let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
        let made =
            admin.create_topics([&topic], &AdminOptions::new().operation_timeout(Some(ANSWER))).await?;
        made.into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|(name, why)| anyhow!("topic {name}: {why}"))?;
        config.set("group.id", "hwbench").set("isolation.level", "read_committed");
        config.set("enable.auto.commit", "false").set("fetch.wait.max.ms", "5");
        let topic = Self { name: name.to_owned(), reader: config.create()?, admin };
        topic.end()?;
        Ok(topic)
    }

    /// Removes it with what is in it.
    pub async fn remove(self) -> anyhow::Result<()> {
        let removed = self.admin.delete_topics(&[&self.name], &AdminOptions::new()).await?;
        removed
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|(name, why)| anyhow!("topic {name}: {why}"))?;
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the next record that can be read will be, at the earliest.
    pub fn end(&self) -> anyhow::Result<i64> {
        let begun = Instant::now();
        loop {
            match self.reader.fetch_watermarks(&self.name, PARTITION, ANSWER) {
                Ok((_, end)) => return Ok(end),
                Err(error) if begun.elapsed() > ANSWER => return Err(error.into()),
                // A topic that was just made has no leader yet.
                Err(_) => std::thread::sleep(STEP),
            }
        }
    }

    /// Waits for all of `records`, which are written behind `from`. The first ones that can be read start the clock and do
    /// not count. Fails when `is_well` does.
    pub fn pace(
        &self,
        from: i64,
        records: Records,
        processes: [u32; 2],
        mut is_well: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Pace> {
        let cpu = || -> anyhow::Result<[f64; 2]> {
            let [one, other] = processes.map(cpu::seconds);
            Ok([one?, other?])
        };
        let mut first = from;
        self.until(
            "the first records",
            || {
                first = self.end()?;
                Ok(first > from)
            },
            &mut is_well,
        )?;
        let (begun, before) = (Instant::now(), cpu()?);
        let last = from + i64::try_from(records.count)? - 1;
        self.until("all records", || Ok(self.end()? > last), &mut is_well)?;
        self.read_until(last, &records.last())?;
        let (seconds, after) = (begun.elapsed().as_secs_f64(), cpu()?);
        let counted = last + 1 - first;
        ensure!(counted > 0, "{} records are too few to be timed", records.count);
        Ok(Pace {
            records_s: counted as f64 / seconds,
            cpu_seconds: [0, 1].map(|one| after[one] - before[one]),
        })
    }

    /// Reads from a place on until the record with this body.
    fn read_until(&self, from: i64, body: &[u8]) -> anyhow::Result<()> {
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(&self.name, PARTITION, Offset::Offset(from))?;
        self.reader.assign(&place)?;
        let read = || self.reader.poll(ANSWER).context("the last record did not come");
        while read()?.context("reading the topic")?.payload() != Some(body) {}
        Ok(self.reader.unassign()?)
    }

    fn until(
        &self,
        what: &str,
        mut holds: impl FnMut() -> anyhow::Result<bool>,
        mut is_well: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !holds()? {
            is_well()?;
            ensure!(begun.elapsed() < PATIENCE, "{}: {what} did not come in {PATIENCE:?}", self.name);
            std::thread::sleep(STEP);
        }
        Ok(())
    }
}
