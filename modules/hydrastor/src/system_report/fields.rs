//! What a profile may map, section by section.

pub const HEAD: &[&str] = &["grid_name", "grid_serial", "sw_version", "report_at", "period"];
pub const CAPACITY: &[&str] = &[
    "physical_total_bytes",
    "physical_used_bytes",
    "physical_free_bytes",
    "logical_written_bytes",
    "reduction_ratio",
];
pub const NODES: &[&str] = &["node_name", "role", "status", "cpu_pct", "mem_pct", "disks", "temp_celsius"];
pub const FILE_SYSTEMS: &[&str] =
    &["fs_name", "protocol", "logical_bytes", "physical_bytes", "file_count", "status"];
pub const REPLICATION: &[&str] =
    &["pair_name", "direction", "target_grid", "state", "backlog_bytes", "last_sync_at"];
