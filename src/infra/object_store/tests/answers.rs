//! Answers that a store gives seldom, and what is made of them.

use super::super::{
    Body, Checksums, Login, ObjectRef, ObjectStore, Put, Settings, StoreError, StoreErrorKind as Kind,
};
use super::minio::{client, runtime, settings};
use super::stub::{Reply, Request, Stub};
use sha2::Digest as _;
use std::time::Duration;

const AT: ObjectRef<'_> = ObjectRef { bucket: "hw", key: "a/b" };

fn store(stub: &Stub) -> ObjectStore {
    client(settings(&stub.endpoint, "id", "marker5e37"))
}

fn put(store: &ObjectStore, bytes: &'static [u8]) -> Result<Put, StoreError> {
    let body = Body::Bytes(bytes.into());
    runtime().block_on(store.put_new(AT, &body, sha2::Sha256::digest(bytes).into()))
}

fn head(store: &ObjectStore) -> Result<u64, StoreError> {
    runtime().block_on(store.head(AT, None)).map(|object| object.len_bytes)
}

#[test]
fn a_conflict_is_tried_again_and_an_object_that_is_there_is_left_alone() {
    let stub = Stub::start(|_, before| match before {
        0 | 1 => Reply::error(409, "ConditionalRequestConflict"),
        2 => Reply::status(200),
        _ => Reply::error(412, "PreconditionFailed"),
    });
    let store = store(&stub);
    assert_eq!(put(&store, b"one").unwrap(), Put::New);
    let seen = stub.requests();
    assert_eq!(seen.len(), 3);
    assert!(
        seen.iter().all(|request| request.header("if-none-match") == Some("*") && request.body == b"one")
    );
    assert_eq!(put(&store, b"one").unwrap(), Put::Exists);
}

#[test]
fn a_conflict_that_does_not_end_is_temporary() {
    let stub = Stub::start(|_, _| Reply::error(409, "OperationAborted"));
    let error = put(&store(&stub), b"one").unwrap_err();
    assert_eq!((error.kind, error.is_temporary()), (Kind::Conflict, true));
}

#[test]
fn every_refusal_has_its_kind_and_one_line_that_names_the_setting() {
    let cases = [
        (403, "AccessDenied", Kind::Denied, None),
        (403, "SignatureDoesNotMatch", Kind::Login, Some("s3.main.access_key and secret_key")),
        (403, "RequestTimeTooSkewed", Kind::Login, Some("s3.main.access_key and secret_key")),
        (404, "NoSuchBucket", Kind::NoBucket, None),
        (404, "NoSuchKey", Kind::NotFound, None),
        (403, "InvalidObjectState", Kind::Archived, None),
        (400, "AuthorizationHeaderMalformed", Kind::Region, Some("s3.main.region")),
        (501, "NotImplemented", Kind::Unsupported, Some("s3.main.checksums")),
        (418, "Teapot", Kind::Other, None),
    ];
    for (status, code, kind, setting) in cases {
        let stub = Stub::start(move |_, _| Reply::error(status, code));
        let error = runtime().block_on(store(&stub).objects("hw", "", None)).unwrap_err();
        assert_eq!((error.kind, error.setting.as_deref()), (kind, setting), "{code}");
        let line = error.to_string();
        assert!(
            line.starts_with("s3.main: list hw/: ") && line.contains(code) && !line.contains('\n'),
            "{line}"
        );
        assert!(!line.contains("marker5e37") && !error.is_temporary());
    }
    for (status, kind) in
        [(403, Kind::Denied), (404, Kind::NotFound), (401, Kind::Login), (412, Kind::Precondition)]
    {
        let stub = Stub::start(move |_, _| Reply::status(status));
        assert_eq!(head(&store(&stub)).unwrap_err().kind, kind, "HEAD has no code, {status}");
    }
}

#[test]
fn a_store_in_trouble_is_asked_again_and_then_told_as_temporary() {
    let stub =
        Stub::start(|_, before| if before == 0 { Reply::error(503, "SlowDown") } else { Reply::status(200) });
    head(&store(&stub)).unwrap();
    assert_eq!(stub.requests().len(), 2);
    let stub = Stub::start(|_, _| Reply::error(503, "SlowDown"));
    let error = head(&store(&stub)).unwrap_err();
    assert_eq!((error.kind, error.is_temporary(), stub.requests().len()), (Kind::SlowDown, true, 3));
}

#[test]
fn a_store_that_is_away_is_told_with_its_endpoint() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = head(&client(settings(&format!("http://{free}"), "id", "secret"))).unwrap_err();
    assert_eq!((error.kind, error.is_temporary()), (Kind::Away, true));
    assert_eq!(error.setting.as_deref(), Some("s3.main.endpoint"));
    assert!(error.to_string().contains(&format!("http://{free}")), "{error}");
}

#[test]
fn a_login_without_keys_is_told_as_such() {
    let stub = Stub::start(|_, _| Reply::status(200));
    let of = |login| client(Settings { login, ..settings(&stub.endpoint, "", "") });
    let nowhere = of(Login::Profile { name: "nobody".into(), file: Some("/nowhere/at/all".into()) });
    let error = head(&nowhere).unwrap_err();
    assert_eq!((error.kind, error.setting.as_deref()), (Kind::Login, Some("s3.main.profile")), "{error}");
    assert!(stub.requests().is_empty());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "[here]\naws_access_key_id = marker-id\naws_secret_access_key = s\n").unwrap();
    head(&of(Login::Profile { name: "here".into(), file: Some(file.path().into()) })).unwrap();
    let seen = stub.requests();
    assert!(seen[0].header("authorization").unwrap().contains("marker-id"), "{seen:?}");
}

/// As an old store that knows nothing of checksums and of chunks with signatures.
fn old_store(request: &Request, _: usize) -> Reply {
    let odd = |name: &str| name.contains("checksum") || name == "x-amz-trailer";
    let chunked = request.header("content-encoding").is_some_and(|coding| coding.contains("aws-chunked"));
    match chunked || request.headers.iter().any(|(name, _)| odd(name)) {
        true => Reply::error(501, "NotImplemented"),
        false => Reply::status(200),
    }
}

#[test]
fn a_store_that_knows_no_checksums_works_when_they_are_left_out() {
    let stub = Stub::start(old_store);
    let with = settings(&stub.endpoint, "id", "secret");
    let error = put(&client(with.clone()), b"one").unwrap_err();
    assert_eq!((error.kind, error.setting.as_deref()), (Kind::Unsupported, Some("s3.main.checksums")));
    let without = client(Settings { checksums: Checksums::WhenRequired, ..with });
    assert_eq!(put(&without, b"one").unwrap(), Put::New);
    assert_eq!(stub.requests().last().unwrap().body, b"one");
    let file = tempfile::tempfile().unwrap();
    file.set_len(1000).unwrap();
    let body = Body::File { file: file.into(), offset: 100, len_bytes: 300 };
    runtime().block_on(without.put_new(AT, &body, [0; 32])).unwrap();
    assert_eq!(stub.requests().last().unwrap().body, [0; 300]);
}

#[test]
fn a_body_that_breaks_off_is_gone_on_with_and_another_object_is_not() {
    let replies = |request: &Request, before: usize| {
        let headers = vec![("ETag", "\"e\"".to_owned())];
        match (before, request.header("range"), request.header("if-match")) {
            (0, None, None) => Reply { status: 200, headers, body: b"0123456789".into(), cut: 4 },
            (1, Some("bytes=6-"), Some("\"e\"")) => {
                let headers = [headers, vec![("Content-Range", "bytes 6-9/10".into())]].concat();
                Reply { status: 206, headers, body: b"6789".into(), cut: 0 }
            }
            _ => Reply::error(412, "PreconditionFailed"),
        }
    };
    let stub = Stub::start(replies);
    let mut got = Vec::new();
    let mut keep = |bytes: &[u8]| {
        got.extend_from_slice(bytes);
        Ok(())
    };
    let len = runtime().block_on(store(&stub).read(AT, None, &mut keep)).unwrap();
    assert_eq!((len, got.as_slice()), (10, &b"0123456789"[..]));

    let stub = Stub::start(move |request, before| replies(request, before * 2));
    let error = runtime().block_on(store(&stub).read(AT, None, &mut |_| Ok(()))).unwrap_err();
    assert_eq!(error.kind, Kind::Precondition);
}

#[test]
fn bytes_that_do_not_have_their_checksum_are_refused() {
    let stub = Stub::start(|_, _| Reply {
        status: 200,
        headers: vec![("ETag", "\"e\"".into()), ("x-amz-checksum-sha256", format!("{}=", "A".repeat(43)))],
        body: b"other bytes".into(),
        cut: 0,
    });
    let error = runtime().block_on(store(&stub).read(AT, None, &mut |_| Ok(()))).unwrap_err();
    assert_eq!((error.kind, error.is_temporary()), (Kind::Damaged, false), "{error}");
}

#[test]
fn a_presigned_url_has_no_secret_and_ends() {
    let stub = Stub::start(|_, _| Reply::status(200));
    let store = store(&stub);
    let signed = store.presigned_get(AT, Some("v 1"), Duration::from_secs(60));
    // Signing sends nothing.
    let url = runtime().block_on(signed).unwrap();
    assert!(url.starts_with(&format!("{}/hw/a/b?", stub.endpoint)), "{url}");
    assert!(url.contains("X-Amz-Expires=60") && url.contains("versionId=v%201"), "{url}");
    assert!(!url.contains("marker5e37") && stub.requests().is_empty());
}

#[test]
fn ca_certificates_that_cannot_be_read_are_told_with_their_setting() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let empty = tempfile::NamedTempFile::new().unwrap();
    for ca in [file.path(), empty.path(), "/nowhere/at/all".as_ref()] {
        let wrong = Settings { ca: Some(ca.into()), ..settings("https://127.0.0.1:1", "id", "secret") };
        let _guard = runtime().enter();
        let error = ObjectStore::new(wrong).unwrap_err();
        assert_eq!((error.kind, error.setting.as_deref()), (Kind::Tls, Some("s3.main.ca")), "{error}");
        assert!(error.to_string().contains(ca.to_str().unwrap()), "{error}");
    }
}
