//! Names of queues, the same in the API, on the command line and in the configuration.

use super::{Home, Kind, Slug, SpoolId};
use std::fmt;

/// Name of a queue: `sort@<spool>`, `parse:hydrastor/alert`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueName {
    /// What its jobs do.
    pub kind: Kind,
    /// Module that does it, for `parse`.
    pub module: Option<String>,
    /// Spool whose holder alone can do it, for `sort`.
    pub home: Option<SpoolId>,
}

impl QueueName {
    /// The queue of mails in one spool.
    #[must_use]
    pub const fn sort(home: SpoolId) -> Self {
        Self { kind: Kind::Sort, module: None, home: Some(home) }
    }

    /// The queue of one module.
    #[must_use]
    pub fn parse(module: &str) -> Self {
        Self { kind: Kind::Parse, module: Some(module.to_owned()), home: None }
    }

    /// The queue of records that Kafka refused.
    #[must_use]
    pub const fn relay() -> Self {
        Self { kind: Kind::Relay, module: None, home: None }
    }

    /// Whether `name` is this name or a prefix of it that ends before a separator: `parse` and `parse:hydrastor` are
    /// prefixes of `parse:hydrastor/alert`.
    #[must_use]
    pub fn is_below(&self, name: &str) -> bool {
        let own = self.to_string();
        own.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/', '@']))
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.word())?;
        if let Some(module) = &self.module {
            write!(f, ":{module}")?;
        }
        if let Some(home) = &self.home {
            write!(f, "@{home}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for QueueName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let malformed = || format!("{name:?} is not the name of a queue: kind[:module][@spool]");
        let (front, home) = name.split_once('@').map_or((name, None), |(front, home)| (front, Some(home)));
        let (kind, module) =
            front.split_once(':').map_or((front, None), |(kind, module)| (kind, Some(module)));
        let kind: Kind = kind.parse()?;
        let home = home.map(|home| home.parse().map_err(|_| malformed())).transpose()?;
        let is_module = |module: &str| {
            let parts = module.split('/');
            parts.clone().count() <= 2 && parts.into_iter().all(|part| part.parse::<Slug>().is_ok())
        };
        if !module.is_none_or(is_module) || (home.is_some() && kind.facts().home == Home::Anywhere) {
            return Err(malformed());
        }
        Ok(Self { kind, module: module.map(str::to_owned), home })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOOL: SpoolId = SpoolId(uuid::Uuid::from_u128(7));

    #[test]
    fn names_read_back_as_they_were_written() {
        for name in [QueueName::sort(SPOOL), QueueName::parse("hydrastor/alert"), QueueName::parse("test")] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        let malformed =
            ["", "judge", "parse/hydrastor", "parse:", "parse:a/b/c", "parse:A", "sort@nowhere", "Sort"];
        for name in malformed.map(str::to_owned).into_iter().chain([format!("parse@{SPOOL}")]) {
            assert!(name.parse::<QueueName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_is_below_its_prefixes_and_no_others() {
        let name = QueueName::parse("hydrastor/alert");
        for prefix in ["parse", "parse:hydrastor", "parse:hydrastor/alert"] {
            assert!(name.is_below(prefix), "{prefix}");
        }
        for other in ["pars", "parse:hydra", "parse:hydrastor/", "parse:hydrastor/alerts", "sort", ""] {
            assert!(!name.is_below(other), "{other}");
        }
        assert!(QueueName::sort(SPOOL).is_below("sort"));
    }
}
