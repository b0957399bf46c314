//! Refusals: which statuses a route can answer with, and what errors from below become.

use super::deliveries::PostError;
use crate::delivery::OperateError;
use crate::infra::volume::{VolumeError, VolumeErrorKind};
use crate::load::query::QueryError;
use crate::web::{Kind, Problem};
use std::collections::BTreeMap;
use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

/// Of every route behind a key.
pub struct Refusals;
/// Of a route that changes something whose state may not allow it.
pub struct Conflicts;
/// Of a route with a body.
pub struct Bodies;

fn declared(kinds: &[Kind]) -> BTreeMap<String, RefOr<Response>> {
    let answer = |kind: &Kind| {
        let (status, _, title) = kind.facts();
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(title).content("application/problem+json", body);
        (status.as_u16().to_string(), RefOr::T(response.build()))
    };
    kinds.iter().map(answer).collect()
}

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        use Kind::{Forbidden, Internal, Malformed, NotFound, Unauthorized, Unavailable};
        let mut all = declared(&[Malformed, Unauthorized, Forbidden, NotFound, Internal, Unavailable]);
        // Answered before any route is looked for, so without a body.
        let head = ResponseBuilder::new().description("The head of the request is too large");
        all.insert("431".to_owned(), RefOr::T(head.build()));
        all
    }
}

impl IntoResponses for Conflicts {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        declared(&[Kind::Conflict])
    }
}

impl IntoResponses for Bodies {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        declared(&[Kind::Timeout, Kind::TooLarge, Kind::UnsupportedType, Kind::Invalid])
    }
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::NotFound => Self::not_found(),
            OperateError::WrongState(why) => Self::new(Kind::Conflict, why),
            OperateError::UnknownCustomer(_) => Self::invalid("/customer", error.to_string()),
            OperateError::Store(error) => error.into(),
        }
    }
}

impl From<PostError> for Problem {
    fn from(error: PostError) -> Self {
        match error {
            PostError::UnknownModule { .. }
            | PostError::UnknownCustomer(_)
            | PostError::KeyReused
            | PostError::Path(_) => Self::new(Kind::Invalid, error.to_string()),
            PostError::UnderWay => Self::new(Kind::Conflict, error.to_string()),
            PostError::Busy => Self::new(Kind::Busy, ""),
            PostError::Volume(error) => volume(error),
            PostError::Task(error) => Self::internal(error),
            PostError::Store(error) => error.into(),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let said = error.to_string();
        match error {
            QueryError::NoTable(_) => Self::new(Kind::NotFound, said),
            QueryError::NoColumn { column, .. }
            | QueryError::NotIndexed { column, .. }
            | QueryError::Filter { column, .. } => Self::parameter(format!("filter[{column}]"), said),
            QueryError::Cursor => Self::parameter("cursor", said),
            QueryError::Store(error) => error.into(),
        }
    }
}

/// A volume that fails. What should be there and is not is our loss, never the client's mistake.
pub fn volume(error: VolumeError) -> Problem {
    match error.kind {
        VolumeErrorKind::Away => Problem::new(Kind::Unavailable, format!("{error}: {}", error.source)),
        VolumeErrorKind::Full | VolumeErrorKind::Denied | VolumeErrorKind::Foreign | VolumeErrorKind::Io => {
            Problem::new(Kind::Unavailable, "").because(error)
        }
        _ => Problem::internal(error),
    }
}
