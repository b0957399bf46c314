//! JSON bodies: 400 if it is not JSON, 422 with a pointer if a value is wrong.

use super::{Decoded, Kind, Kit, Problem};
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

/// A JSON body, as extractor and as response.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned,
    Kit: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(Kind::UnsupportedType, "Content-Type must be application/json"));
        }
        let limits = Kit::from_ref(state).limits;
        let (parts, body) = request.into_parts();
        let body = Decoded::new(&parts.headers, body, limits.cap(limits.body_bytes))?;
        read(&body.bytes().await?).map(Self)
    }
}

/// Parses a whole body; also for doors that read bodies themselves.
///
/// # Errors
/// [`Malformed`](Kind::Malformed) if `body` is not JSON, [`Invalid`](Kind::Invalid) if it is not a `T`.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        if inner.is_data() { Problem::invalid(pointer, inner.to_string()) } else { not_json(&inner) }
    })?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::Malformed, format!("the body is not JSON: {error}"))
}

/// `application/json` and `application/…+json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence.strip_prefix("application/").is_some_and(|sub| sub == "json" || sub.ends_with("+json"))
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let step = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                key.replace('~', "~0").replace('/', "~1")
            }
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&step);
    }
    pointer
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::web::Kind;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Rule {
        #[serde(rename = "a/b")]
        _matches: Vec<u32>,
    }

    #[test]
    fn a_wrong_value_is_named_by_its_pointer() {
        let problem = read::<Rule>(br#"{"a/b":[1,"two"]}"#).unwrap_err();
        assert_eq!(problem.kind(), Kind::Invalid);
        assert!(format!("{problem:?}").contains("/a~1b/1"), "{problem:?}");
    }

    #[test]
    fn what_is_no_json_or_goes_on_after_it_is_malformed() {
        for body in ["", "{", "{\"a/b\":[]} x", "nul"] {
            assert_eq!(read::<Rule>(body.as_bytes()).unwrap_err().kind(), Kind::Malformed, "{body}");
        }
    }
}
