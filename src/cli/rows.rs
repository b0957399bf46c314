//! `headworks rows`: the rows that modules made.

use super::gateway::{Gateway, encoded};
use super::listing::{Listing, Query};
use super::{Exit, Failure, Global};
use clap::Args;

/// List the rows of a table or view that a module declares.
///
/// `headworks modules list` names the tables.
#[derive(Debug, Args)]
pub struct Rows {
    /// Name of the table or view, for example hydrastor_alert.
    table: String,
    /// Only rows whose column matches; the operators are eq, ne, lt, le, gt, ge, in, prefix and null. May be repeated.
    #[arg(long = "filter", value_name = "COLUMN=OPERATOR:VALUE", value_parser = filter)]
    filters: Vec<(String, String)>,
    /// Only rows received since this time, or within this period: 2026-01-31T00:00:00Z, 2h.
    #[arg(long)]
    since: Option<String>,
    /// Only rows received before this time, or longer ago than this period.
    #[arg(long)]
    until: Option<String>,
    /// Sort by this column; with - in front, largest first.
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true)]
    order: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

impl Rows {
    /// Runs the command.
    pub async fn run(self, global: &Global, api: &Gateway) -> Result<Exit, Failure> {
        let mut query = Query::default()
            .with("since", self.since.as_deref())
            .with("until", self.until.as_deref())
            .with("order", self.order.as_deref());
        for (column, condition) in &self.filters {
            query = query.with(&format!("filter[{column}]"), Some(condition));
        }
        let path = query.at(&format!("/rows/{}", encoded(&self.table)));
        self.listing.print_all_fields(global, api, &path).await?;
        Ok(Exit::Done)
    }
}

fn filter(text: &str) -> Result<(String, String), String> {
    let (column, condition) = text.split_once('=').ok_or("must be COLUMN=OPERATOR:VALUE")?;
    Ok((column.to_owned(), condition.to_owned()))
}
