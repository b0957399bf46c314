//! What the relay is told by the configuration.

use super::group::Group;
use crate::config::{Cleanup, Kafka, KafkaDelivery, TopicName, TopicPlan};
use crate::infra::kafka::{Connection, NewTopic};
use std::num::NonZeroU32;
use std::time::Duration;

/// Settings of the relay.
#[derive(Clone)]
pub struct Settings {
    /// How Kafka is reached.
    pub connection: Connection,
    /// Whether positions are kept in Kafka, in the transactions of the records; else in our store.
    pub has_transactions: bool,
    /// Before the transactional id.
    pub transactional_id_prefix: String,
    /// Where positions are.
    pub control: NewTopic,
    /// Where copies of held records go.
    pub dead_letters: Option<NewTopic>,
    /// A transaction that takes longer is given up.
    pub transaction_timeout: Duration,
    /// Whether missing topics are created.
    pub create_topics: bool,
    /// Failed attempts of a job that is held for a record.
    pub max_attempts: u16,
}

impl Settings {
    /// Those of `[kafka]`.
    #[must_use]
    pub fn of(kafka: &Kafka, connection: &Connection, max_attempts: u16) -> Self {
        let named = |name: &TopicName| TopicPlan { name: name.to_string(), ..kafka.topic("", "") };
        let control = named(&kafka.control_topic);
        Self {
            connection: connection.named("relay"),
            has_transactions: kafka.delivery == KafkaDelivery::Transactions,
            transactional_id_prefix: kafka.transactional_id_prefix.clone(),
            control: NewTopic {
                partitions: Some(1),
                // Positions must not be deleted by age.
                cleanup: Some(Cleanup::Compact.word().to_owned()),
                retention: None,
                ..new_topic(&control)
            },
            dead_letters: kafka.dead_letter_topic.as_ref().map(|name| new_topic(&named(name))),
            transaction_timeout: kafka.transaction_timeout.get(),
            create_topics: kafka.create_topics,
            max_attempts,
        }
    }

    /// The topics of a group as they are made, and those of positions and of dead letters.
    #[must_use]
    pub fn topics(&self, group: &Group) -> Vec<NewTopic> {
        let mut topics: Vec<NewTopic> = Vec::with_capacity(group.topics.len() + 2);
        topics.extend(self.has_transactions.then(|| self.control.clone()));
        topics.extend(self.dead_letters.clone());
        for plan in group.topics.values() {
            // Tables of one module share a topic.
            if topics.iter().all(|topic| topic.name != plan.name) {
                topics.push(new_topic(plan));
            }
        }
        topics
    }
}

/// How a topic is made.
#[must_use]
pub fn new_topic(plan: &TopicPlan) -> NewTopic {
    NewTopic {
        name: plan.name.clone(),
        partitions: plan.partitions.map(NonZeroU32::get),
        replication: plan.replication.map(NonZeroU32::get),
        retention: plan.retention,
        cleanup: plan.cleanup.map(|cleanup| cleanup.word().to_owned()),
    }
}
