//! TLS, logins and rights: what is wrong is told in one line that names the setting.

use super::*;
use headworks::infra::kafka::{Failure, Login, Tls, TopicFacts, read_to_end};
use std::time::Instant;

fn login(mechanism: &str, username: &str, password: &str) -> Option<Login> {
    let [mechanism, username, password] = [mechanism, username, password].map(str::to_owned);
    Some(Login::Password { mechanism, username, password })
}

fn tls(broker: &Broker, ca: &str) -> Tls {
    Tls { ca: Some(broker.certificate(ca)), ..Tls::default() }
}

/// For the listener with logins.
fn with_login(broker: &Broker, mechanism: &str, password: &str) -> Settings {
    Settings {
        tls: Some(tls(broker, "ca.pem")),
        login: login(mechanism, "relay", password),
        ..plain(broker.address("KAFKA_SASL_SSL"))
    }
}

/// For the listener that wants a certificate.
fn with_certificate(broker: &Broker, client: Option<&str>) -> Settings {
    let file =
        |name: &str| (broker.certificate(&format!("{name}.crt")), broker.certificate(&format!("{name}.key")));
    let tls = Tls { certificate: client.map(file), ..tls(broker, "ca.pem") };
    Settings { tls: Some(tls), ..plain(broker.address("KAFKA_SSL")) }
}

/// What is told while a producer cannot be opened: the first line that begins with `setting`.
fn told(settings: Settings, setting: &str) -> String {
    let (connection, stop) = (Connection::new(settings), CancellationToken::new());
    let opening = std::thread::spawn({
        let (connection, stop) = (connection.clone(), stop.clone());
        move || Producer::open(&connection, "told", PATIENCE, stop).map(|_| ())
    });
    let began = Instant::now();
    let is_told = || connection.trouble().is_some_and(|trouble| trouble.starts_with(setting));
    while !is_told() && !opening.is_finished() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.cancel();
    match opening.join().unwrap() {
        Err(Failure::Again { reason } | Failure::Lost { reason, .. }) => reason,
        other => panic!("{setting}: {other:?}"),
    }
}

#[track_caller]
fn assert_told(settings: Settings, expected: &str) {
    let (setting, _) = expected.split_once(' ').unwrap();
    let told = told(settings, setting);
    assert!(told.starts_with(expected) && !told.contains("secret") && !told.contains('\n'), "{told}");
}

#[test]
fn logins_and_certificates_open_the_door_and_what_is_wrong_with_them_is_told() {
    let Some(mut broker) = Broker::start_secured(&[("KAFKA_USERS", "relay:secret")]) else { return };
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        open(&Connection::new(with_login(&broker, mechanism, "secret")), mechanism);
    }
    open(&Connection::new(with_certificate(&broker, Some("client"))), "certificate");
    let address = broker.address("KAFKA_SASL_SSL").to_owned();
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        let expected = format!("kafka.password: {address} refuses the login: ");
        assert_told(with_login(&broker, mechanism, "secre"), &expected);
    }
    assert_told(with_login(&broker, "SCRAM-SHA-256", "secret"), "kafka.sasl_mechanism: ");
    let other =
        Settings { tls: Some(tls(&broker, "other-ca.pem")), ..with_login(&broker, "PLAIN", "secret") };
    assert_told(other, "kafka.ca: no CA in ");
    let absent = Settings { tls: Some(tls(&broker, "absent.pem")), ..with_login(&broker, "PLAIN", "secret") };
    assert_told(absent, "kafka.ca: ");
    let ssl = broker.address("KAFKA_SSL").to_owned();
    let expected = format!("kafka.certificate: {ssl} does not accept the client's certificate");
    assert_told(with_certificate(&broker, Some("stranger")), &expected);
    let expected = format!("kafka.certificate: {ssl} wants a client certificate");
    assert_told(with_certificate(&broker, None), &expected);
    assert_told(plain(&address), "kafka.security: ");
    let bare =
        Settings { bootstrap: vec![broker.bootstrap().to_owned()], ..with_login(&broker, "PLAIN", "secret") };
    assert_told(bare, "kafka.security: ");
    broker.restart_with("KAFKA_CERTIFICATE", "wronghost");
    let expected = format!("kafka.bootstrap: the certificate of {address} is not for the name 127.0.0.1");
    assert_told(with_login(&broker, "PLAIN", "secret"), &expected);
    broker.restart_with("KAFKA_CERTIFICATE", "expired");
    let expected = format!("kafka.bootstrap: the certificate of {address} has expired");
    assert_told(with_login(&broker, "PLAIN", "secret"), &expected);
}

#[test]
fn a_topic_without_rights_is_named_and_the_others_go_on() {
    let users = [("KAFKA_USERS", "relay:secret"), ("KAFKA_ACLS", "on")];
    let Some(broker) = Broker::start_secured(&users) else { return };
    let all = Connection::new(plain(broker.bootstrap()));
    let [allowed, denied, seen] = [0; 3].map(|_| fresh_topic(&all, "delete"));
    broker.admin(&[
        "acls",
        "--add",
        "--allow-principal",
        "User:relay",
        "--producer",
        "--topic",
        &allowed,
        "--transactional-id",
        "headworks",
        "--resource-pattern-type",
        "prefixed",
    ]);
    broker.admin(&[
        "acls",
        "--add",
        "--allow-principal",
        "User:relay",
        "--operation",
        "Read",
        "--topic",
        &allowed,
    ]);
    broker.admin(&[
        "acls",
        "--add",
        "--allow-principal",
        "User:relay",
        "--operation",
        "Describe",
        "--topic",
        &seen,
    ]);
    let connection = Connection::new(with_login(&broker, "SCRAM-SHA-512", "secret"));
    let mut producer = open(&connection, "headworks-1");
    let sent = producer.transact(&[record(&allowed, "a", b"x"), record(&denied, "b", b"x")]);
    let Err(Failure::Topic { topic, reason }) = sent else { panic!("{sent:?}") };
    assert_eq!((topic.as_str(), reason.as_str()), (denied.as_str(), "no right to write to the topic"));
    producer.transact(&[record(&allowed, "c", b"x")]).unwrap();
    // Of a topic that may be seen the broker says it only when the transaction comes to it; one that began with it could not be
    // aborted, and its producer would be lost.
    let mut another = open(&connection, "headworks-2");
    for refused in [&seen, &seen, &denied] {
        let sent = another.transact(&[record(refused, "d", b"x"), record(&allowed, "e", b"x")]);
        let Err(Failure::Topic { topic, reason }) = sent else { panic!("{sent:?}") };
        assert_eq!((&topic, reason.as_str()), (refused, "no right to write to the topic"));
    }
    another.transact(&[record(&allowed, "f", b"x")]).unwrap();
    assert_eq!(keys(&connection, &allowed), ["c", "f"], "no right to a group is needed");
    let read = read_to_end(&connection, &denied, PATIENCE);
    assert!(matches!(read, Err(Failure::Topic { .. })), "{read:?}");
    let topics = Topics::open(&connection, PATIENCE).unwrap();
    let facts = topics.facts(&[&allowed, &denied]).unwrap();
    assert_eq!(facts[&denied], TopicFacts::NotAllowed);
    assert_eq!(facts[&allowed], TopicFacts::Exists { partitions: 1, max_message_bytes: None, cleanup: None });
    let failed = topics.create(&[NewTopic { name: "new".to_owned(), ..NewTopic::default() }]).unwrap();
    assert_eq!(failed["new"], "no right to create the topic");
    let refused = Producer::open(&connection, "other-1", PATIENCE, CancellationToken::new()).map(|_| ());
    let Err(Failure::Lost { reason, fenced: false }) = refused else { panic!("{refused:?}") };
    assert!(reason.starts_with("kafka.transactional_id_prefix: no right to use"), "{reason}");
}
