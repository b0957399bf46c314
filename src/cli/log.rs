//! `headworks log tail`: the events of a topic, in the order of their commits.

use super::gateway::{Gateway, encoded};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use clap::Subcommand;
use std::time::Duration;

/// How often a topic is polled for new entries.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// When, and the event: as JSON, or in base64 where it is something else.
const COLUMNS: [Column; 3] = [("at", "/at"), ("event", "/body"), ("event in base64", "/body_base64")];

/// Read the log of events.
#[derive(Debug, Subcommand)]
pub enum Log {
    /// Print the entries of a topic, one per line.
    Tail {
        /// Name of the topic.
        topic: String,
        /// Print only entries after this position [default: from the beginning].
        #[arg(long, value_name = "POSITION")]
        after: Option<String>,
        /// Wait for more entries until Ctrl-C.
        #[arg(long, short)]
        follow: bool,
        /// Print one JSON object per line, with position, key and headers.
        #[arg(long)]
        json: bool,
    },
}

impl Log {
    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        let Self::Tail { topic, mut after, follow, json } = self;
        if follow && matches!(api, Gateway::Here(_)) {
            let why = "no server is running here, so there will be no new entries";
            return Err(Failure::new(Exit::Unreachable, why));
        }
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            let from = after.as_deref().map(|after| format!("?after={}", encoded(after))).unwrap_or_default();
            let page = api.get(&format!("/log/{}{from}", encoded(&topic))).await?;
            if page["gap"] == true {
                let place = after.as_deref().unwrap_or("the beginning");
                eprintln!("headworks: entries after {place} are missing: they have expired");
            }
            let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            print::more(json, &COLUMNS, items)?;
            after = page["next"].as_str().map(str::to_owned);
            if !items.is_empty() {
                continue;
            }
            if !follow {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(POLL_INTERVAL) => {}
                _ = interrupted.as_mut() => break,
            }
        }
        global.say(&format!("continue with --after {}", after.unwrap_or_default()));
        Ok(Exit::Done)
    }
}
