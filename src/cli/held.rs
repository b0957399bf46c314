//! `headworks held`: what waits for an operator, and the three ways on.

use super::gateway::Gateway;
use super::jobs::acted;
use super::listing::{Form, Listing, Pages, Query};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Entries asked for at once.
const PAGE: usize = 500;

/// Columns of a list of held work.
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

/// What waits for an operator. Every command names the job that waits.
#[derive(Debug, Subcommand)]
pub enum HeldJobs {
    /// List what waits, newest first.
    List {
        #[command(flatten)]
        listing: Listing,
        /// Came in this way: mail, rest.
        #[arg(long)]
        source: Option<String>,
        /// Of this customer.
        #[arg(long)]
        customer: Option<String>,
        /// Since this instant, or for so long: 2026-01-31T00:00:00Z, 2h.
        #[arg(long)]
        since: Option<String>,
    },
    /// Show why it waits and what it holds.
    Show {
        job: i64,
        #[command(flatten)]
        form: Form,
    },
    /// Give a mail its coordinates by hand, and let it go on.
    Assign {
        job: i64,
        /// Whose it is.
        #[arg(long)]
        customer: String,
        /// Family of formats.
        #[arg(long)]
        category: String,
        /// Format.
        #[arg(long = "type", value_name = "TYPE")]
        type_: String,
        /// What it is about.
        #[arg(long, default_value = "none")]
        group: String,
        #[command(flatten)]
        form: Form,
    },
    /// Run it again; a mail goes through the rules again.
    Release(Chosen),
    /// End it for good: it need not be done.
    Discard(Chosen),
}

/// Which held work, by number or by reason.
#[derive(Debug, Args)]
pub struct Chosen {
    /// The jobs that wait.
    #[arg(required_unless_present = "reason", conflicts_with = "reason")]
    jobs: Vec<i64>,
    /// All that wait for this reason, for example no_rule.
    #[arg(long)]
    reason: Option<String>,
    /// Do it: asked for where many are chosen at once, or something ends for good.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    form: Form,
}

/// What is done with held work.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Release,
    Discard,
}

impl Act {
    const fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Discard => "discard",
        }
    }
}

impl HeldJobs {
    /// Does it.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let gateway = Gateway::open(global).await?;
        let exit = match self {
            Self::List { listing, source, customer, since } => {
                let query = Query::default()
                    .with("source", source.as_deref())
                    .with("customer", customer.as_deref())
                    .with("since", since.as_deref());
                listing.print(global, &gateway, &query.at("/held"), &COLUMNS).await?;
                Exit::Done
            }
            Self::Show { job, form } => {
                let found = gateway.get(&format!("/held/{job}")).await?;
                gateway.say_what_is_missing(global, &found["contents"]);
                show(form.json, &found)?;
                Exit::Done
            }
            Self::Assign { job, customer, category, type_, group, form } => {
                let wanted =
                    json!({"customer": customer, "category": category, "type": type_, "group": group});
                let came = gateway.post(&format!("/held/{job}/assign"), Some(&wanted)).await?;
                acted(&form, global, &came, "goes on: job")?;
                Exit::Done
            }
            Self::Release(chosen) => each(&gateway, global, chosen, Act::Release).await?,
            Self::Discard(chosen) => each(&gateway, global, chosen, Act::Discard).await?,
        };
        gateway.close().await;
        Ok(exit)
    }
}

/// One act on each job; where it fails for some, the others are done all the same.
async fn each(gateway: &Gateway, global: &Global, chosen: Chosen, act: Act) -> Result<Exit, Failure> {
    let jobs = match &chosen.reason {
        Some(reason) => waiting_for(gateway, reason).await?,
        None => chosen.jobs,
    };
    if !chosen.yes && (chosen.reason.is_some() || act == Act::Discard) {
        let why = format!("would {} {} held jobs: say --yes to do it", act.word(), jobs.len());
        return Err(Failure::new(Exit::Refused, why));
    }
    let mut failures = Vec::new();
    for job in &jobs {
        match gateway.post(&format!("/held/{job}/{}", act.word()), None).await {
            Ok(came) => acted(&chosen.form, global, &came, &format!("{}d: job", act.word()))?,
            Err(failure) => failures.push((job, failure)),
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

/// Numbers of all jobs that are held for a reason.
async fn waiting_for(gateway: &Gateway, reason: &str) -> Result<Vec<i64>, Failure> {
    let mut jobs = Vec::new();
    let mut pages = Pages::new(gateway, "/held", None);
    while let Some(page) = pages.next(PAGE).await? {
        let of_reason = page.iter().filter(|held| held["reason"] == reason);
        jobs.extend(of_reason.filter_map(|held| held["job_id"].as_i64()));
    }
    Ok(jobs)
}

fn show(json: bool, held: &Value) -> Result<(), Failure> {
    if json {
        return print::one(true, held);
    }
    let mut summary = held.clone();
    if let Some(fields) = summary.as_object_mut() {
        fields.remove("job");
        fields.remove("contents");
    }
    print::one(false, &summary)?;
    print::section("header", &[("name", "/name"), ("value", "/value")], &held["contents"]["headers"])?;
    print::section("parts", &PARTS, &held["contents"]["parts"])
}
