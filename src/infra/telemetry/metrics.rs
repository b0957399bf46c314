//! Metrics: one table of names, one recorder, one text for `/metrics`.
//!
//! A metric is recorded under its constant, so that no name is spelt twice:
//! `metrics::counter!(INGEST_ITEMS, "source" => "pipe", "outcome" => "kept").increment(1)`. Label values come from fixed
//! sets (a configured source, a module, a route, an outcome), never from content, and are never ids.

use metrics::Unit;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How long things took, in seconds.
    Histogram,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// `headworks_<noun>_<unit>[_total]`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// One sentence for the scrape.
    pub help: &'static str,
}

/// Declares the constants and the table of them.
macro_rules! metrics_table {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*
        /// Every metric of headworks.
        pub const TABLE: &[Metric] =
            &[$(Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help }),*];
    };
}

metrics_table! {
    BUILD_INFO = Gauge "headworks_build_info" ["version", "commit"] "Always 1; the labels name the build.";
    INGEST_ITEMS = Counter "headworks_ingest_items_total" ["source", "outcome"] "Items received.";
    INGEST_BYTES = Counter "headworks_ingest_bytes_total" ["source"] "Bytes accepted.";
    ACK_SECONDS = Histogram "headworks_ack_seconds" ["source"] "Time from handing in an item to its acceptance.";
    QUEUE_JOBS = Gauge "headworks_queue_jobs" ["queue", "state"] "Live jobs, by kind and module of their queue.";
    QUEUE_OLDEST = Gauge "headworks_queue_oldest_seconds" ["queue"] "Age of the oldest runnable job.";
    JOB_SECONDS = Histogram "headworks_job_seconds" ["kind", "module", "outcome"] "Duration of one run.";
    MODULE_ROWS = Counter "headworks_module_rows_total" ["module", "table"] "Rows of committed loads, duplicates included.";
    HELD_JOBS = Gauge "headworks_held_jobs" ["reason"] "Jobs held for an operator.";
    HELD_OLDEST = Gauge "headworks_held_oldest_seconds" [] "Age of the oldest held job.";
    SPOOL_DAMAGED = Gauge "headworks_spool_damaged_entries" [] "Damaged entries in the spool of this host.";
    STRAY_TREES = Counter "headworks_stray_trees_total" [] "Trees removed because their delivery was never accepted.";
    RELAY_RECORDS = Counter "headworks_relay_records_total" ["group"] "Records committed to Kafka.";
    RELAY_GAPS = Counter "headworks_relay_gaps_total" ["topic"] "Times that entries were pruned before they were copied to Kafka.";
    RELAY_LAG = Gauge "headworks_relay_lag_entries" ["topic"] "Entries that are not in Kafka yet, counted up to 100,000.";
    RELAY_LAG_SECONDS = Gauge "headworks_relay_lag_seconds" ["topic"] "Age of the oldest entry that is not in Kafka yet.";
    RELAY_LIMIT = Gauge "headworks_relay_limit_ratio" ["limit"] "Share of a limit that the backlog of the relay has reached; at 1 entries are pruned.";
    STORE_BYTES = Gauge "headworks_store_bytes" ["kind"] "Size of a SQLite file with its write-ahead log, or of the Postgres database.";
    KAFKA_WAITING = Gauge "headworks_kafka_waiting_records" ["client"] "Records handed to a Kafka client and not yet acknowledged.";
    KAFKA_BROKERS = Gauge "headworks_kafka_brokers" ["client"] "Brokers to which a Kafka client is connected.";
    KAFKA_SENT_BYTES = Gauge "headworks_kafka_sent_bytes" ["client"] "Bytes a Kafka client has sent since it was made.";
    KAFKA_ROUND_TRIP = Gauge "headworks_kafka_round_trip_seconds" ["client"] "Longest recent round trip to a broker.";
    HTTP_REQUESTS = Counter "headworks_http_requests_total" ["method", "route", "status"] "Requests answered.";
    HTTP_SECONDS = Histogram "headworks_http_request_seconds" ["route"] "Time from request header to response header.";
}

/// Bounds of all histograms, in seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

/// The recorder's output. Clones share it.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder for the whole process.
    ///
    /// # Errors
    /// When one is installed already.
    pub fn install() -> Result<Self, BuildError> {
        let metrics = Self(builder()?.install_recorder()?);
        describe();
        let commit = option_env!("HEADWORKS_COMMIT").unwrap_or("unknown");
        metrics::gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "commit" => commit).set(1.0);
        Ok(metrics)
    }

    /// The Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds histogram samples recorded since the last call; a duty of every minute.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
}

fn describe() {
    for metric in TABLE {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, Unit::Seconds, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ACK_SECONDS, INGEST_ITEMS, Kind, Metrics, TABLE, builder, describe};
    use std::collections::BTreeSet;

    #[test]
    fn names_follow_the_house_rule_and_are_unique() {
        for metric in TABLE {
            assert!(metric.name.starts_with("headworks_"), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.kind != Kind::Histogram || metric.name.ends_with("_seconds"), "{}", metric.name);
            assert!(metric.labels.iter().all(|label| !label.ends_with("id")), "{}", metric.name);
        }
        assert_eq!(TABLE.iter().map(|m| m.name).collect::<BTreeSet<_>>().len(), TABLE.len());
    }

    #[test]
    fn a_scrape_carries_help_labels_and_buckets() {
        let recorder = builder().unwrap().build_recorder();
        let metrics = Metrics(recorder.handle());
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::counter!(INGEST_ITEMS, "source" => "pipe", "outcome" => "kept").increment(2);
            metrics::histogram!(ACK_SECONDS, "source" => "pipe").record(0.004);
        });
        let text = metrics.render();
        assert!(text.contains("# HELP headworks_ingest_items_total Items received."), "{text}");
        assert!(text.contains(r#"headworks_ingest_items_total{source="pipe",outcome="kept"} 2"#), "{text}");
        assert!(text.contains(r#"headworks_ack_seconds_bucket{source="pipe",le="0.005"} 1"#), "{text}");
    }
}
