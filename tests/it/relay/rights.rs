//! Ten topics, one of them without the right to write: it alone waits, and goes on once the right is there.

use super::trial::{connection, entries_statement, execute};
use super::{are_in_order, header, ids, kafka_section};
use crate::kafka::broker::Broker;
use crate::processes::{Installation, Server, each_store, is_soak};
use crate::programs;
use headworks::infra::kafka::{Kept, NewTopic, Topics, read_to_end};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Modules of `hostile_modules` that publish a table.
const MODULES: [&str; 10] =
    ["good", "mirror", "many", "socket", "exec", "fork", "thread", "open", "kill_parent", "memory"];
/// That whose topic we may not write to.
const DENIED: &str = "exec";
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_topics_only_the_one_without_the_right_to_write_waits_until_it_is_there() {
    let users = [("KAFKA_USERS", "relay:secret"), ("KAFKA_ACLS", "on")];
    let Some(broker) = Broker::start_secured(&users) else { return };
    each_store(|postgres| {
        let site = Site::new(postgres, &broker);
        let server = site.installation.start();
        site.installation.wait_for("the relay to lead", || {
            site.installation.log_lines().iter().any(|line| line["msg"] == "the relay leads").then_some(())
        });
        site.append(500);
        site.nine_are_copied(500);
        site.wait_for(&server, DENIED, |topic| topic["trouble"].is_string());
        site.append(100);
        site.nine_are_copied(600);
        site.one_is_named(&server);
        if is_soak() {
            // It is tried again each minute, in vain. How long the right is missing is what is tried.
            std::thread::sleep(Duration::from_secs(150));
            site.one_is_named(&server);
        }

        site.allow(&["Write"], &[DENIED]);
        if !is_soak() {
            // Sooner than after a minute.
            site.installation.says(&["relay", "pause", &log_topic(DENIED)]);
            site.wait_for(&server, DENIED, |topic| topic["paused"] == true && topic["trouble"].is_null());
            site.installation.says(&["relay", "resume", &log_topic(DENIED)]);
        }
        site.wait_for(&server, DENIED, |topic| topic["lag_entries"] == 0);
        site.append(100);
        for module in MODULES {
            let shown = site.wait_for(&server, module, |topic| topic["lag_entries"] == 0);
            assert_eq!(
                (&shown["trouble"], &shown["epoch"], &shown["held"]),
                (&Value::Null, &1.into(), &0.into())
            );
            site.is_whole(module, 700);
        }
        assert_eq!(site.said("the relay does not go on"), 1);
        assert!(!server.body("/readyz?verbose").unwrap().contains("do not go on"));
        server.stop();
    })
    .await;
}

fn log_topic(module: &str) -> String {
    format!("rows.hostile_{module}")
}

struct Site<'a> {
    broker: &'a Broker,
    installation: Installation,
    prefix: String,
}

impl<'a> Site<'a> {
    /// All topics exist; a topic of rows may be written to, but for one, which may only be seen.
    fn new(postgres: Option<String>, broker: &'a Broker) -> Self {
        let prefix = format!("t{}.", uuid::Uuid::new_v4().simple());
        let (address, ca) = (broker.address("KAFKA_SASL_SSL"), broker.certificate("ca.pem"));
        let login = format!(
            "security = \"sasl_ssl\"\nsasl_mechanism = \"SCRAM-SHA-512\"\nusername = \"relay\"\npassword = \"secret\"\nca = {ca:?}\n"
        );
        let kafka = kafka_section(address, &prefix) + &login;
        let installation = Installation::new(postgres, &kafka, &programs::hostile_modules());
        let site = Self { broker, installation, prefix };
        let topic = |name, cleanup: &str| NewTopic {
            name,
            partitions: Some(1),
            cleanup: Some(cleanup.to_owned()),
            ..NewTopic::default()
        };
        let mut topics: Vec<_> = MODULES.iter().map(|module| topic(site.kafka(module), "delete")).collect();
        topics.push(topic(format!("{}control", site.prefix), "compact"));
        let kafka = Topics::open(&connection(broker.bootstrap()), PATIENCE).unwrap();
        assert_eq!(kafka.create(&topics).unwrap(), BTreeMap::new());
        let allowed: Vec<_> = MODULES.into_iter().filter(|module| *module != DENIED).collect();
        site.allow(&["Write", "Describe"], &allowed);
        site.allow(&["Describe"], &[DENIED]);
        site.acl(&["Write", "Read"], &["--topic".to_owned(), format!("{}control", site.prefix)]);
        site.acl(&["Write", "Describe"], &["--transactional-id", "*"].map(str::to_owned));
        site
    }

    /// What the topic of a module is in Kafka.
    fn kafka(&self, module: &str) -> String {
        format!("{}hostile.{module}", self.prefix)
    }

    /// Gives us rights to the topics of modules.
    fn allow(&self, operations: &[&str], modules: &[&str]) {
        let topics: Vec<_> =
            modules.iter().flat_map(|module| ["--topic".to_owned(), self.kafka(module)]).collect();
        self.acl(operations, &topics);
    }

    fn acl(&self, operations: &[&str], resources: &[String]) {
        let mut arguments = vec!["acls", "--add", "--allow-principal", "User:relay"];
        arguments.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
        arguments.extend(resources.iter().map(String::as_str));
        self.broker.admin(&arguments);
    }

    /// Appends so many entries to each topic.
    fn append(&self, count: i64) {
        let store = &self.installation.store;
        for module in MODULES {
            execute(store, &entries_statement(store, &log_topic(module), count));
        }
    }

    fn records(&self, module: &str) -> Vec<Kept> {
        read_to_end(&connection(self.broker.bootstrap()), &self.kafka(module), PATIENCE).unwrap()
    }

    /// Each entry of a log topic is on its topic, once and in order.
    fn is_whole(&self, module: &str, count: usize) {
        let records = self.records(module);
        assert_eq!(records.len(), count, "{module}");
        ids(&records);
        are_in_order(&records);
        let seqs: Vec<(i64,)> =
            records.iter().map(|record| (header(record, "headworks-seq").parse().unwrap(),)).collect();
        let text =
            "SELECT seq FROM log WHERE topic = (SELECT id FROM topic WHERE name = 'NAME') ORDER BY seq";
        assert_eq!(seqs, self.installation.store.all(&text.replace("NAME", &log_topic(module))), "{module}");
    }

    fn nine_are_copied(&self, count: usize) {
        for module in MODULES.into_iter().filter(|module| *module != DENIED) {
            let what = format!("{count} records of {module}");
            self.installation.wait_for(&what, || (self.records(module).len() >= count).then_some(()));
            self.is_whole(module, count);
        }
        assert_eq!(self.records(DENIED), []);
    }

    /// What is shown of a topic once it is as it should be.
    fn wait_for(&self, server: &Server, module: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.installation.wait_for(module, || {
            let shown = server.body(&format!("/api/1.0/relay/{}", log_topic(module)))?;
            Some(serde_json::from_str(&shown).unwrap()).filter(&wanted)
        })
    }

    /// The topic waits where it was, and whoever looks is told why; the log says it once.
    fn one_is_named(&self, server: &Server) {
        let why = format!("{}: no right to write to the topic", self.kafka(DENIED));
        let listed: Value = serde_json::from_str(&server.body("/api/1.0/relay").unwrap()).unwrap();
        let listed = listed["items"].as_array().unwrap();
        assert_eq!(listed.len(), MODULES.len());
        for topic in listed {
            if topic["topic"] == log_topic(DENIED) {
                assert_eq!((&topic["trouble"], &topic["lag_entries"]), (&why.as_str().into(), &600.into()));
                assert_eq!(topic["position"], "0".repeat(16));
            } else {
                assert_eq!(topic["trouble"], Value::Null);
                // What is on the topics is there before the position is copied.
                let name = topic["topic"].as_str().unwrap().trim_start_matches("rows.hostile_");
                self.wait_for(server, name, |topic| topic["lag_entries"] == 0);
            }
        }
        let table = self.installation.says(&["relay", "list"]);
        let lines: Vec<_> = table.lines().filter(|line| line.contains("no right to write")).collect();
        assert!(lines.len() == 1 && lines[0].trim_start().starts_with(&log_topic(DENIED)), "{table}");
        assert_eq!(self.said("the relay does not go on"), 1);
        assert_eq!(server.ask("GET", "/readyz"), Some(200));
        let ready = server.body("/readyz?verbose").unwrap();
        assert!(ready.contains("1 topics do not go on: headworks relay list"), "{ready}");
    }

    /// How many lines of the log begin so.
    fn said(&self, begin: &str) -> usize {
        let lines = self.installation.log_lines();
        lines.iter().filter(|line| line["msg"].as_str().is_some_and(|said| said.starts_with(begin))).count()
    }
}
