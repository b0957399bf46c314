//! A load of more rows than the log takes one by one: a file that the relay copies row by row. The server is killed halfway.

use super::trial::{Trial, connection, end_lease, entries_statement, execute};
use super::{body, ids, kafka_section};
use crate::kafka::broker::shared;
use crate::processes::{Installation, Server, each_store, is_soak, post_for};
use crate::programs;
use headworks::infra::kafka::{Kept, read_to_end};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::time::{Duration, Instant};

/// Entries of a topic that is far behind.
const BACKLOG: i64 = 50_000;
/// Most memory of the server.
const MOST_KIB: u64 = 256 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_a_large_load_is_on_its_topic_once_although_the_server_is_killed_halfway() {
    let Some(bootstrap) = shared() else { return };
    let rows = if is_soak() { 1_000_000 } else { 40_000 };
    each_store(|postgres| Large::new(postgres, &bootstrap, rows).run()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_a_long_backlog_keeps_no_other_one_waiting() {
    let Some(bootstrap) = shared() else { return };
    each_store(|postgres| {
        let trial = Trial::new(postgres, &bootstrap, "");
        let other = trial.topic.replace(".alert", ".system_report");
        trial.append(BACKLOG);
        let store = &trial.installation.store;
        execute(store, &entries_statement(store, "rows.hydrastor_node_snapshot", 1));
        let server = trial.launch();
        trial.until("the only entry of the other topic is copied", || {
            trial
                .committed
                .fetch_watermarks(&other, 0, Duration::from_secs(5))
                .is_ok_and(|(_, high)| high > 0)
        });
        let copied = trial.high(&trial.committed).unwrap();
        assert!(copied < BACKLOG / 2, "{copied} entries were copied before it");
        trial.until_copied();
        server.stop();
    })
    .await;
}

struct Large {
    installation: Installation,
    bootstrap: String,
    topic: String,
    rows: i64,
}

impl Large {
    fn new(postgres: Option<String>, bootstrap: &str, rows: i64) -> Self {
        let prefix = format!("t{}.", uuid::Uuid::new_v4().simple());
        let kafka = kafka_section(bootstrap, &prefix);
        let installation = Installation::new(postgres, &kafka, &programs::hostile_modules());
        Self { installation, bootstrap: bootstrap.to_owned(), topic: format!("{prefix}hostile.many"), rows }
    }

    fn run(&self) {
        let mut server = self.installation.start();
        let text = self.rows.to_string();
        let (status, _) = post_for(("hostile", "many"), server.control(), text.as_bytes()).unwrap();
        assert_eq!(status, 202);
        let began = Instant::now();
        let committed = self.until_copied_in_part();
        let before = server.memory_kib("VmHWM");
        server.kill();
        // What was under way may be committed all the same.
        let at_the_kill = self.records();
        assert!(
            (1..self.rows).contains(&(at_the_kill.len() as i64)),
            "{committed}, then {}",
            at_the_kill.len()
        );

        end_lease(&self.installation.store);
        let server = self.installation.start();
        self.until_all_are_copied(&server);
        let records = self.records();
        eprintln!(
            "{} of {} rows at the kill, all after {:?}; {before} KiB at most before, {} KiB after",
            at_the_kill.len(),
            self.rows,
            began.elapsed(),
            server.memory_kib("VmHWM")
        );
        assert!(
            before.max(server.memory_kib("VmHWM")) < MOST_KIB,
            "{before}, {}",
            server.memory_kib("VmHWM")
        );
        server.stop();
        assert_eq!(records.len() as i64, self.rows);
        ids(&records);
        let mut numbers: Vec<_> = records.iter().map(|record| body(record)["n"].as_i64().unwrap()).collect();
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..self.rows), "each row once");
    }

    /// Waits until some of the rows are committed; how many records there are.
    fn until_copied_in_part(&self) -> i64 {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.set("group.id", "none").create().unwrap();
        let began = Instant::now();
        loop {
            let marks = consumer.fetch_watermarks(&self.topic, 0, Duration::from_secs(5));
            if let Ok((_, high @ 1..)) = marks {
                return high;
            }
            assert!(began.elapsed() < self.patience(), "{}", self.installation.last_words());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn until_all_are_copied(&self, server: &Server) {
        let began = Instant::now();
        loop {
            let shown = server.body("/api/1.0/relay/rows.hostile_many");
            let shown: serde_json::Value =
                serde_json::from_str(&shown.unwrap_or_default()).unwrap_or_default();
            if shown["lag_entries"] == 0 {
                return;
            }
            assert!(began.elapsed() < self.patience(), "{shown} {}", self.installation.last_words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn records(&self) -> Vec<Kept> {
        read_to_end(&connection(&self.bootstrap), &self.topic, self.patience()).unwrap()
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(60 + self.rows.unsigned_abs() / 2_000)
    }
}
