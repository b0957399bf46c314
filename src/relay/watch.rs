//! Watches how far the relay is behind: gauges, and a warning once half of a limit of what may wait is reached.
//!
//! | limit | reached when |
//! |---|---|
//! | `log.unrelayed_retention` | the oldest entry that is not in Kafka is so old |
//! | `log.unrelayed_bytes` | entries past `log.retention` that are not in Kafka take so many bytes |

use super::group::Group;
use super::store;
use crate::config::Live;
use crate::delivery::Core;
use crate::ids::Timestamp;
use crate::infra::db::{Db, DbError, View};
use crate::infra::telemetry::condition::Condition;
use crate::infra::telemetry::metrics::{RELAY_LAG, RELAY_LAG_SECONDS, RELAY_LIMIT};
use crate::log::{self, Position};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Entries behind a position are counted up to here.
pub const COUNTED: i64 = 100_000;
/// From this share of a limit on a warning is given.
const WARN_FROM: f64 = 0.5;

/// How far the exported topics of a process are behind.
pub struct Watch {
    db: Db,
    live: Live,
    topics: BTreeSet<String>,
    condition: Condition,
    /// What is said of the limits.
    remark: Mutex<Option<String>>,
}

impl Watch {
    /// That of `groups`.
    #[must_use]
    pub fn new(core: &Core, groups: &[Group]) -> Arc<Self> {
        Arc::new(Self {
            db: core.db.clone(),
            live: core.live.clone(),
            topics: groups.iter().flat_map(|group| group.topics.keys().cloned()).collect(),
            condition: Condition::of(
                Cow::Borrowed("relay"),
                "entries that are not in Kafka will be pruned",
                "the backlog of the relay is far from its limits again",
            ),
            remark: Mutex::default(),
        })
    }

    /// A warning about the limits, while there is one.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        self.remark.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the gauges of every topic.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn show_lag(self: Arc<Self>) -> Result<(), DbError> {
        self.oldest(COUNTED).await.map(|_| ())
    }

    /// Age of the oldest entry of all topics that is not copied, in seconds. Sets the gauges on the way.
    async fn oldest(&self, most: i64) -> Result<f64, DbError> {
        let (mut reader, now) = (self.db.reader(View::State).await?, Timestamp::now());
        let mut oldest = 0_f64;
        for exported in store::exported(&mut reader.tx()).await? {
            if !self.topics.contains(&exported.name) {
                continue;
            }
            let after = exported.copy.map_or(Position::START, |mark| mark.position);
            let lag = store::lag(&mut reader.tx(), exported.topic, after, most).await?;
            metrics::gauge!(RELAY_LAG, "topic" => exported.name.clone()).set(lag.entries as f64);
            metrics::gauge!(RELAY_LAG_SECONDS, "topic" => exported.name).set(lag.seconds(now));
            oldest = oldest.max(lag.seconds(now));
        }
        Ok(oldest)
    }

    /// Compares the backlog with its limits.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn compare(self: Arc<Self>) -> Result<(), DbError> {
        let limits = self.live.config().log.clone();
        let keep = limits.retention.get();
        let most = limits.unrelayed_bytes.bytes();
        let age = self.oldest(COUNTED).await? / limits.unrelayed_retention.get().max(keep).as_secs_f64();
        let held_back = log::held_back(&mut self.db.reader(View::State).await?.tx(), keep, most).await?;
        let bytes = held_back.bytes as f64 / most as f64;
        let mut reached = Vec::new();
        for (limit, share) in [("unrelayed_retention", age), ("unrelayed_bytes", bytes)] {
            metrics::gauge!(RELAY_LIMIT, "limit" => limit).set(share);
            if share >= WARN_FROM {
                reached.push(format!("the backlog has reached {:.0} % of log.{limit}", share * 100.0));
            }
        }
        let remark = (!reached.is_empty()).then(|| reached.join(", "));
        match &remark {
            Some(why) => self.condition.holds(why),
            None => self.condition.ends(),
        }
        *self.remark.lock().unwrap_or_else(PoisonError::into_inner) = remark;
        Ok(())
    }
}
