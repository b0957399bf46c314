//! A pause takes effect on jobs that were claimed ahead, too.

use super::working::{Gates, RULES, SETTINGS, Working};
use super::*;
use crate::stores::each_store;
use headworks::job::QueueRules;

#[tokio::test]
async fn after_a_pause_nothing_starts_and_jobs_claimed_ahead_are_given_back() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let gates = Gates::default();
        let rules = QueueRules { concurrency: 1, ..RULES };
        let working = Working::start(&jobs, SETTINGS, rules, gates.handler());
        let ids = jobs.insert_plain(4).await;
        working.wake.wake();
        for id in &ids {
            jobs.wait_for(*id, State::Running).await;
        }

        let name = jobs.name.clone();
        assert!(commit!(db, tx => store::set_paused(&mut tx, &name, true)).unwrap());
        for id in &ids[1..] {
            jobs.wait_for(*id, State::Available).await;
            assert_eq!(jobs.timeline(*id).await, "");
        }
        gates.open(4);
        jobs.wait_for(ids[0], State::Completed).await;
        working.looks(&jobs, 100).await;
        assert_eq!(gates.count(), 1, "a job of a paused queue was started");

        let name = jobs.name.clone();
        assert!(commit!(db, tx => store::set_paused(&mut tx, &name, false)).unwrap());
        for id in ids {
            jobs.wait_for(id, State::Completed).await;
        }
        working.stop().await;
    })
    .await;
}
