//! What volumes promise: [`every`] holds for all of them, [`directories`] for those that have directories and modes.
//!
//! Run on a directory, on a directory of a file system that cannot hold files without a name, and on memory. A volume without
//! directories runs the first suite only: a bucket of a real MinIO, where there is one.

mod directories;
mod every;

use super::disk::Disk;
use super::{BucketSettings, Durable, Placed, Source, SubPath, Volume};
use crate::infra::object_store::tests::minio;
use std::sync::Arc;

const CAPACITY_BYTES: u64 = 1 << 20;

/// A test for each promise of a suite, on each kind of volume.
macro_rules! suite {
    (in_a_bucket_too: $($promise:ident),+ $(,)?) => {
        suite! { $($promise),+ }
        mod bucket {
            $(#[test] fn $promise() {
                if let Some(volume) = super::super::in_a_bucket() {
                    super::$promise(&volume);
                }
            })+
        }
    };
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

/// A new bucket of a MinIO; `None` where there is none.
fn in_a_bucket() -> Option<Volume> {
    let (store, bucket) = minio::fresh_bucket()?;
    let _guard = minio::runtime().enter();
    let place = BucketSettings { store, bucket, prefix: "pre/fix".into(), tmp: std::env::temp_dir() };
    Some(Volume::open_bucket("inbox", place, None).unwrap())
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
