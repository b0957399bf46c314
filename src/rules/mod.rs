//! Rules: decide customer, category, type and group of a mail.
//!
//! ```text
//! envelope recipient ──▶ customer? ── no ──▶ held: unknown_customer          customer
//!                          │ yes
//!                          ▼
//! rules, in order ──▶ all conditions hold? ── a decisive header is repeated ──▶ held: malformed
//!        ▲                 │ yes: set coordinates, settings, archive          condition
//!        └── stop = false ─┤
//!                          ▼ stop = true, or the last rule
//!              category and type known? ── no ──▶ held: no_rule               decide
//!                          │ yes
//!                          ▼
//!                        routed
//! ```
//!
//! The customer comes from the envelope recipient alone: no content moves a mail to another customer. After a rule with
//! `stop = false` the search goes on; later matching rules override or add values, key by key. Nothing here reads a
//! clock, a file or the network, and nothing panics, whatever a mail contains.

mod condition;
mod customer;
mod decide;
mod explain;

pub use customer::Recipients;
pub use decide::{Decision, Reason, Route};
pub use explain::{Explanation, Trial, Verdict};

use crate::config::Config;
use std::sync::Arc;

/// What the rules see of a mail. Texts are decoded; bytes that were not text are replaced.
#[derive(Debug, Clone, Copy)]
pub struct RuleInput<'a> {
    /// Envelope recipient, as given.
    pub recipient: &'a str,
    /// Envelope sender; empty for the null sender.
    pub sender: &'a str,
    /// All header lines of the outermost message in order, name and decoded text; repeated ones are detected here.
    pub headers: &'a [(&'a str, &'a str)],
    /// Attachments and inline parts: declared file name (empty when there is none) and type by its first bytes.
    pub attachments: &'a [(&'a str, &'a str)],
}

/// The customers and rules of one configuration; rebuilt when it is reloaded.
#[derive(Debug, Clone)]
pub struct Rules {
    config: Arc<Config>,
    recipients: Recipients,
}

impl Rules {
    /// The rules of `config`.
    #[must_use]
    pub fn new(config: Arc<Config>) -> Self {
        let recipients = Recipients::new(&config);
        Self { config, recipients }
    }

    /// The recipients of all customers.
    #[must_use]
    pub const fn recipients(&self) -> &Recipients {
        &self.recipients
    }

    /// Decides about a mail. Never panics; work is bounded by the number of rules and header lines, and 8 KiB of each.
    #[must_use]
    pub fn decide(&self, input: &RuleInput<'_>) -> Decision {
        decide::decide(&self.config.rules, &self.recipients, input)
    }

    /// The decision with its reasons: every rule, with the conditions that did not hold.
    #[must_use]
    pub fn explain(&self, input: &RuleInput<'_>) -> Explanation {
        explain::explain(&self.config.rules, &self.recipients, input)
    }
}

#[cfg(test)]
mod tests;
