//! NooBaa (contract 5.12): plain keys; the size is that of an answer, the ETag has lost two digits, and the sequencer has
//! two forms that do not mix, so the time of the event decides.

use super::super::event::{Encoding, Event, Kind, Order};
use super::Seen;
use super::vendor::Rules;

pub(super) const RULES: Rules = Rules {
    encoding: Encoding::Plain,
    // Recognised by the end of its source's name only, so it may be somebody else.
    doubt: Some(Encoding::Form),
    order: |_, time| Order::by_time(time),
    mend,
};

/// Digits of an ETag that is whole; NooBaa cuts the first and the last.
const CUT_ETAG: usize = 30;

fn mend(event: &mut Event) {
    if event.kind == Kind::Created {
        event.size_bytes = None;
    }
    if event.etag.as_ref().is_some_and(|etag| etag.len() == CUT_ETAG) {
        event.etag = None;
    }
}

/// The body with which it tries a configuration.
pub(super) fn is_test(seen: &Seen<'_>) -> bool {
    seen.json
        .as_ref()
        .is_ok_and(|json| json.string().is_some_and(|text| text.as_ref() == b"test notification"))
}
