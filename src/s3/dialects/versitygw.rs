//! VersityGW (contract 5.12): calls itself `aws:s3`, yet writes keys plainly, and its sequencer is a counter of the
//! process. Until April 2024 it sent the array of records alone (row 9).

use super::super::event::{Encoding, Order, Vendor};
use super::node::Node;
use super::records::{self, Beside};
use super::vendor::Rules;
use super::{Found, Poison, Reading, Seen};

pub(super) const RULES: Rules =
    Rules { encoding: Encoding::Plain, doubt: None, order: |_, time| Order::by_time(time), mend: |_| {} };

/// Tells its record from one of AWS.
pub(super) fn is_its_own(s3: &Node<'_>, user: &Node<'_>) -> Result<bool, Poison> {
    Ok(user.has("PrincipalId") || s3.text("configurationId")?.as_deref() == Some("webhook-global"))
}

/// An array with at least one record; broken ones among them do not hide it.
pub(super) fn takes(seen: &Seen<'_>) -> bool {
    let elements = seen.json.as_ref().ok().and_then(|json| json.elements()).unwrap_or_default();
    let is_record = |node: Node<'_>| node.has("eventName") && node.has("s3");
    elements.into_iter().any(|element| Node::of(element, "").is_ok_and(is_record))
}

pub(super) fn read(seen: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    let records = seen.elements(seen.json.clone()?, "body")?;
    let beside = Beside { encoding: seen.encoding, key: None, vendor: Some(Vendor::Versitygw) };
    let records = (0..).zip(records);
    Ok(Found::events(records.map(|(n, json)| records::record(json, format!("/{n}"), n, beside))))
}
