//! The program of `main.rs` with modules that misbehave: what tests run the server against.

use std::process::ExitCode;

fn main() -> ExitCode {
    headworks_modules::run(&headworks_modules::hostile::modules())
}
