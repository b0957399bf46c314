//! The accents of those who speak the dialect of S3.

use super::super::event::{Encoding, Event, Order, Vendor};
use super::node::Node;
use super::{Poison, aws, ceph, minio, noobaa, rustfs, storagegrid, versitygw, zenko};
use crate::ids::Timestamp;

/// How a vendor's records differ.
pub(super) struct Rules {
    /// How it writes keys.
    pub encoding: Encoding,
    /// How it may write them instead, where that is not certain.
    pub doubt: Option<Encoding>,
    /// What its sequencer is worth.
    pub order: fn(Option<&str>, Option<Timestamp>) -> Order,
    /// Takes back what it tells wrongly.
    pub mend: fn(&mut Event),
}

/// For a sender that says nothing of itself.
const UNKNOWN: Rules = Rules {
    encoding: Encoding::Plain,
    doubt: Some(Encoding::Form),
    order: |_, time| Order::by_time(time),
    mend: |_| {},
};

/// Whose record it is, by `eventSource` (contract 2.2).
pub(super) fn of(record: &Node<'_>, s3: &Node<'_>, user: &Node<'_>) -> Result<Vendor, Poison> {
    let source = record.text("eventSource")?.unwrap_or_default();
    Ok(match source.as_str() {
        "aws:s3" if versitygw::is_its_own(s3, user)? => Vendor::Versitygw,
        "aws:s3" => Vendor::Aws,
        "minio:s3" => Vendor::Minio,
        "rustfs:s3" => Vendor::Rustfs,
        "sgws:s3" => Vendor::Storagegrid,
        "ceph:s3" => Vendor::Ceph,
        "scality:s3" => Vendor::Zenko,
        source if source.ends_with(":s3") => Vendor::Noobaa,
        _ => Vendor::Unknown,
    })
}

pub(super) const fn rules(vendor: Vendor) -> &'static Rules {
    match vendor {
        Vendor::Aws => &aws::RULES,
        Vendor::Minio => &minio::RULES,
        Vendor::Rustfs => &rustfs::RULES,
        Vendor::Storagegrid => &storagegrid::RULES,
        Vendor::Ceph => &ceph::RULES,
        Vendor::Versitygw => &versitygw::RULES,
        Vendor::Noobaa => &noobaa::RULES,
        Vendor::Zenko => &zenko::RULES,
        Vendor::Seaweedfs | Vendor::B2 | Vendor::Unknown => &UNKNOWN,
    }
}
