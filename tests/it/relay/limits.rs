//! Records that a topic does not take: only those are held, and everything else arrives.

use super::{Relayed, each_relayed_site, each_relayed_site_at, header, ids};
use crate::appliance::{Appliance, Site};
use crate::kafka::broker::Broker;
use headworks::in_tx;
use headworks::infra::db::{Lane, View};
use headworks::log;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Bytes that do not compress, as text.
fn noise(length: usize) -> Vec<u8> {
    let mut noise = vec![0; length / 2];
    getrandom::fill(&mut noise).unwrap();
    noise.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

const DEAD_LETTERS: &str = "dead_letter_topic = \"PREFIXdead\"\n";

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
    each_relayed_site_at(broker.bootstrap(), DEAD_LETTERS, |relayed| {
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

            assert!(
                relayed.records("dead").await.is_empty(),
                "its copy is too large as well, and stops nothing"
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
    each_relayed_site_at(broker.bootstrap(), DEAD_LETTERS, |relayed| {
        let broker = Arc::clone(&broker);
        async move {
            let appliance = relayed.site.start().await;
            relayed.wait_for_topic("hydrastor.alert").await;
            limit(&broker, &relayed, 20_000);
            appliance.stop().await;
            let bodies = (0..300).map(|n| if n == 100 { noise(60_000) } else { noise(2_000) });
            relayed.append(bodies).await;
            let appliance = relayed.site.start().await;
            let held = wait_for_held(&appliance, 1).await;
            let dead = relayed.wait_for("dead", 1).await.remove(0);
            assert_eq!(dead.payload.as_ref().unwrap().len(), 60_000);
            assert_eq!(header(&dead, "headworks-refused-by"), format!("{}hydrastor.alert", relayed.prefix));
            assert_eq!(held[0]["detail"], header(&dead, "headworks-refused-because"));
            assert_eq!(dead.key.as_deref(), Some(&b"key 0"[..]));
            let records = relayed.wait_for("hydrastor.alert", 299).await;
            ids(&records);
            assert!(records.iter().all(|record| record.payload.as_ref().unwrap().len() == 2_000));
            let known = ids(&records);
            assert!(!known.contains(&header(&dead, "headworks-id").to_owned()), "it has an id of its own");
            appliance.stop().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_were_pruned_too_early_are_a_gap_that_is_told_and_the_others_arrive() {
    each_relayed_site(|relayed| async move {
        let bodies = |numbers: std::ops::Range<u32>| numbers.map(|n| n.to_string().into_bytes());
        relayed.append(bodies(0..10)).await;
        let appliance = relayed.site.start().await;
        relayed.wait_for("hydrastor.alert", 10).await;
        appliance.stop().await;
        relayed.append(bodies(10..30)).await;
        let app = relayed.site.build().await;
        let pruned = "SELECT min(seq) + 14 FROM log";
        for text in [format!("UPDATE topic SET pruned = ({pruned}) WHERE name = 'rows.hydrastor_alert'"), format!("DELETE FROM log WHERE seq <= ({pruned})")] {
            crate::execute(&app.core.db, &text).await;
        }
        app.core.db.close().await;
        drop(app);

        let appliance = relayed.site.start().await;
        let records = relayed.wait_for("hydrastor.alert", 25).await;
        let sent = records.iter().map(|record| String::from_utf8(record.payload.clone().unwrap()).unwrap());
        let mut sent: Vec<u32> = sent.map(|body| body.parse().unwrap()).collect();
        sent.sort_unstable();
        assert_eq!(sent, (0..10).chain(15..30).collect::<Vec<_>>());
        let held = wait_for_held(&appliance, 1).await;
        assert_eq!(held[0]["reason"], "gap");
        assert_eq!(
            held[0]["detail"],
            "the entries after 000000000000000a up to 000000000000000f were pruned before they were copied to Kafka"
        );
        let path = format!("/api/1.0/held/{}/release", held[0]["job_id"]);
        assert_eq!(appliance.ask("POST", &path, "").await.0 / 100, 2);
        while !self::held(&appliance).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        appliance.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_away_retention_spares_what_it_has_not_got() {
    // Nobody listens there.
    let kafka = "[kafka]\nbootstrap = [\"127.0.0.1:1\"]\n\
                 [log]\nretention = \"1s\"\nunrelayed_retention = \"1h\"\n[keeper]\npartition_every = \"50ms\"\n";
    let site = Site::new(None, kafka);
    let app = site.build().await;
    let (db, topics) = (app.core.db.clone(), log::Topics::new(app.core.db.clone()));
    let (exported, other) =
        (topics.id("rows.hydrastor_alert").await.unwrap(), topics.id("other").await.unwrap());
    for topic in [exported, other] {
        let entry = log::Entry { topic, key: None, headers: BTreeMap::new(), body: b"kept".to_vec() };
        in_tx!(db, Lane::State, tx => log::append(tx, std::slice::from_ref(&entry))).await.unwrap();
    }
    db.close().await;
    drop((app, topics));
    let appliance = site.start().await;
    let stop = CancellationToken::new();
    let keeper = tokio::spawn(appliance.app.keeper().run(true, stop.clone()));
    let count = async |topic: log::TopicId| {
        let mut reader = appliance.app.core.db.reader(View::State).await.unwrap();
        log::read(&mut reader.tx(), topic, log::Position::START, 9).await.unwrap().entries.len()
    };
    for _ in 0..1_500 {
        if count(other).await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((count(other).await, count(exported).await), (0, 1));
    stop.cancel();
    keeper.await.unwrap();
    appliance.stop().await;
}

/// Sets the limit of the topic for records.
fn limit(broker: &Broker, relayed: &Relayed, bytes: u32) {
    let (topic, limit) = (format!("{}hydrastor.alert", relayed.prefix), format!("max.message.bytes={bytes}"));
    let entity = ["--entity-type", "topics", "--entity-name", &topic];
    broker.admin(&[&["configs", "--alter"], &entity[..], &["--add-config", &limit]].concat());
}
