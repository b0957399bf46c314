//! Events that leave if the transaction commits.
//!
//! ```text
//!   finishing commit: … job end, rows, then append ──▶ log ──read after a position──▶ relay to Kafka, event hub
//!                                                       └──prune by age──▶ a reader that was too slow hears of a gap
//! ```
//!
//! **The order of a topic is the order of its commits.** On Postgres [`append`] takes an advisory lock per topic, in
//! topic order, and only then draws sequence numbers; the locks last until the commit is visible. So a reader that asks
//! for what comes after the last number it saw never misses an entry that commits late, and a number that is missing
//! belongs to a rollback or to another topic. On SQLite there is one writer, and row ids are that order.
//!
//! Because the locks last until the commit, `append` is called **once and last** in a transaction: two calls could take
//! their locks in opposite orders, and whatever follows the call makes every other writer of the topic wait.
//!
//! Reading changes nothing: who reads keeps its own [`Position`].

mod position;
mod store;
mod topic;

pub use position::Position;
pub use store::{Entry, Page, Stored, append, prune, read, topics};
pub use topic::{TopicId, Topics};
