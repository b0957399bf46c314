//! `headworks held`: what waits for an operator, and the three ways on.

use super::gateway::Gateway;
use super::jobs::acted;
use super::listing::{Form, Listing, Query};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use clap::Subcommand;
use serde_json::{Value, json};

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
pub enum Held {
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
    Release {
        /// The jobs that wait.
        #[arg(required = true)]
        jobs: Vec<i64>,
        #[command(flatten)]
        form: Form,
    },
    /// End it: it need not be done.
    Discard {
        /// The jobs that wait.
        #[arg(required = true)]
        jobs: Vec<i64>,
        /// Do it; without this it is only said what would be.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        form: Form,
    },
}

impl Held {
    /// Does it.
    ///
    /// # Errors
    /// What the API says against it.
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
                show(form.json, &gateway.get(&format!("/held/{job}")).await?)?;
                Exit::Done
            }
            Self::Assign { job, customer, category, type_, group, form } => {
                let wanted =
                    json!({"customer": customer, "category": category, "type": type_, "group": group});
                let came = gateway.post(&format!("/held/{job}/assign"), Some(&wanted)).await?;
                acted(&form, global, &came, "goes on: job")?;
                Exit::Done
            }
            Self::Release { jobs, form } => each(&gateway, global, &form, &jobs, "release").await?,
            Self::Discard { jobs, yes: false, .. } => {
                let why = format!("{} held jobs would be discarded for good; say --yes to do it", jobs.len());
                return Err(Failure::new(Exit::Refused, why));
            }
            Self::Discard { jobs, yes: true, form } => {
                each(&gateway, global, &form, &jobs, "discard").await?
            }
        };
        gateway.close().await;
        Ok(exit)
    }
}

/// One act on each job; where it fails for some, the others are done all the same.
async fn each(
    gateway: &Gateway,
    global: &Global,
    form: &Form,
    jobs: &[i64],
    verb: &str,
) -> Result<Exit, Failure> {
    let mut failures = Vec::new();
    for job in jobs {
        match gateway.post(&format!("/held/{job}/{verb}"), None).await {
            Ok(came) => acted(form, global, &came, &format!("{verb}d: job"))?,
            Err(failure) => failures.push((job, failure)),
        }
    }
    let done = jobs.len() - failures.len();
    match failures.pop() {
        None => Ok(Exit::Done),
        Some((_, failure)) if done == 0 && failures.is_empty() => Err(failure),
        Some(last) => {
            failures.push(last);
            for (job, failure) in &failures {
                eprintln!("headworks: job {job}: {}", failure.message);
            }
            Ok(if done == 0 { Exit::Failed } else { Exit::Partly })
        }
    }
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
