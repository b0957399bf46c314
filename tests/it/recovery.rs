//! What a start finds after a crash, and puts right before anything else: trees that lost bytes, ends of jobs that were cut
//! off between the two files of SQLite.

use crate::appliance::{Site, delivery, each_site, fixture};
use crate::promises::mail;
use crate::stores::jobs_of;
use headworks::app::App;
use headworks::delivery::store::stored_ends;
use headworks::delivery::tree::{self, Found};
use headworks::delivery::{Operator, ReceiptState, Work};
use headworks::ids::{JobId, ReceiptId, Scope, Timestamp, VolumeName};
use headworks::infra::db::View;
use headworks::infra::volume::SubPath;
use headworks::job::store::{Claim, NewJob, Note, PutBack, Want, set_paused};
use headworks::job::{
    self, Became, Ended, Finished, FinishedEnd, Job, Kind, Outcome, Priority, QueueName, QueueRow, Run, State,
};
use headworks::load;
use headworks::log::{self, Position, Topics};
use headworks::parse::Parser;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const TO: &str = "bobs@ingest.example.com";

/// What a crash does to a tree that nobody has fsynced.
const DAMAGES: [fn(&Path); 5] = [
    |tree| cut(&a_part(tree), 1),
    |tree| cut(&tree.join(tree::MESSAGE), 0),
    |tree| cut(&tree.join(tree::MANIFEST), 0),
    |tree| fs::remove_file(a_part(tree)).unwrap(),
    |_| {},
];

fn a_part(tree: &Path) -> std::path::PathBuf {
    let mut names = fs::read_dir(tree).unwrap().map(|entry| entry.unwrap().path());
    names.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("001")).unwrap()
}

fn cut(file: &Path, bytes: u64) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(bytes).unwrap();
}

/// The files of a tree: message, parts, manifest.
fn contents(tree: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(tree).unwrap().map(|entry| entry.unwrap());
    let text = |file: &Path| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    entries.map(|entry| (entry.file_name().into_string().unwrap(), text(&entry.path()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_that_a_crash_damaged_before_their_seal_are_made_again_in_place_and_sealed() {
    each_site(|site| async move {
        site.edit("seal_after = \"100ms\"", "seal_after = \"1h\"");
        let first = site.start().await;
        let mut trees = Vec::new();
        for (number, damage) in DAMAGES.iter().enumerate() {
            // The fourth and fifth come under a queue id that was there before.
            let receipt = first.deposit(&format!("4D{}", number % 3), TO, &mail(number));
            assert_eq!(first.settled(receipt).await, ReceiptState::Completed);
            let path = delivery(&first.app.core.db, receipt).await.unwrap().path.unwrap();
            trees.push((receipt, path, damage));
        }
        first.stop().await;
        let inbox = site.state().join("inbox");
        let whole: Vec<_> = trees.iter().map(|(_, path, _)| contents(&inbox.join(path))).collect();
        trees.iter().for_each(|(_, path, damage)| damage(&inbox.join(path)));

        let second = site.start().await;
        for ((receipt, path, _), whole) in trees.iter().zip(whole) {
            let row = delivery(&second.app.core.db, *receipt).await.unwrap();
            assert_eq!((row.path.as_ref(), row.sealed_at), (Some(path), None));
            assert_eq!(contents(&inbox.join(path)), whole);
            let place: SubPath = path.parse().unwrap();
            let Found::Manifest(manifest) =
                tree::read_manifest(second.app.core.volumes.get(VolumeName::Inbox), &place).unwrap()
            else {
                panic!("{path} has no manifest");
            };
            assert_eq!(manifest.about.delivery, row.id);
            assert_eq!(
                tree::check(second.app.core.volumes.get(VolumeName::Inbox), &place, &manifest).unwrap(),
                []
            );
        }
        second.stop().await;

        site.edit("seal_after = \"1h\"", "seal_after = \"100ms\"");
        let third = site.start().await;
        third.spool_is_empty().await;
        for (receipt, path, _) in &trees {
            let row = third.delivery(*receipt, |row| row.sealed_at.is_some()).await;
            assert_eq!(row.path.as_ref(), Some(path));
        }
        let jobs = crate::number(&third.app.core.db, "SELECT count(*) FROM job").await;
        let done = crate::number(&third.app.core.db, "SELECT count(*) FROM job_done").await;
        assert_eq!((jobs, done), (0, 2 * DAMAGES.len() as i64), "a sort and a parse each, and no more");
        third.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_tree_is_made_again_as_it_was_whatever_became_of_its_job() {
    each_site(|site| async move {
        site.edit("seal_after = \"100ms\"", "seal_after = \"1h\"");
        site.edit("type = \"alert\"", "type = \"unheard_of\"");
        let first = site.start().await;
        let mut trees = Vec::new();
        for (queue_id, recipient, mail) in [
            ("4H1", TO, b"Subject: lunch?\n\nAt noon.\n".to_vec()),
            ("4H2", "nobody@ingest.example.com", mail(1)),
            ("4H3", TO, fixture("alert/01_warning")),
        ] {
            let receipt = first.deposit(queue_id, recipient, &mail);
            assert_eq!(first.settled(receipt).await, ReceiptState::Held);
            discard(&first.app, receipt).await;
            let row = delivery(&first.app.core.db, receipt).await.unwrap();
            assert_eq!(row.held_reason, None);
            trees.push(site.state().join("inbox").join(row.path.unwrap()));
        }
        first.stop().await;
        let whole: Vec<_> = trees.iter().map(|tree| contents(tree)).collect();
        trees.iter().for_each(|tree| cut(&tree.join(tree::MANIFEST), 0));

        let second = site.start().await;
        for (tree, whole) in trees.iter().zip(whole) {
            assert!(whole[tree::MANIFEST].contains("\"stored_name\": \"001-"), "{whole:?}");
            assert_eq!(contents(tree), whole);
        }
        second.stop().await;
    })
    .await;
}

async fn discard(app: &App, receipt: ReceiptId) {
    let jobs = jobs_of(&app.core.db, receipt).await;
    let held = jobs.iter().find(|job| job.state == State::Held).unwrap().id;
    let (db, wake) = (app.core.db.clone(), app.core.wake.clone());
    Operator { db, wake, scope: Scope::All, actor: "test".into() }.discard(held).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_copy_is_made_again_and_a_tree_beyond_repair_is_never_sealed() {
    each_site(|site| async move {
        site.edit("seal_after = \"100ms\"", "seal_after = \"1h\"");
        let first = site.start().await;
        let mut paths = Vec::new();
        for (queue_id, recipient) in [("4A1", TO), ("4A2", TO)] {
            let receipt = first.deposit(queue_id, recipient, &fixture("alert/01_warning"));
            assert_eq!(first.settled(receipt).await, ReceiptState::Completed);
            paths.push((receipt, delivery(&first.app.core.db, receipt).await.unwrap().path.unwrap()));
        }
        first.stop().await;
        let (copied, lost) = (&paths[0], &paths[1]);
        let copy = site.state().join("archive").join(&copied.1).join(tree::MESSAGE);
        cut(&copy, 3);
        // What stands in the way of making it again: a tree that says it is somebody else's.
        let manifest = site.state().join("inbox").join(&lost.1).join(tree::MANIFEST);
        let own = delivery_id(&manifest);
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace(&own, "0197f0a0-0000-7000-8000-000000000001")).unwrap();

        site.edit("seal_after = \"1h\"", "seal_after = \"100ms\"");
        let second = site.start().await;
        second.delivery(copied.0, |row| row.sealed_at.is_some()).await;
        assert_eq!(fs::read(&copy).unwrap(), fixture("alert/01_warning"));
        let later = second.deposit("4A3", TO, &fixture("alert/01_warning"));
        second.delivery(later, |row| row.sealed_at.is_some()).await;
        assert_eq!(delivery(&second.app.core.db, lost.0).await.unwrap().sealed_at, None);
        second.spool_holds(&[lost.0]).await;
        second.stop().await;
    })
    .await;
}

fn delivery_id(manifest: &Path) -> String {
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    manifest["delivery"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_whose_rows_were_committed_is_applied_once_at_the_next_start() {
    applied_once(FinishedEnd::Ended(Ended::Completed, None), State::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_whose_rows_were_committed_is_applied_once_at_the_next_start() {
    let until = Timestamp::now().after(Duration::from_secs(3600));
    applied_once(FinishedEnd::PutBack(PutBack::Wait { until, reason: "verdict".into() }), State::Waiting)
        .await;
}

async fn applied_once(end: FinishedEnd, state: State) {
    let site = Site::new(None, "");
    let queue = QueueName::parse("hydrastor/alert").to_string();
    let first = site.start().await;
    pause(&first.app, &queue, true).await;
    let receipt = first.deposit("4E1", TO, &fixture("alert/01_warning"));
    let parse = loop {
        let jobs = jobs_of(&first.app.core.db, receipt).await;
        if let Some(parse) = jobs.iter().find(|job| job.kind.known() == Some(Kind::Parse)) {
            break parse.id;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    first.stop().await;

    let crashed = site.build().await;
    pause(&crashed, &queue, false).await;
    let job = claim(&crashed, &queue).await;
    assert_eq!(job.id, parse);
    let before = site.state().join("before.db");
    crate::execute_outside(&site.state(), &format!("VACUUM INTO '{}'", before.display())).await;
    finish(&crashed, job, end).await;
    crashed.core.db.close().await;
    drop(crashed);
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        fs::remove_file(site.state().join(file)).ok();
    }
    fs::rename(before, site.state().join("state.db")).unwrap();

    for start in 1..=2 {
        let app = site.build().await;
        let jobs = jobs_of(&app.core.db, receipt).await;
        let ended = jobs.iter().find(|job| job.id == parse).unwrap();
        assert_eq!(ended.state, state, "after start {start}");
        assert_eq!(jobs.iter().filter(|job| job.parent_id == Some(parse)).count(), 1);
        let topic = Topics::new(app.core.db.clone()).id(&load::topic("hydrastor_alert")).await.unwrap();
        let told = look!(app.core.db, tx => log::read(&mut tx, topic, Position::START, 10)).unwrap();
        assert_eq!(told.entries.len(), 1, "after start {start}");
        assert_eq!(
            crate::number(&app.core.db, "SELECT count(*) FROM timeline WHERE event = 'proof'").await,
            1
        );
        let stored = stored_ends(&mut app.core.db.reader(View::Results).await.unwrap().tx()).await;
        assert_eq!(stored.unwrap(), []);
        app.core.db.close().await;
    }
}

async fn pause(app: &App, queue: &str, paused: bool) {
    let queue = queue.to_owned();
    let known = commit!(app.core.db, tx => async {
        job::store::queue_row(&mut tx, &queue.parse().unwrap()).await?;
        set_paused(&mut tx, &queue, paused).await
    });
    assert!(known.unwrap());
}

/// The one job of a queue, under a lease.
async fn claim(app: &App, queue: &str) -> Job {
    let queue = queue.to_owned();
    let worker = app.core.worker.unwrap();
    let claimed = commit!(app.core.db, tx => async {
        let queue = job::store::queue_row(&mut tx, &queue.parse().unwrap()).await?.id;
        let want = Want { queue, priority: Priority::Normal as i16, floor: 0, count: 1 };
        let lease = Duration::from_secs(600);
        job::store::claim(&mut tx, &Claim { wants: vec![want], worker, lease, take_expired: false }).await
    });
    claimed.unwrap().pop().unwrap()
}

/// Does a `parse` and commits its end, with a child and a note of the test's own.
async fn finish(app: &App, job: Job, end: FinishedEnd) {
    let parser = Parser { core: Arc::clone(&app.core) };
    let held = app.core.leases.hold(job.id, job.lease_token);
    let Outcome::Done(work) =
        parser.run(Run { job: job.clone(), lease: held, soft_timeout: Duration::from_secs(60) }).await
    else {
        panic!("the module did not read it");
    };
    let work = Work { children: vec![child(&job)], notes: vec![note(job.id)], ..work };
    let finished = Finished { job, work: Some(work), end };
    assert_eq!(app.core.finisher.finish(finished).await.unwrap(), Became::AsMeant);
}

fn child(job: &Job) -> NewJob {
    NewJob {
        queue: QueueRow { id: job.queue, kind: Kind::Parse },
        priority: Priority::Normal,
        delivery_id: job.delivery_id,
        receipt_id: job.receipt_id,
        parent_id: None,
        retry_of: None,
        signals: None,
        max_attempts: 1,
        delay: Duration::from_secs(3600),
        args: serde_json::json!({}),
    }
}

fn note(job: JobId) -> Note {
    Note { job_id: Some(job), event: "proof".into(), ..Note::default() }
}
