//! Which topics there are, with which limits, and making them.

use super::connection::{Connection, Login};
use super::context::Context;
use super::deliveries::Deadline;
use super::failure::{Failure, told};
use super::read::{NOT_ALLOWED, consumer, partitions};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier};
use rdkafka::admin::{NewTopic as Creation, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Longest wait of one call.
const STEP: Duration = Duration::from_millis(500);
const NO_TOKEN: &str = "topics cannot be created or deleted with kafka.sasl_mechanism = OAUTHBEARER";

/// What Kafka says about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicFacts {
    /// It exists.
    Exists {
        /// Number of partitions.
        partitions: u32,
        /// Largest batch of records, compressed, in bytes; `None` if we have no right to know.
        max_message_bytes: Option<u64>,
        /// `cleanup.policy`; `None` if we have no right to know.
        cleanup: Option<String>,
    },
    /// It does not exist, or we may not know.
    Missing,
    /// We have no right to see it; whether it exists is unknown.
    NotAllowed,
}

/// A topic to be made. What is `None` is decided by the broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: Option<u32>,
    /// Replicas of each partition.
    pub replication: Option<u32>,
    /// How long records are kept.
    pub retention: Option<Duration>,
    /// `cleanup.policy`.
    pub cleanup: Option<String>,
}

/// Asks about topics and makes them. Everything here blocks and is not to be called from an async task.
pub struct Topics {
    connection: Connection,
    /// `None` for a login by token: this client of the crate does not ask for tokens. Topics can be seen without it.
    admin: Option<AdminClient<Context>>,
    consumer: BaseConsumer<Context>,
    runtime: Runtime,
    timeout: Duration,
}

impl Topics {
    /// Connects in the background. Each question takes `timeout` at most.
    ///
    /// # Errors
    /// [`Failure::Lost`]: the settings cannot be used.
    pub fn open(connection: &Connection, timeout: Duration) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let by_token = matches!(connection.settings().login, Some(Login::Token { .. }));
        Ok(Self {
            admin: if by_token { None } else { Some(connection.client(&[])?) },
            consumer: consumer(connection)?,
            runtime: runtime.map_err(|error| Failure::Lost { reason: error.to_string(), fenced: false })?,
            connection: connection.clone(),
            timeout,
        })
    }

    /// Finds out about these topics.
    ///
    /// # Errors
    /// [`Failure::Again`]: Kafka does not answer.
    pub fn facts(&self, names: &[&str]) -> Result<BTreeMap<String, TopicFacts>, Failure> {
        let deadline = Deadline::after(self.timeout);
        let mut facts = BTreeMap::new();
        for name in names {
            let fact = match partitions(&self.connection, &self.consumer, name, deadline) {
                Ok(partitions) => TopicFacts::Exists {
                    partitions: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
                    max_message_bytes: None,
                    cleanup: None,
                },
                Err(Failure::Topic { reason, .. }) if reason == NOT_ALLOWED => TopicFacts::NotAllowed,
                Err(Failure::Topic { .. }) => TopicFacts::Missing,
                Err(failure) => return Err(failure),
            };
            facts.insert((*name).to_owned(), fact);
        }
        self.connection.answers();
        self.add_configs(&mut facts)?;
        Ok(facts)
    }

    fn add_configs(&self, facts: &mut BTreeMap<String, TopicFacts>) -> Result<(), Failure> {
        let is_there = |(name, fact): (&'_ String, &TopicFacts)| {
            matches!(fact, TopicFacts::Exists { .. }).then(|| name.clone())
        };
        let names: Vec<String> = facts.iter().filter_map(is_there).collect();
        let Some(admin) = self.admin.as_ref().filter(|_| !names.is_empty()) else { return Ok(()) };
        let asked: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let described = self.runtime.block_on(admin.describe_configs(&asked, &self.options()));
        let described = described.map_err(|error| self.again(&error))?;
        // Without the right to know, there is an error in place of the settings.
        for resource in described.into_iter().flatten() {
            let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { continue };
            if let Some(TopicFacts::Exists { max_message_bytes, cleanup, .. }) = facts.get_mut(name) {
                *max_message_bytes = value(&resource, "max.message.bytes").and_then(|text| text.parse().ok());
                *cleanup = value(&resource, "cleanup.policy");
            }
        }
        Ok(())
    }

    /// Makes topics. Returns why those that were not made were not; one that exists already is as good as made.
    ///
    /// # Errors
    /// [`Failure::Again`]: Kafka does not answer.
    pub fn create(&self, topics: &[NewTopic]) -> Result<BTreeMap<String, String>, Failure> {
        let failed = self.ask_for(topics, &self.options())?;
        // The controller answers a moment before the brokers know.
        let deadline = Deadline::after(self.timeout);
        for topic in topics.iter().filter(|topic| !failed.contains_key(&topic.name)) {
            while self.is_missing(&topic.name, deadline)? && !deadline.has_passed() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(failed)
    }

    /// Deletes topics. One that does not exist is as good as deleted.
    ///
    /// # Errors
    /// [`Failure::Again`]: Kafka does not answer. [`Failure::Topic`]: one cannot be deleted.
    pub fn delete(&self, names: &[&str]) -> Result<(), Failure> {
        let Some(admin) = &self.admin else {
            return Err(Failure::Lost { reason: NO_TOKEN.to_owned(), fenced: false });
        };
        let deleted = self.runtime.block_on(admin.delete_topics(names, &self.options()));
        for (topic, code) in deleted.map_err(|error| self.again(&error))?.into_iter().filter_map(Result::err)
        {
            if code != Code::UnknownTopicOrPartition {
                return Err(Failure::Topic { topic, reason: code.to_string() });
            }
        }
        Ok(())
    }

    fn is_missing(&self, name: &str, deadline: Deadline) -> Result<bool, Failure> {
        match partitions(&self.connection, &self.consumer, name, deadline) {
            Err(Failure::Topic { reason, .. }) => Ok(reason != NOT_ALLOWED),
            found => found.map(|_| false),
        }
    }

    /// As [`create`](Self::create), but makes none.
    ///
    /// # Errors
    /// [`Failure::Again`]: Kafka does not answer.
    pub fn could_create(&self, topics: &[NewTopic]) -> Result<BTreeMap<String, String>, Failure> {
        self.ask_for(topics, &self.options().validate_only(true))
    }

    fn ask_for(
        &self,
        topics: &[NewTopic],
        options: &AdminOptions,
    ) -> Result<BTreeMap<String, String>, Failure> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let Some(admin) = &self.admin else {
            let failed = |topic: &NewTopic| (topic.name.clone(), NO_TOKEN.to_owned());
            return Ok(topics.iter().map(failed).collect());
        };
        self.cluster_id()?;
        let retention = |topic: &NewTopic| topic.retention.map(|time| time.as_millis().to_string());
        let retentions: Vec<_> = topics.iter().map(retention).collect();
        let creations = topics.iter().zip(&retentions).map(|(topic, retention)| {
            let count = |count: Option<u32>| count.and_then(|count| i32::try_from(count).ok()).unwrap_or(-1);
            let replication = TopicReplication::Fixed(count(topic.replication));
            let mut creation = Creation::new(&topic.name, count(topic.partitions), replication);
            if let Some(retention) = retention {
                creation = creation.set("retention.ms", retention);
            }
            match &topic.cleanup {
                Some(cleanup) => creation.set("cleanup.policy", cleanup),
                None => creation,
            }
        });
        let creations: Vec<_> = creations.collect();
        let created = self.runtime.block_on(admin.create_topics(&creations, options));
        let created = created.map_err(|error| self.again(&error))?;
        self.connection.answers();
        let failed = created.into_iter().filter_map(Result::err);
        let failed = failed.filter(|(_, code)| *code != Code::TopicAlreadyExists);
        let told = failed.map(|(name, code)| match code {
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                (name, "no right to create the topic".to_owned())
            }
            code => (name, code.to_string()),
        });
        Ok(told.collect())
    }

    /// The id of this Kafka, once it answers.
    ///
    /// # Errors
    /// [`Failure::Again`]: Kafka does not answer.
    pub fn cluster_id(&self) -> Result<String, Failure> {
        let deadline = Deadline::after(self.timeout);
        loop {
            if let Some(id) = self.consumer.client().fetch_cluster_id(STEP) {
                return Ok(id);
            }
            // The client that asks hears why not, unlike the one that makes topics.
            while self.consumer.poll(Duration::ZERO).is_some() {}
            if deadline.has_passed() {
                return Err(Failure::Again { reason: self.connection.reason("Kafka did not answer") });
            }
        }
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().operation_timeout(Some(self.timeout)).request_timeout(Some(self.timeout))
    }

    fn again(&self, error: &KafkaError) -> Failure {
        Failure::Again { reason: self.connection.reason(told(error)) }
    }
}

fn value(resource: &ConfigResource, name: &str) -> Option<String> {
    resource.get(name)?.value.clone()
}
