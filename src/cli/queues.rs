//! `headworks queues`: how full they are; pause and resume.

use super::gateway::{Gateway, encoded};
use super::listing::{Form, Listing};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use clap::Subcommand;

const COLUMNS: [Column; 9] = [
    ("queue", "/name"),
    ("paused", "/paused"),
    ("available", "/available"),
    ("running", "/running"),
    ("scheduled", "/scheduled"),
    ("retryable", "/retryable"),
    ("waiting", "/waiting"),
    ("held", "/held"),
    ("oldest", "/oldest_at"),
];

/// Queues of jobs.
#[derive(Debug, Subcommand)]
pub enum Queues {
    /// List queues and how full they are.
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Take nothing from a queue any more; what runs goes on.
    Pause {
        name: String,
        #[command(flatten)]
        form: Form,
    },
    /// Go on with a paused queue.
    Resume {
        name: String,
        #[command(flatten)]
        form: Form,
    },
}

impl Queues {
    /// Does it.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let gateway = Gateway::open(global).await?;
        match self {
            Self::List { listing } => listing.print(global, &gateway, "/queues", &COLUMNS).await?,
            Self::Pause { name, form } => {
                print::one(
                    form.json,
                    &gateway.post(&format!("/queues/{}/pause", encoded(&name)), None).await?,
                )?;
            }
            Self::Resume { name, form } => {
                print::one(
                    form.json,
                    &gateway.post(&format!("/queues/{}/resume", encoded(&name)), None).await?,
                )?;
            }
        }
        gateway.close().await;
        Ok(Exit::Done)
    }
}
