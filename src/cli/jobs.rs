//! `headworks jobs`: list and manage jobs.

use super::gateway::Gateway;
use super::listing::{Coordinates, Form, Listing};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use crate::job::State;
use clap::{Args, Subcommand};

/// Columns of a list of jobs.
pub const COLUMNS: [Column; 9] = [
    ("id", "/id"),
    ("state", "/state"),
    ("queue", "/queue"),
    ("customer", "/customer"),
    ("group", "/group"),
    ("attempt", "/attempt"),
    ("created", "/created_at"),
    ("finished", "/finished_at"),
    ("error", "/last_error"),
];

/// Columns of a timeline.
pub const EVENTS: [Column; 5] =
    [("at", "/at"), ("event", "/event"), ("job", "/job_id"), ("by", "/actor"), ("detail", "/detail")];

/// Columns of findings.
pub const FINDINGS: [Column; 6] = [
    ("severity", "/severity"),
    ("rule", "/rule"),
    ("part", "/part"),
    ("line", "/line"),
    ("message", "/message"),
    ("excerpt", "/excerpt"),
];

/// List and manage jobs.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// List jobs, newest first.
    List {
        #[command(flatten)]
        listing: Listing,
        /// Only jobs in this state: available, running, scheduled, retryable, waiting, held, completed, failed, cancelled or
        /// discarded.
        #[arg(long)]
        state: Option<State>,
        /// Only jobs in this queue.
        #[arg(long)]
        queue: Option<String>,
        #[command(flatten)]
        coordinates: Box<Coordinates>,
    },
    /// Show a job with its timeline and findings.
    Show(Job),
    /// Run a failed, cancelled or discarded job again, as a new job.
    Retry(Job),
    /// Cancel a job; one that is running is asked to stop.
    Cancel(Job),
}

/// One job.
#[derive(Debug, Args)]
pub struct Job {
    /// Number of the job.
    id: i64,
    #[command(flatten)]
    form: Form,
}

impl Jobs {
    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        match self {
            Self::List { listing, state, queue, coordinates } => {
                let query =
                    coordinates.query().with("state", state.map(State::word)).with("queue", queue.as_deref());
                listing.print(global, api, &query.at("/jobs"), &COLUMNS).await?;
            }
            Self::Show(Job { id, form }) => {
                let job = api.get(&format!("/jobs/{id}")).await?;
                print::one(form.json, &job)?;
                if !form.json {
                    print::section("timeline", &EVENTS, &job["timeline"])?;
                    print::section("findings", &FINDINGS, &job["findings"])?;
                }
            }
            Self::Retry(Job { id, form }) => {
                let job = api.post(&format!("/jobs/{id}/retry")).await?;
                form.print_job(global, &job, &format!("job {id} will run again as job"))?;
            }
            Self::Cancel(Job { id, form }) => {
                let job = api.post(&format!("/jobs/{id}/cancel")).await?;
                let requested = job["came"] == "requested";
                form.print_job(
                    global,
                    &job,
                    if requested { "asked to stop: job" } else { "cancelled: job" },
                )?;
            }
        }
        Ok(Exit::Done)
    }
}
