use super::*;
use crate::config::Secret;

const NOW: &str = "2015-08-30T12:36:00Z";

fn presented<'a>(headers: &'a [(&'a str, &'a [u8])]) -> Presented<'a> {
    Presented {
        method: "POST",
        path: "/hooks/intake",
        below: "",
        query: "",
        headers,
        body: b"{}",
        now: NOW.parse().unwrap(),
    }
}

fn two() -> Secrets {
    Secrets::new(&["old".to_owned().into(), "new secret".to_owned().into()])
}

fn ask(way: Way, request: &Presented<'_>) -> Result<usize, Missed> {
    let checked = check(std::slice::from_ref(&way), request);
    checked.map(|matched| matched.secret).map_err(|refused| refused.reasons[0].1)
}

fn with_authorization(way: Way, value: &str) -> Result<usize, Missed> {
    ask(way, &presented(&[("Authorization", value.as_bytes())]))
}

#[test]
fn a_token_comes_with_the_word_bearer_or_without() {
    for (value, expected) in [
        ("Bearer old", Ok(0)),
        ("bearer  new secret", Ok(1)),
        ("old", Ok(0)),
        ("new secret", Ok(1)),
        ("Bearer", Err(Missed::Wrong)),
        ("Bearer ol", Err(Missed::Wrong)),
        ("Bearer oldd", Err(Missed::Wrong)),
        ("Basic old", Err(Missed::Wrong)),
        ("", Err(Missed::Wrong)),
    ] {
        assert_eq!(with_authorization(Way::Bearer(two()), value), expected, "{value:?}");
    }
    for words in ["Splunk abc", "Bearer abc"] {
        let way = Way::Bearer(Secrets::new(&[words.to_owned().into()]));
        assert_eq!(with_authorization(way, words), Ok(0), "a token of two words is sent unchanged");
    }
    assert_eq!(ask(Way::Bearer(two()), &presented(&[])), Err(Missed::Absent));
    let twice: &[(&str, &[u8])] = &[("authorization", b"old"), ("Authorization", b"old")];
    assert_eq!(ask(Way::Bearer(two()), &presented(twice)), Err(Missed::Repeated));
}

#[test]
fn an_empty_secret_matches_nothing() {
    let empty = || Secrets::new(&[String::new().into()]);
    assert_eq!(with_authorization(Way::Bearer(empty()), ""), Err(Missed::Wrong));
    let name = "X-Token".to_owned();
    assert_eq!(
        ask(Way::Header { name, secrets: empty() }, &presented(&[("x-token", b"")])),
        Err(Missed::Wrong)
    );
}

#[test]
fn basic_needs_user_and_password() {
    let way = || Way::Basic { user: "grid".into(), secrets: two() };
    let sent = |pair: &str| with_authorization(way(), &format!("Basic {}", STANDARD.encode(pair)));
    assert_eq!(sent("grid:old"), Ok(0));
    assert_eq!(sent("grid:new secret"), Ok(1));
    assert_eq!(sent("grid:"), Err(Missed::Wrong));
    assert_eq!(sent("grad:old"), Err(Missed::Unknown));
    assert_eq!(sent("grid"), Err(Missed::Malformed));
    assert_eq!(with_authorization(way(), "Basic !"), Err(Missed::Malformed));
    assert_eq!(with_authorization(way(), "Bearer old"), Err(Missed::Absent));
    let refused = check(&[way()], &presented(&[])).unwrap_err();
    assert!(refused.wants_challenge());
    assert_eq!(refused.to_string(), "basic: not tried");
}

#[test]
fn a_header_or_the_path_may_hold_the_secret() {
    let header = || Way::Header { name: "X-Token".into(), secrets: two() };
    assert_eq!(ask(header(), &presented(&[("x-token", b" new secret ")])), Ok(1));
    assert_eq!(ask(header(), &presented(&[("x-token", b"New secret")])), Err(Missed::Wrong));
    let below = |below| ask(Way::Path(two()), &Presented { below, ..presented(&[]) });
    assert_eq!(below("/old"), Ok(0));
    assert_eq!(below("/old/_doc/1"), Ok(0));
    assert_eq!(below("/ol%64"), Err(Missed::Wrong), "a secret is compared as it is written");
    assert_eq!(below("//old"), Err(Missed::Absent));
    assert_eq!(below(""), Err(Missed::Absent));
    assert_eq!(
        (without_secret("/old/_doc/1"), without_secret("/old"), without_secret("/")),
        ("/_doc/1", "", "/")
    );
}

#[test]
fn a_code_over_the_body_is_taken_in_both_writings() {
    let way = || Way::Hmac {
        name: "X-Bz-Event-Notification-Signature".into(),
        prefix: "v1=".into(),
        secrets: two(),
    };
    let code = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"new secret"), b"{}");
    let sent =
        |value: String| ask(way(), &presented(&[("x-bz-event-notification-signature", value.as_bytes())]));
    assert_eq!(sent(format!("v1={}", crate::ids::hex(code.as_ref()))), Ok(1));
    assert_eq!(sent(format!("v1={}", STANDARD.encode(code.as_ref()))), Ok(1));
    assert_eq!(sent(format!("v1={}", "0".repeat(64))), Err(Missed::Wrong));
    assert_eq!(sent("v1=".into()), Err(Missed::Wrong));
    assert_eq!(sent(crate::ids::hex(code.as_ref())), Err(Missed::Malformed));
    let headers: &[(&str, &[u8])] = &[("x-bz-event-notification-signature", b"v1=xx")];
    assert_eq!(ask(way(), &presented(headers)), Err(Missed::Malformed));
}

/// The example of AWS's documentation, and `get-vanilla` of its test suite.
fn keys() -> Vec<AccessKey> {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned();
    vec![AccessKey { id: "AKIDEXAMPLE".into(), secret: Secret::from(secret) }]
}

const VANILLA: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
    SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";

fn signed(authorization: &str, change: impl Fn(&mut Presented<'_>)) -> Result<usize, Missed> {
    let headers: &[(&str, &[u8])] = &[
        ("Host", b"example.amazonaws.com"),
        ("X-Amz-Date", b"20150830T123600Z"),
        ("Authorization", authorization.as_bytes()),
    ];
    let mut request = Presented { method: "GET", path: "/", body: b"", ..presented(headers) };
    change(&mut request);
    ask(Way::Sigv4 { keys: keys(), services: vec!["service".into(), "iam".into()] }, &request)
}

#[test]
fn a_signature_of_aws_counts_for_its_request_only() {
    let unchanged = |_: &mut Presented<'_>| {};
    assert_eq!(signed(VANILLA, unchanged), Ok(0));
    assert_eq!(signed(VANILLA, |request| request.body = b"x"), Err(Missed::Wrong));
    assert_eq!(signed(VANILLA, |request| request.path = "/x"), Err(Missed::Wrong));
    assert_eq!(signed(VANILLA, |request| request.query = "a=b"), Err(Missed::Wrong));
    assert_eq!(signed(VANILLA, |request| request.method = "POST"), Err(Missed::Wrong));
    for (from, to, missed) in [
        ("5fa0", "5fa1", Missed::Wrong),
        ("us-east-1", "us-east-2", Missed::Wrong),
        ("/service/", "/s3/", Missed::Unknown),
        ("AKIDEXAMPLE", "AKIDOTHER", Missed::Unknown),
        ("host;", "", Missed::Unsigned),
        ("host;", "host;x-other;", Missed::Unsigned),
        ("20150830", "20150829", Missed::Stale),
        ("aws4_request", "aws5", Missed::Malformed),
        ("Signature=", "Signature=z", Missed::Malformed),
        ("Signature=", "Credential=", Missed::Malformed),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256", Missed::Absent),
    ] {
        assert_eq!(signed(&VANILLA.replace(from, to), unchanged), Err(missed), "{from} {to}");
    }
}

#[test]
fn a_signature_of_aws_ages() {
    for (now, expected) in [
        ("2015-08-30T12:50:59Z", Ok(0)),
        ("2015-08-30T12:51:01Z", Err(Missed::Stale)),
        ("2015-08-30T12:20:59Z", Err(Missed::Stale)),
    ] {
        assert_eq!(signed(VANILLA, |request| request.now = now.parse().unwrap()), expected, "{now}");
    }
}

#[test]
fn a_query_is_signed_in_its_canonical_order() {
    let authorization = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date, \
        Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    let headers: &[(&str, &[u8])] = &[
        ("Host", b"iam.amazonaws.com"),
        ("Content-Type", b"application/x-www-form-urlencoded;   charset=utf-8"),
        ("X-Amz-Date", b"20150830T123600Z"),
        ("Authorization", authorization.as_bytes()),
    ];
    let query = "Version=2010-05-08&Action=ListUsers";
    let request = Presented { method: "GET", path: "/", body: b"", query, ..presented(headers) };
    let way = || Way::Sigv4 { keys: keys(), services: vec!["iam".into()] };
    assert_eq!(ask(way(), &request), Ok(0));
    assert_eq!(ask(way(), &Presented { query: "Version=2010-05-08", ..request }), Err(Missed::Wrong));
}

/// Signed by botocore 1.43.
#[test]
fn a_path_with_escapes_and_a_form_are_taken_as_a_client_of_aws_signs_them() {
    let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-central-1";
    let signed = "SignedHeaders=content-type;host;x-amz-date, Signature";
    let search = Presented {
        path: "/elastic-search/notify/all/intake-prod_a%2Fb%20c+d",
        body: br#"{"k":1}"#,
        ..presented(&[])
    };
    let publish = Presented {
        path: "/webhook/notify",
        query: "b=2&a=x%20y",
        body: b"Action=Publish&Message=StorageGRID+Test+Message",
        ..presented(&[])
    };
    for (service, host, content_type, request, code) in [
        (
            "es",
            "intake.example:5000",
            "application/json",
            search,
            "2179014627f74c7d7ae464693b1f518fc825a4851bdb3b6f823a93933931a0db",
        ),
        (
            "sns",
            "intake.example",
            "application/x-www-form-urlencoded",
            publish,
            "57f2350a1068084a51d287948b1a52847b6d8474e92f86c355374ff0390ac1cd",
        ),
    ] {
        let authorization = format!("{scope}/{service}/aws4_request, {signed}={code}");
        let headers: &[(&str, &[u8])] = &[
            ("host", host.as_bytes()),
            ("content-type", content_type.as_bytes()),
            ("x-amz-date", b"20150830T123600Z"),
            ("authorization", authorization.as_bytes()),
        ];
        let way = || Way::Sigv4 { keys: keys(), services: vec!["es".into(), "sns".into()] };
        let request = Presented { headers, ..request };
        assert_eq!(ask(way(), &request), Ok(0), "{service}");
        let decoded = request.path.replace("%2F", "/").replace("/webhook", "//webhook");
        assert_eq!(ask(way(), &Presented { path: &decoded, ..request }), Err(Missed::Wrong), "{service}");
    }
}

#[test]
fn a_digest_of_another_body_is_not_taken_for_it() {
    let headers: &[(&str, &[u8])] = &[
        ("Host", b"example.amazonaws.com"),
        ("X-Amz-Date", b"20150830T123600Z"),
        ("X-Amz-Content-Sha256", b"UNSIGNED-PAYLOAD"),
        ("Authorization", VANILLA.as_bytes()),
    ];
    let request = Presented { method: "GET", path: "/", body: b"", ..presented(headers) };
    let way = Way::Sigv4 { keys: keys(), services: vec!["service".into()] };
    assert_eq!(ask(way, &request), Err(Missed::Unsigned));
}

#[test]
fn any_way_suffices_and_the_others_say_what_they_missed() {
    let ways = [Way::Mtls, Way::Sns, Way::Path(two()), Way::Bearer(two())];
    let headers: &[(&str, &[u8])] = &[("authorization", b"new secret")];
    assert_eq!(check(&ways, &presented(headers)), Ok(Matched { way: 3, secret: 1 }));
    let refused = check(&ways, &presented(&[])).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "mtls: decided elsewhere, sns: decided elsewhere, path: not tried, bearer: not tried"
    );
    assert!(refused.is_open() && !refused.wants_challenge());
    assert_eq!(check(&[Way::None], &presented(&[])), Ok(Matched { way: 0, secret: 0 }));
    let nothing = check(&[], &presented(&[])).unwrap_err();
    assert!(nothing.reasons.is_empty() && !nothing.is_open());
}

#[test]
fn secrets_are_never_printed() {
    let way = Way::Sigv4 { keys: keys(), services: Vec::new() };
    let shown = format!("{way:?} {:?}", Way::Basic { user: "grid".into(), secrets: two() });
    assert!(!shown.contains("wJalr") && !shown.contains("old") && !shown.contains("new secret"), "{shown}");
}

#[test]
fn secrets_are_masked_before_a_request_is_stored() {
    let name = "X-Hook-Secret".to_owned();
    let redaction = Redaction::of(&[Way::Path(two()), Way::Header { name, secrets: two() }]);
    for name in ["Authorization", "PROXY-authorization", "cookie", "x-hook-secret", "x-amz-security-token"] {
        assert_eq!(redaction.header(name, b"old"), b"***", "{name}");
    }
    assert_eq!(redaction.header("content-type", b"text/plain"), b"text/plain");
    assert_eq!(redaction.path("/old/_doc/1"), "/***/_doc/1");
    assert_eq!(Redaction::of(&[]).path("/old/_doc/1"), "/old/_doc/1");
    let query = "a=1&Token=x%3D&%74oken=y&X-Amz-Signature=z&b&=";
    assert_eq!(redaction.query(query), "a=1&Token=***&%74oken=***&X-Amz-Signature=***&b&=");
}

#[test]
fn an_envelope_is_stored_without_what_confirms_it() {
    let redaction = Redaction::of(&[Way::Sns]);
    let masked = |body: &str| String::from_utf8(redaction.body(body.as_bytes(), 64).into_owned()).unwrap();
    let body = r#" {"Type":"SubscriptionConfirmation","MessageId":"m","Token" : "t\"1","TopicArn":"a","SubscribeURL":"https://x?Token=t","Token":"t2"}"#;
    let expected = r#" {"Type":"SubscriptionConfirmation","MessageId":"m","Token" : "***","TopicArn":"a","SubscribeURL":"***","Token":"***"}"#;
    assert_eq!(masked(body), expected);
    for other in [r#"{"Token":"mine"}"#, "no json", "", r#"{"Records":[],"TopicArn":"a"}"#] {
        assert_eq!(masked(other), other);
    }
}
