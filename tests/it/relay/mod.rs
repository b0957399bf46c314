//! The relay against a real Kafka, on both stores: what is in the log is on the topics, once and in order.

mod kills;
mod large;
mod leaders;
mod limits;
mod moved;
mod outage;
mod rights;
mod rows;
mod trial;
mod walk;

use crate::appliance::{Appliance, Site, fixture};
use crate::kafka::broker::shared;
use crate::stores;
use headworks::in_tx;
use headworks::infra::db::Lane;
use headworks::infra::kafka::{Connection, Failure, Kept, read_to_end};
use headworks::log;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

const TO: &str = "bobs@ingest.example.com";

/// A site per store whose relay writes to topics of its own.
pub async fn each_relayed_site<F, B>(body: F)
where
    F: Fn(Relayed) -> B,
    B: Future<Output = ()>,
{
    each_relayed_site_with("", body).await;
}

/// The same with further lines in `[kafka]`, in which PREFIX is that of the topics.
pub async fn each_relayed_site_with<F, B>(lines: &str, body: F)
where
    F: Fn(Relayed) -> B,
    B: Future<Output = ()>,
{
    let Some(bootstrap) = shared() else { return };
    each_relayed_site_at(&bootstrap, lines, body).await;
}

/// The same with another broker than the shared one.
pub async fn each_relayed_site_at<F, B>(bootstrap: &str, lines: &str, body: F)
where
    F: Fn(Relayed) -> B,
    B: Future<Output = ()>,
{
    eprintln!("store: sqlite");
    body(Relayed::new(None, bootstrap, lines)).await;
    if let Some(server) = stores::postgres() {
        eprintln!("store: postgres");
        stores::with_database(&server, |url| body(Relayed::new(Some(url), bootstrap, lines))).await;
    }
}

/// A site, and what it calls its topics.
pub struct Relayed {
    pub site: Site,
    pub prefix: String,
    /// Its database, where that is one of Postgres.
    postgres: Option<String>,
    bootstrap: String,
}

impl Relayed {
    fn new(postgres: Option<String>, bootstrap: &str, lines: &str) -> Self {
        Self::named(postgres, bootstrap, lines, format!("t{}.", Uuid::new_v4().simple()))
    }

    fn named(postgres: Option<String>, bootstrap: &str, lines: &str, prefix: String) -> Self {
        let lines = lines.replace("PREFIX", &prefix);
        let kafka = kafka_section(bootstrap, &prefix) + &lines;
        let site = Site::new(postgres.clone(), &kafka);
        Self { site, prefix, postgres, bootstrap: bootstrap.to_owned() }
    }

    fn connection(&self) -> Connection {
        let config = headworks::config::load(&self.site.layers()).unwrap();
        headworks::app::kafka(&config.config().kafka).unwrap()
    }

    /// Starts its server. The lease of the one before is ended, or each start would wait for that.
    pub async fn start(&self) -> Appliance {
        if self.postgres.is_some() {
            let app = self.site.build().await;
            crate::execute(&app.core.db, "UPDATE leader SET expires_at = now() - interval '1 second'").await;
            app.core.db.close().await;
        }
        self.site.start().await
    }

    /// Appends entries with these bodies to the log, while no server runs.
    pub async fn append(&self, bodies: impl IntoIterator<Item = Vec<u8>>) {
        let app = self.site.build().await;
        let topic = log::Topics::new(app.core.db.clone()).id("rows.hydrastor_alert").await.unwrap();
        let mut bodies = bodies.into_iter().enumerate().peekable();
        while bodies.peek().is_some() {
            let entry = |(number, body)| log::Entry {
                topic,
                key: Some(format!("key {}", number % 10).into_bytes()),
                headers: BTreeMap::new(),
                body,
            };
            let entries: Vec<_> = bodies.by_ref().take(100).map(entry).collect();
            in_tx!(app.core.db, Lane::State, tx => log::append(tx, &entries)).await.unwrap();
        }
        app.core.db.close().await;
    }

    /// The records of a topic up to its end, for a consumer that reads what is committed; none of one that is not made yet.
    pub async fn records(&self, topic: &str) -> Vec<Kept> {
        self.read(topic).await.unwrap_or_default()
    }

    /// The same; `None` while the topic is not made.
    async fn read(&self, topic: &str) -> Option<Vec<Kept>> {
        let (connection, topic) = (self.connection(), format!("{}{topic}", self.prefix));
        let read = move || read_to_end(&connection, &topic, Duration::from_secs(20));
        match tokio::task::spawn_blocking(read).await.unwrap() {
            Err(Failure::Topic { .. }) => None,
            read => Some(read.unwrap()),
        }
    }

    /// Waits until the relay has made a topic.
    pub async fn wait_for_topic(&self, topic: &str) {
        let began = Instant::now();
        while self.read(topic).await.is_none() {
            assert!(began.elapsed() < Duration::from_secs(60), "{topic} is not made");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The records of a topic once there are so many; more are an error.
    pub async fn wait_for(&self, topic: &str, count: usize) -> Vec<Kept> {
        let began = Instant::now();
        loop {
            let records = self.records(topic).await;
            if records.len() >= count {
                assert_eq!(records.len(), count, "{records:#?}");
                return records;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{} of {count} records", records.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The section `[kafka]` of a configuration whose topics have this prefix; further lines of it may follow.
fn kafka_section(bootstrap: &str, prefix: &str) -> String {
    format!(
        "[kafka]\nbootstrap = [{bootstrap:?}]\ntopic_prefix = {prefix:?}\ncontrol_topic = \"{prefix}control\"\n"
    )
}

/// A header of a record, as text.
pub fn header<'r>(record: &'r Kept, name: &str) -> &'r str {
    let found = record.headers.iter().find(|(header, _)| header == name);
    let (_, value) = found.unwrap_or_else(|| panic!("no header {name}: {record:?}"));
    std::str::from_utf8(value).unwrap()
}

pub fn body(record: &Kept) -> Value {
    serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap()
}

/// Ids of all records: every one is there once.
pub fn ids(records: &[Kept]) -> Vec<String> {
    let mut ids: Vec<String> =
        records.iter().map(|record| header(record, "headworks-id").to_owned()).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "an id is there twice");
    ids
}

/// Per key, the numbers of the entries rise.
pub fn are_in_order(records: &[Kept]) {
    let mut last: BTreeMap<Option<&[u8]>, i64> = BTreeMap::new();
    for record in records {
        let seq = header(record, "headworks-seq").parse().unwrap();
        let before = last.insert(record.key.as_deref(), seq);
        assert!(before.is_none_or(|before| before < seq), "{before:?} before {seq}");
    }
}

/// A mail with an alert of a number of its own.
pub fn alert(number: usize) -> Vec<u8> {
    let mail = String::from_utf8(fixture("alert/01_warning")).unwrap();
    assert!(mail.contains("0x00A1204"), "{mail}");
    mail.replace("0x00A1204", &format!("0x{number:07X}")).into_bytes()
}

/// Deposits alerts of these numbers and waits until they are read.
pub async fn deposit_alerts(appliance: &Appliance, numbers: std::ops::Range<usize>) {
    let receipts: Vec<_> =
        numbers.map(|number| appliance.deposit(&format!("Q{number}"), TO, &alert(number))).collect();
    for receipt in receipts {
        appliance.settled(receipt).await;
    }
}
