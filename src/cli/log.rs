//! `headworks log tail`: the events that leave, in the order of their commits.

use super::gateway::{Gateway, encoded};
use super::{Exit, Failure, Global, print};
use clap::Subcommand;
use std::time::Duration;

/// How often a topic is asked for what is new.
const PAUSE: Duration = Duration::from_secs(1);

/// The log of events.
#[derive(Debug, Subcommand)]
pub enum Log {
    /// Print the entries of a topic, one JSON object per line; the position to go on from goes to standard error.
    Tail {
        topic: String,
        /// Go on behind this position; the beginning where it is missing.
        #[arg(long, value_name = "POSITION")]
        after: Option<String>,
        /// Wait for more, until Ctrl-C.
        #[arg(long, short)]
        follow: bool,
        /// Print one JSON object per line, as always.
        #[arg(long)]
        json: bool,
    },
}

impl Log {
    /// Does it.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let Self::Tail { topic, mut after, follow, json: _ } = self;
        let gateway = Gateway::open(global).await?;
        if follow && matches!(gateway, Gateway::Here(_)) {
            gateway.close().await;
            return Err(Failure::new(Exit::Unreachable, "no server runs here, so nothing more will come"));
        }
        let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
        loop {
            let from = after.as_deref().map(|after| format!("?after={}", encoded(after))).unwrap_or_default();
            let page = gateway.get(&format!("/log/{}{from}", encoded(&topic))).await?;
            if page["gap"] == true {
                eprintln!(
                    "headworks: entries behind {} are gone",
                    after.as_deref().unwrap_or("the beginning")
                );
            }
            let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            print::list(true, &[], items)?;
            after = page["next"].as_str().map(str::to_owned);
            if !items.is_empty() {
                continue;
            }
            if !follow {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = stop.as_mut() => break,
            }
        }
        global.say(&format!("to go on: --after {}", after.unwrap_or_default()));
        gateway.close().await;
        Ok(Exit::Done)
    }
}
