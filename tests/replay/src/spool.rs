//! Any bytes as an entry of the spool.

use std::io::{Cursor, Read};

use headworks_spool::{Damage, Entry, FOOTER_BYTES, Kind};
use sha2::{Digest, Sha256};

/// Reads the bytes as an entry, and as the envelope of one: what is wrong is named, what is right is the message.
///
/// No fuzzer guesses a SHA-256, so the second reading is of a footer that fits.
pub fn spool_entry(bytes: &[u8]) {
    read(bytes);
    read(&with_footer(bytes));
}

fn read(bytes: &[u8]) {
    let mut entry = match Entry::read(Cursor::new(bytes)) {
        Ok(entry) => entry,
        Err(error) => {
            assert!(matches!(error.kind(), Kind::Damaged(_)), "memory was read, but {error}");
            return;
        }
    };
    assert!(
        entry.message_bytes() + FOOTER_BYTES < bytes.len() as u64,
        "the message overlaps what follows it"
    );
    let mut message = Vec::new();
    let mut from = entry.message().expect("an entry has a message");
    from.read_to_end(&mut message).expect("memory is read");
    drop(from);
    assert!(bytes.starts_with(&message) && message.len() as u64 == entry.message_bytes());
    let holds = entry.digest() == <[u8; 32]>::from(Sha256::digest(&message));
    match entry.verify() {
        Ok(()) => assert!(holds, "another message than was written is accepted"),
        Err(error) => assert!(!holds && error.kind() == Kind::Damaged(Damage::MessageDigest), "{error}"),
    }
}

/// An entry of an empty message with these bytes as its envelope; the footer is that of the crate's story.
fn with_footer(envelope: &[u8]) -> Vec<u8> {
    let hex = |bytes| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lengths = format!("{:020} {:010}", 0, envelope.len());
    let footer = format!("headworks-entry 0001 {lengths} {} {}\n", hex(b"".as_slice()), hex(envelope));
    [envelope, footer.as_bytes()].concat()
}
