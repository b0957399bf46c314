//! MinIO (contract 5.3): one record per request, with the event's name and the object's beside it. Keys are written as
//! in forms; the sequencer is nanoseconds, and repeats that of the Put where only metadata changed.

use super::super::event::{Encoding, Order};
use super::vendor::Rules;

pub(super) const RULES: Rules =
    Rules { encoding: Encoding::Form, doubt: None, order: Order::nanos, mend: |_| {} };

/// How the record's key is written, by the plain `bucket/key` that stands beside the record. `None` if that tells nothing.
pub(super) fn encoding(sent: &[u8], bucket: &str, plain: &[u8]) -> Option<Encoding> {
    let plain = plain.strip_prefix(bucket.as_bytes())?.strip_prefix(b"/")?;
    [Encoding::Form, Encoding::Plain].into_iter().find(|encoding| encoding.decode(sent) == plain)
}
