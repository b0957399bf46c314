//! Paging of lists: `?limit=&cursor=`, `next` in the body and in `Link` (RFC 8288).
//!
//! A store function gets [`Page::fetch`] (one more than the page holds) and [`Page::after`], orders by the key, and
//! [`Page::of`] makes the answer. The order is stable because the key is unique and never changes.

use super::query::{fields_of, read, refuse_unknown};
use super::{Kit, Limits, Problem, cursor};
use axum::extract::{FromRef, FromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A filter and a page. `F` is a plain struct of query parameters, `K` the sort key of an entry.
#[derive(Debug)]
pub struct Listing<F, K> {
    /// The filter.
    pub filter: F,
    /// The page.
    pub page: Page<K>,
}

/// No filter.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Unfiltered {}

/// The requested page of a list.
#[derive(Debug)]
pub struct Page<K> {
    limit: u32,
    after: Option<K>,
    uri: Uri,
}

/// The parameters of every list, for its documentation.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Most entries to return, at most as many as the server allows (1000 unless it is set up otherwise).
    #[param(value_type = Option<u32>, minimum = 1)]
    pub limit: Option<String>,
    /// `next` of the previous page.
    pub cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Paged<T> {
    /// The entries.
    pub items: Vec<T>,
    /// `cursor` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    #[serde(skip)]
    link: Option<String>,
}

impl<F, K, S> FromRequestParts<S> for Listing<F, K>
where
    F: DeserializeOwned,
    K: DeserializeOwned,
    Kit: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let limits = Kit::from_ref(state).limits;
        let uri = &parts.uri;
        refuse_unknown(uri, fields_of::<F>()?.into_iter().chain(fields_of::<PageQuery>()?))?;
        let wanted: PageQuery = read(uri)?;
        let limit = limits.page(wanted.limit.as_deref())?;
        let not_ours = || Problem::parameter("cursor", "is not the `next` of an earlier page of this list");
        let after = wanted.cursor.map(|cursor| cursor::read(&cursor).ok_or_else(not_ours)).transpose()?;
        // The path as the client sees it, even in a nested router.
        let seen = parts.extensions.get::<OriginalUri>().map_or_else(|| uri.clone(), |o| o.0.clone());
        Ok(Self { filter: read(uri)?, page: Page { limit, after, uri: seen } })
    }
}

impl Limits {
    /// Number of entries for a requested limit.
    ///
    /// # Errors
    /// When it is not a number from 1 to the most that is allowed: a page that is shorter than asked for would look like the
    /// last one.
    pub fn page(&self, wanted: Option<&str>) -> Result<u32, Problem> {
        let Some(wanted) = wanted else { return Ok(self.default_page) };
        let limit = wanted.parse().ok().filter(|limit| (1..=self.max_page).contains(limit));
        let wrong =
            || Problem::parameter("limit", format!("is not a whole number from 1 to {}", self.max_page));
        limit.ok_or_else(wrong)
    }

    /// How long an answer may be put off.
    ///
    /// # Errors
    /// When it is longer than allowed.
    pub fn wait(&self, wanted: Option<super::Wait>) -> Result<Option<Duration>, Problem> {
        match wanted {
            Some(super::Wait(wanted)) if wanted > self.wait => {
                let most = self.wait.as_secs_f64();
                Err(Problem::parameter("wait", format!("is longer than {most}s, the most that is allowed")))
            }
            wanted => Ok(wanted.map(|super::Wait(wanted)| wanted)),
        }
    }
}

impl<K: Serialize> Page<K> {
    /// How many entries to ask the store for: one more than the page holds, to know whether there are more.
    #[must_use]
    pub const fn fetch(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// The key of the last entry of the previous page.
    #[must_use]
    pub const fn after(&self) -> Option<&K> {
        self.after.as_ref()
    }

    /// The page, from up to [`fetch`](Self::fetch) entries in order.
    #[must_use]
    pub fn of<T>(&self, mut entries: Vec<T>, key: impl Fn(&T) -> K) -> Paged<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).map(|last| cursor::write(&key(last)));
        let link = next.as_deref().map(|next| link(&self.uri, next));
        Paged { items: entries, next, link }
    }
}

impl<T> Paged<T> {
    /// The same page with its entries converted.
    #[must_use]
    pub fn map<U>(self, form: impl FnMut(T) -> U) -> Paged<U> {
        Paged { items: self.items.into_iter().map(form).collect(), next: self.next, link: self.link }
    }
}

/// The `Link` to the next page: this one's URL with the new cursor.
pub fn link(uri: &Uri, next: &str) -> String {
    let kept = uri.query().unwrap_or("").split('&').filter(|pair| !pair.is_empty());
    let kept = kept.filter(|pair| pair.split('=').next() != Some("cursor"));
    let query: String = kept.map(|pair| format!("{pair}&")).collect();
    format!("<{}?{query}cursor={next}>; rel=\"next\"", uri.path())
}

impl<T: Serialize> IntoResponse for Paged<T> {
    fn into_response(self) -> Response {
        let link = self.link.as_deref().and_then(|link| HeaderValue::from_str(link).ok());
        let mut response = axum::Json(self).into_response();
        if let Some(link) = link {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::link;

    #[test]
    fn the_next_page_keeps_the_filter_and_exchanges_the_cursor() {
        let uri = "/api/1.0/jobs?state=held&cursor=old&limit=2".parse().unwrap();
        assert_eq!(link(&uri, "new"), "</api/1.0/jobs?state=held&limit=2&cursor=new>; rel=\"next\"");
        assert_eq!(link(&"/x".parse().unwrap(), "n"), "</x?cursor=n>; rel=\"next\"");
    }
}
