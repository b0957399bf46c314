//! How long things are kept, and how often somebody looks.

use super::Period;
use schemars::JsonSchema;
use serde::Deserialize;

/// What is known of finished jobs.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// How long finished jobs can be looked up.
    pub retention: Period,
}

/// The log of events that leave.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How long entries stay readable; a reader further behind sees a gap.
    pub retention: Period,
}

/// How often the keeper does its duties.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keeper {
    /// Pause between two looks for jobs whose time has come.
    pub promote_every: Period,
    /// Pause between two removals of what nobody needs to remember: keys, receipts.
    pub expire_every: Period,
    /// Pause between two makings of the days ahead and droppings of days past retention.
    pub partition_every: Period,
    /// Pause between two looks at the spool for cut-short mail and leftovers.
    pub spool_every: Period,
    /// Pause between two looks at scratch files nobody owns any more.
    pub tmp_every: Period,
}
