//! The minimum a program behind Postfix's pipe must do before it acknowledges: read the mail, write it, fsync it, rename it,
//! fsync the directory. `mail-pipe` measures `mailhandler` against it.
//!
//! `pipe_floor DIRECTORY NAME`; what follows is not looked at. `DIRECTORY` has `new` and `tmp`. Only the standard library,
//! in one file, so that the bench builds it statically without building everything else that way.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Postfix tries again.
const TEMPFAIL: u8 = 75;

fn main() -> ExitCode {
    match deliver() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("4.3.0 {error}");
            ExitCode::from(TEMPFAIL)
        }
    }
}

fn deliver() -> io::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), Some(name)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err(io::Error::other("usage: pipe_floor DIRECTORY NAME"));
    };
    let (draft, new) = (directory.join("tmp").join(&name), directory.join("new"));
    let mut mail = Vec::new();
    io::stdin().read_to_end(&mut mail)?;
    let mut file = File::create_new(&draft)?;
    file.write_all(&mail)?;
    file.sync_all()?;
    fs::rename(&draft, new.join(&name))?;
    File::open(&new)?.sync_all()
}
