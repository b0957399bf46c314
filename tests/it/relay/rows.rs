//! Rows on their way from mails to topics.

use super::{
    Relayed, are_in_order, body, deposit_alerts, each_relayed_site, each_relayed_site_with, header, ids,
};
use crate::appliance::Appliance;
use crate::load::{new_load, remove};
use headworks::delivery::published_entry;
use headworks::ids::LoadId;
use headworks::infra::db::Lane;
use headworks::{in_tx, load, log};
use module_api::{Place, Row};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_mails_are_on_their_topic_once_and_equal_to_the_table() {
    each_relayed_site(rows_of_mails).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_positions_in_the_database_they_are_there_too() {
    each_relayed_site_with("delivery = 'database'\n", rows_of_mails).await;
}

async fn rows_of_mails(relayed: Relayed) {
    let appliance = relayed.site.start().await;
    deposit_alerts(&appliance, 0..40).await;
    let records = relayed.wait_for("hydrastor.alert", 40).await;
    ids(&records);
    are_in_order(&records);
    let rows = appliance.rows("hydrastor_alert").await;
    assert_eq!(rows.len(), 40);
    for record in &records {
        assert!(header(record, "headworks-id").contains(":1:rows.hydrastor_alert:"));
        let sent = body(record);
        let row = rows.iter().find(|row| row["event_id"] == sent["event_id"]).unwrap();
        assert_eq!(&Value::Object(row.clone()), &sent);
        assert_eq!(record.key.as_deref(), row["correlation_key"].as_str().map(str::as_bytes));
    }
    appliance.stop().await;

    // Started again, it goes on where it was.
    let again = relayed.site.start().await;
    deposit_alerts(&again, 40..60).await;
    let records = relayed.wait_for("hydrastor.alert", 60).await;
    ids(&records);
    are_in_order(&records);
    again.stop().await;
}

/// Puts rows into the table of alerts that the log says nothing of, as those of a time before it.
async fn write_untold(relayed: &Relayed, count: usize) {
    let app = relayed.site.build().await;
    let rows: Vec<Row> = (0..count).map(untold).collect();
    let tables = app.core.tables.clone();
    let load = load::NewLoad { module: "hydrastor/alert".into(), ..new_load(1) };
    let written = app.core.db.write(Lane::Results, move |mut tx| {
        Box::pin(async move { load::write(&mut tx, &tables, &[(&load, rows.as_slice())]).await })
    });
    written.await.unwrap();
    app.core.db.close().await;
}

fn untold(number: usize) -> Row {
    let text = |text: &str| module_api::Value::from(text);
    let values = vec![
        text("grid"),
        text("node"),
        text(&format!("event {number:05}")),
        module_api::Value::Time(7),
        text("raised"),
        module_api::Value::Null,
        text("warning"),
        module_api::Value::Null,
        module_api::Value::Null,
        module_api::Value::Null,
        module_api::Value::Bool(false),
        module_api::Value::Null,
        text(&format!("key {}", number % 7)),
    ];
    Row { table: 0, place: Place::line(0, 1), report_at: None, report_tz_assumed: false, values }
}

/// More than a page, so that it goes on behind one.
const UNTOLD: usize = 1_200;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_sends_the_rows_that_are_older_than_the_log() {
    each_relayed_site(|relayed| async move {
        write_untold(&relayed, UNTOLD).await;
        let appliance = relayed.site.start().await;
        deposit_alerts(&appliance, 0..5).await;
        relayed.wait_for("hydrastor.alert", 5).await;
        let path = "/api/1.0/relay/rows.hydrastor_alert/snapshot";
        let (status, begun) = appliance.ask("POST", path, "").await;
        assert_eq!(status, 202, "{begun}");
        let records = relayed.wait_for("hydrastor.alert", 5 + UNTOLD + 5).await;
        ids(&records);
        are_in_order(&records);
        let (upserts, sent): (Vec<_>, Vec<_>) =
            records.iter().partition(|record| header(record, "headworks-op") == "upsert");
        assert_eq!(upserts.len(), 5);
        assert!(sent.iter().all(|record| header(record, "headworks-op") == "snapshot"));
        let event = |row: &Value| row["event_id"].as_str().unwrap().to_owned();
        let sent: BTreeMap<_, _> = sent.iter().map(|record| (event(&body(record)), body(record))).collect();
        let rows = appliance.rows("hydrastor_alert").await.into_iter().map(Value::Object);
        let rows: BTreeMap<_, _> = rows.map(|row| (event(&row), row)).collect();
        assert_eq!(rows.len(), UNTOLD + 5);
        assert!(rows == sent, "every row as it is now");
        let job = format!("/api/1.0/jobs/{}?wait=20s", begun["job_id"]);
        let (_, job) = appliance.ask("GET", &job, "").await;
        assert_eq!(job["state"], "completed", "{job}");

        let unknown = appliance.ask("POST", "/api/1.0/relay/rows.hydrastor_extra/snapshot", "").await;
        assert_eq!(unknown.0, 404, "it is not published");
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_changes_during_a_snapshot_is_never_overtaken_by_what_it_was() {
    each_relayed_site(|relayed| async move {
        write_untold(&relayed, UNTOLD).await;
        let appliance = relayed.site.start().await;
        let path = "/api/1.0/relay/rows.hydrastor_alert/snapshot";
        assert_eq!(appliance.ask("POST", path, "").await.0, 202);
        deposit_alerts(&appliance, 0..50).await;
        assert_eq!(appliance.ask("POST", path, "").await.0, 202);
        deposit_alerts(&appliance, 50..100).await;
        let mut records = Vec::new();
        let last = |records: &[headworks::infra::kafka::Kept]| {
            let mut last = BTreeMap::new();
            let mut by_offset: Vec<_> = records.iter().collect();
            by_offset.sort_by_key(|record| header(record, "headworks-seq").parse::<i64>().unwrap());
            for record in by_offset {
                last.insert(body(record)["event_id"].as_str().unwrap().to_owned(), body(record));
            }
            last
        };
        let rows = appliance.rows("hydrastor_alert").await;
        let rows: BTreeMap<_, _> = rows
            .into_iter()
            .map(|row| (row["event_id"].as_str().unwrap().to_owned(), Value::Object(row)))
            .collect();
        for _ in 0..600 {
            records = relayed.records("hydrastor.alert").await;
            if records.len() >= 2 * UNTOLD + 100 && last(&records) == rows {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        are_in_order(&records);
        assert!(last(&records) == rows, "the last record of each row is the row");
        appliance.stop().await;
    })
    .await;
}

/// Removes loads of alerts, as a job does that takes back what a delivery said.
async fn remove_loads(appliance: &Appliance, loads: Vec<LoadId>) {
    let (db, tables) = (appliance.app.core.db.clone(), appliance.app.core.tables.clone());
    let schemas = load::register_schemas(&db, &tables).await.unwrap();
    let (table, schema) = schemas.into_iter().find(|(table, _)| table == "hydrastor_alert").unwrap();
    let topic = log::Topics::new(db.clone()).id(&load::topic(&table)).await.unwrap();
    for load in loads {
        let removed = remove(&db, &tables, load).await;
        let told = |entry| published_entry((topic, &table, schema), entry);
        let entries: Vec<_> = removed.entries.into_iter().map(told).collect();
        in_tx!(db, Lane::State, tx => log::append(tx, &entries)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_load_sends_its_deletes() {
    each_relayed_site(|relayed| async move {
        let appliance = relayed.site.start().await;
        deposit_alerts(&appliance, 0..20).await;
        relayed.wait_for("hydrastor.alert", 20).await;
        let rows = appliance.rows("hydrastor_alert").await;
        let loads = rows.iter().take(5).map(|row| serde_json::from_value(row["load_id"].clone()).unwrap());
        remove_loads(&appliance, loads.collect()).await;
        let records = relayed.wait_for("hydrastor.alert", 25).await;
        ids(&records);
        are_in_order(&records);
        let mut copy = BTreeMap::new();
        for record in &records {
            let (body, op) = (body(record), header(record, "headworks-op"));
            let event = body["event_id"].as_str().unwrap().to_owned();
            match op {
                "upsert" => assert!(copy.insert(event, body).is_none()),
                "delete" => assert!(copy.remove(&event).is_some(), "{body}"),
                other => panic!("{other}"),
            }
        }
        let rows = appliance.rows("hydrastor_alert").await.into_iter().map(Value::Object);
        let rows: BTreeMap<_, _> =
            rows.map(|row| (row["event_id"].as_str().unwrap().to_owned(), row)).collect();
        assert_eq!(rows.len(), 15);
        assert!(copy == rows, "what follows the topic has the table");
        appliance.stop().await;
    })
    .await;
}
