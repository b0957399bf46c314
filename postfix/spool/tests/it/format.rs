//! The entry format: what is written is read back, and anything else has a name.

use std::io::{Cursor, Read as _};

use headworks_spool::{
    Damage, Door, Entry, EntryName, Envelope, FOOTER_BYTES, Kind, SpoolError, mail_key, receipt_id,
};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::harness::Bench;

pub fn envelope() -> Envelope {
    Envelope {
        spool_id: Uuid::from_u128(1),
        receipt_id: Uuid::from_u128(2),
        door: Door::Lmtp,
        received_at: 1_700_000_000_000_001,
        queue_id: b"4fXyz".to_vec(),
        sender: Vec::new(),
        recipient: b"\"odd name\"@ingest.example.com".to_vec(),
        original_recipient: b"\xff%\n".to_vec(),
        client_address: b"2001:db8::1".to_vec(),
        client_name: b"unknown".to_vec(),
        client_helo: b"x".to_vec(),
        client_protocol: b"ESMTP".to_vec(),
        sasl_user: Vec::new(),
        nexthop: b"ingest.example.com".to_vec(),
        declared_bytes: Some(12),
        problems: vec!["size_mismatch".to_owned(), "one of tomorrow".to_owned()],
        program: "mailhandler 0.1.0".to_owned(),
    }
}

/// The bytes of an entry as the spool writes it.
fn written(bench: &Bench, message: &[u8], envelope: &Envelope) -> Vec<u8> {
    let mut draft = bench.spool.draft().unwrap();
    draft.write(message).unwrap();
    draft.seal(envelope).unwrap().deposit().unwrap();
    let name = EntryName::whole(envelope.receipt_id);
    let bytes = std::fs::read(bench.path().join("new").join(name.to_string())).unwrap();
    bench.spool.remove(name).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Entry<Cursor<&[u8]>>, SpoolError> {
    Entry::read(Cursor::new(bytes))
}

/// What is wrong with these bytes, in footer, envelope or message.
fn damage(bytes: &[u8]) -> Option<Damage> {
    match read(bytes).and_then(|mut entry| entry.verify()).map_err(|error| error.kind()) {
        Ok(()) => None,
        Err(Kind::Damaged(damage)) => Some(damage),
        Err(kind) => panic!("{kind:?}"),
    }
}

/// An entry with this envelope block and a footer that fits it.
fn with_block(block: &str) -> Vec<u8> {
    let hex =
        |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (lengths, digests) = (format!("{:020} {:010}", 0, block.len()), (hex(b""), hex(block.as_bytes())));
    format!("{block}headworks-entry 0001 {lengths} {} {}\n", digests.0, digests.1).into_bytes()
}

/// The envelope block of [`envelope`].
fn block(bench: &Bench) -> String {
    let entry = written(bench, b"", &envelope());
    String::from_utf8(entry[..entry.len() - usize::try_from(FOOTER_BYTES).unwrap()].to_vec()).unwrap()
}

#[test]
fn an_entry_ends_in_readable_lines() {
    let bench = Bench::new();
    let entry = written(&bench, b"Subject: x\n\nbody\n", &envelope());
    let text = String::from_utf8(entry).unwrap();
    assert!(
        text.starts_with("Subject: x\n\nbody\nspool_id 00000000-0000-0000-0000-000000000001\n"),
        "{text}"
    );
    assert!(text.contains("\nsender \nrecipient \"odd%20name\"@ingest.example.com\n"), "{text}");
    assert!(text.contains("\nheadworks-entry 0001 00000000000000000017 0000000"), "{text}");
}

#[test]
fn a_line_of_a_newer_writer_is_passed_over() {
    let bench = Bench::new();
    let entry = with_block(&format!("{}colour blue\n", block(&bench)));
    assert_eq!(read(&entry).unwrap().envelope(), &envelope());
}

#[test]
fn an_envelope_of_endless_lines_is_refused() {
    let bench = Bench::new();
    let with_lines = |lines| with_block(&(block(&bench) + &"colour blue\n".repeat(lines)));
    assert_eq!(damage(&with_lines(200)), None);
    assert_eq!(damage(&with_lines(256)), Some(Damage::Envelope));
}

#[test]
fn every_required_line_is_missed_and_none_may_repeat() {
    let bench = Bench::new();
    let block = block(&bench);
    let lines: Vec<&str> = block.split_inclusive('\n').collect();
    for (at, line) in lines.iter().enumerate() {
        let without: String =
            lines.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, line)| *line).collect();
        let is_optional = line.starts_with("problem ") || line.starts_with("declared_bytes ");
        assert_eq!(damage(&with_block(&without)).is_none(), is_optional, "without {line}");
        let twice = format!("{block}{line}");
        assert_eq!(damage(&with_block(&twice)).is_none(), line.starts_with("problem "), "twice {line}");
    }
}

#[test]
fn an_unreadable_line_is_named() {
    let bench = Bench::new();
    let block = block(&bench);
    for (good, bad, named) in [
        ("door lmtp", "door window", "door"),
        ("received_at 17", "received_at x17", "received_at"),
        ("declared_bytes 12", "declared_bytes -12", "declared_bytes"),
        ("sasl_user ", "sasl_user\u{fc}", "a line without name or with unescaped bytes"),
        ("program mailhandler", "program %ff", "program"),
    ] {
        let error = read(&with_block(&block.replace(good, bad))).unwrap_err();
        assert_eq!(error.to_string(), format!("entry damaged (Envelope): {named}"));
    }
    assert_eq!(damage(&with_block("")), Some(Damage::Envelope));
}

#[test]
fn each_kind_of_damage_is_told_apart() {
    let bench = Bench::new();
    let entry = written(&bench, b"message\n", &envelope());
    let footer_at = entry.len() - usize::try_from(FOOTER_BYTES).unwrap();
    let changed = |at: usize, to: u8| {
        let mut entry = entry.clone();
        assert_ne!(entry[at], to);
        entry[at] = to;
        damage(&entry)
    };
    assert_eq!(damage(&entry), None);
    assert_eq!(damage(b""), Some(Damage::TooShort));
    assert_eq!(damage(&entry[..entry.len() - 1]), Some(Damage::NotAnEntry));
    assert_eq!(damage(&entry[1..]), Some(Damage::Lengths));
    assert_eq!(changed(0, b'M'), Some(Damage::MessageDigest));
    assert_eq!(changed(10, b'P'), Some(Damage::EnvelopeDigest));
    assert_eq!(changed(footer_at, b'H'), Some(Damage::NotAnEntry));
    assert_eq!(changed(footer_at + 19, b'2'), Some(Damage::Version));
    assert_eq!(changed(footer_at + 21, b'x'), Some(Damage::Footer));
    assert_eq!(changed(footer_at + 22, b'9'), Some(Damage::Lengths));
}

#[test]
fn an_envelope_longer_than_the_limit_is_not_read() {
    let line = "colour ".to_owned() + &"b".repeat(8 << 20) + "\n";
    assert_eq!(damage(&with_block(&line)), Some(Damage::Lengths));
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let addresses = (bytes(), bytes(), bytes(), bytes());
    let client = (bytes(), bytes(), bytes(), bytes(), bytes(), bytes());
    let rest = (
        any::<u128>(),
        any::<i64>(),
        any::<Option<u64>>(),
        any::<Vec<String>>(),
        any::<String>(),
        any::<bool>(),
    );
    (addresses, client, rest).prop_map(|(addresses, client, rest)| Envelope {
        spool_id: Uuid::from_u128(rest.0),
        receipt_id: Uuid::from_u128(rest.0.rotate_left(64)),
        door: if rest.5 { Door::Pipe } else { Door::Lmtp },
        received_at: rest.1,
        queue_id: addresses.0,
        sender: addresses.1,
        recipient: addresses.2,
        original_recipient: addresses.3,
        client_address: client.0,
        client_name: client.1,
        client_helo: client.2,
        client_protocol: client.3,
        sasl_user: client.4,
        nexthop: client.5,
        declared_bytes: rest.2,
        problems: rest.3,
        program: rest.4,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_envelope_and_message_survive(envelope in any_envelope(), message: Vec<u8>) {
        let bench = Bench::new();
        let bytes = written(&bench, &message, &envelope);
        let mut entry = read(&bytes).unwrap();
        entry.verify().unwrap();
        prop_assert_eq!(entry.envelope(), &envelope);
        let mut read_back = Vec::new();
        entry.message().unwrap().read_to_end(&mut read_back).unwrap();
        prop_assert_eq!(read_back, message);
    }

    #[test]
    fn a_cut_or_changed_entry_is_never_taken_for_whole(message: Vec<u8>, cut: prop::sample::Index, at: prop::sample::Index, bit in 0..8u8) {
        let bench = Bench::new();
        let entry = written(&bench, &message, &envelope());
        prop_assert!(damage(&entry[..cut.index(entry.len())]).is_some());
        let mut changed = entry;
        let at = at.index(changed.len());
        changed[at] ^= 1 << bit;
        prop_assert!(damage(&changed).is_some());
    }

    #[test]
    fn hostile_bytes_are_refused_without_a_panic(bytes: Vec<u8>, block in ".{0,200}", lengths: (u64, u32)) {
        prop_assert!(damage(&bytes).is_some());
        prop_assert!(damage(&with_block(&block)).is_some());
        let zeros = "0".repeat(64);
        let footer = format!("headworks-entry 0001 {:020} {:010} {zeros} {zeros}\n", lengths.0, lengths.1);
        prop_assert!(damage(&[&bytes[..], footer.as_bytes()].concat()).is_some());
    }

    #[test]
    fn receipts_differ_where_mails_do(a: (Vec<u8>, Vec<u8>, [u8; 32]), b: (Vec<u8>, Vec<u8>, [u8; 32])) {
        let receipt = |(queue_id, recipient, digest): &(Vec<u8>, Vec<u8>, [u8; 32])| {
            receipt_id(&mail_key(Uuid::nil(), queue_id, recipient), digest)
        };
        prop_assert_eq!(receipt(&a) == receipt(&b), a == b);
    }
}
