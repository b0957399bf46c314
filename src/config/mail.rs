//! What one mail may cost, and how long mails are gathered.

use super::{ByteSize, Period};
use module_api::frame::MimeLimits;
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;

/// Limits and delays of mail intake and sorting. Mail beyond a limit is never refused: it is kept as one part, or held if its header is too large.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Largest mail that is split into parts.
    pub message_bytes: ByteSize,
    /// Most parts in a mail.
    pub parts: NonZeroU32,
    /// Deepest nesting of parts and enclosed mails.
    pub depth: NonZeroU32,
    /// Largest mail header.
    pub header_bytes: ByteSize,
    /// Most header lines in a mail.
    pub header_lines: NonZeroU32,
    /// How long intake waits for more mails to share one commit.
    pub intake_linger: Period,
    /// How long after its commit a tree is made durable and its spool entry removed.
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
