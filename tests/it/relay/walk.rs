//! The whole way: mail through Postfix and over HTTP, rows, topics; then replays. A consumer that follows the topics has the tables.

use super::trial::connection;
use super::{are_in_order, body, header, ids, kafka_section};
use crate::kafka::broker::shared;
use crate::postfix_walk::{Mailer, has_postfix};
use crate::processes::{Installation, Server, each_store, is_soak};
use crate::programs;
use crate::promises::mail;
use headworks::infra::kafka::{Failure, Kept, read_to_end};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The published tables, each with its topic and its natural key besides `customer`.
const TABLES: [(&str, &str, &[&str]); 5] = [
    ("hydrastor_alert", "hydrastor.alert", &["grid", "node", "event_id", "occurred_at", "state"]),
    ("hydrastor_grid_snapshot", "hydrastor.system_report", &["grid_key", "report_at"]),
    ("hydrastor_node_snapshot", "hydrastor.system_report", &["grid_key", "node_name", "report_at"]),
    ("hydrastor_fs_snapshot", "hydrastor.system_report", &["grid_key", "fs_name", "report_at"]),
    (
        "hydrastor_replication_snapshot",
        "hydrastor.system_report",
        &["grid_key", "pair_name", "direction", "report_at"],
    ),
];

/// Rows by natural key.
type Table = BTreeMap<Vec<String>, Value>;

#[tokio::test(flavor = "multi_thread")]
async fn reports_and_alerts_through_postfix_and_rest_are_on_the_topics_and_a_replay_tells_what_changed() {
    let Some(bootstrap) = shared() else { return };
    if !has_postfix() {
        return;
    }
    let mails = if is_soak() { 5_000 } else { 120 };
    each_store(|postgres| {
        let prefix = format!("t{}.", uuid::Uuid::new_v4().simple());
        let kafka = kafka_section(&bootstrap, &prefix);
        let installation = Installation::new(postgres, &kafka, &programs::modules());
        let server = installation.start();
        let mailer = Mailer::start(&installation, "");
        let site = Walk { installation: &installation, server: &server, bootstrap: &bootstrap, prefix };
        std::thread::scope(|scope| {
            scope.spawn(|| mailer.send_all(0..mails / 2));
            (mails / 2..mails).for_each(|number| post(&server, number));
        });
        mailer.wait_for_sent(mails / 2);
        site.settle(mails);
        let records = site.follow_up();
        assert!(records.iter().all(|record| header(record, "headworks-op") == "upsert"));
        assert_eq!(records.len(), mails / 4 * (1 + 2 + 2 + 1) + mails / 4 * 3, "each row once");

        // Nothing has changed.
        let alerts: Vec<String> = site.deliveries("alert").into_iter().take(5).collect();
        alerts.iter().for_each(|id| site.replay(id));
        site.settle(mails);
        assert_eq!(site.follow_up().len(), records.len());

        // The group of alerts is a column of their rows.
        let config = std::fs::read_to_string(installation.config()).unwrap();
        let changed =
            config.replace("type = \"alert\", group = \"{node}\"", "type = \"alert\", group = \"moved\"");
        assert_ne!(config, changed);
        site.configure(&changed);
        alerts.iter().for_each(|id| site.replay(id));
        site.settle(mails);
        let told = site.follow_up();
        let new = &told[records.len()..];
        assert_eq!(new.len(), alerts.len(), "each changed row once: {new:#?}");
        assert!(new.iter().all(|record| header(record, "headworks-op") == "upsert"));
        server.stop();
    })
    .await;
}

struct Walk<'w> {
    installation: &'w Installation,
    server: &'w Server,
    bootstrap: &'w str,
    prefix: String,
}

impl Walk<'_> {
    /// Waits until every delivery is done.
    fn settle(&self, deliveries: usize) {
        let store = &self.installation.store;
        let began = Instant::now();
        loop {
            let done = store.count("SELECT count(*) FROM delivery") == deliveries as i64
                && store.count("SELECT count(*) FROM job") == 0;
            if done {
                return;
            }
            let patience = Duration::from_secs(60 + deliveries as u64 / 20);
            assert!(began.elapsed() < patience, "{}", self.installation.last_words());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Follows the topics until the copy that their records make is what the tables hold; all records, in the order of the log.
    fn follow_up(&self) -> Vec<Kept> {
        let tables: BTreeMap<&str, Table> =
            TABLES.iter().map(|(table, _, key)| (*table, self.table(table, key))).collect();
        let began = Instant::now();
        loop {
            let mut records: Vec<Kept> = ["hydrastor.alert", "hydrastor.system_report"]
                .iter()
                .flat_map(|topic| self.records(topic))
                .collect();
            records.sort_by_key(|record| header(record, "headworks-seq").parse::<i64>().unwrap());
            let copy = copied(&records);
            if copy == tables {
                ids(&records);
                are_in_order(&records);
                return records;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{} records, {}",
                records.len(),
                difference(&copy, &tables)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn records(&self, topic: &str) -> Vec<Kept> {
        let name = format!("{}{topic}", self.prefix);
        match read_to_end(&connection(self.bootstrap), &name, Duration::from_secs(60)) {
            Err(Failure::Topic { .. }) => Vec::new(),
            read => read.unwrap(),
        }
    }

    /// A table as the API shows it, page by page.
    fn table(&self, table: &str, key: &[&str]) -> Table {
        let items = self.pages(&format!("/api/1.0/rows/{table}?limit=500"));
        items.into_iter().map(|row| (place(&row, key), told(row))).collect()
    }

    fn pages(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page: Value =
                serde_json::from_str(&self.server.body(&format!("{path}{cursor}")).unwrap()).unwrap();
            items.extend(page["items"].as_array().unwrap_or_else(|| panic!("{page}")).clone());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    fn deliveries(&self, type_: &str) -> Vec<String> {
        let found = self.pages(&format!("/api/1.0/deliveries?category=hydrastor&type={type_}&limit=500"));
        let mails = found.into_iter().filter(|delivery| delivery["source"] == "mail");
        mails.map(|delivery| delivery["id"].as_str().unwrap().to_owned()).collect()
    }

    fn replay(&self, id: &str) {
        let path = format!("/api/1.0/deliveries/{id}/replay?sort=true");
        assert_eq!(self.server.ask("POST", &path), Some(202), "{path}");
    }

    /// Makes this the configuration of the running server.
    fn configure(&self, text: &str) {
        let before = self.installation.log_lines().len();
        std::fs::write(self.installation.config(), text).unwrap();
        self.server.reload();
        self.installation.wait_for("the new configuration", || {
            let lines = self.installation.log_lines();
            lines[before..]
                .iter()
                .any(|line| line["msg"].as_str().is_some_and(|msg| msg.contains("configuration")))
                .then_some(())
        });
    }
}

/// Where the copy differs from the tables.
fn difference(copy: &BTreeMap<&str, Table>, tables: &BTreeMap<&str, Table>) -> String {
    let differing = tables.iter().flat_map(|(table, rows)| {
        let keys: BTreeSet<_> = rows.keys().chain(copy[table].keys()).collect();
        let differing = keys.into_iter().filter(|key| copy[table].get(*key) != rows.get(*key));
        differing
            .map(move |key| format!("{table} {key:?}: {:?}, not {:?}", copy[table].get(key), rows.get(key)))
    });
    differing.take(3).collect::<Vec<_>>().join("\n")
}

/// A row without the number of its load: a replay that changes nothing else of it is not told.
fn told(mut row: Value) -> Value {
    row.as_object_mut().unwrap().remove("load_id");
    row
}

/// Natural key of a row, or of the body of a delete.
fn place(row: &Value, key: &[&str]) -> Vec<String> {
    std::iter::once(&"customer").chain(key).map(|column| row[*column].to_string()).collect()
}

/// What a consumer has that does what the records say.
fn copied(records: &[Kept]) -> BTreeMap<&'static str, Table> {
    let mut copy: BTreeMap<&str, Table> = TABLES.iter().map(|(table, ..)| (*table, Table::new())).collect();
    for record in records {
        let table = header(record, "headworks-table");
        let &(table, _, key) = TABLES.iter().find(|(name, ..)| *name == table).unwrap();
        let (rows, body) = (copy.get_mut(table).unwrap(), told(body(record)));
        match header(record, "headworks-op") {
            "delete" => assert!(rows.remove(&place(&body, key)).is_some(), "{body}"),
            "upsert" => assert_ne!(rows.insert(place(&body, key), body.clone()), Some(body), "told twice"),
            other => panic!("{other}"),
        }
    }
    copy
}

/// Posts a mail over the control socket.
fn post(server: &Server, number: usize) {
    let mail = mail(number);
    let type_ = if number.is_multiple_of(4) { "system_report" } else { "alert" };
    let path = format!("/api/1.0/deliveries?customer=bobs&category=hydrastor&type={type_}");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: message/rfc822\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        mail.len()
    );
    let mut socket = UnixStream::connect(server.control()).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(&mail).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}
