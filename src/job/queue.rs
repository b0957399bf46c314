//! Queues: kind, module and home of jobs, with limits; can be paused.

use super::kind::Kind;
use super::retry::Backoff;
use super::store;
use crate::ids::SpoolId;
use crate::infra::db::{Db, DbError, Lane};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

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
        let bad = || format!("{name:?} is not a queue: kind[:module][@home]");
        let (front, home) = name.split_once('@').map_or((name, None), |(front, home)| (front, Some(home)));
        let (kind, module) =
            front.split_once(':').map_or((front, None), |(kind, module)| (kind, Some(module)));
        Ok(Self {
            kind: Kind::ALL.into_iter().find(|k| k.word() == kind).ok_or_else(bad)?,
            module: module.map(str::to_owned),
            home: home.map(|home| home.parse().map_err(|_| bad())).transpose()?,
        })
    }
}

/// Limits of a queue's jobs.
#[derive(Debug, Clone, Copy)]
pub struct QueueRules {
    /// Jobs that run at once in this process.
    pub concurrency: u32,
    /// Jobs claimed ahead of free places; they wait in this process under their lease.
    pub prefetch: u32,
    /// Failed runs a job may have.
    pub max_attempts: u16,
    /// Work that may hang, above all a module process, is stopped after so long.
    pub soft_timeout: Duration,
    /// A run is given up after so long; what it waited for others is not counted.
    pub hard_timeout: Duration,
    /// Waits between runs.
    pub backoff: Backoff,
}

/// Which row of the store stands for which queue; rows are made when first asked for and never change.
#[derive(Debug, Clone)]
pub struct Queues {
    db: Db,
    known: Arc<RwLock<HashMap<String, i16>>>,
}

impl Queues {
    /// An empty register over `db`.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, known: Arc::default() }
    }

    /// The row of a queue.
    pub async fn id(&self, queue: &QueueName) -> Result<i16, DbError> {
        let name = queue.to_string();
        if let Ok(known) = self.known.read()
            && let Some(&id) = known.get(&name)
        {
            return Ok(id);
        }
        let asked = name.clone();
        let id = self
            .db
            .write(Lane::State, move |mut tx| Box::pin(async move { store::queue_id(&mut tx, &asked).await }))
            .await?;
        if let Ok(mut known) = self.known.write() {
            known.insert(name, id);
        }
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_they_were_written() {
        let spool = SpoolId(uuid::Uuid::from_u128(7));
        for name in [QueueName::sort(spool), QueueName::parse("hydrastor/alert")] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert!("judge".parse::<QueueName>().is_err());
        assert!("sort@nowhere".parse::<QueueName>().is_err());
    }
}
