//! What Kafka says of the topics of a group: looked at when a leader begins, and each minute.

use super::settings::Settings;
use crate::config::Cleanup;
use crate::infra::kafka::{Failure, NewTopic, TopicFacts, Topics};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Largest record where Kafka does not say: its own default.
const MAX_MESSAGE_BYTES: u64 = 1_048_588;
/// A batch is so much smaller than the largest record: for its header, and for records that do not compress.
const MARGIN_BYTES: u64 = 1_024;

/// Kafka's topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Id of the cluster.
    pub cluster: String,
    /// What is known of each topic, by its name in Kafka.
    pub topics: BTreeMap<String, TopicFacts>,
    /// Why topics could not be made, by their names in Kafka.
    pub not_made: BTreeMap<String, String>,
}

/// Looks at `topics`, and makes those that are missing, if that is wanted. Blocks.
///
/// # Errors
/// When Kafka does not answer, or the control topic is not as it must be.
pub fn look(settings: &Settings, topics: &[NewTopic]) -> Result<View, Failure> {
    let kafka = Topics::open(&settings.connection, ANSWER)?;
    let cluster = kafka.cluster_id()?;
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_str()).collect();
    let mut facts = kafka.facts(&names)?;
    let is_missing = |topic: &&NewTopic| facts.get(&topic.name) == Some(&TopicFacts::Missing);
    let missing: Vec<NewTopic> = topics.iter().filter(is_missing).cloned().collect();
    let mut not_made = BTreeMap::new();
    if settings.create_topics && !missing.is_empty() {
        not_made = kafka.create(&missing)?;
        let made: Vec<&str> = missing.iter().map(|topic| topic.name.as_str()).collect();
        tracing::info!(topics = made.join(", "), "Kafka topics that were missing are made");
        facts.extend(kafka.facts(&made)?);
    }
    let view = View { cluster, topics: facts, not_made };
    if settings.has_transactions {
        view.check_control(&settings.control.name).map_err(|reason| Failure::Again { reason })?;
    }
    Ok(view)
}

impl View {
    /// Without compaction positions would be deleted by age, and in two partitions they would have no order.
    fn check_control(&self, name: &str) -> Result<(), String> {
        if let Some(why) = self.wrong(name) {
            return Err(format!("kafka.control_topic: {name}: {why}"));
        }
        let Some(TopicFacts::Exists { partitions, cleanup, .. }) = self.topics.get(name) else {
            return Ok(());
        };
        if *partitions != 1 {
            return Err(format!("kafka.control_topic: {name} has {partitions} partitions, must have 1"));
        }
        match cleanup.as_deref() {
            Some(cleanup) if cleanup != Cleanup::Compact.word() => {
                Err(format!("kafka.control_topic: cleanup.policy of {name} is {cleanup}, must be compact"))
            }
            _ => Ok(()),
        }
    }

    /// Why nothing can be written to a topic; `None` if it is there.
    #[must_use]
    pub fn wrong(&self, kafka: &str) -> Option<String> {
        match self.topics.get(kafka) {
            Some(TopicFacts::Exists { .. }) | None => None,
            Some(TopicFacts::NotAllowed) => Some("no right to see the topic".to_owned()),
            Some(TopicFacts::Missing) => Some(match self.not_made.get(kafka) {
                Some(why) => format!("the topic does not exist and could not be made: {why}"),
                None => "the topic does not exist".to_owned(),
            }),
        }
    }

    /// Partitions of a topic; `None` if it is not there.
    #[must_use]
    pub fn partitions(&self, kafka: &str) -> Option<u32> {
        match self.topics.get(kafka) {
            Some(TopicFacts::Exists { partitions, .. }) => Some(*partitions),
            _ => None,
        }
    }

    /// A record of more bytes fits a topic only if it compresses well.
    #[must_use]
    pub fn record_bytes(&self, kafka: &str) -> u64 {
        let limit = match self.topics.get(kafka) {
            Some(TopicFacts::Exists { max_message_bytes: Some(limit), .. }) => *limit,
            _ => MAX_MESSAGE_BYTES,
        };
        limit - MARGIN_BYTES.min(limit / 2)
    }

    /// Most bytes of a batch that fits every topic.
    #[must_use]
    pub fn batch_bytes(&self) -> u32 {
        let least = self.topics.keys().map(|kafka| self.record_bytes(kafka)).min();
        u32::try_from(least.unwrap_or(MAX_MESSAGE_BYTES)).unwrap_or(u32::MAX).clamp(1, 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(partitions: u32, limit: Option<u64>, cleanup: &str) -> TopicFacts {
        TopicFacts::Exists { partitions, max_message_bytes: limit, cleanup: Some(cleanup.to_owned()) }
    }

    #[test]
    fn batches_fit_the_topic_with_the_least_limit() {
        let topics = [("a", topic(3, Some(20_000), "delete")), ("b", topic(1, None, "delete"))];
        let topics = topics.map(|(name, facts)| (name.to_owned(), facts)).into();
        let view = View { topics, ..View::default() };
        assert_eq!((view.batch_bytes(), view.record_bytes("b")), (18_976, 1_047_564));
        assert_eq!((view.partitions("a"), view.partitions("c")), (Some(3), None));
        assert_eq!(View::default().batch_bytes(), 1_000_000);
    }

    #[test]
    fn a_control_topic_that_would_forget_positions_is_refused() {
        let refused = |facts| {
            let view = View { topics: [("c".to_owned(), facts)].into(), ..View::default() };
            view.check_control("c").map_err(|why| why.replace("kafka.control_topic: ", ""))
        };
        assert_eq!(refused(topic(1, None, "compact")), Ok(()));
        assert_eq!(refused(topic(2, None, "compact")), Err("c has 2 partitions, must have 1".into()));
        assert_eq!(
            refused(topic(1, None, "delete")),
            Err("cleanup.policy of c is delete, must be compact".into())
        );
        assert_eq!(refused(TopicFacts::NotAllowed), Err("c: no right to see the topic".into()));
        assert_eq!(refused(TopicFacts::Missing), Err("c: the topic does not exist".into()));
    }
}
