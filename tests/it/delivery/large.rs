//! Large loads: what they change is told as a file that one entry names. It is there before the commit, and goes if that fails.

use super::*;
use crate::load::new_load;
use crate::processes::memory_kib;
use crate::stores::{each_store, open_lite};
use headworks::delivery::{Rows, Work, recover, sweep_files};
use headworks::infra::db::DbErrorKind;
use headworks::infra::volume::{Durable, EntryKind, Source, SubPath};
use headworks::job::Became;
use headworks::load::NewLoad;
use headworks::log::{self, Position, Sealed, SealedEntry, Stored, Topics, expand};
use module_api::{Place, Row};
use std::collections::BTreeMap;
use std::path::Path;

/// A load of `count` rows, most of them in a file; row n has the value that `value` says.
fn many(job: &Job, load: &NewLoad, tmp: &Path, count: u32, value: impl Fn(u32) -> i64) -> (NewLoad, Rows) {
    let mut rows = Rows::new(tmp, 64 << 10);
    for number in 0..count {
        let values = vec![name(number).into(), value(number).into()];
        let place = Place::line(0, 1);
        rows.push(Row { table: 0, place, report_at: None, report_tz_assumed: false, values }).unwrap();
    }
    (NewLoad { job: job.id, ..load.clone() }, rows)
}

fn name(number: u32) -> String {
    format!("node {number:06}")
}

async fn entries(db: &Db) -> Vec<Stored> {
    let topic = Topics::new(db.clone()).id("rows.node").await.unwrap();
    look!(db, tx => log::read(&mut tx, topic, Position::START, 100)).unwrap().entries
}

/// The file that an entry names, and what is in it.
fn file(doors: &Doors, entry: &Stored) -> (Sealed, Vec<SealedEntry>) {
    let sealed = Sealed::named_by(&entry.headers).unwrap().expect("it names a file");
    assert_eq!((&entry.key, entry.body.len(), entry.headers["table"].as_str()), (&None, 0, "node"));
    let found: Vec<_> = expand(&doors.blobs, &sealed, 0).unwrap().map(Result::unwrap).collect();
    assert_eq!(sealed.entries, found.len() as u64);
    (sealed, found)
}

/// Operation and value by key; each key once.
fn by_key(entries: &[SealedEntry]) -> BTreeMap<String, (String, Option<i64>)> {
    let told = |entry: &SealedEntry| {
        let body: serde_json::Value = serde_json::from_str(&entry.body).unwrap();
        assert_eq!((&entry.headers["table"][..], &entry.headers["schema"][..]), ("node", "1"));
        let key = entry.key.clone().unwrap();
        assert_eq!((&body["name"], &body["customer"]), (&key.as_str().into(), &"acme".into()));
        (key, (entry.headers["op"].clone(), body["load"].as_i64()))
    };
    let all: BTreeMap<_, _> = entries.iter().map(told).collect();
    assert_eq!(all.len(), entries.len(), "no key twice");
    all
}

/// The files of the volume.
fn files(doors: &Doors) -> Vec<SubPath> {
    let (mut found, mut left) = (Vec::new(), vec![SubPath::root()]);
    while let Some(directory) = left.pop() {
        for entry in doors.blobs.list(&directory).unwrap() {
            let path = directory.join(&entry.name).unwrap();
            if entry.kind == EntryKind::Dir { left.push(path) } else { found.push(path) }
        }
    }
    found
}

#[tokio::test]
async fn what_a_large_load_changes_is_one_file_and_a_replay_tells_only_what_differs() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        let (_, jobs) = doors.running(1, 3).await;
        let load = new_load(1);
        let finish = async |job: &Job, count: u32, value: fn(u32) -> i64| {
            let load = Some(many(job, &load, doors.scratch.path(), count, value));
            assert_eq!(doors.finish(job, Work { load, ..Work::default() }).await.unwrap(), Became::AsMeant);
        };

        finish(&jobs[0], 25_000, |_| 1).await;
        let (sealed, told) = file(&doors, &entries(&db).await[0]);
        let upserts = by_key(&told);
        assert!(upserts.values().all(|told| *told == ("upsert".to_owned(), Some(1))));
        assert_eq!(upserts.keys().cloned().collect::<Vec<_>>(), (0..25_000).map(name).collect::<Vec<_>>());
        let rest: Vec<_> = expand(&doors.blobs, &sealed, 24_990).unwrap().map(Result::unwrap).collect();
        assert_eq!(rest, told[24_990..]);

        finish(&jobs[1], 25_000, |number| 1 + i64::from(number % 2)).await;
        let (_, told) = file(&doors, &entries(&db).await[1]);
        let changed: Vec<_> = by_key(&told).into_keys().collect();
        assert_eq!(changed, (0..12_500).map(|number| name(2 * number + 1)).collect::<Vec<_>>());

        finish(&jobs[2], 10, |number| 1 + i64::from(number % 2)).await;
        let (_, told) = file(&doors, &entries(&db).await[2]);
        let gone = by_key(&told);
        assert!(gone.values().all(|told| *told == ("delete".to_owned(), None)));
        assert_eq!(gone.keys().cloned().collect::<Vec<_>>(), (10..25_000).map(name).collect::<Vec<_>>());

        assert_eq!((entries(&db).await.len(), files(&doors).len(), doors.count("log_file").await), (3, 3, 3));
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_fails_leaves_no_file() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        let (_, jobs) = doors.running(1, 2).await;
        let load = || Some(many(&jobs[0], &new_load(1), doors.scratch.path(), 12_000, |_| 1));
        let work = Work { load: load(), rows: vec![notice("bad")], ..Work::default() };
        assert_eq!(doors.finish(&jobs[0], work).await.unwrap_err().kind(), DbErrorKind::Content);
        let lost = Job { lease_token: headworks::ids::LeaseToken::fresh(), ..jobs[0].clone() };
        let became = doors.finish(&lost, Work { load: load(), ..Work::default() }).await.unwrap();
        assert_eq!((became, entries(&db).await.len()), (Became::Lost, 0));
        assert_eq!((files(&doors), doors.count("log_file").await), (Vec::new(), 0));
    })
    .await;
}

#[tokio::test]
async fn a_stored_end_names_its_file_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_lite(directory.path()).await;
    let doors = Doors::open(&db, 1).await;
    let (_, jobs) = doors.running(1, 1).await;
    let before = directory.path().join("before");
    crate::execute_outside(directory.path(), &format!("VACUUM INTO '{}'", before.display())).await;
    let load = Some(many(&jobs[0], &new_load(1), doors.scratch.path(), 12_000, |_| 1));
    assert_eq!(doors.finish(&jobs[0], Work { load, ..Work::default() }).await.unwrap(), Became::AsMeant);
    db.close().await;
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        std::fs::remove_file(directory.path().join(file)).ok();
    }
    std::fs::rename(before, directory.path().join("state.db")).unwrap();

    for applied in [1, 0] {
        let db = open_lite(directory.path()).await;
        assert_eq!(recover(&db, &writers()).await.unwrap(), applied);
        let told = entries(&db).await;
        assert_eq!((told.len(), by_key(&file(&doors, &told[0]).1).len()), (1, 12_000));
        assert_eq!(crate::number(&db, "SELECT count(*) FROM log_file WHERE seq IS NOT NULL").await, 1);
        db.close().await;
    }
}

#[tokio::test]
async fn files_that_no_entry_names_are_removed_after_a_day_and_named_ones_with_their_entry() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        let (_, jobs) = doors.running(1, 1).await;
        let load = Some(many(&jobs[0], &new_load(1), doors.scratch.path(), 12_000, |_| 1));
        doors.finish(&jobs[0], Work { load, ..Work::default() }).await.unwrap();
        let named = files(&doors);
        // As after a crash before the commit.
        for path in ["log/rows.node/1.jsonl", "log/rows.node/2.jsonl"] {
            commit!(db, tx => log::note_file(&mut tx, path)).unwrap();
            doors.blobs.put(&path.parse().unwrap(), Source::Bytes(b"x"), Durable::Now).unwrap();
        }
        let sweep = async || sweep_files((db.clone(), doors.blobs.clone())).await.unwrap();
        let old = if db.is_pg() { "now() - interval '25 hours'" } else { "0" };
        let old = format!("UPDATE log_file SET noted_at = {old} WHERE path <> 'log/rows.node/2.jsonl'");
        crate::execute(&db, &old).await;
        sweep().await;
        let mut kept = files(&doors);
        kept.retain(|path| !named.contains(path));
        assert_eq!(kept, ["log/rows.node/2.jsonl".parse().unwrap()]);
        assert_eq!(doors.count("log_file").await, 2);

        crate::execute(&db, "UPDATE topic SET pruned = (SELECT max(seq) FROM log)").await;
        sweep().await;
        assert_eq!((files(&doors), doors.count("log_file").await), (kept, 1));
    })
    .await;
}

#[tokio::test]
async fn memory_does_not_grow_with_the_rows_of_a_load() {
    each_store(|db| async move {
        let doors = Doors::open(&db, 1).await;
        let (_, jobs) = doors.running(1, 2).await;
        let mut peaks = Vec::new();
        for (job, count) in jobs.iter().zip([15_000, 45_000]) {
            let load = Some(many(job, &new_load(1), doors.scratch.path(), count, |_| count.into()));
            assert_eq!(doors.finish(job, Work { load, ..Work::default() }).await.unwrap(), Became::AsMeant);
            peaks.push(memory_kib(std::process::id(), "VmHWM"));
        }
        assert!(peaks[1] < peaks[0] + (24 << 10), "{peaks:?} KiB");
    })
    .await;
}
