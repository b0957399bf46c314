//! Any bytes as a message of an object store.

use headworks::s3::auth::{Redaction, Way};
use headworks::s3::dialects::{Limits, Message, Reading, read};
use headworks::s3::sns::{Policy, admit};

/// Limits small enough to be met by short messages.
const SMALL: Limits = Limits { body_bytes: 2_000, records: 2, depth: 6, wrappers: 1 };

/// Reads the bytes as a request (its line, headers, an empty line, the body), or without such a head as a message of a
/// queue: what comes out keeps its promises, and is the same of the form that is stored.
pub fn s3_message(bytes: &[u8]) {
    let (head, body) = match bytes.windows(2).position(|two| two == b"\n\n") {
        Some(end) => (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 2..]),
        None => ("".into(), bytes),
    };
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers: Vec<(&str, &[u8])> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name, value.as_bytes()))
        .collect();
    for is_elastic in [false, true] {
        let message = Message { method, path, query: "", is_elastic, headers: &headers, body };
        check(&message, &read(&message, None, &SMALL), &SMALL);
        let limits = Limits::default();
        let reading = read(&message, None, &limits);
        check(&message, &reading, &limits);
        let stored = Redaction::of(&[Way::Sns]).body(body, limits.depth);
        // What is masked may have been what was wrong, or was shorter than the mask.
        if reading.poison().is_empty() && stored.len() <= limits.body_bytes {
            let again = read(&Message { body: &stored, ..message }, None, &limits);
            assert_eq!(again.found, reading.found, "the stored form is another message");
        }
    }
}

fn check(message: &Message<'_>, reading: &Reading, limits: &Limits) {
    assert_eq!(&read(message, None, limits), reading, "the same message is another one");
    assert!(!reading.dialects.is_empty(), "no row took it");
    assert!(reading.dialects.len() <= 2 * (limits.wrappers + 1), "{:?}", reading.dialects);
    // A rename of SeaweedFS is one record and two events.
    let count = reading.events().len() + reading.poison().len();
    assert!(count <= limits.records.max(2), "{count} records");
    for event in reading.events() {
        let bucket = event.bucket.as_str();
        assert!((1..=255).contains(&bucket.len()) && !bucket.contains(['/', '\0']), "bucket {bucket:?}");
        assert_eq!(event.key.encoding().decode(event.key.sent()), event.key.bytes());
        assert!(!event.key.to_string().contains(char::is_control), "a key is shown as {}", event.key);
        assert_eq!(reading.delivery_id("s", event), reading.delivery_id("s", event));
    }
    for poison in reading.poison() {
        assert!(!poison.place.is_empty(), "{poison}");
    }
    if let Some(envelope) = &reading.envelope {
        let policy = Policy { topics: vec![envelope.topic.clone()], ..Policy::default() };
        let now = envelope.timestamp.parse().unwrap_or(headworks::ids::Timestamp(0));
        if let Ok(address) = admit(envelope, &policy, now) {
            let address = address.as_str();
            assert!(address.starts_with("https://sns.") && !address.contains(['@', '?', '#']), "{address}");
        }
    }
}
