//! `mail-rows`: from the spool to committed rows, in a whole headworks in this process with default settings.
//!
//! Throughput: so many distinct small alerts lie in the spool; the time from letting everything go (intake, sorting,
//! parsing, sealing) until the rows of the last one are committed. Latency: one mail at a time into an idle appliance,
//! from its yes until its rows can be seen. Both are absolute and only inform; what is expected stands beside them.
//!
//! With the relay: the same throughput, **A** where the rows are copied to a Kafka on the same cores, **B** without. The rate of
//! A is that of committed rows too; when the last of them is in Kafka stands beside it.

use crate::appliance::{Appliance, Site};
use crate::cell::{Cell, Report};
use crate::place::{Kafka, Postgres};
use crate::probe::fsync_micros;
use crate::rounds::{Plan, Side, median, percentile};
use anyhow::ensure;
use headworks::infra::db::DbError;
use std::time::{Duration, Instant};

const BENCH: &str = "mail-rows";
/// On two quiet cores, as design.md section 11 says.
const EXPECTED_MAILS_S: f64 = 1_000.0;
const EXPECTED_P50_MS: f64 = 50.0;
/// Of the throughput without a relay.
const RELAY_BAR: f64 = 0.7;
const PATIENCE: Duration = Duration::from_secs(120);
const DEPOSITORS: usize = 16;

/// Three cells per store; `--only relay` is the last one of both.
pub async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if plan.wants(&["sqlite", "relay"]) {
        on_store(plan, None, "sqlite", report).await?;
    }
    if plan.wants(&["postgres", "relay"]) {
        let server = Postgres::start()?;
        on_store(plan, Some(&server), "postgres", report).await?;
    }
    Ok(())
}

async fn on_store(
    plan: &Plan,
    server: Option<&Postgres>,
    store: &'static str,
    report: &mut Report,
) -> anyhow::Result<()> {
    if plan.wants(&[store]) {
        alone(plan, server, store, report).await?;
    }
    if plan.wants(&["relay"]) {
        with_relay(plan, server, store, report).await?;
    }
    Ok(())
}

async fn alone(
    plan: &Plan,
    server: Option<&Postgres>,
    store: &'static str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mails = plan.size(2_000, 300);
    // Kept to the end: a file system that has just removed thousands of files makes new ones more slowly.
    let mut sites = Vec::new();
    let rate = plan
        .repeat(async || {
            let site = site(server, &format!("rows_{}", sites.len()), "").await?;
            let rate = throughput(&site, mails, None).await;
            sites.push(site);
            Ok(rate?.mails_s)
        })
        .await?;
    let fsync = fsync_micros(&plan.disk)?;
    let cell =
        Cell::new(BENCH, "throughput").store(store).figure("mails", mails as f64).figure("fsync_us", fsync);
    let cell = cell.figure("mails_s", rate).figure("expected_mails_s", EXPECTED_MAILS_S);
    report.tell(&cell.ratio(rate / EXPECTED_MAILS_S))?;

    let mut millis = latency(&site(server, "idle", "").await?, plan.size(150, 40)).await?;
    let (p50, p99) = (percentile(&mut millis, 0.5), percentile(&mut millis, 0.99));
    let cell = Cell::new(BENCH, "idle_latency").store(store).figure("mails", millis.len() as f64);
    let cell = cell.figure("p50_ms", p50).figure("p99_ms", p99).figure("expected_p50_ms", EXPECTED_P50_MS);
    report.tell(&cell.ratio(EXPECTED_P50_MS / p50))
}

async fn with_relay(
    plan: &Plan,
    server: Option<&Postgres>,
    store: &'static str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let broker = Kafka::start()?;
    let mails = plan.size(5_000, 500);
    let (mut sites, mut relayed) = (Vec::new(), Vec::new());
    let outcome = plan.interleave(async |side| {
        let name = format!("relay_{}", sites.len());
        let settings = match side {
            Side::A => format!(
                "[kafka]\nbootstrap = [{:?}]\ntopic_prefix = \"{name}.\"\ncontrol_topic = \"{name}.control\"\n",
                broker.bootstrap()
            ),
            Side::B => String::new(),
        };
        let site = site(server, &name, &settings).await?;
        let pace = throughput(&site, mails, (side == Side::A).then_some(&broker)).await;
        sites.push(site);
        let pace = pace?;
        relayed.extend(pace.relayed);
        Ok(pace.mails_s)
    });
    let outcome = outcome.await?;
    let cell = Cell::new(BENCH, "throughput_with_the_relay_on").store(store).figure("mails", mails as f64);
    let cell = outcome.write(cell, "relay_on_mails_s", "relay_off_mails_s");
    let of = |f: fn(&Relayed) -> f64| median(&mut relayed.iter().map(f).collect::<Vec<_>>());
    let cell =
        cell.figure("relayed_mails_s", of(|one| one.mails_s)).figure("broker_cpu_s", of(|one| one.cpu_s));
    report.tell(&cell.against(RELAY_BAR, outcome.ratio))
}

async fn site(server: Option<&Postgres>, database: &str, settings: &str) -> anyhow::Result<Site> {
    let url = match server {
        Some(server) => Some(server.make(database).await?),
        None => None,
    };
    Site::make(url, settings)
}

/// How fast mails became rows.
struct Pace {
    mails_s: f64,
    /// Where there is a relay.
    relayed: Option<Relayed>,
}

/// How fast mails became records of Kafka.
struct Relayed {
    mails_s: f64,
    /// CPU seconds of the broker until all were there.
    cpu_s: f64,
}

/// Mails per second from the spool to rows, and on to `broker`.
async fn throughput(site: &Site, mails: usize, broker: Option<&Kafka>) -> anyhow::Result<Pace> {
    std::thread::scope(|scope| {
        let deposit = |first| (first..mails).step_by(DEPOSITORS).try_for_each(|number| site.deposit(number));
        let threads: Vec<_> = (0..DEPOSITORS).map(|first| scope.spawn(move || deposit(first))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a depositor panicked")))
    })?;
    site.sync()?;
    let app = site.build().await?;
    let before = broker.map(Kafka::cpu_seconds).transpose()?;
    let begun = Instant::now();
    let rate = || mails as f64 / begun.elapsed().as_secs_f64();
    let appliance = Appliance::start(app);
    wait_for("rows", mails, Duration::from_millis(5), async || appliance.loads().await).await?;
    let mails_s = rate();
    let relayed = match (broker, before) {
        (Some(broker), Some(before)) => {
            wait_for("records", mails, Duration::from_millis(5), async || appliance.relayed().await).await?;
            Some(Relayed { mails_s: rate(), cpu_s: broker.cpu_seconds()? - before })
        }
        _ => None,
    };
    appliance.stop().await?;
    Ok(Pace { mails_s, relayed })
}

/// Milliseconds from yes to rows, mail by mail.
async fn latency(site: &Site, mails: usize) -> anyhow::Result<Vec<f64>> {
    const WARM: usize = 5;
    let appliance = Appliance::start(site.build().await?);
    let mut millis = Vec::new();
    for number in 0..WARM + mails {
        site.deposit(number)?;
        site.sync()?;
        let begun = Instant::now();
        wait_for("rows", number + 1, Duration::from_millis(1), async || appliance.loads().await).await?;
        if number >= WARM {
            millis.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    appliance.stop().await?;
    Ok(millis)
}

async fn wait_for(
    what: &str,
    mails: usize,
    pause: Duration,
    count: impl AsyncFn() -> Result<i64, DbError>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let wanted = i64::try_from(mails)?;
    loop {
        let there = count().await?;
        if there >= wanted {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < PATIENCE,
            "{what} of {there} of {mails} mails are there after {PATIENCE:?}"
        );
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_round_of_a_process_has_a_site_of_its_own() {
        for _ in 0..2 {
            let site = Site::make(None, "").expect("a directory can be made");
            let pace = throughput(&site, 3, None).await.expect("the mails become rows");
            assert!(pace.mails_s > 0.0 && pace.relayed.is_none());
        }
    }
}
