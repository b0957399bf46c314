//! `oracle-reader NAME FOLDER`: reads every mail of a folder with one reader and prints what it saw, as JSON by file name.
#![expect(clippy::print_stdout, reason = "its output is its result")]

use oracle::{Reading, readers};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, folder] = &arguments[..] else { return Err("usage: oracle-reader NAME FOLDER".into()) };
    let read = readers::by_name(name).ok_or_else(|| format!("no reader {name}"))?;
    let mut readings: BTreeMap<String, Reading> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        readings.insert(file, read(&fs::read(entry.path())?));
    }
    println!("{}", serde_json::to_string(&readings)?);
    Ok(())
}
