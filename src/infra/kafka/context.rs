//! What librdkafka calls back: log, errors, statistics, tokens and the fate of each record.

use super::connection::{Connection, Figures, Login};
use super::deliveries::Deliveries;
use super::oauth;
use super::trouble;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::{Broker, Statistics};
use std::error::Error;
use std::time::Duration;

/// The context of every client.
pub struct Context {
    connection: Connection,
    /// What became of the records that were sent last.
    pub(super) deliveries: Deliveries,
}

impl Context {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, deliveries: Deliveries::default() }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let client = self.connection.name();
        match level {
            // `error` hears the same and says it once per outage; only of a listener with another security it does not hear.
            _ if matches!(facility, "FAIL" | "ERROR") => {
                tracing::debug!(target: "kafka", client, facility, "{message}");
                let (_, reason) = message.split_once("]: ").unwrap_or_default();
                if trouble::is_of_security(reason) {
                    self.connection.failed(Some(RDKafkaErrorCode::BrokerTransportFailure), reason);
                }
            }
            // Calls return the same, and whoever called tells it.
            _ if matches!(facility, "ADDPARTS" | "TXNERR" | "FATAL") => {
                tracing::debug!(target: "kafka", client, facility, "{message}");
                // Only this names the topic.
                if let Some(topic) = not_allowed(message) {
                    self.deliveries.not_allowed(topic);
                }
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::warn!(target: "kafka", client, facility, "{message}"),
            RDKafkaLogLevel::Warning => tracing::info!(target: "kafka", client, facility, "{message}"),
            _ => tracing::debug!(target: "kafka", client, facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.failed(error.rdkafka_error_code(), reason);
    }

    fn stats(&self, statistics: Statistics) {
        let is_up = |broker: &&Broker| broker.nodeid >= 0 && broker.state == "UP";
        let brokers: Vec<_> = statistics.brokers.values().filter(is_up).collect();
        if !brokers.is_empty() {
            self.connection.answers();
        }
        let slowest = brokers.iter().filter_map(|broker| broker.rtt.as_ref()).map(|rtt| rtt.max).max();
        let micros = |time: i64| Duration::from_micros(u64::try_from(time).unwrap_or_default());
        self.connection.measured(Figures {
            waiting_records: statistics.msg_cnt,
            brokers: brokers.len(),
            sent_bytes: u64::try_from(statistics.tx_bytes).unwrap_or_default(),
            round_trip: micros(slowest.unwrap_or_default()),
        });
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        match &self.connection.settings().login {
            Some(login @ Login::Token { .. }) => {
                oauth::token(login).inspect_err(|why| self.connection.failed(None, why)).map_err(Into::into)
            }
            _ => Err("no token is needed".into()),
        }
    }
}

impl ConsumerContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        let failed = result.as_ref().err();
        self.deliveries.done(tag, failed.and_then(|(error, _)| error.rdkafka_error_code()));
    }
}

/// The topic in a line that says that we may not write to one: `Failed to add partition "NAME" [0] to transaction: …`.
fn not_allowed(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Failed to add partition \"")?;
    let (topic, rest) = rest.split_once('"')?;
    rest.ends_with("Topic authorization failed").then_some(topic)
}

#[cfg(test)]
mod tests {
    use super::not_allowed;

    #[test]
    fn the_topic_that_may_not_be_written_to_is_found_in_the_log() {
        let said = |why: &str| {
            format!(
                "[thrd:main]: TxnCoordinator/1: Failed to add partition \"a.b\" [0] to transaction: Broker: {why}"
            )
        };
        assert_eq!(not_allowed(&said("Topic authorization failed")), Some("a.b"));
        assert_eq!(not_allowed(&said("Operation not attempted")), None);
        assert_eq!(not_allowed("Current transaction failed in state InTransaction"), None);
    }
}
