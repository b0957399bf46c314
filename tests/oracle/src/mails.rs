//! Mails made by a seeded generator: plain ones, and the ways in which people and programs get them wrong.
//!
//! Every mail knows what a person would see in it. The same seed makes the same mails.

use crate::{Reading, digest, squeezed};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A mail and what is in it.
#[derive(Debug)]
pub struct Mail {
    /// What is peculiar about it.
    pub kind: &'static str,
    /// As received.
    pub bytes: Vec<u8>,
    /// What a person would see.
    pub truth: Reading,
}

/// Makes mails of one kind.
type Make = fn(&mut Dice) -> (Vec<u8>, Reading);

/// Mails of each kind.
const OF_EACH: usize = 14;

const KINDS: &[(&str, Make)] = &[
    ("plain", plain),
    ("charset_by_its_label", labelled),
    ("charset_utf_16_or_32", wide),
    ("charset_utf_7", utf_7),
    ("charset_label_is_wrong", mislabelled),
    ("charset_iso_2022_jp_unlabelled", unlabelled_japanese),
    ("charset_in_html", html_meta),
    ("subject_in_words", subject_words),
    ("subject_words_split_inside_characters", split_words),
    ("subject_raw", raw_subject),
    ("name_in_pieces", name_pieces),
    ("name_in_words", name_words),
    ("name_words_in_pieces", name_words_in_pieces),
    ("encoding_misspelt", misspelt_encoding),
    ("type_misspelt", misspelt_type),
    ("parameters_without_semicolons", missing_semicolons),
    ("field_misspelt", misspelt_field),
    ("multipart_nested", nested),
    ("multipart_unclosed", unclosed),
    ("multipart_boundary_differs", boundary_differs),
    ("multipart_encoded", encoded_multipart),
    ("message_attached", attached_message),
    ("message_attached_encoded", encoded_message),
    ("body_with_a_name", named_body),
    ("junk_in_front", junk_in_front),
    ("junk_inside", junk_inside),
    ("carriage_returns_only", carriage_returns),
    ("base64_with_a_footer", base64_footer),
    ("base64_oddly_broken", base64_broken),
    ("flowed", flowed),
];

/// The mails of a seed.
#[must_use]
pub fn all(seed: u64) -> Vec<Mail> {
    let mut dice = Dice(seed);
    let mut mails = Vec::new();
    for _ in 0..OF_EACH {
        for &(kind, make) in KINDS {
            let (bytes, truth) = make(&mut dice);
            mails.push(Mail { kind, bytes, truth });
        }
    }
    mails
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Lines of words, of which one in a line is from `words`.
    fn text(&mut self, words: &[&str]) -> String {
        const PLAIN: [&str; 8] = ["drive", "node", "grid", "0x17", "failed.", "a-b", "Total", "12,214.00"];
        (0..3 + self.below(6))
            .map(|_| {
                let mut line: Vec<_> = (0..3 + self.below(8)).map(|_| self.one(&PLAIN)).collect();
                let at = self.below(line.len());
                line[at] = self.one(words);
                line.join(" ") + "\n"
            })
            .collect()
    }
}

const LATIN: [&str; 4] = ["Büro", "gestört", "café", "Größe"];
const JAPANESE: [&str; 4] = ["交換", "ディスク", "障害が発生", "グリッド"];
const ANY: [&str; 6] = ["Büro", "交換", "диск", "€", "ディスク", "a"];

fn truth(subject: &str, text: &str) -> Reading {
    Reading { subject: subject.into(), text: squeezed(text), files: Vec::new() }
}

/// A mail of these fields and this body; `fields` lack From and Subject, which are `s`.
fn mail(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("From: grid@dc1.example\nTo: x@b.example\nSubject: s\nMIME-Version: 1.0\n{fields}\n");
    [head.as_bytes(), body].concat()
}

fn crlf(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|&b| if b == b'\n' { vec![b'\r', b'\n'] } else { vec![b] }).collect()
}

fn base64(bytes: &[u8]) -> String {
    let encoded = STANDARD.encode(bytes);
    encoded.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
}

fn quoted_printable(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut column = 0;
    for &b in bytes {
        let piece = match b {
            b'\n' => "\n".to_owned(),
            33..=60 | 62..=126 | b' ' => char::from(b).to_string(),
            _ => format!("={b:02X}"),
        };
        if column + piece.len() > 72 && piece != "\n" {
            out += "=\n";
            column = 0;
        }
        column = if piece == "\n" { 0 } else { column + piece.len() };
        out += &piece;
    }
    out
}

/// A transfer encoding, its body, whatever the bytes are.
fn transfer(dice: &mut Dice, bytes: &[u8]) -> (&'static str, Vec<u8>) {
    match dice.below(3) {
        0 => ("8bit", bytes.to_vec()),
        1 => ("base64", base64(bytes).into_bytes()),
        _ => ("quoted-printable", quoted_printable(bytes).into_bytes()),
    }
}

fn text_part(dice: &mut Dice, text: &str) -> Vec<u8> {
    let (encoding, body) = transfer(dice, text.as_bytes());
    let head = format!("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n");
    [head.as_bytes(), &body].concat()
}

fn multipart(boundary: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(format!("--{boundary}\n").as_bytes());
        out.extend_from_slice(part);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("--{boundary}--\n").as_bytes());
    out
}

fn mixed(parts: &[Vec<u8>]) -> Vec<u8> {
    mail("Content-Type: multipart/mixed; boundary=\"=_x\"\n", &multipart("=_x", parts))
}

fn encoded(label: &str, text: &str) -> Vec<u8> {
    let encoding = encoding_rs::Encoding::for_label(label.as_bytes()).expect("a label of encoding_rs");
    encoding.encode(text).0.into_owned()
}

fn plain(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&ANY);
    let (encoding, body) = transfer(dice, text.as_bytes());
    let fields = format!("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n");
    let bytes = mail(&fields, &body);
    (if dice.below(2) == 0 { bytes } else { crlf(&bytes) }, truth("s", &text))
}

fn labelled(dice: &mut Dice) -> (Vec<u8>, Reading) {
    const LABELS: [(&str, &str, &[&str]); 17] = [
        ("cp932", "shift_jis", &JAPANESE),
        ("ms932", "shift_jis", &JAPANESE),
        ("windows-31j", "shift_jis", &JAPANESE),
        ("Shift_JIS", "shift_jis", &JAPANESE),
        ("x-sjis", "shift_jis", &JAPANESE),
        ("euc-jp", "euc-jp", &JAPANESE),
        ("iso-2022-jp", "iso-2022-jp", &JAPANESE),
        ("cp936", "gbk", &["交换", "磁盘"]),
        ("gb18030", "gb18030", &["交换", "磁盘"]),
        ("cp950", "big5", &["交換", "磁碟"]),
        ("euc-kr", "euc-kr", &["교환", "디스크"]),
        ("cp1252", "windows-1252", &LATIN),
        ("latin1", "windows-1252", &LATIN),
        ("iso-8859-15", "iso-8859-15", &["Büro", "€"]),
        ("windows-1251", "windows-1251", &["диск", "замена"]),
        ("koi8-r", "koi8-r", &["диск", "замена"]),
        ("cp1250", "windows-1250", &["příliš", "kůň"]),
    ];
    let (label, encoding, words) = dice.one(&LABELS);
    let text = dice.text(words);
    let (cte, body) = transfer(dice, &encoded(encoding, &text));
    let fields = format!("Content-Type: text/plain; charset={label}\nContent-Transfer-Encoding: {cte}\n");
    (mail(&fields, &body), truth("s", &text))
}

fn wide(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&ANY);
    let utf_16 = |mark: &[u8], order: fn(u16) -> [u8; 2]| {
        [mark, &text.encode_utf16().flat_map(order).collect::<Vec<u8>>()].concat()
    };
    let utf_32 = |mark: &[u8], order: fn(u32) -> [u8; 4]| {
        [mark, &text.chars().flat_map(|c| order(c.into())).collect::<Vec<u8>>()].concat()
    };
    let (label, bytes) = match dice.below(7) {
        0 => ("utf-16", utf_16(b"\xFF\xFE", u16::to_le_bytes)),
        1 => ("utf-16", utf_16(b"\xFE\xFF", u16::to_be_bytes)),
        2 => ("utf-16le", utf_16(b"", u16::to_le_bytes)),
        3 => ("utf-16be", utf_16(b"", u16::to_be_bytes)),
        4 => ("utf-32", utf_32(b"\xFF\xFE\0\0", u32::to_le_bytes)),
        5 => ("utf-32le", utf_32(b"", u32::to_le_bytes)),
        _ => ("utf-32be", utf_32(b"", u32::to_be_bytes)),
    };
    let fields = format!("Content-Type: text/plain; charset={label}\nContent-Transfer-Encoding: base64\n");
    (mail(&fields, base64(&bytes).as_bytes()), truth("s", &text))
}

fn utf_7(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&ANY);
    let mut bytes = String::new();
    for c in text.chars() {
        match c {
            '+' => bytes += "+-",
            c if c.is_ascii() => bytes.push(c),
            c => {
                let mut units = [0; 2];
                let units: Vec<u8> =
                    c.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()).collect();
                bytes += &format!("+{}-", STANDARD.encode(units).trim_end_matches('='));
            }
        }
    }
    (mail("Content-Type: text/plain; charset=utf-7\n", bytes.as_bytes()), truth("s", &text))
}

fn mislabelled(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&ANY[..5]);
    let label = dice.one(&["us-ascii", "iso-8859-1", "windows-1252", "x-unknown", "iso-8859-2"]);
    let (cte, body) = transfer(dice, text.as_bytes());
    let fields = format!("Content-Type: text/plain; charset={label}\nContent-Transfer-Encoding: {cte}\n");
    (mail(&fields, &body), truth("s", &text))
}

fn unlabelled_japanese(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&JAPANESE);
    let fields =
        dice.one(&["", "Content-Type: text/plain\n", "Content-Type: text/plain; charset=us-ascii\n"]);
    (mail(fields, &encoded("iso-2022-jp", &text)), truth("s", &text))
}

fn html_meta(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let label = dice.one(&["shift_jis", "euc-jp", "iso-2022-jp"]);
    let meta = match dice.below(2) {
        0 => format!("<meta charset=\"{label}\">"),
        _ => format!("<META http-equiv=Content-Type content='text/html; charset={label}'>"),
    };
    let text = format!("<html><head>{meta}</head><body>{}</body></html>", dice.text(&JAPANESE));
    (mail("Content-Type: text/html\n", &encoded(label, &text)), truth("s", &text))
}

fn with_subject(written: &str, subject: &str) -> (Vec<u8>, Reading) {
    let bytes = format!("From: grid@dc1.example\nSubject: {written}\nMIME-Version: 1.0\n\ntext\n");
    (bytes.into_bytes(), truth(subject, "text"))
}

fn q_word(label: &str, bytes: &[u8]) -> String {
    let payload: String = bytes
        .iter()
        .map(|&b| match b {
            b' ' => "_".to_owned(),
            b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
            b => format!("={b:02X}"),
        })
        .collect();
    format!("=?{label}?Q?{payload}?=")
}

fn b_word(label: &str, bytes: &[u8]) -> String {
    format!("=?{label}?B?{}?=", STANDARD.encode(bytes))
}

fn subject_words(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let subject = squeezed(&dice.text(&ANY)).chars().take(40).collect::<String>().trim().to_owned();
    let word = dice.one(&[q_word as fn(&str, &[u8]) -> String, b_word]);
    let characters: Vec<char> = subject.chars().collect();
    let size = 8 + dice.below(8);
    let words: Vec<_> = characters
        .chunks(size)
        .map(|piece| word("utf-8", piece.iter().collect::<String>().as_bytes()))
        .collect();
    with_subject(&words.join("\n "), &subject)
}

fn split_words(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let (label, words) = dice.one(&[("utf-8", &JAPANESE), ("shift_jis", &JAPANESE), ("euc-jp", &JAPANESE)]);
    let subject = format!("{} {}", dice.one(words), dice.one(words));
    let word = dice.one(&[q_word as fn(&str, &[u8]) -> String, b_word]);
    let bytes = encoded(label, &subject);
    let size = 4 + dice.below(6);
    let words: Vec<_> = bytes.chunks(size).map(|piece| word(label, piece)).collect();
    with_subject(&words.join("\n "), &subject)
}

fn raw_subject(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let subject = format!("{} {}", dice.one(&ANY), dice.one(&LATIN));
    with_subject(&subject, &subject)
}

/// A body and a named attachment whose disposition is written so.
fn with_attachment(dice: &mut Dice, disposition: &str, name: &str) -> (Vec<u8>, Reading) {
    let text = dice.text(&ANY);
    let data: Vec<u8> = (0..40 + dice.below(200)).map(|_| dice.below(256) as u8).collect();
    let attachment = format!(
        "Content-Type: application/octet-stream\nContent-Disposition: {disposition}\n\
         Content-Transfer-Encoding: base64\n\n{}",
        base64(&data)
    );
    let mut truth = truth("s", &text);
    truth.files.push((name.to_owned(), digest(&data)));
    (mixed(&[text_part(dice, &text), attachment.into_bytes()]), truth)
}

fn name_pieces(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let name = format!("{} {}.csv", dice.one(&ANY), dice.one(&LATIN));
    let escaped: Vec<String> = name
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b == b'.' {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect();
    let disposition = match dice.below(2) {
        0 => format!("attachment; filename*=utf-8''{}", escaped.concat()),
        _ => {
            let (one, two) = escaped.split_at(3);
            format!("attachment;\n filename*0*=utf-8''{};\n filename*1*={}", one.concat(), two.concat())
        }
    };
    with_attachment(dice, &disposition, &name)
}

fn name_words(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let name = format!("{} x.csv", dice.one(&ANY[..5]));
    let word = dice.one(&[q_word as fn(&str, &[u8]) -> String, b_word])("utf-8", name.as_bytes());
    with_attachment(dice, &format!("attachment; filename=\"{word}\""), &name)
}

fn name_words_in_pieces(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let name = format!("{}x.csv", dice.one(&ANY[..5]));
    let word = dice.one(&[q_word as fn(&str, &[u8]) -> String, b_word])("utf-8", name.as_bytes());
    let (one, two) = word.split_at(12 + dice.below(4));
    with_attachment(dice, &format!("attachment; filename*0=\"{one}\";\n filename*1=\"{two}\""), &name)
}

fn misspelt_encoding(dice: &mut Dice) -> (Vec<u8>, Reading) {
    const BASE64: [&str; 7] =
        ["base64;", "base64; charset=utf-8", "(c) base64", "base64 (c)", "\"base64\"", "base-64", "BASE64 "];
    const PRINTABLE: [&str; 5] = [
        "quoted-printable; x=y",
        "quoted-printable (c)",
        "quoted_printable",
        "quoted-printible",
        "\"quoted-printable\"",
    ];
    let text = dice.text(&ANY);
    let (encoding, body) = match dice.below(2) {
        0 => (dice.one(&BASE64), base64(text.as_bytes())),
        _ => (dice.one(&PRINTABLE), quoted_printable(text.as_bytes())),
    };
    let fields = format!("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n");
    (mail(&fields, body.as_bytes()), truth("s", &text))
}

fn misspelt_type(dice: &mut Dice) -> (Vec<u8>, Reading) {
    const TYPES: [&str; 9] = [
        "text",
        "plain; charset=utf-8",
        "",
        "text/; charset=utf-8",
        "tex/plain; charset=utf-8",
        "text (c) / plain",
        "(c) text/plain; charset=utf-8",
        "TEXT/PLAIN; CHARSET=UTF-8",
        "\"text/plain\"; charset=utf-8",
    ];
    let text = dice.text(&ANY);
    (mail(&format!("Content-Type: {}\n", dice.one(&TYPES)), text.as_bytes()), truth("s", &text))
}

fn missing_semicolons(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&JAPANESE);
    let body = encoded("shift_jis", &text);
    match dice.below(3) {
        0 => (mail("Content-Type: text/plain charset=shift_jis\n", &body), truth("s", &text)),
        1 => (mail("Content-Type: text/plain; format=fixed charset=shift_jis\n", &body), truth("s", &text)),
        _ => {
            let part = text_part(dice, &text);
            (
                mail("Content-Type: multipart/mixed boundary=\"bb\"\n", &multipart("bb", &[part])),
                truth("s", &text),
            )
        }
    }
}

fn misspelt_field(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&JAPANESE);
    let name = dice.one(&["ContentType", "Content Type", "Content_Type", "Content-Tpye", "content-type "]);
    (
        mail(&format!("{name}: text/plain; charset=shift_jis\n"), &encoded("shift_jis", &text)),
        truth("s", &text),
    )
}

fn nested(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let mut texts = Vec::new();
    let mut body = Vec::new();
    let depth = 1 + dice.below(4);
    for level in 0..depth {
        let mut parts = Vec::new();
        if level > 0 {
            let boundary = format!("b{}", level - 1);
            parts.push(
                [format!("Content-Type: multipart/mixed; boundary={boundary}\n\n").as_bytes(), &body]
                    .concat(),
            );
        }
        for _ in 0..1 + dice.below(2) {
            let text = dice.text(&ANY);
            parts.push(text_part(dice, &text));
            texts.push(text);
        }
        body = multipart(&format!("b{level}"), &parts);
        if dice.below(2) == 0 {
            body = [b"preamble\n".as_slice(), &body, b"epilogue\n"].concat();
        }
    }
    let fields = format!("Content-Type: multipart/mixed; boundary=b{}\n", depth - 1);
    (mail(&fields, &body), truth("s", &texts.join(" ")))
}

fn unclosed(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let texts = [dice.text(&ANY), dice.text(&ANY)];
    let parts: Vec<_> = texts.iter().map(|text| text_part(dice, text)).collect();
    let mut bytes = mixed(&parts);
    bytes.truncate(bytes.len() - "--=_x--\n".len());
    (bytes, truth("s", &texts.join(" ")))
}

fn boundary_differs(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let texts = [dice.text(&ANY), dice.text(&ANY)];
    let parts: Vec<_> = texts.iter().map(|text| text_part(dice, text)).collect();
    let parameter =
        dice.one(&["; boundary=\"_=_y\"", "; boundary=\"\"", "", "; boundary==_X", "; boundary='=_x'"]);
    let fields = format!("Content-Type: multipart/mixed{parameter}\n");
    (mail(&fields, &multipart("=_x", &parts)), truth("s", &texts.join(" ")))
}

fn encoded_multipart(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&ANY);
    let body = multipart("x", &[text_part(dice, &text)]);
    let (encoding, body) = match dice.below(3) {
        0 => ("base64", base64(&body).into_bytes()),
        1 => ("quoted-printable", quoted_printable(&body).into_bytes()),
        // Says so, and is not.
        _ => ("base64", body),
    };
    let fields =
        format!("Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: {encoding}\n");
    (mail(&fields, &body), truth("s", &text))
}

fn attached_message(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let texts = [dice.text(&ANY), dice.text(&ANY)];
    let inner = [b"From: a@b\nSubject: inner\n".as_slice(), &text_part(dice, &texts[1])].concat();
    let message = [b"Content-Type: message/rfc822\n\n".as_slice(), &inner].concat();
    (mixed(&[text_part(dice, &texts[0]), message]), truth("s", &texts.join(" ")))
}

fn encoded_message(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let texts = [dice.text(&ANY), dice.text(&ANY)];
    let inner = [b"From: a@b\nSubject: inner\n".as_slice(), &text_part(dice, &texts[1])].concat();
    let media_type = dice.one(&["message/rfc822", "application/octet-stream"]);
    let head = format!(
        "Content-Type: {media_type}\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment\n\n"
    );
    let message = [head.as_bytes(), base64(&inner).as_bytes()].concat();
    (mixed(&[text_part(dice, &texts[0]), message]), truth("s", &texts.join(" ")))
}

fn named_body(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&ANY);
    let fields = dice.one(&[
        "Content-Type: text/plain; charset=utf-8; name=a.txt\n",
        "Content-Type: text/plain; charset=utf-8\nContent-Disposition: inline; filename=a.txt\n",
    ]);
    let mut truth = truth("s", &text);
    truth.files.push(("a.txt".to_owned(), digest(text.as_bytes())));
    (mail(fields, text.as_bytes()), truth)
}

fn junk_in_front(dice: &mut Dice) -> (Vec<u8>, Reading) {
    const TRACE: &str = "Return-Path: <a@b>\nX-Original-To: x@b.example\nReceived: from a by b;\n\tFri, 13 Jan 2023 12:00:05 +0900\n";
    let text = dice.text(&ANY);
    let part = text_part(dice, &text);
    let own = [b"From: a@b\nSubject: s\n".as_slice(), &part].concat();
    let front = match dice.below(7) {
        0 => "\n".to_owned(),
        1 => "\u{FEFF}".to_owned(),
        2 => "From a@b Fri Jan 13 12:00:00 2023\n".to_owned(),
        3 => "no header line\n".to_owned(),
        4 => format!("{TRACE}\n\u{FEFF}"),
        5 => format!("{TRACE}\n>From a@b Fri Jan 13 12:00:00 2023\n"),
        _ => format!("{TRACE}\n\n"),
    };
    ([front.as_bytes(), &own].concat(), truth("s", &text))
}

fn junk_inside(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&ANY);
    let junk =
        dice.one(&["this is no field\n", ">From a@b Fri Jan 13 12:00:00 2023\n", "From a@b Fri Jan 13\n"]);
    let head = format!("From: a@b\nSubject: s\n{junk}");
    ([head.as_bytes(), &text_part(dice, &text)].concat(), truth("s", &text))
}

fn carriage_returns(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&ANY);
    let part = text_part(dice, &text);
    let bytes = if dice.below(2) == 0 {
        [b"From: a@b\nSubject: s\n".as_slice(), &part].concat()
    } else {
        mixed(&[part])
    };
    let end: &[u8] = dice.one(&[b"".as_slice(), b"\n"]);
    let bytes: Vec<u8> = bytes.iter().map(|&b| if b == b'\n' { b'\r' } else { b }).collect();
    ([&bytes, end].concat(), truth("s", &text))
}

fn base64_footer(dice: &mut Dice) -> (Vec<u8>, Reading) {
    const FOOTER: &str =
        "_______________________________________________\nstorage mailing list\nstorage@lists.example\n";
    let text = dice.text(&ANY);
    let data: Vec<u8> = (0..60 + dice.below(600)).map(|_| dice.below(256) as u8).collect();
    let mut body = base64(&data);
    if dice.below(2) == 0 {
        body = body.replace('=', "");
    }
    let blank = dice.one(&["", "\n", "\n\n"]);
    let attachment = format!(
        "Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=a.bin\n\
         Content-Transfer-Encoding: base64\n\n{body}{blank}{FOOTER}"
    );
    let mut truth = truth("s", &text);
    truth.files.push(("a.bin".to_owned(), digest(&data)));
    (mixed(&[text_part(dice, &text), attachment.into_bytes()]), truth)
}

fn base64_broken(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let text = dice.text(&ANY);
    let encoded = STANDARD.encode(&text);
    let body = match dice.below(4) {
        0 => encoded.trim_end_matches('=').to_owned(),
        1 => {
            encoded.as_bytes().chunks(7).map(|l| String::from_utf8_lossy(l).into_owned() + " \r\n").collect()
        }
        2 => {
            encoded.as_bytes().chunks(61).map(|l| String::from_utf8_lossy(l).into_owned() + "\n\n").collect()
        }
        _ => format!("\n\n{encoded}\n\n\n"),
    };
    let fields = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n";
    (mail(fields, body.as_bytes()), truth("s", &text))
}

fn flowed(dice: &mut Dice) -> (Vec<u8>, Reading) {
    let words: Vec<_> = (0..12).map(|_| dice.one(&ANY)).collect();
    let delsp = dice.below(2) == 0;
    let written: String = words.iter().map(|word| format!("{word} \n")).collect::<String>() + "end\n";
    let text = if delsp { words.concat() + "end" } else { words.join(" ") + " end" };
    let parameter = if delsp { "; delsp=yes" } else { "" };
    let fields = format!("Content-Type: text/plain; charset=utf-8; format=flowed{parameter}\n");
    (mail(&fields, written.as_bytes()), truth("s", &text))
}
