//! `headworks relay`: how far the log is copied to Kafka, and what to do where it does not go on.

use super::gateway::{Gateway, encoded};
use super::listing::{Form, Listing, Query};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use clap::{Args, Subcommand};

const COLUMNS: [Column; 9] = [
    ("topic", "/topic"),
    ("kafka", "/kafka"),
    ("position", "/position"),
    ("newest", "/newest"),
    ("lag", "/lag_entries"),
    ("seconds", "/lag_seconds"),
    ("held", "/held"),
    ("paused", "/paused"),
    ("trouble", "/trouble"),
];

/// Show, pause and resume the copying of the log to Kafka.
#[derive(Debug, Subcommand)]
pub enum Relay {
    /// List topics with how far each is copied.
    List {
        #[command(flatten)]
        listing: Listing,
    },
    /// Show one topic.
    Show(Topic),
    /// Stop copying a topic; nothing of it is lost.
    Pause(Topic),
    /// Let a paused topic go on, or one that waits because its position does not fit.
    Resume {
        #[command(flatten)]
        topic: Topic,
        /// Where it goes on: mirror (behind what our store knows was copied), oldest, newest, or a position.
        #[arg(long, value_name = "PLACE")]
        from: Option<String>,
    },
    /// Go on from another place. What was copied since is copied again, with new message ids.
    Reset {
        #[command(flatten)]
        topic: Topic,
        /// Where it goes on: mirror, oldest, newest, or a position.
        #[arg(long, value_name = "PLACE")]
        to: String,
    },
    /// Send the rows of a table again, as they are now: for consumers that need what is older than the log.
    Snapshot {
        /// Name of the table, for example `hydrastor_alert`.
        table: String,
        #[command(flatten)]
        form: Form,
    },
    /// Leave out the next entry of a topic, which cannot be copied.
    Skip {
        #[command(flatten)]
        topic: Topic,
        /// Position of the entry, as headworks log tail prints it.
        position: String,
    },
}

/// One topic.
#[derive(Debug, Args)]
pub struct Topic {
    /// Name of the log topic, for example `rows.hydrastor_alert`.
    name: String,
    #[command(flatten)]
    form: Form,
}

impl Relay {
    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        let at = |topic: &Topic, rest: &str| format!("/relay/{}{rest}", encoded(&topic.name));
        let (json, shown) = match &self {
            Self::List { listing } => {
                listing.print(global, api, "/relay", &COLUMNS).await?;
                return Ok(Exit::Done);
            }
            Self::Show(topic) => (topic.form.json, api.get(&at(topic, "")).await?),
            Self::Pause(topic) => (topic.form.json, api.post(&at(topic, "/pause")).await?),
            Self::Resume { topic, from } => {
                let path = Query::default().with("from", from.as_deref()).at(&at(topic, "/resume"));
                (topic.form.json, api.post(&path).await?)
            }
            Self::Reset { topic, to } => {
                let path = Query::default().with("from", Some(to)).at(&at(topic, "/resume"));
                (topic.form.json, api.post(&path).await?)
            }
            Self::Snapshot { table, form } => (
                form.json,
                api.post(&format!("/relay/{}/snapshot", encoded(&format!("rows.{table}")))).await?,
            ),
            Self::Skip { topic, position } => {
                (topic.form.json, api.post(&at(topic, &format!("/skip/{}", encoded(position)))).await?)
            }
        };
        print::one(json, &shown)?;
        Ok(Exit::Done)
    }
}
