//! Which topics there are, and making them.

use super::*;
use headworks::infra::kafka::{Failure, TopicFacts, read_to_end};

#[test]
fn topics_are_made_as_asked_once_and_their_facts_are_told() {
    let Some(connection) = shared() else { return };
    let topics = Topics::open(&connection, PATIENCE).unwrap();
    let (three, own, missing) = (fresh("three"), fresh("own"), fresh("missing"));
    let wanted = [
        NewTopic {
            name: three.clone(),
            partitions: Some(3),
            replication: Some(1),
            retention: Some(Duration::from_secs(3600)),
            cleanup: Some("compact,delete".to_owned()),
        },
        NewTopic { name: own.clone(), ..NewTopic::default() },
        NewTopic { name: fresh("many"), replication: Some(9), ..NewTopic::default() },
    ];
    let failed = topics.create(&wanted).unwrap();
    assert_eq!(failed.keys().collect::<Vec<_>>(), [&wanted[2].name], "{failed:?}");
    assert_eq!(topics.create(&wanted[..2]).unwrap(), BTreeMap::new(), "they exist");
    let facts = topics.facts(&[&three, &own, &missing]).unwrap();
    let exists = |partitions, cleanup: &str| TopicFacts::Exists {
        partitions,
        max_message_bytes: Some(1_048_588),
        cleanup: Some(cleanup.to_owned()),
    };
    assert_eq!(facts[&three], exists(3, "compact,delete"));
    assert_eq!(facts[&own], exists(1, "delete"), "as the broker has it");
    assert_eq!(facts[&missing], TopicFacts::Missing);
    let read = read_to_end(&connection, &missing, PATIENCE);
    assert!(matches!(read, Err(Failure::Topic { .. })), "{read:?}");
}

#[test]
fn a_topic_is_read_to_the_end_of_every_partition() {
    let Some(connection) = shared() else { return };
    let topics = Topics::open(&connection, PATIENCE).unwrap();
    let topic = NewTopic { name: fresh("t"), partitions: Some(4), ..NewTopic::default() };
    topics.create(std::slice::from_ref(&topic)).unwrap();
    assert_eq!(read_to_end(&connection, &topic.name, PATIENCE).unwrap(), []);
    let mut producer = open(&connection, &fresh("id"));
    let batch: Vec<_> = (0..200).map(|n| record(&topic.name, &format!("k{n}"), b"x")).collect();
    producer.transact(&batch).unwrap();
    let read = read_to_end(&connection, &topic.name, PATIENCE).unwrap();
    assert_eq!(read.len(), 200);
    let order =
        |partition| read.iter().filter(move |kept| kept.partition == partition).map(|kept| kept.offset);
    assert!((0..4).all(|partition| order(partition).count() > 0 && order(partition).is_sorted()));
}
