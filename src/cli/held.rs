//! `headworks held`: show jobs that wait for an operator, and assign, release or discard them.

use super::gateway::Gateway;
use super::ids::held_job_of;
use super::jobs::FINDINGS;
use super::listing::{Form, Listing, Pages, Query, Span};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Columns of a list of held jobs.
pub const COLUMNS: [Column; 7] = [
    ("job", "/job_id"),
    ("reason", "/reason"),
    ("received", "/received_at"),
    ("sender", "/sender"),
    ("recipient", "/recipient"),
    ("subject", "/subject"),
    ("detail", "/detail"),
];

/// Columns of the parts of a delivery.
pub const PARTS: [Column; 6] = [
    ("part", "/number"),
    ("kind", "/kind"),
    ("name", "/name"),
    ("type", "/sniffed_type"),
    ("bytes", "/bytes"),
    ("problems", "/problems"),
];

/// Show and resolve held jobs, which wait for an operator.
#[derive(Debug, Subcommand)]
pub enum HeldJobs {
    /// List held jobs, newest first.
    List {
        #[command(flatten)]
        listing: Listing,
        /// Only from this source, for example mail or rest.
        #[arg(long)]
        source: Option<String>,
        /// Only of this customer.
        #[arg(long)]
        customer: Option<String>,
        #[command(flatten)]
        span: Span,
    },
    /// Show why a job is held and the parts of its delivery.
    Show {
        /// Number of the job, or id of its delivery or receipt.
        id: String,
        #[command(flatten)]
        form: Form,
    },
    /// Set the coordinates of a held mail by hand and continue with it.
    Assign {
        /// Number of the job, or id of its delivery or receipt.
        id: String,
        /// Customer the mail belongs to.
        #[arg(long)]
        customer: String,
        /// Family of formats, for example hydrastor.
        #[arg(long)]
        category: String,
        /// Format, for example system_report.
        #[arg(long = "type", value_name = "TYPE")]
        type_: String,
        /// Subject of the mail, for example a grid or node.
        #[arg(long, default_value = "none")]
        group: String,
        #[command(flatten)]
        form: Form,
    },
    /// Run held jobs again; mails go through the rules again.
    Release(Chosen),
    /// Discard held jobs for good.
    Discard(Chosen),
}

/// Held jobs, one by one or by reason.
#[derive(Debug, Args)]
pub struct Chosen {
    /// Numbers of the jobs, or ids of their deliveries or receipts.
    #[arg(required_unless_present = "reason", conflicts_with = "reason")]
    ids: Vec<String>,
    /// All jobs held for this reason, for example no_rule.
    #[arg(long)]
    reason: Option<String>,
    /// Confirm; required with --reason and to discard.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    form: Form,
}

/// What to do with held jobs.
struct Act {
    word: &'static str,
    done: &'static str,
    /// Whether it must be confirmed even for jobs named one by one.
    is_final: bool,
}

const RELEASE: Act = Act { word: "release", done: "released", is_final: false };
const DISCARD: Act = Act { word: "discard", done: "discarded", is_final: true };

impl HeldJobs {
    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        match self {
            Self::List { listing, source, customer, span } => {
                let query = Query::default()
                    .with("source", source.as_deref())
                    .with("customer", customer.as_deref())
                    .within(&span);
                listing.print(global, api, &query.at("/held"), &COLUMNS).await?;
            }
            Self::Show { id, form } => {
                let job = held_job_of(api, &id).await?;
                let held = api.get(&format!("/held/{job}")).await?;
                api.explain_missing(global, &held["contents"]);
                show(form.json, held)?;
            }
            Self::Assign { id, customer, category, type_, group, form } => {
                let job = held_job_of(api, &id).await?;
                let coordinates =
                    json!({"customer": customer, "category": category, "type": type_, "group": group});
                let result = api.post_json(&format!("/held/{job}/assign"), &coordinates).await?;
                form.print_job(global, &result, "assigned: job")?;
            }
            Self::Release(chosen) => return each(api, global, chosen, RELEASE).await,
            Self::Discard(chosen) => return each(api, global, chosen, DISCARD).await,
        }
        Ok(Exit::Done)
    }
}

/// Acts on each job, even if it fails for some of them.
async fn each(api: &Gateway, global: &Global, chosen: Chosen, act: Act) -> Result<Exit, Failure> {
    let jobs = match &chosen.reason {
        Some(reason) => held_for(api, reason).await?,
        None => chosen.ids,
    };
    if !chosen.yes && (chosen.reason.is_some() || act.is_final) {
        let why = format!("this would {} {} held jobs: confirm with --yes", act.word, jobs.len());
        return Err(Failure::new(Exit::Refused, why));
    }
    let mut failures = Vec::new();
    for id in &jobs {
        let acted = match held_job_of(api, id).await {
            Ok(job) => api.post(&format!("/held/{job}/{}", act.word)).await,
            Err(failure) => Err(failure),
        };
        match acted {
            Ok(result) => chosen.form.print_job(global, &result, &format!("{}: job", act.done))?,
            Err(failure) => failures.push((id, failure)),
        }
    }
    match failures.len() {
        0 => Ok(Exit::Done),
        1 if jobs.len() == 1 => failures.pop().map_or(Ok(Exit::Done), |(_, failure)| Err(failure)),
        failed => {
            for (job, failure) in &failures {
                eprintln!("headworks: job {job}: {}", failure.message);
            }
            Ok(if failed == jobs.len() { Exit::Failed } else { Exit::Partly })
        }
    }
}

/// Numbers of all jobs held for a reason.
async fn held_for(api: &Gateway, reason: &str) -> Result<Vec<String>, Failure> {
    let mut jobs = Vec::new();
    let mut pages = Pages::new(api, "/held", None);
    while let Some(page) = pages.next(usize::MAX).await? {
        let of_reason = page.iter().filter(|held| held["reason"] == reason);
        jobs.extend(of_reason.filter_map(|held| Some(held["job_id"].as_i64()?.to_string())));
    }
    Ok(jobs)
}

fn show(json: bool, mut held: Value) -> Result<(), Failure> {
    if json {
        return print::one(true, &held);
    }
    let contents = held["contents"].take();
    held["job"].take();
    print::one(false, &held)?;
    print::section("header", &[("name", "/name"), ("value", "/value")], &contents["headers"])?;
    print::section("parts", &PARTS, &contents["parts"])?;
    print::section("findings", &FINDINGS, &held["findings"])
}
