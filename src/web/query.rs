//! Strict query strings: unknown parameters are refused by name, so a misspelt filter does not list everything.

use super::{Problem, parameter};
use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use std::fmt;

/// The parameters of the URL as a struct; every parameter must be a field of it.
///
/// `T` must be a plain struct: with `#[serde(flatten)]` the names of fields are not known, and every request fails.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        refuse_unknown(&parts.uri, fields_of::<T>()?)?;
        Ok(Self(read(&parts.uri)?))
    }
}

/// The parameters that are fields of `T`; others are ignored.
pub(super) fn read<T: DeserializeOwned>(uri: &Uri) -> Result<T, Problem> {
    parameter::read(&given(uri)?)
}

/// The parameters, decoded, in the order of the URL.
///
/// # Errors
/// When the query cannot be decoded.
pub fn given(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    match axum::extract::Query::try_from_uri(uri) {
        Ok(axum::extract::Query(pairs)) => Ok(pairs),
        Err(rejection) => Err(Problem::new(super::Kind::Malformed, rejection.body_text())),
    }
}

/// Refuses parameters that are in none of the lists.
pub(super) fn refuse_unknown(
    uri: &Uri,
    known: impl IntoIterator<Item = &'static str>,
) -> Result<(), Problem> {
    let known: Vec<_> = known.into_iter().collect();
    match given(uri)?.into_iter().find(|(name, _)| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some((name, _)) if known.is_empty() => {
            Err(Problem::parameter(name, "is unknown; this route has no parameters"))
        }
        Some((name, _)) => {
            Err(Problem::parameter(name, format!("is unknown; known are {}", known.join(", "))))
        }
    }
}

/// The names of `T`'s fields, as its `Deserialize` asks for them.
pub(super) fn fields_of<T: DeserializeOwned>() -> Result<Vec<&'static str>, Problem> {
    match T::deserialize(Probe) {
        Err(Fields(Some(fields))) => Ok(fields.to_vec()),
        _ => Err(Problem::internal(format!("{} is not a plain struct", std::any::type_name::<T>()))),
    }
}

/// A deserializer that only records the names of fields.
struct Probe;

#[derive(Debug)]
struct Fields(Option<&'static [&'static str]>);

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("probe")
    }
}

impl std::error::Error for Fields {}

impl serde::de::Error for Fields {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(None)
    }
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Fields;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fields> {
        Err(Fields::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Fields> {
        Err(Fields(Some(fields)))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::{Query, fields_of};
    use axum::extract::FromRequestParts;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Deserialize)]
    struct Filter {
        state: Option<String>,
        #[serde(rename = "type")]
        kind: Option<String>,
        age: Option<u32>,
    }

    async fn filter(query: &str) -> Result<Filter, String> {
        let uri = format!("/jobs?{query}");
        let (mut parts, ()) = axum::http::Request::get(uri).body(()).unwrap().into_parts();
        match Query::<Filter>::from_request_parts(&mut parts, &()).await {
            Ok(Query(filter)) => Ok(filter),
            Err(problem) => Err(format!("{problem:?}")),
        }
    }

    #[tokio::test]
    async fn known_parameters_are_read_decoded() {
        let filter = filter("state=a%20b&type=x&age=3").await.unwrap();
        assert_eq!(filter.state.as_deref(), Some("a b"));
        assert_eq!((filter.kind.as_deref(), filter.age), (Some("x"), Some(3)));
    }

    #[tokio::test]
    async fn an_unknown_parameter_is_refused_by_name() {
        let said = filter("sate=held").await.unwrap_err();
        assert!(said.contains("sate") && said.contains("known are state, type, age"), "{said}");
    }

    #[tokio::test]
    async fn a_parameter_that_is_given_twice_or_unreadable_is_refused() {
        assert!(filter("state=a&state=b").await.is_err());
        assert!(filter("age=old").await.unwrap_err().contains("age"));
    }

    #[test]
    fn what_is_not_a_plain_struct_is_refused() {
        assert!(fields_of::<BTreeMap<String, String>>().is_err());
    }
}
