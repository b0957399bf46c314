//! Declared tables on both stores: DDL, loads, queries.

mod ensuring;
mod plans;
mod publishing;
mod querying;
mod writing;

use headworks::ids::{Coordinates, DeliveryId, Digest, JobId, LoadId, Slug, Timestamp};
use headworks::infra::db::{Db, DbError, Lane, View};
use headworks::load::{self, NewLoad, Source, Tables, Written};
use headworks::on_either;
use module_api::{ColumnKind, Decimal, Declaration, Place, Row, Table, Value};
use std::time::Duration;

/// Table 0 has every type, table 1 is keyed by the time of the report and published.
fn declaration() -> Declaration {
    let every = Table::new("every_type", "one column per type")
        .key("name", ColumnKind::Text, "")
        .column("text_value", ColumnKind::Text, "")
        .column("int_value", ColumnKind::Int, "")
        .column("decimal_value", ColumnKind::Decimal(2), "")
        .column("bool_value", ColumnKind::Bool, "")
        .column("time_value", ColumnKind::Time, "")
        .column("bytes_value", ColumnKind::Bytes, "")
        .column("uuid_value", ColumnKind::Uuid, "")
        .column("json_value", ColumnKind::Json, "")
        .column("enum_value", ColumnKind::words(&["low", "high"]), "")
        .index("int_value");
    let node = Table::new("node", "a node at a time")
        .key("node_name", ColumnKind::Text, "")
        .key_report_at()
        .column("load", ColumnKind::Int, "")
        .publish("node_name");
    Declaration {
        id: "test/report".into(),
        version: "1.0.0".into(),
        summary: "for tests".into(),
        assumed: false,
        tables: vec![every, node],
        views: vec![module_api::View {
            name: "node_latest".into(),
            meaning: "the newest row of each node".into(),
            table: "node".into(),
            partition_by: vec!["node_name".into()],
            order_by: vec!["report_at".into()],
        }],
    }
}

/// The declared tables, made.
async fn prepared(db: &Db) -> Tables {
    let tables = Tables::new(&[declaration()]).unwrap();
    load::ensure(db, &tables, Duration::from_secs(5)).await.unwrap();
    tables
}

/// A load of a fresh delivery; `number` gives its job and time.
pub fn new_load(number: i64) -> NewLoad {
    let slug = |text: &str| Slug::try_from(text.to_owned()).unwrap();
    NewLoad {
        delivery: DeliveryId::fresh(),
        module: "test/report".into(),
        parser_version: "1.0.0".into(),
        job: JobId(number),
        profile: None,
        outcome: "ok".into(),
        coordinates: Coordinates {
            customer: slug("acme"),
            category: slug("test"),
            type_: slug("report"),
            group: slug("grid"),
        },
        received_at: Timestamp(1_000_000 * number),
        parts: vec![Source { path: "parts/001-a.txt".into(), sha256: Digest::of(b"part") }],
        findings: Vec::new(),
    }
}

/// A row of table 0 of which only key and text matter.
fn row(name: &str, text: &str) -> Row {
    let mut values = vec![Value::Null; 10];
    (values[0], values[1]) = (name.into(), text.into());
    Row { table: 0, place: Place::line(0, 1), report_at: None, report_tz_assumed: false, values }
}

/// A row of table 1.
fn node(name: &str, report_at: Option<i64>, load: i64) -> Row {
    let values = vec![name.into(), load.into()];
    Row { table: 1, place: Place::line(0, 1), report_at, report_tz_assumed: false, values }
}

/// Writes loads in one transaction.
async fn write(db: &Db, tables: &Tables, loads: Vec<(NewLoad, Vec<Row>)>) -> Result<Written, DbError> {
    let tables = tables.clone();
    db.write(Lane::Results, move |mut tx| {
        Box::pin(async move {
            let loads: Vec<_> = loads.iter().map(|(load, rows)| (load, rows.as_slice())).collect();
            load::write(&mut tx, &tables, &loads).await
        })
    })
    .await
}

/// Removes a load that is there.
pub async fn remove(db: &Db, tables: &Tables, load: LoadId) -> load::Removed {
    let tables = tables.clone();
    let removed = db.write(Lane::Results, move |mut tx| {
        Box::pin(async move { load::remove(&mut tx, &tables, load).await })
    });
    removed.await.unwrap().unwrap()
}

/// All rows of a one-column query, as text.
async fn texts(db: &Db, pg: &'static str, lite: &'static str) -> Vec<String> {
    let text = if db.is_pg() { pg } else { lite };
    let mut reader = db.reader(View::Results).await.unwrap();
    on_either!(&mut reader.tx(), c => sqlx::query_scalar(text).fetch_all(c).await).unwrap()
}

/// Key and text of everything in table 0.
async fn standing(db: &Db) -> Vec<String> {
    texts(
        db,
        "SELECT name || '=' || text_value || ' job ' || l.job_id FROM rows.every_type AS t \
         JOIN load AS l ON l.id = t.load_id ORDER BY 1",
        "SELECT name || '=' || text_value || ' job ' || l.job_id FROM rows_every_type AS t \
         JOIN load AS l ON l.id = t.load_id ORDER BY 1",
    )
    .await
}

/// The same of what lost.
async fn superseded(db: &Db) -> Vec<String> {
    texts(
        db,
        "SELECT (row_values ->> 'name') || '=' || (row_values ->> 'text_value') || ' job ' || l.job_id \
         FROM superseded AS s JOIN load AS l ON l.id = s.load_id ORDER BY 1",
        "SELECT (row_values ->> 'name') || '=' || (row_values ->> 'text_value') || ' job ' || l.job_id \
         FROM superseded AS s JOIN load AS l ON l.id = s.load_id ORDER BY 1",
    )
    .await
}

/// One decimal with two digits.
fn decimal(units: i64) -> Value {
    Value::Decimal(Decimal { units, scale: 2 })
}
