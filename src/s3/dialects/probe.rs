//! Messages that tell nothing: probes, tests, and what nobody knows (rows 1, 2, 17 and 18).

use super::{Found, Poison, Reading, Reason, Seen, elastic};

/// HEAD or GET, unless it is a question of an Elasticsearch client.
pub(super) fn asks(seen: &Seen<'_>) -> bool {
    matches!(seen.message.method, "HEAD" | "GET") && !elastic::takes(seen)
}

/// What a MinIO of 2019 and early 2020 sends when a target is added.
pub(super) fn is_empty_post(seen: &Seen<'_>) -> bool {
    seen.message.method == "POST" && seen.message.body.is_empty()
}

pub(super) fn probe(_: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    Ok(Found::Probe)
}

pub(super) fn test(_: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    Ok(Found::Test(None))
}

pub(super) fn unknown(seen: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    seen.json.clone()?;
    Err(Poison::new(Reason::Unknown, "body"))
}
