//! Kafka: where it is, how to log in, and what the relay writes there.

use super::{Period, Secret, unless_empty};
use crate::ids::Slug;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Kafka, to which the relay copies the log.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to connect to first, `host:port`. If empty, nothing is sent to Kafka and the log keeps nothing for it.
    pub bootstrap: Vec<Broker>,
    /// Name under which the brokers see headworks.
    pub client_id: String,
    /// Compression of what is sent: zstd, lz4, snappy, gzip, none.
    pub compression: Compression,
    /// Where the position of the relay is kept: transactions (in Kafka, each record once) or database (each record at least once).
    pub delivery: KafkaDelivery,
    /// First part of the transactional ids, for the ACLs of Kafka.
    pub transactional_id_prefix: String,
    /// Kafka aborts a transaction that stays open longer. It must be longer than the longest stall of our store.
    pub transaction_timeout: Period,
    /// Topic of the relay's own records: how far each topic of the log has been sent.
    pub control_topic: TopicName,
    /// First part of the name of every topic that `topics` does not name.
    pub topic_prefix: String,
    /// Topic that gets a copy of each held record, with the reason in its headers; none if empty.
    #[serde(deserialize_with = "unless_empty")]
    #[schemars(with = "String")]
    pub dead_letter_topic: Option<TopicName>,
    /// Whether missing topics are created, which OAUTHBEARER cannot. If not, and for topics that exist, settings are only checked.
    pub create_topics: bool,
    /// How a key decides the partition: murmur2_random (as Java's clients do) or consistent_random (as librdkafka's do by default).
    pub partitioner: Partitioner,
    /// How connections are secured: plaintext, ssl, sasl_plaintext, sasl_ssl.
    pub security: Security,
    /// SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
    pub sasl_mechanism: SaslMechanism,
    /// SASL with PLAIN or SCRAM: the user.
    pub username: String,
    /// SASL with PLAIN or SCRAM: the user's password; or give `password_file` or `password_credential`.
    pub password: Secret,
    /// SASL with OAUTHBEARER: URL at which the issuer hands out tokens.
    pub oauth_token_endpoint: String,
    /// SASL with OAUTHBEARER: the client's id at the issuer.
    pub oauth_client_id: String,
    /// SASL with OAUTHBEARER: the client's secret at the issuer.
    pub oauth_client_secret: Secret,
    /// SASL with OAUTHBEARER: the scope that is asked for; none if empty.
    pub oauth_scope: String,
    /// TLS: file of the CA certificates, PEM. If empty, those of the system.
    #[serde(deserialize_with = "unless_empty")]
    #[schemars(with = "String")]
    pub ca: Option<PathBuf>,
    /// TLS: file of the client's certificate, PEM; none if empty.
    #[serde(deserialize_with = "unless_empty")]
    #[schemars(with = "String")]
    pub certificate: Option<PathBuf>,
    /// TLS: file of the client's key, PEM. It may be the file of the certificate.
    #[serde(deserialize_with = "unless_empty")]
    #[schemars(with = "String")]
    pub key: Option<PathBuf>,
    /// TLS: password of the client's key.
    pub key_password: Secret,
    /// Further settings of librdkafka by their names in it, each as text: `{ "linger.ms" = "20" }`.
    pub options: BTreeMap<String, String>,
    /// Topics that are created, unless `topics` says otherwise. What is left out is decided by the broker.
    #[serde(default)]
    pub defaults: TopicDefaults,
    /// Topics by the topic of the log that goes there.
    #[serde(default)]
    pub topics: BTreeMap<String, Topic>,
    /// Groups of topics of the log. Each has a relay of its own; all other topics share one.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Group>")]
    pub group: BTreeMap<Slug, Group>,
}

/// Topics that are created, unless `topics` says otherwise. What is left out is decided by the broker.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicDefaults {
    /// Partitions.
    pub partitions: Option<NonZeroU32>,
    /// Replicas of each partition.
    pub replication: Option<NonZeroU32>,
    /// How long records are kept.
    pub retention: Option<Period>,
    /// What becomes of old records: delete, compact or "compact,delete".
    pub cleanup: Option<Cleanup>,
}

/// The topic for one topic of the log, such as `"rows.hydrastor_alert"`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// Its name. Default: `topic_prefix` and the module whose rows they are, with a dot: `headworks.hydrastor.alert`.
    pub name: Option<TopicName>,
    /// Partitions, if it is created.
    pub partitions: Option<NonZeroU32>,
    /// Replicas of each partition, if it is created.
    pub replication: Option<NonZeroU32>,
    /// How long records are kept, if it is created.
    pub retention: Option<Period>,
    /// What becomes of old records, if it is created: delete, compact or "compact,delete".
    pub cleanup: Option<Cleanup>,
}

/// A group of topics of the log, sent by a relay of its own.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Topics of the log.
    pub topics: Vec<String>,
}

/// What a topic is called, and how it is created. `None` leaves the decision to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name in Kafka. Follows [`TopicName`]'s rule only if the name that was made does.
    pub name: String,
    /// Partitions.
    pub partitions: Option<NonZeroU32>,
    /// Replicas of each partition.
    pub replication: Option<NonZeroU32>,
    /// How long records are kept.
    pub retention: Option<Duration>,
    /// What becomes of old records.
    pub cleanup: Option<Cleanup>,
}

impl Kafka {
    /// Whether there is a Kafka.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.bootstrap.is_empty()
    }

    /// What the topic for `log_topic` is called, and how it is created. Without a name of its own it is called `made`, behind
    /// the prefix.
    #[must_use]
    pub fn topic(&self, log_topic: &str, made: &str) -> TopicPlan {
        let none = Topic::default();
        let own = self.topics.get(log_topic).unwrap_or(&none);
        let name = own.name.as_ref().map(ToString::to_string);
        TopicPlan {
            name: name.unwrap_or_else(|| format!("{}{made}", self.topic_prefix)),
            partitions: own.partitions.or(self.defaults.partitions),
            replication: own.replication.or(self.defaults.replication),
            retention: own.retention.or(self.defaults.retention).map(Period::get),
            cleanup: own.cleanup.or(self.defaults.cleanup),
        }
    }

    /// The group that sends `log_topic`; `None` for the relay of all that are in no group.
    #[must_use]
    pub fn group_of(&self, log_topic: &str) -> Option<&Slug> {
        let has = |group: &Group| group.topics.iter().any(|topic| topic == log_topic);
        self.group.iter().find(|(_, group)| has(group)).map(|(name, _)| name)
    }
}

/// A broker's address: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker(String);

impl FromStr for Broker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_host = |host: &str| match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
            Some(address) => address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
            None => {
                let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
                !host.is_empty() && host.bytes().all(fits)
            }
        };
        let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        match text.rsplit_once(':') {
            Some((host, port)) if is_host(host) && is_port(port) => Ok(Self(text.to_owned())),
            _ => Err(format!("{text:?} is not an address with a port such as \"kafka.example.com:9092\"")),
        }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

super::text_setting!(Broker, "an address with a port such as \"kafka.example.com:9092\"", { "type": "string" });

/// The name of a topic in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicName(String);

impl TopicName {
    /// Longest name.
    const MAX_BYTES: usize = 249;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether every character of `text` may be in a name.
    pub(super) fn has_only_allowed(text: &str) -> bool {
        text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    }
}

impl FromStr for TopicName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && Self::has_only_allowed(text);
        match fits && text != "." && text != ".." {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "{text:?} is no name of a topic: 1 to {} of [a-zA-Z0-9._-], not . or ..",
                Self::MAX_BYTES
            )),
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

super::text_setting!(TopicName, "the name of a topic", { "type": "string", "pattern": "^[a-zA-Z0-9._-]{1,249}$" });

/// Declares a setting that is one of some words, which are also Kafka's own.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// The word for it in the configuration and in Kafka's.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

words! {
    /// Compression of what is sent.
    Compression {
        /// Zstandard.
        Zstd = "zstd",
        /// LZ4.
        Lz4 = "lz4",
        /// Snappy.
        Snappy = "snappy",
        /// Gzip.
        Gzip = "gzip",
        /// None.
        None = "none",
    }
}

words! {
    /// Where the position of the relay is kept.
    KafkaDelivery {
        /// In Kafka, written in the transaction that writes the records: each record once.
        Transactions = "transactions",
        /// In our database, after the records were acknowledged: each record at least once.
        Database = "database",
    }
}

words! {
    /// How a key decides the partition.
    Partitioner {
        /// As Java's clients do.
        Murmur2Random = "murmur2_random",
        /// As librdkafka's clients do by default.
        ConsistentRandom = "consistent_random",
    }
}

words! {
    /// How connections are secured.
    Security {
        /// Not at all.
        Plaintext = "plaintext",
        /// TLS.
        Ssl = "ssl",
        /// A login without TLS.
        SaslPlaintext = "sasl_plaintext",
        /// A login over TLS.
        SaslSsl = "sasl_ssl",
    }
}

impl Security {
    /// Whether there is TLS.
    #[must_use]
    pub const fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    /// Whether there is a login.
    #[must_use]
    pub const fn has_login(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

words! {
    /// How the login goes.
    SaslMechanism {
        /// The password as it is.
        Plain = "PLAIN",
        /// A proof of the password.
        ScramSha256 = "SCRAM-SHA-256",
        /// A proof of the password.
        ScramSha512 = "SCRAM-SHA-512",
        /// A token of an issuer.
        OauthBearer = "OAUTHBEARER",
    }
}

words! {
    /// What becomes of old records.
    Cleanup {
        /// They are removed by age.
        Delete = "delete",
        /// The newest of each key is kept.
        Compact = "compact",
        /// Both.
        CompactDelete = "compact,delete",
    }
}
