//! What only a bucket does: its marker, its store, and what crashes leave there. The promises of every volume are in
//! `conformance`.

use super::super::{BucketSettings, Durable, Placed, Source, SubPath, Volume, VolumeErrorKind as Kind};
use crate::infra::object_store::tests::minio::{client, fresh_bucket, runtime, settings};
use crate::infra::object_store::tests::stub::{Reply, Stub};
use crate::infra::object_store::{ObjectRef, ObjectStore};
use std::io::{Read, Write};
use std::time::Duration;
use uuid::Uuid;

fn at(path: &str) -> SubPath {
    path.parse().unwrap()
}

fn place(store: &ObjectStore, bucket: &str, prefix: &str) -> BucketSettings {
    let tmp = std::env::temp_dir();
    BucketSettings { store: store.clone(), bucket: bucket.into(), prefix: prefix.into(), tmp }
}

/// Opens a volume on a thread that has the runtime and is none of its own.
fn open(settings: BucketSettings, registered: Option<Uuid>) -> Result<Volume, (Kind, String)> {
    let _guard = runtime().enter();
    let opened = Volume::open_bucket("inbox", settings, registered);
    opened.map_err(|error| (error.kind, format!("{error}: {}", error.source)))
}

#[test]
fn first_use_makes_a_marker_and_later_use_finds_it() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let id = open(place(&store, &bucket, "in"), None).unwrap().id();
    for registered in [None, Some(id)] {
        assert_eq!(open(place(&store, &bucket, "in"), registered).unwrap().id(), id);
    }
    let keys = runtime().block_on(store.objects(&bucket, "", None)).unwrap();
    let keys: Vec<_> = keys.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["in/.headworks-volume"], "nothing of the probe is left");
}

#[test]
fn another_marker_none_and_a_missing_bucket_are_refused() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let registered = Uuid::from_u128(7);
    let (kind, why) = open(place(&store, &bucket, "in"), Some(registered)).unwrap_err();
    assert_eq!(kind, Kind::Foreign);
    assert!(why.contains(&registered.to_string()) && why.contains("right bucket"), "{why}");
    let there = open(place(&store, &bucket, "in"), None).unwrap().id();
    let (kind, why) = open(place(&store, &bucket, "in"), Some(registered)).unwrap_err();
    assert!(kind == Kind::Foreign && why.contains(&there.to_string()), "{why}");
    let (kind, why) = open(place(&store, "no-such-bucket", ""), None).unwrap_err();
    assert_eq!(kind, Kind::Foreign, "{why}");
    assert!(why.contains("s3.main") && why.contains("no such bucket"), "{why}");
}

#[test]
fn whoever_only_looks_writes_nothing() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let _guard = runtime().enter();
    let error = Volume::look_into_bucket("inbox", place(&store, &bucket, ""), None).unwrap_err();
    assert_eq!(error.kind, Kind::Foreign);
    assert_eq!(runtime().block_on(store.objects(&bucket, "", None)).unwrap(), []);
}

#[test]
fn an_open_volume_notices_that_its_marker_is_gone() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let volume = open(place(&store, &bucket, ""), None).unwrap();
    volume.check().unwrap();
    volume.try_write().unwrap();
    let marker = ObjectRef { bucket: &bucket, key: ".headworks-volume" };
    runtime().block_on(store.delete(marker)).unwrap();
    assert_eq!(volume.check().unwrap_err().kind, Kind::Foreign);
    assert_eq!(runtime().block_on(store.objects(&bucket, "", None)).unwrap(), []);
}

#[test]
fn two_volumes_of_one_bucket_do_not_see_each_other() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let (one, two) =
        (open(place(&store, &bucket, "a"), None).unwrap(), open(place(&store, &bucket, "ab"), None).unwrap());
    two.put(&at("x/y"), Source::Bytes(b"2"), Durable::Now).unwrap();
    assert_eq!(one.list(&SubPath::root()).unwrap(), []);
    assert!(!one.remove_tree(&at("x")).unwrap());
    assert_eq!(two.read(&at("x/y"), 1).unwrap(), b"2");
}

#[test]
fn a_volume_can_be_used_on_a_thread_of_its_runtime() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let used = runtime().spawn(async move {
        let volume = Volume::open_bucket("inbox", place(&store, &bucket, ""), None).unwrap();
        volume.put(&at("a"), Source::Bytes(b"1"), Durable::Now).unwrap()
    });
    assert!(matches!(runtime().block_on(used).unwrap(), Placed::New(_)));
}

#[test]
fn a_file_is_a_copy_for_reading_only() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let volume = open(place(&store, &bucket, ""), None).unwrap();
    volume.put(&at("a"), Source::Bytes(b"1"), Durable::Now).unwrap();
    for mut file in [volume.open_file(&at("a")).unwrap(), volume.open_range(&at("a"), 0, 1).unwrap()] {
        assert!(file.write_all(b"2").is_err(), "module processes refuse what they could write to");
    }
}

#[test]
fn a_file_above_64_mib_is_stored_once_and_read_back() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let volume = open(place(&store, &bucket, ""), None).unwrap();
    let bytes = || std::io::repeat(3).take((64 << 20) + 1);
    let placed = volume.put(&at("big"), Source::Reader(&mut bytes()), Durable::Now).unwrap();
    let Placed::New(stored) = placed else { panic!("{placed:?}") };
    let again = volume.put(&at("big"), Source::Reader(&mut bytes()), Durable::Now).unwrap();
    assert_eq!(again, Placed::Same(stored));
    assert_eq!(volume.open_file(&at("big")).unwrap().metadata().unwrap().len(), stored.len_bytes);
}

#[test]
fn a_store_that_overwrites_is_refused_with_its_name() {
    let stub = Stub::start(|_, _| Reply::status(200));
    let store = client(settings(&stub.endpoint, "id", "secret"));
    let (kind, why) = open(place(&store, "hw", "in"), None).unwrap_err();
    assert_eq!(kind, Kind::Unsuitable);
    assert!(why.contains("s3.main overwrites objects in spite of `If-None-Match: *`"), "{why}");
    let methods: Vec<_> = stub.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["PUT", "PUT", "DELETE"], "nothing of it stays");
}

#[test]
fn old_uploads_are_swept_and_young_ones_left_alone() {
    const LIST: &str = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>\
        <Upload><Key>in/old</Key><UploadId>1</UploadId><Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>\
        <Upload><Key>in/young</Key><UploadId>2</UploadId><Initiated>2999-01-01T00:00:00.000Z</Initiated></Upload>\
        </ListMultipartUploadsResult>";
    let marker = format!("headworks-volume/1\n{}\ninbox\n", Uuid::from_u128(7));
    let stub = Stub::start(move |request, _| match request.method.as_str() {
        "GET" if request.target.contains("uploads") => {
            assert!(request.target.contains("prefix=in%2F"), "{}", request.target);
            Reply { body: LIST.into(), ..Reply::status(200) }
        }
        "GET" => {
            let headers = vec![("Content-Range", format!("bytes 0-{}/{0}", marker.len()))];
            Reply { body: marker.clone().into(), headers, ..Reply::status(206) }
        }
        "DELETE" => Reply::status(204),
        _ => Reply::error(412, "PreconditionFailed"),
    });
    let store = client(settings(&stub.endpoint, "id", "secret"));
    let volume = open(place(&store, "hw", "in"), Some(Uuid::from_u128(7))).unwrap();
    assert_eq!(volume.sweep(Duration::from_secs(3600)).unwrap(), 1);
    let last = stub.requests().pop().unwrap();
    assert!(
        last.method == "DELETE" && last.target.contains("/in/old?") && last.target.contains("uploadId=1")
    );
}

#[test]
fn a_store_that_is_away_is_a_failure_of_the_volume_that_names_it() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = client(settings(&format!("http://{free}"), "id", "secret"));
    let (kind, why) = open(place(&store, "hw", ""), Some(Uuid::from_u128(7))).unwrap_err();
    assert_eq!(kind, Kind::Unreachable);
    assert!(why.contains("s3.main") && why.contains("see s3.main.endpoint"), "{why}");
}
