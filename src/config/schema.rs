//! JSON Schema of a configuration file, so that editors complete it.

use super::layer::defaults;
use super::tree::{Table, Value};
use super::{Config, Secret};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

/// The schema. Nothing is required where there is a default, and defaults are told.
#[must_use]
pub fn schema() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>().to_value();
    add_defaults(&mut schema, &defaults());
    schema
}

/// Adds the defaults of a section to its schema, and the other ways to give its secrets.
fn add_defaults(section: &mut Json, defaults: &Table) {
    let Some(section) = section.as_object_mut() else { return };
    section.remove("required");
    let Some(properties) = section.get_mut("properties").and_then(Json::as_object_mut) else { return };
    for (name, node) in defaults.iter() {
        match (&node.value, properties.get_mut(name)) {
            (Value::Table(table), Some(below)) => add_defaults(below, table),
            (value, Some(Json::Object(property))) => {
                property.insert("default".to_owned(), json(value));
            }
            _ => {}
        }
    }
    add_ways(properties);
}

/// `name_file` and `name_credential` for every secret `name`.
fn add_ways(properties: &mut Map<String, Json>) {
    let secrets: Vec<String> = properties
        .iter()
        .filter(|(_, property)| property["writeOnly"] == true)
        .map(|(name, _)| name.clone())
        .collect();
    for (name, suffix) in secrets.iter().flat_map(|name| Secret::SUFFIXES.map(|suffix| (name, suffix))) {
        let what = if suffix == "_file" {
            "Absolute path of a file that holds"
        } else {
            "systemd credential that holds"
        };
        properties.insert(
            format!("{name}{suffix}"),
            json!({ "type": "string", "description": format!("{what} `{name}`.") }),
        );
    }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Scalar(scalar) => json!(scalar),
        Value::List(list) => list.iter().map(|node| json(&node.value)).collect(),
        Value::Table(table) => {
            table.iter().map(|(name, node)| (name.to_owned(), json(&node.value))).collect()
        }
        Value::Words(_) | Value::Hidden(_) | Value::Dropped => Json::Null,
    }
}
