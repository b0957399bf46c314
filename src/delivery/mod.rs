//! Deliveries: bytes with coordinates, and the trees they are kept in.

pub mod part_name;
