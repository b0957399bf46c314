//! Makes parts of the entities that a scan found, and looks again into those that hold others in another form.

use super::closest::Encoding;
use super::holds::Holds;
use super::params::Content;
use super::scan::{self, Class, Entity, Scan, Start};
use super::{boundary, flowed, name, transfer};
use crate::charset;
use crate::problem::{add, doubt, has};
use crate::spill::Spill;
use module_api::charset::Charset;
use module_api::frame::{MimeLimits, PartRecord, Range, Stored};
use module_api::{PartKind, Problem};
use module_sniff as sniff;
use std::borrow::Cow;
use std::io;

/// Encoded messages in encoded messages that are opened. Each is written to the spill again, and nobody sends more.
const MOST_LAYERS: u32 = 3;

/// What [`take`] made.
pub(super) struct Taken {
    /// In document order.
    pub parts: Vec<PartRecord>,
    /// Problems of the mail as a whole, and of what is no part of its own.
    pub problems: Vec<Problem>,
    /// There is nothing but blanks in it.
    pub is_blank: bool,
}

/// Makes the parts of a mail.
pub(super) fn take(message: &[u8], scan: &Scan, limits: &MimeLimits, spill: &mut Spill) -> io::Result<Taken> {
    let taken = Taken { parts: Vec::new(), problems: scan.problems.clone(), is_blank: true };
    let mut maker = Maker { limits, spill, entities: scan.entities.len(), taken };
    let document = Document {
        bytes: message,
        base: Stored::Input(Range { offset: 0, len: message.len() as u64 }),
        depth: 0,
        layers: 0,
        parent: None,
        doubts: scan.problems.iter().filter(|p| doubt(&p.code).is_some()).cloned().collect(),
    };
    maker.document(&document, scan, 0)?;
    Ok(maker.taken)
}

/// Makes the parts of a part that is a message.
pub(super) fn inside(
    part: PartRecord,
    message: &[u8],
    limits: &MimeLimits,
    entities: &mut usize,
    spill: &mut Spill,
) -> io::Result<Vec<PartRecord>> {
    let base = part.stored;
    let part = PartRecord { kind: PartKind::Message, ..part };
    let taken = Taken { parts: vec![part], problems: Vec::new(), is_blank: true };
    let mut maker = Maker { limits, spill, entities: *entities, taken };
    maker.message(message, base, 0, (0, 1))?;
    *entities = maker.entities;
    let Taken { mut parts, problems, .. } = maker.taken;
    for p in problems {
        add(&mut parts[0].problems, &p.code, &p.detail);
    }
    Ok(parts)
}

/// Bytes that were scanned: the mail, or something in it.
struct Document<'m> {
    bytes: &'m [u8],
    /// Where they are.
    base: Stored,
    /// Containers around them.
    depth: usize,
    /// Decoded documents around them.
    layers: u32,
    /// The part they stand in.
    parent: Option<u32>,
    /// Doubts about what they stand in.
    doubts: Vec<Problem>,
}

impl Document<'_> {
    fn stored(&self, range: &std::ops::Range<usize>) -> Stored {
        let place = |base: Range| Range { offset: base.offset + range.start as u64, len: range.len() as u64 };
        match self.base {
            Stored::Input(base) => Stored::Input(place(base)),
            Stored::Spill(base) => Stored::Spill(place(base)),
        }
    }

    /// The same range of the message, if the bytes are the message's.
    fn raw(&self, range: &std::ops::Range<usize>) -> Option<Range> {
        match self.stored(range) {
            Stored::Input(range) => Some(range),
            Stored::Spill(_) => None,
        }
    }
}

/// Where an entity stands.
struct Place {
    parent: Option<u32>,
    /// Containers around it.
    depth: usize,
    /// Doubts about those of them that are no parts.
    doubts: Vec<Problem>,
    /// It is all that its message holds.
    is_alone: bool,
    /// It is the first that its message holds.
    is_first: bool,
}

impl Place {
    fn of(document: &Document<'_>, scan: &Scan, index_of: &[Option<u32>], entity: usize) -> Self {
        let mut place = Self {
            parent: document.parent,
            depth: document.depth,
            doubts: document.doubts.clone(),
            is_alone: scan.entities[entity].parent.is_none_or(|p| scan.entities[p].class == Class::Message),
            is_first: true,
        };
        let (mut at, mut in_message, mut found) = (entity, true, false);
        while let Some(parent) = scan.entities[at].parent {
            let container = &scan.entities[parent];
            place.depth += 1;
            if !found && index_of[parent].is_some() {
                (place.parent, found) = (index_of[parent], true);
            }
            in_message &= container.class == Class::Multipart;
            place.is_first &= !in_message || parent + 1 == at;
            if !found {
                place.doubts.extend(container.problems.iter().filter(|p| doubt(&p.code).is_some()).cloned());
            }
            at = parent;
        }
        place
    }
}

struct Maker<'a> {
    limits: &'a MimeLimits,
    spill: &'a mut Spill,
    /// Entities found so far.
    entities: usize,
    taken: Taken,
}

impl Maker<'_> {
    /// Makes the parts of a document; its first `skip` entities stand for what it is in.
    fn document(&mut self, document: &Document<'_>, scan: &Scan, skip: usize) -> io::Result<()> {
        let mut index_of = vec![None; scan.entities.len()];
        // A multipart that was taken apart otherwise: what the scan found in it does not count.
        let mut done: Option<usize> = None;
        for (i, entity) in scan.entities.iter().enumerate().skip(skip) {
            if done.is_some_and(|done| scan.is_inside(i, done)) {
                continue;
            }
            let place = Place::of(document, scan, &index_of, i);
            if entity.class == Class::Multipart {
                if is_encoded(&entity.content, &document.bytes[entity.body.clone()])
                    && self.undivided(document, entity, &place, entity.path.clone())?
                {
                    done = Some(i);
                } else {
                    self.container(&entity.path, &entity.problems);
                }
                continue;
            }
            let path = match entity.parent {
                None => String::new(),
                Some(p) if scan.entities[p].class == Class::Message => scan.entities[p].path.clone(),
                Some(_) => entity.path.clone(),
            };
            if entity.content.is_multipart() && self.undivided(document, entity, &place, path)? {
                continue;
            }
            index_of[i] = u32::try_from(self.taken.parts.len()).ok();
            self.part(document, entity, place)?;
        }
        Ok(())
    }

    /// Tells the problems of a multipart, which is no part.
    fn container(&mut self, path: &str, problems: &[Problem]) {
        let at = if path.is_empty() { "the mail" } else { path };
        for p in problems {
            add(&mut self.taken.problems, &p.code, format!("{at} {}", p.detail).trim_end());
        }
    }

    /// Divides a multipart that the scan could not: it is encoded as a whole, or has another boundary than it says.
    /// `false` where it cannot be divided.
    fn undivided(
        &mut self,
        document: &Document<'_>,
        entity: &Entity,
        place: &Place,
        path: String,
    ) -> io::Result<bool> {
        let body = &document.bytes[entity.body.clone()];
        let decoded = transfer::decode(&entity.content, body, &mut Vec::new());
        let bytes = decoded.as_deref().unwrap_or(body);
        let mut problems = entity.problems.clone();
        problems.retain(|p| p.code != "no_boundary");
        let declared = entity.content.boundary();
        let used = match &declared {
            Some(declared) if decoded.is_some() && boundary::occurs(bytes, declared) => declared.as_slice(),
            _ => match boundary::guess(bytes) {
                Some(guess) => {
                    let detail = String::from_utf8_lossy(guess);
                    add(&mut problems, "boundary_guess", &detail);
                    guess
                }
                None => return Ok(false),
            },
        };
        let layers = document.layers + u32::from(decoded.is_some());
        let start = Start::Multipart(path.clone(), used.to_vec());
        let Some(Ok(scan)) = self.scan(bytes, place.depth, layers, start) else { return Ok(false) };
        if scan.entities.len() == 1 {
            return Ok(false);
        }
        let base = match &decoded {
            Some(decoded) => Stored::Spill(self.spill.append(decoded)?),
            None => document.stored(&entity.body),
        };
        problems.extend(scan.entities[0].problems.iter().chain(&scan.problems).cloned());
        self.container(&path, &problems);
        let mut doubts = place.doubts.clone();
        doubts.extend(problems.into_iter().filter(|p| doubt(&p.code).is_some()));
        let depth = place.depth;
        self.document(&Document { bytes, base, depth, layers, parent: place.parent, doubts }, &scan, 1)?;
        Ok(true)
    }

    /// Scans a document within what is left of the limits; `None` where nothing is.
    fn scan(
        &mut self,
        bytes: &[u8],
        depth: usize,
        layers: u32,
        start: Start,
    ) -> Option<Result<Scan, scan::Excess>> {
        let depth_left = self.limits.depth.checked_sub(u32::try_from(depth).ok()?)?;
        let parts = self.limits.parts.checked_sub(u32::try_from(self.entities).ok()?)?;
        if layers > MOST_LAYERS {
            return None;
        }
        let limits = MimeLimits { depth: depth_left, parts, ..*self.limits };
        let scan = scan::scan(bytes, &limits, start);
        if let Ok(scan) = &scan {
            self.entities += scan.entities.len();
        }
        Some(scan)
    }

    fn part(&mut self, document: &Document<'_>, entity: &Entity, place: Place) -> io::Result<()> {
        let content = &entity.content;
        let body = &document.bytes[entity.body.clone()];
        let mut problems = entity.problems.clone();
        for doubt in &place.doubts {
            add(&mut problems, &doubt.code, &doubt.detail);
        }
        if let Some(code) = content.closed() {
            add(&mut problems, code, "");
        }
        let named = name::declared(content, &mut problems);
        let name = named.as_ref().map(|name| name.text.as_str());
        let in_place = document.stored(&entity.body);
        let decoded = match entity.class {
            Class::Message => None,
            _ => transfer::decode(content, body, &mut problems),
        };
        let bytes = decoded.as_deref().unwrap_or(body);
        let sniffed = match entity.class {
            Class::Message => content.media_type.clone(),
            // What could not be opened is no text either.
            _ if content.is_smime(name) => content.media_type.clone(),
            _ => sniff::media_type(bytes, &content.media_type),
        };
        self.taken.is_blank &= bytes.trim_ascii().is_empty();
        let holds = match entity.class {
            Class::Message => Holds::Nothing,
            _ => Holds::of(content, name, &sniffed, bytes, &mut problems),
        };
        let is_binary = is_binary(content, &sniffed, bytes);
        let kind = match (entity.class, &holds) {
            (Class::Message, _) | (_, Holds::Message) => PartKind::Message,
            _ if !is_binary && is_body(content, name, &place) => PartKind::Body,
            _ => PartKind::Attachment,
        };
        let media_type = readable_type(content, kind, is_binary, &problems);
        let charset = match kind {
            PartKind::Message => content.charset(),
            _ => self::charset_of(content, bytes, &media_type, &sniffed, &mut problems),
        };
        let text = match content.flowed().filter(|_| kind == PartKind::Body) {
            Some(delsp) if !is_wide(charset.as_deref()) => {
                Some(flowed::join(bytes, delsp)).filter(|text| text != bytes)
            }
            _ => None,
        };
        let stored = match text.as_ref().or(decoded.as_ref()) {
            Some(bytes) => Stored::Spill(self.spill.append(bytes)?),
            None => in_place,
        };
        let index = self.taken.parts.len();
        let (name, raw_name) = named.map_or((None, Vec::new()), |n| (Some(n.text), n.raw));
        self.taken.parts.push(PartRecord {
            kind,
            path: entity.path.clone(),
            parent: place.parent,
            media_type,
            sniffed_type: sniffed,
            charset,
            name,
            raw_name,
            transfer_encoding: content.transfer_encoding.clone(),
            disposition: content.disposition.clone(),
            problems,
            raw: document.raw(&entity.body),
            stored,
        });
        match holds {
            Holds::Nothing => Ok(()),
            Holds::Message => {
                let layers = document.layers + u32::from(decoded.is_some());
                self.message(bytes, stored, index, (place.depth, layers))
            }
            Holds::Signed(signed) => {
                let stored = Stored::Spill(self.spill.append(&signed)?);
                self.message(&signed, stored, index, (place.depth, document.layers + 1))
            }
        }
    }

    /// Takes apart a message that stands in a part made before, in so many containers and decoded documents.
    fn message(
        &mut self,
        bytes: &[u8],
        base: Stored,
        index: usize,
        (depth, layers): (usize, u32),
    ) -> io::Result<()> {
        let text = scan::with_line_feeds(bytes, self.limits);
        let start = Start::Message(self.taken.parts[index].path.clone());
        let scan = self.scan(&text, depth, layers, start);
        let part = &mut self.taken.parts[index];
        let code = match &scan {
            None => Some("mime_depth"),
            Some(Err(excess)) => Some(excess.code()),
            Some(Ok(_)) => None,
        };
        if let Some(code) = code {
            add(&mut part.problems, code, "");
        }
        if matches!(text, Cow::Owned(_)) {
            add(&mut part.problems, "cr_only", "");
        }
        let Some(Ok(scan)) = scan else { return Ok(()) };
        for p in &scan.problems {
            add(&mut part.problems, &p.code, &p.detail);
        }
        let parent = u32::try_from(index).ok();
        let document = Document { bytes: &text, base, depth, layers, parent, doubts: Vec::new() };
        self.document(&document, &scan, 1)
    }
}

/// Whether a multipart is quoted-printable as a whole although its boundary can be seen: the fields of its parts are
/// encoded too.
fn is_encoded(content: &Content, body: &[u8]) -> bool {
    let is_field = |line: &[u8]| {
        line.len() > 8
            && line[..8].eq_ignore_ascii_case(b"content-")
            && line.windows(3).any(|three| three == b"=3D")
    };
    content.encoding == Encoding::QuotedPrintable && body.split(|&b| b == b'\n').any(is_field)
}

/// Whether a text is what its message says, not something attached: nobody gave it a name, or it stands where a body
/// does.
fn is_body(content: &Content, name: Option<&str>, place: &Place) -> bool {
    let is_text = matches!(content.media_type.as_str(), "text/plain" | "text/html") || content.is_multipart();
    if !is_text {
        return false;
    }
    match content.disposition.as_str() {
        _ if place.is_alone => true,
        "attachment" => false,
        "inline" => true,
        _ => name.is_none() || place.is_first,
    }
}

/// Whether bytes that were declared as text are something else.
fn is_binary(content: &Content, sniffed: &str, bytes: &[u8]) -> bool {
    sniffed != content.media_type && !sniffed.starts_with("text/") && !sniff::is_text(bytes)
}

/// The type to read a part by: the declared one, but for a multipart that could not be divided, and a guess that the
/// bytes contradict.
fn readable_type(content: &Content, kind: PartKind, is_binary: bool, problems: &[Problem]) -> String {
    match () {
        () if content.is_multipart() && kind == PartKind::Body => "text/plain".to_owned(),
        () if is_binary && has(problems, "bad_type") => "application/octet-stream".to_owned(),
        () => content.media_type.clone(),
    }
}

/// The label to read a text by; of anything else the declared one.
fn charset_of(
    content: &Content,
    bytes: &[u8],
    media_type: &str,
    sniffed: &str,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let declared = content.charset();
    let is_text = |media_type: &str| {
        media_type.starts_with("text/") || matches!(media_type, "application/json" | "application/xml")
    };
    if (!is_text(media_type) && !is_text(sniffed)) || content.is_smime(None) {
        return declared;
    }
    let kind = if sniffed == "text/html" { sniffed } else { media_type };
    charset::of(bytes, declared.as_deref(), kind).told(problems)
}

fn is_wide(label: Option<&str>) -> bool {
    label.and_then(Charset::for_label).is_some_and(Charset::is_wide)
}
