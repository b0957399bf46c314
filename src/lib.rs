//! headworks takes in what arrives (mail, notifications, uploads), keeps it, and turns it into typed rows.
//!
//! The modules below stand in floors; a file imports lower floors only, never a neighbour on its own floor
//! (`tests/it/floors.rs` holds this as data). `ARCHITECTURE.md` walks one mail through them.

// [0] words
pub mod ids;

// [1] what an operator may set
pub mod config;

// [2] the machine: stores, volumes, module processes, telemetry
pub mod infra;

// [3] what headworks is made of
pub mod job;
pub mod load;
pub mod log;
pub mod web;

// [4] the compound commits, receipts and trees; the rules that decide where something belongs
pub mod delivery;
pub mod rules;

// [5] features: they meet in the job table, the log and stored bytes only
pub mod jobs_api;
pub mod mail;
pub mod parse;
pub mod relay;
pub mod s3;

// [6] every URL and every periodic duty, folded from the features
pub mod router;
pub mod schedule;

// [7] the whole: the core, and the one list of features
pub mod app;

// [8] the command line
pub mod cli;
