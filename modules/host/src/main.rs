//! `headworks-modules`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    headworks_modules::run(&headworks_modules::registry::modules())
}
