//! Customers and how their mail is recognised.

use crate::ids::Slug;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;

/// One customer, recognised by the envelope recipient alone, never by the contents of a mail.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Customer {
    /// Name, and first directory of the customer's paths: `[a-z0-9_-]`, not starting with `_`.
    #[schemars(with = "String")]
    pub name: Slug,
    /// Name for people to read.
    pub title: Option<String>,
    /// Addresses of the customer.
    #[serde(default)]
    pub recipients: Vec<Address>,
    /// Extension of the customer's plus addresses: `anything+bobs` at a domain of the mail source.
    pub plus: Option<Folded>,
    /// Domains whose addresses all belong to the customer, except those that another customer names.
    #[serde(default)]
    pub domains: Vec<Folded>,
}

/// Text in which ASCII letters are compared without case and everything else exactly.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Folded(String);

impl Folded {
    /// The folded form of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }

    /// The folded text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Folded {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.contains(|c: char| c == '@' || c.is_whitespace() || c.is_control()) {
            return Err(format!("{text:?} is not one word without @"));
        }
        Ok(Self::of(text))
    }
}

/// A mail address, split at its last `@`. ASCII letters are compared without case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Before the last `@`; folded.
    pub local: Folded,
    /// After it; folded.
    pub domain: Folded,
}

impl Address {
    /// Splits what an envelope says; `None` where there is no `@`, or nothing on one side of the last one.
    #[must_use]
    pub fn split(text: &str) -> Option<Self> {
        let (local, domain) = text.rsplit_once('@')?;
        let whole = !local.is_empty() && !domain.is_empty();
        whole.then(|| Self { local: Folded::of(local), domain: Folded::of(domain) })
    }
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let clean = |text: &str| !text.contains(|c: char| c.is_control());
        let split = Self::split(text)
            .filter(|address| clean(text) && address.domain.as_str().parse::<Folded>().is_ok());
        split.ok_or_else(|| format!("{text:?} is not a mail address"))
    }
}

impl fmt::Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

super::text_setting!(Folded, "one word without @", { "type": "string" });
super::text_setting!(Address, "a mail address", { "type": "string", "pattern": "^.+@[^@]+$" });

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_splits_at_its_last_at_sign_and_folds() {
        let address = Address::split("\"odd@Name\"@Ingest.Example.COM").unwrap();
        assert_eq!((address.local.as_str(), address.domain.as_str()), ("\"odd@name\"", "ingest.example.com"));
        assert_eq!(Address::split("nobody"), None);
        assert_eq!(Address::split("@example.com"), None);
        assert_eq!(Address::split("bob@"), None);
    }
}
