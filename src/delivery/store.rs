//! All SQL of the tables `ingest_key`, `receipt`, `delivery` and `customer`.

mod accept;
mod pending;
mod read;
mod receipt;
mod stored_end;
mod write;

pub use accept::{
    DeliveryRecord, Earlier, Fate, ReceiptRecord, earlier, insert_deliveries, insert_receipts, knows,
    take_keys,
};
pub use pending::{Recorded, recorded};
pub use read::{
    DeliveryRow, Filter, Unsealed, get, held_without_tree, is_customer, knows_key, list, lock, of_ids,
    plan_of_list, sealed_with_stale_path, unsealed,
};
pub use receipt::{FACTS, ReceiptFacts, lock_receipt, receipt_facts, settled_receipts, sources};
pub use stored_end::{insert_stored_ends, remove_stored_ends, stored_ends, stored_ends_of};
pub use write::{
    assign, choose_held_path, choose_path, expire_keys, note_held, register_customers, register_volume,
    registered_volume, seal, set_held, set_held_tree, set_sorted, start_over, take_stale_path,
};
