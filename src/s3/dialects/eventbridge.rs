//! EventBridge (contract 5.8): its own names, plain keys. A rule of EventBridge may send `detail` alone.

use super::super::event::{Encoding, Event, Flags, Key, Kind, Order, Vendor};
use super::node::Node;
use super::records::{unquoted, version};
use super::{Found, Poison, Reading, Seen};

pub(super) fn takes(seen: &Seen<'_>) -> bool {
    seen.has(&["detail-type", "source", "detail"]) || detail(seen).is_some()
}

/// `detail`, where the message is nothing else or has lost its outer members.
fn detail<'a>(seen: &Seen<'a>) -> Option<Node<'a>> {
    let json = seen.json.as_ref().ok()?;
    let top = Node::of(*json, "").ok()?;
    let detail = if top.has("detail") { top.node("detail").ok()? } else { top };
    let is_object = |name: &str| detail.node(name).is_ok();
    (is_object("bucket") && is_object("object")).then_some(detail)
}

pub(super) fn read(seen: &Seen<'_>, _: &mut Reading) -> Result<Found, Poison> {
    let top = seen.object()?;
    let detail = match detail(seen) {
        Some(detail) => detail,
        None => top.node("detail")?,
    };
    Ok(Found::events([event(seen, top, &detail)]))
}

fn event(seen: &Seen<'_>, top: &Node<'_>, detail: &Node<'_>) -> Result<Event, Poison> {
    let sent_name = top.text("detail-type")?.unwrap_or_default();
    let reason = detail.text("reason")?.unwrap_or_default();
    let deletion = detail.text("deletion-type")?.unwrap_or_default();
    let name = name(&sent_name, &reason, &deletion).to_owned();
    let (kind, flags) = Kind::of(&name);
    let object = detail.node("object")?;
    let (version, null_version) = version(object.text("version-id")?);
    let sequencer = object.text("sequencer")?;
    let event_time = top.time("time")?;
    let etag = match object.text("etag")? {
        Some(etag) => Some(etag),
        None => object.text("eTag")?,
    };
    Ok(Event {
        position: 0,
        vendor: Vendor::Aws,
        bucket: detail.node("bucket")?.bucket("name")?,
        key: Key::of(object.need_bytes("key")?, seen.encoding.unwrap_or(Encoding::Plain)),
        kind,
        name,
        sent_name,
        flags: Flags { null_version, ..flags },
        size_bytes: object.count("size")?,
        etag: etag.and_then(|etag| unquoted(&etag)),
        version,
        order: Order::aws(sequencer.as_deref(), event_time),
        sequencer,
        event_time,
        region: top.text("region")?,
        actor: detail.text("requester")?,
        client: detail.text("source-ip-address")?,
        origin: None,
        request_id: detail.text("request-id")?,
        id: top.text("id")?,
    })
}

/// The name S3 has for the same. Where the type is missing, the reason tells.
fn name(detail_type: &str, reason: &str, deletion: &str) -> &'static str {
    let is_marker = deletion == "Delete Marker Created";
    match (detail_type, reason) {
        ("Object Created" | "", "PutObject") => "ObjectCreated:Put",
        ("Object Created" | "", "POST Object") => "ObjectCreated:Post",
        ("Object Created" | "", "CopyObject") => "ObjectCreated:Copy",
        ("Object Created" | "", "CompleteMultipartUpload") => "ObjectCreated:CompleteMultipartUpload",
        ("Object Created", _) => "ObjectCreated",
        ("Object Deleted" | "", "Lifecycle Expiration") if is_marker => {
            "LifecycleExpiration:DeleteMarkerCreated"
        }
        ("Object Deleted" | "", "Lifecycle Expiration") => "LifecycleExpiration:Delete",
        ("Object Deleted", _) | ("", "DeleteObject") if is_marker => "ObjectRemoved:DeleteMarkerCreated",
        ("Object Deleted", _) | ("", "DeleteObject") => "ObjectRemoved:Delete",
        ("Object Restore Initiated", _) => "ObjectRestore:Post",
        ("Object Restore Completed", _) => "ObjectRestore:Completed",
        ("Object Restore Expired", _) => "ObjectRestore:Delete",
        ("Object Storage Class Changed", _) => "LifecycleTransition",
        ("Object Access Tier Changed", _) => "IntelligentTiering",
        ("Object ACL Updated", _) => "ObjectAcl:Put",
        ("Object Tags Added", _) => "ObjectTagging:Put",
        ("Object Tags Deleted", _) => "ObjectTagging:Delete",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_reasons_and_deletions_have_the_names_of_s3() {
        let marker = "Delete Marker Created";
        for (detail_type, reason, deletion, expected) in [
            ("Object Created", "POST Object", "", Kind::Created),
            ("Object Created", "Something New", "", Kind::Created),
            ("Object Deleted", "DeleteObject", "Permanently Deleted", Kind::Removed),
            ("Object Deleted", "DeleteObject", marker, Kind::MarkerCreated),
            ("Object Deleted", "Lifecycle Expiration", "Permanently Deleted", Kind::Expired),
            ("Object Deleted", "Lifecycle Expiration", marker, Kind::MarkerCreated),
            ("Object Restore Expired", "", "", Kind::Restored),
            ("Object Storage Class Changed", "", "", Kind::Tiered),
            ("Object Access Tier Changed", "", "", Kind::Tiered),
            ("Object ACL Updated", "", "", Kind::MetadataChanged),
            ("Object Tags Deleted", "", "", Kind::MetadataChanged),
            ("", "PutObject", "", Kind::Created),
            ("", "DeleteObject", "", Kind::Removed),
            ("", "", "", Kind::Unknown),
            ("Object Painted Green", "", "", Kind::Unknown),
        ] {
            assert_eq!(
                Kind::of(name(detail_type, reason, deletion)).0,
                expected,
                "{detail_type} {reason} {deletion}"
            );
        }
    }
}
