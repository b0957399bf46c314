//! `/log/{topic}`: the events that left, in the order of their commits.
//!
//! A reader keeps `next` and hands it back as `after`; at the end of the topic `next` stays and `items` is empty.

use super::Ctx;
use crate::ids::Timestamp;
use crate::infra::db::View;
use crate::log::{self, Position, Stored};
use crate::web::permit::Operate;
use crate::web::refusal::Refusals;
use crate::web::text::Text;
use crate::web::{Json, MayAll, Path, Problem, Query};
use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Where to begin, and how much.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct After {
    /// `next` of an earlier answer; the beginning where it is missing.
    #[param(inline)]
    after: Option<Text>,
    /// Most entries to return, at most as many as the server allows (1000 unless it is set up otherwise).
    #[param(value_type = Option<u32>, minimum = 1)]
    limit: Option<String>,
}

/// A piece of a topic.
#[derive(Debug, Serialize, ToSchema)]
struct LogPage {
    /// In the order of their commits.
    items: Vec<LogEntry>,
    /// `after` of the next question.
    next: String,
    /// Entries after the position asked for have been pruned.
    gap: bool,
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
struct LogEntry {
    /// Right behind this entry.
    position: String,
    /// When it was appended.
    at: Timestamp,
    /// What it is about, in base64; entries with one key stay in order.
    key: Option<String>,
    /// Short facts about the body.
    headers: BTreeMap<String, String>,
    /// The event, where it is JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<serde_json::Value>,
    /// The event in base64, where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

pub fn routes() -> OpenApiRouter<Ctx> {
    OpenApiRouter::new().routes(routes!(read))
}

/// Events of a topic after a position.
#[utoipa::path(get, path = "/log/{topic}", tag = "log", params(("topic" = String, Path), After),
    responses((status = 200, body = LogPage), Refusals))]
async fn read(
    _may: MayAll<Operate>,
    State(api): State<Ctx>,
    Path(Text(topic)): Path<Text>,
    Query(wanted): Query<After>,
) -> Result<Json<LogPage>, Problem> {
    let after = match wanted.after {
        Some(Text(after)) => after.parse().map_err(|why: String| Problem::parameter("after", why))?,
        None => Position::START,
    };
    let limit = api.kit.limits.page(wanted.limit.as_deref())?;
    let mut state = api.db.reader(View::State).await?;
    let known = log::topics(&mut state.tx()).await?.into_iter().find(|(_, name)| *name == topic);
    let (id, _) = known.ok_or_else(Problem::not_found)?;
    let page = log::read(&mut state.tx(), id, after, limit).await?;
    let items = page.entries.into_iter().map(LogEntry::from).collect();
    Ok(Json(LogPage { items, next: page.next.to_string(), gap: page.gap }))
}

impl From<Stored> for LogEntry {
    fn from(entry: Stored) -> Self {
        let body = serde_json::from_slice(&entry.body).ok();
        Self {
            position: entry.position.to_string(),
            at: entry.at,
            key: entry.key.map(|key| BASE64.encode(key)),
            headers: entry.headers,
            body_base64: body.is_none().then(|| BASE64.encode(&entry.body)),
            body,
        }
    }
}
