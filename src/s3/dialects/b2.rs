//! Backblaze B2 (row 15, contract 5.13): several events with names of its own, keys plain.

use super::super::event::{Encoding, Event, Flags, Key, Kind, Vendor};
use super::super::json::Json;
use super::node::{Node, of_millis};
use super::{Found, Poison, Reading, Reason, Seen};

const PREFIX: &str = "b2:";

fn events<'a>(seen: &Seen<'a>) -> Option<Json<'a>> {
    seen.top.as_ref()?.get("events").ok().flatten()
}

/// An array `events` with at least one of B2's.
pub(super) fn takes(seen: &Seen<'_>) -> bool {
    let elements = events(seen).and_then(Json::elements).unwrap_or_default();
    let mut types = elements.into_iter().filter_map(|json| event_type(&Node::of(json, "").ok()?));
    types.any(|event_type| event_type.starts_with(PREFIX))
}

fn event_type(event: &Node<'_>) -> Option<String> {
    event.text("eventType").ok().flatten()
}

pub(super) fn read(seen: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    let json = events(seen).ok_or_else(|| Poison::new(Reason::Missing, "/events"))?;
    let elements = seen.elements(json, "/events")?;
    let is_test = |json: &Json<'_>| {
        let event = Node::of(*json, "").ok();
        event.and_then(|event| event_type(&event)).is_some_and(|event_type| event_type == "b2:TestEvent")
    };
    let count = elements.len();
    let told: Vec<_> = (0..).zip(elements).filter(|(_, json)| !is_test(json)).collect();
    if told.is_empty() && count > 0 {
        return Ok(Found::Test(None));
    }
    Ok(Found::events(told.into_iter().map(|(n, json)| event(seen, json, n))))
}

fn event(seen: &Seen<'_>, json: Json<'_>, position: u32) -> Result<Event, Poison> {
    let event = Node::of(json, format!("/events/{position}"))?;
    let sent_name = event.need_text("eventType")?;
    let name = sent_name.strip_prefix(PREFIX).unwrap_or(&sent_name).to_owned();
    let expired = name.ends_with(":LifecycleRule");
    let kind = match name.split(':').next().unwrap_or_default() {
        "ObjectCreated" => Kind::Created,
        "ObjectDeleted" if expired => Kind::Expired,
        "ObjectDeleted" => Kind::Removed,
        "HideMarkerCreated" => Kind::MarkerCreated,
        _ => Kind::Unknown,
    };
    let event_time = event.count("eventTimestamp")?.and_then(of_millis);
    let bucket = event.bucket("bucketName")?;
    let key = Key::of(event.need_bytes("objectName")?, seen.encoding.unwrap_or(Encoding::Plain));
    Ok(Event {
        position,
        name,
        sent_name,
        flags: Flags { expired, ..Flags::default() },
        size_bytes: event.count("objectSize")?,
        version: event.text("objectVersionId")?,
        id: event.text("eventId")?,
        ..Event::bare(Vendor::B2, bucket, key, kind, event_time)
    })
}
