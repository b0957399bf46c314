//! What the problem codes of parts mean for a run: whether something was lost, and why nothing could be read.

use crate::job::HoldReason;
use module_api::Problem;
use module_api::frame::PartRecord;
use std::collections::BTreeMap;

/// Most places named with a reason.
const PLACES: usize = 5;
/// Longest path of a part in a reason, in bytes.
const PATH_BYTES: usize = 100;
/// Codes that explain a rejection, beside those that say that something was lost.
const EXPLAINS: [&str; 4] = ["tar_header", "empty", "message_partial", "cms_unopened"];

/// How often each code stands on the parts.
pub fn counts(parts: &[PartRecord]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for problem in parts.iter().flat_map(|part| &part.problems) {
        *counts.entry(problem.code.as_ref()).or_default() += 1;
    }
    counts
}

/// Whether something of a part was lost: then the run was partial at best.
pub fn lost(parts: &[PartRecord]) -> bool {
    parts.iter().flat_map(|part| &part.problems).any(Problem::is_loss)
}

/// Why a delivery waits, or has failed, whose module could read nothing of it.
pub fn reason(parts: &[PartRecord]) -> HoldReason {
    let any = |code: &str| parts.iter().flat_map(|part| &part.problems).any(|problem| problem.code == code);
    match () {
        () if any("encrypted") => HoldReason::Encrypted,
        () if any("message_partial") => HoldReason::PartialMessage,
        () => HoldReason::Rejected,
    }
}

/// The module's reason, and behind it the parts that could not be read.
pub fn explained(reason: &str, parts: &[PartRecord]) -> String {
    let mut places = Vec::new();
    for part in parts {
        let explains = |problem: &&Problem| problem.is_loss() || EXPLAINS.contains(&problem.code.as_ref());
        let codes: Vec<&str> = part.problems.iter().filter(explains).map(|p| p.code.as_ref()).collect();
        if !codes.is_empty() {
            let path = &part.path[..part.path.floor_char_boundary(PATH_BYTES)];
            places.push(format!("{path}: {}", codes.join(", ")));
        }
    }
    let more = places.len().saturating_sub(PLACES);
    places.truncate(PLACES);
    if more > 0 {
        places.push(format!("{more} more"));
    }
    if places.is_empty() { reason.to_owned() } else { format!("{reason} ({})", places.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use module_api::PartKind;
    use module_api::frame::{Range, Stored};
    use std::borrow::Cow;

    fn part(path: &str, codes: &[&'static str]) -> PartRecord {
        let problem = |&code: &&'static str| Problem { code: Cow::Borrowed(code), detail: String::new() };
        PartRecord {
            kind: PartKind::Member,
            path: path.into(),
            parent: None,
            media_type: String::new(),
            sniffed_type: String::new(),
            charset: None,
            name: None,
            raw_name: Vec::new(),
            transfer_encoding: String::new(),
            disposition: String::new(),
            problems: codes.iter().map(problem).collect(),
            raw: None,
            stored: Stored::Input(Range { offset: 0, len: 0 }),
        }
    }

    #[test]
    fn a_reason_names_the_parts_that_could_not_be_read() {
        let parts = [
            part("1", &["b64_junk"]),
            part("2!/a", &["encrypted", "zip_mismatch"]),
            part("3", &["empty"]),
            part("4", &["dup_member"]),
        ];
        assert_eq!(explained("nothing", &parts), "nothing (2!/a: encrypted; 3: empty)");
        assert_eq!(explained("nothing", &parts[..1]), "nothing");
        let many = [(); 9].map(|()| part("m", &["corrupt"]));
        assert!(explained("nothing", &many).ends_with("; 4 more)"));
        let long = [part(&"é".repeat(100), &["bomb"])];
        assert_eq!(explained("nothing", &long).len(), "nothing (: bomb)".len() + PATH_BYTES);
    }

    #[test]
    fn only_some_codes_mean_a_loss_and_some_have_a_reason_of_their_own() {
        for (code, is_loss, expected) in [
            ("encrypted", true, HoldReason::Encrypted),
            ("truncated", true, HoldReason::Rejected),
            ("unsupported_method", true, HoldReason::Rejected),
            ("message_partial", false, HoldReason::PartialMessage),
            ("cms_unopened", false, HoldReason::Rejected),
            ("dup_member", false, HoldReason::Rejected),
        ] {
            let parts = [part("1", &[]), part("2", &[code])];
            assert_eq!((lost(&parts), reason(&parts)), (is_loss, expected), "{code}");
        }
    }
}
