//! Lists of rows cost their page: each filter and order finds its index, also in tables that an earlier version made.

use super::*;
use crate::processes::is_soak;
use crate::stores::each_store;
use headworks::ids::Scope;
use headworks::load::query::{self, Filter, Order, Question};
use std::fmt::Write;

/// Rows of the table; more with `HEADWORKS_TEST_SOAK`.
const ROWS: i64 = 150_000;
const ROWS_SOAK: i64 = 1_000_000;
/// Rows of one load, which all came at one time.
const LOAD: i64 = 50_000;

fn rows() -> i64 {
    if is_soak() { ROWS_SOAK } else { ROWS }
}

fn things() -> Declaration {
    let thing = Table::new("thing", "a thing")
        .key("name", ColumnKind::Text, "")
        .key("part", ColumnKind::Int, "")
        .column("size", ColumnKind::Int, "")
        .column("label", ColumnKind::Text, "")
        .column("good", ColumnKind::Bool, "")
        .index("size")
        .index("label")
        .index("good");
    Declaration { tables: vec![thing], views: Vec::new(), ..declaration() }
}

/// Large loads of one customer, and one row in ten thousand of another.
async fn fill(db: &Db) {
    let rows = rows();
    let (numbers, relation, uuid, bytes, time, yes) = if db.is_pg() {
        (
            format!("generate_series(1, {rows}) AS n(n)"),
            "rows.thing",
            "lpad(to_hex(n), 32, '0')::uuid",
            "'\\x00'::bytea",
            format!("to_timestamp(1767225600 + n / {LOAD})"),
            "n % 2 = 0",
        )
    } else {
        let numbers = format!(
            "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) SELECT n FROM c) AS n"
        );
        let time = format!("(1767225600 + n / {LOAD}) * 1000000");
        (numbers, "rows_thing", "unhex(printf('%032x', n))", "x'00'", time, "n % 2 = 0")
    };
    let statement = format!(
        "INSERT INTO {relation} (customer, category, type, grp, delivery_id, source_sha256, source_path, received_at,
           report_tz_assumed, parser, parser_version, row_hash, load_id, name, part, size, label, good)
         SELECT CASE WHEN n % 10000 = 7 THEN 'rare' ELSE 'usual' END, 'c', 't', 'g', {uuid}, {bytes}, '1', {time}, {yes}, 'test/report',
           '1.0.0', {bytes}, n / {LOAD}, 'name ' || n % 100, n, CASE WHEN n % 10 <> 0 THEN n % 1000 END, 'label ' || n % 100, {yes}
         FROM {numbers}"
    );
    run(db, &statement).await;
    if db.is_pg() {
        run(db, "ANALYZE rows.thing").await;
    }
}

async fn run(db: &Db, statement: &str) {
    let statement = statement.to_owned();
    let done = db.write(Lane::Results, move |mut tx| {
        Box::pin(async move {
            on_either!(&mut tx, c => { sqlx::query(sqlx::AssertSqlSafe(statement)).execute(c).await?; });
            Ok(())
        })
    });
    done.await.unwrap();
}

/// The median time of five readings of a page, and the page.
async fn median(db: &Db, scope: &Scope, tables: &Tables, question: &Question) -> (Duration, query::Page) {
    let (mut times, mut last) = (Vec::new(), None);
    for _ in 0..5 {
        let began = std::time::Instant::now();
        last = Some(query::rows(db, scope, tables, "thing", question).await.unwrap());
        times.push(began.elapsed());
    }
    times.sort();
    (times[2], last.unwrap())
}

/// Each single filter and order, and whether its first page is a walk of one index without any sorting.
fn questions() -> Vec<(String, bool, Question)> {
    let mut all = vec![("nothing".to_owned(), true, Question::default())];
    let filters = [
        ("customer", "eq:usual", true),
        ("customer", "eq:rare", true),
        ("name", "eq:name 7", true),
        ("name", "prefix:name 9", false),
        ("size", "eq:7", true),
        ("size", "ge:990", false),
        ("size", "in:7,8", true),
        ("size", "null:true", true),
        ("size", "null:false", false),
        ("label", "eq:label 7", true),
        ("good", "eq:true", true),
        ("load_id", "eq:1", true),
    ];
    for (column, condition, walk) in filters {
        let question = Question { filters: vec![Filter::new(column, condition)], ..Question::default() };
        all.push((format!("filter[{column}]={condition}"), walk, question));
    }
    for column in ["received_at", "customer", "name", "size", "label", "good", "load_id"] {
        for descending in [false, true] {
            let order = Some(Order { column: column.to_owned(), descending });
            all.push((
                format!("order={column} {descending}"),
                true,
                Question { order, ..Question::default() },
            ));
        }
    }
    let at = |n: i64| Some(Timestamp((1_767_225_600 + n / LOAD) * 1_000_000));
    all.push(("since".into(), true, Question { since: at(rows() / 2), ..Question::default() }));
    all.push(("until".into(), true, Question { until: at(rows() / 2), ..Question::default() }));
    all.into_iter().map(|(name, walk, question)| (name, walk, Question { limit: 100, ..question })).collect()
}

#[tokio::test]
async fn every_list_of_rows_finds_an_index_for_each_filter_and_order() {
    each_store(|db| async move {
        let tables = Tables::new(&[things()]).unwrap();
        load::ensure(&db, &tables, Duration::from_secs(5)).await.unwrap();
        fill(&db).await;
        let mut problems = String::new();
        for scope in
            [Scope::All, Scope::Customer("rare".parse().unwrap()), Scope::Customer("usual".parse().unwrap())]
        {
            for (name, walk, question) in questions() {
                let what = format!("{name} for {scope:?}");
                let (first, page) = median(&db, &scope, &tables, &question).await;
                let next = Question { cursor: page.next.clone(), ..question.clone() };
                let (later, _) = median(&db, &scope, &tables, &next).await;
                eprintln!("{first:>9.3?} {later:>9.3?} {what}");
                if is_soak() && page.next.is_some() && first > 3 * later.max(Duration::from_millis(1)) {
                    writeln!(problems, "{what}: {first:?} for the first page, {later:?} for a later one")
                        .unwrap();
                }
                for (page, question) in [("first", &question), ("second", &next)] {
                    let plan =
                        query::plan(&db, &scope, &tables, "thing", question).await.unwrap().join("\n  ");
                    // A filter that contradicts the scope finds nothing, and reads nothing for it.
                    if plan.contains("One-Time Filter: false") {
                        continue;
                    }
                    let whole = plan.contains("Seq Scan")
                        || (plan.contains("SCAN t") && !plan.contains("USING INDEX"));
                    let sorts = plan.contains("USE TEMP B-TREE") || plan.contains("Sort");
                    let owned = scope != Scope::All;
                    if whole || (walk && sorts && !owned) {
                        writeln!(problems, "{what}, {page} page:\n  {plan}").unwrap();
                    }
                }
            }
        }
        assert!(problems.is_empty(), "{problems}");
    })
    .await;
}

#[tokio::test]
async fn a_table_of_an_earlier_version_gets_the_indexes_of_this_one() {
    each_store(|db| async move {
        let tables = Tables::new(&[things()]).unwrap();
        load::ensure(&db, &tables, Duration::from_secs(5)).await.unwrap();
        let indexes = async || {
            let pg = "SELECT indexname::text FROM pg_indexes WHERE schemaname = 'rows' AND indexname LIKE 'ix%' ORDER BY 1";
            let lite = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'ix%' ORDER BY 1";
            texts(&db, pg, lite).await
        };
        let made = indexes().await;
        // As version 1 made them: one column each.
        let schema = if db.is_pg() { "rows." } else { "" };
        for name in &made {
            run(&db, &format!("DROP INDEX {schema}\"{name}\"")).await;
        }
        let relation = if db.is_pg() { "rows.thing" } else { "rows_thing" };
        run(&db, &format!("CREATE INDEX ix_thing_0123456789ab ON {relation} (size)")).await;
        run(&db, &format!("CREATE INDEX of_an_operator ON {relation} (size)")).await;
        let said = load::ensure(&db, &tables, Duration::from_secs(5)).await.unwrap();
        assert_eq!(said, ["table thing: indexes"]);
        assert_eq!(indexes().await, made);
        let pg = "SELECT indexname::text FROM pg_indexes WHERE indexname = 'of_an_operator'";
        let lite = "SELECT name FROM sqlite_master WHERE name = 'of_an_operator'";
        assert_eq!(texts(&db, pg, lite).await, ["of_an_operator"], "what others made stays");
        assert!(load::ensure(&db, &tables, Duration::from_secs(5)).await.unwrap().is_empty());
    })
    .await;
}
