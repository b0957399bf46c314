//! Which of two events of one object is the later one (contract 6.1).

use crate::ids::Timestamp;
use std::cmp::Ordering;

/// A day: a timestamp of Ceph further than this from the event's time was read in the wrong byte order.
const DAY_NANOS: u64 = 86_400 * 1_000_000_000;

/// The place of an event among those of the same source, bucket and key. Two of equal place may still be two events: a
/// change of metadata repeats the place of its object's Put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// AWS's sequencer: lower-case hexadecimal digits without the zeros at the end, compared as text.
    Sequence(String),
    /// Nanoseconds since 1970, of a sequencer that is one, or of the event's time.
    Nanos(u64),
    /// The sender tells nothing; the time of receipt decides.
    Received,
}

impl Order {
    /// As AWS documents it: of two, the shorter is filled with zeros on the right. Without a sequencer, by time.
    pub(in crate::s3) fn aws(sequencer: Option<&str>, time: Option<Timestamp>) -> Self {
        match sequencer {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Self::Sequence(digits.to_ascii_lowercase().trim_end_matches('0').to_owned())
            }
            _ => Self::by_time(time),
        }
    }

    /// Nanoseconds as a hexadecimal number: MinIO, RustFS, StorageGRID.
    pub(in crate::s3) fn nanos(sequencer: Option<&str>, time: Option<Timestamp>) -> Self {
        let plain = sequencer.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let nanos = plain.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        nanos.map_or_else(|| Self::by_time(time), Self::Nanos)
    }

    /// Ceph's dump of two numbers of four bytes, seconds and nanoseconds, in the byte order of its machine.
    pub(in crate::s3) fn ceph(sequencer: Option<&str>, time: Option<Timestamp>) -> Self {
        let Some(event) = time.and_then(nanos_of) else {
            return ceph_nanos(sequencer, u32::from_le_bytes).map_or(Self::Received, Self::Nanos);
        };
        let near = |nanos: &u64| nanos.abs_diff(event) <= DAY_NANOS;
        let little = ceph_nanos(sequencer, u32::from_le_bytes).filter(near);
        let nanos = little.or_else(|| ceph_nanos(sequencer, u32::from_be_bytes).filter(near));
        Self::Nanos(nanos.unwrap_or(event))
    }

    /// By the time of the event, where the sender's sequencer tells no more or nothing at all.
    pub(in crate::s3) fn by_time(time: Option<Timestamp>) -> Self {
        time.and_then(nanos_of).map_or(Self::Received, Self::Nanos)
    }

    /// Which is later; `None` where these two say nothing about it and the times of receipt decide.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Sequence(a), Self::Sequence(b)) => Some(a.cmp(b)),
            (Self::Nanos(a), Self::Nanos(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// One text for the store: those of one sender sort as their events do, byte by byte. `None` if only the time of
    /// receipt decides.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Sequence(digits) => Some(format!("s{digits}")),
            Self::Nanos(nanos) => Some(format!("t{nanos:016x}")),
            Self::Received => None,
        }
    }
}

fn nanos_of(time: Timestamp) -> Option<u64> {
    u64::try_from(time.0).ok()?.checked_mul(1_000)
}

fn ceph_nanos(sequencer: Option<&str>, number: fn([u8; 4]) -> u32) -> Option<u64> {
    let bytes: [u8; 8] = crate::ids::from_hex(sequencer?)?.try_into().ok()?;
    let [a, b, c, d, e, f, g, h] = bytes;
    let (seconds, nanos) = (number([a, b, c, d]), number([e, f, g, h]));
    (nanos < 1_000_000_000).then(|| u64::from(seconds) * 1_000_000_000 + u64::from(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_sequencer_of_aws_is_filled_on_the_right_and_compared_as_text() {
        let aws = |digits: &str| Order::aws(Some(digits), None);
        for (a, b, order) in [
            ("0069B529DD8A1F22C4", "0069b529dd8a1f22c5", Ordering::Less),
            ("0069B5", "0069B501", Ordering::Less),
            ("0070", "0069B501", Ordering::Greater),
            ("0069B5", "0069b500", Ordering::Equal),
        ] {
            assert_eq!(aws(a).compare(&aws(b)), Some(order), "{a} {b}");
        }
        assert_eq!(Order::aws(Some("no hex"), at("1970-01-01T00:00:01Z")), Order::Nanos(1_000_000_000));
        assert_eq!(Order::aws(None, None), Order::Received);
    }

    #[test]
    fn nanoseconds_are_the_events_time() {
        let nanos = Order::nanos(Some("189CAB0A3419160D"), None);
        assert_eq!(nanos, Order::Nanos(0x189C_AB0A_3419_160D));
        assert_eq!(nanos.text().as_deref(), Some("t189cab0a3419160d"));
        let later = Order::nanos(Some("10"), None);
        assert_eq!(Order::nanos(Some("F"), None).compare(&later), Some(Ordering::Less));
        for odd in ["", "+1", "189CAB0A3419160D0", "xyz"] {
            assert_eq!(
                Order::nanos(Some(odd), at("1970-01-01T00:00:02Z")),
                Order::Nanos(2_000_000_000),
                "{odd}"
            );
        }
    }

    #[test]
    fn a_sequencer_of_ceph_is_read_in_either_byte_order_by_the_events_time() {
        let documented = 1_574_430_455_147_931_847;
        let time = at("2019-11-22T13:47:35.147Z");
        assert_eq!(Order::ceph(Some("F7E6D75DC742D108"), time), Order::Nanos(documented));
        assert_eq!(Order::ceph(Some("F7E6D75DC742D108"), None), Order::Nanos(documented));
        assert_eq!(Order::ceph(Some("5DD7E6F708D142C7"), time), Order::Nanos(documented));
        for odd in ["0000000000000000", "F7", "zz"] {
            assert_eq!(Order::ceph(Some(odd), time), Order::Nanos(1_574_430_455_147_000_000), "{odd}");
        }
        let (first, second) = (at("2026-03-14T09:26:23Z"), at("2026-03-14T09:26:24Z"));
        let later = Order::ceph(Some("002AB56900000000"), second);
        assert_eq!(Order::ceph(Some("FF29B56900000000"), first).compare(&later), Some(Ordering::Less));
    }

    #[test]
    fn texts_sort_as_their_orders_do_and_kinds_do_not_mix() {
        let nanos = [9, 10, u64::MAX].map(Order::Nanos);
        let sequences = ["00", "0069b5", "0069b501", "0070"].map(|digits| Order::aws(Some(digits), None));
        for orders in [nanos.as_slice(), &sequences] {
            assert!(orders.is_sorted_by(|a, b| a.compare(b) == Some(Ordering::Less)));
            assert!(orders.is_sorted_by(|a, b| a.text() < b.text()));
        }
        assert_eq!(Order::Nanos(1).compare(&Order::Sequence("1".into())), None);
        assert_eq!(Order::Received.compare(&Order::Received), None);
    }
}
