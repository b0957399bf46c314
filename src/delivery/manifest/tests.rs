//! What a manifest promises.

use super::{About, FileFacts, Header, Manifest, MatchedRule, PartFacts, SPLITTER, Schema};
use crate::delivery::envelope::{Envelope, MailEnvelope, RawText};
use crate::delivery::parts::{NewPart, as_found, numbered};
use crate::delivery::tree_path::Place;
use crate::ids::{Coordinates, DeliveryId, ReceiptId, Slug, Timestamp};
use crate::infra::volume::{FileRange, Stored};
use module_api::frame::{self, MimeLimits};
use module_api::{PartKind, Problem};
use std::collections::BTreeMap;
use uuid::Uuid;

fn part<'a>(file: &'a std::fs::File, name: &str) -> NewPart<'a> {
    let facts = PartFacts {
        path: "1".into(),
        parent: None,
        kind: PartKind::Attachment,
        media_type: "text/csv".into(),
        sniffed_type: "text/csv".into(),
        charset: Some("utf-8".into()),
        disposition: Some("attachment".into()),
        name: Some(RawText::decoded(name, b"=?utf-8?q?encoded?=")),
        transfer_encoding: Some("base64".into()),
        in_message: None,
        verbatim: false,
        problems: Vec::new(),
    };
    NewPart { facts, bytes: FileRange { file, offset: 0, stored: Stored::of(b"a,b\n") } }
}

fn manifest() -> Manifest {
    let file = tempfile::tempfile().unwrap();
    let coordinates = Coordinates {
        customer: Slug::of("acme"),
        category: Slug::of("hydrastor"),
        type_: Slug::of("alert"),
        group: Slug::of("grid"),
    };
    let about = About {
        delivery: DeliveryId(Uuid::from_u128(7)),
        receipt: ReceiptId(Uuid::from_u128(8)),
        place: Place::Delivered(coordinates),
        rule: Some(MatchedRule {
            name: "alerts".into(),
            captures: BTreeMap::from([("group".into(), "grid".into())]),
        }),
        envelope: Envelope::Lmtp(Box::new(MailEnvelope {
            sender: RawText::of(b"a@b.example"),
            recipient: RawText::of(b"b\xfcro@x.example"),
            original_recipient: None,
            queue_id: None,
            client: Some("192.0.2.1".into()),
            client_name: Some(RawText::of(b"mx.b.example")),
            client_helo: Some(RawText::of(b"m\xfcx")),
            client_protocol: Some("ESMTP".into()),
            sasl_user: Some(RawText::of(b"grid7")),
            nexthop: Some(RawText::of(b"x.example")),
            declared_bytes: Some(10),
            program: Some("mailhandler 0.1.0".into()),
            received_at: Timestamp(1_673_611_200_000_000),
            problems: Vec::new(),
        })),
        headers: vec![Header { name: "Subject".into(), value: RawText::decoded("alert", b"\r\n alert") }],
        problems: Vec::new(),
        software: BTreeMap::from([("headworks".into(), "0.1.0".into()), (SPLITTER.into(), "0.1.0".into())]),
        split_limits: Some(MimeLimits::default()),
    };
    let message = FileFacts::from(Stored::of(b"message"));
    Manifest {
        schema: Schema::V1,
        about,
        message: Some(message),
        parts: numbered(&[part(&file, "Nodes.csv")]),
    }
}

#[test]
fn a_manifest_looks_like_this() {
    insta::assert_snapshot!(String::from_utf8(manifest().to_json()).unwrap());
}

#[test]
fn a_manifest_reads_back_as_written() {
    assert_eq!(Manifest::parse(&manifest().to_json()).unwrap(), manifest());
}

#[test]
fn what_version_0_1_0_wrote_is_read_and_its_parts_are_not_taken() {
    let old = Manifest::parse(include_bytes!("old.json")).unwrap();
    assert_eq!(old.about.software[SPLITTER], "0.1.0");
    assert_eq!(old.about.envelope.mail().unwrap().queue_id.as_deref(), Some("4fXyz12345"));
    assert_eq!((old.about.headers.len(), old.parts.len()), (2, 2));
    assert!(!old.is_split_by("0.1.0", &MimeLimits::default()), "it keeps 14 header fields at most");
}

#[test]
fn a_field_of_the_future_is_passed_over() {
    let mut json: serde_json::Value = serde_json::from_slice(&manifest().to_json()).unwrap();
    json["of_the_future"] = "whatever".into();
    json["envelope"]["of_the_future"] = "whatever".into();
    assert_eq!(Manifest::parse(json.to_string().as_bytes()).unwrap(), manifest());
}

#[test]
fn parts_are_those_of_this_version_under_these_limits_only() {
    let (manifest, limits) = (manifest(), MimeLimits::default());
    assert!(manifest.is_split_by("0.1.0", &limits));
    assert!(!manifest.is_split_by("0.2.0", &limits));
    assert!(!manifest.is_split_by("0.1.0", &MimeLimits { parts: 5, ..limits }));
}

#[test]
fn a_manifest_of_another_version_does_not_parse() {
    let other = String::from_utf8(manifest().to_json()).unwrap().replace("manifest/1", "manifest/2");
    assert!(Manifest::parse(other.as_bytes()).is_err());
}

#[test]
fn a_digest_of_odd_length_or_with_odd_characters_does_not_parse() {
    let json = String::from_utf8(manifest().to_json()).unwrap();
    let digest = Stored::of(b"message").digest.to_string();
    for wrong in [digest[1..].to_owned(), format!("+{}", &digest[1..]), format!("é{}", &digest[2..])] {
        assert!(Manifest::parse(json.replace(&digest, &wrong).as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn names_that_hide_or_repeat_are_flagged() {
    let file = tempfile::tempfile().unwrap();
    let records = [part(&file, "a.csv"), part(&file, "A.csv"), part(&file, "a\u{202e}vsc.csv")];
    let codes: Vec<Vec<String>> = numbered(&records)
        .iter()
        .map(|part| part.facts.problems.iter().map(|problem| problem.code.to_string()).collect())
        .collect();
    assert_eq!(codes, [vec![], vec!["name_twin".to_owned()], vec!["name_bidi".to_owned()]]);
}

#[test]
fn a_part_goes_back_to_the_module_host_as_it_was_found() {
    let file = tempfile::tempfile().unwrap();
    let (twin, hidden) = (part(&file, "A.csv"), part(&file, "a\u{202e}vsc.csv"));
    let mut flagged = part(&file, "a\u{202e}vsc.csv");
    flagged.facts.problems.push(Problem { code: "name_bidi".into(), detail: "seen before".into() });
    let stored = frame::Stored::Spill(frame::Range { offset: 9, len: 4 });
    let records = [part(&file, "a.csv"), twin, hidden, flagged];
    for (record, part) in records.iter().zip(numbered(&records)) {
        let found = as_found(part, stored);
        assert_eq!(found.problems, record.facts.problems);
        assert_eq!((found.stored, found.transfer_encoding.as_str()), (stored, "base64"));
    }
}
