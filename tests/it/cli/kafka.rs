//! `config check --live` with a Kafka: what is wrong there is told with its setting, and nothing is written.

use super::live::{CHECK, lines};
use super::*;
use crate::kafka::broker::{Broker, shared};

/// Lines about Kafka: check, whether it failed, remark.
fn checked(kafka: &str) -> Vec<(String, bool, String)> {
    let shell = Shell::with(None, kafka);
    let ended = shell.run(&CHECK);
    assert!(!String::from_utf8_lossy(&ended.stdout).contains("secret"));
    let mut found = lines(&ended);
    assert!(found.iter().any(|line| line.0 == "kafka"), "{}", String::from_utf8_lossy(&ended.stderr));
    found.retain(|line| ["kafka", "topic", "transactions"].contains(&line.0.as_str()));
    found
}

fn failures(kafka: &str) -> Vec<String> {
    checked(kafka).into_iter().filter(|line| line.1).map(|line| line.2).collect()
}

#[test]
fn brokers_topics_and_settings_that_are_not_there_are_named() {
    let Some(bootstrap) = shared() else { return };
    let own = uuid::Uuid::new_v4().simple();
    let settings = format!(
        "[kafka]\nbootstrap = ['{bootstrap}', '127.0.0.1:1']\ncontrol_topic = 'control-{own}'\ntopic_prefix = 't{own}.'\n"
    );
    let found = checked(&settings);
    let remarks: Vec<_> = found.iter().map(|line| (line.0.as_str(), line.1, line.2.as_str())).collect();
    let expected = [
        ("kafka", false, "answers"),
        ("kafka", true, "kafka.bootstrap: Connection refused (os error 111)"),
        ("topic", false, "missing; the relay will create it"),
        ("topic", false, "missing; the relay will create it"),
        ("topic", false, "missing; the relay will create it"),
        ("transactions", false, ""),
    ];
    assert_eq!(remarks, expected);
    let settings = format!(
        "[kafka]\nbootstrap = ['{bootstrap}']\ncreate_topics = false\ndelivery = 'database'\ntopic_prefix = 't{own}.'\n\
         [kafka.topics.'rows.hydrastor_alert']\nname = 'a-{own}'\n"
    );
    let missing = ["alert", "fs_snapshot"].map(|table| {
        format!("kafka.topics.\"rows.hydrastor_{table}\": missing, and kafka.create_topics is false")
    });
    assert_eq!(failures(&settings), missing);
    let settings = format!("[kafka]\nbootstrap = ['{bootstrap}']\n[kafka.topics.'rows.hydrastor_alarm']\n");
    let unknown = "kafka.topics.\"rows.hydrastor_alarm\": no module has a published table of that name; there are \
                   rows.hydrastor_alert, rows.hydrastor_fs_snapshot, rows.hydrastor_grid_snapshot, \
                   rows.hydrastor_node_snapshot, rows.hydrastor_replication_snapshot";
    assert_eq!(failures(&settings), [unknown]);
    let settings = format!("[kafka]\nbootstrap = ['{bootstrap}']\noptions = {{ 'lingr.ms' = '5' }}\n");
    let failed = failures(&settings);
    assert!(failed.len() == 1 && failed[0].starts_with("kafka.options: lingr.ms: "), "{failed:?}");
}

#[test]
fn a_wrong_login_and_missing_rights_are_named() {
    let users = [("KAFKA_USERS", "relay:secret"), ("KAFKA_ACLS", "on")];
    let Some(broker) = Broker::start_secured(&users) else { return };
    for (topic, cleanup) in [("control", "compact"), ("seen", "delete")] {
        let cleanup = format!("cleanup.policy={cleanup}");
        broker.admin(&["topics", "--create", "--topic", topic, "--partitions", "1", "--config", &cleanup]);
        let allow = ["acls", "--add", "--allow-principal", "User:relay", "--topic", topic, "--operation"];
        let rights: &[&str] = if topic == "seen" { &["Describe", "DescribeConfigs"] } else { &["All"] };
        rights.iter().for_each(|right| broker.admin(&[&allow[..], &[right]].concat()));
    }
    let settings = |password: &str| {
        format!(
            "[kafka]\nbootstrap = ['{}']\nsecurity = 'sasl_ssl'\nusername = 'relay'\npassword = '{password}'\n\
             ca = '{}'\ncontrol_topic = 'control'\ndead_letter_topic = 'hidden'\n\
             [kafka.topics.'rows.hydrastor_alert']\nname = 'seen'\n",
            broker.address("KAFKA_SASL_SSL"),
            broker.certificate("ca.pem").display()
        )
    };
    let failed = failures(&settings("secre"));
    assert!(failed.len() == 1 && failed[0].starts_with("kafka.password: "), "{failed:?}");
    let failed = failures(&settings("secret"));
    let expected = [
        "kafka.dead_letter_topic: no right to see it",
        "kafka.topics.\"rows.hydrastor_alert\": no right to write to it",
        "kafka.topics.\"rows.hydrastor_fs_snapshot\": no right to see it",
        "kafka.transactional_id_prefix: no right to use transactional id headworks-config-check",
    ];
    assert_eq!(failed, expected);
}
