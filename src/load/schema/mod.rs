//! The JSON Schema of a table's rows, as in log entries and API responses.

mod registry;

pub use registry::{SchemaVersion, current_schema, register_schemas, schema, schema_versions};

use super::declared::Declared;
use super::provenance;
use module_api::{ColumnKind, PROVENANCE};
use serde_json::{Map, Value, json};

/// JSON Schema (2020-12) of one row, as [`StoredRow::to_json`](super::StoredRow::to_json) writes it.
#[must_use]
pub fn json_schema(table: &Declared) -> Value {
    let mut properties = Map::new();
    for field in &table.fields {
        let mut property = of_kind(&field.kind, field.nullable);
        let declared = table.table.columns.iter().find(|c| c.name == field.name);
        let meaning = declared.map_or_else(|| provenance::meaning(&field.name), |column| &column.meaning);
        if let Some(object) = property.as_object_mut() {
            object.insert("description".into(), meaning.into());
            let unit = declared.and_then(|column| column.unit.clone());
            object.extend(unit.map(|unit| ("x-unit".to_owned(), unit.into())));
        }
        properties.insert(field.name.clone(), property);
    }
    let names: Vec<&str> = table.fields.iter().map(|f| f.name.as_str()).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": table.table.name,
        "description": table.table.meaning,
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": false,
        "x-key": table.key.iter().map(|&k| &table.fields[k].name).collect::<Vec<_>>(),
        "x-provenance": PROVENANCE,
    })
}

fn of_kind(kind: &ColumnKind, nullable: bool) -> Value {
    let (json_type, rest) = match kind {
        ColumnKind::Text => ("string", json!({})),
        ColumnKind::Int => ("integer", json!({ "minimum": i64::MIN, "maximum": i64::MAX })),
        ColumnKind::Decimal(0) => ("string", json!({ "pattern": "^-?[0-9]+$" })),
        ColumnKind::Decimal(scale) => {
            ("string", json!({ "pattern": format!("^-?[0-9]+\\.[0-9]{{{scale}}}$") }))
        }
        ColumnKind::Bool => ("boolean", json!({})),
        ColumnKind::Time => ("string", json!({ "format": "date-time" })),
        ColumnKind::Bytes => ("string", json!({ "pattern": "^([0-9a-f]{2})*$" })),
        ColumnKind::Uuid => ("string", json!({ "format": "uuid" })),
        ColumnKind::Json => ("string", json!({ "contentMediaType": "application/json" })),
        ColumnKind::Enum(words) => {
            let null = nullable.then_some(Value::Null);
            (
                "string",
                json!({ "enum": words.iter().map(|w| w.as_str().into()).chain(null).collect::<Vec<Value>>() }),
            )
        }
    };
    let mut property = rest.as_object().cloned().unwrap_or_default();
    let types = if nullable { json!([json_type, "null"]) } else { json!(json_type) };
    property.insert("type".into(), types);
    Value::Object(property)
}

#[cfg(test)]
mod tests {
    use crate::load::Tables;
    use module_api::{ColumnKind, Declaration, Table};

    #[test]
    fn a_schema_says_types_units_and_key() {
        let table = Table::new("grid", "a grid")
            .key("name", ColumnKind::Text, "its name")
            .column("used", ColumnKind::Decimal(2), "in use")
            .unit("percent")
            .column("state", ColumnKind::words(&["up"]), "");
        let declaration = Declaration {
            id: "a/b".into(),
            version: "1.0.0".into(),
            summary: String::new(),
            assumed: false,
            tables: vec![table],
            views: Vec::new(),
        };
        let tables = Tables::new(&[declaration]).unwrap();
        let schema = super::json_schema(tables.table("grid").unwrap());
        assert_eq!(schema["x-key"], serde_json::json!(["customer", "name"]));
        assert_eq!(
            schema["properties"]["used"],
            serde_json::json!({
                "type": ["string", "null"], "pattern": "^-?[0-9]+\\.[0-9]{2}$",
                "description": "in use", "x-unit": "percent"
            })
        );
        assert_eq!(schema["properties"]["state"]["enum"], serde_json::json!(["up", null]));
        for name in module_api::PROVENANCE {
            assert_ne!(schema["properties"][name]["description"], "", "{name}");
        }
    }
}
