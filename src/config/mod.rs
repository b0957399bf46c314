//! What an operator may set, where it came from, and what is wrong with it.
//!
//! ```text
//! config.default.toml ─▶ file ─▶ conf.d/*.toml ─▶ HEADWORKS__A__B ─▶ --set a.b=   layer: nodes with their place
//!          └──────────── merged, later wins ───────────────┘                      tree
//!                                 │ read again and again until nothing is wrong   read, input, fault, secret
//!                                 ▼
//!                              Config ─▶ do the settings fit each other?          check, check_kafka, check_s3
//!                                 ▼
//!                              Loaded ─▶ print, schema;  Live: swapped on SIGHUP
//! ```
//!
//! [`load`] reports every mistake of shape at once; only settings that are each right are compared with each other. A
//! list in a later layer replaces the earlier one, but customers and rules are added to those before. Secrets are masked
//! in the tree as soon as they are read, so nothing that prints a configuration can print one.

mod check;
mod check_kafka;
mod check_s3;
mod customer;
mod error;
mod fault;
mod http;
mod input;
mod jobs;
mod kafka;
mod layer;
mod live;
mod mail;
mod modules;
mod pattern;
mod period;
mod print;
mod read;
mod rule;
mod s3;
mod schema;
mod secret;
mod server;
mod size;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod tree;
mod upkeep;
mod volume;

pub use crate::ids::Role;
pub use customer::{Address, Customer, Folded};
pub use error::{Errors, KeyPath, Mistake};
pub use http::{ClientCertificate, Door, Http, Listen, Network};
pub use jobs::{Jobs, QueueException, QueueLimits};
pub use kafka::{
    Broker, Cleanup, Compression, Group, Kafka, KafkaDelivery, Partitioner, SaslMechanism, Security, Topic,
    TopicDefaults, TopicName, TopicPlan,
};
pub use layer::Layers;
pub use live::{Difference, Live};
pub use mail::Mail;
pub use modules::Modules;
pub use pattern::{Pattern, Template};
pub use period::Period;
pub use rule::{Assignment, AttachmentLike, Rule, When};
pub use s3::{S3, S3Checksums, S3Encryption, S3Login};
pub use schema::schema;
pub use secret::Secret;
pub use server::{Format, Level, Server, Telemetry, Zone};
pub use size::ByteSize;
pub use source::{MailSource, RestSource, Source, SourceKind};
pub use store::{Store, StoreKind};
pub use tree::Origin;
pub use upkeep::{Held, History, Keeper, Log};
pub use volume::{Spool, Volume, VolumeKind, VolumePlace, Volumes};

use crate::ids::{QueueName, Slug};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Everything that can be set. `config.default.toml` holds the defaults; the structs have none, so that there is one
/// place to look. Its comments and the comments of these fields are the same text (a test compares them).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The process and its place on disk.
    pub server: Server,
    /// What the process writes to its own log.
    pub telemetry: Telemetry,
    /// The database.
    pub store: Store,
    /// Addresses to listen on.
    pub listen: Vec<Listen>,
    /// Limits for every HTTP request.
    pub http: Http,
    /// The named stores of files.
    pub volume: Volumes,
    /// Object stores that speak S3, by name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, S3>")]
    pub s3: BTreeMap<Slug, S3>,
    /// The configured ways in, by name.
    #[serde(rename = "source")]
    #[schemars(with = "BTreeMap<String, Source>")]
    pub sources: BTreeMap<Slug, Source>,
    /// The directory into which Postfix and LMTP put mail, and what the lines for Postfix say.
    pub spool: Spool,
    /// Limits and delays of mail intake and sorting. Mail beyond a limit is never refused: it is kept as one part, or held if its header is too large.
    pub mail: Mail,
    /// The module processes and their limits for one delivery.
    pub modules: Modules,
    /// How jobs are leased, run and retried (`[queue.<name>]` makes exceptions).
    pub jobs: Jobs,
    /// Records of finished jobs.
    pub history: History,
    /// Work that waits for an operator.
    pub held: Held,
    /// The log of outgoing events.
    pub log: Log,
    /// How often the keeper's duties run.
    pub keeper: Keeper,
    /// Kafka, to which the relay copies the log.
    pub kafka: Kafka,
    /// Exceptions for queues. A section names one queue, `"parse:hydrastor/alert"`, or all below a prefix: `"parse:hydrastor"`, `parse`.
    #[serde(default)]
    pub queue: BTreeMap<String, QueueException>,
    /// Customers, in the order of the configuration.
    #[serde(default, rename = "customer")]
    pub customers: Vec<Customer>,
    /// Rules, in the order they are tried.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// A configuration that is right, and what is known about where it came from.
#[derive(Clone)]
pub struct Loaded {
    config: Arc<Config>,
    tree: tree::Node,
}

/// Reads and checks the settings of `layers`.
///
/// # Errors
/// Every mistake, each with its place.
pub fn load(layers: &Layers) -> Result<Loaded, Errors> {
    let (table, mistakes) = layer::merged(layers);
    Loaded::of(read::root(table), layers.credentials.as_deref(), mistakes)
}

impl Loaded {
    /// The settings of `tree`, right one by one and together. `mistakes` are those that were found before.
    fn of(
        mut tree: tree::Node,
        credentials: Option<&Path>,
        mut mistakes: Vec<Mistake>,
    ) -> Result<Self, Errors> {
        let read = read::read::<Config>(&mut tree, layer::defaults(), credentials, &mut mistakes);
        let Some(mut config) = read else { return Err(Errors(mistakes)) };
        check::check(&config, &tree, &mut mistakes);
        if !mistakes.is_empty() {
            return Err(Errors(mistakes));
        }
        config.anchor_paths();
        Ok(Self { config: Arc::new(config), tree })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Every file and credential that a secret was read from, with the setting that names it.
    #[must_use]
    pub fn secret_places(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        self.tree.secret_places(&KeyPath::default(), &mut found);
        found
    }

    /// The settings as a TOML file that means the same, secrets as `***`; `origin` adds where each was written.
    #[must_use]
    pub fn print(&self, origin: bool) -> String {
        print::tree(&self.tree, origin)
    }
}

impl Config {
    /// The limits of one queue: those of `[jobs]`, then of each section that names it or a prefix of it; for each setting the
    /// most specific section wins.
    #[must_use]
    pub fn queue_limits(&self, queue: &QueueName) -> QueueLimits {
        // A prefix sorts before the names below it.
        let sections = self.queue.iter().filter(|(name, _)| queue.is_below(name));
        QueueLimits::new(&self.jobs, sections.map(|(_, exception)| exception))
    }

    /// The longest `hard_timeout` of any queue.
    #[must_use]
    pub fn longest_hard_timeout(&self) -> Duration {
        let exceptions = self.queue.values().filter_map(|exception| exception.soft_timeout);
        let longest = exceptions.chain([self.jobs.soft_timeout]).map(Period::get).max();
        jobs::hard_timeout(longest.unwrap_or_default())
    }

    /// Puts relative paths below the state directory.
    fn anchor_paths(&mut self) {
        let anchor = |path: &mut PathBuf| *path = self.server.state_dir.join(&*path);
        anchor(&mut self.server.tmp_dir);
        anchor(&mut self.server.control_socket);
        self.volume.iter_mut().filter_map(|volume| volume.path.as_mut()).for_each(anchor);
        let files = self.s3.values_mut().flat_map(|store| [&mut store.ca, &mut store.profiles]);
        files.flatten().for_each(anchor);
        self.listen.iter_mut().flat_map(Listen::files).flatten().for_each(anchor);
        anchor(&mut self.spool.path);
        let kafka = &mut self.kafka;
        [&mut kafka.ca, &mut kafka.certificate, &mut kafka.key].into_iter().flatten().for_each(anchor);
    }
}

/// A setting that is not given when it is empty.
fn unless_empty<'de, T: FromStr<Err: fmt::Display>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    match String::deserialize(deserializer)? {
        none if none.is_empty() => Ok(None),
        text => text.parse().map(Some).map_err(D::Error::custom),
    }
}

/// Number and unit of `"25MiB"` or `"25 MiB"`; what is empty or wrong is refused by the caller.
fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    (count, unit.strip_prefix(' ').unwrap_or(unit))
}

/// Reads a setting that is text of a certain form: `Deserialize` by way of `FromStr`. A third argument is
/// the JSON schema of a type that does not derive its own.
macro_rules! text_setting {
    ($name:ident, $expected:literal, $schema:tt) => {
        $crate::config::text_setting!($name, $expected);
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
    ($name:ident, $expected:literal) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}
use text_setting;
