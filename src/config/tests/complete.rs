//! The file of defaults, the structs and the schema say the same.

use super::super::layer::DEFAULTS;
use super::super::live::RELOADED;
use super::super::{Layers, Secret, load, schema};
use crate::ids::VolumeName;
use serde_json::Value;
use std::collections::BTreeMap;

/// Setting or section → its text.
type Texts = BTreeMap<String, String>;

/// Every secret.
const SECRETS: [&str; 4] = ["kafka.key_password", "kafka.oauth_client_secret", "kafka.password", "store.url"];

/// What the file says, examples included.
fn texts_of_file() -> Texts {
    let mut texts = Texts::new();
    let (mut section, mut comment) = (String::new(), Vec::new());
    for line in DEFAULTS.lines() {
        let example =
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_alphabetic()));
        let line = example.unwrap_or(line);
        if let Some(text) = line.strip_prefix("# ") {
            comment.push(text.to_owned());
            continue;
        }
        let text = std::mem::take(&mut comment).join(" ");
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
            texts.insert(section.clone(), text);
        } else if let Some((key, _)) = line.split_once(" = ") {
            texts.insert(format!("{section}.{key}"), text);
        }
    }
    texts
}

/// What the structs say, by way of the schema.
fn texts_of_structs(path: &str, node: &Value, texts: &mut Texts) {
    let node = node["anyOf"].as_array().map_or(node, |either| &either[0]);
    if let Some(items) = node.get("items").filter(|items| items.get("properties").is_some()) {
        texts.insert(path.to_owned(), items["description"].as_str().unwrap_or_default().to_owned());
        return texts_of_structs(path, items, texts);
    }
    for (name, property) in node["properties"].as_object().into_iter().flatten() {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let text = property["description"].as_str().unwrap_or_default();
        texts.insert(below.clone(), text.replace('\n', " "));
        texts_of_structs(&below, property, texts);
    }
}

#[test]
fn every_setting_stands_in_the_file_with_its_comment_and_nothing_else_does() {
    let (mut file, mut structs) = (texts_of_file(), Texts::new());
    texts_of_structs("", &schema(), &mut structs);
    // Tables with free names: the file shows one example entry of each.
    texts_of_structs("queue.parse", &schema()["properties"]["queue"]["additionalProperties"], &mut structs);
    let exceptions = &schema()["properties"]["queue"]["additionalProperties"]["description"];
    assert_eq!(file.remove("queue.parse").as_deref(), exceptions.as_str());
    assert!(structs.remove("queue").is_some() && structs.remove("volume").is_some());
    let kafka = &schema()["properties"]["kafka"]["properties"];
    for (table, entry) in
        [("topics", "kafka.topics.\"rows.hydrastor_alert\""), ("group", "kafka.group.alerts")]
    {
        let one = &kafka[table]["additionalProperties"];
        texts_of_structs(entry, one, &mut structs);
        assert_eq!(file.remove(entry).as_deref(), one["description"].as_str());
        assert!(structs.remove(&format!("kafka.{table}")).is_some());
    }
    // One example entry has a key and one a profile.
    let store = &schema()["properties"]["s3"]["additionalProperties"];
    assert_eq!(file.remove("s3.main").as_deref(), store["description"].as_str());
    assert!(file.remove("s3.aws").is_some() && structs.remove("s3").is_some());
    let mut fields = Texts::new();
    texts_of_structs("", store, &mut fields);
    for (field, text) in fields.into_iter().filter(|(field, _)| !is_way(field)) {
        let entries: &[&str] = match field.as_str() {
            "profile" | "profiles" => &["aws"],
            "login" => &["main", "aws"],
            _ => &["main"],
        };
        entries.iter().for_each(|entry| drop(structs.insert(format!("s3.{entry}.{field}"), text.clone())));
    }
    // An example shows the one volume in a bucket.
    for name in VolumeName::ALL.iter().filter(|name| **name != VolumeName::Archive) {
        for field in ["s3", "bucket", "prefix"] {
            assert!(structs.remove(&format!("volume.{name}.{field}")).is_some());
        }
    }
    // The file shows what each source has; sections say what it is, structs what any source is.
    for (source, lacks) in [("mail", &["delivery_bytes"][..]), ("rest", &["domains", "recipient_delimiter"])]
    {
        let section = format!("source.{source}");
        texts_of_structs(&section, &schema()["properties"]["source"]["additionalProperties"], &mut structs);
        lacks.iter().for_each(|lack| assert!(structs.remove(&format!("{section}.{lack}")).is_some()));
        assert!(file.remove(&section).is_some());
    }
    assert!(structs.remove("source").is_some());
    assert!(
        file.remove("rule.when.header.X-Mailer").is_some() && file.remove("rule.settings.zone").is_some()
    );
    for secret in SECRETS {
        for way in ["file", "credential"] {
            assert!(structs.remove(&format!("{secret}_{way}")).is_some(), "{secret}_{way}");
        }
    }
    assert!(file.values().all(|text| !text.is_empty()));
    assert!(file.len() > 100);
    let differences: Vec<_> = file
        .keys()
        .chain(structs.keys())
        .filter(|name| file.get(*name) != structs.get(*name))
        .map(|name| (name, file.get(name), structs.get(name)))
        .collect();
    assert_eq!(differences, [], "setting, what the file says, what the struct says");
}

fn is_way(field: &str) -> bool {
    Secret::SUFFIXES.iter().any(|end| field.ends_with(end))
}

#[test]
fn the_head_of_the_file_names_what_a_reload_takes_over() {
    let (_, told) = DEFAULTS.split_once("These settings and whole sections then take effect:\n").unwrap();
    let (told, _) = told.split_once(".\n# Other changes").unwrap();
    let told: Vec<&str> = told.split([',', '\n', '#', ' ']).filter(|word| !word.is_empty()).collect();
    assert_eq!(told, RELOADED.map(|key| key.join(".")));
}

#[test]
fn the_defaults_alone_are_right_and_so_are_the_examples() {
    assert_eq!(load(&Layers::default()).map(|_| ()), Ok(()));
    let examples: String = DEFAULTS
        .lines()
        .filter_map(|line| {
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_alphabetic()))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let setup = super::Setup::new(&examples).flag("source.mail.domains=[\"ingest.example.com\"]");
    let config =
        setup.load().map(|loaded| loaded.config().clone()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!((config.customers.len(), config.rules.len(), config.queue.len()), (1, 1, 1));
    assert_eq!((config.kafka.topics.len(), config.kafka.group.len(), config.s3.len()), (1, 1, 2));
}

#[test]
fn no_setting_ends_like_a_way_to_give_a_secret() {
    let mut structs = Texts::new();
    texts_of_structs("", &schema(), &mut structs);
    let odd = |name: &&String| name.ends_with("_file") || name.ends_with("_credential");
    let ways = SECRETS.map(|secret| [format!("{secret}_credential"), format!("{secret}_file")]);
    assert_eq!(
        structs.keys().filter(odd).collect::<Vec<_>>(),
        ways.as_flattened().iter().collect::<Vec<_>>()
    );
}

#[test]
fn the_schema_requires_nothing_that_has_a_default_and_tells_it() {
    let schema = schema();
    assert_eq!(schema["properties"]["jobs"]["properties"]["lease"]["default"], "30s");
    assert_eq!(schema["properties"]["jobs"].get("required"), None);
    assert_eq!(schema.get("required"), None);
    assert_eq!(schema["properties"]["customer"]["items"]["required"][0], "name");
    assert_eq!(schema["properties"]["jobs"]["additionalProperties"], false);
}

#[test]
fn the_schema_knows_volumes_by_name_and_sources_by_kind() {
    let schema = schema();
    let volume = &schema["properties"]["volume"];
    assert_eq!(volume["properties"]["inbox"]["properties"]["path"]["default"], "inbox");
    assert_eq!((&volume["additionalProperties"], volume.get("required")), (&Value::Bool(false), None));
    let source = &schema["properties"]["source"]["additionalProperties"];
    assert_eq!(source["properties"]["kind"]["oneOf"].as_array().map(Vec::len), Some(2), "{source:#}");
    assert_eq!(source.get("required"), None, "a section for `mail` or `rest` need not repeat its kind");
}
