//! Deliveries: bytes with coordinates, from the yes to the last row.
//!
//! Two compound commits carry everything. **Accept** writes key, receipt, delivery and first job; only after it does a
//! door say yes. **Finish** ends a job together with everything it produced: rows, children, coordinates, log entries.
//! Between them nothing holds a transaction.
//!
//! ```text
//!   door ──▶ accept: ingest_key, receipt, delivery, job ──▶ yes
//!                                                    job ──▶ run ──▶ finish: end of the job (the fence) → rows →
//!                                                                    children → coordinates → timeline → log
//! ```
//!
//! The same thing twice is harmless: the receipt id is made of key and digest, so a repetition finds the first receipt.
//! A run whose lease was lost writes nothing: the fence is the first statement of its finish.

mod accept;
mod batch;
mod core;
pub mod envelope;
mod feature;
mod finish;
pub mod manifest;
mod operate;
pub mod part_name;
pub mod parts;
mod receipt;
mod replay;
mod rows;
pub mod store;
mod timeline;
pub mod tree;
pub mod tree_path;
pub mod verify;

pub use accept::{AcceptError, Accepted, Acceptor, NewDelivery, Reuse, receipt_id};
pub use batch::{BatchSettings, Busy};
pub use core::Core;
pub use feature::{ApiRoutes, By, Door, Duty, Feature, FeatureError, FeatureSpec, KindHandler, Remake, Task};
pub use finish::{Finisher, Sorted, Work, recover};
pub use operate::{Cancelled, OperateError, Operator, list_held};
pub use receipt::{ReceiptState, ReceiptView};
pub use replay::Again;
pub use rows::Rows;
pub use timeline::{Event, Loaded, Trace};
