//! The relay and the broker are killed at the worst moments: every entry is on its topic once, and in order.

use super::{are_in_order, header};
use crate::kafka::broker::Broker;
use crate::processes::{Installation, Server, Store, each_store};
use crate::programs;
use headworks::infra::kafka::{Connection, Kept, Settings, read_to_end};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, SqliteConnection};
use std::any::Any;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

const TOPIC: &str = "hydrastor.alert";
/// Entries that are appended before each kill, so that there is always something to copy.
const ENTRIES: i64 = 8_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a kill hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// The server, between the first record of a transaction and its commit.
    OpenTransaction,
    /// The server, between the commit in Kafka and the copy of the position in our store.
    PositionNotCopied,
    /// The server, while its producer ends the transaction of the one before.
    InitTransactions,
    /// The broker, while a transaction is open.
    Broker,
}

/// Kills that must leave an open transaction, proved by aborted records.
const LEAST_INSIDE: usize = 10;
/// How many of each.
const KILLS: [(Point, usize); 4] = [
    (Point::OpenTransaction, 13),
    (Point::PositionNotCopied, 5),
    (Point::InitTransactions, 2),
    (Point::Broker, 5),
];

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_killed_every_entry_is_on_its_topic_once_and_in_order() {
    let Some(broker) = Broker::start_new(&[]) else { return };
    let broker = Mutex::new(broker);
    each_store(|postgres| {
        let broker = &mut *broker.lock().unwrap();
        let trial = Trial::new(postgres, broker);
        for (point, times) in KILLS {
            for _ in 0..times {
                trial.append();
                match point {
                    Point::OpenTransaction => trial.kill_in_transaction(),
                    Point::PositionNotCopied => trial.kill_before_copy(),
                    Point::InitTransactions => trial.kill_in_init(),
                    Point::Broker => trial.kill_broker(broker),
                }
            }
        }
        // A transaction may end between the look and the kill.
        for _ in 0..40 {
            if trial.inside.get() >= LEAST_INSIDE {
                break;
            }
            trial.append();
            trial.kill_in_transaction();
        }
        trial.verify();
    })
    .await;
}

struct Trial {
    installation: Installation,
    topic: String,
    bootstrap: String,
    committed: BaseConsumer,
    uncommitted: BaseConsumer,
    entries: Cell<i64>,
    /// Kills that left a transaction open.
    inside: Cell<usize>,
}

impl Trial {
    fn new(postgres: Option<String>, broker: &Broker) -> Self {
        let bootstrap = broker.bootstrap().to_owned();
        let prefix = format!("t{}.", uuid::Uuid::new_v4().simple());
        let kafka = format!(
            "[kafka]\nbootstrap = [{bootstrap:?}]\ntopic_prefix = {prefix:?}\ncontrol_topic = \"{prefix}control\"\n"
        );
        let installation = Installation::new(postgres, &kafka, &programs::modules());
        let consumer = |level: &str| {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", &bootstrap).set("isolation.level", level).set("group.id", "none");
            config.create::<BaseConsumer>().unwrap()
        };
        let trial = Self {
            topic: format!("{prefix}{TOPIC}"),
            committed: consumer("read_committed"),
            uncommitted: consumer("read_uncommitted"),
            bootstrap,
            installation,
            entries: Cell::new(0),
            inside: Cell::new(0),
        };
        // Tables, and topics on both sides.
        let server = trial.installation.start();
        trial.until("the topic is made", || trial.high(&trial.committed).is_some());
        server.stop();
        trial
    }

    /// Appends entries with ten keys, while no server runs.
    fn append(&self) {
        self.execute(&self.entries_statement());
    }

    fn entries_statement(&self) -> String {
        let topic = "(SELECT id FROM topic WHERE name = 'rows.hydrastor_alert')";
        self.entries.set(self.entries.get() + ENTRIES);
        match &self.installation.store {
            Store::Sqlite(_) => format!(
                "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ENTRIES})
                 INSERT INTO log (at, topic, key, headers, body)
                 SELECT unixepoch() * 1000000, {topic}, CAST('key ' || n % 10 AS BLOB), '{{}}', CAST(printf('%0200d', n) AS BLOB) FROM c"
            ),
            Store::Postgres(_) => format!(
                "INSERT INTO log (seq, at, topic, key, headers, body)
                 SELECT nextval('log_seq'), clock_timestamp(), {topic}, convert_to('key ' || n % 10, 'UTF8'), '{{}}',
                   convert_to(lpad(n::text, 200, '0'), 'UTF8') FROM generate_series(1, {ENTRIES}) AS n"
            ),
        }
    }

    /// Runs a statement on the store itself. A dead leader's lease is ended by it, or each start would wait for that.
    fn execute(&self, statement: &str) {
        let statement = statement.to_owned();
        match &self.installation.store {
            Store::Sqlite(state) => block(crate::execute_outside(state, &statement)),
            Store::Postgres(url) => block(async {
                let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }),
        }
    }

    fn launch(&self) -> Server {
        if matches!(self.installation.store, Store::Postgres(_)) {
            self.execute(
                "UPDATE leader SET expires_at = now() - interval '1 second' WHERE duty LIKE 'relay:%'",
            );
        }
        self.installation.launch()
    }

    /// End of the topic, for one of the consumers; `None` while there is no topic.
    fn high(&self, consumer: &BaseConsumer) -> Option<i64> {
        consumer.fetch_watermarks(&self.topic, 0, Duration::from_secs(5)).ok().map(|(_, high)| high)
    }

    /// Whether a transaction has records and no end.
    fn is_open(&self) -> bool {
        matches!((self.high(&self.uncommitted), self.high(&self.committed)), (Some(all), Some(stable)) if all > stable)
    }

    #[track_caller]
    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < PATIENCE, "{what} in vain: {}", self.installation.last_words());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for an open transaction. They are short, so entries are added until one is seen.
    fn until_open(&self) {
        let mut appended = Instant::now();
        self.until("an open transaction", || {
            if appended.elapsed() > Duration::from_secs(2) {
                self.append();
                appended = Instant::now();
            }
            self.is_open()
        });
    }

    fn kill_in_transaction(&self) {
        let mut server = self.launch();
        // One that the server before left open is ended first.
        self.until("the transaction before to end", || !self.is_open());
        self.until_open();
        server.kill();
        self.inside.set(self.inside.get() + usize::from(self.is_open()));
    }

    fn kill_before_copy(&self) {
        let mut server = self.launch();
        let last = self.installation.store.count("SELECT max(seq) FROM log");
        self.installation.wait_for("everything to be copied", || (self.copied() == last).then_some(()));
        let lock = self.append_and_lock();
        self.until("records whose position cannot be copied", || self.reached() > self.copied());
        server.kill();
        drop(lock);
        let (reached, copied) = (self.reached(), self.copied());
        assert!(reached > copied, "{reached} {copied}");
    }

    /// Appends entries and keeps the server from writing to the table `relay`, until the answer is dropped.
    fn append_and_lock(&self) -> Box<dyn Any> {
        let append = self.entries_statement();
        match &self.installation.store {
            Store::Sqlite(state) => Box::new(block(async {
                let options = SqliteConnectOptions::new().filename(state.join("state.db"));
                let mut connection: SqliteConnection = options.connect().await.unwrap();
                // The server needs the lock only when the entries are in Kafka.
                let statements = format!("BEGIN IMMEDIATE; {append}; COMMIT; BEGIN IMMEDIATE");
                sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
                connection
            })),
            Store::Postgres(url) => Box::new(block(async {
                let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql("BEGIN; LOCK TABLE relay IN EXCLUSIVE MODE")
                    .execute(&mut connection)
                    .await
                    .unwrap();
                self.execute(&append);
                connection
            })),
        }
    }

    /// The newest entry that is committed in Kafka.
    fn reached(&self) -> i64 {
        let high = self.high(&self.committed).unwrap();
        let from = Offset::Offset((high - 50).max(0));
        let seqs = tail(&self.committed, &self.topic, from, |record| {
            let headers = record.headers().unwrap();
            let seq = headers.iter().find(|header| header.key == "headworks-seq").unwrap();
            std::str::from_utf8(seq.value.unwrap()).unwrap().parse().unwrap()
        });
        seqs[seqs.len() - 1]
    }

    /// The position in our store.
    fn copied(&self) -> i64 {
        self.installation.store.count("SELECT max(seq) FROM relay")
    }

    fn kill_in_init(&self) {
        while !self.is_open() {
            self.kill_in_transaction();
        }
        let mut server = self.launch();
        let lines = self.installation.log_lines().len();
        self.until("the transaction before to end", || !self.is_open());
        server.kill();
        let lines = self.installation.log_lines().split_off(lines);
        assert!(lines.iter().all(|line| line["msg"] != "the relay leads"), "it was killed too late");
    }

    fn kill_broker(&self, broker: &mut Broker) {
        let mut server = self.launch();
        self.until("the transaction before to end", || !self.is_open());
        self.until_open();
        broker.kill();
        let last = self.installation.store.count("SELECT max(seq) FROM log");
        assert!(self.copied() < last, "it was killed too late");
        broker.start();
        // The same server goes on.
        self.installation.wait_for("everything to be copied", || (self.copied() == last).then_some(()));
        server.kill();
    }

    fn verify(&self) {
        let mut server = self.launch();
        server.ready();
        let last = self.installation.store.count("SELECT max(seq) FROM log");
        self.installation.wait_for("everything to be copied", || (self.copied() == last).then_some(()));
        server.stop();
        let settings = Settings {
            bootstrap: vec![self.bootstrap.clone()],
            client_id: "test".to_owned(),
            compression: "zstd".to_owned(),
            partitioner: "murmur2_random".to_owned(),
            tls: None,
            login: None,
            options: BTreeMap::new(),
        };
        let records = read_to_end(&Connection::new(settings), &self.topic, PATIENCE).unwrap();
        assert_eq!(records.len() as i64, self.entries.get());
        super::ids(&records);
        are_in_order(&records);
        let mut seqs: Vec<(i64,)> =
            records.iter().map(|record| (header(record, "headworks-seq").parse().unwrap(),)).collect();
        seqs.sort();
        assert_eq!(
            seqs,
            self.installation.store.all::<(i64,)>("SELECT seq FROM log ORDER BY seq"),
            "without a hole"
        );
        let aborted = self.aborted(&records);
        eprintln!("{} kills in an open transaction, {aborted} aborted records", self.inside.get());
        let inside = self.inside.get();
        assert!(inside >= LEAST_INSIDE && aborted >= LEAST_INSIDE, "{inside} {aborted}");
    }

    /// Records that a consumer of uncommitted ones sees besides.
    fn aborted(&self, committed: &[Kept]) -> usize {
        let known: BTreeSet<i64> = committed.iter().map(|record| record.offset).collect();
        let offsets = tail(&self.uncommitted, &self.topic, Offset::Beginning, |record| record.offset());
        offsets.iter().filter(|offset| !known.contains(offset)).count()
    }
}

/// What `of` says of the records of a topic from an offset on; there is at least one.
fn tail(
    consumer: &BaseConsumer,
    topic: &str,
    from: Offset,
    of: impl Fn(&BorrowedMessage<'_>) -> i64,
) -> Vec<i64> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, from).unwrap();
    consumer.assign(&list).unwrap();
    let (mut found, mut last) = (Vec::new(), Instant::now());
    loop {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(record)) => {
                found.push(of(&record));
                last = Instant::now();
            }
            None if !found.is_empty() => return found,
            // A connection that broke, or that is slow.
            other => assert!(last.elapsed() < PATIENCE, "{other:?}"),
        }
    }
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}
