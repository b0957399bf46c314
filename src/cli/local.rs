//! Commands that work on a mail in a file, without a server, in module processes of their own.

use super::{Exit, Failure};
use crate::app::host_settings;
use crate::config::Config;
use crate::infra::host::Host;
use std::fs::File;
use std::path::Path;

/// Starts module processes for one command.
///
/// # Errors
/// When the program is missing or cannot set up its sandbox.
pub async fn host(config: &Config) -> Result<Host, Failure> {
    let mut settings = host_settings(config);
    settings.children = 1;
    // We may not be allowed to write to the server's temporary directory.
    settings.tmp = std::env::temp_dir();
    Ok(Host::start(settings).await?)
}

/// Opens a mail in a file; returns the file and its length in bytes.
///
/// # Errors
/// When it cannot be read.
pub fn mail(path: &Path) -> Result<(File, u64), Failure> {
    let wrong = |error: std::io::Error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        Failure::new(
            if missing { Exit::NotFound } else { Exit::Failed },
            format!("{}: {error}", path.display()),
        )
    };
    let file = File::open(path).map_err(wrong)?;
    let found = file.metadata().map_err(wrong)?;
    if !found.is_file() {
        return Err(Failure::new(Exit::Usage, format!("{} is not a regular file", path.display())));
    }
    Ok((file, found.len()))
}
