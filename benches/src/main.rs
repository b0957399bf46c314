//! `hwbench`: what "fast" means for headworks, as ratios against a floor measured in the same run.
//!
//! `cargo run --release -p hwbench -- job-core | mail-rows | mail-pipe | relay [--check] [--rounds N] [--short] [--only NAME]`
//!
//! Every cell is one JSON line: bench, cell, store, figures, bar, ratio, ok. Ratios have bars; absolute figures never
//! fail a check, for they are the machine's. A and B take turns ([`rounds`]), with the latency of an fsync probed
//! before each turn, and rounds in which that moved are discarded and counted. Needs what `tests/services` installs, and
//! root for Postfix. `TMPDIR` names the disk that is measured.
//!
//! The peers of G2 (`job-core --only g2`) are other people's programs: `benches/peers/build.sh` fetches and builds them
//! once, into `target/peers`; graphile-worker itself needs node and npm. Without them their lines say so.

mod appliance;
mod cell;
mod cpu;
mod job_core;
mod mail_pipe;
mod mail_rows;
mod place;
mod probe;
mod relay;
mod rounds;
mod server;
mod stores;

use cell::Report;
use clap::Parser;
use rounds::Plan;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Measures headworks; one JSON line per cell.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure.
    bench: Bench,
    /// Exit with 1 when a ratio is below its bar.
    #[arg(long)]
    check: bool,
    /// Rounds that count, per cell.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(5..))]
    rounds: u8,
    /// Fewer jobs and mails: a look, not a figure.
    #[arg(long)]
    short: bool,
    /// Only what is named so: a store, or one of g1, g2, g3, g4, g5, g7, accept; relay; transactions, database, 100b, 1kib, 10kib.
    #[arg(long)]
    only: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Bench {
    /// The job table: goals G1 to G7.
    JobCore,
    /// From the spool to committed rows.
    MailRows,
    /// From Postfix to the spool.
    MailPipe,
    /// From the log to Kafka.
    Relay,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let (rounds, short, only) = (arguments.rounds.into(), arguments.short, arguments.only);
    let plan = Plan { rounds, short, only, disk: std::env::temp_dir() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut report = Report::default();
    runtime.block_on(async {
        tokio::select! {
            // The bench is dropped, and with it the servers it started end.
            stopped = stop_asked() => stopped,
            done = run(arguments.bench, &plan, &mut report) => done,
        }
    })?;
    let failed = arguments.check && report.below() > 0;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn run(bench: Bench, plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    match bench {
        Bench::JobCore => job_core::run(plan, report).await,
        Bench::MailRows => mail_rows::run(plan, report).await,
        Bench::MailPipe => mail_pipe::run(plan, report).await,
        Bench::Relay => relay::run(plan, report).await,
    }
}

/// Fails when the bench is to end early.
async fn stop_asked() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminated.recv() => {}
    }
    anyhow::bail!("stopped before the end")
}
