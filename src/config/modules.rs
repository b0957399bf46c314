//! The sandboxed processes that parse what arrived.

use super::{ByteSize, Period};
use module_api::frame::{ArchiveLimits, Budget};
use schemars::JsonSchema;
use serde::Deserialize;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// The module processes and what one delivery may cost there.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// The program; a bare name is looked for beside the running `headworks`.
    pub program: PathBuf,
    /// Processes at work at the same time.
    pub children: NonZeroU32,
    /// Processes kept ready without work, at least `children`; each takes mails apart, or parses for one customer.
    pub warm: NonZeroU32,
    /// Deliveries a process parses before it is replaced.
    pub recycle_after: NonZeroU32,
    /// Processor time per delivery.
    pub cpu: Period,
    /// Wall clock per delivery.
    pub wall: Period,
    /// Memory of a process.
    pub memory_bytes: ByteSize,
    /// Most rows of a delivery.
    pub rows: NonZeroU32,
    /// Most bytes of rows of a delivery.
    pub row_bytes: ByteSize,
    /// Most findings kept of a delivery; the rest is counted.
    pub findings: NonZeroU32,
    /// Largest expansion of a delivery, all parts and archive members together.
    pub spill_bytes: ByteSize,
    /// Archives in archives: deepest nesting that is opened.
    pub archive_depth: NonZeroU32,
    /// Most members of the archives of a delivery.
    pub archive_members: NonZeroU32,
    /// Largest member of an archive.
    pub archive_member_bytes: ByteSize,
    /// Most bytes out per byte in, once `archive_ratio_after` are out.
    pub archive_ratio: NonZeroU32,
    /// Bytes an archive may expand to before its ratio counts.
    pub archive_ratio_after: ByteSize,
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
