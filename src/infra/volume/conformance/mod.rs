//! What volumes promise: [`every`] holds for all of them, [`directories`] for those that have directories and modes.
//!
//! Run on a directory, on a directory of a file system that cannot hold files without a name, and on memory. A volume without
//! directories runs the first suite only.

mod directories;
mod every;

use super::disk::Disk;
use super::{Durable, Placed, Source, SubPath, Volume};
use std::sync::Arc;

const CAPACITY_BYTES: u64 = 1 << 20;

/// A test for each promise of a suite, on each kind of volume.
macro_rules! suite {
    ($($promise:ident),+ $(,)?) => {
        mod directory {
            $(#[test] fn $promise() {
                let dir = tempfile::tempdir().unwrap();
                super::$promise(&$crate::infra::volume::Volume::open("inbox", dir.path(), None).unwrap());
            })+
        }
        mod directory_with_stage_names {
            $(#[test] fn $promise() {
                let dir = tempfile::tempdir().unwrap();
                super::$promise(&super::super::with_stage_names(dir.path()));
            })+
        }
        mod memory {
            $(#[test] fn $promise() {
                super::$promise(&$crate::infra::volume::Volume::memory("inbox", super::super::CAPACITY_BYTES));
            })+
        }
    };
}
use suite;

/// A directory on a file system that cannot hold files without a name.
fn with_stage_names(dir: &std::path::Path) -> Volume {
    Volume::Disk(Arc::new(Disk::open("inbox", dir, None).unwrap().with_stage_names()))
}

fn at(path: &str) -> SubPath {
    path.parse().unwrap()
}

fn put(volume: &Volume, path: &str, bytes: &[u8]) -> Placed {
    volume.put(&at(path), Source::Bytes(bytes), Durable::AtSeal).unwrap()
}

fn names(volume: &Volume, dir: &str) -> Vec<String> {
    volume.list(&at(dir)).unwrap().into_iter().map(|entry| entry.name).collect()
}
