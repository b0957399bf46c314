//! One request after the other, as long as the server wants.

use crate::link::{Incoming, Link};
use crate::problem::doubt;
use crate::sink::{FrameSink, Stopped};
use crate::spill::Spill;
use crate::{archive, charset, mime};
use module_api::frame::{
    Declared, FailKind, FrameError, Hello, Input, MimeLimits, PROTOCOL, Parse, PartRecord, Range, Reply,
    Request, Stage, Stored, Walls,
};
use module_api::{Content, Delivery, Finding, Module, Outcome, Part, PartKind, Place, Sink, Stop};
use module_sniff as sniff;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Why a request was not carried out.
enum Trouble {
    /// Told to the server.
    Failed(FailKind, String),
    /// The server cannot be told.
    Link(FrameError),
}

impl From<FrameError> for Trouble {
    fn from(e: FrameError) -> Self {
        match e {
            FrameError::TooLong { .. } => Self::Failed(FailKind::Budget, e.to_string()),
            e => Self::Link(e),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(e: io::Error) -> Self {
        Self::Failed(FailKind::Io, e.to_string())
    }
}

/// Greets, then serves requests until the server closes the socket.
pub(crate) fn serve(
    modules: &[&'static dyn Module],
    link: &mut Link,
    walls: Walls,
) -> Result<(), FrameError> {
    let version = crate::version();
    link.send(&Reply::Hello(Hello { protocol: PROTOCOL, version, walls }))?;
    link.flush()?;
    while let Some(incoming) = link.receive()? {
        match carry_out(modules, link, incoming) {
            Ok(outcome) => link.send(&Reply::Done(outcome))?,
            Err(Trouble::Link(e)) => return Err(e),
            Err(Trouble::Failed(kind, message)) => link.send(&Reply::Failed { kind, message })?,
        }
        link.flush()?;
    }
    Ok(())
}

fn carry_out(
    modules: &[&'static dyn Module],
    link: &mut Link,
    incoming: Incoming,
) -> Result<Outcome, Trouble> {
    let Incoming { request, input, spill } = incoming;
    match request {
        Request::Split { message_bytes, limits } => {
            progress(link, Stage::Split)?;
            let split = split(&input, message_bytes, &limits, &mut Spill::new(spill))?;
            link.send(&Reply::Head(Box::new(split.head)))?;
            send_parts(link, split.parts)?;
            Ok(Outcome::Ok)
        }
        Request::Parse(parse) => run(modules, link, &parse, &input, spill, false),
        Request::Draft(parse) => run(modules, link, &parse, &input, spill, true),
    }
}

/// Tells the server at once what comes next, so that it knows should this process not get to say more.
fn progress(link: &mut Link, stage: Stage) -> Result<(), FrameError> {
    link.send(&Reply::Progress(stage))?;
    Ok(link.flush()?)
}

fn split(
    input: &File,
    message_bytes: u64,
    limits: &MimeLimits,
    spill: &mut Spill,
) -> io::Result<mime::Split> {
    if message_bytes > limits.message_bytes {
        let look = read_front(input, message_bytes.min(limits.header_bytes as u64))?;
        return Ok(mime::too_large(&look, message_bytes, limits));
    }
    mime::split(&read_front(input, message_bytes)?, limits, spill)
}

/// The first `len` bytes of a file.
fn read_front(file: &File, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0).map_err(|e| io::Error::new(e.kind(), format!("input: {e}")))?;
    Ok(bytes)
}

fn send_parts(link: &mut Link, parts: Vec<PartRecord>) -> Result<(), FrameError> {
    parts.into_iter().try_for_each(|part| link.send(&Reply::Part(Box::new(part))))
}

fn run(
    modules: &[&'static dyn Module],
    link: &mut Link,
    parse: &Parse,
    input: &File,
    spill: File,
    draft: bool,
) -> Result<Outcome, Trouble> {
    let Some(module) = modules.iter().find(|m| m.declaration().id == parse.module) else {
        return Err(Trouble::Failed(FailKind::Unknown, format!("no module {:?}", parse.module)));
    };
    let mut spill = Spill::new(spill);
    let (parts, envelope) = match &parse.input {
        Input::Mail { message_bytes } => {
            progress(link, Stage::Split)?;
            let split = split(input, *message_bytes, &parse.mime, &mut spill)?;
            let fields = split.head.fields.into_iter().map(|field| (field.name, field.value));
            (split.parts, parse.envelope.clone().with_header(fields))
        }
        Input::File { file_bytes, declared } => {
            (vec![file_part(input, *file_bytes, declared)?], parse.envelope.clone())
        }
        Input::Parts { parts, spill_bytes, .. } => {
            spill.skip(*spill_bytes);
            (parts.clone(), parse.envelope.clone())
        }
    };
    progress(link, Stage::Expand)?;
    let expanded = archive::expand(parts, input, &mut spill, (&parse.archive, &parse.mime))?;
    let records = &expanded.parts;
    let parts: Vec<Part<'_>> = records.iter().map(|record| part(record, input, spill.file())).collect();
    send_parts(link, records.clone())?;
    progress(link, Stage::Module)?;
    let delivery = Delivery {
        coordinates: &parse.coordinates,
        envelope: &envelope,
        received_at: parse.received_at,
        settings: &parse.settings,
        parts: &parts,
    };
    if draft {
        link.send(&Reply::Draft(module.draft_profile(&delivery)))?;
        return Ok(Outcome::Ok);
    }
    let mut sink = FrameSink::new(link, parse.budget);
    // At most half of what may be said: the other half stays the module's.
    let most = usize::try_from(parse.budget.findings / 2).unwrap_or(usize::MAX);
    for finding in archive::findings(&expanded, most) {
        if sink.finding(finding).is_err() {
            break;
        }
    }
    let outcome = module.parse(&delivery, &mut sink).and_then(|outcome| {
        tell_doubts(records, &mut sink)?;
        Ok(outcome)
    });
    match (sink.stopped(), outcome) {
        (Some(Stopped::Budget(message)), _) => Err(Trouble::Failed(FailKind::Budget, message)),
        (Some(Stopped::Link(e)), _) => Err(Trouble::Link(e)),
        (None, Ok(outcome)) => Ok(outcome),
        (None, Err(stop)) => Err(Trouble::Failed(FailKind::Budget, stop.to_string())),
    }
}

/// A finding for each doubt about a part that rows came from, or about what that part stands in.
fn tell_doubts(parts: &[PartRecord], sink: &mut FrameSink<'_>) -> Result<(), Stop> {
    for part in sink.row_parts() {
        let mut told = Vec::new();
        let mut at = parts.get(part as usize);
        while let Some(record) = at {
            for problem in &record.problems {
                let Some(meaning) = doubt(&problem.code).filter(|_| !told.contains(&&problem.code)) else {
                    continue;
                };
                told.push(&problem.code);
                let place = Place { part, ..Place::default() };
                sink.finding(Finding::warning(&problem.code, place, meaning).excerpt(&problem.detail))?;
            }
            at = record.parent.and_then(|parent| parts.get(parent as usize));
        }
    }
    Ok(())
}

/// A file that is no mail, as the only part.
fn file_part(file: &File, len: u64, declared: &Declared) -> io::Result<PartRecord> {
    let text = read_front(file, len.min(charset::LOOK_BYTES as u64))?;
    let media_type =
        declared.media_type.as_deref().unwrap_or("application/octet-stream").to_ascii_lowercase();
    let sniffed_type = sniff::media_type(&text, &media_type);
    let mut problems = Vec::new();
    let charset = match sniffed_type.starts_with("text/") {
        true => charset::of_file(&text, declared.charset.as_deref(), &sniffed_type).told(&mut problems),
        false => declared.charset.clone(),
    };
    Ok(PartRecord {
        kind: PartKind::Attachment,
        path: "1".into(),
        parent: None,
        sniffed_type,
        media_type,
        charset,
        name: declared.name.clone(),
        raw_name: declared.name.clone().unwrap_or_default().into_bytes(),
        transfer_encoding: String::new(),
        disposition: String::new(),
        problems,
        raw: Some(Range { offset: 0, len }),
        stored: Stored::Input(Range { offset: 0, len }),
    })
}

/// The part a module sees.
fn part<'a>(record: &PartRecord, input: &'a File, spill: &'a File) -> Part<'a> {
    let file = match record.stored {
        Stored::Input(_) => input,
        Stored::Spill(_) => spill,
    };
    let Range { offset, len } = record.stored.range();
    Part {
        kind: record.kind,
        path: record.path.clone(),
        parent: record.parent,
        media_type: record.media_type.clone(),
        sniffed_type: record.sniffed_type.clone(),
        charset: record.charset.clone(),
        name: record.name.clone(),
        problems: record.problems.clone(),
        content: Content::Range { file, offset, len },
    }
}
