//! `headworks rules test`: what the rules of the configuration make of a mail, before a server has to.

use super::listing::Form;
use super::{Exit, Failure, Global, local, print};
use crate::mail;
use clap::Subcommand;
use std::path::PathBuf;

/// What the rules make of a mail.
#[derive(Debug, Subcommand)]
pub enum Rules {
    /// Say which rule matches and, for the others, which condition fails. Asks the configuration, not the server.
    Test {
        /// The mail.
        file: PathBuf,
        /// Envelope recipient; without it, the first of Delivered-To, X-Original-To and To.
        #[arg(long, value_name = "ADDRESS")]
        recipient: Option<String>,
        /// Envelope sender; without it, Return-Path or From.
        #[arg(long, value_name = "ADDRESS")]
        sender: Option<String>,
        #[command(flatten)]
        form: Form,
    },
}

impl Rules {
    /// Does it.
    ///
    /// # Errors
    /// When the configuration is wrong, or the mail cannot be read.
    pub async fn run(self, global: &Global) -> Result<Exit, Failure> {
        let Self::Test { file, recipient, sender, form } = self;
        let loaded = global.load()?;
        let (message, bytes) = local::mail(&file)?;
        let host = local::host(loaded.config()).await?;
        let given = (recipient, sender);
        let explained = mail::explain(&host, loaded.config(), message, bytes, given).await?;
        if form.json {
            print::out(&print::json_line(&serde_json::to_value(&explained)?))?;
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
