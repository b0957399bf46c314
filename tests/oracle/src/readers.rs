//! The readers that are written in Rust.

use crate::{Reading, digest, squeezed};
use headworks_modules::{mime, spill::Spill};
use mail_parser::{Message, MessageParser, MimeHeaders, PartType};
use mailparse::{MailHeaderMap, ParsedMail};
use module_api::frame::{MimeLimits, Stored};
use module_api::{Content, Part, PartKind};
use std::io::{Seek, Write};

/// Reads one mail.
pub type Reader = fn(&[u8]) -> Reading;

/// The reader of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<Reader> {
    match name {
        "ours" => Some(ours),
        "mail-parser" => Some(with_mail_parser),
        "mailparse" => Some(with_mailparse),
        _ => None,
    }
}

/// Our splitter, its texts read as modules read them.
fn ours(mail: &[u8]) -> Reading {
    let mut input = tempfile::tempfile().expect("a temporary file");
    input.write_all(mail).and_then(|()| input.rewind()).expect("the mail is written");
    let mut spill = Spill::new(tempfile::tempfile().expect("a temporary file"));
    let split = mime::split(mail, &MimeLimits::default(), &mut spill).expect("the spill is written");
    let mut reading = Reading { subject: split.head.subject.unwrap_or_default(), ..Reading::default() };
    for record in split.parts {
        let file = if matches!(record.stored, Stored::Input(_)) { &input } else { spill.file() };
        let range = record.stored.range();
        let content = Content::Range { file, offset: range.offset, len: range.len };
        if record.kind == PartKind::Message {
            continue;
        }
        let bytes = content.bytes(usize::MAX).expect("a part is where it is said to be").into_owned();
        let part = Part {
            kind: record.kind,
            path: record.path,
            parent: record.parent,
            media_type: record.media_type,
            sniffed_type: record.sniffed_type,
            charset: record.charset,
            name: record.name,
            problems: record.problems,
            content: Content::Memory(&bytes),
        };
        let text = part.text(usize::MAX).expect("memory is read").text;
        reading.add(&part.media_type, part.name.as_deref(), &text, &bytes);
    }
    reading
}

impl Reading {
    fn add(&mut self, media_type: &str, name: Option<&str>, text: &str, bytes: &[u8]) {
        let is_text = media_type.starts_with("text/");
        if is_text {
            self.text = squeezed(&format!("{} {text}", self.text));
        }
        if !is_text || name.is_some() {
            self.files.push((name.unwrap_or_default().to_owned(), digest(bytes)));
        }
    }
}

fn with_mail_parser(mail: &[u8]) -> Reading {
    let Some(message) = MessageParser::new().parse(mail) else { return Reading::default() };
    let mut reading =
        Reading { subject: message.subject().unwrap_or_default().to_owned(), ..Reading::default() };
    add_mail_parser(&message, &mut reading);
    reading
}

fn add_mail_parser(message: &Message<'_>, reading: &mut Reading) {
    for part in &message.parts {
        let name = part.attachment_name();
        let declared = part.content_type().map_or_else(
            || "text/plain".to_owned(),
            |t| format!("{}/{}", t.ctype(), t.subtype().unwrap_or_default()).to_ascii_lowercase(),
        );
        match &part.body {
            PartType::Text(text) | PartType::Html(text) => {
                reading.add("text/plain", name, text, text.as_bytes());
            }
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => {
                reading.add(&declared, name, &String::from_utf8_lossy(bytes), bytes);
            }
            PartType::Message(inner) => add_mail_parser(inner, reading),
            PartType::Multipart(_) => {}
        }
    }
}

fn with_mailparse(mail: &[u8]) -> Reading {
    let Ok(parsed) = mailparse::parse_mail(mail) else { return Reading::default() };
    let subject = parsed.headers.get_first_value("Subject").unwrap_or_default();
    let mut reading = Reading { subject, ..Reading::default() };
    add_mailparse(&parsed, &mut reading);
    reading
}

fn add_mailparse(part: &ParsedMail<'_>, reading: &mut Reading) {
    let media_type = part.ctype.mimetype.to_ascii_lowercase();
    if media_type.starts_with("multipart/") && !part.subparts.is_empty() {
        return part.subparts.iter().for_each(|part| add_mailparse(part, reading));
    }
    let bytes = part.get_body_raw().unwrap_or_default();
    if media_type == "message/rfc822" {
        if let Ok(inner) = mailparse::parse_mail(&bytes) {
            add_mailparse(&inner, reading);
        }
        return;
    }
    let disposition = part.get_content_disposition();
    let name = disposition.params.get("filename").or_else(|| part.ctype.params.get("name"));
    let text = part.get_body().unwrap_or_default();
    reading.add(&media_type, name.map(String::as_str), &text, &bytes);
}
