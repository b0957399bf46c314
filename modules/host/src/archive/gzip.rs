//! gzip: every member of the stream, and the tar inside it if there is one.

use super::{Expansion, Halt, Member, RangeReader};
use crate::problem::{add, has};
use crate::sniff;
use flate2::read::MultiGzDecoder;
use module_api::Problem;
use module_api::frame::{Range, Stored};
use std::io;

impl Expansion<'_> {
    pub(super) fn gzip(
        &mut self,
        index: usize,
        found: &mut Vec<Member>,
        problems: &mut Vec<Problem>,
    ) -> Result<(), Halt> {
        let packed = self.parts[index].stored;
        let file = match packed {
            Stored::Input(_) => self.input.try_clone()?,
            Stored::Spill(_) => self.spill.file().try_clone()?,
        };
        let from = io::BufReader::new(RangeReader::new(&file, packed.range()));
        let (range, error) = self.pour(&mut MultiGzDecoder::new(from), packed.range().len)?;
        match error.map(|e| e.kind()) {
            None => {}
            Some(io::ErrorKind::UnexpectedEof) => add(problems, "truncated", "gzip"),
            // The decoder's word for bytes behind a member that are no further member.
            Some(io::ErrorKind::InvalidInput) if range.len > 0 => add(problems, "trailing_garbage", "gzip"),
            Some(_) => add(problems, "corrupt", "gzip"),
        }
        let stored = Stored::Spill(range);
        if self.is_tar(range)? {
            return self.tar(stored, found, problems);
        }
        self.count_member()?;
        let mut member =
            Member { name: inner_name(self.parts[index].name.as_deref()), stored, problems: Vec::new() };
        if has(problems, "truncated") {
            add(&mut member.problems, "truncated", "");
        }
        found.push(member);
        Ok(())
    }

    fn is_tar(&self, range: Range) -> io::Result<bool> {
        let mut look = vec![0; usize::try_from(range.len.min(1_024)).unwrap_or(0)];
        io::Read::read_exact(&mut self.reader(Stored::Spill(range)), &mut look)?;
        Ok(sniff::media_type(&look, "") == "application/x-tar")
    }
}

/// `report.csv` for `report.csv.gz`.
fn inner_name(outer: Option<&str>) -> Vec<u8> {
    let outer = outer.unwrap_or("");
    let last = outer.rsplit(['/', '\\']).next().unwrap_or(outer);
    let stem = last
        .len()
        .checked_sub(3)
        .filter(|&n| last.is_char_boundary(n) && last[n..].eq_ignore_ascii_case(".gz"));
    match &last[..stem.unwrap_or(last.len())] {
        "" => b"content".to_vec(),
        name => name.as_bytes().to_vec(),
    }
}
