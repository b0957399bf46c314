//! Copies the log to Kafka: every entry of an exported topic, in order, once.
//!
//! ```text
//!   log ── entries after the position ──▶ batch ──▶ one Kafka transaction: records, and the new position ──▶ topics
//!                                                                             │
//!         control topic (compacted) ◀── a record per log topic ───────────────┘      read back by the next leader
//!         table relay ◀── a copy, after the commit: for retention, lag and the case that Kafka has lost the topic
//! ```
//!
//! **Where the position is.** It is a record of the control topic, written in the transaction of the records it is about. So
//! records and position are there together or not at all, whatever is killed. The copy in our store never decides while the
//! control topic has a record.
//!
//! **What is under way at once.** While a batch is written, the next one is read from the log, and what the one before has reached is
//! kept in our store. If a batch is refused, the one read behind it is dropped, and nothing was decided by it.
//!
//! **Who leads.** One process per group of topics, by a lease in the store. A new leader does four things in this order:
//!
//! | step | what for |
//! |---|---|
//! | take the lease | only one process tries |
//! | open the transactional producer | ends the open transaction of its predecessor, and fences it |
//! | read the control topic to its end | what is really in Kafka |
//! | compare with the log | see below |
//!
//! **What stops a topic.** A position that does not fit the log or Kafka must not be guessed away. The topic waits, says why,
//! and goes on when an operator says from where (`headworks relay resume`), under a new epoch, so that no message id ever means
//! two contents:
//!
//! | found | meaning |
//! |---|---|
//! | the entry at the position is another one, or none | the store was restored from a backup, or copied |
//! | the position is behind the newest entry | the same |
//! | no control record, although there is a copy | the control topic was lost |
//! | another cluster id | another Kafka |
//!
//! **Which promise.** With transactions each record is there once. With `kafka.delivery = "database"` the position is kept in our store
//! after the acknowledgement, by the holder of the lease only: each record at least once, under one id.
//!
//! **Records that are refused.** One that Kafka refuses alone is held as a job, and the position passes it; see `hold`.
//!
//! ```text
//!   standby ─ lease ─▶ opening ─▶ running ─ fenced, producer lost ─▶ opening
//!      ▲                            │  ├─ topic missing or not allowed ─▶ set aside, tried again each minute
//!      └───────── lease lost ───────┘  └─ position does not fit ─▶ stopped, until an operator resumes it
//! ```

mod api;
mod batch;
mod check;
mod control;
mod feature;
mod fill;
mod group;
mod hold;
mod job;
mod leader;
mod record;
mod settings;
mod sink;
mod snapshot;
mod store;
mod term;
mod view;
mod watch;

pub use batch::{Batch, Source};
pub use check::{Facts, Start, Stop, Wish, decide};
pub use control::{Control, Fingerprint, Mark};
pub use feature::FEATURE;
pub use group::{BadTopic, exported};
pub use leader::RENEW;
pub use record::{MessageId, headers, millis};
pub use settings::new_topic;
