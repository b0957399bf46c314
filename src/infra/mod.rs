//! Floor 2: what headworks stands on. Nothing here knows of jobs, mails or customers.

pub mod db;
pub mod host;
pub mod kafka;
pub mod object_store;
pub mod telemetry;
pub mod volume;
