//! Rows on their way from mails to topics.

use super::{
    Relayed, are_in_order, body, deposit_alerts, each_relayed_site, each_relayed_site_with, header, ids,
};
use serde_json::Value;

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
