//! Words of Elasticsearch (row 3): MinIO's target (contract 5.4) and StorageGRID's search integration (5.6).
//!
//! ```text
//!   GET|HEAD <base>/                            what are you             both clients insist on it
//!   GET      <base>/_cluster/health             how are you
//!   GET      <base>/_resolve/index/<index>      is there an index        its name may hold a slash
//!   PUT      <base>/<index>                     make it
//!   POST     <base>/<index>/_doc                a document without id
//!   PUT|POST|HEAD|DELETE <base>/<index>/_doc/<id>, <base>/<index>/<type>/<id>
//! ```
//!
//! The path is read undecoded: an id of StorageGRID holds the object's key, with raw slashes or with `%2F`.

use super::message::{Message, decoded};
use super::{BODY, Found, Poison, Reading, Reason, Seen};
use std::fmt;

/// What a client asks before it sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// What the server is.
    Banner,
    /// How it is.
    Health,
    /// Whether there is an index of this name.
    Resolve(String),
    /// To make an index of this name.
    CreateIndex(String),
    /// Whether there is the document of the reading.
    Exists,
}

/// Where a document stands. Its id is MinIO's hash of bucket and key, or StorageGRID's `bucket_key[_version]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Name of the index.
    pub index: String,
    /// The id, decoded once; `None` if it is the server's to choose.
    pub id: Option<Vec<u8>>,
}

/// An object that a document of StorageGRID may stand for: its key and version.
pub type Candidate<'a> = (&'a [u8], Option<&'a [u8]>);

impl Document {
    /// The bucket of a document of StorageGRID, and what its key and version may be, longest key first: keys and
    /// versions may hold `_`, names of buckets may not. `None` if it is none of StorageGRID's.
    #[must_use]
    pub fn objects(&self) -> Option<(&str, Vec<Candidate<'_>>)> {
        let id = self.id.as_deref()?;
        let end = id.iter().position(|&b| b == b'_')?;
        let bucket = std::str::from_utf8(&id[..end]).ok()?;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
        let rest = &id[end + 1..];
        if bucket.is_empty() || !bucket.bytes().all(fits) || rest.is_empty() {
            return None;
        }
        let cuts = (1..rest.len()).rev().filter(|&at| rest[at] == b'_' && at + 1 < rest.len());
        let cut = cuts.map(|at| (&rest[..at], Some(&rest[at + 1..])));
        Some((bucket, std::iter::once((rest, None)).chain(cut).collect()))
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_deref().map(|id| id.escape_ascii().to_string());
        write!(f, "{} {}", self.index, id.unwrap_or_default())
    }
}

/// What a request is.
enum Request {
    Ask(Question, Option<Document>),
    Write(Document),
    Delete(Document),
}

fn request(message: &Message<'_>) -> Option<Request> {
    let segments = message.segments();
    match (message.method, segments.as_slice()) {
        ("GET" | "HEAD", []) if message.is_elastic => Some(Request::Ask(Question::Banner, None)),
        ("GET" | "HEAD", ["_cluster", "health", ..]) => Some(Request::Ask(Question::Health, None)),
        ("GET" | "HEAD", ["_resolve", "index", name @ ..]) => {
            Some(Request::Ask(Question::Resolve(shown(&name.join("/"))), None))
        }
        ("PUT", [_] | [_, _]) if message.is_elastic && message.body.is_empty() => {
            Some(Request::Ask(Question::CreateIndex(shown(&segments.join("/"))), None))
        }
        (method, segments) => {
            let document = document(segments, message.is_elastic)?;
            match method {
                "HEAD" | "GET" => Some(Request::Ask(Question::Exists, Some(document))),
                "PUT" | "POST" => Some(Request::Write(document)),
                "DELETE" => Some(Request::Delete(document)),
                _ => None,
            }
        }
    }
}

fn document(segments: &[&str], is_elastic: bool) -> Option<Document> {
    let doc = [1, 2].into_iter().find(|&at| segments.get(at) == Some(&"_doc"));
    let (index, id) = match doc {
        Some(at) => (&segments[..at], &segments[at + 1..]),
        None if is_elastic && segments.len() > 2 => (&segments[..2], &segments[2..]),
        None => return None,
    };
    if index.iter().any(|name| name.is_empty()) {
        return None;
    }
    let id = decoded(&id.join("/"));
    Some(Document { index: shown(&index.join("/")), id: (!id.is_empty()).then_some(id) })
}

fn shown(path: &str) -> String {
    String::from_utf8_lossy(&decoded(path)).into_owned()
}

pub(super) fn takes(seen: &Seen<'_>) -> bool {
    request(&seen.message).is_some()
}

pub(super) fn read(seen: &Seen<'_>, reading: &mut Reading) -> Result<Found, Poison> {
    Ok(match request(&seen.message) {
        Some(Request::Ask(question, document)) => {
            reading.document = document;
            Found::Question(question)
        }
        Some(Request::Write(document)) => {
            reading.document = Some(document);
            seen.read_from(BODY, reading)
        }
        Some(Request::Delete(document)) if document.id.is_some() => {
            reading.document = Some(document);
            Found::Deleted
        }
        Some(Request::Delete(_)) | None => return Err(Poison::new(Reason::BadDocument, "path")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bucket and candidates as one text.
    fn objects(id: &str) -> Option<String> {
        let document = Document { index: "i".into(), id: Some(id.into()) };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (bucket, candidates) = document.objects()?;
        let shown = candidates.into_iter().map(|(key, version)| match version {
            Some(version) => format!(" {}@{}", text(key), text(version)),
            None => format!(" {}", text(key)),
        });
        Some(format!("{bucket}:{}", shown.collect::<String>()))
    }

    #[test]
    fn the_bucket_ends_at_the_first_underscore_and_longer_keys_come_first() {
        assert_eq!(objects("data-2_a_b_v1").as_deref(), Some("data-2: a_b_v1 a_b@v1 a@b_v1"));
    }

    #[test]
    fn an_id_that_names_no_object_has_no_candidates() {
        for id in [
            "",
            "bucket",
            "bucket_",
            "_key",
            "Bucket_key",
            "a/b_key",
            "g1KQ2neBnwWGBC9fpbIIrGL1MIEMAeg1qq-21UCKbKU=",
        ] {
            assert_eq!(objects(id), None, "{id}");
        }
    }
}
