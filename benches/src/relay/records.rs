//! What is sent: the same records from the log and from memory.

use headworks::ids::Timestamp;
use headworks::log::{Entry, Position, Stored, TopicId};
use headworks::relay::{Batch, Source};
use std::collections::BTreeMap;
use std::ops::Range;
use uuid::Uuid;

/// As many keys as the records have.
const KEYS: usize = 10;

/// Records of a turn.
#[derive(Debug, Clone, Copy)]
pub struct Records {
    /// Number of the first one.
    pub first: usize,
    /// How many.
    pub count: usize,
    /// Length of a body.
    pub bytes: usize,
}

impl Records {
    /// Their numbers.
    pub const fn numbers(&self) -> Range<usize> {
        self.first..self.first + self.count
    }

    /// The body of the last one.
    pub fn last(&self) -> Vec<u8> {
        body((self.first + self.count).saturating_sub(1), self.bytes)
    }

    /// A record as an entry of the log.
    pub fn entry(&self, topic: TopicId, number: usize) -> Entry {
        Entry { topic, key: Some(key(number)), headers: BTreeMap::new(), body: body(number, self.bytes) }
    }

    /// All of them as the relay would send them to the topic `kafka`.
    pub fn batches(&self, kafka: &str) -> anyhow::Result<Vec<Batch>> {
        let source = Source { store: Uuid::new_v4(), epoch: 1, topic: super::LOG_TOPIC, kafka };
        let (at, topic) = (Timestamp::now(), TopicId(1));
        let mut batches = vec![Batch::default()];
        for number in self.numbers() {
            if batches.last().is_some_and(Batch::is_full) {
                batches.push(Batch::default());
            }
            let position: Position = format!("{number:016x}").parse().map_err(anyhow::Error::msg)?;
            let headers = BTreeMap::new();
            let stored =
                Stored { position, at, key: Some(key(number)), headers, body: body(number, self.bytes) };
            if let Some(batch) = batches.last_mut() {
                batch.add(topic, position, source.record(&stored));
            }
        }
        Ok(batches)
    }
}

fn key(number: usize) -> Vec<u8> {
    format!("key {}", number % KEYS).into_bytes()
}

/// A JSON text of `bytes` bytes, half of which are hexadecimal noise: it compresses to about half.
fn body(number: usize, bytes: usize) -> Vec<u8> {
    let mut text = format!("{{\"number\":\"{number:012}\",\"text\":\"");
    let mut noise = number as u64 + 1;
    let end = "\"}";
    while text.len() + end.len() < bytes {
        // The multiplier and the increment are those of Knuth's MMIX.
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:08x}", noise >> 32));
    }
    text.truncate(bytes - end.len());
    text.push_str(end);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_as_long_as_wanted_and_differ() {
        for bytes in [100, 1_024, 10_240] {
            let bodies = [7, 8].map(|number| body(number, bytes));
            assert_eq!(bodies.each_ref().map(Vec::len), [bytes; 2]);
            assert_ne!(bodies[0][40..], bodies[1][40..]);
            serde_json::from_slice::<serde_json::Value>(&bodies[0]).expect("JSON");
        }
    }

    #[test]
    fn batches_are_as_large_as_those_of_the_relay() {
        let sizes = |bytes| {
            let batches =
                Records { first: 5, count: 2_500, bytes }.batches("t").expect("numbers are positions");
            batches.iter().map(|batch| batch.records.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(100), [1_000, 1_000, 500]);
        let of_4_mib = sizes(10_240);
        assert_eq!(of_4_mib.iter().sum::<usize>(), 2_500);
        assert!((380..410).contains(&of_4_mib[0]), "{of_4_mib:?}");
    }
}
