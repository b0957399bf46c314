//! What the rules in force make of a mail that nobody sent: split as `sort` splits, then explained.

use crate::config::Live;
use crate::infra::host::{Host, SplitOutput};
use crate::jobs_api::Explain;
use crate::mail::rules::Rules;
use crate::mail::{limits, rule_input};
use crate::web::Problem;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// The function the API is given: message, envelope recipient, envelope sender.
pub fn explainer(host: Host, live: Live) -> Explain {
    Arc::new(move |message, recipient, sender| {
        let (host, live) = (host.clone(), live.clone());
        Box::pin(async move {
            let split = split(&host, &live, message).await?;
            let config = live.config();
            let explanation = rule_input(&recipient, &sender, &split.head, &split.parts, |input| {
                Rules::new(Arc::clone(&config)).explain(input)
            });
            serde_json::to_value(explanation).map_err(Problem::internal)
        })
    })
}

async fn split(host: &Host, live: &Live, message: Vec<u8>) -> Result<SplitOutput, Problem> {
    let config = live.config();
    let (bytes, tmp) = (message.len() as u64, config.server.tmp_dir.clone());
    let input =
        tokio::task::spawn_blocking(move || read_only(&tmp, &message)).await.map_err(Problem::internal)?;
    let input = input.map_err(Problem::internal)?;
    host.split(input, bytes, limits(&config.mail)).await.map_err(Problem::internal)
}

/// The bytes as a file that can only be read: the module processes take no other.
fn read_only(tmp: &Path, message: &[u8]) -> std::io::Result<File> {
    let mut file = tempfile::NamedTempFile::new_in(tmp)?;
    file.write_all(message)?;
    File::open(file.path())
}
