//! What sorting decides: coordinates by rule or by hand, or why the mail waits.

use crate::config::Config;
use crate::delivery::manifest::MatchedRule;
use crate::delivery::store::DeliveryRow;
use crate::delivery::tree_path::Place;
use crate::ids::Slug;
use crate::job::HoldReason;
use crate::mail::leftovers::CUT_SHORT;
use crate::rules::{Decision, Reason, Route, RuleInput, Rules};
use module_api::frame::{Address, Head, PartRecord};
use module_api::{PartKind, Problem};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The decision about one mail.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It has coordinates; set by hand, by no rule.
    Sorted(Route),
    /// It has coordinates, and waits all the same: no module could read it.
    Closed(Route, HoldReason, String),
    /// It waits for an operator: why, and what exactly.
    Held(HoldReason, String),
}

impl Verdict {
    /// Held for the reason of that word.
    pub fn held(word: &str) -> Self {
        Self::Held(word.parse().unwrap_or(HoldReason::Operator), String::new())
    }

    pub const fn route(&self) -> Option<&Route> {
        match self {
            Self::Sorted(route) | Self::Closed(route, ..) => Some(route),
            Self::Held(..) => None,
        }
    }

    /// Where the tree goes.
    pub fn place(&self, source: &str) -> Place {
        match self {
            Self::Sorted(route) | Self::Closed(route, ..) => Place::Delivered(route.coordinates.clone()),
            Self::Held(reason, _) => {
                Place::Held { source: Slug::of(source), reason: Slug::of(reason.word()) }
            }
        }
    }

    /// The rule that decided, for manifest and store; none where an operator did.
    pub fn rule(&self) -> Option<MatchedRule> {
        let route = self.route()?;
        let name = route.rules.last()?.to_string();
        Some(MatchedRule { name, captures: route.captures.clone() })
    }

    /// Whether it was held because its job failed, and not by a decision: splitting it again may fail in the same way.
    pub fn is_undecided(&self) -> bool {
        use HoldReason as Reason;
        matches!(
            self,
            Self::Held(Reason::Poisoned | Reason::Lost | Reason::OutOfAttempts | Reason::Operator, _)
        )
    }

    pub fn archive(&self) -> bool {
        self.route().is_some_and(|route| route.archive)
    }
}

/// The verdict behind a tree. Its path records the coordinates or why it was held, even if the mail has changed state
/// since. The row records the rule's result until an operator acts on the mail; from then on the old tree names no rule.
pub fn stored(delivery: &DeliveryRow, place: Place) -> Verdict {
    match place {
        Place::Delivered(coordinates) => Verdict::Sorted(Route {
            coordinates,
            rules: delivery.rule.iter().filter_map(|rule| rule.parse().ok()).collect(),
            captures: delivery.captures.clone(),
            settings: serde_json::from_value(delivery.settings.clone()).unwrap_or_default(),
            archive: delivery.archive,
        }),
        Place::Held { reason, .. } => Verdict::held(reason.as_str()),
    }
}

/// Problem of a header with more lines or bytes than are read.
const HEADER_LIMIT: &str = "header_limit";

/// Decides. Coordinates that an operator assigned are taken as they are; otherwise the rules are asked. What no module could
/// read waits, whatever they say.
pub fn decide(delivery: &DeliveryRow, head: &Head, parts: &[PartRecord], config: &Arc<Config>) -> Verdict {
    // Coordinates without a rule were set by hand.
    if let Some(coordinates) = delivery.coordinates().filter(|_| delivery.rule.is_none()) {
        return Verdict::Sorted(Route {
            coordinates,
            rules: Vec::new(),
            captures: BTreeMap::new(),
            settings: serde_json::from_value(delivery.settings.clone()).unwrap_or_default(),
            archive: false,
        });
    }
    let envelope = &delivery.envelope;
    if envelope.mail().is_some_and(|mail| mail.problems.iter().any(|code| code == CUT_SHORT)) {
        return Verdict::Held(
            HoldReason::CutShort,
            "it was cut short and the complete mail never arrived".into(),
        );
    }
    if head.problems.iter().any(|problem| problem.code == HEADER_LIMIT) {
        let why = "its header exceeds the limits, so the rules cannot see all of it";
        return Verdict::Held(HoldReason::Malformed, why.into());
    }
    let decision = rule_input(envelope.recipient(), envelope.sender(), head, parts, |input| {
        Rules::new(Arc::clone(config)).decide(input)
    });
    match (decision, closed(delivery, head, parts)) {
        (Decision::Routed(route), None) => Verdict::Sorted(route),
        (Decision::Routed(route), Some((reason, why))) => Verdict::Closed(route, reason, why.into()),
        (Decision::Held(Reason::NoRule | Reason::UnknownCustomer), Some((reason, why))) => {
            Verdict::Held(reason, why.into())
        }
        (Decision::Held(Reason::NoRule), None) => {
            Verdict::Held(HoldReason::NoRule, "no rule sets its category and type".into())
        }
        (Decision::Held(Reason::UnknownCustomer), None) => {
            Verdict::Held(HoldReason::UnknownCustomer, "its recipient belongs to no customer".into())
        }
        (Decision::Held(Reason::Malformed { header }), _) => Verdict::Held(
            HoldReason::Malformed,
            format!("header {header} occurs twice and a rule depends on it"),
        ),
    }
}

/// Types of the part in which a mail system says what became of a mail.
const STATUS: [&str; 2] = ["message/delivery-status", "message/global-delivery-status"];
/// In its place, the field of a mail system that has no such part.
const FAILED: &str = "X-Failed-Recipients";

/// Why no module could read a mail, as far as its structure says so.
fn closed(delivery: &DeliveryRow, head: &Head, parts: &[PartRecord]) -> Option<(HoldReason, &'static str)> {
    let outer = || parts.iter().filter(|part| part.parent.is_none());
    let says =
        |problems: &[Problem], codes: &[&str]| problems.iter().any(|p| codes.contains(&p.code.as_ref()));
    // The second part of an encrypted mail of PGP is the message, of a type that says nothing.
    let pgp = outer().next().is_some_and(|part| part.media_type == "application/pgp-encrypted");
    let sealed = |part: &PartRecord| pgp && part.media_type == "application/octet-stream";
    let every = |codes: &[&str]| outer().all(|part| says(&part.problems, codes) || sealed(part));
    let daemon = |address: &Address| address.address.to_ascii_lowercase().starts_with("mailer-daemon@");
    let failed = head.fields.iter().any(|field| field.name.eq_ignore_ascii_case(FAILED));
    let returned = outer().any(|part| STATUS.contains(&part.media_type.as_str()))
        || failed
        || (delivery.envelope.sender().is_empty() && head.from.iter().any(daemon));
    match () {
        () if says(&head.problems, &["empty"]) => Some((HoldReason::Empty, "there is nothing in it")),
        () if returned => Some((HoldReason::Bounce, "it says that another mail could not be delivered")),
        () if every(&["message_partial"]) => {
            Some((HoldReason::PartialMessage, "it is one piece of a larger mail"))
        }
        () if every(&["encrypted"]) => Some((HoldReason::Encrypted, "it is encrypted")),
        () => None,
    }
}

/// What the rules may know of a mail that was taken apart, handed to `ask`.
pub fn rule_input<T>(
    recipient: &str,
    sender: &str,
    head: &Head,
    parts: &[PartRecord],
    ask: impl FnOnce(&RuleInput<'_>) -> T,
) -> T {
    let headers: Vec<(&str, &str)> =
        head.fields.iter().map(|field| (field.name.as_str(), field.value.as_str())).collect();
    let attachments: Vec<(&str, &str)> = parts
        .iter()
        .filter(|part| part.kind != PartKind::Body || part.name.is_some())
        .map(|part| (part.name.as_deref().unwrap_or_default(), part.sniffed_type.as_str()))
        .collect();
    ask(&RuleInput { recipient, sender, headers: &headers, attachments: &attachments })
}
