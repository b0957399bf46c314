//! The job table: work to be done, and leases on it.
//!
//! ```text
//!             insert ──────────────┐              ┌─────── retry, snooze ──────┐
//!                                  ▼              ▼                            │
//!   scheduled (lane 1) ──due──▶ available ──claim──▶ running ── end ──▶ completed │ failed │ cancelled │ discarded
//!   retryable (lane 1) ──due──▶ (lane 0) ◀──lease expires──┘ │                    (history, by day)
//!   waiting   (lane 2) ─signal, deadline▶                    ├── hold, crash ──▶ held (lane 3) ──release──▶ available
//!                                                            │                           └──discard──▶ discarded
//!                                                            └── wait ──▶ waiting, or available if a signal was kept
//! ```
//!
//! **A lease, not a lock.** [`claim`] gives a run a fresh token and a time. The heartbeat renews the time. Every write of the
//! run carries the token and does nothing if the job has another one, so a run that lost its lease can never finish a newer
//! attempt. No transaction is open while a job runs.
//!
//! **No signal is lost.** A signal addresses a job id. If the job waits, it becomes available; in any other live state the
//! signal is kept in the row (`signalled`), and the next wait takes it and ends at once. Signals do not add up: two before
//! one wait count as one. A run commits its work and its wait together, and learns from its own data whether it was signalled.
//!
//! **A queue holds one kind.** [`NewJob`] names a queue and never a kind. A process claims only from queues whose kind it has
//! a handler for, so jobs of a kind that only a newer version knows are listed and counted, and stay where they are.
//!
//! **Claims are HOT.** No index and no index predicate holds a column that a claim, a heartbeat or a kept signal changes. Rows
//! enter lane 0 with a fresh `pos`, and each process asks only above a *floor* that trails what it has claimed, so dead index
//! entries behind the floor cost nothing. A sweep from 0 every few seconds finds expired leases and late commits.
//!
//! **Finished jobs are moved.** One statement deletes the live row and writes the history row. A finished job never runs
//! again: retry and replay insert a new job that names the old one.
//!
//! **Blame follows evidence.** `attempt` counts failed runs; `crashes` counts module processes that died on the job (after two
//! it is held as `poisoned`); `lost` counts leases that expired for no known reason (after ten it is held). Nobody is blamed
//! for an outage of the store: expired leases cannot be claimed for one lease period after the store or the connection is
//! back.
//!
//! The protocol is `contracts/jobs.md` section 5; all times are the store's.

#[macro_use]
mod words;

mod attention;
mod claim;
mod interrupted;
mod leader;
mod lease;
mod outcome;
mod priority;
mod queue;
mod retry;
mod run;
mod run_log;
mod runner;
mod state;
pub mod store;
mod wake;

pub use crate::ids::{Exhausted, Home, Kind, QueueName, StoredKind};
pub use attention::{Attention, Urgency};
pub use claim::{Claimer, Floors};
pub use interrupted::Interrupted;
pub use leader::Leader;
pub use lease::{LeaseHandle, Leases, Stop};
pub use outcome::{Became, Finished, FinishedEnd, HoldReason, Outcome};
pub use priority::Priority;
pub use queue::{QueueRow, QueueRules, Queues};
pub use retry::Backoff;
pub use run::Run;
pub use runner::{Finish, Handler, Handlers, RulesOf, Runner, RunnerSettings};
pub use state::{Ended, Lane, State};
pub use store::{Job, NewJob};
pub use wake::Wake;
