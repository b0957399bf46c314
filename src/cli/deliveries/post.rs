//! `headworks deliveries post`: files become deliveries, one each.

use crate::cli::gateway::Gateway;
use crate::cli::listing::Query;
use crate::cli::print::{json_line, out};
use crate::cli::{Exit, Failure, Global};
use clap::Args;
use serde_json::{Value, json};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use tokio_util::io::ReaderStream;

/// What names standard input.
const STANDARD_INPUT: &str = "-";

/// How to do the same with curl. A test runs every line.
const WITH_CURL: &str = "\
Any HTTP client can do the same, for example curl, with the server's address in URL and a key that grants ingest in KEY:

  TO=\"$URL/api/1.0/deliveries?customer=bobs&category=hydrastor&type=system_report\"
  curl -sSf -H \"X-Api-Key: $KEY\" --data-binary @report.txt \"$TO\"
  curl -sSf -H \"X-Api-Key: $KEY\" -F file=@report.txt \"$TO\"
  curl -sSf -H \"X-Api-Key: $KEY\" -T report.txt \"$TO\"
  gzip -c report.txt | curl -sSf -H \"X-Api-Key: $KEY\" -T - \"$TO\"
  curl -sSf -H \"X-Api-Key: $KEY\" -F file=@report.eml \"$TO&wait=30s\"

Not with -d, which removes the line ends.";

/// Post files as deliveries and print their receipts, each as soon as its file is kept.
///
/// What a file is, its bytes say: text, an archive, a mail. A file that was posted before gets its first receipt again.
#[derive(Debug, Args)]
#[command(after_long_help = WITH_CURL)]
pub struct Post {
    /// Files to post, each as one delivery; - is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Customer whose files they are; may be left out with a customer's key.
    #[arg(long)]
    customer: Option<String>,
    /// Family of formats, for example hydrastor.
    #[arg(long)]
    category: String,
    /// Format, for example system_report.
    #[arg(long = "type", value_name = "TYPE")]
    type_: String,
    /// What the files are about [default: none].
    #[arg(long)]
    group: Option<String>,
    /// Media type of the files, for example text/plain; a hint, where their bytes do not say it.
    #[arg(long, value_name = "TYPE/SUBTYPE", default_value = "application/octet-stream")]
    media_type: String,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
}

impl Post {
    /// Runs the command. A file that is refused does not keep the others from being posted.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        let mut refused = Vec::new();
        for file in &self.files {
            match self.post(api, file).await {
                Ok(accepted) => self.print(global, file, accepted)?,
                Err(Failure { exit, message }) => {
                    global.say(&format!("{}: {message}", file.display()));
                    refused.push(exit);
                }
            }
        }
        Ok(match refused.first() {
            None => Exit::Done,
            Some(&exit) if refused.len() == self.files.len() => exit,
            Some(_) => Exit::Partly,
        })
    }

    async fn post(&self, api: &Gateway, file: &Path) -> Result<Value, Failure> {
        let name = file.file_name().map(|name| name.to_string_lossy());
        let is_input = file.as_os_str() == STANDARD_INPUT;
        let query = Query::default()
            .with("customer", self.customer.as_deref())
            .with("category", Some(&self.category))
            .with("type", Some(&self.type_))
            .with("group", self.group.as_deref())
            .with("name", name.as_deref().filter(|_| !is_input));
        let bytes = if is_input {
            tokio::fs::File::from_std(std::io::stdin().as_fd().try_clone_to_owned()?.into())
        } else {
            tokio::fs::File::open(file).await?
        };
        let bytes = reqwest::Body::wrap_stream(ReaderStream::new(bytes));
        api.post_bytes(&query.at("/deliveries"), &self.media_type, bytes).await
    }

    fn print(&self, global: &Global, file: &Path, mut accepted: Value) -> Result<(), Failure> {
        if self.json {
            accepted["file"] = json!(file.to_string_lossy());
            return out(&json_line(&accepted));
        }
        global.say(&format!("{}: accepted with receipt", file.display()));
        out(&format!("{}\n", accepted["receipt_id"].as_str().unwrap_or_default()))
    }
}
