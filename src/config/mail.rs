//! What one mail may cost, and how long it is remembered.

use super::{ByteSize, Period};
use module_api::frame::MimeLimits;
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;

/// Limits and habits of mail intake and sorting. A mail beyond a limit is kept as one part, never refused for it; held only where its header is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Largest mail that is split into parts.
    pub message_bytes: ByteSize,
    /// Most parts of a mail.
    pub parts: NonZeroU32,
    /// Deepest nesting of parts and enclosed mails.
    pub depth: NonZeroU32,
    /// Largest header of a mail.
    pub header_bytes: ByteSize,
    /// Most header lines of a mail.
    pub header_lines: NonZeroU32,
    /// Character between the name and the extension of a plus address, as in Postfix.
    pub recipient_delimiter: char,
    /// How long intake waits for more mails to share one commit.
    pub intake_linger: Period,
    /// How long a mail is remembered, so that a second copy is known as one.
    pub key_ttl: Period,
    /// How long after its commit a tree is made durable and its spool entry dropped.
    pub seal_after: Period,
}

impl Mail {
    /// The limits of taking one mail apart.
    #[must_use]
    pub fn limits(&self) -> MimeLimits {
        MimeLimits {
            message_bytes: self.message_bytes.bytes(),
            depth: self.depth.get(),
            parts: self.parts.get(),
            header_bytes: usize::try_from(self.header_bytes.bytes()).unwrap_or(usize::MAX),
            header_lines: self.header_lines.get() as usize,
        }
    }
}
