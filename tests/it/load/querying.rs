//! Every type sorts, filters and pages alike on both stores: as the model here does.

use super::*;
use crate::stores::each_store;
use headworks::ids::Scope;
use headworks::load::query::{self, Filter, Order, QueryError, Question};
use headworks::load::value::{order, to_text};
use std::cmp::Ordering;

/// Values per type, extremes among them; each row takes one of each.
fn every_value() -> Vec<Vec<Value>> {
    let text = |texts: [&str; 6]| texts.map(Value::from).to_vec();
    let int = [i64::MIN, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let time = [-62_135_596_800_000_000, -1, 0, 1, 1_700_000_000_123_456, 253_402_207_200_999_999];
    let bytes = [&b""[..], b"\0", b"\0\0", b"a", b"\x7f\xff", b"\xff"];
    let json = ["1", "10", "2", "[]", "{\"a\": 9007199254740993}", "{\"a\":\"\\u0000\"}"];
    let uuid = [[0; 16], [1; 16], [0x7f; 16], [0x80; 16], [0xfe; 16], [0xff; 16]];
    vec![
        text(["a", "A", "B", "ab", "Ä", "\u{1F600}"]),
        text(["", " ", "z", "Z", "\u{FFFD}", "it's \"quoted\", 100% \\ {}"]),
        int.map(Value::Int).to_vec(),
        int.map(decimal).to_vec(),
        [false, true, false, true, false, true].map(Value::Bool).to_vec(),
        time.map(Value::Time).to_vec(),
        bytes.map(|b| Value::Bytes(b.to_vec())).to_vec(),
        uuid.map(Value::Uuid).to_vec(),
        json.map(|j| Value::Json(j.into())).to_vec(),
        text(["low", "high", "low", "high", "low", "high"]),
    ]
}

/// Six rows with values, shuffled against each other, and two with nulls only.
fn rows_of_every_type() -> Vec<Row> {
    let values = every_value();
    let mut rows: Vec<Row> = (0..6)
        .map(|n| {
            let values = values.iter().enumerate().map(|(c, v)| v[(n * 5 + c) % 6].clone());
            Row { values: values.collect(), ..row("", "") }
        })
        .collect();
    for name in ["null 1", "null 2"] {
        let mut empty = row(name, "");
        empty.values[1] = Value::Null;
        rows.push(empty);
    }
    rows
}

fn everything() -> Question {
    Question { since: Some(Timestamp(0)), limit: 100, ..Question::default() }
}

/// Declared values of all pages.
async fn pages(db: &Db, tables: &Tables, mut question: Question) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    loop {
        let page = query::rows(db, &Scope::All, tables, "every_type", &question).await.unwrap();
        assert!(page.rows.len() <= question.limit as usize);
        all.extend(page.rows.into_iter().map(|row| row[module_api::PROVENANCE.len()..].to_vec()));
        match page.next {
            Some(next) => question.cursor = Some(next),
            None => return all,
        }
    }
}

#[tokio::test]
async fn every_type_comes_back_sorts_and_pages_as_declared() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        write(&db, &tables, vec![(new_load(1), rows_of_every_type())]).await.unwrap();
        let columns = declaration().tables[0].columns.clone();
        for (position, column) in columns.iter().enumerate() {
            for descending in [false, true] {
                let mut expected: Vec<Vec<Value>> =
                    rows_of_every_type().into_iter().map(|row| row.values).collect();
                let by = |a: &Vec<Value>, b: &Vec<Value>| {
                    let first = order(&a[position], &b[position]);
                    first.then_with(|| order(&a[0], &b[0]))
                };
                expected.sort_by(|a, b| if descending { by(b, a) } else { by(a, b) });
                let sorted = Some(Order { column: column.name.clone(), descending });
                let question = Question { order: sorted, limit: 3, ..everything() };
                assert_eq!(pages(&db, &tables, question).await, expected, "{} {descending}", column.name);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn every_type_steps_back_in_as_it_was() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        write(&db, &tables, vec![(new_load(1), rows_of_every_type())]).await.unwrap();
        let before = pages(&db, &tables, everything()).await;
        let blank = rows_of_every_type().into_iter().map(|named| {
            let mut blank = row("", "newer");
            blank.values[0] = named.values[0].clone();
            blank
        });
        let newer = write(&db, &tables, vec![(new_load(2), blank.collect())]).await.unwrap();
        assert_ne!(pages(&db, &tables, everything()).await, before);
        remove(&db, &tables, newer.loads[0].load).await;
        assert_eq!(pages(&db, &tables, everything()).await, before);
    })
    .await;
}

#[tokio::test]
async fn every_type_is_filtered_by_every_operator() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        write(&db, &tables, vec![(new_load(1), rows_of_every_type())]).await.unwrap();
        let columns = declaration().tables[0].columns.clone();
        type Holds = fn(Ordering) -> bool;
        let operators: [(&str, Holds); 6] = [
            ("eq", Ordering::is_eq),
            ("ne", Ordering::is_ne),
            ("lt", Ordering::is_lt),
            ("le", Ordering::is_le),
            ("gt", Ordering::is_gt),
            ("ge", Ordering::is_ge),
        ];
        for (position, column) in columns.iter().enumerate() {
            for value in &every_value()[position] {
                for (word, holds) in operators {
                    let condition = format!("{word}:{}", to_text(value));
                    let expected = count(position, |v| *v != Value::Null && holds(order(v, value)));
                    assert_eq!(found(&db, &tables, &column.name, &condition).await, expected, "{condition}");
                }
            }
            let nulls = count(position, |v| *v == Value::Null);
            assert_eq!(found(&db, &tables, &column.name, "null:true").await, nulls);
            assert_eq!(found(&db, &tables, &column.name, "null:false").await, 8 - nulls);
        }
        assert_eq!(found(&db, &tables, "int_value", "in:0,1,7").await, 2);
        assert_eq!(found(&db, &tables, "text_value", "prefix:it's \"").await, 1);
        assert_eq!(found(&db, &tables, "name", "prefix:a").await, 2);
    })
    .await;
}

#[tokio::test]
async fn rows_of_several_values_page_in_the_order_of_all_rows() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        for number in 1..=3 {
            let rows = (0..60).map(|n| {
                let mut row = row(&format!("name {}", 100 * number + n), "x");
                row.values[2] = Value::Int(n % 4);
                row
            });
            write(&db, &tables, vec![(new_load(number), rows.collect())]).await.unwrap();
        }
        for order in [None, Some(Order { column: "received_at".to_owned(), descending: false })] {
            let question = Question { order, limit: 7, ..Question::default() };
            let mut expected = pages(&db, &tables, question.clone()).await;
            expected.retain(|values| [Value::Int(0), Value::Int(2)].contains(&values[2]));
            assert_eq!(expected.len(), 90);
            let filters = vec![Filter::new("int_value", "in:2,0,2,9")];
            assert_eq!(pages(&db, &tables, Question { filters, ..question }).await, expected);
        }
    })
    .await;
}

/// Each page begins behind a row of one value, and goes on with those of the others that came at the same time.
#[tokio::test]
async fn rows_of_several_keys_and_customers_page_in_the_order_of_all_rows() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        for (number, customer) in [(1, "acme"), (1, "other"), (2, "acme")] {
            let mut load = new_load(number);
            load.coordinates.customer = Slug::try_from(customer.to_owned()).unwrap();
            let rows = (0..9).map(|n| row(&format!("{number}-{n}"), customer)).collect();
            write(&db, &tables, vec![(load, rows)]).await.unwrap();
        }
        for order in [None, Some(Order { column: "received_at".to_owned(), descending: false })] {
            let question = Question { order, limit: 2, ..Question::default() };
            let all = pages(&db, &tables, question.clone()).await;
            let asked = async |column: &str, condition: &str| {
                let filters = vec![Filter::new(column, condition)];
                pages(&db, &tables, Question { filters, ..question.clone() }).await
            };
            assert_eq!(asked("customer", "in:other,acme").await, all);
            let names = ["1-1", "1-3", "1-5", "2-2", "2-7"].map(Value::from);
            let mut expected = all;
            expected.retain(|values| names.contains(&values[0]));
            assert_eq!(expected.len(), 8);
            assert_eq!(asked("name", "in:2-7,1-5,1-1,2-2,1-3").await, expected);
        }
    })
    .await;
}

fn count(position: usize, holds: impl Fn(&Value) -> bool) -> usize {
    rows_of_every_type().iter().filter(|row| holds(&row.values[position])).count()
}

async fn found(db: &Db, tables: &Tables, column: &str, condition: &str) -> usize {
    let question = Question { filters: vec![Filter::new(column, condition)], ..everything() };
    pages(db, tables, question).await.len()
}

#[tokio::test]
async fn a_filter_without_index_needs_a_time_range() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        write(&db, &tables, vec![(new_load(5), vec![row("a", "x")])]).await.unwrap();
        let ask = async |question: Question| {
            query::rows(&db, &Scope::All, &tables, "every_type", &question).await.map(|page| page.rows.len())
        };
        let filtered = |column, condition| Question {
            filters: vec![Filter::new(column, condition)],
            limit: 10,
            ..Question::default()
        };
        let unindexed = filtered("text_value", "eq:x");
        let error = ask(unindexed.clone()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "column text_value has no index: give since or until, or use one of \
             customer, received_at, load_id, name, int_value"
        );
        assert_eq!(ask(filtered("name", "eq:a")).await.unwrap(), 1);
        assert_eq!(ask(filtered("int_value", "null:true")).await.unwrap(), 1);
        let range = |since, until| Question {
            since: Some(Timestamp(since)),
            until: Some(Timestamp(until)),
            ..unindexed.clone()
        };
        assert_eq!(ask(range(5_000_000, 5_000_001)).await.unwrap(), 1);
        assert_eq!(ask(range(0, 5_000_000)).await.unwrap(), 0);
        assert_eq!(ask(range(i64::MIN, i64::MAX)).await.unwrap(), 1);
        let sorted = Order { column: "text_value".into(), descending: false };
        let sorted = Question { order: Some(sorted), limit: 1, ..Question::default() };
        assert!(matches!(ask(sorted).await, Err(QueryError::Column { .. })));
        assert!(matches!(ask(filtered("nothing", "eq:a")).await, Err(QueryError::Column { .. })));
        assert!(matches!(ask(filtered("int_value", "eq:a")).await, Err(QueryError::Filter { .. })));
        let strange = Question { cursor: Some("5b5d".into()), limit: 1, ..Question::default() };
        assert!(matches!(ask(strange).await, Err(QueryError::Cursor)));
    })
    .await;
}

#[tokio::test]
async fn a_customer_sees_only_rows_loads_and_findings_of_its_own() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let mut other = new_load(2);
        other.coordinates.customer = Slug::try_from("other".to_owned()).unwrap();
        other.findings.push(module_api::Finding::warning("odd", Place::line(0, 7), "strange").field("f"));
        let delivery = other.delivery;
        let rows = vec![row("a", "x")];
        let loads = vec![(new_load(1), rows.clone()), (other, rows)];
        let written = write(&db, &tables, loads).await.unwrap();
        let (acme, all) = (Scope::Customer(Slug::try_from("acme".to_owned()).unwrap()), Scope::All);
        for (scope, rows, loads) in [(&acme, 1, 0), (&all, 2, 1)] {
            let page = query::rows(&db, scope, &tables, "every_type", &everything()).await.unwrap();
            assert_eq!(page.rows.len(), rows);
            let found = query::loads_of_delivery(&db, scope, delivery).await.unwrap();
            assert_eq!(found.len(), loads);
            let findings = query::findings_of_load(&db, scope, written.loads[1].load, 0, 10).await.unwrap();
            assert_eq!(findings.len(), loads);
        }
        let load = &query::loads_of_delivery(&db, &all, delivery).await.unwrap()[0];
        assert_eq!((load.row_counts["every_type"].inserted, load.findings), (1, 1));
        let finding = &query::findings_of_load(&db, &all, load.id, 0, 10).await.unwrap()[0];
        assert_eq!(
            (finding.part.as_str(), finding.line, finding.severity.as_str()),
            ("parts/001-a.txt", Some(7), "warning")
        );
    })
    .await;
}

#[tokio::test]
async fn rows_read_the_same_in_json_from_both_stores() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let values = every_value();
        let values: Vec<Value> = values.iter().map(|of_type| of_type[4].clone()).collect();
        write(&db, &tables, vec![(new_load(1), vec![Row { values, ..row("", "") }])]).await.unwrap();
        let page = query::rows(&db, &Scope::All, &tables, "every_type", &everything()).await.unwrap();
        let mut object = page.objects().next().unwrap();
        for changing in ["delivery_id", "row_hash", "load_id", "source_sha256"] {
            assert!(object.remove(changing).is_some());
        }
        insta::assert_json_snapshot!("row_in_json", object);
    })
    .await;
}

#[tokio::test]
async fn a_view_shows_the_latest_row_of_each_group() {
    each_store(|db| async move {
        let tables = prepared(&db).await;
        let rows =
            vec![node("a", Some(1), 1), node("a", Some(3), 3), node("a", Some(2), 2), node("b", Some(1), 9)];
        write(&db, &tables, vec![(new_load(1), rows)]).await.unwrap();
        let question = Question {
            order: Some(Order { column: "node_name".into(), descending: false }),
            limit: 10,
            ..Question::default()
        };
        let page = query::rows(&db, &Scope::All, &tables, "node_latest", &question).await.unwrap();
        let loads: Vec<&Value> = page.rows.iter().filter_map(|row| row.last()).collect();
        assert_eq!(loads, [&Value::Int(3), &Value::Int(9)]);
    })
    .await;
}
