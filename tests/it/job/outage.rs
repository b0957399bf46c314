//! The store goes away and comes back: nobody is blamed, nothing is lost, nothing is done twice.

use super::server::Server;
use super::working::{BRIEF_LEASE, Gates, RULES, Working};
use super::*;
use headworks::job::QueueRules;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_two_leases_poisons_nothing_and_every_job_is_done_once() {
    const COUNT: usize = 24;
    let Some(server) = Server::start_new() else { return };
    let jobs = Jobs::on(server.open().await).await;
    let gates = Gates::default();
    let rules = QueueRules { concurrency: COUNT as u32, ..RULES };
    let working = Working::start(&jobs, BRIEF_LEASE, rules, gates.handler());
    let ids = jobs.insert_plain(COUNT).await;
    gates.begun(COUNT).await;
    server.stop_at_once();
    // Half of them end while the store is away.
    gates.open(COUNT / 2);
    gates.ended(COUNT / 2).await;
    // How long the store is away is what is tried: no lease outlasts it.
    tokio::time::sleep(BRIEF_LEASE.lease * 2).await;
    server.start();
    // The others end when it is back; whatever is run again, too.
    gates.open(COUNT * 10);
    for id in &ids {
        jobs.wait_for(*id, State::Completed).await;
        let view = jobs.view(*id).await;
        assert_eq!((view.attempt, view.crashes), (0, 0), "{view:?}");
        assert!(view.lost <= 1, "{view:?}");
        assert_eq!(jobs.timeline(*id).await, "work", "written once");
    }
    working.stop().await;
    assert_eq!(jobs.counts().await, (0, i64::try_from(COUNT).unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_keeps_what_was_committed_and_leases_stand_for_a_while() {
    let Some(server) = Server::start_new() else { return };
    let jobs = Jobs::on(server.open().await).await;
    let ids = jobs.insert_plain(3).await;
    let lease = Duration::from_millis(1500);
    let runs = jobs.claim_for(2, lease).await;
    assert!(jobs.end(&runs[0], Ended::Completed).await);
    server.kill();
    server.start();
    let started = std::time::Instant::now();
    assert_eq!(jobs.state(ids[0]).await, State::Completed);
    assert_eq!(jobs.state(ids[2]).await, State::Available);
    loop {
        let taken = jobs.claim_for(9, lease).await;
        if taken.iter().any(|job| job.id == runs[1].id) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "never taken over");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The server has been up for a whole lease by its own clock, which began a little before ours.
    assert!(started.elapsed() >= lease - Duration::from_millis(500), "{:?}", started.elapsed());
    assert!(!jobs.end(&runs[1], Ended::Completed).await, "the old token is worth nothing");
}
