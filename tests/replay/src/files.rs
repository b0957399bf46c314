//! The two files a module process is given, and what must hold of every part it finds in them.

use std::fs::File;
use std::os::unix::fs::FileExt;

use headworks_modules::spill::Spill;
use module_api::frame::{self, MAX_REPLY_BYTES, PartRecord, Reply, Stored};
use module_api::{Content, Part, Problem};

/// Longest detail of a problem, as `Problem::detail` promises.
const DETAIL_BYTES: usize = 200;

/// The foreign bytes, and an empty spill.
pub(crate) struct Files {
    pub input: File,
    pub spill: Spill,
    input_bytes: u64,
}

impl Files {
    pub(crate) fn with(bytes: &[u8]) -> Self {
        let anonymous = || tempfile::tempfile().expect("the temporary directory takes a file");
        let input = anonymous();
        input.write_all_at(bytes, 0).expect("the input is written");
        Self { input, spill: Spill::new(anonymous()), input_bytes: bytes.len() as u64 }
    }

    /// Parents first, bytes that exist, problems and frames of bounded length.
    pub(crate) fn check(&self, records: &[PartRecord]) {
        assert!(!records.is_empty(), "any bytes give a part");
        for (index, record) in records.iter().enumerate() {
            let range = record.stored.range();
            let end = range.offset.checked_add(range.len).expect("a part ends somewhere");
            let available = match record.stored {
                Stored::Input(_) => self.input_bytes,
                Stored::Spill(_) => self.spill.end(),
            };
            assert!(end <= available, "{} lies beyond its file", record.path);
            if let Some(raw) = record.raw {
                assert!(raw.offset + raw.len <= self.input_bytes, "{} lies beyond the message", record.path);
            }
            assert!(record.parent.is_none_or(|p| (p as usize) < index), "{} before its parent", record.path);
            check_problems(&record.problems);
            check_reply(&Reply::Part(Box::new(record.clone())), MAX_REPLY_BYTES);
        }
    }

    /// A checked record as a module sees it.
    pub(crate) fn part(&self, record: &PartRecord) -> Part<'_> {
        let file = if matches!(record.stored, Stored::Input(_)) { &self.input } else { self.spill.file() };
        let range = record.stored.range();
        Part {
            kind: record.kind,
            path: record.path.clone(),
            parent: record.parent,
            media_type: record.media_type.clone(),
            sniffed_type: record.sniffed_type.clone(),
            charset: record.charset.clone(),
            name: record.name.clone(),
            problems: record.problems.clone(),
            content: Content::Range { file, offset: range.offset, len: range.len },
        }
    }
}

pub(crate) fn check_problems(problems: &[Problem]) {
    for Problem { code, detail } in problems {
        let is_code = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        assert!(!code.is_empty() && code.bytes().all(is_code), "code {code:?}");
        assert!(detail.len() <= DETAIL_BYTES && !detail.contains(char::is_control), "{code}: {detail:?}");
    }
}

/// It can be told to the server.
pub(crate) fn check_reply(reply: &Reply, limit_bytes: usize) {
    frame::encode(&mut Vec::new(), reply, limit_bytes).expect("what was found fits a frame");
}
