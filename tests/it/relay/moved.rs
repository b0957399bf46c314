//! A position that does not fit: nothing is skipped, no id gets two contents, and an operator is told.

use super::{Relayed, body, deposit_alerts, each_relayed_site, header, ids};
use crate::appliance::Appliance;
use crate::kafka::broker::{Broker, shared};
use headworks::infra::kafka::{Kept, TopicFacts, Topics};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
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

/// Why the topic waits for an operator; the list of topics says the same as the topic itself.
async fn stopped(appliance: &Appliance) -> String {
    let shown = wait_until(appliance, "it stops", |shown| shown["trouble"].is_string()).await;
    let (_, listed) = appliance.ask("GET", "/api/1.0/relay", "").await;
    assert_eq!(listed["items"][0]["trouble"], shown["trouble"]);
    let trouble = shown["trouble"].as_str().unwrap();
    assert!(trouble.ends_with("headworks relay resume rows.hydrastor_alert"), "{trouble}");
    trouble.to_owned()
}

async fn resume(appliance: &Appliance, from: &str) {
    let path = format!("/api/1.0/relay/rows.hydrastor_alert/resume?from={from}");
    assert_eq!(appliance.ask("POST", &path, "").await.0, 200);
}

/// Deposits alerts while the topic waits: all of them wait behind those that were waiting.
async fn deposit_in_vain(appliance: &Appliance, numbers: std::ops::Range<usize>, waiting: usize) {
    let all = waiting + numbers.len();
    deposit_alerts(appliance, numbers).await;
    wait_until(appliance, "entries wait", |shown| shown["lag_entries"] == all).await;
}

/// Numbers of the alerts in these records, in which no id has two contents.
fn alerts(records: &[Kept]) -> Vec<usize> {
    let mut contents = BTreeMap::new();
    for record in records {
        let content = (&record.key, &record.payload, &record.headers);
        let before = contents.insert(header(record, "headworks-id"), content);
        assert!(before.is_none_or(|before| before == content), "{before:?} and {content:?}");
    }
    let number = |record| {
        let id = body(record)["event_id"].as_str().unwrap().to_owned();
        usize::from_str_radix(id.strip_prefix("0x").unwrap(), 16).unwrap()
    };
    let mut numbers: Vec<usize> = records.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Records whose ids are of this epoch.
fn of_epoch(records: &[Kept], epoch: u32) -> usize {
    let name = format!(":{epoch}:rows.");
    records.iter().filter(|record| header(record, "headworks-id").contains(&name)).count()
}

impl Relayed {
    /// Deletes topics, and waits until they are gone.
    async fn delete(&self, topics: &[&str]) {
        let names: Vec<String> = topics.iter().map(|topic| format!("{}{topic}", self.prefix)).collect();
        let refs: Vec<&str> = names.iter().map(String::as_str).collect();
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.bootstrap).create().unwrap();
        let deleted = admin.delete_topics(&refs, &AdminOptions::new()).await.unwrap();
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
        let connection = self.connection();
        let are_gone = move || {
            let kafka = Topics::open(&connection, Duration::from_secs(10)).unwrap();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            crate::processes::wait(|| {
                let facts = kafka.facts(&names).unwrap();
                facts.values().all(|facts| *facts == TopicFacts::Missing).then_some(())
            })
        };
        assert!(tokio::task::spawn_blocking(are_gone).await.unwrap().is_some(), "they are not deleted");
    }

    /// Another site with a copy of the state directory, and of the database `postgres` where there is one.
    fn copy(&self, postgres: Option<String>) -> Self {
        let copy = Self::named(postgres, &self.bootstrap, "", self.prefix.clone());
        let (from, to) = (self.site.state(), copy.site.directory.path());
        assert!(Command::new("cp").arg("-a").args([&from, to]).status().unwrap().success());
        copy
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_kafka_stops_the_topic_and_nothing_is_skipped() {
    each_relayed_site(|relayed| async move {
        let appliance = relayed.start().await;
        deposit_alerts(&appliance, 0..10).await;
        relayed.wait_for("hydrastor.alert", 10).await;
        wait_until(&appliance, "the copy", |shown| shown["lag_entries"] == 0).await;
        appliance.stop().await;

        // Only the positions are lost: the records before are not repeated.
        relayed.delete(&["control"]).await;
        let appliance = relayed.start().await;
        let trouble = stopped(&appliance).await;
        assert!(trouble.contains("the control topic has no position, and "), "{trouble}");
        assert!(trouble.contains("the topic was deleted or emptied"), "{trouble}");
        deposit_in_vain(&appliance, 10..15, 0).await;
        assert_eq!(relayed.records("hydrastor.alert").await.len(), 10, "it guesses nothing");
        resume(&appliance, "mirror").await;
        let before = relayed.wait_for("hydrastor.alert", 15).await;
        assert_eq!(alerts(&before), (0..15).collect::<Vec<_>>());
        assert_eq!((of_epoch(&before, 1), of_epoch(&before, 2)), (10, 5));
        wait_until(&appliance, "the copy", |shown| shown["lag_entries"] == 0).await;
        appliance.stop().await;

        // Everything is lost: all that the log has is there again.
        relayed.delete(&["control", "hydrastor.alert"]).await;
        let appliance = relayed.start().await;
        assert!(stopped(&appliance).await.contains("the topic was deleted or emptied"));
        deposit_in_vain(&appliance, 15..20, 0).await;
        assert_eq!(relayed.records("hydrastor.alert").await.len(), 0, "it guesses nothing");
        resume(&appliance, "oldest").await;
        let after = relayed.wait_for("hydrastor.alert", 20).await;
        assert_eq!((alerts(&after), of_epoch(&after, 3)), ((0..20).collect(), 20));
        alerts(&[before, after].concat());
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_kafka_stops_the_topic_and_so_does_the_first_one_again() {
    let (Some(first), Some(second)) = (shared(), Broker::start_new(&[])) else { return };
    let (first, second) = (first.as_str(), second.bootstrap());
    each_relayed_site(|relayed| async move {
        let appliance = relayed.start().await;
        deposit_alerts(&appliance, 0..10).await;
        let in_first = relayed.wait_for("hydrastor.alert", 10).await;
        wait_until(&appliance, "the copy", |shown| shown["lag_entries"] == 0).await;
        appliance.stop().await;

        relayed.site.edit(first, second);
        let appliance = relayed.start().await;
        let trouble = stopped(&appliance).await;
        assert!(trouble.contains("Kafka's cluster id is "), "{trouble}");
        assert!(trouble.contains("this is another Kafka"), "{trouble}");
        deposit_in_vain(&appliance, 10..15, 0).await;
        assert_eq!(relayed.records("hydrastor.alert").await.len(), 0, "it guesses nothing");
        resume(&appliance, "mirror").await;
        let in_second = relayed.wait_for("hydrastor.alert", 5).await;
        assert_eq!((alerts(&in_second), of_epoch(&in_second, 2)), ((10..15).collect(), 5));
        wait_until(&appliance, "the copy", |shown| shown["lag_entries"] == 0).await;
        appliance.stop().await;

        // Back again: what the second one has is missing there.
        relayed.site.edit(second, first);
        let appliance = relayed.start().await;
        stopped(&appliance).await;
        deposit_in_vain(&appliance, 15..18, 0).await;
        assert_eq!(relayed.records("hydrastor.alert").await, in_first, "it guesses nothing");
        resume(&appliance, "oldest").await;
        let again = relayed.wait_for("hydrastor.alert", 10 + 18).await;
        assert_eq!((of_epoch(&again, 1), of_epoch(&again, 3)), (10, 18));
        let mut all: Vec<usize> = (0..10).chain(0..18).collect();
        all.sort_unstable();
        assert_eq!(alerts(&again), all);
        alerts(&[in_second, again].concat());
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_on_one_store_and_its_copy_one_stops_when_the_other_writes() {
    each_relayed_site(|relayed| async move {
        let appliance = relayed.start().await;
        deposit_alerts(&appliance, 0..10).await;
        relayed.wait_for("hydrastor.alert", 10).await;
        wait_until(&appliance, "the copy", |shown| shown["lag_entries"] == 0).await;
        appliance.stop().await;
        let original = &relayed;
        match &relayed.postgres {
            None => beside_its_copy(original, &relayed.copy(None)).await,
            Some(url) => {
                let server = crate::stores::postgres().unwrap();
                let run = |copy| async move { beside_its_copy(original, &original.copy(Some(copy))).await };
                crate::stores::with_copy(url, &server, run).await;
            }
        }
    })
    .await;
}

/// Both have ten alerts, which are in Kafka.
async fn beside_its_copy(original: &Relayed, copied: &Relayed) {
    const WHY: &str = "the store was restored from a backup or copied";
    let (first, second) = (original.start().await, copied.start().await);
    deposit_alerts(&first, 10..15).await;
    original.wait_for("hydrastor.alert", 15).await;
    // The same positions as those of the original, with other contents.
    deposit_alerts(&second, 100..106).await;
    assert!(stopped(&second).await.contains(WHY));
    // Fenced by the start of the copy and not stopped by it.
    deposit_alerts(&first, 15..17).await;
    original.wait_for("hydrastor.alert", 17).await;
    assert_eq!(topic(&first).await["trouble"], Value::Null);

    resume(&second, "mirror").await;
    let records = original.wait_for("hydrastor.alert", 17 + 6).await;
    assert_eq!((of_epoch(&records, 1), of_epoch(&records, 2)), (17, 6));
    deposit_alerts(&first, 17..18).await;
    assert!(stopped(&first).await.contains(WHY));
    deposit_alerts(&second, 106..108).await;
    original.wait_for("hydrastor.alert", 17 + 8).await;

    resume(&first, "mirror").await;
    let records = original.wait_for("hydrastor.alert", 18 + 8).await;
    assert_eq!((of_epoch(&records, 2), of_epoch(&records, 3)), (8, 1));
    assert_eq!(alerts(&records), (0..18).chain(100..108).collect::<Vec<_>>());
    deposit_alerts(&second, 108..109).await;
    assert!(stopped(&second).await.contains(WHY));
    first.stop().await;
    second.stop().await;
}
