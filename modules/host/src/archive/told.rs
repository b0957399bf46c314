//! What was odd about archives, told as findings of the delivery: rules are problem codes, places are parts.

use super::Expanded;
use module_api::{Finding, Place, Problem};

/// Most findings about one delivery; the rest is only counted.
const MOST: usize = 100;
/// Rule of the finding that counts the rest.
const MORE: &str = "more_problems";

/// A finding for each problem that expanding found, at most `most` of them.
#[must_use]
pub fn findings(Expanded { parts, known }: &Expanded, most: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut rest = 0_u64;
    for ((index, part), &known) in (0..).zip(parts).zip(known) {
        for problem in part.problems.iter().skip(known) {
            if findings.len() < most.min(MOST) {
                findings.push(finding(index, problem));
            } else {
                rest += 1;
            }
        }
    }
    if rest > 0
        && let Some(last) = findings.last_mut()
    {
        let message = format!("{} problems of archives are not listed", rest + 1);
        *last = Finding::warning(MORE, last.place, message);
    }
    findings
}

fn finding(part: u32, problem: &Problem) -> Finding {
    let place = Place { part, ..Place::default() };
    let message = meaning(&problem.code);
    let new = match problem.code.as_ref() {
        "empty" => Finding::info,
        _ if problem.is_loss() => Finding::error,
        _ => Finding::warning,
    };
    new(&problem.code, place, message).excerpt(&problem.detail)
}

fn meaning(code: &str) -> String {
    match code {
        "truncated" => "it ends early: the rest is missing",
        "from_truncated" => "its archive ends early, so it may be incomplete",
        "corrupt" => "it is damaged: not all of it could be read",
        "bomb" => "it unpacks to more than the limits allow, and was left out",
        "encrypted" => "it is encrypted and was not read",
        "archive_members" => "the archives have more members than are read",
        "archive_depth" => "archives are nested deeper than they are opened",
        "zip_overlap" => "it shares bytes with another member and was not read",
        "zip_mismatch" => "the archive says two things about it; its directory is believed",
        "zip_symlink" | "tar_special" => "a member that is no file was left out",
        "tar_header" => "a member with too long a header was left out",
        "unsupported" => "it is packed in a way that is not read",
        "unsupported_method" => "it is compressed in a way that is not read",
        "dup_member" => "another member has the same name; both were read",
        "trailing_garbage" => "bytes behind its end were left out",
        "polyglot" => "bytes in front of it were left out",
        "empty" => "it holds nothing",
        other => return other.replace('_', " "),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::problem;
    use module_api::frame::{PartRecord, Range, Stored};
    use module_api::{PartKind, Severity};

    fn told(parts: Vec<PartRecord>, known: Vec<usize>, most: usize) -> Vec<Finding> {
        findings(&Expanded { parts, known }, most)
    }

    fn part(kind: PartKind, codes: &[&'static str]) -> PartRecord {
        PartRecord {
            kind,
            path: "1".into(),
            parent: None,
            media_type: String::new(),
            sniffed_type: String::new(),
            charset: None,
            name: None,
            raw_name: Vec::new(),
            transfer_encoding: String::new(),
            disposition: String::new(),
            problems: codes.iter().map(|code| problem(code, "d")).collect(),
            raw: None,
            stored: Stored::Input(Range { offset: 0, len: 0 }),
        }
    }

    #[test]
    fn problems_of_the_split_are_not_told_and_those_of_the_expansion_are() {
        let parts = [
            part(PartKind::Body, &["b64_junk"]),
            part(PartKind::Attachment, &["b64_junk", "trailing_garbage"]),
            part(PartKind::Member, &["encrypted", "empty"]),
            part(PartKind::Attachment, &["empty"]),
        ];
        let told: Vec<_> = told(parts.into(), vec![1, 1, 0, 0], 1_000)
            .into_iter()
            .map(|finding| (finding.place.part, finding.rule, finding.severity))
            .collect();
        assert_eq!(
            told,
            [
                (1, "trailing_garbage".to_owned(), Severity::Warning),
                (2, "encrypted".to_owned(), Severity::Error),
                (2, "empty".to_owned(), Severity::Info),
                (3, "empty".to_owned(), Severity::Info),
            ]
        );
    }

    #[test]
    fn ten_thousand_problems_leave_room_for_what_a_module_says() {
        let parts: Vec<_> = (0..10_000).map(|_| part(PartKind::Member, &["encrypted"])).collect();
        let known = vec![0; parts.len()];
        let all = told(parts.clone(), known.clone(), 1_000);
        assert_eq!(all.len(), MOST);
        assert_eq!(all[MOST - 1].message, "9901 problems of archives are not listed");
        assert_eq!(told(parts.clone(), known.clone(), 3).len(), 3);
        assert_eq!(told(parts, known, 0), []);
    }
}
