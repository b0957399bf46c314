//! The program `headworks`: server and command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    headworks::cli::main()
}
