//! The relay and the broker are killed at the worst moments: every entry is on its topic once, and in order.

use super::trial::{Trial, block, execute};
use crate::kafka::broker::Broker;
use crate::processes::{Store, each_store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, SqliteConnection};
use std::any::Any;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Entries that are appended before each kill, so that there is always something to copy.
const ENTRIES: i64 = 8_000;

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
        let mut kills = Kills { trial: Trial::new(postgres, broker.bootstrap(), ""), inside: 0 };
        for (point, times) in KILLS {
            for _ in 0..times {
                kills.trial.append(ENTRIES);
                match point {
                    Point::OpenTransaction => kills.in_transaction(),
                    Point::PositionNotCopied => kills.before_copy(),
                    Point::InitTransactions => kills.in_init(),
                    Point::Broker => kills.broker(broker),
                }
            }
        }
        // A transaction may end between the look and the kill.
        for _ in 0..40 {
            if kills.inside >= LEAST_INSIDE {
                break;
            }
            kills.trial.append(ENTRIES);
            kills.in_transaction();
        }
        kills.verify();
    })
    .await;
}

struct Kills {
    trial: Trial,
    /// Kills that left a transaction open.
    inside: usize,
}

impl Kills {
    /// Waits for an open transaction. They are short, so entries are added until one is seen.
    fn until_open(&self) {
        let mut appended = Instant::now();
        self.trial.until("an open transaction", || {
            if appended.elapsed() > Duration::from_secs(2) {
                self.trial.append(ENTRIES);
                appended = Instant::now();
            }
            self.trial.is_open()
        });
    }

    fn in_transaction(&mut self) {
        let mut server = self.trial.launch();
        // One that the server before left open is ended first.
        self.trial.until("the transaction before to end", || !self.trial.is_open());
        self.until_open();
        server.kill();
        self.inside += usize::from(self.trial.is_open());
    }

    fn before_copy(&self) {
        let trial = &self.trial;
        let mut server = trial.launch();
        trial.until_copied();
        let lock = self.append_and_lock();
        trial.until("records whose position cannot be copied", || trial.reached() > trial.copied());
        server.kill();
        drop(lock);
        let (reached, copied) = (trial.reached(), trial.copied());
        assert!(reached > copied, "{reached} {copied}");
    }

    /// Appends entries and keeps the server from writing to the table `relay`, until the answer is dropped.
    fn append_and_lock(&self) -> Box<dyn Any> {
        let append = self.trial.entries_statement(ENTRIES);
        let store = &self.trial.installation.store;
        match store {
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
                execute(store, &append);
                connection
            })),
        }
    }

    fn in_init(&mut self) {
        while !self.trial.is_open() {
            self.in_transaction();
        }
        let mut server = self.trial.launch();
        let lines = self.trial.installation.log_lines().len();
        self.trial.until("the transaction before to end", || !self.trial.is_open());
        server.kill();
        let lines = self.trial.installation.log_lines().split_off(lines);
        assert!(lines.iter().all(|line| line["msg"] != "the relay leads"), "it was killed too late");
    }

    fn broker(&self, broker: &mut Broker) {
        let mut server = self.trial.launch();
        self.trial.until("the transaction before to end", || !self.trial.is_open());
        self.until_open();
        broker.kill();
        assert!(self.trial.copied() < self.trial.newest(), "it was killed too late");
        broker.start();
        // The same server goes on.
        self.trial.until_copied();
        server.kill();
    }

    fn verify(&self) {
        let trial = &self.trial;
        let mut server = trial.launch();
        server.ready();
        trial.until_copied();
        server.stop();
        let records = trial.records();
        trial.is_there_once_and_in_order(&records);
        let aborted = trial.aborted(&records);
        eprintln!("{} kills in an open transaction, {aborted} aborted records", self.inside);
        assert!(self.inside >= LEAST_INSIDE && aborted >= LEAST_INSIDE, "{} {aborted}", self.inside);
    }
}
