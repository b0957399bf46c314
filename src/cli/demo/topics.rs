//! The demo's topics in a Kafka: their names, what is in them, and their end.

use crate::cli::print::{self, Column};
use crate::cli::{Exit, Failure};
use crate::config::Config;
use crate::infra::kafka::{Connection, Kept, Topics, read_to_end};
use crate::load::Tables;
use crate::relay;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest wait for one answer of Kafka.
const ANSWER: Duration = Duration::from_secs(30);
/// So much of a record is shown.
const SHOWN_CHARS: usize = 60;

const COLUMNS: &[Column] = &[
    ("topic", "/topic"),
    ("partition", "/partition"),
    ("offset", "/offset"),
    ("op", "/op"),
    ("table", "/table"),
    ("record", "/record"),
];

/// The topics that the relay of the demo writes.
pub struct DemoTopics {
    connection: Connection,
    /// Those of rows.
    rows: BTreeSet<String>,
    /// That of positions.
    control: String,
}

impl DemoTopics {
    /// Those of a configuration.
    ///
    /// # Errors
    /// When a name is none for Kafka.
    pub fn of(connection: &Connection, config: &Config, tables: &Tables) -> Result<Self, Failure> {
        let exported = relay::exported(&config.kafka, tables).map_err(|error| failed(&error))?;
        Ok(Self {
            connection: connection.clone(),
            rows: exported.into_values().map(|plan| plan.name).collect(),
            control: config.kafka.control_topic.to_string(),
        })
    }

    /// Prints all records that a consumer of committed ones sees.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn print(&self) -> Result<(), Failure> {
        let (connection, names) = (self.connection.clone(), self.rows.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let mut shown = Vec::new();
            for name in names {
                let records = read_to_end(&connection, &name, ANSWER)?;
                shown.extend(records.iter().map(|record| describe(&name, record)));
            }
            Ok::<_, crate::infra::kafka::Failure>(shown)
        });
        let shown = reading.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        print::section("records in Kafka", COLUMNS, &Value::Array(shown))
    }

    /// Deletes the topics.
    ///
    /// # Errors
    /// When Kafka does not answer, or one cannot be deleted.
    pub async fn delete(self) -> Result<(), Failure> {
        let deleting = tokio::task::spawn_blocking(move || {
            let names: Vec<&str> = self.rows.iter().chain([&self.control]).map(String::as_str).collect();
            Topics::open(&self.connection, ANSWER)?.delete(&names)
        });
        deleting.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error.to_string())
}

fn describe(topic: &str, record: &Kept) -> Value {
    let header = |wanted: &str| {
        let found = record.headers.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    };
    let body = String::from_utf8_lossy(record.payload.as_deref().unwrap_or_default());
    let mut start: String = body.chars().take(SHOWN_CHARS).collect();
    if body.chars().nth(SHOWN_CHARS).is_some() {
        start.push('…');
    }
    json!({
        "topic": topic, "partition": record.partition, "offset": record.offset, "op": header("headworks-op"),
        "table": header("headworks-table"), "record": start,
    })
}
