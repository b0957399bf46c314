//! `headworks config check --live`: Kafka, its topics and our rights.
//!
//! ```text
//!   each address ─▶ login ─▶ each topic: there, as needed, ours to write? ─▶ transactional ids
//! ```
//!
//! Nothing is written to a topic and none is created.

use super::live::Line;
use crate::app;
use crate::config::{Cleanup, Config, Kafka, KafkaDelivery, TopicName, TopicPlan};
use crate::infra::kafka::{
    Connection, Failure, TopicFacts, Topics, ensure_transactions, may_write, read_to_end,
};
use crate::load::Tables;
use crate::relay;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpStream, ToSocketAddrs};
use std::num::NonZeroU32;
use std::time::Duration;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(3);

/// Checks Kafka if one is configured.
///
/// `tables` are those of the modules; `None` if these cannot be read.
pub(super) async fn check(config: &Config, tables: Option<&Tables>) -> Vec<Line> {
    let Some(connection) = app::kafka(&config.kafka) else { return Vec::new() };
    let exported = match tables.map(|tables| relay::exported(&config.kafka, tables)) {
        Some(Err(bad)) => return vec![Line::new("kafka", "topics", Err(bad.to_string()))],
        Some(Ok(exported)) => exported,
        None => BTreeMap::new(),
    };
    let kafka = config.kafka.clone();
    let checked = tokio::task::spawn_blocking(move || all(&kafka, exported, &connection)).await;
    checked.unwrap_or_else(|error| vec![Line::new("kafka", "kafka", Err(error.to_string()))])
}

fn all(kafka: &Kafka, exported: BTreeMap<String, TopicPlan>, connection: &Connection) -> Vec<Line> {
    let mut lines: Vec<_> = kafka
        .bootstrap
        .iter()
        .map(ToString::to_string)
        .map(|broker| Line::new("kafka", &broker, address(&broker)))
        .collect();
    if lines.iter().all(Line::has_failed) {
        return lines;
    }
    match topics(kafka, exported, connection) {
        Ok(found) => lines.extend(found),
        Err(failure) => {
            lines.push(Line::new("kafka", kafka.security.word(), Err(failure.to_string())));
            return lines;
        }
    }
    if kafka.delivery == KafkaDelivery::Transactions {
        let id = format!("{}-config-check", kafka.transactional_id_prefix);
        let allowed = ensure_transactions(connection, &id, TIMEOUT);
        let allowed = allowed.map(|()| String::new()).map_err(|failure| failure.to_string());
        lines.push(Line::new("transactions", id, allowed));
    }
    lines
}

fn address(broker: &str) -> Result<String, String> {
    let wrong = |error: std::io::Error| format!("kafka.bootstrap: {error}");
    let addresses = broker.to_socket_addrs().map_err(wrong)?;
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => return Ok("answers".to_owned()),
            Err(error) => last = error,
        }
    }
    Err(wrong(last))
}

/// A line for each topic that is used.
fn topics(
    kafka: &Kafka,
    exported: BTreeMap<String, TopicPlan>,
    connection: &Connection,
) -> Result<Vec<Line>, Failure> {
    let asked = Topics::open(connection, TIMEOUT)?;
    let plans = plans(kafka, exported);
    let names: Vec<&str> = plans.iter().map(|(_, plan)| plan.name.as_str()).collect();
    let facts = asked.facts(&names)?;
    let mut lines = Vec::new();
    for (setting, plan) in &plans {
        let found = match &facts[&plan.name] {
            TopicFacts::NotAllowed => Err("no right to see it".to_owned()),
            TopicFacts::Missing if kafka.create_topics => {
                let failed = asked.could_create(&[relay::new_topic(plan)])?.remove(&plan.name);
                failed.map_or_else(|| Ok("missing; the relay will create it".to_owned()), Err)
            }
            TopicFacts::Missing => Err("missing, and kafka.create_topics is false".to_owned()),
            TopicFacts::Exists { partitions, max_message_bytes, cleanup } => {
                let cleanup = cleanup.as_deref().unwrap_or_default();
                let is_control = plan.name == kafka.control_topic.as_str();
                let fits = if is_control { control(connection, plan, *partitions, cleanup)? } else { Ok(()) };
                match fits {
                    Ok(()) => writable(connection, plan, *partitions, *max_message_bytes)?,
                    Err(wrong) => Err(wrong),
                }
            }
        };
        let found = found.map_err(|wrong| format!("{setting}: {wrong}"));
        lines.push(Line::new("topic", &plan.name, found));
    }
    Ok(lines)
}

/// What the control topic must be, because the relay reads it whole at every start.
fn control(
    connection: &Connection,
    plan: &TopicPlan,
    partitions: u32,
    cleanup: &str,
) -> Result<Result<(), String>, Failure> {
    if partitions != 1 {
        return Ok(Err(format!("has {partitions} partitions, must have 1")));
    }
    if !cleanup.is_empty() && cleanup != Cleanup::Compact.word() {
        return Ok(Err(format!("its cleanup.policy is {cleanup}, must be compact")));
    }
    match read_to_end(connection, &plan.name, TIMEOUT) {
        Ok(_) => Ok(Ok(())),
        Err(Failure::Topic { reason, .. }) => Ok(Err(reason)),
        Err(failure) => Err(failure),
    }
}

fn writable(
    connection: &Connection,
    plan: &TopicPlan,
    partitions: u32,
    max_message_bytes: Option<u64>,
) -> Result<Result<String, String>, Failure> {
    let remark = format!("{partitions} partitions");
    let Some(limit) = max_message_bytes else {
        return Ok(Ok(format!(
            "{remark}; no right to read its settings, so the right to write was not checked"
        )));
    };
    Ok(match may_write(connection, &plan.name, limit, TIMEOUT)? {
        Some(true) => Ok(remark),
        Some(false) => Err("no right to write to it".to_owned()),
        None => Ok(format!("{remark}; the right to write was not checked")),
    })
}

/// Every topic that is used, with the setting that names it.
fn plans(kafka: &Kafka, exported: BTreeMap<String, TopicPlan>) -> Vec<(String, TopicPlan)> {
    let plain = |name: &TopicName| TopicPlan { name: name.to_string(), ..kafka.topic("", "") };
    let mut plans = Vec::new();
    if kafka.delivery == KafkaDelivery::Transactions {
        let control = plain(&kafka.control_topic);
        let (partitions, cleanup) = (Some(NonZeroU32::MIN), Some(Cleanup::Compact));
        let plan = TopicPlan { partitions, cleanup, retention: None, ..control };
        plans.push(("kafka.control_topic".to_owned(), plan));
    }
    plans.extend(
        kafka.dead_letter_topic.iter().map(|name| ("kafka.dead_letter_topic".to_owned(), plain(name))),
    );
    // Tables of one module share a topic.
    let mut seen = BTreeSet::new();
    let exported = exported.into_iter().filter(|(_, plan)| seen.insert(plan.name.clone()));
    plans.extend(exported.map(|(topic, plan)| (format!("kafka.topics.{topic:?}"), plan)));
    plans
}
