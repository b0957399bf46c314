//! Who calls: by `X-Api-Key`, by `Authorization: Bearer`, or through the control socket.

use super::{Kind, Kit, Problem};
use crate::ids::{Grant, Scope};
use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use uuid::Uuid;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Somebody who was recognised. As an extractor: 401 for everybody else; `Option<Caller>` is `None` where no key was
/// sent at all, and still 401 for a wrong one.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key's id; `None` through the control socket.
    pub key_id: Option<Uuid>,
    /// The key's name, or `control:uid=<uid>`: unique, and safe to log.
    pub name: String,
    /// What the key permits, as given.
    pub grants: Vec<Grant>,
    /// Whose things they may see.
    pub scope: Scope,
}

impl Caller {
    /// An operator on this host, recognised by the kernel.
    #[must_use]
    pub fn control(uid: u32) -> Self {
        Self {
            key_id: None,
            name: format!("control:uid={uid}"),
            grants: vec![Grant::Admin],
            scope: Scope::All,
        }
    }

    /// Whether this caller has a permission, by itself or through one that includes it.
    #[must_use]
    pub fn has(&self, needed: Grant) -> bool {
        self.grants.iter().any(|given| includes(*given, needed))
    }
}

/// What includes what: `admin` everything; `operate` and `content` also `read`, since neither an operator nor
/// somebody who gets the bytes could work without seeing what there is; `ingest` only itself.
const fn includes(given: Grant, needed: Grant) -> bool {
    match given {
        Grant::Admin => true,
        Grant::Operate => matches!(needed, Grant::Operate | Grant::Read),
        Grant::Content => matches!(needed, Grant::Content | Grant::Read),
        Grant::Read => matches!(needed, Grant::Read),
        Grant::Ingest => matches!(needed, Grant::Ingest),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    Kit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match recognise(parts, &Kit::from_ref(state)).await? {
            Some(caller) => Ok(caller),
            None => Err(unauthorized("no key was sent in X-Api-Key or Authorization: Bearer")),
        }
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller
where
    Kit: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Problem> {
        recognise(parts, &Kit::from_ref(state)).await
    }
}

/// `None` where nothing was sent that says who.
async fn recognise(parts: &Parts, kit: &Kit) -> Result<Option<Caller>, Problem> {
    // Set by the control socket, which no header can do.
    if let Some(caller) = parts.extensions.get::<Caller>() {
        tracing::Span::current().record("caller", &caller.name);
        return Ok(Some(caller.clone()));
    }
    let Some(sent) = sent(&parts.headers) else { return Ok(None) };
    let Some(key) = kit.keys.verify(sent).await? else {
        return Err(unauthorized("the key is unknown, expired or revoked"));
    };
    tracing::Span::current().record("caller", &key.name);
    Ok(Some(Caller {
        key_id: Some(key.id),
        name: key.name.clone(),
        grants: key.grants.clone(),
        scope: key.scope.clone(),
    }))
}

/// The value that was sent; an empty text, which is no key's, where it is not even ASCII.
fn sent(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(X_API_KEY) {
        return Some(value.to_str().unwrap_or(""));
    }
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| value.trim())
}

fn unauthorized(detail: &'static str) -> Problem {
    let challenge = HeaderValue::from_static("Bearer realm=\"headworks\"");
    Problem::new(Kind::Unauthorized, detail).header(header::WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use super::{Caller, sent};
    use crate::ids::{Grant, Scope};
    use axum::http::HeaderMap;

    #[test]
    fn permissions_include_each_other_as_documented() {
        let has = |given: Grant| {
            let caller = Caller { key_id: None, name: String::new(), grants: vec![given], scope: Scope::All };
            Grant::ALL.into_iter().filter(|needed| caller.has(*needed)).collect::<Vec<_>>()
        };
        assert_eq!(has(Grant::Ingest), [Grant::Ingest]);
        assert_eq!(has(Grant::Read), [Grant::Read]);
        assert_eq!(has(Grant::Content), [Grant::Read, Grant::Content]);
        assert_eq!(has(Grant::Operate), [Grant::Read, Grant::Operate]);
        assert_eq!(has(Grant::Admin), Grant::ALL);
    }

    #[test]
    fn the_key_is_found_in_either_header() {
        let headers = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
        };
        assert_eq!(sent(&headers("x-api-key", "hw_1")), Some("hw_1"));
        assert_eq!(sent(&headers("authorization", "bearer hw_1")), Some("hw_1"));
        assert_eq!(sent(&headers("authorization", "Basic aHdfMQ==")), None);
        assert_eq!(sent(&HeaderMap::new()), None);
    }
}
