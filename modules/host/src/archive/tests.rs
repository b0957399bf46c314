//! Rows of `mail.md` section 4.4, each named by its number.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::{Cursor, Write};
use std::os::unix::fs::FileExt;
use zip::write::SimpleFileOptions;

/// The parts of one attachment after expansion, and their bytes.
fn expanded(name: &str, bytes: &[u8], limits: &ArchiveLimits) -> Vec<(PartRecord, Vec<u8>)> {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(bytes).unwrap();
    let whole = Range { offset: 0, len: bytes.len() as u64 };
    let part = PartRecord {
        kind: PartKind::Attachment,
        path: "1".into(),
        parent: None,
        media_type: "application/octet-stream".into(),
        sniffed_type: sniff::media_type(bytes, "application/octet-stream"),
        charset: None,
        name: Some(name.into()),
        raw_name: Vec::new(),
        transfer_encoding: String::new(),
        disposition: String::new(),
        problems: Vec::new(),
        raw: None,
        stored: Stored::Input(whole),
    };
    let mut spill = Spill::new(tempfile::tempfile().unwrap());
    let parts = expand(vec![part], &input, &mut spill, limits).unwrap();
    let read = |stored| {
        let (file, range) = match stored {
            Stored::Input(range) => (&input, range),
            Stored::Spill(range) => (spill.file(), range),
        };
        let mut bytes = vec![0; range.len as usize];
        file.read_exact_at(&mut bytes, range.offset).unwrap();
        bytes
    };
    parts.into_iter().map(|p| (read(p.stored), p)).map(|(bytes, part)| (part, bytes)).collect()
}

/// `path[codes]` per part, members also with their text.
fn shown(name: &str, bytes: &[u8]) -> String {
    shown_within(name, bytes, &ArchiveLimits::default())
}

fn shown_within(name: &str, bytes: &[u8], limits: &ArchiveLimits) -> String {
    let line = |(part, bytes): (PartRecord, Vec<u8>)| {
        let codes: Vec<_> = part.problems.iter().map(|p| p.code.as_ref()).collect();
        let text = if part.kind == PartKind::Member { String::from_utf8_lossy(&bytes) } else { "".into() };
        format!("{}[{}]{}", part.path, codes.join(" "), &text[..text.len().min(20)])
    };
    expanded(name, bytes, limits).into_iter().map(line).collect::<Vec<_>>().join(" | ")
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tarball(members: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        // As a hostile writer would: the name as it is, unchecked.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn special(kind: tar::EntryType) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    builder.append_link(&mut header, "evil", "/etc/shadow").unwrap();
    let mut good = tar::Header::new_gnu();
    good.set_size(2);
    good.set_cksum();
    builder.append_data(&mut good, "good", b"ok".as_slice()).unwrap();
    builder.into_inner().unwrap()
}

fn zipped(members: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in members {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn gzip_of_section_4_4() {
    assert_eq!(shown("a.csv.gz", &gz(b"x,y")), "1[] | 1!/a.csv[]x,y");
    assert_eq!(shown("odd", &gz(b"")), "1[] | 1!/odd[empty]");
    let two = [gz(b"one "), gz(b"two")].concat();
    assert_eq!(shown("a.gz", &two), "1[] | 1!/a[]one two", "case 75");
    let garbage = [gz(b"data").as_slice(), b"garbage behind it"].concat();
    assert_eq!(shown("a.gz", &garbage), "1[trailing_garbage] | 1!/a[]data", "case 76");
    let whole = gz("all of it, at some length".as_bytes());
    let cut = shown("a.gz", &whole[..whole.len() - 4]);
    assert!(cut.starts_with("1[truncated] | 1!/a[truncated from_truncated]"), "case 74: {cut}");
}

#[test]
fn case_61_a_bomb_is_stopped_and_leaves_no_member() {
    let bomb = gz(&vec![0; 1 << 20]);
    let tight = ArchiveLimits { ratio_from_bytes: 64 << 10, ..ArchiveLimits::default() };
    assert_eq!(shown_within("a.gz", &bomb, &tight), "1[bomb]");
    let small = ArchiveLimits { member_bytes: 1_000, ..ArchiveLimits::default() };
    assert_eq!(shown_within("a.gz", &gz(&[b'x'; 2_000]), &small), "1[bomb]");
}

#[test]
fn case_62_depth_and_total_are_shared_across_levels() {
    let nested = (0..5).fold(b"core".to_vec(), |inner, _| gz(&inner));
    let parts = expanded("a", &nested, &ArchiveLimits::default());
    assert_eq!(parts.len(), 4);
    assert_eq!(parts[3].0.path, "1!/a!/a!/a");
    assert_eq!(parts[3].0.problems[0].code, "archive_depth");
    let total = ArchiveLimits { total_bytes: 30, ..ArchiveLimits::default() };
    let members = [("a", "0123456789012345"), ("b", "0123456789012345")];
    assert_eq!(shown_within("a.zip", &zipped(&members), &total), "1[bomb] | 1!/a[]0123456789012345");
}

#[test]
fn tar_of_section_4_4() {
    let plain = tarball(&[("a.csv", "1,2"), ("dir/b.csv", "3")]);
    assert_eq!(shown("x.tar", &plain), "1[] | 1!/a.csv[]1,2 | 1!/dir/b.csv[]3");
    assert_eq!(shown("x.tar.gz", &gz(&plain)), "1[] | 1!/a.csv[]1,2 | 1!/dir/b.csv[]3");
    let traversal = tarball(&[("../../up", "u"), ("/abs", "a"), ("up", "1"), ("up", "2")]);
    assert_eq!(
        shown("x.tar", &traversal),
        "1[] | 1!/../../up[]u | 1!//abs[]a | 1!/up[]1 | 1!/up[dup_member]2",
        "case 69"
    );
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link] {
        assert_eq!(shown("x.tar", &special(kind)), "1[tar_special] | 1!/good[]ok", "case 68");
    }
    let sparse = special(tar::EntryType::GNUSparse);
    assert!(shown("x.tar", &sparse).starts_with("1[t"), "case 71: {}", shown("x.tar", &sparse));
    assert_eq!(shown("x.tar", &plain[..3 * 512]), "1[truncated] | 1!/a.csv[from_truncated]1,2", "case 74");
    let unended = shown("x.tar", &plain[..4 * 512]);
    assert!(unended.starts_with("1[truncated] |"), "case 74, cut between members: {unended}");
    let few = ArchiveLimits { members: 1, ..ArchiveLimits::default() };
    assert_eq!(shown_within("x.tar", &plain, &few), "1[archive_members] | 1!/a.csv[]1,2", "case 82");
}

#[test]
fn case_72_a_long_name_of_megabytes_is_not_read() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    let name = "n".repeat(1 << 20);
    builder.append_data(&mut header, &name, b"ok".as_slice()).unwrap();
    assert_eq!(shown("x.tar", &builder.into_inner().unwrap()), "1[tar_header]");
}

#[test]
fn zip_of_section_4_4() {
    assert_eq!(shown("a.zip", &zipped(&[("a.csv", "1,2"), ("e", "")])), "1[] | 1!/a.csv[]1,2 | 1!/e[empty]");
    assert_eq!(shown("a.csv", &zipped(&[("a", "1")])), "1[] | 1!/a[]1", "case 80");
    assert_eq!(
        shown("a.zip", &zipped(&[("../up", "u"), ("/abs", "a")])),
        "1[] | 1!/../up[]u | 1!//abs[]a",
        "case 66"
    );
    let front = [b"PK\x03\x04 prefix".as_slice(), &zipped(&[("a", "1")])].concat();
    assert_eq!(shown("a.zip", &front), "1[polyglot] | 1!/a[]1", "cases 78, 84");
    let good = zipped(&[("a", "1")]);
    assert!(shown("a.zip", &good[..good.len() - 10]).starts_with("1[corrupt]"), "case 74");
    let mut twins = zipped(&[("aa", "1"), ("ab", "2")]);
    while let Some(at) = twins.windows(2).position(|w| w == b"ab") {
        twins[at + 1] = b'a';
    }
    assert!(shown("a.zip", &twins).starts_with("1[dup_member]"), "case 64");
    let mut encrypted = good.clone();
    let central = encrypted.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    encrypted[central + 8] |= 1;
    assert_eq!(shown("a.zip", &encrypted), "1[] | 1!/a[encrypted empty]", "case 77");
    let mut method = good;
    (method[8], method[central + 10]) = (6, 6);
    assert_eq!(shown("a.zip", &method), "1[] | 1!/a[unsupported_method empty]", "case 79");
}

#[test]
fn case_83_other_compressions_are_left_unopened() {
    assert_eq!(shown("a.xz", b"\xFD7zXZ\0 and so on"), "1[unsupported]");
    assert_eq!(shown("a.zst", b"\x28\xB5\x2F\xFD and so on"), "1[unsupported]");
    assert_eq!(shown("a.bz2", b"BZh91AY&SY"), "1[unsupported]");
}

proptest! {
    /// Damaged archives of every format give parts inside the files, never an error.
    #[test]
    fn damage_is_never_an_error(
        format in 0..4,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let members = [("a.csv", "1,2"), ("b/c.csv", "3,4")];
        let mut bytes = match format {
            0 => gz(b"some text"),
            1 => tarball(&members),
            2 => zipped(&members),
            _ => gz(&tarball(&members)),
        };
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(keep.index(bytes.len() * 2).max(1));
        let parts = expanded("a", &bytes, &ArchiveLimits { total_bytes: 1 << 20, ..ArchiveLimits::default() });
        prop_assert_eq!(parts[0].0.kind, PartKind::Attachment);
    }
}
