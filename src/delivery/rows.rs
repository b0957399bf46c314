//! Rows on their way from a module to the store: in memory, and beyond a limit in a file without a name.

use module_api::Row;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Rows gathered while a module runs. No transaction is open meanwhile.
#[derive(Debug)]
pub struct Rows {
    memory: Vec<Row>,
    memory_bytes: usize,
    limit_bytes: usize,
    tmp: PathBuf,
    file: Option<BufWriter<File>>,
    count: u64,
}

impl Rows {
    /// No rows yet. Above `limit_bytes` of memory they go to a file in `tmp`.
    #[must_use]
    pub fn new(tmp: &Path, limit_bytes: usize) -> Self {
        Self { memory: Vec::new(), memory_bytes: 0, limit_bytes, tmp: tmp.to_owned(), file: None, count: 0 }
    }

    /// Number of rows.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, row: Row) -> io::Result<()> {
        self.count += 1;
        self.memory_bytes += size_of::<Row>() + row.values.len() * size_of::<module_api::Value>();
        self.memory.push(row);
        if self.memory_bytes > self.limit_bytes { self.spill() } else { Ok(()) }
    }

    /// Begins to read the rows from the first, in the order they were added. May be called again, because a commit may be repeated.
    ///
    /// # Errors
    /// When the file cannot be written or read.
    pub fn read(&mut self) -> io::Result<RowReader<'_>> {
        let file = match &mut self.file {
            None => None,
            Some(writer) => {
                writer.flush()?;
                let mut file = writer.get_ref().try_clone()?;
                file.rewind()?;
                Some(BufReader::new(file))
            }
        };
        Ok(RowReader { file, memory: &self.memory })
    }

    /// The rows, where all of them are in memory.
    #[must_use]
    pub fn in_memory(&self) -> Option<&[Row]> {
        self.file.is_none().then_some(&self.memory)
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(BufWriter::new(tempfile::tempfile_in(&self.tmp)?));
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        for row in self.memory.drain(..) {
            let frame = postcard::to_stdvec(&row).map_err(io::Error::other)?;
            let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
            file.write_all(&length.to_le_bytes())?;
            file.write_all(&frame)?;
        }
        self.memory_bytes = 0;
        Ok(())
    }
}

/// Rows being read back: those of the file first, because they are older.
#[derive(Debug)]
pub struct RowReader<'a> {
    file: Option<BufReader<File>>,
    memory: &'a [Row],
}

impl RowReader<'_> {
    /// The next rows, at most `count`; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next(&mut self, count: usize) -> io::Result<Vec<Row>> {
        let mut rows = Vec::new();
        while rows.len() < count {
            let Some(file) = &mut self.file else { break };
            match read_row(file)? {
                Some(row) => rows.push(row),
                None => self.file = None,
            }
        }
        let (some, rest) = self.memory.split_at((count - rows.len()).min(self.memory.len()));
        rows.extend_from_slice(some);
        self.memory = rest;
        Ok(rows)
    }
}

fn read_row(reader: &mut impl Read) -> io::Result<Option<Row>> {
    let mut length = [0; 4];
    match reader.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut frame = vec![0; u32::from_le_bytes(length) as usize];
    reader.read_exact(&mut frame)?;
    postcard::from_bytes(&frame).map(Some).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use module_api::{Place, Value};

    #[test]
    fn rows_come_back_in_order_from_memory_and_from_the_file() {
        for limit in [usize::MAX, 2_000] {
            let directory = tempfile::tempdir().unwrap();
            let mut rows = Rows::new(directory.path(), limit);
            for n in 0..100 {
                let values = vec![Value::Int(n), Value::Text(format!("row {n}"))];
                let place = Place::line(0, 1);
                rows.push(Row { table: 0, place, report_at: None, report_tz_assumed: false, values })
                    .unwrap();
            }
            for _ in 0..2 {
                let mut seen = Vec::new();
                let mut reader = rows.read().unwrap();
                loop {
                    let chunk = reader.next(7).unwrap();
                    if chunk.is_empty() {
                        break;
                    }
                    seen.extend(chunk.iter().map(|row| row.values[0].clone()));
                }
                assert_eq!(seen, (0..100).map(Value::Int).collect::<Vec<_>>(), "limit {limit}");
            }
        }
    }
}
