//! `headworks jobs`: what is to be done, is done, was done.

use super::gateway::Gateway;
use super::listing::{Coordinates, Form, Listing};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use clap::Subcommand;
use serde_json::Value;

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

/// What is to be done, is done, was done.
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// List jobs, newest first.
    List {
        #[command(flatten)]
        listing: Listing,
        /// In this state: available, running, scheduled, retryable, waiting, held, completed, failed, cancelled, discarded.
        #[arg(long)]
        state: Option<String>,
        /// Of this queue.
        #[arg(long)]
        queue: Option<String>,
        #[command(flatten)]
        coordinates: Box<Coordinates>,
    },
    /// Show one job with its timeline and findings.
    Show {
        id: i64,
        #[command(flatten)]
        form: Form,
    },
    /// Do once more what failed, was cancelled or was discarded.
    Retry {
        id: i64,
        #[command(flatten)]
        form: Form,
    },
    /// Call a job off.
    Cancel {
        id: i64,
        #[command(flatten)]
        form: Form,
    },
}

impl Jobs {
    /// Does it.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let gateway = Gateway::open(global).await?;
        match self {
            Self::List { listing, state, queue, coordinates } => {
                let query =
                    coordinates.query().with("state", state.as_deref()).with("queue", queue.as_deref());
                listing.print(global, &gateway, &query.at("/jobs"), &COLUMNS).await?;
            }
            Self::Show { id, form } => show(form.json, &gateway.get(&format!("/jobs/{id}")).await?)?,
            Self::Retry { id, form } => {
                let made = gateway.post(&format!("/jobs/{id}/retry"), None).await?;
                acted(&form, global, &made, &format!("job {id} is done again as job"))?;
            }
            Self::Cancel { id, form } => {
                let came = gateway.post(&format!("/jobs/{id}/cancel"), None).await?;
                let said = if came["came"] == "requested" {
                    "its run is told to stop: job"
                } else {
                    "cancelled: job"
                };
                acted(&form, global, &came, said)?;
            }
        }
        gateway.close().await;
        Ok(Exit::Done)
    }
}

/// Prints what came of an act: the answer for programs; a sentence on standard error for people, the job's id as data.
pub fn acted(form: &Form, global: &Global, came: &Value, said: &str) -> Result<(), Failure> {
    if form.json {
        return print::out(&print::json_line(came));
    }
    global.say(&format!("{said} {}", came["id"]));
    print::out(&format!("{}\n", came["id"]))
}

fn show(json: bool, job: &Value) -> Result<(), Failure> {
    print::one(json, job)?;
    if !json {
        print::section("timeline", &EVENTS, &job["timeline"])?;
        print::section("findings", &FINDINGS, &job["findings"])?;
    }
    Ok(())
}
