//! `headworks schemas`: the JSON Schemas of published rows.

use super::gateway::{Gateway, encoded};
use super::listing::{Listing, Query};
use super::print::{self, Column};
use super::{Exit, Failure, Global};
use clap::Args;

const COLUMNS: [Column; 3] = [("table", "/table"), ("topic", "/topic"), ("version", "/version")];

/// List the tables whose rows are published, or print the JSON Schema of one.
#[derive(Debug, Args)]
pub struct Schemas {
    /// Print the JSON Schema of the rows of this table.
    table: Option<String>,
    /// Print this version [default: the one in which the server writes].
    #[arg(long, requires = "table", value_name = "N")]
    version: Option<u32>,
    #[command(flatten)]
    listing: Listing,
}

impl Schemas {
    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        let Some(table) = self.table else {
            self.listing.print(global, api, "/schemas", &COLUMNS).await?;
            return Ok(Exit::Done);
        };
        let version = self.version.map(|version| version.to_string());
        let query = Query::default().with("version", version.as_deref());
        let schema = api.get(&query.at(&format!("/schemas/{}", encoded(&table)))).await?;
        print::out(&print::json_line(&schema))?;
        Ok(Exit::Done)
    }
}
