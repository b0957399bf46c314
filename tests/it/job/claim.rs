//! Claims: exclusive, fair among priorities, blind to paused queues, and never past a job for good.

use super::*;
use crate::stores::{each_store, open_lite};
use headworks::job::Claimer;
use std::collections::HashSet;

const LAG: Duration = Duration::from_millis(50);
/// A sweep that never comes, but for the first claim.
const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_claims_get_the_same_job() {
    const COUNT: usize = 1000;
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let ids: HashSet<JobId> = jobs.insert_plain(COUNT).await.into_iter().collect();
        let claimers: Vec<_> = (0..4)
            .map(|_| {
                let jobs = jobs.clone();
                tokio::spawn(async move {
                    let mut mine = Vec::new();
                    loop {
                        let got = jobs.claim(3).await;
                        if got.is_empty() && jobs.claim(COUNT).await.is_empty() {
                            return mine;
                        }
                        mine.extend(got.iter().map(|job| job.id));
                    }
                })
            })
            .collect();
        let mut claimed = Vec::new();
        let mut contested = 0;
        for claimer in claimers {
            let mine = claimer.await.unwrap();
            contested += usize::from(mine.len() >= COUNT / 20);
            claimed.extend(mine);
        }
        assert!(contested >= 2, "one claimer had nearly all of them");
        assert_eq!(claimed.len(), COUNT, "some were claimed twice or not at all");
        assert_eq!(claimed.into_iter().collect::<HashSet<_>>(), ids);
    })
    .await;
}

#[tokio::test]
async fn jobs_of_a_priority_are_claimed_in_the_order_of_their_places() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let ids = jobs.insert_plain(30).await;
        let mut claimed = Vec::new();
        for _ in 0..10 {
            claimed.extend(jobs.claim(3).await.iter().map(|job| job.id));
        }
        assert_eq!(claimed, ids);
    })
    .await;
}

#[tokio::test]
async fn no_priority_starves_and_the_urgent_get_most() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        for priority in Priority::ALL {
            jobs.insert(vec![NewJob { priority, ..jobs.new_job() }; 200]).await;
        }
        let mut claimer = jobs.claimer(LONG, LAG, NEVER);
        let mut got = [0_u32; 4];
        for _ in 0..40 {
            for job in claimer.claim(&[(jobs.queue, 4)], true).await.unwrap() {
                got[usize::try_from(job.priority_code).unwrap()] += 1;
            }
        }
        assert!(got.iter().all(|&n| n >= 8), "{got:?}");
        assert!(got.is_sorted_by(|a, b| a > b), "{got:?}");
    })
    .await;
}

#[tokio::test]
async fn a_paused_queue_is_left_out_until_it_is_resumed() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let name = QueueName::parse("other");
        let row = commit!(db, tx => store::queue_row(&mut tx, &name)).unwrap();
        let other = row.id;
        jobs.insert(vec![jobs.new_job(), NewJob { queue: row, ..jobs.new_job() }]).await;
        let mut claimer = jobs.claimer(LONG, LAG, NEVER);
        let free = [(jobs.queue, 4), (other, 4)];

        let name = jobs.name.clone();
        assert!(commit!(db, tx => store::set_paused(&mut tx, &name, true)).unwrap());
        let got = claimer.claim(&free, true).await.unwrap();
        assert_eq!(got.iter().map(|job| job.queue).collect::<Vec<_>>(), [other]);
        let name = jobs.name.clone();
        assert!(commit!(db, tx => store::set_paused(&mut tx, &name, false)).unwrap());
        assert_eq!(claimer.claim(&free, true).await.unwrap()[0].queue, jobs.queue);
        assert!(!commit!(db, tx => store::set_paused(&mut tx, "parse:nowhere", true)).unwrap());
    })
    .await;
}

#[tokio::test]
async fn an_expired_lease_is_taken_over_and_counted_as_lost() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let id = jobs.insert_one().await;
        for lost in 0..3 {
            let job = jobs.claim_for(1, GONE).await.pop().unwrap();
            assert_eq!((job.id, job.lost, job.crashes, job.attempt), (id, lost, 0, 0));
            // The clock of SQLite's SQL counts in milliseconds.
            jobs.wait_for(id, State::Orphaned).await;
        }
        let (queue, worker) = (jobs.queue, jobs.worker);
        let careful = commit!(db, tx => async {
            let want = Want { queue, priority: Priority::Normal.code(), floor: 0, count: 1 };
            store::claim(&mut tx, &Claim { wants: vec![want], worker, lease: LONG, take_expired: false }).await
        });
        assert!(careful.unwrap().is_empty(), "not while leases may have expired for want of a store");
    })
    .await;
}

#[tokio::test]
async fn a_claimer_takes_over_expired_leases_only_after_a_whole_lease() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_one().await;
        jobs.claim_for(1, GONE).await;
        let lease = Duration::from_millis(200);
        let mut claimer = jobs.claimer(lease, LAG, Duration::ZERO);
        let free = [(jobs.queue, 1)];
        let start = std::time::Instant::now();
        assert!(claimer.claim(&free, true).await.unwrap().is_empty());
        while claimer.claim(&free, true).await.unwrap().is_empty() {
            assert!(start.elapsed() < Duration::from_secs(10), "never taken over");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(start.elapsed() >= lease);
    })
    .await;
}

#[tokio::test]
async fn what_commits_late_below_the_floor_is_found_by_the_sweep() {
    each_store(|db| async move {
        // On a machine so slow that the sweep came before any other claim, a round shows nothing.
        for sweep in [400, 4_000, 40_000].map(Duration::from_millis) {
            if claims_before_the_sweep_found_it(&db, sweep).await > 0 {
                return;
            }
        }
        panic!("the sweep always came first");
    })
    .await;
}

/// Commits a job below the floor and claims until it is found; returns how many claims missed it.
async fn claims_before_the_sweep_found_it(db: &Db, sweep: Duration) -> usize {
    let jobs = Jobs::on(db.clone()).await;
    let straggler = jobs.insert(vec![NewJob { delay: LONG, ..jobs.new_job() }]).await[0];
    let free = [(jobs.queue, 4)];
    // The floor follows each claim at once.
    let mut claimer = jobs.claimer(LONG, Duration::ZERO, sweep);
    jobs.insert_plain(1).await;
    let first_sweep = std::time::Instant::now();
    assert_eq!(claimer.claim(&free, true).await.unwrap().len(), 1);
    // As if a transaction that drew its place before the claim above had only now committed.
    crate::execute(db, &format!("UPDATE job SET lane = 0 WHERE id = {straggler}")).await;
    let mut missed = 0;
    let found = loop {
        if let Some(job) = claimer.claim(&free, true).await.unwrap().first() {
            break job.id;
        }
        missed += 1;
        assert!(first_sweep.elapsed() < sweep + Duration::from_secs(20), "no sweep found it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(found, straggler);
    assert!(first_sweep.elapsed() >= sweep, "only a sweep looks below the floor");
    missed
}

#[tokio::test]
async fn whatever_comes_back_enters_above_the_floor() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let mut claimer = jobs.claimer(LONG, Duration::ZERO, NEVER);
        let free = [(jobs.queue, 4)];
        jobs.insert_plain(2).await;
        assert_eq!(claimer.claim(&free, true).await.unwrap().len(), 2, "the first claim sweeps");
        let job = jobs.insert_one().await;
        let ways = [
            PutBack::Release,
            retry(Duration::ZERO),
            PutBack::Crash { how: "signal 9".into(), limit: 9 },
            PutBack::Hold { reason: headworks::job::HoldReason::Operator, detail: String::new() },
        ];
        for how in ways {
            let run = claimer.claim(&free, true).await.unwrap().pop().unwrap();
            assert_eq!(run.id, job);
            assert!(jobs.put_back(&run, how).await);
            jobs.promote().await;
            jobs.release(job).await;
        }
        assert_eq!(claimer.claim(&free, true).await.unwrap()[0].id, job);
    })
    .await;
}

#[tokio::test]
async fn a_new_process_on_sqlite_gives_back_the_leases_of_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let before = Jobs::on(open_lite(directory.path()).await).await;
    let ids = before.insert_plain(2).await;
    let old = before.claim(1).await.pop().unwrap();
    before.db.close().await;

    let jobs = Jobs::on(open_lite(directory.path()).await).await;
    let own = jobs.claim(1).await.pop().unwrap();
    assert_eq!((old.id, own.id), (ids[0], ids[1]));
    let worker = jobs.worker;
    assert_eq!(commit!(jobs.db, tx => store::release_leases_of_others(&mut tx, worker)).unwrap(), 1);
    let again = jobs.claim(9).await;
    assert_eq!(again.iter().map(|job| (job.id, job.lost)).collect::<Vec<_>>(), [(old.id, 0)]);
    assert!(!jobs.end(&old, Ended::Completed).await, "its old token is worth nothing");
    assert!(jobs.end(&own, Ended::Completed).await);
    jobs.db.close().await;
}

impl Jobs {
    fn claimer(&self, lease: Duration, lag: Duration, sweep: Duration) -> Claimer {
        Claimer::new(self.db.clone(), self.worker, lease, lag, sweep)
    }
}
