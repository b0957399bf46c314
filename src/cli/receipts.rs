//! `headworks receipts`: the state of what was accepted.

use super::gateway::Gateway;
use super::listing::Form;
use super::{Exit, Failure, print};
use clap::Subcommand;
use uuid::Uuid;

/// Show the state of something that was accepted.
#[derive(Debug, Subcommand)]
pub enum Receipts {
    /// Show the state of a receipt, and when its jobs ended.
    Show {
        /// Id of the receipt.
        id: Uuid,
        #[command(flatten)]
        form: Form,
    },
}

impl Receipts {
    /// Runs the command.
    pub async fn run(self, api: &Gateway) -> Result<Exit, Failure> {
        let Self::Show { id, form } = self;
        print::one(form.json, &api.get(&format!("/receipts/{id}")).await?)?;
        Ok(Exit::Done)
    }
}
