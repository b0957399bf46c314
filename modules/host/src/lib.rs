//! `headworks-modules`: the only place where hostile bytes are taken apart.
pub mod archive;
pub mod mime;
mod problem;
pub mod sniff;
pub mod spill;
