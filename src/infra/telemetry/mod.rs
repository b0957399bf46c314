//! Log lines and metrics.
//!
//! ```text
//!   tracing::info!(job_id, "…")  ──▶ log:      one line, JSON or pretty, on standard error
//!   Condition::holds, ends       ──▶ condition: a line when something begins to be wrong, and one when it ends
//!   metrics::counter!(NAME, …)   ──▶ metrics:  one table of names; `/metrics` renders them
//! ```
//!
//! Log lines are readable alone and searchable by field: the fields of the spans around an event (`request_id`,
//! `job_id`, `source`, `module`, `attempt`) are fields of its line. Neither carries payload or addresses.

pub mod condition;
pub mod log;
pub mod metrics;
pub mod terminal;
