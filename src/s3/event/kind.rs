//! What happened to an object, in one word for all senders (contract 2.3).

use super::Flags;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// There is a new object, or a new version of one.
    Created,
    /// An object or version is gone.
    Removed,
    /// A marker hides the object; its versions are still there.
    MarkerCreated,
    /// Tags, rights, retention or a hold changed; the bytes did not.
    MetadataChanged,
    /// Somebody read it.
    Accessed,
    /// It was, or will be, fetched from an archive.
    Restored,
    /// Another site has it, or has not.
    Replicated,
    /// It lies in another class of storage.
    Tiered,
    /// A life cycle rule removed it.
    Expired,
    /// A bucket was made or removed.
    BucketEvent,
    /// A remark of the store's scanner.
    Scanner,
    /// The sender tries its configuration.
    Test,
    /// Nothing we know.
    Unknown,
}

impl Kind {
    /// The kind of an event that S3 or a relative calls `name`, without `s3:`, and what the kind leaves out.
    #[must_use]
    pub fn of(name: &str) -> (Self, Flags) {
        let plain = Flags::default();
        let expired = Flags { expired: true, ..plain };
        let (group, detail) = name.split_once(':').unwrap_or((name, ""));
        let kind = match (group, detail) {
            ("ObjectCreated", "PutRetention" | "PutLegalHold" | "PutTagging" | "DeleteTagging") => {
                Self::MetadataChanged
            }
            ("ObjectCreated", _) => Self::Created,
            ("ObjectRemoved", "DeleteMarkerCreated") => Self::MarkerCreated,
            ("ObjectRemoved", "NoOP") => Self::Unknown,
            ("ObjectRemoved", _) => Self::Removed,
            ("ObjectTagging" | "ObjectAcl", _) => Self::MetadataChanged,
            ("ObjectAccessed", _) => Self::Accessed,
            ("ObjectRestore", _) => Self::Restored,
            ("Replication" | "ObjectSynced", _) => Self::Replicated,
            ("LifecycleTransition" | "IntelligentTiering" | "ObjectTransition", _) => Self::Tiered,
            ("LifecycleExpiration", "DeleteMarkerCreated") => return (Self::MarkerCreated, expired),
            ("LifecycleExpiration" | "LifecycleDelMarkerExpiration", _) => return (Self::Expired, expired),
            ("ObjectLifecycle", detail) if detail.starts_with("Transition") => Self::Tiered,
            ("ObjectLifecycle", detail) if detail.starts_with("Expiration") => {
                return (Self::Expired, expired);
            }
            ("ReducedRedundancyLostObject", _) => return (Self::Removed, Flags { lost: true, ..plain }),
            ("BucketCreated" | "BucketRemoved", _) => Self::BucketEvent,
            ("Scanner", _) => Self::Scanner,
            ("TestEvent", _) => Self::Test,
            _ => Self::Unknown,
        };
        (kind, plain)
    }

    /// Whether it decides which state of an object is the latest; only such events have an order.
    #[must_use]
    pub const fn is_ordered(self) -> bool {
        matches!(self, Self::Created | Self::Removed | Self::MarkerCreated | Self::Expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_contract_has_its_kind() {
        for (names, kind) in [
            ("Put Post Copy CompleteMultipartUpload Whatever", Kind::Created),
            ("PutRetention PutLegalHold PutTagging DeleteTagging", Kind::MetadataChanged),
        ] {
            for name in names.split(' ') {
                assert_eq!(Kind::of(&format!("ObjectCreated:{name}")).0, kind, "{name}");
            }
        }
        for (name, kind) in [
            ("ObjectRemoved:Delete", Kind::Removed),
            ("ObjectRemoved:DeleteObjects", Kind::Removed),
            ("ObjectRemoved:DeleteAllVersions", Kind::Removed),
            ("ObjectRemoved:DeleteMarkerCreated", Kind::MarkerCreated),
            ("ObjectRemoved:NoOP", Kind::Unknown),
            ("ObjectTagging:Put", Kind::MetadataChanged),
            ("ObjectTagging:Delete", Kind::MetadataChanged),
            ("ObjectAcl:Put", Kind::MetadataChanged),
            ("ObjectAccessed:Get", Kind::Accessed),
            ("ObjectAccessed:Attributes", Kind::Accessed),
            ("ObjectRestore:Completed", Kind::Restored),
            ("Replication:OperationFailedReplication", Kind::Replicated),
            ("ObjectSynced:Create", Kind::Replicated),
            ("LifecycleTransition", Kind::Tiered),
            ("IntelligentTiering", Kind::Tiered),
            ("ObjectTransition:Complete", Kind::Tiered),
            ("ObjectLifecycle:Transition:Current", Kind::Tiered),
            ("BucketCreated:*", Kind::BucketEvent),
            ("BucketRemoved:*", Kind::BucketEvent),
            ("Scanner:BigPrefix", Kind::Scanner),
            ("TestEvent", Kind::Test),
            ("Nothing:Known", Kind::Unknown),
            ("", Kind::Unknown),
        ] {
            assert_eq!(Kind::of(name), (kind, Flags::default()), "{name}");
        }
    }

    #[test]
    fn what_a_life_cycle_rule_or_a_loss_did_is_flagged() {
        let expired = Flags { expired: true, ..Flags::default() };
        for (name, kind) in [
            ("LifecycleExpiration:Delete", Kind::Expired),
            ("LifecycleExpiration:DeleteMarkerCreated", Kind::MarkerCreated),
            ("LifecycleDelMarkerExpiration:Delete", Kind::Expired),
            ("ObjectLifecycle:Expiration:NonCurrent", Kind::Expired),
        ] {
            assert_eq!(Kind::of(name), (kind, expired), "{name}");
        }
        let lost = Flags { lost: true, ..Flags::default() };
        assert_eq!(Kind::of("ReducedRedundancyLostObject"), (Kind::Removed, lost));
    }
}
