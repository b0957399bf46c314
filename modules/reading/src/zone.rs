//! Zones as reports and settings name them: an offset, an IANA name, or an abbreviation.

use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

/// Abbreviations that mean one offset wherever they are printed, and that offset in minutes. EST, CST, IST, BST and others
/// that several countries use are left out: a source that prints them needs its own table.
const ABBREVIATIONS: [(&str, i32); 46] = [
    ("Z", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("WET", 0),
    ("WEST", 60),
    ("CET", 60),
    ("MEZ", 60),
    ("WAT", 60),
    ("CEST", 120),
    ("MESZ", 120),
    ("EET", 120),
    ("CAT", 120),
    ("SAST", 120),
    ("EEST", 180),
    ("IDT", 180),
    ("MSK", 180),
    ("TRT", 180),
    ("EAT", 180),
    ("PKT", 300),
    ("NPT", 345),
    ("WIB", 420),
    ("AWST", 480),
    ("HKT", 480),
    ("SGT", 480),
    ("WITA", 480),
    ("JST", 540),
    ("KST", 540),
    ("WIT", 540),
    ("ACST", 570),
    ("AEST", 600),
    ("ACDT", 630),
    ("AEDT", 660),
    ("NZST", 720),
    ("NZDT", 780),
    ("NDT", -150),
    ("BRT", -180),
    ("ART", -180),
    ("NST", -210),
    ("EDT", -240),
    ("MDT", -360),
    ("PDT", -420),
    ("AKDT", -480),
    ("AKST", -540),
    ("HDT", -540),
    ("HST", -600),
    ("ChST", 600),
];

/// The zone that a report prints as `word`; `None` where that means several or none.
pub fn printed(word: &str) -> Option<TimeZone> {
    if word.starts_with(['+', '-']) || word.contains('/') {
        return named(&TimeZoneDatabase::bundled(), word);
    }
    let (_, minutes) = ABBREVIATIONS.iter().find(|(abbreviation, _)| *abbreviation == word)?;
    Offset::from_seconds(minutes * 60).ok().map(TimeZone::fixed)
}

/// The zone of an offset or an IANA name.
pub fn named(zones: &TimeZoneDatabase, name: &str) -> Option<TimeZone> {
    if !name.starts_with(['+', '-']) {
        return zones.get(name).ok();
    }
    let digits: String = name[1..].chars().filter(|c| *c != ':').take(5).collect();
    let number = |digits: &str| digits.parse::<i16>().ok();
    let (hours, minutes) = match digits.len() {
        2 => (number(&digits)?, 0),
        4 => (number(digits.get(..2)?)?, number(digits.get(2..)?)?),
        _ => return None,
    };
    let seconds = i32::from(hours) * 3_600 + i32::from(minutes) * 60;
    let sign = if name.starts_with('-') { -1 } else { 1 };
    (hours <= 14 && minutes < 60)
        .then(|| Offset::from_seconds(sign * seconds).ok().map(TimeZone::fixed))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::ABBREVIATIONS;

    #[test]
    fn no_abbreviation_stands_there_twice() {
        let words: std::collections::BTreeSet<_> = ABBREVIATIONS.iter().map(|(word, _)| word).collect();
        assert_eq!(words.len(), ABBREVIATIONS.len());
    }
}
