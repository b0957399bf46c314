//! Mail: from the spool to a sealed tree and the jobs that parse it.
//!
//! ```text
//!   mailhandler ─▶ spool/new/<receipt id>                    the yes
//!                     │ inotify, scan
//!                  intake: fsync `new` once per batch ─▶ accept ─▶ job `sort`
//!                                                                   │
//!   sort: message ─▶ split (module host) ─▶ rules ─▶ path stored ─▶ tree ─▶ commit ─▶ job `parse`
//!                                             └─ held: no_rule, unknown_customer, malformed
//!   sealer, a few seconds later: fsync tree ─▶ sealed_at ─▶ unlink the spool entry
//! ```
//!
//! From the yes until the seal the spool entry is the durable copy; from accept on the delivery row, not the file, is
//! the authority for the envelope. Nothing between intake and seal fsyncs but the store.

mod damaged;
mod explain;
mod feature;
mod intake;
mod leftovers;
mod record;
mod routes;
mod sealer;
mod snippet;
mod sort;
mod watch;

pub use explain::{Explained, explain};
pub use feature::FEATURE;
pub use snippet::snippet;
