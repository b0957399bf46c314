//! Times as reports print them: with an offset, a zone abbreviation, or neither.
//!
//! Zones come from the time-zone data compiled in, never from the machine, so a replay on another host gives the same
//! instant and nothing is opened in the sandbox.

use crate::{Doubt, Read, is_null, number::fold_width, zone};
use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use module_api::Micros;
use std::collections::BTreeMap;

/// The order of the numbers in `01/02/2026`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateOrder {
    /// Not known: only a day above twelve somewhere in the same file decides it, see [`Clock::settle`].
    #[default]
    Auto,
    /// Year, month, day.
    Ymd,
    /// Day, month, year.
    Dmy,
    /// Month, day, year.
    Mdy,
}

impl std::str::FromStr for DateOrder {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "auto" => Ok(Self::Auto),
            "ymd" => Ok(Self::Ymd),
            "dmy" => Ok(Self::Dmy),
            "mdy" => Ok(Self::Mdy),
            _ => Err(format!("{word:?} is not one of auto, ymd, dmy, mdy")),
        }
    }
}

/// Reads the times of one source.
#[derive(Debug, Clone)]
pub struct Clock {
    zone: TimeZone,
    abbreviations: BTreeMap<String, TimeZone>,
    order: DateOrder,
}

/// An instant that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The instant.
    pub micros: Micros,
    /// No offset was printed, so the configured zone was used.
    pub zone_assumed: bool,
    /// The instant is one of two: the local time lies in an autumn fold, and the earlier one was taken.
    pub doubt: Option<Doubt>,
}

impl Clock {
    /// A clock for a source in this zone (IANA name or offset), which prints these abbreviations.
    ///
    /// # Errors
    /// Names the zone that is not known.
    pub fn new(
        zone: &str,
        abbreviations: &BTreeMap<String, String>,
        order: DateOrder,
    ) -> Result<Self, String> {
        let zones = TimeZoneDatabase::bundled();
        let find =
            |name: &str| zone::named(&zones, name).ok_or_else(|| format!("{name:?} is not a time zone"));
        let table = abbreviations.iter().map(|(word, name)| Ok((word.clone(), find(name)?)));
        Ok(Self { zone: find(zone)?, abbreviations: table.collect::<Result<_, String>>()?, order })
    }

    /// Decides an unknown date order from all texts of a file: a first or second number above twelve is a day. Where
    /// two dates disagree it stays unknown.
    pub fn settle<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        if self.order != DateOrder::Auto {
            return;
        }
        let (mut dmy, mut mdy) = (false, false);
        for word in texts.flat_map(str::split_whitespace) {
            if let Some([first, second, third]) = three_numbers(word)
                && third.len() >= 2
                && first.len() <= 2
            {
                dmy |= number(first).is_some_and(|n| (13..=31).contains(&n));
                mdy |= number(second).is_some_and(|n| (13..=31).contains(&n));
            }
        }
        self.order = match (dmy, mdy) {
            (true, false) => DateOrder::Dmy,
            (false, true) => DateOrder::Mdy,
            _ => DateOrder::Auto,
        };
    }

    /// Reads a time.
    ///
    /// # Errors
    /// `time_malformed`, `date_order_unknown`, `zone_unknown`, or `time_in_gap` for a local time that a spring change
    /// skipped.
    pub fn read(&self, text: &str) -> Read<Moment> {
        let folded = fold_width(text);
        let text = folded.trim();
        if is_null(text) {
            return Ok(None);
        }
        if matches!(text.len(), 10 | 13) && text.bytes().all(|b| b.is_ascii_digit()) {
            let unit = if text.len() == 10 { 1_000_000 } else { 1_000 };
            let micros = text.parse::<Micros>().map_err(|_| malformed())? * unit;
            return Ok(Some(Moment { micros, zone_assumed: false, doubt: None }));
        }
        let printed = Printed::of(text, self.order)?;
        let zone = match printed.zone.as_deref() {
            None => self.zone.clone(),
            Some(word) => self
                .zone_of(word)
                .ok_or_else(|| Doubt::new("zone_unknown", "a zone that is not in the table"))?,
        };
        let at = zone.to_ambiguous_timestamp(printed.local);
        let (offset, doubt) = match at.offset() {
            AmbiguousOffset::Unambiguous { offset } => (offset, None),
            AmbiguousOffset::Fold { before, .. } => (
                before,
                Some(Doubt::new(
                    "time_in_fold",
                    "a local time that happened twice; the earlier one is taken",
                )),
            ),
            AmbiguousOffset::Gap { .. } => {
                return Err(Doubt::new("time_in_gap", "a local time that a change of the clocks skipped"));
            }
        };
        let instant = offset.to_timestamp(printed.local).map_err(|_| malformed())?;
        Ok(Some(Moment { micros: instant.as_microsecond(), zone_assumed: printed.zone.is_none(), doubt }))
    }

    /// This clock in the zone that `text`, a time, prints; `None` where it prints none. A report that dates itself in
    /// JST means JST in its other times too.
    #[must_use]
    pub fn in_zone_of(&self, text: &str) -> Option<Self> {
        let printed = Printed::of(fold_width(text).trim(), self.order).ok()?;
        Some(Self { zone: self.zone_of(&printed.zone?)?, ..self.clone() })
    }

    fn zone_of(&self, word: &str) -> Option<TimeZone> {
        if let Some(zone) = self.abbreviations.get(word) {
            return Some(zone.clone());
        }
        zone::printed(word)
    }
}

/// Doubts an instant that no report can be about: more than 48 hours after it was received, or before 1990.
#[must_use]
pub fn implausible(micros: Micros, received_at: Micros) -> Option<Doubt> {
    const HOURS_48: Micros = 48 * 3_600 * 1_000_000;
    const YEAR_1990: Micros = 631_152_000 * 1_000_000;
    if micros > received_at.saturating_add(HOURS_48) {
        return Some(Doubt::new("time_in_future", "more than 48 hours after it was received"));
    }
    (micros < YEAR_1990).then(|| Doubt::new("time_too_old", "before 1990"))
}

/// A time taken apart: the local date and time, and the zone word if there was one.
struct Printed {
    local: DateTime,
    zone: Option<String>,
}

impl Printed {
    /// More words than any form of a time has.
    const WORDS: usize = 8;

    fn of(text: &str, order: DateOrder) -> Result<Self, Doubt> {
        let spaced = spaced(text);
        let (mut date, mut time, mut zone) = (None, None, None);
        let mut added = SignedDuration::ZERO;
        let (mut month, mut numbers, mut afternoon) = (None, Vec::new(), None);
        let words: Vec<&str> = spaced.split_whitespace().take(Self::WORDS + 1).collect();
        if words.len() > Self::WORDS {
            return Err(malformed());
        }
        for word in words {
            let digit_first = word.starts_with(|c: char| c.is_ascii_digit());
            if digit_first && word.contains(':') && time.is_none() {
                let end = word
                    .find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')))
                    .unwrap_or(word.len());
                let (clock, more) = time_of(&word[..end])?;
                (time, added) = (Some(clock), more);
                zone = zone.or_else(|| (end < word.len()).then(|| word[end..].to_owned()));
            } else if let Some(fields) = three_numbers(word).filter(|_| date.is_none()) {
                date = Some(date_of(fields, word.contains('.'), order)?);
            } else if digit_first {
                numbers.push(number(word).ok_or_else(malformed)?);
            } else if let Some(found) = month_of(word) {
                month = Some(found);
            } else if word.eq_ignore_ascii_case("am") || word.eq_ignore_ascii_case("pm") {
                afternoon = Some(word.eq_ignore_ascii_case("pm"));
            } else if !is_weekday(word) {
                zone = zone.or_else(|| Some(word.to_owned()));
            }
        }
        let date = match (date, month, numbers.as_slice()) {
            (Some(date), None, []) => date,
            (None, Some(month), &[day, year]) => date_from(year, month, day)?,
            _ => return Err(malformed()),
        };
        let time = with_half(time.ok_or_else(malformed)?, afternoon)?;
        let local = date.to_datetime(time).checked_add(added).map_err(|_| malformed())?;
        Ok(Self { local, zone })
    }
}

/// Puts blanks where forms differ: the `T` of ISO 8601, commas, brackets and the Japanese words for the units.
fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '年' | '月' => out.push('/'),
            '時' | '分' if chars.peek().is_some_and(char::is_ascii_digit) => out.push(':'),
            '時' => out.push_str(":00"),
            'T' if out.ends_with(|c: char| c.is_ascii_digit()) => out.push(' '),
            ',' | '(' | ')' | '[' | ']' | '日' | '分' | '秒' => out.push(' '),
            _ => out.push(c),
        }
    }
    out
}

fn three_numbers(word: &str) -> Option<[&str; 3]> {
    let mut fields = word.split(['/', '-', '.']);
    let three = [fields.next()?, fields.next()?, fields.next()?];
    let numeric = three.iter().all(|f| (1..=4).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit()));
    (numeric && fields.next().is_none()).then_some(three)
}

fn date_of([first, second, third]: [&str; 3], dotted: bool, order: DateOrder) -> Result<Date, Doubt> {
    let order = match order {
        _ if first.len() == 4 => DateOrder::Ymd,
        DateOrder::Auto if dotted => DateOrder::Dmy,
        order => order,
    };
    let (year, month, day) = match order {
        DateOrder::Ymd => (first, second, third),
        DateOrder::Dmy => (third, second, first),
        DateOrder::Mdy => (third, first, second),
        DateOrder::Auto => {
            return Err(Doubt::new(
                "date_order_unknown",
                "day and month cannot be told apart; set date_order",
            ));
        }
    };
    let part = |text| number(text).ok_or_else(malformed);
    let year = match (year.len(), part(year)?) {
        (1 | 2, year @ 70..) => year + 1900,
        (1 | 2, year) => year + 2000,
        (_, year) => year,
    };
    date_from(year, part(month)?, part(day)?)
}

fn date_from(year: i16, month: i16, day: i16) -> Result<Date, Doubt> {
    let small = |n: i16| i8::try_from(n).map_err(|_| malformed());
    Date::new(year, small(month)?, small(day)?).map_err(|_| malformed())
}

/// The time of day, and what is to be added to it: a day for 24:00:00, the end of a day, and a second for a leap second,
/// which has the number of the second after it, as in POSIX. Offsets are whole quarters of an hour, so a leap second ends
/// one.
fn time_of(text: &str) -> Result<(Time, SignedDuration), Doubt> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut fields = clock.split(':').map(|f| f.parse::<i8>().map_err(|_| malformed()));
    let (hour, minute) = (fields.next().ok_or_else(malformed)??, fields.next().ok_or_else(malformed)??);
    let second = fields.next().transpose()?.unwrap_or(0);
    if fields.next().is_some() || fraction.len() > 9 {
        return Err(malformed());
    }
    let nanos: i32 = format!("{fraction:0<9}").parse().map_err(|_| malformed())?;
    let (hour, second, added) = match (hour, minute, second, nanos) {
        (24, 0, 0, 0) => (0, 0, SignedDuration::from_hours(24)),
        (_, 14 | 29 | 44 | 59, 60, _) => (hour, 59, SignedDuration::from_secs(1)),
        _ => (hour, second, SignedDuration::ZERO),
    };
    let time = Time::new(hour, minute, second, nanos).map_err(|_| malformed())?;
    Ok((time, added))
}

fn with_half(time: Time, afternoon: Option<bool>) -> Result<Time, Doubt> {
    let hour = match (afternoon, time.hour()) {
        (None, hour) => hour,
        (Some(false), 12) => 0,
        (Some(true), hour @ 1..12) => hour + 12,
        (Some(_), hour @ 1..=12) => hour,
        _ => return Err(malformed()),
    };
    time.with().hour(hour).build().map_err(|_| malformed())
}

fn month_of(word: &str) -> Option<i16> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let short = word.get(..3)?.to_ascii_lowercase();
    let at = MONTHS.iter().position(|month| *month == short)?;
    i16::try_from(at + 1).ok()
}

fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    word.get(..3).is_some_and(|short| DAYS.contains(&short.to_ascii_lowercase().as_str()))
}

fn number(text: &str) -> Option<i16> {
    text.parse().ok()
}

fn malformed() -> Doubt {
    Doubt::new("time_malformed", "not a time in a known form")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn clock(zone: &str, order: DateOrder) -> Clock {
        let table = [("JST".to_owned(), "Asia/Tokyo".to_owned()), ("EST".to_owned(), "-05:00".to_owned())];
        Clock::new(zone, &table.into(), order).unwrap()
    }

    fn seconds(clock: &Clock, text: &str) -> Result<i64, &'static str> {
        clock.read(text).map(|m| m.unwrap().micros / 1_000_000).map_err(|d| d.rule)
    }

    /// 2023-01-13T03:00:03Z
    const NOON_IN_TOKYO: i64 = 1_673_578_803;

    #[test]
    fn every_form_of_one_instant_reads_alike() {
        let clock = clock("Asia/Tokyo", DateOrder::Ymd);
        for text in [
            "2023/01/13 12:00:03 JST",
            "2023-01-13T12:00:03+09:00",
            "2023-01-13 12:00:03 +0900",
            "2023-01-13T03:00:03Z",
            "2023-01-13 03:00:03.000 UTC",
            "2023/01/13 12:00:03",
            "Fri, 13 Jan 2023 12:00:03 +0900 (JST)",
            "2023年1月13日 12時00分03秒",
            "２０２３／０１／１３ １２：００：０３",
            "2023/01/13 12:00:03 PM",
            "2023/01/12 22:00:03 EST",
            "1673578803",
            "1673578803000",
        ] {
            assert_eq!(seconds(&clock, text), Ok(NOON_IN_TOKYO), "{text}");
        }
    }

    #[test]
    fn a_zone_is_assumed_only_where_none_is_printed() {
        let clock = clock("Asia/Tokyo", DateOrder::Ymd);
        let assumed = |text| clock.read(text).unwrap().unwrap().zone_assumed;
        assert!(assumed("2023/01/13 12:00:03"));
        assert!(!assumed("2023/01/13 12:00:03 JST"));
        assert_eq!(seconds(&clock, "2023/01/13 12:00:03 IST"), Err("zone_unknown"));
        let elsewhere = clock.in_zone_of("2023/01/13 09:00:00 EST").unwrap();
        assert_eq!(seconds(&elsewhere, "2023/01/12 22:00:03"), Ok(NOON_IN_TOKYO));
        assert!(clock.in_zone_of("2023/01/13 09:00:00").is_none());
    }

    #[test]
    fn the_end_of_a_day_and_a_leap_second_are_times() {
        let clock = clock("UTC", DateOrder::Ymd);
        for (printed, meant) in [
            ("2026-12-31 24:00:00", "2027-01-01 00:00:00"),
            ("2026-12-31T24:00", "2027-01-01 00:00:00"),
            ("2016-12-31 23:59:60", "2017-01-01 00:00:00"),
            ("2016-12-31T23:59:60Z", "2017-01-01 00:00:00"),
            ("2017-01-01 05:29:60 +05:30", "2017-01-01 00:00:00"),
        ] {
            assert_eq!(seconds(&clock, printed), seconds(&clock, meant), "{printed}");
            assert!(seconds(&clock, printed).is_ok(), "{printed}");
        }
        let wrong = ["24:00:01", "24:01:00", "24:00:00.5", "25:00:00", "12:10:60", "23:59:61", "24:00:00 PM"];
        for wrong in wrong.map(|time| format!("2026-12-31 {time}")) {
            assert_eq!(seconds(&clock, &wrong), Err("time_malformed"), "{wrong}");
        }
    }

    #[test]
    fn abbreviations_that_mean_one_offset_are_known_and_others_are_not() {
        let clock = clock("UTC", DateOrder::Ymd);
        for (printed, meant) in [
            ("2026-01-31 12:00 CET", "2026-01-31 12:00 +01:00"),
            ("2026-07-31 12:00 CEST", "2026-07-31 12:00 +02:00"),
            ("2026-07-31 12:00 AEST", "2026-07-31 12:00 +10:00"),
            ("2026-07-31 12:00 ACST", "2026-07-31 12:00 +09:30"),
            ("Fri Jul 31 12:00:00 PDT 2026", "2026-07-31 12:00 -07:00"),
        ] {
            assert_eq!(seconds(&clock, printed), seconds(&clock, meant), "{printed}");
        }
        for ambiguous in ["CST", "IST", "BST", "AST", "cet"] {
            assert_eq!(seconds(&clock, &format!("2026-01-31 12:00 {ambiguous}")), Err("zone_unknown"));
        }
    }

    #[test]
    fn a_fold_takes_the_earlier_instant_and_a_gap_takes_none() {
        let clock = clock("Europe/Berlin", DateOrder::Ymd);
        let fold = clock.read("2026-10-25 02:30:00").unwrap().unwrap();
        assert_eq!(fold.micros / 1_000_000, 1_792_888_200, "02:30 CEST");
        assert_eq!(fold.doubt.map(|d| d.rule), Some("time_in_fold"));
        assert_eq!(seconds(&clock, "2026-03-29 02:30:00"), Err("time_in_gap"));
    }

    #[test]
    fn a_day_above_twelve_decides_the_order_of_a_whole_file() {
        let mut unknown = clock("UTC", DateOrder::Auto);
        assert_eq!(seconds(&unknown, "01/02/2026 00:00"), Err("date_order_unknown"));
        unknown.settle(["from 01/02/2026", "to 13/02/2026"].into_iter());
        assert_eq!(seconds(&unknown, "01/02/2026 00:00"), seconds(&unknown, "2026-02-01 00:00"));
        let mut contradictory = clock("UTC", DateOrder::Auto);
        contradictory.settle(["13/02/2026 and 02/13/2026"].into_iter());
        assert_eq!(seconds(&contradictory, "01/02/2026 00:00"), Err("date_order_unknown"));
    }

    #[test]
    fn two_digit_years_turn_at_seventy() {
        let clock = clock("UTC", DateOrder::Dmy);
        assert_eq!(seconds(&clock, "01.02.70 00:00"), seconds(&clock, "1970-02-01 00:00"));
        assert_eq!(seconds(&clock, "01.02.69 00:00"), seconds(&clock, "2069-02-01 00:00"));
    }

    #[test]
    fn the_far_future_and_the_distant_past_are_doubted() {
        let now = NOON_IN_TOKYO * 1_000_000;
        assert_eq!(implausible(now + 47 * 3_600_000_000, now), None);
        assert_eq!(implausible(now + 49 * 3_600_000_000, now).map(|d| d.rule), Some("time_in_future"));
        assert_eq!(implausible(0, now).map(|d| d.rule), Some("time_too_old"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9/:.T+年月日時分 a-zA-Z-]{0,40}") {
            drop(clock("Europe/Berlin", DateOrder::Auto).read(&text));
        }
    }
}
