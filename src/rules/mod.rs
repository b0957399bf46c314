//! Which mail is whose, and what it is.
//!
//! ```text
//! envelope recipient ──▶ customer? ── no ──▶ held: unknown_customer          customer
//!                          │ yes
//!                          ▼
//! rules, in order ──▶ all conditions hold? ── a decisive header stands twice ──▶ held: malformed
//!        ▲                 │ yes: set coordinates, settings, archive          condition
//!        └── stop = false ─┤
//!                          ▼ stop = true, or the last rule
//!              category and type known? ── no ──▶ held: no_rule               decide
//!                          │ yes
//!                          ▼
//!                        routed
//! ```
//!
//! The customer comes from the envelope recipient alone: nothing a mail says moves it to another customer. A rule with
//! `stop = false` sets what it sets and the search goes on; a later rule that holds sets it anew or adds to it, key by
//! key. Nothing here reads a clock, a file or a network, and nothing panics, whatever a mail says.

mod condition;
mod customer;
mod decide;
mod explain;

pub use customer::Recipients;
pub use decide::{Decision, Reason, Route};
pub use explain::{Explanation, Trial, Verdict};

use crate::config::Config;
use std::sync::Arc;

/// What the rules may know of a mail. Texts are decoded; anything that was not text is already replaced.
#[derive(Debug, Clone, Copy)]
pub struct RuleInput<'a> {
    /// Envelope recipient, as given.
    pub recipient: &'a str,
    /// Envelope sender; empty for the null sender.
    pub sender: &'a str,
    /// Header lines of the outermost message in their order, name and decoded text. All of them: that a header stands
    /// twice is seen here.
    pub headers: &'a [(&'a str, &'a str)],
    /// Attachments and inline parts: declared file name (empty when there is none) and type by its first bytes.
    pub attachments: &'a [(&'a str, &'a str)],
}

/// The customers and rules of one configuration, ready to be asked. Made anew when the configuration is.
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

    /// Who is meant by an envelope recipient.
    #[must_use]
    pub const fn recipients(&self) -> &Recipients {
        &self.recipients
    }

    /// Where a mail goes. Never panics; work is bounded by the rules, the header lines and 8 KiB of each.
    #[must_use]
    pub fn decide(&self, input: &RuleInput<'_>) -> Decision {
        decide::decide(&self.config.rules, &self.recipients, input)
    }

    /// Why: every rule with the conditions that did not hold.
    #[must_use]
    pub fn explain(&self, input: &RuleInput<'_>) -> Explanation {
        explain::explain(&self.config.rules, &self.recipients, input)
    }
}

#[cfg(test)]
mod tests;
