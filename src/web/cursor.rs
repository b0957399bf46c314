//! Cursors: the key of the last entry of a page, opaque to clients.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest cursor that is read, in bytes.
const MAX_BYTES: usize = 512;

/// The cursor of a key.
#[must_use]
pub fn write<K: Serialize>(key: &K) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

/// The key in a cursor; `None` if it is not one of ours. Never panics.
#[must_use]
pub fn read<K: DeserializeOwned>(cursor: &str) -> Option<K> {
    if cursor.len() > MAX_BYTES {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::{read, write};
    use crate::ids::{JobId, Timestamp};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_key_reads_back(at in -1_000_000_000_000_000_i64..4_000_000_000_000_000, id: i64) {
            let key = (Timestamp(at), JobId(id));
            prop_assert_eq!(read::<(Timestamp, JobId)>(&write(&key)), Some(key));
        }

        #[test]
        fn what_clients_make_up_is_refused_without_panic(text in ".{0,60}|[A-Za-z0-9_-]{0,600}") {
            prop_assert_eq!(read::<(Timestamp, JobId)>(&text), None);
        }
    }
}
