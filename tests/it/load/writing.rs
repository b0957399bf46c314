//! Versions, replays, removal, races.

use super::*;
use crate::stores::each_store;
use headworks::infra::db::DbErrorKind;
use headworks::load::Counts;
use module_api::Finding;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[tokio::test]
async fn the_newest_version_stands_whatever_the_order_of_arrival() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        for jobs in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
            let mut made = Vec::new();
            for job in jobs {
                // Jobs 1 and 3 say the same.
                let text = if job == 2 { "two" } else { "odd" };
                let written = write(&db, &tables, vec![(new_load(job), vec![row("a", text)])]).await.unwrap();
                made.push(written.loads[0].load);
            }
            assert_eq!(standing(&db).await, ["a=odd job 3"]);
            assert_eq!(superseded(&db).await, ["a=odd job 1", "a=two job 2"]);
            for load in made {
                remove(&db, &tables, load).await;
            }
            assert!(standing(&db).await.is_empty() && superseded(&db).await.is_empty());
        }
    })
    .await;
}

#[tokio::test]
async fn removing_a_load_puts_back_the_newest_of_the_others() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let mut loads = Vec::new();
        for job in 1..=3 {
            let rows = vec![row("a", &format!("a{job}")), row(&format!("only{job}"), "x")];
            loads.push(write(&db, &tables, vec![(new_load(job), rows)]).await.unwrap().loads[0].load);
        }
        let removed = remove(&db, &tables, loads[2]).await;
        assert_eq!((removed.rows, removed.put_back), (2, 1));
        assert_eq!(standing(&db).await, ["a=a2 job 2", "only1=x job 1", "only2=x job 2"]);
        assert_eq!(superseded(&db).await, ["a=a1 job 1"]);
        remove(&db, &tables, loads[0]).await;
        assert_eq!(standing(&db).await, ["a=a2 job 2", "only2=x job 2"]);
        assert!(superseded(&db).await.is_empty());
    })
    .await;
}

/// Random letters, which no store makes shorter.
fn letters(count: usize) -> String {
    let mut state = 7_u64;
    let letter = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
    });
    letter.take(count).collect()
}

#[tokio::test]
async fn the_longest_indexed_value_fits_the_index_and_one_byte_more_is_refused() {
    each_store(|db| async move {
        let mut declaration = declaration();
        declaration.tables[0].indexed.extend(["text_value".into(), "name".into()]);
        let tables = Tables::new(&[declaration]).unwrap();
        load::ensure(&db, &tables, Duration::from_secs(5)).await.unwrap();
        // Customer and name count 8 bytes more than they are long, and so does the value.
        for key in [1, 1_980] {
            let name = letters(key);
            let longest = 2_600 - (key + 8) - ("acme".len() + 8) - 8;
            let load = |length| vec![(new_load(1), vec![row(&name, &letters(length))])];
            write(&db, &tables, load(longest)).await.unwrap();
            let refused = write(&db, &tables, load(longest + 1)).await.unwrap_err().to_string();
            assert!(refused.contains("text_value") && refused.contains("2600 bytes"), "{refused}");
        }
        let refused = write(&db, &tables, vec![(new_load(1), vec![row(&letters(1_981), "")])]).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("the key is longer than 2000 bytes"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn what_became_of_each_row_is_counted() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let first = vec![row("same", "x"), row("changed", "x"), row("newer", "x")];
        write(&db, &tables, vec![(new_load(5), first)]).await.unwrap();
        let rows = vec![row("same", "x"), row("changed", "y"), row("new", "x"), row("new", "later line")];
        let written =
            write(&db, &tables, vec![(new_load(6), rows), (new_load(4), vec![row("newer", "old")])]);
        let written = written.await.unwrap();
        let counts = |load: usize| written.loads[load].counts["every_type"];
        assert_eq!(counts(0), Counts { inserted: 1, updated: 1, duplicate: 1, stale: 1 });
        assert_eq!(counts(1), Counts { stale: 1, ..Counts::default() });
        assert_eq!(
            standing(&db).await,
            ["changed=y job 6", "new=later line job 6", "newer=x job 5", "same=x job 6"]
        );
    })
    .await;
}

#[tokio::test]
async fn within_a_batch_the_newest_of_equal_keys_wins() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let loads = [2, 3, 1].map(|job| (new_load(job), vec![row("a", &format!("a{job}"))]));
        write(&db, &tables, loads.to_vec()).await.unwrap();
        assert_eq!(standing(&db).await, ["a=a3 job 3"]);
        assert_eq!(superseded(&db).await, ["a=a1 job 1", "a=a2 job 2"]);
    })
    .await;
}

#[tokio::test]
async fn a_replay_replaces_the_load_of_its_delivery() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let first = new_load(7);
        write(&db, &tables, vec![(first.clone(), vec![row("a", "typo"), row("b", "x")])]).await.unwrap();
        let again = NewLoad { job: JobId(9), ..first };
        write(&db, &tables, vec![(again, vec![row("a", "fixed")])]).await.unwrap();
        assert_eq!(standing(&db).await, ["a=fixed job 9"]);
        assert!(superseded(&db).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn rows_without_a_time_of_their_own_are_keyed_by_their_receipt() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let rows = vec![node("n", Some(5), 1), node("n", None, 2)];
        let written = write(&db, &tables, vec![(new_load(3), rows)]).await.unwrap();
        assert_eq!(written.loads[0].counts["node"].inserted, 2);
        let rows = vec![node("n", None, 3)];
        let written = write(&db, &tables, vec![(new_load(3), rows)]).await;
        assert_eq!(written.unwrap().loads[0].counts["node"].updated, 1);
    })
    .await;
}

#[tokio::test]
async fn nul_is_removed_from_text_and_a_finding_says_so() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let mut load = new_load(1);
        load.findings.push(Finding::warning("odd", Place::line(0, 2), "a\0b").excerpt("x\0y"));
        let written = write(&db, &tables, vec![(load, vec![row("a\0", "b\0c")])]).await.unwrap();
        assert_eq!((written.loads[0].nul_removed, written.loads[0].findings), (2, 2));
        assert_eq!(standing(&db).await, ["a=bc job 1"]);
        let findings = "SELECT rule || ': ' || message || excerpt FROM finding ORDER BY ordinal";
        assert_eq!(
            texts(&db, findings, findings).await,
            ["odd: abxy", "nul_removed: U+0000 was removed from 2 texts"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_bad_value_is_named_and_only_its_load_is_lost_when_repeated_alone() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let mut bad = row("bad", "x");
        bad.values[9] = "middling".into();
        let loads =
            vec![(new_load(1), vec![row("good", "x")]), (new_load(2), vec![row("also", "x"), bad.clone()])];
        let error = write(&db, &tables, loads.clone()).await.unwrap_err();
        assert_eq!(error.kind(), DbErrorKind::Content);
        assert!(
            error.to_string().contains("test/report.every_type.enum_value in line 1: not one of"),
            "{error}"
        );
        assert!(standing(&db).await.is_empty());
        let mut kept = Vec::new();
        for load in loads {
            kept.push(write(&db, &tables, vec![load]).await.is_ok());
        }
        assert_eq!(kept, [true, false]);
        assert_eq!(standing(&db).await, ["good=x job 1"]);
    })
    .await;
}

#[tokio::test]
async fn opposite_key_orders_at_once_do_not_deadlock() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        for round in 0..10 {
            let rows = |job: i64| -> Vec<Row> {
                let rows = (0..200).map(|n| row(&format!("k{n}"), &format!("{round}/{job}")));
                if job % 2 == 0 { rows.rev().collect() } else { rows.collect() }
            };
            let writers = (1..=4).map(|n| {
                let job = round * 10 + n;
                write(&db, &tables, vec![(new_load(job), rows(job))])
            });
            for written in futures_util::future::join_all(writers).await {
                written.unwrap();
            }
        }
        let standing = standing(&db).await;
        assert_eq!(standing.len(), 200);
        assert!(standing.iter().all(|row| row.ends_with("=9/94 job 94")), "{:?}", standing[0]);
    })
    .await;
}

#[tokio::test]
async fn more_rows_than_fit_one_statement_are_loaded_and_replaced() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let rows = |text: &str| -> Vec<Row> { (0..4_500).map(|n| row(&format!("k{n}"), text)).collect() };
        write(&db, &tables, vec![(new_load(1), rows("old"))]).await.unwrap();
        let second = write(&db, &tables, vec![(new_load(2), rows("new"))]).await.unwrap();
        assert_eq!(second.loads[0].counts["every_type"].updated, 4_500);
        let removed = remove(&db, &tables, second.loads[0].load).await;
        assert_eq!((removed.rows, removed.put_back), (4_500, 4_500));
        assert!(standing(&db).await.iter().all(|row| row.ends_with("=old job 1")));
    })
    .await;
}

#[tokio::test]
async fn a_load_may_be_handed_over_in_pieces() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let moved = tables.clone();
        let report = db
            .write(Lane::Results, move |mut tx| {
                Box::pin(async move {
                    let load = new_load(1);
                    let mut loading = load::Loading::begin(&mut tx, &moved, &[&load]).await?;
                    for text in ["first", "second", "second"] {
                        loading.rows(&mut tx, &[(0, &[row("a", text), row(text, "x")])]).await?;
                    }
                    Ok(loading.finish(&mut tx).await?.0.remove(0))
                })
            })
            .await
            .unwrap();
        let counts = Counts { inserted: 3, updated: 1, duplicate: 2, stale: 0 };
        assert_eq!(report.counts["every_type"], counts);
        assert_eq!(standing(&db).await, ["a=second job 1", "first=x job 1", "second=x job 1"]);
    })
    .await;
}

#[tokio::test]
async fn writes_replays_and_removals_at_once_end_as_if_one_by_one() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let rows = |job: i64| -> Vec<Row> {
            (0..20)
                .filter(|n| (n * job) % 3 != 0)
                .map(|n| row(&format!("k{n}"), &format!("t{job}")))
                .collect()
        };
        // Each writes its delivery, replays it with other rows, and every fifth removes it again.
        let actors = (1..=15).map(|n| {
            let (db, tables) = (db.clone(), tables.clone());
            async move {
                let first = new_load(n);
                let again = NewLoad { job: JobId(100 + n), received_at: Timestamp(n), ..first.clone() };
                insist(&db, &tables, (first, rows(n))).await;
                let load = insist(&db, &tables, (again, rows(100 + n))).await;
                if n % 5 == 0 {
                    insist_on_removal(&db, &tables, load).await;
                }
            }
        });
        futures_util::future::join_all(actors).await;
        let stays = |n: &i64| n % 5 != 0;
        let newest = |key: i64| (1..=15).filter(stays).rfind(|n| (key * (100 + n)) % 3 != 0);
        let mut expected: Vec<String> =
            (0..20).filter_map(|key| newest(key).map(|n| format!("k{key}=t{0} job {0}", 100 + n))).collect();
        expected.sort();
        assert_eq!(standing(&db).await, expected);
        let all: usize = (1..=15).filter(stays).map(|n| rows(100 + n).len()).sum();
        assert_eq!(superseded(&db).await.len(), all - expected.len());
    })
    .await;
}

/// Writes one load, again for as long as another transaction is in the way.
async fn insist(db: &Db, tables: &Tables, load: (NewLoad, Vec<Row>)) -> LoadId {
    loop {
        match write(db, tables, vec![load.clone()]).await {
            Ok(written) => return written.loads[0].load,
            Err(error) => assert_eq!(error.kind(), DbErrorKind::Contention, "{error}"),
        }
    }
}

async fn insist_on_removal(db: &Db, tables: &Tables, load: LoadId) {
    loop {
        let tables = tables.clone();
        let removal = db.write(Lane::Results, move |mut tx| {
            Box::pin(async move { load::remove(&mut tx, &tables, load).await })
        });
        match removal.await {
            Ok(removed) => return assert!(removed.is_some()),
            Err(error) => assert_eq!(error.kind(), DbErrorKind::Contention, "{error}"),
        }
    }
}

/// Loads as (which delivery and job, rows as (key, text)); the order of arrival and the batches are drawn too.
type Arrivals = Vec<(i64, Vec<(u8, u8)>)>;

fn arrivals() -> impl Strategy<Value = (Arrivals, Arrivals, BTreeSet<usize>)> {
    let rows = proptest::collection::vec((0_u8..4, 0_u8..3), 0..5);
    let loads = proptest::collection::vec(rows, 1..6).prop_map(|all| (1..).zip(all).collect::<Arrivals>());
    let cuts = proptest::collection::btree_set(0_usize..6, 0..3);
    (loads.clone(), loads, cuts)
        .prop_flat_map(|(loads, _, cuts)| (Just(loads.clone()), Just(loads).prop_shuffle(), Just(cuts)))
}

#[tokio::test]
async fn any_order_and_any_batches_of_the_same_loads_end_alike() {
    let cases = std::sync::Arc::new(draw(30));
    each_store(|db| {
        let cases = cases.clone();
        async move {
            let tables = prepared(&db).await;
            for (in_order, shuffled, cuts) in cases.iter() {
                let expected = arrive(&db, &tables, in_order, &BTreeSet::new()).await;
                assert_eq!(arrive(&db, &tables, shuffled, cuts).await, expected, "{shuffled:?} {cuts:?}");
            }
        }
    })
    .await;
}

fn draw(cases: usize) -> Vec<(Arrivals, Arrivals, BTreeSet<usize>)> {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    (0..cases).map(|_| arrivals().new_tree(&mut runner).unwrap().current()).collect()
}

/// Lets loads arrive, a batch up to each cut, and returns what stands, what lost, and what stands as one load after
/// the other is removed; the store is empty again afterwards.
async fn arrive(db: &Db, tables: &Tables, arrivals: &Arrivals, cuts: &BTreeSet<usize>) -> Vec<Vec<String>> {
    let mut loads: Vec<(i64, LoadId)> = Vec::new();
    let mut batch = Vec::new();
    for (position, (job, rows)) in arrivals.iter().enumerate() {
        let rows = rows.iter().map(|(key, text)| row(&format!("k{key}"), &format!("t{text}"))).collect();
        batch.push((new_load(*job), rows));
        if cuts.is_empty() || cuts.contains(&position) || position + 1 == arrivals.len() {
            let jobs: Vec<i64> = batch.iter().map(|(load, _): &(NewLoad, Vec<Row>)| load.job.0).collect();
            let written = write(db, tables, std::mem::take(&mut batch)).await.unwrap();
            loads.extend(jobs.into_iter().zip(written.loads.iter().map(|l| l.load)));
        }
    }
    let mut seen = vec![standing(db).await, superseded(db).await];
    loads.sort_by_key(|(job, _)| (job % 2, -job));
    for (_, load) in loads {
        remove(db, tables, load).await;
        seen.push(standing(db).await);
    }
    assert!(superseded(db).await.is_empty());
    seen
}
