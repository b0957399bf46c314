//! What commands do with a mail in a file, without a server: module processes of their own.

use super::{Exit, Failure};
use crate::app::host_settings;
use crate::config::Config;
use crate::infra::host::Host;
use std::fs::File;
use std::path::Path;

/// Module processes for one command.
///
/// # Errors
/// When the program is missing or cannot close its sandbox.
pub async fn host(config: &Config) -> Result<Host, Failure> {
    let mut settings = host_settings(config);
    settings.children = 1;
    // The scratch directory of the server may not be ours to write to.
    settings.tmp = std::env::temp_dir();
    Ok(Host::start(settings).await?)
}

/// A mail in a file, and its length.
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
        return Err(Failure::new(Exit::Usage, format!("{} is no file", path.display())));
    }
    Ok((file, found.len()))
}
