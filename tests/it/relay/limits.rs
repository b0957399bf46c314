//! Records that a topic does not take: only those are held, and everything else arrives.

use super::{Relayed, each_relayed_site_at, header, ids};
use crate::appliance::Appliance;
use crate::kafka::broker::Broker;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that do not compress, as text.
fn noise(length: usize) -> Vec<u8> {
    let mut noise = vec![0; length / 2];
    getrandom::fill(&mut noise).unwrap();
    noise.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

async fn held(appliance: &Appliance) -> Vec<Value> {
    let (status, said) = appliance.ask("GET", "/api/1.0/held", "").await;
    assert_eq!(status, 200);
    said["items"].as_array().unwrap().clone()
}

async fn wait_for_held(appliance: &Appliance, count: usize) -> Vec<Value> {
    for _ in 0..600 {
        let found = held(appliance).await;
        if found.len() >= count {
            assert_eq!(found.len(), count, "{found:#?}");
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} of {count} records are held", held(appliance).await.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_5_mib_among_small_ones_is_held_and_the_others_arrive() {
    let Some(broker) = Broker::start_new(&[]).map(Arc::new) else { return };
    each_relayed_site_at(broker.bootstrap(), "", |relayed| {
        let broker = Arc::clone(&broker);
        async move {
            // Twice the limit of a topic after compression: hexadecimal digits have four bits each.
            let bodies =
                (0..2_000).map(|n| if n == 700 { noise(5 << 20) } else { format!("{n}").into_bytes() });
            relayed.append(bodies).await;
            let appliance = relayed.site.start().await;
            let held = wait_for_held(&appliance, 1).await;
            assert_eq!(held[0]["reason"], "refused");
            assert!(held[0]["detail"].as_str().unwrap().contains("max.message.bytes"), "{held:?}");
            let records = relayed.wait_for("hydrastor.alert", 1_999).await;
            ids(&records);
            assert!(records.iter().all(|record| record.payload.as_ref().unwrap().len() < 10));
            let (_, shown) = appliance.ask("GET", "/api/1.0/relay/rows.hydrastor_alert", "").await;
            assert_eq!(
                (&shown["held"], &shown["lag_entries"], &shown["trouble"]),
                (&1.into(), &0.into(), &Value::Null)
            );

            // Once the topic takes it, it goes to the end, under the id it had.
            limit(&broker, &relayed, 20_000_000);
            let path = format!("/api/1.0/held/{}/release", held[0]["job_id"]);
            assert_eq!(appliance.ask("POST", &path, "").await.0 / 100, 2);
            let records = relayed.wait_for("hydrastor.alert", 2_000).await;
            ids(&records);
            let last = records.iter().max_by_key(|record| record.offset).unwrap();
            assert_eq!(last.payload.as_ref().unwrap().len(), 5 << 20);
            let position = |id: &str| id.rsplit(':').next().unwrap().to_owned();
            let before = records.iter().find(|record| record.payload.as_deref() == Some(b"699")).unwrap();
            assert!(position(header(last, "headworks-id")) > position(header(before, "headworks-id")));
            assert!(header(last, "headworks-seq").parse::<i64>().unwrap() > 2_000);
            appliance.stop().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_topic_lowered_to_20_kb_only_the_big_record_is_held() {
    let Some(broker) = Broker::start_new(&[]).map(Arc::new) else { return };
    each_relayed_site_at(broker.bootstrap(), "", |relayed| {
        let broker = Arc::clone(&broker);
        async move {
            let appliance = relayed.site.start().await;
            relayed.wait_for("hydrastor.alert", 0).await;
            limit(&broker, &relayed, 20_000);
            appliance.stop().await;
            let bodies = (0..300).map(|n| if n == 100 { noise(60_000) } else { noise(2_000) });
            relayed.append(bodies).await;
            let appliance = relayed.site.start().await;
            wait_for_held(&appliance, 1).await;
            let records = relayed.wait_for("hydrastor.alert", 299).await;
            ids(&records);
            assert!(records.iter().all(|record| record.payload.as_ref().unwrap().len() == 2_000));
            appliance.stop().await;
        }
    })
    .await;
}

/// Sets the limit of the topic for records.
fn limit(broker: &Broker, relayed: &Relayed, bytes: u32) {
    let (topic, limit) = (format!("{}hydrastor.alert", relayed.prefix), format!("max.message.bytes={bytes}"));
    let entity = ["--entity-type", "topics", "--entity-name", &topic];
    broker.admin(&[&["configs", "--alter"], &entity[..], &["--add-config", &limit]].concat());
}
