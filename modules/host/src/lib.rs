//! `headworks-modules`: the only program that parses hostile bytes.
//!
//! The server keeps a few of these processes warm and hands each one delivery at a time. A child reads the mail or
//! file through a descriptor, splits and expands it, runs one parser module over the parts, and says what came out
//! in frames ([`module_api::frame`]). It cannot do anything else:
//!
//! ```text
//!   start ─▶ close every descriptor but 0, 1, 2 · die with the parent · limits · Landlock · seccomp ─▶ Hello
//!         ─▶ Request + input + spill ─▶ mime::split (or its parts are given) ─▶ archive::expand ─▶ Module::parse ─▶ Done
//! ```
//!
//! Any failure ends the process, and the server reports it on that one job. [`registry`] is the list
//! of modules; `describe` prints what they declare, so that the server links none of them.

pub mod archive;
mod charset;
mod cms;
#[cfg(feature = "hostile")]
pub mod hostile;
mod link;
pub mod mime;
mod problem;
pub mod registry;
mod sandbox;
mod session;
mod sink;
pub mod spill;

use module_api::{Declaration, Module};
use std::io::Write;
use std::process::ExitCode;

/// Version of the program together with that of its reading: stored parts of another one are found again.
#[must_use]
pub fn version() -> String {
    format!("{}+reading.{}", env!("CARGO_PKG_VERSION"), mime::READING)
}

/// Runs the program with these modules.
pub fn run(modules: &[&'static dyn Module]) -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (Some("describe"), None, None) => describe(modules),
        (Some("serve"), Some(parent), Some(spill_bytes)) => serve(modules, &parent, &spill_bytes),
        _ => Err("usage: headworks-modules describe | serve PARENT_PID SPILL_BYTES".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("headworks-modules: {message}");
            ExitCode::FAILURE
        }
    }
}

fn describe(modules: &[&'static dyn Module]) -> Result<(), String> {
    let declarations: Vec<Declaration> = modules.iter().map(|m| m.declaration()).collect();
    let json = serde_json::to_string_pretty(&declarations).map_err(|e| format!("declarations: {e}"))?;
    writeln!(std::io::stdout(), "{json}").map_err(|e| format!("standard output: {e}"))
}

fn serve(modules: &[&'static dyn Module], parent: &str, spill_bytes: &str) -> Result<(), String> {
    let parent = parent.parse().map_err(|_| format!("parent {parent:?} is no process id"))?;
    let spill_bytes = spill_bytes.parse().map_err(|_| format!("spill {spill_bytes:?} is no size"))?;
    let closed = sandbox::descriptors()?;
    let mut link = link::Link::over_stdin()?;
    link.tell_of_panics()?;
    let walls = sandbox::close(parent, spill_bytes, closed)?;
    session::serve(modules, &mut link, walls).map_err(|e| e.to_string())
}
