//! Parameters of the path.

use super::Problem;
use axum::extract::FromRequestParts;
use axum::extract::path::{ErrorKind, Path as Inner};
use axum::extract::rejection::PathRejection;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// The parameters of the path, read as `T`; what cannot be read is refused naming the parameter.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Inner::<T>::from_request_parts(parts, state).await {
            Ok(Inner(value)) => Ok(Self(value)),
            Err(rejection) => Err(refusal(rejection)),
        }
    }
}

fn refusal(rejection: PathRejection) -> Problem {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
        return Problem::internal(rejection);
    };
    match failed.kind() {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            Problem::parameter(key, format!("is not of type {expected_type}"))
        }
        ErrorKind::InvalidUtf8InPathParam { key } => Problem::parameter(key, "is not UTF-8"),
        ErrorKind::DeserializeError { key, message, .. } => Problem::parameter(key, message),
        kind if failed.status().is_client_error() => Problem::new(super::Kind::Malformed, kind.to_string()),
        _ => Problem::internal(failed),
    }
}
