//! The decision: rules in order, until one stops.

use super::condition::{Answer, Captures, conditions};
use super::{Recipients, RuleInput};
use crate::config::{Rule, Template};
use crate::ids::{Coordinates, Slug};
use serde::Serialize;
use std::collections::BTreeMap;

/// Where a mail goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// To its place, and to the module for its category and type.
    Routed(Route),
    /// It waits for an operator.
    Held(Reason),
}

/// What the rules say about a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Its place.
    pub coordinates: Coordinates,
    /// The rules that held, in order; never empty.
    pub rules: Vec<Slug>,
    /// Whether the original is copied to volume `archive`.
    pub archive: bool,
    /// What the module is told.
    pub settings: BTreeMap<String, String>,
    /// What the patterns of these rules captured; of equal names the later.
    pub captures: BTreeMap<String, String>,
}

/// Why a mail waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No rule held, or those that did left category or type open.
    NoRule,
    /// The recipient is nobody's.
    UnknownCustomer,
    /// A header that should stand once stands twice, and a rule depends on it.
    Malformed {
        /// Its name, in lower case.
        header: &'static str,
    },
}

impl Reason {
    /// The word for it in paths, in the store and on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoRule => "no_rule",
            Self::UnknownCustomer => "unknown_customer",
            Self::Malformed { .. } => "malformed",
        }
    }
}

pub(super) fn decide(rules: &[Rule], recipients: &Recipients, input: &RuleInput<'_>) -> Decision {
    let Some(customer) = recipients.customer_of(input.recipient) else {
        return Decision::Held(Reason::UnknownCustomer);
    };
    let mut draft = Draft::default();
    for rule in rules {
        match try_rule(rule, customer, input) {
            Answer::Yes(captures) => draft.apply(rule, captures),
            Answer::No => continue,
            Answer::Twice(header) => return Decision::Held(Reason::Malformed { header }),
        }
        if rule.stop {
            break;
        }
    }
    draft.finish(customer).map_or(Decision::Held(Reason::NoRule), Decision::Routed)
}

/// Whether all conditions of `rule` hold. A condition that does not hold settles it, so a header that stands twice
/// matters only where everything else holds.
fn try_rule(rule: &Rule, customer: &Slug, input: &RuleInput<'_>) -> Answer {
    let mut captures = Captures::new();
    let mut twice = None;
    for condition in conditions(&rule.when) {
        match condition.ask(customer, input) {
            Answer::Yes(found) => captures.extend(found),
            Answer::No => return Answer::No,
            Answer::Twice(header) => twice = twice.or(Some(header)),
        }
    }
    twice.map_or(Answer::Yes(captures), Answer::Twice)
}

/// What the rules so far have set.
#[derive(Default)]
struct Draft {
    category: Option<Slug>,
    type_: Option<Slug>,
    group: Option<Slug>,
    archive: Option<bool>,
    rules: Vec<Slug>,
    settings: BTreeMap<String, String>,
    captures: Captures,
}

impl Draft {
    /// Sets what `rule` sets. A template whose capture found nothing leaves its coordinate as it was.
    fn apply(&mut self, rule: &Rule, captures: Captures) {
        let fill = |template: &Option<Template>| {
            template
                .as_ref()
                .and_then(|template| template.fill(|name| captures.get(name).map(String::as_str)))
        };
        self.category = fill(&rule.set.category).or(self.category.take());
        self.type_ = fill(&rule.set.type_).or(self.type_.take());
        self.group = fill(&rule.set.group).or(self.group.take());
        self.archive = rule.archive.or(self.archive);
        self.rules.push(rule.name.clone());
        self.settings.extend(rule.settings.clone());
        self.captures.extend(captures);
    }

    fn finish(self, customer: &Slug) -> Option<Route> {
        let coordinates = Coordinates {
            customer: customer.clone(),
            category: self.category?,
            type_: self.type_?,
            group: self.group.unwrap_or_else(|| Slug::of("none")),
        };
        Some(Route {
            coordinates,
            rules: self.rules,
            archive: self.archive.unwrap_or(false),
            settings: self.settings,
            captures: self.captures,
        })
    }
}
