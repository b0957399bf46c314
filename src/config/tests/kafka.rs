//! `[kafka]`: a Kafka is optional, and what would break the relay is refused with its place.

use super::super::{Cleanup, Kafka, Layers, load, schema};
use super::Setup;

fn kafka(setup: &Setup) -> Kafka {
    setup.load().unwrap_or_else(|errors| panic!("{errors}")).config().kafka.clone()
}

#[test]
fn without_brokers_there_is_no_kafka() {
    let loaded = load(&Layers::default()).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(!loaded.config().kafka.is_used());
    let setup = Setup::new("").env("HEADWORKS__KAFKA__BOOTSTRAP", "[\"a:1\", \"[::1]:9092\"]");
    let kafka = kafka(&setup);
    assert!(kafka.is_used());
    assert_eq!(kafka.bootstrap.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "[::1]:9092"]);
}

#[test]
fn a_topic_is_named_and_made_as_it_says_then_as_the_defaults_say() {
    let kafka = kafka(&Setup::new(
        "[kafka]\ntopic_prefix = 'hw-'\n[kafka.defaults]\npartitions = 6\ncleanup = 'delete'\n\
         [kafka.topics.'rows.a']\nname = 'A'\ncleanup = 'compact,delete'\n[kafka.group.one]\ntopics = ['rows.a']\n",
    ));
    let (a, b) = (kafka.topic("rows.a", "family.a"), kafka.topic("rows.b", "family.b"));
    assert_eq!((a.name.as_str(), b.name.as_str()), ("A", "hw-family.b"));
    assert_eq!((a.cleanup, b.cleanup), (Some(Cleanup::CompactDelete), Some(Cleanup::Delete)));
    assert_eq!((a.partitions.map(u32::from), a.replication, a.retention), (Some(6), None, None));
    assert_eq!(kafka.group_of("rows.a").map(ToString::to_string).as_deref(), Some("one"));
    assert_eq!(kafka.group_of("rows.b"), None);
}

#[test]
fn every_wrong_name_address_and_word_has_its_place() {
    let setup = Setup::new(
        "[kafka]\nbootstrap = ['kafka', 'kafka:0', 'a b:1', 'kafka:9092']\ncompression = 'zst'\n\
         control_topic = '..'\ndead_letter_topic = 'a/b'\nsecurity = 'tls'\nsasl_mechanism = 'GSSAPI'\n\
         options = { 'linger.ms' = 5 }\n[kafka.topics.'rows.a']\nname = ''\ncleanup = 'both'\n",
    );
    insta::assert_snapshot!(setup.mistakes());
}

#[test]
fn options_that_break_the_protocol_or_are_settings_of_ours_are_refused_by_name() {
    let options = [
        "acks",
        "enable.idempotence",
        "transactional.id",
        "isolation.level",
        "max.in.flight",
        "max.in.flight.requests.per.connection",
        "partitioner",
        "bootstrap.servers",
        "client.id",
        "compression.type",
        "transaction.timeout.ms",
        "security.protocol",
        "sasl.mechanisms",
        "sasl.password",
        "ssl.ca.location",
        "ssl.key.password",
        "group.id",
    ];
    for option in options {
        let mistakes = Setup::new(&format!("[kafka.options]\n'{option}' = 'x'\n")).mistakes();
        let place = format!("headworks.toml:2:1: kafka.options.\"{option}\": ");
        let place = if option.contains('.') { place } else { place.replace('"', "") };
        assert!(mistakes.starts_with(&place), "{mistakes}");
        assert_eq!(mistakes.lines().count(), 1, "{mistakes}");
    }
    let kafka = kafka(&Setup::new("kafka.options = { 'linger.ms' = '20', 'compression.level' = '3' }"));
    assert_eq!(kafka.options["linger.ms"], "20");
}

#[test]
fn names_that_clash_are_told_with_both_places() {
    let setup = Setup::new(
        "[kafka]\ncontrol_topic = 'control'\ntransaction_timeout = '5ms'\n\
         [kafka.topics.'rows.a']\nname = 'same'\n[kafka.topics.'rows.b']\nname = 'same'\n\
         [kafka.topics.'rows.c']\nname = 'control'\n\
         [kafka.group.one]\ntopics = ['rows.a', 'rows.e']\n[kafka.group.two]\ntopics = ['rows.e']\n",
    );
    insta::assert_snapshot!(setup.mistakes());
}

#[test]
fn a_login_has_what_it_needs_and_nothing_stands_there_without_effect() {
    let shown: Vec<String> = [
        "security = 'sasl_ssl'",
        "security = 'sasl_plaintext'\nusername = 'u'\npassword = 'p'\noauth_client_id = 'x'",
        "security = 'sasl_ssl'\nsasl_mechanism = 'OAUTHBEARER'\npassword = 'p'\noauth_token_endpoint = 'x'",
        "username = 'u'\nca = '/ca.pem'",
        "security = 'ssl'\ncertificate = '/client.pem'\nkey_password = 'p'",
    ]
    .into_iter()
    .map(|lines| Setup::new(&format!("[kafka]\n{lines}\n")).mistakes())
    .collect();
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn passwords_are_used_and_never_shown() {
    const MARKER: &str = "marker5e37";
    let setup = Setup::new("");
    std::fs::write(setup.path().join("password"), format!("{MARKER}\n")).unwrap();
    setup.rewrite(&format!(
        "[kafka]\nsecurity = 'sasl_ssl'\nusername = 'u'\npassword_file = '{}/password'\n\
         certificate = 'client.pem'\nkey = 'client.pem'\nkey_password = '{MARKER}'\n",
        setup.path().display()
    ));
    let loaded = setup.load().unwrap_or_else(|errors| panic!("{errors}"));
    let kafka = &loaded.config().kafka;
    assert_eq!((kafka.password.reveal(), kafka.key_password.reveal()), (MARKER, MARKER));
    let file = kafka.certificate.as_ref().unwrap();
    assert_eq!(file, &loaded.config().server.state_dir.join("client.pem"), "below the state directory");
    let shown = format!("{kafka:?} {} {} {}", loaded.print(true), loaded.print(false), schema());
    assert!(!shown.contains(MARKER), "{shown}");
    assert!(shown.contains("key_password = \"***\""), "{shown}");
}
