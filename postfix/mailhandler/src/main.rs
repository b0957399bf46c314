//! What Postfix's pipe(8) runs for every mail: put it into the spool, then say so.
//!
//! Postfix understands the exit code: 0 is delivered; 75, or death by a signal, is "again later"; nearly everything
//! else bounces the mail to its sender. So this program ends in one of the first two ways and in no other, a panic is
//! a signal, and whatever is odd about the mail itself is spooled with a problem code.

mod pipe;

use std::process::{ExitCode, abort};

fn main() -> ExitCode {
    // Exit code 101 of an ordinary panic would bounce the mail.
    std::panic::set_hook(Box::new(|_| abort()));
    pipe::run(std::env::args_os().skip(1)).say()
}
