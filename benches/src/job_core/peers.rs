//! G2: the work of the core against other job tables on the same server.
//!
//! **A** claims and ends through the core's public functions, as in G1: every job leases by token, ends fenced and moves
//! to history. **B** is a peer's own program of `benches/peers` on an empty database of its own, with the settings its
//! authors measure with; where several are worth a try, the best one counts. Peers promise less: graphile-worker forgets
//! a job when it is done, and none but awa fences its end. Both have all jobs inserted before the clock starts, and it
//! stops when the end of every job is committed.
//!
//! Claims and ends are calls for many jobs, where a peer runs each job as a task. What our own [`runner`], which does
//! that too, makes of the same calls is told in `g2_runner_*`, with a log entry per job on top.
//!
//! `benches/peers/build.sh` builds the peers, once. One that is not there, or does not run, is said so and fails nothing.

use super::drive;
use super::hands::{Core, Hands};
use super::runner;
use crate::cell::{Cell, Report};
use crate::place::{self, Postgres};
use crate::rounds::{Outcome, Plan, Side};
use crate::stores;
use anyhow::{Context, ensure};
use headworks::infra::db::Db;
use serde::Deserialize;
use std::fmt;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const QUEUE: &str = "parse:bench";
const DATABASE: &str = "peer";
/// Callers of the core, and jobs of one claim and one end.
const CALLERS: usize = 2;
const BATCH: usize = 500;
/// Jobs of the first run, which shows whether a peer runs at all.
const TRIAL: usize = 500;
/// A peer that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(300);

/// One peer with its bar.
struct Peer {
    name: &'static str,
    /// What is run, below `target/peers`; a script needs its interpreter.
    interpreter: Option<&'static str>,
    program: &'static str,
    /// Concurrency, batch, and what else the program takes.
    ways: &'static [&'static [&'static str]],
    jobs: usize,
    jobs_in_short: usize,
    bar: f64,
}

const PEERS: [Peer; 5] = [
    Peer {
        name: "graphile_worker_node_perf",
        interpreter: Some("node"),
        program: "graphile-worker/main.js",
        ways: &[&["24", "500", "1"], &["24", "500", "2"]],
        jobs: 200_000,
        jobs_in_short: 20_000,
        bar: 1.0,
    },
    Peer {
        name: "graphile_worker_node_defaults",
        interpreter: Some("node"),
        program: "graphile-worker/main.js",
        ways: &[&["24", "0", "1"]],
        jobs: 20_000,
        jobs_in_short: 4_000,
        bar: 10.0,
    },
    Peer {
        name: "graphile_worker_rs",
        interpreter: None,
        program: "release/peer-graphile-worker-rs",
        ways: &[&["500", "5000"]],
        jobs: 200_000,
        jobs_in_short: 20_000,
        bar: 1.2,
    },
    Peer {
        name: "awa",
        interpreter: None,
        program: "release/peer-awa",
        ways: &[&["256", "512"]],
        jobs: 20_000,
        jobs_in_short: 4_000,
        bar: 4.0,
    },
    Peer {
        name: "apalis",
        interpreter: None,
        program: "release/peer-apalis",
        ways: &[&["100", "100"], &["1000", "1000"]],
        jobs: 20_000,
        jobs_in_short: 4_000,
        bar: 3.0,
    },
];

/// What went wrong is the peer's, not ours.
#[derive(Debug)]
struct NotRun;

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer has not done its work")
    }
}

/// What a peer prints.
#[derive(Debug, Deserialize)]
struct Answer {
    version: String,
    work_jobs_s: f64,
}

/// One cell per peer.
pub async fn postgres(plan: &Plan, server: &Postgres, report: &mut Report) -> anyhow::Result<()> {
    let db = stores::postgres(&server.make("against_peers").await?, 8).await?;
    let (queue, worker) = (stores::queue(&db, QUEUE).await?, stores::worker(&db).await?);
    let mut core: Vec<_> =
        (0..CALLERS).map(|_| Hands::Core(Core { db: db.clone(), queue, worker })).collect();
    for peer in &PEERS {
        let cell = Cell::new(super::BENCH, format!("g2_work_against_{}", peer.name)).store("postgres");
        match compare(plan, server, peer, &mut core).await {
            Ok((version, jobs, outcome)) => {
                let cell = cell.word("peer_version", &version).figure("jobs", jobs as f64);
                let cell = outcome.write(cell, "core_jobs_s", "peer_jobs_s");
                report.tell(&cell.against(peer.bar, outcome.ratio))?;
            }
            Err(error) if error.is::<NotRun>() => {
                report.tell(&cell.word("not_run", &format!("{error:#}")))?;
            }
            Err(error) => return Err(error),
        }
    }
    for at_once in [16, 256] {
        whole_runner(plan, &db, &mut core, at_once, report).await?;
    }
    db.close().await;
    Ok(())
}

/// The runner, with one log entry per job, as a share of the calls that the peers are compared with.
async fn whole_runner(
    plan: &Plan,
    db: &Db,
    core: &mut Vec<Hands>,
    at_once: u32,
    report: &mut Report,
) -> anyhow::Result<()> {
    let jobs = plan.size(100_000, 10_000);
    let outcome = plan
        .interleave(async |turn| match turn {
            Side::A => {
                drive::fill(core, jobs).await?;
                runner::work(db, QUEUE, jobs, at_once).await
            }
            Side::B => drive::fill_and_work(core, jobs, BATCH).await,
        })
        .await?;
    let cell = Cell::new(super::BENCH, format!("g2_runner_at_once_{at_once}")).store("postgres");
    report.tell(&outcome.write(cell, "runner_jobs_s", "core_jobs_s").ratio(outcome.ratio))
}

/// The peer's version, the jobs of a turn, and what the rounds gave.
async fn compare(
    plan: &Plan,
    server: &Postgres,
    peer: &Peer,
    core: &mut Vec<Hands>,
) -> anyhow::Result<(String, usize, Outcome)> {
    let version = peer.turn(server, TRIAL).await?.version;
    let jobs = plan.size(peer.jobs, peer.jobs_in_short);
    let outcome = plan
        .interleave(async |turn| match turn {
            Side::A => drive::fill_and_work(core, jobs, BATCH).await,
            Side::B => Ok(peer.turn(server, jobs).await?.work_jobs_s),
        })
        .await?;
    Ok((version, jobs, outcome))
}

impl Peer {
    /// Its best way, each on an empty database.
    async fn turn(&self, server: &Postgres, jobs: usize) -> anyhow::Result<Answer> {
        let mut best: Option<Answer> = None;
        for way in self.ways {
            let url = server.make(DATABASE).await?;
            let answer = self.run(&url, jobs, way).await.context(NotRun);
            server.remove(DATABASE).await?;
            let answer = answer?;
            if best.as_ref().is_none_or(|best| best.work_jobs_s < answer.work_jobs_s) {
                best = Some(answer);
            }
        }
        best.context("the peer has no way to be run")
    }

    async fn run(&self, url: &str, jobs: usize, way: &[&str]) -> anyhow::Result<Answer> {
        let program = place::peers().join(self.program);
        ensure!(program.exists(), "{} is not there: benches/peers/build.sh makes it", self.program);
        let mut command = match self.interpreter {
            Some(interpreter) => {
                let mut command = Command::new(interpreter);
                command.arg(&program);
                command
            }
            None => Command::new(&program),
        };
        command.arg(url).arg(jobs.to_string()).args(way);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .with_context(|| format!("{} hangs", self.program))?
            .with_context(|| self.interpreter.unwrap_or(self.program).to_owned())?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}: {}", self.program, output.status, stderr.trim());
        serde_json::from_slice(&output.stdout).with_context(|| format!("what {} printed", self.program))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_one_that_is_built() {
        let sources = place::repository().join("benches/peers");
        let build =
            std::fs::read_to_string(sources.join("build.sh")).expect("benches/peers has its build.sh");
        for peer in &PEERS {
            let name = peer.program.trim_start_matches("release/peer-").trim_end_matches("/main.js");
            assert!(
                sources.join(name).is_dir() && build.contains(name),
                "{} is built by nobody",
                peer.program
            );
        }
    }
}
