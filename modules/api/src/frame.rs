//! The wire between the server and a module process: one request, many replies, ended by `Done` or `Failed`.
//!
//! ```text
//!   server ── Request (+ input, + spill) ──▶ child        one Unix stream socket, the child's standard input
//!          ◀─ Hello ── once, when the child is ready
//!          ◀─ Progress, Head, Part*, Row*, Finding*, Profile, Draft ── Done | Failed
//! ```
//!
//! A frame is a length and a value (`frame/codec.rs`). The two descriptors of a request travel
//! beside its first byte (`SCM_RIGHTS`): the input, read-only, and the spill, read-write, which is empty or holds the
//! decoded parts of [`Input::Parts`]. Decoded bytes never travel in frames: parts are ranges of one of the two files.
//!
//! The server trusts nothing it reads here: lengths are checked before anything is allocated, and every value
//! against the declared tables, the budgets and the size of the spill.

mod codec;

pub use codec::{FrameError, decode, encode, read, read_body};

use crate::{Coordinates, Envelope, Finding, Micros, Outcome, PartKind, Problem, Row};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of these frames. Server and child must agree exactly: they are built and installed together.
pub const PROTOCOL: u32 = 4;

/// Longest request. A mail with more parts than fit is split again instead of sent as [`Input::Parts`].
pub const MAX_REQUEST_BYTES: usize = 1 << 20;

/// Longest reply; a [`Head`] is kept below half of it.
pub const MAX_REPLY_BYTES: usize = 4 << 20;

/// What the server asks of a child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Take a mail apart and run nothing: replies `Head` and `Part`s.
    Split {
        /// The message is this many bytes from the start of the input; a spool entry has a trailer behind it.
        message_bytes: u64,
        /// Limits of the split.
        limits: MimeLimits,
    },
    /// Split the mail unless its parts are given, expand archives and run a module: replies `Part`s, then what the module says.
    Parse(Box<Parse>),
    /// As `Parse`, but ask the module for a draft of a profile: replies `Part`s, then `Draft`.
    Draft(Box<Parse>),
}

/// One run of a module over one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parse {
    /// Id of the module's [`Declaration`](crate::Declaration).
    pub module: String,
    /// Where the rules put the delivery.
    pub coordinates: Coordinates,
    /// Who sent it to whom. Subject and header of an [`Input::Mail`] are read from the mail; otherwise they are given here.
    pub envelope: Envelope,
    /// When headworks accepted it.
    pub received_at: Micros,
    /// Settings of the matching rule.
    pub settings: BTreeMap<String, String>,
    /// What the input descriptor is.
    pub input: Input,
    /// Limits of the split.
    pub mime: MimeLimits,
    /// Limits of archive expansion, over all archives of the delivery together.
    pub archive: ArchiveLimits,
    /// How much the module may say.
    pub budget: Budget,
}

/// What a source says of a file; the bytes decide.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// Its name, for example the last component of an object key.
    pub name: Option<String>,
    /// Media type without parameters.
    pub media_type: Option<String>,
    /// Label of its character set.
    pub charset: Option<String>,
}

/// What the input descriptor of a [`Parse`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// A mail: the first `message_bytes` of the file.
    Mail {
        /// Length of the message.
        message_bytes: u64,
    },
    /// Anything else: one part.
    File {
        /// The first so many bytes of the file.
        file_bytes: u64,
        /// What its source says of it.
        declared: Declared,
    },
    /// A mail that was split before: its parts are given and nothing is split.
    Parts {
        /// Length of the message, the first bytes of the file.
        message_bytes: u64,
        /// The parts in document order: ranges of the message, or of what the spill holds.
        parts: Vec<PartRecord>,
        /// So many bytes of decoded parts are in the spill already.
        spill_bytes: u64,
    },
}

/// Limits of a MIME split (`mail.md` section 5). Beyond one the whole mail is kept as one opaque part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MimeLimits {
    /// Longest message that is taken apart.
    pub message_bytes: u64,
    /// Nested multiparts and messages together.
    pub depth: u32,
    /// Entities, containers included.
    pub parts: u32,
    /// Bytes of one header block.
    pub header_bytes: usize,
    /// Lines of one header block.
    pub header_lines: usize,
}

impl Default for MimeLimits {
    fn default() -> Self {
        Self { message_bytes: 128 << 20, depth: 32, parts: 1_000, header_bytes: 1 << 20, header_lines: 1_000 }
    }
}

/// Limits of archive expansion (`mail.md` section 5); one budget for all archives of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveLimits {
    /// Archives in archives.
    pub depth: u32,
    /// Members of all archives.
    pub members: u32,
    /// Bytes written for one member.
    pub member_bytes: u64,
    /// Bytes written for all members.
    pub total_bytes: u64,
    /// Output per input byte, once more than `ratio_from_bytes` were written.
    pub ratio: u64,
    /// Below this an archive may be as dense as it likes.
    pub ratio_from_bytes: u64,
    /// Memory of one decoder. A stream that asks for more is left as it is.
    pub decoder_bytes: u64,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            depth: 3,
            members: 10_000,
            member_bytes: 512 << 20,
            total_bytes: 2 << 30,
            ratio: 200,
            ratio_from_bytes: 16 << 20,
            decoder_bytes: 128 << 20,
        }
    }
}

/// How much one run of a module may say. The child stops a module there; the server counts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Rows.
    pub rows: u64,
    /// Bytes of one row, as its frame.
    pub row_bytes: usize,
    /// Bytes of all rows and findings, as their frames.
    pub output_bytes: u64,
    /// Findings.
    pub findings: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { rows: 5_000_000, row_bytes: 1 << 20, output_bytes: 4 << 30, findings: 10_000 }
    }
}

/// What a child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The first frame, once: the sandbox is closed and requests are taken.
    Hello(Hello),
    /// What the child turns to next, so that its death can be told where it happened.
    Progress(Stage),
    /// The mail's own header. Once, for a [`Request::Split`].
    Head(Box<Head>),
    /// One part; its index is the number of `Part` frames before it in this run.
    Part(Box<PartRecord>),
    /// One row of the module.
    Row(Row),
    /// One finding of the module.
    Finding(Finding),
    /// Name of the profile that shaped the rows. At most once.
    Profile(String),
    /// The drafted profile (TOML), `None` where the module has none to offer.
    Draft(Option<String>),
    /// The end: the request was carried out.
    Done(Outcome),
    /// The end: it was not. The server ends the child with the run.
    Failed {
        /// What kind of failure.
        kind: FailKind,
        /// Where and why, a lower-case fragment.
        message: String,
    },
}

/// Stage of a run, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Taking the mail apart.
    Split,
    /// Expanding archives.
    Expand,
    /// In the module.
    Module,
}

/// Kind of a [`Reply::Failed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailKind {
    /// No module of that id in this program.
    Unknown,
    /// Input or spill could not be read or written.
    Io,
    /// The code panicked; the child ends with it.
    Panic,
    /// The child saw that a budget of the server would be exceeded.
    Budget,
}

/// What a child says of itself when it is ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the child.
    pub protocol: u32,
    /// Version of the program.
    pub version: String,
    /// Walls that stand around it.
    pub walls: Walls,
}

/// What was applied at start. All but Landlock must have succeeded, or the child says nothing and ends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// Number of system calls the seccomp filter lets through.
    pub seccomp_calls: u32,
    /// Version of the Landlock interface in force; `None` where the kernel has none.
    pub landlock_abi: Option<u32>,
    /// Descriptors that were open at start and had no business there.
    pub descriptors_closed: u32,
}

/// The header of a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Every header field in order, duplicates included.
    pub fields: Vec<Field>,
    /// Addresses of the first `From`.
    pub from: Vec<Address>,
    /// Addresses of the first `Sender`.
    pub sender: Vec<Address>,
    /// Addresses of the first `Reply-To`.
    pub reply_to: Vec<Address>,
    /// Addresses of every `To`, at most 1,000.
    pub to: Vec<Address>,
    /// Addresses of every `Cc`, at most 1,000.
    pub cc: Vec<Address>,
    /// The first `Subject`, decoded.
    pub subject: Option<String>,
    /// The first `Message-ID`, without angle brackets.
    pub message_id: Option<String>,
    /// The first `Date`, where it can be read.
    pub date_at: Option<Micros>,
    /// What was odd about the mail as a whole.
    pub problems: Vec<Problem>,
}

/// One header field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Name as written.
    pub name: String,
    /// Value, unfolded and decoded, cut at [`Field::VALUE_BYTES`].
    pub value: String,
    /// Bytes between colon and line end as they came, cut likewise.
    #[serde(with = "bytes")]
    pub raw: Vec<u8>,
}

impl Field {
    /// Longest value kept; rules match on no more (design.md section 10).
    pub const VALUE_BYTES: usize = 8 << 10;
}

/// One address of a header field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Display name, decoded.
    pub name: Option<String>,
    /// The address itself; empty where only a name was given.
    pub address: String,
}

/// What the child found out about one part. See [`Part`](crate::Part) for the fields they share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// What it is.
    pub kind: PartKind,
    /// Place in the tree.
    pub path: String,
    /// Index of the part it was found in.
    pub parent: Option<u32>,
    /// Declared media type.
    pub media_type: String,
    /// Media type by content.
    pub sniffed_type: String,
    /// Character set to read it by: the declared one, unless the bytes cannot be that.
    pub charset: Option<String>,
    /// Declared name, decoded; never a path to open.
    pub name: Option<String>,
    /// The name's bytes as they came.
    #[serde(with = "bytes")]
    pub raw_name: Vec<u8>,
    /// `Content-Transfer-Encoding` as declared, lower case; empty where none was.
    pub transfer_encoding: String,
    /// `Content-Disposition` as declared, lower case, without parameters; empty where none was.
    pub disposition: String,
    /// What was odd about it.
    pub problems: Vec<Problem>,
    /// Where its undecoded bytes stand in the message; `None` for archive members.
    pub raw: Option<Range>,
    /// Where its decoded bytes are.
    pub stored: Stored,
}

/// A range of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Range {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

/// Where a part's decoded bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    /// In the input: nothing had to be decoded.
    Input(Range),
    /// In the spill.
    Spill(Range),
}

impl Stored {
    /// The range, whichever file it is of.
    #[must_use]
    pub const fn range(self) -> Range {
        match self {
            Self::Input(range) | Self::Spill(range) => range,
        }
    }
}

/// Byte strings as byte strings, which serde's derive does not do for `Vec<u8>`.
mod bytes {
    use serde::{Deserializer, Serializer, de};
    use std::fmt;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl de::Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
