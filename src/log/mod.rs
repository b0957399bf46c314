//! Events, written in the transaction that causes them.
//!
//! ```text
//!   finishing commit: … job end, rows, then append ──▶ log ──read after a position──▶ relay to Kafka, event hub
//!                                                       └──prune by age──▶ a reader that was too slow sees a gap
//! ```
//!
//! **The order of a topic is the order of its commits.** On Postgres [`append`] takes an advisory lock per topic, in
//! topic order, and only then draws sequence numbers; the locks last until the commit is visible. So a reader that asks
//! for entries after the last number it saw never misses one that commits late, and a missing number belongs to a rollback
//! or to another topic. On SQLite there is one writer, and row ids are that order.
//!
//! Because the locks last until the commit, `append` is called **once and last** in a transaction: two calls could take
//! their locks in opposite orders, and statements after it would make other writers of the topic wait.
//!
//! Reading changes nothing: every reader keeps its own [`Position`].
//!
//! A commit with very many entries appends one that names a [sealed file](Sealed) instead; who reads it [`expand`]s it. The file
//! is kept until that entry is pruned.

mod file;
mod position;
mod sealed;
mod store;
mod topic;

pub use file::{forget_files, note_file, unneeded_files};
pub use position::Position;
pub use sealed::{ExpandError, Expanded, Sealed, SealedEntry, Sealing, expand};
pub use store::{
    Entry, HeldBack, Page, Retention, Stored, TOPIC_LOCK, Unrelayed, append, ends, entry, held_back, lock,
    prune, read, topics,
};
pub use topic::{TopicId, Topics};
