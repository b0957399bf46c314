//! What must hold for any bytes: one function per reader of foreign bytes, which panics where a promise is broken.
//!
//! ```text
//!   fuzz/fuzz_targets/NAME.rs ─ libFuzzer, nightly ─┐
//!                                                   ├─▶ replay::NAME(bytes)
//!   tests/corpus.rs ─ fuzz/corpus/NAME/*, stable ───┘
//! ```
//!
//! A target finds a crash: its file goes from `fuzz/artifacts/NAME/` into `fuzz/corpus/NAME/`, named for what it is, and
//! is a test from then on. A new target is a function here, its line in [`TARGETS`], three lines in `fuzz/fuzz_targets/`,
//! a `[[bin]]` in `fuzz/Cargo.toml`, and a corpus.

mod archive;
mod files;
mod frame;
mod mail;
mod s3;
mod spool;

pub use archive::archive_expand;
pub use frame::reply_frame;
pub use mail::{hydrastor_mail, mime_split};
pub use s3::s3_message;
pub use spool::spool_entry;

/// Panics where the bytes break a promise.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("archive_expand", archive_expand),
    ("hydrastor_mail", hydrastor_mail),
    ("mime_split", mime_split),
    ("reply_frame", reply_frame),
    ("s3_message", s3_message),
    ("spool_entry", spool_entry),
];
