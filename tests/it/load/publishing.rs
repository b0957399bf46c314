//! What the log is told of published rows: one entry for each key whose row is not what was told last.

use super::*;
use crate::stores::each_store;
use headworks::load::{LogEntry, Op};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::BTreeMap;

/// Operation, key and load of each entry, after a look at what every entry has.
fn told<'e>(entries: impl IntoIterator<Item = &'e LogEntry>) -> Vec<String> {
    let text = |entry: &LogEntry| {
        assert_eq!(entry.topic, "rows.node");
        let body: serde_json::Value = serde_json::from_slice(&entry.body).unwrap();
        assert_eq!((&body["node_name"], &body["customer"]), (&entry.key.as_str().into(), &"acme".into()));
        match entry.op {
            Op::Upsert => format!("upsert {}={}", entry.key, body["load"]),
            Op::Delete => {
                let columns: Vec<&String> = body.as_object().unwrap().keys().collect();
                assert_eq!(columns, ["customer", "node_name", "report_at"]);
                format!("delete {}", entry.key)
            }
            Op::Snapshot => panic!("no load tells a snapshot: {entry:?}"),
        }
    };
    entries.into_iter().map(text).collect()
}

fn of(written: &Written) -> Vec<String> {
    told(written.entries.iter().map(|(_, entry)| entry))
}

/// Nodes at second 1, by name and load.
fn nodes(rows: &[(&str, i64)]) -> Vec<Row> {
    rows.iter().map(|&(name, load)| node(name, Some(1_000_000), load)).collect()
}

#[tokio::test]
async fn published_rows_are_told_when_they_change_and_only_then() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let first = new_load(1);
        let rows = nodes(&[("a", 1), ("b", 1)]);
        let written = write(&db, &tables, vec![(first.clone(), rows.clone())]).await.unwrap();
        assert_eq!(of(&written), ["upsert a=1", "upsert b=1"]);

        let written = write(&db, &tables, vec![(new_load(2), rows)]).await.unwrap();
        assert!(of(&written).is_empty(), "the same again is no change");

        let replay = NewLoad { job: JobId(3), ..first };
        let rows = nodes(&[("a", 1), ("c", 1)]);
        let written = write(&db, &tables, vec![(replay, rows)]).await.unwrap();
        assert_eq!(of(&written), ["upsert c=1"], "b stands as load 2 has it");

        let load = write(&db, &tables, vec![(new_load(4), nodes(&[("a", 9)]))]).await.unwrap();
        assert_eq!(of(&load), ["upsert a=9"]);
        let removed = remove(&db, &tables, load.loads[0].load).await;
        assert_eq!(told(&removed.entries), ["upsert a=1"]);
    })
    .await;
}

#[tokio::test]
async fn a_row_that_a_replay_no_longer_has_is_told_as_deleted() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let first = new_load(1);
        let rows = nodes(&[("changed", 1), ("gone", 1), ("same", 1)]);
        write(&db, &tables, vec![(first.clone(), rows)]).await.unwrap();
        let replay = NewLoad { job: JobId(2), ..first };
        let rows = nodes(&[("changed", 2), ("new", 2), ("same", 1)]);
        let written = write(&db, &tables, vec![(replay.clone(), rows)]).await.unwrap();
        assert_eq!(of(&written), ["upsert changed=2", "upsert new=2", "delete gone"]);

        let replay = NewLoad { job: JobId(3), ..replay };
        let written = write(&db, &tables, vec![(replay, Vec::new())]).await.unwrap();
        let mut deleted = of(&written);
        deleted.sort();
        assert_eq!(deleted, ["delete changed", "delete new", "delete same"]);
    })
    .await;
}

#[tokio::test]
async fn removing_a_load_tells_deletes_and_the_rows_that_move_back() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let older = nodes(&[("equal", 5), ("other", 1)]);
        write(&db, &tables, vec![(new_load(1), older)]).await.unwrap();
        let newer = nodes(&[("equal", 5), ("only", 5), ("other", 5)]);
        let load = write(&db, &tables, vec![(new_load(2), newer)]).await.unwrap().loads[0].load;
        let mut entries = told(&remove(&db, &tables, load).await.entries);
        entries.sort();
        assert_eq!(entries, ["delete only", "upsert other=1"]);
    })
    .await;
}

#[tokio::test]
async fn a_superseded_row_is_never_told() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        write(&db, &tables, vec![(new_load(5), nodes(&[("a", 5)]))]).await.unwrap();
        let stale = write(&db, &tables, vec![(new_load(4), nodes(&[("a", 4)]))]).await.unwrap();
        assert!(of(&stale).is_empty());
        assert!(remove(&db, &tables, stale.loads[0].load).await.entries.is_empty());
    })
    .await;
}

#[tokio::test]
async fn of_two_loads_in_one_batch_only_what_stands_at_the_end_is_told() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let old = new_load(1);
        let all = [("equal", 1), ("gone", 1), ("other", 1)];
        write(&db, &tables, vec![(old.clone(), nodes(&all))]).await.unwrap();
        // The replay drops what another load brings: with the same values, with others.
        let replay = NewLoad { job: JobId(2), ..old };
        let other = new_load(3);
        let rows = nodes(&[("equal", 1), ("new", 3), ("other", 3)]);
        let batch = vec![(replay.clone(), Vec::new()), (other.clone(), rows)];
        let written = write(&db, &tables, batch).await.unwrap();
        assert_eq!(of(&written), ["upsert new=3", "upsert other=3", "delete gone"]);
        assert_eq!(written.entries.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 1, 0]);

        // The replay brings what the other one drops, and both what nobody has.
        let (replay, other) = (NewLoad { job: JobId(4), ..replay }, NewLoad { job: JobId(5), ..other });
        let batch = vec![
            (replay.clone(), nodes(&[("both", 4), ("equal", 1), ("other", 4)])),
            (other.clone(), nodes(&[("both", 5)])),
        ];
        let written = write(&db, &tables, batch).await.unwrap();
        assert_eq!(of(&written), ["upsert both=5", "upsert other=4", "delete new"]);

        // Both drop the same row: the one that stands is removed, and then the one that moved back for it.
        let batch = vec![
            (NewLoad { job: JobId(6), ..other }, Vec::new()),
            (NewLoad { job: JobId(7), ..replay }, nodes(&[("equal", 1), ("other", 4)])),
        ];
        let written = write(&db, &tables, batch).await.unwrap();
        assert_eq!(of(&written), ["delete both"]);
    })
    .await;
}

#[tokio::test]
async fn a_load_in_pieces_tells_each_change_in_order() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let old = new_load(1);
        let all = [("gone", 1), ("there_and_back", 1)];
        write(&db, &tables, vec![(old.clone(), nodes(&all))]).await.unwrap();
        let moved = tables.clone();
        let entries = db
            .write(Lane::Results, move |mut tx| {
                Box::pin(async move {
                    let load = NewLoad { job: JobId(2), ..old };
                    let mut loading = load::Loading::begin(&mut tx, &moved, &[&load]).await?;
                    let mut entries = Vec::new();
                    for value in [1, 2, 1] {
                        let rows = nodes(&[("there_and_back", value)]);
                        entries.extend(loading.rows(&mut tx, &[(0, &rows)]).await?);
                    }
                    entries.extend(loading.finish(&mut tx).await?.1);
                    Ok(entries)
                })
            })
            .await
            .unwrap();
        assert_eq!(
            told(entries.iter().map(|(_, entry)| entry)),
            ["upsert there_and_back=2", "upsert there_and_back=1", "delete gone"]
        );
    })
    .await;
}

/// What happens to deliveries 0 to 3: batches of loads, each a delivery and its rows as (key, value); no rows at all: its
/// load is removed.
type Acts = Vec<Vec<(usize, Option<Vec<(u8, u8)>>)>>;

fn acts() -> impl Strategy<Value = Acts> {
    let rows = proptest::collection::vec((0_u8..4, 0_u8..3), 0..4);
    let act = (0_usize..4, proptest::option::weighted(0.8, rows));
    proptest::collection::vec(proptest::collection::vec(act, 1..4), 1..12)
}

#[tokio::test]
async fn who_applies_what_is_told_has_the_table_and_is_told_nothing_twice() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let cases: Vec<Acts> = (0..40).map(|_| acts().new_tree(&mut runner).unwrap().current()).collect();
    let cases = std::sync::Arc::new(cases);
    each_store(|db| {
        let cases = cases.clone();
        async move {
            let tables = prepared(&db).await;
            for case in cases.iter() {
                follow(&db, &tables, case).await;
            }
        }
    })
    .await;
}

/// Plays `acts`, follows the entries as a consumer does, and removes everything again.
async fn follow(db: &Db, tables: &Tables, acts: &Acts) {
    let mut deliveries: Vec<NewLoad> = (1..5).map(new_load).collect();
    let mut loads: BTreeMap<usize, LoadId> = BTreeMap::new();
    let mut copy = BTreeMap::new();
    let mut job = 10;
    for batch in acts {
        let mut writes = BTreeMap::new();
        for (delivery, rows) in batch {
            match rows {
                None => {
                    if let Some(load) = loads.remove(delivery) {
                        apply(&mut copy, &remove(db, tables, load).await.entries, acts);
                    }
                }
                Some(rows) => {
                    job += 1;
                    deliveries[*delivery].job = JobId(job);
                    let row = |(key, value): &(u8, u8)| {
                        node(&format!("k{key}"), Some(1_000_000), i64::from(*value))
                    };
                    writes.insert(*delivery, (deliveries[*delivery].clone(), rows.iter().map(row).collect()));
                }
            }
        }
        let places: Vec<usize> = writes.keys().copied().collect();
        let written = write(db, tables, writes.into_values().collect()).await.unwrap();
        loads.extend(places.into_iter().zip(written.loads.iter().map(|report| report.load)));
        apply(&mut copy, written.entries.iter().map(|(_, entry)| entry), acts);
        assert_eq!(copy, table(db).await, "{acts:?}");
    }
    for load in loads.into_values() {
        apply(&mut copy, &remove(db, tables, load).await.entries, acts);
        assert_eq!(copy, table(db).await, "{acts:?}");
    }
    assert!(copy.is_empty(), "{acts:?}");
}

/// Applies the entries of one transaction, each of which must change something.
fn apply<'e>(
    copy: &mut BTreeMap<String, String>,
    entries: impl IntoIterator<Item = &'e LogEntry>,
    acts: &Acts,
) {
    for entry in entries {
        let body: serde_json::Value = serde_json::from_slice(&entry.body).unwrap();
        match entry.op {
            Op::Upsert => {
                let value = body["load"].to_string();
                assert_ne!(copy.insert(entry.key.clone(), value.clone()), Some(value), "{acts:?}");
            }
            Op::Delete => assert!(copy.remove(&entry.key).is_some(), "{acts:?}"),
            Op::Snapshot => panic!("no load tells a snapshot: {entry:?}"),
        }
    }
}

/// Name and load of every node.
async fn table(db: &Db) -> BTreeMap<String, String> {
    let rows = texts(
        db,
        "SELECT node_name || '=' || load FROM rows.node",
        "SELECT node_name || '=' || load FROM rows_node",
    );
    let pair = |row: String| row.split_once('=').map(|(name, load)| (name.to_owned(), load.to_owned()));
    rows.await.into_iter().filter_map(pair).collect()
}
