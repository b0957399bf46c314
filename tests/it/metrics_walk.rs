//! What an operator is shown of two mails, one parsed and one held: every metric of the table, a line of the log.

use crate::appliance::fixture;
use crate::processes::{Installation, Server, each_store};
use crate::programs;
use headworks::infra::telemetry::metrics::{Kind, TABLE};
use std::collections::{BTreeMap, BTreeSet};

const TO: &str = "bobs@ingest.example.com";

/// One line of a scrape.
#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

struct Scrape(Vec<Sample>);

impl Scrape {
    fn of(server: &Server) -> Self {
        let text = server.body("/metrics").unwrap();
        Self(
            text.lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(Sample::parse)
                .collect(),
        )
    }

    /// The sample of this name with these labels among its own.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &Sample| {
            labels.iter().all(|(name, value)| sample.labels.get(*name).is_some_and(|is| is == value))
        };
        self.0.iter().find(|sample| sample.name == name && has(sample)).map(|sample| sample.value)
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (head, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = head.split_once('{').unwrap_or((head, ""));
        let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| {
            let (name, value) = label.split_once("=\"")?;
            Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
        });
        Self { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap() }
    }

    /// Name of its metric: without what a histogram adds.
    fn metric(&self) -> &str {
        let histogram =
            |metric: &&str| TABLE.iter().any(|known| known.kind == Kind::Histogram && known.name == *metric);
        let suffixes = ["_bucket", "_sum", "_count"];
        suffixes
            .iter()
            .find_map(|suffix| self.name.strip_suffix(suffix).filter(histogram))
            .unwrap_or(&self.name)
    }
}

/// A server that has taken in an alert and a mail that no rule expects.
fn walked() -> (Installation, Server, usize) {
    let installation = Installation::new(None, "", &programs::modules());
    let server = installation.start();
    let (alert, lunch) = (fixture("alert/01_warning"), b"Subject: lunch?\n\nAt noon.\n");
    installation.deliver("4Q1", TO, &alert).unwrap();
    installation.deliver("4Q2", TO, lunch).unwrap();
    (installation, server, alert.len() + lunch.len())
}

#[test]
fn two_mails_move_every_metric_of_the_table_and_no_other() {
    let (installation, server, bytes) = walked();
    let scrape = installation.wait_for("the gauge of held jobs", || {
        let scrape = Scrape::of(&server);
        let held = scrape.value("headworks_held_jobs", &[("reason", "no_rule")]) == Some(1.0);
        let loaded = scrape.value("headworks_module_rows_total", &[]).is_some();
        (held && loaded).then_some(scrape)
    });
    let shown: BTreeSet<&str> = scrape.0.iter().map(Sample::metric).collect();
    // There is no Kafka here.
    let is_shown =
        |name: &&str| !["headworks_kafka_", "headworks_relay_"].iter().any(|own| name.starts_with(own));
    let described: BTreeSet<&str> = TABLE.iter().map(|metric| metric.name).filter(is_shown).collect();
    assert_eq!(shown, described);
    for sample in &scrape.0 {
        let metric = TABLE.iter().find(|metric| metric.name == sample.metric()).unwrap();
        let labels: BTreeSet<&str> = sample.labels.keys().map(String::as_str).collect();
        let expected: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert_eq!(&labels - &BTreeSet::from(["le"]), expected, "{sample:?}");
        assert!(sample.value >= 0.0, "{sample:?}");
    }
    let alert = [("module", "hydrastor/alert")];
    let sorted = [("kind", "sort"), ("module", "-"), ("outcome", "done")];
    let parsed = [("kind", "parse"), alert[0], ("outcome", "done")];
    for (name, labels, value) in [
        ("headworks_build_info", &[("version", env!("CARGO_PKG_VERSION"))][..], 1.0),
        ("headworks_ingest_items_total", &[("source", "mail"), ("outcome", "accepted")], 2.0),
        ("headworks_ingest_bytes_total", &[("source", "mail")], bytes as f64),
        ("headworks_ack_seconds_count", &[("source", "mail")], 2.0),
        ("headworks_job_seconds_count", &sorted, 1.0),
        ("headworks_job_seconds_count", &[sorted[0], sorted[1], ("outcome", "held")], 1.0),
        ("headworks_job_seconds_count", &parsed, 1.0),
        ("headworks_module_rows_total", &[alert[0], ("table", "hydrastor_alert")], 1.0),
        ("headworks_queue_jobs", &[("queue", "sort"), ("state", "held")], 1.0),
        ("headworks_held_jobs", &[("reason", "malformed")], 0.0),
        ("headworks_spool_damaged_entries", &[], 0.0),
    ] {
        assert_eq!(scrape.value(name, labels), Some(value), "{name} {labels:?}");
    }
    for file in ["state", "results"] {
        assert!(scrape.value("headworks_store_bytes", &[("kind", file)]).unwrap() > 0.0, "{file}");
    }
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_either_store_is_shown() {
    each_store(|postgres| {
        let kinds = if postgres.is_some() { &["database"][..] } else { &["state", "results"] };
        let installation = Installation::new(postgres, "", &programs::modules());
        let server = installation.start();
        installation.wait_for("the size of the store", || {
            let scrape = Scrape::of(&server);
            let bytes = |kind: &&str| scrape.value("headworks_store_bytes", &[("kind", kind)]);
            kinds.iter().all(|kind| bytes(kind).is_some_and(|bytes| bytes > 10_000.0)).then_some(())
        });
        server.stop();
    })
    .await;
}

#[test]
fn a_held_job_is_one_line_of_the_log_with_everything_to_find_it_by() {
    let (installation, server, _) = walked();
    let said = installation.wait_for("the line of the held job", || {
        let log = installation.last_words();
        let lines: Vec<serde_json::Value> =
            log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.into_iter().find(|line| line["msg"] == "a job is held")
    });
    assert_eq!(said["level"], "WARN");
    assert_eq!(
        (&said["kind"], &said["attempt"], &said["reason"]),
        (&"sort".into(), &0.into(), &"no_rule".into())
    );
    for id in ["job_id", "delivery_id"] {
        assert!(said[id].as_str().is_some_and(|id| !id.is_empty()), "{said}");
    }
    server.stop();
}

#[test]
fn a_damaged_spool_entry_is_told_of_kept_and_in_nobodys_way() {
    let installation = Installation::new(None, "", &programs::modules());
    installation.start().stop();
    let mail = fixture("alert/01_warning");
    let receipt = installation.deliver("4Q1", TO, &mail).unwrap();
    let entry = installation.spool().join("new").join(receipt.to_string());
    let whole = std::fs::read(&entry).unwrap();
    let cut = &whole[..whole.len() - 10];
    std::fs::write(&entry, cut).unwrap();

    let server = installation.start();
    installation.wait_for("the gauge of damaged entries", || {
        let shown = Scrape::of(&server).value("headworks_spool_damaged_entries", &[]);
        (shown == Some(1.0)).then_some(())
    });
    let ready: serde_json::Value = serde_json::from_str(&server.body("/readyz?verbose").unwrap()).unwrap();
    let spool = ready["dependencies"].as_array().unwrap().iter().find(|it| it["name"] == "spool").unwrap();
    assert_eq!((&spool["ready"], &spool["note"]), (&true.into(), &"damaged entries: 1".into()));
    let log = installation.last_words();
    let said = |words: &str| log.lines().filter(|line| line.contains(words)).collect::<Vec<_>>();
    let named = said("a spool entry is damaged and stays");
    assert!(named.len() == 1 && named[0].contains(&receipt.to_string()), "{log}");
    assert_eq!(said("damaged entries in the spool wait for an operator").len(), 1, "{log}");
    assert_eq!(std::fs::read(&entry).unwrap(), cut);

    // Its sender comes again: the good copy is taken, the damaged one is set aside.
    assert_eq!(installation.deliver("4Q1", TO, &mail), Some(receipt));
    installation.wait_for("the good copy", || {
        let answer = server.body(&format!("/api/1.0/receipts/{receipt}"))?;
        answer.contains("completed").then_some(())
    });
    assert_eq!(std::fs::read(entry.with_extension("damaged")).unwrap(), cut);
    server.stop();
}

#[test]
fn readiness_asks_each_volume() {
    let installation = Installation::new(None, "", &programs::modules());
    let server = installation.start();
    let names = || -> Vec<(String, bool)> {
        let answer: serde_json::Value =
            serde_json::from_str(&server.body("/readyz?verbose").unwrap()).unwrap();
        let asked = answer["dependencies"].as_array().unwrap();
        asked.iter().map(|it| (it["name"].as_str().unwrap().to_owned(), it["ready"] == true)).collect()
    };
    assert!(names().contains(&("archive".to_owned(), true)));
    let inbox = installation.state().join("inbox");
    std::fs::rename(inbox.join(".headworks-volume"), inbox.join("elsewhere")).unwrap();
    installation.wait_for("the volume without its marker", || {
        names().contains(&("inbox".to_owned(), false)).then_some(())
    });
    assert_eq!(server.ask("GET", "/readyz"), Some(503));
    server.stop();
}
