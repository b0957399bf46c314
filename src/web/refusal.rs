//! Refusals as the API document declares them: which statuses a route can answer with.

use super::Kind;
use std::collections::BTreeMap;
use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

/// Of every route behind a key.
pub struct Refusals;
/// Of a route that changes something whose state may not allow it.
pub struct Conflicts;
/// Of a route that sends bytes by range.
pub struct Ranges;
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
        use Kind::{Forbidden, Internal, Malformed, NotFound, TooMany, Unauthorized, Unavailable};
        let kinds = [Malformed, Unauthorized, Forbidden, NotFound, TooMany, Internal, Unavailable];
        let mut all = declared(&kinds);
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

impl IntoResponses for Ranges {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        declared(&[Kind::Range])
    }
}

impl IntoResponses for Bodies {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        declared(&[Kind::Timeout, Kind::TooLarge, Kind::UnsupportedType, Kind::Invalid])
    }
}
