//! A position that does not fit: nothing is skipped, no id gets two contents, and an operator is told.

use super::{deposit_alerts, each_relayed_site, ids};
use crate::appliance::Appliance;
use serde_json::Value;
use std::time::Duration;

async fn topic(appliance: &Appliance) -> Value {
    appliance.ask("GET", "/api/1.0/relay/rows.hydrastor_alert", "").await.1
}

async fn wait_until(appliance: &Appliance, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let shown = topic(appliance).await;
        if holds(&shown) {
            return shown;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: {}", topic(appliance).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forgot_what_kafka_has_stops_until_an_operator_resumes_it() {
    each_relayed_site(|relayed| async move {
        let appliance = relayed.site.start().await;
        deposit_alerts(&appliance, 0..10).await;
        relayed.wait_for("hydrastor.alert", 10).await;
        let reached = wait_until(&appliance, "the copy", |shown| shown["lag_entries"] == 0).await;
        appliance.stop().await;

        // As a backup from before the last entries would have it.
        let restored = relayed.site.build().await;
        let newest = "SELECT max(seq) FROM log";
        crate::execute(&restored.core.db, &format!("DELETE FROM log WHERE seq = ({newest})")).await;
        restored.core.db.close().await;
        drop(restored);

        let appliance = relayed.site.start().await;
        let stopped = wait_until(&appliance, "it stops", |shown| shown["trouble"].is_string()).await;
        let trouble = stopped["trouble"].as_str().unwrap();
        assert!(trouble.contains("restored from a backup or copied"), "{trouble}");
        assert!(trouble.ends_with("headworks relay resume rows.hydrastor_alert"), "{trouble}");
        deposit_alerts(&appliance, 10..15).await;
        assert_eq!(relayed.records("hydrastor.alert").await.len(), 10, "it guesses nothing");
        let (status, refused) = appliance.ask("POST", "/api/1.0/relay/rows.hydrastor_alert/resume", "").await;
        assert_eq!((status, &refused["errors"][0]["parameter"]), (400, &"from".into()));

        let path = "/api/1.0/relay/rows.hydrastor_alert/resume?from=oldest";
        assert_eq!(appliance.ask("POST", path, "").await.0, 200);
        // Nine that the store still has, again with ids of the new epoch, and five new ones.
        let records = relayed.wait_for("hydrastor.alert", 10 + 9 + 5).await;
        assert_eq!(ids(&records).iter().filter(|id| id.contains(":2:rows.")).count(), 14);
        let shown = wait_until(&appliance, "the copy", |shown| shown["lag_entries"] == 0).await;
        assert_eq!((&shown["epoch"], &shown["trouble"]), (&2.into(), &Value::Null));
        assert_ne!(shown["position"], reached["position"]);
        appliance.stop().await;

        // The wish is fulfilled once.
        let again = relayed.site.start().await;
        deposit_alerts(&again, 15..16).await;
        relayed.wait_for("hydrastor.alert", 25).await;
        again.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_topic_waits_and_goes_on_where_it_was() {
    each_relayed_site(|relayed| async move {
        let appliance = relayed.site.start().await;
        deposit_alerts(&appliance, 0..3).await;
        relayed.wait_for("hydrastor.alert", 3).await;
        let path = |act: &str| format!("/api/1.0/relay/rows.hydrastor_alert/{act}");
        assert_eq!(appliance.ask("POST", &path("pause"), "").await.1["paused"], true);
        // The leader looks for it at its next turn; until then it may still copy.
        wait_until(&appliance, "everything copied", |shown| shown["lag_entries"] == 0).await;
        tokio::time::sleep(headworks::relay::RENEW * 2).await;
        deposit_alerts(&appliance, 3..6).await;
        let waiting = wait_until(&appliance, "entries wait", |shown| shown["lag_entries"] == 3).await;
        assert_eq!(waiting["trouble"], Value::Null);
        assert_eq!(relayed.records("hydrastor.alert").await.len(), 3);
        assert_eq!(appliance.ask("POST", &path("resume"), "").await.1["paused"], false);
        ids(&relayed.wait_for("hydrastor.alert", 6).await);
        appliance.stop().await;
    })
    .await;
}
