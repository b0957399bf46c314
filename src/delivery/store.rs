//! All SQL of the tables `ingest_key`, `receipt`, `delivery` and `customer`.

mod accept;
mod read;
mod stored_end;
mod write;

pub use accept::{Fate, insert_deliveries, take_keys};
pub use read::{
    DeliveryRow, Filter, ReceiptFacts, Unsealed, by_key, by_receipt, get, held_without_tree, is_customer,
    knows_key, list, lock, of_ids, receipt_facts, sealed_with_stale_path, unsealed,
};
pub use stored_end::{insert_stored_ends, remove_stored_ends, stored_ends};
pub use write::{
    assign, choose_held_path, choose_path, expire_keys, note_held, register_customers, register_volume,
    registered_volume, seal, set_held, set_held_tree, set_sorted, start_over, take_stale_path,
};
