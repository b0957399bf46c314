//! Run by Postfix's pipe(8) for every mail: puts it into the spool, then acknowledges it.
//!
//! To Postfix exit code 0 means delivered; 75, or death by a signal, means try again; nearly everything else bounces the
//! mail. So this program ends only in one of the first two ways, a panic raises a signal, and odd mail is spooled with a
//! problem code.

mod pipe;

use std::process::{ExitCode, abort};

fn main() -> ExitCode {
    // Exit code 101 of an ordinary panic would bounce the mail.
    std::panic::set_hook(Box::new(|_| abort()));
    pipe::run(std::env::args_os().skip(1)).say()
}
