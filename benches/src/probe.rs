//! Speed of the disk right now: neighbours can change it fifty-fold, which must not be taken for our own.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// Median latency of writing and fsyncing 4 KiB in `directory`, in microseconds.
pub fn fsync_micros(directory: &Path) -> std::io::Result<f64> {
    const TIMES: usize = 15;
    let mut file: File = tempfile::tempfile_in(directory)?;
    let mut micros = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let begun = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        micros.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    Ok(crate::rounds::median(&mut micros))
}
