//! Parameters of the path.

use super::{Kind, Problem};
use axum::extract::path::{ErrorKind, Path as Inner};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

/// The parameters of the path as `T`; the error names the parameter.
#[derive(Debug, Clone, Copy)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Inner::<T>::from_request_parts(parts, state).await {
            Ok(Inner(value)) => Ok(Self(value)),
            Err(rejection) => Err(refusal(rejection, only_name(parts).await)),
        }
    }
}

/// The parameter's name if the path has exactly one: axum does not name it then.
async fn only_name(parts: &mut Parts) -> Option<String> {
    let all = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    let mut names = all.iter().map(|(name, _)| name);
    let first = names.next()?.to_owned();
    names.next().is_none().then_some(first)
}

fn refusal(rejection: PathRejection, only: Option<String>) -> Problem {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
        return Problem::internal(rejection);
    };
    if failed.status().is_server_error() {
        return Problem::internal(failed);
    }
    match (failed.into_kind(), only) {
        (ErrorKind::ParseErrorAtKey { key, expected_type, .. }, _) => {
            Problem::parameter(key, format!("is not of type {expected_type}"))
        }
        (ErrorKind::DeserializeError { key, message, .. }, _) => Problem::parameter(key, message),
        (ErrorKind::InvalidUtf8InPathParam { key }, _) => Problem::parameter(key, "is not UTF-8"),
        (ErrorKind::ParseError { expected_type, .. }, Some(name)) => {
            Problem::parameter(name, format!("is not of type {expected_type}"))
        }
        (kind, Some(name)) => Problem::parameter(name, kind.to_string()),
        (kind, None) => Problem::new(Kind::Malformed, kind.to_string()),
    }
}
