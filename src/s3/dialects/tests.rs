//! The recognition table row by row, and what a hostile message must not do (contract section 8).

use super::{Dialect, Found, Limits, Message, Poison, Question, Reading, Reason, read};
use crate::s3::event::{Encoding, Event, Kind, Vendor};
use proptest::prelude::*;

const RECORD: &str = r#"{"eventName":"ObjectCreated:Put","eventSource":"aws:s3","eventTime":"2026-03-14T09:26:53Z","s3":{"bucket":{"name":"b"},"object":{"key":"k+1"}}}"#;

fn request<'a>(method: &'a str, headers: &'a [(&'a str, &'a [u8])], body: &'a str) -> Message<'a> {
    Message { method, headers, ..Message::queued(body.as_bytes()) }
}

fn reading(message: Message<'_>) -> Reading {
    read(&message, None, &Limits::default())
}

fn of(body: &str) -> Reading {
    reading(request("POST", &[], body))
}

fn event(body: &str) -> Event {
    let reading = of(body);
    assert_eq!((reading.events().len(), reading.poison()), (1, [].as_slice()), "{body}");
    reading.events()[0].clone()
}

fn poison(body: &str) -> Poison {
    let reading = of(body);
    assert_eq!((reading.events().len(), reading.poison().len()), (0, 1), "{reading:?}");
    reading.poison()[0].clone()
}

fn records(records: &str) -> String {
    format!(r#"{{"Records":[{records}]}}"#)
}

fn sns(message: &str) -> String {
    let message = serde_json::to_string(message).unwrap();
    format!(
        r#"{{"Type":"Notification","MessageId":"m","TopicArn":"t","Timestamp":"now","Message":{message}}}"#
    )
}

/// Row, message, and what its rows are.
fn rows(check: impl Fn(usize, Message<'_>, &[Dialect])) {
    use Dialect::*;
    let form: &[(&str, &[u8])] = &[("Content-Type", b"application/x-www-form-urlencoded; charset=UTF-8")];
    let raw: &[(&str, &[u8])] = &[("X-Amz-Sns-Rawdelivery", b"true")];
    let typed: &[(&str, &[u8])] = &[("x-amz-sns-message-type", b"Notification")];
    let cloud: &[(&str, &[u8])] = &[("CE-SpecVersion", b"1.0"), ("ce-type", b"com.amazonaws.x")];
    let whole = records(RECORD);
    let enveloped = sns(&whole);
    let published = format!("Action=Publish&Message={}", whole.replace('+', "%2B"));
    let bridged = r#"{"detail-type":"Object Created","source":"aws.s3","detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}"#;
    let cloudy = format!(r#"{{"specversion":"1.0","type":"t","data":{RECORD}}}"#);
    check(1, request("HEAD", &[], ""), &[Probe]);
    check(1, request("GET", &[], &whole), &[Probe]);
    check(2, request("POST", &[], ""), &[EmptyPost]);
    check(3, Message { path: "/_cluster/health", ..request("GET", &[], "") }, &[Elastic]);
    check(3, Message { path: "/_resolve/index/a/b", ..request("GET", &[], "") }, &[Elastic]);
    check(3, Message { path: "/i/_doc/1", ..request("PUT", &[], &whole) }, &[Elastic, Records]);
    check(3, Message { path: "/i/t/1", is_elastic: true, ..request("DELETE", &[], "") }, &[Elastic]);
    check(4, request("POST", raw, &whole), &[SnsRaw, Records]);
    check(5, request("POST", typed, &enveloped), &[Sns, Records]);
    check(5, request("POST", &[], &enveloped), &[Sns, Records]);
    check(6, request("POST", form, &published), &[Publish, Records]);
    check(7, request("POST", cloud, &whole), &[CloudEventHeaders, Records]);
    check(7, request("POST", cloud, RECORD), &[CloudEventHeaders, BareRecord]);
    check(8, request("POST", &[], &whole), &[Records]);
    check(8, request("POST", &[], &whole.replace("Records", "records")), &[Records]);
    check(9, request("POST", &[], &format!("[{RECORD}]")), &[RecordArray]);
    check(10, request("POST", &[], RECORD), &[BareRecord]);
    check(11, request("POST", &[], bridged), &[EventBridge]);
    check(12, request("POST", &[], &cloudy), &[CloudEvent, BareRecord]);
    check(13, request("POST", &[], r#"{"Event":"s3:TestEvent","Bucket":"b"}"#), &[TestEvent]);
    check(14, request("POST", &[], r#"{"key":"/x","event_type":"create","message":{}}"#), &[Seaweedfs]);
    check(15, request("POST", &[], r#"{"events":[{"eventType":"b2:TestEvent"}]}"#), &[B2]);
    check(16, request("POST", &[], r#"{"bucket":"b","key":"k","md5":"0"}"#), &[SearchDocument]);
    check(17, request("POST", &[], r#""test notification""#), &[NoobaaTest]);
    check(18, request("POST", &[], "{}"), &[Unknown]);
    check(18, request("PUT", &[], "hello"), &[Unknown]);
}

#[test]
fn every_row_of_the_table_takes_its_messages() {
    let seen = std::cell::RefCell::new(std::collections::BTreeSet::new());
    rows(|row, message, dialects| {
        let reading = reading(message);
        assert_eq!(reading.dialects, dialects, "row {row}: {reading:?}");
        assert_eq!(super::TABLE[row - 1].dialect, dialects[0], "row {row}");
        seen.borrow_mut().insert(row);
    });
    assert_eq!(seen.into_inner().len(), super::TABLE.len());
}

#[test]
fn the_first_row_wins() {
    let raw: &[(&str, &[u8])] =
        &[("x-amz-sns-rawdelivery", b"true"), ("ce-specversion", b"1.0"), ("ce-type", b"t")];
    assert_eq!(reading(request("POST", raw, RECORD)).dialects, [Dialect::SnsRaw, Dialect::BareRecord]);
    let both =
        format!(r#"{{"Records":[{RECORD}],"Event":"s3:TestEvent","specversion":"1","type":"t","data":1}}"#);
    assert_eq!(of(&both).dialects, [Dialect::Records]);
    let enveloped = sns("{}").replacen('{', r#"{"Records":[],"#, 1);
    assert_eq!(of(&enveloped).dialects[0], Dialect::Sns);
}

#[test]
fn json_is_tried_whatever_the_content_type_says() {
    for content_type in
        [b"text/plain; charset=UTF-8".as_slice(), b"application/octet-stream", b"", b"nonsense"]
    {
        let headers: &[(&str, &[u8])] = &[("content-type", content_type)];
        assert_eq!(reading(request("POST", headers, &records(RECORD))).events().len(), 1);
    }
    assert_eq!(event(&format!("\u{FEFF} {}\n", records(RECORD))).bucket, "b");
}

#[test]
fn a_broken_record_is_poison_alone_with_its_place() {
    let no_key = RECORD.replace(r#""key":"k+1""#, r#""size":1"#);
    let body = records(&[RECORD, &no_key, "7", &RECORD.replace("\"b\"", "\"a/b\""), RECORD].join(","));
    let reading = of(&body);
    assert_eq!(reading.events().iter().map(|event| event.position).collect::<Vec<_>>(), [0, 4]);
    let places: Vec<String> = reading.poison().iter().map(ToString::to_string).collect();
    let expected = [
        "needed and missing at /Records/1/s3/object/key",
        "of another type than needed at /Records/2",
        "not a name of a bucket at /Records/3/s3/bucket/name",
    ];
    assert_eq!(places, expected);
    let inner = of(&sns(&records(&no_key)));
    assert_eq!(inner.poison()[0].place, "/Message/Records/0/s3/object/key");
    assert_eq!(of(&sns("no json")).poison()[0].to_string(), "no JSON at /Message byte 0");
}

#[test]
fn what_decides_must_not_be_given_twice() {
    let twice =
        |name: &str, value: &str, text: &str| text.replacen('{', &format!(r#"{{"{name}":{value},"#), 1);
    let whole = records(RECORD);
    assert_eq!(poison(&twice("Records", "[]", &whole)).reason, Reason::Repeated);
    assert_eq!(poison(&twice("records", "[]", &whole)).reason, Reason::Repeated);
    for name in ["Message", "TopicArn", "MessageId", "SigningCertUrl"] {
        let enveloped = sns(&whole).replacen('{', r#"{"SigningCertURL":"https://x","#, 1);
        assert_eq!(poison(&twice(name, r#""x""#, &enveloped)).reason, Reason::Repeated, "{name}");
    }
    assert_eq!(
        poison(&twice("Signature", r#""x""#, &twice("Signature", r#""y""#, &sns(&whole)))).reason,
        Reason::Repeated
    );
    for name in ["eventName", "eventSource", "s3", "eventTime"] {
        assert_eq!(poison(&records(&twice(name, "\"x\"", RECORD))).reason, Reason::Repeated, "{name}");
    }
    let key = RECORD.replace(r#""key":"#, r#""key":"other","key":"#);
    assert_eq!(poison(&records(&key)).to_string(), "given twice at /Records/0/s3/object/key");
    let form: &[(&str, &[u8])] = &[("content-type", b"application/x-www-form-urlencoded")];
    let reading = reading(request("POST", form, "Message=%7B%7D&Message=%7B%7D"));
    assert_eq!(reading.poison()[0].reason, Reason::Repeated);
}

#[test]
fn every_limit_is_the_callers() {
    let limits = Limits { body_bytes: 1000, records: 2, depth: 5, wrappers: 1 };
    let reason = |body: &str| {
        let reading = read(&request("POST", &[], body), None, &limits);
        reading.poison().first().map(|poison| poison.reason)
    };
    assert_eq!(reason(&records(&[RECORD; 2].join(","))), None);
    assert_eq!(reason(&records(&[RECORD; 3].join(","))), Some(Reason::TooMany));
    assert_eq!(reason(&" ".repeat(1001)), Some(Reason::TooLarge));
    assert_eq!(reason(&format!("{}1{}", "[".repeat(6), "]".repeat(6))), Some(Reason::TooDeep));
    let cloudy = format!(r#"{{"specversion":"1.0","type":"t","data":{RECORD}}}"#);
    assert_eq!(reason(&sns(RECORD)), None);
    assert_eq!(reason(&sns(&cloudy)), Some(Reason::TooWrapped));
    assert_eq!(of(&sns(&sns(RECORD))).poison()[0].reason, Reason::TooWrapped);
}

#[test]
fn a_source_may_say_how_its_keys_are_written() {
    let body = records(RECORD);
    for (encoding, key) in [(None, "k 1"), (Some(Encoding::Form), "k 1"), (Some(Encoding::Plain), "k+1")] {
        let reading = read(&request("POST", &[], &body), encoding, &Limits::default());
        assert_eq!(reading.events()[0].key.text(), Some(key), "{encoding:?}");
    }
}

#[test]
fn the_sender_is_told_by_its_records() {
    for (source, vendor) in [
        ("aws:s3", Vendor::Aws),
        ("minio:s3", Vendor::Minio),
        ("rustfs:s3", Vendor::Rustfs),
        ("sgws:s3", Vendor::Storagegrid),
        ("ceph:s3", Vendor::Ceph),
        ("scality:s3", Vendor::Zenko),
        ("my-system:s3", Vendor::Noobaa),
        ("else", Vendor::Unknown),
        ("", Vendor::Unknown),
    ] {
        assert_eq!(event(&records(&RECORD.replace("aws:s3", source))).vendor, vendor, "{source}");
    }
    for mark in [r#""configurationId":"webhook-global","bucket""#, r#""bucket""#] {
        let user = if mark.contains("global") { "" } else { r#""userIdentity":{"PrincipalId":"p"},"# };
        let record = RECORD.replace(r#""bucket""#, mark).replacen('{', &format!("{{{user}"), 1);
        assert_eq!(event(&records(&record)).vendor, Vendor::Versitygw, "{record}");
    }
}

#[test]
fn a_sender_that_leaves_doubt_has_a_second_reading_of_its_key() {
    let other = |source: &str| event(&records(&RECORD.replace("aws:s3", source))).key.other_reading();
    for source in ["sgws:s3", "my-system:s3", "else"] {
        assert_eq!(other(source), Some(b"k 1".to_vec()), "{source}");
    }
    for source in ["aws:s3", "minio:s3", "rustfs:s3", "ceph:s3", "scality:s3"] {
        assert_eq!(other(source), None, "{source}");
    }
    let beside = |key: &str| {
        let whole = records(&RECORD.replace("aws:s3", "minio:s3"));
        event(&whole.replacen('{', &format!(r#"{{"EventName":"x","Key":"b/{key}","#), 1)).key
    };
    assert_eq!(beside("k 1").text(), Some("k 1"));
    assert_eq!(beside("k+1").text(), Some("k+1"));
    assert_eq!(beside("something else").text(), Some("k 1"));
}

#[test]
fn a_key_of_any_bytes_is_kept_and_decoded_once() {
    for key in [
        "../../x",
        "/abs",
        "a/./b",
        "a//b",
        "C:\\\\x",
        "..%2f",
        "%252e",
        "nul\\u0000",
        "line\\nfeed",
        "dot. ",
    ] {
        let body = records(&RECORD.replace("aws:s3", "ceph:s3").replace("k+1", key));
        let expected: String = serde_json::from_str(&format!("\"{key}\"")).unwrap();
        assert_eq!(event(&body).key.text(), Some(expected.as_str()));
    }
    let body = records(&RECORD.replace("aws:s3", "ceph:s3"));
    let bytes: Vec<u8> = body.bytes().map(|b| if b == b'+' { 0xFF } else { b }).collect();
    let reading = read(&Message { method: "POST", ..Message::queued(&bytes) }, None, &Limits::default());
    assert_eq!(reading.events()[0].key.bytes(), b"k\xFF1");
    assert_eq!(event(&records(&RECORD.replace("k+1", "%252e%FF"))).key.bytes(), b"%2e\xFF");
}

#[test]
fn optional_members_may_be_odd_and_needed_ones_may_not() {
    let odd = RECORD.replacen(
        '{',
        r#"{"userIdentity":[],"responseElements":"x","awsRegion":{},"eventVersion":7,"#,
        1,
    );
    let odd =
        odd.replace("2026-03-14T09:26:53Z", "yesterday").replace(r#""key""#, r#""size":-1,"eTag":5,"key""#);
    let event = event(&records(&odd));
    assert_eq!(
        (event.size_bytes, event.event_time, event.actor, event.flags.newer),
        (None, None, None, true)
    );
    for (name, wrong) in [
        ("\"b\"", "7"),
        ("\"b\"", "\"\""),
        ("\"b\"", "\"a\\u0000\""),
        ("\"k+1\"", "null"),
        ("\"k+1\"", "\"\""),
    ] {
        poison(&records(&RECORD.replace(name, wrong)));
    }
    assert_eq!(
        poison(&records(&RECORD.replace("\"b\"", &format!("\"{}\"", "b".repeat(256))))).reason,
        Reason::BadBucket
    );
}

#[test]
fn sizes_are_numbers_or_texts_and_the_null_version_is_none() {
    let with = |members: &str| event(&records(&RECORD.replace(r#""key""#, &format!(r#"{members},"key""#))));
    assert_eq!(with(r#""size":"48213""#).size_bytes, Some(48213));
    assert_eq!(with(r#""size":18446744073709551615"#).size_bytes, Some(u64::MAX));
    assert_eq!(with(r#""size":18446744073709551616"#).size_bytes, None);
    let null = with(r#""versionId":"null","eTag":"\"AB-2\"""#);
    assert_eq!((null.version, null.flags.null_version, null.etag.as_deref()), (None, true, Some("AB-2")));
    assert_eq!(with(r#""versionId":"""#).version, None);
}

#[test]
fn an_address_in_a_record_is_information_only() {
    let forged = RECORD.replacen(
        '{',
        r#"{"responseElements":{"x-minio-origin-endpoint":"http://169.254.169.254/"},"#,
        1,
    );
    let (forged, plain) = (event(&records(&forged)), event(&records(RECORD)));
    assert_eq!(forged.origin.as_deref(), Some("http://169.254.169.254/"));
    assert_eq!(Event { origin: None, ..forged }, plain);
}

#[test]
fn the_same_event_has_the_same_delivery_id_and_another_has_not() {
    let ids = |body: &str, source: &str| {
        let reading = of(body);
        reading.events().iter().map(|event| reading.delivery_id(source, event)).collect::<Vec<_>>()
    };
    let one = ids(&records(RECORD), "s");
    assert!(one[0].is_some());
    assert_eq!(one, ids(&format!(" {} ", records(RECORD)), "s"));
    for other in [("k+1", "k+2"), ("\"b\"", "\"c\""), ("53Z", "54Z"), ("Put", "Post")] {
        assert_ne!(one, ids(&records(&RECORD.replace(other.0, other.1)), "s"), "{other:?}");
    }
    assert_ne!(one, ids(&records(RECORD), "another source"));
    let two = ids(&records(&[RECORD, RECORD].join(",")), "s");
    assert_ne!(two[0], two[1]);
    assert_eq!(
        ids(&sns(RECORD), "s"),
        ids(&sns(&RECORD.replace("53Z", "54Z")), "s"),
        "by the id of the envelope"
    );
    let document = r#"{"bucket":"b","key":"k","md5":"0"}"#;
    assert_eq!(ids(document, "s"), [None], "put, delete, put of one document are three events");
}

#[test]
fn questions_of_elasticsearch_are_told_apart() {
    let asked = |method: &str, path: &str, is_elastic: bool| {
        let reading = reading(Message { path, is_elastic, ..request(method, &[], "") });
        (reading.found, reading.document)
    };
    let question = |method: &str, path: &str| match asked(method, path, true).0 {
        Found::Question(question) => Some(question),
        _ => None,
    };
    assert_eq!(question("GET", "/"), Some(Question::Banner));
    assert_eq!(question("HEAD", ""), Some(Question::Banner));
    assert_eq!(question("GET", "/_cluster/health"), Some(Question::Health));
    assert_eq!(question("GET", "/_resolve/index/notify%2Fall"), Some(Question::Resolve("notify/all".into())));
    assert_eq!(question("PUT", "/notify/all"), Some(Question::CreateIndex("notify/all".into())));
    assert_eq!(question("HEAD", "/notify/all/_doc/x"), Some(Question::Exists));
    let (found, document) = asked("DELETE", "/notify/all/b_a%2Fb+c//d%2520", true);
    assert_eq!(found, Found::Deleted);
    let document = document.unwrap();
    assert_eq!(
        (document.index.as_str(), document.id.as_deref()),
        ("notify/all", Some(b"b_a/b+c//d%20".as_slice()))
    );
    assert_eq!(asked("GET", "/", false).0, Found::Probe);
    assert!(matches!(asked("DELETE", "/i/t/1", false).0, Found::Poison(_)));
    assert!(matches!(asked("DELETE", "/i/_doc", true).0, Found::Poison(_)));
}

#[test]
fn a_message_wrapped_twice_is_read_with_its_place() {
    let cloudy = format!(r#"{{"specversion":"1.0","type":"t","data":{}}}"#, records("1"));
    let reading = of(&sns(&cloudy));
    assert_eq!(reading.dialects, [Dialect::Sns, Dialect::CloudEvent, Dialect::Records]);
    assert_eq!(reading.poison()[0].place, "/Message/data/Records/0");
    let told = of(&sns(r#"{"Event":"s3:TestEvent","Bucket":"b"}"#));
    assert_eq!(told.found, Found::Test(Some("b".into())));
}

#[test]
fn records_of_buckets_have_no_key() {
    let record = RECORD.replace("ObjectCreated:Put", "s3:BucketRemoved:*").replace(r#""key":"k+1""#, "");
    let event = event(&records(&record));
    assert_eq!((event.kind, event.key.bytes()), (Kind::BucketEvent, b"".as_slice()));
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(
        body in "([\\[\\]{},:]|\"[a-zA-Z]{1,9}\"|\"(Records|s3|bucket|object|key|name|eventName|Type|Message|detail|events)\":|1|null|\\PC){0,30}",
        path in "(/|_doc|_cluster|health|%2F|[a-z]){0,8}",
        is_elastic: bool,
    ) {
        for method in ["GET", "POST", "PUT", "DELETE", ""] {
            let message = Message { path: &path, is_elastic, ..request(method, &[], &body) };
            let reading = reading(message);
            prop_assert!(!reading.dialects.is_empty());
        }
    }
}
