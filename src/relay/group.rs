//! Which topics are exported, what they are called in Kafka, and which leader copies them.

use crate::config::{Kafka, TopicName, TopicPlan};
use crate::load::{Tables, topic};
use std::collections::BTreeMap;

/// A set of log topics with one leader, one producer and so one order of commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name, in the lease and in the transactional id.
    pub name: String,
    /// What each log topic is in Kafka.
    pub topics: BTreeMap<String, TopicPlan>,
}

/// A name in Kafka that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum BadTopic {
    /// Kafka takes no such name.
    #[error("kafka.topic_prefix: for {log_topic}: {why}")]
    Name {
        /// The log topic.
        log_topic: String,
        /// What is wrong.
        why: String,
    },
    /// Two things have one name.
    #[error("kafka.topics.\"{log_topic}\": Kafka topic {name} is that of {other} too")]
    Clash {
        /// The log topic.
        log_topic: String,
        /// The name.
        name: String,
        /// What else has it.
        other: String,
    },
    /// A setting for a topic that nothing is written to.
    #[error("{setting}: no module has a published table of that name; there are {known}")]
    Unknown {
        /// The setting.
        setting: String,
        /// All log topics.
        known: String,
    },
}

/// The Kafka topics of the published tables, by log topic: without a name of its own each is `<prefix><category>.<type>`, so the
/// tables of one module share a topic.
///
/// # Errors
/// When a name is none for Kafka, when two modules have one, or when a setting is for a table that is not published.
pub fn exported(kafka: &Kafka, tables: &Tables) -> Result<BTreeMap<String, TopicPlan>, BadTopic> {
    let control = Some((kafka.control_topic.to_string(), "kafka.control_topic".to_owned()));
    let dead = kafka.dead_letter_topic.as_ref();
    let dead = dead.map(|name| (name.to_string(), "kafka.dead_letter_topic".to_owned()));
    let mut users: BTreeMap<String, String> = control.into_iter().chain(dead).collect();
    let mut topics = BTreeMap::new();
    for declared in tables.tables().iter().filter(|declared| declared.table.published) {
        let log_topic = topic(&declared.table.name);
        let plan = kafka.topic(&log_topic, &declared.module.replace('/', "."));
        if let Err(why) = plan.name.parse::<TopicName>() {
            return Err(BadTopic::Name { log_topic, why });
        }
        let user = users.entry(plan.name.clone()).or_insert_with(|| declared.module.clone());
        if *user != declared.module {
            return Err(BadTopic::Clash { log_topic, name: plan.name, other: user.clone() });
        }
        topics.insert(log_topic, plan);
    }
    let of_topics = kafka.topics.keys().map(|topic| (format!("kafka.topics.\"{topic}\""), topic));
    let of_groups = kafka.group.iter().flat_map(|(name, group)| {
        group.topics.iter().map(move |topic| (format!("kafka.group.{name}: {topic}"), topic))
    });
    match of_topics.chain(of_groups).find(|(_, topic)| !topics.contains_key(*topic)) {
        Some((setting, _)) => {
            let known: Vec<&str> = topics.keys().map(String::as_str).collect();
            Err(BadTopic::Unknown { setting, known: known.join(", ") })
        }
        None => Ok(topics),
    }
}

/// Name of the group of topics that no other group has. A group of the configuration may have it too, and then has them.
pub const REST: &str = "main";

/// The duty that the leader of a group has.
#[must_use]
pub fn duty(group: &str) -> String {
    format!("relay:{group}")
}

/// Divides the exported topics into groups; what no group of the configuration names is in the group [`REST`].
#[must_use]
pub fn groups(kafka: &Kafka, topics: BTreeMap<String, TopicPlan>) -> Vec<Group> {
    let mut groups: BTreeMap<String, BTreeMap<String, TopicPlan>> = BTreeMap::new();
    for (log_topic, plan) in topics {
        let name = kafka.group_of(&log_topic).map_or_else(|| REST.to_owned(), ToString::to_string);
        groups.entry(name).or_default().insert(log_topic, plan);
    }
    groups.into_iter().map(|(name, topics)| Group { name, topics }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, load};
    use module_api::{ColumnKind, Declaration, Table};

    fn kafka(lines: &str) -> Kafka {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            format!("[kafka]\ntopic_prefix = 'p.'\ncontrol_topic = 'p.control'\n{lines}"),
        )
        .unwrap();
        let layers = Layers { file: Some(file.path().to_owned()), ..Layers::default() };
        load(&layers).unwrap_or_else(|errors| panic!("{errors}")).config().kafka.clone()
    }

    fn tables() -> Tables {
        let table = |name: &str| Table::new(name, "t").key("k", ColumnKind::Text, "k");
        let declaration = |id: &str, tables| Declaration {
            id: id.into(),
            version: "1".into(),
            summary: "s".into(),
            assumed: false,
            tables,
            views: Vec::new(),
        };
        let both = [
            declaration("family/kind", vec![table("a").publish("k"), table("b").publish("k"), table("c")]),
            declaration("family/other", vec![table("d").publish("k")]),
        ];
        Tables::new(&both).unwrap()
    }

    #[test]
    fn published_tables_of_one_module_share_a_topic_unless_an_operator_named_it() {
        let kafka = kafka("[kafka.topics.'rows.b']\nname = 'own'\n[kafka.group.fast]\ntopics = ['rows.b']\n");
        let topics = exported(&kafka, &tables()).unwrap();
        let names: Vec<_> = topics.iter().map(|(log, plan)| (log.as_str(), plan.name.as_str())).collect();
        assert_eq!(names, [("rows.a", "p.family.kind"), ("rows.b", "own"), ("rows.d", "p.family.other")]);
        let divided = groups(&kafka, topics);
        let named: Vec<_> = divided.iter().map(|group| (group.name.as_str(), group.topics.len())).collect();
        assert_eq!(named, [("fast", 1), (REST, 2)]);
    }

    #[test]
    fn a_name_of_two_modules_and_a_setting_for_no_table_are_told() {
        let told = |lines: &str| exported(&kafka(lines), &tables()).unwrap_err().to_string();
        assert_eq!(
            told("[kafka.topics.'rows.a']\nname = 'p.family.other'\n"),
            "kafka.topics.\"rows.d\": Kafka topic p.family.other is that of family/kind too"
        );
        assert_eq!(
            told("dead_letter_topic = 'p.family.other'\n"),
            "kafka.topics.\"rows.d\": Kafka topic p.family.other is that of kafka.dead_letter_topic too"
        );
        assert_eq!(
            told("[kafka.group.g]\ntopics = ['rows.c']\n"),
            "kafka.group.g: rows.c: no module has a published table of that name; there are rows.a, rows.b, rows.d"
        );
    }
}
