//! Topics: named streams of entries.

use super::store;
use crate::in_tx;
use crate::infra::db::{Db, DbError, Lane};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Id of a topic's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[sqlx(transparent)]
pub struct TopicId(pub i16);

/// Ids of topics by name. A topic's row is inserted on first use and never changes.
///
/// It is inserted in a transaction of its own, before the one that appends: two appending transactions that inserted rows
/// in opposite orders would deadlock.
#[derive(Debug, Clone)]
pub struct Topics {
    db: Db,
    known: Arc<RwLock<HashMap<String, TopicId>>>,
}

impl Topics {
    /// The topics in `db`.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, known: Arc::default() }
    }

    /// The id of the topic called `name`.
    pub async fn id(&self, name: &str) -> Result<TopicId, DbError> {
        // The map is always consistent, so a poisoned lock does no harm.
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        if let Some(id) = known {
            return Ok(id);
        }
        let asked = name.to_owned();
        let id = in_tx!(self.db, Lane::State, tx => store::topic_id(tx, &asked)).await?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), id);
        Ok(id)
    }
}
