//! `mail-rows`: from the spool to committed rows, in a whole headworks in this process with default settings.
//!
//! Throughput: so many distinct small alerts lie in the spool; the time from letting everything go (intake, sorting,
//! parsing, sealing) until the rows of the last one are committed. Latency: one mail at a time into an idle appliance,
//! from its yes until its rows can be seen. Both are absolute and only inform; what is expected stands beside them.

use crate::appliance::{Appliance, Site};
use crate::cell::{Cell, Report};
use crate::place::Postgres;
use crate::probe::fsync_micros;
use crate::rounds::{Plan, percentile};
use anyhow::ensure;
use std::time::{Duration, Instant};

const BENCH: &str = "mail-rows";
/// On two quiet cores, as design.md section 11 says.
const EXPECTED_MAILS_S: f64 = 1_000.0;
const EXPECTED_P50_MS: f64 = 50.0;
const PATIENCE: Duration = Duration::from_secs(120);
const DEPOSITORS: usize = 16;

/// Two cells per store.
pub async fn run(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if plan.wants(&["sqlite"]) {
        on_store(plan, None, "sqlite", report).await?;
    }
    if plan.wants(&["postgres"]) {
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
    let mails = plan.size(2_000, 300);
    // Kept to the end: a file system that has just removed thousands of files makes new ones more slowly.
    let mut sites = Vec::new();
    let rate = plan
        .repeat(async || {
            let site = site(server, &format!("rows_{}", sites.len())).await?;
            let rate = throughput(&site, mails).await;
            sites.push(site);
            rate
        })
        .await?;
    let fsync = fsync_micros(&plan.disk)?;
    let cell =
        Cell::new(BENCH, "throughput").store(store).figure("mails", mails as f64).figure("fsync_us", fsync);
    let cell = cell.figure("mails_s", rate).figure("expected_mails_s", EXPECTED_MAILS_S);
    report.tell(&cell.ratio(rate / EXPECTED_MAILS_S))?;

    let mut millis = latency(&site(server, "idle").await?, plan.size(150, 40)).await?;
    let (p50, p99) = (percentile(&mut millis, 0.5), percentile(&mut millis, 0.99));
    let cell = Cell::new(BENCH, "idle_latency").store(store).figure("mails", millis.len() as f64);
    let cell = cell.figure("p50_ms", p50).figure("p99_ms", p99).figure("expected_p50_ms", EXPECTED_P50_MS);
    report.tell(&cell.ratio(EXPECTED_P50_MS / p50))
}

async fn site(server: Option<&Postgres>, database: &str) -> anyhow::Result<Site> {
    let url = match server {
        Some(server) => Some(server.make(database).await?),
        None => None,
    };
    Site::make(url)
}

/// Mails per second from the spool to rows.
async fn throughput(site: &Site, mails: usize) -> anyhow::Result<f64> {
    std::thread::scope(|scope| {
        let deposit = |first| (first..mails).step_by(DEPOSITORS).try_for_each(|number| site.deposit(number));
        let threads: Vec<_> = (0..DEPOSITORS).map(|first| scope.spawn(move || deposit(first))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a depositor panicked")))
    })?;
    site.sync()?;
    let app = site.build().await?;
    let begun = Instant::now();
    let appliance = Appliance::start(app);
    wait_for(&appliance, mails, Duration::from_millis(5)).await?;
    let rate = mails as f64 / begun.elapsed().as_secs_f64();
    appliance.stop().await?;
    Ok(rate)
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
        wait_for(&appliance, number + 1, Duration::from_millis(1)).await?;
        if number >= WARM {
            millis.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    appliance.stop().await?;
    Ok(millis)
}

async fn wait_for(appliance: &Appliance, mails: usize, pause: Duration) -> anyhow::Result<()> {
    let begun = Instant::now();
    let wanted = i64::try_from(mails)?;
    loop {
        let there = appliance.loads().await?;
        if there >= wanted {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "rows of {there} of {mails} mails are there after {PATIENCE:?}");
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn every_round_of_a_process_has_a_site_of_its_own() {
        for _ in 0..2 {
            let site = Site::make(None).expect("a directory can be made");
            let rate = throughput(&site, 3).await.expect("the mails become rows");
            assert!(rate > 0.0);
        }
    }
}
