//! Conditions and ranges of a request for bytes that never change (RFC 9110 sections 13 and 14).
//!
//! The entity tag is the digest of the content, so it is strong: who has it has the bytes. Of several ranges none is served,
//! which RFC 9110 allows: the answer is everything.

use super::{Kind, Problem};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

/// Which bytes a request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// All of them.
    All,
    /// None: the client has them.
    NotModified,
    /// So many from this one on.
    Part {
        /// The first.
        first: u64,
        /// How many; at least one.
        len: u64,
    },
}

impl Wanted {
    /// What `method` and `headers` want of `len` bytes with the entity tag `etag`.
    ///
    /// # Errors
    /// [`Range`](Kind::Range) if the range lies behind the end.
    pub fn of(method: &Method, headers: &HeaderMap, etag: &str, len: u64) -> Result<Self, Problem> {
        if is_known(headers, etag) {
            return Ok(Self::NotModified);
        }
        // Other methods have no ranges, and a range of other bytes than the client knows is of no use.
        let is_for_this = headers.get(header::IF_RANGE).is_none_or(|tag| tag.as_bytes() == etag.as_bytes());
        let mut ranges = headers.get_all(header::RANGE).iter();
        match (ranges.next(), ranges.next()) {
            (Some(range), None) if *method == Method::GET && is_for_this => {
                let read = range.to_str().ok().and_then(Spec::read);
                read.map_or(Ok(Self::All), |spec| spec.within(len).ok_or_else(|| unsatisfiable(len)))
            }
            _ => Ok(Self::All),
        }
    }

    /// Status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::All => StatusCode::OK,
            Self::NotModified => StatusCode::NOT_MODIFIED,
            Self::Part { .. } => StatusCode::PARTIAL_CONTENT,
        }
    }

    /// `Content-Range` of `len` bytes.
    #[must_use]
    pub fn content_range(self, len: u64) -> Option<HeaderValue> {
        let Self::Part { first, len: part } = self else { return None };
        HeaderValue::try_from(format!("bytes {first}-{}/{len}", first + part - 1)).ok()
    }
}

/// Whether the client has what has the entity tag `etag`, as `If-None-Match` says.
#[must_use]
pub fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    lists(headers, header::IF_NONE_MATCH)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// The elements of a field that is a list, over all its lines. Entity tags of ours hold no comma.
fn lists(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn unsatisfiable(len: u64) -> Problem {
    let problem = Problem::new(Kind::Range, format!("there are {len} bytes"));
    match HeaderValue::try_from(format!("bytes */{len}")) {
        Ok(range) => problem.header(header::CONTENT_RANGE, range),
        Err(_) => problem,
    }
}

/// One range as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    /// From the first byte to the last, both included; to the end without a last.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl Spec {
    /// `None` for other units, several ranges, and what is no range; all of that is ignored.
    fn read(text: &str) -> Option<Self> {
        let (unit, range) = text.split_once('=')?;
        let (first, last) =
            range.trim().split_once('-').filter(|_| unit.trim().eq_ignore_ascii_case("bytes"))?;
        match (first.trim(), last.trim()) {
            ("", last) => number(last).map(Self::Last),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// `None` if no byte is in it.
    fn within(self, len: u64) -> Option<Wanted> {
        match self {
            Self::From(first, _) if first >= len => None,
            Self::From(first, last) => {
                let last = last.unwrap_or(u64::MAX).min(len - 1);
                Some(Wanted::Part { first, len: last - first + 1 })
            }
            Self::Last(0) => None,
            // There is no range to name in an empty answer.
            Self::Last(_) if len == 0 => Some(Wanted::All),
            Self::Last(count) => {
                let count = count.min(len);
                Some(Wanted::Part { first: len - count, len: count })
            }
        }
    }
}

/// Digits as a number; the largest there is for more digits than fit.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Wanted;
    use crate::web::Kind;
    use axum::http::{HeaderMap, HeaderName, Method};
    use proptest::prelude::*;

    const TAG: &str = "\"abc\"";

    fn wanted(method: &Method, fields: &[(&str, &str)], len: u64) -> Option<Wanted> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        match Wanted::of(method, &headers, TAG, len) {
            Ok(wanted) => Some(wanted),
            Err(problem) => {
                assert_eq!(problem.kind(), Kind::Range);
                None
            }
        }
    }

    fn range(text: &str, len: u64) -> Option<Wanted> {
        wanted(&Method::GET, &[("range", text)], len)
    }

    const fn part(first: u64, len: u64) -> Option<Wanted> {
        Some(Wanted::Part { first, len })
    }

    #[test]
    fn one_range_is_served_within_the_length() {
        for (text, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=2-5", part(2, 4)),
            ("bytes=2-", part(2, 8)),
            ("bytes=9-99999999999999999999999999", part(9, 1)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-99", part(0, 10)),
            ("Bytes = 0-1", part(0, 2)),
            ("bytes=10-", None),
            ("bytes=99999999999999999999999999-", None),
            ("bytes=-0", None),
        ] {
            assert_eq!(range(text, 10), expected, "{text}");
        }
        assert_eq!((range("bytes=0-", 0), range("bytes=-1", 0)), (None, Some(Wanted::All)));
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_ignored() {
        for text in [
            "bytes=5-2",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1--2",
        ] {
            assert_eq!(range(text, 10), Some(Wanted::All), "{text}");
        }
        let twice = [("range", "bytes=0-1"), ("range", "bytes=3-4")];
        assert_eq!(wanted(&Method::GET, &twice, 10), Some(Wanted::All));
        assert_eq!(wanted(&Method::HEAD, &twice[..1], 10), Some(Wanted::All), "HEAD has no ranges");
    }

    #[test]
    fn a_range_counts_only_for_the_bytes_that_the_client_knows() {
        for (tag, expected) in [
            (TAG, part(0, 2)),
            ("\"other\"", Some(Wanted::All)),
            ("W/\"abc\"", Some(Wanted::All)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(Wanted::All)),
        ] {
            let fields = [("range", "bytes=0-1"), ("if-range", tag)];
            assert_eq!(wanted(&Method::GET, &fields, 10), expected, "{tag}");
        }
    }

    #[test]
    fn who_has_the_bytes_gets_none() {
        for tags in [TAG, "*", "W/\"abc\"", "\"other\", \"abc\""] {
            for method in [Method::GET, Method::HEAD] {
                let fields = [("if-none-match", tags), ("range", "bytes=99-")];
                assert_eq!(wanted(&method, &fields, 10), Some(Wanted::NotModified), "{tags}");
            }
        }
        let lines = [("if-none-match", "\"x\""), ("if-none-match", TAG)];
        assert_eq!(wanted(&Method::GET, &lines, 10), Some(Wanted::NotModified));
        assert_eq!(wanted(&Method::GET, &lines[..1], 10), Some(Wanted::All));
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_never_past_the_end(text in "bytes=[0-9]{0,21}-[0-9]{0,21}|.{0,30}", len in any::<u64>()) {
            let mut headers = HeaderMap::new();
            if let Ok(text) = text.parse() {
                headers.insert("range", text);
            }
            if let Ok(Wanted::Part { first, len: part }) = Wanted::of(&Method::GET, &headers, TAG, len) {
                prop_assert!(part > 0 && first.checked_add(part).is_some_and(|end| end <= len));
            }
        }
    }
}
