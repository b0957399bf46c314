//! The process itself: what it runs, where it keeps things, what it says about itself.

use super::{ByteSize, Period};
use crate::ids::Role;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The process and its place on disk.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where headworks keeps everything it has on this host. Relative paths in other settings start here.
    pub state_dir: PathBuf,
    /// Scratch directory. It must be on the same file system as the volumes.
    pub tmp_dir: PathBuf,
    /// The server is not ready while the state or the scratch directory has fewer free bytes than this.
    pub min_free_bytes: ByteSize,
    /// Socket for commands on this host. Every `serve` has its own: several on one host need different names.
    pub control_socket: PathBuf,
    /// What this process does: http, mail, worker, relay (nothing without `[kafka]`), keeper.
    pub roles: BTreeSet<Role>,
    /// How long running work may continue after the process is told to stop.
    pub shutdown_grace: Period,
    /// Time zone of the dates in volume paths.
    pub time_zone: Zone,
}

/// A time zone by its IANA name.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(jiff::tz::TimeZone);

impl Zone {
    /// The rules of the zone.
    #[must_use]
    pub const fn get(&self) -> &jiff::tz::TimeZone {
        &self.0
    }
}

impl std::str::FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = |_| format!("{name:?} is not a time zone such as \"UTC\" or \"Asia/Tokyo\"");
        jiff::tz::TimeZone::get(name).map(Self).map_err(unknown)
    }
}

super::text_setting!(Zone, "the name of a time zone", { "type": "string" });

/// What the process writes to its own log.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Lowest level that is written: error, warn, info, debug, trace.
    pub level: Level,
    /// Format of the lines: json, pretty, or auto (pretty on a terminal, json elsewhere).
    pub format: Format,
}

/// Importance of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something failed and somebody should look.
    Error,
    /// Something is odd and was dealt with.
    Warn,
    /// What an operator wants to read every day.
    Info,
    /// What a developer wants to read.
    Debug,
    /// Everything.
    Trace,
}

/// Form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Pretty on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object per line.
    Json,
    /// For people: short time, no colours.
    Pretty,
}
