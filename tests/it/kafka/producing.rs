//! A batch is sent whole or not at all, and what goes wrong says what to do next.

use super::*;
use headworks::infra::kafka::{Failure, PlainProducer, read_to_end};

#[test]
fn a_batch_is_committed_whole_and_read_back_with_all_it_has() {
    let Some(connection) = shared() else { return };
    let (topic, control) = (fresh_topic(&connection, "delete"), fresh_topic(&connection, "compact"));
    let mut producer = open(&connection, &fresh("id"));
    let topics = Topics::open(&connection, PATIENCE).unwrap();
    assert!(!topics.cluster_id().unwrap().is_empty());
    let mut batch: Vec<_> = (0..1000).map(|n| record(&topic, &format!("k{n}"), b"body")).collect();
    batch.push(Record { payload: None, headers: Vec::new(), ..record(&control, "rows.a", b"") });
    producer.transact(&batch).unwrap();
    producer.transact(&[]).unwrap();
    let read = read_to_end(&connection, &topic, PATIENCE).unwrap();
    assert_eq!(read.len(), 1000);
    let first = &read[0];
    assert_eq!((first.key.as_deref(), first.payload.as_deref()), (Some(&b"k0"[..]), Some(&b"body"[..])));
    assert_eq!(first.headers, [("headworks-id".to_owned(), b"k0".to_vec())]);
    let control = read_to_end(&connection, &control, PATIENCE).unwrap();
    assert_eq!((control.len(), control[0].payload.as_ref()), (1, None));
    assert_eq!(connection.trouble(), None);
}

#[test]
fn only_the_record_at_fault_is_refused_alone_and_the_producer_goes_on() {
    let Some(connection) = shared() else { return };
    let (topic, compacted) = (fresh_topic(&connection, "delete"), fresh_topic(&connection, "compact"));
    let mut producer = open(&connection, &fresh("id"));
    producer.transact(&[record(&topic, "before", b"x")]).unwrap();
    let batch = [record(&topic, "good", b"x"), record(&topic, "large", &noise(2 << 20))];
    let refused = |sent| match sent {
        Err(Failure::Refused { records }) => records,
        other => panic!("{other:?}"),
    };
    let records = refused(producer.transact(&batch));
    assert!(records.iter().any(|(index, _)| *index == 1), "{records:?}");
    assert!(records[0].1.contains("max.message.bytes"), "{records:?}");
    // In halves, as the relay does.
    producer.transact(&batch[..1]).unwrap();
    assert_eq!(refused(producer.transact(&batch[1..])).len(), 1);
    producer.transact(&[record(&topic, "after", b"x")]).unwrap();
    let keyless = Record { key: None, ..record(&compacted, "", b"x") };
    let records = refused(producer.transact(&[keyless]));
    assert!(records[0].1.contains("invalid"), "{records:?}");
    producer.transact(&[record(&compacted, "k", b"x")]).unwrap();
    assert_eq!(keys(&connection, &topic), ["before", "good", "after"]);
}

#[test]
fn a_missing_topic_is_named_and_the_others_go_on() {
    let Some(connection) = shared() else { return };
    let (topic, missing) = (fresh_topic(&connection, "delete"), fresh("missing"));
    let mut producer = open(&connection, &fresh("id"));
    let sent = producer.transact(&[record(&topic, "a", b"x"), record(&missing, "b", b"x")]);
    let Err(Failure::Topic { topic: named, reason }) = sent else { panic!("{sent:?}") };
    assert_eq!((named, reason.as_str()), (missing, "the topic does not exist"));
    let partition = Record { partition: Some(7), ..record(&topic, "c", b"x") };
    let sent = producer.transact(&[partition]);
    assert!(matches!(&sent, Err(Failure::Topic { topic: named, .. }) if *named == topic), "{sent:?}");
    producer.transact(&[record(&topic, "d", b"x")]).unwrap();
    assert_eq!(keys(&connection, &topic), ["d"]);
}

#[test]
fn whoever_opens_the_same_id_later_fences_the_one_before() {
    let Some(connection) = shared() else { return };
    let (topic, id) = (fresh_topic(&connection, "delete"), fresh("id"));
    let mut first = open(&connection, &id);
    first.transact(&[record(&topic, "first", b"x")]).unwrap();
    let mut second = open(&connection, &id);
    let lost = first.transact(&[record(&topic, "late", b"x")]);
    assert!(matches!(lost, Err(Failure::Lost { fenced: true, .. })), "{lost:?}");
    let lost = first.transact(&[record(&topic, "later", b"x")]);
    assert!(matches!(lost, Err(Failure::Lost { fenced: true, .. })), "{lost:?}");
    second.transact(&[record(&topic, "second", b"x")]).unwrap();
    assert_eq!(keys(&connection, &topic), ["first", "second"]);
}

#[test]
fn without_transactions_each_record_is_acknowledged() {
    let Some(connection) = shared() else { return };
    let topic = fresh_topic(&connection, "delete");
    let producer = PlainProducer::open(&connection, PATIENCE, CancellationToken::new()).unwrap();
    let batch: Vec<_> = (0..100).map(|n| record(&topic, &format!("k{n}"), b"body")).collect();
    producer.send(&batch).unwrap();
    let refused = producer.send(&[record(&topic, "large", &noise(2 << 20))]);
    assert!(matches!(&refused, Err(Failure::Refused { records }) if records[0].0 == 0), "{refused:?}");
    let missing = producer.send(&[record(&fresh("missing"), "a", b"x")]);
    assert!(matches!(missing, Err(Failure::Topic { .. })), "{missing:?}");
    producer.send(&[record(&topic, "last", b"x")]).unwrap();
    assert_eq!(keys(&connection, &topic).len(), 101);
}

#[test]
fn settings_that_make_no_sense_are_told_by_name() {
    let bad = |name: &str, value: &str| {
        let mut settings = plain("127.0.0.1:1");
        settings.options.insert(name.to_owned(), value.to_owned());
        let made = PlainProducer::open(&Connection::new(settings), PATIENCE, CancellationToken::new());
        let Err(Failure::Lost { reason, fenced: false }) = made else { panic!() };
        reason
    };
    assert!(bad("lingr.ms", "5").starts_with("kafka.options: lingr.ms: "), "{}", bad("lingr.ms", "5"));
    let value = bad("linger.ms", "marker5e37");
    assert!(value.starts_with("kafka.options: linger.ms: "), "{value}");
}
