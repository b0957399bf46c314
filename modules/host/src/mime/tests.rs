//! Rows of `mail.md` sections 4.1 and 4.2, each named by its number.

use super::*;
use module_api::frame::Reply;
use proptest::prelude::*;

/// Splits with the default limits.
fn split_of(message: &[u8]) -> (Split, Spill) {
    let mut spill = Spill::new(tempfile::tempfile().unwrap());
    let split = split(message, &MimeLimits::default(), &mut spill).unwrap();
    (split, spill)
}

fn codes(problems: &[module_api::Problem]) -> String {
    problems.iter().map(|p| p.code.as_ref()).collect::<Vec<_>>().join(" ")
}

/// `path kind type "bytes" codes` per part, then the codes of the mail.
fn shown(message: &str) -> String {
    let (split, spill) = split_of(message.as_bytes());
    let mut out = String::new();
    for part in &split.parts {
        let bytes = bytes_of(message.as_bytes(), &spill, part);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let kind = format!("{:?}", part.kind).to_lowercase();
        out += &format!("{} {kind} {} {text:?} {}\n", part.path, part.media_type, codes(&part.problems));
    }
    out + &codes(&split.head.problems)
}

fn bytes_of(message: &[u8], spill: &Spill, part: &PartRecord) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    match part.stored {
        Stored::Input(r) => message[r.offset as usize..][..r.len as usize].to_vec(),
        Stored::Spill(r) => {
            let mut bytes = vec![0; r.len as usize];
            spill.file().read_exact_at(&mut bytes, r.offset).unwrap();
            bytes
        }
    }
}

fn multipart(boundary: &str, rest: &str) -> String {
    format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n{rest}")
}

#[test]
fn a_plain_mail_with_an_attachment() {
    let mail = "From: \"Grid\" <grid@example.com>\r\nTo: a@b.example, c@d.example\r\n\
        Subject: =?utf-8?Q?R=C3=A4te?=\r\nMessage-ID: <1@example.com>\r\nDate: Fri, 13 Jan 2023 12:00:00 +0900\r\n\
        Content-Type: multipart/mixed; boundary=x\r\n\r\npreamble\r\n--x\r\n\r\nbody\r\n--x\r\n\
        Content-Type: text/csv; name=a.csv; charset=Shift_JIS\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment\r\n\r\nYSxiCjEsMgo=\r\n--x--\r\nepilogue\r\n";
    let (split, spill) = split_of(mail.as_bytes());
    assert_eq!(split.head.subject.as_deref(), Some("Räte"));
    assert_eq!(split.head.from[0].address, "grid@example.com");
    assert_eq!(split.head.from[0].name.as_deref(), Some("Grid"));
    assert_eq!(split.head.to.len(), 2);
    assert_eq!(split.head.message_id.as_deref(), Some("1@example.com"));
    assert_eq!(split.head.date_at, Some(1_673_578_800_000_000));
    assert_eq!(split.head.problems, []);
    let [body, csv] = &split.parts[..] else { panic!("{:?}", split.parts) };
    assert_eq!((body.kind, body.path.as_str()), (PartKind::Body, "1"));
    assert_eq!(bytes_of(mail.as_bytes(), &spill, body), b"body");
    assert_eq!((csv.kind, csv.path.as_str()), (PartKind::Attachment, "2"));
    assert_eq!((csv.name.as_deref(), csv.charset.as_deref()), (Some("a.csv"), Some("shift_jis")));
    assert_eq!((csv.sniffed_type.as_str(), csv.disposition.as_str()), ("text/csv", "attachment"));
    assert_eq!(bytes_of(mail.as_bytes(), &spill, csv), b"a,b\n1,2\n");
    let raw = csv.raw.unwrap();
    assert_eq!(&mail.as_bytes()[raw.offset as usize..][..raw.len as usize], b"YSxiCjEsMgo=");
}

#[test]
fn structure_of_section_4_1() {
    let nested = "--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\none\n--i--\n--o\n\ntwo\n--o--\n";
    let reused = "--x\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nin\n--x--\n--x\n\nout\n--x--\n";
    for (case, mail, expected) in [
        (
            5,
            multipart("ab", "--abc\n--ab\n\nin\n--abc\nstill\n--ab--\n"),
            "1 body text/plain \"in\\n--abc\\nstill\" \n",
        ),
        (
            6,
            multipart("x", reused),
            "1.1 body text/plain \"in\" \n2 body text/plain \"out\" \nboundary_reused",
        ),
        (
            7,
            "Content-Type: multipart/mixed\n\n--x\n\na\n".into(),
            "1 body text/plain \"--x\\n\\na\\n\" no_boundary\n",
        ),
        (8, multipart("x", "never\n"), "1 body text/plain \"never\\n\" no_boundary\n"),
        (9, multipart("", "a\n"), "1 body text/plain \"a\\n\" no_boundary\n"),
        (10, multipart("x", "--x\n\ncut of"), "1 body text/plain \"cut of\" truncated\ntruncated unclosed"),
        (
            11,
            multipart("x", &format!("{}\n--x\n\na\n--x--\n", "p".repeat(70_000))),
            "1 body text/plain \"a\" \nhidden_bytes",
        ),
        (
            12,
            format!("Content-Transfer-Encoding: base64\n{}", multipart("x", "--x\n\na\n--x--\n")),
            "1 body text/plain \"a\" \ncte_on_multipart",
        ),
        (
            13,
            multipart("x", "--x\nContent-Type: text/html\nContent-Type: a/b\n\na\n--x--\n"),
            "1 body text/html \"a\" dup_header\n",
        ),
        (
            15,
            "Subject: s\rContent-Type: text/html\r\rbody\r".into(),
            "1 body text/html \"body\\r\" \ncr_only",
        ),
        (16, "Subject: s\r\nX: y\n\r\na\nb\r\n".into(), "1 body text/plain \"a\\nb\\r\\n\" \n"),
        (17, "\nContent-Type: text/html\n\na".into(), "1 body text/html \"a\" leading_junk\nleading_junk"),
        (
            17,
            "\u{FEFF}Content-Type: text/html\n\na".into(),
            "1 body text/html \"a\" leading_junk\nleading_junk",
        ),
        (18, "From a@b Fri Jan 13\nContent-Type: text/html\n\na".into(), "1 body text/html \"a\" \n"),
        (19, "only a body\n".into(), "1 body text/plain \"only a body\\n\" no_headers\n"),
        (19, String::new(), "1 body text/plain \"\" no_body\nempty"),
        (22, "Subject: a\0b\n\nc\0d".into(), "1 body text/plain \"c\\0d\" \nnul"),
        (23, "Subject : s\n\na".into(), "1 body text/plain \"a\" \nobs_header"),
        (
            25,
            "Content-Type: message/external-body\n\nX: y\n\n".into(),
            "1 attachment message/external-body \"X: y\\n\\n\" external_body\n",
        ),
        (
            26,
            "Content-Type: message/rfc822\n\nX: y\n\nhi".into(),
            "1 message message/rfc822 \"X: y\\n\\nhi\" \n1.1 body text/plain \"hi\" \n",
        ),
        (0, multipart("o", nested), "1.1 body text/plain \"one\" \n2 body text/plain \"two\" \n"),
        (
            0,
            multipart("x", "--x\nContent-Type: text/plain\n--x\n\na\n--x--\n"),
            "1 body text/plain \"\" no_body\n2 body text/plain \"a\" \n",
        ),
        (0, multipart("x", "--x\n\na\n--x--  \n"), "1 body text/plain \"a\" \n"),
        (
            0,
            "Subject: s\nno colon here\nX: y\n\na".into(),
            "1 body text/plain \"no colon here\\nX: y\\n\\na\" header_end\n",
        ),
    ] {
        assert_eq!(shown(&mail), expected, "case {case}: {mail:.80?}");
    }
}

#[test]
fn duplicates_of_deciding_fields_are_visible_and_the_first_counts() {
    let (split, _) =
        split_of(b"From: a@x\nFrom: b@x\nSubject: one\nSubject: two\nReceived: r\nReceived: s\n\n");
    let dup: Vec<_> = split.head.problems.iter().map(|p| (p.code.as_ref(), p.detail.as_str())).collect();
    assert_eq!(dup, [("dup_header", "From")]);
    assert_eq!(split.head.from[0].address, "a@x");
    assert_eq!(split.head.subject.as_deref(), Some("one"));
    assert_eq!(split.head.fields.len(), 6);
}

#[test]
fn case_43_and_45_bytes_are_never_converted_and_headers_fall_back_to_windows_1252() {
    let mut mail = b"Subject: caf\xe9\nContent-Type: text/csv\nContent-Disposition: attachment; filename=\"\xe9.csv\"\n\n".to_vec();
    mail.extend_from_slice(b"\xe9\x80,1\n");
    let (split, spill) = split_of(&mail);
    assert_eq!(split.head.subject.as_deref(), Some("café"));
    assert_eq!(split.head.fields[0].raw, b" caf\xe9");
    assert_eq!(split.parts[0].name.as_deref(), Some("é.csv"));
    assert_eq!(split.parts[0].raw_name, b"\xe9.csv");
    assert_eq!(bytes_of(&mail, &spill, &split.parts[0]), b"\xe9\x80,1\n");
}

#[test]
fn what_must_not_be_opened_is_flagged() {
    for (case, media_type, code) in [
        (24, "message/partial; id=x; number=1", "message_partial"),
        (25, "message/external-body; access-type=URL", "external_body"),
        (29, "application/pkcs7-mime; smime-type=enveloped-data", "encrypted"),
        (29, "application/pkcs7-mime; smime-type=signed-data", "cms_unopened"),
        (29, "application/pkcs7-mime", "cms_unopened"),
        (29, "application/pgp-encrypted", "encrypted"),
    ] {
        let (split, _) = split_of(format!("Content-Type: {media_type}\n\nx").as_bytes());
        assert_eq!(codes(&split.parts[0].problems), code, "case {case}: {media_type}");
    }
}

#[test]
fn long_lists_and_names_are_cut_to_what_a_frame_holds() {
    let limits = MimeLimits { header_bytes: 16 << 20, ..MimeLimits::default() };
    let many = format!("To: {}\n\n", "someone@example.com, ".repeat(100_000));
    let mut spill = Spill::new(tempfile::tempfile().unwrap());
    let split = split(many.as_bytes(), &limits, &mut spill).unwrap();
    assert_eq!(split.head.to.len(), 1_000, "case 21");
    let long = format!("Content-Disposition: attachment; filename=\"{}\"\n\n", "é".repeat(4_000));
    let (split, _) = split_of(long.as_bytes());
    let part = &split.parts[0];
    assert_eq!((part.name.as_ref().unwrap().len(), part.raw_name.len()), (4_096, 4_096), "case 53");
    assert_eq!(codes(&part.problems), "name_long");
    // A header block of bytes that triple in UTF-8, in every field a head has.
    let mut wide = Vec::new();
    for name in ["From", "Sender", "Reply-To", "To", "Cc", "Subject", "X"].iter().cycle().take(900) {
        wide.extend_from_slice(format!("{name}: ").as_bytes());
        wide.extend_from_slice(&[0x80; 1_000]);
        wide.extend_from_slice(b" <a@b>\n");
    }
    let (split, _) = split_of(&wide);
    let mut frame = Vec::new();
    let reply = Reply::Head(Box::new(split.head));
    module_api::frame::encode(&mut frame, &reply, module_api::frame::MAX_REPLY_BYTES / 2).unwrap();
}

#[test]
fn beyond_a_limit_the_whole_mail_is_one_opaque_part() {
    let deep: String = (0..40).map(|i| multipart(&format!("b{i}"), &format!("--b{i}\n"))).collect();
    let many = multipart("x", &"--x\n\na\n".repeat(1_001));
    let long = format!("Subject: {}\n\nbody", "x".repeat(2 << 20));
    let lines = format!("Subject: s\n{}\nbody", "X: y\n".repeat(1_001));
    for (case, mail, code) in [
        (1, deep, "mime_depth"),
        (3, many, "mime_parts"),
        (20, long, "header_limit"),
        (20, lines, "header_limit"),
    ] {
        let (split, spill) = split_of(mail.as_bytes());
        assert_eq!(codes(&split.head.problems), code, "case {case}");
        assert_eq!(split.parts.len(), 1);
        assert_eq!(codes(&split.parts[0].problems), code);
        assert_eq!(bytes_of(mail.as_bytes(), &spill, &split.parts[0]), mail.as_bytes());
    }
}

#[test]
fn case_2_nested_messages_without_number_are_one_opaque_part() {
    let mail = "Content-Type: message/rfc822\n\n".repeat(24_000);
    let (split, _) = split_of(mail.as_bytes());
    assert_eq!((split.parts.len(), codes(&split.parts[0].problems).as_str()), (1, "mime_depth"));
}

#[test]
fn case_4_boundaries_that_never_come_cost_nothing() {
    let inner: String =
        (0..40_000).map(|i| format!("--o\nContent-Type: multipart/mixed; boundary=n{i}\n\nx\n")).collect();
    let mail = multipart("o", &inner);
    let (split, _) = split_of(mail.as_bytes());
    assert_eq!((split.parts.len(), codes(&split.parts[0].problems).as_str()), (1, "mime_parts"));
    // And where the number of parts is allowed, each line is compared with two open boundaries at most.
    let all = MimeLimits { parts: 100_000, ..MimeLimits::default() };
    let scan = scan::scan(mail.as_bytes(), &all, Start::Mail).unwrap();
    assert_eq!(scan.entities.len(), 40_001);
    assert!(scan.comparisons <= 2 * 40_001, "{}", scan.comparisons);
}

proptest! {
    /// Any bytes give parts whose ranges lie inside, in linear work.
    #[test]
    fn any_bytes_give_parts(pieces in proptest::collection::vec(prop_oneof![
        Just(b"--x\n".to_vec()), Just(b"--x--\n".to_vec()), Just(b"--y\r\n".to_vec()), Just(b"\n".to_vec()),
        Just(b"Content-Type: multipart/mixed; boundary=x\n".to_vec()),
        Just(b"Content-Type: multipart/mixed; boundary=y\n".to_vec()),
        Just(b"Content-Type: message/rfc822\n".to_vec()),
        Just(b"Content-Transfer-Encoding: base64\n".to_vec()),
        Just(b"Subject: =?utf-8?B?4pyT?=\n folded\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..30),
    ], 0..40)) {
        let message = pieces.concat();
        let (split, spill) = split_of(&message);
        prop_assert!(!split.parts.is_empty());
        for (i, part) in split.parts.iter().enumerate() {
            prop_assert!(part.parent.is_none_or(|p| (p as usize) < i));
            bytes_of(&message, &spill, part);
        }
    }
}
