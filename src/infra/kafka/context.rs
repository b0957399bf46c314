//! What librdkafka calls back: log, errors, statistics, tokens and the fate of each record.

use super::connection::{Connection, Login};
use super::deliveries::Deliveries;
use super::oauth;
use crate::infra::telemetry::metrics::{KAFKA_BROKERS, KAFKA_ROUND_TRIP, KAFKA_SENT_BYTES, KAFKA_WAITING};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::statistics::{Broker, Statistics};
use std::error::Error;

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
            // `error` gets the same, and says it once per outage.
            _ if matches!(facility, "FAIL" | "ERROR") => {
                tracing::debug!(target: "kafka", client, facility, "{message}");
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
        let client = self.connection.name().to_owned();
        let is_up = |broker: &&Broker| broker.nodeid >= 0 && broker.state == "UP";
        let brokers: Vec<_> = statistics.brokers.values().filter(is_up).collect();
        if !brokers.is_empty() {
            self.connection.answers();
        }
        let slowest = brokers.iter().filter_map(|broker| broker.rtt.as_ref()).map(|rtt| rtt.max).max();
        let micros = slowest.unwrap_or_default() as f64;
        metrics::gauge!(KAFKA_WAITING, "client" => client.clone()).set(statistics.msg_cnt as f64);
        metrics::gauge!(KAFKA_BROKERS, "client" => client.clone()).set(brokers.len() as f64);
        metrics::gauge!(KAFKA_SENT_BYTES, "client" => client.clone()).set(statistics.tx_bytes as f64);
        metrics::gauge!(KAFKA_ROUND_TRIP, "client" => client).set(micros / 1e6);
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
