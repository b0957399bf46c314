//! Waiting for a signal: a run commits its work and waits in one commit, and no signal is lost, whenever it comes.

use super::working::{RULES, SETTINGS, Working, handler};
use super::*;
use crate::stores::each_store;
use headworks::delivery::{BatchSettings, Finisher, RowWriters, Sealer, Work};
use headworks::ids::LeaseToken;
use headworks::infra::volume::Volume;
use headworks::job::store::Note;
use headworks::job::{Finished, FinishedEnd, HoldReason, Outcome, Wake};
use headworks::load::Tables;
use headworks::log;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::sync::Barrier;

/// Ends a run as the product does: waits, and writes a child, a note and a log entry.
async fn wait_with_work(jobs: &Jobs, job: Job) -> Became {
    let settings = BatchSettings { items: 16, linger: Duration::from_millis(1), bound: 64, parallel: 1 };
    let tables = Tables::new(&[]).unwrap();
    let volume = Arc::new(Volume::memory("blobs", 0));
    let sealer = Sealer { volume, tmp: std::env::temp_dir(), entries: 10_000 };
    let (db, wake, writers) = (jobs.db.clone(), Wake::default(), RowWriters::default());
    let finisher = Finisher::start(db, tables, wake, writers, settings, sealer).await.unwrap();
    let topic = log::Topics::new(jobs.db.clone()).id("test").await.unwrap();
    let note = Note { job_id: Some(job.id), event: "asked".into(), ..Note::default() };
    let work = Work {
        children: vec![NewJob { signals: Some(job.id), ..jobs.new_job() }],
        notes: vec![note],
        entries: vec![log::Entry { topic, key: None, headers: BTreeMap::new(), body: b"asked".to_vec() }],
        ..Work::default()
    };
    let end =
        FinishedEnd::PutBack(PutBack::Wait { until: Timestamp::now().after(LONG), reason: "verdict".into() });
    finisher.finish(Finished { job, work: Some(work), end }).await.unwrap()
}

#[tokio::test]
async fn a_run_commits_its_work_and_waits_until_its_child_has_ended() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let job = jobs.running().await;
        let id = job.id;
        assert_eq!(wait_with_work(&jobs, job).await, Became::AsMeant);
        let view = jobs.view(id).await;
        assert_eq!((view.state, view.wait_reason.as_deref()), (State::Waiting, Some("verdict")));
        assert_eq!((view.attempt, view.crashes, view.lost), (0, 0, 0));
        assert_eq!(jobs.timeline(id).await, "asked");
        assert_eq!(number(&db, "SELECT count(*) FROM log").await, 1);

        let child = jobs.claim(9).await;
        let [child] = child.as_slice() else { panic!("{child:?}") };
        assert_eq!(jobs.view(child.id).await.parent_id, Some(id));
        let ended = [End {
            id: child.id,
            token: child.lease_token,
            end: Ended::Completed,
            error: None,
            report: None,
        }];
        let won = commit!(db, tx => store::end(&mut tx, &ended)).unwrap();
        assert_eq!(won[0].signals, Some(id));
        assert!(jobs.signal(id).await);
        assert_eq!(jobs.view(id).await.wait_reason, None);
        assert_eq!(jobs.claim(9).await[0].id, id, "the same job runs again");
    })
    .await;
}

#[tokio::test]
async fn a_wait_whose_lease_was_lost_writes_nothing() {
    each_store(|db| async move {
        let jobs = Jobs::on(db.clone()).await;
        let mut job = jobs.running().await;
        let id = job.id;
        job.lease_token = LeaseToken::fresh();
        assert_eq!(wait_with_work(&jobs, job).await, Became::Lost);
        assert_eq!(jobs.state(id).await, State::Running);
        assert_eq!(jobs.timeline(id).await, "");
        assert_eq!((jobs.counts().await, number(&db, "SELECT count(*) FROM log").await), ((1, 0), 0));
    })
    .await;
}

#[tokio::test]
async fn a_signal_that_comes_before_the_wait_ends_it_at_once_and_only_that_one() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let available = jobs.insert_one().await;
        assert!(!jobs.signal(available).await);
        let scheduled =
            jobs.insert(vec![NewJob { delay: Duration::from_micros(1), ..jobs.new_job() }]).await[0];
        assert!(!jobs.signal(scheduled).await);
        assert_eq!(jobs.state(scheduled).await, State::Scheduled);
        assert_eq!(jobs.promote().await, 1);
        let mut runs = jobs.claim(2).await;
        assert_eq!([runs[0].id, runs[1].id], [available, scheduled]);
        let running = jobs.running().await;
        assert!(!jobs.signal(running.id).await);
        assert_eq!(jobs.state(running.id).await, State::Running);
        let held = jobs.running().await;
        let id = held.id;
        jobs.put_back(&held, PutBack::Hold { reason: HoldReason::NoRule, detail: String::new() }).await;
        assert!(!jobs.signal(id).await);
        assert_eq!((jobs.state(id).await, jobs.release(id).await), (State::Held, Act::Done));
        runs.push(running);
        runs.extend(jobs.claim(1).await);

        for run in runs {
            assert_eq!(jobs.becomes(&run, wait(LONG)).await, Became::AsMeant);
            let view = jobs.view(run.id).await;
            assert_eq!((view.state, view.wait_reason), (State::Available, None));
            let again = jobs.claim(1).await.pop().unwrap();
            assert_eq!(again.id, run.id);
            jobs.put_back(&again, wait(LONG)).await;
            assert_eq!(jobs.state(run.id).await, State::Waiting, "the signal was taken");
        }
    })
    .await;
}

#[tokio::test]
async fn two_signals_end_one_wait() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let job = jobs.running().await;
        assert!(!jobs.signal(job.id).await && !jobs.signal(job.id).await);
        jobs.put_back(&job, wait(LONG)).await;
        assert_eq!(jobs.state(job.id).await, State::Available);
        let again = jobs.claim(1).await.pop().unwrap();
        jobs.put_back(&again, wait(LONG)).await;
        assert_eq!(jobs.state(job.id).await, State::Waiting);
    })
    .await;
}

#[tokio::test]
async fn other_ends_of_a_run_keep_a_signal_for_the_next_wait() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let snooze = PutBack::Snooze { wait: Duration::ZERO, reason: "away".into() };
        for how in [retry(Duration::ZERO), snooze, PutBack::Release] {
            let job = jobs.running().await;
            jobs.signal(job.id).await;
            jobs.put_back(&job, how).await;
            jobs.promote().await;
            let again = jobs.claim(1).await.pop().unwrap();
            jobs.put_back(&again, wait(LONG)).await;
            assert_eq!(jobs.state(job.id).await, State::Available);
            jobs.cancel(job.id).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_wait_ends_at_its_deadline_by_the_clock_of_the_store() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let (late, early) = (jobs.running().await, jobs.running().await);
        jobs.put_back(&late, wait(LONG)).await;
        jobs.put_back(&early, wait(Duration::ZERO)).await;
        assert_eq!(jobs.promote().await, 1);
        assert_eq!(jobs.state(early.id).await, State::Available);
        assert_eq!(jobs.state(late.id).await, State::Waiting);
        let again = jobs.claim(1).await.pop().unwrap();
        jobs.put_back(&again, wait(LONG)).await;
        assert_eq!(jobs.state(early.id).await, State::Waiting, "a deadline is no signal");
    })
    .await;
}

#[tokio::test]
async fn a_job_is_cancelled_while_it_waits_and_instead_of_waiting() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let job = jobs.running().await;
        jobs.put_back(&job, wait(LONG)).await;
        assert_eq!(jobs.cancel(job.id).await, Act::Done);
        assert_eq!(jobs.state(job.id).await, State::Cancelled);
        assert!(!jobs.signal(job.id).await, "nobody is there to hear it");

        let job = jobs.running().await;
        jobs.signal(job.id).await;
        assert_eq!(jobs.cancel(job.id).await, Act::Requested);
        assert_eq!(jobs.becomes(&job, wait(LONG)).await, Became::Cancelled);
        assert_eq!(jobs.state(job.id).await, State::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_waits_runs_again_after_the_signal() {
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let asking = handler(move |_| {
            let run = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                match run {
                    0 => Outcome::Wait {
                        until: Timestamp::now().after(LONG),
                        reason: "verdict".into(),
                        work: Some("asked".into()),
                    },
                    _ => Outcome::Done("heard".into()),
                }
            }
        });
        let working = Working::start(&jobs, SETTINGS, RULES, asking);
        let id = jobs.insert_one().await;
        jobs.wait_for(id, State::Waiting).await;
        assert!(jobs.signal(id).await);
        working.wake.wake();
        jobs.wait_for(id, State::Completed).await;
        assert_eq!((runs.load(Ordering::SeqCst), jobs.timeline(id).await.as_str()), (2, "work work"));
        working.stop().await;
    })
    .await;
}

/// What the rounds of the race saw.
#[derive(Default)]
struct Seen {
    signal_first: AtomicUsize,
    wait_first: AtomicUsize,
    overlapping: AtomicUsize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_signal_that_races_the_wait_is_never_lost() {
    const ROUNDS: usize = 1000;
    const ABREAST: usize = 4;
    each_store(|db| async move {
        let jobs = Jobs::on(db).await;
        jobs.insert_plain(ROUNDS).await;
        let mut lanes = vec![Vec::new(); ABREAST];
        for (n, run) in jobs.claim(ROUNDS).await.into_iter().enumerate() {
            lanes[n % ABREAST].push(run);
        }
        let seen = Arc::new(Seen::default());
        let mut tasks = tokio::task::JoinSet::new();
        for lane in lanes {
            let (jobs, seen) = (jobs.clone(), Arc::clone(&seen));
            tasks.spawn(async move {
                for (n, run) in lane.iter().enumerate() {
                    race(&jobs, run, n, &seen).await;
                }
            });
        }
        tasks.join_all().await;
        assert_eq!(number(&jobs.db, "SELECT count(*) FROM job WHERE lane = 0 AND NOT signalled").await, 1000);
        let [signal, wait, both] = [&seen.signal_first, &seen.wait_first, &seen.overlapping]
            .map(|count| count.load(Ordering::SeqCst));
        eprintln!("signal first {signal}, wait first {wait}, both under way at once {both}");
        assert_eq!(signal + wait, ROUNDS);
        assert!(signal >= ROUNDS / 20 && wait >= ROUNDS / 20 && both >= ROUNDS / 2);
    })
    .await;
}

/// One round: both are sent at once, by two tasks that leave a barrier together or, in an order that is given, by one.
async fn race(jobs: &Jobs, run: &Job, round: usize, seen: &Seen) {
    let barrier = Arc::new(Barrier::new(if round.is_multiple_of(2) { 2 } else { 1 }));
    let (this, id, start) = (jobs.clone(), run.id, Arc::clone(&barrier));
    let signal = async move {
        start.wait().await;
        let begun = Instant::now();
        (this.signal(id).await, begun, Instant::now())
    };
    let (this, run, start) = (jobs.clone(), run.clone(), barrier);
    let waiting = async move {
        start.wait().await;
        let begun = Instant::now();
        (this.becomes(&run, wait(LONG)).await, begun, Instant::now())
    };
    let ((woke, signal_begun, signal_done), (became, wait_begun, wait_done)) = match round % 4 {
        1 => tokio::join!(signal, waiting),
        3 => {
            let (waiting, signal) = tokio::join!(waiting, signal);
            (signal, waiting)
        }
        _ => {
            let (signal, waiting) = (tokio::spawn(signal), tokio::spawn(waiting));
            (signal.await.unwrap(), waiting.await.unwrap())
        }
    };
    assert_eq!(became, Became::AsMeant);
    assert_eq!(jobs.state(id).await, State::Available, "the signal was lost");
    let first = if woke { &seen.wait_first } else { &seen.signal_first };
    first.fetch_add(1, Ordering::SeqCst);
    let overlap = signal_begun < wait_done && wait_begun < signal_done;
    seen.overlapping.fetch_add(usize::from(overlap), Ordering::SeqCst);
}
