//! The program `headworks`: server and command line.

use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

// A server runs for months. glibc's allocator, shared with SQLite and librdkafka, keeps about 100 bytes more for every
// delivery although as many are live as before; jemalloc does not. `tests/it/memory.rs` watches it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    headworks::cli::main()
}
