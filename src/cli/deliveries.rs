//! `headworks deliveries`, `headworks trace`, `headworks replay`: what came, and its story.

use super::gateway::Gateway;
use super::held::PARTS;
use super::jobs::{self, EVENTS, FINDINGS, acted};
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

/// What came.
#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List deliveries, newest first.
    List {
        #[command(flatten)]
        listing: Listing,
        /// Only those that wait for an operator.
        #[arg(long)]
        held: bool,
        #[command(flatten)]
        coordinates: Box<Coordinates>,
    },
    /// Show one delivery and what it holds.
    Show {
        id: Uuid,
        #[command(flatten)]
        form: Form,
    },
}

/// The whole story of one thing: envelope, parts, rules that matched and that did not, jobs, attempts, rows.
#[derive(Debug, Args)]
pub struct Trace {
    /// A delivery, a receipt, or the number of a job.
    id: String,
    #[command(flatten)]
    form: Form,
}

/// Read a delivery once more; what that loads replaces what it loaded before.
#[derive(Debug, Args)]
pub struct Replay {
    delivery: Uuid,
    /// Take the mail apart and ask the rules again, too.
    #[arg(long)]
    sort: bool,
    #[command(flatten)]
    form: Form,
}

impl Deliveries {
    /// Does it.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let gateway = Gateway::open(global).await?;
        match self {
            Self::List { listing, held, coordinates } => {
                let query = coordinates.query().with("held", held.then_some("true"));
                listing.print(global, &gateway, &query.at("/deliveries"), &COLUMNS).await?;
            }
            Self::Show { id, form } => {
                let found = gateway.get(&format!("/deliveries/{id}")).await?;
                gateway.say_what_is_missing(global, &found["contents"]);
                print::one(form.json, &found)?;
                if !form.json {
                    print::section("parts", &PARTS, &found["contents"]["parts"])?;
                }
            }
        }
        gateway.close().await;
        Ok(Exit::Done)
    }
}

impl Replay {
    /// Does it.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let gateway = Gateway::open(global).await?;
        let sort = if self.sort { "?sort=true" } else { "" };
        let made = gateway.post(&format!("/deliveries/{}/replay{sort}", self.delivery), None).await?;
        acted(&self.form, global, &made, "read once more by job")?;
        gateway.close().await;
        Ok(Exit::Done)
    }
}

impl Trace {
    /// Prints it.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let gateway = Gateway::open(global).await?;
        let delivery = delivery_of(&gateway, &self.id).await?;
        let mut trace = gateway.get(&format!("/deliveries/{delivery}/trace")).await?;
        gateway.say_what_is_missing(global, &trace["contents"]);
        match rules(&gateway, &trace).await {
            Ok(rules) => trace["rules"] = rules,
            Err(failure) => global.say(&format!("the rules could not be asked: {}", failure.message)),
        }
        gateway.close().await;
        if self.form.json {
            print::one(true, &trace)?;
        } else {
            story(&trace)?;
        }
        Ok(Exit::Done)
    }
}

/// The delivery that an id of a delivery, receipt or job leads to.
async fn delivery_of(gateway: &Gateway, id: &str) -> Result<String, Failure> {
    let nothing = || Failure::new(Exit::NotFound, format!("nothing is known of {id}"));
    if let Ok(job) = id.parse::<i64>() {
        let job = gateway.get(&format!("/jobs/{job}")).await?;
        return job["delivery_id"].as_str().map(str::to_owned).ok_or_else(nothing);
    }
    let id: Uuid = id.parse().map_err(|_| {
        Failure::new(
            Exit::Usage,
            format!("{id:?} is neither the id of a delivery or receipt nor the number of a job"),
        )
    })?;
    // Receipts are UUIDv8, deliveries UUIDv7.
    if id.get_version_num() != 8 {
        return Ok(id.to_string());
    }
    let found = gateway.get(&format!("/deliveries?receipt={id}")).await?;
    found["items"][0]["id"].as_str().map(str::to_owned).ok_or_else(nothing)
}

/// What the rules in force say of the mail today; null where it is none.
async fn rules(gateway: &Gateway, trace: &Value) -> Result<Value, Failure> {
    if trace["contents"]["message"].is_null() {
        return Ok(Value::Null);
    }
    let delivery = &trace["delivery"];
    let envelope = |field: &str| delivery["envelope"][field]["text"].as_str();
    let mail = gateway
        .bytes(&format!("/deliveries/{}/message", delivery["id"].as_str().unwrap_or_default()))
        .await?;
    let query = Query::default()
        .with("recipient", Some(envelope("recipient").unwrap_or_default()))
        .with("sender", envelope("sender"));
    gateway.post_mail(&query.at("/rules/test"), mail).await
}

fn story(trace: &Value) -> Result<(), Failure> {
    let contents = &trace["contents"];
    let mut delivery = trace["delivery"].clone();
    let envelope = delivery["envelope"].take();
    print::one(false, &delivery)?;
    print::section("envelope", &ENVELOPE, &Value::Array(envelope_lines(&envelope)))?;
    print::section("problems", &[("code", "/code")], &Value::Array(codes(&contents["problems"])))?;
    print::section("header", &[("name", "/name"), ("value", "/value")], &contents["headers"])?;
    print::section("parts", &PARTS, &contents["parts"])?;
    let trials: Vec<Value> = trace["rules"]["trials"].as_array().into_iter().flatten().map(trial).collect();
    print::section("rules, as they are now", &TRIALS, &Value::Array(trials))?;
    print::section("jobs", &jobs::COLUMNS, &trace["jobs"])?;
    print::section("timeline", &EVENTS, &trace["timeline"])?;
    let rows: Vec<Value> = trace["loads"].as_array().into_iter().flatten().flat_map(rows_of).collect();
    print::section("rows", &ROWS, &Value::Array(rows))?;
    print::section("findings", &FINDINGS, &trace["findings"])
}

const ENVELOPE: [Column; 2] = [("field", "/field"), ("value", "/value")];

/// One line per field of the envelope; of text from outside the readable form.
fn envelope_lines(envelope: &Value) -> Vec<Value> {
    let fields = envelope.as_object().into_iter().flatten();
    fields
        .map(|(field, value)| json!({"field": field, "value": value.get("text").unwrap_or(value)}))
        .collect()
}

/// One line per problem of the whole.
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

/// What came of one rule, in words.
fn trial(trial: &Value) -> Value {
    let verdict = &trial["verdict"];
    let missed: Vec<&str> =
        verdict["missed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let words = match (verdict.as_str(), verdict["malformed"].as_str()) {
        (Some(word), _) => word.replace('_', " "),
        (None, Some(header)) => format!("depends on {header}, which stands twice"),
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
