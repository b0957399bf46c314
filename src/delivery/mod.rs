//! Deliveries: bytes with coordinates, and the trees they are kept in.

pub mod manifest;
pub mod part_name;
pub mod tree;
pub mod tree_path;
