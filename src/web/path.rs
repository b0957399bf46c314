//! Parameters of the path.

use super::{Problem, parameter};
use axum::extract::FromRequestParts;
use axum::extract::path::{ErrorKind, Path as Inner};
use axum::extract::rejection::PathRejection;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// The parameters of the path as `T`: one value, or a tuple in their order. The error names the parameter.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Inner::<Vec<(String, String)>>::from_request_parts(parts, state).await {
            Ok(Inner(given)) => parameter::read(&given).map(Self),
            Err(rejection) => Err(refusal(rejection)),
        }
    }
}

fn refusal(rejection: PathRejection) -> Problem {
    match rejection {
        PathRejection::FailedToDeserializePathParams(failed) => match failed.into_kind() {
            ErrorKind::InvalidUtf8InPathParam { key } => Problem::parameter(key, "is not UTF-8"),
            kind => Problem::internal(kind.to_string()),
        },
        rejection => Problem::internal(rejection),
    }
}
