//! `relay`: from a filled log to the end of its topic in Kafka, as a consumer sees it that reads what is committed.
//!
//! **A**: `headworks serve`, as shipped and with default settings, on a store whose log was filled while it did not run.
//! **B**: one producer of rdkafka ([`floor`]) that has the same records in memory, in the batches of the relay, with its
//! linger, compression and acknowledgements. Both write to one broker, each to a topic of its own with one partition.
//!
//! A cell is a store, a way to keep the position (`kafka.delivery`) and a size of records. With `transactions` a batch of B is
//! a transaction; with `database` B sends a batch when the one before is acknowledged. B keeps no position.
//!
//! The clock runs from the first batch that can be read to the last record ([`topic`]), so that neither the start of a server
//! nor that of a producer is in it. CPU seconds are those of that time: of the broker while it served A and B, of the server,
//! and of this process, which is B and the reader.

mod floor;
mod records;
mod topic;

use crate::appliance::Site;
use crate::cell::{Cell, Report};
use crate::place::{Kafka, Postgres};
use crate::rounds::{Plan, Side, median};
use crate::stores;
use anyhow::anyhow;
use headworks::in_tx;
use headworks::infra::db::{Db, Lane};
use headworks::log::{self, Entry};
use records::Records;
use std::sync::atomic::{AtomicBool, Ordering};
use topic::{Pace, Topic};

const BENCH: &str = "relay";
const BAR: f64 = 0.8;
const STORES: [&str; 2] = ["sqlite", "postgres"];
const DELIVERIES: [Delivery; 2] = [Delivery::Transactions, Delivery::Database];
const SIZES: [Size; 3] = [
    Size { name: "100b", bytes: 100, records: 60_000, short: 10_000 },
    Size { name: "1kib", bytes: 1 << 10, records: 40_000, short: 10_000 },
    Size { name: "10kib", bytes: 10 << 10, records: 8_000, short: 3_000 },
];
/// The one published table there is, and its topic behind the prefix.
const LOG_TOPIC: &str = "rows.hydrastor_alert";
const KAFKA_TOPIC: &str = "hydrastor.alert";
/// Entries of one transaction that fills the log.
const APPENDED: usize = 500;

/// Where the position is kept: `kafka.delivery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Transactions,
    Database,
}

impl Delivery {
    const fn word(self) -> &'static str {
        match self {
            Self::Transactions => "transactions",
            Self::Database => "database",
        }
    }
}

/// How large records are, and how many of them are a turn.
#[derive(Debug, Clone, Copy)]
struct Size {
    name: &'static str,
    bytes: usize,
    records: usize,
    short: usize,
}

/// Six cells per store.
pub async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let cells = |store| {
        let all = DELIVERIES.into_iter().flat_map(|delivery| SIZES.map(|size| (delivery, size)));
        let wanted =
            all.filter(move |(delivery, size)| plan.wants(&[store, delivery.word(), size.name])).collect();
        (store, wanted)
    };
    let stores: [(_, Vec<_>); 2] = STORES.map(cells);
    let broker = Kafka::start()?;
    warm_up(&broker).await?;
    for (store, cells) in stores.into_iter().filter(|(_, cells)| !cells.is_empty()) {
        let server = (store == "postgres").then(Postgres::start).transpose()?;
        for (delivery, size) in cells {
            let name = format!("{}_{}", delivery.word(), size.name);
            let url = match &server {
                Some(server) => Some(server.make(&name).await?),
                None => None,
            };
            let count = plan.size(size.records, size.short);
            let records = Records { first: 0, count, bytes: size.bytes };
            let trial = Trial::make(&broker, url, &format!("{store}.{name}."), delivery, records).await?;
            report.tell(&trial.run(plan, Cell::new(BENCH, name.as_str()).store(store)).await?)?;
            if let Some(server) = &server {
                server.remove(&name).await?;
            }
        }
    }
    Ok(())
}

/// A broker that has just started is slower than it will be.
async fn warm_up(broker: &Kafka) -> anyhow::Result<()> {
    let topic = Topic::make(broker, "warm").await?;
    for delivery in DELIVERIES {
        on_floor(broker, &topic, delivery, Records { first: 0, count: 20_000, bytes: 1 << 10 })?;
    }
    topic.remove().await
}

/// One turn of the floor.
fn on_floor(broker: &Kafka, topic: &Topic, delivery: Delivery, records: Records) -> anyhow::Result<Pace> {
    let batches = records.batches(topic.name())?;
    let from = topic.end()?;
    let has_failed = AtomicBool::new(false);
    let is_well = || match has_failed.load(Ordering::Relaxed) {
        true => Err(anyhow!("the floor has failed")),
        false => Ok(()),
    };
    std::thread::scope(|scope| {
        let processes = [broker.process(), std::process::id()];
        let pace = scope.spawn(move || topic.pace(from, records, processes, is_well));
        let sent = floor::send(broker.bootstrap(), delivery, &batches);
        has_failed.store(sent.is_err(), Ordering::Relaxed);
        let pace = pace.join().map_err(|_| anyhow!("the reader panicked"))?;
        sent?;
        pace
    })
}

/// One cell.
struct Trial<'b> {
    broker: &'b Kafka,
    site: Site,
    delivery: Delivery,
    /// Those of the next turn.
    records: Records,
    topics: [Topic; 2],
}

impl<'b> Trial<'b> {
    async fn make(
        broker: &'b Kafka,
        postgres: Option<String>,
        prefix: &str,
        delivery: Delivery,
        records: Records,
    ) -> anyhow::Result<Self> {
        let settings = format!(
            "[kafka]\nbootstrap = [{:?}]\ntopic_prefix = {prefix:?}\ncontrol_topic = \"{prefix}control\"\ndelivery = {:?}\n",
            broker.bootstrap(),
            delivery.word()
        );
        let topics = [
            Topic::make(broker, &format!("{prefix}{KAFKA_TOPIC}")).await?,
            Topic::make(broker, &format!("{prefix}floor")).await?,
        ];
        let site = Site::make(postgres, &settings)?;
        Ok(Self { broker, site, delivery, records, topics })
    }

    async fn run(mut self, plan: &Plan, cell: Cell) -> anyhow::Result<Cell> {
        let mut cpu: [[Vec<f64>; 2]; 2] = Default::default();
        let outcome = plan.interleave(async |side| {
            let pace = self.turn(side).await?;
            for (seconds, all) in pace.cpu_seconds.into_iter().zip(&mut cpu[side as usize]) {
                all.push(seconds);
            }
            Ok(pace.records_s)
        });
        let outcome = outcome.await?;
        for topic in self.topics {
            topic.remove().await?;
        }
        let cell = cell.figure("records", self.records.count as f64);
        let mut cell = outcome.write(cell, "relay_records_s", "floor_records_s");
        let names = [["broker_cpu_s", "relay_cpu_s"], ["floor_broker_cpu_s", "floor_cpu_s"]];
        for (name, seconds) in names.iter().flatten().zip(cpu.iter_mut().flatten()) {
            cell = cell.figure(name, median(seconds));
        }
        Ok(cell.against(BAR, outcome.ratio))
    }

    async fn turn(&mut self, side: Side) -> anyhow::Result<Pace> {
        let records = self.records;
        self.records.first += records.count;
        let topic = &self.topics[side as usize];
        if side == Side::B {
            return on_floor(self.broker, topic, self.delivery, records);
        }
        fill(&self.site, records).await?;
        let from = topic.end()?;
        let mut server = self.site.serve()?;
        let processes = [self.broker.process(), server.id()];
        let pace = topic.pace(from, records, processes, || server.ensure_runs())?;
        server.stop()?;
        Ok(pace)
    }
}

/// Appends the records to the log, while no server runs.
async fn fill(site: &Site, records: Records) -> anyhow::Result<()> {
    let app = site.build().await?;
    let db = &app.core.db;
    let topic = log::Topics::new(db.clone()).id(LOG_TOPIC).await?;
    let numbers: Vec<_> = records.numbers().collect();
    for numbers in numbers.chunks(APPENDED) {
        let entries: Vec<Entry> = numbers.iter().map(|number| records.entry(topic, *number)).collect();
        in_tx!(db, Lane::State, tx => log::append(tx, &entries)).await?;
    }
    end_lease(db).await?;
    db.close().await;
    Ok(())
}

/// The server before has not given its lease back, and the next one would wait for the end of it.
async fn end_lease(db: &Db) -> anyhow::Result<()> {
    if db.is_pg() {
        stores::execute(db, "DELETE FROM leader WHERE duty LIKE 'relay:%'").await?;
    }
    Ok(())
}
