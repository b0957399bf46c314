//! Schemas of published rows: what the log has fits them, and no version ever changes.

use super::Server;
use crate::load::new_load;
use crate::stores::each_store;
use crate::web::client::{json, problem};
use headworks::ids::Scope;
use headworks::infra::db::{Db, Lane};
use headworks::load::{self, Tables, ensure, register_schemas};
use module_api::{ColumnKind, Decimal, Declaration, Place, Row, Table, Value};
use serde_json::{Map, json as object};
use std::time::Duration;

/// One published table with a column of every type, and `more` columns.
fn declared(more: usize) -> Tables {
    let every = Table::new("every", "one column per type")
        .key("name", ColumnKind::Text, "its name")
        .column("int_value", ColumnKind::Int, "")
        .column("decimal_value", ColumnKind::Decimal(2), "")
        .column("whole_value", ColumnKind::Decimal(0), "")
        .column("bool_value", ColumnKind::Bool, "")
        .column("time_value", ColumnKind::Time, "")
        .column("bytes_value", ColumnKind::Bytes, "")
        .column("uuid_value", ColumnKind::Uuid, "")
        .column("json_value", ColumnKind::Json, "")
        .column("enum_value", ColumnKind::words(&["low", "high"]), "how much")
        .unit("words")
        .publish("name");
    let every = (0..more).fold(every, |table, n| table.column(&format!("more_{n}"), ColumnKind::Text, ""));
    let declaration = Declaration {
        id: "test/report".into(),
        version: "1.0.0".into(),
        summary: "for tests".into(),
        assumed: false,
        tables: vec![every],
        views: Vec::new(),
    };
    Tables::new(&[declaration]).unwrap()
}

/// Rows without values, and with the ends of what each type holds.
fn rows() -> Vec<Row> {
    let row = |name: &str, values: [Value; 9]| Row {
        table: 0,
        place: Place::line(0, 1),
        report_at: None,
        report_tz_assumed: false,
        values: std::iter::once(name.into()).chain(values).collect(),
    };
    let numbers = |units: i64, at: i64, word: &str| {
        [
            units.into(),
            Value::Decimal(Decimal { units, scale: 2 }),
            Value::Decimal(Decimal { units, scale: 0 }),
            Value::Bool(true),
            Value::Time(at),
            Value::Bytes(units.to_be_bytes().to_vec()),
            Value::Uuid([7; 16]),
            Value::Json(r#"{"a":[1,null]}"#.into()),
            word.into(),
        ]
    };
    vec![
        row("nothing", std::array::from_fn(|_| Value::Null)),
        row("least", numbers(i64::MIN, -62_135_596_800_000_000, "low")),
        row("most", numbers(i64::MAX, 253_402_207_200_999_999, "high")),
        row("ten \"quoted\" ß\n", numbers(-7, 1_500_000, "low")),
    ]
}

/// The bodies that a load of `rows` tells.
async fn bodies(db: &Db, tables: &Tables, rows: Vec<Row>) -> Vec<serde_json::Value> {
    let tables = tables.clone();
    let written = db.write(Lane::Results, move |mut tx| {
        Box::pin(async move { load::write(&mut tx, &tables, &[(&new_load(1), &rows)]).await })
    });
    let entries = written.await.unwrap().entries;
    entries.iter().map(|(_, entry)| serde_json::from_slice(&entry.body).unwrap()).collect()
}

fn validator(schema: &serde_json::Value) -> jsonschema::Validator {
    jsonschema::draft202012::meta::validate(schema).unwrap();
    jsonschema::draft202012::options().should_validate_formats(true).build(schema).unwrap()
}

#[tokio::test]
async fn what_the_log_tells_fits_its_schema_and_anything_else_does_not() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let tables = declared(0);
        ensure(&db, &tables, Duration::from_secs(5)).await.unwrap();
        assert_eq!(register_schemas(&db, &tables).await.unwrap()["every"], 1);
        let schema = server.ask("/schemas/every?version=1", &server.reader).await;
        assert_eq!(schema["$id"], "/api/1.0/schemas/every?version=1");
        assert_eq!(schema["properties"]["enum_value"]["x-unit"], "words");
        let validator = validator(&schema);
        let bodies = bodies(&db, &tables, rows()).await;
        assert_eq!(bodies.len(), 4);
        for body in &bodies {
            let faults: Vec<String> = validator.iter_errors(body).map(|fault| fault.to_string()).collect();
            assert!(faults.is_empty(), "{body}: {faults:?}");
        }
        let whole: &Map<_, _> =
            bodies.iter().find(|body| body["name"] == "most").unwrap().as_object().unwrap();
        let wrong = [
            ("int_value", object!("1")),
            ("int_value", object!(1.5)),
            ("decimal_value", object!(1)),
            ("decimal_value", object!("1.5")),
            ("whole_value", object!("1.0")),
            ("bool_value", object!("true")),
            ("time_value", object!("yesterday")),
            ("bytes_value", object!("0")),
            ("uuid_value", object!("7")),
            ("enum_value", object!("middling")),
            ("json_value", object!({})),
            ("name", object!(null)),
            ("load_id", object!(null)),
            ("source_sha256", object!("xyz")),
            ("surplus", object!(1)),
        ];
        for (name, value) in wrong {
            let mut body = whole.clone();
            body.insert(name.into(), value.clone());
            assert!(!validator.is_valid(&body.into()), "{name} = {value}");
        }
        for name in whole.keys() {
            let mut body = whole.clone();
            body.remove(name);
            assert!(!validator.is_valid(&body.into()), "without {name}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_changed_declaration_is_a_new_version_and_the_old_one_stays() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        let mut seen = Vec::new();
        for (more, version) in [(0, 1), (0, 1), (1, 2), (0, 1), (2, 3)] {
            let registered = register_schemas(&db, &declared(more)).await.unwrap();
            assert_eq!(registered["every"], version, "{more} more columns");
            let schema = server.ask(&format!("/schemas/every?version={version}"), &server.reader).await;
            assert_eq!(schema["properties"].as_object().unwrap().len(), 16 + 10 + more);
            validator(&schema);
            seen.push((version, schema));
        }
        for (version, schema) in seen {
            assert_eq!(server.ask(&format!("/schemas/every?version={version}"), &server.alpha).await, schema);
        }
        // This server does not declare the table: it shows the newest version.
        let newest = server.ask("/schemas/every", &server.reader).await;
        assert_eq!(newest["$id"], "/api/1.0/schemas/every?version=3");
        let listed = server.ask("/schemas", &server.reader).await;
        let listed = listed["items"].as_array().unwrap();
        let versions: Vec<_> = listed[0]["versions"].as_array().unwrap().iter().collect();
        assert_eq!(
            (listed.len(), &listed[0]["table"], &listed[0]["topic"]),
            (1, &"every".into(), &"rows.every".into())
        );
        assert_eq!(listed[0].get("version"), None);
        let numbers: Vec<_> = versions.iter().map(|version| version["version"].as_i64().unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3]);
        let path = versions[1]["href"].as_str().unwrap().strip_prefix("/api/1.0").unwrap();
        assert_eq!(server.ask(path, &server.reader).await["$id"], versions[1]["href"]);
    })
    .await;
}

#[tokio::test]
async fn servers_that_start_at_once_agree_on_the_version() {
    each_store(|db| async move {
        let start = |more: usize| {
            let db = db.clone();
            async move { (more, register_schemas(&db, &declared(more % 3)).await.unwrap()["every"]) }
        };
        let mut registered = futures_util::future::join_all((0..12).map(start)).await;
        registered.iter_mut().for_each(|(more, _)| *more %= 3);
        registered.sort_unstable();
        registered.dedup();
        let mut versions: Vec<i32> = registered.iter().map(|(_, version)| *version).collect();
        versions.sort_unstable();
        assert_eq!(versions, [1, 2, 3], "{registered:?}");
    })
    .await;
}

#[tokio::test]
async fn a_schema_is_sent_once_and_what_has_none_is_not_found() {
    each_store(|db| async move {
        let server = Server::start(&db).await;
        register_schemas(&db, &declared(0)).await.unwrap();
        let first = server.get("/schemas/every", &server.reader).await;
        assert_eq!(first.headers()["content-type"], "application/schema+json");
        let tag = first.headers()["etag"].to_str().unwrap();
        let path = "/api/1.0/schemas/every";
        let again = hyper::Request::builder().uri(path).header("x-api-key", &server.reader);
        let again = again.header("if-none-match", tag).body(http_body_util::Full::default()).unwrap();
        let again = crate::web::client::send(server.address, again).await;
        assert_eq!((again.status().as_u16(), again.body().len()), (304, 0));
        assert_eq!(again.headers()["etag"], *tag);
        // `node` is declared and not published.
        for path in [
            "/schemas/nothing",
            "/schemas/node",
            "/schemas/every?version=2",
            "/schemas/every?version=4294967295",
        ] {
            problem(&server.get(path, &server.reader).await, 404, "not-found");
        }
        problem(&server.get("/schemas/every?version=x", &server.reader).await, 400, "malformed");
        let none = crate::web::client::key(
            &headworks::web::Keys::new(db.clone()),
            "none",
            &[headworks::ids::Grant::Ingest],
            Scope::All,
        )
        .await;
        problem(&server.get("/schemas/every", &none).await, 403, "forbidden");
        assert_eq!(json(&first)["title"], "every");
    })
    .await;
}
