//! `/modules`: what the modules of this installation declare.

use super::Ctx;
use crate::load::json_schema;
use crate::web::page::PageQuery;
use crate::web::permit::Read;
use crate::web::refusal::Refusals;
use crate::web::{Listing, MayAll, Paged, Unfiltered};
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A module.
#[derive(Debug, Serialize, ToSchema)]
struct Module {
    /// `category/type` of the deliveries it reads.
    id: String,
    /// Version of the parser.
    version: String,
    /// One sentence.
    summary: String,
    /// The format is our assumption, not a published one.
    assumed: bool,
    /// The tables it writes.
    tables: Vec<Table>,
    /// The views over them.
    views: Vec<String>,
}

/// A declared table.
#[derive(Debug, Serialize, ToSchema)]
struct Table {
    /// Its name, for `/rows/{table}`.
    name: String,
    /// What one row is.
    meaning: String,
    /// Columns that may be filtered and sorted by without a time range.
    searchable: Vec<String>,
    /// JSON Schema of one row.
    schema: serde_json::Value,
}

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What the modules declare, by id.
#[utoipa::path(get, path = "/modules", tag = "modules", params(PageQuery),
    responses((status = 200, body = Paged<Module>), Refusals))]
async fn list(
    _may: MayAll<Read>,
    State(api): State<Ctx>,
    Listing { page, .. }: Listing<Unfiltered, String>,
) -> Paged<Module> {
    let table = |table: &module_api::Table| {
        let declared = api.tables.table(&table.name)?;
        Some(Table {
            name: table.name.clone(),
            meaning: table.meaning.clone(),
            searchable: declared.searchable().into_iter().map(str::to_owned).collect(),
            schema: json_schema(declared),
        })
    };
    let module = |module: &module_api::Declaration| Module {
        id: module.id.clone(),
        version: module.version.clone(),
        summary: module.summary.clone(),
        assumed: module.assumed,
        tables: module.tables.iter().filter_map(table).collect(),
        views: module.views.iter().map(|view| view.name.clone()).collect(),
    };
    let mut declared: Vec<_> =
        api.modules.iter().filter(|module| page.after().is_none_or(|after| module.id > *after)).collect();
    declared.sort_by(|a, b| a.id.cmp(&b.id));
    page.of(declared, |module| module.id.clone()).map(module)
}
