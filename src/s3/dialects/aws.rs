//! Amazon S3 (contract 5.2): no event name has a prefix, keys are written as in forms, and the sequencer is a text.

use super::super::event::{Encoding, Order};
use super::vendor::Rules;
use super::{Found, Poison, Reading, Seen};

pub(super) const RULES: Rules =
    Rules { encoding: Encoding::Form, doubt: None, order: Order::aws, mend: |_| {} };

/// What S3 publishes when a configuration of notifications is saved. VersityGW sends the like when it starts.
pub(super) fn is_test(seen: &Seen<'_>) -> bool {
    let event = seen.top.as_ref().and_then(|top| top.get("Event").ok().flatten());
    event.and_then(|event| event.string()).is_some_and(|event| event.as_ref() == b"s3:TestEvent")
}

pub(super) fn read_test(seen: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    Ok(Found::Test(seen.object()?.text("Bucket")?))
}
