//! `/rows/{table}`: declared rows, as JSON or CSV.
//!
//! `filter[column]=operator:value` is not a fixed list of parameters, so the query is read by hand here, as strictly as
//! everywhere: an unknown parameter is refused by name.

use super::{Ctx, instant};
use crate::load::query::{self, Filter, Order, Page, Question};
use crate::load::{csv, value};
use crate::web::page::link;
use crate::web::permit::Read;
use crate::web::refusal::Refusals;
use crate::web::text::Text;
use crate::web::{self, Json, Limits, May, Path, Problem, Since};
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const KNOWN: &str = "filter[column], since, until, order, limit, cursor, format";

/// One page of rows.
#[derive(Debug, Serialize, ToSchema)]
struct RowPage {
    /// By name of their columns, which `/modules` lists.
    #[schema(value_type = Vec<Object>)]
    items: Vec<Map<String, Value>>,
    /// `cursor` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The question, and the format of the answer.
#[derive(Debug, Default)]
struct Asked {
    question: Question,
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Rows of a table or view, a page at a time.
#[utoipa::path(get, path = "/rows/{table}", tag = "rows",
    params(
        ("table" = String, Path, description = "A table or view that a module declares."),
        ("filter" = Option<std::collections::BTreeMap<String, String>>, Query, style = DeepObject, explode,
            description = "filter[column]=operator:value; eq, ne, lt, le, gt, ge, in, prefix, null."),
        ("since" = inline(Option<Since>), Query, description = "Received at or after this."),
        ("until" = inline(Option<Since>), Query, description = "Received before this."),
        ("order" = Option<String>, Query, description = "A column; with - in front, largest first."),
        ("limit" = Option<u32>, Query, minimum = 1,
            description = "Most rows to return, at most as many as the server allows (1000 unless it is set up otherwise)."),
        ("cursor" = Option<String>, Query, description = "Where to go on."),
        ("format" = Option<String>, Query, description = "json or csv; by Accept where it is missing.")),
    responses((status = 200, content((RowPage = "application/json"), (String = "text/csv"))), Refusals))]
async fn list(
    may: May<Read>,
    State(api): State<Ctx>,
    Path(Text(table)): Path<Text>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = read(&uri, api.kit.limits)?;
    let format = asked.format.unwrap_or_else(|| wanted(&headers));
    let page = query::rows(&api.db, may.scope(), &api.tables, &table, &asked.question).await?;
    let link = page.next.as_deref().map(|next| link(&uri, next));
    let mut response = match format {
        Format::Json => json(page).into_response(),
        Format::Csv => sheet(&table, &page)?,
    };
    if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

fn read(uri: &Uri, limits: Limits) -> Result<Asked, Problem> {
    let given = web::query::given(uri)?;
    let mut asked =
        Asked { question: Question { limit: limits.default_page, ..Question::default() }, format: None };
    for (at, (name, value)) in given.iter().enumerate() {
        if !name.starts_with("filter[") && given[..at].iter().any(|(earlier, _)| earlier == name) {
            return Err(Problem::parameter(name.clone(), "is given twice"));
        }
        asked.take(name, value, limits)?;
    }
    Ok(asked)
}

impl Asked {
    fn take(&mut self, name: &str, value: &str, limits: Limits) -> Result<(), Problem> {
        let wrong = |why: String| Problem::parameter(name.to_owned(), why);
        let at = || Since::read(value, crate::ids::Timestamp::now()).map_err(wrong);
        let question = &mut self.question;
        if let Some(column) = name.strip_prefix("filter[").and_then(|rest| rest.strip_suffix(']')) {
            question.filters.push(Filter::new(column, value));
            return Ok(());
        }
        match name {
            "since" => question.since = instant(Some(at()?)),
            "until" => question.until = instant(Some(at()?)),
            "order" => question.order = Some(order(value)),
            "cursor" => question.cursor = Some(value.to_owned()),
            "limit" => question.limit = limits.page(Some(value))?,
            "format" => {
                self.format = Some(match value {
                    "json" => Format::Json,
                    "csv" => Format::Csv,
                    _ => return Err(wrong("is not json or csv".to_owned())),
                });
            }
            _ => return Err(wrong(format!("is unknown; known are {KNOWN}"))),
        }
        Ok(())
    }
}

fn order(text: &str) -> Order {
    match text.strip_prefix('-') {
        Some(column) => Order { column: column.to_owned(), descending: true },
        None => Order { column: text.to_owned(), descending: false },
    }
}

/// CSV where it is accepted and JSON is not named.
fn wanted(headers: &HeaderMap) -> Format {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.contains("text/csv") && !accepted.contains("application/json") {
        Format::Csv
    } else {
        Format::Json
    }
}

fn json(page: Page) -> Json<RowPage> {
    let names: Vec<&str> = page.table.fields.iter().map(|field| field.name.as_str()).collect();
    let row = |row: &Vec<module_api::Value>| {
        names.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), value::to_json(cell))).collect()
    };
    Json(RowPage { items: page.rows.iter().map(row).collect(), next: page.next })
}

fn sheet(table: &str, page: &Page) -> Result<Response, Problem> {
    let mut text = csv::header(&page.table);
    page.rows.iter().for_each(|row| text.push_str(&csv::record(row)));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{table}.csv\""));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, disposition.map_err(Problem::internal)?),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    Ok((headers, text).into_response())
}
