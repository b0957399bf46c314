//! JSON Schema of a configuration file, so that editors complete it.

use super::layer::defaults;
use super::tree::{Table, Value};
use super::{Config, Secret};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

/// The schema. Nothing is required where there is a default, and every default is in it.
#[must_use]
pub fn schema() -> Json {
    of::<Config>(&defaults())
}

/// The schema of `T` with these defaults.
pub(super) fn of<T: JsonSchema>(defaults: &Table) -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    add_defaults(&mut schema, defaults);
    add_ways(&mut schema);
    schema
}

/// Adds the defaults of a section to its schema.
fn add_defaults(section: &mut Json, defaults: &Table) {
    let Some(section) = section.as_object_mut() else { return };
    section.remove("required");
    if let Some(entry) = section.get_mut("additionalProperties").and_then(Json::as_object_mut) {
        entry.remove("required"); // An entry that the defaults have needs nothing more.
    }
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
}

/// Adds `name_file` and `name_credential` for every secret `name`, or list of secrets, of every section at any depth.
fn add_ways(schema: &mut Json) {
    match schema {
        Json::Array(list) => list.iter_mut().for_each(add_ways),
        Json::Object(object) => {
            object.values_mut().for_each(add_ways);
            let names = object.get_mut("properties").and_then(Json::as_object_mut).map(add_ways_of);
            if let Some(Json::Array(required)) = object.get_mut("required") {
                required.retain(|name| !names.iter().flatten().any(|secret| name == secret));
            }
        }
        _ => {}
    }
}

/// Adds them to the settings of one section, and returns the names of its secrets.
fn add_ways_of(properties: &mut Map<String, Json>) -> Vec<String> {
    let is_secret = |property: &Json| property["writeOnly"] == true || property["items"]["writeOnly"] == true;
    let secrets: Vec<_> = properties
        .iter()
        .filter(|(_, property)| is_secret(property))
        .map(|(name, property)| (name.clone(), property["items"].is_object()))
        .collect();
    for (name, is_list) in &secrets {
        for (suffix, what) in Secret::SUFFIXES
            .into_iter()
            .zip(["Absolute path of a file that holds", "systemd credential that holds"])
        {
            let description = format!("{what} `{name}`.");
            let way = match is_list {
                false => json!({ "type": "string", "description": description }),
                true => {
                    json!({ "type": "array", "items": { "type": "string" }, "description": format!("{description} One each.") })
                }
            };
            properties.insert(format!("{name}{suffix}"), way);
        }
    }
    secrets.into_iter().map(|(name, _)| name).collect()
}

fn json(value: &Value) -> Json {
    match value {
        Value::Scalar(scalar) => json!(scalar),
        Value::List(list) => list.iter().map(|node| json(&node.value)).collect(),
        Value::Table(table) => {
            table.iter().map(|(name, node)| (name.to_owned(), json(&node.value))).collect()
        }
        Value::Words(_) | Value::Secret { .. } | Value::Dropped => Json::Null,
    }
}
