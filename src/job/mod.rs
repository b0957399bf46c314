//! The job table: rows saying "this must be done", and the right to do it.
//!
//! ```text
//!             insert ──────────────┐              ┌─────── retry, snooze ──────┐
//!                                  ▼              ▼                            │
//!   scheduled (lane 1) ──due──▶ available ──claim──▶ running ── end ──▶ completed │ failed │ cancelled │ discarded
//!   retryable (lane 1) ──due──▶ (lane 0) ◀──lease expires──┘ │                    (history, by day)
//!   waiting   (lane 2) ─signal, deadline▶                    ├── hold, crash ──▶ held (lane 3) ──release──▶ available
//!                                                            └── wait ──▶ waiting        └──discard──▶ discarded
//! ```
//!
//! **A lease, not a lock.** [`claim`] gives a run a fresh token and a time; the heartbeat renews the time; every write
//! of the run carries the token and does nothing without it. A run that lost its lease can so never finish somebody
//! else's newer attempt. No transaction is open while a job runs.
//!
//! **Claims are HOT.** No index and no index predicate holds a column that a claim or a heartbeat changes. Rows enter
//! lane 0 with a fresh `pos`, and each process asks only above a *floor* that trails what it has claimed, so dead
//! entries behind the floor cost nothing; a sweep from 0 every few seconds finds expired leases and late commits.
//!
//! **Finished is moved.** One statement deletes the live row and writes the history row. A finished job never runs
//! again: retry and replay insert a new job that names the old one.
//!
//! **Blame follows evidence.** `attempt` counts runs that failed, `crashes` module children that died on the job (two
//! and it is held as `poisoned`), `lost` leases that only expired (ten and it is held). An outage of the store is
//! nobody's fault: expired leases are not claimable for one lease period after the store or the connection came back.
//!
//! The protocol is `contracts/jobs.md` section 5; all times are the store's.

mod attention;
mod claim;
mod interrupted;
mod kind;
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

pub use attention::{Attention, Urgency};
pub use claim::{Claimer, Floors};
pub use interrupted::Interrupted;
pub use kind::{Kind, Priority};
pub use leader::Leader;
pub use lease::{LeaseHandle, Leases, Stop};
pub use outcome::{Became, Finished, FinishedEnd, HoldReason, Outcome};
pub use queue::{QueueName, QueueRules, Queues};
pub use retry::Backoff;
pub use run::Run;
pub use runner::{Finish, Handler, RulesOf, Runner, RunnerSettings};
pub use state::{Ended, Lane, State};
pub use store::{Job, NewJob};
pub use wake::Wake;
