//! Rows of `mail.md` section 4.4, each named by its number.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::{Cursor, Write};
use std::os::unix::fs::FileExt;
use zip::write::SimpleFileOptions;

fn attachment(name: &str, bytes: &[u8], whole: Range) -> PartRecord {
    PartRecord {
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
    }
}

/// The parts of one attachment after expansion, and their bytes.
fn expanded(name: &str, bytes: &[u8], limits: &ArchiveLimits) -> Vec<(PartRecord, Vec<u8>)> {
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(bytes).unwrap();
    let whole = Range { offset: 0, len: bytes.len() as u64 };
    let part = attachment(name, bytes, whole);
    let mut spill = Spill::new(tempfile::tempfile().unwrap());
    let parts = expand(vec![part], &input, &mut spill, (limits, &MimeLimits::default())).unwrap().parts;
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
    assert_eq!(shown("a.gz", &two), "1[] | 1!/a.txt[]one two", "case 75");
    let garbage = [gz(b"data").as_slice(), b"garbage behind it"].concat();
    assert_eq!(shown("a.gz", &garbage), "1[trailing_garbage] | 1!/a.txt[]data", "case 76");
    let whole = gz("all of it, at some length".as_bytes());
    let cut = shown("a.gz", &whole[..whole.len() - 4]);
    assert!(cut.starts_with("1[truncated] | 1!/a.txt[truncated from_truncated]"), "case 74: {cut}");
}

#[test]
fn a_mail_in_an_archive_is_taken_apart_and_what_is_attached_to_it_is_opened() {
    let packed: String = gz(b"x,y\n1,2\n").iter().map(|b| format!("={b:02X}")).collect();
    let mail = format!(
        "Received: by x\nFrom: a@b\nSubject: s\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=q\n\n\
         --q\n\nbody\n--q\nContent-Type: application/gzip; name=a.csv.gz\n\
         Content-Transfer-Encoding: quoted-printable\n\n{packed}\n--q--\n"
    );
    let quotes = "From: ops\nTo: all\nis how a mail begins\n";
    let zip = zipped(&[("m.eml", &mail), ("dir/odd", &mail), ("notes.txt", quotes)]);
    let parts = expanded("x.zip", &zip, &ArchiveLimits::default());
    let seen: Vec<_> = parts.iter().map(|(part, _)| (part.path.as_str(), part.kind, part.parent)).collect();
    let (message, body, member) = (PartKind::Message, PartKind::Body, PartKind::Member);
    assert_eq!(
        seen,
        [
            ("1", PartKind::Attachment, None),
            ("1!/m.eml", message, Some(0)),
            ("1!/m.eml.1", body, Some(1)),
            ("1!/m.eml.2", PartKind::Attachment, Some(1)),
            ("1!/m.eml.2!/a.csv", member, Some(3)),
            ("1!/dir/odd", message, Some(0)),
            ("1!/dir/odd.1", body, Some(5)),
            ("1!/dir/odd.2", PartKind::Attachment, Some(5)),
            ("1!/dir/odd.2!/a.csv", member, Some(7)),
            ("1!/notes.txt", member, Some(0)),
        ]
    );
    assert_eq!((parts[4].1.as_slice(), parts[8].1.as_slice()), (&b"x,y\n1,2\n"[..], &b"x,y\n1,2\n"[..]));
    let gzipped = expanded("odd", &gz(mail.as_bytes()), &ArchiveLimits::default());
    assert_eq!((gzipped[1].0.path.as_str(), gzipped[1].0.kind), ("1!/odd.eml", message));
    assert_eq!(gzipped[2].1, b"body");
}

#[test]
fn mails_in_an_archive_share_the_limits() {
    let mail = "Received: by x\nFrom: a@b\nSubject: s\n\nbody";
    let zip = zipped(&[("a", mail), ("b", mail)]);
    let bytes = ArchiveLimits { total_bytes: 3 * mail.len() as u64 - 1, ..ArchiveLimits::default() };
    assert!(shown_within("x.zip", &zip, &bytes).ends_with("1!/b[bomb]"));
    let (one, mime) = (tempfile::tempfile().unwrap(), MimeLimits { parts: 1, ..MimeLimits::default() });
    (&one).write_all(&zip).unwrap();
    let whole = Range { offset: 0, len: zip.len() as u64 };
    let part = attachment("x.zip", &zip, whole);
    let mut spill = Spill::new(tempfile::tempfile().unwrap());
    let parts = expand(vec![part], &one, &mut spill, (&ArchiveLimits::default(), &mime)).unwrap().parts;
    let codes: Vec<_> = parts.last().unwrap().problems.iter().map(|p| p.code.as_ref()).collect();
    assert_eq!(codes, ["mime_parts"], "{parts:?}");
}

#[test]
fn text_in_an_archive_has_its_character_set() {
    let (japanese, _, _) =
        encoding_rs::SHIFT_JIS.encode("グリッド名,状態\n本社一号機,正常\n本社二号機,警告\n");
    let wide: Vec<u8> = "Grid,State\na,b\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, charset, codes) in [
        (japanese.as_ref(), Some("shift_jis"), 1),
        ("グリッド名,状態\n".as_bytes(), Some("utf-8"), 0),
        (&wide, Some("utf-16le"), 1),
        (b"plain,ascii\n1,2\n", None, 0),
    ] {
        let parts = expanded("t.csv.gz", &gz(bytes), &ArchiveLimits::default());
        let member = &parts[1].0;
        assert_eq!((member.charset.as_deref(), member.problems.len()), (charset, codes), "{member:?}");
    }
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
    assert_eq!(shown("a.zip", &good[..good.len() - 10]), "1[truncated] | 1!/a[from_truncated]1", "case 74");
    let mut twins = zipped(&[("aa", "1"), ("ab", "2")]);
    while let Some(at) = twins.windows(2).position(|w| w == b"ab") {
        twins[at + 1] = b'a';
    }
    assert_eq!(shown("a.zip", &twins), "1[] | 1!/aa[]1 | 1!/aa[dup_member]2", "case 64");
    let mut encrypted = good.clone();
    let central = encrypted.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    encrypted[central + 8] |= 1;
    assert_eq!(shown("a.zip", &encrypted), "1[] | 1!/a[encrypted zip_mismatch]", "case 65");
    encrypted[6] |= 1;
    assert_eq!(shown("a.zip", &encrypted), "1[] | 1!/a[encrypted]", "case 77");
    let mut method = good;
    (method[8], method[central + 10]) = (6, 6);
    assert_eq!(shown("a.zip", &method), "1[] | 1!/a[unsupported_method]", "case 79");
}

#[test]
fn good_members_beside_bad_ones_are_read() {
    let mut both = zipped(&[("closed", "1"), ("open", "2")]);
    let central = both.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    (both[6], both[central + 8]) = (1, 1);
    assert_eq!(shown("a.zip", &both), "1[] | 1!/closed[encrypted] | 1!/open[]2", "case 77");
    let mut damaged = zipped(&[("bad", "1"), ("good", "2")]);
    damaged[30 + 3] ^= 0xff;
    assert_eq!(shown("a.zip", &damaged), "1[] | 1!/bad[corrupt] | 1!/good[]2");
    let tight = ArchiveLimits { ratio_from_bytes: 1_000, ratio: 10, ..ArchiveLimits::default() };
    let bomb = zipped(&[("bomb", &"0".repeat(100_000)), ("good", "2")]);
    assert_eq!(shown_within("a.zip", &bomb, &tight), "1[] | 1!/bomb[bomb] | 1!/good[]2", "case 61");
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in [("first", "1"), (&*"n".repeat(1 << 20), "lost"), ("last", "2")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let long = builder.into_inner().unwrap();
    assert_eq!(shown("a.tar", &long), "1[tar_header] | 1!/first[]1 | 1!/last[]2", "case 72");
    let few = ArchiveLimits { members: 1, ..ArchiveLimits::default() };
    let two = zipped(&[("a", "1"), ("b", "2")]);
    assert_eq!(shown_within("a.zip", &two, &few), "1[archive_members] | 1!/a[]1", "case 82");
}

#[test]
fn members_of_a_zip_that_share_bytes_are_not_read_and_the_others_are() {
    let mut archive = zipped(&[("aa", "same"), ("ab", "same"), ("other", "2")]);
    let directory = archive.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let second = directory + 46 + 2;
    // The second entry of the directory points at the first member.
    archive[second + 42..second + 46].copy_from_slice(&[0; 4]);
    let shared = "1[zip_overlap] | 1!/aa[zip_overlap] | 1!/ab[zip_overlap] | 1!/other[]2";
    assert_eq!(shown("a.zip", &archive), shared, "case 63");
}

#[test]
fn case_65_the_directory_of_a_zip_is_believed_and_a_difference_told() {
    let mut named = zipped(&[("a.txt", "1")]);
    named[30] = b'b';
    assert_eq!(shown("a.zip", &named), "1[] | 1!/a.txt[zip_mismatch]1");
    let mut sized = zipped(&[("a.txt", "12345")]);
    let central = sized.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    sized[central + 24] = 4;
    assert_eq!(shown("a.zip", &sized), "1[] | 1!/a.txt[zip_mismatch]12345");
    let behind = [zipped(&[("a", "1")]).as_slice(), b"more"].concat();
    assert_eq!(shown("a.zip", &behind), "1[trailing_garbage] | 1!/a[]1");
}

/// Text that cannot be packed much.
fn noise(len: usize) -> String {
    let mut seed = 1_u32;
    let mut one = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b' ' + (seed >> 24) as u8 % 90)
    };
    (0..len).map(|_| one()).collect()
}

#[test]
fn a_zip_that_was_cut_gives_the_members_before_the_cut() {
    let text = noise(100_000);
    let archive = zipped(&[("first", "1"), ("second", &text), ("third", "3")]);
    let second = archive.windows(6).position(|w| w == b"second").unwrap();
    let cut = expanded("a.zip", &archive[..second + 60_000], &ArchiveLimits::default());
    let seen: Vec<_> = cut
        .iter()
        .map(|(part, bytes)| {
            let codes: Vec<_> = part.problems.iter().map(|p| p.code.as_ref()).collect();
            (part.path.as_str(), codes.join(" "), bytes.len() > 9_999 && text.as_bytes().starts_with(bytes))
        })
        .collect();
    let expected = [
        ("1", "truncated", false),
        ("1!/first", "from_truncated", false),
        ("1!/second", "truncated from_truncated", true),
    ];
    assert_eq!(seen, expected.map(|(path, codes, begun)| (path, codes.to_owned(), begun)));
    let mut encrypted = archive[..second].to_vec();
    encrypted[6] = 1;
    assert_eq!(shown("a.zip", &encrypted), "1[truncated] | 1!/first[encrypted from_truncated]");
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A packer and what its files end in.
type Packer = (fn(&[u8]) -> Vec<u8>, &'static str);
const PACKERS: [Packer; 4] = [(gz, "gz"), (xz, "xz"), (bz2, "bz2"), (zst, "zst")];

#[test]
fn gzip_xz_bzip2_and_zstd_are_read_alike() {
    let tar = tarball(&[("a.csv", "1,2"), ("dir/b.csv", "3")]);
    for (pack, suffix) in PACKERS {
        let name = format!("r.txt.{suffix}");
        assert_eq!(shown(&name, &pack(b"x,y")), "1[] | 1!/r.txt[]x,y", "{suffix}");
        assert_eq!(shown("odd", &pack(b"")), "1[] | 1!/odd[empty]", "{suffix}");
        assert_eq!(shown("r.tar", &pack(&tar)), "1[] | 1!/a.csv[]1,2 | 1!/dir/b.csv[]3", "{suffix}");
        let two = [pack(b"one "), pack(b"two")].concat();
        assert_eq!(shown(&name, &two), "1[] | 1!/r.txt[]one two", "{suffix}, case 75");
        let more = [pack(b"data").as_slice(), b"garbage behind it"].concat();
        assert_eq!(shown(&name, &more), "1[trailing_garbage] | 1!/r.txt[]data", "{suffix}, case 76");
        let zip = pack(&zipped(&[("a", "1")]));
        let zip = shown("z", &zip);
        assert!(zip.starts_with("1[] | 1!/z[]PK") && zip.ends_with(" | 1!/z!/a[]1"), "{suffix}: {zip}");
    }
    let padded = [xz(b"one ").as_slice(), &[0; 8], &xz(b"two"), &[0; 4]].concat();
    assert_eq!(shown("r.xz", &padded), "1[] | 1!/r.txt[]one two", "zeros between and behind streams");
}

#[test]
fn a_stream_that_is_cut_or_damaged_gives_what_was_before_that() {
    let tight = ArchiveLimits { ratio_from_bytes: 64 << 10, ..ArchiveLimits::default() };
    let tar = tarball(&[("first", "1"), ("long", &noise(2_000_000))]);
    for (pack, suffix) in PACKERS {
        let packed = pack(&tar);
        let cut = shown("r.tar", &packed[..packed.len() * 3 / 4]);
        assert_eq!(cut, "1[truncated] | 1!/first[from_truncated]1", "{suffix}, case 74");
        let mut damaged = packed.clone();
        let middle = damaged.len() * 3 / 4;
        damaged[middle..middle + 64].iter_mut().for_each(|byte| *byte ^= 0xa5);
        let shown = shown("r.tar", &damaged);
        assert!(shown.starts_with("1[corrupt") && shown.contains("1!/first["), "{suffix}: {shown}");
        assert_eq!(shown_within("a", &pack(&vec![0; 1 << 20]), &tight), "1[bomb]", "{suffix}, case 61");
    }
}

#[test]
fn a_stream_that_needs_more_memory_than_allowed_is_left_packed() {
    // A dictionary, and a window, of 1 GiB.
    let xz_of_1_gib = b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F\x02\x00!\x01$\x00\x00\x00^\x1f\xc7\xf9\x01\x00\x15\
        needs a lot of memory\n\x00\x00\x00N\x07K.\x8a\xc3\x04o\x00\x01.\x16V\tU\xdf\x1f\xb6\xf3}\x01\x00\x00\
        \x00\x00\x04YZ";
    let zstd_of_1_gib = b"(\xb5/\xfd\x04\xa0\xb1\x00\x00needs a lot of memory\n!\xa5\xad\xb5";
    let plenty = ArchiveLimits { decoder_bytes: 3 << 30, ..ArchiveLimits::default() };
    for (packed, name) in [(xz_of_1_gib.as_slice(), "m.xz"), (zstd_of_1_gib, "m.zst")] {
        assert_eq!(shown(name, packed), "1[unsupported]", "{name}");
        assert_eq!(shown_within(name, packed, &plenty), "1[] | 1!/m.txt[]needs a lot of memor", "{name}");
    }
    let little = ArchiveLimits { decoder_bytes: 512, ..ArchiveLimits::default() };
    for (pack, suffix) in &PACKERS[1..] {
        assert_eq!(shown_within("a", &pack(b"text"), &little), "1[unsupported]", "{suffix}");
    }
}

#[test]
fn case_83_other_compressions_are_left_unopened() {
    assert_eq!(shown("a.7z", b"7z\xBC\xAF\x27\x1C\0\x04 and so on"), "1[unsupported]");
    assert_eq!(shown("a.xz", b"\xFD7zXZ\0 and so on"), "1[corrupt] | 1!/a[empty]");
}

proptest! {
    /// Damaged archives of every format give parts inside the files, never an error.
    #[test]
    fn damage_is_never_an_error(
        format in 0..7,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let members = [("a.csv", "1,2"), ("b/c.csv", "3,4")];
        let mut bytes = match format {
            0 => gz(b"some text"),
            1 => tarball(&members),
            2 => zipped(&members),
            3 => gz(&tarball(&members)),
            4 => xz(&tarball(&members)),
            5 => bz2(&tarball(&members)),
            _ => zst(&tarball(&members)),
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
