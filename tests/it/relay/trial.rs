//! A real server beside a log that is filled from outside: what is copied when, and what of it is in Kafka.

use super::{are_in_order, header, kafka_section};
use crate::processes::{Installation, Server, Store};
use crate::programs;
use headworks::infra::kafka::{Connection, Kept, Settings, read_to_end};
use headworks::log::TOPIC_LOCK;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sqlx::{AssertSqlSafe, Connection as _};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(30);

const TOPIC: &str = "hydrastor.alert";

pub struct Trial {
    pub installation: Installation,
    pub topic: String,
    bootstrap: String,
    pub committed: BaseConsumer,
    pub uncommitted: BaseConsumer,
    /// Entries of the log.
    pub entries: Cell<i64>,
}

impl Trial {
    /// With further lines in `[kafka]`. The topic is there, and no server runs.
    pub fn new(postgres: Option<String>, bootstrap: &str, lines: &str) -> Self {
        let prefix = format!("t{}.", uuid::Uuid::new_v4().simple());
        let kafka = kafka_section(bootstrap, &prefix) + lines;
        let installation = Installation::new(postgres, &kafka, &programs::modules());
        let consumer = |level: &str| {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", bootstrap).set("isolation.level", level).set("group.id", "none");
            config.create::<BaseConsumer>().unwrap()
        };
        let trial = Self {
            topic: format!("{prefix}{TOPIC}"),
            committed: consumer("read_committed"),
            uncommitted: consumer("read_uncommitted"),
            bootstrap: bootstrap.to_owned(),
            installation,
            entries: Cell::new(0),
        };
        // Tables, and topics on both sides.
        let server = trial.installation.start();
        trial.until("the topic is made", || trial.high(&trial.committed).is_some());
        server.stop();
        trial
    }

    /// Appends so many entries with ten keys.
    pub fn append(&self, count: i64) {
        execute(&self.installation.store, &self.entries_statement(count));
    }

    pub fn entries_statement(&self, count: i64) -> String {
        self.entries.set(self.entries.get() + count);
        entries_statement(&self.installation.store, "rows.hydrastor_alert", count)
    }

    /// Starts the server without waiting for it.
    pub fn launch(&self) -> Server {
        self.end_lease();
        self.installation.launch()
    }

    /// See [`end_lease`].
    pub fn end_lease(&self) {
        end_lease(&self.installation.store);
    }

    /// End of the topic, for one of the consumers; `None` while there is no topic.
    pub fn high(&self, consumer: &BaseConsumer) -> Option<i64> {
        consumer.fetch_watermarks(&self.topic, 0, Duration::from_secs(5)).ok().map(|(_, high)| high)
    }

    /// Whether a transaction has records and no end.
    pub fn is_open(&self) -> bool {
        matches!((self.high(&self.uncommitted), self.high(&self.committed)), (Some(all), Some(stable)) if all > stable)
    }

    #[track_caller]
    pub fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < PATIENCE, "{what} in vain: {}", self.installation.last_words());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until every entry is copied.
    pub fn until_copied(&self) {
        let last = self.newest();
        self.installation.wait_for("everything to be copied", || (self.copied() == last).then_some(()));
    }

    /// The newest entry.
    pub fn newest(&self) -> i64 {
        self.installation.store.count("SELECT max(seq) FROM log")
    }

    /// The newest entry that is committed in Kafka.
    pub fn reached(&self) -> i64 {
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
    pub fn copied(&self) -> i64 {
        self.installation.store.count("SELECT coalesce(max(seq), 0) FROM relay")
    }

    /// What is committed on the topic.
    pub fn records(&self) -> Vec<Kept> {
        read_to_end(&connection(&self.bootstrap), &self.topic, PATIENCE).unwrap()
    }

    /// Every entry of the log is on the topic once, and in order.
    pub fn is_there_once_and_in_order(&self, records: &[Kept]) {
        assert_eq!(records.len() as i64, self.entries.get());
        super::ids(records);
        are_in_order(records);
        self.has_no_gap(records);
    }

    /// Every entry of the log is on the topic.
    pub fn has_no_gap(&self, records: &[Kept]) {
        let seqs: BTreeSet<(i64,)> =
            records.iter().map(|record| (header(record, "headworks-seq").parse().unwrap(),)).collect();
        let log: BTreeSet<_> =
            self.installation.store.all::<(i64,)>("SELECT seq FROM log").into_iter().collect();
        let missing: Vec<_> = log.difference(&seqs).take(9).collect();
        let strange: Vec<_> = seqs.difference(&log).take(9).collect();
        assert!(log == seqs, "missing: {missing:?}, of no entry: {strange:?}");
        assert_eq!(log.len() as i64, self.entries.get());
    }

    /// Records that a consumer of uncommitted ones sees besides.
    pub fn aborted(&self, committed: &[Kept]) -> usize {
        let known: BTreeSet<i64> = committed.iter().map(|record| record.offset).collect();
        let offsets = tail(&self.uncommitted, &self.topic, Offset::Beginning, |record| record.offset());
        offsets.iter().filter(|offset| !known.contains(offset)).count()
    }
}

/// What appends so many entries with ten keys to a log topic, in one transaction and under the lock that `log::append` takes.
pub fn entries_statement(store: &Store, topic: &str, count: i64) -> String {
    let topic = format!("(SELECT id FROM topic WHERE name = '{topic}')");
    match store {
        Store::Sqlite(_) => format!(
            "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count})
             INSERT INTO log (at, topic, key, headers, body)
             SELECT unixepoch() * 1000000, {topic}, CAST('key ' || n % 10 AS BLOB), '{{}}', CAST(printf('%0200d', n) AS BLOB) FROM c"
        ),
        Store::Postgres(_) => format!(
            "SELECT pg_advisory_xact_lock({TOPIC_LOCK}, {topic});
             INSERT INTO log (seq, at, topic, key, headers, body)
             SELECT nextval('log_seq'), clock_timestamp(), {topic}, convert_to('key ' || n % 10, 'UTF8'), '{{}}',
               convert_to(lpad(n::text, 200, '0'), 'UTF8') FROM generate_series(1, {count}) AS n"
        ),
    }
}

/// Ends a dead leader's lease, or each start would wait for that.
pub fn end_lease(store: &Store) {
    if matches!(store, Store::Postgres(_)) {
        execute(
            store,
            "UPDATE leader SET expires_at = now() - interval '1 second' WHERE duty LIKE 'relay:%'",
        );
    }
}

/// Runs a statement on the store itself.
pub fn execute(store: &Store, statement: &str) {
    let statement = statement.to_owned();
    match store {
        Store::Sqlite(state) => block(crate::execute_outside(state, &statement)),
        Store::Postgres(url) => block(async {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }),
    }
}

/// A connection of a client that has all rights.
pub fn connection(bootstrap: &str) -> Connection {
    Connection::new(Settings {
        bootstrap: vec![bootstrap.to_owned()],
        client_id: "test".to_owned(),
        compression: "zstd".to_owned(),
        partitioner: "murmur2_random".to_owned(),
        tls: None,
        login: None,
        options: BTreeMap::new(),
    })
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

pub fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}
