//! Reads the mail with a deadline: Postfix bounces a mail whose handler exceeds the time limit.

use std::io;
use std::time::Instant;

use headworks_spool::SpoolError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};

use super::reply::Refusal;

/// Capacity of a pipe.
const CHUNK_BYTES: usize = 64 << 10;

/// Hands stdin to `take`, piece by piece, until its end.
///
/// The deadline covers reading only: the rest depends on the disk, and giving up there would not help.
pub fn stdin_to_end(
    deadline: Instant,
    mut take: impl FnMut(&[u8]) -> Result<(), SpoolError>,
) -> Result<(), Refusal> {
    let stdin = io::stdin();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let left = deadline.checked_duration_since(Instant::now()).ok_or_else(Refusal::deadline)?;
        let timeout = Timespec::try_from(left).map_err(|_| Refusal::deadline())?;
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Err(Refusal::deadline()),
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(Refusal::read_failed(error.into())),
        }
        match read(&stdin, &mut chunk[..]) {
            Ok(0) => return Ok(()),
            Ok(bytes) => take(&chunk[..bytes])?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(Refusal::read_failed(error.into())),
        }
    }
}
