//! A pause takes effect on jobs that were claimed ahead, too.

use super::runner::{RULES, SETTINGS, Working, handler};
use super::*;
use crate::stores::each_store;
use headworks::job::{Outcome, QueueRules};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

#[tokio::test]
async fn after_a_pause_nothing_starts_and_jobs_claimed_ahead_are_given_back() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (may_end, count) = (Arc::clone(&gate), Arc::clone(&begun));
        let perform = handler(move |_| {
            let (may_end, count) = (Arc::clone(&may_end), Arc::clone(&count));
            async move {
                count.fetch_add(1, Ordering::SeqCst);
                may_end.acquire().await.unwrap().forget();
                Outcome::Done("written".into())
            }
        });
        let working = Working::start(&jobs, SETTINGS, QueueRules { concurrency: 1, ..RULES }, perform);
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
        gate.add_permits(4);
        jobs.wait_for(ids[0], State::Completed).await;
        tokio::time::sleep(SETTINGS.poll_max * 2).await;
        assert_eq!(begun.load(Ordering::SeqCst), 1, "a job of a paused queue was started");

        let name = jobs.name.clone();
        assert!(commit!(db, tx => store::set_paused(&mut tx, &name, false)).unwrap());
        for id in ids {
            jobs.wait_for(id, State::Completed).await;
        }
        working.stop().await;
    })
    .await;
}
