//! The sandboxed processes that parse what arrived.

use super::{ByteSize, Period};
use module_api::frame::{ArchiveLimits, Budget};
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// The module processes and their limits for one delivery.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// The program. A bare name means a file beside the running `headworks`.
    pub program: PathBuf,
    /// Most processes that work at the same time.
    pub children: NonZeroU32,
    /// Processes kept ready, at least `children`. Each either splits mails or parses for one customer.
    pub warm: NonZeroU32,
    /// Deliveries that a process handles before it is replaced.
    pub recycle_after: NonZeroU32,
    /// CPU time per delivery.
    pub cpu: Period,
    /// Most memory of a process.
    pub memory_bytes: ByteSize,
    /// Most rows from a delivery.
    pub rows: NonZeroU32,
    /// Most bytes of rows from a delivery.
    pub row_bytes: ByteSize,
    /// Most findings kept from a delivery; further ones are only counted.
    pub findings: NonZeroU32,
    /// Largest size of a delivery when unpacked, all parts and archive members together.
    pub spill_bytes: ByteSize,
    /// Deepest nesting of archives in archives that is opened.
    pub archive_depth: NonZeroU32,
    /// Most members in all archives of a delivery.
    pub archive_members: NonZeroU32,
    /// Largest archive member.
    pub archive_member_bytes: ByteSize,
    /// Most unpacked bytes per packed byte, checked once `archive_ratio_after` is reached.
    pub archive_ratio: NonZeroU32,
    /// Unpacked size below which `archive_ratio` is not checked.
    pub archive_ratio_after: ByteSize,
    /// Most memory for unpacking one xz, zstd or bzip2 stream; a stream that needs more is left packed.
    pub archive_decoder_bytes: ByteSize,
}

impl Modules {
    /// The limits of expanding the archives of one delivery.
    #[must_use]
    pub fn archive_limits(&self) -> ArchiveLimits {
        ArchiveLimits {
            depth: self.archive_depth.get(),
            members: self.archive_members.get(),
            member_bytes: self.archive_member_bytes.bytes(),
            total_bytes: self.spill_bytes.bytes(),
            ratio: u64::from(self.archive_ratio.get()),
            ratio_from_bytes: self.archive_ratio_after.bytes(),
            decoder_bytes: self.archive_decoder_bytes.bytes(),
        }
    }

    /// How much a module may say of one delivery.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget {
            rows: u64::from(self.rows.get()),
            output_bytes: self.row_bytes.bytes(),
            findings: u64::from(self.findings.get()),
            ..Budget::default()
        }
    }
}
