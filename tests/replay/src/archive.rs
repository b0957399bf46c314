//! Any bytes as an attachment that may be an archive.

use headworks_modules::archive;
use module_api::PartKind;
use module_api::frame::{ArchiveLimits, MimeLimits, PartRecord, Range, Stored};
use module_sniff as sniff;

use crate::files::Files;

/// Small enough that a fuzzer reaches every one of them.
pub(crate) const LIMITS: ArchiveLimits = ArchiveLimits {
    depth: 3,
    members: 16,
    member_bytes: 64 << 10,
    total_bytes: 256 << 10,
    ratio: 100,
    ratio_from_bytes: 16 << 10,
    decoder_bytes: 8 << 20,
};

/// Expands an archive: no limit is exceeded, every member lies where it is said to be.
pub fn archive_expand(bytes: &[u8]) {
    let mut files = Files::with(bytes);
    let limits = (&LIMITS, &MimeLimits { parts: 16, ..MimeLimits::default() });
    let parts = archive::expand(vec![attachment(bytes)], &files.input, &mut files.spill, limits)
        .expect("nothing in an archive is an error")
        .parts;
    files.check(&parts);
    assert_eq!(parts[0].path, "1", "the archive itself stays the first part");
    assert!(parts.len() - 1 <= LIMITS.members as usize, "{} members", parts.len() - 1);
    assert!(files.spill.end() <= LIMITS.total_bytes, "{} bytes in the spill", files.spill.end());
    for member in &parts[1..] {
        let name = member.name.as_deref().expect("a member has a name");
        assert!(!name.contains(char::is_control), "{name:?}");
        assert!(depth(&parts, member) <= LIMITS.depth, "{} is too deep", member.path);
        if matches!(member.stored, Stored::Spill(_)) {
            assert!(member.stored.range().len <= LIMITS.member_bytes, "{} is too long", member.path);
        }
    }
}

/// Archives a member is in.
fn depth(parts: &[PartRecord], member: &PartRecord) -> u32 {
    member.parent.map_or(0, |archive| 1 + depth(parts, &parts[archive as usize]))
}

fn attachment(bytes: &[u8]) -> PartRecord {
    let whole = Range { offset: 0, len: bytes.len() as u64 };
    PartRecord {
        kind: PartKind::Attachment,
        path: "1".into(),
        parent: None,
        media_type: "application/octet-stream".into(),
        sniffed_type: sniff::media_type(bytes, "application/octet-stream"),
        charset: None,
        name: Some("attachment.gz".into()),
        raw_name: b"attachment.gz".to_vec(),
        transfer_encoding: String::new(),
        disposition: String::new(),
        problems: Vec::new(),
        raw: Some(whole),
        stored: Stored::Input(whole),
    }
}
