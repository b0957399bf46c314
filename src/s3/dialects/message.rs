//! What is read: one request, or one message of a queue.

use percent_encoding::percent_decode_str;

/// A message as it came. Its words are foreign: nothing here has been checked but its length.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Method of the request, in capitals; empty for a message of a queue.
    pub method: &'a str,
    /// What stands in the path behind the source's own, undecoded: empty, or from `/` on. A secret part is already gone.
    pub path: &'a str,
    /// Query of the request, undecoded, without `?`.
    pub query: &'a str,
    /// Whether `path` is below an Elasticsearch base, so that `/index/type/id` is a document's address.
    pub is_elastic: bool,
    /// Names and values in the order of the request.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The body. A `Content-Encoding` is undone, within a limit.
    pub body: &'a [u8],
}

/// What [`read`](super::read) takes at most; beyond it a message is poison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the body.
    pub body_bytes: usize,
    /// Records of one message.
    pub records: usize,
    /// Arrays and objects within each other.
    pub depth: usize,
    /// Messages within each other: an S3 notification in an SNS envelope is one wrapper.
    pub wrappers: usize,
}

/// Those of contract section 4.3.
impl Default for Limits {
    fn default() -> Self {
        Self { body_bytes: 1 << 20, records: 10_000, depth: 64, wrappers: 2 }
    }
}

impl<'a> Message<'a> {
    /// A message of a queue (SQS, Kafka): only bytes.
    #[must_use]
    pub const fn queued(body: &'a [u8]) -> Self {
        Self { method: "", path: "", query: "", is_elastic: false, headers: &[], body }
    }

    /// The value of the only header called `name`; a header given twice is as good as none.
    pub(super) fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value.trim_ascii())
    }

    /// Whether the body says it is a form.
    pub(super) fn is_form(&self) -> bool {
        let media = self.header("content-type").unwrap_or_default();
        let media = media.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
        media.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    }

    /// Segments of the path, undecoded; none for an empty path or `/`.
    pub(super) fn segments(&self) -> Vec<&'a str> {
        match self.path.strip_prefix('/') {
            None | Some("") => Vec::new(),
            Some(path) => path.split('/').collect(),
        }
    }
}

/// A segment, or several, percent-decoded once.
pub(super) fn decoded(path: &str) -> Vec<u8> {
    percent_decode_str(path).collect()
}
