//! What an operator may set, where it came from, and what is wrong with it.
//!
//! ```text
//! config.default.toml ─▶ file ─▶ conf.d/*.toml ─▶ HEADWORKS__A__B ─▶ --set a.b=   layer: nodes with their place
//!          └──────────── merged, later wins ───────────────┘                      tree
//!                                 │ read again and again until nothing is wrong   read, input, fault, secret
//!                                 ▼
//!                              Config ─▶ do the settings fit each other?          check
//!                                 ▼
//!                              Loaded ─▶ print, schema;  Live: swapped on SIGHUP
//! ```
//!
//! [`load`] reports every mistake of shape at once; only settings that are each right are compared with each other. A
//! list in a later layer replaces the earlier one, but customers and rules are added to those before. Secrets leave the
//! tree as soon as they are read, so nothing that prints a configuration can print one.

mod check;
mod customer;
mod error;
mod fault;
mod http;
mod input;
mod jobs;
mod layer;
mod live;
mod mail;
mod modules;
mod pattern;
mod period;
mod print;
mod read;
mod rule;
mod schema;
mod secret;
mod server;
mod size;
mod store;
#[cfg(test)]
mod tests;
mod tree;
mod upkeep;
mod volume;

pub use crate::ids::Role;
pub use customer::{Address, Customer, Folded};
pub use error::{Errors, KeyPath, Mistake};
pub use http::{Door, Http, Listen};
pub use jobs::{Jobs, QueueException, QueueLimits};
pub use layer::Sources;
pub use live::{Difference, Live};
pub use mail::Mail;
pub use modules::Modules;
pub use pattern::{Pattern, Template};
pub use period::Period;
pub use rule::{Assignment, AttachmentLike, Rule, When};
pub use schema::schema;
pub use secret::Secret;
pub use server::{Format, Level, Server, Telemetry, Zone};
pub use size::ByteSize;
pub use store::{Store, StoreKind};
pub use tree::Origin;
pub use upkeep::{History, Keeper, Log};
pub use volume::{Spool, Volume, VolumeKind, Volumes};

use crate::ids::QueueName;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that can be set. `config.default.toml` holds the defaults; the structs have none, so that there is one
/// place to look. Its comments and the comments of these fields are the same text (a test compares them).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The process and its place on disk.
    pub server: Server,
    /// What the process tells about its own work.
    pub telemetry: Telemetry,
    /// Which database, and how it is used.
    pub store: Store,
    /// Addresses to listen on.
    pub listen: Vec<Listen>,
    /// Limits of every request.
    pub http: Http,
    /// The named stores of files.
    pub volume: Volumes,
    /// The directory Postfix and LMTP put mail into, and how Postfix is told to.
    pub spool: Spool,
    /// Limits and habits of mail intake and sorting. A mail beyond a limit is kept as one part, never refused for it; held only where its header is.
    pub mail: Mail,
    /// The module processes and what one delivery may cost there.
    pub modules: Modules,
    /// How jobs are leased, run and retried (`[queue.<name>]` makes exceptions).
    pub jobs: Jobs,
    /// What is known of finished jobs.
    pub history: History,
    /// The log of events that leave.
    pub log: Log,
    /// How often the keeper does its duties.
    pub keeper: Keeper,
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
    secrets: BTreeMap<KeyPath, Secret>,
}

/// Reads and checks the settings of `sources`.
///
/// # Errors
/// Every mistake, each with its place.
pub fn load(sources: &Sources) -> Result<Loaded, Errors> {
    let (table, mut mistakes) = layer::merged(sources);
    let Some(read) = read::read(table, sources.credentials.as_deref(), &mut mistakes) else {
        return Err(Errors(mistakes));
    };
    let read::Read { mut config, tree, secrets } = read;
    check::check(&config, &tree, &mut mistakes);
    if !mistakes.is_empty() {
        return Err(Errors(mistakes));
    }
    config.anchor_paths();
    Ok(Loaded { config: Arc::new(config), tree, secrets })
}

impl Loaded {
    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Secrets that were given by file or credential: the setting, and which.
    #[must_use]
    pub fn secret_places(&self) -> Vec<(String, String)> {
        let given = |path: &KeyPath| {
            let (section, name) = path.split_last()?;
            let way = |end| self.tree.at(&section.key(&format!("{name}{end}")));
            let node = Secret::SUFFIXES.into_iter().find_map(way)?;
            Some((path.to_string(), node.value.to_string().trim_matches('"').to_owned()))
        };
        self.secrets.keys().filter_map(given).collect()
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

    /// Puts relative paths below the state directory.
    fn anchor_paths(&mut self) {
        let anchor = |path: &mut PathBuf| *path = self.server.state_dir.join(&*path);
        anchor(&mut self.server.tmp_dir);
        anchor(&mut self.server.control_socket);
        anchor(&mut self.volume.inbox.path);
        anchor(&mut self.volume.archive.path);
        anchor(&mut self.spool.path);
    }
}

/// Number and unit of `"25MiB"` or `"25 MiB"`; what is empty or wrong is refused by the caller.
fn split_unit(text: &str) -> (&str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    (count, unit.strip_prefix(' ').unwrap_or(unit))
}

/// Reads a setting that is text of a certain form: `Deserialize` by way of `FromStr`.
macro_rules! text_setting {
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
