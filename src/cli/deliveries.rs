//! `headworks deliveries`, `headworks trace`, `headworks replay`: deliveries, their history, and parsing them again.

mod post;

use super::gateway::Gateway;
use super::held::PARTS;
use super::ids::delivery_of;
use super::jobs::{self, EVENTS, FINDINGS};
use super::listing::{Coordinates, Form, Listing, Query};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

/// Columns of a list of deliveries.
const COLUMNS: [Column; 9] = [
    ("id", "/id"),
    ("received", "/received_at"),
    ("source", "/source"),
    ("customer", "/customer"),
    ("category", "/category"),
    ("type", "/type"),
    ("group", "/group"),
    ("held", "/held_reason"),
    ("bytes", "/bytes"),
];

/// Post, list and show deliveries.
#[derive(Debug, Subcommand)]
pub enum Deliveries {
    Post(post::Post),
    /// List deliveries, newest first.
    List {
        #[command(flatten)]
        listing: Listing,
        /// Only deliveries that wait for an operator.
        #[arg(long)]
        held: bool,
        #[command(flatten)]
        coordinates: Box<Coordinates>,
    },
    /// Show a delivery and its parts.
    Show {
        /// Id of the delivery.
        id: Uuid,
        #[command(flatten)]
        form: Form,
    },
}

/// Show the whole history of a delivery.
///
/// Prints its envelope, its parts, what the current rules decide, its jobs with all attempts, its rows and its findings.
#[derive(Debug, Args)]
pub struct Trace {
    /// Id of a delivery or receipt, or number of a job.
    id: String,
    #[command(flatten)]
    form: Form,
}

/// Parse a delivery again; the new rows replace the old ones.
#[derive(Debug, Args)]
pub struct Replay {
    /// Id of a delivery or receipt, or number of a job.
    id: String,
    /// Also split the mail and apply the rules again.
    #[arg(long)]
    sort: bool,
    #[command(flatten)]
    form: Form,
}

impl Deliveries {
    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        match self {
            Self::Post(post) => return post.run(global, api).await,
            Self::List { listing, held, coordinates } => {
                let query = coordinates.query().with("held", held.then_some("true"));
                listing.print(global, api, &query.at("/deliveries"), &COLUMNS).await?;
            }
            Self::Show { id, form } => {
                let delivery = api.get(&format!("/deliveries/{id}")).await?;
                api.explain_missing(global, &delivery["contents"]);
                print::one(form.json, &delivery)?;
                if !form.json {
                    print::section("parts", &PARTS, &delivery["contents"]["parts"])?;
                    print::section("findings", &FINDINGS, &delivery["findings"])?;
                }
            }
        }
        Ok(Exit::Done)
    }
}

impl Replay {
    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        let sort = if self.sort { "?sort=true" } else { "" };
        let delivery = delivery_of(api, &self.id).await?;
        let job = api.post(&format!("/deliveries/{delivery}/replay{sort}")).await?;
        self.form.print_job(global, &job, "will be parsed again by job")?;
        Ok(Exit::Done)
    }
}

impl Trace {
    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        let delivery = delivery_of(api, &self.id).await?;
        let mut trace = api.get(&format!("/deliveries/{delivery}/trace")).await?;
        api.explain_missing(global, &trace["contents"]);
        match rules(api, &trace).await {
            Ok(rules) => trace["rules"] = rules,
            Err(failure) => global.say(&format!("the rules could not be tested: {}", failure.message)),
        }
        match self.form.json {
            true => print::one(true, &trace)?,
            false => print_trace(&trace)?,
        }
        Ok(Exit::Done)
    }
}

/// What the current rules decide about the mail; null if the delivery is not a mail.
async fn rules(api: &Gateway, trace: &Value) -> Result<Value, Failure> {
    if trace["contents"]["message"].is_null() {
        return Ok(Value::Null);
    }
    let delivery = &trace["delivery"];
    let envelope = |field: &str| delivery["envelope"][field]["text"].as_str();
    let id = delivery["id"].as_str().unwrap_or_default();
    let mail = api.download(&format!("/deliveries/{id}/message")).await?;
    let query = Query::default()
        .with("recipient", Some(envelope("recipient").unwrap_or_default()))
        .with("sender", envelope("sender"));
    let mail = reqwest::Body::wrap_stream(mail.into_data_stream());
    api.post_bytes(&query.at("/rules/test"), "message/rfc822", mail).await
}

fn print_trace(trace: &Value) -> Result<(), Failure> {
    let contents = &trace["contents"];
    let mut delivery = trace["delivery"].clone();
    let envelope = delivery["envelope"].take();
    print::one(false, &delivery)?;
    print::section("envelope", &ENVELOPE, &Value::Array(envelope_lines(&envelope)))?;
    print::section("problems", &[("code", "/code")], &Value::Array(codes(&contents["problems"])))?;
    print::section("header", &[("name", "/name"), ("value", "/value")], &contents["headers"])?;
    print::section("parts", &PARTS, &contents["parts"])?;
    let trials: Vec<Value> = trace["rules"]["trials"].as_array().into_iter().flatten().map(trial).collect();
    print::section("current rules", &TRIALS, &Value::Array(trials))?;
    print::section("jobs", &jobs::COLUMNS, &trace["jobs"])?;
    print::section("timeline", &EVENTS, &trace["timeline"])?;
    let rows: Vec<Value> = trace["loads"].as_array().into_iter().flatten().flat_map(rows_of).collect();
    print::section("rows", &ROWS, &Value::Array(rows))?;
    print::section("findings", &FINDINGS, &trace["findings"])
}

const ENVELOPE: [Column; 2] = [("field", "/field"), ("value", "/value")];

/// One line per field of the envelope, in its readable form.
fn envelope_lines(envelope: &Value) -> Vec<Value> {
    let fields = envelope.as_object().into_iter().flatten();
    fields
        .map(|(field, value)| json!({"field": field, "value": value.get("text").unwrap_or(value)}))
        .collect()
}

/// One line per problem of the whole delivery.
fn codes(problems: &Value) -> Vec<Value> {
    problems.as_array().into_iter().flatten().map(|code| json!({"code": code})).collect()
}

const TRIALS: [Column; 2] = [("rule", "/rule"), ("verdict", "/verdict")];

const ROWS: [Column; 8] = [
    ("load", "/load"),
    ("module", "/module"),
    ("outcome", "/outcome"),
    ("table", "/table"),
    ("inserted", "/inserted"),
    ("updated", "/updated"),
    ("duplicate", "/duplicate"),
    ("stale", "/stale"),
];

/// The verdict on one rule, in words.
fn trial(trial: &Value) -> Value {
    let verdict = &trial["verdict"];
    let missed: Vec<&str> =
        verdict["missed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let words = match (verdict.as_str(), verdict["malformed"].as_str()) {
        (Some(word), _) => word.replace('_', " "),
        (None, Some(header)) => format!("depends on {header}, which occurs twice"),
        (None, None) => format!("missed at {}", missed.join(", ")),
    };
    json!({"rule": trial["rule"], "verdict": words})
}

/// One line per table of a load.
fn rows_of(load: &Value) -> Vec<Value> {
    let counts = load["rows"].as_object().into_iter().flatten();
    counts
        .map(|(table, counts)| {
            let mut row = counts.clone();
            row["table"] = json!(table);
            row["load"] = load["id"].clone();
            row["module"] = json!(format!(
                "{} {}",
                load["module"].as_str().unwrap_or_default(),
                load["parser_version"].as_str().unwrap_or_default()
            ));
            row["outcome"] = load["outcome"].clone();
            row
        })
        .collect()
}
