//! A broker that dies and comes back.

use super::*;
use headworks::infra::kafka::Failure;
use std::time::Instant;

#[test]
fn a_broker_killed_between_two_transactions_is_waited_for() {
    let Some(mut broker) = Broker::start_new(&[]) else { return };
    let connection = Connection::new(plain(broker.bootstrap()));
    let topic = fresh_topic(&connection, "delete");
    let mut producer = open(&connection, "outage");
    producer.transact(&[record(&topic, "before", b"x")]).unwrap();
    broker.kill();
    let sending = std::thread::spawn({
        let topic = topic.clone();
        move || (producer.transact(&[record(&topic, "after", b"x")]), producer)
    });
    // First its connections end, then nobody answers.
    let began = Instant::now();
    loop {
        let trouble = connection.trouble().unwrap_or_default();
        if trouble.starts_with("kafka.bootstrap: no broker answers at 127.0.0.1:") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{trouble}");
        std::thread::sleep(Duration::from_millis(50));
    }
    broker.start();
    let (sent, mut producer) = sending.join().unwrap();
    assert_eq!(sent, Ok(()));
    assert_eq!(connection.trouble(), None);
    producer.transact(&[record(&topic, "last", b"x")]).unwrap();
    assert_eq!(keys(&connection, &topic), ["before", "after", "last"]);
}

#[test]
fn a_stop_ends_every_wait() {
    let Some(_) = shared() else { return };
    let connection = Connection::new(plain("127.0.0.1:1"));
    let (stop, began) = (CancellationToken::new(), Instant::now());
    let opening = std::thread::spawn({
        let (connection, stop) = (connection.clone(), stop.clone());
        move || Producer::open(&connection, "nobody", PATIENCE, stop).map(|_| ())
    });
    std::thread::sleep(Duration::from_millis(300));
    stop.cancel();
    let Err(Failure::Again { reason }) = opening.join().unwrap() else { panic!() };
    assert!(reason.starts_with("kafka.bootstrap: no broker answers at 127.0.0.1:1"), "{reason}");
    assert!(began.elapsed() < Duration::from_secs(3));
    let topics = Topics::open(&connection, Duration::from_secs(1)).unwrap();
    assert!(matches!(topics.facts(&["a"]), Err(Failure::Again { .. })));
}
