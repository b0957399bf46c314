//! An entry of a list, and the URLs of what belongs to it.

use serde::Serialize;
use std::borrow::Cow;
use utoipa::openapi::schema::RefBuilder;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A row with its links.
#[derive(Debug, Serialize)]
pub struct Linked<T> {
    /// The row.
    #[serde(flatten)]
    pub row: T,
    /// Where to read on.
    pub links: Links,
}

/// Where to read on.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Links {
    /// The entry itself.
    #[serde(rename = "self")]
    pub this: String,
    /// Its delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// Its receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
    /// The job that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The job it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// Everything that is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// The schema of the row, with one more property.
impl<T: PartialSchema> PartialSchema for Linked<T> {
    fn schema() -> RefOr<Schema> {
        let mut schema = T::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            let links = RefBuilder::new()
                .ref_location_from_schema_name("Links")
                .description(Some("Where to read on."));
            object.properties.insert("links".to_owned(), links.build().into());
            object.required.push("links".to_owned());
        }
        schema
    }
}

impl<T: ToSchema> ToSchema for Linked<T> {
    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        T::schemas(schemas);
        schemas.push((Links::name().into_owned(), Links::schema()));
    }
}
