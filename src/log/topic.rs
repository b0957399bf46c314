//! Topics: names of streams of entries.

use super::store;
use crate::in_tx;
use crate::infra::db::{Db, DbError, Lane};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Row of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[sqlx(transparent)]
pub struct TopicId(pub i16);

/// Which row of the store stands for which topic; rows are made when first asked for and never change.
///
/// A row is made in a transaction of its own, before the one that appends: two appending transactions that made rows in
/// opposite orders would wait for each other.
#[derive(Debug, Clone)]
pub struct Topics {
    db: Db,
    known: Arc<RwLock<HashMap<String, TopicId>>>,
}

impl Topics {
    /// An empty register over `db`.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, known: Arc::default() }
    }

    /// The row of the topic called `name`.
    pub async fn id(&self, name: &str) -> Result<TopicId, DbError> {
        // The map is whole at every instant: a panic elsewhere has not broken it.
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
