//! The caller: by `X-Api-Key`, by `Authorization: Bearer`, or through the control socket.

use super::open_requests::Counted;
use super::{Kind, Kit, Problem};
use crate::ids::{Grant, Scope};
use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use uuid::Uuid;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// An authenticated caller. The extractor answers 401 otherwise; `Option<Caller>` is `None` without a key, and still 401
/// with a wrong one.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The key's id; `None` through the control socket.
    pub key_id: Option<Uuid>,
    /// The key's name, or `control:uid=<uid>`: unique, and safe to log.
    pub name: String,
    /// Permissions of the key, without included ones.
    pub grants: Vec<Grant>,
    /// What the caller may see.
    pub scope: Scope,
}

impl Caller {
    /// An operator on this host, authenticated by the kernel.
    #[must_use]
    pub fn control(uid: u32) -> Self {
        Self {
            key_id: None,
            name: format!("control:uid={uid}"),
            grants: vec![Grant::Admin],
            scope: Scope::All,
        }
    }

    /// Whether this caller runs the installation, and is served even when it is full.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.scope == Scope::All && self.has(Grant::Operate)
    }

    /// Whether this caller has a permission, by itself or through one that includes it.
    #[must_use]
    pub fn has(&self, needed: Grant) -> bool {
        self.grants.iter().any(|given| includes(*given, needed))
    }
}

/// `admin` includes everything; `operate` and `content` include `read`, since they are useless without it; `ingest`
/// includes only itself.
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
        match authenticate(parts, &Kit::from_ref(state)).await? {
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
        authenticate(parts, &Kit::from_ref(state)).await
    }
}

/// `None` where no key was sent.
pub(super) async fn authenticate(parts: &Parts, kit: &Kit) -> Result<Option<Caller>, Problem> {
    // Set by the control socket; no header can set it.
    if let Some(caller) = parts.extensions.get::<Caller>() {
        tracing::Span::current().record("caller", &caller.name);
        return Ok(Some(caller.clone()));
    }
    let Some(sent) = sent(&parts.headers) else { return Ok(None) };
    let Some(key) = kit.keys.verify(sent).await? else {
        return Err(unauthorized("the key is unknown, expired or revoked"));
    };
    tracing::Span::current().record("caller", &key.name);
    count(parts, kit, key.id)?;
    Ok(Some(Caller {
        key_id: Some(key.id),
        name: key.name.clone(),
        grants: key.grants.clone(),
        scope: key.scope.clone(),
    }))
}

/// Counts the request as one of the key until its answer was sent or it waits; too many are refused.
fn count(parts: &Parts, kit: &Kit, key: Uuid) -> Result<(), Problem> {
    let Some(counted) = parts.extensions.get::<Counted>().filter(|counted| counted.is_new()) else {
        return Ok(());
    };
    let most = kit.limits.key_requests;
    let open = kit.keys.open_requests().open(key, most);
    let open = open.ok_or_else(|| Problem::new(Kind::TooMany, format!("a key may have {most}")))?;
    counted.keep(open);
    Ok(())
}

/// The key that was sent; the empty text, which matches no key, if it is not ASCII.
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
