//! `headworks queues`: list, pause and resume queues.

use super::gateway::{Gateway, encoded};
use super::listing::{Form, Listing};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use clap::{Args, Subcommand};

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

/// List, pause and resume queues of jobs.
#[derive(Debug, Subcommand)]
pub enum Queues {
    /// List queues with their number of jobs in each state.
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Start no more jobs from a queue; running jobs continue.
    Pause(Queue),
    /// Start jobs from a paused queue again.
    Resume(Queue),
}

/// One queue.
#[derive(Debug, Args)]
pub struct Queue {
    /// Name of the queue, for example parse:hydrastor/alert.
    name: String,
    #[command(flatten)]
    form: Form,
}

impl Queues {
    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        let (Queue { name, form }, act) = match self {
            Self::List { listing } => {
                listing.print(global, api, "/queues", &COLUMNS).await?;
                return Ok(Exit::Done);
            }
            Self::Pause(queue) => (queue, "pause"),
            Self::Resume(queue) => (queue, "resume"),
        };
        print::one(form.json, &api.post(&format!("/queues/{}/{act}", encoded(&name))).await?)?;
        Ok(Exit::Done)
    }
}
