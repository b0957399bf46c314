//! How long things are kept, and how often somebody looks.

use super::{ByteSize, Period};
use schemars::JsonSchema;
use serde::Deserialize;

/// Records of finished jobs.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// How long finished jobs can be looked up.
    pub retention: Period,
}

/// Work that waits for an operator.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// How long mail that nothing could be read of waits before it is discarded: rejected by its module, encrypted, empty, a bounce, or one piece of a larger mail.
    pub keep: Period,
}

/// The log of outgoing events.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How long entries stay readable; a reader further behind sees a gap.
    pub retention: Period,
    /// How long entries are kept that the relay has not copied to Kafka yet; then they are pruned, and the log, a metric and a held job say which ones. Without `[kafka]` it has no effect.
    pub unrelayed_retention: Period,
    /// Most bytes that entries past `retention`, with the files of large loads, take because the relay has not copied them; then the oldest are pruned. Postgres prunes whole days.
    pub unrelayed_bytes: ByteSize,
}

/// How often the keeper's duties run.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keeper {
    /// How often jobs whose time has come are made available.
    pub promote_every: Period,
    /// How often expired keys and receipts are removed.
    pub expire_every: Period,
    /// How often daily partitions are created ahead and expired ones dropped.
    pub partition_every: Period,
    /// How often the spool is checked for mail that was cut short and for leftover files.
    pub spool_every: Period,
    /// How often trees that a crash left without a record are looked for.
    pub pending_every: Period,
    /// How often scratch files that no process owns are removed.
    pub tmp_every: Period,
}
