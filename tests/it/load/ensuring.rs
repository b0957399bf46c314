//! Tables are made once, extended by additions, and never changed otherwise.

use super::*;
use crate::stores::each_store;
use headworks::infra::db::DbErrorKind;

async fn ensure(db: &Db, declaration: Declaration) -> Result<Vec<String>, DbError> {
    load::ensure(db, &Tables::new(&[declaration]).unwrap(), Duration::from_secs(5)).await
}

#[tokio::test]
async fn tables_are_made_once() {
    each_store(|db| async move {
        let made = ensure(&db, declaration()).await.unwrap();
        assert_eq!(made, ["table every_type", "table node", "view node_latest"]);
        assert!(ensure(&db, declaration()).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn servers_that_start_together_make_them_once() {
    each_store(|db| async move {
        let starts = (0..4).map(|_| ensure(&db, declaration()));
        let made: Vec<_> = futures_util::future::join_all(starts).await;
        let made: Vec<_> = made.into_iter().map(|made| made.unwrap().len()).collect();
        assert_eq!(made.iter().sum::<usize>(), 3, "{made:?}");
    })
    .await;
}

#[tokio::test]
async fn columns_words_and_indexes_are_added_to_a_table_with_rows() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        write(&db, &tables, vec![(new_load(1), vec![row("a", "x"), node("n", Some(1), 1)])]).await.unwrap();
        let mut newer = declaration();
        newer.tables[0].columns[9].kind = ColumnKind::words(&["low", "middling", "high"]);
        newer.tables[1] = newer.tables[1].clone().column("site", ColumnKind::Decimal(3), "").index("site");
        let tables = Tables::new(&[newer.clone()]).unwrap();
        assert_eq!(
            ensure(&db, newer).await.unwrap(),
            ["table every_type: declaration", "table node: column site", "view node_latest"]
        );
        let mut wordy = row("a", "x");
        wordy.values[9] = "middling".into();
        let mut sited = node("n", Some(1), 1);
        sited.values.push(Value::Decimal(Decimal { units: 1_500, scale: 3 }));
        write(&db, &tables, vec![(new_load(2), vec![wordy, sited])]).await.unwrap();
        let site = texts(
            &db,
            "SELECT site::text FROM rows.node_latest",
            "SELECT CAST(site AS TEXT) FROM rows_node_latest",
        );
        assert_eq!(site.await, [if db.is_pg() { "1.500" } else { "1500" }]);
    })
    .await;
}

#[tokio::test]
async fn a_change_that_is_no_addition_is_refused_whole_and_named() {
    each_store(|db| async move {
        prepared(&db).await;
        let changed = |change: fn(&mut Declaration)| {
            let mut declaration = declaration();
            // An addition beside it, which must not be made.
            declaration.tables.push(Table::new("extra", "").key("k", ColumnKind::Int, ""));
            change(&mut declaration);
            declaration
        };
        let cases = [
            (
                changed(|d| d.tables[0].columns[2].kind = ColumnKind::Text),
                "column int_value was Int and is Text",
            ),
            (
                changed(|d| d.tables[0].columns[3].kind = ColumnKind::Decimal(4)),
                "decimal_value was Decimal(2)",
            ),
            (changed(|d| drop(d.tables[0].columns.remove(1))), "column text_value is no longer declared"),
            (changed(|d| d.tables[0].columns[9].kind = ColumnKind::words(&["low"])), "column enum_value was"),
            (
                changed(|d| d.tables[0].columns[2].nullable = false),
                "int_value changed whether it may be null",
            ),
            (
                changed(|d| d.tables[1].key.truncate(1)),
                "the key was (node_name, report_at) and is (node_name)",
            ),
            (
                changed(|d| d.tables[1] = d.tables[1].clone().required("must", ColumnKind::Int, "")),
                "new column must may not be null",
            ),
            (
                changed(|d| d.id = "test/other".into()),
                "was made by test/report and is declared by test/other",
            ),
        ];
        for (declaration, expected) in cases {
            let error = ensure(&db, declaration).await.unwrap_err();
            assert_eq!(error.kind(), DbErrorKind::Corrupt);
            assert!(error.to_string().contains(expected), "{error}");
        }
        let made = "SELECT name FROM module_table ORDER BY name";
        assert_eq!(texts(&db, made, made).await, ["every_type", "node", "node_latest"]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_waits_too_long_for_another_one_says_so() {
    each_store(|db| async move {
        // SQLite has one process and one writer: nobody to wait for.
        if !db.is_pg() {
            return;
        }
        let (locked, is_locked) = tokio::sync::oneshot::channel();
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        let holder = db.write(Lane::Results, move |mut tx| {
            Box::pin(async move {
                let lock = "SELECT pg_advisory_xact_lock(1836016756)";
                on_either!(&mut tx, c => sqlx::query(lock).execute(c).await.map(drop))?;
                locked.send(()).unwrap();
                is_done.await.unwrap();
                Ok(())
            })
        });
        let starter = async {
            is_locked.await.unwrap();
            let tables = Tables::new(&[declaration()]).unwrap();
            let error = load::ensure(&db, &tables, Duration::from_millis(100)).await.unwrap_err();
            assert_eq!(error.kind(), DbErrorKind::Contention, "{error}");
            done.send(()).unwrap();
        };
        let (held, ()) = futures_util::future::join(holder, starter).await;
        held.unwrap();
    })
    .await;
}
