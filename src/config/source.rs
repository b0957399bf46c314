//! Sources: the configured ways in.
//!
//! A section is flat: its kind decides which of the fields it needs, may have and refuses, and `check` says so with the
//! place. What a source leaves out is as in the source of its kind in `config.default.toml`.

use super::layer::ways;
use super::tree::{Node, Table, Value};
use super::{ByteSize, Config, Folded, Period};
use crate::ids::Slug;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;
use std::time::Duration;

/// One way in. Receipts, metrics and paths of held mail carry its name.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What kind of way in it is: mail (Postfix and this host's spool) or rest (`POST /api/1.0/deliveries`).
    pub kind: SourceKind,
    /// Whether it is in use. At most one source of kind mail and one of kind rest can be.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How long an accepted item is remembered, so that a repeat gets the first receipt.
    pub key_ttl: Option<Period>,
    /// Mail: domains that Postfix relays to headworks, and at which plus addresses are recognised.
    pub domains: Option<Vec<Folded>>,
    /// Mail: character between the name and the extension of a plus address, as in Postfix.
    pub recipient_delimiter: Option<char>,
    /// Rest: largest delivery.
    pub delivery_bytes: Option<ByteSize>,
}

const fn yes() -> bool {
    true
}

/// Kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Mail that Postfix puts into this host's spool.
    Mail,
    /// Deliveries whose senders name the coordinates.
    Rest,
}

/// The fields of a kind of source or volume, besides `kind` itself. It refuses every other.
pub(super) struct Fields {
    pub needed: &'static [&'static str],
    pub optional: &'static [&'static str],
}

impl SourceKind {
    pub(super) const fn fields(self) -> Fields {
        let needed: &[&str] = match self {
            Self::Mail => &["key_ttl", "domains", "recipient_delimiter"],
            Self::Rest => &["key_ttl", "delivery_bytes"],
        };
        Fields { needed, optional: &["enabled"] }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mail => "mail",
            Self::Rest => "rest",
        })
    }
}

/// The source of kind mail.
#[derive(Debug, Clone, Copy)]
pub struct MailSource<'a> {
    /// Its name.
    pub name: &'a Slug,
    /// How long an accepted mail is remembered.
    pub key_ttl: Duration,
    /// Domains that Postfix relays to headworks, and at which plus addresses are recognised.
    pub domains: &'a [Folded],
    /// Character between the name and the extension of a plus address.
    pub recipient_delimiter: char,
}

/// The source of kind rest.
#[derive(Debug, Clone, Copy)]
pub struct RestSource<'a> {
    /// Its name.
    pub name: &'a Slug,
    /// How long an accepted delivery is remembered.
    pub key_ttl: Duration,
    /// Largest delivery.
    pub delivery_bytes: u64,
}

impl Config {
    /// The source of kind mail; every process with role mail has one.
    #[must_use]
    pub fn mail_source(&self) -> Option<MailSource<'_>> {
        let (name, source) = self.sources_in_use(SourceKind::Mail).next()?;
        Some(MailSource {
            name,
            key_ttl: source.key_ttl?.get(),
            domains: source.domains.as_deref()?,
            recipient_delimiter: source.recipient_delimiter?,
        })
    }

    /// The source of kind rest; without one no delivery can be posted.
    #[must_use]
    pub fn rest_source(&self) -> Option<RestSource<'_>> {
        let (name, source) = self.sources_in_use(SourceKind::Rest).next()?;
        Some(RestSource {
            name,
            key_ttl: source.key_ttl?.get(),
            delivery_bytes: source.delivery_bytes?.bytes(),
        })
    }

    /// The enabled sources of `kind`, by name.
    pub fn sources_in_use(&self, kind: SourceKind) -> impl Iterator<Item = (&Slug, &Source)> {
        self.sources.iter().filter(move |(_, source)| source.enabled && source.kind == kind)
    }
}

/// Gives every source of `settings` what it leaves out: the values of the source of its kind in `defaults`.
pub(super) fn inherit(settings: &mut Table, defaults: &Table) {
    let section = |node: &Node| match &node.value {
        Value::Table(section) => Some(section.clone()),
        _ => None,
    };
    let built_in: Vec<Table> = defaults
        .get("source")
        .and_then(section)
        .iter()
        .flat_map(Table::iter)
        .filter_map(|(_, node)| section(node))
        .collect();
    let Some(Value::Table(sources)) = settings.get_mut("source").map(|node| &mut node.value) else { return };
    for node in sources.nodes_mut() {
        let Value::Table(source) = &mut node.value else { continue };
        let is_same_kind = |default: &&Table| match (source.get("kind"), default.get("kind")) {
            (Some(mine), Some(theirs)) => mine.value.to_string() == theirs.value.to_string(),
            _ => false,
        };
        let Some(default) = built_in.iter().find(is_same_kind) else { continue };
        source.drop_defaults(); // They are those of another kind where the kind was changed.
        for (name, node) in default.iter() {
            if ways(source, name).is_empty() {
                source.put(name, node.clone());
            }
        }
    }
}
