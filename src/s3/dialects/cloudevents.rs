//! CloudEvents 1.0: attributes in headers (row 7, Ceph) or around the data (row 12).
//!
//! The attributes repeat what the record says, the key even raw in a header; only the record is read.

use super::{BODY, Found, Poison, Reading, Reason, Seen};

pub(super) fn in_headers(seen: &Seen<'_>) -> bool {
    ["ce-specversion", "ce-type"].iter().all(|name| seen.message.header(name).is_some())
}

pub(super) fn read_body(seen: &Seen<'_>, reading: &mut Reading) -> Result<Found, Poison> {
    Ok(seen.read_from(BODY, reading))
}

pub(super) fn takes(seen: &Seen<'_>) -> bool {
    seen.has(&["specversion", "type", "data"])
}

pub(super) fn read(seen: &Seen<'_>, reading: &mut Reading) -> Result<Found, Poison> {
    let data = seen.object()?.get("data")?.ok_or_else(|| Poison::new(Reason::Missing, "/data"))?;
    match data.string() {
        Some(text) => seen.read_wrapped(&text, "/data", reading),
        None => seen.read_wrapped(data.written(), "/data", reading),
    }
}
