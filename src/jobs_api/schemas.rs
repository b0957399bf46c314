//! `/schemas`: JSON Schemas of published rows, in every version that log entries may name.

use super::{BASE, Ctx};
use crate::ids::{Digest, Timestamp};
use crate::infra::db::{Tx, View};
use crate::load::{self, SchemaVersion};
use crate::web::page::PageQuery;
use crate::web::permit::Read;
use crate::web::refusal::Refusals;
use crate::web::text::Text;
use crate::web::{Listing, May, Paged, Path, Problem, Query, Unfiltered, range};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A table whose rows are, or were, published.
#[derive(Debug, Serialize, ToSchema)]
struct Published {
    /// Its name.
    table: String,
    /// Topic of the log with its rows.
    topic: String,
    /// The version in which this server writes its rows; absent if it no longer publishes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i32>,
    /// Every version, oldest first.
    versions: Vec<Version>,
}

/// A version of a schema.
#[derive(Debug, Serialize, ToSchema)]
struct Version {
    /// Rises with each change of the declaration; a content that was there before has its number again.
    version: i32,
    /// When a server first declared the table so.
    created_at: Timestamp,
    /// Where the schema is.
    href: String,
}

/// Which version.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// The version that a log entry names; without it, the one in which this server writes, or else the newest.
    #[param(minimum = 1)]
    version: Option<u32>,
}

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

/// Tables whose rows are published, by name, and the versions of their schemas.
#[utoipa::path(get, path = "/schemas", tag = "schemas", params(PageQuery),
    responses((status = 200, body = Paged<Published>), Refusals))]
async fn list(
    _may: May<Read>,
    State(api): State<Ctx>,
    Listing { page, .. }: Listing<Unfiltered, String>,
) -> Result<Paged<Published>, Problem> {
    let mut reader = api.db.reader(View::State).await?;
    let versions = load::schema_versions(&mut reader.tx()).await?;
    let mut tables: Vec<Published> = Vec::new();
    for SchemaVersion { table_name, version, created_at } in versions {
        if page.after().is_some_and(|after| table_name <= *after) {
            continue;
        }
        if tables.last().is_none_or(|last| last.table != table_name) {
            tables.push(Published {
                topic: load::topic(&table_name),
                version: current(&api, &mut reader.tx(), &table_name).await?,
                table: table_name.clone(),
                versions: Vec::new(),
            });
        }
        if let Some(last) = tables.last_mut() {
            last.versions.push(Version { version, created_at, href: href(&table_name, version) });
        }
    }
    Ok(page.of(tables, |published| published.table.clone()))
}

/// JSON Schema (2020-12) of the body of an upsert: the row, all columns. A delete has the columns of `x-key` alone.
#[utoipa::path(get, path = "/schemas/{table}", tag = "schemas",
    params(("table" = String, Path, description = "A published table."), Wanted,
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of what the client has.")),
    responses(
        (status = 200, body = Object, content_type = "application/schema+json", headers(("etag" = String))),
        (status = 304, description = "The client has this schema", headers(("etag" = String))),
        Refusals))]
async fn one(
    _may: May<Read>,
    State(api): State<Ctx>,
    Path(Text(table)): Path<Text>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut reader = api.db.reader(View::State).await?;
    let version = match wanted.version {
        Some(version) => Some(i32::try_from(version).map_err(|_| Problem::not_found())?),
        None => current(&api, &mut reader.tx(), &table).await?,
    };
    let found = load::schema(&mut reader.tx(), &table, version).await?;
    let (version, mut schema) = found.ok_or_else(Problem::not_found)?;
    schema["$id"] = href(&table, version).into();
    let body = schema.to_string();
    let etag = format!("\"{}\"", Digest::of(body.as_bytes()));
    let tag = [(header::ETAG, HeaderValue::try_from(&etag).map_err(Problem::internal)?)];
    if range::is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    const KIND: (HeaderName, HeaderValue) =
        (header::CONTENT_TYPE, HeaderValue::from_static("application/schema+json"));
    Ok((tag, [KIND], body).into_response())
}

/// The version in which this server writes the rows of a table.
async fn current(api: &Ctx, tx: &mut Tx<'_>, table: &str) -> Result<Option<i32>, Problem> {
    match api.tables.table(table).filter(|declared| declared.table.published) {
        Some(declared) => Ok(load::current_schema(tx, declared).await?),
        None => Ok(None),
    }
}

fn href(table: &str, version: i32) -> String {
    format!("{BASE}/schemas/{table}?version={version}")
}
