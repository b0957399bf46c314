//! `${size}` measured again: the bytes of the content records in Postfix's queue file.
//!
//! Postfix stores a mail as records of at most 2,048 bytes, a long line in several. A record takes one byte for its
//! type, one for a length below 128 and two for a longer one. The header lines that flags `R` and `O` put in front
//! of what we read are not in the queue file.

/// `line_length_limit`'s default, the longest record.
const PIECE_BYTES: u64 = 2048;
/// Up to here a record's length takes one byte.
const SHORT_PIECE_BYTES: u64 = 127;
/// In the order in which Postfix writes them.
const PREPENDED: [&[u8]; 2] = [b"Return-Path:", b"X-Original-To:"];
const PREFIX_BYTES: usize = 14;

/// Size of the bytes read so far.
#[derive(Debug, Default)]
pub struct PostfixSize {
    lines_bytes: u64,
    ends_in_line_end: bool,
    /// Of the current, unfinished line.
    line_bytes: u64,
    prefix: Vec<u8>,
    /// How many of [`PREPENDED`] can no longer follow; all of them after any other line.
    passed: usize,
}

impl PostfixSize {
    pub fn add(&mut self, mut bytes: &[u8]) {
        self.ends_in_line_end = bytes.last().map_or(self.ends_in_line_end, |&byte| byte == b'\n');
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.extend_line(&bytes[..end]);
            self.lines_bytes += self.take_line();
            bytes = &bytes[end + 1..];
        }
        self.extend_line(bytes);
    }

    /// Whether the mail was truncated: it ends inside a line, which Postfix's mails never do, or it is too short. Unless
    /// `strict`, 1 % or 4 KiB (the larger) may be missing, for hosts where a milter changes mails after Postfix has measured
    /// them.
    pub fn is_short_of(&self, declared_bytes: u64, strict: bool) -> bool {
        let tolerance = if strict { 0 } else { (declared_bytes / 100).max(4096) };
        !self.ends_in_line_end || self.lines_bytes.saturating_add(tolerance) < declared_bytes
    }

    fn extend_line(&mut self, bytes: &[u8]) {
        self.line_bytes += bytes.len() as u64;
        if self.passed < PREPENDED.len() {
            let wanted = PREFIX_BYTES.saturating_sub(self.prefix.len()).min(bytes.len());
            self.prefix.extend_from_slice(&bytes[..wanted]);
        }
    }

    /// Ends the line and returns its size in the queue file, which is zero for prepended lines.
    fn take_line(&mut self) -> u64 {
        let line_bytes = std::mem::take(&mut self.line_bytes);
        let prepended = PREPENDED[self.passed..].iter().position(|name| self.prefix.starts_with(name));
        self.prefix.clear();
        match prepended {
            Some(at) => {
                self.passed += at + 1;
                0
            }
            None => {
                self.passed = PREPENDED.len();
                records_bytes(line_bytes)
            }
        }
    }
}

fn records_bytes(line_bytes: u64) -> u64 {
    let rest = line_bytes % PIECE_BYTES;
    let rest_bytes = if rest <= SHORT_PIECE_BYTES { rest + 2 } else { rest + 3 };
    line_bytes / PIECE_BYTES * (PIECE_BYTES + 3) + rest_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(mail: &[u8]) -> u64 {
        let mut size = PostfixSize::default();
        size.add(mail);
        size.lines_bytes
    }

    #[test]
    fn each_line_counts_as_its_records() {
        assert_eq!(measure(b""), 0);
        assert_eq!(measure(b"\n"), 2);
        assert_eq!(measure(b"a: b\n\nx\n"), 6 + 2 + 3);
        assert_eq!(measure(&[&[b'x'; 127][..], b"\n"].concat()), 129);
        assert_eq!(measure(&[&[b'x'; 128][..], b"\n"].concat()), 131);
        assert_eq!(measure(&[&[b'x'; 5000][..], b"\n"].concat()), 2 * 2051 + 907);
    }

    #[test]
    fn the_lines_postfix_prepended_do_not_count() {
        assert_eq!(measure(b"Return-Path: <a@b>\nX-Original-To: c@d\na: b\n"), 6);
        assert_eq!(measure(b"Return-Path: <a@b>\na: b\nX-Original-To: c@d\n"), 6 + 20);
        assert_eq!(measure(b"a: b\nReturn-Path: <a@b>\n"), 6 + 20);
        assert_eq!(measure(b"Return-Path: <a@b>\nReturn-Path: <a@b>\n"), 20);
    }

    #[test]
    fn the_measure_does_not_depend_on_how_the_mail_was_cut_for_reading() {
        let mail =
            [b"Return-Path: <>\nX-Original-To: a@b\nq: ".as_slice(), &[b'x'; 4999], b"\n\nend\n"].concat();
        for step in [1, 2, 3, 13, 14, 15, 4096] {
            let mut size = PostfixSize::default();
            mail.chunks(step).for_each(|piece| size.add(piece));
            assert_eq!(size.lines_bytes, measure(&mail), "{step}");
        }
    }

    #[test]
    fn strict_takes_no_missing_byte_and_the_tolerance_is_a_hundredth() {
        let mail = vec![b'\n'; 500_000];
        let is_short_of = |declared, strict| {
            let mut size = PostfixSize::default();
            size.add(&mail);
            size.is_short_of(declared, strict)
        };
        assert!(!is_short_of(1_000_000, true));
        assert!(!is_short_of(900_000, true));
        assert!(is_short_of(1_000_001, true));
        assert!(!is_short_of(1_010_000, false));
        assert!(is_short_of(1_020_000, false));
    }

    #[test]
    fn a_mail_without_a_line_end_is_cut_whatever_its_size() {
        for (mail, is_short) in
            [(&b""[..], true), (b"Return-Path: <>\n", false), (b"Return-Path: <>\nx", true)]
        {
            let mut size = PostfixSize::default();
            size.add(mail);
            size.add(b"");
            assert_eq!(size.is_short_of(0, false), is_short, "{}", mail.escape_ascii());
        }
    }
}
