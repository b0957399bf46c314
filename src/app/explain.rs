//! What the rules in force make of a mail that nobody sent.

use crate::config::Live;
use crate::infra::host::Host;
use crate::jobs_api::Explain;
use crate::mail;
use crate::web::Problem;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The function the API is given: message, envelope recipient, envelope sender.
pub fn explainer(host: Host, live: Live, tmp: PathBuf) -> Explain {
    Arc::new(move |message, recipient, sender| {
        let (host, config, tmp) = (host.clone(), live.config(), tmp.clone());
        Box::pin(async move {
            let bytes = message.len() as u64;
            let staged = tokio::task::spawn_blocking(move || read_only(&tmp, &message)).await;
            let input = staged.map_err(Problem::internal)?.map_err(Problem::internal)?;
            let explained =
                mail::explain(&host, &config, input, bytes, (Some(recipient), Some(sender))).await;
            serde_json::to_value(explained.map_err(Problem::internal)?.explanation).map_err(Problem::internal)
        })
    })
}

/// The bytes as a file that can only be read: the module processes take no other.
fn read_only(tmp: &Path, message: &[u8]) -> std::io::Result<File> {
    let mut file = tempfile::NamedTempFile::new_in(tmp)?;
    file.write_all(message)?;
    File::open(file.path())
}
