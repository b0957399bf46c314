//! Kafka is away while deliveries are posted: all of them are taken, and copied afterwards, in order and once.

use super::trial::Trial;
use super::{alert, body, header};
use crate::kafka::broker::Broker;
use crate::processes::{Server, each_store, is_soak, post_of};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two deliveries.
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It shuts connections and goes.
    Stopped,
    /// Its connections stay, and nothing answers on them.
    Frozen,
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_stopped_deliveries_are_taken_and_copied_afterwards() {
    outage(Way::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_stands_still_deliveries_are_taken_and_copied_afterwards() {
    outage(Way::Frozen).await;
}

async fn outage(way: Way) {
    let Some(broker) = Broker::start_new(&[]) else { return };
    let broker = Mutex::new(broker);
    each_store(|postgres| {
        // Ten minutes are for one of the two.
        let away = match (is_soak(), way, &postgres) {
            (false, ..) => Duration::from_secs(10),
            (true, Way::Stopped, None) => Duration::from_secs(600),
            (true, ..) => Duration::from_secs(60),
        };
        let broker = &mut *broker.lock().unwrap();
        Outage { trial: Trial::new(postgres, broker.bootstrap(), ""), way, away }.run(broker);
    })
    .await;
}

struct Outage {
    trial: Trial,
    way: Way,
    away: Duration,
}

impl Outage {
    fn run(&self, broker: &mut Broker) {
        let trial = &self.trial;
        let mut server = trial.launch();
        server.ready();
        post(&server, 0..10);
        self.has_entries(10);
        trial.until_copied();
        let lines = trial.installation.log_lines().len();

        match self.way {
            Way::Stopped => broker.stop(),
            Way::Frozen => broker.freeze(true),
        }
        let copied = trial.copied();
        let count = self.post_meanwhile(&server, 10);
        // All of them are read and have rows; nothing waits for Kafka but the copy.
        self.has_entries(count);
        assert_eq!(trial.copied(), copied);
        assert_eq!(server.ask("GET", "/readyz"), Some(200));
        let told = self.told(lines);
        match self.way {
            Way::Stopped => broker.start(),
            Way::Frozen => broker.freeze(false),
        }
        let began = Instant::now();
        post(&server, count..count + 10);
        let count = count + 10;
        self.has_entries(count);
        trial.until_copied();
        eprintln!(
            "{:?} for {:?}: {count} deliveries, copied after {:?}",
            self.way,
            self.away,
            began.elapsed()
        );
        self.is_told(&told, lines);
        server.stop();

        trial.entries.set(i64::try_from(count).unwrap());
        let records = trial.records();
        trial.is_there_once_and_in_order(&records);
        let seqs: Vec<i64> =
            records.iter().map(|record| header(record, "headworks-seq").parse().unwrap()).collect();
        assert!(seqs.is_sorted(), "the backlog comes in the order of the log: {seqs:?}");
        let events: BTreeSet<String> =
            records.iter().map(|record| body(record)["event_id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(events.len(), count, "each delivery is there");
    }

    /// Posts as long as Kafka is to be away, and until that is noted; how many deliveries there are then.
    fn post_meanwhile(&self, server: &Server, first: usize) -> usize {
        let (began, mut number) = (Instant::now(), first);
        let mut is_noted = false;
        while began.elapsed() < self.away || (self.way == Way::Stopped && !is_noted) {
            post(server, number..number + 1);
            number += 1;
            assert_eq!(server.ask("GET", "/readyz"), Some(200));
            let verbose = server.body("/readyz?verbose").unwrap();
            is_noted |= verbose.contains("\"note\":\"kafka.");
            assert!(began.elapsed() < self.away + Duration::from_secs(60), "{verbose}");
            std::thread::sleep(PACE);
        }
        number
    }

    /// Waits until there are so many entries in the log.
    fn has_entries(&self, count: usize) {
        let text = "SELECT count(*) FROM log";
        self.trial.installation.wait_for("every delivery to have an entry", || {
            (self.trial.installation.store.count(text) == count as i64).then_some(())
        });
    }

    /// Warnings since.
    fn told(&self, since: usize) -> Vec<serde_json::Value> {
        let lines = self.trial.installation.log_lines().split_off(since);
        lines.into_iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect()
    }

    /// One line says that Kafka is away, and again each minute; one says that it is there again.
    fn is_told(&self, meanwhile: &[serde_json::Value], since: usize) {
        let minutes = self.away.as_secs() / 60;
        let expected = if self.way == Way::Stopped || minutes > 0 { 1..=1 + minutes } else { 0..=1 };
        assert!(expected.contains(&(meanwhile.len() as u64)), "{meanwhile:#?}");
        assert_eq!(self.told(since), meanwhile, "nothing is wrong afterwards");
    }
}

/// Posts alerts of these numbers: each is taken.
fn post(server: &Server, numbers: Range<usize>) {
    for number in numbers {
        let began = Instant::now();
        let (status, _) = post_of("alert", server.control(), &alert(number)).expect("an answer");
        assert!(
            status == 202 && began.elapsed() < Duration::from_secs(5),
            "{status} after {:?}",
            began.elapsed()
        );
    }
}
