//! Mails made for the purpose, read by our splitter and by three others.
//!
//! ```text
//!   mails ─ one folder of files ─┬─▶ oracle-reader ours | mail-parser | mailparse    a process each, with a time limit
//!                                └─▶ python3 peer.py                                 Python's `email`
//!   their readings as JSON ─▶ tests/agreement.rs: whoever differs from two that agree needs a reason
//! ```

pub mod mails;
pub mod readers;

use serde::{Deserialize, Serialize};

/// What a reader sees in a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Decoded subject.
    pub subject: String,
    /// Every text of the mail, in order, blanks and line ends collapsed.
    pub text: String,
    /// Name and SHA-256 of everything that has a name or is no text, in order.
    pub files: Vec<(String, String)>,
}

/// Blanks and line ends as single blanks.
#[must_use]
pub fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
