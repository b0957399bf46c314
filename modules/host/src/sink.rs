//! Where a module's output goes: frames, within the budget.

use crate::link::Link;
use module_api::frame::{Budget, FrameError, MAX_REPLY_BYTES, Reply};
use module_api::{Finding, Row, Sink, Stop};
use std::collections::BTreeSet;

/// Sends rows and findings until a budget is used up.
pub(crate) struct FrameSink<'a> {
    link: &'a mut Link,
    budget: Budget,
    rows: u64,
    findings: u64,
    bytes: u64,
    /// Parts that rows came from.
    row_parts: BTreeSet<u32>,
    /// The budget that was used up, or the error of the socket.
    stopped: Option<Stopped>,
}

/// Why nothing more is taken.
pub(crate) enum Stopped {
    Budget(String),
    Link(FrameError),
}

impl<'a> FrameSink<'a> {
    pub(crate) fn new(link: &'a mut Link, budget: Budget) -> Self {
        Self { link, budget, rows: 0, findings: 0, bytes: 0, row_parts: BTreeSet::new(), stopped: None }
    }

    /// Parts that rows came from.
    pub(crate) fn row_parts(&self) -> BTreeSet<u32> {
        self.row_parts.clone()
    }

    /// Why it stopped, if it did.
    pub(crate) fn stopped(self) -> Option<Stopped> {
        self.stopped
    }

    fn send(&mut self, reply: &Reply, limit: usize, what: &str) -> Result<(), Stop> {
        if self.stopped.is_some() {
            return Err(Stop);
        }
        match self.link.send_within(reply, limit) {
            Ok(sent) => self.bytes += sent,
            Err(FrameError::TooLong { len, limit }) => {
                return self.stop(format!("{what} of {len} bytes, {limit} allowed"));
            }
            Err(e) => {
                self.stopped = Some(Stopped::Link(e));
                return Err(Stop);
            }
        }
        if self.bytes > self.budget.output_bytes {
            return self.stop(format!("more than {} bytes of output", self.budget.output_bytes));
        }
        Ok(())
    }

    fn stop(&mut self, message: String) -> Result<(), Stop> {
        self.stopped.get_or_insert(Stopped::Budget(message));
        Err(Stop)
    }
}

impl Sink for FrameSink<'_> {
    fn row(&mut self, row: Row) -> Result<(), Stop> {
        if self.rows == self.budget.rows {
            return self.stop(format!("more than {} rows", self.budget.rows));
        }
        self.rows += 1;
        self.row_parts.insert(row.place.part);
        self.send(&Reply::Row(row), self.budget.row_bytes, "row")
    }

    fn finding(&mut self, finding: Finding) -> Result<(), Stop> {
        if self.findings == self.budget.findings {
            return self.stop(format!("more than {} findings", self.budget.findings));
        }
        self.findings += 1;
        self.send(&Reply::Finding(finding), self.budget.row_bytes, "finding")
    }

    fn profile(&mut self, name: &str) {
        // A stop is remembered and ends the run like any other.
        let _stopped = self.send(&Reply::Profile(name.to_owned()), MAX_REPLY_BYTES, "profile");
    }
}
