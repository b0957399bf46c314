//! Keys and receipt ids, which make repeated deliveries recognisable.
//!
//! Every door uses these two functions: the client's name for an item becomes a [`key`], and key and content digest
//! together become the [`receipt_id`]. The same item sent again gets the same receipt, other bytes under the same key get
//! another one.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// A SHA-256.
pub type Digest = [u8; 32];

/// The key of an accepted item: `door` separates the keys of different doors, `parts` are the client's name for it.
///
/// Each part is prefixed with its length, so different lists of parts never get the same key.
pub fn key(door: &str, parts: &[&[u8]]) -> Digest {
    let mut hash = Sha256::new();
    hash.update(b"headworks key 1\0");
    for part in std::iter::once(&door.as_bytes()).chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The key of a mail: one recipient of one queue file of the Postfix in front of one spool.
pub fn mail_key(spool_id: Uuid, queue_id: &[u8], recipient: &[u8]) -> Digest {
    key("mail", &[spool_id.as_bytes(), queue_id, recipient])
}

/// The public id of an item accepted under `key` with this content: a version 8 UUID made of 122 bits of SHA-256.
pub fn receipt_id(key: &Digest, content: &Digest) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(b"headworks receipt 1\0");
    hash.update(key);
    hash.update(content);
    let full: Digest = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&full[..16]);
    Uuid::new_v8(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(key("mail", &[b"ab", b"c"]), key("mail", &[b"a", b"bc"]));
        assert_ne!(key("mail", &[b"a"]), key("mail", &[b"a", b""]));
        assert_ne!(key("mail", &[b"a"]), key("upload", &[b"a"]));
    }

    /// Receipts are stored and handed out: these values may never change.
    #[test]
    fn the_receipt_id_of_a_known_mail_stays_what_it_is() {
        let spool = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let receipt = receipt_id(&mail_key(spool, b"4fXyz12345", b"acme@ingest.example.com"), &[7; 32]);
        assert_eq!(receipt.get_version_num(), 8);
        assert_eq!(receipt.to_string(), "777a5531-e652-8daf-bbb1-263e2da68c30");
    }

    #[test]
    fn key_and_content_both_decide_the_receipt() {
        let receipt = receipt_id(&[1; 32], &[2; 32]);
        assert_eq!(receipt, receipt_id(&[1; 32], &[2; 32]));
        assert_ne!(receipt, receipt_id(&[1; 32], &[3; 32]));
        assert_ne!(receipt, receipt_id(&[3; 32], &[2; 32]));
    }
}
