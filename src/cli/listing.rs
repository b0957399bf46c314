//! What commands share: filters, pages, and how results are printed.

use super::gateway::{Gateway, encoded};
use super::print::{self, Column};
use super::{Failure, Global};
use clap::Args;
use serde_json::Value;

/// How to print a list.
#[derive(Debug, Clone, Args)]
pub struct Listing {
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    /// Print at most this many entries.
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
    /// Continue after an earlier list, which printed this cursor.
    #[arg(long)]
    cursor: Option<String>,
}

/// How to print a single result.
#[derive(Debug, Clone, Copy, Args)]
pub struct Form {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Filter of jobs or deliveries.
#[derive(Debug, Clone, Args)]
pub struct Coordinates {
    /// Only from this source, for example mail or rest.
    #[arg(long)]
    source: Option<String>,
    /// Only of this customer.
    #[arg(long)]
    customer: Option<String>,
    /// Only of this category.
    #[arg(long)]
    category: Option<String>,
    /// Only of this type.
    #[arg(long = "type", value_name = "TYPE")]
    type_: Option<String>,
    /// Only of this group.
    #[arg(long)]
    group: Option<String>,
    #[command(flatten)]
    span: Span,
}

/// Filter by time.
#[derive(Debug, Clone, Args)]
pub struct Span {
    /// Only since this time, or within this period: 2026-01-31, 2026-01-31T12:00:00Z, 2h.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time: 2026-01-31, 2026-01-31T12:00:00Z, or 2h ago: 2h.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// A query string under construction.
#[derive(Debug, Default)]
pub struct Query(String);

impl Query {
    /// A path that may have a query already.
    fn of(path: &str) -> Self {
        Self(path.to_owned())
    }

    /// Adds a parameter if it has a value.
    pub fn with(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.contains('?') { '&' } else { '?' });
            self.0.push_str(&format!("{}={}", encoded(name), encoded(value)));
        }
        self
    }

    /// Adds the filter by time.
    pub fn within(self, span: &Span) -> Self {
        self.with("since", span.since.as_deref()).with("until", span.until.as_deref())
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
            .within(&self.span)
    }
}

impl Form {
    /// Prints the result of an act on a job: as JSON, or the job's id, with a sentence that ends in it on standard error.
    pub fn print_job(self, global: &Global, result: &Value, sentence: &str) -> Result<(), Failure> {
        if self.json {
            return print::one(true, result);
        }
        global.say(&format!("{sentence} {}", result["id"]));
        print::out(&format!("{}\n", result["id"]))
    }
}

impl Listing {
    /// Prints the list at `path`; if there is more, tells on standard error how to continue.
    pub async fn print(
        &self,
        global: &Global,
        api: &Gateway,
        path: &str,
        columns: &[Column],
    ) -> Result<(), Failure> {
        let (items, cursor) = self.fetch(api, path).await?;
        print::list(self.json, columns, &items)?;
        say_how_to_continue(global, cursor);
        Ok(())
    }

    /// As [`Self::print`], with the fields of the entries as columns.
    pub async fn print_all_fields(&self, global: &Global, api: &Gateway, path: &str) -> Result<(), Failure> {
        let (items, cursor) = self.fetch(api, path).await?;
        let fields = items.first().and_then(Value::as_object).into_iter().flat_map(|item| item.keys());
        let columns: Vec<_> = fields.map(|field| (field.clone(), format!("/{field}"))).collect();
        print::list(self.json, &columns, &items)?;
        say_how_to_continue(global, cursor);
        Ok(())
    }

    /// Entries up to the limit, and where to continue if there are more.
    async fn fetch(&self, api: &Gateway, path: &str) -> Result<(Vec<Value>, Option<String>), Failure> {
        let mut pages = Pages::new(api, path, self.cursor.clone());
        let mut items = Vec::new();
        while items.len() < self.limit {
            let Some(page) = pages.next(self.limit - items.len()).await? else { break };
            items.extend(page);
        }
        Ok((items, pages.cursor.filter(|_| !pages.ended)))
    }
}

fn say_how_to_continue(global: &Global, cursor: Option<String>) {
    if let Some(cursor) = cursor {
        global.say(&format!("there are more: continue with --cursor {cursor}"));
    }
}

/// Reads a list page by page.
pub struct Pages<'a> {
    api: &'a Gateway,
    path: &'a str,
    cursor: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    /// The pages of the list at `path`, after `cursor`.
    pub fn new(api: &'a Gateway, path: &'a str, cursor: Option<String>) -> Self {
        Self { api, path, cursor, ended: false }
    }

    /// The next page, as long as the server makes them but with at most `most` entries; `None` after the last.
    pub async fn next(&mut self, most: usize) -> Result<Option<Vec<Value>>, Failure> {
        if self.ended {
            return Ok(None);
        }
        let mut page = self.page(None).await?;
        // Asked for once more, because the cursor of a whole page is behind its last entry.
        if page["items"].as_array().is_some_and(|items| items.len() > most) {
            page = self.page(Some(&most.to_string())).await?;
        }
        self.cursor = page["next"].as_str().map(str::to_owned);
        self.ended = self.cursor.is_none();
        match page["items"].take() {
            Value::Array(items) => Ok(Some(items)),
            _ => Ok(Some(Vec::new())),
        }
    }

    async fn page(&self, limit: Option<&str>) -> Result<Value, Failure> {
        let query = Query::of(self.path).with("limit", limit).with("cursor", self.cursor.as_deref());
        self.api.get(&query.at("")).await
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn a_query_contains_the_parameters_that_have_a_value() {
        let query =
            Query::default().with("state", Some("held")).with("queue", None).with("group", Some("a b"));
        assert_eq!(query.at("/jobs"), "/jobs?state=held&group=a%20b");
        assert_eq!(Query::default().at("/jobs"), "/jobs");
    }
}
