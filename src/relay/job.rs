//! The jobs of the relay.

use super::hold::{self, Gap, HeldRecord};
use super::snapshot::{self, Snapshot};
use crate::delivery::{Core, Work};
use crate::job::{Interrupted, Outcome, Run};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a job of kind `relay` is about.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Arguments {
    /// A record that Kafka refused, held; once released it is sent again.
    Record(HeldRecord),
    /// Entries that were never sent, held; once released there is nothing to do.
    Gap(Gap),
    /// Rows that are sent again.
    Snapshot(Snapshot),
}

/// Does a job.
pub async fn run(core: Arc<Core>, run: Run) -> Outcome<Work> {
    work(&core, &run).await.unwrap_or_else(Outcome::from)
}

async fn work(core: &Core, run: &Run) -> Result<Outcome<Work>, Interrupted> {
    let arguments = serde_json::from_value(run.job.args.clone());
    match arguments.map_err(|error| Interrupted::Failed(error.to_string()))? {
        Arguments::Record(held) => hold::append(core, held).await,
        Arguments::Gap(_) => Ok(Outcome::Done(Work::default())),
        Arguments::Snapshot(snapshot) => snapshot::send(core, snapshot).await,
    }
}
