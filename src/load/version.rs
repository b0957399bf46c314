//! Versions of rows: which of two rows with the same key is newer.

use crate::ids::{JobId, Timestamp};

/// The version of a row, as text that sorts by bytes: (`report_at` or else `received_at`,
/// `received_at`, parser version, job id).
///
/// No two loads have the same version, since no two have the same job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(String);

impl Version {
    /// The version of a row.
    #[must_use]
    pub fn new(report_at: Option<Timestamp>, received_at: Timestamp, parser: &str, job: JobId) -> Self {
        Self(format!(
            "{:016x}.{:016x}.{}.{:016x}",
            biased(report_at.unwrap_or(received_at).0),
            biased(received_at.0),
            parser_order(parser),
            biased(job.0)
        ))
    }

    /// The sortable text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Maps signed to unsigned numbers with the same order.
const fn biased(number: i64) -> u64 {
    number.cast_unsigned() ^ (1 << 63)
}

/// A semantic version as text that sorts by bytes: three padded numbers, then the pre-release, or `~` for a release,
/// which sorts after its pre-releases. Other texts sort before all versions. Build metadata is ignored.
fn parser_order(version: &str) -> String {
    let precedence = version.split('+').next().unwrap_or_default();
    let (core, pre) = precedence.split_once('-').map_or((precedence, "~"), |(core, pre)| (core, pre));
    let numbers: Vec<u64> = core.split('.').map_while(|n| n.parse().ok()).collect();
    match numbers[..] {
        [major, minor, patch] if core.split('.').count() == 3 => {
            format!("{major:020}.{minor:020}.{patch:020}-{pre}")
        }
        _ => format!("-{version}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(report: Option<i64>, received: i64, parser: &str, job: i64) -> Version {
        Version::new(report.map(Timestamp), Timestamp(received), parser, JobId(job))
    }

    #[test]
    fn parser_versions_sort_as_versions_and_not_as_text() {
        let sorted = ["odd", "0.9.0-rc.1", "0.9.0", "0.10.0", "1.0.0", "10.0.0"];
        for pair in sorted.windows(2) {
            assert!(version(None, 0, pair[0], 9) < version(None, 0, pair[1], 1), "{pair:?}");
        }
    }

    #[test]
    fn the_report_counts_before_the_receipt_and_stands_in_for_it() {
        assert!(version(Some(5), 100, "1.0.0", 1) > version(Some(4), 200, "1.0.0", 2));
        assert!(version(None, 6, "1.0.0", 1) > version(Some(5), 100, "1.0.0", 2));
        assert!(version(Some(5), 7, "1.0.0", 1) > version(Some(5), 6, "2.0.0", 2));
    }

    proptest! {
        #[test]
        fn texts_sort_like_the_numbers_in_them(a: (i64, i64, i64), b: (i64, i64, i64)) {
            let text = |(at, received, job)| version(Some(at), received, "1.2.3", job);
            prop_assert_eq!(text(a).cmp(&text(b)), a.cmp(&b));
        }
    }
}
