//! The declared tables.

use crate::{FS_STATUS, NODE_STATUS, ROLES};
use module_api::ColumnKind::{Bool, Decimal, Int, Text, Time};
use module_api::{ColumnKind, Table};

pub const GRID: u16 = 0;
pub const NODE: u16 = 1;
pub const FS: u16 = 2;
pub const REPLICATION: u16 = 3;
pub const EXTRA: u16 = 4;

/// The tables, in the order of the constants above.
pub fn all() -> Vec<Table> {
    vec![grid(), node(), fs(), replication(), extra()]
}

/// What is told of a grid stays in order.
const GRID_KEY: &str = "grid_key";

fn of_a_grid(name: &str, meaning: &str) -> Table {
    Table::new(name, meaning).key(
        GRID_KEY,
        Text,
        "Serial number of the grid, or its name where none is printed.",
    )
}

fn grid() -> Table {
    of_a_grid("hydrastor_grid_snapshot", "A grid as one report shows it.")
        .key_report_at()
        .column("grid_name", Text, "Name as printed.")
        .column("grid_serial", Text, "Serial number as printed.")
        .column("sw_version", Text, "Software version as printed.")
        .column("period_start", Time, "Start of the period the report covers.")
        .column("period_end", Time, "End of that period.")
        .column("physical_total_bytes", Int, "Physical capacity.")
        .unit("bytes")
        .column("physical_used_bytes", Int, "Physical capacity in use.")
        .unit("bytes")
        .column("physical_free_bytes", Int, "Physical capacity left.")
        .unit("bytes")
        .column("logical_written_bytes", Int, "Data written before deduplication.")
        .unit("bytes")
        .column("used_pct", Decimal(4), "Share in use as printed.")
        .unit("percent")
        .column("used_pct_calc", Decimal(4), "Share in use, computed from the sizes.")
        .unit("percent")
        .column("reduction_ratio", Decimal(4), "Logical to physical, as printed.")
        .column("node_count", Int, "Nodes listed; null where the list is missing or cut.")
        .column("nodes_not_normal", Int, "Listed nodes whose status is not normal.")
        .column("fs_count", Int, "File systems listed; null where the list is missing or cut.")
        .required("complete", Bool, "The report ends with its end marker.")
        .index("grid_name")
        .publish(GRID_KEY)
}

fn node() -> Table {
    of_a_grid("hydrastor_node_snapshot", "A node as one report shows it.")
        .key("node_name", Text, "Name as printed.")
        .key_report_at()
        .required("role", ColumnKind::words(ROLES), "Accelerator, storage or hybrid node.")
        .column("role_raw", Text, "Role as printed.")
        .required("status", ColumnKind::words(NODE_STATUS), "Status in our words.")
        .column("status_raw", Text, "Status as printed.")
        .column("cpu_pct", Decimal(4), "Processor load.")
        .unit("percent")
        .column("mem_pct", Decimal(4), "Memory in use.")
        .unit("percent")
        .column("disks_ok", Int, "Disks that work.")
        .column("disks_total", Int, "Disks installed.")
        .column("temp_celsius", Decimal(2), "Temperature; converted where printed in °F.")
        .unit("celsius")
        .publish(GRID_KEY)
}

fn fs() -> Table {
    of_a_grid("hydrastor_fs_snapshot", "A file system as one report shows it.")
        .key("fs_name", Text, "Name as printed.")
        .key_report_at()
        .column("protocol", Text, "Protocol as printed: NFS, CIFS, OST.")
        .column("logical_bytes", Int, "Data before deduplication.")
        .unit("bytes")
        .column("physical_bytes", Int, "Space it takes.")
        .unit("bytes")
        .column("file_count", Int, "Files in it.")
        .required("status", ColumnKind::words(FS_STATUS), "Status in our words.")
        .column("status_raw", Text, "Status as printed.")
        .publish(GRID_KEY)
}

fn replication() -> Table {
    of_a_grid("hydrastor_replication_snapshot", "A replication pair as one report shows it.")
        .key("pair_name", Text, "Name as printed.")
        .key("direction", Text, "Direction as printed, in lower case; empty where none is.")
        .key_report_at()
        .column("target_grid", Text, "The other grid, as printed.")
        .column("state", Text, "State as printed.")
        .column("backlog_bytes", Int, "Data not yet replicated.")
        .unit("bytes")
        .column("last_sync_at", Time, "When the pair was last in step.")
        .publish(GRID_KEY)
}

fn extra() -> Table {
    of_a_grid("hydrastor_extra", "Something a report prints that its profile does not know.")
        .key("section", Text, "Title of the section as printed; empty for the head.")
        .key("label", Text, "Label or column title as printed; empty for a line without one.")
        .key("line", Int, "1-based line of the part.")
        .key_report_at()
        .required("value_raw", Text, "The value as printed.")
}
