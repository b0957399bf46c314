//! The integration tests: one binary, one module per concern.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

#[macro_use]
mod statement;

mod api;
mod appliance;
mod archive_cases;
mod buckets;
mod catalogue;
mod certificates;
mod cli;
mod conditions;
mod crash;
mod damaged_storage;
mod db;
mod delivery;
mod envelope;
mod floors;
mod full;
mod held;
mod job;
mod kafka;
mod load;
mod log;
mod mail_cases;
mod mail_walk;
mod memory;
mod metrics_walk;
mod minio;
mod modes;
mod orphans;
mod outages;
mod owner;
mod page;
mod postfix_walk;
mod processes;
mod programs;
mod promises;
mod readme;
mod recovery;
mod rejections;
mod relay;
mod reload;
mod roles;
mod running;
mod sample_feature;
mod sandbox;
mod sandboxed_modules;
mod split;
mod stored_parts;
mod stores;
mod strays;
mod upkeep;
mod web;

use statement::{execute, execute_outside, number};
