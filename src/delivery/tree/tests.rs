//! What a tree promises, on a directory and in memory.

use super::{Contents, Difference, Found, MANIFEST, MESSAGE, Written, archive, check, read_manifest, write};
use crate::delivery::envelope::{Envelope, RawText, RestEnvelope};
use crate::delivery::manifest::{About, PartFacts, Span};
use crate::delivery::parts::NewPart;
use crate::delivery::tree_path::Place;
use crate::ids::{DeliveryId, ReceiptId, Slug, Timestamp};
use crate::infra::volume::{Durable, FileRange, Source, Stored, SubPath, Volume, VolumeErrorKind};
use module_api::PartKind;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use uuid::Uuid;

const BYTES: &[u8] = b"Subject: x\n\nbody\na,b\n1,2\n";
const BODY: Span = Span { offset: 12, len_bytes: 5 };
const TABLE: Span = Span { offset: 17, len_bytes: 8 };

/// A spooled message of two parts.
fn spooled() -> File {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(BYTES, 0).unwrap();
    file
}

fn range(file: &File, span: Span) -> FileRange<'_> {
    let bytes = &BYTES[span.offset as usize..(span.offset + span.len_bytes) as usize];
    FileRange { file, offset: span.offset, stored: Stored::of(bytes) }
}

fn record<'a>(file: &'a File, path: &str, name: Option<&str>, media_type: &str, span: Span) -> NewPart<'a> {
    let facts = PartFacts {
        path: path.to_owned(),
        parent: None,
        kind: if name.is_some() { PartKind::Attachment } else { PartKind::Body },
        media_type: media_type.to_owned(),
        sniffed_type: media_type.to_owned(),
        charset: None,
        disposition: None,
        name: name.map(|name| RawText::of(name.as_bytes())),
        transfer_encoding: None,
        in_message: Some(span),
        verbatim: true,
        problems: Vec::new(),
    };
    NewPart { facts, bytes: range(file, span) }
}

fn contents(file: &File, delivery: u128) -> Contents<'_> {
    let about = About {
        delivery: DeliveryId(Uuid::from_u128(delivery)),
        receipt: ReceiptId(Uuid::from_u128(1)),
        place: Place::Held { source: Slug::of("pipe"), reason: Slug::of("no_rule") },
        rule: None,
        envelope: Envelope::Rest(RestEnvelope {
            principal: RawText::of(b""),
            customer: RawText::of(b"b\xfcro"),
            received_at: Timestamp(0),
        }),
        headers: Vec::new(),
        problems: Vec::new(),
        software: BTreeMap::from([("headworks".into(), "0.1.0".into())]),
        split_limits: None,
    };
    let whole = Span { offset: 0, len_bytes: BYTES.len() as u64 };
    let parts = vec![
        record(file, "1", None, "text/plain", BODY),
        record(file, "2", Some("Nodes.csv"), "text/csv", TABLE),
    ];
    Contents { about, message: Some(range(file, whole)), parts }
}

fn path() -> SubPath {
    "acme/hydrastor/alert/grid/20230113_120000".parse().unwrap()
}

fn at(name: &str) -> SubPath {
    path().join(name).unwrap()
}

fn names(volume: &Volume) -> Vec<String> {
    volume.list(&path()).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn put(volume: &Volume, name: &str, bytes: &[u8]) {
    volume.put(&at(name), Source::Bytes(bytes), Durable::AtSeal).unwrap();
}

/// Runs `test` on an empty directory volume and on an empty one in memory.
fn on_both(test: impl Fn(&Volume)) {
    let dir = tempfile::tempdir().unwrap();
    test(&Volume::open("inbox", dir.path(), None).unwrap());
    test(&Volume::memory("inbox", 1 << 20));
}

fn assert_whole(volume: &Volume) {
    assert_eq!(names(volume), ["001-part.txt", "002-nodes.csv", MANIFEST, MESSAGE]);
    let Found::Manifest(manifest) = read_manifest(volume, &path()).unwrap() else { panic!("no manifest") };
    assert_eq!(check(volume, &path(), &manifest).unwrap(), []);
}

#[test]
fn a_tree_holds_the_message_its_parts_and_a_manifest() {
    on_both(|volume| {
        let file = spooled();
        let contents = contents(&file, 7);
        let written = write(volume, &path(), &contents).unwrap();
        assert_eq!(written, Written::Made(Box::new(contents.manifest())));
        assert_whole(volume);
        assert_eq!(volume.read(&at(MESSAGE), 100).unwrap(), BYTES);
        assert_eq!(volume.read(&at("002-nodes.csv"), 100).unwrap(), b"a,b\n1,2\n");
    });
}

#[test]
fn a_second_run_adopts_the_tree_of_the_first_sealed_or_not() {
    on_both(|volume| {
        let file = spooled();
        let contents = contents(&file, 7);
        write(volume, &path(), &contents).unwrap();
        for _ in 0..2 {
            let again = write(volume, &path(), &contents).unwrap();
            assert_eq!(again, Written::Adopted(Box::new(contents.manifest())));
            volume.seal(&[path()]).unwrap();
        }
    });
}

#[test]
fn a_crash_after_any_number_of_files_is_made_good() {
    on_both(|volume| {
        let file = spooled();
        let contents = contents(&file, 7);
        let order = [MESSAGE, "001-part.txt", "002-nodes.csv", MANIFEST];
        write(volume, &path(), &contents).unwrap();
        let whole: Vec<_> = order.map(|name| (name, volume.read(&at(name), 10_000).unwrap())).into();
        for done in 0..order.len() {
            volume.remove_tree(&path()).unwrap();
            whole[..done].iter().for_each(|(name, bytes)| put(volume, name, bytes));
            assert_eq!(read_manifest(volume, &path()).unwrap(), Found::None);
            assert!(matches!(write(volume, &path(), &contents).unwrap(), Written::Made(_)), "after {done}");
            assert_whole(volume);
        }
    });
}

#[test]
fn right_files_of_a_partial_tree_are_kept_and_wrong_ones_replaced() {
    on_both(|volume| {
        put(volume, "001-part.txt", b"body\n");
        put(volume, "002-nodes.csv", b"");
        put(volume, "003-of-an-older-split.bin", b"x");
        put(volume, "directory/inside", b"x");
        let kept = volume.stat(&at("001-part.txt")).unwrap();
        write(volume, &path(), &contents(&spooled(), 7)).unwrap();
        assert_whole(volume);
        assert_eq!(volume.stat(&at("001-part.txt")).unwrap(), kept);
    });
}

#[test]
fn a_tree_that_lost_bytes_after_its_manifest_is_written_again_sealed_or_not() {
    on_both(|volume| {
        let file = spooled();
        for sealed in [false, true] {
            write(volume, &path(), &contents(&file, 7)).unwrap();
            volume.remove_file(&at(MESSAGE)).unwrap();
            put(volume, MESSAGE, b"");
            if sealed {
                volume.seal(&[path()]).unwrap();
            }
            assert!(matches!(write(volume, &path(), &contents(&file, 7)).unwrap(), Written::Made(_)));
            assert_whole(volume);
        }
    });
}

#[test]
fn a_manifest_that_lost_its_bytes_is_replaced() {
    on_both(|volume| {
        put(volume, MANIFEST, b"");
        assert!(matches!(read_manifest(volume, &path()).unwrap(), Found::Unreadable(_)));
        write(volume, &path(), &contents(&spooled(), 7)).unwrap();
        assert_whole(volume);
    });
}

#[test]
fn the_tree_of_another_delivery_is_left_alone() {
    on_both(|volume| {
        let file = spooled();
        write(volume, &path(), &contents(&file, 7)).unwrap();
        let written = write(volume, &path(), &contents(&file, 8)).unwrap();
        assert_eq!(written, Written::Taken(DeliveryId(Uuid::from_u128(7))));
        assert_whole(volume);
    });
}

#[test]
fn runs_that_race_leave_one_whole_tree() {
    on_both(|volume| {
        for _ in 0..20 {
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let written = write(volume, &path(), &contents(&spooled(), 7)).unwrap();
                        assert!(!matches!(written, Written::Taken(_)));
                    });
                }
            });
            assert_whole(volume);
            volume.remove_tree(&path()).unwrap();
        }
    });
}

#[test]
fn every_difference_is_listed_by_name() {
    on_both(|volume| {
        let file = spooled();
        let manifest = contents(&file, 7).manifest();
        write(volume, &path(), &contents(&file, 7)).unwrap();
        volume.remove_file(&at("001-part.txt")).unwrap();
        volume.remove_file(&at("002-nodes.csv")).unwrap();
        put(volume, "002-nodes.csv", b"a,b\n1,3\n");
        put(volume, "zzz", b"");
        let changed = Difference::Changed {
            name: "002-nodes.csv".into(),
            expected: Stored::of(b"a,b\n1,2\n"),
            found: Some(Stored::of(b"a,b\n1,3\n")),
        };
        let extra = Difference::Extra("zzz".into());
        let missing = Difference::Missing("001-part.txt".into());
        assert_eq!(check(volume, &path(), &manifest).unwrap(), [changed, extra, missing]);
        volume.remove_tree(&path()).unwrap();
        assert_eq!(check(volume, &path(), &manifest).unwrap().len(), 3);
    });
}

#[test]
fn a_full_volume_leaves_no_manifest() {
    let volume = Volume::memory("inbox", BYTES.len() as u64 + 20);
    let error = write(&volume, &path(), &contents(&spooled(), 7)).unwrap_err();
    assert_eq!(error.kind, VolumeErrorKind::Full);
    assert_eq!(read_manifest(&volume, &path()).unwrap(), Found::None);
}

#[test]
fn the_archive_has_the_exact_message_at_the_path_of_the_tree() {
    on_both(|volume| {
        let file = spooled();
        put(volume, MESSAGE, b"half of it");
        for _ in 0..2 {
            archive(volume, &path(), contents(&file, 7).message.unwrap()).unwrap();
            assert_eq!(volume.read(&at(MESSAGE), 100).unwrap(), BYTES);
        }
    });
}
