//! Deliveries: bytes with coordinates, from acceptance to the last row.
//!
//! Two compound commits carry everything. **Accept** writes key, receipt, first jobs, the delivery if its bytes are here, and
//! rows of the door's own; only after it does a door say yes. **Finish** ends a job together with everything it produced:
//! rows, deliveries, coordinates, children, log entries. Between them nothing holds a transaction.
//!
//! ```text
//!   door ──▶ accept: ingest_key, delivery, jobs, receipt, rows of the door ──▶ yes
//!                               jobs ──▶ run ──▶ finish: end of the job (the fence) → rows of modules → deliveries →
//!                                                coordinates → children → rows of features → timeline → log
//! ```
//!
//! The same thing twice is harmless: the receipt id is made of key and fingerprint, so a repeat finds the first receipt.
//! A run whose lease was lost writes nothing: the fence is the first statement of its finish.

mod accept;
mod batch;
mod core;
pub mod envelope;
mod feature;
mod feature_rows;
mod finish;
pub mod manifest;
mod operate;
pub mod part_name;
pub mod parts;
pub mod pending;
mod receipt;
mod replay;
mod rows;
pub mod store;
mod timeline;
pub mod tree;
pub mod tree_path;
pub mod verify;
mod wait;

pub use crate::job::store::Event;
pub use accept::{
    AcceptError, Accepted, Acceptor, FirstJob, NewDelivery, NewReceipt, Reuse, find_accepted, receipt_id,
};
pub use batch::{BatchSettings, Busy};
pub use core::Core;
pub use feature::{ApiRoutes, By, Door, Duty, Feature, FeatureError, FeatureSpec, KindHandler, Remake, Task};
pub use feature_rows::{FeatureRow, InsertRows, Origin, RowWriters};
pub use finish::{Created, Finisher, Sealer, Sorted, Work, published_entry, recover, sweep_files};
pub use operate::{Cancelled, OperateError, Operator, discard_rejections, list_held};
pub use pending::{Pending, PendingError, PendingTree};
pub use receipt::{ReceiptState, ReceiptView};
pub use replay::Again;
pub use rows::Rows;
pub use timeline::{JobStory, Loaded, Trace};
pub use wait::{Awaited, Waiters};
