//! Lists: filters, pages, output.

use super::gateway::{Gateway, encoded};
use super::print::{self, Column};
use super::{Failure, Global};
use clap::Args;
use serde_json::Value;

/// Most entries asked for at once; a server whose pages are smaller gives what it allows, and more pages.
const PAGE: usize = 100;

/// How a list is wanted.
#[derive(Debug, Clone, Args)]
pub struct Listing {
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Most entries.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Go on where an earlier list ended, as it said.
    #[arg(long)]
    cursor: Option<String>,
}

/// Form of what is not a list.
#[derive(Debug, Clone, Args)]
pub struct Form {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which jobs or deliveries.
#[derive(Debug, Clone, Args)]
pub struct Coordinates {
    /// Came in this way: mail, rest.
    #[arg(long)]
    source: Option<String>,
    /// Of this customer.
    #[arg(long)]
    customer: Option<String>,
    /// Of this category.
    #[arg(long)]
    category: Option<String>,
    /// Of this type.
    #[arg(long = "type", value_name = "TYPE")]
    type_: Option<String>,
    /// Of this group.
    #[arg(long)]
    group: Option<String>,
    /// Since this instant, or for so long: 2026-01-31T00:00:00Z, 2h.
    #[arg(long)]
    since: Option<String>,
}

/// A query string that is being written.
#[derive(Debug, Default)]
pub struct Query(String);

impl Query {
    /// Adds a parameter, where it was given.
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(&format!("{name}={}", encoded(value)));
        }
        self
    }

    /// The path with this query.
    pub fn at(&self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

impl Coordinates {
    /// The filter as a query.
    pub fn query(&self) -> Query {
        Query::default()
            .with("source", self.source.as_deref())
            .with("customer", self.customer.as_deref())
            .with("category", self.category.as_deref())
            .with("type", self.type_.as_deref())
            .with("group", self.group.as_deref())
            .with("since", self.since.as_deref())
    }
}

impl Listing {
    /// Prints the list at `path`; says on standard error how to go on where there is more.
    pub async fn print(
        &self,
        global: &Global,
        gateway: &Gateway,
        path: &str,
        columns: &[Column],
    ) -> Result<(), Failure> {
        let mut pages = Pages::new(gateway, path, self.cursor.clone());
        let mut items = Vec::new();
        while items.len() < self.limit {
            let wanted = PAGE.min(self.limit - items.len());
            let Some(page) = pages.next(wanted).await? else { break };
            items.extend(page);
        }
        print::list(self.json, columns, &items)?;
        if let Some(cursor) = pages.cursor.filter(|_| !pages.ended) {
            global.say(&format!("there is more: --cursor {cursor}"));
        }
        Ok(())
    }
}

/// Reads a list page by page.
pub struct Pages<'a> {
    gateway: &'a Gateway,
    path: &'a str,
    cursor: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    /// The pages of the list at `path`, from `cursor` on.
    pub fn new(gateway: &'a Gateway, path: &'a str, cursor: Option<String>) -> Self {
        Self { gateway, path, cursor, ended: false }
    }

    /// The next page with at most `limit` entries; none after the last.
    pub async fn next(&mut self, limit: usize) -> Result<Option<Vec<Value>>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let joint = if self.path.contains('?') { '&' } else { '?' };
        let cursor =
            self.cursor.as_deref().map(|cursor| format!("&cursor={}", encoded(cursor))).unwrap_or_default();
        let mut page = self.gateway.get(&format!("{}{joint}limit={limit}{cursor}", self.path)).await?;
        self.cursor = page["next"].as_str().map(str::to_owned);
        self.ended = self.cursor.is_none();
        match page["items"].take() {
            Value::Array(items) => Ok(Some(items)),
            _ => Ok(Some(Vec::new())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn a_query_holds_what_was_given() {
        let query =
            Query::default().with("state", Some("held")).with("queue", None).with("group", Some("a b"));
        assert_eq!(query.at("/jobs"), "/jobs?state=held&group=a%20b");
        assert_eq!(Query::default().at("/jobs"), "/jobs");
    }
}
