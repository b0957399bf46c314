//! `headworks rules test`: try the configured rules on a mail before the server uses them.

use super::listing::Form;
use super::{Exit, Failure, Global, local, print};
use crate::mail;
use clap::Subcommand;
use std::path::PathBuf;

/// Test the rules of the configuration.
#[derive(Debug, Subcommand)]
pub enum Rules {
    /// Show which rule matches a mail and, for the others, which condition fails. Needs no server.
    Test {
        /// File with the mail.
        file: PathBuf,
        /// Envelope recipient [default: the first of Delivered-To, X-Original-To and To].
        #[arg(long, value_name = "ADDRESS")]
        recipient: Option<String>,
        /// Envelope sender [default: Return-Path, or else From].
        #[arg(long, value_name = "ADDRESS")]
        sender: Option<String>,
        #[command(flatten)]
        form: Form,
    },
}

impl Rules {
    /// Runs the command.
    ///
    /// # Errors
    /// When the configuration is invalid, or the mail cannot be read.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let Self::Test { file, recipient, sender, form } = self;
        let loaded = global.load()?;
        let (message, bytes) = local::mail(&file)?;
        let host = local::host(loaded.config()).await?;
        let given = (recipient, sender);
        let explained = mail::explain(&host, loaded.config(), message, bytes, given).await?;
        if form.json {
            print::one(true, &serde_json::to_value(&explained)?)?;
        } else {
            let field =
                |name, value: &str| format!("{name} {}\n", crate::infra::telemetry::terminal::escape(value));
            print::out(&field("recipient", &explained.recipient))?;
            print::out(&field("sender", &explained.sender))?;
            print::out(&explained.explanation.to_string())?;
        }
        Ok(Exit::Done)
    }
}
