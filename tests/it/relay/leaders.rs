//! Two servers on one store and one Kafka, under load: the leader stands still for longer than its term, the other takes over,
//! and the old one, when it goes on, writes nothing more and stands for election again.

use super::trial::{Trial, block, entries_statement, execute};
use super::{are_in_order, header};
use crate::kafka::broker::shared;
use crate::processes::{Server, Store, is_soak};
use crate::stores;
use headworks::infra::kafka::Kept;
use rustix::process::{Signal, kill_process};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Longest time until the other leads and copies.
const TAKEOVER: Duration = Duration::from_secs(30);
/// Entries that are appended at once, so that there are several batches to copy.
const MANY: i64 = 5_000;
/// Entries of each moment.
const FEW: i64 = 20;
const MOMENT: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_in_a_transaction_is_fenced_and_every_entry_is_there_once() {
    on_postgres(Mode::Transactions, |pair| {
        let Ended { trial, records, rounds } = pair.run();
        trial.is_there_once_and_in_order(&records);
        let aborted = trial.aborted(&records);
        eprintln!("{rounds} changes, {aborted} aborted records of {}", records.len());
        assert!(aborted >= rounds, "{aborted}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_positions_in_the_database_what_comes_twice_has_the_same_id_and_content() {
    on_postgres(Mode::Database, |pair| {
        let Ended { trial, records, rounds } = pair.run();
        trial.has_no_gap(&records);
        let firsts = firsts(&records);
        are_in_order(&firsts);
        let doubles = records.len() - firsts.len();
        eprintln!("{rounds} changes, {doubles} doubles of {}", records.len());
        assert!(doubles >= rounds, "{doubles}");
    })
    .await;
}

/// The first record of each id; those that come later have its content.
fn firsts(records: &[Kept]) -> Vec<Kept> {
    let mut firsts: BTreeMap<&str, &Kept> = BTreeMap::new();
    for record in records {
        let first = firsts.entry(header(record, "headworks-id")).or_insert(record);
        assert_eq!(
            (&first.key, &first.payload, &first.headers),
            (&record.key, &record.payload, &record.headers)
        );
    }
    let mut firsts: Vec<Kept> = firsts.into_values().cloned().collect();
    firsts.sort_by_key(|record| record.offset);
    firsts
}

async fn on_postgres(mode: Mode, body: impl Fn(Pair)) {
    let (Some(server), Some(bootstrap)) = (stores::postgres(), shared()) else { return };
    let run = |url| async {
        tokio::task::block_in_place(|| {
            body(Pair::new(mode, Trial::new(Some(url), &bootstrap, mode.lines())))
        });
    };
    stores::with_database(&server, run).await;
}

/// Where positions are kept.
#[derive(Debug, Clone, Copy)]
enum Mode {
    Transactions,
    Database,
}

impl Mode {
    const fn lines(self) -> &'static str {
        match self {
            Self::Transactions => "",
            Self::Database => {
                "delivery = \"database\"
"
            }
        }
    }

    /// Whether the leader seems to be in the middle of a batch.
    fn is_amid(self, trial: &Trial) -> bool {
        match self {
            Self::Transactions => trial.is_open(),
            Self::Database => trial.high(&trial.committed) != trial.high(&trial.committed),
        }
    }

    /// Whether Kafka has records that do not count, or whose position is not kept. Looked at while the leader stands still.
    fn is_unfinished(self, trial: &Trial) -> bool {
        match self {
            Self::Transactions => trial.is_open(),
            Self::Database => trial.reached() > trial.copied(),
        }
    }
}

struct Pair {
    mode: Mode,
    trial: Trial,
    servers: [Candidate; 2],
}

/// A server, and how it is called in the table of leaders.
struct Candidate {
    boot: Uuid,
    server: Server,
}

/// What there is in the end.
struct Ended {
    trial: Trial,
    records: Vec<Kept>,
    rounds: usize,
}

impl Pair {
    fn new(mode: Mode, trial: Trial) -> Self {
        trial.end_lease();
        let led = said(&trial, "the relay leads");
        let start = |name| {
            let mut server = trial
                .installation
                .launch_beside(name, &["--roles", "relay", "--set", "telemetry.level=debug"]);
            server.ready();
            let lines = trial.installation.log_lines();
            let up = lines.iter().rfind(|line| line["msg"] == "headworks is up").unwrap();
            Candidate { boot: up["boot"].as_str().unwrap().parse().unwrap(), server }
        };
        let servers = ["first", "second"].map(start);
        trial.installation.wait_for("a leader", || (said(&trial, "the relay leads") > led).then_some(()));
        Self { mode, trial, servers }
    }

    fn run(self) -> Ended {
        let rounds = if is_soak() { 20 } else { 2 };
        let (terms, led) = (self.terms(), self.said("the relay leads"));
        let load = Load::start(&self.trial.installation.store);
        for round in 1..=rounds {
            self.stand_still();
            // Nobody led in between, and nobody does after it.
            assert_eq!(self.terms(), terms + round as i64, "terms");
            assert_eq!(self.said("the relay leads"), led + round, "leaders");
        }
        self.trial.entries.set(self.trial.entries.get() + load.end());
        self.trial.until_copied();
        assert_eq!((self.terms(), self.said("the relay leads")), (terms + rounds as i64, led + rounds));
        let records = self.trial.records();
        for candidate in self.servers {
            candidate.server.stop();
        }
        Ended { trial: self.trial, records, rounds }
    }

    /// One change of leaders.
    fn stand_still(&self) {
        let trial = &self.trial;
        let leader = trial.installation.wait_for("a leader", || self.leader());
        let (old, new) = (&self.servers[leader], &self.servers[1 - leader]);
        self.stop_amid(&old.server);
        let (stopped_at, copied) = (Instant::now(), trial.copied());
        trial.installation.wait_for("the other to take over", || {
            (self.leads(new) && trial.copied() > copied).then_some(())
        });
        let took = stopped_at.elapsed();
        let stood_by = self.said("another process leads");
        kill_process(old.server.pid(), Signal::CONT).unwrap();
        // Only the old one can say that now.
        trial.installation.wait_for("the old one to stand for election again", || {
            (self.said("another process leads") >= stood_by + 2).then_some(())
        });
        trial.append(MANY);
        let newest = trial.newest();
        trial.installation.wait_for("the new one to go on", || (trial.copied() >= newest).then_some(()));
        assert!(self.leads(new), "it still leads");
        assert!(took < TAKEOVER, "after {took:?}: {:#?}", self.said_by_relay());
        eprintln!("the other copied after {took:?}");
    }

    /// Stops a server in the middle of a batch.
    fn stop_amid(&self, server: &Server) {
        let (trial, mut tries) = (&self.trial, 0);
        trial.append(MANY);
        trial.until("a server that stands still in the middle of a batch", || {
            if !self.mode.is_amid(trial) {
                return false;
            }
            kill_process(server.pid(), Signal::STOP).unwrap();
            // Kafka has read by then what the server had sent: it was no commit if the batch is not over.
            std::thread::sleep(Duration::from_millis(500));
            let is_over = !self.mode.is_unfinished(trial);
            if is_over {
                kill_process(server.pid(), Signal::CONT).unwrap();
                tries += 1;
                trial.append(MANY);
            }
            !is_over
        });
        eprintln!("stopped at try {}", tries + 1);
    }

    fn leader(&self) -> Option<usize> {
        self.servers.iter().position(|candidate| self.leads(candidate))
    }

    fn leads(&self, candidate: &Candidate) -> bool {
        let text = "SELECT holder FROM leader WHERE duty = 'relay:main' AND expires_at > now()";
        self.trial.installation.store.all::<(Uuid,)>(text) == [(candidate.boot,)]
    }

    /// How often the lease went to another process.
    fn terms(&self) -> i64 {
        self.trial.installation.store.count("SELECT term FROM leader WHERE duty = 'relay:main'")
    }

    fn said(&self, what: &str) -> usize {
        said(&self.trial, what)
    }

    /// The end of what both relays said.
    fn said_by_relay(&self) -> Vec<String> {
        let lines = self.trial.installation.log_lines();
        let of_relay = lines.iter().filter(|line| !line["target"].as_str().unwrap().starts_with("sqlx"));
        let lines: Vec<_> = of_relay.map(ToString::to_string).collect();
        lines[lines.len().saturating_sub(80)..].to_vec()
    }
}

/// How many lines of the log say so.
fn said(trial: &Trial, what: &str) -> usize {
    trial.installation.log_lines().iter().filter(|line| line["msg"] == what).count()
}

/// Entries that come all the time.
struct Load {
    over: Arc<AtomicBool>,
    running: JoinHandle<i64>,
}

impl Load {
    fn start(store: &Store) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (store, is_over) = (store.clone(), Arc::clone(&over));
        let statement = entries_statement(&store, "rows.hydrastor_alert", FEW);
        let running = tokio::spawn(async move {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                execute(&store, &statement);
                count += FEW;
                tokio::time::sleep(MOMENT).await;
            }
            count
        });
        Self { over, running }
    }

    /// How many there were.
    fn end(self) -> i64 {
        self.over.store(true, Ordering::Relaxed);
        block(self.running).unwrap()
    }
}
