//! The few bytes of a certificate that webpki does not give: its dates and its RSA key (RFC 5280, X.690).

use crate::ids::Timestamp;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xA0;

/// One element: its tag, its contents, and what follows it.
type Element<'a> = (u8, &'a [u8], &'a [u8]);

/// Dates between which a certificate is valid. `None` if `certificate` is none.
///
/// Never panics, whatever the bytes are.
pub(super) fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (outer, _) = tagged(certificate, SEQUENCE)?;
    let (mut rest, _) = tagged(outer, SEQUENCE)?;
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    for _serial_algorithm_issuer in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (dates, _) = tagged(rest, SEQUENCE)?;
    let (from, rest) = time(dates)?;
    let (until, _) = time(rest)?;
    Some((from, until))
}

/// The `RSAPublicKey` in a `SubjectPublicKeyInfo`.
pub(super) fn rsa_key(key_info: &[u8]) -> Option<&[u8]> {
    let (info, _) = tagged(key_info, SEQUENCE)?;
    let (algorithm, rest) = tagged(info, SEQUENCE)?;
    // 1.2.840.113549.1.1.1, rsaEncryption.
    let is_rsa = algorithm.starts_with(&[0x06, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1]);
    let (bits, _) = tagged(rest, BIT_STRING)?;
    bits.strip_prefix(&[0]).filter(|_| is_rsa)
}

fn element(der: &[u8]) -> Option<Element<'_>> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (digits.iter().fold(0, |length, &b| length << 8 | usize::from(b)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

fn tagged(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, contents, rest) = element(der)?;
    (tag == wanted).then_some((contents, rest))
}

fn time(der: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (tag, digits, rest) = element(der)?;
    let digits = std::str::from_utf8(digits).ok()?;
    let whole = match tag {
        // Two digits of the year: 1950 to 2049.
        UTC_TIME => format!("{}{digits}", if digits.get(..2)? < "50" { "20" } else { "19" }),
        GENERALIZED_TIME => digits.to_owned(),
        _ => return None,
    };
    let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", &whole).ok()?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some((Timestamp(zoned.timestamp().as_microsecond()), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_writings_of_a_time_are_read() {
        let read = |tag: u8, text: &str| {
            let der = [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            time(&der).map(|(time, _)| time.to_string())
        };
        assert_eq!(read(UTC_TIME, "491231235959Z").as_deref(), Some("2049-12-31T23:59:59Z"));
        assert_eq!(read(UTC_TIME, "500101000000Z").as_deref(), Some("1950-01-01T00:00:00Z"));
        assert_eq!(read(GENERALIZED_TIME, "20500101000000Z").as_deref(), Some("2050-01-01T00:00:00Z"));
        for odd in ["", "4", "äö", "491231235959", "491331235959Z"] {
            assert_eq!(read(UTC_TIME, odd), None, "{odd}");
        }
    }

    #[test]
    fn lengths_beyond_the_bytes_are_refused() {
        for odd in
            [&[][..], &[0x30], &[0x30, 5, 0], &[0x30, 0x80], &[0x30, 0x84, 0, 0, 0, 0], &[0x30, 0x82, 1]]
        {
            assert_eq!(element(odd), None, "{odd:?}");
            assert_eq!((validity(odd), rsa_key(odd)), (None, None));
        }
    }
}
