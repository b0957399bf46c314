//! What a real MinIO does.

use super::super::{Body, ObjectRef, ObjectStore, Put, StoreErrorKind as Kind};
use super::minio::{client, fresh_bucket, of_environment, runtime};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use sha2::Digest as _;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

/// More than goes in one request.
const LARGE_BYTES: u64 = (64 << 20) + 5;

fn put(store: &ObjectStore, at: ObjectRef<'_>, bytes: &[u8]) -> Put {
    let body = Body::Bytes(bytes.to_vec().into());
    runtime().block_on(store.put_new(at, &body, sha2::Sha256::digest(bytes).into())).unwrap()
}

#[test]
fn a_large_object_goes_in_parts_once_and_leaves_no_upload_behind() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let at = ObjectRef { bucket: &bucket, key: "large" };
    let file = tempfile::tempfile().unwrap();
    file.set_len(LARGE_BYTES + 7).unwrap();
    for place in [7, 7 + (16 << 20), LARGE_BYTES] {
        file.write_all_at(b"marks", place).unwrap();
    }
    let body = Body::File { file: Arc::new(file), offset: 7, len_bytes: LARGE_BYTES };
    let sha256 = body.sha256().unwrap();
    let write = || runtime().block_on(store.put_new(at, &body, sha256));
    assert_eq!(write().unwrap(), Put::New);
    assert_eq!(write().unwrap(), Put::Exists);
    assert_eq!(runtime().block_on(store.uploads(&bucket, "large")).unwrap(), []);
    let mut hash = sha2::Sha256::new();
    let mut keep = |bytes: &[u8]| {
        hash.update(bytes);
        Ok(())
    };
    assert_eq!(runtime().block_on(store.read(at, None, &mut keep)).unwrap(), LARGE_BYTES);
    assert_eq!(<[u8; 32]>::from(hash.finalize()), sha256);
}

#[test]
fn an_upload_whose_file_ends_early_is_aborted() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let at = ObjectRef { bucket: &bucket, key: "short" };
    let file: File = tempfile::tempfile().unwrap();
    file.set_len(1 << 20).unwrap();
    let body = Body::File { file: Arc::new(file), offset: 0, len_bytes: LARGE_BYTES };
    let error = runtime().block_on(store.put_new(at, &body, [0; 32])).unwrap_err();
    assert_eq!(error.kind, Kind::Local, "{error}");
    assert_eq!(runtime().block_on(store.uploads(&bucket, "short")).unwrap(), []);
    assert_eq!(runtime().block_on(store.head(at, None)).unwrap_err().kind, Kind::NotFound);
}

#[test]
fn an_upload_that_nobody_ended_is_found_and_can_be_aborted() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let at = ObjectRef { bucket: &bucket, key: "left" };
    runtime().block_on(store.0.client.create_multipart_upload().bucket(&bucket).key("left").send()).unwrap();
    let left = runtime().block_on(store.uploads(&bucket, "left")).unwrap();
    assert_eq!(left.iter().map(|upload| upload.key.as_str()).collect::<Vec<_>>(), ["left"]);
    for _ in 0..2 {
        runtime().block_on(store.abort(at, &left[0].id)).unwrap();
    }
    assert_eq!(runtime().block_on(store.uploads(&bucket, "left")).unwrap(), []);
}

#[test]
fn a_version_that_was_replaced_can_still_be_asked_about_and_read() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let at = ObjectRef { bucket: &bucket, key: "a b/ü" };
    let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let request = store.0.client.put_bucket_versioning().bucket(&bucket).versioning_configuration(versions);
    runtime().block_on(request.send()).unwrap();
    assert_eq!(put(&store, at, b"one"), Put::New);
    let first = runtime().block_on(store.head(at, None)).unwrap();
    runtime().block_on(store.delete(at)).unwrap();
    assert_eq!(runtime().block_on(store.head(at, None)).unwrap_err().kind, Kind::NotFound);
    assert_eq!(put(&store, at, b"three"), Put::New, "a removed object is not there");
    let second = runtime().block_on(store.head(at, None)).unwrap();
    assert_ne!(first.version, second.version);
    let version = first.version.as_deref();
    assert_eq!(runtime().block_on(store.head(at, version)).unwrap(), first);
    let mut bytes = Vec::new();
    let mut keep = |more: &[u8]| {
        bytes.extend_from_slice(more);
        Ok(())
    };
    runtime().block_on(store.read(at, version, &mut keep)).unwrap();
    assert_eq!(bytes, b"one");
}

#[test]
fn a_presigned_url_is_enough_to_read() {
    let Some((store, bucket)) = fresh_bucket() else { return };
    let at = ObjectRef { bucket: &bucket, key: "a" };
    put(&store, at, b"for everybody");
    let url = runtime().block_on(store.presigned_get(at, None, Duration::from_secs(60))).unwrap();
    let (host, target) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("for everybody"), "{answer}");
}

#[test]
fn a_wrong_secret_and_a_missing_bucket_are_told_apart() {
    let Some(right) = of_environment() else { return };
    let super::super::Login::Key { id, .. } = &right.login else { panic!("the root user has a key") };
    let wrong = super::minio::settings(right.endpoint.as_deref().unwrap(), id, "marker5e37-wrong");
    let error = runtime().block_on(client(wrong).objects("none", "", None)).unwrap_err();
    assert_eq!(error.kind, Kind::Login, "{error}");
    assert!(error.to_string().contains("see s3.main.access_key and secret_key"), "{error}");
    assert!(!error.to_string().contains("marker5e37"));
    let error = runtime().block_on(client(right).objects("no-such-bucket", "", None)).unwrap_err();
    assert_eq!(error.kind, Kind::NoBucket, "{error}");
}
